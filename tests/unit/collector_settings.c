/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of collectors: each kind of value with its limits, and the section of a file, where a
 * mistake is named with its line and what is allowed.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tools/collectors/common/settings.h"
#include "tools/common/tool.h"

static struct values {
	const char *text;
	struct tpi_list list;
	uint64_t count;
	uint64_t size;
	uint64_t rate;
	int64_t pause_ns;
	bool flag;
	char own;
} values;

static bool parse_letter(void *value, const char *text, char *why,
			 size_t why_bytes)
{
	if (text && text[0] >= 'a' && text[0] <= 'f' && !text[1]) {
		*(char *)value = text[0];
		return true;
	}
	snprintf(why, why_bytes, "not a letter from a to f");
	return false;
}

#define AT(member) .offset = offsetof(struct values, member)

static const struct tpi_setting rows[] = {
	{.help = "A heading:"},
	{"text", "T", "h", 't', TPI_SETTING_TEXT, AT(text)},
	{"some-list", "T", "h", .kind = TPI_SETTING_LIST, AT(list)},
	{"count", "N", "h", .kind = TPI_SETTING_COUNT, AT(count), .min = 2,
	 .max = 10},
	{"size", "N", "h", .kind = TPI_SETTING_SIZE, AT(size), .min = 64,
	 .max = 1 << 20},
	{"rate", "N", "h", .kind = TPI_SETTING_RATE, AT(rate)},
	{"pause", "T", "h", .kind = TPI_SETTING_DURATION, AT(pause_ns),
	 .min = 1000000},
	{"flag", .help = "h", .kind = TPI_SETTING_FLAG, AT(flag)},
	{"own", "L", "h", .kind = TPI_SETTING_OWN, AT(own),
	 .parse = parse_letter},
	{"only-here", "T", "h", .kind = TPI_SETTING_TEXT, AT(text),
	 .command_line_only = true},
	{0},
};

static const struct tpi_settings tables[] = {{rows, &values}, {0}};

static void clear(void)
{
	tpi_settings_free(&tables[0]);
	memset(&values, 0, sizeof(values));
}

/* ---- values ------------------------------------------------------------------------ */

static bool store(const char *name, const char *text, char why[200])
{
	const struct tpi_settings *table;
	const struct tpi_setting *row = tpi_settings_find(tables, name, &table);

	ck_assert_ptr_nonnull(row);
	ck_assert_ptr_eq(table, &tables[0]);
	why[0] = '\0';
	return tpi_setting_store(table, row, text, why, 200);
}

static const struct {
	const char *name, *text, *why; /* NULL: it is right */
} stored[] = {
	{"count", "2", NULL},
	{"count", "10", NULL},
	{"count", "1", "outside 2 to 10"},
	{"count", "11", "outside 2 to 10"},
	{"count", "99999999999999999999", "outside 2 to 10"},
	{"count", "-1", "not a number"},
	{"count", "", "not a number"},
	{"count", "3x", "not a number"},
	{"size", "64", NULL},
	{"size", "1M", NULL},
	{"size", "63", "outside 64 to 1048576"},
	{"size", "2M", "outside 64 to 1048576"},
	{"size", "x", "not a size (as in 64, 4K, 2M, 1G)"},
	{"rate", "2.5k", NULL},
	{"rate", "fast", "not a rate per second"},
	{"pause", "1ms", NULL},
	{"pause", "forever", NULL},
	{"pause", "999us", "less than 1ms"},
	{"pause", "soon", "not a duration"},
	{"flag", "on", NULL},
	{"flag", "off", NULL},
	{"flag", "1", "not true or false"},
	{"own", "f", NULL},
	{"own", "g", "not a letter from a to f"},
};
#define STORED (int)(sizeof(stored) / sizeof(stored[0]))

START_TEST(a_value_is_taken_or_what_is_allowed_is_said)
{
	char why[200];
	bool right = store(stored[_i].name, stored[_i].text, why);

	if (!stored[_i].why) {
		ck_assert_msg(right, "%s", why);
		return;
	}
	ck_assert(!right);
	ck_assert_msg(strstr(why, stored[_i].why) != NULL, "'%s'", why);
}
END_TEST

START_TEST(values_are_what_was_written)
{
	char why[200];

	ck_assert(store("count", "7", why) && values.count == 7);
	ck_assert(store("size", "4K", why) && values.size == 4096);
	ck_assert(store("rate", "2.5k", why) && values.rate == 2500);
	ck_assert(store("pause", "250ms", why) && values.pause_ns == 250000000);
	ck_assert(store("pause", "forever", why) &&
		  values.pause_ns == TAPIO_FOREVER);
	ck_assert(store("flag", NULL, why) && values.flag);
	ck_assert(store("flag", "no", why) && !values.flag);
	ck_assert(store("flag", "yes", why) && values.flag);
	ck_assert(store("flag", "false", why) && !values.flag);
	ck_assert(store("some_list", "a", why) && store("some_list", "b", why));
	ck_assert_uint_eq(values.list.count, 2);
	ck_assert_str_eq(values.list.items[0], "a");
	ck_assert_str_eq(values.list.items[1], "b");
	clear();
	ck_assert_uint_eq(values.list.count, 0);
}
END_TEST

START_TEST(a_name_of_the_file_has_underscores)
{
	const struct tpi_settings *table;

	ck_assert_ptr_eq(tpi_settings_find(tables, "some_list", &table),
			 &rows[2]);
	ck_assert_ptr_null(tpi_settings_find(tables, "some-list", &table));
	ck_assert_ptr_null(tpi_settings_find(tables, "some_lis", &table));
	ck_assert_ptr_null(tpi_settings_find(tables, "some_lists", &table));
	ck_assert_ptr_null(tpi_settings_find(tables, "only_here", &table));
	ck_assert_ptr_null(tpi_settings_find(tables, "", &table));
}
END_TEST

/* ---- sections ----------------------------------------------------------------------- */

static const struct {
	const char *text;
	const char *kept; /* of section journal. NULL: refused */
	const char *why;
} sections[] = {
	{"journal { a = 1 }", "journal { a = 1 }", NULL},
	{"proc { a = 1 }\njournal { }", "              \njournal { }", NULL},
	{"proc {\n a = \"}\"\n}\n", "      \n        \n \n", NULL},
	{"proc { a = '\\'}' } journal{}", "                   journal{}", NULL},
	{"proc { b { } }journal {}", "              journal {}", NULL},
	{"journal { b { } }", "journal { b { } }", NULL},
	{"a = 1", "a = 1", NULL}, /* for libconfuse to judge */
	{"\"proc { \" journal {}", "\"proc { \" journal {}", NULL},
	{"", "", NULL},
	{"journal", "journal", NULL},
	{"{ journal { } }", "{ journal { } }", NULL},
	{"jurnal { }", NULL,
	 "1: no collector has a section 'jurnal'; there are correlate, ebpf, "
	 "journal, kmsg, kubernetes, proc, syslog"},
	{"\n\njournal {", NULL, "3: section 'journal' is not closed"},
	{"\nproc { a = \"", NULL, "2: section 'proc' is not closed"},
	{"proc { a = \"\\", NULL, "1: section 'proc' is not closed"},
	{"journal { }\njournal { }", NULL,
	 "2: section 'journal' stands twice, the first time in line 1"},
};
#define SECTIONS (int)(sizeof(sections) / sizeof(sections[0]))

/* In memory of its own length: a read behind the end is seen by the sanitizer. */
START_TEST(one_section_is_kept_and_lines_keep_their_numbers)
{
	const size_t length = strlen(sections[_i].text);
	char *text = malloc(length ? length : 1), why[300] = "";
	int err;

	memcpy(text, sections[_i].text, length);
	err = tpi_section_keep(text, length, "journal", why, sizeof(why));
	ck_assert_int_eq(err, sections[_i].kept ? 0 : -EINVAL);
	if (sections[_i].kept) {
		ck_assert_uint_eq(strlen(sections[_i].kept), length);
		ck_assert_msg(!memcmp(text, sections[_i].kept, length),
			      "'%.*s'", (int)length, text);
	} else {
		ck_assert_msg(!strncmp(why, sections[_i].why,
				       strlen(sections[_i].why)),
			      "'%s'", why);
	}
	free(text);
}
END_TEST

/* ---- files ---------------------------------------------------------------------------- */

static char path[] = "/tmp/tapio-settings-XXXXXX";

static void make_path(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void remove_path(void)
{
	unlink(path);
	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	clear();
}

static int load(struct tpi_settings_file **file, const char *text, char *error)
{
	FILE *out = fopen(path, "w");

	ck_assert_ptr_nonnull(out);
	ck_assert_int_ge(fputs(text, out), 0);
	ck_assert_int_eq(fclose(out), 0);
	error[0] = '\0';
	return tpi_settings_file_load(file, path, "journal", tables, error,
				      900);
}

START_TEST(a_section_fills_in_the_values)
{
	struct tpi_settings_file *file;
	char error[900];

	ck_assert_int_eq(load(&file,
			      "# a comment }\n"
			      "proc { count = 99 nonsense = \"}\" }\n"
			      "journal {\n"
			      "	text = \"a text\"\n"
			      "	some_list = { \"one\", two }\n"
			      "	count = 5 # behind\n"
			      "	size = 4K\n"
			      "	pause = 2s\n"
			      "	flag = true\n"
			      "	own = c\n"
			      "}\n",
			      error),
			 0);
	ck_assert_str_eq(values.text, "a text");
	ck_assert_uint_eq(values.list.count, 2);
	ck_assert_str_eq(values.list.items[1], "two");
	ck_assert_uint_eq(values.count, 5);
	ck_assert_uint_eq(values.size, 4096);
	ck_assert_int_eq(values.pause_ns, INT64_C(2000000000));
	ck_assert(values.flag);
	ck_assert_int_eq(values.own, 'c');
	tpi_settings_free(&tables[0]);
	tpi_settings_file_free(file);
}
END_TEST

static const struct {
	const char *text, *error; /* behind the path */
} wrong[] = {
	{"journal {\n count = 11\n}", ":2: count = \"11\": outside 2 to 10"},
	{"journal { own = z }", ":1: own = \"z\": not a letter from a to f"},
	{"journal {\n\n nosuch = 1 }",
	 ":3: no such option 'nosuch'; there are text, some_list, count, size, "
	 "rate, pause, flag, own"},
	{"journal { only_here = 1 }", ":1: no such option 'only_here'"},
	{"journal { count = 3\ncount = 4 }", ":2: option 'count' stands twice"},
	{"journal { count = { 3, 4 } }", ":1: "},
	{"journal { some_list = { \"a\" ",
	 ":1: section 'journal' is not closed"},
	{"journal { count }", ":1: "},
	{"count = 3", ":1: "},
	{"jurnal { }", ":1: no collector has a section 'jurnal'"},
	{"journal { } }", ":1: "},
};
#define WRONG (int)(sizeof(wrong) / sizeof(wrong[0]))

START_TEST(a_mistake_is_named_with_its_line)
{
	struct tpi_settings_file *file;
	char error[900];

	ck_assert_int_eq(load(&file, wrong[_i].text, error), -EINVAL);
	ck_assert_ptr_null(file);
	ck_assert_msg(!strncmp(error, path, strlen(path)) &&
			      !strncmp(error + strlen(path), wrong[_i].error,
				       strlen(wrong[_i].error)),
		      "'%s'", error);
}
END_TEST

START_TEST(a_file_that_is_not_there_or_a_directory_is_named)
{
	struct tpi_settings_file *file;
	char error[900];

	ck_assert_int_eq(tpi_settings_file_load(&file, "/nonexistent/x",
						"journal", tables, error,
						sizeof(error)),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "/nonexistent/x: No such file"));
	ck_assert_int_lt(tpi_settings_file_load(&file, "/tmp", "journal",
						tables, error, sizeof(error)),
			 0);
	ck_assert_ptr_nonnull(strstr(error, "/tmp: "));
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("collector_settings");

	tcase_add_checked_fixture(tests, make_path, remove_path);
	tcase_add_loop_test(tests, a_value_is_taken_or_what_is_allowed_is_said,
			    0, STORED);
	tcase_add_test(tests, values_are_what_was_written);
	tcase_add_test(tests, a_name_of_the_file_has_underscores);
	tcase_add_loop_test(tests,
			    one_section_is_kept_and_lines_keep_their_numbers, 0,
			    SECTIONS);
	tcase_add_test(tests, a_section_fills_in_the_values);
	tcase_add_loop_test(tests, a_mistake_is_named_with_its_line, 0, WRONG);
	tcase_add_test(tests, a_file_that_is_not_there_or_a_directory_is_named);
	return check_run_case("collector_settings", tests);
}
