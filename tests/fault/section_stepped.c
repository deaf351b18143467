/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each section of the lane, stopped at each of its instructions, and killed there, or
 * aborted there while something else happens on the lane.
 *
 * A child runs the operation under ptrace, one instruction at a time. A step would abort
 * a real section: the trap is a signal, and the kernel looks at rseq_cs on its way back
 * to user mode. So in the child the sections work on an rseq area that the kernel does
 * not know. The instructions are the library's own. The kernel's part is done by
 * this test:
 *
 *   SIGKILL     leaves in memory what the instructions before it have stored, and
 *               nothing else. The kernel writes nothing into the lane of a process that
 *               dies, with or without rseq. So a kill at instruction k is the same here.
 *   an abort    moves the thread to the abort handler that rseq_cs names, if it is
 *               between start and commit, and clears rseq_cs (kernel/rseq.c). Before it,
 *               other threads have run on the CPU: here, this process.
 *   another CPU works meanwhile without an abort: here, this process again, and the
 *               child goes on as if nothing had happened.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lane/emit.h"
#include "tests/check_main.h"
#include "tests/unit/lane_fixture.h"

#define SKIP 77

#define CHILD   TAPIO_ATTACHMENT_ID(1, 1)
#define YOU     TAPIO_ATTACHMENT_ID(2, 1)
#define SWEEPER TAPIO_ATTACHMENT_ID(3, 1)

#define BLOCKS    16
#define BLOCK     320
#define UNREAD    3 /* events that a lossless group has not read */
#define HELD_MOST 4
#define RUN_BYTES 40 /* of each event of a run */
#define SLOT      0
#define STEPS_MAX 100000

static struct lane_fixture f;
static _Thread_local struct tpi_rseq fake __attribute__((aligned(32)));

/* ---- operations, in the child -------------------------------------------------- */

static struct tpi_emit emit;
static struct tpi_lane *row[4096];
static struct tapio_shm_doorbells doorbells;
static const uint64_t nothing_active;
static struct tapio_reservation reservation;

/* Blocks that were reserved before the steps, by the child's name. */
static uint32_t held_blocks[HELD_MOST];
static uint64_t held_tickets[HELD_MOST];
static unsigned char payload[BLOCK];
static uint64_t stamp_value;

static int moved_output(const struct tpi_emit *e, uint32_t tag,
			const void *data, uint32_t length)
{
	(void)e, (void)tag, (void)data, (void)length;
	return TPI_MOVED;
}

static int moved_reserve(const struct tpi_emit *e, uint32_t tag,
			 uint32_t length, struct tapio_reservation *out)
{
	(void)e, (void)tag, (void)length, (void)out;
	return TPI_MOVED;
}

static int moved_submit(const struct tpi_emit *e, struct tapio_reservation *r)
{
	uint64_t desc = tpi_meta(r->tag, r->length) | r->block;
	uint64_t ticket = tpi_reservation_ticket(e, r);

	return tpi_lane_publish(&f.lane, &desc, &ticket, 1, stamp_value);
}

static void fill_emit(void)
{
	memset(&emit, 0, sizeof(emit));
	row[f.lane.cpu] = &f.lane;
	emit.cpus = f.lane.cpu + 1;
	emit.plain_span = f.lane.time ? 0 : TPI_USUAL_SPAN;
	emit.tsc_span = f.lane.time ? TPI_USUAL_SPAN : 0;
	emit.size_count = emit.class_count = 1;
	emit.stamp = !f.lane.time ? TAPIO_STAMP_NONE : TAPIO_STAMP_TSC;
	emit.active = &nothing_active;
	emit.boards = &nothing_active;
	emit.doorbells = &doorbells;
	emit.serving = &nothing_active; /* as `served` */
	emit.sizes[0] = emit.classes[0] =
		(struct tpi_size){.fast_bytes = BLOCK,
				  .bytes = BLOCK,
				  .row = (struct tpi_lane *const *)row};
	emit.me = CHILD;
	emit.lane_count = 1;
	emit.lanes = &f.lane;
	emit.output_slow = moved_output;
	emit.reserve_slow = moved_reserve;
	emit.submit_slow = moved_submit;
}

#define TAG TAPIO_TAG(7, 3)

static int fast_output(uint32_t n)
{
	return tpi_emit_output(&emit, TAG, payload, n);
}

static int fast_reserve(uint32_t n)
{
	return tpi_emit_reserve(&emit, TAG, n, &reservation);
}

static int fast_submit(uint32_t n)
{
	reservation = (struct tapio_reservation){
		.data = tpi_lane_block(&f.lane, held_blocks[0]),
		.length = n,
		.tag = TAG,
		.capacity = BLOCK,
		.block = held_blocks[0],
		.ticket = TAPIO_TICKET_PLACE(held_tickets[0]),
	};
	return tpi_emit_submit(&emit, &reservation);
}

static int plain_output(uint32_t n)
{
	return tpi_lane_output(&f.lane, &f.gating, tpi_meta(TAG, n),
			       stamp_value, payload, n);
}

static int batch_reserve(uint32_t n)
{
	uint32_t blocks[HELD_MOST];
	uint64_t tickets[HELD_MOST];

	return tpi_lane_reserve(&f.lane, &f.gating, CHILD, blocks, tickets, n);
}

/* As the library's batch does with blocks that it has taken. */
static int put_run(const struct tpi_run *run)
{
	uint64_t descs[HELD_MOST], tickets[HELD_MOST];
	uint32_t i;
	int err;

	for (i = 0; i < run->count; i++) {
		memcpy(tpi_lane_block(&f.lane, run->blocks[i]), payload,
		       RUN_BYTES);
		descs[i] = tpi_meta(TAG, RUN_BYTES) | run->blocks[i];
		tickets[i] = run->ticket + TAPIO_TICKET(0, i);
	}
	do
		err = tpi_lane_publish(&f.lane, descs, tickets, run->count,
				       stamp_value);
	while (err == TPI_MOVED);
	return err ? err : (int)run->count;
}

static int batch_output(uint32_t n)
{
	struct tapio_item items[HELD_MOST];
	struct tpi_run run;
	uint32_t i, done;
	int got;

	for (i = 0; i < n; i++)
		items[i] = (struct tapio_item){payload, RUN_BYTES, TAG};
	for (done = 0; done < n; done += (uint32_t)got) {
		got = tpi_emit_run(&emit, emit.sizes, tpi_item_kind(items),
				   items, n - done, &run);
		if (got == TPI_RUN_HELD)
			got = put_run(&run);
		if (got < 0)
			return got;
	}
	return 0;
}

static int batch_publish(uint32_t n)
{
	uint64_t descs[HELD_MOST];
	uint32_t i;

	for (i = 0; i < n; i++)
		descs[i] = tpi_meta(TAG, 8) | held_blocks[i];
	return tpi_lane_publish(&f.lane, descs, held_tickets, n, stamp_value);
}

/* The effect of an operation on the lane when it is committed. */
static const struct way {
	int (*run)(uint32_t n);
	uint32_t n;      /* bytes or blocks */
	uint32_t before; /* blocks that the child holds before */
	int32_t held;    /* how held changes */
	uint32_t tail;   /* how tail changes */
	/* Of the two sections of a batch, which. There nothing is held by others. */
	uint32_t part;
} ways[] = {
	{fast_output, 0, 0, 0, 1, 0},    {fast_output, 8, 0, 0, 1, 0},
	{fast_output, 31, 0, 0, 1, 0},   {fast_output, 64, 0, 0, 1, 0},
	{fast_output, 300, 0, 0, 1, 0},  {plain_output, 16, 0, 0, 1, 0},
	{plain_output, 64, 0, 0, 1, 0},  {plain_output, 320, 0, 0, 1, 0},
	{fast_reserve, 8, 0, 1, 0, 0},   {batch_reserve, 1, 0, 1, 0, 0},
	{batch_reserve, 3, 0, 3, 0, 0},  {batch_output, 2, 0, 2, 0, 1},
	{batch_output, 2, 0, 0, 2, 2},   {fast_submit, 8, 1, -1, 1, 0},
	{batch_publish, 1, 1, -1, 1, 0}, {batch_publish, 2, 2, -2, 2, 0},
	{batch_publish, 3, 3, -3, 3, 0},
};
#define WAYS  (int)(sizeof(ways) / sizeof(ways[0]))
#define GIVES 4 /* the last ones put blocks back */
/* No stamps, the processor's counter, a clock's value. */
#define STAMPS 3
/* Where the ring ends: behind the events, and in the middle of them. */
static const uint64_t starts[] = {BLOCKS, BLOCKS + 11};
#define STARTS 2
#define CASES  (WAYS * STAMPS * STARTS)

static const struct way *way;
static uint64_t first_unread;
static uint32_t others_block;

/* What is held when the section begins, and when the whole call has ended. */
static uint32_t held_first(void)
{
	return way->part == 2 ? way->n : way->before;
}

static uint32_t held_last(void)
{
	return way->held > 0 && !way->part ? (uint32_t)way->held : 0;
}

static uint32_t events_last(void)
{
	return way->part ? way->n : way->tail;
}

static void set_up(int i)
{
	const int stamps = i / WAYS % STAMPS;
	uint32_t k, value;

	way = &ways[i % WAYS];
	lane_fixture_init(&f, BLOCKS, BLOCK, starts[i / WAYS / STAMPS]);
	if (stamps == 0)
		f.lane.time = NULL;
	stamp_value = stamps == 2 ? 4711 : TPI_STAMP_TSC;
	lane_fixture_join(&f, SLOT, TAPIO_GROUP_LOSSLESS, 0);
	first_unread = lane_tail(&f);
	for (k = 0; k < UNREAD; k++) {
		value = 1000 + k;
		ck_assert_int_eq(lane_output(&f, 1, &value, 4), 0);
	}
	if (!way->part)
		ck_assert_int_eq(lane_reserve(&f, YOU, &others_block, 1), 0);
	for (k = 0; k < way->before; k++) {
		ck_assert_int_eq(lane_reserve(&f, CHILD, &held_blocks[k], 1),
				 0);
		held_tickets[k] = f.mine[held_blocks[k]];
		memset(tpi_lane_block(&f.lane, held_blocks[k]), 'h', 8);
	}
	memset(payload, 'p', sizeof(payload));
	fill_emit();
}

/* ---- the child --------------------------------------------------------------- */

static void be_stepped(void)
{
	int err;

	fake.cpu_id_start = fake.cpu_id = f.lane.cpu;
	tpi_rseq_offset = (char *)&fake - (char *)__builtin_thread_pointer();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(SKIP);
	raise(SIGSTOP);
	do {
		err = way->run(way->n);
	} while (err == TPI_MOVED);
	_exit(err == -EINVAL ? 2 : err != 0);
}

static pid_t spawn(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		be_stepped();
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	return pid;
}

struct registers {
	struct user_regs_struct regs;
	struct iovec iov;
};

static uint64_t *program_counter(struct registers *r)
{
#if defined(__x86_64__)
	return (uint64_t *)&r->regs.rip;
#else
	return (uint64_t *)&r->regs.pc;
#endif
}

static void get_registers(pid_t pid, struct registers *r)
{
	r->iov = (struct iovec){&r->regs, sizeof(r->regs)};
	ck_assert_int_eq(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r->iov),
			 0);
}

static uint64_t peek(pid_t pid, const void *at)
{
	errno = 0;
	return (uint64_t)ptrace(PTRACE_PEEKDATA, pid, at, NULL);
}

/* As in linux/rseq.h. */
struct descriptor {
	uint64_t version_and_flags;
	uint64_t start;
	uint64_t length;
	uint64_t abort;
};

/* Whether the child is inside a section, and of which. */
static bool in_section(pid_t pid, struct descriptor *d)
{
	uint64_t at = peek(pid, &fake.rseq_cs);
	struct registers r;

	if (!at)
		return false;
	/* Position independent, and the same image as ours. */
	memcpy(d, (const void *)(uintptr_t)at, sizeof(*d));
	get_registers(pid, &r);
	return *program_counter(&r) - d->start < d->length;
}

static void step(pid_t pid)
{
	int status;

	ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP,
		      "status 0x%x", status);
}

static void move_to(pid_t pid, uint64_t address)
{
	struct registers r;

	get_registers(pid, &r);
	*program_counter(&r) = address;
	ck_assert_int_eq(ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &r.iov), 0);
}

#if defined(__x86_64__)
#define BREAKPOINT      UINT64_C(0xcc)
#define BREAKPOINT_MASK UINT64_C(0xff)
#else
#define BREAKPOINT      UINT64_C(0xd4200000)
#define BREAKPOINT_MASK UINT64_C(0xffffffff)
#endif

/* Where the first section of a run begins. */
static uint64_t run_start;

/* Whether the child is inside the section that the way is about. */
static bool in_way(pid_t pid, struct descriptor *d)
{
	if (!in_section(pid, d))
		return false;
	if (way->part == 2 && !run_start)
		run_start = d->start;
	return way->part != 2 || d->start != run_start;
}

/* Where the way's section begins, which the first child has found step by step. */
static uint64_t section_start;

static void run_to_start(pid_t pid)
{
	void *at = (void *)(uintptr_t)section_start;
	uint64_t code = peek(pid, at);
	int status;

	ck_assert_int_eq(
		ptrace(PTRACE_POKETEXT, pid, at,
		       (void *)((code & ~BREAKPOINT_MASK) | BREAKPOINT)),
		0);
	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	ck_assert_int_eq(ptrace(PTRACE_POKETEXT, pid, at, (void *)code), 0);
	move_to(pid, section_start);
}

/*
 * Runs the child up to instruction `k` of the way's section; false when that has fewer.
 * With k = its length the child stands behind the commit.
 */
static bool run_to(pid_t pid, unsigned int k, struct descriptor *d)
{
	unsigned int steps = 0;

	if (section_start)
		run_to_start(pid);
	while (!in_way(pid, d)) {
		ck_assert_uint_lt(steps++, STEPS_MAX);
		step(pid);
	}
	section_start = d->start;
	while (k--) {
		if (!in_section(pid, d))
			return false;
		step(pid);
	}
	return true;
}

/* As the kernel does on the way back to user mode. */
static void abort_section(pid_t pid)
{
	struct descriptor d;

	if (!in_section(pid, &d))
		return;
	move_to(pid, d.abort);
	ck_assert_int_eq(ptrace(PTRACE_POKEDATA, pid, &fake.rseq_cs, NULL), 0);
}

static int let_end(pid_t pid)
{
	int status;

	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "status 0x%x", status);
	return WEXITSTATUS(status);
}

static void end_by_kill(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

/* ---- the state afterwards ----------------------------------------------------- */

static const unsigned char *data_at(uint64_t position)
{
	return tpi_lane_block(
		&f.lane, TAPIO_DESC_BLOCK(f.lane.desc[position & f.lane.mask]));
}

/* The events that were unread before lie there whole. */
static void check_unread(void)
{
	uint32_t k, value;

	for (k = 0; k < UNREAD; k++) {
		memcpy(&value, data_at(first_unread + k), 4);
		ck_assert_uint_eq(value, 1000 + k);
	}
}

/* An event of the child, at a position. */
static void check_event(uint64_t position)
{
	const bool output = way->part || (way->tail && !way->before);
	const uint32_t length = way->part ? RUN_BYTES : output ? way->n : 8;
	uint64_t desc = f.lane.desc[position & f.lane.mask];
	uint32_t i;

	ck_assert_uint_eq(TAPIO_DESC_TYPE(desc), TAPIO_TAG_TYPE(TAG));
	ck_assert_uint_eq(TAPIO_DESC_LENGTH(desc), length);
	for (i = 0; i < length; i++)
		ck_assert_uint_eq(data_at(position)[i], output ? 'p' : 'h');
	if (f.lane.time && stamp_value != TPI_STAMP_TSC && way->before > 1)
		ck_assert_uint_eq(f.lane.time[position & f.lane.mask], 4711);
}

/* The child's events from a position on: so many, between those of others. */
static void check_events_from(uint64_t position, uint32_t count)
{
	uint32_t found = 0;

	for (; position != lane_tail(&f); position++)
		if (TAPIO_DESC_TYPE(f.lane.desc[position & f.lane.mask]) ==
		    TAPIO_TAG_TYPE(TAG)) {
			check_event(position);
			found++;
		}
	ck_assert_uint_eq(found, count);
}

static bool is_in_ring(uint32_t block)
{
	uint64_t state = f.lane.shm->state, p;

	for (p = tpi_lane_reap(&f.lane, state); p != TAPIO_STATE_TAIL(state);
	     p++)
		if (TAPIO_DESC_BLOCK(f.lane.desc[p & f.lane.mask]) == block)
			return true;
	return false;
}

/* As if the child were dead: nothing is missing afterwards. */
static void sweep_and_check(uint32_t held)
{
	uint32_t i, value = 5;

	ck_assert_int_eq(tpi_lane_sweep(&f.lane, CHILD, SWEEPER, true),
			 (int)held);
	ck_assert_uint_eq(lane_held(&f), !way->part); /* yours */
	ck_assert_int_eq(
		tpi_lane_sweep(&f.lane, TAPIO_ABANDONED, SWEEPER, true), 0);
	lane_check_blocks(&f);
	check_unread();
	if (!way->part)
		ck_assert_int_eq(lane_publish(&f, 1, 4, &others_block, 1), 0);
	lane_check_blocks(&f);
	lane_fixture_release(&f, SLOT, lane_tail(&f));
	for (i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(lane_output(&f, 1, &value, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &value, 4), TPI_FULL);
	lane_check_blocks(&f);
}

/* ---- killed ------------------------------------------------------------------- */

START_TEST(a_kill_at_each_instruction_leaves_all_or_nothing)
{
	unsigned int k, committed = 0;
	struct descriptor d;
	uint64_t before, tail;
	bool more = true;
	pid_t pid;

	for (k = 0; more; k++) {
		set_up(_i);
		before = f.lane.shm->state;
		tail = TAPIO_STATE_TAIL(before);
		pid = spawn();
		more = run_to(pid, k, &d);
		end_by_kill(pid);
		lane_check_blocks(&f);
		check_unread();
		if (f.lane.shm->state == before + held_first() - way->before) {
			/* Once committed, it stays so. */
			ck_assert_uint_eq(committed, 0);
			sweep_and_check(held_first());
		} else {
			ck_assert_uint_eq(f.lane.shm->state,
					  before + TAPIO_STATE(way->tail, 0) +
						  (uint64_t)(int64_t)way->held);
			check_events_from(tail, way->tail);
			committed++;
			sweep_and_check(way->held > 0 ? (uint32_t)way->held
						      : 0);
		}
		lane_fixture_fini(&f);
	}
	ck_assert_uint_gt(committed, 0);
	ck_assert_uint_gt(k, 6);
}
END_TEST

/* ---- aborted ------------------------------------------------------------------ */

static int rival_result;

static void nothing(void)
{
	rival_result = 0;
}

static void output_another(void)
{
	uint32_t value = 77;

	rival_result = lane_output(&f, 2, &value, 4);
}

static void reserve_another(void)
{
	uint32_t block;

	rival_result = lane_reserve(&f, YOU, &block, 1);
	if (!rival_result)
		rival_result = lane_publish(&f, 2, 4, &block, 1);
}

static void (*const bystanders[])(void) = {nothing, output_another,
					   reserve_another};
#define BYSTANDERS 3

/* The section begins again, on the lane as it is then. */
START_TEST(an_abort_at_each_instruction_begins_again)
{
	/* Each way with each bystander, and stamps and starts in turn. */
	const int bystander = _i / WAYS;
	const int which =
		_i % WAYS + WAYS * ((_i + _i / WAYS) % (CASES / WAYS));
	struct descriptor d;
	uint64_t tail;
	unsigned int k;
	bool more = true;
	pid_t pid;

	for (k = 0; more; k++) {
		set_up(which);
		tail = lane_tail(&f);
		pid = spawn();
		more = run_to(pid, k, &d);
		bystanders[bystander]();
		ck_assert_int_eq(rival_result, 0);
		abort_section(pid);
		ck_assert_int_eq(let_end(pid), 0);
		lane_check_blocks(&f);
		check_unread();
		check_events_from(tail, events_last());
		sweep_and_check(held_last());
		lane_fixture_fini(&f);
	}
}
END_TEST

/* ---- the same block in other hands --------------------------------------------- */

/* Another thread of the child's process, on this CPU. */
static void publish_copy(void)
{
	rival_result = lane_publish_by(&f, 7, 8, held_blocks, held_tickets, 1);
}

/* The same elsewhere, and another process that claims the block and emits it. */
static void abandon_copy(void)
{
	rival_result =
		tpi_lane_abandon(&f.lane, held_blocks[0], held_tickets[0]);
}

static void abandon_and_claim(void)
{
	uint32_t at = held_blocks[0];
	uint64_t ticket;

	abandon_copy();
	if (rival_result)
		return;
	ck_assert_int_eq(tpi_lane_claim(&f.lane, YOU, 1, &at, 1, &ticket),
			 (int)held_blocks[0]);
	ck_assert_int_eq(lane_publish_by(&f, 2, 4, held_blocks, &ticket, 1), 0);
}

static void (*const rivals[])(void) = {publish_copy, abandon_copy,
				       abandon_and_claim};
#define RIVALS 3

#define GIVE_CASES (GIVES * STAMPS * STARTS)

static int give_case(int i)
{
	return WAYS - GIVES + i % GIVES + WAYS * (i / GIVES);
}

/* On the child's CPU one of them wins, wherever the child is interrupted. */
START_TEST(of_two_that_put_a_block_back_on_one_cpu_one_does)
{
	const int rival = _i % RIVALS;
	unsigned int k, lost = 0;
	struct descriptor d;
	bool more = true;
	pid_t pid;
	int end;

	for (k = 0; more; k++) {
		set_up(give_case(_i / RIVALS));
		pid = spawn();
		more = run_to(pid, k, &d);
		rivals[rival]();
		abort_section(pid);
		end = let_end(pid);
		lane_check_blocks(&f);
		check_unread();
		/* The child's exit status is 2 for -EINVAL. */
		ck_assert_int_eq(end, rival_result ? 0 : 2);
		lost += !rival_result;
		if (rival == 1 && !rival_result)
			ck_assert_int_eq(tpi_lane_sweep(&f.lane,
							TAPIO_ABANDONED,
							SWEEPER, true),
					 1);
		sweep_and_check(end == 2 ? way->before - 1 : 0);
		lane_fixture_fini(&f);
	}
	ck_assert_uint_gt(lost, 0);
}
END_TEST

/* As a submit elsewhere: it closes the copies first, and gives the block up later. */
static void retake_copy(void)
{
	uint64_t ticket = held_tickets[0];

	rival_result = tpi_lane_retake(&f.lane, held_blocks[0], &ticket, 1);
	if (!rival_result)
		held_tickets[0] = ticket;
}

static void abandon_at_last(bool in_ring)
{
	ck_assert_int_eq(
		tpi_lane_abandon(&f.lane, held_blocks[0], held_tickets[0]),
		in_ring ? -EINVAL : 0);
}

/* The next one on the lane's CPU finds the block if it is not in the ring. */
static void claim_and_publish(bool in_ring)
{
	uint32_t at = held_blocks[0];
	uint64_t ticket;

	ck_assert_int_eq(tpi_lane_claim(&f.lane, YOU, 1, &at, 1, &ticket),
			 in_ring ? -ENOENT : (int)held_blocks[0]);
	if (!in_ring)
		ck_assert_int_eq(
			lane_publish_by(&f, 2, 4, held_blocks, &ticket, 1), 0);
}

/*
 * Another CPU gives the block up, or retakes it, while the child goes on. In the few
 * instructions between its comparison and its commit both succeed. Then the block is in
 * the ring once, its ticket says so, and neither claim nor sweep takes it.
 */
START_TEST(a_block_that_is_given_up_elsewhere_is_in_the_ring_once)
{
	const bool retakes = _i >= GIVE_CASES;
	struct descriptor d;
	uint32_t both = 0;
	bool more = true, in;
	unsigned int k;
	pid_t pid;
	int end;

	for (k = 0; more; k++) {
		set_up(give_case(_i % GIVE_CASES));
		pid = spawn();
		more = run_to(pid, k, &d);
		retakes ? retake_copy() : abandon_copy();
		end = let_end(pid);
		lane_check_blocks(&f);
		check_unread();
		ck_assert(end == 0 || end == 2);
		ck_assert(end == 0 || rival_result == 0);
		both += end == 0 && rival_result == 0;
		in = is_in_ring(held_blocks[0]);
		ck_assert_int_eq(in, end == 0);
		if (retakes)
			abandon_at_last(in);
		claim_and_publish(in);
		sweep_and_check(end == 2 ? way->before - 1 : 0);
		lane_fixture_fini(&f);
	}
	/* It does happen, so that this is a test of it. */
	ck_assert_uint_gt(both, 0);
}
END_TEST

static bool may_trace(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(SKIP);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

int main(void)
{
	TCase *t = tcase_create("stepped");
	const char *reason;

	if (tpi_rseq_selftest(&reason) != TAPIO_RSEQ_PROVEN || !may_trace()) {
		puts("needs rseq, and the right to trace a child");
		return SKIP;
	}
	tcase_add_loop_test(t, a_kill_at_each_instruction_leaves_all_or_nothing,
			    0, CASES);
	tcase_add_loop_test(t, an_abort_at_each_instruction_begins_again, 0,
			    WAYS * BYSTANDERS);
	tcase_add_loop_test(t, of_two_that_put_a_block_back_on_one_cpu_one_does,
			    0, GIVE_CASES * RIVALS);
	tcase_add_loop_test(
		t, a_block_that_is_given_up_elsewhere_is_in_the_ring_once, 0,
		2 * GIVE_CASES);
	return check_run_case("section stepped", t);
}
