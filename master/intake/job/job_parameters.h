/* SPDX-License-Identifier: ISC */
/*
 * What a message and a recipient of a job may ask of MAIL and RCPT, as text of
 * common/parameters.h; text is empty before.  What is wrong is a sentence in
 * error, and -1.
 */
#ifndef POSTERN_MASTER_INTAKE_JOB_JOB_PARAMETERS_H
#define POSTERN_MASTER_INTAKE_JOB_JOB_PARAMETERS_H

#include <jansson.h>

#include "common/parameters.h"
#include "master/clients/value.h"

int job_parameters_mail(json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE]);
int job_parameters_rcpt(json_t *object, char text[PARAMETERS_RCPT_SIZE],
    char error[VALUE_ERROR_SIZE]);

#endif
