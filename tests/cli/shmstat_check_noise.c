/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapio-shmstat check` on thousands of randomly corrupted copies of a broker's memory: no
 * word of it makes the check crash, read outside of a segment, or take long.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check_world.h"
#include "tests/check_main.h"
#include "tools/inspect/segment_set.h"

#define COPIES     (CHECK_SANITIZED ? 1000 : 4000)
#define CHANGES    8
#define LOOKS_MOST 40u /* one that changes nothing is settled long before */

static struct check_world w;
static uint64_t state = 88172645463325252u;

static uint64_t random_word(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Words that are near to what is allowed break more than noise. */
static uint64_t change(uint64_t word)
{
	switch (random_word() % 8) {
	case 0:
		return random_word();
	case 1:
		return word + random_word() % 5 - 2;
	case 2:
		return word ^ UINT64_C(1) << random_word() % 64;
	case 3:
		return word + (random_word() % 200 << 16);
	case 4:
		return UINT64_MAX;
	case 5:
		return 0;
	case 6:
		return word << random_word() % 33;
	default:
		return random_word() & random_word() & random_word();
	}
}

/* The catalog, or one of the small segments, or a lane's words, more often than payload. */
static void corrupt(void)
{
	const struct tpi_segment_set *set = w.inspect->set;
	const struct tpi_channel *channel = &w.inspect->channels[0].channel;
	const struct tpi_lane *lane =
		&channel->lanes[random_word() % channel->lane_count];
	const struct tpi_map *map =
		&set->entries[random_word() % set->count].map;
	uint64_t *word;

	switch (random_word() % 64) {
	case 0:
		word = (uint64_t *)(void *)w.inspect->catalog.map.base +
		       random_word() % (sizeof(struct tapio_shm_header) / 8);
		break;
	case 1 ... 12:
		word = (uint64_t *)(void *)lane->shm +
		       random_word() % (sizeof(*lane->shm) / 8);
		break;
	case 13 ... 24:
		word = &lane->desc[random_word() & lane->mask];
		break;
	case 25 ... 38:
		word = (uint64_t *)(void *)w.inspect->channels[0]
			       .cursors[0]
			       .cursors +
		       random_word() % (channel->lane_count * 32);
		break;
	case 39 ... 50:
		map = &w.inspect->catalog.map;
		__attribute__((fallthrough));
	default:
		word = (uint64_t *)(void *)map->base +
		       random_word() % (map->bytes / 8);
	}
	*word = change(*word);
}

START_TEST(no_corrupted_copy_harms_the_check)
{
	const struct tpi_check_options options = {0};
	struct tpi_check_report report;
	uint32_t found = 0, corrupted = 0;
	char line[1024];

	check_world_open(&w);
	for (int i = 0; i < COPIES; i++) {
		/* Some with one change, some after many. */
		if (i % 16 == 0)
			check_world_copy(&w);
		for (uint64_t n = random_word() % CHANGES; n; n--)
			corrupt();
		ck_assert_int_eq(tpi_check(w.inspect, &options, &report), 0);
		ck_assert_uint_le(report.looks, LOOKS_MOST);
		for (uint32_t k = 0; k < report.count; k++)
			tpi_finding_print(w.inspect, &report.findings[k], line,
					  sizeof(line));
		found += report.count != 0;
		corrupted += report.corrupt;
		tpi_check_free(&report);
	}
	/* The noise was such. */
	ck_assert_uint_gt(found, COPIES / 4);
	ck_assert_uint_gt(corrupted, 0);
	check_world_close(&w);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("noise");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, no_corrupted_copy_harms_the_check);
	return check_run_case("shmstat_check_noise", c);
}
