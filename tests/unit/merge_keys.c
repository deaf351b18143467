/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tournament of a merge by itself, with keys that a producer's stamps can make: they lie
 * anywhere from 0 to a little after now, which is 2^63.
 */
#include <check.h>

#include "client/reader/merge.h"
#include "tests/check_main.h"

#define NOW (UINT64_C(1) << 63)

static uint64_t nodes[2], keys[4];
static void *sources[2];

static struct tpi_merge of_two(uint64_t first, uint64_t second, uint64_t wait)
{
	struct tpi_merge merge = {
		.nodes = nodes,
		.keys = keys,
		.sources = sources,
		.wait = wait,
		.ripe = NOW - wait,
	};

	tpi_merge_push(&merge, first, &keys[0]);
	tpi_merge_push(&merge, second, &keys[1]);
	tpi_merge_build(&merge);
	return merge;
}

/* An honest event is no older than one from half of all time ago, and waits as it should. */
START_TEST(a_stamp_that_is_made_up_puts_no_other_one_first)
{
	const uint64_t made_up = (uint64_t)_i;
	struct tpi_merge merge = of_two(NOW + 5, made_up, 1000);

	ck_assert_ptr_eq(tpi_merge_top(&merge), &keys[1]);
	tpi_merge_next(&merge, TPI_MERGE_NEVER);
	while (tpi_merge_is_far(&merge))
		merge = of_two(NOW + 5, TPI_MERGE_NEVER, 1000);
	ck_assert(tpi_merge_has_more(&merge));
	ck_assert_ptr_null(tpi_merge_top(&merge));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("keys");

	tcase_add_loop_test(t, a_stamp_that_is_made_up_puts_no_other_one_first,
			    0, 6);
	return check_run_case("merge keys", t);
}
