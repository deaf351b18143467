/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector's way out. Called by its sources. See the header.
 *
 * A full channel is not an error of the collector: it counts what was refused
 * and goes on with the next event, since waiting would make every later
 * measurement late. The channel's policy may still make tapio_output wait.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/proc_sink.h"
#include "tools/common/tool.h"

#define WARN_EVERY_NS INT64_C(10000000000)

const char *const tpi_proc_source_names[TPI_PROC_SOURCES] = {
	[TPI_PROC_START] = "start",     [TPI_PROC_EXIT] = "exit",
	[TPI_PROC_SAMPLE] = "sample",   [TPI_PROC_PRESSURE] = "pressure",
	[TPI_PROC_NETWORK] = "network", [TPI_PROC_DISK] = "disk",
};

/*
 * A change is information, a measurement is there to be summed up: a reader that
 * asks for severity `info` sees what happened and not what was measured.
 */
static const struct {
	uint16_t type;
	uint8_t severity;
} kinds[TPI_PROC_SOURCES] = {
	[TPI_PROC_START] = {TAPIO_EVENT_PROCESS_START, TAPIO_SEVERITY_INFO},
	[TPI_PROC_EXIT] = {TAPIO_EVENT_PROCESS_EXIT, TAPIO_SEVERITY_INFO},
	[TPI_PROC_SAMPLE] = {TAPIO_EVENT_PROCESS_SAMPLE, TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_PRESSURE] = {TAPIO_EVENT_PRESSURE, TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_NETWORK] = {TAPIO_EVENT_NETWORK_INTERFACE,
			      TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_DISK] = {TAPIO_EVENT_DISK, TAPIO_SEVERITY_DEBUG},
};

static void count_drop(struct tpi_sink *sink, int err)
{
	sink->dropped[sink->source]++;
	if (!sink->untold++)
		sink->untold_error = err;
}

void *tpi_sink_begin(struct tpi_sink *sink, enum tpi_proc_source source)
{
	size_t capacity = sizeof(sink->buffer);

	if (sink->max_bytes && sink->max_bytes < capacity)
		capacity = sink->max_bytes;
	sink->source = source;
	int err = tapio_event_builder_init(&sink->builder, sink->buffer,
					   capacity, kinds[source].type);
	if (err) {
		count_drop(sink, err);
		return NULL;
	}
	sink->builder.event->severity = kinds[source].severity;
	sink->builder.event->source = TAPIO_SOURCE_PROC;
	return sink->builder.fields;
}

void tpi_sink_string(struct tpi_sink *sink, struct tapio_event_string *field,
		     const char *string, size_t length)
{
	if (length)
		tapio_event_builder_string_max(&sink->builder, field, string,
					       length, sizeof(sink->buffer));
}

static uint32_t event_tag(const struct tpi_sink *sink)
{
	const struct tapio_event *event = sink->builder.event;

	if (sink->urgent_class >= 0 &&
	    (sink->source == TPI_PROC_START || sink->source == TPI_PROC_EXIT))
		return TAPIO_TAG_CLASS(event->type, event->severity,
				       sink->urgent_class);
	return TAPIO_EVENT_TAG(event);
}

bool tpi_sink_end(struct tpi_sink *sink)
{
	int length = tapio_event_builder_finish(&sink->builder);
	int err = length < 0 ? length : 0;

	if (!err)
		err = sink->output(sink->arg, event_tag(sink), sink->buffer,
				   (uint32_t)length);
	if (err)
		count_drop(sink, err);
	else
		sink->emitted[sink->source]++;
	return !err;
}

static const char *drop_reason(const struct tpi_sink *sink, char *text,
			       size_t bytes)
{
	switch (sink->untold_error) {
	case -EAGAIN:
		return "is full";
	case -ETIMEDOUT:
		return "is full and stayed so for as long as it waits";
	case -ENOBUFS:
		return "has no side lane left";
	case -EMSGSIZE:
		snprintf(text, bytes, "takes no events of over %u bytes",
			 sink->max_bytes ? sink->max_bytes : TPI_SINK_BYTES);
		return text;
	default:
		return strerror(-sink->untold_error);
	}
}

void tpi_sink_warn(struct tpi_sink *sink, int64_t now_ns)
{
	char text[64];

	if (!sink->untold ||
	    (sink->told_ns && now_ns - sink->told_ns < WARN_EVERY_NS))
		return;
	tpi_say("%s %s: %" PRIu64 " events dropped", sink->where,
		drop_reason(sink, text, sizeof(text)), sink->untold);
	sink->told_ns = now_ns;
	sink->untold = 0;
}

static size_t append_counts(char *buffer, size_t size, size_t used,
			    const char *what, const uint64_t *counts)
{
	const char *before = " (";
	uint64_t sum = 0;

	for (int i = 0; i < TPI_PROC_SOURCES; i++)
		sum += counts[i];
	used += (size_t)snprintf(buffer + used, size - used, "%s %" PRIu64,
				 what, sum);
	for (int i = 0; i < TPI_PROC_SOURCES && used < size; i++) {
		if (!counts[i])
			continue;
		used += (size_t)snprintf(buffer + used, size - used,
					 "%s%s %" PRIu64, before,
					 tpi_proc_source_names[i], counts[i]);
		before = ", ";
	}
	if (sum && used < size)
		used += (size_t)snprintf(buffer + used, size - used, ")");
	return used < size ? used : size - 1;
}

void tpi_sink_summary(const struct tpi_sink *sink, char *buffer, size_t size)
{
	size_t used = append_counts(buffer, size, 0, "emitted", sink->emitted);

	append_counts(buffer, size, used, ", dropped", sink->dropped);
}
