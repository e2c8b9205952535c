/* SPDX-License-Identifier: ISC */
/*
 * The session with one destination as a state machine.
 * Pure: what comes from the remote and the queue goes in as events, what is to
 * be done goes out through struct session_ops and the buffer out.  The worker
 * beneath it owns the sockets and the clock.
 */
#ifndef POSTERN_AGENT_SESSION_SESSION_H
#define POSTERN_AGENT_SESSION_SESSION_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/message/body.h"
#include "agent/session/sasl.h"
#include "agent/session/session_content.h"
#include "agent/smtp/ehlo.h"
#include "agent/smtp/reply.h"
#include "agent/smtp/smtp_command.h"
#include "agent/smtp/transcript.h"
#include "common/message.h"

#define SESSION_CHUNK_SIZE    16384 /* octets of a message at a time */
#define SESSION_OUT_SIZE      65536 /* a flight, or more than two chunks */
#define SESSION_ENVELOPE_SIZE 16384 /* the tail of JOB */
#define SESSION_RCPTS_MAX     (SESSION_ENVELOPE_SIZE / 2)
#define SESSION_LOGIN_SIZE    8960 /* the tail of LOGIN */
#define SESSION_TEXT_SIZE     1024 /* the tail of OUTCOME, NEXT, CLOSED */
#define FLIGHT_JOBS_MAX       16
#define LIMITS_DOMAINS_MAX    32   /* kept count of, in a session */
#define FLIGHT_RCPTS_MAX      1024 /* of all its jobs */

enum session_state {
#define STATE(name, step, timer, waiting) STATE_##name,
#include "agent/session/session_states.def"
#undef STATE
	STATE_COUNT
};

enum session_event {
	EVENT_BEGIN, /* the queue's messages */
	EVENT_LOGIN,
	EVENT_ADDRESS,
	EVENT_DIALED,
	EVENT_DIAL_FAILED,
	EVENT_JOB,
	EVENT_QUIT,
	EVENT_GATHERED,  /* it has sent no more for now */
	EVENT_CONNECTED, /* the remote's doings */
	EVENT_TLS_UP,
	EVENT_TLS_FAILED,
	EVENT_REPLY,   /* any but 421 */
	EVENT_GOODBYE, /* 421 */
	EVENT_BAD_REPLY,
	EVENT_UNSOLICITED, /* a reply before its command */
	EVENT_FLUSHED,     /* out is empty again */
	EVENT_CLOSED,
	EVENT_TIMEOUT,
	EVENT_COUNT
};

enum session_tls_start {
	SESSION_TLS_STARTED,
	SESSION_TLS_INJECTED, /* octets in clear behind the reply */
	SESSION_TLS_REFUSED,  /* *why says so */
};

/* What the session asks of whoever runs it. */
struct session_ops {
	/* Send to the queue.  Does not return where that is impossible. */
	void (*report)(void *arg, enum msg_type type, const void *payload,
	    const char *tail, size_t len);
	ssize_t (
	    *read_body)(void *arg, uint8_t *out, size_t n, uint64_t offset);
	void (*close_body)(void *arg);
	/* Then TLS_UP or TLS_FAILED follows. */
	enum session_tls_start (*start_tls)(void *arg, const char **why);
	/* What the handshake came to; asked after TLS_UP and at the end. */
	void (*get_tls_info)(void *arg, struct tls_info *info);
	/* What a login can be bound to, inside TLS; NULL: nothing ever. */
	void (*get_binding)(void *arg, struct sasl_binding *binding);
	/* Try once to send what is in out, then close. */
	void (*hang_up)(void *arg);
	/* TIMEOUT after that time; the former timer is void.  0: none. */
	void (*set_timer)(void *arg, uint32_t ms);
};

/* What was decided, and why. */
struct verdict {
	struct outcome outcome;
	char text[SESSION_TEXT_SIZE];
};

/* A job's recipients with an outcome, as far as they say whether it goes on to
 * another host. */
struct job_tally {
	uint32_t delivered;
	uint32_t elsewhere; /* another host may take it, or this one anew */
	uint32_t lacking;   /* of those: this one never can */
};

/* What is to be written next in a transaction. */
enum envelope_fill {
	FILL_MAIL,
	FILL_RCPT,
	FILL_DATA,
	FILL_NOTHING,
};

/* One job: MAIL to the final reply. */
struct transaction {
	bool active; /* a job was taken, and is not done */
	bool begun;  /* the queue knows so */
	bool data_asked;
	bool body_ended;       /* its last octet is in out, or beyond */
	bool bdat;             /* in chunks, not behind DATA (RFC 3030) */
	bool is_converted;     /* its content is not what the queue gave */
	bool breaks_signature; /* so that one in its header does not hold */
	bool returned;         /* from spent connections, often enough */
	bool again;            /* it goes back: this connection is spent */
	bool wants_delay; /* NOTIFY of recipients gets DELAY, where it may */
	enum command_body body;
	bool smtputf8;
	uint64_t job;
	uint64_t size;
	uint64_t content_octets; /* that session_content_read() will give */
	uint64_t wire_octets;    /* with a last line end; 0: not known yet */
	uint32_t flags;
	uint32_t protocol; /* enum session_protocol */
	uint32_t nrcpt;
	uint32_t accepted; /* recipients */
	struct job_tally tally;
	uint32_t unanswered;        /* RCPTs */
	uint32_t write_at;          /* the next recipient to ask about */
	uint32_t answer_at;         /* the next one to hear about */
	const char *client_at;      /* what of the client is still to be told */
	uint32_t client_unanswered; /* commands about it */
	uint32_t chunks;            /* without a reply, but for the last */
	uint32_t envelope_len;
	enum envelope_fill fill;
	const char *write_path;
	uint64_t body_at; /* octets of its content that were read */
	struct body_encoder encoder;
	uint8_t rcpts[SESSION_RCPTS_MAX];
	char envelope[SESSION_ENVELOPE_SIZE];
	uint8_t chunk[SESSION_CHUNK_SIZE];
};

/* One message on the wire. */
struct flight_job {
	uint64_t job;
	uint32_t begins; /* its first octet in the flight */
	uint32_t ends;   /* behind its last */
	uint32_t rcpts;  /* its first in flight.rcpts */
	uint32_t nrcpt;
	uint32_t unanswered; /* RCPTs */
	uint32_t accepted;   /* and waiting for the final reply */
	uint32_t answer_at;
	struct job_tally tally;
	bool refused;  /* MAIL was */
	bool unsure;   /* by 503: it may be taken under another envelope */
	bool spent;    /* by a connection that is */
	bool returned; /* from spent connections, often enough */
};

/* Those whose replies come next, in order (session_flight.c). */
struct flight {
	uint32_t count;
	uint32_t at;     /* the job that the next reply is for */
	uint32_t window; /* so many at once, at most; 0: none until the server
	                    has taken a message by BDAT */
	uint32_t nrcpt;  /* used of rcpts */
	size_t octets;   /* of all of it */
	bool departed;   /* the queue knows of it, and it may leave */
	bool disturbed;  /* one of it failed */
	struct flight_job jobs[FLIGHT_JOBS_MAX];
	uint8_t rcpts[FLIGHT_RCPTS_MAX];
};

/* What LOGIN brought, and how far the login is (session_auth.c). */
struct session_login {
	bool wanted;
	bool in_clear;
	bool is_pending; /* the first response waits for a 334 */
	bool broken_off; /* by us; the reply to that is awaited */
	bool refused;    /* a mechanism was, and s->verdict says why */
	bool denied;     /* by 535: denial says how */
	uint8_t kind;    /* enum auth_secret */
	enum auth_mechanism mechanism;
	uint32_t allowed; /* 0: all */
	uint32_t tried;
	const char *user; /* in tail */
	const char *authzid;
	const char *secret;
	struct sasl_binding binding;
	struct verdict denial;
	char cause[160];
	char shown[SESSION_TEXT_SIZE]; /* the secret as a text would show it */
	char text[SESSION_TEXT_SIZE];
	char response[SASL_RESPONSE_SIZE];
	char told[SASL_RESPONSE_SIZE]; /* the longest of those before it */
	uint8_t tail[SESSION_LOGIN_SIZE];
};

struct session {
	enum session_state state;
	const struct session_ops *ops;
	void *arg;
	struct transcript *transcript; /* or NULL; whoever runs it sets it */
	struct msg_session conf;
	struct msg_address address;
	struct msg_dialed local;
	uint32_t nasked;   /* NEXT that have no ADDRESS yet */
	bool is_addressed; /* address is that of the socket to come */
	struct capabilities caps;
	uint32_t parameters; /* bits of those that the server offers */
	struct command_out out;
	struct verdict verdict;        /* the last one made */
	struct verdict failure;        /* the one that ends the connection */
	struct verdict farewell;       /* the 421, while goodbye is set */
	const struct message *message; /* while a queue's event is handled */
	const char *cause;             /* while CLOSED or TLS_FAILED is */
	uint32_t expected;             /* replies to commands in out, or sent */
	size_t leftover;               /* octets behind the reply in hand */
	bool has_failure;
	bool greeted;
	bool in_tls;
	bool in_clear;   /* this connection goes without STARTTLS */
	bool anew;       /* the same address is tried in another way */
	bool goes_clear; /* and that is without TLS, which broke */
	uint8_t learnt;  /* AVOID_* bits: what this server did not bear */
	uint8_t avoid;   /* what the next connection to it does without */
	bool up;
	bool was_up;    /* at some host before: what is sent to it may cross */
	bool leaving;   /* what is on the wire, then QUIT, then another host */
	bool hung_up;   /* the remote closed, or said 421 */
	bool spent;     /* it had delivered, and the remote wants no more */
	bool goodbye;   /* 421: what is on the wire, and no more commands */
	bool went_on;   /* it answers all the same */
	bool closed;    /* in order, so that nothing that it said is lost */
	uint32_t limit; /* messages that it took, where it is spent by that */
	bool needs_rset;
	bool quit_asked;    /* after what is on the wire */
	bool is_misled;     /* a message of the queue makes no sense */
	bool cap_is_over;   /* the timer that fired is the session's */
	uint32_t mails;     /* MAILs of this connection */
	uint32_t delivered; /* messages of this connection */
	uint32_t ndomains;  /* of recipients, where the server limits them */
	uint64_t domains[LIMITS_DOMAINS_MAX];
	struct reply reply;
	struct flight flight; /* beside what is in use, for its pages */
	struct transaction trans;
	uint8_t out_octets[SESSION_OUT_SIZE];
	char discard[MSG_DISCARD_SIZE]; /* of the address alone */
	struct content content;
	struct session_login login; /* last: few sessions touch it */
};

/* s is zeroed; what is not used of it is not touched, and costs no memory. */
void session_init(struct session *s, const struct session_ops *ops, void *arg);

/* What the session is waiting for decides what to poll.  Within a transaction
 * messages stay unread: the next job's descriptor has no place yet.  While it
 * wants and there are any, it is to get them before the remote is served. */
bool session_wants_message(const struct session *s);
bool session_is_connected(const struct session *s); /* octets may come */
bool session_is_over(const struct session *s);

/* What the transcript holds of our secrets, said again by the remote, goes. */
void session_login_hide_noted(struct session *s);

/* The timer that runs: enum session_timer, TIMER_COUNT where none does. */
unsigned session_state_timer(const struct session *s);

/*
 * session_message - a checked message of the queue or the dialer.
 *
 * False where it is out of phase or malformed: a fault of ours, not of the
 * remote.  A descriptor in it is the caller's business.
 */
bool session_message(struct session *s, const struct message *m);

/* Whether an answer of the dialer is to come, and whether m is that one. */
bool session_is_dialing(const struct session *s);
bool session_takes_answer(const struct session *s, const struct message *m);

/* Octets of the remote; all are taken. */
void session_octets(struct session *s, const uint8_t *in, size_t n);

/* Nothing more is there of the queue: a flight that was gathered departs. */
void session_gathered(struct session *s);

void session_connected(struct session *s);
void session_connect_failed(struct session *s, const char *why);
void session_tls_up(struct session *s);
void session_tls_failed(struct session *s, const char *why);
void session_flushed(struct session *s);
void session_timeout(struct session *s, bool cap);

/* The remote closed, or the connection broke: why, or NULL. */
void session_closed(struct session *s, const char *why);

#endif
