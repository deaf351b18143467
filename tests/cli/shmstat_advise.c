/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapio-shmstat advise`: under the configuration that it prints the same load loses nothing,
 * and takes the memory that it says.
 */
#include "why_rig.h"

#define BLOCKS 64
#define BURST  300

static const char config[] =
	"hugepages = never\n"
	"budget = 16M\n"
	"channel events {\n"
	"  full = wait wait = 1ms\n"
	"  class main { block = 64 blocks = 64 side_lanes = 1 side_blocks = 64 }\n"
	"  class urgent { block = 128 blocks = 64 side_lanes = 1 side_blocks = 64 "
	"priority = 1 }\n"
	"  group audit { policy = lossless takeover = 7s }\n"
	"  group export { policy = until lag = 16 takeover = never }\n"
	"}\n"
	"channel own { isolation = process producers_max = 2\n"
	"  class main { block = 64 blocks = 64 }\n"
	"}\n";

static struct tapio_consumer *exporter;

static void join(struct tapio_consumer **c, const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options), .broker = patient, .group = group};

	ck_assert_int_eq(tapio_consumer_open(c, "events", &options), 0);
}

static void set_up(void)
{
	rig_open(config);
	exporter = NULL;
}

static void close_all(void)
{
	tapio_consumer_close(exporter);
	tapio_consumer_close(consumer);
	tapio_producer_close(producer);
	exporter = consumer = NULL;
	producer = NULL;
}

static void tear_down(void)
{
	close_all();
	rig_close();
}

/* The load: both groups read nothing until all was emitted. The number of those that were refused. */
static int load(void)
{
	struct tapio_view views[BLOCKS];
	int accepted;

	join(&consumer, "audit");
	join(&exporter, "export");
	produce("events");
	accepted = emit(BURST);
	while (tapio_poll(consumer, views, BLOCKS, 0) > 0)
		tapio_release(consumer);
	while (tapio_poll(exporter, views, BLOCKS, 0) > 0)
		tapio_release(exporter);
	return BURST - accepted;
}

static const json_t *row_of(const char *part, const char *key, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(
		json_object_get(look, part), i,
		row) if (!strcmp(text_in(row, key), name)) return row;
	ck_abort_msg("no %s %s in: %s", key, name, run.out);
}

/* The channel's part of the advice, and its class "main". */
static const json_t *channel_advised(void)
{
	ck_assert_int_eq(shmstat("--json", "--interval=10ms", "advise", NULL),
			 0);
	return row_of("channels", "channel", "events");
}

static const json_t *class_of(const json_t *channel)
{
	const json_t *klass;
	size_t i;

	json_array_foreach(json_object_get(channel, "classes"), i,
			   klass) if (!strcmp(text_in(klass, "class"),
					      "main")) return klass;
	ck_abort_msg("no class main in: %s", run.out);
}

static long long lost(void)
{
	const json_t *row;
	long long sum = 0;
	size_t i;

	ck_assert_int_ge(shmstat("--json", "groups", "lanes", NULL), 0);
	json_array_foreach(json_object_get(look, "groups"), i, row) sum +=
		count_in(row, "lost");
	json_array_foreach(json_object_get(look, "lanes"), i, row) sum +=
		count_in(row, "dropped_total");
	return sum;
}

/* Pasted, as the tool says: in place of what the file has. */
static void paste(const json_t *channel)
{
	const char *budget = json_string_value(json_object_get(look, "config"));
	FILE *file = fopen(broker.config, "we");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "hugepages = never\n%s%s",
		budget ? budget : "budget = 16M\n", text_in(channel, "config"));
	fclose(file);
}

/* The bytes of lanes that tapiod --check says a configuration takes. */
static long long bytes_checked(void)
{
	const char *line;
	long long sum = 0;

	command_free(&run);
	command_run(&run, "tapiod", "--check", broker.config, NULL);
	ck_assert_msg(run.status == 0, "%s%s", run.out, run.err);
	for (line = strstr(run.out, "  class \""); line;
	     line = strstr(line + 1, "  class \"")) {
		const char *end = strchr(line, '\n');

		while (end[-1] >= '0' && end[-1] <= '9')
			end--;
		sum += strtoll(end, NULL, 10);
	}
	return sum;
}

START_TEST(what_is_advised_is_accepted_and_then_nothing_is_lost)
{
	const json_t *channel, *klass, *need, *row;
	long long bytes = 0;
	size_t i;

	ck_assert_int_eq(load(), BURST - BLOCKS);
	ck_assert_int_eq(lost(), BURST - BLOCKS);
	channel = channel_advised();
	ck_assert(json_is_true(json_object_get(channel, "seen_enough")));
	klass = class_of(channel);
	need = json_object_get(klass, "needed");
	if (!count_in(need, "most")) /* a machine without rseq */
		need = json_object_get(klass, "needed_on_side_lanes");
	ck_assert_int_eq(count_in(need, "most"), BURST);
	ck_assert_int_eq(count_in(need, "advised"), 1024);
	json_array_foreach(json_object_get(channel, "memory"), i, row) bytes +=
		count_in(row, "bytes_advised");
	paste(channel);
	/* The other class stays as it was. */
	ck_assert_ptr_nonnull(strstr(text_in(channel, "config"),
				     "class \"urgent\" {\n\t\tblock = 128\n"
				     "\t\tblocks = 64\n"));
	ck_assert_ptr_nonnull(
		strstr(text_in(channel, "config"), "takeover = 7s\n"));
	ck_assert_ptr_nonnull(
		strstr(text_in(channel, "config"), "takeover = never\n"));
	ck_assert_ptr_nonnull(
		strstr(text_in(channel, "config"), "wait = 1ms\n"));
	close_all();
	ck_assert_int_eq(bytes_checked(), bytes);
	ck_assert_int_eq(running_stop(&broker.daemon, SIGTERM), 0);
	close(broker.daemon.err);
	test_broker_restart(&broker);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(lost(), 0);
}
END_TEST

START_TEST(the_arithmetic_is_shown)
{
	load();
	ck_assert_int_eq(shmstat("--wide", "--interval=10ms",
				 "--channel=events", "advise"),
			 0);
	ck_assert_msg(strstr(run.out, "= 300, x 2 = 600\n"), "%s", run.out);
	ck_assert_msg(strstr(run.out, "blocks = 64 -> 1024\n"), "%s", run.out);
	ck_assert_msg(strstr(run.out, "group export: at most 300 unread, "
				      "lost and refused on a lane: lag = 16 -> "
				      "300\n"),
		      "%s", run.out);
	ck_assert_msg(strstr(run.out, "memory of lanes on node 0: "), "%s",
		      run.out);
	ck_assert_ptr_nonnull(strstr(run.out, "\nchannel \"events\" {\n"));
	ck_assert_ptr_null(strstr(run.out, "\"own\""));
}
END_TEST

START_TEST(too_little_is_said_and_nothing_is_advised)
{
	const json_t *channel;

	produce("events");
	ck_assert_int_eq(emit(12), 12);
	channel = channel_advised();
	ck_assert(json_is_false(json_object_get(channel, "seen_enough")));
	ck_assert_int_eq(count_in(channel, "published"), 12);
	ck_assert(json_is_null(json_object_get(channel, "config")));
	ck_assert_int_eq(shmstat("--interval=10ms", "advise", NULL, NULL), 0);
	ck_assert_msg(strstr(run.out, "channel events: 12 events in all, "),
		      "%s", run.out);
	ck_assert_msg(strstr(run.out, "seen too little to advise: it takes "
				      "1000 events and 60 s"),
		      "%s", run.out);
	ck_assert_ptr_null(strstr(run.out, "tapiod.conf"));
}
END_TEST

START_TEST(reserved_blocks_and_larger_events_are_counted_too)
{
	struct tapio_reservation held[BLOCKS];
	const json_t *klass, *refused;
	char large[4000] = "";

	produce("events");
	for (int i = 0; i < BLOCKS / 2; i++)
		ck_assert_int_eq(tapio_reserve(producer, TAG | TAPIO_NO_WAIT, 8,
					       &held[i]),
				 0);
	ck_assert_int_ne(
		tapio_reserve(producer, TAG | TAPIO_NO_WAIT, 8, &held[32]), 0);
	ck_assert_int_eq(tapio_output(producer, TAG, large, sizeof(large)),
			 -EMSGSIZE);
	klass = class_of(channel_advised());
	refused = json_object_get(klass, "refused");
	ck_assert_int_eq(count_in(refused, "held"), 1);
	ck_assert_int_eq(count_in(klass, "blocks_advised"), 2 * BLOCKS);
	for (int i = 0; i < BLOCKS / 2; i++)
		tapio_discard(producer, &held[i]);
}
END_TEST

/* As it is, so that a section can be pasted in any case. */
START_TEST(an_isolated_channel_is_written_as_it_is)
{
	const json_t *channel;

	produce("own");
	emit(3 * BLOCKS);
	tapio_producer_close(producer);
	produce("own");
	/* A refusal, so that it has seen enough. */
	ck_assert_int_eq(tapio_output(producer, TAG, look, 100), -EMSGSIZE);
	channel_advised();
	channel = row_of("channels", "channel", "own");
	ck_assert(json_is_true(json_object_get(channel, "seen_enough")));
	ck_assert_ptr_nonnull(strstr(text_in(channel, "config"),
				     "isolation = process\n\tproducers_max = "
				     "2\n"));
	paste(channel);
	bytes_checked();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("shmstat_advise");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc,
		       what_is_advised_is_accepted_and_then_nothing_is_lost);
	tcase_add_test(tc, the_arithmetic_is_shown);
	tcase_add_test(tc, too_little_is_said_and_nothing_is_advised);
	tcase_add_test(tc, reserved_blocks_and_larger_events_are_counted_too);
	tcase_add_test(tc, an_isolated_channel_is_written_as_it_is);
	return check_run_case("shmstat_advise", tc);
}
