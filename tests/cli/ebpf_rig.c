/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <tapio/broker.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/cli/ebpf_rig.h"
#include "tools/common/tool.h"

/* On a busy machine all of it takes long. */
#define LIMIT_NS INT64_C(60000000000)

/* Side lanes are for threads that have none of their CPU: there are few of these. */
#define SIDE_BLOCKS 64

/* What ebpf_load() has made. */
static struct {
	struct tpi_ebpf_values values;
	struct tpi_ebpf_programs programs;
} loaded;

static struct {
	struct tapio_event_view view;
	char text[8][EBPF_EVENT_BYTES];
	int next;
} last;

/* ---- can it run? -------------------------------------------------------------- */

bool ebpf_load(uint32_t sources)
{
	int err;

	loaded.values = tpi_ebpf_defaults;
	loaded.values.sources = sources;
	err = tpi_ebpf_programs_load(&loaded.programs, &loaded.values);
	if (!err)
		return true;
	printf("the kernel takes no programs from this user: %s\n",
	       strerror(-err));
	return false;
}

int ebpf_run_case(const char *name, TCase *tests)
{
	const int status = check_run_case(name, tests);

	if (loaded.programs.skeleton)
		tpi_ebpf_programs_close(&loaded.programs);
	return status;
}

/* Those of main(), in the process of the test. Their counts are those of the tests before. */
static void take_loaded(struct ebpf_rig *rig)
{
	const int map = tpi_ebpf_programs_map(&loaded.programs, "counts");
	struct tpi_ebpf_count *none =
		calloc((size_t)loaded.programs.cpus, sizeof(*none));

	ck_assert_ptr_nonnull(none);
	for (uint32_t kind = 0; kind < TPI_EBPF_KINDS; kind++)
		ck_assert_int_eq(bpf_map_update_elem(map, &kind, none, BPF_ANY),
				 0);
	free(none);
	rig->run.values = &rig->values;
	rig->run.programs = loaded.programs;
	rig->run.programs.values = &rig->values;
	loaded.programs.skeleton = NULL;
}

static void load(struct ebpf_rig *rig)
{
	if (loaded.programs.skeleton && !rig->run.programs.adjust &&
	    rig->values.sources == loaded.values.sources &&
	    rig->values.slow_io_ns == loaded.values.slow_io_ns)
		take_loaded(rig);
	else
		ck_assert_int_eq(tpi_ebpf_run_load(&rig->run, &rig->values), 0);
}

/* ---- the broker, and the reader ------------------------------------------------ */

static int output(void *arg, uint32_t tag, const void *data, uint32_t length)
{
	struct ebpf_rig *rig = arg;

	return tapio_output(rig->producer, tag, data, length);
}

static uint32_t max_bytes(void *arg)
{
	struct ebpf_rig *rig = arg;

	return tapio_producer_max_bytes(rig->producer);
}

void ebpf_rig_open(struct ebpf_rig *rig, unsigned int blocks)
{
	static char config[256], error[256];
	struct tapio_broker_options broker = {
		.size = sizeof(broker),
		.config_text = config,
		.error = error,
		.error_bytes = sizeof(error),
	};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker)},
		.group = "all",
		.policy = TAPIO_GROUP_LOSSLESS,
	};

	memset(rig, 0, sizeof(*rig));
	snprintf(config, sizeof(config),
		 "budget = \"512M\"\n"
		 "channel events { class main { block = 1024 blocks = %u "
		 "side_blocks = %u } }\n",
		 blocks, blocks < SIDE_BLOCKS ? blocks : SIDE_BLOCKS);
	ck_assert_msg(!tapio_broker_start(&rig->broker, &broker), "%s", error);
	options.broker.socket = tapio_broker_socket(rig->broker);
	ck_assert_int_eq(
		tapio_producer_open(&rig->producer, "events", &options.broker),
		0);
	ck_assert_int_eq(
		tapio_consumer_open(&rig->consumer, "events", &options), 0);
	rig->values = tpi_ebpf_defaults;
	rig->values.interval_ns = 50000000;
	rig->run.end_ns = LIMIT_NS;
	pthread_mutex_init(&rig->mutex, NULL);
}

static void keep(struct ebpf_rig *rig, const struct tapio_view *view)
{
	struct ebpf_event *event;

	ck_assert_msg(!(view->flags & TAPIO_VIEW_GAP), "events were lost");
	pthread_mutex_lock(&rig->mutex);
	if (rig->count == rig->room) {
		rig->room = rig->room ? rig->room * 2 : 1024;
		rig->events =
			realloc(rig->events, rig->room * sizeof(*rig->events));
		ck_assert_ptr_nonnull(rig->events);
	}
	event = malloc(sizeof(*event));
	ck_assert_ptr_nonnull(event);
	ck_assert_uint_le(view->length, sizeof(event->data));
	event->length = view->length;
	memcpy(event->data, view->data, view->length);
	rig->events[rig->count++] = event;
	pthread_mutex_unlock(&rig->mutex);
}

/* Until asked to stop and nothing is left. */
static void *reader_main(void *arg)
{
	struct ebpf_rig *rig = arg;
	struct tapio_view views[64];

	for (;;) {
		const bool stop = tpi_load_acquire(&rig->stop);
		int n = tapio_poll(rig->consumer, views, 64, 20000000);

		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			keep(rig, &views[i]);
		ck_assert_int_eq(tapio_release(rig->consumer), 0);
		if (stop && !n)
			return NULL;
	}
}

void ebpf_rig_read(struct ebpf_rig *rig)
{
	ck_assert_int_eq(pthread_create(&rig->reader, NULL, reader_main, rig),
			 0);
	rig->reads = true;
}

void ebpf_rig_until(struct ebpf_rig *rig, bool (*seen)(void))
{
	const int64_t end_ns = tpi_monotonic_ns() + LIMIT_NS;
	bool yes;

	do {
		ck_assert_msg(tpi_monotonic_ns() < end_ns, "waited in vain");
		ebpf_pause_ms(5);
		pthread_mutex_lock(&rig->mutex);
		yes = seen();
		pthread_mutex_unlock(&rig->mutex);
	} while (!yes);
}

/* ---- the collector ------------------------------------------------------------- */

static void make_sinks(struct ebpf_rig *rig)
{
	const int count = tpi_ebpf_run_sinks(&rig->run);

	rig->sinks = calloc((size_t)count, sizeof(*rig->sinks));
	ck_assert_ptr_nonnull(rig->sinks);
	for (int i = 0; i < count; i++) {
		struct tpi_sink *sink = &rig->sinks[i];

		ck_assert_int_eq(tpi_sink_init(sink, tpi_ebpf_kinds,
					       TPI_EBPF_ALL_KINDS, 0),
				 0);
		sink->output = output;
		sink->max_bytes = max_bytes;
		sink->arg = rig;
		sink->source = TAPIO_SOURCE_EBPF;
	}
}

void ebpf_rig_begin(struct ebpf_rig *rig)
{
	load(rig);
	make_sinks(rig);
	ck_assert_int_eq(
		tpi_ebpf_run_begin(&rig->run, rig->sinks, rig->producer), 0);
}

void ebpf_rig_end(struct ebpf_rig *rig)
{
	tpi_ebpf_run_end(&rig->run, rig->producer);
	/* ORDER test.ebpf.stop (release): all was emitted before. Pairs with the acquire
	 * in reader_main(). */
	tpi_store_release(&rig->stop, 1);
	if (rig->reads)
		pthread_join(rig->reader, NULL);
	rig->reads = false;
}

void ebpf_rig_close(struct ebpf_rig *rig)
{
	tpi_drains_free(&rig->run.drains);
	for (int i = 0; rig->sinks && i < tpi_ebpf_run_sinks(&rig->run); i++)
		tpi_sink_fini(&rig->sinks[i]);
	free(rig->sinks);
	for (size_t i = 0; i < rig->count; i++)
		free(rig->events[i]);
	free(rig->events);
	tapio_consumer_close(rig->consumer);
	tapio_producer_close(rig->producer);
	tapio_broker_stop(rig->broker);
}

void ebpf_rig_counts(const struct ebpf_rig *rig, struct tpi_count *counts)
{
	memset(counts, 0, (TPI_EBPF_ALL_KINDS + 1) * sizeof(*counts));
	for (int i = 0; i < tpi_ebpf_run_sinks(&rig->run); i++)
		tpi_sink_sum(&rig->sinks[i], counts);
}

void ebpf_rig_kernel(const struct ebpf_rig *rig,
		     struct tpi_ebpf_count counts[TPI_EBPF_KINDS])
{
	ck_assert_int_eq(tpi_ebpf_programs_counts(&rig->run.programs, counts),
			 0);
}

/* ---- events --------------------------------------------------------------------- */

const struct tapio_event_view *ebpf_next(const struct ebpf_rig *rig, size_t *at,
					 uint16_t type, uint32_t pid)
{
	while (*at < rig->count) {
		const struct ebpf_event *event = rig->events[(*at)++];

		ck_assert_int_eq(tapio_event_view_init(&last.view, event->data,
						       event->length),
				 0);
		if (last.view.header.type == type &&
		    (!pid || last.view.header.pid == pid))
			return &last.view;
	}
	return NULL;
}

const char *ebpf_text(const struct tapio_event_string *field)
{
	char *text = last.text[last.next++ % 8];

	tapio_event_view_string(&last.view, field, text, EBPF_EVENT_BYTES);
	return text;
}

uint64_t ebpf_slots(const struct tapio_event_view *view)
{
	struct tapio_event_value histogram, key, value;
	uint64_t sum = 0;
	uint32_t at = 0;

	ck_assert_int_eq(tapio_event_view_get(view, "histogram", &histogram),
			 1);
	while (tapio_event_attribute_next(&histogram, &at, &key, &value) == 1) {
		char text[24];

		snprintf(text, sizeof(text), "%.*s", (int)value.length,
			 value.data);
		sum += strtoull(text, NULL, 10);
	}
	return sum;
}

uint64_t ebpf_wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void ebpf_pause_ms(long ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000,
				       .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}
