/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process has two copies of the library, as a program and a plugin that is linked with its
 * own. Their handles are as many attachments, and the broker mixes up none of them.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "tests/check_main.h"
#include "tests/fault/cut_broker.h"

#define HANDLES 8

static int (*open_other)(struct tapio_producer **out, const char *channel,
			 const struct tapio_options *options);
static int (*output_other)(struct tapio_producer *p, uint64_t tag,
			   const void *data, uint32_t bytes);
static int (*connected_other)(const struct tapio_producer *p);
static void (*close_other)(struct tapio_producer *p);

static void *find(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	ck_assert_msg(symbol != NULL, "%s: %s", name, dlerror());
	return symbol;
}

static void load(void)
{
	void *library = dlopen(TAPIO_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	ck_assert_msg(library != NULL, "%s", dlerror());
	*(void **)&open_other = find(library, "tapio_producer_open");
	*(void **)&output_other = find(library, "tapio_output");
	*(void **)&connected_other = find(library, "tapio_producer_connected");
	*(void **)&close_other = find(library, "tapio_producer_close");
	ck_assert_ptr_ne(*(void **)&open_other, (void *)tapio_producer_open);
}

START_TEST(handles_of_two_copies_do_not_end_one_another)
{
	char name[64];
	struct tapio_options options = {.size = sizeof(options),
					.socket = name,
					.answer_ns = TAPIO_FOREVER};
	struct tapio_producer *own[HANDLES], *other[HANDLES];
	int i;

	snprintf(name, sizeof(name), "@tapio-test-copies-%d", getpid());
	cut_broker_start("trust_owner = true\n"
			 "channel t { class main { block = 64 blocks = 64\n"
			 "side_lanes = 32 } }\n",
			 name);
	load();
	for (i = 0; i < HANDLES; i++) {
		ck_assert_int_eq(tapio_producer_open(&own[i], "t", &options),
				 0);
		ck_assert_int_eq(open_other(&other[i], "t", &options), 0);
	}
	ck_assert_uint_eq(cut_attached(), 2 * HANDLES);
	for (i = 0; i < HANDLES; i++) {
		ck_assert_int_eq(tapio_producer_connected(own[i]), 1);
		ck_assert_int_eq(connected_other(other[i]), 1);
		ck_assert_int_eq(tapio_output(own[i], TAPIO_TAG(1, 1), "a", 1),
				 0);
		ck_assert_int_eq(
			output_other(other[i], TAPIO_TAG(1, 1), "b", 1), 0);
	}
	for (i = 0; i < HANDLES; i++) {
		tapio_producer_close(own[i]);
		close_other(other[i]);
	}
	cut_broker_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("two copies");
	TCase *c = tcase_create("handles");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, handles_of_two_copies_do_not_end_one_another);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
