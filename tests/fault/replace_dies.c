/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each party of a replacement is killed or stopped at each of its steps (H1 to H5 in
 * broker/session/hand_over.c): the broker that runs, its keeper, the new keeper, and the
 * first broker of that. Afterwards one of the two programs serves, as the table says, with the
 * same memory: each event comes once, and the handles are connected.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/fault/replace_world.h"

#define ANY (-1)

static const struct cell {
	const char *point;
	const char *action;
	bool by_replace; /* the program that serves in the end */
	int status; /* of the new keeper, if it does not. ANY: it was killed */
	bool both;  /* the new ones are killed before it goes on */
} cells[] = {
	/* The broker that runs. */
	{"hand.handing", "self", false, 4, false},
	{"hand.batch", "self", false, 4, false},
	{"hand.table", "self", false, 4, false},
	{"hand.take", "self", false, 4, false},
	{"hand.quit", "self", true, 0, false},
	{"hand.taken", "self", true, 0, false},
	{"hand.handing", "stop", false, 4, false},
	{"hand.take", "stop", true, 0, false},
	{"hand.quit", "stop", true, 0, false},
	{"hand.taken", "stop", true, 0, false},
	{"hand.take", "stop", false, ANY, true},
	{"hand.quit", "stop", false, ANY, true},
	/* Its keeper. */
	{"hand.handing", "parent", true, 0, false},
	{"hand.take", "parent", true, 0, false},
	{"hand.quit", "parent", true, 0, false},
	{"hand.taken", "parent", true, 0, false},
	/* The new keeper. */
	{"replace.batch", "self", false, ANY, false},
	{"replace.table", "self", false, ANY, false},
	{"replace.checked", "self", false, ANY, false},
	{"replace.table", "stop", false, 4, false},
	{"replace.begin", "parent", true, ANY, false},
	{"replace.take", "parent", true, ANY, false},
	{"replace.ended", "parent", true, ANY, false},
	/* Its first broker. */
	{"replace.begin", "self", true, 0, false},
	{"replace.take", "self", true, 0, false},
	{"replace.ended", "self", true, 0, false},
	{"replace.begin", "stop", false, 4, false},
};
#define CELLS (int)(sizeof(cells) / sizeof(cells[0]))

static bool is_of_old(const struct cell *cell)
{
	return !strncmp(cell->point, "hand.", 5);
}

static pid_t child_of(pid_t pid)
{
	char path[64];
	int child = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &child) != 1)
		child = 0;
	fclose(file);
	return child;
}

/* The new keeper first, for it starts another broker. */
static void kill_both(pid_t next)
{
	pid_t broker = 0;

	REPLACE_WAIT((broker = child_of(next)) != 0);
	kill(next, SIGKILL);
	kill(broker, SIGKILL);
	ck_assert_int_eq(replace_wait(next), 128 + SIGKILL);
	ck_assert_int_eq(replace_wait(broker), 128 + SIGKILL);
}

#define PF_EXITING \
	4u /* linux/sched.h: no instruction of the program comes any more */

/* Dead, or in the kernel's way there, whether it was waited for or not. */
static bool is_gone(pid_t pid)
{
	char path[64], text[256] = "", state;
	unsigned int flags;
	const char *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	at = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	if (!at)
		return true;
	ck_assert_int_eq(
		sscanf(at, ") %c %*d %*d %*d %*d %*d %u", &state, &flags), 2);
	return state == 'Z' || state == 'X' || flags & PF_EXITING;
}

/* The process that has stopped itself: 0 none. */
static pid_t stopped_one(pid_t old_broker, pid_t next)
{
	char path[64], text[256] = "";
	pid_t pids[] = {old_broker, next, child_of(next)};
	FILE *file;

	for (int i = 0; i < 3; i++) {
		const char *at;

		snprintf(path, sizeof(path), "/proc/%d/stat", pids[i]);
		file = pids[i] ? fopen(path, "re") : NULL;
		if (!file)
			continue;
		at = fgets(text, sizeof(text), file) ? strrchr(text, ')')
						     : NULL;
		fclose(file);
		if (at && at[2] == 'T')
			return pids[i];
	}
	return 0;
}

/* It goes on when the others have said that they wait, or have given it up. */
static void let_go_on(const struct cell *cell, pid_t old_broker, pid_t next)
{
	pid_t stopped = 0;

	REPLACE_WAIT((stopped = stopped_one(old_broker, next)) != 0);
	if (cell->both)
		kill_both(next);
	else if (!is_of_old(cell))
		REPLACE_WAIT(replace_log_has("this broker goes on"));
	else if (!cell->by_replace)
		ck_assert_int_eq(replace_wait(next), cell->status);
	else if (strcmp(cell->point, "hand.taken"))
		REPLACE_WAIT(replace_log_has("waits until it goes on"));
	else
		replace_until(true);
	/* It was killed before the new one served. */
	if (!strcmp(cell->point, "hand.taken"))
		ck_assert(is_gone(stopped));
	else
		ck_assert_int_eq(kill(stopped, SIGCONT), 0);
}

/* The program that will be replaced, and clients. Its broker. */
static pid_t now_serves(void)
{
	pid_t broker;

	replace_start("test_tapiod_points", "--keeper=process", NULL);
	replace_until(false);
	broker = replace_broker();
	replace_point(NULL, NULL);
	replace_client("test_replace_client", REPLACE_CONSUMER);
	REPLACE_WAIT(tpi_load_acquire(&shared->consumes));
	replace_client("test_replace_client", REPLACE_PRODUCER);
	replace_client("test_replace_client", REPLACE_CONNECTER);
	replace_flows();
	return broker;
}

START_TEST(one_of_them_serves)
{
	const struct cell *cell = &cells[_i];
	bool stops = !strcmp(cell->action, "stop");
	pid_t next, broker;

	if (is_of_old(cell))
		replace_point(cell->point, cell->action);
	broker = now_serves();
	if (!is_of_old(cell))
		replace_point(cell->point, cell->action);
	next = replace_start("test_tapiod_points", "--replace", NULL);
	replace_point(NULL, NULL);
	REPLACE_WAIT(replace_passed());
	if (stops)
		let_go_on(cell, broker, next);
	if (!cell->by_replace && cell->status != ANY &&
	    !(stops && is_of_old(cell)))
		ck_assert_int_eq(replace_wait(next), cell->status);
	replace_until(cell->by_replace);
	ck_assert(!cell->by_replace || is_gone(broker));
	replace_flows();
	replace_finish();
	printf("%-16s %-7s%s: %s serves, %u events once, %u connects\n",
	       cell->point, cell->action, cell->both ? ", both killed" : "",
	       cell->by_replace ? "the new one" : "the old one",
	       shared->accepted, shared->connects);
}
END_TEST

/*
 * The file changes after it was checked, so the new broker cannot begin when the old one has
 * ended. The new keeper has the memory, and tries again.
 */
START_TEST(a_start_that_fails_late_is_tried_again)
{
	pid_t next;

	now_serves();
	replace_point("replace.checked", "stop");
	next = replace_start("test_tapiod_points", "--replace", NULL);
	replace_point(NULL, NULL);
	REPLACE_WAIT(replace_passed() && stopped_one(0, next));
	replace_configure("channel {");
	kill(next, SIGCONT);
	REPLACE_WAIT(replace_log_has("before it served. Its memory is kept"));
	replace_flows();
	replace_configure(replace_config);
	replace_until(true);
	ck_assert_int_eq(replace_keeper(), next);
	replace_flows();
	replace_finish();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("replace_dies");

	setlinebuf(stdout);
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, replace_set_up, replace_tear_down);
	tcase_add_loop_test(c, one_of_them_serves, 0, CELLS);
	tcase_add_test(c, a_start_that_fails_late_is_tried_again);
	return check_run_case("replace_dies", c);
}
