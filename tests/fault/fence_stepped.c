/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ORDER wake.barrier (full) in a process that no membarrier reaches: a member that has
 * released a lane has a full fence before it looks whether producers wait. A race would
 * have to hit a few nanoseconds. So a child is stepped through its release, and the
 * fence has to come by between the store of the head and the end of the call.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "tests/unit/client_fixture.h"

#define SKIP      77
#define STEPS_MAX 100000

static struct tapio_producer *p;

/* Opens a member, takes an event, and releases it between two stops. */
static void be_stepped(bool fence)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_view view;

	c->now->fence = fence;
	if (tapio_poll(c, &view, 1, TAPIO_FOREVER) != 1 ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	raise(SIGSTOP);
	if (tapio_release(c))
		_exit(2);
	raise(SIGSTOP);
	_exit(0);
}

static void wait_stop(pid_t pid, int signal_number)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == signal_number,
		      "status 0x%x", status);
}

/* The head of the lane that the event was on, wherever that is. */
static uint64_t head_sum(void)
{
	const struct tapio_shm_cursor *cursors = NULL;
	uint64_t sum = 0;

	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (p->now->client.groups[slot].members)
			cursors = p->now->emit.gating.cursors[slot];
	ck_assert_ptr_nonnull(cursors);
	for (uint32_t i = 0; i < p->now->emit.lane_count; i++)
		for (int k = 0; k < TAPIO_CELLS; k++)
			sum += tpi_load_relaxed(&cursors[i].cells[k].head);
	return sum;
}

#if defined(__x86_64__)
static uint64_t code_at_pc(pid_t pid)
{
	struct user_regs_struct regs;

	ck_assert_int_eq(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
	return (uint64_t)ptrace(PTRACE_PEEKTEXT, pid, regs.rip, NULL);
}

/* mfence, or a lock prefix. */
static bool is_fence(uint64_t code)
{
	return (code & 0xff) == 0xf0 || (code & 0xffffff) == 0xf0ae0f;
}

static bool is_system_call(uint64_t code)
{
	return (code & 0xffff) == 0x050f;
}

/* From the stop before the release to the system call of the stop after it. */
static int count_fences_after_the_head(pid_t pid)
{
	uint64_t before = head_sum(), code;
	int steps, fences = 0;

	/* The rest of raise(), which goes through a system call. */
	for (steps = 0; head_sum() == before; steps++) {
		ck_assert_int_lt(steps, STEPS_MAX);
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		wait_stop(pid, SIGTRAP);
	}
	for (steps = 0; steps < STEPS_MAX; steps++) {
		code = code_at_pc(pid);
		if (is_system_call(code))
			return fences;
		fences += is_fence(code);
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		wait_stop(pid, SIGTRAP);
	}
	ck_abort_msg("no end");
	return 0;
}

START_TEST(a_member_that_no_membarrier_reaches_fences_behind_its_head)
{
	uint64_t x = 1;
	int fences;
	pid_t pid;

	rig_start(RIG_CONFIG);
	pin(0);
	p = rig_producer();
	pid = fork();
	if (!pid)
		be_stepped(_i != 0);
	while (!tpi_load_relaxed(&p->now->client.groups[0].members))
		nap_ms(1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	wait_stop(pid, SIGSTOP);
	fences = count_fences_after_the_head(pid);
	ck_assert_int_eq(fences > 0, _i != 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

static bool may_trace(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	return waitpid(pid, &status, 0) == pid && !status;
}

int main(void)
{
	TCase *t = tcase_create("fence");

	if (!may_trace()) {
		puts("needs the right to trace a child");
		return SKIP;
	}
	tcase_add_loop_test(
		t, a_member_that_no_membarrier_reaches_fences_behind_its_head,
		0, 2);
	return check_run_case("fence stepped", t);
}
#else
int main(void)
{
	(void)head_sum, (void)be_stepped, (void)wait_stop;
	puts("knows the fences of x86-64 only");
	return SKIP;
}
#endif
