/* SPDX-License-Identifier: ISC */
/* See smtpd_data.h. */
#include "master/intake/smtpd/smtpd_data.h"

#include <string.h>

void
smtpd_data_init(struct smtpd_data *d, bool chunks)
{
	memset(d, 0, sizeof(*d));
	d->chunks = chunks;
}

static size_t
put_line_end(uint8_t *out)
{
	out[0] = '\r';
	out[1] = '\n';
	return 2;
}

/* An octet within a line, or its end. */
static size_t
take_text(struct smtpd_data *d, uint8_t octet, uint8_t *out)
{
	d->state = SMTPD_DATA_TEXT;
	if (octet == '\r') {
		d->state = SMTPD_DATA_CR;
		return 0;
	}
	if (octet == '\n') {
		/* No line begins behind it for a client that sends DATA: a
		 * dot there is neither the end nor doubled.  In chunks dots
		 * mean nothing, and the line is over. */
		d->has_bare = true;
		if (d->chunks)
			d->state = SMTPD_DATA_LINE;
		return put_line_end(out);
	}
	d->has_nul = d->has_nul || octet == '\0';
	*out = octet;
	return 1;
}

/* Behind a CR, of which nothing was written. */
static size_t
take_after_cr(struct smtpd_data *d, uint8_t octet, uint8_t *out)
{
	size_t n = put_line_end(out);

	if (octet == '\n') {
		d->state = SMTPD_DATA_LINE;
		return n;
	}
	d->has_bare = true;
	return n + take_text(d, octet, out + n);
}

/* One octet; *end where it is the last of the message. */
static size_t
take_octet(struct smtpd_data *d, uint8_t octet, uint8_t *out, bool *end)
{
	switch (d->state) {
	case SMTPD_DATA_LINE:
		if (octet != '.' || d->chunks)
			return take_text(d, octet, out);
		d->state = SMTPD_DATA_DOT;
		return 0;
	case SMTPD_DATA_DOT: /* RFC 5321, 4.5.2: it was added */
		if (octet != '\r')
			return take_text(d, octet, out);
		d->state = SMTPD_DATA_DOT_CR;
		return 0;
	case SMTPD_DATA_DOT_CR:
		*end = octet == '\n';
		return *end ? 0 : take_after_cr(d, octet, out);
	case SMTPD_DATA_TEXT:
		return take_text(d, octet, out);
	case SMTPD_DATA_CR:
		return take_after_cr(d, octet, out);
	}
	return 0;
}

/* A whole line that is as it should be, for most are; 0: look closer. */
static size_t
take_line(struct smtpd_data *d, const uint8_t *in, size_t n, uint8_t *out)
{
	const uint8_t *lf;
	size_t len;

	if (d->state != SMTPD_DATA_TEXT && d->state != SMTPD_DATA_LINE)
		return 0;
	if (d->state == SMTPD_DATA_LINE && *in == '.' && !d->chunks)
		return 0;
	lf = memchr(in, '\n', n);
	if (lf == NULL || lf == in || lf[-1] != '\r')
		return 0;
	len = (size_t)(lf - in) + 1;
	if (memchr(in, '\r', len - 2) != NULL)
		return 0;
	d->has_nul = d->has_nul || memchr(in, '\0', len - 2) != NULL;
	memcpy(out, in, len);
	d->state = SMTPD_DATA_LINE;
	return len;
}

bool
smtpd_data_feed(struct smtpd_data *d, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t *out_len)
{
	size_t i = 0, o = 0, line;
	bool end = false;

	while (i < n && !end) {
		line = take_line(d, in + i, n - i, out + o);
		if (line > 0) {
			i += line;
			o += line;
			continue;
		}
		/* The rest of this line by octets. */
		do {
			o += take_octet(d, in[i++], out + o, &end);
		} while (i < n && !end && d->state != SMTPD_DATA_LINE);
	}
	*used = i;
	*out_len = o;
	return end;
}

size_t
smtpd_data_finish(struct smtpd_data *d, uint8_t *out)
{
	if (d->state == SMTPD_DATA_LINE)
		return 0;
	d->has_bare = d->has_bare || d->state == SMTPD_DATA_CR;
	d->state = SMTPD_DATA_LINE;
	return put_line_end(out);
}
