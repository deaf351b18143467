/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the header that all events share, and of severities. The order of
 * the rows is the order in which tools show them. Lengths and versions are not
 * shown.
 */
#include "lib/event/event_table.h"

/* clang-format off */
const struct tapio_event_name tpi_severity_names[TPI_SEVERITIES] = {
	{ TAPIO_SEVERITY_UNSET, "unset" },
	{ TAPIO_SEVERITY_TRACE, "trace" },
	{ TAPIO_SEVERITY_DEBUG, "debug" },
	{ TAPIO_SEVERITY_INFO, "info" },
	{ TAPIO_SEVERITY_NOTICE, "notice" },
	{ TAPIO_SEVERITY_WARNING, "warning" },
	{ TAPIO_SEVERITY_ERROR, "error" },
	{ TAPIO_SEVERITY_CRITICAL, "critical" },
	{ TAPIO_SEVERITY_ALERT, "alert" },
	{ TAPIO_SEVERITY_EMERGENCY, "emergency" },
};

const uint8_t tpi_severity_numbers[TPI_SEVERITIES] = {
	[TAPIO_SEVERITY_UNSET] = 0,     [TAPIO_SEVERITY_TRACE] = 1,
	[TAPIO_SEVERITY_DEBUG] = 5,     [TAPIO_SEVERITY_INFO] = 9,
	[TAPIO_SEVERITY_NOTICE] = 10,   [TAPIO_SEVERITY_WARNING] = 13,
	[TAPIO_SEVERITY_ERROR] = 17,    [TAPIO_SEVERITY_CRITICAL] = 18,
	[TAPIO_SEVERITY_ALERT] = 19,    [TAPIO_SEVERITY_EMERGENCY] = 21,
};

static const struct tapio_event_name sources[] = {
	{ TAPIO_SOURCE_APPLICATION, "application" },
	{ TAPIO_SOURCE_PROC, "proc" },
	{ TAPIO_SOURCE_EBPF, "ebpf" },
	{ TAPIO_SOURCE_JOURNALD, "journald" },
	{ TAPIO_SOURCE_SYSLOG, "syslog" },
	{ TAPIO_SOURCE_KMSG, "kmsg" },
	{ TAPIO_SOURCE_AUDIT, "audit" },
	{ TAPIO_SOURCE_FANOTIFY, "fanotify" },
	{ TAPIO_SOURCE_NETLINK, "netlink" },
	{ TAPIO_SOURCE_PERF, "perf" },
	{ TAPIO_SOURCE_SYSTEMD, "systemd" },
	{ TAPIO_SOURCE_CONTAINERS, "containers" },
	{ TAPIO_SOURCE_KUBERNETES, "kubernetes" },
	{ TAPIO_SOURCE_OTLP, "otlp" },
};

static const struct tapio_event_name flags[] = {
	{ TAPIO_EVENT_TRUNCATED, "truncated" },
	{ TAPIO_EVENT_EXISTING, "existing" },
	{ TAPIO_EVENT_TRACE_SAMPLED, "trace-sampled" },
};

#define S tapio_event
static const struct tapio_event_field header[] = {
	TPI_TITLED("time", time_ns, TIME, ZERO, "ns",
		   "Timestamp", "when it happened"),
	TPI_NAMED(severity, ENUM8, ZERO, tpi_severity_names,
		  "SeverityNumber", "how bad it is"),
	TPI_FIELD(type, TYPE, ZERO, "",
		  "EventName", NULL, "kind of the event, and so of its fields"),
	TPI_TITLED("observed", observed_ns, TIME, ZERO, "ns",
		   "ObservedTimestamp", "when the collector saw it"),
	TPI_NAMED(source, ENUM32, ZERO, sources,
		  "tapio.source", "where it was found"),
	TPI_NAMED(flags, FLAGS16, ZERO, flags,
		  "tapio.flags", "special properties"),
	TPI_FIELD(pid, U32, ZERO, "",
		  "process.pid", NULL, "process of the event"),
	TPI_FIELD(tid, U32, ZERO, "",
		  "tapio.process.tid", NULL, "thread of the event"),
	TPI_FIELD(uid, U32, ONES, "",
		  "process.user.id", NULL, "effective user of the process"),
	TPI_FIELD(gid, U32, ONES, "",
		  "tapio.process.gid", NULL, "effective group of the process"),
	TPI_FIELD(cgroup_id, U64, ZERO, "",
		  "tapio.cgroup.id", NULL, "inode of the process's cgroup"),
	TPI_FIELD(netns_inode, U64, ZERO, "",
		  "tapio.network.namespace", NULL, "network namespace"),
	TPI_FIELD(trace_id, ID, ZERO, "",
		  "TraceId", NULL, "W3C trace that it belongs to"),
	TPI_FIELD(span_id, ID, ZERO, "",
		  "SpanId", NULL, "span in that trace"),
};
#undef S
/* clang-format on */

const struct tapio_event_type tpi_event_header =
	TPI_TYPE(TAPIO_TYPE_DISCARD, "header", tapio_event, header,
		 "the part that all events have");
