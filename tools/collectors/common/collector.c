/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a collector between its options and its end. See the header.
 *
 * The library keeps a handle alive over a restart of the broker, and moves it to the memory
 * of another instance. So we only act where there is none: without --wait we end, with it
 * we leave the old memory and attach again when there is a broker.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/collectors/common/collector.h"

#define LOOK_NS INT64_C(100000000)
/* Between two tries to open a channel that is not there. */
#define PAUSE_NS     INT64_C(50000000)
#define PAUSE_MAX_NS INT64_C(5000000000)

/* ---- the channel -------------------------------------------------------------------- */

static int output(void *arg, uint32_t tag, const void *data, uint32_t length)
{
	struct tpi_collector *c = arg;

	if (!c->producer)
		return -ENOTCONN;
	return tapio_output(c->producer, tag, data, length);
}

static uint32_t max_bytes(void *arg)
{
	struct tpi_collector *c = arg;

	return c->producer ? tapio_producer_max_bytes(c->producer) : 0;
}

static int open_producer(void *arg, const struct tapio_options *broker)
{
	struct tpi_collector *c = arg;

	return tapio_producer_open(&c->producer, c->values.channel, broker);
}

bool tpi_collector_may_change(int err)
{
	return err == -ENOENT || err == -ESHUTDOWN || err == -EUSERS ||
	       err == -EDQUOT || err == -EAGAIN || err == -EPROTO;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool sleep_idly(struct tpi_collector *c, int64_t until_ns)
{
	while (c->about->idle && tpi_monotonic_ns() + LOOK_NS < until_ns) {
		c->about->idle(c->about->settings.values);
		if (!tpi_sleep_until(tpi_monotonic_ns() + LOOK_NS))
			return false;
	}
	return tpi_sleep_until(until_ns);
}

/* As tpi_connect, and waits for the channel, too. 0 or -errno. */
static int open_channel(struct tpi_collector *c)
{
	int64_t end_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), c->connect.wait_ns);
	int64_t pause_ns = PAUSE_NS;

	end_ns = earlier(end_ns, c->end_ns);
	for (bool told = false;; told = true) {
		int err = tpi_connect(&c->connect, open_producer, c);
		int64_t now_ns = tpi_monotonic_ns();

		if (!err || !tpi_collector_may_change(err) ||
		    !c->connect.wait_ns || now_ns >= end_ns)
			return err;
		if (!told)
			tpi_say("waiting for channel '%s': %s",
				c->values.channel,
				c->connect.error[0] ? c->connect.error
						    : strerror(-err));
		if (!sleep_idly(c, earlier(now_ns + pause_ns, end_ns)))
			return -EINTR;
		pause_ns = earlier(pause_ns * 2, PAUSE_MAX_NS);
	}
}

static bool find_class(struct tpi_collector *c)
{
	const char *name = c->values.urgent_class;
	int klass = name ? tapio_producer_class(c->producer, name) : -1;

	if (name && klass < 0)
		return tpi_collector_fail(c, TPI_EXIT_REFUSED,
					  "channel '%s' has no class '%s' "
					  "(tapio-shmstat channels lists those "
					  "that it has)",
					  c->values.channel, name);
	c->urgent_class = klass;
	for (struct tpi_sink *sink = c->sinks; sink; sink = sink->next)
		sink->urgent_class = klass;
	return true;
}

bool tpi_collector_attach(struct tpi_collector *c)
{
	int err = open_channel(c);

	if (!err) {
		if (!find_class(c))
			return false;
		c->began = true;
		return true;
	}
	/* Asked to end while we waited: that is no failure of a collector. */
	if (c->connect.wait_ns &&
	    (tpi_stop_signal() || tpi_monotonic_ns() >= c->end_ns))
		return false;
	c->status =
		(int)tpi_connect_failed(&c->connect, c->values.channel, err);
	return false;
}

static void detach(struct tpi_collector *c)
{
	tapio_producer_close(c->producer);
	c->producer = NULL;
}

static bool attach_again(struct tpi_collector *c)
{
	if (c->about->quiesce)
		c->about->quiesce(c->about->settings.values, true);
	detach(c);
	if (!tpi_collector_attach(c))
		return false;
	if (c->about->quiesce)
		c->about->quiesce(c->about->settings.values, false);
	tpi_say("attached again to channel '%s'", c->values.channel);
	return true;
}

static bool stay_attached(struct tpi_collector *c)
{
	int link = tapio_producer_broker(c->producer);

	if (!tpi_broker_gone(&c->connect, link))
		return true;
	if (link == TAPIO_LINK_REFUSED)
		tpi_say("the broker at %s has given up this handle: %s",
			tpi_connect_socket(&c->connect),
			tapio_producer_error(c->producer));
	else
		tpi_say("the broker at %s has gone%s",
			tpi_connect_socket(&c->connect),
			c->connect.wait_ns ? ""
					   : " (--wait would wait for the next "
					     "one)");
	if (c->connect.wait_ns)
		return attach_again(c);
	c->status = TPI_EXIT_BROKER_GONE;
	return false;
}

bool tpi_collector_away(struct tpi_collector *c)
{
	return tapio_producer_broker(c->producer) == TAPIO_LINK_ABSENT;
}

/* ---- what is due -------------------------------------------------------------------- */

static bool is_to_end(const struct tpi_collector *c, int64_t now_ns)
{
	return c->status || tpi_stop_signal() || now_ns >= c->end_ns;
}

bool tpi_collector_tend(struct tpi_collector *c)
{
	int64_t now_ns = tpi_monotonic_ns();

	tpi_sinks_warn(c->sinks, &c->warning, now_ns);
	if (is_to_end(c, now_ns))
		return false;
	if (now_ns >= c->look_ns) {
		c->look_ns = now_ns + LOOK_NS;
		if (!stay_attached(c))
			return false;
	}
	if (now_ns >= c->health_ns) {
		c->health_ns = tpi_deadline_ns(now_ns, c->values.health_ns);
		tpi_collector_report(c);
	}
	return !is_to_end(c, tpi_monotonic_ns());
}

int tpi_collector_wait(struct tpi_collector *c, int fd, int64_t deadline_ns)
{
	int64_t until_ns = earlier(c->look_ns + 9 * LOOK_NS, c->health_ns);

	return tpi_wait_until(
		fd, earlier(earlier(until_ns, c->end_ns), deadline_ns));
}

/* ---- begin and end ------------------------------------------------------------------ */

bool tpi_collector_fail(struct tpi_collector *c, int status, const char *format,
			...)
{
	char text[800];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tpi_say("%s", text);
	c->status = status;
	return false;
}

int tpi_collector_sink(struct tpi_collector *c, struct tpi_sink *sink)
{
	int err = tpi_sink_init(sink, c->about->kinds, c->about->kind_count,
				c->about->event_bytes);

	if (err) {
		tpi_collector_fail(c, TPI_EXIT_FAILURE, "out of memory");
		return err;
	}
	sink->output = output;
	sink->max_bytes = max_bytes;
	sink->arg = c;
	sink->source = c->about->source;
	sink->urgent_class = c->urgent_class;
	sink->next = c->sinks;
	c->sinks = sink;
	return 0;
}

static void free_all(struct tpi_collector *c)
{
	for (struct tpi_sink *sink = c->sinks; sink; sink = sink->next)
		tpi_sink_fini(sink);
	tpi_settings_free(&c->about->settings);
	tpi_settings_file_free(c->file);
}

bool tpi_collector_begin(struct tpi_collector *c,
			 const struct tpi_collector_about *about, int argc,
			 char **argv)
{
	int64_t now_ns;

	memset(c, 0, sizeof(*c));
	c->about = about;
	c->urgent_class = -1;
	tpi_tool_init(about->name);
	if (!tpi_collector_options(c, argc, argv) ||
	    tpi_collector_sink(c, &c->health)) {
		free_all(c);
		return false;
	}
	c->connect.socket = c->values.socket;
	c->connect.wait_ns = c->values.wait_ns;
	c->connect.idle = about->idle;
	c->connect.idle_arg = about->settings.values;
	snprintf(c->where, sizeof(c->where), "channel '%s'", c->values.channel);
	c->warning.where = c->where;
	c->start_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	now_ns = tpi_monotonic_ns();
	c->end_ns = tpi_deadline_ns(now_ns, c->values.duration_ns);
	c->connect.end_ns = c->end_ns;
	c->health_ns = tpi_deadline_ns(now_ns, c->values.health_ns);
	tpi_signals_init();
	return true;
}

void tpi_collector_counts(const struct tpi_collector *c,
			  struct tpi_count *counts)
{
	memset(counts, 0, (c->about->kind_count + 1) * sizeof(*counts));
	for (const struct tpi_sink *sink = c->sinks; sink; sink = sink->next)
		tpi_sink_sum(sink, counts);
}

static void print_summary(struct tpi_collector *c)
{
	struct tpi_count counts[TPI_KINDS_MAX + 1];
	char text[900];

	tpi_collector_counts(c, counts);
	tpi_counts_summary(counts, c->about->kinds, c->about->kind_count, text,
			   sizeof(text));
	tpi_say("%s", text);
}

int tpi_collector_end(struct tpi_collector *c)
{
	const bool attached = c->producer != NULL;

	/* A run that was short has not told why yet. */
	if (c->began && !c->warning.told_ns)
		tpi_sinks_warn(c->sinks, &c->warning, tpi_monotonic_ns());
	if (attached && c->health_told)
		tpi_collector_report(c);
	if (!c->values.quiet && c->began)
		print_summary(c);
	detach(c);
	free_all(c);
	return c->status;
}
