/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper process and its broker die at random, one by one: each descriptor that was put
 * is there for the next broker, none is left that was dropped, and there are never two
 * brokers. This program is the host, too (keeper_host.h): a new keeper executes it again.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/check_main.h"
#include "tests/fault/keeper_host.h"

#define LIMIT_S 60
#define ROUNDS  (CHECK_SANITIZED ? 60 : 400)

static struct host *host;
static char path[64];
static pid_t first; /* the keeper that the test has started */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* Waits until it holds. A host that finds a fault fails the test. */
#define WAIT(x)                                                             \
	do {                                                                \
		time_t limit_ = time(NULL) + LIMIT_S;                       \
		while (!(x)) {                                              \
			ck_assert_msg(!tpi_load_acquire(&host->failed),     \
				      "keeper_host.c:%u", host->failed);    \
			ck_assert_msg(time(NULL) < limit_, "in vain: " #x); \
			nap();                                              \
		}                                                           \
	} while (0)

static void make_host(void)
{
	int fd;

	strcpy(path, "/tmp/tapio-keeper-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof(*host)), 0);
	host = mmap(NULL, sizeof(*host), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	ck_assert_ptr_ne(host, MAP_FAILED);
	close(fd);
}

static void set_up(void)
{
	make_host();
	/* A keeper whose parent has died becomes a child of the test. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void start(enum host_mode mode)
{
	char *argv[] = {(char *)"host", path, NULL};

	host->mode = mode;
	first = fork();
	if (!first) {
		closefrom(STDERR_FILENO + 1);
		setenv("TEST_KEEPER_HOST", "1", 1);
		execv("/proc/self/exe", argv);
		_exit(126);
	}
}

static void start_work(void)
{
	start(HOST_WORK);
	WAIT(tpi_load_acquire(&host->steps) > 100);
}

static pid_t broker(void)
{
	return (pid_t)tpi_load_acquire(&host->broker);
}

static pid_t keeper(void)
{
	return (pid_t)tpi_load_acquire(&host->keeper);
}

static int end_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * The loop ends by itself. The exit status of the last keeper. That is a child of the broker
 * until the broker has ended.
 */
static int finish(uint32_t status)
{
	pid_t last = keeper();
	siginfo_t info;

	tpi_store_release(&host->status, status);
	tpi_store_release(&host->quit, 1);
	WAIT(!waitid(P_PID, (id_t)last, &info, WEXITED | WNOWAIT));
	return end_of(last);
}

static void tear_down(void)
{
	/* All that a failed test would leave behind. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	munmap(host, sizeof(*host));
	unlink(path);
}

/* Some steps further on, wherever the broker is then. */
static void let_it_work(void)
{
	uint64_t until =
		tpi_load_acquire(&host->steps) + (uint64_t)(rand() % 100);

	WAIT(tpi_load_acquire(&host->steps) >= until);
}

/* ---- deaths ------------------------------------------------------------------------ */

static bool is_dead(int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	return poll(&end, 1, 0) == 1;
}

/* The next broker is there only when this one is dead, and has found all. */
static void kill_broker(void)
{
	uint32_t generation = tpi_load_acquire(&host->generation);
	pid_t pid = broker();
	int pidfd = tpi_sys_pidfd_open(pid, 0);

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	WAIT(broker() != pid);
	ck_assert(is_dead(pidfd));
	WAIT(tpi_load_acquire(&host->generation) != generation);
	close(pidfd);
}

/* A new one is there, and the old one was dead before. */
static void kill_keeper(int signal)
{
	pid_t pid = keeper();
	int pidfd = tpi_sys_pidfd_open(pid, 0);

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(kill(pid, signal), 0);
	WAIT(keeper() != pid);
	ck_assert(is_dead(pidfd));
	if (pid == first)
		ck_assert_int_eq(end_of(pid), 128 + SIGKILL);
	close(pidfd);
}

START_TEST(no_put_is_lost_when_the_broker_is_killed)
{
	start_work();
	for (int i = 0; i < ROUNDS; i++) {
		let_it_work();
		kill_broker();
	}
	ck_assert_int_eq(keeper(), first);
	ck_assert_int_eq(finish(0), 0);
}
END_TEST

/* SIGSTOP: its queue fills up, and it is killed and replaced. */
START_TEST(a_keeper_that_is_killed_or_stopped_is_replaced_with_all)
{
	start_work();
	for (int i = 0; i < ROUNDS / 8; i++) {
		let_it_work();
		kill_keeper(_i ? SIGSTOP : SIGKILL);
		let_it_work();
		kill_broker();
		WAIT(keeper() > 0);
	}
	ck_assert_int_eq(finish(5), 5);
}
END_TEST

/* With some steps between two deaths, and none. */
START_TEST(they_die_in_any_order)
{
	start_work();
	for (int i = 0; i < ROUNDS / 2; i++) {
		if (rand() % 2)
			let_it_work();
		if (rand() % 4)
			kill_broker();
		else
			kill_keeper(rand() % 2 ? SIGKILL : SIGSTOP);
	}
	ck_assert_int_eq(finish(0), 0);
}
END_TEST

/* ---- what is left behind -------------------------------------------------------------- */

static int fd_count(pid_t pid)
{
	char name[32];
	int count = 0;
	DIR *directory;

	snprintf(name, sizeof(name), "/proc/%d/fd", pid);
	directory = opendir(name);
	ck_assert_ptr_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void pause_host(void)
{
	tpi_store_release(&host->pause, 1);
	WAIT(tpi_load_acquire(&host->paused));
}

static void resume_host(void)
{
	tpi_store_release(&host->pause, 0);
	WAIT(!tpi_load_acquire(&host->paused));
}

START_TEST(the_keeper_has_no_descriptor_more_than_before)
{
	uint64_t steps;
	int empty;

	start_work();
	kill_broker(); /* with one restart behind it */
	pause_host();
	/* 3 of stdio, 2 sockets, 2 pidfds, the signals, the life line; "." and "..". */
	WAIT(fd_count(first) == 12);
	empty = fd_count(first);
	steps = tpi_load_acquire(&host->steps);
	resume_host();
	WAIT(tpi_load_acquire(&host->steps) > steps + 2000);
	kill_broker();
	pause_host();
	WAIT(fd_count(first) == empty);
	resume_host();
	ck_assert_int_eq(finish(0), 0);
}
END_TEST

START_TEST(the_keeper_has_a_name_of_its_own_and_maps_nothing)
{
	char name[32], line[512];
	FILE *file;

	start_work();
	snprintf(name, sizeof(name), "/proc/%d/comm", first);
	file = fopen(name, "re");
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ck_assert_str_eq(line, "tapiod-keeper\n");
	snprintf(name, sizeof(name), "/proc/%d/maps", first);
	file = fopen(name, "re");
	while (fgets(line, sizeof(line), file))
		ck_assert_ptr_null(strstr(line, "memfd:"));
	fclose(file);
	ck_assert_int_eq(finish(0), 0);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------ */

START_TEST(the_exit_status_of_a_broker_is_the_keepers)
{
	host->status = (uint32_t)_i;
	start(HOST_EXIT);
	ck_assert_int_eq(end_of(first), _i);
}
END_TEST

START_TEST(a_broker_that_always_crashes_is_given_up)
{
	start(HOST_CRASH);
	ck_assert_int_eq(end_of(first), 6);
	ck_assert_uint_eq(host->generation, 5);
}
END_TEST

/* Signals to stop go to the broker. One that is killed then is not replaced. */
START_TEST(a_broker_that_is_killed_while_it_stops_is_not_replaced)
{
	uint32_t generation;

	start_work();
	generation = tpi_load_acquire(&host->generation);
	kill(first, SIGTERM);
	let_it_work(); /* it blocks SIGTERM, and goes on */
	kill(broker(), SIGKILL);
	/* 0: the broker was gone before the signal was passed on. */
	ck_assert_int_eq(end_of(first), 6);
	ck_assert_uint_eq(host->generation, generation);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *c;

	(void)argc;
	if (getenv("TEST_KEEPER_HOST"))
		return host_main(argv);
	c = tcase_create("keeper");
	tcase_set_timeout(c, 250);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, no_put_is_lost_when_the_broker_is_killed);
	tcase_add_loop_test(
		c, a_keeper_that_is_killed_or_stopped_is_replaced_with_all, 0,
		2);
	tcase_add_test(c, they_die_in_any_order);
	tcase_add_test(c, the_keeper_has_no_descriptor_more_than_before);
	tcase_add_test(c, the_keeper_has_a_name_of_its_own_and_maps_nothing);
	tcase_add_loop_test(c, the_exit_status_of_a_broker_is_the_keepers, 0,
			    7);
	tcase_add_test(c, a_broker_that_always_crashes_is_given_up);
	tcase_add_test(c,
		       a_broker_that_is_killed_while_it_stops_is_not_replaced);
	return check_run_case("keeper", c);
}
