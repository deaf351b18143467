/* SPDX-License-Identifier: Apache-2.0 */
/* Records of /dev/kmsg: those of the kernel are understood, and any other bytes are not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/collectors/kmsg/kmsg.h"

static struct tpi_kmsg kmsg;

static bool parse(const char *text)
{
	/* Of its exact length, so that a sanitizer sees a byte more. */
	size_t length = strlen(text);
	static char *copy;

	free(copy);
	copy = malloc(length ? length : 1);
	memcpy(copy, text, length);
	return tpi_kmsg_parse(&kmsg, copy, length);
}

static void check_text(const char *text, size_t length, const char *expected)
{
	ck_assert_uint_eq(length, strlen(expected));
	ck_assert_int_eq(memcmp(text, expected, length), 0);
}

START_TEST(a_record_is_taken_apart)
{
	const char *key, *value;
	size_t key_bytes, value_bytes, at = 0;

	ck_assert(parse("30,339,5140900,-,caller=T1;a message; with = signs\n"
			" SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n"));
	ck_assert_uint_eq(kmsg.priority, 6);
	ck_assert_uint_eq(kmsg.facility, 3);
	ck_assert_uint_eq(kmsg.sequence, 339);
	ck_assert_uint_eq(kmsg.monotonic_us, 5140900);
	check_text(kmsg.message, kmsg.message_bytes, "a message; with = signs");
	ck_assert(tpi_kmsg_field(&kmsg, &at, &key, &key_bytes, &value,
				 &value_bytes));
	check_text(key, key_bytes, "SUBSYSTEM");
	check_text(value, value_bytes, "acpi");
	ck_assert(tpi_kmsg_field(&kmsg, &at, &key, &key_bytes, &value,
				 &value_bytes));
	check_text(key, key_bytes, "DEVICE");
	check_text(value, value_bytes, "+acpi:PNP0A03:00");
	ck_assert(!tpi_kmsg_field(&kmsg, &at, &key, &key_bytes, &value,
				  &value_bytes));
}
END_TEST

START_TEST(short_forms_are_records_and_broken_ones_are_none)
{
	static const char *const wrong[] = {"",
					    "6",
					    "6,",
					    "6,1",
					    "6,1,",
					    "6,1,2",
					    "6,1,2,-",
					    "x,1,2;m",
					    "6,-1,2;m",
					    "6,1,2x;m",
					    ",1,2;m",
					    "6,,2;m",
					    "6,18446744073709551616,2;m",
					    ";m"};
	const char *key, *value;
	size_t key_bytes, value_bytes, at = 0;

	ck_assert(parse("6,1,2;"));
	ck_assert_uint_eq(kmsg.message_bytes, 0);
	ck_assert(parse("6,1,2;m"));
	check_text(kmsg.message, kmsg.message_bytes, "m");
	/* Lines that are no fields are passed over. */
	ck_assert(parse("6,1,2;m\n\nX=1\n =2\n nothing\n A=\n B"));
	ck_assert(tpi_kmsg_field(&kmsg, &at, &key, &key_bytes, &value,
				 &value_bytes));
	check_text(key, key_bytes, "A");
	ck_assert_uint_eq(value_bytes, 0);
	ck_assert(!tpi_kmsg_field(&kmsg, &at, &key, &key_bytes, &value,
				  &value_bytes));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!parse(wrong[i]), "taken: %s", wrong[i]);
}
END_TEST

START_TEST(escaped_bytes_are_bytes_again)
{
	static const struct {
		const char *text;
		const char *expected;
	} rows[] = {
		{"", ""},
		{"plain", "plain"},
		{"\\x1b[0m\\xc3\\xa4", "\x1b[0m\xc3\xa4"},
		{"\\x5cx41", "\\x41"}, /* once, and not twice */
		{"\\x", "\\x"},
		{"\\x1", "\\x1"},
		{"\\x1g", "\\x1g"},
		{"\\y41", "\\y41"},
	};
	char out[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_text(out,
			   tpi_kmsg_unescape(out, rows[i].text,
					     strlen(rows[i].text)),
			   rows[i].expected);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("kmsg");

	tcase_add_test(tc, a_record_is_taken_apart);
	tcase_add_test(tc, short_forms_are_records_and_broken_ones_are_none);
	tcase_add_test(tc, escaped_bytes_are_bytes_again);
	return check_run_case("kmsg_parse", tc);
}
