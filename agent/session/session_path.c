/* SPDX-License-Identifier: ISC */
/* The envelope as a job brings it: the sender's path and its parameters, then those
 * of each recipient, each a string. */
#include <string.h>

#include "agent/session/session_internal.h"

const char *
session_path_parameters(const char *path)
{
	return path + strlen(path) + 1;
}

const char *
session_path_next(const char *path)
{
	path = session_path_parameters(path);
	return path + strlen(path) + 1;
}
