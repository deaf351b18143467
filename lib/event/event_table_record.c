/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of events about files, Kubernetes objects, log records and metrics. See
 * event_table_process.c.
 */
#include "lib/event/event_table.h"

/* clang-format off */
static const struct tapio_event_name file_operations[] = {
	{ TAPIO_FILE_OPEN, "open" },
	{ TAPIO_FILE_CREATE, "create" },
	{ TAPIO_FILE_READ, "read" },
	{ TAPIO_FILE_WRITE, "write" },
	{ TAPIO_FILE_CLOSE, "close" },
	{ TAPIO_FILE_DELETE, "delete" },
	{ TAPIO_FILE_RENAME, "rename" },
	{ TAPIO_FILE_LINK, "link" },
	{ TAPIO_FILE_EXECUTE, "execute" },
	{ TAPIO_FILE_MODE, "mode" },
	{ TAPIO_FILE_OWNER, "owner" },
	{ TAPIO_FILE_TRUNCATE, "truncate" },
	{ TAPIO_FILE_MOUNT, "mount" },
};

#define S tapio_event_file_access
static const struct tapio_event_field file_access[] = {
	TPI_NAMED(operation, ENUM8, ZERO, file_operations,
		  "tapio.file.operation", "kind of operation"),
	TPI_FIELD(path, STRING, ZERO, "",
		  "file.path", NULL, "the file"),
	TPI_FIELD(target, STRING, ZERO, "",
		  "tapio.file.target", NULL,
		  "its new name, or the target of a link"),
	TPI_FIELD(error, I32, ONES, "",
		  "tapio.file.error", NULL,
		  "errno of the operation; 0: none"),
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name of the process"),
	TPI_FIELD(inode, U64, ZERO, "",
		  "file.inode", NULL, "number of the file in its device"),
	TPI_FIELD(size_bytes, U64, ONES, "By",
		  "file.size", NULL, "length of the file"),
	TPI_FIELD(moved_bytes, U64, ONES, "By",
		  "tapio.file.moved", NULL, "read or written"),
	TPI_FIELD(latency_ns, U64, ONES, "ns",
		  "tapio.file.latency", NULL, "time that it took"),
	TPI_FIELD(device_major, U32, ONES, "",
		  "tapio.file.device.major", NULL, "device that it is on"),
	TPI_FIELD(device_minor, U32, ONES, "",
		  "tapio.file.device.minor", NULL, "device that it is on"),
	TPI_FIELD(mode, U32, ONES, "",
		  "file.mode", NULL, "type and permissions"),
	TPI_FIELD(open_flags, U32, ONES, "",
		  "tapio.file.open_flags", NULL, "O_* of this architecture"),
	TPI_FIELD(owner_uid, U32, ONES, "",
		  "file.owner.id", NULL, "owner of the file"),
	TPI_FIELD(owner_gid, U32, ONES, "",
		  "file.group.id", NULL, "group of the file"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container of the process"),
};
#undef S

static const struct tapio_event_name object_operations[] = {
	{ TAPIO_OBJECT_ADDED, "added" },
	{ TAPIO_OBJECT_MODIFIED, "modified" },
	{ TAPIO_OBJECT_DELETED, "deleted" },
	{ TAPIO_OBJECT_EVENT, "event" },
};

#define S tapio_event_kubernetes_object
static const struct tapio_event_field kubernetes_object[] = {
	TPI_NAMED(operation, ENUM8, ZERO, object_operations,
		  "tapio.kubernetes.operation", "kind of change"),
	TPI_FIELD(kind, STRING, ZERO, "",
		  "tapio.kubernetes.kind", NULL, "its kind"),
	TPI_TITLED("namespace", name_space, STRING, ZERO, "",
		   "k8s.namespace.name", "its namespace"),
	TPI_FIELD(name, STRING, ZERO, "",
		  "tapio.kubernetes.name", NULL, "its name"),
	TPI_FIELD(phase, STRING, ZERO, "",
		  "tapio.kubernetes.phase", NULL, "phase of its life"),
	TPI_FIELD(reason, STRING, ZERO, "",
		  "tapio.kubernetes.reason", NULL, "why, in one word"),
	TPI_FIELD(message, STRING, ZERO, "",
		  "Body", NULL, "why, for people"),
	TPI_FIELD(node, STRING, ZERO, "",
		  "k8s.node.name", NULL, "node that it is on"),
	TPI_FIELD(cluster, STRING, ZERO, "",
		  "k8s.cluster.name", NULL, "the cluster"),
	TPI_FIELD(generation, U64, ONES, "",
		  "tapio.kubernetes.generation", NULL,
		  "how often its specification changed"),
	TPI_TITLED("created", created_ns, TIME, ZERO, "ns",
		   "tapio.kubernetes.created", "when it was made"),
	TPI_FIELD(restarts, U32, ONES, "",
		  "tapio.kubernetes.restarts", NULL,
		  "restarts of a pod's containers"),
	TPI_FIELD(api_version, STRING, ZERO, "",
		  "tapio.kubernetes.api_version", NULL,
		  "group and version of its kind"),
	TPI_FIELD(object_uid, STRING, ZERO, "",
		  "tapio.kubernetes.uid", NULL, "its unique id"),
	TPI_FIELD(resource_version, STRING, ZERO, "",
		  "tapio.kubernetes.resource_version", NULL,
		  "version of its state"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container of the object"),
	TPI_FIELD(labels, ATTRIBUTES, ZERO, "",
		  "tapio.kubernetes.label", NULL, "its labels"),
};
#undef S

#define FACILITY(code, name) { TAPIO_FACILITY(code), name }
static const struct tapio_event_name facilities[] = {
	FACILITY(0, "kern"),      FACILITY(1, "user"),
	FACILITY(2, "mail"),      FACILITY(3, "daemon"),
	FACILITY(4, "auth"),      FACILITY(5, "syslog"),
	FACILITY(6, "lpr"),       FACILITY(7, "news"),
	FACILITY(8, "uucp"),      FACILITY(9, "cron"),
	FACILITY(10, "authpriv"), FACILITY(11, "ftp"),
	FACILITY(16, "local0"),   FACILITY(17, "local1"),
	FACILITY(18, "local2"),   FACILITY(19, "local3"),
	FACILITY(20, "local4"),   FACILITY(21, "local5"),
	FACILITY(22, "local6"),   FACILITY(23, "local7"),
};

#define S tapio_event_log
static const struct tapio_event_field log_record[] = {
	TPI_FIELD(identifier, STRING, ZERO, "",
		  "tapio.log.identifier", NULL, "name that the writer gives itself"),
	TPI_FIELD(body, STRING, ZERO, "",
		  "Body", NULL, "the message"),
	TPI_FIELD(unit, STRING, ZERO, "",
		  "tapio.log.unit", NULL, "systemd unit of its writer"),
	TPI_FIELD(severity_text, STRING, ZERO, "",
		  "SeverityText", NULL, "severity as its writer spelt it"),
	TPI_NAMED(facility, ENUM16, ZERO, facilities,
		  "tapio.log.facility", "syslog facility"),
	TPI_FIELD(host, STRING, ZERO, "",
		  "host.name", NULL, "host of its writer"),
	TPI_FIELD(monotonic_ns, U64, ONES, "ns",
		  "tapio.log.monotonic", NULL,
		  "CLOCK_MONOTONIC of its writer"),
	TPI_FIELD(boot_id, ID, ZERO, "",
		  "tapio.log.boot_id", NULL, "boot that this clock is of"),
	TPI_FIELD(file, STRING, ZERO, "",
		  "log.file.path", NULL, "file that it was read from"),
	TPI_FIELD(code_file, STRING, ZERO, "",
		  "code.file.path", NULL, "source file that wrote it"),
	TPI_FIELD(code_function, STRING, ZERO, "",
		  "code.function.name", NULL, "function that wrote it"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container of its writer"),
	TPI_FIELD(cursor, STRING, ZERO, "",
		  "log.record.uid", NULL, "finds it again at its source"),
	TPI_FIELD(attributes, ATTRIBUTES, ZERO, "",
		  "Attributes", NULL, "further attributes of the writer"),
	TPI_FIELD(code_line, U32, ZERO, "",
		  "code.line.number", NULL, "line that wrote it"),
};
#undef S

static const struct tapio_event_name instruments[] = {
	{ TAPIO_METRIC_GAUGE, "gauge" },
	{ TAPIO_METRIC_CUMULATIVE, "cumulative" },
	{ TAPIO_METRIC_DELTA, "delta" },
};

#define S tapio_event_metric
static const struct tapio_event_field metric[] = {
	TPI_FIELD(name, STRING, ZERO, "",
		  "tapio.metric.name", NULL, "the metric"),
	TPI_FIELD(value, F64, ONES, "",
		  "tapio.metric.value", NULL, "value, if it is a fraction"),
	TPI_FIELD(value_integer, I64, ONES, "",
		  "tapio.metric.value_integer", NULL,
		  "value, if it is an integer"),
	TPI_FIELD(unit, STRING, ZERO, "",
		  "tapio.metric.unit", NULL, "unit of its value (UCUM)"),
	TPI_NAMED(instrument, ENUM8, ZERO, instruments,
		  "tapio.metric.instrument", "kind of the value"),
	TPI_FIELD(attributes, ATTRIBUTES, ZERO, "",
		  "Attributes", NULL, "attributes that identify its series"),
	TPI_TITLED("start", start_ns, TIME, ZERO, "ns",
		   "tapio.metric.start", "since when a sum counts"),
	TPI_FIELD(monotonic, BOOL, ONES, "",
		  "tapio.metric.monotonic", NULL, "the sum never falls"),
};
#undef S

static const struct tapio_event_type types[] = {
	TPI_TYPE(TAPIO_EVENT_FILE_ACCESS, "file.access",
		 tapio_event_file_access, file_access,
		 "a process did something to a file"),
	TPI_TYPE(TAPIO_EVENT_KUBERNETES_OBJECT, "kubernetes.object",
		 tapio_event_kubernetes_object, kubernetes_object,
		 "a Kubernetes object changed"),
	TPI_TYPE(TAPIO_EVENT_LOG, "log",
		 tapio_event_log, log_record,
		 "one record of a log"),
	TPI_TYPE(TAPIO_EVENT_METRIC, "metric",
		 tapio_event_metric, metric,
		 "one sample of a metric"),
};
/* clang-format on */

const struct tpi_event_family tpi_event_records = {types, TPI_COUNT(types)};
