/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word `serving` (broker/registry/serving.c): it names the broker's thread while it
 * lives, and tells its end in whatever way it comes. The test has the catalog mapped, as
 * clients do, and the broker is in another process.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/fault/adopt_world.h"
#include "tests/fault/deny.h"
#include "tests/fault/peer.h"

#define CONFIG "channel events { class main { block = 256 blocks = 64 } }"

/* ---- an embedded broker in a child ------------------------------------------------ */

static struct peer watcher;
static int to_child[2], from_child[2];

/* Serves until it is told by a byte to stop (s), or to run another program (x). */
static void serve(void)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	const char *name = tapio_broker_socket(broker);
	char byte = 0;

	if (write(from_child[1], name, strlen(name) + 1) < 0 ||
	    read(to_child[0], &byte, 1) != 1)
		_exit(1);
	if (byte == 'x')
		execl("/proc/self/exe", "serving", "wait", NULL);
	tapio_broker_stop(broker);
	pause();
	_exit(1);
}

static void watch(const char *socket)
{
	peer_connect_to(&watcher, socket);
	ck_assert_int_eq(peer_hello(&watcher), 0);
}

/* The process that the test may kill. `denied`: a call that it may not make, or 0. */
static pid_t serve_in_child(long denied)
{
	char name[128] = "";
	pid_t pid;

	ck_assert_int_eq(pipe(to_child), 0);
	ck_assert_int_eq(pipe(from_child), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (denied && !deny_syscall(denied, EPERM))
			_exit(1);
		serve();
	}
	ck_assert_int_gt(read(from_child[0], name, sizeof(name)), 0);
	watch(name);
	return pid;
}

static uint64_t serving(void)
{
	return tpi_load_acquire(&watcher.catalog.broker->serving);
}

static bool is_told(void)
{
	return watcher.catalog.broker->features & TAPIO_FEATURE_SERVING;
}

static void await(uint64_t word)
{
	while (serving() != word)
		sched_yield();
}

static void kill_and_wait(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static bool is_thread_of(pid_t pid, uint32_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%u", pid, tid);
	return access(path, F_OK) == 0;
}

START_TEST(a_kill_is_told_at_once)
{
	pid_t pid = serve_in_child(0);

	ck_assert(is_told());
	ck_assert_uint_eq(TAPIO_SERVING_RUN(serving()), 1);
	ck_assert(is_thread_of(pid, TAPIO_SERVING_TID(serving())));
	kill_and_wait(pid);
	ck_assert_uint_eq(serving(), TAPIO_SERVING(1, TAPIO_SERVING_DIED));
}
END_TEST

START_TEST(a_stopped_process_still_serves)
{
	pid_t pid = serve_in_child(0);
	uint64_t before = serving();

	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
	ck_assert_uint_eq(serving(), before);
	kill_and_wait(pid);
	ck_assert_uint_eq(serving(), TAPIO_SERVING(1, TAPIO_SERVING_DIED));
}
END_TEST

/* And the end of the process after it does not mark the word again. */
START_TEST(a_clean_stop_names_no_thread)
{
	pid_t pid = serve_in_child(0);

	ck_assert_int_eq(write(to_child[1], "s", 1), 1);
	await(TAPIO_SERVING(1, 0));
	ck_assert_uint_eq(watcher.catalog.broker->state, TAPIO_BROKER_STOPPED);
	kill_and_wait(pid);
	ck_assert_uint_eq(serving(), TAPIO_SERVING(1, 0));
}
END_TEST

/* The process lives on, and its broker does not. */
START_TEST(another_program_in_the_process_is_an_end)
{
	pid_t pid = serve_in_child(0);

	ck_assert_int_eq(write(to_child[1], "x", 1), 1);
	await(TAPIO_SERVING(1, TAPIO_SERVING_DIED));
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	kill_and_wait(pid);
}
END_TEST

/* A child of the broker's process has no share in the word. */
START_TEST(the_end_of_a_fork_is_none_of_the_brokers)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	uint64_t before;
	pid_t pid;

	watch(tapio_broker_socket(broker));
	before = serving();
	pid = fork();
	if (!pid)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(serving(), before);
	peer_hang_up(&watcher);
	tapio_broker_stop(broker);
	ck_assert_uint_eq(serving(), TAPIO_SERVING(1, 0));
}
END_TEST

/* In a namespace whose first process watches, and another one has the broker. */
static int watch_in_namespace(void)
{
	pid_t pid = serve_in_child(0);
	uint32_t tid = TAPIO_SERVING_TID(serving());

	if (!is_told() || tid == (uint32_t)getpid() || tid > 16)
		return 2; /* it is no number of the namespace */
	kill_and_wait(pid);
	return serving() == TAPIO_SERVING(1, TAPIO_SERVING_DIED) ? 0 : 3;
}

/* Not by the test itself: a sanitizer makes a child at its end, when the namespace is gone. */
static int make_namespace(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return 0; /* it takes root */
	pid = fork();
	if (pid < 0)
		return 4;
	if (!pid)
		_exit(watch_in_namespace());
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 5;
	return WEXITSTATUS(status);
}

START_TEST(a_pid_namespace_has_its_own_numbers)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(make_namespace());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(without_robust_lists_the_word_stands)
{
	uint64_t before;
	pid_t pid = serve_in_child(SYS_set_robust_list);

	ck_assert(!is_told());
	before = serving();
	ck_assert(is_thread_of(pid, TAPIO_SERVING_TID(before)));
	kill_and_wait(pid);
	ck_assert_uint_eq(serving(), before);
}
END_TEST

/* ---- a successor ----------------------------------------------------------------- */

START_TEST(a_successor_says_its_run)
{
	uint64_t first;

	world_begin(CONFIG);
	ck_assert(world_start());
	watch(world->socket);
	first = serving();
	ck_assert_uint_eq(TAPIO_SERVING_RUN(first), 1);
	ck_assert(is_thread_of(world_broker(), TAPIO_SERVING_TID(first)));
	for (uint32_t run = 2; run < 5; run++) {
		world_kill();
		ck_assert_uint_eq(serving(),
				  TAPIO_SERVING(run - 1, TAPIO_SERVING_DIED));
		ck_assert(world_start());
		/* It listens before it serves. */
		while (TAPIO_SERVING_RUN(serving()) != run)
			sched_yield();
		ck_assert(is_thread_of(world_broker(),
				       TAPIO_SERVING_TID(serving())));
	}
	world_stop();
	ck_assert_uint_eq(serving(), TAPIO_SERVING(4, 0));
}
END_TEST

int main(int argc, char **argv)
{
	TCase *c;

	if (argc > 1 && !strcmp(argv[1], "wait"))
		pause();
	c = tcase_create("serving");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_kill_is_told_at_once);
	tcase_add_test(c, a_stopped_process_still_serves);
	tcase_add_test(c, a_clean_stop_names_no_thread);
	tcase_add_test(c, another_program_in_the_process_is_an_end);
	tcase_add_test(c, the_end_of_a_fork_is_none_of_the_brokers);
	tcase_add_test(c, a_pid_namespace_has_its_own_numbers);
	tcase_add_test(c, without_robust_lists_the_word_stands);
	tcase_add_test(c, a_successor_says_its_run);
	return check_run_case("serving", c);
}
