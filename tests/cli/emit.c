/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-emit against a real tapiod: every line is an event, a refusal, or a message with
 * line and field. An event of any type that tapio-tail shows can be emitted again; each way to
 * end has the status that the man page promises.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/consumer.h>
#include <tapio/event.h>
#include <tapio/producer.h>

#include "tests/cli/command.h"
#include "tests/cli/running.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char config[] =
	"channel events { class main { blocks = 256 block = 1024 }\n"
	"class large { blocks = 64 block = 8192 } }\n"
	"channel copy { class main { blocks = 256 block = 4096 } }\n"
	"channel tiny { class main { blocks = 64 block = 64 } }\n"
	"channel small { class main { blocks = 16 block = 512 } }\n";

static struct test_broker broker;
static char path[128];

/* One CPU, so that there is one lane: the order of events is then known. */
static void set_up(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	test_broker_start(&broker, config);
	snprintf(path, sizeof(path), "%s/lines", broker.directory);
}

static void tear_down(void)
{
	unlink(path);
	test_broker_stop(&broker);
}

static void write_bytes(const char *text, size_t length)
{
	FILE *out = fopen(path, "we");

	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(fwrite(text, 1, length, out), length);
	ck_assert_int_eq(fclose(out), 0);
}

static void write_lines(const char *text)
{
	write_bytes(text, strlen(text));
}

/* The events of the channel, as tapio-tail shows it. */
static void shown(struct command *c, const char *channel)
{
	command_run(c, "tapio-tail", "--json", "--since=oldest", "-d0", "-c",
		    channel, NULL);
	ck_assert_int_eq(c->status, 0);
}

static json_t *parse_line(const char *line)
{
	json_error_t error;
	json_t *object;

	ck_assert_ptr_nonnull(line);
	object = json_loads(line, JSON_ALLOW_NUL, &error);
	ck_assert_msg(object != NULL, "no JSON: %s", line);
	return object;
}

static void check_member(const json_t *object, const char *name,
			 const char *text)
{
	const char *value = json_string_value(json_object_get(object, name));

	ck_assert_msg(value && !strcmp(value, text), "%s is %s, not %s", name,
		      value ? value : "unset", text);
}

/* ---- usage --------------------------------------------------------------------------- */

static const struct {
	const char *arguments[3];
	const char *message;
} wrong_usages[] = {
	{{"--no-such-option"}, "unrecognized option"},
	{{"--type", "nosuch"}, "--type: 'nosuch' is no type of event"},
	{{"--type", "0"}, "--type: '0' is no type of event"},
	{{"--type", "process.start"}, "is not made from text"},
	{{"--severity", "terrible"}, "--severity: 'terrible' is no severity: "},
	{{"--severity", "16"}, "warning, error, critical, "},
	{{"--field", "novalue"}, "--field: 'novalue' is not NAME=VALUE"},
	{{"--field", "=x"}, "--field: '=x' is not NAME=VALUE"},
	{{"--rate", "fast"}, "--rate: 'fast' is not a rate"},
	{{"--file=x", "text"}, "only one can be given"},
	{{"--whole", "--json"}, "JSON is read by lines"},
	{{"--type=2000", "-Fpid=1"}, "an event of type 2000 has no fields"},
};

START_TEST(wrong_usage_is_named_and_ends_with_2)
{
	command_refuses("tapio-emit", wrong_usages[_i].arguments,
			wrong_usages[_i].message);
}
END_TEST

START_TEST(an_absent_broker_or_channel_is_named)
{
	struct command c;

	command_run(&c, "tapio-emit", "-s", "/nonexistent/socket", "x", NULL);
	ck_assert_int_eq(c.status, 3);
	command_free(&c);
	test_broker_start(&broker, config);
	command_run(&c, "tapio-emit", "-c", "nosuch", "x", NULL);
	ck_assert_int_eq(c.status, 4);
	ck_assert_ptr_nonnull(
		strstr(c.err, "cannot attach to channel 'nosuch'"));
	ck_assert_ptr_nonnull(
		strstr(c.err, "no channel \"nosuch\"; this broker has "
			      "\"events\", \"copy\", \"tiny\", \"small\""));
	command_free(&c);
	command_run(&c, "tapio-emit", "--class=nosuch", "x", NULL);
	ck_assert_int_eq(c.status, 4);
	ck_assert_str_eq(c.err,
			 "tapio-emit: channel 'events' has no class 'nosuch' "
			 "(tapio-shmstat channels lists those that it has)\n");
	command_free(&c);
	command_run(&c, "tapio-emit", "--file=/nonexistent", NULL);
	ck_assert_int_eq(c.status, 1);
	ck_assert_str_eq(c.err, "tapio-emit: cannot read /nonexistent: No such "
				"file or directory\n");
	command_free(&c);
	test_broker_stop(&broker);
}
END_TEST

/* ---- text ----------------------------------------------------------------------------- */

START_TEST(each_line_becomes_a_log_event_with_the_fields_of_the_command_line)
{
	struct command c;

	/* The last line has no newline, one is empty, one has bytes that are no UTF-8. */
	static const char lines[] = "first\n\nthi\xffrd\0x\nlast";

	write_bytes(lines, sizeof(lines) - 1);
	command_run(&c, "tapio-emit", "-f", path, "-S", "warning", "-F",
		    "pid=77", "-Fidentifier=me", "-Fattributes=a=b=c",
		    "-Ftrace_id=4bf92f3577b34da6a3ce929d0e0e4736", NULL);
	ck_assert_str_eq(c.err, "");
	ck_assert_int_eq(c.status, 0);
	command_free(&c);
	shown(&c, "events");
	static const char *const bodies[] = {"first", NULL,
					     "thi\xef\xbf\xbd"
					     "rd",
					     "last"};
	char *line = strtok(c.out, "\n");
	for (int i = 0; i < COUNT(bodies); i++) {
		json_t *event = parse_line(line);

		check_member(event, "type", "log");
		check_member(event, "severity", "warning");
		check_member(event, "source", "application");
		check_member(event, "identifier", "me");
		check_member(event, "trace_id",
			     "4bf92f3577b34da6a3ce929d0e0e4736");
		check_member(json_object_get(event, "attributes"), "a", "b=c");
		ck_assert_int_eq(
			json_integer_value(json_object_get(event, "pid")), 77);
		if (!bodies[i])
			ck_assert_ptr_null(json_object_get(event, "body"));
		else if (i != 2)
			check_member(event, "body", bodies[i]);
		else /* with a NUL, which jansson shows to those who ask */
			ck_assert_ptr_nonnull(strstr(line, "rd\\u0000x"));
		json_decref(event);
		line = strtok(NULL, "\n");
	}
	ck_assert_ptr_null(line);
	command_free(&c);
}
END_TEST

START_TEST(arguments_and_whole_files_are_one_event_each)
{
	struct command c;

	write_lines("one\ntwo\n");
	command_run(&c, "tapio-emit", "a b", "", "c", NULL);
	ck_assert_int_eq(c.status, 0);
	command_free(&c);
	command_run(&c, "tapio-emit", "--whole", "-f", path, "--summary", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_str_eq(c.err, "tapio-emit: emitted 1 (cut 0), refused 0, "
				"wrong 0\n");
	command_free(&c);
	shown(&c, "events");
	ck_assert_ptr_nonnull(strstr(c.out, "\"body\":\"a b\""));
	ck_assert_ptr_nonnull(strstr(c.out, "\"body\":\"c\""));
	ck_assert_ptr_nonnull(strstr(c.out, "\"body\":\"one\\ntwo\\n\""));
	command_free(&c);
}
END_TEST

START_TEST(a_type_of_ones_own_has_the_bytes_of_the_line)
{
	struct command c;

	command_run(&c, "tapio-emit", "-t", "2000", "-S", "5", "own bytes",
		    NULL);
	ck_assert_int_eq(c.status, 0);
	command_free(&c);
	shown(&c, "events");
	ck_assert_ptr_nonnull(strstr(c.out, "\"type\":\"2000\""));
	ck_assert_ptr_nonnull(strstr(c.out, "\"text\":\"own bytes\""));
	command_free(&c);
}
END_TEST

START_TEST(what_is_larger_than_any_class_is_cut_and_flagged)
{
	struct command c;
	char *text = malloc(100000);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 99999);
	text[99999] = '\n';
	write_bytes(text, 100000);
	free(text);
	command_run(&c, "tapio-emit", "-f", path, "--summary", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(strstr(c.err, "emitted 1 (cut 1)"));
	command_free(&c);
	shown(&c, "events");
	ck_assert_ptr_nonnull(strstr(c.out, "\"flags\":[\"truncated\"]"));
	ck_assert_uint_gt(strlen(c.out), 7500); /* the large class was used */
	command_free(&c);
	/* Not even a header fits: refused by its size. */
	command_run(&c, "tapio-emit", "-c", "tiny", "x", NULL);
	ck_assert_int_eq(c.status, 7);
	ck_assert_str_eq(c.err, "tapio-emit: emitted 0 (cut 0), refused 1 "
				"(size 1), wrong 0\n");
	command_free(&c);
}
END_TEST

START_TEST(a_line_longer_than_the_buffer_is_cut_and_the_next_one_is_whole)
{
	const size_t length = (3u << 20) + 5;
	char *text = malloc(length + 7);
	struct command c;

	ck_assert_ptr_nonnull(text);
	memset(text, 'y', length);
	memcpy(text + length, "\nnext\n", 6);
	write_bytes(text, length + 6);
	free(text);
	command_run(&c, "tapio-emit", "-f", path, "--summary", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(strstr(c.err, "emitted 2 (cut 1)"));
	command_free(&c);
	shown(&c, "events");
	ck_assert_ptr_nonnull(strstr(c.out, "\"body\":\"next\""));
	command_free(&c);
}
END_TEST

/* ---- JSON ----------------------------------------------------------------------------- */

/* Every field of every type, emitted by the library. */
static void fill(struct tapio_event_builder *b,
		 const struct tapio_event_field *field, unsigned int i)
{
	void *p = (char *)b->fields + field->offset;
	const double f64 = 0.25 + i;

	switch (field->kind) {
	case TAPIO_FIELD_STRING:
		tapio_event_builder_string(b, p, field->name,
					   strlen(field->name));
		break;
	case TAPIO_FIELD_BYTES:
		tapio_event_builder_string(b, p, "\x01\xfe\0z", 4);
		break;
	case TAPIO_FIELD_ATTRIBUTES:
		tapio_event_builder_attribute(b, p, "key", 3, "v\"1", 3);
		tapio_event_builder_attribute(b, p, "k\xc3\xa4y", 4, "", 0);
		break;
	case TAPIO_FIELD_IP:
		if (i & 1)
			tapio_event_ip4(p, "\x0a\x01\x02\x03");
		else
			tapio_event_ip6(p, "fedcba9876543210");
		break;
	case TAPIO_FIELD_F64:
		memcpy(p, &f64, sizeof(f64));
		break;
	case TAPIO_FIELD_ID:
		memset(p, (int)(0x10 + i), field->bytes);
		break;
	default:
		memset(p, 0, field->bytes);
		*(unsigned char *)p = 1;
	}
}

static unsigned int emit_every_type(void)
{
	static TAPIO_EVENT_ALIGNED char buffer[2048];
	const struct tapio_event_field *field;
	const struct tapio_event_type *type;
	struct tapio_event_builder b;
	struct tapio_producer *p;
	unsigned int t;

	ck_assert_int_eq(tapio_producer_open(&p, "events", NULL), 0);
	for (t = 0; (type = tapio_event_type_at(t)); t++) {
		tapio_event_builder_init(&b, buffer, sizeof(buffer),
					 type->type);
		b.event->time_ns = 1700000000123456789 + t;
		b.event->observed_ns = 1700000000000000000;
		b.event->severity = TAPIO_SEVERITY_ALERT;
		b.event->source = TAPIO_SOURCE_EBPF;
		b.event->flags =
			TAPIO_EVENT_EXISTING | TAPIO_EVENT_TRACE_SAMPLED;
		b.event->pid = 3;
		b.event->uid = 0;
		b.event->cgroup_id = 99;
		memcpy(b.event->span_id, "01234567", 8);
		for (unsigned int i = 0;
		     (field = tapio_event_field_at(type, i)); i++)
			fill(&b, field, i);
		int length = tapio_event_builder_finish(&b);
		ck_assert_int_gt(length, 0);
		ck_assert_int_eq(tapio_output(p, TAPIO_EVENT_TAG(b.event),
					      buffer, (uint32_t)length),
				 0);
	}
	tapio_producer_close(p);
	return t;
}

/* The line without what each emission gets anew. */
static char *comparable(const char *line)
{
	json_t *object = parse_line(line);
	char *text;

	json_object_del(object, "channel");
	json_object_del(object, "stamp_ns");
	json_object_del(object, "lane");
	json_object_del(object, "position");
	text = json_dumps(object, JSON_SORT_KEYS);
	json_decref(object);
	return text;
}

START_TEST(an_event_of_any_type_comes_back_as_it_was_shown)
{
	unsigned int types = emit_every_type();
	char *at_before, *at_after;
	struct command before, after, c;

	shown(&before, "events");
	write_lines(before.out);
	command_run(&c, "tapio-emit", "--json", "-f", path, "-c", "copy",
		    "--summary", NULL);
	ck_assert_msg(!c.status, "%s", c.err);
	command_free(&c);
	shown(&after, "copy");
	char *a = strtok_r(before.out, "\n", &at_before);
	char *b = strtok_r(after.out, "\n", &at_after);
	for (unsigned int i = 0; i < types; i++) {
		char *wanted = comparable(a), *got = comparable(b);

		ck_assert_str_eq(got, wanted);
		free(wanted);
		free(got);
		a = strtok_r(NULL, "\n", &at_before);
		b = strtok_r(NULL, "\n", &at_after);
	}
	ck_assert_ptr_null(b);
	command_free(&before);
	command_free(&after);
}
END_TEST

static const struct {
	const char *line;
	const char *message;
} wrong_lines[] = {
	{"no json", "column 2: no JSON: "},
	{"[1]", "it is no JSON object"},
	{"{\"type\":\"nosuch\"}", "field 'type': 'nosuch' is no type of event"},
	{"{\"type\":3.5}", "field 'type': it is no type of event"},
	{"{\"type\":\"2000\"}", "field 'type': 2000 has no table of fields"},
	{"{\"body\":\"x\"}", "field 'type' is missing"},
	{"{\"type\":\"log\",\"nosuch\":1}",
	 "'nosuch' is no field of log; besides those of all events there are "
	 "identifier, body, "},
	{"{\"type\":\"log\",\"pid\":\"1\"}", "field 'pid' takes an integer"},
	{"{\"type\":\"log\",\"pid\":-1}",
	 "field 'pid' takes an integer that is not negative"},
	{"{\"type\":\"log\",\"pid\":4294967296}",
	 "field 'pid' takes an integer from 0 to 4294967295"},
	{"{\"type\":\"log\",\"severity\":\"loud\"}",
	 "field 'severity' takes one of unset, trace, "},
	{"{\"type\":\"log\",\"facility\":\"x\"}",
	 "field 'facility' takes one of kern, "},
	{"{\"type\":\"log\",\"time\":\"yesterday\"}",
	 "field 'time' takes a time"},
	{"{\"type\":\"log\",\"trace_id\":\"12\"}",
	 "field 'trace_id' takes 32 hexadecimal digits"},
	{"{\"type\":\"log\",\"trace_id\":\"zz000000000000000000000000000000\"}",
	 "field 'trace_id' takes 32 hexadecimal digits"},
	{"{\"type\":\"log\",\"body\":7}", "field 'body' takes a string"},
	{"{\"type\":\"log\",\"attributes\":\"a\"}",
	 "field 'attributes' takes an object"},
	{"{\"type\":\"log\",\"flags\":[\"x\"]}", "field 'flags' takes one of "},
	{"{\"type\":\"log\",\"flags\":[1]}", "field 'flags' takes one of "},
	{"{\"type\":\"metric\",\"value\":\"1\"}",
	 "field 'value' takes a number"},
	{"{\"type\":\"metric\",\"monotonic\":1.5}",
	 "field 'monotonic' takes true or false"},
	{"{\"type\":\"process.exit\",\"exit_code\":2147483648}",
	 "field 'exit_code' takes an integer of 32 bits"},
	{"{\"type\":\"dns\",\"client\":\"1.2.3\"}",
	 "field 'client' takes an address of IPv4 or IPv6"},
	{"{\"type\":\"dns\",\"message\":\"abc\"}",
	 "field 'message' takes hexadecimal digits"},
	{"{\"type\":\"log\",\"body\":\"\xff\"}", "no JSON: "},
	{"{\"type\":\"log\",\"pid\":1,\"pid\":2}", "no JSON: duplicate"},
	{"{\"type\":\"log\",\"pid\":99999999999999999999}", "no JSON: too big"},
};

START_TEST(a_wrong_line_is_named_with_its_field_and_nothing_of_it_is_emitted)
{
	static const char good[] = "{\"type\":\"log\",\"body\":\"good\"}";
	struct command c;
	char lines[512], where[64];

	snprintf(lines, sizeof(lines), "%s\n\n%s\n%s\n", good,
		 wrong_lines[_i].line, good);
	write_lines(lines);
	command_run(&c, "tapio-emit", "--json", "-f", path, NULL);
	ck_assert_int_eq(c.status, 1);
	snprintf(where, sizeof(where), "tapio-emit: line 3: ");
	ck_assert_msg(!strncmp(c.err, where, strlen(where)), "%s", c.err);
	ck_assert_msg(strstr(c.err, wrong_lines[_i].message) != NULL, "%s",
		      c.err);
	ck_assert_ptr_nonnull(strstr(c.err, "emitted 1 (cut 0), refused 0, "
					    "wrong 1\n"));
	command_free(&c);
	command_run(&c, "tapio-emit", "--json", "--keep-going", "-f", path,
		    NULL);
	ck_assert_int_eq(c.status, 1);
	ck_assert_ptr_nonnull(strstr(c.err, "emitted 2 (cut 0), refused 0, "
					    "wrong 1\n"));
	command_free(&c);
	shown(&c, "events");
	int events = 0;
	for (char *line = strtok(c.out, "\n"); line; line = strtok(NULL, "\n"))
		events++;
	ck_assert_int_eq(events, 3);
	command_free(&c);
}
END_TEST

/* ---- room, rate, the broker's end --------------------------------------------------------- */

START_TEST(what_finds_no_room_is_counted_and_ends_with_7)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options), .policy = TAPIO_GROUP_LOSSLESS};
	struct tapio_consumer *consumer;
	struct tapio_view views[64];
	struct command c;
	uint64_t held = 0;
	int got;

	ck_assert_int_eq(tapio_consumer_open(&consumer, "small", &options), 0);
	write_lines(
		"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n"
		"18\n19\n20\n");
	command_run(&c, "tapio-emit", "-c", "small", "-f", path, NULL);
	ck_assert_int_eq(c.status, 7);
	const char *at = strstr(c.err, "emitted ");
	ck_assert_ptr_nonnull(at);
	uint64_t emitted = strtoull(at + 8, NULL, 10);
	at = strstr(c.err, "refused ");
	ck_assert_ptr_nonnull(at);
	uint64_t refused = strtoull(at + 8, NULL, 10);
	ck_assert_uint_eq(emitted + refused, 20);
	ck_assert_uint_gt(refused, 0);
	ck_assert_ptr_nonnull(strstr(at, "(full "));
	while ((got = tapio_poll(consumer, views, 64, 0)) > 0) {
		held += (uint64_t)got;
		ck_assert_int_eq(tapio_release(consumer), 0);
	}
	ck_assert_uint_eq(held, emitted);
	command_free(&c);
	tapio_consumer_close(consumer);
}
END_TEST

START_TEST(with_retry_it_waits_for_room_and_loses_nothing)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options), .policy = TAPIO_GROUP_LOSSLESS};
	struct tapio_consumer *consumer;
	struct tapio_view views[4];
	struct running emit;
	int held = 0;

	ck_assert_int_eq(tapio_consumer_open(&consumer, "small", &options), 0);
	FILE *out = fopen(path, "we");
	ck_assert_ptr_nonnull(out);
	for (int i = 0; i < 200; i++)
		fprintf(out, "line %d\n", i);
	fclose(out);
	running_start(&emit, "tapio-emit", "-c", "small", "-f", path, "--retry",
		      NULL);
	while (held < 200) {
		int got = tapio_poll(consumer, views, 4, INT64_C(10000000000));

		ck_assert_int_gt(got, 0);
		held += got;
		ck_assert_int_eq(tapio_release(consumer), 0);
	}
	ck_assert_int_eq(running_wait(&emit), 0);
	close(emit.err);
	tapio_consumer_close(consumer);
}
END_TEST

START_TEST(a_signal_ends_it_while_it_waits_for_a_line)
{
	struct running emit, tail;
	char text[512];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	int saved = dup(STDIN_FILENO);
	dup2(fds[0], STDIN_FILENO);
	running_start(&emit, "tapio-emit", "--summary", NULL);
	dup2(saved, STDIN_FILENO);
	running_start(&tail, "tapio-tail", "--since=oldest", "-n1", NULL);
	ck_assert_int_eq(write(fds[1], "a line\nhalf", 11), 11);
	ck_assert_ptr_nonnull(running_line(&tail));
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
	ck_assert_int_eq(kill(emit.pid, SIGTERM), 0);
	running_errors(&emit, text, sizeof(text));
	ck_assert_int_eq(running_wait(&emit), 0);
	ck_assert_str_eq(text, "tapio-emit: emitted 1 (cut 0), refused 0, "
			       "wrong 0\n");
	close(saved);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_rate_spreads_events_and_a_killed_broker_ends_it_with_5)
{
	struct running emit, tail;
	char text[512];

	FILE *out = fopen(path, "we");
	ck_assert_ptr_nonnull(out);
	for (int i = 0; i < 100000; i++)
		fprintf(out, "line %d\n", i);
	fclose(out);
	running_start(&emit, "tapio-emit", "--rate=200", "-f", path, NULL);
	running_start(&tail, "tapio-tail", "--since=oldest", "-n3", NULL);
	ck_assert_ptr_nonnull(running_line(&tail));
	ck_assert_ptr_nonnull(running_line(&tail));
	ck_assert_ptr_nonnull(running_line(&tail));
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
	/* Without the rate it would have ended, or filled the channel. */
	ck_assert_int_eq(kill(emit.pid, 0), 0);
	test_broker_kill(&broker);
	running_errors(&emit, text, sizeof(text));
	ck_assert_int_eq(running_wait(&emit), 5);
	ck_assert_ptr_nonnull(strstr(text, "has gone (--wait"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("emit");
	TCase *usage = tcase_create("usage"), *tc = tcase_create("broker");

	tcase_set_timeout(usage, 60);
	tcase_add_loop_test(usage, wrong_usage_is_named_and_ends_with_2, 0,
			    COUNT(wrong_usages));
	tcase_add_test(usage, an_absent_broker_or_channel_is_named);
	suite_add_tcase(suite, usage);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(
		tc,
		each_line_becomes_a_log_event_with_the_fields_of_the_command_line);
	tcase_add_test(tc, arguments_and_whole_files_are_one_event_each);
	tcase_add_test(tc, a_type_of_ones_own_has_the_bytes_of_the_line);
	tcase_add_test(tc, what_is_larger_than_any_class_is_cut_and_flagged);
	tcase_add_test(
		tc,
		a_line_longer_than_the_buffer_is_cut_and_the_next_one_is_whole);
	tcase_add_test(tc, an_event_of_any_type_comes_back_as_it_was_shown);
	tcase_add_loop_test(
		tc,
		a_wrong_line_is_named_with_its_field_and_nothing_of_it_is_emitted,
		0, COUNT(wrong_lines));
	tcase_add_test(tc, what_finds_no_room_is_counted_and_ends_with_7);
	tcase_add_test(tc, with_retry_it_waits_for_room_and_loses_nothing);
	tcase_add_test(tc, a_signal_ends_it_while_it_waits_for_a_line);
	tcase_add_test(
		tc, a_rate_spreads_events_and_a_killed_broker_ends_it_with_5);
	suite_add_tcase(suite, tc);

	return check_run(suite);
}
