/* SPDX-License-Identifier: ISC */
/*
 * What config_read.c and config_check.c share while a configuration is read.
 */
#ifndef MASTER_CONFIG_READER_H
#define MASTER_CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "master/config.h"
#include "master/config_complaints.h"
#include "master/config_syntax.h"

#define CONFIG_PORT_SMTP 25

/* What a statement may stand in. */
enum block {
	BLOCK_GLOBAL,
	BLOCK_TRANSPORT,
	BLOCK_ROUTE,
	BLOCK_DESTINATION,
	BLOCK_MX_GROUP,
	BLOCK_SERVER,
	BLOCK_LISTENER,
	BLOCK_COUNT,
};

/* Room for the rows of any block: as many as there are in all. */
enum {
	ROWS_MAX =
#define GLOBAL(...)      1 +
#define TRANSPORT(...)   1 +
#define ROUTE(...)       1 +
#define DESTINATION(...) 1 +
#define MX_GROUP(...)    1 +
#define SERVER(...)      1 +
#define LISTENER(...)    1 +
#include "master/config.def"
	    0,
};

struct rows {
	const struct config_row *row;
	size_t count;
};

struct reader {
	struct config *config;
	struct config_places places; /* the configuration's, at the end */
	struct complaints complaints;
	struct rows rows[BLOCK_COUNT];
	struct config_syntax *syntax[BLOCK_COUNT];
	enum block block;
	int block_line;
	int depth;     /* of blocks within a block, skipped */
	bool skipping; /* an unknown block */
	void *base;    /* what the block's rows are members of */
	int seen[BLOCK_COUNT][ROWS_MAX]; /* the line of each parameter */
};

/* The row of that name, or NULL. */
const struct config_row *config_row_find(const struct rows *rows,
    const char *name, size_t len);

/* Where the line of a parameter of the block we are in is kept. */
int *config_seen_line(struct reader *r, const struct config_row *row);

/* The line where the parameter is set in this block, else the block's. */
int config_line_of(struct reader *r, const char *name);

/*
 * What the block that we are in becomes, with its defaults: a title that is
 * wrong is complained about.  NULL where there are too many, or no memory.
 * The title is changed.
 */
void *config_block_open(struct reader *r, char *title);

/*
 * Mail needs no configuration: without a transport every domain goes to its MX.
 * -1 for want of memory.
 */
int config_block_add_builtin(struct config *c);

/* At the end of a block: what its parameters say about each other. */
void config_check_transport(struct reader *r, struct transport *t);
void config_check_route(struct reader *r, struct route *route);
void config_check_mx_group(struct reader *r, struct config_mx_group *group);

/* config_listener.c: the same for a listener, and what listeners say about each
 * other and about the rest of the file. */
void *config_listener_open(struct reader *r, const char *title);
void config_check_listener(struct reader *r, struct config_listener *l);
void config_check_listeners(struct reader *r);

/*
 * At the end of the file: sorts the routes and finds their transports, puts
 * the run directory into paths, and compares global parameters.
 */
void config_check_whole(struct reader *r);

#endif
