/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk events at twenty times the rate of critical ones, and far more than the
 * consumer can take: no critical event is refused or lost, every bulk event is
 * either delivered or counted as refused, and bulk goes on being delivered.
 *
 * In rounds on one CPU, so that it is the classes that decide and not the
 * scheduler: 640 attempts at bulk, 32 critical events among them, and a consumer
 * that takes 64 events a round.
 */
#include "tests/unit/client_fixture.h"

#define ROUNDS   2000
#define BULK     640
#define CRITICAL 32
#define TAKEN    64

#define CONFIG                                                             \
	"channel t { stamp = \"none\"\n"                                   \
	"class critical { block = 64\n blocks = 256\n side_blocks = 256\n" \
	" priority = 1 }\n"                                                \
	"class bulk { block = 64\n blocks = 1024\n side_blocks = 1024 } }\n"

struct flow {
	uint64_t accepted;
	uint64_t refused;
	uint64_t delivered;
};

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct flow bulk, critical;
static int bulk_class, critical_class;
static bool tagged; /* bulk names its class, or is small and names none */

static void emit(struct flow *flow, uint32_t tag)
{
	if (tapio_output(p, tag, &flow->accepted, sizeof(flow->accepted)))
		flow->refused++;
	else
		flow->accepted++;
}

/* One round's events, the critical ones spread among the bulk. */
static void flood(void)
{
	for (int i = 0; i < BULK; i++) {
		emit(&bulk, tagged ? TAPIO_TAG_CLASS(1, 5, bulk_class)
				   : TAPIO_TAG(1, 5));
		if (i % (BULK / CRITICAL) == 0)
			emit(&critical, TAPIO_TAG_CLASS(2, 5, critical_class));
	}
}

/* Each flow comes complete, up to what was refused, and in order. */
static unsigned int receive(void)
{
	struct tapio_view views[TAKEN];
	unsigned int n = look(c, views, TAKEN);

	for (unsigned int i = 0; i < n; i++) {
		struct flow *flow = views[i].type == 2 ? &critical : &bulk;
		uint64_t number;

		memcpy(&number, views[i].data, sizeof(number));
		ck_assert_uint_eq(number, flow->delivered);
		flow->delivered++;
	}
	ck_assert_int_eq(tapio_release(c), 0);
	return n;
}

static uint64_t dropped_by(int klass)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->now->emit.lane_count; i++)
		for (int k = 0; k < TAPIO_DROP_CAUSES; k++)
			if (p->now->emit.lanes[i].klass == (uint32_t)klass)
				sum += p->now->emit.lanes[i].shm->dropped[k];
	return sum;
}

START_TEST(no_flood_of_bulk_displaces_a_critical_event)
{
	uint64_t before;

	tagged = _i;
	bulk = critical = (struct flow){0};
	rig_start(CONFIG);
	pin(0);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	bulk_class = tapio_producer_class(p, "bulk");
	critical_class = tapio_producer_class(p, "critical");
	ck_assert_int_ge(bulk_class, 0);
	ck_assert_int_ge(critical_class, 0);
	for (int round = 0; round < ROUNDS; round++) {
		flood();
		before = bulk.delivered;
		/* The rest of a round after the critical ones is bulk's. */
		ck_assert_uint_eq(receive(), TAKEN);
		if (round % 8 == 7)
			ck_assert_uint_gt(bulk.delivered, before);
	}
	while (receive())
		;
	ck_assert_uint_eq(critical.accepted, ROUNDS * CRITICAL);
	ck_assert_uint_eq(critical.delivered, critical.accepted);
	ck_assert_uint_eq(dropped_by(critical_class), 0);
	ck_assert_uint_eq(bulk.accepted + bulk.refused,
			  (uint64_t)ROUNDS * BULK);
	ck_assert_uint_gt(bulk.refused, bulk.accepted * 10);
	ck_assert_uint_eq(bulk.delivered, bulk.accepted);
	ck_assert_uint_eq(dropped_by(bulk_class), bulk.refused);
	assert_ledger(c, bulk.accepted + critical.accepted, 0, 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overload");
	TCase *t = tcase_create("classes");

	tcase_add_loop_test(t, no_flood_of_bulk_displaces_a_critical_event, 0,
			    2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
