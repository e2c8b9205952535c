/* SPDX-License-Identifier: ISC */
/* See config_fd.h. */
#include "master/config_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

/* The memfd is sealed: it ends where it ends. */
static char *
read_text(int fd, size_t *len)
{
	char *text;
	ssize_t n;

	*len = 0;
	text = malloc(CONFIG_TEXT_MAX + 1);
	if (text == NULL)
		return NULL;
	while (*len < CONFIG_TEXT_MAX) {
		n = pread(fd, text + *len, CONFIG_TEXT_MAX - *len, (off_t)*len);
		if (n == -1) {
			free(text);
			return NULL;
		}
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return text;
}

struct config *
config_from_fd(const struct message *m)
{
	char name[MSG_HOST_SIZE + 1], *text;
	struct config_errors *errors;
	struct config *config = NULL;
	size_t len;

	memcpy(name, m->tail, m->tail_len);
	name[m->tail_len] = '\0';
	errors = calloc(1, sizeof(*errors));
	text = read_text(m->fd, &len);
	if (errors != NULL && text != NULL)
		config = config_read(name, text, len, errors);
	if (config == NULL)
		log_line(LOG_ERROR, "%s: %s", name,
		    errors != NULL && errors->nlines > 0 ? errors->lines[0]
							 : strerror(errno));
	free(text);
	free(errors);
	fd_close(m->fd);
	return config;
}
