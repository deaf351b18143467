/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger that steps through an emitting call aborts its section at every
 * instruction, for ever. The call must end all the same, on a side lane, with the
 * event accepted once.
 */
#include <signal.h>
#include <sys/ptrace.h>

#include "tests/fault/vdso_step.h"
#include "tests/unit/client_fixture.h"

/* One call is some ten thousand steps. Without an end it would be for ever. */
#define STEPS_MAX 400000

#define SKIP 77

static struct tapio_producer *p;
static struct tapio_reservation held;
static const char event[40] = "stepped";

static int step_output(void)
{
	return tapio_output(p, TAG, event, sizeof(event));
}

static int step_batch(void)
{
	struct tapio_item items[2] = {{event, sizeof(event), TAG},
				      {event, sizeof(event), TAG}};

	return tapio_output_batch(p, items, 2) == 2 ? 0 : -EAGAIN;
}

static int step_reserve(void)
{
	int err = tapio_reserve(p, TAG, sizeof(event), &held);

	if (err)
		return err;
	memcpy(held.data, event, sizeof(event));
	return tapio_submit(p, &held);
}

/* The block is one of the CPU's lane, and the event has to leave it. */
static int step_submit(void)
{
	memcpy(held.data, event, sizeof(event));
	return tapio_submit(p, &held);
}

static const struct {
	int (*call)(void);
	bool reserved; /* before the steps begin */
	unsigned int events;
} ways[] = {
	{step_output, false, 1},
	{step_batch, false, 2},
	{step_reserve, false, 1},
	{step_submit, true, 1},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

/* In the child: stops before the call and after it. The exit status says how. */
static int traced(int way)
{
	int err;

	p = rig_producer();
	if (ways[way].reserved && tapio_reserve(p, TAG, sizeof(event), &held))
		return 1;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return SKIP;
	raise(SIGSTOP);
	err = ways[way].call();
	raise(SIGSTOP);
	if (err)
		return 2;
	return p->now->sides.used ? 0 : 3;
}

/* One instruction, or one clock, at a time, up to the second SIGSTOP. How many. */
static unsigned int step_through(pid_t pid)
{
	unsigned int steps = 0;
	int status;

	do {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFSTOPPED(status), "status 0x%x after %u steps",
			      status, steps);
		ck_assert_uint_lt(++steps, STEPS_MAX);
		if (WSTOPSIG(status) == SIGTRAP)
			vdso_leave(pid);
	} while (WSTOPSIG(status) == SIGTRAP);
	ck_assert_int_eq(WSTOPSIG(status), SIGSTOP);
	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	return steps;
}

START_TEST(who_is_stepped_through_a_section_goes_on_on_a_side_lane)
{
	struct tapio_consumer *c;
	unsigned int steps;
	int status;
	pid_t pid;

	rig_start(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	pid = fork();
	if (!pid)
		_exit(traced(_i));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP) {
		fprintf(stderr, "skipped: no right to trace a child\n");
		return;
	}
	ck_assert(WIFSTOPPED(status));
	steps = step_through(pid);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status),
		      "status 0x%x after %u steps", status, steps);
	printf("way %d: %u steps\n", _i, steps);
	fflush(stdout);
	ck_assert_uint_eq(drain(c), ways[_i].events);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *t;

	if (!require_cpu_lanes()) {
		puts("needs rseq");
		return SKIP;
	}
	suite = suite_create("client stepped");
	t = tcase_create("stepped");
	tcase_add_loop_test(
		t, who_is_stepped_through_a_section_goes_on_on_a_side_lane, 0,
		WAYS);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
