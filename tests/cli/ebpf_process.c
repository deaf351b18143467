/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes through the kernel's rings: each one is told of or counted, whatever is full.
 * TAPIO_LONG=1 makes 20,000 of them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/cli/ebpf_rig.h"

#define PID_MAX 4194304

extern char **environ;

static struct ebpf_rig rig;

/* How often a pid was made, and in how many events of each kind it is. A pid comes again. */
static struct seen {
	uint16_t made;
	uint16_t exec;
	uint16_t fork;
	uint16_t exit;
} * seen;

static void run_one(const char *program, char *const *arguments)
{
	pid_t pid;
	int status;

	ck_assert_int_eq(
		posix_spawn(&pid, program, NULL, NULL, arguments, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_lt(pid, PID_MAX);
	seen[pid].made++;
}

static void run_true(int times)
{
	char *const arguments[] = {"true", "one", "two words", NULL};

	for (int i = 0; i < times; i++)
		run_one("/bin/true", arguments);
}

static void make_seen(void)
{
	seen = calloc(PID_MAX, sizeof(*seen));
	ck_assert_ptr_nonnull(seen);
}

/* ---- the events --------------------------------------------------------------- */

/*
 * The broker is in this process, and makes a child a moment after a client has come (starts.c).
 * It ends without an exec, so it has the name of the broker's thread for all of its life.
 */
static bool is_the_brokers(const struct tapio_event_string *comm)
{
	return !strcmp(ebpf_text(comm), "tapio-broker");
}

static void look_at_starts(void)
{
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_START, 0))) {
		const struct tapio_event_process_start *start =
			tapio_event_view_fields(view,
						TAPIO_EVENT_PROCESS_START);

		if ((pid_t)start->ppid != getpid() ||
		    is_the_brokers(&start->comm))
			continue;
		if (start->operation == TAPIO_PROCESS_EXEC)
			seen[view->header.pid].exec++;
		else if (start->operation == TAPIO_PROCESS_FORK)
			seen[view->header.pid].fork++;
	}
}

static void look_at_exits(void)
{
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_EXIT, 0))) {
		const struct tapio_event_process_exit *exit =
			tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_EXIT);

		if ((pid_t)exit->ppid == getpid() &&
		    !is_the_brokers(&exit->comm))
			seen[view->header.pid].exit++;
	}
}

/* How many of a kind are not there of those that were made. */
static uint64_t missing(int pid, uint16_t count, const char *kind)
{
	ck_assert_msg(count <= seen[pid].made,
		      "pid %d was made %u times, and is in %u events of %s",
		      pid, seen[pid].made, count, kind);
	return seen[pid].made - count;
}

/* None is told of that was not made, and those that are not told of are counted as lost. */
static void all_are_seen_or_lost(const struct tpi_count *counts)
{
	uint64_t execs = 0, forks = 0, exits = 0;

	look_at_starts();
	look_at_exits();
	for (int pid = 1; pid < PID_MAX; pid++) {
		if (!memcmp(&seen[pid], &(struct seen){0}, sizeof(*seen)))
			continue;
		execs += missing(pid, seen[pid].exec, "exec");
		forks += missing(pid, seen[pid].fork, "fork");
		exits += missing(pid, seen[pid].exit, "exit");
	}
	ck_assert_uint_le(execs, counts[TPI_EBPF_EXEC].lost);
	ck_assert_uint_le(forks, counts[TPI_EBPF_FORK].lost);
	ck_assert_uint_le(exits, counts[TPI_EBPF_EXIT].lost);
}

static void all_are_seen(void)
{
	const struct tpi_count none[TPI_EBPF_ALL_KINDS + 1] = {0};

	all_are_seen_or_lost(none);
}

/* The kinds of processes. Those of other sources have none here. */
static const unsigned int process_kinds[] = {TPI_EBPF_EXEC, TPI_EBPF_FORK,
					     TPI_EBPF_EXIT};
#define PROCESS_KINDS 3

/* How many events of a kind came out at the other end. */
static uint64_t delivered(unsigned int kind)
{
	const uint16_t type = tpi_ebpf_kinds[kind].type;
	const struct tapio_event_view *view;
	uint64_t count = 0;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, type, 0))) {
		const struct tapio_event_process_start *start =
			tapio_event_view_fields(view,
						TAPIO_EVENT_PROCESS_START);

		count += !start ||
			 start->operation == (kind == TPI_EBPF_EXEC
						      ? TAPIO_PROCESS_EXEC
						      : TAPIO_PROCESS_FORK);
	}
	return count;
}

/* The sum of the loss events of a kind. */
static uint64_t told_lost(unsigned int kind)
{
	const struct tapio_event_view *view;
	uint64_t count = 0;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_LOSS, 0))) {
		const struct tapio_event_loss *loss =
			tapio_event_view_fields(view, TAPIO_EVENT_LOSS);

		ck_assert_str_eq(ebpf_text(&loss->collector), "ebpf");
		ck_assert_uint_le(loss->first_ns, loss->last_ns);
		if (!strcmp(ebpf_text(&loss->what), tpi_ebpf_kinds[kind].name))
			count += loss->count;
	}
	return count;
}

static uint64_t dropped(const struct tpi_count *count)
{
	uint64_t sum = 0;

	for (int i = 0; i < TPI_REFUSALS; i++)
		sum += count->refused[i];
	return sum;
}

/*
 * For each kind, to the last one: those that the kernel wanted to write are those that were
 * delivered, those that the channel refused, and those that loss events count.
 */
static void the_sum_is_exact(uint64_t *lost, uint64_t *refused)
{
	struct tpi_count counts[TPI_EBPF_ALL_KINDS + 1];

	*lost = 0;
	*refused = 0;
	ebpf_rig_counts(&rig, counts);
	for (int i = 0; i < PROCESS_KINDS; i++) {
		const unsigned int kind = process_kinds[i];
		const struct tpi_count *count = &counts[kind];

		ck_assert_uint_eq(count->read, count->emitted + dropped(count));
		ck_assert_uint_eq(delivered(kind), count->emitted);
		ck_assert_uint_eq(told_lost(kind), count->lost);
		*lost += count->lost;
		*refused += dropped(count);
	}
}

/*
 * The same against the kernel's own count, which can be read while the programs are there.
 */
static void end_and_balance(void)
{
	struct tpi_count counts[TPI_EBPF_ALL_KINDS + 1];
	struct tpi_ebpf_count kernel[TPI_EBPF_KINDS];

	tpi_ebpf_programs_detach(&rig.run.programs);
	ebpf_rig_kernel(&rig, kernel);
	ebpf_rig_end(&rig);
	ebpf_rig_counts(&rig, counts);
	for (int i = 0; i < PROCESS_KINDS; i++) {
		const unsigned int kind = process_kinds[i];

		ck_assert_uint_eq(kernel[kind].seen,
				  counts[kind].read + kernel[kind].refused);
		ck_assert_uint_eq(kernel[kind].refused, counts[kind].lost);
	}
}

/* ---- tests ------------------------------------------------------------------------ */

static void begin(unsigned int blocks, uint64_t ring_bytes)
{
	make_seen();
	ebpf_rig_open(&rig, blocks);
	rig.values.sources = 1U << TPI_EBPF_SOURCE_PROCESS;
	rig.values.ring_bytes = ring_bytes;
	ebpf_rig_begin(&rig);
}

static void finish(void)
{
	ebpf_rig_close(&rig);
	free(seen);
}

START_TEST(each_of_many_short_processes_is_seen_from_fork_to_exit)
{
	const int times = getenv("TAPIO_LONG") ? 20000 : 500;
	struct tpi_count counts[TPI_EBPF_ALL_KINDS + 1];
	uint64_t lost, refused;

	begin(8192, 4U << 20);
	ebpf_rig_read(&rig);
	run_true(times);
	end_and_balance();
	the_sum_is_exact(&lost, &refused);
	ck_assert_uint_eq(refused, 0);
	ebpf_rig_counts(&rig, counts);
	all_are_seen_or_lost(counts);
	/* Of 500 none can be lost: all of them have room in the rings. */
	if (times == 500)
		ck_assert_uint_eq(lost, 0);
	printf("%d processes: exec %" PRIu64 ", fork %" PRIu64 ", exit %" PRIu64
	       " events of this host, lost %" PRIu64 "\n",
	       times, counts[TPI_EBPF_EXEC].emitted,
	       counts[TPI_EBPF_FORK].emitted, counts[TPI_EBPF_EXIT].emitted,
	       lost);
	finish();
}
END_TEST

START_TEST(a_full_ring_of_one_page_loses_and_counts_to_the_last_one)
{
	uint64_t lost, refused;

	begin(4096, (uint64_t)sysconf(_SC_PAGESIZE));
	ebpf_rig_read(&rig);
	/* Twice, and the first time it is told before the second one. */
	for (int i = 0; i < 2; i++) {
		run_true(20);
		tpi_ebpf_run_hold(
			&rig.run); /* as with a lane that has no room */
		run_true(100);
		tpi_ebpf_run_go_on(&rig.run, rig.producer);
		ebpf_pause_ms((long)(rig.values.interval_ns / 1000000));
		tpi_ebpf_run_step(&rig.run, rig.producer);
	}
	end_and_balance();
	the_sum_is_exact(&lost, &refused);
	ck_assert_uint_gt(lost, 100);
	ck_assert_uint_eq(refused, 0);
	finish();
}
END_TEST

/* The group reads nothing, so that 16 blocks fill. Then it reads, and all is there. */
START_TEST(a_full_lane_leaves_records_in_the_ring_and_loses_none)
{
	uint64_t lost, refused;

	begin(16, 4U << 20);
	run_true(100);
	for (int i = 0; !tpi_ebpf_run_waits(&rig.run); i++) {
		ck_assert_msg(i < 3000, "no lane was ever full");
		ebpf_pause_ms(10);
	}
	ebpf_rig_read(&rig);
	end_and_balance();
	the_sum_is_exact(&lost, &refused);
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_eq(refused, 0);
	all_are_seen();
	finish();
}
END_TEST

START_TEST(what_finds_no_room_until_the_end_is_counted_as_refused)
{
	struct tpi_count counts[TPI_EBPF_ALL_KINDS + 1];
	uint64_t lost, refused, full = 0, room;

	begin(16, 4U << 20);
	rig.run.end_ns = 100000000;
	room = 16 * (uint64_t)rig.run.programs.cpus;
	run_true(100 + (int)room);
	end_and_balance();
	ebpf_rig_read(&rig); /* only now */
	pthread_join(rig.reader, NULL);
	the_sum_is_exact(&lost, &refused);
	ebpf_rig_counts(&rig, counts);
	for (int i = 0; i < PROCESS_KINDS; i++)
		full += counts[process_kinds[i]].refused[TPI_REFUSED_FULL];
	ck_assert_uint_ge(refused, 3 * (100 + room) - room);
	ck_assert_uint_eq(full, refused);
	finish();
}
END_TEST

static const struct tapio_event_view *exec_of(pid_t pid)
{
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_START,
				 (uint32_t)pid))) {
		const struct tapio_event_process_start *start =
			tapio_event_view_fields(view,
						TAPIO_EVENT_PROCESS_START);

		if (start->operation == TAPIO_PROCESS_EXEC)
			return view;
	}
	return NULL;
}

static void check_exec(pid_t pid, uint64_t from_ns, uint64_t to_ns)
{
	const struct tapio_event_view *view = exec_of(pid);
	const struct tapio_event_process_start *start;

	ck_assert_ptr_nonnull(view);
	start = tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_ge(view->header.time_ns, from_ns);
	ck_assert_uint_le(view->header.time_ns, to_ns);
	ck_assert_uint_le(start->start_ns, view->header.time_ns);
	ck_assert_uint_ge(start->start_ns, from_ns - 1000000);
	ck_assert_uint_eq(start->ppid, (uint32_t)getpid());
	ck_assert_uint_eq(start->args, 3);
	ck_assert_uint_eq(view->header.uid, getuid());
	ck_assert_uint_ne(view->header.cgroup_id, 0);
	ck_assert_uint_eq(start->group_id, (uint32_t)getpgrp());
	ck_assert_str_eq(ebpf_text(&start->comm), "sh");
	ck_assert_str_eq(ebpf_text(&start->command_line), "sh -c kill -9 $$");
	ck_assert_ptr_nonnull(strstr(ebpf_text(&start->executable), "/bin/"));
}

static void check_exit(pid_t pid, uint64_t duration_ns)
{
	const struct tapio_event_process_exit *exit;
	const struct tapio_event_view *view;
	size_t at = 0;

	view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_EXIT, (uint32_t)pid);
	ck_assert_ptr_nonnull(view);
	exit = tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_uint_eq(exit->signal, SIGKILL);
	ck_assert_int_eq(exit->exit_code, INT32_MIN); /* it has none */
	ck_assert_uint_eq(view->header.severity, TAPIO_SEVERITY_WARNING);
	ck_assert_uint_gt(exit->duration_ns, 0);
	ck_assert_uint_le(exit->duration_ns, duration_ns);
	ck_assert_uint_gt(exit->cpu_user_ns + exit->cpu_system_ns, 0);
	ck_assert_uint_ge(exit->rss_max_bytes, 65536);
	/* Before its exec it shared the memory of this process, which counts. */
	ck_assert_uint_lt(exit->rss_max_bytes, 1 << 30);
}

START_TEST(exec_and_exit_say_who_when_and_how)
{
	char *const arguments[] = {"sh", "-c", "kill -9 $$", NULL};
	uint64_t from_ns, to_ns;
	pid_t pid;

	begin(4096, 1U << 20);
	ebpf_rig_read(&rig);
	from_ns = ebpf_wall_ns();
	ck_assert_int_eq(
		posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ),
		0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	to_ns = ebpf_wall_ns();
	ebpf_rig_end(&rig);
	check_exec(pid, from_ns, to_ns);
	check_exit(pid, to_ns - from_ns);
	finish();
}
END_TEST

/* It has no place in the file system, and must not look like the root of it. */
START_TEST(a_program_without_a_file_has_the_name_of_its_memory)
{
	const struct tapio_event_process_start *start;
	const struct tapio_event_view *view;
	char *const arguments[] = {"hidden", NULL};
	char path[32], block[65536];
	int in = open("/bin/true", O_RDONLY | O_CLOEXEC);
	int memory = memfd_create("a name", MFD_CLOEXEC);
	ssize_t n;
	pid_t pid;

	while ((n = read(in, block, sizeof(block))) > 0)
		ck_assert_int_eq(write(memory, block, (size_t)n), n);
	begin(4096, 1U << 20);
	ebpf_rig_read(&rig);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	ck_assert_int_eq(
		posix_spawn(&pid, path, NULL, NULL, arguments, environ), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ebpf_rig_end(&rig);
	view = exec_of(pid);
	ck_assert_ptr_nonnull(view);
	start = tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_START);
	ck_assert_str_eq(ebpf_text(&start->executable), "/memfd:a name");
	ck_assert_str_eq(ebpf_text(&start->command_line), "hidden");
	close(memory);
	close(in);
	finish();
}
END_TEST

/* ---- threads, and the program for kernels before 6.16 -------------------------------- */

#define TOGETHER 2

static uint32_t there;

/*
 * They wait for each other without sleeping, so that they end at the same moment, and by the
 * system call, so that the last one of them runs no handlers of libc.
 */
static void *end_together(void *arg)
{
	tpi_add_relaxed(&there, 1);
	while (tpi_load_relaxed(&there) < TOGETHER)
		;
	syscall(SYS_exit, 0);
	return arg;
}

/*
 * A process whose threads all end at once: its last thread is any of them. It is this program
 * anew: a fork of a process with threads may have locks that nothing frees.
 */
#define THREADS_ARGUMENT "end-together"

static pid_t run_threads(void)
{
	char *const arguments[] = {"threads", THREADS_ARGUMENT, NULL};
	pid_t pid;

	ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", NULL, NULL,
				     arguments, environ),
			 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return pid;
}

static int be_threads(void)
{
	pthread_t thread;

	for (int i = 1; i < TOGETHER; i++)
		pthread_create(&thread, NULL, end_together, NULL);
	end_together(NULL);
	return 1; /* not reached */
}

static void each_ends_once(const pid_t *pids, int count)
{
	for (int i = 0; i < count; i++) {
		size_t at = 0;

		ck_assert_ptr_nonnull(ebpf_next(&rig, &at,
						TAPIO_EVENT_PROCESS_EXIT,
						(uint32_t)pids[i]));
		ck_assert_msg(!ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_EXIT,
					 (uint32_t)pids[i]),
			      "pid %d has ended twice", pids[i]);
	}
}

/* Of the host: each process that is told of as started has a number of its own. */
static void threads_are_no_processes(void)
{
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_START, 0)))
		ck_assert_uint_eq(view->header.pid, view->header.tid);
}

#define THREADED (CHECK_SANITIZED ? 20 : 100)

static void run_threaded(void)
{
	pid_t pids[THREADED];

	ebpf_rig_read(&rig);
	for (int i = 0; i < THREADED; i++)
		pids[i] = run_threads();
	ebpf_rig_end(&rig);
	each_ends_once(pids, THREADED);
	threads_are_no_processes();
	finish();
}

START_TEST(a_process_of_many_threads_ends_once)
{
	begin(4096, 1U << 20);
	run_threaded();
}
END_TEST

static struct bpf_program *old_exit;

static void choose_old_exit(struct bpf_object *object)
{
	old_exit = bpf_object__find_program_by_name(object, "process_exit_old");
	bpf_program__set_autoload(old_exit, true);
	bpf_program__set_autoload(
		bpf_object__find_program_by_name(object, "process_exit"),
		false);
}

START_TEST(a_process_of_many_threads_ends_once_on_an_older_kernel)
{
	struct bpf_link *link;

	make_seen();
	ebpf_rig_open(&rig, 4096);
	rig.values.sources = 1U << TPI_EBPF_SOURCE_PROCESS;
	rig.run.programs.adjust = choose_old_exit;
	ebpf_rig_begin(&rig);
	link = bpf_program__attach_trace(old_exit);
	ck_assert_ptr_nonnull(link);
	run_threaded();
	bpf_link__destroy(link);
}
END_TEST

/* ---- existing processes ------------------------------------------------------------------- */

START_TEST(a_process_that_runs_already_is_told_of_as_existing)
{
	char *const arguments[] = {"sleep", "1000.5", NULL};
	const struct tapio_event_process_start *start;
	const struct tapio_event_view *view;
	size_t at = 0;
	pid_t pid;

	ck_assert_int_eq(
		posix_spawn(&pid, "/bin/sleep", NULL, NULL, arguments, environ),
		0);
	make_seen();
	ebpf_rig_open(&rig, 4096);
	rig.values.sources =
		1U << TPI_EBPF_SOURCE_PROCESS | 1U << TPI_EBPF_SOURCE_EXISTING;
	ebpf_rig_begin(&rig);
	ebpf_rig_read(&rig);
	while (rig.run.more)
		tpi_ebpf_run_step(&rig.run, rig.producer);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ebpf_rig_end(&rig);
	view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_START, (uint32_t)pid);
	ck_assert_ptr_nonnull(view);
	start = tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_eq(view->header.flags, TAPIO_EVENT_EXISTING);
	ck_assert_uint_eq(start->operation, 0);
	ck_assert_str_eq(ebpf_text(&start->command_line), "sleep 1000.5");
	ck_assert_uint_eq(start->ppid, (uint32_t)getpid());
	finish();
}
END_TEST

int main(int argc, char **argv)
{
	TCase *tests;

	if (argc == 2 && !strcmp(argv[1], THREADS_ARGUMENT))
		return be_threads();

	if (!ebpf_load(1U << TPI_EBPF_SOURCE_PROCESS))
		return 77;
	tests = tcase_create("process");
	tcase_add_test(tests,
		       each_of_many_short_processes_is_seen_from_fork_to_exit);
	tcase_add_test(
		tests,
		a_full_ring_of_one_page_loses_and_counts_to_the_last_one);
	tcase_add_test(tests,
		       a_full_lane_leaves_records_in_the_ring_and_loses_none);
	tcase_add_test(tests,
		       what_finds_no_room_until_the_end_is_counted_as_refused);
	tcase_add_test(tests, exec_and_exit_say_who_when_and_how);
	tcase_add_test(tests,
		       a_program_without_a_file_has_the_name_of_its_memory);
	tcase_add_test(tests, a_process_of_many_threads_ends_once);
	tcase_add_test(tests,
		       a_process_of_many_threads_ends_once_on_an_older_kernel);
	tcase_add_test(tests,
		       a_process_that_runs_already_is_told_of_as_existing);
	return ebpf_run_case("ebpf_process", tests);
}
