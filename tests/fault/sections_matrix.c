/* SPDX-License-Identifier: Apache-2.0 */
/* An operation, and a death at each instruction of each section that it goes through. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/check_main.h"
#include "tests/fault/sections.h"

#define STANDS_MAX 1024
/* An abort takes the thread to another section. So often that may be tried again. */
#define TRIES 100

static struct stand path[STANDS_MAX];
/* By stand: how the word has changed when the thread died there. */
static uint64_t change[STANDS_MAX];
static uint32_t deaths, later_deaths, retries, rows;

/* ---- the table: printed when all is well, so that else the reason is not lost in it ---- */

static char *text;
static size_t text_bytes;
static FILE *table;

/* Where the test is. Shared, because the process of the test ends where it fails. */
static struct place {
	const struct operation *operation; /* NULL: all are done */
	uint32_t stand;
} * now;

void matrix_begin(void)
{
	now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (now == MAP_FAILED)
		abort();
}

void matrix_say_where(void)
{
	if (now->operation)
		printf("It was at \"%s\", stand %u.\n", now->operation->name,
		       now->stand);
}

static void begin_table(void)
{
	table = open_memstream(&text, &text_bytes);
	ck_assert_ptr_nonnull(table);
	fprintf(table, "%-38s %-20s %12s %6s %6s\n", "operation", "section",
		"instructions", "deaths", "commit");
}

void matrix_title(const char *title)
{
	if (!table)
		begin_table();
	fprintf(table, "%s\n", title);
}

static void end_table(void)
{
	now->operation = NULL;
	ck_assert_int_eq(fclose(table), 0);
	fputs(text, stdout);
	free(text);
}

/* ---- rows ------------------------------------------------------------------------ */

/* A child that stands before the call, and the word then. */
static pid_t begin(const struct operation *o, bool fake, uint64_t *before)
{
	pid_t pid;

	o->set_up(o);
	pid = trace_start(o, fake);
	*before = *o->word;
	return pid;
}

/*
 * Kills it where it stands. The word is read before that, because a sweep may come at
 * once. How it has changed.
 */
static uint64_t end(const struct operation *o, pid_t pid, uint64_t before)
{
	const uint64_t after = *o->word;

	trace_kill(pid);
	o->check(o, before, after);
	return after - before;
}

static uint32_t find_path(const struct operation *o)
{
	uint64_t before;
	pid_t pid = begin(o, true, &before);
	uint32_t n = trace_path(pid, path, STANDS_MAX);

	end(o, pid, before);
	ck_assert_msg(n, "%s: goes through no section", o->name);
	return n;
}

/* False: the section was aborted, and the call has ended. It is accounted for. */
static bool die_once(const struct operation *o, uint32_t n, bool fake)
{
	uint64_t before;
	pid_t pid = begin(o, fake, &before);
	bool there = trace_run_to(pid, &path[n], fake);

	change[n] = end(o, pid, before);
	return there;
}

/* At the first visit in a section that the kernel runs. */
static void die_at(const struct operation *o, uint32_t n)
{
	const bool fake = path[n].visit != 0;
	uint32_t tries = 0;

	while (!die_once(o, n, fake)) {
		retries++;
		ck_assert_msg(++tries < TRIES, "%s: %s is aborted every time",
			      o->name, sections[path[n].section].name);
	}
	deaths++;
	later_deaths += fake;
}

/* The stands from `first` on in one section: up to its commit, or where it was left. */
static uint32_t passage_end(uint32_t first, uint32_t count)
{
	uint32_t n = first + 1;

	while (n < count && path[n].section == path[first].section &&
	       path[n].at != sections[path[first].section].descriptor->start &&
	       !stand_is_behind(&path[n - 1]))
		n++;
	return n;
}

/*
 * The operation counts from one instruction on, the last of its section, and a section
 * that is left by another way changes nothing.
 */
static void add_row(const struct operation *o, uint32_t first, uint32_t end_at)
{
	struct section *s = &sections[path[first].section];
	const bool whole = stand_is_behind(&path[end_at - 1]);
	const uint32_t instructions = end_at - first - whole;
	uint32_t n, flips = 0, commit = 0;
	char at[16] = "-";

	for (n = first + 1; n < end_at; n++)
		if (change[n] != change[n - 1]) {
			flips++;
			commit = n - first;
		}
	ck_assert_msg(flips == whole,
		      "%s: the word of %s has changed %u times in a passage",
		      o->name, s->name, flips);
	ck_assert_msg(!whole || commit == instructions,
		      "%s: %s commits by instruction %u of %u", o->name,
		      s->name, commit, instructions);
	s->reached |= whole;
	rows++;
	if (whole)
		snprintf(at, sizeof(at), "%u", commit);
	fprintf(table, "%-38s %-20s %12u %6u %6s\n", o->name, s->name,
		instructions, end_at - first, at);
}

void matrix_add(const struct operation *o)
{
	uint32_t n, next, count;

	now->operation = o;
	now->stand = 0;
	count = find_path(o);
	for (n = 0; n < count; n++) {
		now->stand = n;
		die_at(o, n);
	}
	for (n = 0; n < count; n = next) {
		next = passage_end(n, count);
		add_row(o, n, next);
	}
}

/*
 * The victim's section in the self-test of rseq (lib/base/rseq_proof.c): it changes words
 * on the stack of its own process, which dies with them.
 */
static bool is_exempt(const struct section *s)
{
	return !strncmp(s->name, "stay_inside.", strlen("stay_inside."));
}

/*
 * Without optimization the compiler keeps the copies that constant arguments rule out,
 * such as a section for a stamp in a function that is for lanes without. There it cannot
 * be told which ones could be reached.
 */
#ifdef __OPTIMIZE__
#define NOT_REACHED "NOT REACHED"
#else
#define NOT_REACHED "not reached, perhaps dead code"
#endif

void matrix_end(void)
{
	int i, reached = 0, missed = 0;

	end_table();
	for (i = 0; i < section_count; i++) {
		reached += sections[i].reached;
		if (sections[i].reached)
			continue;
		printf("%s: %s\n",
		       is_exempt(&sections[i]) ? "exempt" : NOT_REACHED,
		       sections[i].name);
		missed += !is_exempt(&sections[i]);
	}
	printf("%u rows, %d sections of %d, %u deaths: %u in a section that the "
	       "kernel ran, %u in a later round of its loop; %u runs again\n",
	       rows, reached, section_count, deaths, deaths - later_deaths,
	       later_deaths, retries);
	fflush(stdout);
#ifdef __OPTIMIZE__
	ck_assert_msg(!missed, "%d sections were not reached", missed);
#endif
}
