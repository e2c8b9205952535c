/* SPDX-License-Identifier: ISC */
/* A role's configuration, as the master hands it over. */
#ifndef POSTERN_MASTER_CONFIG_FD_H
#define POSTERN_MASTER_CONFIG_FD_H

#include "common/message.h"
#include "master/config.h"

/*
 * config_from_fd - read the configuration of a CONFIG message.
 *
 * Closes its descriptor.  NULL, with the reason logged, where that fails: the
 * master has read the same text, so it should not.  Free with config_free.
 */
struct config *config_from_fd(const struct message *m);

#endif
