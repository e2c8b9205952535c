/* SPDX-License-Identifier: ISC */
/*
 * A configuration that is spread over several files, as one text.
 *
 * "include = FILE" outside of every block is replaced by what the file holds.  Lines
 * that no file can have say where each part is from, so that whoever reads the text,
 * in whichever process, names the right file and line (config_places.h).
 */
#ifndef MASTER_CONFIG_INCLUDE_H
#define MASTER_CONFIG_INCLUDE_H

#include <stddef.h>

enum {
	CONFIG_INCLUDE_DEPTH = 8,   /* files in files */
	CONFIG_INCLUDE_FILES = 500, /* in all */
};

/*
 * config_include_read - the text of a file, with all that it includes.
 *
 * A path is relative to the folder of the file that names it; of a folder it is
 * every "*.conf" in the order of their names.  What cannot be included is an error
 * of that line once the text is read (config_read).  At most CONFIG_TEXT_MAX octets
 * and a few: what is longer is cut, and refused there.
 *
 * NULL with errno where the file itself cannot be read; the caller's to free().
 */
char *config_include_read(const char *name, size_t *len);

#endif
