/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of which something is missing or wrong is not taken over, and the log has the
 * reason. Other rules, groups and open numbers are applied, and other channels refused.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "broker/registry/state.h"
#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/fault/adopt_world.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CLASS(blocks)                                                        \
	"class main { block = 64\n blocks = " blocks "\n side_blocks = 64\n" \
	"side_lanes = 8 }\n"
#define RULES                                                              \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless, durable} }\n"
#define CONFIG                                  \
	"channel u { stamp = \"none\"\n" CLASS( \
		"64") "group kept { policy = lossless }\n group other { } }\n" RULES

/* Records of two slots of channel 0. */
#define SLOT_4 tpi_slot_record(0, 4)
#define SLOT_5 tpi_slot_record(0, 5)

static struct peer peer;

static struct tapio_shm_broker before;
static uint8_t instance[16];

static void look_at_broker(void)
{
	peer_connect_to(&peer, world->socket);
	ck_assert_int_eq(peer_hello(&peer), 0);
	memcpy(&before, peer.catalog.broker, sizeof(before));
	memcpy(instance, peer.catalog.instance, sizeof(instance));
}

/* A broker that serves, and then has been killed. */
static void begin(void)
{
	world_begin(CONFIG);
	rig_use(world->socket);
	ck_assert_msg(world_start(), "%s", world->error);
	look_at_broker();
	peer_close(&peer);
	world_kill();
}

static void *map_kept(uint32_t kind, uint32_t number)
{
	struct stat st;
	void *base;
	int at = world_find(kind, number);

	ck_assert_int_ge(at, 0);
	ck_assert_int_eq(fstat(world_kept[at].fd, &st), 0);
	ck_assert_int_eq(tpi_sys_mmap(&base, (uint64_t)st.st_size,
				      PROT_READ | PROT_WRITE,
				      world_kept[at].fd),
			 0);
	return base;
}

static struct tapio_shm_broker *broker_of(struct tapio_shm_header *header)
{
	struct tapio_shm_region *regions =
		(void *)((char *)header + header->region_offset);

	return (void *)((char *)header + regions[0].offset);
}

static struct tapio_shm_segment *records_of(struct tapio_shm_header *header)
{
	struct tapio_shm_region *regions =
		(void *)((char *)header + header->region_offset);

	return (void *)((char *)header + regions[2].offset);
}

static struct tapio_shm_attachment *clients_of(struct tapio_shm_header *header)
{
	struct tapio_shm_region *regions =
		(void *)((char *)header + header->region_offset);

	return (void *)((char *)header + regions[1].offset);
}

/* ---- memory that is not taken over ------------------------------------------------------------- */

static void lose(uint32_t kind, uint32_t number)
{
	int at = world_find(kind, number);

	ck_assert_int_ge(at, 0);
	close(world_kept[at].fd);
	world_kept[at] = world_kept[--world_kept_count];
}

static void swap_fds(uint32_t a, uint32_t b)
{
	int x = world_find(TPI_KEEP_SEGMENT, a);
	int y = world_find(TPI_KEEP_SEGMENT, b);
	int fd = world_kept[x].fd;

	world_kept[x].fd = world_kept[y].fd;
	world_kept[y].fd = fd;
}

/* An unsealed file under the catalog's key. */
static void forge_catalog(void)
{
	int at = world_find(TPI_KEEP_CATALOG, 0);
	int fd = tpi_sys_memfd_create("forged", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	close(world_kept[at].fd);
	world_kept[at].fd = fd;
}

enum {
	NO_CATALOG,
	NO_STATE,
	NO_NODE,
	NO_SLOT,
	OTHER_BOOT,
	OTHER_LAYOUT,
	OTHER_MAGIC,
	NOT_READY,
	STOPPED,
	BROKER_ID,
	STATE_MAGIC,
	STATE_VERSION,
	STATE_NOT_READY,
	STATE_INSTANCE,
	STATE_COUNT,
	SWAPPED,
	OTHER_INODE,
	RECORD_KIND,
	RECORD_EPOCH,
	RECORD_NOT_READY,
	CLIENT_ID,
	UNSEALED,
	FAULTS
};

static const char *const reasons[FAULTS] = {
	[NO_CATALOG] = "has not the catalog",
	[NO_STATE] = "has not the private state",
	[NO_NODE] = "has not the segment of a channel of record 1",
	[NO_SLOT] = "has not the memory of a slot of record 69",
	[OTHER_BOOT] = "earlier boot",
	[OTHER_LAYOUT] = "layout version 0.3",
	[OTHER_MAGIC] = "magic",
	[NOT_READY] = "not ready",
	[STOPPED] = "was stopped",
	[BROKER_ID] = "had the id 0x",
	[STATE_MAGIC] = "has not its magic",
	[STATE_VERSION] = "of version 99",
	[STATE_NOT_READY] = "private state is not ready",
	[STATE_INSTANCE] = "of another instance",
	[STATE_COUNT] = "has 7 clients",
	[SWAPPED] = "and the catalog names",
	[OTHER_INODE] = "and the catalog names",
	[RECORD_KIND] = "is of kind 77",
	[RECORD_EPOCH] = "is of epoch 9",
	[RECORD_NOT_READY] = "has not the new memory of record 70",
	[CLIENT_ID] = "attachment 2 has state 1, id 0x00004003",
	[UNSEALED] = "is not sealed: seals 0x1, needed 0x6",
};

static void spoil_state(int fault)
{
	struct tpi_state_head *head = map_kept(TPI_KEEP_STATE, 0);

	if (fault == STATE_MAGIC)
		head->magic++;
	if (fault == STATE_VERSION)
		head->version = 99;
	if (fault == STATE_NOT_READY)
		head->ready = 0;
	if (fault == STATE_INSTANCE)
		head->instance[3]++;
	if (fault == STATE_COUNT)
		head->client_count = 7;
}

static void spoil_catalog(int fault)
{
	struct tapio_shm_header *header = map_kept(TPI_KEEP_CATALOG, 0);
	struct tapio_shm_broker *broker = broker_of(header);
	struct tapio_shm_segment *records = records_of(header);

	if (fault == OTHER_BOOT)
		broker->boot_id[5]++;
	if (fault == STOPPED)
		broker->state = TAPIO_BROKER_STOPPED;
	if (fault == BROKER_ID)
		broker->attachment = TAPIO_ATTACHMENT_ID(2, 1);
	if (fault == OTHER_LAYOUT)
		header->abi_minor = TAPIO_ABI_MINOR_LEAST - 1;
	if (fault == OTHER_MAGIC)
		header->magic++;
	if (fault == NOT_READY)
		header->ready = 0;
	if (fault == OTHER_INODE)
		records[1].inode++;
	if (fault == RECORD_KIND)
		records[1].kind = 77;
	if (fault == RECORD_EPOCH)
		records[SLOT_5].epoch = 9;
	if (fault == RECORD_NOT_READY)
		records[SLOT_5].ready = 0;
	if (fault == CLIENT_ID) {
		clients_of(header)[2].state = TAPIO_ATTACHMENT_ALIVE;
		clients_of(header)[2].id = TAPIO_ATTACHMENT_ID(3, 1);
	}
}

static void spoil(int fault)
{
	if (fault == NO_CATALOG)
		lose(TPI_KEEP_CATALOG, 0);
	else if (fault == NO_STATE)
		lose(TPI_KEEP_STATE, 0);
	else if (fault == NO_NODE)
		lose(TPI_KEEP_SEGMENT, 2);
	else if (fault == NO_SLOT)
		lose(TPI_KEEP_SEGMENT, 2 * SLOT_4 + 1);
	else if (fault == SWAPPED)
		swap_fds(2 * SLOT_4 + 1, 2 * SLOT_5 + 1);
	else if (fault == UNSEALED)
		forge_catalog();
	else if (fault >= STATE_MAGIC && fault <= STATE_COUNT)
		spoil_state(fault);
	else
		spoil_catalog(fault);
}

START_TEST(what_is_wrong_is_not_taken_over_and_the_log_says_why)
{
	begin();
	spoil(_i);
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert_msg(world_said(reasons[_i]), "the log has not \"%s\":\n%s",
		      reasons[_i], world->log);
	ck_assert(world_said("is not taken over"));
	look_at_broker();
	ck_assert_uint_eq(before.restarts, 0);
	ck_assert_uint_eq(before.state, TAPIO_BROKER_RUNNING);
	peer_close(&peer);
	/* Its own memory is kept now: the next one takes that over. */
	world_kill();
	ck_assert_msg(world_start(), "%s", world->error);
	look_at_broker();
	ck_assert_uint_eq(before.restarts, 1);
	peer_close(&peer);
	world_stop();
	ck_assert_uint_eq(world_kept_count, 0);
}
END_TEST

/* ---- the configuration ------------------------------------------------------------------- */

static const struct {
	const char *config;
	const char *says;
} refused[] = {
	{"channel u { stamp = \"none\"\n" CLASS("128") "}\n" RULES,
	 "channel \"u\", class \"main\": blocks: 64 -> 128"},
	{"channel u { stamp = \"none\"\n full = wait\n" CLASS("64") "}\n" RULES,
	 "channel \"u\": full: drop -> wait"},
	{"channel u { stamp = clock\n" CLASS("64") "}\n" RULES,
	 "channel \"u\": stamp: none -> clock"},
	{"channel u { stamp = \"none\"\n isolation = process\n"
	 "class main { block = 64\n blocks = 64 } }\n" RULES,
	 "channel \"u\": isolation: channel -> process"},
	{"channels_max = 99\n channel u { stamp = \"none\"\n" CLASS(
		 "64") "}\n" RULES,
	 "channels_max: 17 -> 99"},
};

START_TEST(other_sizes_are_refused_and_the_memory_stays)
{
	uint32_t kept;

	begin();
	kept = world_kept_count;
	world->config = refused[_i].config;
	ck_assert(!world_start());
	ck_assert_msg(strstr(world->error, refused[_i].says), "%s",
		      world->error);
	ck_assert_msg(strstr(world->error, "--discard-memory"), "%s",
		      world->error);
	ck_assert_uint_eq(world_kept_count, kept);
	/* As before: it is there. */
	world->config = CONFIG;
	ck_assert_msg(world_start(), "%s", world->error);
	look_at_broker();
	ck_assert_uint_eq(before.restarts, 1);
	peer_close(&peer);
	world_kill();
	/* Or begin anew. */
	world->config = refused[_i].config;
	world_discards = true;
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert(world_said("as was asked for"));
	look_at_broker();
	ck_assert_uint_eq(before.restarts, 0);
	peer_close(&peer);
	world_stop();
}
END_TEST

static struct tapio_consumer *open_group(const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = group,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "u", &options);

	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
	return c;
}

#define CHANGED                                 \
	"budget = 64M\n clients_max = 77\n"     \
	"channel u { stamp = \"none\"\n" CLASS( \
		"64") "group kept { policy = lossy }\n group fresh { } }\n" RULES

START_TEST(groups_and_limits_of_the_new_configuration_are_applied)
{
	struct tapio_consumer *c;

	begin();
	world->config = CHANGED;
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert(world_said("group \"kept\" has the policy"));
	ck_assert(world_said("does not name group \"other\" any more"));
	look_at_broker();
	ck_assert_uint_eq(before.clients_max, 77);
	ck_assert_uint_eq(before.restarts, 1);
	c = open_group("fresh");
	tapio_consumer_close(c);
	c = open_group("other");
	tapio_consumer_close(c);
	c = open_group("kept");
	ck_assert_uint_eq(
		c->now->client.groups[c->now->client.granted.group_slot].policy,
		TAPIO_GROUP_LOSSY);
	tapio_consumer_close(c);
	/* It is an ordinary group now, and can be removed. */
	ck_assert_int_eq(peer_remove(&peer, "u", "other"), 0);
	ck_assert_int_eq(peer_remove(&peer, "u", "kept"), -EPERM);
	peer_close(&peer);
	world_stop();
}
END_TEST

START_TEST(numbers_that_are_open_are_those_of_the_memory)
{
	static const char large[] =
		"budget = 64M\nchannel u { class a { block = 512 } }\n" RULES;
	static const char small[] =
		"budget = 12M\nchannel u { class a { block = 512 } }\n" RULES;
	uint64_t used;

	world_begin(small);
	ck_assert_msg(world_start(), "%s", world->error);
	look_at_broker();
	used = before.used_bytes;
	peer_close(&peer);
	world_kill();
	world->config = large;
	ck_assert_msg(world_start(), "%s", world->error);
	look_at_broker();
	ck_assert_uint_eq(before.restarts, 1);
	ck_assert_uint_eq(before.used_bytes, used);
	ck_assert_uint_eq(before.budget_bytes, UINT64_C(64) << 20);
	peer_close(&peer);
	world_stop();
}
END_TEST

/* ---- deaths while no broker ran ------------------------------------------------------ */

/* Holds a block and every lease, and says so. */
static void hold_all(int out)
{
	struct tapio_reservation r;
	struct tapio_view views[4];
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "l",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};
	struct tapio_producer *p;
	struct tapio_consumer *c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tapio_consumer_open(&c, "u", &options) ||
	    tapio_producer_open(&p, "u", &rig.options))
		_exit(1);
	pin(0);
	for (uint32_t i = 0; i < 5; i++)
		if (tapio_output(p, TAG, &i, sizeof(i)))
			_exit(2);
	if (tapio_poll(c, views, 4, 0) != 4 || tapio_reserve(p, TAG, 4, &r))
		_exit(3);
	(void)!write(out, "r", 1);
	for (;;)
		pause();
}

START_TEST(a_death_without_a_broker_is_found_and_swept)
{
	struct tapio_view views[16];
	struct tapio_consumer *c;
	struct peer before_it;
	int pipes[2];
	char byte;
	pid_t pid;

	begin();
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (!pid)
		hold_all(pipes[1]);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	look_at_broker();
	before_it = peer;
	world_kill();
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert(world_said("died while no broker ran"));
	/* By the old mapping: it is the same memory. */
	ck_assert_uint_eq(before_it.catalog.broker->restarts, 2);
	ck_assert_uint_eq(before_it.catalog.broker->deaths, before.deaths + 1);
	ck_assert_uint_gt(before_it.catalog.broker->swept_blocks,
			  before.swept_blocks);
	ck_assert_uint_gt(before_it.catalog.broker->leases_cleared,
			  before.leases_cleared);
	c = open_group("l");
	ck_assert_int_eq(tapio_poll(c, views, 16, 0), 5);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
	peer_close(&before_it);
	world_stop();
}
END_TEST

/* A pidfd that the keeper has not got: by its number and its start. */
START_TEST(a_process_without_a_pidfd_is_found_by_its_start)
{
	struct tapio_producer *p;

	begin();
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert_int_eq(tapio_producer_open(&p, "u", &rig.options), 0);
	world_kill();
	lose(TPI_KEEP_PROCESS,
	     TAPIO_ATTACHMENT_INDEX(p->now->client.granted.attachment));
	ck_assert_msg(world_start(), "%s", world->error);
	ck_assert(!world_said("died while no broker ran"));
	ck_assert_uint_eq(p->now->client.catalog
				  .attachments[TAPIO_ATTACHMENT_INDEX(
					  p->now->client.granted.attachment)]
				  .state,
			  TAPIO_ATTACHMENT_ALIVE);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	tapio_producer_close(p);
	world_stop();
}
END_TEST

/* ---- memory serves one uid, over brokers ----------------------------------------------------- */

#define UID 5000

static int join_as(uid_t uid)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (setgid(uid) || setuid(uid))
			_exit(99);
		peer_connect_to(&peer, world->socket);
		if (peer_hello(&peer) ||
		    peer_attach(&peer, TAPIO_ROLE_CONSUME, "u", NULL, 0, 0, 0))
			_exit(98);
		_exit((int)peer.attached.group_slot);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(memory_of_one_uid_serves_it_alone_over_brokers)
{
	int slot, other;

	if (getuid())
		return;
	begin();
	ck_assert_msg(world_start(), "%s", world->error);
	slot = join_as(UID);
	ck_assert_int_lt(slot, TAPIO_GROUP_SLOTS);
	ck_assert(world_settles(0));
	for (int i = 0; i < 3; i++) {
		world_kill();
		ck_assert_msg(world_start(), "%s", world->error);
		other = join_as(UID + 1);
		ck_assert_int_lt(other, TAPIO_GROUP_SLOTS);
		ck_assert_int_ne(other, slot);
		ck_assert_int_eq(join_as(UID), slot);
		ck_assert(world_settles(0));
	}
	world_stop();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("adopt refused");

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(
		t, what_is_wrong_is_not_taken_over_and_the_log_says_why, 0,
		FAULTS);
	tcase_add_loop_test(t, other_sizes_are_refused_and_the_memory_stays, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t,
		       groups_and_limits_of_the_new_configuration_are_applied);
	tcase_add_test(t, numbers_that_are_open_are_those_of_the_memory);
	tcase_add_test(t, a_death_without_a_broker_is_found_and_swept);
	tcase_add_test(t, a_process_without_a_pidfd_is_found_by_its_start);
	tcase_add_test(t, memory_of_one_uid_serves_it_alone_over_brokers);
	return check_run_case("adopt refused", t);
}
