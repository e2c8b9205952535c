/* SPDX-License-Identifier: ISC */
/*
 * Messages between processes: the structs of messages.def, and the one place
 * that encodes and checks them.  Pure but for message_receive() and
 * message_send(), which move one packet.
 *
 * What fields may hold is declared in message_fields.def, and checked with all
 * else before any handler sees a message.  A tail made of strings is read by
 * message_tail_next().
 */
#ifndef POSTERN_COMMON_MESSAGE_H
#define POSTERN_COMMON_MESSAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"
#include "common/roles.h"

#define MSG_HOST_SIZE    256 /* a domain name and its NUL (RFC 1035, 2.3.4) */
#define MSG_PATH_SIZE    108 /* sun_path */
#define MSG_ADDRESS_SIZE 1001 /* a path without its brackets, and NUL */
#define MSG_RELAY_SIZE   344 /* "host[address]:port" for log and report */
#define MSG_DISCARD_SIZE 400 /* EHLO keywords, each with a space */
#define MSG_PACKET_SIZE  (40 * 1024)

enum msg_type {
#define MSG(name, from, to, payload, tail, fds) MSG_##name,
#include "common/messages.def"
#undef MSG
	MSG_COUNT,
};

/* For a message that says all by its type. */
struct msg_none {
	uint64_t pad;
};

/* Setting up. */

struct msg_config {
	uint32_t generation; /* 1 at start, one more each reload; tail: the
	                        file's name without NUL */
	uint32_t pad;
};

struct msg_log_sink {
	uint8_t syslog;   /* a connected /dev/log; else a plain stream */
	uint8_t format;   /* enum log_format */
	uint8_t facility; /* RFC 5424, 6.2.1 */
	uint8_t least;    /* enum log_level: the least grave to write */
	uint8_t leveled;  /* lines of the stream begin with their level */
	uint8_t pad[3];
	char name[64]; /* syslog_name of the configuration */
};

struct msg_start {
	uint32_t switch_user; /* 1: become uid and gid */
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;        /* ours as the master sees it, for the log */
	uint32_t namespaces; /* CLONE_NEW* bits that hold */
	uint32_t beside;     /* 1: another generation has the store open */
};

struct msg_peer {
	uint32_t role; /* enum role_id */
	uint32_t pid;  /* of its process, as the master sees it */
};

enum listener_kind {
	LISTENER_JOB,
	LISTENER_CONTROL,
	LISTENER_MAIL,   /* LMTP or SMTP */
	LISTENER_CLIENT, /* no listener: one connected client of the job socket,
	                    of `postern deliver` */
};

struct msg_listener {
	uint8_t kind;  /* enum listener_kind */
	uint8_t index; /* MAIL: which of the configuration's */
	uint8_t pad[6];
};

#define SUBMITTERS_MAX 256

/* tail: count times uint32_t, then trusted times: user ids of those who may
 * submit besides root, and of those who may name another client or author. */
struct msg_submitters {
	uint32_t any; /* 1: whomever the socket's mode lets in */
	uint32_t count;
	uint32_t trusted;
	uint32_t pad;
};

/* tail: count times uint32_t, then trusted times: user ids of those who may come
 * besides root, and of those who may say XFORWARD. */
struct msg_listener_users {
	uint32_t index; /* of the configuration's listeners */
	uint32_t any;   /* 1: whomever the socket's mode lets in */
	uint32_t count;
	uint32_t trusted;
};

/* tail: nports times uint16_t, host order; then as many strings as fit: the paths of
 * Unix sockets. */
struct msg_reach {
	uint32_t nports;
	uint32_t pad;
};

struct msg_trust {
	uint32_t index; /* config_trust() of the transports that use it */
	uint32_t pad;
};

struct msg_metrics {
	uint32_t writer; /* enum metrics_writer */
	uint32_t pad;
};

struct msg_key {
	uint32_t key;     /* a number of its own; tail: the listener's name */
	uint32_t tls_1_2; /* 1: it may sign for TLS 1.2, too */
};

struct msg_certificate {
	uint32_t listener; /* index in the configuration */
	uint32_t key;
	uint32_t tls_1_2; /* 1: TLS 1.2 is spoken, too */
	uint32_t pad;
};

struct msg_sign {
	uint32_t serial;
	uint32_t key;
	uint32_t hash_bits; /* 0: the algorithm has its own */
	uint32_t pkcs1; /* 1: the padding of RSA is PKCS #1 v1.5, else PSS */
};

struct msg_signed {
	uint32_t serial;
	uint32_t pad;
};

struct msg_ready {
	uint32_t landlock_abi; /* 0: the kernel has none, or refused */
	uint32_t
	    landlock_shown; /* 1: an open() that the user's rights allow was
	                            seen refused before the filter went on */
	uint32_t landlock_error; /* errno: why there is none; 0: there is */
};

struct msg_fault {
	uint32_t role; /* enum role_id; tail: what it did */
	uint32_t pid; /* which process of it, as in PEER; 0: the one in place */
};

struct msg_renew {
	uint32_t pid; /* of the agent, as in PEER */
	uint32_t pad;
};

/* A transport is meant by its index in that generation of the configuration. */
struct msg_secret_ask {
	uint32_t generation;
	uint32_t transport;
	uint32_t serial; /* of the one that will not do any more; 0: any will */
	uint32_t pad;
};

struct msg_secret {
	uint32_t generation;
	uint32_t transport;
	uint32_t serial; /* grows with each one that differs; 0: none */
	uint8_t
	    command; /* 1: what a command wrote, and age_ms counts from it */
	uint8_t pad[3];
	int64_t age_ms;
};

struct msg_outlet_ask {
	uint32_t generation; /* of the configuration, as the queue has it */
	uint32_t pad;
};

/* tail: why not, where it is not good. */
struct msg_outlet {
	uint32_t generation;
	uint8_t command; /* 1: of outcome_command; else of outcome_socket */
	uint8_t good;    /* OUTLET_DONE: its status was 0 */
	uint8_t pad[2];
};

struct msg_request {
	uint64_t request; /* the number that intake or control gave it */
};

struct msg_status {
	uint64_t request;
	uint32_t role;
	uint32_t pid;
	uint32_t restarts;
	uint32_t last;    /* 1: nothing follows */
	uint64_t since_s; /* CLOCK_REALTIME of the start; tail: the layers as
	                     text, "key=value" lines read from /proc */
};

/* Jobs. */

enum submit_wait {
	WAIT_QUEUED,  /* ACCEPTED is all */
	WAIT_ATTEMPT, /* RESULT of each recipient's first attempt */
	WAIT_FINAL,   /* RESULT of each attempt until delivered or failed */
};

#define SUBMIT_8BIT    (1u << 0) /* an octet above 127 is in the message */
#define SUBMIT_VERBOSE (1u << 1) /* TRACE wanted */
#define SUBMIT_ONCE    (1u << 2) /* one attempt, then done with: `deliver` */
#define SUBMIT_BINARY  (1u << 8) /* octets as they are (RFC 3030, 3) */
#define SUBMIT_SMTPUTF8                                                        \
	(1u << 9) /* an address or a field needs it (RFC 6531) */
#define SUBMIT_VERIFY       (1u << 10) /* no message: ask VRFY for each recipient */
#define SUBMIT_TLS_OPTIONAL (1u << 11) /* TLS-Required: No; RFC 8689, 3 */
#define SUBMIT_REQUIRETLS   (1u << 12) /* RFC 8689, 2 */

/* Nothing is stored: one attempt, and its client hears of each recipient. */
#define SUBMIT_TRANSIENT (1u << 15)

#define SUBMIT_FOR_POSTMASTER                                                  \
	(1u << 13) /* of the queue's own: nobody is told that it failed */

#define SUBMIT_LOGGED                                                          \
	(1u << 14) /* it came by a listener; behind via: who from, for the log */

#define SUBMIT_NOTICE (1u << 16) /* of the queue's own: it tells of another */

/* With SUBMIT_VERIFY: no VRFY either; that the session came up is the outcome. */
#define SUBMIT_HANDSHAKE (1u << 17)

/* What no client can ask for. */
#define SUBMIT_OF_QUEUE (SUBMIT_FOR_POSTMASTER | SUBMIT_NOTICE)

/* By so much may a body be larger than message_size_limit: the field Received that
 * the intake adds. */
#define SUBMIT_TRACE_MAX 2048

/* What a worker must know of the message. */
#define SUBMIT_TO_WORKER                                                       \
	(SUBMIT_8BIT | SUBMIT_BINARY | SUBMIT_SMTPUTF8 | SUBMIT_VERIFY |       \
	    SUBMIT_HANDSHAKE | SUBMIT_REQUIRETLS)

/*
 * tail: strings, each with its NUL: reverse-path (may be empty), its parameters
 * (common/parameters.h), ref (may be empty), via (transport name, or empty), with
 * SUBMIT_LOGGED the client,
 * then each recipient and its parameters.
 */
struct msg_submit {
	uint64_t request;
	uint64_t size; /* octets of the body, which holds CRLF line ends */
	uint32_t flags;
	uint32_t wait; /* enum submit_wait */
	uint32_t uid;  /* of the client */
	uint32_t pid;
};

struct msg_accepted {
	uint64_t request;
	uint64_t id; /* queue id; shown in upper-case hexadecimal */
};

struct msg_refused {
	uint64_t request;
	uint16_t code; /* 452, 451, 554 ... */
	char dsn[OUTCOME_DSN_SIZE];
	uint16_t pad; /* tail: why, without NUL */
};

/* tail: strings: recipient, relay, reply. */
struct msg_result {
	uint64_t request;
	uint64_t id;
	struct outcome outcome;
	struct tls_info tls;
	uint32_t final; /* 1: no further attempt will be made */
};

/* tail: text of one line, sanitised, without line end. */
struct msg_trace {
	uint64_t request;
	uint8_t from_remote;
	uint8_t pad[3];
	uint32_t lost; /* lines before it, for the intake was too slow */
};

/* After the last RESULT. */
struct msg_results_end {
	uint64_t request;
	uint32_t lost; /* so many RESULTs were not sent: it was too slow */
	uint32_t pad;
};

#define LIST_LIMIT_MAX 1000

enum act_verb {
	ACT_LIST, /* LISTED of each, then LIST_END; all others: TOLD */
	ACT_HOLD,
	ACT_RELEASE,
	ACT_RETRY,
	ACT_DELETE,
	ACT_EXPIRE,
	ACT_MOVE,
	ACT_SUMMARY, /* counts; changes nothing */
	ACT_VERBS,
};

/* What of a selection names nothing. */
enum act_unknown {
	ACT_UNKNOWN_NONE,
	ACT_UNKNOWN_DESTINATION,
	ACT_UNKNOWN_DOMAIN,
	ACT_UNKNOWN_KINDS,
};

/* What a SUMMARY counts by. */
enum summary_by {
	SUMMARY_DESTINATION,
	SUMMARY_DOMAIN,
	SUMMARY_REASON,
	SUMMARY_SENDER,
	SUMMARY_AGE,
	SUMMARY_BYS,
};

#define ACT_IDS_MAX      500
#define ACT_PATTERN_SIZE 512

/*
 * A selection of recipients: those that fit all that is given.
 *
 * tail: strings, each empty for any: patterns of sender ("<>" is the null one),
 * of recipient and of reason; destination; domain; the transport to move to;
 * then the ids of messages, in hexadecimal, at most ACT_IDS_MAX.
 */
struct msg_act {
	uint64_t request;
	uint64_t after_id;    /* LIST: rows behind this recipient */
	uint64_t until_id;    /* of the last message that is meant; 0: any */
	int64_t before_ms;    /* arrived before this, CLOCK_REALTIME; 0: any */
	int64_t since_ms;     /* or not before this; 0: any */
	uint32_t after_index; /* of that message */
	uint32_t limit;       /* rows, at most LIST_LIMIT_MAX */
	uint32_t states;      /* bits of enum recipient_state; 0: any */
	uint32_t uid;         /* of the client */
	uint8_t verb;         /* enum act_verb */
	uint8_t dry;          /* 1: count, and show the first ones */
	uint8_t by;           /* SUMMARY: enum summary_by */
	uint8_t pad[5];
};

enum ask_what {
	ASK_CAT,     /* BODY of the message id, or TOLD why not */
	ASK_PAUSE,   /* name, of kind */
	ASK_RESUME,  /* name, of kind; PAUSE_ANY: whatever bears it */
	ASK_PAUSES,  /* all of them */
	ASK_EXPLAIN, /* name: a recipient; sender; via */
	ASK_TAIL,    /* name, sender, via: recipient, sender, destination */
	ASK_TOP,
	ASK_COUNT,
};

enum pause_kind {
	PAUSE_ALL,
	PAUSE_TRANSPORT,
	PAUSE_DESTINATION,
	PAUSE_ANY,
};

/* tail: strings: name, sender, via, status; each may be empty. */
struct msg_ask {
	uint64_t request;
	uint64_t id;    /* of a message, or 0 */
	uint32_t limit; /* TOP: rows */
	uint32_t uid;   /* of the client */
	uint8_t what;   /* enum ask_what */
	uint8_t kind;   /* enum pause_kind */
	uint8_t pad[6];
};

/* tail: one JSON object, without NUL. */
struct msg_told {
	uint64_t request;
	uint32_t last; /* 1: nothing follows */
	uint32_t lost; /* events before it, that were dropped */
};

struct msg_body {
	uint64_t request;
	uint64_t size;
};

/* The states of a recipient. */
enum recipient_state {
	RECIPIENT_QUEUED,
	RECIPIENT_ACTIVE,
	RECIPIENT_DELIVERED,
	RECIPIENT_DEFERRED,
	RECIPIENT_FAILED,
	RECIPIENT_HELD,
	RECIPIENT_STATES,
};

/* tail: strings: reverse-path, recipient, relay, reply, ref, parameters of MAIL
 * and of RCPT, the transport asked for or moved to. */
struct msg_listed {
	uint64_t request;
	uint64_t id;
	uint64_t size;
	int64_t arrived_ms; /* CLOCK_REALTIME */
	int64_t next_ms;    /* of the next attempt; 0: none */
	uint32_t index;     /* of the recipient in its message */
	uint32_t attempts;
	uint32_t state; /* enum recipient_state */
	uint16_t in_doubt;
	uint16_t kept; /* 1: HELD, for nobody could be told it failed */
	struct outcome outcome; /* of the last attempt */
	uint32_t uid;
	int64_t finished_ms; /* 0: it has no end yet */
	uint32_t flags;      /* SUBMIT_* */
	uint32_t nrcpts;     /* of its message, as it came in */
};

struct msg_list_end {
	uint64_t request;
	uint64_t
	    counts[RECIPIENT_STATES]; /* of recipients in the whole queue */
	uint32_t sessions;            /* live workers */
	uint32_t more;                /* 1: the limit cut the answer short */
	uint32_t unknown;             /* enum act_unknown */
	uint32_t pad;
};

/*
 * Two generations share a queue's store while one hands it to the next.  The old
 * one: ALONE, SHARED, LEAVING, and it ends; the new one: BESIDE (msg_start), HEIR,
 * ALONE.  Where the new one fails, the old one becomes ALONE again.
 */
enum era {
	ERA_ALONE,
	ERA_SHARED,  /* another may open the store */
	ERA_LEAVING, /* it has all but what our clients wait for */
	ERA_BESIDE,  /* the other has all of it yet, we only add */
	ERA_HEIR,    /* we have all but what the other keeps */
};

struct msg_era {
	uint32_t era;
	uint32_t failed; /* ERA_DONE: it is not, and the log says why */
};

struct msg_ping {
	uint64_t serial;
};

/* Numbers of the queue and of the intake; 0 of others. */
struct msg_pong {
	uint64_t serial; /* of the PING */
	uint64_t counts[RECIPIENT_STATES];
	uint32_t sessions;
	uint32_t clients;
};

/* tail: the name of one, or the last of the former page; without NUL. */
struct msg_transcripts {
	uint64_t request;
	uint8_t whole; /* 1: all of that one; else the heads of older ones */
	uint8_t wait;  /* 1: all of them, once no session lives any more */
	uint8_t pad[6];
};

/* TRANSCRIPT_PART has strings in its tail: a name, and octets of its text. */
struct msg_transcripts_end {
	uint64_t request;
	uint32_t more; /* 1: there are older ones */
	uint32_t pad;
};

/* Where a destination is. */

enum resolve_mode {
	RESOLVE_MX,   /* a recipient's domain (RFC 5321, 5.1) */
	RESOLVE_HOST, /* a server by name: A and AAAA only */
};

/* tail: domain, host or address literal with its brackets; without NUL. */
struct msg_resolve {
	uint32_t id;
	uint8_t mode;     /* enum resolve_mode */
	uint8_t families; /* bit 0: IPv4, bit 1: IPv6 */
	uint8_t prefer;   /* 0: as they come, 4, 6 */
	uint8_t loops;    /* bits: what may lead back to this machine */
	uint16_t port;    /* copied to every address */
	uint16_t pad[3];
};

#define RESOLVE_LOOPBACK 1 /* loopback addresses */
#define RESOLVE_SELF     2 /* our own name and addresses */

#define RESOLVE_IPV4 1
#define RESOLVE_IPV6 2

/* One address of a plan. */
struct plan_address {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t pad;
	uint16_t port;            /* host order */
	uint16_t preference;      /* of its MX */
	uint8_t addr[16];         /* network order; IPv4 in the first 4 */
	char host[MSG_HOST_SIZE]; /* the MX or server name, without last dot */
	uint16_t pad2;
};

#define PLAN_ADDRESSES_MAX 40

/*
 * tail: OUTCOME_DELIVERED as status: count times struct plan_address, in the
 * order to try.  Otherwise the reason as text without NUL, count 0.
 */
struct msg_resolved {
	uint32_t id;
	uint32_t ttl_s; /* how long the answer may be kept */
	uint32_t count;
	uint8_t
	    proven; /* 1: by DNSSEC, or there was no MX record to be forged */
	uint8_t blame; /* enum resolve_blame */
	uint8_t pad[2];
	struct outcome outcome; /* step STEP_RESOLVE */
};

/* What of an answer without addresses an operator of ours has to see to. */
enum resolve_blame {
	RESOLVE_BLAME_NOBODY,
	RESOLVE_BLAME_SERVER,   /* a server of the configuration has none */
	RESOLVE_BLAME_FAMILIES, /* they are of one that we are not to use */
	RESOLVE_BLAME_LOOP,     /* the mail would come back to this host */
	RESOLVE_BLAMES,
};

/* A session. */

struct msg_fork {
	uint32_t session; /* the queue's number, not reused in its life */
	uint32_t pad;
};

struct msg_gone {
	uint32_t session;
	int32_t status; /* as waitpid() gives it; -1: it was never forked */
};

struct msg_dial {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint8_t has_source;
	uint16_t port; /* host order */
	uint8_t addr[16];
	uint8_t source[16];
	char path[MSG_PATH_SIZE]; /* AF_UNIX, NUL-terminated */
	uint32_t number;          /* of this dial in its session */
};

struct msg_dialed {
	uint8_t family;
	uint8_t pad;
	uint16_t port;    /* ours, host order */
	uint8_t addr[16]; /* ours, for the EHLO literal (RFC 5321, 4.1.3) */
	uint32_t number;  /* of the DIAL; another one's is of no interest */
};

struct msg_dial_failed {
	int32_t error;   /* errno */
	uint32_t number; /* of the DIAL */
};

struct msg_connecting {
	uint32_t number; /* of the DIAL */
	uint32_t pad;
};

enum session_protocol {
	SESSION_SMTP,
	SESSION_LMTP,
};

enum tls_level {
	TLS_NONE,    /* never */
	TLS_MAY,     /* where offered; unverified */
	TLS_ENCRYPT, /* or nothing; unverified */
	TLS_VERIFY,  /* or nothing; chain and name */
};

/* A message with 8-bit octets for a server without 8BITMIME (RFC 6152, 3). */
enum session_eight_bit {
	SESSION_CONVERT,
	SESSION_BOUNCE,
	SESSION_SEND_ANYWAY,
	SESSION_CONVERT_UNSIGNED, /* or fail: a signature would not hold */
};

/* Who handed a message in: not told, or by which command. */
enum session_client {
	SESSION_CLIENT_NONE,
	SESSION_CLIENT_XFORWARD,
	SESSION_CLIENT_XCLIENT,
};

enum session_timer {
	TIMER_CONNECT,
	TIMER_GREETING,
	TIMER_EHLO,
	TIMER_STARTTLS, /* reply and handshake */
	TIMER_MAIL,
	TIMER_RCPT,
	TIMER_DATA_INIT,
	TIMER_DATA_BLOCK,
	TIMER_DATA_FINAL,
	TIMER_QUIT,
	TIMER_AUTH,    /* each step of a login */
	TIMER_SESSION, /* cap over all, from SESSION on */
	TIMER_COUNT,
};

struct msg_session {
	uint8_t protocol;  /* enum session_protocol */
	uint8_t tls_level; /* enum tls_level */
	uint8_t implicit_tls;
	uint8_t tls_fallback; /* at TLS_MAY: NEXT with again after a failed
	                         STARTTLS or handshake, then in clear */
	uint8_t verbose;
	uint8_t eight_bit;   /* enum session_eight_bit */
	uint8_t transcript;  /* 1: one is wanted, where it fails */
	uint8_t require_tls; /* 1: every job goes with REQUIRETLS (RFC 8689) */
	uint8_t learns;      /* 1: what a server does not bear is told */
	uint8_t pad[3];
	uint32_t trust;  /* index as in msg_trust */
	uint32_t client; /* enum session_client */
	uint32_t timer_ms[TIMER_COUNT];
	char ehlo_name[MSG_HOST_SIZE]; /* empty: literal of the local address */
	char discard[MSG_DISCARD_SIZE]; /* keywords not to use */
};

/* tail: strings: user, authzid, then the password or token; each may be empty.
 * What it holds is for this destination alone. */
struct msg_login {
	uint32_t mechanisms; /* bits of enum auth_mechanism; 0: all */
	uint8_t secret;      /* enum auth_secret */
	uint8_t in_clear;    /* 1: also without TLS */
	uint8_t pad[2];
};

/* tail: EHLO keywords not to use with this server, besides those of its session,
 * each with a space behind it; without NUL. */
struct msg_address {
	char host[MSG_HOST_SIZE];     /* for words to people */
	char tls_name[MSG_HOST_SIZE]; /* SNI, and what a certificate must bear;
	                                  an address literal without brackets
	                                  is matched as an address, not sent */
	char relay[MSG_RELAY_SIZE];
	uint32_t number; /* of the DIAL */
	uint32_t
	    avoid;     /* AVOID_* bits: what this server was seen not to bear */
	uint8_t more;  /* 1: another host may be tried after this one */
	uint8_t shown; /* 1: it took a message by BDAT before */
	uint8_t pad[2];
};

#define AVOID_EHLO       (1u << 0) /* it hangs up: HELO */
#define AVOID_PIPELINING (1u << 1) /* nor CHUNKING */
#define AVOID_CHUNKING   (1u << 2) /* it offers BDAT, and does not know it */
#define SEEN_LOOSE_REPLY (1u << 3) /* nothing to avoid: for the log */

/*
 * tail: strings: reverse-path (may be empty) and its parameters, then nrcpt
 * times a recipient and its parameters (common/parameters.h).  The body has
 * CRLF line ends, size octets, and is descriptor 5.
 */
struct msg_job {
	uint64_t job; /* the queue's number for this transaction */
	uint64_t size;
	uint32_t nrcpt;
	uint32_t flags;    /* SUBMIT_TO_WORKER */
	uint32_t protocol; /* enum session_protocol: that of its session */
	uint32_t returned; /* 1: by AGAINs that say spent, often enough */
};

struct msg_job_ref {
	uint64_t job;
};

struct msg_again {
	uint64_t job;
	uint32_t spent;    /* 1: its connection had delivered, and was ended */
	uint32_t in_doubt; /* 1: perhaps delivered all the same */
};

/* Of NEXT: whether the same address is tried in another way, and which. */
enum next_again {
	NEXT_AGAIN_NOT,
	NEXT_AGAIN_IN_CLEAR, /* without TLS, which does not work there */
	NEXT_AGAIN_BY_DATA,  /* without BDAT, which it offers and refuses */
	NEXT_AGAIN_LOST,     /* no socket came for it */
	NEXT_AGAIN_COUNT
};

/* tail: the reply or the reason, sanitised, without NUL. */
struct msg_next {
	uint8_t has_failure; /* 0: the first call, or no fault of the address */
	uint8_t again;       /* enum next_again */
	uint8_t learnt;      /* AVOID_* bits */
	uint8_t pad;
	struct outcome outcome; /* of the former address */
	struct tls_info tls;
};

struct msg_session_up {
	struct tls_info tls;
	uint32_t extensions; /* bits of agent/smtp/ehlo.h, for the log alone */
	uint32_t flights;    /* 1: it may have many jobs on the wire at once */
};

/* tail: as in msg_next. */
struct msg_outcome {
	uint64_t job;
	uint32_t rcpt; /* index in the job */
	struct outcome outcome;
};

/* tail: as in msg_next.  Recipients without an OUTCOME have it from here where
 * their job was BEGUN; jobs that were not go back. */
struct msg_closed {
	struct outcome outcome;
	uint32_t failed; /* 0: a QUIT that was asked for, or spent */
	uint32_t learnt; /* AVOID_* and SEEN_* bits */
	uint32_t spent;  /* 1: it had delivered, and the server wanted no more
	                    before it had anything of the next message */
	uint32_t limit;  /* messages that it took by then; 0: it was idle */
};

/* tail: whole lines of postern-transcript(5). */
struct msg_transcript {
	uint32_t first; /* 1: of a connection of which none came yet */
	uint32_t pad;
};

/* tail: one line without its end, sanitised; secrets and bodies left out. */
struct msg_dialogue {
	uint64_t job; /* whose command or reply it is; 0: the session's own */
	uint8_t from_remote;
	uint8_t pad[7];
};

/* What a packet's descriptor must be.  Of any other kind close() may wait for
 * whoever made it: FUSE, SO_LINGER. */
enum fd_kind {
	FD_NONE,
	FD_ANY, /* its sender is trusted, or its receiver alone would wait */
	FD_MEMFD,
	FD_SOCKET, /* its receiver gives it to closer_give() */
};

/* One row of messages.def. */
struct msg_desc {
	const char *name;
	unsigned sender;
	unsigned receiver;
	size_t size;
	size_t tail;
	enum fd_kind fd;
	unsigned nfds;
};

extern const struct msg_desc msg_descs[MSG_COUNT];

/* A checked packet; payload and tail point into the caller's buffer. */
struct message {
	enum msg_type type;
	const void *payload; /* of msg_descs[type].size octets, 8-aligned */
	const uint8_t *tail;
	size_t tail_len;
	int fd; /* -1: none; the receiver's to close */
};

/*
 * message_encode - write one packet into buf, which must hold MSG_PACKET_SIZE.
 *
 * payload is of the row's size.  Returns the octets of the packet, or 0 when
 * tail_len is over what the row allows.  Pure.
 */
size_t message_encode(uint8_t *buf, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len);

/*
 * message_decode - check a packet of n octets with nfds descriptors that came
 * from one of the roles `from` to one of the roles `to`.
 *
 * buf is 8-aligned.  Fills *m but for its fd; returns NULL, or what is wrong as
 * a static string.  Pure.
 */
const char *message_decode(struct message *m, const uint8_t *buf, size_t n,
    unsigned nfds, unsigned from, unsigned to);

/*
 * message_receive - read one packet from a SOCK_SEQPACKET socket.
 *
 * buf holds MSG_PACKET_SIZE octets, 8-aligned; flags go to recvmsg().  Returns
 * 1 with *m filled (its fd is the caller's), 0 at end of file, -1 with errno:
 * EPROTO and *why set where the packet broke a rule; its descriptors are closed
 * by closer_close().
 */
int message_receive(int sock, uint8_t *buf, unsigned from, unsigned to,
    int flags, struct message *m, const char **why);

/*
 * message_send - write one packet, with fd as its descriptor unless -1.
 *
 * flags go to sendmsg().  fd stays the caller's.  0, or -1 with errno.
 */
int message_send(int sock, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd, int flags);

/*
 * message_tail_next - the next string of a tail made of strings.
 *
 * *at starts at 0.  Returns a pointer into the tail and moves *at behind its
 * NUL, or NULL at the end; a last string without NUL is no string.
 */
const char *message_tail_next(const struct message *m, size_t *at);

/*
 * message_tail_add - append a string and its NUL to a tail being built.
 *
 * Returns false, and adds nothing, where it does not fit into size.
 */
bool message_tail_add(char *tail, size_t size, size_t *len, const char *str);

/* Whether s, an array of size octets, holds a NUL. */
bool message_string_ok(const char *s, size_t size);

#endif
