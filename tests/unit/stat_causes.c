/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences and remedies of `tapio-shmstat why`, with names that clients have chosen. */
#include <stdlib.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/shmstat/causes.h"

static const struct {
	const char *name, *pasted, *configured;
} names[] = {
	{"audit", "audit", "audit"},
	{"a.b-c_d:1", "a.b-c_d:1", "a.b-c_d:1"},
	{";reboot;", "';reboot;'", "';reboot;'"},
	{"$(touch x)", "'$(touch x)'", "'$(touch x)'"},
	{"${HOME}", "'${HOME}'", "'${HOME}'"},
	{"it's", "'it'\\''s'", "'it\\'s'"},
	{"a\"b", "'a\"b'", "'a\"b'"},
	{"a\\b", "'a\\b'", "'a\\\\b'"},
	{"two words", "'two words'", "'two words'"},
	{"-rf", "'-rf'", "'-rf'"},
	{"", "''", "''"},
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

/* In shells a quote ends a string, and another way to write it is none in tapiod.conf. */
START_TEST(a_name_is_one_word_of_the_configuration)
{
	json_t *numbers = json_pack("{s:s}", "channel", names[_i].name);
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "%s { a = 1 }", names[_i].configured);
	assert_filled(cause_fill_remedy("channel {channel} { a = 1 }", numbers),
		      "channel ", wanted);
	assert_filled(cause_fill_remedy("channel = {channel}", numbers),
		      "channel = ", names[_i].configured);
	json_decref(numbers);
}
END_TEST

/* Or it would be an option of the command. */
START_TEST(no_name_in_a_remedy_is_an_option)
{
	static const char *const keys[] = {"{channel}", "{group}", "{class}"};

	for (size_t c = 0; c < 2 * (size_t)CAUSES; c++) {
		const struct stat_cause *cause = &stat_causes[c / 2];
		const char *text = c % 2 ? cause->other_remedy : cause->remedy;
		const char *command = text ? strstr(text, "tapio-group ") : "";

		for (; text && command && *command;
		     command = strstr(command + 1, "tapio-group "))
			ck_assert_msg(
				!strncmp(command, "tapio-group remove -- ", 22),
				"%s: %s", cause->id, command);
		for (size_t k = 0; text && k < 3; k++) {
			char tail[32];

			snprintf(tail, sizeof(tail), "tapio-tail %s", keys[k]);
			ck_assert_msg(!strstr(text, tail), "%s", cause->id);
		}
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("causes");

	tcase_add_loop_test(t, a_name_is_one_word_where_it_is_pasted, 0, NAMES);
	tcase_add_loop_test(t, a_name_is_one_word_of_the_configuration, 0,
			    NAMES);
	tcase_add_test(t, no_name_in_a_remedy_is_an_option);
	return check_run_case("stat_causes", t);
}
