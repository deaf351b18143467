/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards over brokers (broker/group/boards.c): each successor looks at the boards that
 * living members use, and knows when the last one that uses a board is gone. (Brokers that
 * die in the middle: adopt.c.)
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/sys.h"
#include "lib/lane/wake.h"
#include "lib/wire/wire.h"
#include "tests/fault/adopt_world.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CONFIG                                                             \
	"channel t { stamp = \"none\"\n"                                   \
	"class main { block = 64\n blocks = 64\n side_blocks = 64 }}\n"    \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless} }\n"

static struct tapio_producer *p;

static void start(void)
{
	world_begin(CONFIG);
	rig_use(world->socket);
	ck_assert_msg(world_start(), "%s", world->error);
	p = rig_producer();
}

static uint64_t boards(void)
{
	return tpi_load_relaxed(&p->now->client.shared->boards);
}

static uint64_t bit_of(const struct tapio_consumer *c)
{
	return UINT64_C(1) << c->now->client.granted.group_slot;
}

static void assert_hears(struct tapio_consumer *c)
{
	uint32_t before = *c->now->doorbell;

	nap_ms(1); /* no bell is rung twice within microseconds */
	tpi_announce(c->now);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(*c->now->doorbell, before + 1);
}

static void until_boards_are(uint64_t wanted)
{
	for (int i = 0; i < 3000 && boards() != wanted; i++)
		usleep(10000);
	ck_assert_uint_eq(boards(), wanted);
}

static void replace_broker(void)
{
	world_kill();
	ck_assert_msg(world_start(), "%s", world->error);
	while (!tapio_producer_connected(p))
		sched_yield();
}

START_TEST(a_successor_knows_the_boards)
{
	struct tapio_consumer *c, *d, *e;
	uint32_t before;

	start();
	c = rig_consumer("c", TAPIO_GROUP_LOSSY);
	d = rig_consumer("d", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(boards(), bit_of(c));
	before = *c->now->doorbell;
	replace_broker();
	ck_assert_uint_eq(boards(), bit_of(c));
	/* No announcement is good any more, and none of them rings once. */
	ck_assert_uint_ge(*c->now->doorbell - before, TPI_RING_ROUNDS);
	ck_assert_uint_eq(p->now->client.shared->single, 0);
	assert_hears(c);
	assert_hears(d);
	/* Its slot still lends the board. */
	while (!tapio_consumer_connected(c) || !tapio_consumer_connected(d))
		sched_yield();
	tapio_consumer_close(c);
	until_boards_are(UINT64_C(1));
	e = rig_consumer("e", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(e->now->client.granted.board, 1);
	replace_broker();
	until_boards_are(UINT64_C(1));
	assert_hears(d);
	assert_hears(e);
	while (!tapio_consumer_connected(d) || !tapio_consumer_connected(e))
		sched_yield();
	tapio_consumer_close(d);
	tapio_consumer_close(e);
	until_boards_are(0);
	tapio_producer_close(p);
	world_stop();
}
END_TEST

/* The catalog, as the broker has it. */
static void *catalog(size_t *bytes)
{
	struct stat st;
	void *base;
	int at = world_find(TPI_KEEP_CATALOG, 0);

	ck_assert_int_ge(at, 0);
	ck_assert_int_eq(fstat(world_kept[at].fd, &st), 0);
	ck_assert_int_eq(tpi_sys_mmap(&base, (uint64_t)st.st_size,
				      PROT_READ | PROT_WRITE,
				      world_kept[at].fd),
			 0);
	*bytes = (size_t)st.st_size;
	return base;
}

/* What made the memory was older: its members may use no board. */
static void say_it_was_made_by_0_5(void)
{
	size_t bytes;
	struct tapio_shm_header *header = catalog(&bytes);

	header->abi_minor = TAPIO_ABI_MINOR_BOARDS - 1;
	munmap(header, bytes);
}

/* As an older broker leaves it that has let such a producer in. */
static void forget_who_rings_once(void)
{
	size_t at = (size_t)((const char *)&p->now->client.shared->single -
			     (const char *)p->now->client.catalog.map.base);
	size_t bytes;
	char *base = catalog(&bytes);

	memset(base + at, 0, sizeof(uint32_t));
	munmap(base, bytes);
}

/* It may have got its memory from a broker that has not said so. */
START_TEST(a_successor_knows_who_rings_once)
{
	struct peer old;

	start();
	peer_connect_to(&old, world->socket);
	ck_assert_int_eq(peer_hello(&old), 0);
	old.minor = TPI_WIRE_MINOR_ROUNDS - 1;
	ck_assert_int_eq(
		peer_attach(&old, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	ck_assert_uint_eq(p->now->client.shared->single, 1);
	world_flush();
	world_kill();
	forget_who_rings_once();
	ck_assert_uint_eq(p->now->client.shared->single, 0);
	ck_assert_msg(world_start(), "%s", world->error);
	while (!tapio_producer_connected(p))
		sched_yield();
	ck_assert_uint_eq(p->now->client.shared->single, 1);
	peer_close(&old);
	tapio_producer_close(p);
	world_stop();
}
END_TEST

START_TEST(in_older_memory_each_group_is_looked_at)
{
	struct tapio_consumer *c, *d;

	start();
	c = rig_consumer("c", TAPIO_GROUP_LOSSY);
	d = rig_consumer("d", TAPIO_GROUP_LOSSY);
	world_flush();
	say_it_was_made_by_0_5();
	tapio_producer_close(p);
	p = rig_producer();
	for (int i = 0; i < 3; i++) {
		uint32_t before = *d->now->doorbell;

		nap_ms(1);
		tpi_add_relaxed(&d->now->control->armed, 1);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		ck_assert_uint_eq(*d->now->doorbell, before + 1);
	}
	ck_assert_uint_ne(d->now->control->board, d->now->control->armed);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
	tapio_producer_close(p);
	world_stop();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("boards over brokers");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_successor_knows_the_boards);
	tcase_add_test(t, in_older_memory_each_group_is_looked_at);
	tcase_add_test(t, a_successor_knows_who_rings_once);
	return check_run_case("boards over brokers", t);
}
