/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tapiod whose faults a test makes for real, and what tapio-shmstat says about them. Included
 * by the tests of `why`, once in each program.
 */
#ifndef TEST_WHY_RIG_H
#define TEST_WHY_RIG_H

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "command.h"
#include "running.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define TAG          TAPIO_TAG(100, 5)

static struct test_broker broker;
static struct tapio_producer *producer;
static struct tapio_consumer *consumer;
static struct command run;
static json_t *look;
static char pid_text[16];
/* The words before the command: where the memory is. */
static const char *source[3];

/* One CPU, so one lane. */
static inline void stay(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

static inline void rig_open(const char *config)
{
	stay();
	test_broker_start(&broker, config);
	memset(source, 0, sizeof(source));
	source[0] = "--timeout=30s";
}

static inline void rig_close(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
	tapio_producer_close(producer);
	tapio_consumer_close(consumer);
	producer = NULL;
	consumer = NULL;
	test_broker_stop(&broker);
}

/* From here on look into that process. */
static inline void look_into(pid_t pid)
{
	snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	source[0] = "--pid";
	source[1] = pid_text;
}

static const struct tapio_options patient = {.size = sizeof(patient),
					     .answer_ns = INT64_C(30000000000)};

static inline void produce(const char *channel)
{
	ck_assert_int_eq(tapio_producer_open(&producer, channel, &patient), 0);
}

static inline void consume(const char *channel, const char *group,
			   uint32_t policy)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = patient,
		.group = group,
		.policy = policy,
	};

	ck_assert_int_eq(tapio_consumer_open(&consumer, channel, &options), 0);
}

/* How many were accepted. */
static inline int emit(int count)
{
	int accepted = 0;

	for (int i = 0; i < count; i++)
		accepted += !tapio_output(producer, TAG, &i, sizeof(i));
	return accepted;
}

/* tapio-shmstat SOURCE WORDS: its exit status. The JSON, if it is some, is in `look`. */
static inline int shmstat(const char *a, const char *b, const char *c,
			  const char *d)
{
	const char *words[8] = {0};
	int n = 0;

	for (int i = 0; i < 3 && source[i]; i++)
		words[n++] = source[i];
	if (a)
		words[n++] = a;
	if (b)
		words[n++] = b;
	if (c)
		words[n++] = c;
	if (d)
		words[n++] = d;
	command_free(&run);
	command_run(&run, "tapio-shmstat", words[0], words[1], words[2],
		    words[3], words[4], words[5], words[6], NULL);
	json_decref(look);
	look = json_loads(run.out, JSON_REJECT_DUPLICATES, NULL);
	return run.status;
}

static inline const char *text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	ck_assert_msg(text != NULL, "no %s in: %s%s", key, run.out, run.err);
	return text;
}

static inline json_int_t count_in(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	ck_assert_msg(json_is_integer(value), "no %s in: %s%s", key, run.out,
		      run.err);
	return json_integer_value(value);
}

/* The finding, by what `why` has said last, or NULL. */
/* Until the broker knows when each client began, a moment after it came. */
static inline void wait_for_starts(void)
{
	for (int i = 0; i < 3000; i++) {
		shmstat("--json", "clients", NULL, NULL);
		ck_assert_msg(look != NULL, "%s%s", run.out, run.err);
		if (!strstr(run.out, "\"process\": \"unknown\""))
			return;
		usleep(10000);
	}
	ck_abort_msg("unknown for 30 s: %s", run.out);
}

static inline json_t *found(const char *cause)
{
	json_t *one;
	size_t i;

	ck_assert_msg(look != NULL, "%s%s", run.out, run.err);
	json_array_foreach(
		json_object_get(look, "causes"), i,
		one) if (!strcmp(text_in(one, "cause"), cause)) return one;
	return NULL;
}

/* Its numbers. The sentence has these words, and no brace is left in it. */
static inline const json_t *expect_said(const char *cause, const char *severity,
					const char *words)
{
	const json_t *one = found(cause);

	ck_assert_msg(one != NULL, "no %s in: %s%s", cause, run.out, run.err);
	ck_assert_str_eq(text_in(one, "severity"), severity);
	ck_assert_msg(strstr(text_in(one, "sentence"), words), "no '%s' in: %s",
		      words, text_in(one, "sentence"));
	ck_assert_ptr_null(strchr(text_in(one, "sentence"), '{'));
	ck_assert_uint_gt(strlen(text_in(one, "remedy")), 8);
	return json_object_get(one, "numbers");
}

static inline const json_t *
expect_cause(const char *cause, const char *severity, const char *words)
{
	shmstat("--json", "--interval=50ms", "why", NULL);
	return expect_said(cause, severity, words);
}

static inline bool has_name(const json_t *names, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one)
	{
		if (json_is_string(one) &&
		    !strcmp(json_string_value(one), name))
			return true;
		if (json_is_object(one) && !strcmp(text_in(one, "cause"), name))
			return true;
	}
	return false;
}

/*
 * The fault is named by every part that is asked for, by `check` and by `why`, as text and as
 * JSON, and each ends with status 1. The numbers that `why` gives.
 */
static inline const json_t *expect_fault(const char *cause, const char *words)
{
	ck_assert_int_eq(shmstat("--json", "broker", NULL, NULL), 1);
	ck_assert(json_is_false(json_object_get(look, "healthy")));
	ck_assert_msg(has_name(json_object_get(look, "faults"), cause), "%s",
		      run.out);
	ck_assert_int_eq(shmstat("lanes", NULL, NULL, NULL), 1);
	ck_assert_msg(strstr(run.out, cause), "%s", run.out);
	ck_assert_int_eq(shmstat("check", NULL, NULL, NULL), 1);
	ck_assert_msg(strstr(run.out, cause), "%s", run.out);
	ck_assert_int_eq(shmstat("--json", "check", NULL, NULL), 1);
	ck_assert(json_is_false(json_object_get(look, "healthy")));
	ck_assert(has_name(json_object_get(look, "faults"), cause));
	ck_assert_int_eq(shmstat("--interval=1ms", "why", NULL, NULL), 1);
	ck_assert_msg(strstr(run.out, cause), "%s", run.out);
	return expect_cause(cause, "fault", words);
}

/* No fault, as `why` and a part see it, and this cause. */
static inline const json_t *
expect_healthy(const char *cause, const char *severity, const char *words)
{
	ck_assert_msg(shmstat("--json", "lanes", NULL, NULL) == 0, "%s",
		      run.out);
	ck_assert(json_is_true(json_object_get(look, "healthy")));
	ck_assert_uint_eq(json_array_size(json_object_get(look, "faults")), 0);
	ck_assert_msg(shmstat("--json", "--interval=50ms", "why", NULL) == 0,
		      "%s%s", run.out, run.err);
	return expect_said(cause, severity, words);
}

#endif
