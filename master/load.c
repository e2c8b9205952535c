/* SPDX-License-Identifier: ISC */
/* See load.h. */
#include "master/load.h"
#include "master/load_internal.h"

#include <sys/capability.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config_include.h"
#include "master/notice_template.h"
#include "master/secret_file.h"

/* Of a global parameter that the words begin with: where that is set. */
static int
line_of(const struct loading *l, const char *what)
{
	char name[64];

	if (l->load == NULL || l->load->config == NULL)
		return 0;
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(what, ":"),
	    what);
	return config_line(l->load->config, name);
}

void
load_wrong(struct loading *l, int line, const char *fmt, ...)
{
	struct config_errors *e = l->errors;
	char what[CONFIG_ERROR_SIZE], *out;
	const char *file = l->name;
	va_list ap;

	e->count++;
	if (e->nlines == CONFIG_ERRORS_MAX)
		return;
	out = e->lines[e->nlines++];
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap); /* cut at worst */
	va_end(ap);
	if (line == 0)
		line = line_of(l, what);
	if (line > 0) {
		line = config_places_find(&l->load->config->places, l->name,
		    line, &file);
		(void)snprintf(out, CONFIG_ERROR_SIZE, "%.200s:%d: ", file,
		    line);
	} else {
		(void)snprintf(out, CONFIG_ERROR_SIZE, "%.200s: ", file);
	}
	(void)strlcat(out, what, CONFIG_ERROR_SIZE);
}

bool
load_switches_users(void)
{
	cap_flag_value_t uid = CAP_CLEAR, gid = CAP_CLEAR;
	cap_t caps;

	if (geteuid() != 0)
		return false;
	caps = cap_get_proc();
	if (caps == NULL)
		return false;
	(void)cap_get_flag(caps, CAP_SETUID, CAP_EFFECTIVE, &uid);
	(void)cap_get_flag(caps, CAP_SETGID, CAP_EFFECTIVE, &gid);
	cap_free(caps);
	return uid == CAP_SET && gid == CAP_SET;
}

/* A number that need not stand in the password file, its group the same. */
static bool
read_uid(const char *name, struct load_user *out)
{
	const char *error;

	out->uid = (uid_t)strtonum(name, 0, INT32_MAX, &error);
	out->gid = (gid_t)out->uid;
	return error == NULL;
}

/* A user of the password file; `nobody` stands in where the queue is in memory
 * and nothing was ever installed. */
static bool
read_user(const struct loading *l, const char *name, struct load_user *out)
{
	struct passwd *pw = getpwnam(name);

	if (pw == NULL &&
	    l->load->config->queue_store == CONFIG_QUEUE_STORE_MEMORY)
		pw = getpwnam("nobody");
	if (pw == NULL)
		return false;
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	return true;
}

/* Roles whose users are those of the defaults, and are not there. */
struct missing {
	char names[CONFIG_ERROR_SIZE]; /* with commas between them */
	unsigned count;
};

/* The user of a role, where one is switched to. */
static void
look_up_user(struct loading *l, const char *param, const char *name,
    struct load_user *out, struct missing *missing)
{
	bool found;

	if (!load_switches_users())
		return;
	found = read_uid(name, out) || read_user(l, name, out);
	if (!found && config_line(l->load->config, param) == 0) {
		(void)strlcat(missing->names, missing->count++ > 0 ? ", " : "",
		    sizeof(missing->names));
		(void)strlcat(missing->names, name, sizeof(missing->names));
	} else if (!found) {
		load_wrong(l, 0,
		    "%s: there is no user %s: `make install` creates it, or "
		    "name another",
		    param, name);
	} else if (out->uid == 0) {
		load_wrong(l, 0, "%s: %s is root; name a user without power",
		    param, name);
	}
}

gid_t
load_group(struct loading *l, const char *param, const char *name)
{
	struct group *gr;

	if (name[0] == '\0')
		return (gid_t)-1;
	gr = getgrnam(name);
	if (gr == NULL) {
		load_wrong(l, 0, "%s: there is no group %s", param, name);
		return (gid_t)-1;
	}
	return gr->gr_gid;
}

bool
load_uid(const char *name, uint32_t *uid)
{
	const char *error;
	struct passwd *pw;

	*uid = (uint32_t)strtonum(name, 0, UINT32_MAX - 1, &error);
	if (error == NULL)
		return true;
	pw = getpwnam(name);
	if (pw != NULL)
		*uid = pw->pw_uid;
	return pw != NULL;
}

static void
look_up_uids(struct loading *l, const char *param,
    const struct config_list *users, uint32_t uids[static SUBMITTERS_MAX],
    size_t *n)
{
	for (size_t i = 0; i < users->count && i < SUBMITTERS_MAX; i++) {
		if (load_uid(users->words[i], &uids[*n]))
			(*n)++;
		else
			load_wrong(l, 0, "%s: there is no user %s", param,
			    users->words[i]);
	}
}

static void
look_up_submitters(struct loading *l)
{
	const struct config *c = l->load->config;
	struct load *ld = l->load;

	look_up_uids(l, "job_users", &c->job_users, ld->submitters,
	    &ld->nsubmitters);
	look_up_uids(l, "job_authorized_xclient_users",
	    &c->job_authorized_xclient_users, ld->job_trusted,
	    &ld->njob_trusted);
}

static bool
needs_trust(const struct transport *t)
{
	return t->tls_CAfile[0] != '\0' &&
	    (t->tls_security_level != CONFIG_TLS_NONE || t->tls_wrappermode);
}

/* Each file once.  Only `verify` cannot do without; elsewhere it decides
 * nothing. */
static void
open_trust(struct loading *l)
{
	const struct config *c = l->load->config;
	const struct transport *t;
	size_t i;
	int *fd;

	l->load->trust_fds = malloc(c->ntransports * sizeof(int));
	if (l->load->trust_fds == NULL) {
		load_wrong(l, 0, "no memory");
		return;
	}
	for (i = 0; i < c->ntransports; i++)
		l->load->trust_fds[i] = -1;
	for (i = 0; i < c->ntransports; i++) {
		t = &c->transports[i];
		fd = &l->load->trust_fds[config_trust(c, i)];
		if (!needs_trust(t) || *fd != -1)
			continue;
		*fd = open(t->tls_CAfile, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (*fd == -1 && t->tls_security_level == CONFIG_TLS_VERIFY)
			load_wrong(l, t->line,
			    "transport %s: tls_CAfile: %s: %s", t->name,
			    t->tls_CAfile, strerror(errno));
	}
}

/* Who runs a transport's command: never root, and not nobody in particular. */
static void
look_up_token_user(struct loading *l, const struct transport *t)
{
	const char *name = t->auth_token_user;
	struct passwd *pw;

	if (t->auth_token_command.count == 0 || !load_switches_users())
		return;
	pw = name[0] != '\0' ? getpwnam(name) : NULL;
	if (pw == NULL)
		load_wrong(l, t->line,
		    "transport %s: auth_token_user: there is no user \"%s\": "
		    "name who runs auth_token_command",
		    t->name, name);
	else if (pw->pw_uid == 0)
		load_wrong(l, t->line,
		    "transport %s: auth_token_user: %s is root; name a user "
		    "without power",
		    t->name, name);
}

/* A token's file may come later, and its content as well; a password that cannot
 * be read is a mistake, and so is a command that is not there. */
static void
check_secret(struct loading *l, const struct transport *t)
{
	const char *token = t->auth_token_file;
	struct secret_file file;
	struct stat st;

	if (token[0] != '\0' && stat(token, &st) == 0 && !S_ISREG(st.st_mode))
		load_wrong(l, t->line,
		    "transport %s: auth_token_file: %s: it is no regular file",
		    t->name, token);
	if (t->auth_token_command.count > 0 &&
	    access(t->auth_token_command.words[0], X_OK) == -1)
		load_wrong(l, t->line,
		    "transport %s: auth_token_command: %s: %s", t->name,
		    t->auth_token_command.words[0], strerror(errno));
	if (t->auth_password_file[0] == '\0')
		return;
	if (secret_file_read(t->auth_password_file, &file) == -1)
		load_wrong(l, t->line,
		    "transport %s: auth_password_file: %s: %s", t->name,
		    t->auth_password_file, file.why);
	fd_close(file.fd);
}

/* As that of a token. */
static void
look_up_outcome_user(struct loading *l)
{
	const struct config *c = l->load->config;
	const char *name = c->outcome_command_user;
	struct passwd *pw;

	if (c->outcome_command.count == 0)
		return;
	if (access(c->outcome_command.words[0], X_OK) == -1)
		load_wrong(l, 0, "outcome_command: %s: %s",
		    c->outcome_command.words[0], strerror(errno));
	if (!load_switches_users())
		return;
	pw = name[0] != '\0' ? getpwnam(name) : NULL;
	if (pw == NULL)
		load_wrong(l, 0,
		    "outcome_command_user: there is no user \"%s\": name who "
		    "runs outcome_command",
		    name);
	else if (pw->pw_uid == 0)
		load_wrong(l, 0,
		    "outcome_command_user: %s is root; name a user without "
		    "power",
		    name);
}

static void
look_up_logins(struct loading *l)
{
	const struct config *c = l->load->config;

	for (size_t i = 0; i < c->ntransports; i++) {
		look_up_token_user(l, &c->transports[i]);
		check_secret(l, &c->transports[i]);
	}
}

/* Its mistakes are shown as those of the configuration are, by its own lines. */
static void
wrong_template(struct loading *l, const char *path, int line, const char *why)
{
	struct loading of = { path, l->load, l->errors };

	load_wrong(&of, line, "%s", why);
}

/* A pipe would have the master wait for whoever writes it. */
static FILE *
open_template(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	FILE *f = NULL;
	struct stat st;

	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
		errno = ESPIPE;
	else
		f = fdopen(fd, "r");
	if (f == NULL)
		fd_close(fd);
	return f;
}

static size_t
read_template(struct loading *l, const char *path, char *text, size_t size)
{
	size_t len = 0;
	FILE *f;

	f = open_template(path);
	if (f != NULL)
		len = fread(text, 1, size, f);
	if (f == NULL || ferror(f))
		load_wrong(l, 0, "bounce_template_file: %s: %s", path,
		    strerror(errno));
	if (f != NULL)
		(void)fclose(f); /* only read */
	return len;
}

static void
load_template(struct loading *l)
{
	const char *path = l->load->config->bounce_template_file;
	size_t errors = l->errors->count, len = 0;
	struct notice_templates *templates;
	char why[200], *text;
	int line;

	text = malloc(NOTICE_TEMPLATE_MAX + 1);
	if (text == NULL) {
		load_wrong(l, 0, "no memory");
		return;
	}
	if (path[0] != '\0')
		len = read_template(l, path, text, NOTICE_TEMPLATE_MAX + 1);
	if (l->errors->count == errors) {
		templates =
		    notice_templates_read(text, len, &line, why, sizeof(why));
		if (templates == NULL)
			wrong_template(l, path, line, why);
		notice_templates_free(templates);
	}
	l->load->template_fd = fd_sealed("templates", text, len);
	if (l->load->template_fd == -1)
		load_wrong(l, 0, "cannot be kept in memory: %s",
		    strerror(errno));
	free(text);
}

static void
look_up_users(struct loading *l)
{
	struct load *ld = l->load;
	const struct config *c = ld->config;
	struct missing m = { "", 0 };

	look_up_user(l, "intake_user", c->intake_user, &ld->intake, &m);
	look_up_user(l, "control_user", c->control_user, &ld->control, &m);
	look_up_user(l, "queue_user", c->queue_user, &ld->queue, &m);
	look_up_user(l, "resolver_user", c->resolver_user, &ld->resolver, &m);
	look_up_user(l, "dialer_user", c->dialer_user, &ld->dialer, &m);
	look_up_user(l, "agent_user", c->agent_user, &ld->agent, &m);
	look_up_user(l, "signer_user", c->signer_user, &ld->signer, &m);
	look_up_user(l, "metrics_user", c->metrics_user, &ld->metrics, &m);
	if (m.count > 0)
		load_wrong(l, 0,
		    "there %s %s: `make install` creates %s, or set the "
		    "parameters *_user of postern.conf(5)",
		    m.count == 1 ? "is no user" : "are no users", m.names,
		    m.count == 1 ? "it" : "them");
}

static void
look_up_all(struct loading *l)
{
	struct load *ld = l->load;
	const struct config *c = ld->config;

	look_up_users(l);
	ld->job_group = load_group(l, "job_socket_group", c->job_socket_group);
	ld->control_group =
	    load_group(l, "control_socket_group", c->control_socket_group);
	ld->metrics_group =
	    load_group(l, "metrics_socket_group", c->metrics_socket_group);
	look_up_submitters(l);
	load_listeners(l);
	open_trust(l);
	look_up_logins(l);
	look_up_outcome_user(l);
	load_template(l);
}

struct load *
load_read(const char *name, struct config_errors *errors)
{
	struct loading l = { name, NULL, errors };
	char *text = NULL;
	size_t len = 0;

	errors->count = 0;
	errors->nlines = 0;
	l.load = calloc(1, sizeof(*l.load));
	if (l.load == NULL) {
		load_wrong(&l, 0, "no memory");
		return NULL;
	}
	l.load->text_fd = -1;
	l.load->template_fd = -1;
	text = config_include_read(name, &len);
	if (text == NULL)
		load_wrong(&l, 0,
		    errno == ENOENT || errno == EACCES
			? "cannot be opened: %s"
			: "cannot be read: %s",
		    strerror(errno));
	else
		l.load->config = config_read(name, text, len, errors);
	if (l.load->config != NULL) {
		l.load->text_fd = fd_sealed("configuration", text, len);
		if (l.load->text_fd == -1)
			load_wrong(&l, 0, "cannot be kept in memory: %s",
			    strerror(errno));
		look_up_all(&l);
	}
	free(text);
	if (errors->count > 0) {
		load_free(l.load);
		return NULL;
	}
	return l.load;
}

void
load_free(struct load *load)
{
	size_t i;

	if (load == NULL)
		return;
	for (i = 0; load->trust_fds != NULL && load->config != NULL &&
	     i < load->config->ntransports;
	     i++)
		fd_close(load->trust_fds[i]);
	free(load->trust_fds);
	for (i = 0; load->listeners != NULL && load->config != NULL &&
	     i < load->config->nlisteners;
	     i++) {
		fd_close(load->listeners[i].chain_fd);
		fd_close(load->listeners[i].pair_fd);
	}
	free(load->listeners);
	config_free(load->config);
	fd_close(load->text_fd);
	fd_close(load->template_fd);
	free(load);
}
