/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer keeps the memory of a slot that it has had, and writes it when the slot
 * serves a lossless group of another user: no event of that group may be lost, and its
 * ledger may not say that it was delivered. And a member writes garbage into all that it
 * can write: it hurts its own group and no other client, not even those that attach later.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/fault/peer.h"
#include "tests/hostile/honest.h"

#define CONFIG                                                 \
	HONEST_CHANNEL                                         \
	HONEST_RULES                                           \
	"allow attacker { uid = {61006}  role = {consume} }\n" \
	"allow spoiler { uid = {61007}  role = {produce} }\n"
#define SPOILER 61007
/* The share of one user (uid_groups_max). Slots are given in the order of their numbers,
 * so the next group gets one of these. */
#define KEPT 4

static struct world world;

static void set_up(void)
{
	world = (struct world){0};
	world_start(&world, CONFIG);
}

static void tear_down(void)
{
	world_assert_serves(&world, "events");
	world_stop(&world);
}

/* ---- memory that is kept ------------------------------------------------------------- */

/* As many as the user may have. */
struct kept {
	struct peer peers[KEPT];
	int count;
};

static void take_slots(struct kept *kept)
{
	char name[32];

	for (kept->count = 0; kept->count < KEPT; kept->count++) {
		struct peer *p = &kept->peers[kept->count];

		snprintf(name, sizeof(name), "kept-%d", kept->count);
		peer_connect_to(p, world.socket);
		ck_assert_int_eq(peer_hello(p), 0);
		if (peer_attach(p, TAPIO_ROLE_CONSUME, "events", name, 0, 0, 0))
			break;
	}
	ck_assert_int_gt(kept->count, 0);
}

/* As the head of a member that has read everything. */
static void forge(const struct peer *p)
{
	const struct tapio_shm_group *group =
		&p->catalog.groups[p->attached.channel * TAPIO_GROUP_SLOTS +
				   p->attached.group_slot];
	uint64_t slot = tpi_load_acquire(&group->slot);

	for (uint32_t i = 0; i < p->channel.lane_count; i++) {
		struct tapio_shm_cursor *cursor = &p->cursors.cursors[i];
		uint64_t tail = TAPIO_STATE_TAIL(
			tpi_load_relaxed(&p->channel.lanes[i].shm->state));

		for (int cell = 0; cell < TAPIO_CELLS; cell++)
			tpi_store_release(
				&cursor->cells[cell].head,
				TAPIO_HEAD(tail, TAPIO_SLOT_INCARNATION(slot),
					   0));
	}
}

static void forge_until_told(struct role *self, const struct kept *kept)
{
	while (!role_has_news(self, 0))
		for (int round = 0; round < 100; round++)
			for (int i = 0; i < kept->count; i++)
				forge(&kept->peers[i]);
}

/* Says DETACH, and keeps the mappings all the same. */
static void leave(struct peer *p)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_DETACH);
	m.detach.attachment = p->attached.attachment;
	ck_assert_int_eq(peer_send(p, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(p, &m), TPI_WIRE_DETACHED);
}

static void detach_and_forge(struct role *self)
{
	static struct kept kept;

	take_slots(&kept);
	for (int i = 0; i < kept.count; i++)
		leave(&kept.peers[i]);
	role_tell(self, 1);
	forge_until_told(self, &kept);
}

/* A process says of its image whatever it likes. */
static void pretend_execve_and_forge(struct role *self)
{
	const uint8_t image[16] = {1, 2, 3};
	static struct kept kept;
	struct peer other;

	take_slots(&kept);
	peer_connect_to(&other, world.socket);
	peer_hello_with(&other, -1, image);
	role_tell(self, 1);
	forge_until_told(self, &kept);
}

/* The library keeps its mappings out of children. An attacker does not. */
static void keep_over_fork(const struct tpi_map *map)
{
	if (map->bytes)
		ck_assert_int_eq(
			madvise((void *)map->base, map->bytes, MADV_DOFORK), 0);
}

/* The process that was given the slots dies. Its child has the mappings, too. */
static void die_and_let_child_forge(struct role *self)
{
	static struct kept kept;
	pid_t parent = getpid();

	take_slots(&kept);
	for (int i = 0; i < kept.count; i++) {
		const struct peer *p = &kept.peers[i];

		keep_over_fork(&p->catalog.map);
		keep_over_fork(&p->cursors_map);
		for (uint32_t n = 0; n < p->attached.segment_count; n++)
			keep_over_fork(&p->maps[n]);
	}
	if (fork())
		return;
	while (getppid() == parent)
		usleep(1000);
	role_tell(self, 1);
	forge_until_told(self, &kept);
	_exit(0);
}

static void (*const keepers[])(struct role *) = {
	detach_and_forge, pretend_execve_and_forge, die_and_let_child_forge};
#define KEEPERS ((int)(sizeof(keepers) / sizeof(keepers[0])))

static void set_up_with(const char *uid_map, const char *config)
{
	world_stop(&world);
	world = (struct world){.uid_map = uid_map};
	world_start(&world, config);
}

/* Memory is kept, and then the pair is served. */
static void keep_and_serve(void (*keep)(struct role *), const char *group)
{
	struct honest pair = {.group = group};
	struct role attacker;

	role_start_uid(&attacker, WORLD_ATTACKER, keep, NULL);
	role_hear(&attacker);
	/* The broker may learn of an end by its tick. */
	sleep(2);
	honest_start(&pair, &world);
	honest_receive(&pair, 20000);
	honest_end(&pair);
	honest_free(&pair);
	role_tell(&attacker, 1);
	role_end(&attacker);
}

/* On commit fddcec1 such a group got 52 of 20,000 events, and its ledger said all. */
START_TEST(memory_that_a_user_had_never_serves_another_user)
{
	keep_and_serve(keepers[_i], NULL);
}
END_TEST

/* Not even to a group of the configuration, which is for all users. */
START_TEST(memory_that_a_user_had_never_serves_a_configured_group)
{
	set_up_with(NULL,
		    "channel events { full = wait\n"
		    "class main { block = 256  blocks = 1024\n"
		    "side_blocks = 256  side_lanes = 8 }\n"
		    "group shared { policy = lossless } }\n" HONEST_RULES
		    "allow attacker { uid = {61006}  role = {consume} }\n");
	keep_and_serve(keepers[_i], "shared");
}
END_TEST

/* To a broker in a user namespace all users that it does not map are 65534. */
START_TEST(users_that_look_alike_share_no_memory)
{
	set_up_with("0 61000 1\n61001 61001 1\n", HONEST_CHANNEL HONEST_RULES
		    "allow all { any = true\n"
		    "role = {consume, lossless, inspect} }\n");
	keep_and_serve(keepers[_i], NULL);
}
END_TEST

/* ---- garbage ------------------------------------------------------------------------------ */

static uint64_t state = 88172645463325252;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void scribble(const struct tpi_map *map, uint64_t bytes)
{
	uint64_t *words = (uint64_t *)map->base;

	for (uint64_t i = 0; i < bytes / 8; i++)
		tpi_store_relaxed(&words[i], next_random());
}

/* All that a member can write, again and again. */
static void scribble_cursors(struct role *self)
{
	struct peer p;

	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(
		peer_attach(&p, TAPIO_ROLE_CONSUME, "events", "mine", 0, 0, 0),
		0);
	scribble(&p.cursors_map, p.cursors_map.bytes);
	role_tell(self, 1);
	while (!role_has_news(self, 0))
		scribble(&p.cursors_map, p.cursors_map.bytes);
}

/* One word at the head of its segment, and then it is quiet. */
static void spoil_header(struct role *self)
{
	struct peer p;

	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(
		peer_attach(&p, TAPIO_ROLE_CONSUME, "events", "mine", 0, 0, 0),
		0);
	*(uint64_t *)p.cursors_map.base = next_random();
	role_tell(self, 1);
	role_hear(self);
}

/* All words up to the first lane's memory: header, regions. */
static void spoil_node_headers(struct role *self)
{
	struct peer p;

	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(
		peer_attach(&p, TAPIO_ROLE_PRODUCE, "events", NULL, 0, 0, 0),
		0);
	for (uint32_t i = 0; i < p.attached.segment_count; i++)
		scribble(&p.maps[i], sizeof(struct tapio_shm_header));
	role_tell(self, 1);
	role_hear(self);
}

static const struct {
	uid_t uid;
	void (*body)(struct role *);
} spoilers[] = {
	{WORLD_ATTACKER, spoil_header},
	{WORLD_ATTACKER, scribble_cursors},
	{SPOILER, spoil_node_headers},
};
#define SPOILERS ((int)(sizeof(spoilers) / sizeof(spoilers[0])))

/* 1: something does not balance, which is true of the spoiled group. */
static void shmstat_looks(void)
{
	struct command run;

	command_run(&run, "tapio-shmstat", "--json", "--timeout", "30s",
		    "--socket", world.socket, "all", NULL);
	ck_assert_msg(run.status == 0 || run.status == 1, "status %d: %s",
		      run.status, run.err);
	ck_assert_msg(strstr(run.out, "\"events\"") != NULL, "%s", run.err);
	command_free(&run);
}

/* On commit fddcec1 one store closes the channel until the broker restarts. */
START_TEST(what_a_client_can_write_closes_a_channel_to_no_one)
{
	struct honest before = {.group = "before"}, during = {0},
		      after = {.group = "after"};
	struct role attacker;

	honest_start(&before, &world);
	role_start_uid(&attacker, spoilers[_i].uid, spoilers[_i].body, NULL);
	role_hear(&attacker);
	/* These attach while the memory is spoiled. */
	honest_start(&during, &world);
	shmstat_looks();
	honest_receive(&during, 5000);
	honest_receive(&before, 5000);
	honest_end(&before);
	honest_end(&during);
	role_tell(&attacker, 1);
	role_end(&attacker);
	honest_start(&after, &world);
	honest_receive(&after, 1000);
	honest_end(&after);
	shmstat_looks();
	honest_free(&before);
	honest_free(&during);
	honest_free(&after);
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	TCase *c;

	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("slots");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, memory_that_a_user_had_never_serves_another_user,
			    0, KEEPERS);
	tcase_add_loop_test(
		c, memory_that_a_user_had_never_serves_a_configured_group, 0,
		KEEPERS);
	tcase_add_loop_test(c, users_that_look_alike_share_no_memory, 0,
			    KEEPERS);
	tcase_add_loop_test(c,
			    what_a_client_can_write_closes_a_channel_to_no_one,
			    0, SPOILERS);
	return check_run_case("slots", c);
}
