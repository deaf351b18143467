/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isolation = "process" against a producer of another uid that does all that the
 * kernel lets it do: rights of every descriptor, and an attack on its own segment and
 * on the doorbells by noise, holes and truncation. Meanwhile an honest producer of a
 * third uid emits, groups and an observer read, the broker looks a hundred times a
 * second, and tapio-shmstat looks, too. The honest producer's account is exact.
 *
 * Attacks by words alone are in scribbled.c, with thousands of seeds.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/fault/peer.h"
#include "tests/fault/uids.h"
#include "tests/unit/client_fixture.h"

#define CONFIG                                                       \
	"channel events { isolation = process\n producers_max = 4\n" \
	"class main { block = 128\n blocks = 256 }}\n"               \
	"allow anybody { any = true role = {produce, consume, inspect} }\n"

#define HOSTILE  6000 /* uids */
#define HONEST   6001
#define STRANGER 6002
#define TICK_MS  10
#define EVENTS   (CHECK_SANITIZED ? 4000 : 40000)

extern uint64_t tpi_tick_ns; /* broker/broker.h */

static void set_up(void)
{
	need_root();
	tpi_tick_ns = TICK_MS * UINT64_C(1000000);
	rig_start(CONFIG);
}

static void tear_down(void)
{
	rig_stop();
}

static int attach(struct peer *peer, uint32_t role)
{
	int err;

	peer_connect_to(peer, rig.options.socket);
	err = peer_hello(peer);
	if (!err)
		err = peer_attach(peer, role, "events", NULL, 0, 0, 0);
	return err;
}

/* ---- rights ------------------------------------------------------------------------- */

static void *map_as(int fd, size_t bytes, int protection)
{
	return mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
}

/* Nothing makes memory of such a descriptor writable, or takes it from others. */
static void must_be_read_only(int fd, size_t bytes)
{
	char path[64], byte = 0;
	void *at, *moved;

	MUST(map_as(fd, bytes, PROT_READ | PROT_WRITE) == MAP_FAILED &&
	     errno == EACCES);
	at = map_as(fd, bytes, PROT_READ);
	MUST(at != MAP_FAILED);
	MUST(mprotect(at, bytes, PROT_READ | PROT_WRITE) && errno == EACCES);
	moved = mremap(at, bytes, bytes, MREMAP_MAYMOVE);
	MUST(moved != MAP_FAILED);
	MUST(mprotect(moved, bytes, PROT_READ | PROT_WRITE) && errno == EACCES);
	MUST(madvise(moved, bytes, MADV_REMOVE));
	MUST(madvise(moved, bytes, MADV_POPULATE_WRITE));
	MUST(!munmap(moved, bytes));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(open(path, O_RDWR | O_CLOEXEC) < 0 && errno == EACCES);
	MUST(open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) < 0 && errno == EACCES);
	MUST(pwrite(fd, &byte, 1, 0) < 0 && errno == EBADF);
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		       (off_t)bytes) &&
	     errno == EBADF);
	MUST(ftruncate(fd, 0));
	MUST(fchmod(fd, 0666) && errno == EPERM);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) && errno == EPERM);
}

/* The file of the doorbells keeps its length and its seals. */
static void must_keep_its_length(int fd, size_t bytes)
{
	struct stat st;

	MUST(ftruncate(fd, (off_t)bytes / 2) && errno == EPERM);
	MUST(ftruncate(fd, (off_t)bytes * 2) && errno == EPERM);
	MUST(fallocate(fd, 0, (off_t)bytes, 4096) && errno == EPERM);
	MUST(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) && errno == EPERM);
	MUST(fchmod(fd, 0666) && errno == EPERM);
	MUST(!fstat(fd, &st) && st.st_size == (off_t)bytes);
}

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Of a sealed segment, by whatever descriptor: no new way to write, and no hole. */
static void must_not_be_written_anew(int fd, size_t bytes)
{
	char byte = 0;
	void *at;

	MUST(map_as(fd, bytes, PROT_READ | PROT_WRITE) == MAP_FAILED &&
	     errno == EPERM);
	at = map_as(fd, bytes, PROT_READ);
	MUST(at != MAP_FAILED);
	MUST(mprotect(at, bytes, PROT_READ | PROT_WRITE) && errno == EACCES);
	MUST(!munmap(at, bytes));
	MUST(pwrite(fd, &byte, 1, 0) < 0 && errno == EPERM);
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		       4096) &&
	     errno == EPERM);
	MUST(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
}

/* A process that is handed the descriptor, of another uid or not. */
static void must_be_of_no_use_to_others(int fd, size_t bytes)
{
	pid_t pid = fork();
	int status;

	MUST(pid >= 0);
	if (!pid) {
		must_not_be_written_anew(fd, bytes);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && !status);
}

static void must_be_sealed(struct peer *peer, uint32_t own)
{
	struct tpi_map *map = &peer->maps[own];
	int fd = peer_fd(peer, own), seals = fcntl(fd, F_GET_SEALS);
	volatile uint64_t *word = (volatile uint64_t *)(void *)map->base;
	void *moved;
	char path[64];

	MUST(seals > 0 && seals & F_SEAL_FUTURE_WRITE && seals & F_SEAL_SEAL);
	must_keep_its_length(fd, map->bytes);
	must_not_be_written_anew(fd, map->bytes);
	must_be_of_no_use_to_others(fd, map->bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(open(path, O_RDWR | O_CLOEXEC) < 0 && errno == EACCES);
	MUST(madvise(map->base, map->bytes, MADV_REMOVE) && errno == EPERM);
	/* What it has, it keeps: the same mapping, wherever it is. */
	moved = mremap(map->base, map->bytes, map->bytes, MREMAP_MAYMOVE);
	MUST(moved != MAP_FAILED);
	map->base = moved;
	word = moved;
	*word = *word;
	MUST(madvise(map->base, map->bytes, MADV_REMOVE) && errno == EPERM);
}

static int produce_rights(void)
{
	struct peer peer;
	uint32_t own;

	MUST(!attach(&peer, TAPIO_ROLE_PRODUCE));
	own = peer.attached.own_segment;
	MUST(own && peer.attached.segment_count == 2);
	must_keep_its_length(peer.fds[0], peer.maps[0].bytes);
	must_be_sealed(&peer, own);
	return DONE;
}

/* Readers get the doorbells, and what is sealed, each to be read. */
static int read_rights(uint32_t role)
{
	struct tpi_wire_fetched fetched;
	union tpi_wire_message m;
	struct peer producer, peer;

	MUST(!attach(&producer, TAPIO_ROLE_PRODUCE));
	MUST(!attach(&peer, role));
	MUST(!peer.attached.own_segment && peer.attached.segment_count == 1);
	must_be_read_only(peer.fds[0], peer.maps[0].bytes);
	tpi_wire_init(&m, TPI_WIRE_FETCH);
	m.fetch.attachment = peer.attached.attachment;
	m.fetch.kind = TPI_FETCH_SEGMENTS;
	m.fetch.slots = UINT64_C(1) << producer.attached.own_segment;
	MUST(!peer_send(&peer, &m, m.header.length, NULL, 0));
	MUST(peer_receive(&peer, &m) == TPI_WIRE_FETCHED);
	fetched = m.fetched;
	MUST(fetched.count == 1 && peer.fd_count == 1);
	MUST(fetched.slots[0] == producer.attached.own_segment);
	MUST(TAPIO_SEGMENT_PHASE(fetched.epochs[0]) == TAPIO_PHASE_SEALED);
	must_be_read_only(peer.fds[0],
			  producer.maps[producer.attached.own_segment].bytes);
	return DONE;
}

static int consume_rights(void)
{
	return read_rights(TAPIO_ROLE_CONSUME);
}

static int inspect_rights(void)
{
	return read_rights(TAPIO_ROLE_INSPECT);
}

START_TEST(nobody_can_write_a_sealed_segment_anew)
{
	ck_assert_int_eq(run_as(HOSTILE, produce_rights), DONE);
}
END_TEST

START_TEST(readers_can_write_no_segment_of_the_channel)
{
	ck_assert_int_eq(run_as(HOSTILE, consume_rights), DONE);
	ck_assert_int_eq(run_as(HOSTILE, inspect_rights), DONE);
}
END_TEST

/* ---- shares ---------------------------------------------------------------------------- */

/* The own segment, or 100 when there is none. */
static int own_segment(void)
{
	struct peer peer;
	int err = attach(&peer, TAPIO_ROLE_PRODUCE);

	if (err == -EUSERS && strstr(peer.refused.text, "producers_max"))
		return 100;
	return err ? 101 : (int)peer.attached.own_segment;
}

static int hold_and_ask(void)
{
	struct peer first, second, third;

	if (attach(&first, TAPIO_ROLE_PRODUCE) ||
	    attach(&second, TAPIO_ROLE_PRODUCE))
		return 1;
	if (attach(&third, TAPIO_ROLE_PRODUCE) != -EDQUOT)
		return 2;
	return strstr(third.refused.text, "2 of its 4 segments") ? DONE : 3;
}

START_TEST(one_uid_has_half_of_the_segments)
{
	ck_assert_int_eq(run_as(HOSTILE, hold_and_ask), DONE);
	ck_assert_int_le(run_as(HONEST, own_segment), 4);
}
END_TEST

/* ---- the attack -------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void scribble(const struct tpi_map *map)
{
	uint64_t *words = (uint64_t *)(void *)map->base;
	uint64_t count = map->bytes / sizeof(*words);
	/* The states and gates lie at the beginning: half of the noise goes there. */
	uint64_t at = noise() % 2 ? noise() % count : noise() % 64;

	tpi_store_relaxed(&words[at],
			  noise() % 2 ? noise() : noise() % (1 << 26));
}

/* Only the doorbells, which are not sealed against it, may get a hole. */
static void punch(const struct peer *peer, uint32_t segment)
{
	const struct tpi_map *map = &peer->maps[segment];
	uint64_t page = noise() % (map->bytes / 4096) * 4096;
	int err =
		noise() % 2
			? madvise(map->base + page, 4096, MADV_REMOVE)
			: fallocate(peer_fd(peer, segment),
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)page, 4096);

	if (segment && !err)
		_exit(5);
}

/* A mapping that is moved is the same one. The kernel gives no other one. */
static void map_again(struct peer *peer, uint32_t segment)
{
	struct tpi_map *map = &peer->maps[segment];
	void *moved = mremap(map->base, map->bytes, map->bytes, MREMAP_MAYMOVE);

	if (moved == MAP_FAILED)
		_exit(3);
	map->base = moved;
	if (segment && map_as(peer_fd(peer, segment), map->bytes,
			      PROT_READ | PROT_WRITE) != MAP_FAILED)
		_exit(6);
}

static int attack(void)
{
	struct peer peer;
	uint32_t own;

	if (attach(&peer, TAPIO_ROLE_PRODUCE))
		return 1;
	own = peer.attached.own_segment;
	seed = UINT64_C(0x9e3779b97f4a7c15);
	say_ready();
	for (uint64_t i = 0;; i++) {
		uint32_t segment = noise() % 8 ? own : 0;

		scribble(&peer.maps[segment]);
		if (i % 256 == 0)
			punch(&peer, segment);
		if (i % 1024 == 0 && !ftruncate(peer_fd(&peer, segment), 0))
			return 4;
		if (i % 4096 == 0)
			map_again(&peer, segment);
	}
}

struct event {
	uint64_t number;
	uint64_t check;
	uint64_t fill[6];
};

static int emit_all(void)
{
	struct tapio_producer *p;
	struct event e;
	int err;

	if (tapio_producer_open(&p, "events", &rig.options))
		return 1;
	say_ready();
	for (uint64_t i = 0; i < EVENTS; i++) {
		e.number = i;
		e.check = ~i;
		for (int k = 0; k < 6; k++)
			e.fill[k] = i * 7 + (uint64_t)k;
		while ((err = tapio_output(p, TAG, &e, sizeof(e))) == -EAGAIN)
			sched_yield();
		if (err)
			return 3;
	}
	tapio_producer_close(p);
	return DONE;
}

static uint32_t honest_lane;
static uint64_t honest_lost; /* by the observer */

/* Of the honest lane each event comes once, in order, and whole. */
static void take(const struct tapio_view *view, uint64_t *next, bool may_miss)
{
	const struct tapio_gap *gap = view->data;
	volatile unsigned char sum = 0;
	struct event e;

	for (uint32_t i = 0; i < view->length; i++)
		sum ^= ((const unsigned char *)view->data)[i];
	if (view->lane != honest_lane)
		return;
	if (view->flags & TAPIO_VIEW_GAP) {
		ck_assert_msg(may_miss && gap->cause == TAPIO_GAP_OVERRUN,
			      "a gap of %llu, cause %u",
			      (unsigned long long)gap->count, gap->cause);
		*next += gap->count;
		honest_lost += gap->count;
		return;
	}
	ck_assert_uint_eq(view->length, sizeof(e));
	memcpy(&e, view->data, sizeof(e));
	ck_assert_uint_eq(e.number, *next);
	ck_assert_uint_eq(e.check, ~e.number);
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq(e.fill[i], e.number * 7 + (uint64_t)i);
	++*next;
}

static struct tapio_consumer *open_consumer(const char *group, uint32_t policy)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = group,
		.policy = policy,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "events", &options);

	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
	return c;
}

static void poll_once(struct tapio_consumer *c, uint64_t *next, int64_t wait)
{
	struct tapio_view views[32];
	int n = tapio_poll(c, views, 32, wait);

	ck_assert_msg(n >= 0, "poll: %s", strerror(-n));
	for (int i = 0; i < n; i++)
		take(&views[i], next, false);
}

static void observe_once(struct tapio_observer *o, uint64_t *next)
{
	struct tapio_view views[32];
	int n = tapio_observe(o, views, 32, 0);

	ck_assert_msg(n >= 0, "observe: %s", strerror(-n));
	for (int i = 0; i < n; i++)
		take(&views[i], next, true);
}

/* 1: it shows that a lane has faults, and so it has. */
static void run_shmstat(void)
{
	pid_t pid = fork();
	int null, status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		alarm(PATIENCE);
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		execl(SHMSTAT, SHMSTAT, "--socket", rig.options.socket,
		      "--json", (char *)NULL);
		_exit(98);
	}
	status = end_of(pid);
	ck_assert(status == 0 || status == 1);
}

static void assert_ledger_of_honest_lane(const struct tapio_consumer *c)
{
	const struct tpi_track *t = &c->now->tracks[honest_lane];
	struct tpi_ledger ledger;

	ck_assert_int_eq(
		tpi_ledger_read(t->lane, c->now->group, t->cursor, &ledger), 0);
	ck_assert_uint_eq(ledger.faults, 0);
	ck_assert_uint_eq(ledger.delivered, EVENTS);
	ck_assert_uint_eq(ledger.skipped + ledger.lost + ledger.in_flight, 0);
}

static uint64_t alive(const struct tapio_consumer *c)
{
	const struct tpi_catalog *catalog = &c->now->client.catalog;
	uint64_t count = 0;

	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		count += tpi_load_relaxed(&catalog->attachments[i].state) !=
			 TAPIO_ATTACHMENT_FREE;
	return count;
}

/* A process of its uid may come again. */
static void end_hostile(pid_t pid, const struct tapio_consumer *c)
{
	uint64_t before = alive(c);

	kill(pid, SIGKILL);
	ck_assert_int_eq(end_of(pid), 1000 + SIGKILL);
	for (int i = 0; i < PATIENCE * 100 && alive(c) == before; i++)
		nap_ms(10);
	ck_assert_uint_eq(alive(c), before - 1);
	ck_assert_int_le(run_as(HOSTILE, own_segment), 4);
}

START_TEST(an_attack_on_ones_own_segment_hurts_nobody)
{
	struct tapio_consumer *lossless =
		open_consumer("lossless", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *until =
		open_consumer("until", TAPIO_GROUP_UNTIL);
	struct tapio_observer_options options = {.size = sizeof(options),
						 .broker = rig.options};
	const struct tapio_shm_broker *broker =
		lossless->now->client.catalog.broker;
	uint64_t next[3] = {0}, rounds = 0;
	struct tapio_observer *o;
	pid_t hostile, honest;

	ck_assert_int_eq(tapio_observer_open(&o, "events", &options), 0);
	hostile = start_ready(HOSTILE, attack);
	/* The first segment is the hostile one's, the second is not. */
	honest_lane = 1;
	honest_lost = 0;
	honest = start_ready(HONEST, emit_all);
	while (next[0] < EVENTS) {
		/* The one that holds the producer is the last to release. So the
		 * other one, which does not hold it, is not overrun. */
		poll_once(lossless, &next[0], rounds % 64 ? 0 : 1000000);
		while (next[1] < next[0]) {
			poll_once(until, &next[1], 0);
			ck_assert_int_ge(tapio_release(until), 0);
		}
		observe_once(o, &next[2]);
		ck_assert_int_ge(tapio_release(lossless), 0);
		if (rounds++ % (CHECK_SANITIZED ? 400 : 4000) == 0)
			run_shmstat();
	}
	ck_assert_int_eq(end_of(honest), DONE);
	while (next[2] < EVENTS)
		observe_once(o, &next[2]);
	ck_assert_uint_eq(next[1], EVENTS);
	ck_assert_uint_eq(next[2], EVENTS);
	run_shmstat();
	end_hostile(hostile, lossless);
	assert_ledger_of_honest_lane(lossless);
	assert_ledger_of_honest_lane(until);
	ck_assert(!lossless->now->ended && !until->now->ended);
	ck_assert_uint_eq(tpi_load_relaxed(&broker->suspicions), 0);
	ck_assert_uint_eq(tpi_load_relaxed(&broker->evictions), 0);
	tapio_observer_close(o);
	tapio_consumer_close(until);
	tapio_consumer_close(lossless);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("isolated");
	TCase *tc = tcase_create("isolated");

	tcase_set_timeout(tc, PATIENCE);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nobody_can_write_a_sealed_segment_anew);
	tcase_add_test(tc, readers_can_write_no_segment_of_the_channel);
	tcase_add_test(tc, one_uid_has_half_of_the_segments);
	tcase_add_test(tc, an_attack_on_ones_own_segment_hurts_nobody);
	suite_add_tcase(suite, tc);
	return rig_run(suite);
}
