/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a collector's events go, and the ledger of what became of them.
 *
 * A sink has one event under construction at a time. Each thread that emits has a sink
 * of its own.
 *
 *	struct tapio_event_pressure *p = tpi_sink_begin(sink, MY_PRESSURE);
 *	if (p) {
 *		p->resource = TAPIO_PRESSURE_CPU;
 *		tpi_sink_string(sink, &p->cgroup, path, strlen(path));
 *		tpi_sink_end(sink);
 *	}
 *
 * The ledger is exact. For each kind:
 *
 *	read = emitted + refused (by cause) + left
 *
 * and beside it `lost`: events that the source had lost before we could read them. An event is
 * read when it is begun, or when tpi_sink_count_read() says so.
 */
#ifndef TPI_COLLECT_SINK_H
#define TPI_COLLECT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

struct tapio_producer;

/* The longest event, with the longest fields and strings. */
#define TPI_SINK_BYTES_MAX \
	(sizeof(struct tapio_event) + TAPIO_EVENT_FIELDS_MAX + 8 + 65536)
/* As long as one is where a collector does not say. */
#define TPI_SINK_BYTES 8192

/* Kinds of events that a collector has, at most. One more is "health". */
#define TPI_KINDS_MAX 31

struct tpi_kind {
	const char *name; /* "start": in the summary and in health events */
	uint16_t type;    /* TAPIO_EVENT_* */
	uint8_t severity; /* TAPIO_SEVERITY_* unless the event says another */
	bool urgent;      /* goes to the class of --class */
};

/* Why an event was not accepted. */
enum tpi_refusal {
	TPI_REFUSED_FULL,    /* -EAGAIN: the channel has no room */
	TPI_REFUSED_TIMEOUT, /* -ETIMEDOUT: nor after its wait */
	TPI_REFUSED_SIZE,    /* -EMSGSIZE: longer than any block */
	TPI_REFUSED_NO_LANE, /* -ENOBUFS: all side lanes are taken */
	TPI_REFUSED_OTHER,   /* anything else */
	/* Asked to stop before there was room. It is still at its source, and is read
	 * again by the next run. */
	TPI_REFUSED_LEFT,
	TPI_REFUSALS,
};
extern const char *const tpi_refusal_names[TPI_REFUSALS];
enum tpi_refusal tpi_refusal_of(int err);

/* Of one kind. Written by the sink's thread, read by any. */
struct tpi_count {
	uint64_t read;
	uint64_t emitted;
	uint64_t refused[TPI_REFUSALS];
	uint64_t lost; /* at the source */
};

struct tpi_sink {
	/* Takes an event, as tapio_output does. */
	int (*output)(void *arg, uint32_t tag, const void *data,
		      uint32_t length);
	void *arg;
	/* The longest event that the channel takes, asked for each event. NULL:
	 * there is no limit. */
	uint32_t (*max_bytes)(void *arg);
	const struct tpi_kind *kinds;
	unsigned int kind_count;
	uint32_t source;  /* TAPIO_SOURCE_* */
	int urgent_class; /* for urgent kinds. -1: the default one */
	struct tpi_count counts[TPI_KINDS_MAX + 1];
	/* Of the last refusal: -errno, and what was too long for what. */
	int refused_error;
	uint32_t refused_bytes;
	/* The event under construction. */
	unsigned int kind;
	struct tapio_event_builder builder; /* builder.event is its header */
	char *buffer;
	size_t buffer_bytes;
	struct tpi_sink *next; /* the collector's list */
};

/*
 * Prepares a sink. `bytes`: the longest event, at most TPI_SINK_BYTES_MAX (0:
 * TPI_SINK_BYTES). -ENOMEM. The caller then sets output and arg, or has
 * tpi_collector_sink() do all of this.
 */
int tpi_sink_init(struct tpi_sink *sink, const struct tpi_kind *kinds,
		  unsigned int kind_count, size_t bytes);
void tpi_sink_fini(struct tpi_sink *sink);

/*
 * Begins an event of a kind, counts it as read, and returns its fields, all unset.
 * sink->builder.event is its header, with type, severity and source set. NULL
 * (counted as refused) when the channel's events are too short for it.
 */
void *tpi_sink_begin(struct tpi_sink *sink, unsigned int kind);

/*
 * Stores a string or an attribute, cut to what there is room for: TAPIO_EVENT_TRUNCATED is
 * set then. So store the short and the important ones first, and the long one last.
 * Nothing is stored of length 0.
 */
void tpi_sink_string(struct tpi_sink *sink, struct tapio_event_string *field,
		     const char *string, size_t length);
void tpi_sink_text(struct tpi_sink *sink, struct tapio_event_string *field,
		   const char *text); /* NULL or "": nothing */
void tpi_sink_attribute(struct tpi_sink *sink, struct tapio_event_string *field,
			const char *key, const char *value, size_t length);

/* Completes the event and puts it out. False: it was refused, and counted. */
bool tpi_sink_end(struct tpi_sink *sink);

/*
 * The same for a source that can wait, as a file or a server: with no room it tries again
 * until there is some. False: it can never be accepted (counted as refused), or the
 * program was asked to stop (counted as left). *left, if not NULL, tells the two apart.
 */
bool tpi_sink_end_patiently(struct tpi_sink *sink, bool *left);

/* Gives up the event under construction: it was none. It is not counted. */
void tpi_sink_cancel(struct tpi_sink *sink);

/*
 * For events that do not pass through the sink's buffer, as with tapio_reserve_batch:
 * the ledger alone. By the sink's thread.
 */
void tpi_sink_count_read(struct tpi_sink *sink, unsigned int kind, uint64_t n);
void tpi_sink_count_emitted(struct tpi_sink *sink, unsigned int kind,
			    uint64_t n);
void tpi_sink_count_refused(struct tpi_sink *sink, unsigned int kind, int err,
			    uint64_t n);
void tpi_sink_count_lost(struct tpi_sink *sink, unsigned int kind, uint64_t n);

/*
 * The source has lost events: counts them (1 if their number is not known) and tells of
 * it by an event of its own, of severity warning. It begins where no other event is under
 * construction.
 */
struct tpi_loss {
	uint64_t count;    /* TPI_LOSS_UNKNOWN */
	uint64_t first_ns; /* CLOCK_REALTIME. 0: not known */
	uint64_t last_ns;
	uint32_t cpu;        /* UINT32_MAX: not known */
	const char *cause;   /* one word, as "ring-full" */
	const char *message; /* NULL: none */
	const char *before;  /* cursors. NULL: none */
	const char *after;
};
#define TPI_LOSS_UNKNOWN UINT64_MAX
bool tpi_sink_loss(struct tpi_sink *sink, unsigned int kind,
		   const char *collector, const struct tpi_loss *loss);

/* Adds the counts of a sink to `sum`, an array of kind_count + 1. Any thread. */
void tpi_sink_sum(const struct tpi_sink *sink, struct tpi_count *sum);

/*
 * Warns of refusals that were not told yet, of a list of sinks: at once the first time, then
 * every ten seconds at most, with the count since the last warning.
 */
struct tpi_warning {
	const char *where; /* "channel 'events'" */
	int64_t told_ns;   /* 0: never */
	uint64_t told;     /* of the refusals */
};
void tpi_sinks_warn(const struct tpi_sink *sinks, struct tpi_warning *warning,
		    int64_t now_ns);

/*
 * "emitted 12 (start 3, ...), dropped 2 (sample 2)", and what was left or lost. The
 * kinds are those of the sinks, and "health".
 */
void tpi_counts_summary(const struct tpi_count *counts,
			const struct tpi_kind *kinds, unsigned int kind_count,
			char *buffer, size_t size);

#endif
