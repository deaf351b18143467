/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: one client writes any words into all the memory that its role may write,
 * while an honest producer and an honest lossless consumer of the same channel go on,
 * the broker looks, others attach, and the ledgers are read as tapio-shmstat does it.
 *
 * A consumer that does so changes nothing for the honest two: every event that was
 * accepted arrives once, in order, and after a few looks producers find room. A producer
 * can spoil the channel, so there the property is that each call returns.
 *
 * An input is a program: its first byte says which role, the others are steps. All of
 * it runs on one thread, and the broker's looks are calls, so an input does the same
 * on each run.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "client/consumer/consumer.h"
#include "client/producer/producer.h"
#include "fuzz.h"
#include "fuzz_broker.h"
#include "tools/inspect/inspect.h"

#define TAG     TAPIO_TAG(100, 5)
#define SECONDS 240 /* for one input: less than its test may take */
#define STEPS   200
#define LOOKS   5 /* more than an eviction takes */

static const char text[] =
	"hugepages = never channel t { stamp = none groups_max = 8\n"
	"class main { block = 64 blocks = 16 side_blocks = 16 side_lanes = 2 } "
	"}\n";

static struct world {
	struct tapio_options options;
	char error[512];
	struct tapio_producer *producer;
	struct tapio_consumer *honest;
	/* Readers that may be overrun. */
	struct tapio_consumer *follower;
	struct tapio_observer *observer;
	/* Of the two one is there. */
	struct tapio_producer *spoiler;
	struct tapio_consumer *liar;
	uint64_t accepted, received;
} world;

/* ---- clients ------------------------------------------------------------------------------ */

static struct tapio_producer *open_producer(void)
{
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "t", &world.options);

	if (err && !world.spoiler)
		fprintf(stderr, "%s\n", world.error);
	FUZZ_CHECK(!err || world.spoiler);
	return p;
}

static struct tapio_consumer *open_consumer(const char *group, uint32_t policy)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = world.options,
		.group = group,
		.policy = policy,
		.spin_ns = 1,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "t", &options);

	if (err && !world.spoiler)
		fprintf(stderr, "%s\n", world.error);
	FUZZ_CHECK(!err || world.spoiler);
	return c;
}

static void emit(unsigned int count)
{
	while (count--) {
		int err = tapio_output(world.producer, TAG, &world.accepted,
				       sizeof(world.accepted));

		FUZZ_CHECK(err == 0 || err == -EAGAIN || world.spoiler);
		world.accepted += !err;
	}
}

/* How many came. */
static int receive(void)
{
	struct tapio_view views[8];
	int n = tapio_poll(world.honest, views, 8, 0);

	FUZZ_CHECK(n >= 0 || world.spoiler);
	for (int i = 0; i < n && !world.spoiler; i++) {
		uint64_t number;

		FUZZ_CHECK(!views[i].flags);
		FUZZ_CHECK(views[i].length == sizeof(number));
		memcpy(&number, views[i].data, sizeof(number));
		FUZZ_CHECK(number == world.received);
		world.received++;
	}
	FUZZ_CHECK(tapio_release(world.honest) == 0 || world.spoiler);
	return n;
}

static void liar_consumes(bool releases)
{
	struct tapio_view views[8];

	if (!world.liar)
		return;
	tapio_poll(world.liar, views, 8, 0);
	if (releases)
		tapio_release(world.liar);
}

/* Whatever they find, they return. */
static void others_read(void)
{
	struct tapio_view views[8];

	tapio_poll(world.follower, views, 8, 0);
	tapio_release(world.follower);
	tapio_observe(world.observer, views, 8, 0);
}

static void reserve_and(bool submit)
{
	struct tapio_reservation r;

	if (tapio_reserve(world.producer, TAG, sizeof(world.accepted), &r))
		return;
	memcpy(r.data, &world.accepted, sizeof(world.accepted));
	if (!submit)
		tapio_discard(world.producer, &r);
	else if (!tapio_submit(world.producer, &r))
		world.accepted++;
	else
		tapio_discard(world.producer, &r);
}

static void others_come_and_go(void)
{
	tapio_producer_close(open_producer());
	tapio_consumer_close(open_consumer(NULL, TAPIO_GROUP_UNTIL));
}

static void read_ledgers(void)
{
	const struct tpi_inspect_options options = {
		.socket = world.options.socket,
		.timeout_ns = world.options.answer_ns,
	};
	struct tpi_inspect *inspect;
	struct tpi_ledger ledger;
	uint32_t lanes;

	if (tpi_inspect_open(&inspect, &options, world.error,
			     sizeof(world.error)))
		return;
	lanes = inspect->channels[0].channel.lane_count;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		for (uint32_t lane = 0; lane < lanes; lane++)
			tpi_inspect_ledger(inspect, 0, lane, slot, &ledger);
	tpi_inspect_close(inspect);
}

/* ---- the liar's memory ----------------------------------------------------------------------- */

static const struct tpi_map *liars_map(uint32_t n)
{
	if (world.spoiler)
		return &world.spoiler->now->client
				.maps[n % world.spoiler->now->client.map_count];
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (world.liar->now->client.cursor_maps[i].bytes)
			return &world.liar->now->client.cursor_maps[i];
	return NULL;
}

/* Its segment without the histogram, which is most of it and read by no one here. */
static uint64_t word_count(const struct tpi_map *map)
{
	uint64_t words = map->bytes / 8;

	return words < 2048 || world.spoiler ? words : 2048;
}

struct program {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct program *program, size_t bytes)
{
	uint64_t value = 0;

	for (; bytes && program->size; bytes--, program->size--)
		value = value << 8 | *program->data++;
	return value;
}

static void scribble(struct program *program)
{
	const struct tpi_map *map = liars_map((uint32_t)take(program, 1));
	uint64_t words = word_count(map);
	uint64_t *word = (uint64_t *)map->base + take(program, 2) % words;

	switch (take(program, 1) % 6) {
	case 0:
		*word = take(program, 8);
		break;
	case 1:
		*word += take(program, 1) - 128;
		break;
	case 2: /* of a neighbour, or of far away */
		*word = ((const uint64_t *)map->base)[take(program, 2) % words];
		break;
	case 3: /* a head that is nearly right */
		*word += (take(program, 1) - 128) << 16;
		break;
	case 4:
		*word ^= UINT64_C(1) << take(program, 1) % 64;
		break;
	default:
		for (uint64_t n = take(program, 1) % 32; n; n--)
			word[n % (words -
				  (uint64_t)(word - (uint64_t *)map->base))] =
				take(program, 1) * UINT64_C(0x0101010101010101);
	}
}

/* ---- an input ---------------------------------------------------------------------------------- */

static void step(struct program *program)
{
	switch (take(program, 1) % 12) {
	case 0:
	case 1:
	case 2:
	case 3:
		scribble(program);
		break;
	case 4:
		emit(1 + (unsigned int)take(program, 1) % 24);
		break;
	case 5:
		receive();
		break;
	case 6:
		liar_consumes(true);
		break;
	case 7:
		liar_consumes(false);
		others_read();
		break;
	case 8:
		fuzz_broker_look();
		break;
	case 9:
		reserve_and(take(program, 1) % 2);
		break;
	case 10:
		read_ledgers();
		break;
	default:
		others_come_and_go();
	}
}

static struct tapio_observer *open_observer(void)
{
	const struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = world.options,
	};
	struct tapio_observer *o;

	FUZZ_CHECK(!tapio_observer_open(&o, "t", &options));
	return o;
}

static void set_up(bool spoiler)
{
	memset(&world, 0, sizeof(world));
	fuzz_broker_start(text);
	world.options = (struct tapio_options){
		.size = sizeof(world.options),
		.socket = fuzz_broker_socket(),
		.error = world.error,
		.error_bytes = sizeof(world.error),
		.answer_ns = INT64_C(20000000000),
	};
	world.producer = open_producer();
	world.honest = open_consumer("honest", TAPIO_GROUP_LOSSLESS);
	world.follower = open_consumer("follower", TAPIO_GROUP_UNTIL);
	world.observer = open_observer();
	receive();
	if (spoiler)
		world.spoiler = open_producer();
	else
		world.liar = open_consumer("liar", TAPIO_GROUP_UNTIL);
}

/* Of the honest two, when the liar is through. */
static void assert_honest(void)
{
	for (int i = 0; i < LOOKS; i++)
		fuzz_broker_look();
	for (int i = 0; i < 1000 && world.received < world.accepted; i++)
		receive();
	FUZZ_CHECK(world.received == world.accepted);
	/* No liar holds the producer now. */
	for (int i = 0; i < 3; i++) {
		uint64_t before = world.accepted;

		emit(8);
		FUZZ_CHECK(world.accepted == before + 8);
		for (int n = 0; n < 100 && world.received < world.accepted; n++)
			receive();
		FUZZ_CHECK(world.received == world.accepted);
	}
}

/* Of a channel that may be spoiled: each call returns. */
static void use_all(void)
{
	for (int i = 0; i < 20; i++) {
		emit(2);
		receive();
		others_read();
		reserve_and(i % 2);
		fuzz_broker_look();
	}
}

static void tear_down(void)
{
	tapio_producer_close(world.producer);
	tapio_producer_close(world.spoiler);
	tapio_consumer_close(world.honest);
	tapio_consumer_close(world.follower);
	tapio_observer_close(world.observer);
	tapio_consumer_close(world.liar);
	fuzz_broker_stop();
}

static void pin_once(void)
{
	static bool done;
	cpu_set_t all, one;

	if (done || sched_getaffinity(0, sizeof(all), &all))
		return;
	done = true;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &one);
			break;
		}
	sched_setaffinity(0, sizeof(one), &one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program program = {data, size};

	pin_once();
	alarm(SECONDS);
	set_up(take(&program, 1) % 4 == 3);
	for (int i = 0; i < STEPS && program.size; i++)
		step(&program);
	if (world.spoiler)
		use_all();
	else
		assert_honest();
	read_ledgers();
	tear_down();
	alarm(0);
	return 0;
}
