/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common part of all collectors: options and a section of the configuration
 * file (settings.h), --check, waiting for the broker and outliving it, events with an exact
 * ledger (sink.h), health as `metric` events, an end on SIGTERM, a summary.
 *
 *	enum { MY_START, MY_EXIT, MY_KINDS };
 *	static const struct tpi_kind kinds[MY_KINDS] = {
 *		[MY_START] = {"start", TAPIO_EVENT_PROCESS_START,
 *			      TAPIO_SEVERITY_INFO, true},
 *		...
 *	};
 *	static const struct tpi_setting settings[] = { ... {0} };
 *
 *	int main(int argc, char **argv)
 *	{
 *		static struct my_values values = {.pause_ns = 1000000000};
 *		static const struct tpi_collector_about about = {
 *			.name = "tapio-collect-my", .section = "my", .doc = doc,
 *			.settings = {settings, &values}, .check = check,
 *			.kinds = kinds, .kind_count = MY_KINDS,
 *			.source = TAPIO_SOURCE_APPLICATION,
 *		};
 *		struct tpi_collector c;
 *		struct tpi_sink sink;
 *
 *		if (!tpi_collector_begin(&c, &about, argc, argv))
 *			return c.status;
 *		if (tpi_collector_sink(&c, &sink) ||	one for each thread
 *		    open_source() || !tpi_collector_attach(&c))
 *			return tpi_collector_end(&c);
 *		while (tpi_collector_tend(&c)) {
 *			if (tpi_collector_wait(&c, fd, TPI_NEVER) > 0)
 *				read_and_emit(&sink);
 *		}
 *		emit what has been read already
 *		return tpi_collector_end(&c);
 *	}
 *
 * The main thread calls all of it. Other threads use sinks of their own, and
 * c->producer, and nothing else of the collector.
 */
#ifndef TPI_COLLECT_COLLECTOR_H
#define TPI_COLLECT_COLLECTOR_H

#include <tapio/producer.h>

#include "tools/collectors/common/settings.h"
#include "tools/collectors/common/sink.h"
#include "tools/common/tool.h"

struct tpi_collector_about {
	const char *name;    /* of the program */
	const char *section; /* of the file, and `collector` of health events */
	const char *doc;     /* as argp takes it */
	struct tpi_settings settings;
	/* Looks at all values together. False: `why` says what is wrong. May be NULL. */
	bool (*check)(void *values, char *why, size_t why_bytes);
	/*
	 * For --check alone, after `check`: whether this host has what is needed, as a
	 * directory, a kernel that can, rights. Says what is missing with tpi_say(). An
	 * exit status. May be NULL.
	 */
	int (*probe)(void *values);
	const struct tpi_kind *kinds;
	unsigned int kind_count;
	uint32_t source;     /* TAPIO_SOURCE_* */
	size_t event_bytes;  /* the longest event (0: TPI_SINK_BYTES) */
	const char *channel; /* the default one. NULL: "events" */
	/* The option that names the channel, and its --help, for a program that has channels to
	 * read from, too. NULL: --channel. */
	const char *channel_option;
	const char *channel_help;
	bool waits; /* --wait is the default: it never gives up a broker */
	/*
	 * For collectors whose other threads emit: stops them (true) while the handle is
	 * closed and opened anew, and lets them go on (false). Only needed where a broker
	 * ends, or gives up the handle. NULL: the main thread alone emits.
	 */
	void (*quiesce)(void *values, bool stop);
	/*
	 * For collectors whose senders wait as long as they do not read: called by the main
	 * thread, some times a second, while it waits for broker and channel. What is emitted
	 * then is refused, and counted. NULL: what is at the source stays there.
	 */
	void (*idle)(void *values);
};

/* Values of the settings that every collector has. */
struct tpi_collector_values {
	const char *channel;
	const char *urgent_class;
	const char *config;
	const char *socket;
	int64_t wait_ns;
	int64_t health_ns;
	int64_t duration_ns;
	bool check;
	bool quiet;
};

struct tpi_collector {
	const struct tpi_collector_about *about;
	struct tpi_collector_values values;
	struct tapio_producer *producer; /* NULL: not attached */
	int status;                      /* of main(): TPI_EXIT_* */
	/* private from here on */
	struct tpi_connect connect;
	struct tpi_settings_file *file;
	int urgent_class;
	int64_t end_ns;    /* --duration. INT64_MAX: no end */
	int64_t look_ns;   /* when to look at the broker again */
	int64_t health_ns; /* when to report again. INT64_MAX: never */
	bool health_told;
	bool began; /* it was attached */
	struct tpi_warning warning;
	char where[96];
	uint64_t start_ns; /* CLOCK_REALTIME */
	struct tpi_sink health;
	struct tpi_sink *sinks;
};

/* A deadline that never comes. */
#define TPI_NEVER INT64_MAX

/*
 * Reads command line and file, and installs the handlers of signals. False: the program
 * ends with c->status, after --check for example. A wrong option ends it at once.
 */
bool tpi_collector_begin(struct tpi_collector *c,
			 const struct tpi_collector_about *about, int argc,
			 char **argv);

/* Prepares a sink whose events go to the channel. -ENOMEM, told already. */
int tpi_collector_sink(struct tpi_collector *c, struct tpi_sink *sink);

/*
 * Attaches to the channel. With --wait it waits until broker and channel are there, with
 * growing pauses. False: c->status and a message say why.
 */
bool tpi_collector_attach(struct tpi_collector *c);

/*
 * Does the work that is due: tells of refused events, reports health, looks whether the broker is there.
 * Where it has gone for good, and with --wait, it waits here for the next one. False: the
 * collector is to end, as asked, or c->status is not 0. Call it at least each second, and
 * as often as you like.
 */
bool tpi_collector_tend(struct tpi_collector *c);

/*
 * Whether an open that failed with this error may succeed later, with nothing changed on our
 * side: the channel may come, or a client may leave.
 */
bool tpi_collector_may_change(int err);

/*
 * Sleeps until `fd` is readable (1; -1 as fd: never), until the deadline or until
 * something is due (0), or until asked to stop (-EINTR).
 */
int tpi_collector_wait(struct tpi_collector *c, int fd, int64_t deadline_ns);

/*
 * Whether no broker is there now. A source that can wait SHOULD NOT be read then:
 * events that are accepted may be lost with the old memory.
 */
bool tpi_collector_away(struct tpi_collector *c);

/* Ends with this status and message. Returns false, for `return`. */
bool tpi_collector_fail(struct tpi_collector *c, int status, const char *format,
			...) __attribute__((format(printf, 3, 4)));

/*
 * Reports health once more if it did before, prints the summary, leaves the channel, and
 * frees everything, the sinks' memory too. Other threads MUST have ended. Returns
 * c->status.
 */
int tpi_collector_end(struct tpi_collector *c);

/* The counts of all sinks: kind_count + 1 of them, the last for health. */
void tpi_collector_counts(const struct tpi_collector *c,
			  struct tpi_count *counts);

/* Emits the counts as metrics now. (tend() does it at its interval.) */
void tpi_collector_report(struct tpi_collector *c);

/* collector_options.c. False: the program ends with c->status. */
bool tpi_collector_options(struct tpi_collector *c, int argc, char **argv);

#endif
