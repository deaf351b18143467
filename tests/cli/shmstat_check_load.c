/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapio-shmstat check` on a system that works: producers and consumers that are killed and
 * stopped all the time, and groups that come and go, while hundreds of checks look. Not
 * one may find anything: neither broken, nor suspicious, nor unsettled.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check_world.h"
#include "tests/check_main.h"
#include "tools/inspect/snapshot.h"

#define CHECKS    300
#define ANSWER_NS INT64_C(30000000000) /* the machine may be busy */
#define SWITCHES  7                    /* checks from one group to the next */

static const char config[] =
	"hugepages = never\n"
	"channel \"load\" {\n"
	"	full = wait\n"
	"	class \"main\" { block = 256 blocks = 64 side_lanes = 6 "
	"side_blocks = 64 }\n"
	"	class \"large\" { block = 1024 blocks = 1024 side_lanes = 6 "
	"side_blocks = 16 }\n"
	"}\n";

static struct test_broker broker;
static struct running load;
static struct tpi_inspect *inspect;

static void setup(void)
{
	struct tpi_inspect_options options = {.timeout_ns = ANSWER_NS};
	char why[512];

	test_broker_start(&broker, config);
	options.socket = broker.socket;
	ck_assert_msg(!tpi_inspect_open(&inspect, &options, why, sizeof(why)),
		      "%s", why);
}

static void teardown(void)
{
	tpi_inspect_close(inspect);
	test_broker_stop(&broker);
}

/* Until it publishes. */
static void wait_for_load(void)
{
	const struct tpi_channel *channel = &inspect->channels[0].channel;
	uint64_t published = 0;

	for (int ms = 0; ms < 30000 && published < 10000; ms++) {
		published = 0;
		for (uint32_t i = 0; i < channel->lane_count; i++)
			published += TAPIO_STATE_TAIL(tpi_lane_peek(
					     &channel->lanes[i])) -
				     channel->lanes[i].mask - 1;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	ck_assert_uint_ge(published, 10000);
}

static struct tapio_consumer *join(int n)
{
	static const uint32_t policies[] = {TAPIO_GROUP_LOSSY,
					    TAPIO_GROUP_UNTIL};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker),
			   .answer_ns = ANSWER_NS},
		.policy = policies[n % 2],
	};
	struct tapio_view views[8];
	struct tapio_consumer *consumer;
	char name[32];

	snprintf(name, sizeof(name), "guest-%d", n % 3);
	options.group = n % 5 ? name : NULL;
	ck_assert_int_eq(tapio_consumer_open(&consumer, "load", &options), 0);
	ck_assert_int_ge(tapio_poll(consumer, views, 8, 0), 0);
	/* It may have been overrun. */
	ck_assert_int_ge(tapio_release(consumer), 0);
	return consumer;
}

static void check_once(void)
{
	const struct tpi_check_options options = {
		.patience_ns = 2 * TPI_CHECK_PATIENCE_NS,
		.gap_ns = TPI_CHECK_GAP_NS,
		.processes = true,
	};
	struct tpi_check_report report;

	ck_assert_int_eq(tpi_check(inspect, &options, &report), 0);
	check_world_expect_clean(inspect, &report);
	tpi_check_free(&report);
}

static void start_load(const char *mode)
{
	running_start(&load, "tapio-load", "--json", "--socket", broker.socket,
		      "--channel", "load", "-d", "3600s", "-p", "3", "-m", mode,
		      "-b", "8", "--groups", "2", "--members", "2", "--size",
		      "64..900", "--kill", "100000", "--kill-consumers",
		      "100000", "--stop", "100000", NULL);
	wait_for_load();
}

START_TEST(a_system_under_load_is_never_called_broken)
{
	static const char *const modes[] = {"mix", "reserve", "batch"};
	int checks = CHECK_SANITIZED ? CHECKS / 4 : CHECKS;
	struct tapio_consumer *guest = NULL;

	start_load(modes[_i]);
	for (int n = 0; n < checks; n++) {
		if (n % SWITCHES == 0) {
			tapio_consumer_close(guest);
			guest = join(n / SWITCHES);
		}
		check_once();
	}
	tapio_consumer_close(guest);
	running_stop(&load, SIGTERM);
	close(load.err);
	check_once();
}
END_TEST

/* ---- snapshots -------------------------------------------------------------------- */

#define SNAPSHOTS 60

/* -ESTALE: a slot has got other memory since. */
static int take_snapshot(const char *file)
{
	const struct tpi_snapshot_options how = {.force = true};
	struct tpi_snapshot_report report;
	char why[512];
	int err = tpi_snapshot_write(inspect, file, &how, &report, why,
				     sizeof(why));

	ck_assert_msg(!err || err == -ESTALE, "%s", why);
	return err;
}

static void expect_ledgers(const struct tpi_inspect *look)
{
	uint32_t lanes = look->channels[0].channel.lane_count;
	struct tpi_ledger l;

	if (!(look->snapshot->facts.flags & TPI_SNAPSHOT_CATALOG_WHOLE))
		return;
	for (uint32_t lane = 0; lane < lanes; lane++) {
		if (!(tpi_snapshot_lane(look->snapshot, 0, lane) &
		      TPI_LANE_WHOLE))
			continue;
		for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			if (!tpi_inspect_ledger(look, 0, lane, slot, &l))
				ck_assert_msg(!(l.faults & ~TPI_FAULT_FOREIGN),
					      "lane %u, slot %u: %#x", lane,
					      slot, l.faults);
	}
}

static void check_snapshot(const char *file)
{
	const struct tpi_inspect_options options = {.file = file};
	struct tpi_check_report report;
	struct tpi_inspect *look;
	char text[1024];

	ck_assert_msg(!tpi_inspect_open(&look, &options, text, sizeof(text)),
		      "%s", text);
	ck_assert_int_eq(
		tpi_check(look, &(struct tpi_check_options){.processes = true},
			  &report),
		0);
	if (report.count)
		tpi_finding_print(look, &report.findings[0], text,
				  sizeof(text));
	ck_assert_msg(!report.of[TPI_BROKEN] && !report.of[TPI_SUSPICIOUS],
		      "%s", text);
	tpi_check_free(&report);
	expect_ledgers(look);
	tpi_inspect_close(look);
}

START_TEST(a_snapshot_under_load_shows_no_state_that_never_was)
{
	int left = CHECK_SANITIZED ? SNAPSHOTS / 4 : SNAPSHOTS;
	struct tpi_inspect_options options = {.timeout_ns = ANSWER_NS,
					      .socket = broker.socket};
	struct tapio_consumer *guest = NULL;
	char file[128];

	snprintf(file, sizeof(file), "%s/snapshot", broker.directory);
	start_load("mix");
	for (int n = 0; left; n++) {
		if (n % SWITCHES == 0) {
			tapio_consumer_close(guest);
			guest = join(n / SWITCHES);
		}
		if (!take_snapshot(file)) {
			check_snapshot(file);
			left--;
			continue;
		}
		tpi_inspect_close(inspect);
		ck_assert_int_eq(tpi_inspect_open(&inspect, &options, NULL, 0),
				 0);
	}
	tapio_consumer_close(guest);
	unlink(file);
	running_stop(&load, SIGTERM);
	close(load.err);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("load");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, a_system_under_load_is_never_called_broken, 0,
			    3);
	tcase_add_test(c, a_snapshot_under_load_shows_no_state_that_never_was);
	return check_run_case("shmstat_check_load", c);
}
