/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of the collector of /proc about processes, on trees that are made
 * up and then changed, and on the real one: each start and exit is told once,
 * and an unchanged value is not told.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/proc_capture.h"

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
	/* How it ended is unknown: nothing is made up. */
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

/* ---- the real /proc ----------------------------------------------------- */

static void open_real(uint32_t sources)
{
	struct tpi_proc_options options = {.sources = sources,
					   .no_existing = true};
	const char *failed;

	ck_assert_int_eq(tpi_proc_open(&c->proc, &options, &c->sink, &failed),
			 0);
}

/* The event of that type about `pid`, which must be the only one, or -1. */
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
	/* Kernels since 6.15 tell by the pidfd. Before, it is unknown. */
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

int main(void)
{
	TCase *tc = tcase_create("processes");

	add_process_tests(tc);
	return run_case("proc_collect", tc);
}
