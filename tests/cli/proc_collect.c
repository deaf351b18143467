/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector of /proc on trees that are made up and then changed: each start
 * and exit is told once, what did not change is not told, and the ledger of
 * emitted and dropped balances.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/fixture.h"
#include "tools/collectors/proc_collect.h"

#define COUNT(array)   ((int)(sizeof(array) / sizeof((array)[0])))
#define EVENTS_MAX     8192
#define ALL_SOURCES    ((1u << TPI_PROC_SOURCES) - 1)
#define SOURCE(source) (1u << TPI_PROC_##source)

/* ---- a sink that keeps what it gets ------------------------------------- */

struct capture {
	struct tpi_sink sink;
	struct fixture fixture;
	char proc_path[80];
	char sys_path[80];
	struct tpi_proc *proc;
	int refuse; /* what output returns */
	size_t count;
	struct {
		uint32_t tag;
		uint32_t length;
		void *bytes;
		struct tapio_event_view view;
	} events[EVENTS_MAX];
};

static struct capture *c;

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

static void forget(void)
{
	while (c->count)
		free(c->events[--c->count].bytes);
}

static void set_up(void)
{
	c = calloc(1, sizeof(*c));
	ck_assert_ptr_nonnull(c);
	c->sink.output = keep;
	c->sink.arg = c;
	c->sink.urgent_class = -1;
	c->sink.where = "channel 'test'";
	fixture_open(&c->fixture);
	fixture_write(&c->fixture, "proc/stat", "btime 1700000000\n");
	fixture_write(&c->fixture, "sys/empty", "\n");
}

static void tear_down(void)
{
	tpi_proc_close(c->proc);
	forget();
	fixture_close(&c->fixture);
	free(c);
}

static void open_with(struct tpi_proc_options options)
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

static void open_for(uint32_t sources)
{
	open_with((struct tpi_proc_options){.sources = sources});
}

static void scan(void)
{
	ck_assert_int_eq(tpi_proc_scan(c->proc), 0);
}

static void process(uint32_t pid, uint64_t start_ticks, uint64_t user_ticks)
{
	fixture_process(&c->fixture, &(struct fixture_process){
					     .pid = pid,
					     .comm = "some name",
					     .start_ticks = start_ticks,
					     .user_ticks = user_ticks,
					     .rss_pages = 10,
				     });
}

static const struct tapio_event *header(size_t i)
{
	ck_assert_uint_lt(i, c->count);
	return &c->events[i].view.header;
}

static const void *fields(size_t i, uint16_t type)
{
	ck_assert_uint_lt(i, c->count);
	const void *found = tapio_event_view_fields(&c->events[i].view, type);
	ck_assert_ptr_nonnull(found);
	return found;
}

static void check_string(size_t i, const struct tapio_event_string *string,
			 const char *expected)
{
	char text[512];

	tapio_event_view_string(&c->events[i].view, string, text, sizeof(text));
	ck_assert_str_eq(text, expected);
}

static void remove_process(uint32_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%u", pid);
	fixture_remove(&c->fixture, path);
}

/* ---- starts and exits --------------------------------------------------- */

START_TEST(what_runs_already_is_told_once_and_marked_existing)
{
	const struct tapio_event_process_start *p;

	process(300, 500, 0);
	process(20, 100, 0);
	open_for(SOURCE(START));
	scan();
	scan();
	ck_assert_uint_eq(c->count, 2);
	ck_assert_uint_eq(header(0)->pid, 20);
	ck_assert_uint_eq(header(1)->pid, 300);
	ck_assert_uint_eq(header(1)->flags, TAPIO_EVENT_EXISTING);
	ck_assert_uint_eq(header(1)->severity, TAPIO_SEVERITY_INFO);
	ck_assert_uint_eq(header(1)->source, TAPIO_SOURCE_PROC);
	ck_assert_uint_eq(header(1)->uid, 1001);
	ck_assert_uint_eq(header(1)->gid, 101);
	ck_assert_uint_eq(header(1)->time_ns,
			  UINT64_C(1700000000) * 1000000000 +
				  500 * UINT64_C(10000000));
	p = fields(1, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_eq(p->start_ns, header(1)->time_ns);
	ck_assert_uint_eq(p->start_ticks, 500);
	ck_assert_uint_eq(p->ppid, 1);
	ck_assert_uint_eq(p->args, 3);
	check_string(1, &p->comm, "some name");
	check_string(1, &p->command_line, "/bin/some name -x y");
	check_string(1, &p->cgroup, "/user.slice");
}
END_TEST

START_TEST(existing_processes_can_be_left_out_and_new_ones_still_show)
{
	process(20, 100, 0);
	open_with((struct tpi_proc_options){.sources = SOURCE(START),
					    .no_existing = true});
	scan();
	process(21, 900, 0);
	scan();
	ck_assert_uint_eq(c->count, 1);
	ck_assert_uint_eq(header(0)->pid, 21);
	ck_assert_uint_eq(header(0)->flags, 0);
}
END_TEST

START_TEST(a_vanished_process_is_told_as_one_exit)
{
	process(20, 100, 0);
	process(21, 110, 0);
	open_for(SOURCE(EXIT));
	scan();
	remove_process(20);
	scan();
	scan();
	ck_assert_uint_eq(c->count, 1);
	const struct tapio_event_process_exit *p =
		fields(0, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_uint_eq(header(0)->pid, 20);
	ck_assert_uint_eq(p->start_ticks, 100);
	check_string(0, &p->comm, "some name");
	/* Nobody knows how it ended: nothing is made up. */
	ck_assert_int_eq(p->exit_code, INT32_MIN);
	ck_assert_uint_eq(p->signal, UINT32_MAX);
	ck_assert_uint_eq(p->cpu_user_ns, UINT64_MAX);
	ck_assert_uint_eq(p->duration_ns, UINT64_MAX);
}
END_TEST

START_TEST(a_reused_pid_is_an_exit_and_then_a_start)
{
	process(20, 100, 0);
	open_for(SOURCE(START) | SOURCE(EXIT));
	scan();
	forget();
	process(20, 777, 0);
	scan();
	ck_assert_uint_eq(c->count, 2);
	const struct tapio_event_process_exit *exit =
		fields(0, TAPIO_EVENT_PROCESS_EXIT);
	const struct tapio_event_process_start *start =
		fields(1, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_eq(exit->start_ticks, 100);
	ck_assert_uint_eq(start->start_ticks, 777);
	ck_assert_uint_eq(header(1)->flags, 0);
}
END_TEST

static void zombie(uint32_t pid, uint64_t start_ticks, uint64_t status)
{
	fixture_process(&c->fixture, &(struct fixture_process){
					     .pid = pid,
					     .comm = "dead",
					     .state = 'Z',
					     .start_ticks = start_ticks,
					     .user_ticks = 300,
					     .system_ticks = 200,
					     .exit_status = status,
				     });
}

START_TEST(a_zombie_has_ended_once_with_its_code_and_its_final_times)
{
	process(20, 100, 0);
	open_for(SOURCE(EXIT));
	scan();
	zombie(20, 100, 7 << 8);
	scan();
	scan();
	remove_process(20);
	scan();
	ck_assert_uint_eq(c->count, 1);
	const struct tapio_event_process_exit *p =
		fields(0, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_int_eq(p->exit_code, 7);
	ck_assert_uint_eq(p->signal, 0);
	ck_assert_uint_eq(p->cpu_user_ns, UINT64_C(3000000000));
	ck_assert_uint_eq(p->cpu_system_ns, UINT64_C(2000000000));
	ck_assert_uint_eq(header(0)->severity, TAPIO_SEVERITY_INFO);
}
END_TEST

START_TEST(what_a_process_executed_since_is_what_its_exit_names)
{
	process(20, 100, 0);
	fixture_link(&c->fixture, "proc/20/exe", "/bin/sh");
	open_for(SOURCE(EXIT));
	scan();
	fixture_process(&c->fixture, &(struct fixture_process){
					     .pid = 20,
					     .comm = "make",
					     .start_ticks = 100,
				     });
	fixture_remove(&c->fixture, "proc/20/exe");
	fixture_link(&c->fixture, "proc/20/exe", "/usr/bin/make");
	scan();
	remove_process(20);
	scan();
	ck_assert_uint_eq(c->count, 1);
	const struct tapio_event_process_exit *p =
		fields(0, TAPIO_EVENT_PROCESS_EXIT);
	check_string(0, &p->comm, "make");
	check_string(0, &p->executable, "/usr/bin/make");
}
END_TEST

START_TEST(a_fatal_signal_is_a_warning_and_a_request_to_end_is_not)
{
	process(20, 100, 0);
	process(21, 100, 0);
	open_for(SOURCE(EXIT));
	scan();
	zombie(20, 100, SIGSEGV | 0x80);
	zombie(21, 100, SIGTERM);
	scan();
	ck_assert_uint_eq(c->count, 2);
	const struct tapio_event_process_exit *p =
		fields(0, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_uint_eq(p->signal, SIGSEGV);
	ck_assert_int_eq(p->exit_code, INT32_MIN);
	ck_assert_uint_eq(header(0)->severity, TAPIO_SEVERITY_WARNING);
	ck_assert_uint_eq(header(1)->severity, TAPIO_SEVERITY_INFO);
}
END_TEST

START_TEST(a_zombie_from_before_is_no_news_but_one_from_between_scans_is)
{
	zombie(20, 100, 0);
	open_for(SOURCE(START) | SOURCE(EXIT));
	scan();
	ck_assert_uint_eq(c->count, 0);
	zombie(21, 200, 1 << 8);
	scan();
	ck_assert_uint_eq(c->count, 2);
	fields(0, TAPIO_EVENT_PROCESS_START);
	fields(1, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_uint_eq(header(1)->pid, 21);
}
END_TEST

START_TEST(what_vanishes_or_makes_no_sense_while_it_is_read_is_passed_over)
{
	process(20, 100, 0);
	fixture_write(&c->fixture, "proc/30/empty", "\n");
	fixture_write(&c->fixture, "proc/31/stat", "rubbish\n");
	fixture_write(&c->fixture, "proc/32/stat", "%s", "");
	fixture_write(&c->fixture, "proc/33", "a file\n");
	fixture_write(&c->fixture, "proc/0/stat", "0 (x) S\n");
	fixture_write(&c->fixture, "proc/99999999999999999999/stat", "x\n");
	fixture_write(&c->fixture, "proc/20x/stat", "x\n");
	open_for(SOURCE(START) | SOURCE(EXIT) | SOURCE(SAMPLE));
	scan();
	ck_assert_uint_eq(c->count, 2); /* start and sample of 20 */
	/* Only some of its files are left. */
	fixture_remove(&c->fixture, "proc/20/stat");
	scan();
	ck_assert_uint_eq(c->count, 3);
	fields(2, TAPIO_EVENT_PROCESS_EXIT);
}
END_TEST

/*
 * The property: after any history, starts minus exits are exactly the processes
 * that are there, and none is told twice.
 */
START_TEST(starts_minus_exits_are_what_runs_after_any_history)
{
	enum {
		PIDS = 24
	};
	uint64_t runs[PIDS] = {0}, told[PIDS] = {0}, ticks = 1;
	unsigned int seed = (unsigned int)_i + 1;

	open_for(SOURCE(START) | SOURCE(EXIT));
	for (int round = 0; round < 60; round++) {
		for (int change = rand_r(&seed) % 6; change > 0; change--) {
			uint32_t i = (uint32_t)rand_r(&seed) % PIDS;
			int what = rand_r(&seed) % 3;
			if (runs[i] && what == 0) {
				remove_process(i + 1);
				runs[i] = 0;
			} else if (what == 1) { /* new, or the pid reused */
				runs[i] = ticks++;
				process(i + 1, runs[i], 0);
			} else if (runs[i] && what == 2) {
				process(i + 1, runs[i], ticks);
			}
		}
		forget();
		scan();
		for (size_t at = 0; at < c->count; at++) {
			uint32_t i = header(at)->pid - 1;
			if (header(at)->type == TAPIO_EVENT_PROCESS_EXIT) {
				const struct tapio_event_process_exit *p =
					fields(at, TAPIO_EVENT_PROCESS_EXIT);
				ck_assert_uint_ne(told[i], 0);
				ck_assert_uint_eq(p->start_ticks, told[i]);
				told[i] = 0;
			} else {
				const struct tapio_event_process_start *p =
					fields(at, TAPIO_EVENT_PROCESS_START);
				ck_assert_uint_eq(told[i], 0);
				told[i] = p->start_ticks;
			}
		}
		ck_assert_mem_eq(told, runs, sizeof(runs));
	}
}
END_TEST

/* ---- samples ------------------------------------------------------------ */

START_TEST(only_processes_that_changed_are_sampled_again)
{
	process(20, 100, 1000);
	process(21, 100, 1000);
	open_for(SOURCE(SAMPLE));
	scan();
	ck_assert_uint_eq(c->count, 2);
	ck_assert_uint_eq(header(0)->severity, TAPIO_SEVERITY_DEBUG);
	const struct tapio_event_process_sample *p =
		fields(0, TAPIO_EVENT_PROCESS_SAMPLE);
	ck_assert_uint_eq(p->cpu_user_ns, UINT64_C(10000000000));
	ck_assert_uint_eq(p->rss_bytes, 10 * (uint64_t)getpagesize());
	ck_assert_uint_eq(p->voluntary_switches, 11);
	ck_assert_uint_eq(p->involuntary_switches, 22);
	ck_assert_uint_eq(p->threads, 2);
	ck_assert_uint_eq(p->state, TAPIO_PROCESS_SLEEPING);
	ck_assert_uint_eq(p->read_bytes, UINT64_MAX); /* no such file */
	ck_assert_uint_eq(p->interval_ns, UINT64_MAX);
	forget();
	process(21, 100, 1050);
	scan();
	ck_assert_uint_eq(c->count, 1);
	ck_assert_uint_eq(header(0)->pid, 21);
	p = fields(0, TAPIO_EVENT_PROCESS_SAMPLE);
	ck_assert_uint_gt(p->interval_ns, 0);
	/* Utilization is CPU time over exactly the interval that it names. */
	ck_assert_double_eq_tol(p->cpu_utilization * (double)p->interval_ns,
				50 * 1e7, 1);
	forget();
	scan();
	ck_assert_uint_eq(c->count, 0);
}
END_TEST

START_TEST(all_samples_also_what_did_not_change)
{
	process(20, 100, 1000);
	open_with((struct tpi_proc_options){.sources = SOURCE(SAMPLE),
					    .all = true});
	scan();
	scan();
	ck_assert_uint_eq(c->count, 2);
}
END_TEST

START_TEST(top_takes_the_busiest_and_the_others_get_their_turn)
{
	process(20, 1, 10);
	process(21, 1, 30);
	process(22, 1, 20);
	open_with(
		(struct tpi_proc_options){.sources = SOURCE(SAMPLE), .top = 2});
	scan();
	ck_assert_uint_eq(c->count, 2);
	ck_assert_uint_eq(header(0)->pid, 21);
	ck_assert_uint_eq(header(1)->pid, 22);
	forget();
	scan(); /* nothing changed, but one was never sampled */
	ck_assert_uint_eq(c->count, 1);
	ck_assert_uint_eq(header(0)->pid, 20);
}
END_TEST

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

/* ---- what is missing, and what is refused ------------------------------- */

/* What the test's stderr says while `run` runs. */
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

static void scan_thrice(void)
{
	for (int i = 0; i < 3; i++) {
		scan();
		tpi_sink_warn(&c->sink, INT64_C(1000000000) * (i + 1));
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
	ck_assert_uint_eq(c->sink.dropped[TPI_PROC_START], 2);
	/* A sample that was not told is tried again. */
	ck_assert_uint_eq(c->sink.dropped[TPI_PROC_SAMPLE], 6);
	ck_assert_uint_eq(c->sink.untold, 4);
	c->refuse = 0;
	scan();
	scan();
	ck_assert_uint_eq(c->sink.emitted[TPI_PROC_SAMPLE], 2);
	tpi_sink_summary(&c->sink, text, sizeof(text));
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
	ck_assert_uint_eq(c->sink.emitted[TPI_PROC_NETWORK], 2);
	ck_assert_uint_eq(c->sink.emitted[TPI_PROC_DISK], 1);
}
END_TEST

static void warn_of_seven(void)
{
	c->sink.untold = 7;
	tpi_sink_warn(&c->sink, INT64_C(1000000000));
	c->sink.untold = 8;
	tpi_sink_warn(&c->sink, INT64_C(2000000000));
	c->sink.untold += 9;
	tpi_sink_warn(&c->sink, INT64_C(11000000000));
}

START_TEST(warnings_are_coalesced_with_nothing_left_out)
{
	char text[1024];

	c->sink.untold_error = -ETIMEDOUT;
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
	c->sink.max_bytes = 256;
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
	tpi_sink_warn(&c->sink, 1);
}

START_TEST(events_that_fit_nowhere_are_dropped_and_counted)
{
	char text[1024];

	process(20, 100, 1000);
	c->sink.max_bytes = 128;
	open_for(SOURCE(START));
	capture_stderr(scan_and_warn, text, sizeof(text));
	ck_assert_uint_eq(c->sink.dropped[TPI_PROC_START], 1);
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

/* ---- the real /proc ----------------------------------------------------- */

static void open_real(uint32_t sources)
{
	struct tpi_proc_options options = {.sources = sources,
					   .no_existing = true};
	const char *failed;

	ck_assert_int_eq(tpi_proc_open(&c->proc, &options, &c->sink, &failed),
			 0);
}

/* The event of that type about `pid`, which must be the only one; or -1. */
static int find_event(uint16_t type, pid_t pid)
{
	int found = -1;

	for (size_t i = 0; i < c->count; i++) {
		if (header(i)->type != type || header(i)->pid != (uint32_t)pid)
			continue;
		ck_assert_int_eq(found, -1);
		found = (int)i;
	}
	return found;
}

/* A child that ends with 7 when it is told to by a byte in its pipe. */
static pid_t start_child(int *tell)
{
	int pipes[2];
	char byte;

	ck_assert_int_eq(pipe(pipes), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) == 1 ? 7 : 8);
	}
	close(pipes[0]);
	*tell = pipes[1];
	return pid;
}

static void wait_for_exits(void)
{
	struct pollfd fd = {.fd = tpi_proc_exit_fd(c->proc), .events = POLLIN};

	if (fd.fd < 0)
		return; /* no pidfds here: the scan finds it */
	ck_assert_int_eq(poll(&fd, 1, 30000), 1);
	tpi_proc_exits(c->proc);
}

START_TEST(a_real_child_is_told_from_start_to_exit_code)
{
	int tell;

	open_real(SOURCE(START) | SOURCE(EXIT));
	scan();
	pid_t pid = start_child(&tell);
	scan();
	int at = find_event(TAPIO_EVENT_PROCESS_START, pid);
	ck_assert_int_ge(at, 0);
	const struct tapio_event_process_start *start =
		fields((size_t)at, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_eq(start->ppid, (uint32_t)getpid());
	ck_assert_uint_eq(header((size_t)at)->uid, geteuid());
	ck_assert_int_eq(write(tell, "x", 1), 1);
	siginfo_t info;
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	while (find_event(TAPIO_EVENT_PROCESS_EXIT, pid) < 0 &&
	       tpi_proc_exit_fd(c->proc) >= 0)
		wait_for_exits();
	scan();
	at = find_event(TAPIO_EVENT_PROCESS_EXIT, pid);
	ck_assert_int_ge(at, 0);
	const struct tapio_event_process_exit *exit =
		fields((size_t)at, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_uint_eq(exit->start_ticks, start->start_ticks);
	ck_assert_int_eq(exit->exit_code, 7);
	ck_assert_uint_eq(exit->signal, 0);
	waitpid(pid, NULL, 0);
	close(tell);
	scan();
	find_event(TAPIO_EVENT_PROCESS_EXIT, pid); /* still only one */
}
END_TEST

START_TEST(a_child_that_was_reaped_first_is_told_without_guessing)
{
	int tell;

	open_real(SOURCE(EXIT));
	pid_t pid = start_child(&tell);
	scan();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(tell);
	if (tpi_proc_exit_fd(c->proc) >= 0)
		tpi_proc_exits(c->proc);
	scan();
	int at = find_event(TAPIO_EVENT_PROCESS_EXIT, pid);
	ck_assert_int_ge(at, 0);
	const struct tapio_event_process_exit *exit =
		fields((size_t)at, TAPIO_EVENT_PROCESS_EXIT);
	/* Kernels since 6.15 tell by the pidfd; before, nobody knows. */
	ck_assert(exit->signal == SIGKILL || exit->signal == UINT32_MAX);
	ck_assert_int_eq(exit->exit_code, INT32_MIN);
	ck_assert_uint_eq(exit->cpu_user_ns, UINT64_MAX);
}
END_TEST

START_TEST(the_real_proc_gives_samples_of_ourselves)
{
	open_real(SOURCE(SAMPLE) | SOURCE(NETWORK) | SOURCE(DISK));
	scan();
	int at = find_event(TAPIO_EVENT_PROCESS_SAMPLE, getpid());
	ck_assert_int_ge(at, 0);
	const struct tapio_event_process_sample *p =
		fields((size_t)at, TAPIO_EVENT_PROCESS_SAMPLE);
	ck_assert_uint_gt(p->rss_bytes, 0);
	ck_assert_uint_lt(p->rss_bytes, UINT64_MAX);
	ck_assert_uint_ge(p->virtual_bytes, p->rss_bytes);
}
END_TEST

static void add_process_tests(TCase *tc)
{
	tcase_add_test(tc, what_runs_already_is_told_once_and_marked_existing);
	tcase_add_test(
		tc, existing_processes_can_be_left_out_and_new_ones_still_show);
	tcase_add_test(tc, a_vanished_process_is_told_as_one_exit);
	tcase_add_test(tc, a_reused_pid_is_an_exit_and_then_a_start);
	tcase_add_test(
		tc, a_zombie_has_ended_once_with_its_code_and_its_final_times);
	tcase_add_test(tc,
		       what_a_process_executed_since_is_what_its_exit_names);
	tcase_add_test(tc,
		       a_fatal_signal_is_a_warning_and_a_request_to_end_is_not);
	tcase_add_test(
		tc,
		a_zombie_from_before_is_no_news_but_one_from_between_scans_is);
	tcase_add_test(
		tc,
		what_vanishes_or_makes_no_sense_while_it_is_read_is_passed_over);
	tcase_add_loop_test(
		tc, starts_minus_exits_are_what_runs_after_any_history, 0, 8);
	tcase_add_test(tc, only_processes_that_changed_are_sampled_again);
	tcase_add_test(tc, all_samples_also_what_did_not_change);
	tcase_add_test(tc, top_takes_the_busiest_and_the_others_get_their_turn);
	tcase_add_test(tc, a_real_child_is_told_from_start_to_exit_code);
	tcase_add_test(tc,
		       a_child_that_was_reaped_first_is_told_without_guessing);
	tcase_add_test(tc, the_real_proc_gives_samples_of_ourselves);
}

static void add_other_tests(TCase *tc)
{
	tcase_add_test(tc,
		       an_interface_is_told_at_first_and_then_when_it_changed);
	tcase_add_test(tc, disks_that_never_did_anything_are_left_out);
	tcase_add_test(tc,
		       a_disk_that_was_unplugged_and_came_back_is_told_as_new);
	tcase_add_test(tc, a_list_longer_than_any_buffer_is_read_to_its_end);
	tcase_add_test(tc, pressure_is_told_with_every_scan);
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
	Suite *suite = suite_create("proc_collect");
	TCase *tc = tcase_create("proc_collect");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	add_process_tests(tc);
	add_other_tests(tc);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
