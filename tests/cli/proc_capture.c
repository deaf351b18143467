/* SPDX-License-Identifier: Apache-2.0 */
/* See proc_capture.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cli/proc_capture.h"
#include "tests/check_main.h"

struct capture *c;

static int keep(void *arg, uint32_t tag, const void *data, uint32_t length)
{
	struct capture *capture = arg;

	if (capture->refuse)
		return capture->refuse;
	ck_assert_uint_lt(capture->count, EVENTS_MAX);
	size_t i = capture->count++;
	capture->events[i].tag = tag;
	capture->events[i].length = length;
	capture->events[i].bytes = malloc(length);
	memcpy(capture->events[i].bytes, data, length);
	ck_assert_int_eq(tapio_event_view_init(&capture->events[i].view,
					       capture->events[i].bytes,
					       length),
			 0);
	return 0;
}

static uint32_t max_bytes(void *arg)
{
	const struct capture *capture = arg;

	return capture->max_bytes;
}

void forget(void)
{
	while (c->count)
		free(c->events[--c->count].bytes);
}

void set_up(void)
{
	c = calloc(1, sizeof(*c));
	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(
		tpi_sink_init(&c->sink, tpi_proc_kinds, TPI_PROC_SOURCES, 0),
		0);
	c->sink.output = keep;
	c->sink.max_bytes = max_bytes;
	c->sink.arg = c;
	c->sink.source = TAPIO_SOURCE_PROC;
	c->warning.where = "channel 'test'";
	fixture_open(&c->fixture);
	fixture_write(&c->fixture, "proc/stat", "btime 1700000000\n");
	fixture_write(&c->fixture, "sys/empty", "\n");
}

void tear_down(void)
{
	tpi_proc_close(c->proc);
	forget();
	tpi_sink_fini(&c->sink);
	fixture_close(&c->fixture);
	free(c);
}

void open_with(struct tpi_proc_options options)
{
	const char *failed;

	snprintf(c->proc_path, sizeof(c->proc_path), "%s/proc",
		 c->fixture.root);
	snprintf(c->sys_path, sizeof(c->sys_path), "%s/sys", c->fixture.root);
	options.proc = c->proc_path;
	options.sys = c->sys_path;
	ck_assert_int_eq(tpi_proc_open(&c->proc, &options, &c->sink, &failed),
			 0);
}

void open_for(uint32_t sources)
{
	open_with((struct tpi_proc_options){.sources = sources});
}

void scan(void)
{
	ck_assert_int_eq(tpi_proc_scan(c->proc), 0);
}

void process(uint32_t pid, uint64_t start_ticks, uint64_t user_ticks)
{
	fixture_process(&c->fixture, &(struct fixture_process){
					     .pid = pid,
					     .comm = "some name",
					     .start_ticks = start_ticks,
					     .user_ticks = user_ticks,
					     .rss_pages = 10,
				     });
}

const struct tapio_event *header(size_t i)
{
	ck_assert_uint_lt(i, c->count);
	return &c->events[i].view.header;
}

const void *fields(size_t i, uint16_t type)
{
	ck_assert_uint_lt(i, c->count);
	const void *found = tapio_event_view_fields(&c->events[i].view, type);
	ck_assert_ptr_nonnull(found);
	return found;
}

void check_string(size_t i, const struct tapio_event_string *string,
		  const char *expected)
{
	char text[512];

	tapio_event_view_string(&c->events[i].view, string, text, sizeof(text));
	ck_assert_str_eq(text, expected);
}

void remove_process(uint32_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%u", pid);
	fixture_remove(&c->fixture, path);
}

int run_case(const char *name, TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	return check_run_case(name, tc);
}
