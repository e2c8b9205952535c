/* SPDX-License-Identifier: ISC */
/* The commands of clients of LMTP and SMTP. */
#include "master/intake/smtpd/smtpd_command.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define BIT(name) (1u << SMTPD_CAN_##name)

static const struct {
	const char *line;
	enum smtpd_verb verb;
	const char *path, *parameters;
	uint32_t uses;
} good[] = {
	{ "MAIL FROM:<>", SMTPD_VERB_MAIL, "", "", 0 },
	{ "mail from:<a@b.org>", SMTPD_VERB_MAIL, "a@b.org", "", 0 },
	{ "MAIL FROM: <a@b.org>  ", SMTPD_VERB_MAIL, "a@b.org", "", 0 },
	/* As wide as Postfix's. */
	{ "\tMAIL\tFROM:\t<a@b.org>\t", SMTPD_VERB_MAIL, "a@b.org", "", 0 },
	{ "MAIL FROM:< a@b.org >\tSIZE=1", SMTPD_VERB_MAIL, "a@b.org", "",
	    BIT(SIZE) },
	{ "MAIL FROM:< >", SMTPD_VERB_MAIL, "", "", 0 },
	{ "MAIL FROM:a@b.org SIZE=1", SMTPD_VERB_MAIL, "a@b.org", "",
	    BIT(SIZE) },
	{ "MAIL FROM:<<a@b.org>> SIZE=1", SMTPD_VERB_MAIL, "a@b.org", "",
	    BIT(SIZE) },
	{ "MAIL FROM:<\"a> b\"@c.org>", SMTPD_VERB_MAIL, "\"a> b\"@c.org", "",
	    0 },
	{ "MAIL FROM:<a..b@c_d.org.>", SMTPD_VERB_MAIL, "\"a..b\"@c_d.org", "",
	    0 },
	{ "MAIL FROM:<root>", SMTPD_VERB_MAIL, "root@here.org", "", 0 },
	{ "MAIL FROM:root", SMTPD_VERB_MAIL, "root@here.org", "", 0 },
	{ "RCPT TO:<root.>", SMTPD_VERB_RCPT, "\"root.\"@here.org", "", 0 },
	{ "RCPT TO:<\"a@b\">", SMTPD_VERB_RCPT, "\"a@b\"@here.org", "", 0 },
	{ "QUIT now", SMTPD_VERB_QUIT, "", "", 0 },
	{ "MAIL FROM:<a@b.org> ENVID=a+2b", SMTPD_VERB_MAIL, "a@b.org",
	    "ENVID=a+2B", BIT(DSN) },
	{ "MAIL FROM:<@x.org,@y.org:a@b.org>", SMTPD_VERB_MAIL, "a@b.org", "",
	    0 },
	{ "MAIL FROM:<\"a b\"@c.org> SIZE=12", SMTPD_VERB_MAIL, "\"a b\"@c.org",
	    "", BIT(SIZE) },
	{ "MAIL FROM:<a@b.org> ret=hdrs envid=QQ+2B1", SMTPD_VERB_MAIL,
	    "a@b.org", "RET=HDRS ENVID=QQ+2B1", BIT(DSN) },
	{ "MAIL FROM:<a@b.org> BODY=8bitmime SMTPUTF8", SMTPD_VERB_MAIL,
	    "a@b.org", "", BIT(EIGHTBITMIME) | BIT(SMTPUTF8) },
	{ "MAIL FROM:<a@b.org> BODY=BINARYMIME", SMTPD_VERB_MAIL, "a@b.org", "",
	    BIT(EIGHTBITMIME) | BIT(BINARYMIME) },
	{ "MAIL FROM:<a@b.org> BY=60;rt MT-PRIORITY=-3 REQUIRETLS",
	    SMTPD_VERB_MAIL, "a@b.org", "BY=60;RT MT-PRIORITY=-3",
	    BIT(DELIVERBY) | BIT(MT_PRIORITY) | BIT(REQUIRETLS) },
	{ "MAIL FROM:<a@b.org> HOLDFOR=60 AUTH=<>", SMTPD_VERB_MAIL, "a@b.org",
	    "HOLDFOR=60 AUTH=<>", BIT(FUTURERELEASE) | BIT(AUTH) },
	{ "MAIL FROM:<\xc3\xa4@b.org> SMTPUTF8", SMTPD_VERB_MAIL,
	    "\xc3\xa4@b.org", "", BIT(SMTPUTF8) },
	{ "RCPT TO:<a@b.org>", SMTPD_VERB_RCPT, "a@b.org", "", 0 },
	{ "RCPT TO:<Postmaster>", SMTPD_VERB_RCPT, "Postmaster", "", 0 },
	{ "RCPT TO:<a@[192.0.2.1]>", SMTPD_VERB_RCPT, "a@[192.0.2.1]", "", 0 },
	{ "RCPT TO:<a@b.org> NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@c.org",
	    SMTPD_VERB_RCPT, "a@b.org",
	    "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.org", BIT(DSN) },
	{ "RCPT TO:<a@b.org> ORCPT=utf-8;\xc3\xa4@c.org", SMTPD_VERB_RCPT,
	    "a@b.org", "ORCPT=utf-8;\\x{E4}@c.org", BIT(DSN) },
	{ "DATA", SMTPD_VERB_DATA, "", "", 0 },
	{ "data ", SMTPD_VERB_DATA, "", "", 0 },
	{ "NOOP whatever it is", SMTPD_VERB_NOOP, "", "", 0 },
	{ "VRFY a@b.org", SMTPD_VERB_VRFY, "", "", 0 },
	{ "WHAT IS THIS", SMTPD_VERB_UNKNOWN, "", "", 0 },
	{ "UNKNOWN", SMTPD_VERB_UNKNOWN, "", "", 0 },
	{ "", SMTPD_VERB_UNKNOWN, "", "", 0 },
	{ "XGET / HTTPS", SMTPD_VERB_UNKNOWN, "", "", 0 },
};

Test(smtpd_session_command, what_it_says_comes_out)
{
	struct smtpd_command c;
	struct smtpd_reply wrong;

	for (size_t i = 0; i < NELEM(good); i++) {
		wrong.text = "";
		cr_expect(smtpd_command_parse(&c, good[i].line,
			      strlen(good[i].line), "here.org", &wrong),
		    "%s: %s", good[i].line, wrong.text);
		cr_expect_eq(c.verb, good[i].verb, "%s", good[i].line);
		cr_expect_str_eq(c.path.path, good[i].path, "%s", good[i].line);
		cr_expect_str_eq(c.parameters, good[i].parameters, "%s",
		    good[i].line);
		cr_expect_eq(c.uses, good[i].uses, "%s: %x", good[i].line,
		    c.uses);
	}
}

static const struct {
	const char *line;
	unsigned code;
	const char *dsn;
} bad[] = {
	{ "MAIL", 501, "5.5.4" },
	{ "MAIL a@b.org", 501, "5.5.4" },
	{ "MAIL FROM a@b.org", 501, "5.5.4" },
	{ "MAIL TO:<a@b.org>", 501, "5.5.4" },
	{ "MAIL FROM:", 501, "5.1.7" },
	{ "MAIL FROM: ", 501, "5.1.7" },
	{ "MAIL FROM:a@b.org>", 501, "5.1.7" },
	{ "MAIL FROM:<a@b.org>>", 501, "5.1.7" },
	{ "MAIL FROM:<<a@b.org>", 501, "5.1.7" },
	{ "MAIL FROM:<\"a@b.org>", 501, "5.1.7" },
	{ "MAIL FROM :<a@b.org>", 501, "5.5.4" },
	{ "RCPT TO:<root>", 501, "5.1.3" },
	{ "RCPT TO:root", 501, "5.1.3" },
	{ "MAIL FROM:<a@b.org", 501, "5.1.7" },
	{ "MAIL FROM:<a@b.org>x", 501, "5.1.7" },
	{ "MAIL FROM:<a@b.org>SIZE=1", 501, "5.1.7" },
	{ "MAIL FROM:<a>", 501, "5.1.7" },
	{ "MAIL FROM:<a@-b.org>", 501, "5.1.7" },
	{ "MAIL FROM:<a@b.org> WHAT", 555, "5.5.4" },
	{ "MAIL FROM:<a@b.org> NOTIFY=NEVER", 555, "5.5.4" },
	{ "MAIL FROM:<a@b.org> NAME=x", 555, "5.5.4" },
	{ "MAIL FROM:<a@b.org> SIZE=", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> SIZE=-1", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> SIZE=9999999999999999999", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> BODY=9BIT", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> SMTPUTF8=yes", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> RET=ALL", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> RET=FULL RET=FULL", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> ENVID=a+", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> BY=0;R", 501, "5.5.4" },
	{ "MAIL FROM:<a@b.org> MT-PRIORITY=10", 501, "5.5.4" },
	{ "MAIL FROM:<\xe4@b.org>", 500, "5.5.2" },
	{ "MAIL FROM:<a\t@b.org>", 501, "5.1.7" },
	{ "MAIL FROM:<a\r@b.org>", 500, "5.5.2" },
	{ "RCPT TO:", 501, "5.1.3" },
	{ "RCPT TO:<>", 501, "5.1.3" },
	{ "RCPT TO:< >", 501, "5.1.3" },
	{ "RCPT TO:<a@>", 501, "5.1.3" },
	{ "RCPT TO:<@b.org>", 501, "5.1.3" },
	{ "RCPT TO:<a@b..org>", 501, "5.1.3" },
	{ "RCPT TO:<a@b@c.org>", 501, "5.1.3" },
	{ "RCPT TO:<a@b.org> NOTIFY=NEVER,DELAY", 501, "5.5.4" },
	{ "RCPT TO:<a@b.org> ORCPT=rfc822", 501, "5.5.4" },
	{ "RCPT TO:<a@b.org> SIZE=1", 555, "5.5.4" },
	{ "RCPT TO:<a@b.org> RET=FULL", 555, "5.5.4" },
	{ "DATA now", 501, "5.5.4" },
	{ "VRFY", 501, "5.5.4" },
	{ "EHLO", 501, "5.5.4" },
	{ "BDAT", 521, "5.5.4" },
	{ "BDAT x", 521, "5.5.4" },
	{ "BDAT -1", 521, "5.5.4" },
	{ "BDAT 1 FIRST", 521, "5.5.4" },
	{ "BDAT 1 LAST LAST", 521, "5.5.4" },
	{ "BDAT 1234567890123456789", 521, "5.5.4" },
	{ "GET / HTTP/1.1", 521, "5.7.0" },
	{ "get", 521, "5.7.0" },
	{ "POST /x", 521, "5.7.0" },
	{ "PROPFIND /x HTTP/1.0 ", 521, "5.7.0" },
	{ "PRI * HTTP/2.0", 521, "5.7.0" },
	{ "Host: 127.0.0.1", 521, "5.7.0" },
	{ "Host:127.0.0.1", 521, "5.7.0" },
	{ "Host : 127.0.0.1", 521, "5.7.0" },
	{ "User-Agent: curl", 521, "5.7.0" },
	{ "MAILFROM:<a@b.org>", 521, "5.7.0" },
	{ "*1", 521, "5.7.0" },
	{ "{\"a\":1}", 521, "5.7.0" },
	{ "\x16\x03\x01\x02", 521, "5.7.0" },
	{ "\xe4", 521, "5.7.0" },
};

Test(smtpd_session_command, what_is_wrong_gets_its_reply)
{
	struct smtpd_command c;
	struct smtpd_reply wrong;

	for (size_t i = 0; i < NELEM(bad); i++) {
		cr_assert_not(smtpd_command_parse(&c, bad[i].line,
				  strlen(bad[i].line), "", &wrong),
		    "%s", bad[i].line);
		cr_expect_eq(wrong.code, bad[i].code, "%s: %u", bad[i].line,
		    wrong.code);
		cr_expect_str_eq(wrong.dsn, bad[i].dsn, "%s", bad[i].line);
		cr_expect_gt(strlen(wrong.text), 10);
	}
}

Test(smtpd_session_command, a_chunk_has_a_length)
{
	struct smtpd_command c;
	struct smtpd_reply wrong;

	cr_assert(smtpd_command_parse(&c, "bdat 12 last", 12, "", &wrong));
	cr_expect_eq(c.chunk, 12);
	cr_expect(c.last);
	cr_assert(smtpd_command_parse(&c, "BDAT 0", 6, "", &wrong));
	cr_expect_eq(c.chunk, 0);
	cr_expect_not(c.last);
}

Test(smtpd_session_command, a_name_ends_up_in_no_other_meaning)
{
	struct smtpd_command c;
	struct smtpd_reply wrong;
	char line[300] = "EHLO ";

	cr_assert(smtpd_command_parse(&c, "EHLO a(b)<c>\"", 13, "", &wrong));
	cr_expect_str_eq(c.name, "a?b??c??");
	cr_assert(smtpd_command_parse(&c, "EHLO [IPv6:::1] x", 17, "", &wrong));
	cr_expect_str_eq(c.name, "[IPv6:::1]");
	memset(line + 5, 'a', 255);
	cr_expect(smtpd_command_parse(&c, line, 260, "", &wrong));
	line[260] = 'a';
	cr_expect_not(smtpd_command_parse(&c, line, 261, "", &wrong));
}
