/* SPDX-License-Identifier: Apache-2.0 */
/* The log's thread: no line is cut, and those that are missing are counted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/loop/log_writer.h"
#include "tests/check_main.h"

#define LINES 4000

static int ends[2];
static uint64_t said; /* of lines that were dropped */

static void say_dropped(uint64_t lines)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "dropped %llu\n",
			 (unsigned long long)lines);

	(void)!write(STDERR_FILENO, text, (size_t)n);
}

static void put(int number)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "line %04d%*s\n", number, 80, "");

	tpi_log_writer_put(line, (size_t)n);
}

/* One line more: counts it, or those that it says were dropped. Its number, or -1. */
static int read_line(FILE *in, uint64_t *lines)
{
	unsigned long long dropped;
	char line[160];
	int number;

	ck_assert_ptr_nonnull(fgets(line, sizeof(line), in));
	if (sscanf(line, "dropped %llu", &dropped) == 1) {
		said += dropped;
		return -1;
	}
	ck_assert_int_eq(sscanf(line, "line %4d", &number), 1);
	ck_assert_uint_eq(strlen(line), 10 + 80);
	++*lines;
	return number;
}

/* More than pipe and writer hold, while the pipe is not read. Then it is read. */
START_TEST(lines_without_room_are_counted)
{
	int saved = dup(STDERR_FILENO), last = -1, number;
	uint64_t lines = 0;
	FILE *in;

	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	ck_assert_int_eq(tpi_log_writer_start(say_dropped), 0);
	for (int i = 0; i < LINES; i++)
		put(i);
	tpi_log_writer_drain(1); /* nothing is read, so it gives up */
	in = fdopen(ends[0], "r");
	while (lines + said < LINES) {
		number = read_line(in, &lines);
		ck_assert(number == -1 || number > last);
		if (number > last)
			last = number;
	}
	ck_assert_uint_eq(lines + said, LINES);
	ck_assert_uint_gt(said, 0);
	tpi_log_writer_drain(5);
	put(LINES);
	ck_assert_int_eq(read_line(in, &lines), LINES);
	dup2(saved, STDERR_FILENO);
	fclose(in);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("log_writer");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, lines_without_room_are_counted);
	return check_run_case("log_writer", c);
}
