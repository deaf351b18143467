/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL of the broker at every testpoint of its work for clients (attach, join,
 * promote, renew, mend, evict, detach, leave) and of taking over itself, in one memory that
 * goes from broker to broker. A producer and the member of a lossless group work on
 * meanwhile, in processes of their own. After each death the next broker has
 *
 *	the same instance, one restart more, and ids that were never given before
 *	the durable group "d" at its place, with the events that it has not read
 *	no block in a dead producer's hands, no lease of a dead member
 *	`active` and the slots of one mind, and no group that was not answered
 *	a board that is looked at where a group has members, and none elsewhere
 *
 * and at the end each event that was accepted has arrived once.
 */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/fault/adopt_world.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CONFIG                                                             \
	"channel t { stamp = tsc\n"                                        \
	"class main { block = 64\n blocks = 256\n side_blocks = 256\n"     \
	"side_lanes = 8 }}\n"                                              \
	"channel u { stamp = \"none\"\n"                                   \
	"class main { block = 64\n blocks = 64\n side_blocks = 64\n"       \
	"side_lanes = 8 }}\n"                                              \
	"channel v { stamp = \"none\"\n"                                   \
	"class main { block = 64\n blocks = 64\n side_blocks = 64\n"       \
	"side_lanes = 8 }}\n"                                              \
	"channel i { isolation = process\n producers_max = 2\n"            \
	"stamp = \"none\"\n class main { block = 64\n blocks = 64 }}\n"    \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless, durable} }\n"

#define LIVING  3  /* the producer, the member, and the reader of "i" */
#define BACKLOG 20 /* of "d": less than half a lane */

static pid_t producer_pid, member_pid;

static void connect_options(void)
{
	rig_use(world->socket);
}

/* ---- the living ------------------------------------------------------------------------ */

static void emit_for_ever(void)
{
	struct tapio_producer *p;
	uint32_t n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tapio_producer_open(&p, "t", &rig.options))
		_exit(1);
	while (!tpi_load_acquire(&world->stop) && n < WORLD_NUMBERS) {
		if (!tapio_output(p, TAG, &n, sizeof(n)))
			tpi_store_release(&world->accepted, ++n);
		usleep(100);
	}
	_exit(0);
}

static bool is_end(void)
{
	return tpi_load_acquire(&world->stop) == 2 &&
	       world->released >= tpi_load_acquire(&world->accepted);
}

static void read_for_ever(void)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_view views[64];
	struct tapio_consumer *c;
	uint32_t number;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tapio_consumer_open(&c, "t", &options))
		_exit(1);
	tpi_store_release(&world->released, 1);
	tpi_store_release(&world->released, 0);
	while (!is_end()) {
		int n = tapio_poll(c, views, 64, 5000000);

		for (int i = 0; i < n; i++) {
			memcpy(&number, views[i].data, sizeof(number));
			world->seen[number]++;
		}
		if (n < 0 || tapio_release(c) < 0)
			_exit(2);
		tpi_store_release(&world->released,
				  world->released + (uint32_t)n);
	}
	_exit(0);
}

/* One that looks, and speaks to the broker by hand. */
static struct peer *inspect(const char *channel)
{
	static struct peer peer;
	int err;

	peer_connect_to(&peer, world->socket);
	err = peer_hello(&peer);
	if (!err)
		err = peer_attach(&peer, TAPIO_ROLE_INSPECT, channel, NULL, 0,
				  0, 0);
	ck_assert_msg(!err, "inspector: %s", strerror(-err));
	return &peer;
}

static pid_t start(void (*body)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		body();
	return pid;
}

/* The reader of the isolated channel. It is of this process, and goes on over all deaths. */
static struct tapio_consumer *isolated;
#define ISOLATED_MOST 65536
static uint32_t arrived; /* numbers on that channel */
static bool has_come[ISOLATED_MOST];

static void open_isolated(void)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "i",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	int err = tapio_consumer_open(&isolated, "i", &options);

	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
}

static void read_isolated(int64_t timeout_ns)
{
	struct tapio_view views[16];
	int n = tapio_poll(isolated, views, 16, timeout_ns);

	ck_assert_int_ge(n, 0);
	for (int k = 0; k < n; k++) {
		uint32_t number;

		ck_assert_uint_eq(views[k].flags & TAPIO_VIEW_GAP, 0);
		memcpy(&number, views[k].data, sizeof(number));
		ck_assert_uint_lt(number, ISOLATED_MOST);
		ck_assert_msg(!has_come[number], "%u again", number);
		has_come[number] = true;
		/* Each producer emits three. */
		ck_assert_msg(number % 3 == 0 || has_come[number - 1],
			      "%u before %u", number, number - 1);
		arrived++;
	}
	ck_assert_int_eq(tapio_release(isolated), 0);
}

/*
 * All that producers of the acts have accepted has come, once. A reader goes from segment to
 * segment, so what one producer has emitted has an order, and several ones have none.
 */
static void check_isolated(void)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	for (int i = 0;
	     i < 5000 && arrived < tpi_load_acquire(&world->isolated_accepted);
	     i++)
		read_isolated(10000000);
	ck_assert_uint_eq(arrived, tpi_load_acquire(&world->isolated_accepted));
	ck_assert_int_eq(tapio_consumer_stats_read(isolated, &stats), 0);
	ck_assert_uint_eq(stats.delivered, arrived);
	ck_assert_uint_eq(stats.lost + stats.skipped, 0);
}

static struct tapio_consumer *join_durable(void)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "d",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "u", &options);

	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
	return c;
}

static uint64_t emit_backlog(void)
{
	struct tapio_producer *p;
	uint32_t n;

	ck_assert_int_eq(tapio_producer_open(&p, "u", &rig.options), 0);
	pin(0);
	for (n = 0; n < BACKLOG; n++)
		ck_assert_int_eq(tapio_output(p, TAG, &n, sizeof(n)), 0);
	tapio_producer_close(p);
	return n;
}

static void wait_for_group(void)
{
	struct peer *o = inspect("t");
	const uint64_t *active =
		&o->catalog.channels[o->attached.channel].active;

	for (int i = 0; i < 60000 && !tpi_load_acquire(active); i++)
		nap_ms(1);
	ck_assert_uint_ne(tpi_load_acquire(active), 0);
	peer_close(o);
}

static void begin(void)
{
	world_begin(CONFIG);
	connect_options();
	ck_assert_msg(world_start(), "%s", world->error);
	member_pid = start(read_for_ever);
	wait_for_group();
	producer_pid = start(emit_for_ever);
	while (!tpi_load_acquire(&world->accepted))
		nap_ms(1);
	tapio_consumer_close(join_durable());
	emit_backlog();
	open_isolated();
}

/* Each event that was accepted came once, and was released. */
static void end(void)
{
	uint32_t i;

	tpi_store_release(&world->stop, 1);
	ck_assert(child_ok(producer_pid));
	tpi_store_release(&world->stop, 2);
	ck_assert(child_ok(member_pid));
	tapio_consumer_close(isolated);
	ck_assert_uint_eq(world->released, world->accepted);
	for (i = 0; i < world->accepted; i++)
		ck_assert_msg(world->seen[i] == 1, "event %u came %u times", i,
			      world->seen[i]);
	world_stop();
	ck_assert_uint_eq(world_kept_count, 0);
}

/* ---- checks of the next broker --------------------------------------------------- */

static uint8_t instance[16];
static uint32_t restarts;
static uint8_t
	given[1u << 24]; /* ids that were seen, hashed by all their bits */

static void check_backlog(void)
{
	struct tapio_consumer *c = join_durable();
	struct tapio_view views[64];
	struct tapio_consumer_stats stats;
	unsigned int n = 0, got;
	uint32_t number;

	while (n < BACKLOG && (got = look(c, views + n, 64 - n)))
		n += got;
	ck_assert_uint_eq(n, BACKLOG);
	for (unsigned int i = 0; i < n; i++) {
		memcpy(&number, views[i].data, sizeof(number));
		ck_assert_uint_eq(number, i);
	}
	stats = group_stats(c);
	ck_assert_uint_eq(stats.lost, 0);
	ck_assert_uint_eq(stats.in_flight, BACKLOG);
	/* Not released: the next one gets them again. */
	tapio_consumer_close(c);
}

static void check_slots(const struct peer *o)
{
	const struct tpi_catalog *catalog = &o->catalog;
	uint32_t channel = o->attached.channel;
	uint64_t active = 0;
	bool members = false;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		const struct tapio_shm_group *group =
			&catalog->groups[channel * TAPIO_GROUP_SLOTS + i];
		uint64_t slot = tpi_load_acquire(&group->slot);

		if (TAPIO_SLOT_STATE(slot) != TAPIO_SLOT_ACTIVE)
			continue;
		active |= UINT64_C(1) << i;
		members = members || group->members;
		ck_assert_uint_eq(group->admitted & TAPIO_INCARNATION_MASK,
				  TAPIO_SLOT_INCARNATION(slot));
		ck_assert(!(group->flags & TAPIO_GROUP_FLAG_EVICTED));
		ck_assert(group->members ||
			  group->flags & TAPIO_GROUP_FLAG_DURABLE);
		if (!group->members)
			ck_assert_uint_ne(TAPIO_SLOT_POLICY(slot),
					  TAPIO_GROUP_LOSSLESS);
	}
	ck_assert_uint_eq(catalog->channels[channel].active, active);
	ck_assert(!catalog->channels[channel].boards == !members);
	ck_assert_uint_eq(catalog->channels[channel].unboarded, 0);
}

static void check_broker(const struct peer *o)
{
	const struct tpi_catalog *catalog = &o->catalog;
	const struct tapio_shm_broker *shm = catalog->broker;

	ck_assert_uint_eq(shm->state, TAPIO_BROKER_RUNNING);
	ck_assert_uint_eq(shm->pid, (uint64_t)world_broker());
	if (restarts)
		ck_assert_mem_eq(instance, catalog->instance, sizeof(instance));
	memcpy(instance, catalog->instance, sizeof(instance));
	ck_assert_uint_ge(shm->restarts, restarts);
	restarts = (uint32_t)shm->restarts;
	for (uint32_t i = 1; i < catalog->attachment_count; i++)
		ck_assert_uint_ne(catalog->attachments[i].state,
				  TAPIO_ATTACHMENT_DEAD);
}

/* The observer's id is the newest. */
static void check_id(const struct peer *o)
{
	uint32_t id = o->attached.attachment;
	uint32_t at = id % sizeof(given);

	ck_assert_msg(!given[at], "the id 0x%08x came back", id);
	given[at] = 1;
}

/* No block is in hands on a quiet channel. The broker's tick may have to end a lingerer. */
static void check_held(const struct peer *o)
{
	uint32_t held = 1, owned = 1;

	for (int i = 0; i < 10000 && (held || owned); i++) {
		held = owned = 0;
		for (uint32_t k = 0; k < o->channel.lane_count; k++) {
			const struct tpi_lane *lane = &o->channel.lanes[k];

			held += TAPIO_STATE_HELD(tpi_lane_peek(lane));
			owned += tpi_load_relaxed(&lane->shm->owner) != 0;
		}
		if (held || owned)
			nap_ms(1);
	}
	ck_assert_uint_eq(held, 0);
	ck_assert_uint_eq(owned, 0);
}

static void check_successor(void)
{
	struct peer *o = inspect("v");

	check_broker(o);
	check_id(o);
	check_held(o);
	peer_close(o);
	o = inspect("u");
	check_id(o);
	check_slots(o);
	peer_close(o);
	check_backlog();
	check_isolated();
}

/* ---- acts in which the broker dies -------------------------------------------------- */

/* A producer that has a block in its hands when it goes. */
static void act_produce(void)
{
	struct tapio_reservation r;
	struct tapio_producer *p;

	if (tapio_producer_open(&p, "v", &rig.options))
		_exit(1);
	if (tapio_reserve(p, TAG, 4, &r))
		_exit(2);
	tapio_producer_close(p);
	_exit(0);
}

/* Isolated producers, one after another in two segments. */
static void act_isolated(void)
{
	struct tapio_producer *p;

	for (int i = 0; i < 3; i++) {
		if (tapio_producer_open(&p, "i", &rig.options))
			_exit(1);
		for (int k = 0; k < 3; k++) {
			uint32_t n = world->isolated_accepted;

			if (tapio_output(p, TAG, &n, sizeof(n)))
				_exit(2);
			tpi_store_release(&world->isolated_accepted, n + 1);
		}
		tapio_producer_close(p);
	}
	_exit(0);
}

static struct tapio_consumer *join_x(void)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "x",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *c;

	return tapio_consumer_open(&c, "u", &options) ? NULL : c;
}

/* It holds the leases of all lanes when it goes. */
static void act_join(void)
{
	struct tapio_view views[4];
	struct tapio_consumer *c = join_x();

	if (!c || tapio_poll(c, views, 4, 0) < 0)
		_exit(1);
	tapio_consumer_close(c);
	_exit(0);
}

static void act_promote(void)
{
	struct tapio_consumer *c = join_durable();

	tapio_consumer_close(c);
	_exit(0);
}

static void act_command(char command)
{
	world_tell(command);
	_exit(0);
}

static void act_mend(void)
{
	act_command('m');
}

static void act_renew(void)
{
	world_tell('s');
	act_join();
}

static void act_evict(void)
{
	if (!join_x())
		_exit(1);
	act_command('e');
}

static const struct act {
	const char *name;
	void (*body)(void);
} acts[] = {
	{"attach, detach", act_produce},
	{"join, leave", act_join},
	{"promote", act_promote},
	{"mend", act_mend},
	{"renew", act_renew},
	{"evict", act_evict},
	{"isolated", act_isolated},
};
#define ACTS (int)(sizeof(acts) / sizeof(acts[0]))

/* Runs it until it has ended or the broker is dead. True: it has ended. */
static bool run_act(const struct act *act, pid_t *actor)
{
	struct pollfd ends[2] = {{.events = POLLIN}, {.events = POLLIN}};
	bool ended;

	*actor = start(act->body);
	ends[0].fd = world_pidfd();
	ends[1].fd = tpi_sys_pidfd_open(*actor, 0);
	/* A segment is free for the next producer when all of it was read. */
	while (!poll(ends, 2, 1))
		read_isolated(0);
	ended = !ends[0].revents;
	close(ends[1].fd);
	/* Its blocks may be taken back after its end. */
	return ended && world_settles(LIVING);
}

static void reap(pid_t pid, bool by_force)
{
	if (by_force)
		kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* One death, where none was before. False: the act was over. */
static bool die_in_act(const struct act *act, uint32_t n)
{
	pid_t actor;
	bool ended;

	tpi_store_relaxed(&world->fresh, 1);
	ended = run_act(act, &actor);
	tpi_store_relaxed(&world->fresh, 0);
	if (ended)
		reap(actor, false);
	/* The actor dies while there is no broker, or meets the next one. */
	if (!ended && n % 2)
		reap(actor, true);
	world_kill();
	printf("%s: %u: %s\n", act->name, n, ended ? "done" : world->died_at);
	ck_assert_msg(world_start(), "%s", world->error);
	if (!ended && !(n % 2))
		reap(actor, true);
	check_successor();
	return !ended;
}

START_TEST(every_step_for_clients_outlives_the_broker)
{
	uint32_t n = 1;

	begin();
	check_successor();
	while (die_in_act(&acts[_i], n))
		n++;
	printf("%s: %u deaths\n", acts[_i].name, n - 1);
	fflush(stdout);
	ck_assert_uint_ge(n, 4);
	end();
}
END_TEST

/* A broker dies in the act, and then one after another at each step of taking over. */
START_TEST(every_step_of_taking_over_can_be_done_again)
{
	uint32_t n, deaths = 0;
	bool serves = false, ended;
	pid_t actor;

	begin();
	check_successor();
	for (n = 1; !serves; n++) {
		tpi_store_relaxed(&world->countdown, 3 + n % 23);
		ended = run_act(&acts[_i], &actor);
		reap(actor, !ended);
		tpi_store_relaxed(&world->countdown, 0);
		world_kill();
		tpi_store_relaxed(&world->fresh, 1);
		serves = world_start();
		tpi_store_relaxed(&world->fresh, 0);
		if (!serves) {
			ck_assert_msg(world->died_at[0], "%s", world->error);
			printf("%u: %s\n", n, world->died_at);
			deaths++;
			ck_assert_msg(world_start(), "%s", world->error);
		}
		check_successor();
	}
	printf("%s: %u deaths of successors\n", acts[_i].name, deaths);
	fflush(stdout);
	ck_assert_uint_ge(deaths, 10);
	end();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("adopt");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, every_step_for_clients_outlives_the_broker, 0,
			    ACTS);
	tcase_add_loop_test(t, every_step_of_taking_over_can_be_done_again, 0,
			    ACTS);
	return check_run_case("adopt", t);
}
