/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the collector's events go, and the ledger of what became of them.
 *
 * A sink has one event under construction at a time:
 *
 *	struct tapio_event_pressure *p = tpi_sink_begin(sink, TPI_PROC_PRESSURE);
 *	if (p) {
 *		p->resource = TAPIO_PRESSURE_CPU;
 *		tpi_sink_end(sink);
 *	}
 *
 * Each event that is begun is counted once, as emitted or as dropped.
 */
#ifndef TPI_PROC_SINK_H
#define TPI_PROC_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/event.h>

/* The sources, in the order in which they are listed. */
enum tpi_proc_source {
	TPI_PROC_START,
	TPI_PROC_EXIT,
	TPI_PROC_SAMPLE,
	TPI_PROC_PRESSURE,
	TPI_PROC_NETWORK,
	TPI_PROC_DISK,
	TPI_PROC_SOURCES,
};

/* The longest event: command lines and paths are cut to fit. */
#define TPI_SINK_BYTES 8192

struct tpi_sink {
	/* The function that takes an event, as tapio_output does. */
	int (*output)(void *arg, uint32_t tag, const void *data,
		      uint32_t length);
	void *arg;
	uint32_t max_bytes; /* of an event. 0: TPI_SINK_BYTES */
	int urgent_class;   /* for starts and exits. -1: the default one */
	const char *where;  /* for messages: "channel 'events'" */
	uint64_t emitted[TPI_PROC_SOURCES];
	uint64_t dropped[TPI_PROC_SOURCES];
	/* Drops that were not yet told. */
	uint64_t untold;
	int untold_error; /* the first of them, -errno */
	int64_t told_ns;  /* when a warning was last given. 0: never */
	/* The event under construction. */
	enum tpi_proc_source source;
	struct tapio_event_builder builder;
	TAPIO_EVENT_ALIGNED char buffer[TPI_SINK_BYTES];
};

/* "start", "exit", ...: for options and messages. */
extern const char *const tpi_proc_source_names[TPI_PROC_SOURCES];

/*
 * Begins an event of a source and returns its fields, all unset. NULL (counted
 * as dropped) when the channel's events are too short for it.
 */
void *tpi_sink_begin(struct tpi_sink *sink, enum tpi_proc_source source);

/* Stores a string, cut to what there is room for. */
void tpi_sink_string(struct tpi_sink *sink, struct tapio_event_string *field,
		     const char *string, size_t length);

/* Completes the event and puts it out. False: it was dropped. */
bool tpi_sink_end(struct tpi_sink *sink);

/*
 * Warns about drops that were not told yet: at once the first time, then every
 * ten seconds at most, with the count since the last warning.
 */
void tpi_sink_warn(struct tpi_sink *sink, int64_t now_ns);

/* "emitted 12 (start 3, ...), dropped 2 (sample 2)" */
void tpi_sink_summary(const struct tpi_sink *sink, char *buffer, size_t size);

#endif
