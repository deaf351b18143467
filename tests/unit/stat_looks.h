/* SPDX-License-Identifier: Apache-2.0 */
/* Looks of tapio-shmstat that are made up, for the tests of what is shown of them. */
#ifndef TEST_STAT_LOOKS_H
#define TEST_STAT_LOOKS_H

#include <check.h>
#include <jansson.h>

/* The differences between two looks. */
struct made_look {
	const char *instance; /* NULL: "aaaaaaaaaaaa" */
	int pid;              /* 0: 100 */
	int epoch;            /* of the channel */
	int published, full;  /* of the lane of CPU 0 */
	int used;             /* of its 64 blocks */
	int delivered, lost, lag, incarnation;
	int lossy; /* producers do not heed the group */
};

/* One channel "events" with a class "main", lanes for CPUs 0 and 1, and a group "etl". */
static inline json_t *make_look(const struct made_look *m)
{
	json_t *look = json_pack(
		"{s:{s:i,s:s,s:s,s:f,s:i,s:s,s:s,s:s,s:{s:i}},s:b,s:i,"
		"s:[{s:s,s:i}],"
		"s:[{s:s,s:s,s:i,s:i,s:b,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:{s:i,s:i}}]}",
		"broker", "pid", m->pid ? m->pid : 100, "process", "running",
		"instance", m->instance ? m->instance : "aaaaaaaaaaaa",
		"uptime_s", 12.0, "restarts", m->pid ? 1 : 0, "version",
		"0.1.0", "abi", "0.6", "rseq", "proven", "counters", "hellos",
		7, "healthy", 1, "broken", 0, "channels", "channel", "events",
		"epoch", m->epoch, "lanes", "channel", "events", "class",
		"main", "lane", 0, "cpu", 0, "side", 0, "node", 0, "owner", 0,
		"capacity", 64, "block_bytes", 128, "used", m->used,
		"published", m->published, "held", 0, "dropped_total", m->full,
		"dropped", "full", m->full, "size", 0);
	json_t *lanes, *other;

	ck_assert_ptr_nonnull(look);
	lanes = json_object_get(look, "lanes");
	other = json_deep_copy(json_array_get(lanes, 0));
	json_object_set_new(other, "lane", json_integer(1));
	json_object_set_new(other, "cpu", json_integer(1));
	json_object_set_new(other, "published", json_integer(0));
	json_object_set_new(other, "used", json_integer(0));
	json_object_set_new(other, "dropped_total", json_integer(0));
	json_object_set_new(other, "dropped",
			    json_pack("{s:i,s:i}", "full", 0, "size", 0));
	json_array_append_new(lanes, other);
	json_object_set_new(
		look, "groups",
		json_pack("[{s:s,s:i,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,"
			  "s:i,s:{s:i,s:i,s:i,s:i,s:i,s:i}}]",
			  "channel", "events", "slot", 0, "group", "etl",
			  "policy", "until", "in_force",
			  m->lossy ? "lossy" : "until", "incarnation",
			  m->incarnation, "members", 1, "delivered",
			  m->delivered, "skipped", 0, "lost", m->lost,
			  "takeovers", 0, "in_flight", m->lag, "high_water", 48,
			  "latency_ns", "count", m->delivered, "p50", 1500,
			  "p90", 20000, "p99", 46000, "p99.9", 1234567, "max",
			  5000000));
	json_object_set_new(
		look, "ledger",
		json_pack("[{s:s,s:s,s:i,s:i,s:b,s:s,s:i,s:i,s:i,s:i,s:i,s:i,"
			  "s:i}]",
			  "channel", "events", "class", "main", "lane", 0,
			  "cpu", 0, "side", 0, "group", "etl", "slot", 0,
			  "published", m->published, "delivered", m->delivered,
			  "lost", m->lost, "in_flight", m->lag, "high_water",
			  48, "lease", 7));
	json_object_set_new(
		look, "clients",
		json_pack("[{s:i,s:i,s:s,s:i,s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:b,"
			  "s:n}]",
			  "id", 7, "pid", 4321, "comm", "reader", "uid", 1000,
			  "role", "consume", "channel", "events", "group",
			  "etl", "lanes", 2, "in_hand", 0, "unread", m->lag,
			  "process", "running", "alive", 1, "note"));
	ck_assert_ptr_nonnull(json_object_get(look, "clients"));
	return look;
}

#define SECOND_NS INT64_C(1000000000)

#endif
