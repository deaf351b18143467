/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector's way out. See the header.
 *
 * A full channel is not an error of a collector: it counts what was refused and goes on,
 * since waiting would make every later measurement late. Only a source that keeps its
 * events until they are asked for makes us wait. The channel's policy may still make
 * tapio_output wait.
 *
 * Counts are written by one thread and read by the one that reports health. Nothing is
 * ordered by them, so relaxed accesses do.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/collectors/common/sink.h"
#include "tools/common/tool.h"

#define WARN_EVERY_NS INT64_C(10000000000)
/* Between two tries for room: doubled up to the second. */
#define PATIENCE_NS     INT64_C(1000000)
#define PATIENCE_MAX_NS INT64_C(50000000)

const char *const tpi_refusal_names[TPI_REFUSALS] = {
	[TPI_REFUSED_FULL] = "full",   [TPI_REFUSED_TIMEOUT] = "timeout",
	[TPI_REFUSED_SIZE] = "size",   [TPI_REFUSED_NO_LANE] = "no_lane",
	[TPI_REFUSED_OTHER] = "other", [TPI_REFUSED_LEFT] = "left",
};

enum tpi_refusal tpi_refusal_of(int err)
{
	switch (err) {
	case -EAGAIN:
		return TPI_REFUSED_FULL;
	case -ETIMEDOUT:
		return TPI_REFUSED_TIMEOUT;
	case -EMSGSIZE:
		return TPI_REFUSED_SIZE;
	case -ENOBUFS:
		return TPI_REFUSED_NO_LANE;
	default:
		return TPI_REFUSED_OTHER;
	}
}

int tpi_sink_init(struct tpi_sink *sink, const struct tpi_kind *kinds,
		  unsigned int kind_count, size_t bytes)
{
	memset(sink, 0, sizeof(*sink));
	sink->kinds = kinds;
	sink->kind_count = kind_count;
	sink->urgent_class = -1;
	sink->buffer_bytes = bytes ? bytes : TPI_SINK_BYTES;
	/* Aligned as TAPIO_EVENT_ALIGNED asks for: to 16. */
	sink->buffer = malloc(sink->buffer_bytes);
	return sink->buffer ? 0 : -ENOMEM;
}

void tpi_sink_fini(struct tpi_sink *sink)
{
	free(sink->buffer);
	sink->buffer = NULL;
}

/* ---- the ledger ------------------------------------------------------------------ */

static void add(uint64_t *count, uint64_t n)
{
	tpi_store_relaxed(count, *count + n); /* we alone write it */
}

void tpi_sink_count_read(struct tpi_sink *sink, unsigned int kind, uint64_t n)
{
	add(&sink->counts[kind].read, n);
}

void tpi_sink_count_emitted(struct tpi_sink *sink, unsigned int kind,
			    uint64_t n)
{
	add(&sink->counts[kind].emitted, n);
}

void tpi_sink_count_refused(struct tpi_sink *sink, unsigned int kind, int err,
			    uint64_t n)
{
	add(&sink->counts[kind].refused[tpi_refusal_of(err)], n);
	tpi_store_relaxed(&sink->refused_error, err);
}

void tpi_sink_count_lost(struct tpi_sink *sink, unsigned int kind, uint64_t n)
{
	add(&sink->counts[kind].lost, n);
}

void tpi_sink_sum(const struct tpi_sink *sink, struct tpi_count *sum)
{
	for (unsigned int i = 0; i <= sink->kind_count; i++) {
		const struct tpi_count *count = &sink->counts[i];

		sum[i].read += tpi_load_relaxed(&count->read);
		sum[i].emitted += tpi_load_relaxed(&count->emitted);
		for (int r = 0; r < TPI_REFUSALS; r++)
			sum[i].refused[r] +=
				tpi_load_relaxed(&count->refused[r]);
		sum[i].lost += tpi_load_relaxed(&count->lost);
	}
}

/* ---- one event --------------------------------------------------------------------- */

static const struct tpi_kind *kind_of(const struct tpi_sink *sink,
				      unsigned int kind)
{
	static const struct tpi_kind health = {"health", TAPIO_EVENT_METRIC,
					       TAPIO_SEVERITY_DEBUG, false};

	return kind < sink->kind_count ? &sink->kinds[kind] : &health;
}

static size_t capacity(const struct tpi_sink *sink)
{
	size_t bytes = sink->buffer_bytes;
	uint32_t max = sink->max_bytes ? sink->max_bytes(sink->arg) : 0;

	return max && max < bytes ? max : bytes;
}

static void *begin(struct tpi_sink *sink, unsigned int kind, uint16_t type,
		   uint8_t severity)
{
	size_t bytes = capacity(sink);
	int err = tapio_event_builder_init(&sink->builder, sink->buffer, bytes,
					   type);

	sink->kind = kind;
	if (err) {
		tpi_store_relaxed(&sink->refused_bytes, (uint32_t)bytes);
		tpi_sink_count_refused(sink, kind, err, 1);
		return NULL;
	}
	sink->builder.event->severity = severity;
	sink->builder.event->source = sink->source;
	return sink->builder.fields;
}

void *tpi_sink_begin(struct tpi_sink *sink, unsigned int kind)
{
	tpi_sink_count_read(sink, kind, 1);
	return begin(sink, kind, kind_of(sink, kind)->type,
		     kind_of(sink, kind)->severity);
}

void tpi_sink_string(struct tpi_sink *sink, struct tapio_event_string *field,
		     const char *string, size_t length)
{
	if (length)
		tapio_event_builder_string_max(&sink->builder, field, string,
					       length, sink->buffer_bytes);
}

void tpi_sink_text(struct tpi_sink *sink, struct tapio_event_string *field,
		   const char *text)
{
	if (text)
		tpi_sink_string(sink, field, text, strlen(text));
}

void tpi_sink_attribute(struct tpi_sink *sink, struct tapio_event_string *field,
			const char *key, const char *value, size_t length)
{
	tapio_event_builder_attribute_max(&sink->builder, field, key,
					  strlen(key), value, length);
}

static uint32_t tag_of(const struct tpi_sink *sink)
{
	const struct tapio_event *event = sink->builder.event;

	if (sink->urgent_class >= 0 && kind_of(sink, sink->kind)->urgent)
		return TAPIO_TAG_CLASS(event->type, event->severity,
				       sink->urgent_class);
	return TAPIO_EVENT_TAG(event);
}

/* One try. 0 or -errno. */
static int put(struct tpi_sink *sink, uint32_t length)
{
	int err = sink->output(sink->arg, tag_of(sink), sink->buffer, length);

	if (err == -EMSGSIZE)
		tpi_store_relaxed(&sink->refused_bytes, length - 1);

	/* Too long for the urgent class: better another one than none. */
	if (err == -EMSGSIZE && sink->urgent_class >= 0)
		err = sink->output(sink->arg,
				   TAPIO_EVENT_TAG(sink->builder.event),
				   sink->buffer, length);
	return err;
}

static bool account(struct tpi_sink *sink, int err)
{
	if (err)
		tpi_sink_count_refused(sink, sink->kind, err, 1);
	else
		tpi_sink_count_emitted(sink, sink->kind, 1);
	return !err;
}

bool tpi_sink_end(struct tpi_sink *sink)
{
	int length = tapio_event_builder_finish(&sink->builder);

	return account(sink, length < 0 ? length : put(sink, (uint32_t)length));
}

static bool no_room(int err)
{
	return err == -EAGAIN || err == -ETIMEDOUT || err == -ENOBUFS;
}

bool tpi_sink_end_patiently(struct tpi_sink *sink, bool *left)
{
	int length = tapio_event_builder_finish(&sink->builder);
	int64_t pause_ns = PATIENCE_NS;
	int err = length < 0 ? length : put(sink, (uint32_t)length);

	if (left)
		*left = false;
	while (no_room(err)) {
		if (!tpi_sleep_until(tpi_monotonic_ns() + pause_ns)) {
			add(&sink->counts[sink->kind].refused[TPI_REFUSED_LEFT],
			    1);
			if (left)
				*left = true;
			return false;
		}
		pause_ns = pause_ns < PATIENCE_MAX_NS / 2 ? pause_ns * 2
							  : PATIENCE_MAX_NS;
		err = put(sink, (uint32_t)length);
	}
	return account(sink, err);
}

void tpi_sink_cancel(struct tpi_sink *sink)
{
	add(&sink->counts[sink->kind].read, UINT64_MAX); /* minus one */
}

bool tpi_sink_loss(struct tpi_sink *sink, unsigned int kind,
		   const char *collector, const struct tpi_loss *loss)
{
	const uint64_t n = loss->count == TPI_LOSS_UNKNOWN ? 1 : loss->count;

	tpi_sink_count_lost(sink, kind, n);
	/* The event about it is one of "health": it was not read. */
	tpi_sink_count_read(sink, sink->kind_count, 1);
	struct tapio_event_loss *l =
		begin(sink, sink->kind_count, TAPIO_EVENT_LOSS,
		      TAPIO_SEVERITY_WARNING);
	if (!l)
		return false;
	l->count = loss->count;
	l->total = sink->counts[kind].lost;
	l->first_ns = loss->first_ns;
	l->last_ns = loss->last_ns;
	l->cpu = loss->cpu;
	tpi_sink_text(sink, &l->collector, collector);
	tpi_sink_text(sink, &l->what, kind_of(sink, kind)->name);
	tpi_sink_text(sink, &l->cause, loss->cause);
	tpi_sink_text(sink, &l->before, loss->before);
	tpi_sink_text(sink, &l->after, loss->after);
	tpi_sink_text(sink, &l->message, loss->message);
	return tpi_sink_end(sink);
}

static uint64_t dropped_of(const struct tpi_count *count)
{
	uint64_t sum = 0;

	for (int r = 0; r < TPI_REFUSALS; r++)
		sum += r == TPI_REFUSED_LEFT ? 0 : count->refused[r];
	return sum;
}

/* ---- warnings ---------------------------------------------------------------------- */

static uint64_t refusals(const struct tpi_sink *sinks)
{
	uint64_t sum = 0;

	for (; sinks; sinks = sinks->next) {
		struct tpi_count counts[TPI_KINDS_MAX + 1] = {0};

		tpi_sink_sum(sinks, counts);
		for (unsigned int i = 0; i <= sinks->kind_count; i++)
			sum += dropped_of(&counts[i]);
	}
	return sum;
}

static const char *reason(const struct tpi_sink *sinks, char *text,
			  size_t bytes)
{
	const struct tpi_sink *sink = sinks;

	while (sink->next && !tpi_load_relaxed(&sink->refused_error))
		sink = sink->next;
	switch (tpi_load_relaxed(&sink->refused_error)) {
	case -EAGAIN:
		return "is full";
	case -ETIMEDOUT:
		return "is full and stayed so for as long as it waits";
	case -ENOBUFS:
		return "has no side lane left";
	case -EMSGSIZE:
		if (!tpi_load_relaxed(&sink->refused_bytes))
			return "has blocks that are too short";
		snprintf(text, bytes, "takes no events of over %u bytes",
			 tpi_load_relaxed(&sink->refused_bytes));
		return text;
	default:
		return strerror(-tpi_load_relaxed(&sink->refused_error));
	}
}

void tpi_sinks_warn(const struct tpi_sink *sinks, struct tpi_warning *warning,
		    int64_t now_ns)
{
	uint64_t refused;
	char text[64];

	if (warning->told_ns && now_ns - warning->told_ns < WARN_EVERY_NS)
		return;
	refused = refusals(sinks);
	if (refused == warning->told)
		return;
	tpi_say("%s %s: %" PRIu64 " events dropped", warning->where,
		reason(sinks, text, sizeof(text)), refused - warning->told);
	warning->told = refused;
	warning->told_ns = now_ns;
}

/* ---- the summary ------------------------------------------------------------------- */

struct line {
	char *text;
	size_t size;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void print(struct line *line,
							const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->used, line->size - line->used, format,
		      args);
	va_end(args);
	if (n > 0)
		line->used += (size_t)n;
	if (line->used >= line->size)
		line->used = line->size - 1;
}

static uint64_t emitted_of(const struct tpi_count *count)
{
	return count->emitted;
}

static uint64_t left_of(const struct tpi_count *count)
{
	return count->refused[TPI_REFUSED_LEFT];
}

static uint64_t lost_of(const struct tpi_count *count)
{
	return count->lost;
}

struct summary {
	const struct tpi_count *counts;
	const struct tpi_kind *kinds;
	unsigned int kind_count;
	struct line line;
};

static void print_counts(struct summary *s, const char *what,
			 uint64_t (*value)(const struct tpi_count *count),
			 bool always)
{
	const char *before = " (";
	uint64_t sum = 0;

	for (unsigned int i = 0; i <= s->kind_count; i++)
		sum += value(&s->counts[i]);
	if (!sum && !always)
		return;
	print(&s->line, "%s %" PRIu64, what, sum);
	for (unsigned int i = 0; i <= s->kind_count; i++) {
		uint64_t n = value(&s->counts[i]);

		if (!n)
			continue;
		print(&s->line, "%s%s %" PRIu64, before,
		      i < s->kind_count ? s->kinds[i].name : "health", n);
		before = ", ";
	}
	if (sum)
		print(&s->line, ")");
}

void tpi_counts_summary(const struct tpi_count *counts,
			const struct tpi_kind *kinds, unsigned int kind_count,
			char *buffer, size_t size)
{
	struct summary s = {
		.counts = counts,
		.kinds = kinds,
		.kind_count = kind_count,
		.line = {.text = buffer, .size = size},
	};

	print_counts(&s, "emitted", emitted_of, true);
	print_counts(&s, ", dropped", dropped_of, true);
	print_counts(&s, ", left", left_of, false);
	print_counts(&s, ", lost", lost_of, false);
}
