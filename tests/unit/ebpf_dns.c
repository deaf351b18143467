/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of DNS come from the network: whatever is in them, reading ends, and stays within
 * the message. (With AddressSanitizer each message lies in memory of its own length.)
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/collectors/ebpf/dns.h"

/* A header with one question (one byte of name) and so many answers. */
#define QUESTION_END 17
#define HEADER(answers)                                                       \
	"\x00\x01\x81\x80\x00\x01\x00" answers "\x00\x00\x00\x00\x00\x00\x01" \
	"\x00\x01"

static struct tpi_dns_answers answers;

static void read_copy(const void *data, size_t bytes)
{
	uint8_t *message = malloc(bytes ? bytes : 1);

	ck_assert_ptr_nonnull(message);
	memcpy(message, data, bytes);
	tpi_dns_read(message, bytes, QUESTION_END, &answers);
	ck_assert_uint_le(answers.text_bytes, sizeof(answers.text));
	free(message);
}

#define READ(literal) read_copy(literal, sizeof(literal) - 1)

static void has_text(const char *text, bool cut)
{
	ck_assert_uint_eq(answers.text_bytes, strlen(text));
	ck_assert(!memcmp(answers.text, text, strlen(text)));
	ck_assert_int_eq(answers.cut, cut);
}

START_TEST(addresses_and_names_are_read)
{
	READ(HEADER("\x03") "\x00\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04"
			    "\x01\x02\x03\x04"
			    "\x00\x00\x1c\x00\x01\x00\x00\x00\x09\x00\x10"
			    "\x20\x01\x0d\xb8\x00\x00\x00\x00"
			    "\x00\x00\x00\x00\x00\x00\x00\x01"
			    "\x00\x00\x05\x00\x01\x00\x00\x00\x99\x00\x05"
			    "\x01"
			    "a\x01"
			    "b\x00");
	has_text("1.2.3.4 2001:db8::1 a.b", false);
	ck_assert_uint_eq(answers.ttl_seconds, 9);
}
END_TEST

START_TEST(no_answer_is_none)
{
	READ(HEADER("\x00"));
	has_text("", false);
	ck_assert_uint_eq(answers.ttl_seconds, UINT32_MAX);
}
END_TEST

START_TEST(fewer_answers_than_the_header_says_are_cut)
{
	READ(HEADER("\x02") "\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04"
			    "\x01\x02\x03\x04");
	has_text("1.2.3.4", true);
}
END_TEST

START_TEST(a_length_beyond_the_message_is_refused)
{
	READ(HEADER("\x01") "\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x05"
			    "\x01\x02\x03\x04");
	has_text("", true);
}
END_TEST

/* At 28: the name in the record is a pointer to itself. */
START_TEST(a_name_that_points_to_itself_ends)
{
	READ(HEADER("\x01") "\x00\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02"
			    "\xc0\x1c");
	has_text("", false);
}
END_TEST

START_TEST(a_pointer_beyond_the_message_ends_the_name)
{
	READ(HEADER("\x01") "\x00\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04"
			    "\x01x\xff\xff");
	has_text("x", false);
}
END_TEST

/* Two records that each repeat a long name: more text than there is room for. */
START_TEST(too_much_text_is_cut)
{
	uint8_t message[2048] = {0};
	size_t at = QUESTION_END;

	memcpy(message, HEADER("\x28"), QUESTION_END);
	for (int i = 0; i < 40; i++) {
		memcpy(message + at,
		       "\x00\x00\x05\x00\x01\x00\x00\x00\x05\x00\x20\x1e", 12);
		memset(message + at + 12, 'n', 30);
		at += 11 + 32;
	}
	read_copy(message, at);
	ck_assert_uint_eq(answers.text_bytes, sizeof(answers.text));
	ck_assert(answers.cut);
}
END_TEST

/* Each length of a good message, and each byte of it set to each of some values. */
START_TEST(nothing_that_may_come_is_read_beyond_its_end)
{
	static const char good[] = HEADER(
		"\x03") "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x40\x00\x06"
			"\x03web\xc0\x0c"
			"\x00\x00\x01\x00\x01\x00\x00\x00\x20\x00\x04"
			"\x01\x02\x03\x04"
			"\x01y\x00\x00\x0c\x00\x01\x00\x00\x00\x20\x00\x02"
			"\xc0\x1d";
	static const uint8_t values[] = {0, 1, 63, 64, 0xbf, 0xc0, 0xff};
	char message[sizeof(good)];

	for (size_t bytes = 0; bytes < sizeof(good); bytes++)
		read_copy(good, bytes);
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			memcpy(message, good, sizeof(good));
			message[i] = (char)values[v];
			read_copy(message, sizeof(good) - 1);
		}
	}
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("dns");

	tcase_add_test(tests, addresses_and_names_are_read);
	tcase_add_test(tests, no_answer_is_none);
	tcase_add_test(tests, fewer_answers_than_the_header_says_are_cut);
	tcase_add_test(tests, a_length_beyond_the_message_is_refused);
	tcase_add_test(tests, a_name_that_points_to_itself_ends);
	tcase_add_test(tests, a_pointer_beyond_the_message_ends_the_name);
	tcase_add_test(tests, too_much_text_is_cut);
	tcase_add_test(tests, nothing_that_may_come_is_read_beyond_its_end);
	return check_run_case("ebpf_dns", tests);
}
