/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of tapio-shmstat where everything is as long as it can be: names of 63 letters,
 * counts of 48 and 63 bits, several channels, every fault. No line is longer than 80
 * characters, and the columns that matter are there. With --wide all are, with all digits.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "check_world.h"
#include "command.h"
#include "lib/base/atomic.h"
#include "tests/check_main.h"

#define WIDTH    80
#define CHANNELS 3
#define LONG     "a-name-that-is-as-long-as-a-name-can-be-in-this-program-at-all"
#define LARGE    UINT64_C(0xfedcba987654)

static const char config[] =
	"hugepages = never\n"
	"channel \"" LONG "1\" {\n"
	"	class \"fifteen-letters\" { block = 64 blocks = 64 }\n"
	"	class \"fifteen-Letters\" { block = 64 blocks = 64 priority = 1 }\n"
	"}\n"
	"channel \"" LONG "2\" { class \"main\" { block = 64 blocks = 64 } }\n"
	"channel \"" LONG "3\" { class \"main\" { block = 64 blocks = 64 } }\n";

static struct check_world w;
static struct tapio_consumer *consumers[CHANNELS];
static struct tapio_producer *producers[CHANNELS];
static struct command run;
static char pid[16];

/* Columns that a table never leaves out. */
static const struct {
	const char *part;
	const char *titles[10];
} parts[] = {
	{"summary",
	 {"CHANNEL", "GROUPS", "PUBLISHED", "DROPPED", "LOST", "UNREAD",
	  "FAULTS"}},
	{"broker", {"pid", "version", "counters"}},
	{"channels",
	 {"CHANNEL", "STATE", "LANES", "FULL", "ATTACHED", "UNREAD"}},
	{"segments",
	 {"KIND", "CHANNEL", "INDEX", "LENGTH", "RUNG", "PLACEMENT"}},
	{"lanes",
	 {"CHANNEL", "CLASS", "LANE", "CPU", "USED", "PUBLISHED", "DROPPED",
	  "FAULTS"}},
	{"groups",
	 {"CHANNEL", "GROUP", "MEMB", "DELIVERED", "UNREAD", "LOST", "FAULTS"}},
	{"clients",
	 {"PID", "COMMAND", "ROLE", "CHANNEL", "GROUP", "UNREAD", "PROCESS"}},
	{"ledger",
	 {"CHANNEL", "LANE", "GROUP", "PUBLISHED", "DELIVERED", "LOST",
	  "UNREAD", "FAULTS"}},
	{"counters", {"OF", "COUNTER", "VALUE", "UNIT"}},
	{"latency", {"CHANNEL", "GROUP", "P50", "P99", "MAX"}},
	{"layout", {"SEGMENT", "CHANNEL", "WHAT", "CLASS", "EACH", "TOTAL"}},
	{"all", {"lanes", "groups", "layout"}},
};
#define PARTS (int)(sizeof(parts) / sizeof(parts[0]))

static void open_clients(void)
{
	const struct tapio_options patient = {
		.size = sizeof(patient),
		.answer_ns = INT64_C(30000000000),
	};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = patient,
		.group = LONG "g",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_view view;
	char name[64];

	for (int i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof(name), LONG "%d", i + 1);
		ck_assert_int_eq(
			tapio_consumer_open(&consumers[i], name, &options), 0);
		ck_assert_int_eq(
			tapio_producer_open(&producers[i], name, &patient), 0);
		ck_assert_int_eq(
			tapio_output(producers[i], TAPIO_TAG(1, 1), "", 1), 0);
		ck_assert_int_eq(tapio_poll(consumers[i], &view, 1, 0), 1);
		ck_assert_int_eq(tapio_release(consumers[i]), 0);
	}
}

static void enlarge_lane(const struct tapio_shm_lane *shm, uint32_t number)
{
	struct tapio_shm_lane *lane = check_world_writable(&w, shm);

	tpi_store_relaxed(&lane->state, TAPIO_STATE(LARGE + number, 0xffff));
	for (int i = 0; i < TAPIO_DROP_CAUSES; i++)
		tpi_store_relaxed(&lane->dropped[i], INT64_MAX / 8);
}

static void enlarge_cursor(const struct tapio_shm_cursor *shm,
			   const struct tapio_shm_group *group)
{
	uint64_t slot = tpi_load_relaxed(&group->slot);
	struct tapio_shm_cursor *cursor = check_world_writable(&w, shm);

	for (int i = 0; i < TAPIO_CELLS; i++)
		tpi_store_relaxed(
			&cursor->cells[i].head,
			TAPIO_HEAD(LARGE / 2, TAPIO_SLOT_INCARNATION(slot), 0));
	tpi_store_relaxed(&cursor->takeovers, UINT32_MAX);
	tpi_store_relaxed(&cursor->faults, UINT32_MAX);
}

/* The producers of these lanes are this process, which does nothing meanwhile. */
static void enlarge(void)
{
	struct tapio_shm_broker *broker =
		check_world_writable(&w, w.inspect->catalog.broker);
	uint64_t *words = &broker->hellos;

	for (uint32_t c = 0; c < CHANNELS; c++) {
		const struct tpi_inspect_channel *channel =
			&w.inspect->channels[c];

		ck_assert_uint_gt(channel->channel.lane_count, 0);
		for (uint32_t i = 0; i < channel->channel.lane_count; i++) {
			enlarge_lane(channel->channel.lanes[i].shm, i);
			enlarge_cursor(&channel->cursors[0].cursors[i],
				       tpi_inspect_groups(w.inspect, c));
		}
	}
	for (int i = 0; i < TAPIO_BROKER_COUNTER_COUNT; i++)
		tpi_store_relaxed(&words[i], UINT64_MAX);
	tpi_store_relaxed(&broker->restarts, UINT32_MAX);
	tpi_store_relaxed(&broker->clock_error_ns, UINT64_MAX);
	memset(broker->rseq_reason, 'r', sizeof(broker->rseq_reason));
	memset(broker->version, 'v', sizeof(broker->version));
}

static void setup(void)
{
	int status;

	test_broker_start(&w.broker, config);
	open_clients();
	kill(w.broker.daemon.pid, SIGSTOP);
	ck_assert_int_eq(waitpid(w.broker.daemon.pid, &status, WUNTRACED),
			 w.broker.daemon.pid);
	check_world_look(&w);
	enlarge();
	snprintf(pid, sizeof(pid), "%d", (int)w.broker.daemon.pid);
}

static void teardown(void)
{
	command_free(&run);
	tpi_inspect_close(w.inspect);
	w.inspect = NULL;
	test_broker_kill(&w.broker);
	for (int i = 0; i < CHANNELS; i++) {
		tapio_producer_close(producers[i]);
		tapio_consumer_close(consumers[i]);
	}
	test_broker_stop(&w.broker);
}

static void show(const char *part, const char *option)
{
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, part, "--all", option,
		    NULL);
	ck_assert_msg(run.status == 1, "%s: status %d: %s", part, run.status,
		      run.err);
}

/* Whether it stands there between blanks, since titles are parts of others. */
static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length)
		if ((at == text || strchr(" \n", at[-1])) &&
		    strchr(" \n", at[length]))
			return true;
	return false;
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;

	while (*text) {
		size_t length = strcspn(text, "\n");

		if (length > longest)
			longest = length;
		text += length + (text[length] == '\n');
	}
	return longest;
}

static void assert_fits(const char *part, const char *const *titles)
{
	show(part, NULL);
	ck_assert_msg(longest_line(run.out) <= WIDTH, "%s: %zu\n%s", part,
		      longest_line(run.out), run.out);
	for (int i = 0; titles[i]; i++)
		ck_assert_msg(has_word(run.out, titles[i]), "%s: %s\n%s", part,
			      titles[i], run.out);
}

START_TEST(no_line_is_longer_than_80_and_what_matters_is_there)
{
	for (int i = 0; i < PARTS; i++)
		assert_fits(parts[i].part, parts[i].titles);
}
END_TEST

/* The names are told apart, by their ends, and the counts by their sizes. */
START_TEST(what_is_cut_is_marked)
{
	show("lanes", NULL);
	ck_assert_ptr_nonnull(strstr(run.out, "-all1 "));
	ck_assert_ptr_nonnull(strstr(run.out, "-all3 "));
	ck_assert_ptr_nonnull(strstr(run.out, ".."));
	ck_assert_ptr_nonnull(strstr(run.out, "280T"));
	ck_assert_ptr_nonnull(strstr(run.out, "more columns with --wide"));
}
END_TEST

START_TEST(wide_has_all_columns_and_all_digits)
{
	char number[32];

	show("lanes", "--wide");
	ck_assert_uint_gt(longest_line(run.out), WIDTH);
	ck_assert_ptr_nonnull(strstr(run.out, LONG "3 "));
	ck_assert_ptr_null(strstr(run.out, "with --wide"));
	snprintf(number, sizeof(number), " %llu ",
		 (unsigned long long)(LARGE - 64));
	ck_assert_ptr_nonnull(strstr(run.out, number));
	ck_assert(has_word(run.out, "OWNER"));
	show("groups", "--wide");
	ck_assert_ptr_nonnull(strstr(run.out, " " LONG "g "));
	ck_assert(has_word(run.out, "SKIPPED"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_columns");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, no_line_is_longer_than_80_and_what_matters_is_there);
	tcase_add_test(c, what_is_cut_is_marked);
	tcase_add_test(c, wide_has_all_columns_and_all_digits);
	return check_run_case("shmstat_columns", c);
}
