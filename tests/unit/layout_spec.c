/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels as a configuration describes them: one that is out of the layout's limits
 * is refused with the limit.
 */
#include <errno.h>

#include "tests/unit/layout_fixture.h"
#include "tests/check_main.h"

static struct tapio_shm_class *first_class(struct tpi_channel_spec *spec)
{
	return &spec->classes[0];
}

static void spec_refused(const struct tpi_channel_spec *spec, const char *a,
			 const char *b)
{
	char error[512] = "";

	ck_assert_int_eq(tpi_channel_spec_check(spec, error, sizeof(error)),
			 -EINVAL);
	ck_assert_msg(strstr(error, a) != NULL, "no \"%s\" in \"%s\"", a,
		      error);
	ck_assert_msg(!b || strstr(error, b), "no \"%s\" in \"%s\"", b, error);
}

START_TEST(a_spec_out_of_the_layouts_limits_is_refused_with_the_limit)
{
	struct tpi_channel_spec spec = fixture_spec();

	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
	spec.name[0] = '\0';
	spec_refused(&spec, "channel: its name is empty", NULL);
	memset(spec.name, 'n', sizeof(spec.name));
	spec_refused(&spec, "longer than 63", NULL);
	spec = fixture_spec();
	spec.class_count = 9;
	spec_refused(&spec, "channel `events`: 9 classes", "1..8");
	spec = fixture_spec();
	spec.full_policy = 2;
	spec_refused(&spec, "full policy 2", "0..1");
	spec = fixture_spec();
	spec.stamp = 3;
	spec_refused(&spec, "stamp 3", "0..2");
	spec = fixture_spec();
	first_class(&spec)->block_count = 131072;
	spec_refused(&spec, "class `critical`: block_count 131072", "4..65536");
	first_class(&spec)->block_count = 2;
	spec_refused(&spec, "block_count 2", "4..65536");
	spec = fixture_spec();
	first_class(&spec)->block_bytes = TAPIO_BLOCK_BYTES_MAX + 64;
	spec_refused(&spec, "block_bytes 1048576", "64..1048512");
	spec = fixture_spec();
	first_class(&spec)->side_count = 5;
	spec_refused(&spec, "side_count 5", "4..65536");
	first_class(&spec)->side_lanes = 0;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
}
END_TEST

START_TEST(classes_out_of_order_or_of_one_name_are_refused)
{
	const struct tpi_channel_spec right = fixture_spec();
	struct tpi_channel_spec spec = fixture_spec();

	spec.classes[0] = right.classes[1];
	spec.classes[1] = right.classes[0];
	spec_refused(&spec, "`critical` (priority 1, 128 bytes) must stand",
		     "`small` (priority 0, 64 bytes)");
	spec.classes[1] = spec.classes[0];
	spec_refused(&spec, "two classes `small`", NULL);
	strcpy(spec.classes[1].name, "large");
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
	spec.classes[0].block_bytes = 128;
	spec_refused(&spec, "`large` (priority 0, 64 bytes) must stand", NULL);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("spec");

	tcase_add_test(
		tests,
		a_spec_out_of_the_layouts_limits_is_refused_with_the_limit);
	tcase_add_test(tests, classes_out_of_order_or_of_one_name_are_refused);
	return check_run_case("layout spec", tests);
}
