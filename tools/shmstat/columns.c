/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key, title, format, rank. A column of rank 1 is always there, the others go where the
 * table would be wider than 80 characters, those of the highest rank first.
 */
#include "tools/shmstat/columns.h"

const struct column summary_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"lanes", "LANES", COLUMN_COUNT, 3},
	{"producers", "PROD", COLUMN_COUNT, 2},
	{"groups", "GROUPS", COLUMN_COUNT, 1},
	{"consumers", "CONS", COLUMN_COUNT, 2},
	{"published", "PUBLISHED", COLUMN_COUNT, 1},
	{"dropped_total", "DROPPED", COLUMN_COUNT, 1},
	{"lost", "LOST", COLUMN_COUNT, 1},
	{"in_flight", "UNREAD", COLUMN_COUNT, 1},
	{"fullest_percent", "FULL%", COLUMN_PLAIN, 2},
	{"faults", "FAULTS", COLUMN_PLAIN, 1},
	{0},
};

const struct column broker_columns[] = {
	{"pid", "pid", COLUMN_PLAIN, 1},
	{"process", "process", COLUMN_PLAIN, 1},
	{"version", "version", COLUMN_PLAIN, 1},
	{"abi", "layout", COLUMN_PLAIN, 1},
	{"state", "state", COLUMN_PLAIN, 1},
	{"uptime_s", "uptime", COLUMN_SECONDS, 1},
	{"instance", "instance", COLUMN_PLAIN, 1},
	{"keeper", "keeper", COLUMN_PLAIN, 1},
	{"keeper_pid", "keeper's pid", COLUMN_PLAIN, 1},
	{"budget_bytes", "budget", COLUMN_BYTES, 1},
	{"used_bytes", "used", COLUMN_BYTES, 1},
	{"rseq", "rseq", COLUMN_PLAIN, 1},
	{"rseq_reason", "rseq reason", COLUMN_PLAIN, 1},
	{"features", "features", COLUMN_PLAIN, 1},
	{"cpus_possible", "possible CPUs", COLUMN_PLAIN, 1},
	{"nodes", "nodes", COLUMN_PLAIN, 1},
	{"clients_max", "clients at most", COLUMN_PLAIN, 1},
	{"clock_error_ns", "clock error", COLUMN_NS, 1},
	{"clock_steps", "clock was set", COLUMN_PLAIN, 1},
	{"restarts", "restarts", COLUMN_PLAIN, 1},
	{"counters", "counters", COLUMN_PLAIN, 1},
	{0},
};

const struct column channel_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"state", "STATE", COLUMN_PLAIN, 1},
	{"lanes", "LANES", COLUMN_COUNT, 1},
	{"isolation", "ISOLATION", COLUMN_PLAIN, 2},
	{"nodes", "NODES", COLUMN_PLAIN, 3},
	{"full", "FULL", COLUMN_PLAIN, 1},
	{"wait_ns", "WAIT", COLUMN_NS, 5},
	{"stamp", "STAMP", COLUMN_PLAIN, 2},
	{"attached", "ATTACHED", COLUMN_COUNT, 1},
	{"unread", "UNREAD", COLUMN_COUNT, 1},
	{"producers_max", "PRODUCERS", COLUMN_PLAIN, 5},
	{"generation", "GENERATION", COLUMN_PLAIN, 5},
	{"drain", "DRAIN", COLUMN_PLAIN, 5},
	{"error", "ERROR", COLUMN_PLAIN, 5},
	{0},
};

/* `indices` and `count` are those of rows that are equal else (rows.c). */
const struct column segment_columns[] = {
	{"kind", "KIND", COLUMN_PLAIN, 1},
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"indices", "INDEX", COLUMN_PLAIN, 1},
	{"count", "COUNT", COLUMN_COUNT, 2},
	{"length_bytes", "LENGTH", COLUMN_BYTES, 1},
	{"page_bytes", "PAGE", COLUMN_BYTES, 3},
	{"huge_bytes", "HUGE", COLUMN_BYTES, 2},
	{"rung", "RUNG", COLUMN_PLAIN, 1},
	{"rungs_failed", "NOT REACHED", COLUMN_PLAIN, 2},
	{"node", "NODE", COLUMN_PLAIN, 2},
	{"placement", "PLACEMENT", COLUMN_PLAIN, 1},
	{"misplaced_pages", "MISPLACED", COLUMN_COUNT, 5},
	{"placement_error", "WHY", COLUMN_PLAIN, 4},
	{"epoch", "EPOCH", COLUMN_PLAIN, 5},
	{"seals", "SEALS", COLUMN_PLAIN, 5},
	{0},
};

const struct column lane_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"class", "CLASS", COLUMN_PLAIN, 1},
	{"lane", "LANE", COLUMN_PLAIN, 1},
	{"cpu", "CPU", COLUMN_PLAIN, 1},
	{"node", "NODE", COLUMN_PLAIN, 4},
	{"owner", "OWNER", COLUMN_PLAIN, 4},
	{"capacity", "BLOCKS", COLUMN_COUNT, 2},
	{"block_bytes", "OF", COLUMN_BYTES, 4},
	{"used", "USED", COLUMN_COUNT, 1},
	{"high_water", "PEAK", COLUMN_COUNT, 3},
	{"published", "PUBLISHED", COLUMN_COUNT, 1},
	{"held", "HELD", COLUMN_COUNT, 3},
	{"dropped_total", "DROPPED", COLUMN_COUNT, 1},
	{"dropped", "BY CAUSE", COLUMN_PLAIN, 2},
	{"faults", "FAULTS", COLUMN_PLAIN, 1},
	{0},
};

const struct column group_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"slot", "SLOT", COLUMN_PLAIN, 5},
	{"group", "GROUP", COLUMN_PLAIN, 1},
	{"state", "STATE", COLUMN_PLAIN, 3},
	{"policy", "POLICY", COLUMN_PLAIN, 2},
	{"in_force", "IN FORCE", COLUMN_PLAIN, 5},
	{"members", "MEMB", COLUMN_COUNT, 1},
	{"delivered", "DELIVERED", COLUMN_COUNT, 1},
	{"in_flight", "UNREAD", COLUMN_COUNT, 1},
	{"lost", "LOST", COLUMN_COUNT, 1},
	{"skipped", "SKIPPED", COLUMN_COUNT, 4},
	{"lag_max", "LAG", COLUMN_COUNT, 5},
	{"high_water", "PEAK", COLUMN_COUNT, 3},
	{"lanes_leased", "LEASED", COLUMN_COUNT, 5},
	{"takeovers", "TAKEN", COLUMN_COUNT, 5},
	{"latency_ns/p50", "P50", COLUMN_NS, 4},
	{"latency_ns/p99", "P99", COLUMN_NS, 2},
	{"latency_ns/max", "MAX", COLUMN_NS, 5},
	{"faults", "FAULTS", COLUMN_PLAIN, 1},
	{0},
};

const struct column client_columns[] = {
	{"id", "ID", COLUMN_PLAIN, 4},
	{"pid", "PID", COLUMN_PLAIN, 1},
	{"comm", "COMMAND", COLUMN_PLAIN, 1},
	{"uid", "UID", COLUMN_PLAIN, 2},
	{"role", "ROLE", COLUMN_PLAIN, 1},
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"group", "GROUP", COLUMN_PLAIN, 1},
	{"lanes", "LANES", COLUMN_COUNT, 3},
	{"in_hand", "IN HAND", COLUMN_COUNT, 3},
	{"unread", "UNREAD", COLUMN_COUNT, 1},
	{"polls", "POLLS", COLUMN_PLAIN, 4},
	{"rseq", "RSEQ", COLUMN_PLAIN, 3},
	{"state", "STATE", COLUMN_PLAIN, 5},
	{"process", "PROCESS", COLUMN_PLAIN, 1},
	{0},
};

const struct column ledger_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"class", "CLASS", COLUMN_PLAIN, 2},
	{"lane", "LANE", COLUMN_PLAIN, 1},
	{"cpu", "CPU", COLUMN_PLAIN, 2},
	{"group", "GROUP", COLUMN_PLAIN, 1},
	{"start", "START", COLUMN_COUNT, 5},
	{"published", "PUBLISHED", COLUMN_COUNT, 1},
	{"delivered", "DELIVERED", COLUMN_COUNT, 1},
	{"skipped", "SKIPPED", COLUMN_COUNT, 2},
	{"lost", "LOST", COLUMN_COUNT, 1},
	{"in_flight", "UNREAD", COLUMN_COUNT, 1},
	{"lease", "LEASE", COLUMN_PLAIN, 5},
	{"dropped", "DROPPED", COLUMN_PLAIN, 4},
	{"faults", "FAULTS", COLUMN_PLAIN, 1},
	{0},
};

const struct column counter_columns[] = {
	{"of", "OF", COLUMN_PLAIN, 1},
	{"counter", "COUNTER", COLUMN_PLAIN, 1},
	{"value", "VALUE", COLUMN_COUNT, 1},
	{"unit", "UNIT", COLUMN_PLAIN, 1},
	{"type", "TYPE", COLUMN_PLAIN, 5},
	{"meaning", "MEANING", COLUMN_PLAIN, 5},
	{0},
};

const struct column latency_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"group", "GROUP", COLUMN_PLAIN, 1},
	{"latency_ns/count", "EVENTS", COLUMN_COUNT, 2},
	{"latency_ns/p50", "P50", COLUMN_NS, 1},
	{"latency_ns/p90", "P90", COLUMN_NS, 3},
	{"latency_ns/p99", "P99", COLUMN_NS, 1},
	{"latency_ns/p99.9", "P99.9", COLUMN_NS, 2},
	{"latency_ns/max", "MAX", COLUMN_NS, 1},
	{"latency_ns/mean", "MEAN", COLUMN_NS, 2},
	{0},
};

const struct column layout_columns[] = {
	{"segment", "SEGMENT", COLUMN_PLAIN, 1},
	{"channel", "CHANNEL", COLUMN_PLAIN, 1},
	{"index", "INDEX", COLUMN_PLAIN, 2},
	{"what", "WHAT", COLUMN_PLAIN, 1},
	{"class", "CLASS", COLUMN_PLAIN, 1},
	{"offset_bytes", "OFFSET", COLUMN_COUNT, 3},
	{"count", "COUNT", COLUMN_COUNT, 1},
	{"each_bytes", "EACH", COLUMN_BYTES, 1},
	{"total_bytes", "TOTAL", COLUMN_BYTES, 1},
	{0},
};
