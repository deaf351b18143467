/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of CHANNELS that serves one channel after another, read by one that has no
 * attachment: each copy is of one channel, or it is thrown away.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "tests/unit/layout_fixture.h"

#define ROUNDS 20000

static struct layout_fixture f;
static uint32_t done;

static void set_up(void)
{
	layout_fixture_init(&f);
}

static void tear_down(void)
{
	layout_fixture_fini(&f);
}

/* Channels that differ in their first bytes, and behind their names. */
static struct tpi_channel_spec spec_of(uint32_t epoch)
{
	struct tpi_channel_spec spec = f.spec;

	memset(spec.name, epoch % 2 ? 'a' : 'b', sizeof(spec.name) - 1);
	spec.wait_ns = epoch;
	return spec;
}

static void *change(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t epoch = f.catalog.channels[0].epoch + 1;
		struct tpi_channel_spec spec = spec_of(epoch);

		tpi_channel_hide(&f.catalog, 0);
		if (tpi_channel_write(&f.catalog, 0, 0, &spec, &f.topology))
			abort();
		tpi_channel_show(&f.catalog, 0);
	}
	/* Relaxed: it ends a loop. */
	tpi_store_relaxed(&done, 1);
	return NULL;
}

START_TEST(a_copy_is_of_one_channel_or_there_is_none)
{
	struct tapio_shm_channel copy;
	uint32_t first = f.catalog.channels[0].epoch;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, change, NULL), 0);
	while (!tpi_load_relaxed(&done)) {
		int err = tpi_channel_look(&f.catalog, 0, &copy, f.error,
					   sizeof(f.error));

		/* The fixture's own is another one. */
		if (err || copy.epoch == first)
			continue;
		ck_assert_uint_eq(copy.wait_ns, copy.epoch);
		for (int i = 0; i < TAPIO_NAME_BYTES - 1; i++)
			ck_assert_int_eq(copy.name[i],
					 copy.epoch % 2 ? 'a' : 'b');
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(f.catalog.channels[0].epoch, first + ROUNDS);
}
END_TEST

static const char *changes_at;

static void change_once(const char *point)
{
	struct tpi_channel_spec spec = spec_of(7);

	if (strcmp(point, changes_at))
		return;
	tpi_channel_hide(&f.catalog, 0);
	if (tpi_channel_write(&f.catalog, 0, 0, &spec, &f.topology))
		abort();
	tpi_channel_show(&f.catalog, 0);
}

/* READY is the same before and after it. */
START_TEST(a_change_during_a_look_is_found_by_its_epoch)
{
	static const char *const points[] = {"look.epoch", "look.copied"};
	struct tapio_shm_channel copy;

	changes_at = points[_i];
	tpi_testpoint_set(change_once);
	ck_assert_int_eq(tpi_channel_look(&f.catalog, 0, &copy, f.error,
					  sizeof(f.error)),
			 -ESTALE);
	tpi_testpoint_set(NULL);
	ck_assert_int_eq(tpi_channel_look(&f.catalog, 0, &copy, f.error,
					  sizeof(f.error)),
			 0);
	ck_assert_uint_eq(copy.wait_ns, 7);
}
END_TEST

START_TEST(an_entry_is_there_between_show_and_hide)
{
	struct tapio_shm_channel copy;
	uint32_t epoch = f.catalog.channels[0].epoch;

	ck_assert(tpi_channel_exists(&f.catalog, 0));
	ck_assert(!tpi_channel_exists(&f.catalog, 1));
	f.catalog.channels[0].active = 5;
	f.catalog.groups[3].slot = 7;
	tpi_channel_hide(&f.catalog, 0);
	ck_assert(!tpi_channel_exists(&f.catalog, 0));
	ck_assert_int_eq(tpi_channel_look(&f.catalog, 0, &copy, f.error,
					  sizeof(f.error)),
			 -EBADMSG);
	ck_assert_int_eq(
		tpi_channel_write(&f.catalog, 0, 0, &f.spec, &f.topology), 0);
	ck_assert(!tpi_channel_exists(&f.catalog, 0));
	/* Nothing of the last one is left. */
	ck_assert_uint_eq(f.catalog.channels[0].active, 0);
	ck_assert_uint_eq(f.catalog.groups[3].slot, 0);
	ck_assert_uint_eq(f.catalog.channels[0].epoch, epoch + 1);
	tpi_channel_show(&f.catalog, 0);
	ck_assert_int_eq(tpi_channel_look(&f.catalog, 0, &copy, f.error,
					  sizeof(f.error)),
			 0);
	ck_assert_uint_eq(copy.epoch, epoch + 1);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("entry");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_copy_is_of_one_channel_or_there_is_none);
	tcase_add_loop_test(c, a_change_during_a_look_is_found_by_its_epoch, 0,
			    2);
	tcase_add_test(c, an_entry_is_there_between_show_and_hide);
	return check_run_case("layout entry", c);
}
