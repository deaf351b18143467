/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences and remedies of `tapio-shmstat why`, with names that clients have chosen. */
#include <stdlib.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/shmstat/causes.h"

static const struct {
	const char *name, *pasted;
} names[] = {
	{"audit", "audit"},
	{"a.b-c_d:1", "a.b-c_d:1"},
	{";reboot;", "';reboot;'"},
	{"$(touch x)", "'$(touch x)'"},
	{"it's", "'it'\\''s'"},
	{"-rf", "'-rf'"},
	{"", "''"},
};
#define NAMES (int)(sizeof(names) / sizeof(names[0]))

static void assert_filled(char *text, const char *begin, const char *name)
{
	char wanted[128];

	ck_assert_ptr_nonnull(text);
	snprintf(wanted, sizeof(wanted), "%s%s", begin, name);
	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(a_name_is_one_word_where_it_is_pasted)
{
	json_t *numbers = json_pack("{s:s}", "group", names[_i].name);

	assert_filled(
		cause_fill_remedy("tapio-group remove c {group}", numbers),
		"tapio-group remove c ", names[_i].pasted);
	assert_filled(cause_fill("group {group}", numbers), "group ",
		      names[_i].name);
	json_decref(numbers);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("causes");

	tcase_add_loop_test(t, a_name_is_one_word_where_it_is_pasted, 0, NAMES);
	return check_run_case("stat_causes", t);
}
