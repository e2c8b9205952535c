/* SPDX-License-Identifier: ISC */
/*
 * A session from the server's side.  Each case is fed whole and in pieces of each
 * size, which must make no difference.
 */
#include "master/intake/smtpd/smtpd_session.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define BIT(name) (1u << SMTPD_CAN_##name)

enum {
	LMTP = 1,
	ONE = 2, /* recipient */
	NORMALIZE = 4,
	TRUSTED = 8,
	DENIED = 16,
	FINAL = 32, /* recipients get different answers */
	NO_CHUNKS = 64,
	TLS = 128,
};

/* One session, and what came of it. */
static struct {
	struct smtpd_session *s;
	uint8_t scratch[1024];
	char out[16384], content[4096], events[512];
	size_t out_len, content_len;
	bool closed;
} t;

static void
event(char letter)
{
	size_t n = strlen(t.events);

	cr_assert_lt(n + 1, sizeof(t.events));
	t.events[n] = letter;
}

static void
collect(void)
{
	const char *out;
	size_t n;

	out = smtpd_session_out(t.s, &n);
	cr_assert_lt(t.out_len + n, sizeof(t.out));
	memcpy(t.out + t.out_len, out, n);
	t.out_len += n;
	smtpd_session_written(t.s, n);
}

/* Recipients whose name begins with "no" are refused. */
static void
decide_rcpt(void)
{
	static const struct smtpd_reply no = { 550, "5.7.1", "no" };

	if (strncmp(smtpd_session_command(t.s)->path.path, "no", 2) == 0)
		smtpd_session_refuse(t.s, &no);
	else
		smtpd_session_accept(t.s);
}

static void
answer(unsigned flags)
{
	static const struct smtpd_reply yes = { 250, "2.0.0", "taken" };
	static const struct smtpd_reply no = { 451, "4.0.0", "later" };
	const struct smtpd_reply *verdict = smtpd_session_verdict(t.s);
	bool odd = false;

	event(verdict != NULL ? 'w' : 'W');
	while (smtpd_session_owed(t.s) > 0) {
		cr_assert(smtpd_session_answer(t.s,
		    verdict != NULL                   ? verdict
			: (flags & FINAL) != 0 && odd ? &no
						      : &yes));
		odd = !odd;
	}
}

static void
handle(enum smtpd_event e, unsigned flags)
{
	static const struct smtpd_reply full = { 452, "4.3.1", "full" };
	const uint8_t *content;
	size_t n;

	switch (e) {
	case SMTPD_MAIL:
		event('M');
		if (strcmp(smtpd_session_command(t.s)->path.path, "no@b.org") ==
		    0)
			smtpd_session_refuse(t.s, &full);
		else
			smtpd_session_accept(t.s);
		break;
	case SMTPD_RCPT:
		event('R');
		decide_rcpt();
		break;
	case SMTPD_BEGIN:
		event('B');
		if (strcmp(smtpd_session_envelope(t.s)->from, "full@b.org") ==
		    0)
			smtpd_session_refuse(t.s, &full);
		else
			smtpd_session_accept(t.s);
		break;
	case SMTPD_CONTENT:
		content = smtpd_session_content(t.s, &n);
		cr_assert_lt(t.content_len + n, sizeof(t.content));
		memcpy(t.content + t.content_len, content, n);
		t.content_len += n;
		break;
	case SMTPD_MESSAGE:
		answer(flags);
		break;
	case SMTPD_RESET:
		event('X');
		break;
	case SMTPD_REFUSED:
		cr_expect_geq(smtpd_session_refusal(t.s)->code, 400);
		event('!');
		break;
	case SMTPD_STARTTLS:
		event('T');
		break;
	case SMTPD_CLOSE:
		t.closed = true;
		break;
	case SMTPD_MORE:
		break;
	}
}

static void
start(unsigned flags)
{
	struct smtpd_policy p = { .size_limit = 100,
		.rcpt_limit = 3,
		.error_limit = 6,
		.junk_limit = 5,
		.line_limit = 1024 };

	memset(&t, 0, sizeof(t));
	p.lmtp = (flags & LMTP) != 0;
	p.one_recipient = (flags & ONE) != 0;
	p.normalize = (flags & NORMALIZE) != 0;
	p.trusted = (flags & TRUSTED) != 0;
	p.denied = (flags & DENIED) != 0;
	p.offers = BIT(PIPELINING) | BIT(SIZE) | BIT(CHUNKING) |
	    BIT(BINARYMIME) | BIT(EIGHTBITMIME) | BIT(SMTPUTF8) | BIT(DSN) |
	    BIT(ENHANCEDSTATUSCODES) | BIT(REQUIRETLS);
	if ((flags & NO_CHUNKS) != 0)
		p.offers &= ~BIT(CHUNKING);
	if ((flags & TLS) != 0)
		p.offers |= BIT(STARTTLS);
	if ((flags & ONE) != 0)
		p.offers |= BIT(LIMITS);
	strlcpy(p.hostname, "mx", sizeof(p.hostname));
	t.s = malloc(smtpd_session_size(&p));
	cr_assert_not_null(t.s);
	smtpd_session_init(t.s, &p, t.scratch, sizeof(t.scratch));
}

static void
feed(const char *in, size_t n, size_t piece, unsigned flags)
{
	enum smtpd_event e;
	size_t at = 0, most, used;

	while (at < n && !t.closed) {
		most = n - at < piece ? n - at : piece;
		do {
			e = smtpd_session_feed(t.s, (const uint8_t *)in + at,
			    most, &used);
			cr_assert_leq(used, most);
			at += used;
			most -= used;
			handle(e, flags);
			collect();
		} while (!t.closed && (e != SMTPD_MORE || most > 0) &&
		    !strchr(t.events, 'T'));
		if (strchr(t.events, 'T'))
			return; /* what follows is not ours */
	}
	t.out[t.out_len] = '\0';
	t.content[t.content_len] = '\0';
}

#define HI    "EHLO me\r\n"
#define BEGUN "MAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\n"

#define FOREIGN                                                                \
	"521 5.7.0 Error: this is a mail server, and the line is of another "  \
	"protocol\r\n"

/* out is what follows the greeting and the reply to the first EHLO or LHLO. */
static const struct row {
	unsigned flags;
	const char *in, *out, *content, *events;
} rows[] = {
	/* One message, all in one piece, and the next. */
	{ 0, HI BEGUN "DATA\r\nx\r\n.\r\nQUIT\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n250 2.0.0 taken\r\n221 2.0.0 Bye\r\n",
	    "x\r\n", "MRBW" },
	{ 0, HI BEGUN "DATA\r\nx\r\n.\r\n" BEGUN "DATA\r\ny\r\n.\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n250 2.0.0 taken\r\n250 2.1.0 Ok\r\n250 "
	    "2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 "
	    "taken\r\n",
	    "x\r\ny\r\n", "MRBWMRBW" },
	/* Behind a MAIL that fails. */
	{ 0, HI "MAIL FROM:<no@b.org>\r\nRCPT TO:<c@d.org>\r\nDATA\r\nNOOP\r\n",
	    "452 4.3.1 full\r\n503 5.5.1 Error: need MAIL command\r\n503 "
	    "5.5.1 Error: need MAIL command\r\n250 2.0.0 Ok\r\n",
	    "", "M!!!" },
	{ 0,
	    HI "MAIL FROM:<no@b.org>\r\nRCPT TO:<c@d.org>\r\nBDAT 6 "
	       "LAST\r\nQUIT\r\nNOOP\r\n",
	    "452 4.3.1 full\r\n503 5.5.1 Error: need MAIL command\r\n503 "
	    "5.5.1 Error: need RCPT command\r\n250 2.0.0 Ok\r\n",
	    "", "M!!!" },
	/* Of recipients. */
	{ 0, HI "MAIL FROM:<a@b.org>\r\nRCPT TO:<no@d.org>\r\nDATA\r\n",
	    "250 2.1.0 Ok\r\n550 5.7.1 no\r\n554 5.5.1 Error: no valid "
	    "recipients\r\n",
	    "", "MR!!" },
	{ 0,
	    HI "MAIL FROM:<a@b.org>\r\nRCPT TO:<no@d.org>\r\nBDAT 6\r\n"
	       "QUIT\r\nRSET\r\n",
	    "250 2.1.0 Ok\r\n550 5.7.1 no\r\n554 5.5.1 Error: no valid "
	    "recipients\r\n250 2.0.0 Ok\r\n",
	    "", "MR!!X" },
	{ 0, HI "MAIL FROM:<a@b.org>\r\nDATA\r\n",
	    "250 2.1.0 Ok\r\n503 5.5.1 Error: need RCPT command\r\n", "",
	    "M!" },
	{ LMTP,
	    "LHLO me\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<no@d.org>\r\n"
	    "DATA\r\n",
	    "250 2.1.0 Ok\r\n550 5.7.1 no\r\n503 5.5.1 Error: need RCPT "
	    "command\r\n",
	    "", "MR!!" },
	{ 0,
	    HI BEGUN "RCPT TO:<e@d.org>\r\nRCPT TO:<f@d.org>\r\nRCPT "
		     "TO:<g@d.org>\r\nDATA\r\n.\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 "
	    "Ok\r\n452 4.5.3 Error: too many recipients\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n250 2.0.0 taken\r\n",
	    "", "MRRRBW" },
	{ ONE, HI BEGUN "RCPT TO:<e@d.org>\r\nRSET\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n452 4.5.3 Error: too many "
	    "recipients\r\n250 2.0.0 Ok\r\n",
	    "", "MRX" },
	/* LMTP: an answer for each, in order. */
	{ LMTP | FINAL,
	    "LHLO me\r\n" BEGUN "RCPT TO:<no@d.org>\r\nRCPT TO:<e@d.org>\r\n"
	    "DATA\r\n.\r\nNOOP\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.7.1 no\r\n250 2.1.5 "
	    "Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 "
	    "taken\r\n451 4.0.0 later\r\n250 2.0.0 Ok\r\n",
	    "", "MRR!RBW" },
	{ LMTP | FINAL,
	    "LHLO me\r\n" BEGUN "RCPT TO:<e@d.org>\r\nBDAT 3\r\nx\r\nBDAT 0 "
	    "LAST\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 3 "
	    "octets\r\n250 2.0.0 taken\r\n451 4.0.0 later\r\n",
	    "x\r\n", "MRRBW" },
	{ LMTP, "LHLO me\r\nEHLO me\r\nHELO me\r\n",
	    "500 5.5.1 Error: this is LMTP: send LHLO\r\n500 5.5.1 Error: "
	    "this is LMTP: send LHLO\r\n",
	    "", "!!" },
	{ 0, HI "LHLO me\r\n", "500 5.5.1 Error: this is SMTP: send EHLO\r\n",
	    "", "!" },
	/* Chunks: what they hold is no command, nor is a dot their end. */
	{ 0, HI BEGUN "BDAT 11\r\nQUIT\r\n.\r\n.\nBDAT 2 LAST\r\n\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.5.2 Error: a <CR> or <LF> "
	    "stands alone in the message, where lines end in <CR><LF>\r\n503 "
	    "5.5.1 Error: need RCPT command\r\n",
	    NULL, "MRB!X!" },
	{ 0, HI BEGUN "BDAT 9\r\nQUIT\r\n.\r\nBDAT 4 LAST\r\n.\r\nx",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 9 octets\r\n250 "
	    "2.0.0 taken\r\n",
	    "QUIT\r\n.\r\n.\r\nx\r\n", "MRBW" },
	{ 0,
	    HI "MAIL FROM:<full@b.org>\r\nRCPT TO:<c@d.org>\r\nBDAT 6\r\n"
	       "QUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n452 4.3.1 full\r\n503 5.5.1 "
	    "Error: need RCPT command\r\n250 2.0.0 Ok\r\n",
	    "", "MRBX!!" },
	{ 0,
	    HI BEGUN "BDAT 3\r\nx\r\nDATA\r\nRCPT TO:<e@d.org>\r\nMAIL "
		     "FROM:<x@y.org>\r\nBDAT 0 LAST\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 3 octets\r\n503 "
	    "5.5.1 Error: the message came by BDAT so far\r\n503 5.5.1 "
	    "Error: the message came by BDAT so far\r\n503 5.5.1 Error: "
	    "nested MAIL command\r\n250 2.0.0 taken\r\n",
	    "x\r\n", "MRB!!!W" },
	{ 0, HI BEGUN "BDAT x\r\nMAIL FROM:<x@y.org>\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n521 5.5.4 Syntax: BDAT count "
	    "[LAST]\r\n",
	    "", "MR!" },
	{ NO_CHUNKS, HI BEGUN "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n502 5.5.1 Error: command not "
	    "implemented\r\n250 2.0.0 Ok\r\n",
	    "", "MR!" },
	{ 0,
	    HI "MAIL FROM:<a@b.org> BODY=BINARYMIME\r\nRCPT "
	       "TO:<c@d.org>\r\nDATA\r\nBDAT 5 LAST\r\na\n\r.\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n503 5.5.1 Error: BINARYMIME goes "
	    "by BDAT alone\r\n250 2.0.0 taken\r\n",
	    "a\n\r.\n", "MR!BW" },
	/* Smuggling. */
	{ 0, HI BEGUN "DATA\r\nx\n.\r\nMAIL FROM:<x@y.org>\r\n.\r\nNOOP\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n550 5.5.2 Error: a <CR> or <LF> stands "
	    "alone in the message, where lines end in <CR><LF>\r\n250 2.0.0 "
	    "Ok\r\n",
	    NULL, "MRBw" },
	{ NORMALIZE,
	    HI BEGUN "DATA\r\nx\n.\r\nMAIL FROM:<x@y.org>\r\n.\r\nNOOP\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n250 2.0.0 taken\r\n250 2.0.0 Ok\r\n",
	    "x\r\n.\r\nMAIL FROM:<x@y.org>\r\n", "MRBW" },
	{ LMTP, "LHLO me\r\n" BEGUN "RCPT TO:<e@d.org>\r\nDATA\r\n\rx\r\n.\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n354 End data "
	    "with <CR><LF>.<CR><LF>\r\n550 5.5.2 Error: a <CR> or <LF> stands "
	    "alone in the message, where lines end in <CR><LF>\r\n550 5.5.2 "
	    "Error: a <CR> or <LF> stands alone in the message, where lines "
	    "end in <CR><LF>\r\n",
	    NULL, "MRRBw" },
	{ 0, HI "NOOP x\nMAIL FROM:<x@y.org>\r\n",
	    "521 5.5.2 Error: a command ends in <LF> alone, where lines end in "
	    "<CR><LF>\r\n",
	    "", "!" },
	{ NORMALIZE, HI "NOOP x\nMAIL FROM:<x@y.org>\n",
	    "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n", "", "M" },
	{ 0, HI "NOOP x\rMAIL FROM:<x@y.org>\r\n",
	    "500 5.5.2 Error: bad syntax: a control character, or no "
	    "UTF-8\r\n",
	    "", "!" },
	{ NORMALIZE, HI BEGUN "BDAT 2\r\na\nBDAT 3 LAST\r\n.b\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 2 octets\r\n250 "
	    "2.0.0 taken\r\n",
	    "a\r\n.b\r\n", "MRBW" },
	/* The message is not as it should be. */
	{ 0,
	    HI BEGUN "DATA\r\n"
		     "123456789012345678901234567890123456789012345678901234"
		     "567890123456789012345678901234567890123456789\r\n.\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with "
	    "<CR><LF>.<CR><LF>\r\n552 5.3.4 Error: the message is larger than "
	    "the limit that SIZE told\r\n",
	    NULL, "MRBw" },
	{ 0, HI "MAIL FROM:<a@b.org> SIZE=101\r\n",
	    "552 5.3.4 Error: the message is larger than the limit that SIZE "
	    "told\r\n",
	    "", "!" },
	{ 0,
	    HI "MAIL FROM:<a@b.org> REQUIRETLS\r\nMAIL FROM:<a@b.org> "
	       "MT-PRIORITY=1\r\n",
	    "555 5.5.4 Error: a parameter is not offered here\r\n555 5.5.4 "
	    "Error: a parameter is not offered here\r\n",
	    "", "!!" },
	{ 0,
	    HI "MAIL FROM:<\xc3\xa4@b.org>\r\nMAIL FROM:<a@b.org>\r\nRCPT "
	       "TO:<\xc3\xa4@b.org>\r\nRSET\r\nMAIL FROM:<a@b.org> "
	       "SMTPUTF8\r\nRCPT TO:<\xc3\xa4@b.org>\r\n",
	    "550 5.6.7 Error: an address beyond ASCII takes SMTPUTF8\r\n250 "
	    "2.1.0 Ok\r\n553 5.6.7 Error: an address beyond ASCII takes "
	    "SMTPUTF8\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n",
	    "", "!M!XMR" },
	/* Order. */
	{ 0,
	    HI "RCPT TO:<c@d.org>\r\nDATA\r\nVRFY a\r\nEXPN a\r\nHELP\r\n"
	       "XFORWARD NAME=x\r\n",
	    "503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: need MAIL "
	    "command\r\n252 2.0.0 Send some mail, it will be tried\r\n502 "
	    "5.5.1 Error: command not implemented\r\n214 2.0.0 See "
	    "postern.conf(5), LISTENERS\r\n554 5.7.0 Error: insufficient "
	    "authorization\r\n",
	    "", "!!!!" },
	{ TRUSTED,
	    HI "XFORWARD NAME=x\r\nXFORWARD X=y\r\nMAIL "
	       "FROM:<a@b.org>\r\nXFORWARD NAME=y\r\n",
	    "250 2.0.0 Ok\r\n501 5.5.4 Syntax: XFORWARD "
	    "attribute=value...\r\n250 2.1.0 Ok\r\n503 5.5.1 Error: a mail "
	    "transaction is in progress\r\n",
	    "", "!M!" },
	{ 0, HI BEGUN "EHLO me\r\nDATA\r\n",
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\nEHLO503 5.5.1 Error: need MAIL "
	    "command\r\n",
	    "", "MRX!" },
	/* Limits. */
	{ 0,
	    HI "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP"
	       "\r\nNOOP\r\nNOOP\r\nNOOP\r\nMAIL FROM:<a@b.org>\r\n",
	    "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 "
	    "Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 "
	    "Ok\r\n250 2.0.0 Ok\r\n421 4.7.0 mx Error: too many errors\r\n",
	    "", "" },
	{ 0, HI "A\r\nB\r\nC\r\nD\r\nMAIL FROM:<>\r\nE\r\nRSET\r\n",
	    "500 5.5.2 Error: command not recognized\r\n500 5.5.2 Error: "
	    "command not recognized\r\n500 5.5.2 Error: command not "
	    "recognized\r\n500 5.5.2 Error: command not recognized\r\n250 "
	    "2.1.0 Ok\r\n500 5.5.2 Error: command not recognized\r\n421 4.7.0 "
	    "mx Error: too many errors\r\n",
	    "", "!!!!M!" },
	/* Of another protocol: nothing that comes with it is a command. */
	{ 0, HI "GET / HTTP/1.1\r\n" BEGUN "DATA\r\nx\r\n.\r\n", FOREIGN, "",
	    "!" },
	{ NORMALIZE, HI "POST / HTTP/1.1\n" BEGUN "DATA\r\nx\r\n.\r\n", FOREIGN,
	    "", "!" },
	{ LMTP, "LHLO me\r\nHost: x\r\n" BEGUN "DATA\r\nx\r\n.\r\n", FOREIGN,
	    "", "!" },
	{ 0, HI "MAIL FROM:<a@b.org>\r\nUser-Agent: x\r\nRCPT TO:<c@d.org>\r\n",
	    "250 2.1.0 Ok\r\n" FOREIGN, "", "M!" },
	{ 0,
	    HI "MAIL FROM:<a@b.org>\r\nNOOP Host: x\r\nVRFY GET / HTTP/1.1\r\n",
	    "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n252 2.0.0 Send some mail, it will "
	    "be tried\r\n",
	    "", "M" },
	/* TLS, which begins anew. */
	{ TLS, HI "STARTTLS\r\nMAIL FROM:<a@b.org>\r\n",
	    "220 2.0.0 Ready to start TLS\r\n", "", "T" },
	{ 0, HI "STARTTLS\r\n", "502 5.5.1 Error: command not implemented\r\n",
	    "", "!" },
};

/* Puts "EHLO" in the place of what EHLO and the greeting said. */
static void
shorten(void)
{
	char *start = t.out, *end;
	bool first = true;

	while ((start = strstr(start, first ? "220 mx" : "250-mx")) != NULL) {
		end = strstr(start, "250 ");
		end = end != NULL ? strstr(end, "\r\n") : NULL;
		if (end == NULL)
			return;
		end += 2;
		if (!first) {
			memcpy(start, "EHLO", 4);
			start += 4;
		}
		memmove(start, end, strlen(end) + 1);
		first = false;
	}
}

Test(smtpd_session, what_follows_what)
{
	for (size_t i = 0; i < NELEM(rows); i++) {
		const struct row *row = &rows[i];
		size_t n = strlen(row->in);

		for (size_t piece = 1; piece <= n; piece++) {
			start(row->flags);
			collect();
			feed(row->in, n, piece, row->flags);
			t.out[t.out_len] = '\0';
			shorten();
			cr_assert_str_eq(t.out, row->out,
			    "row %zu in pieces of %zu: %s", i, piece, t.out);
			if (row->content != NULL)
				cr_assert_str_eq(t.content, row->content,
				    "row %zu", i);
			cr_assert_str_eq(t.events, row->events,
			    "row %zu in pieces of %zu: %s", i, piece, t.events);
			free(t.s);
		}
	}
}

Test(smtpd_session, no_command_comes_first)
{
	static const char in[] =
	    "MAIL FROM:<a@b.org>\r\nRCPT TO:<a@b.org>\r\nDATA\r\nBDAT 3 "
	    "LAST\r\nabcNOOP\r\nEHLO\r\n";

	start(0);
	collect();
	feed(in, strlen(in), 1000, 0);
	cr_expect_str_eq(t.out,
	    "220 mx ESMTP postern\r\n503 5.5.1 Error: send HELO/EHLO "
	    "first\r\n503 5.5.1 Error: send HELO/EHLO first\r\n503 5.5.1 "
	    "Error: send HELO/EHLO first\r\n503 5.5.1 Error: need RCPT "
	    "command\r\n250 2.0.0 Ok\r\n501 5.5.4 Syntax: say your host name "
	    "behind the command\r\n",
	    "%s", t.out);
	cr_expect_eq(smtpd_session_state(t.s), SMTPD_CONNECTED);
	free(t.s);
}

Test(smtpd_session, who_is_denied_can_only_go)
{
	static const char in[] = "EHLO me\r\nMAIL FROM:<a@b.org>\r\nBDAT 6\r\n"
				 "QUIT\r\nQUIT\r\n";

	start(DENIED);
	collect();
	feed(in, strlen(in), 1000, DENIED);
	cr_expect_str_eq(t.out,
	    "554 mx Error: access denied\r\n503 5.7.1 Error: access "
	    "denied\r\n503 5.7.1 Error: access denied\r\n503 5.5.1 Error: "
	    "need RCPT command\r\n221 2.0.0 Bye\r\n",
	    "%s", t.out);
	cr_expect(t.closed);
	free(t.s);
}

Test(smtpd_session, what_is_offered)
{
	start(TRUSTED | ONE | TLS);
	collect();
	feed(HI, strlen(HI), 1000, 0);
	cr_expect_str_eq(t.out,
	    "220 mx ESMTP postern\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE "
	    "100\r\n250-8BITMIME\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES"
	    "\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
	    "250 LIMITS RCPTMAX=1\r\n",
	    "%s", t.out);
	free(t.s);
}

Test(smtpd_session, tls_forgets_all_that_was_said)
{
	static const char in[] = HI "XFORWARD NAME=x\r\nSTARTTLS\r\n";

	start(TLS | TRUSTED);
	feed(in, strlen(in), 1000, TLS);
	cr_expect_str_eq(t.events, "T");
	smtpd_session_tls_is_up(t.s);
	cr_expect_eq(smtpd_session_state(t.s), SMTPD_CONNECTED);
	cr_expect_str_eq(smtpd_session_helo(t.s), "");
	cr_expect_not(smtpd_session_forwarded(t.s)->told);
	memset(t.events, 0, sizeof(t.events));
	t.out_len = 0;
	feed(HI "MAIL FROM:<a@b.org> REQUIRETLS\r\n", strlen(HI) + 32, 1000, 0);
	cr_expect_not_null(strstr(t.out, "REQUIRETLS"));
	cr_expect_null(strstr(t.out, "STARTTLS"));
	cr_expect_str_eq(t.events, "M");
	cr_expect(smtpd_session_envelope(t.s)->require_tls);
	free(t.s);
}

Test(smtpd_session, a_line_is_never_longer_than_its_limit)
{
	char line[1100];
	size_t most = 1022; /* and its CRLF */

	for (size_t n = most - 1; n <= most + 1; n++) {
		start(0);
		t.out_len = 0;
		memset(line, 'a', sizeof(line));
		memcpy(line, "NOOP ", 5);
		memcpy(line + n, "\r\n", 2);
		feed(HI, strlen(HI), 1000, 0);
		t.out_len = 0;
		feed(line, n + 2, 7, 0);
		feed("NOOP\r\n", 6, 100, 0);
		cr_expect_str_eq(t.out,
		    n > most ? "500 5.5.2 Error: the line is too long\r\n250 "
			       "2.0.0 Ok\r\n"
			     : "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n",
		    "%zu: %s", n, t.out);
		free(t.s);
	}
}

Test(smtpd_session, a_long_request_of_http_ends_it_too)
{
	char line[3000] = "POST /";

	memset(line + 6, 'a', sizeof(line) - 6);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	start(0);
	collect();
	t.out_len = 0;
	feed(line, sizeof(line), 1000, 0);
	feed(HI BEGUN, strlen(HI BEGUN), 1000, 0);
	cr_expect_str_eq(t.out, FOREIGN, "%s", t.out);
	cr_expect_str_eq(t.events, "!");
	cr_expect(t.closed);
	free(t.s);
}

Test(smtpd_session, who_does_not_read_is_not_heard)
{
	size_t n, used, taken = 0;

	start(0);
	feed(HI, strlen(HI), 1000, 0);
	for (int i = 0; i < 100000 && !smtpd_session_is_stuck(t.s); i++) {
		if (smtpd_session_feed(t.s, (const uint8_t *)BEGUN "RSET\r\n",
			strlen(BEGUN "RSET\r\n"), &used) == SMTPD_CLOSE)
			break;
		taken += used;
		if (smtpd_session_owed(t.s) == 0)
			handle(SMTPD_MORE, 0);
		if (!smtpd_session_is_stuck(t.s))
			continue;
		(void)smtpd_session_out(t.s, &n);
		if (n < 5000)
			smtpd_session_accept(t.s);
	}
	(void)smtpd_session_out(t.s, &n);
	cr_expect_leq(n, SMTPD_OUT_SIZE);
	cr_expect_lt(taken, 100000);
	free(t.s);
}

/* RFC 5321, 4.5.3.1.5 and 4.2.1; RFC 2034, 4. */
Test(smtpd_session, no_line_of_a_reply_is_too_long)
{
	static const char head[] = "550-5.7.1 ";
	char text[1200], joined[1200];
	struct smtpd_reply reply = { 550, "5.7.1", text };
	size_t len;

	for (size_t n = 0; n < sizeof(text); n += 7) {
		start(0);
		feed(HI BEGUN "DATA\r\n", strlen(HI BEGUN "DATA\r\n"), 99, 0);
		memset(text, 'x', n);
		for (size_t i = 100; i < n; i += n % 2 == 0 ? 101 : 5000)
			text[i] = ' ';
		text[n] = '\0';
		t.out_len = 0;
		len = 0;
		smtpd_session_refuse(t.s, &reply);
		collect();
		t.out[t.out_len] = '\0';
		for (char *at = t.out, *end; *at != '\0'; at = end + 2) {
			end = strstr(at, "\r\n");
			cr_assert_not_null(end);
			cr_assert_leq(end + 2 - at, 512, "%zu", n);
			cr_assert_eq(at[3], end[2] == '\0' ? ' ' : '-', "%zu",
			    n);
			cr_assert_eq(memcmp(at + 4, head + 4, 6), 0);
			memcpy(joined + len, at + 10, (size_t)(end - at) - 10);
			len += (size_t)(end - at) - 10;
			if (end[2] != '\0' && n % 2 == 0)
				joined[len++] = ' ';
		}
		cr_expect(n > 890 || len == n || text[n - 1] == ' ', "%zu", n);
		cr_expect_eq(memcmp(joined, text, len), 0, "%zu", n);
		free(t.s);
	}
}

/* The most that octets become, and the end of a last line behind it, fill the
 * room that there is, and no more: what stands behind is seen by its content. */
Test(smtpd_session, a_last_chunk_of_bare_line_ends_fits)
{
	static const size_t room = 1024;
	struct {
		uint8_t scratch[1024];
		uint8_t guard[16];
	} place;
	struct smtpd_policy p = { .normalize = true,
		.size_limit = 100000,
		.rcpt_limit = 3,
		.error_limit = 6,
		.junk_limit = 5,
		.line_limit = 1024,
		.offers = BIT(CHUNKING) };
	char in[700];
	size_t n;

	for (size_t size = 500; size < 520; size++) {
		memset(&t, 0, sizeof(t));
		memset(&place, 0x5a, sizeof(place));
		t.s = malloc(smtpd_session_size(&p));
		cr_assert_not_null(t.s);
		smtpd_session_init(t.s, &p, place.scratch, room);
		feed(HI BEGUN, strlen(HI BEGUN), 1000, 0);
		feed("BDAT 1\r\n\r", 9, 1000, 0);
		n = (size_t)snprintf(in, sizeof(in), "BDAT %zu LAST\r\n", size);
		memset(in + n, '\n', size);
		in[n] = 'a';
		in[n + size - 1] = '\r';
		feed(in, n + size, 1000, 0);
		cr_expect_eq(t.content_len, 2 + 1 + 2 * (size - 2) + 2, "%zu",
		    size);
		for (size_t i = 0; i < sizeof(place.guard); i++)
			cr_assert_eq(place.guard[i], 0x5a, "%zu", size);
		free(t.s);
	}
}

Test(smtpd_session, commands_are_counted_as_they_went)
{
	static const char in[] =
	    HI BEGUN "RCPT TO:<no@d.org>\r\nDATA\r\nx\r\n.\r\n" BEGUN
		     "BDAT 3\r\na\r\nBDAT 2 LAST\r\n\n\nX\r\nQUIT\r\n";
	const struct smtpd_count *c;

	start(0);
	feed(in, strlen(in), 1000, 0);
	c = smtpd_session_counts(t.s);
	cr_expect_eq(c[SMTPD_VERB_RCPT].good, 2);
	cr_expect_eq(c[SMTPD_VERB_RCPT].all, 3);
	cr_expect_eq(c[SMTPD_VERB_DATA].good, 1);
	cr_expect_eq(c[SMTPD_VERB_BDAT].good, 1, "the last one was refused");
	cr_expect_eq(c[SMTPD_VERB_BDAT].all, 2);
	cr_expect_eq(c[SMTPD_VERB_UNKNOWN].all, 1);
	cr_expect_eq(c[SMTPD_VERB_UNKNOWN].good, 0);
	cr_expect_eq(c[SMTPD_VERB_QUIT].good, 1);
	free(t.s);
}
