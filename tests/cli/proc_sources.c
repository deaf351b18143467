/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector's counters (network, disks, pressure), and what it does when a
 * source is missing or the channel refuses: the ledger of emitted and dropped
 * balances, and it says so once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cli/proc_capture.h"

/* ---- counters ----------------------------------------------------------- */

static void interfaces(int lo, int eth)
{
	fixture_write(&c->fixture, "proc/net/dev",
		      "Inter-|\n face |\n"
		      "    lo: %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
		      "  eth0: %d 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
		      lo, eth);
}

START_TEST(an_interface_is_told_at_first_and_then_when_it_changed)
{
	interfaces(0, 1);
	fixture_write(&c->fixture, "sys/class/net/eth0/ifindex", "5\n");
	fixture_write(&c->fixture, "sys/class/net/eth0/mtu", "9000\n");
	fixture_write(&c->fixture, "sys/class/net/eth0/speed", "2500\n");
	fixture_write(&c->fixture, "sys/class/net/eth0/operstate", "up\n");
	fixture_write(&c->fixture, "sys/class/net/lo/speed", "-1\n");
	open_for(SOURCE(NETWORK));
	scan();
	ck_assert_uint_eq(c->count, 2);
	const struct tapio_event_network_interface *p =
		fields(0, TAPIO_EVENT_NETWORK_INTERFACE);
	ck_assert_uint_eq(p->speed_bits, UINT64_MAX);
	p = fields(1, TAPIO_EVENT_NETWORK_INTERFACE);
	check_string(1, &p->name, "eth0");
	ck_assert_uint_eq(p->receive_bytes, 1);
	ck_assert_uint_eq(p->receive_packets, 2);
	ck_assert_uint_eq(p->transmit_bytes, 5);
	ck_assert_uint_eq(p->transmit_dropped, 8);
	ck_assert_uint_eq(p->index, 5);
	ck_assert_uint_eq(p->mtu_bytes, 9000);
	ck_assert_uint_eq(p->speed_bits, UINT64_C(2500000000));
	ck_assert_uint_eq(p->state, TAPIO_INTERFACE_UP);
	ck_assert_uint_eq(p->interval_ns, UINT64_MAX);
	forget();
	interfaces(0, 100);
	scan();
	scan();
	ck_assert_uint_eq(c->count, 1);
	p = fields(0, TAPIO_EVENT_NETWORK_INTERFACE);
	ck_assert_uint_eq(p->receive_bytes, 100);
	ck_assert_uint_gt(p->interval_ns, 0);
	ck_assert_uint_lt(p->interval_ns, UINT64_MAX);
}
END_TEST

START_TEST(disks_that_never_did_anything_are_left_out)
{
	fixture_write(&c->fixture, "proc/diskstats",
		      " 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
		      " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
	open_for(SOURCE(DISK));
	scan();
	scan();
	ck_assert_uint_eq(c->count, 1);
	const struct tapio_event_disk *p = fields(0, TAPIO_EVENT_DISK);
	check_string(0, &p->device, "sda");
	ck_assert_uint_eq(p->read_bytes, 3 * 512);
	ck_assert_uint_eq(p->read_time_ns, 4000000);
	ck_assert_uint_eq(p->write_bytes, 7 * 512);
	ck_assert_uint_eq(p->in_flight, 9);
	ck_assert_uint_eq(p->io_time_ns, 10000000);
	ck_assert_uint_eq(p->major, 8);
}
END_TEST

START_TEST(a_disk_that_was_unplugged_and_came_back_is_told_as_new)
{
	static const char line[] = " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n";

	fixture_write(&c->fixture, "proc/diskstats", "%s", line);
	open_for(SOURCE(DISK));
	scan();
	fixture_write(&c->fixture, "proc/diskstats", "%s", "");
	scan();
	fixture_write(&c->fixture, "proc/diskstats", "%s", line);
	scan();
	ck_assert_uint_eq(c->count, 2);
	const struct tapio_event_disk *p = fields(1, TAPIO_EVENT_DISK);
	ck_assert_uint_eq(p->interval_ns, UINT64_MAX);
}
END_TEST

START_TEST(a_list_longer_than_any_buffer_is_read_to_its_end)
{
	enum {
		DISKS = 2000
	};
	char *text = malloc(DISKS * 80), *at = text;

	for (int i = 0; i < DISKS; i++)
		at += sprintf(at, " 253 %d dm-%d 1 2 3 4 5 6 7 8 9 10 11\n", i,
			      i);
	fixture_write_bytes(&c->fixture, "proc/diskstats", text,
			    (uint64_t)(at - text));
	free(text);
	open_for(SOURCE(DISK));
	scan();
	ck_assert_uint_eq(c->count, DISKS);
}
END_TEST

START_TEST(pressure_is_told_with_every_scan)
{
	fixture_write(&c->fixture, "proc/pressure/cpu",
		      "some avg10=1.50 avg60=2.50 avg300=3.50 total=77\n");
	fixture_write(&c->fixture, "proc/pressure/io",
		      "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
		      "full avg10=0.10 avg60=0.20 avg300=0.30 total=9\n");
	open_for(SOURCE(PRESSURE));
	scan();
	scan();
	ck_assert_uint_eq(c->count, 4);
	const struct tapio_event_pressure *p = fields(0, TAPIO_EVENT_PRESSURE);
	ck_assert_uint_eq(p->resource, TAPIO_PRESSURE_CPU);
	ck_assert_double_eq(p->some_avg10, 1.5);
	ck_assert_uint_eq(p->some_total_us, 77);
	ck_assert_uint_eq(p->full_total_us, UINT64_MAX);
	p = fields(1, TAPIO_EVENT_PRESSURE);
	ck_assert_uint_eq(p->resource, TAPIO_PRESSURE_IO);
	ck_assert_double_eq(p->full_avg300, 0.3);
}
END_TEST

START_TEST(memory_is_told_with_every_scan)
{
	fixture_write(&c->fixture, "proc/meminfo",
		      "MemTotal:       16384 kB\nMemFree: 1 kB\n"
		      "MemAvailable: 2 kB\nBuffers: 99 kB\nCached: 3 kB\n"
		      "SwapCached: 98 kB\nSwapTotal: 4 kB\nSwapFree: 0 kB\n"
		      "Dirty: 5 kB\nAnonPages: 6 kB\nShmem: 7 kB\nSlab: 8 kB\n"
		      "KernelStack: 9 kB\nPageTables: 10 kB\n");
	open_for(SOURCE(MEMORY));
	scan();
	fixture_write(&c->fixture, "proc/meminfo",
		      "MemTotal: x kB\n"
		      "MemFree: 11 kB\nSlab: 1");
	scan();
	ck_assert_uint_eq(c->count, 2);
	const struct tapio_event_memory *p = fields(0, TAPIO_EVENT_MEMORY);
	ck_assert_uint_eq(p->total_bytes, 16384 * 1024);
	ck_assert_uint_eq(p->free_bytes, 1024);
	ck_assert_uint_eq(p->available_bytes, 2048);
	ck_assert_uint_eq(p->cached_bytes, 3 * 1024);
	ck_assert_uint_eq(p->swap_total_bytes, 4 * 1024);
	ck_assert_uint_eq(p->swap_free_bytes, 0);
	ck_assert_uint_eq(p->dirty_bytes, 5 * 1024);
	ck_assert_uint_eq(p->anonymous_bytes, 6 * 1024);
	ck_assert_uint_eq(p->shared_bytes, 7 * 1024);
	ck_assert_uint_eq(p->slab_bytes, 8 * 1024);
	ck_assert_uint_eq(p->kernel_stack_bytes, 9 * 1024);
	ck_assert_uint_eq(p->page_table_bytes, 10 * 1024);
	p = fields(1, TAPIO_EVENT_MEMORY);
	ck_assert_uint_eq(p->total_bytes, UINT64_MAX);
	ck_assert_uint_eq(p->free_bytes, 11 * 1024);
	ck_assert_uint_eq(p->slab_bytes, UINT64_MAX); /* cut off */
}
END_TEST

START_TEST(a_list_of_memory_that_says_nothing_is_no_event)
{
	fixture_write(&c->fixture, "proc/meminfo", "garbage\n\n: 5 kB\n");
	open_for(SOURCE(MEMORY));
	scan();
	ck_assert_uint_eq(c->count, 0);
}
END_TEST

/* ---- what is missing, and what is refused ------------------------------- */

/* The text on the test's stderr while `run` runs. */
static void capture_stderr(void (*run)(void), char *text, size_t size)
{
	int saved = dup(STDERR_FILENO), pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	close(pipes[1]);
	run();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t length = read(pipes[0], text, size - 1);
	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	close(pipes[0]);
}

static uint64_t dropped(enum tpi_proc_source source)
{
	uint64_t sum = 0;

	for (int r = 0; r < TPI_REFUSALS; r++)
		sum += c->sink.counts[source].refused[r];
	return sum;
}

static void scan_thrice(void)
{
	for (int i = 0; i < 3; i++) {
		scan();
		tpi_sinks_warn(&c->sink, &c->warning,
			       INT64_C(1000000000) * (i + 1));
	}
}

START_TEST(an_absent_source_is_said_once_and_the_others_go_on)
{
	char text[1024], expected[1024];

	process(20, 100, 1000);
	open_for(SOURCE(PRESSURE) | SOURCE(NETWORK) | SOURCE(START));
	capture_stderr(scan_thrice, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "tapio: source 'pressure': cannot read %s/proc/pressure: "
		 "No such file or directory\n"
		 "tapio: source 'network': cannot read %s/proc/net/dev: "
		 "No such file or directory\n",
		 c->fixture.root, c->fixture.root);
	ck_assert_str_eq(text, expected);
	ck_assert_uint_eq(c->count, 1);
}
END_TEST

START_TEST(a_full_channel_is_counted_and_warned_about_once)
{
	char text[1024];

	process(20, 100, 1000);
	process(21, 100, 1000);
	open_for(SOURCE(START) | SOURCE(SAMPLE));
	c->refuse = -EAGAIN;
	capture_stderr(scan_thrice, text, sizeof(text));
	ck_assert_str_eq(text,
			 "tapio: channel 'test' is full: 4 events dropped\n");
	ck_assert_uint_eq(dropped(TPI_PROC_START), 2);
	/* A sample that was not told is tried again. */
	ck_assert_uint_eq(dropped(TPI_PROC_SAMPLE), 6);
	c->refuse = 0;
	scan();
	scan();
	ck_assert_uint_eq(c->sink.counts[TPI_PROC_SAMPLE].emitted, 2);
	tpi_counts_summary(c->sink.counts, tpi_proc_kinds, TPI_PROC_SOURCES,
			   text, sizeof(text));
	ck_assert_str_eq(text, "emitted 2 (sample 2), dropped 8 (start 2, "
			       "sample 6)");
}
END_TEST

START_TEST(counters_that_were_refused_are_told_when_there_is_room)
{
	interfaces(1, 1);
	fixture_write(&c->fixture, "proc/diskstats",
		      " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
	open_for(SOURCE(NETWORK) | SOURCE(DISK));
	c->refuse = -EAGAIN;
	scan();
	c->refuse = 0;
	scan();
	scan();
	ck_assert_uint_eq(c->sink.counts[TPI_PROC_NETWORK].emitted, 2);
	ck_assert_uint_eq(c->sink.counts[TPI_PROC_DISK].emitted, 1);
}
END_TEST

static void warn_of_seven(void)
{
	tpi_sink_count_refused(&c->sink, TPI_PROC_EXIT, -ETIMEDOUT, 7);
	tpi_sinks_warn(&c->sink, &c->warning, INT64_C(1000000000));
	tpi_sink_count_refused(&c->sink, TPI_PROC_EXIT, -ETIMEDOUT, 8);
	tpi_sinks_warn(&c->sink, &c->warning, INT64_C(2000000000));
	tpi_sink_count_refused(&c->sink, TPI_PROC_START, -ETIMEDOUT, 9);
	tpi_sinks_warn(&c->sink, &c->warning, INT64_C(11000000000));
}

START_TEST(warnings_are_coalesced_with_nothing_left_out)
{
	char text[1024];

	capture_stderr(warn_of_seven, text, sizeof(text));
	ck_assert_str_eq(text,
			 "tapio: channel 'test' is full and stayed so for as "
			 "long as it waits: 7 events dropped\n"
			 "tapio: channel 'test' is full and stayed so for as "
			 "long as it waits: 17 events dropped\n");
}
END_TEST

START_TEST(strings_are_cut_to_the_channels_event_size_and_marked)
{
	char line[3000];

	memset(line, 'x', sizeof(line));
	process(20, 100, 1000);
	fixture_write_bytes(&c->fixture, "proc/20/cmdline", line, sizeof(line));
	c->max_bytes = 256;
	open_for(SOURCE(START));
	scan();
	ck_assert_uint_eq(c->count, 1);
	ck_assert_uint_le(c->events[0].length, 256);
	ck_assert(header(0)->flags & TAPIO_EVENT_TRUNCATED);
	const struct tapio_event_process_start *p =
		fields(0, TAPIO_EVENT_PROCESS_START);
	check_string(0, &p->comm, "some name");
}
END_TEST

static void scan_and_warn(void)
{
	scan();
	tpi_sinks_warn(&c->sink, &c->warning, 1);
}

START_TEST(events_that_fit_nowhere_are_dropped_and_counted)
{
	char text[1024];

	process(20, 100, 1000);
	c->max_bytes = 128;
	open_for(SOURCE(START));
	capture_stderr(scan_and_warn, text, sizeof(text));
	ck_assert_uint_eq(dropped(TPI_PROC_START), 1);
	ck_assert_str_eq(text, "tapio: channel 'test' takes no events of "
			       "over 128 bytes: 1 events dropped\n");
}
END_TEST

START_TEST(starts_and_exits_go_to_the_class_that_was_asked_for)
{
	process(20, 100, 1000);
	c->sink.urgent_class = 2;
	open_for(SOURCE(START) | SOURCE(SAMPLE));
	scan();
	ck_assert_uint_eq(c->count, 2);
	ck_assert_uint_eq(c->events[0].tag,
			  TAPIO_TAG_CLASS(TAPIO_EVENT_PROCESS_START,
					  TAPIO_SEVERITY_INFO, 2));
	ck_assert_uint_eq(
		c->events[1].tag,
		TAPIO_TAG(TAPIO_EVENT_PROCESS_SAMPLE, TAPIO_SEVERITY_DEBUG));
}
END_TEST

START_TEST(a_tree_that_is_not_there_is_an_error_with_its_path)
{
	struct tpi_proc_options options = {.proc = "/nonexistent/proc"};
	const char *failed;

	ck_assert_int_eq(tpi_proc_open(&c->proc, &options, &c->sink, &failed),
			 -ENOENT);
	ck_assert_str_eq(failed, "/nonexistent/proc");
	ck_assert_ptr_null(c->proc);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc,
		       an_interface_is_told_at_first_and_then_when_it_changed);
	tcase_add_test(tc, disks_that_never_did_anything_are_left_out);
	tcase_add_test(tc,
		       a_disk_that_was_unplugged_and_came_back_is_told_as_new);
	tcase_add_test(tc, a_list_longer_than_any_buffer_is_read_to_its_end);
	tcase_add_test(tc, pressure_is_told_with_every_scan);
	tcase_add_test(tc, memory_is_told_with_every_scan);
	tcase_add_test(tc, a_list_of_memory_that_says_nothing_is_no_event);
	tcase_add_test(tc, an_absent_source_is_said_once_and_the_others_go_on);
	tcase_add_test(tc, a_full_channel_is_counted_and_warned_about_once);
	tcase_add_test(tc,
		       counters_that_were_refused_are_told_when_there_is_room);
	tcase_add_test(tc, warnings_are_coalesced_with_nothing_left_out);
	tcase_add_test(tc,
		       strings_are_cut_to_the_channels_event_size_and_marked);
	tcase_add_test(tc, events_that_fit_nowhere_are_dropped_and_counted);
	tcase_add_test(tc, starts_and_exits_go_to_the_class_that_was_asked_for);
	tcase_add_test(tc, a_tree_that_is_not_there_is_an_error_with_its_path);
}

int main(void)
{
	TCase *tc = tcase_create("sources");

	add_tests(tc);
	return run_case("proc_sources", tc);
}
