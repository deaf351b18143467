/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of sections: a producer dies exactly at each instruction of each section of
 * the library, under a broker that sweeps and beside a lossless consumer.
 *
 * The table __rseq_cs of this program has the start and the length of every section, so
 * that none is forgotten: a new one that no operation goes through fails the test.
 *
 * A run at an instruction, and why the death is the one of the field:
 *
 *   found      A first child steps through the call, one instruction at a time, and tells
 *              which instructions of which sections it goes through. A step is a trap,
 *              and a trap aborts a section. So this child's sections work on an area of
 *              rseq that the kernel does not know. The instructions are the same.
 *   running    Another child has its real area, which libc has registered. The
 *              instruction is replaced by a breakpoint, and the child runs freely: the
 *              kernel sees a section. The breakpoint's signal stops the child for us
 *              before the kernel goes back to user mode, and only on that way back would
 *              it abort the section. SIGKILL ends the child there. So the section was
 *              never aborted, all instructions before this one are done, and this one
 *              and all later ones are not. The test looks that the child's rseq_cs names
 *              the section at that moment. A child that was preempted on the way was
 *              aborted and went on elsewhere: it is accounted for, and the run made again.
 *   later      A loop comes to an instruction more than once. A breakpoint aborts the
 *              section when the child goes on from it. So for a later round a child with
 *              the unknown area passes the breakpoint so often. SIGKILL leaves in memory what the
 *              instructions before have stored, with or without rseq: the kernel writes
 *              nothing into a lane for a process that dies.
 *
 * fault.section_stepped has the aborts and the rivals on another CPU. Retake, abandon
 * and claim are no sections: one compare-and-swap each.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fault/sections.h"
#include "tests/unit/client_fixture.h"

#define SKIP 77

#define BLOCKS 16
#define BATCH  3
#define LONG   200

#define CONFIG(stamp)                                           \
	"channel t { stamp = \"" stamp "\"\n full = \"drop\"\n" \
	"class main { block = 256\n blocks = 16\n"              \
	"side_blocks = 16\n side_lanes = 2 }\n}\n"

#define FILLER TAPIO_TAG(1, 1)

static const char *const configs[] = {CONFIG("none"), CONFIG("tsc"),
				      CONFIG("clock")};
enum {
	NONE = 1,
	TSC = 2,
	CLOCK = 4,
	ALL = 7
};

static struct tapio_producer *q; /* the next one on the lane */
static struct tapio_consumer *c;
static const struct tpi_lane *lane;

/* ---- operations, in the child ---------------------------------------------------- */

enum room {
	ANY,
	FRESH,
	STALE,
	RUN /* a batch, without a half lap's end in it */
};          /* whether the gate lets a block be taken at once */

struct lane_operation {
	struct operation base; /* first */
	uint32_t stamps;
	uint32_t length;
	uint32_t events, discards; /* that its commit publishes */
	enum room room;
	bool round; /* the blocks enter on both sides of the ring's end */
};

static const struct lane_operation *of(const struct operation *o)
{
	return (const struct lane_operation *)o;
}

static struct tapio_producer *p;
static struct tapio_reservation held[BATCH];
static unsigned char bytes[BATCH][LONG];
static uint32_t run; /* counts children, and makes their bytes */

static unsigned char filling(uint32_t item)
{
	return (unsigned char)(run * BATCH + item + 1);
}

static int prepare(const struct operation *o)
{
	uint32_t i;

	(void)o;
	p = rig_producer();
	for (i = 0; i < BATCH; i++)
		memset(bytes[i], filling(i), LONG);
	return 0;
}

/* As on a processor that copies by 16 bytes. */
static int prepare_narrow(const struct operation *o)
{
	prepare(o);
	p->now->emit.wide = false;
	return 0;
}

/* Its blocks are reserved, and filled. */
static int prepare_held(const struct operation *o)
{
	const struct lane_operation *l = of(o);
	const uint32_t n = l->events + l->discards;
	uint32_t i;

	prepare(o);
	if (tapio_reserve_batch(p, TAG, l->length, held, n) != (int)n)
		return 1;
	for (i = 0; i < n; i++)
		memcpy(held[i].data, bytes[i], l->length);
	return 0;
}

/* As after an attempt that was aborted behind its mark. The lane is at another address. */
static int prepare_marked(const struct operation *o)
{
	const struct tpi_lane *here;
	uint32_t index;

	if (prepare_held(o))
		return 1;
	here = tpi_reservation_lane(&p->now->emit, &held[0]);
	index = (uint32_t)TAPIO_STATE_TAIL(here->shm->state) & here->mask;
	here->tickets[held[0].block] =
		TAPIO_TICKET(p->now->emit.me,
			     tpi_place_entered(here, held[0].ticket, index));
	return 0;
}

static int output(const struct operation *o)
{
	return tapio_output(p, TAG, bytes[0], of(o)->length);
}

static int output_classed(const struct operation *o)
{
	return tapio_output(p, TAPIO_TAG_CLASS(100, 5, 0), bytes[0],
			    of(o)->length);
}

static int output_batch(const struct operation *o)
{
	const uint32_t length = of(o)->length;
	struct tapio_item items[BATCH] = {{bytes[0], length, TAG},
					  {bytes[1], length, TAG},
					  {bytes[2], length, TAG}};

	return tapio_output_batch(p, items, BATCH) != BATCH;
}

static int reserve(const struct operation *o)
{
	return tapio_reserve(p, TAG, of(o)->length, held);
}

static int reserve_batch(const struct operation *o)
{
	return tapio_reserve_batch(p, TAG, of(o)->length, held, BATCH) != BATCH;
}

static int submit(const struct operation *o)
{
	(void)o;
	return tapio_submit(p, held);
}

static int submit_batch(const struct operation *o)
{
	const uint32_t n = of(o)->events;

	return tapio_submit_batch(p, held, n) != (int)n;
}

static int discard(const struct operation *o)
{
	(void)o;
	return tapio_discard(p, held);
}

static int discard_batch(const struct operation *o)
{
	const uint32_t n = of(o)->discards;

	return tapio_discard_batch(p, held, n) != (int)n;
}

/* ---- the consumer ---------------------------------------------------------------- */

static uint64_t delivered, skipped; /* that there have to be */
static uint32_t got_fillers, got_events;
static uint64_t first_position;      /* of the child's events */
static uint64_t time_before[BLOCKS]; /* by entry */

static void check_bytes(const struct tapio_view *view, uint32_t length,
			unsigned char byte)
{
	const unsigned char *data = view->data;
	uint32_t i;

	ck_assert_uint_eq(view->length, length);
	for (i = 0; i < length; i++)
		if (data[i] != byte)
			ck_abort_msg("byte %u is 0x%x and not 0x%x", i, data[i],
				     byte);
}

/* One of this lap, if there are stamps. */
static void check_time(const struct tapio_view *view)
{
	uint64_t *before = &time_before[view->position % BLOCKS];

	if (!lane->time)
		ck_assert_uint_eq(view->time, 0);
	else
		ck_assert_uint_ne(view->time, *before);
	*before = view->time;
}

static void note(const struct tapio_view *view, const struct lane_operation *l)
{
	ck_assert_uint_eq(view->lane, lane->id);
	check_time(view);
	if (view->type == TAPIO_TAG_TYPE(FILLER)) {
		check_bytes(view, sizeof(uint64_t), 0xee);
		got_fillers++;
		return;
	}
	ck_assert_ptr_nonnull(l);
	ck_assert_uint_eq(view->type, TAPIO_TAG_TYPE(TAG));
	ck_assert_uint_eq(view->severity, TAPIO_TAG_SEVERITY(TAG));
	ck_assert_uint_eq(view->position, first_position + got_events);
	check_bytes(view, l->length, filling(got_events));
	got_events++;
}

static void read_some(const struct lane_operation *l, int64_t wait_ns)
{
	struct tapio_view views[BLOCKS];
	int i, n = tapio_poll(c, views, BLOCKS, wait_ns);

	ck_assert_int_ge(n, 0);
	for (i = 0; i < n; i++)
		note(&views[i], l);
	ck_assert_int_eq(tapio_release(c), 0);
}

static void read_all(const struct lane_operation *l)
{
	do
		read_some(l, 0);
	while (group_stats(c).in_flight);
}

static int output_filler(void)
{
	const uint64_t filler = UINT64_C(0xeeeeeeeeeeeeeeee);
	int err = tapio_output(q, FILLER, &filler, sizeof(filler));

	delivered += !err;
	return err;
}

/* ---- before, and after a death ---------------------------------------------------- */

static bool is_placed(const struct lane_operation *l)
{
	const uint64_t state = lane->shm->state;
	const uint64_t index = TAPIO_STATE_TAIL(state) & lane->mask;
	const int64_t room = tapio_position_diff(lane->shm->gate,
						 tpi_lane_reap(lane, state));

	if (l->room == RUN)
		return room >= BATCH &&
		       index % (BLOCKS / 2) + BATCH <= BLOCKS / 2;
	if (l->room == ANY)
		return (index + BATCH > BLOCKS) == l->round;
	return l->room == FRESH ? room > 1 : !room;
}

/* The lane goes on until it is as the operation wants it. */
static void set_up(const struct operation *o)
{
	run++;
	got_events = 0;
	do {
		ck_assert_int_eq(output_filler(), 0);
		read_all(NULL);
	} while (!is_placed(of(o)));
}

/* Each block is in the ring, once. */
static void check_ring(void)
{
	const uint64_t state = lane->shm->state;
	uint32_t i, seen = 0;

	ck_assert_uint_eq(TAPIO_STATE_HELD(state), 0);
	for (i = 0; i < BLOCKS; i++)
		seen |= 1U << TAPIO_DESC_BLOCK(lane->desc[i]);
	ck_assert_uint_eq(seen, (1U << BLOCKS) - 1);
}

/* The next one takes each block, goes round, and no one more. */
static void check_lane_is_whole(void)
{
	int i;

	got_fillers = 0;
	for (i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(output_filler(), 0);
	ck_assert_int_eq(output_filler(), -EAGAIN);
	read_all(NULL);
	ck_assert_int_eq(output_filler(), 0);
	read_all(NULL);
	ck_assert_uint_eq(got_fillers, BLOCKS + 1);
}

static void check(const struct operation *o, uint64_t before, uint64_t after)
{
	const struct lane_operation *l = of(o);
	const uint64_t tail =
		TAPIO_STATE_TAIL(after) - TAPIO_STATE_TAIL(before);
	const bool published = tail != 0;

	first_position = TAPIO_STATE_TAIL(before);
	ck_assert(!published || tail == l->events + l->discards);
	delivered += published ? l->events : 0;
	skipped += published ? l->discards : 0;
	/* The broker's sweep publishes these. */
	skipped += TAPIO_STATE_HELD(after);
	while (TAPIO_STATE_HELD(tpi_lane_peek(lane)))
		read_some(l, 1000000);
	read_all(l);
	ck_assert_uint_eq(got_events, published ? l->events : 0);
	check_ring();
	check_lane_is_whole();
	check_ring();
	assert_ledger(c, delivered, skipped, 0);
}

/* ---- all of them ------------------------------------------------------------------ */

#define OPERATION(what, before, function) \
	.base = {.name = what,            \
		 .set_up = set_up,        \
		 .prepare = before,       \
		 .call = function,        \
		 .check = check}

static struct lane_operation operations[] = {
	{OPERATION("output 8 bytes", prepare, output), ALL, 8, 1, 0, FRESH, 0},
	{OPERATION("output 40 bytes", prepare, output), ALL, 40, 1, 0, FRESH,
	 0},
	{OPERATION("output 40 bytes, of a class", prepare, output_classed),
	 NONE | TSC, 40, 1, 0, FRESH, 0},
	{OPERATION("output 200 bytes", prepare, output), ALL, LONG, 1, 0, FRESH,
	 0},
	{OPERATION("output 200 bytes, narrow", prepare_narrow, output), ALL,
	 LONG, 1, 0, FRESH, 0},
	{OPERATION("output 8 bytes, old gate", prepare, output), ALL, 8, 1, 0,
	 STALE, 0},
	{OPERATION("output 40 bytes, old gate", prepare, output), ALL, 40, 1, 0,
	 STALE, 0},
	{OPERATION("output 200 bytes, old gate", prepare, output), ALL, LONG, 1,
	 0, STALE, 0},
	{OPERATION("output of a batch", prepare, output_batch), ALL, 20, BATCH,
	 0, ANY, 0},
	{OPERATION("output of a batch of one kind", prepare, output_batch), ALL,
	 40, BATCH, 0, RUN, 0},
	{OPERATION("reserve", prepare, reserve), NONE, 8, 0, 0, FRESH, 0},
	{OPERATION("reserve of a batch", prepare, reserve_batch), NONE, 8, 0, 0,
	 ANY, 0},
	{OPERATION("submit", prepare_held, submit), ALL, 50, 1, 0, ANY, 0},
	{OPERATION("submit after an abort", prepare_marked, submit), NONE, 50,
	 1, 0, ANY, 0},
	{OPERATION("submit of a batch", prepare_held, submit_batch), NONE, 50,
	 BATCH, 0, ANY, 0},
	{OPERATION("submit of a batch, round the end", prepare_held,
		   submit_batch),
	 ALL, 50, BATCH, 0, ANY, 1},
	{OPERATION("discard", prepare_held, discard), NONE, 8, 0, 1, ANY, 0},
	{OPERATION("discard of a batch, round the end", prepare_held,
		   discard_batch),
	 NONE, 8, 0, BATCH, ANY, 1},
};
#define OPERATIONS (int)(sizeof(operations) / sizeof(operations[0]))

static void lane_operations(int stamp)
{
	const char *const titles[] = {"stamp = none", "stamp = tsc",
				      "stamp = clock"};
	int i;

	delivered = skipped = 0;
	rig_start(configs[stamp]);
	pin(0);
	q = rig_producer();
	ck_assert_int_eq(q->now->emit.wide, tpi_emit_wide());
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	lane = q->now->emit.classes[0].row[sched_getcpu()];
	ck_assert_ptr_nonnull(lane);
	ck_assert_uint_eq(lane->mask, BLOCKS - 1);
	matrix_title(titles[stamp]);
	for (i = 0; i < OPERATIONS; i++) {
		if (!(operations[i].stamps & 1U << stamp))
			continue;
		operations[i].base.word = &lane->shm->state;
		matrix_add(&operations[i].base);
	}
	tapio_consumer_close(c);
	tapio_producer_close(q);
	rig_stop();
}

START_TEST(a_death_at_each_instruction_of_each_section)
{
	int stamp;

	sections_find();
	for (stamp = 0; stamp < 3; stamp++)
		lane_operations(stamp);
	pool_operations();
	matrix_end();
}
END_TEST

int main(void)
{
	TCase *t;
	int status;

#if !defined(__x86_64__)
	puts("its breakpoints are those of x86-64");
	return SKIP;
#endif
	if (!require_cpu_lanes() || !trace_is_allowed()) {
		puts("needs CPUs' lanes, and the right to trace a child");
		return SKIP;
	}
	t = tcase_create("sections");
	tcase_set_timeout(t, 0); /* that of ctest */
	tcase_add_test(t, a_death_at_each_instruction_of_each_section);
	matrix_begin();
	status = check_run_case("sections", t);
	if (status)
		matrix_say_where();
	return status;
}
