/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members read for one another, so an event that the filter of one of them refuses
 * is gone for all. Members of a group have one filter, and others are refused.
 *
 * On fddcec1 members with other filters joined, and each got half of its events.
 */
#include "tests/unit/client_fixture.h"

#define CONFIG                                                          \
	"channel t { stamp = none\n"                                    \
	" class main { block = 64\n blocks = 64\n side_blocks = 64 }\n" \
	" class urgent { block = 64\n blocks = 64\n side_blocks = 64\n" \
	"  priority = 1 }\n"                                            \
	" group kept { policy = lossless } }\n"

static const uint16_t types[] = {3, 100, 7}, sorted[] = {3, 7, 100, 100},
		      fewer[] = {3, 7};

static const struct tapio_consumer_options with_types = {
	.types = types,
	.type_count = 3,
};

static void set_up(void)
{
	rig_start(CONFIG);
}

static void tear_down(void)
{
	rig_stop();
}

static int join(const char *group, const struct tapio_consumer_options *filter,
		struct tapio_consumer **c)
{
	struct tapio_consumer_options options = *filter;

	options.size = sizeof(options);
	options.broker = rig.options;
	options.group = group;
	return tapio_consumer_open(c, "t", &options);
}

static struct tapio_consumer *
joined(const char *group, const struct tapio_consumer_options *filter)
{
	struct tapio_consumer *c;
	int err = join(group, filter, &c);

	ck_assert_msg(!err, "%s: %s", strerror(-err), rig.error);
	return c;
}

static void assert_refused(const char *group,
			   const struct tapio_consumer_options *filter,
			   const char *has, const char *wants)
{
	struct tapio_consumer *c;

	ck_assert_int_eq(join(group, filter, &c), -EBUSY);
	ck_assert_ptr_null(c);
	ck_assert_msg(strstr(rig.error, has) && strstr(rig.error, wants) &&
			      strstr(rig.error, group),
		      "\"%s\" names not %s and %s", rig.error, has, wants);
}

/* Each pair of filters: whether the second one may join the first. */
static const struct {
	struct tapio_consumer_options first, second;
	const char *has, *wants; /* NULL: it may */
} pairs[] = {
	{{0}, {0}, NULL, NULL},
	{{.severity_min = 3}, {.severity_min = 3}, NULL, NULL},
	{{.severity_min = 3},
	 {.severity_min = 4},
	 "{severity >= 3, classes all, types all}",
	 "{severity >= 4, classes all, types all}"},
	{{0},
	 {.severity_min = 1},
	 "{severity >= 0, classes all",
	 "{severity >= 1, classes all"},
	/* All classes by name, or by none. */
	{{.class_mask = 3}, {0}, NULL, NULL},
	{{0}, {.class_mask = 0xff}, NULL, NULL},
	{{.class_mask = 1}, {.class_mask = 5}, NULL, NULL},
	{{.class_mask = 1}, {0}, "classes 0x1", "classes all"},
	{{.class_mask = 1}, {.class_mask = 2}, "classes 0x1", "classes 0x2"},
	/* Sets, whatever their order. */
	{{.types = types, .type_count = 3},
	 {.types = sorted, .type_count = 4},
	 NULL,
	 NULL},
	{{.types = types, .type_count = 3},
	 {.types = fewer, .type_count = 2},
	 "types #",
	 "not {severity >= 0, classes all, types #"},
	{{.types = types, .type_count = 3},
	 {.types = fewer, .type_count = 2},
	 "types #",
	 "they read other types of events. Read the same, or"},
	{{.types = types, .type_count = 3}, {0}, "types #", "types all"},
	{{0}, {.types = fewer, .type_count = 2}, "types all", "types #"},
};
#define PAIRS (int)(sizeof(pairs) / sizeof(pairs[0]))

START_TEST(members_agree_on_the_filter)
{
	struct tapio_consumer *a = joined("g", &pairs[_i].first), *b;

	if (pairs[_i].has) {
		assert_refused("g", &pairs[_i].second, pairs[_i].has,
			       pairs[_i].wants);
		/* In a group of its own it may. */
		b = joined("other", &pairs[_i].second);
	} else {
		b = joined("g", &pairs[_i].second);
	}
	tapio_consumer_close(b);
	tapio_consumer_close(a);
}
END_TEST

/* It is agreed upon among those that are members at the same time. */
START_TEST(a_group_without_members_takes_the_filter_of_the_next_one)
{
	static const struct tapio_consumer_options severe = {.severity_min = 5};
	struct tapio_consumer *a = joined("kept", &with_types), *b;

	assert_refused("kept", &severe, "types #", "severity >= 5");
	ck_assert_uint_ne(a->now->group->filter, 0);
	tapio_consumer_close(a);
	b = joined("kept", &severe);
	assert_refused("kept", &with_types, "severity >= 5", "types #");
	/* The first one's filter stays while anybody is there. */
	a = joined("kept", &severe);
	tapio_consumer_close(b);
	assert_refused("kept", &with_types, "severity >= 5", "types #");
	tapio_consumer_close(a);
	a = joined("kept", &pairs[0].first);
	ck_assert_uint_eq(a->now->group->filter, 0); /* as tools show: none */
	tapio_consumer_close(a);
}
END_TEST

/* A member that was refused has read nothing, and the group gets all that it wants. */
START_TEST(each_event_that_the_group_wants_comes_once)
{
	struct tapio_consumer *a, *b;
	struct tapio_producer *p;
	uint64_t got = 0;
	uint32_t i;

	pin(0);
	p = rig_producer();
	a = joined("kept", &with_types);
	assert_refused("kept", &pairs[0].first, "types #", "types all");
	b = joined("kept", &with_types);
	for (i = 0; i < 400; i++) {
		uint16_t type = i % 2 ? 100 : 8;

		ck_assert_int_eq(
			tapio_output(p, TAPIO_TAG(type, 5), &i, sizeof(i)), 0);
		got += drain(a) + drain(b);
	}
	ck_assert_uint_eq(got, 200);
	assert_ledger(a, 200, 200, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
	tapio_producer_close(p);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client filters");
	TCase *t = tcase_create("filters");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, members_agree_on_the_filter, 0, PAIRS);
	tcase_add_test(
		t, a_group_without_members_takes_the_filter_of_the_next_one);
	tcase_add_test(t, each_event_that_the_group_wants_comes_once);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
