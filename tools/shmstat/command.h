/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat outside: its subcommands, and what the command line says to each.
 *
 *	tapio-shmstat lanes groups        parts of one look (command_show.c)
 *	tapio-shmstat COMMAND [WORD...]   a row of stat_commands[] (command.c)
 *
 * A command takes its look from parts_collect() (parts.h) as JSON, and derives all that it
 * shows from that, so two forms of one thing cannot disagree.
 */
#ifndef STAT_COMMAND_H
#define STAT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/common/tool.h"
#include "tools/shmstat/parts.h"

/* Of tapio-shmstat alone; the others are those of enum tpi_exit. */
#define STAT_EXIT_ABI        4 /* the memory has another version */
#define STAT_EXIT_PERMISSION 5 /* no right to look */

#define STAT_GLOBS_MAX 32

struct stat_globs {
	const char *at[STAT_GLOBS_MAX];
	size_t count;
};

struct stat_range {
	bool set;
	int64_t first, last;
};

/* Which rows, in which order (rows.h). */
struct stat_filter {
	struct stat_globs include, exclude; /* names in a row */
	const char *channel;                /* a glob. NULL: every channel */
	const char *group; /* its name, of why. NULL: every group */
	struct stat_range cpu, node;
	struct stat_range client; /* by pid */
	const char *sort;         /* key of the rows. NULL: as they are */
	bool reverse;
	bool nonzero;   /* no rows whose counts are all 0 */
	uint64_t limit; /* rows of a part. 0: all */
};

struct stat_args {
	struct tpi_connect connect; /* only its socket is used */
	struct tpi_inspect_options look;
	uid_t owner; /* look.owner points here */

	uint32_t parts; /* PART_* that were named */
	char **words;   /* arguments of a command, or names of counters */
	int word_count;

	struct stat_filter filter;
	bool json;
	bool wide;         /* all columns, as wide as they must be */
	bool all;          /* unused side lanes, too */
	bool force;        /* snapshot: overwrite the file */
	bool no_events;    /* snapshot: without the blocks of lanes */
	bool no_header;    /* rows alone */
	bool explain;      /* counters with meaning, cause and remedy */
	int64_t repeat_ns; /* --interval. 0: not named */
	uint64_t count;    /* --count: looks. 0: not named */
};

/* Filters, and order and limit: those that a command takes. */
#define FILTER_CHANNEL UINT32_C(1)
#define FILTER_GROUP   UINT32_C(2)
#define FILTER_CLIENT  UINT32_C(4)
#define FILTER_ROWS    UINT32_C(8) /* all others */
/* Of a look. */
#define FILTERS_OF_LOOK (FILTER_CHANNEL | FILTER_CLIENT | FILTER_ROWS)

struct stat_command {
	const char *name;
	const char *words; /* as "FILE"; NULL: it takes none */
	int words_min, words_max;
	const char *help; /* one line, without a full stop */
	int (*run)(struct stat_args *args);
	/* Options of its own, or NULL. Input: the stat_args. */
	const struct argp *argp;
	bool once;        /* it answers once, by stat_once() */
	uint32_t filters; /* FILTER_* */
};

/* Ends with a row without a name. */
extern const struct stat_command stat_commands[];
/* The row, or NULL. */
const struct stat_command *stat_command_find(const char *name);

/* The parts that were named, once or every interval (command_show.c). */
int command_show(struct stat_args *args);
/* Each command: its exit status. */
int command_check(struct stat_args *args);
int command_advise(struct stat_args *args);
int command_why(struct stat_args *args);
extern const struct argp why_argp;
int command_watch(struct stat_args *args);
int command_serve(struct stat_args *args);
extern const struct argp command_serve_argp;
int command_instances(struct stat_args *args);
int command_snapshot(struct stat_args *args);
/* Its own options. */
extern const struct argp command_snapshot_argp;

/* ---- for commands (open.c, look.c) ---------------------------------------- */

/*
 * Finds the memory, and says on stderr from where if not from the broker. 0, or the exit
 * status, with a message. Close by tpi_inspect_close().
 */
int stat_open(struct stat_args *args, struct tpi_inspect **out);

/*
 * The same, and says nothing: 0, or what tpi_inspect_open() returns, with its message. Without
 * `scan` only the broker is asked, and the process that listens at its socket.
 */
int stat_find(struct stat_args *args, bool scan, struct tpi_inspect **out,
	      char *error, size_t size);

/*
 * Writes to standard output. A reader that does not read does not hold a signal up that asks to
 * stop. 1: all is written. 0: the reader has left, or it was asked to stop. Or -errno.
 */
int stat_write(const char *text, size_t left);

/*
 * One look at the parts that were named, as the filters want it. Says on stderr what could
 * not be read. 0, or the exit status, with a message: memory is out, or a filter of the first
 * look fits nothing.
 */
int stat_look(const struct stat_args *args, const struct tpi_inspect *inspect,
	      uint32_t parts, bool first, json_t **out);
/* The exit status for a look: not healthy, no right to read some of it, or 0. */
int stat_look_status(const json_t *look);

/* Runs a command that answers once. A reader that has left the pipe ends it with 0. */
int stat_once(struct stat_args *args, int (*run)(struct stat_args *args));

/*
 * Calls `look` once; with --interval or --count again and again, until a signal or --count, or
 * a look that ends with TPI_EXIT_USAGE, since none would be another one.
 * Returns what the last look returned; a reader that has left the pipe ends it with 0.
 */
int stat_repeat(struct stat_args *args, int (*look)(void *context),
		void *context);

/*
 * Two looks with all parts, --interval apart (1 s), and the answer that they give: its exit
 * status (command_why.c). Of a snapshot there is one: `before` is NULL.
 */
typedef int stat_two_looks_fn(const struct stat_args *args,
			      struct tpi_inspect *inspect, const json_t *before,
			      int64_t between_ns);
int stat_two_looks(struct stat_args *args, stat_two_looks_fn *answer);

#endif
