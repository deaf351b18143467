/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of tapio-analyze: a broker, events, and what the program says. */
#ifndef TESTS_CLI_ANALYZE_RIG_H
#define TESTS_CLI_ANALYZE_RIG_H

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/event.h>
#include <tapio/producer.h>

#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/running.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define BASE_NS      UINT64_C(1700000000000000000)
#define LIMIT_MS     30000

static const char config[] =
	"channel events { class main { blocks = 1024 block = 512 } }\n"
	"channel small { class main { blocks = 64 block = 256 } }\n"
	"channel partials { class main { blocks = 1024 block = 1024 } }\n"
	"channel tiny { class main { blocks = 64 block = 128 } }\n"
	"channel results { class main { blocks = 1024 block = 512 } }\n";

static struct test_broker broker;
static struct tapio_producer *producer;

static inline void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

static inline void open_producer(const char *channel)
{
	char error[320];
	struct tapio_options options = {.size = sizeof(options),
					.answer_ns = TAPIO_FOREVER,
					.error = error,
					.error_bytes = sizeof(error)};
	int err = tapio_producer_open(&producer, channel, &options);

	ck_assert_msg(!err, "%s", error);
}

static inline void set_up(void)
{
	test_broker_start(&broker, config);
	producer = NULL;
}

static inline void tear_down(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/recording", broker.directory);
	unlink(path);
	tapio_producer_close(producer);
	test_broker_stop(&broker);
}

/* An event of that second after BASE_NS, process and duration. Waits for room. */
static inline void emit(double second, uint32_t pid, uint64_t duration_ns)
{
	TAPIO_EVENT_ALIGNED char buffer[512];
	struct tapio_event_builder b;
	struct tapio_event_network_connection *c;
	char comm[16];
	int length, err;

	ck_assert_int_eq(
		tapio_event_builder_init(&b, buffer, sizeof(buffer),
					 TAPIO_EVENT_NETWORK_CONNECTION),
		0);
	b.event->time_ns = BASE_NS + (uint64_t)(second * 1e9);
	b.event->pid = pid;
	c = b.fields;
	c->duration_ns = duration_ns;
	snprintf(comm, sizeof(comm), "c%u", (unsigned)(duration_ns % 37));
	tapio_event_builder_string(&b, &c->comm, comm, strlen(comm));
	length = tapio_event_builder_finish(&b);
	ck_assert_int_gt(length, 0);
	for (int ms = 0; ms < LIMIT_MS; ms++) {
		err = tapio_output(producer, TAPIO_EVENT_TAG(b.event), buffer,
				   (uint32_t)length);
		if (err != -EAGAIN)
			break;
		usleep(1000);
	}
	ck_assert_int_eq(err, 0);
}

/* ---- results --------------------------------------------------------------- */

/* The next object of that kind in lines of JSON. NULL: none. The caller frees it. */
static inline json_t *next_of(char **text, const char *kind)
{
	char *line;

	while ((line = strsep(text, "\n"))) {
		json_t *object = json_loads(line, 0, NULL);
		const char *is =
			json_string_value(json_object_get(object, "kind"));

		if (is && !strcmp(is, kind))
			return object;
		json_decref(object);
	}
	return NULL;
}

static inline json_int_t number_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	ck_assert_msg(json_is_integer(value), "no integer %s", name);
	return json_integer_value(value);
}

static inline json_int_t sum_of(const char *text, const char *kind,
				const char *name)
{
	char *copy = strdup(text), *rest = copy;
	json_t *object;
	json_int_t sum = 0;

	while ((object = next_of(&rest, kind))) {
		sum += number_of(object, name);
		json_decref(object);
	}
	free(copy);
	return sum;
}

/* Whether some window says `why`. */
static inline bool says_why(const char *text, const char *why)
{
	char quoted[32];

	snprintf(quoted, sizeof(quoted), "\"%s\"", why);
	for (const char *at = text; (at = strstr(at, "\"why\":[")); at++)
		if (strstr(at, quoted) && strstr(at, quoted) < strchr(at, ']'))
			return true;
	return false;
}

/* Cuts whether it is complete, and why not, off each line. */
static inline void without_marks(char *text)
{
	char *at, *end;

	while ((at = strstr(text, ",\"complete\""))) {
		end = strchr(at, '\n');
		memmove(at, end, strlen(end) + 1);
		text = at;
	}
}

static inline void same_text(const char *a, const char *b)
{
	size_t at = 0, from;

	while (a[at] && a[at] == b[at])
		at++;
	from = at > 200 ? at - 200 : 0;
	ck_assert_msg(a[at] == b[at], "%.400s\n--- and not ---\n%.400s",
		      a + from, b + from);
}

/* All of its standard output. */
static inline char *output_of(struct running *running)
{
	char *text = calloc(1, 1);
	size_t used = 0;
	const char *line;

	while ((line = running_line(running))) {
		const size_t length = strlen(line);

		text = realloc(text, used + length + 2);
		memcpy(text + used, line, length);
		text[used + length] = '\n';
		text[used += length + 1] = '\0';
	}
	return text;
}

/* ---- groups ------------------------------------------------------------------ */

/* The events of a group that were not released. -1: there is no such group. */
static inline json_int_t in_flight_of(const char *group)
{
	struct command command;
	json_t *root, *row;
	json_int_t in_flight = -1;
	size_t i;

	command_run(&command, "tapio-shmstat", "groups", "--json", NULL);
	root = json_loads(command.out, 0, NULL);
	json_array_foreach(json_object_get(root, "groups"), i, row)
	{
		const char *name =
			json_string_value(json_object_get(row, "group"));

		if (name && !strcmp(name, group))
			in_flight = number_of(row, "in_flight");
	}
	json_decref(root);
	command_free(&command);
	return in_flight;
}

static inline void wait_for_group(const char *group)
{
	int ms = 0;

	while (in_flight_of(group) < 0 && ms < LIMIT_MS) {
		usleep(20000);
		ms += 20;
	}
	ck_assert_int_ge(in_flight_of(group), 0);
}

/* Until a group has released all that was emitted. */
static inline void wait_until_read(const char *group)
{
	int ms = 0;

	while (in_flight_of(group) && ms < LIMIT_MS) {
		usleep(20000);
		ms += 20;
	}
	ck_assert_int_eq(in_flight_of(group), 0);
}

#endif
