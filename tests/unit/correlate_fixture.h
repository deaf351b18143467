/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine of tapio-correlate, the events that it is given, and all that it tells. For tests that
 * look at one engine at a time. A test case has setup() and teardown() as its fixture.
 */
#ifndef TESTS_CORRELATE_FIXTURE_H
#define TESTS_CORRELATE_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include <tapio/event.h>

#include "tests/check_main.h"
#include "tools/correlate/engine.h"

#define S            UINT64_C(1000000000)
#define FINDINGS_MAX 1000

static struct {
	char rule[64], say[512], key[512];
	uint64_t time_ns, count, id;
	uint32_t evidence, copies;
	uint8_t verdict, severity;
} found[FINDINGS_MAX];
static unsigned int found_count;

static struct {
	char rule[64], key[512];
	struct tpi_corr_why why;
} why[FINDINGS_MAX];
static unsigned int why_count;

static struct tpi_corr *corr;
static struct tpi_corr_options options;
static uint64_t position;
static uint16_t source;

static inline void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	unsigned int i = found_count++;

	(void)arg;
	ck_assert_uint_lt(i, FINDINGS_MAX);
	memset(&found[i], 0, sizeof(found[i]));
	snprintf(found[i].rule, sizeof(found[i].rule), "%s", f->rule);
	snprintf(found[i].say, sizeof(found[i].say), "%s", f->say);
	snprintf(found[i].key, sizeof(found[i].key), "%s", f->key);
	found[i].time_ns = f->time_ns;
	found[i].count = f->count;
	found[i].id = f->id[0];
	found[i].evidence = f->evidence_count;
	found[i].verdict = f->verdict;
	found[i].severity = f->severity;
	for (uint32_t n = 0; n < f->evidence_count; n++)
		found[i].copies += !!f->evidence[n].data;
}

static inline void on_why(void *arg, const struct tpi_corr_why *w)
{
	unsigned int i = why_count++;

	(void)arg;
	ck_assert_uint_lt(i, FINDINGS_MAX);
	why[i].why = *w;
	snprintf(why[i].rule, sizeof(why[i].rule), "%s", w->rule);
	snprintf(why[i].key, sizeof(why[i].key), "%s", w->key);
}

static inline struct tpi_rules *parse(const char *text)
{
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;

	if (tpi_rules_parse("r", text, strlen(text), &rules, &errors))
		tpi_rules_print_errors(&errors, stderr);
	ck_assert_ptr_nonnull(rules);
	return rules;
}

static inline void setup(void)
{
	options = (struct tpi_corr_options){.on_finding = on_finding};
	found_count = why_count = 0;
	position = 0;
}

static inline void teardown(void)
{
	tpi_corr_free(corr);
	corr = NULL;
}

static inline void begin(const char *text)
{
	const struct tpi_corr_source names = {"events", "a"};

	ck_assert_int_eq(tpi_corr_new(&corr, parse(text), &options), 0);
	source = (uint16_t)tpi_corr_source(corr, &names);
}

/* ---- events ------------------------------------------------------------------------------ */

static TAPIO_EVENT_ALIGNED char buffer[4096];
static struct tapio_event_builder b;

static inline void start(uint16_t type, uint32_t pid)
{
	ck_assert_int_eq(
		tapio_event_builder_init(&b, buffer, sizeof(buffer), type), 0);
	b.event->pid = pid;
}

static inline void text(struct tapio_event_string *field, const char *value)
{
	tapio_event_builder_string(&b, field, value, strlen(value));
}

static inline int give_at(uint64_t time_ns, uint64_t at)
{
	const int length = tapio_event_builder_finish(&b);
	const struct tpi_corr_event event = {
		.data = buffer,
		.length = (uint32_t)length,
		.type = b.event->type,
		.time_ns = time_ns,
		.place = {.position = at, .lane = 3, .source = source},
	};

	ck_assert_int_gt(length, 0);
	return tpi_corr_event(corr, &event);
}

static inline int give(uint64_t time_ns)
{
	return give_at(time_ns, position++);
}

static inline void exits(uint64_t time_ns, uint32_t pid, int32_t code,
			 const char *comm)
{
	struct tapio_event_process_exit *f;

	start(TAPIO_EVENT_PROCESS_EXIT, pid);
	f = b.fields;
	f->exit_code = code;
	text(&f->comm, comm);
	ck_assert_int_eq(give(time_ns), 1);
}

static inline struct tpi_corr_rule_stats rule_stats(unsigned int rule)
{
	struct tpi_corr_rule_stats stats;

	ck_assert(tpi_corr_rule_stats(corr, rule, &stats));
	return stats;
}

static inline struct tpi_corr_stats engine_stats(void)
{
	struct tpi_corr_stats stats;

	tpi_corr_stats(corr, &stats);
	return stats;
}

#endif
