/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching loads each shared word once, so that a peer that changes a word after
 * it was checked changes nothing.
 *
 * Shown at the level of instructions and without chance: the segments are mapped
 * PROT_NONE. Each load faults. The handler counts it, opens the mapping, lets the
 * processor do this one instruction (trap flag), overwrites the word that was
 * loaded, as the worst of peers would at the worst moment, and closes the mapping
 * again. The result MUST show the value that was there when it was loaded.
 */
#include <stdio.h>

#if !defined(__x86_64__)
int main(void)
{
	puts("needs the trap flag of x86-64");
	return 77;
}
#else

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/unit/layout_fixture.h"
#include "tests/check_main.h"

#define TRAP_FLAG 0x100
#define PAGE      4096
#define WORDS_MAX 65536

static struct layout_fixture f;

/* One watched mapping. `loads` counts by 64-bit word. */
struct watch {
	unsigned char *base;
	size_t bytes;
	unsigned int loads[WORDS_MAX];
};
static struct watch watches[4];
static size_t watch_count;

/* The load at work: from the fault to the trap after the instruction. */
static struct watch *open_watch;
static uint64_t *open_word;
static size_t open_half; /* 4: only its upper half was loaded */
static uint64_t poison;
static bool poisoning;

/* A copy of a segment in pages of its own, watched from arm() on. */
static struct tpi_map watched_copy(const struct tpi_map *from)
{
	struct watch *watch = &watches[watch_count++];
	struct tpi_map map = {.bytes = from->bytes, .writable = true};

	memset(watch, 0, sizeof(*watch));
	watch->bytes = (from->bytes + PAGE - 1) / PAGE * PAGE;
	ck_assert_uint_le(watch->bytes, WORDS_MAX * 8);
	watch->base = mmap(NULL, watch->bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(watch->base, MAP_FAILED);
	memcpy(watch->base, from->base, from->bytes);
	map.base = watch->base;
	return map;
}

static void protect_all(int protection)
{
	for (size_t i = 0; i < watch_count; i++)
		mprotect(watches[i].base, watches[i].bytes, protection);
}

static void on_load(int number, siginfo_t *info, void *context)
{
	static const char lost[] = "a fault outside of the segments\n";
	unsigned char *at = info->si_addr;

	(void)number;
	for (size_t i = 0; i < watch_count; i++)
		if (at >= watches[i].base &&
		    at < watches[i].base + watches[i].bytes)
			open_watch = &watches[i];
	if (!open_watch) {
		if (write(2, lost, sizeof(lost) - 1) < 0)
			_exit(2);
		_exit(1);
	}
	open_word = (uint64_t *)((uintptr_t)at & ~(uintptr_t)7);
	open_half = (uintptr_t)at & 4;
	open_watch
		->loads[((unsigned char *)open_word - open_watch->base) / 8]++;
	mprotect(open_watch->base, open_watch->bytes, PROT_READ | PROT_WRITE);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_loaded(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	if (poisoning)
		memcpy((unsigned char *)open_word + open_half,
		       (const unsigned char *)&poison + open_half,
		       sizeof(poison) - open_half);
	mprotect(open_watch->base, open_watch->bytes, PROT_NONE);
	open_watch = NULL;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler,
				   .sa_flags = SA_SIGINFO};

	ck_assert_int_eq(sigaction(number, &action, NULL), 0);
}

static void arm(void)
{
	handle(SIGSEGV, on_load);
	handle(SIGTRAP, on_loaded);
	protect_all(PROT_NONE);
}

static void disarm(void)
{
	protect_all(PROT_READ | PROT_WRITE);
}

static void setup(void)
{
	watch_count = 0;
	layout_fixture_init(&f);
}

static void teardown(void)
{
	layout_fixture_fini(&f);
}

/* The offset of the channel's record. */
static uint64_t record_at(void)
{
	return (uint64_t)((unsigned char *)f.catalog.channels -
			  f.catalog_map.base);
}

/* Words that are loaded twice: looked at first, then copied with the rest,
 * where no check looks at them again: the magic, and those with READY. */
static bool twice(uint64_t at)
{
	return at == 0 || at == 120 || at == record_at() + 120;
}
TAPIO_ASSERT_(offsetof(struct tapio_shm_header, ready) == 124, "header");
TAPIO_ASSERT_(offsetof(struct tapio_shm_channel, ready) == 124, "channel");

static unsigned int check_loads(const struct watch *watch)
{
	unsigned int total = 0;

	for (uint64_t i = 0; i < watch->bytes / 8; i++) {
		ck_assert_msg(watch->loads[i] <= (twice(i * 8) ? 2u : 1u),
			      "the word at %#llx is loaded %u times",
			      (unsigned long long)i * 8, watch->loads[i]);
		total += watch->loads[i];
	}
	return total;
}

/* A catalog that is watched, and otherwise the fixture's. */
static struct tpi_catalog watched_catalog(void)
{
	struct tpi_map map = watched_copy(&f.catalog_map);
	struct tpi_catalog catalog;

	ck_assert_int_eq(
		tpi_catalog_attach(&catalog, &map, f.error, sizeof(f.error)),
		0);
	return catalog;
}

static const uint64_t poisons[] = {0, UINT64_MAX, UINT64_C(0x8000000000000040),
				   UINT64_C(0x0000004000000040), 4096};
#define POISONS   (int)(sizeof(poisons) / sizeof(poisons[0]))

/* Index -1: nothing is changed, loads are counted. */
static void choose_poison(int i)
{
	poisoning = i >= 0;
	poison = poisoning ? poisons[i] : 0;
}

static void same_lane(const struct tpi_lane *a, const struct tpi_map *of,
		      const struct tpi_lane *b, const struct tpi_map *in)
{
	ck_assert_uint_eq(a->id, b->id);
	ck_assert_uint_eq(a->cpu, b->cpu);
	ck_assert_uint_eq(a->klass, b->klass);
	ck_assert_uint_eq(a->mask, b->mask);
	ck_assert_uint_eq(a->block_bytes, b->block_bytes);
#define AT(lane, map, field) \
	((const unsigned char *)(lane)->field - (map)->base)
	ck_assert_int_eq(AT(a, of, shm), AT(b, in, shm));
	ck_assert_int_eq(AT(a, of, desc), AT(b, in, desc));
	ck_assert_int_eq(AT(a, of, tickets), AT(b, in, tickets));
	ck_assert_uint_eq(a->serials, b->serials);
	ck_assert_int_eq(AT(a, of, time), AT(b, in, time));
	ck_assert_int_eq(AT(a, of, blocks), AT(b, in, blocks));
#undef AT
}

/* The node whose segment has lane `id`: ids 4 to 7 are node 1's. */
static int node_of(uint32_t id)
{
	return id >= 4 && id < 8;
}

/* And nothing at all is loaded of what clients can write. */
START_TEST(a_channel_is_attached_from_what_was_loaded_first)
{
	struct tpi_channel before, channel;
	struct tpi_map maps[FIXTURE_NODES];
	struct tpi_catalog catalog;
	int err;

	ck_assert_int_eq(fixture_attach(&f, &before), 0);
	maps[0] = watched_copy(&f.maps[0]);
	maps[1] = watched_copy(&f.maps[1]);
	catalog = watched_catalog();
	choose_poison(_i);
	arm();
	err = tpi_channel_attach(&channel, &catalog, 0, maps, FIXTURE_NODES,
				 f.error, sizeof(f.error));
	disarm();
	ck_assert_msg(err == 0, "%d: %s", err, f.error);
	ck_assert_uint_eq(channel.lane_count, before.lane_count);
	for (uint32_t id = 0; id < before.lane_count; id++)
		same_lane(&channel.lanes[id], &maps[node_of(id)],
			  &before.lanes[id], &f.maps[node_of(id)]);
	ck_assert_uint_eq(check_loads(&watches[0]), 0);
	ck_assert_uint_eq(check_loads(&watches[1]), 0);
	/* READY, the channel's record, and a place for each lane */
	ck_assert_uint_eq(check_loads(&watches[2]), 1 + 72 + 12 * 8);
	tpi_channel_detach(&channel);
	tpi_channel_detach(&before);
}
END_TEST

START_TEST(a_catalog_is_attached_from_what_was_loaded_first)
{
	struct tpi_map map = watched_copy(&f.catalog_map);
	struct tapio_shm_channel copy;
	struct tpi_catalog catalog;
	int err, described;

	choose_poison(_i);
	arm();
	err = tpi_catalog_attach(&catalog, &map, f.error, sizeof(f.error));
	described = err ? err
			: tpi_channel_describe(&catalog, 0, &copy, f.error,
					       sizeof(f.error));
	disarm();
	ck_assert_msg(err == 0 && described == 0, "%d, %d: %s", err, described,
		      f.error);
	ck_assert_ptr_eq(catalog.channels, map.base + record_at());
	ck_assert_uint_eq(catalog.attachment_count, 11);
	ck_assert_uint_eq(catalog.channel_count, 1);
	ck_assert_str_eq(copy.name, "events");
	ck_assert_uint_eq(copy.lane_count, f.lane_count);
	/* header, 7 regions, channel's record */
	ck_assert_uint_ge(check_loads(&watches[0]), 16 + 28 + 72);
}
END_TEST

START_TEST(cursors_are_attached_without_a_look_at_them)
{
	struct tpi_map map = watched_copy(&f.cursors_map);
	struct tapio_shm_channel info;
	struct tpi_cursors cursors;
	int err;

	ck_assert_int_eq(tpi_channel_describe(&f.catalog, 0, &info, f.error,
					      sizeof(f.error)),
			 0);
	arm();
	err = tpi_cursors_attach(&cursors, &map, &info, FIXTURE_SLOT, f.error,
				 sizeof(f.error));
	disarm();
	ck_assert_msg(err == 0, "%d: %s", err, f.error);
	ck_assert_ptr_eq(cursors.control, map.base);
	ck_assert_ptr_eq(cursors.cursors, map.base + 128);
	ck_assert_uint_eq(check_loads(&watches[0]), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("once");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_channel_is_attached_from_what_was_loaded_first,
			    -1, POISONS);
	tcase_add_loop_test(t, a_catalog_is_attached_from_what_was_loaded_first,
			    -1, POISONS);
	tcase_add_test(t, cursors_are_attached_without_a_look_at_them);
	return check_run_case("layout once", t);
}
#endif
