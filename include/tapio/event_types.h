/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payloads that collectors share: one plain struct per type of event.
 *
 * A struct lies behind the header of its event (event.h draws the whole).
 * Within one header version a struct only grows, at its end: a reader takes
 * the fields that it knows, and a field that an older writer did not write
 * reads as unset.
 *
 * Every field has a value that means "not known" ("unset" in the tables of
 * docs/events.md): all bits set in counts and sizes, the smallest value in
 * signed numbers, NaN in fractions, 0 in enums, ids and ports, an empty
 * string. tapio_event_builder_init() sets it everywhere. So a collector fills
 * in only the fields that it knows, and a reader does not take a missing count
 * for zero. Units are in the names: _ns, _bytes. A plural implies _count.
 *
 * A field of type struct tapio_event_string refers to the event's string area.
 * tapio_event_builder_string() fills it in, and tapio_event_view_init() checks
 * it.
 */
#ifndef TAPIO_EVENT_TYPES_H
#define TAPIO_EVENT_TYPES_H

#include <tapio/abi.h>

/*
 * Types of events. 0 is TAPIO_TYPE_DISCARD. Up to 1023 they are named here or
 * kept for later versions, so an application's own types MUST be 1024 or more.
 */
#define TAPIO_EVENT_PROCESS_START      1 /* 1-31: processes */
#define TAPIO_EVENT_PROCESS_EXIT       2
#define TAPIO_EVENT_PROCESS_SAMPLE     3
#define TAPIO_EVENT_PROCESS_OOM        4
#define TAPIO_EVENT_PRESSURE           32 /* 32-63: the host's resources */
#define TAPIO_EVENT_NETWORK_INTERFACE  33
#define TAPIO_EVENT_DISK               34
#define TAPIO_EVENT_MEMORY             35
#define TAPIO_EVENT_BLOCK_IO           36
#define TAPIO_EVENT_LATENCY            37
#define TAPIO_EVENT_NETWORK_CONNECTION 64 /* 64-95: network */
#define TAPIO_EVENT_DNS                65
#define TAPIO_EVENT_FILE_ACCESS        96  /* 96-127: files */
#define TAPIO_EVENT_KUBERNETES_OBJECT  128 /* 128-159: orchestration */
#define TAPIO_EVENT_LOG                160 /* 160-191: telemetry */
#define TAPIO_EVENT_METRIC             161
#define TAPIO_EVENT_LOSS               162
#define TAPIO_EVENT_FINDING            192 /* 192-223: conclusions */
#define TAPIO_EVENT_RESERVED_MAX       1023
#define TAPIO_EVENT_CUSTOM_MIN         1024

/* The longest fields struct, known or an application's own. */
#define TAPIO_EVENT_FIELDS_MAX 256

/* A string, `offset` bytes into the string area. Length 0: unset. */
struct tapio_event_string {
	uint16_t offset;
	uint16_t length;
};
TAPIO_ASSERT_SIZE(tapio_event_string, 4);
TAPIO_ASSERT_OFFSET(tapio_event_string, offset, 0);
TAPIO_ASSERT_OFFSET(tapio_event_string, length, 2);

/* An address. Family 0: unset, 4: in the first four bytes, 6: in all. */
struct tapio_event_ip {
	uint32_t family;
	uint8_t bytes[16]; /* network order */
};
TAPIO_ASSERT_SIZE(tapio_event_ip, 20);
TAPIO_ASSERT_OFFSET(tapio_event_ip, family, 0);
TAPIO_ASSERT_OFFSET(tapio_event_ip, bytes, 4);

#define TAPIO_PROCESS_FORK 1 /* a copy of its parent */
#define TAPIO_PROCESS_EXEC 2 /* the pid executes another program */

/* A process began, or was there already (TAPIO_EVENT_EXISTING). */
struct tapio_event_process_start {
	uint64_t start_ns;    /* CLOCK_REALTIME */
	uint64_t start_ticks; /* /proc/PID/stat field 22: with pid unique */
	uint32_t ppid;
	uint32_t session_id;
	uint32_t group_id; /* process group */
	uint32_t args;     /* number of arguments */
	struct tapio_event_string comm;
	struct tapio_event_string executable;
	struct tapio_event_string command_line;
	struct tapio_event_string directory;
	struct tapio_event_string cgroup; /* path */
	struct tapio_event_string container_id;
	uint8_t operation; /* TAPIO_PROCESS_* */
	uint8_t reserved[7];
};
TAPIO_ASSERT_SIZE(tapio_event_process_start, 64);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, start_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, start_ticks, 8);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, ppid, 16);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, session_id, 20);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, group_id, 24);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, args, 28);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, comm, 32);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, executable, 36);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, command_line, 40);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, directory, 44);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, cgroup, 48);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, container_id, 52);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, operation, 56);
TAPIO_ASSERT_OFFSET(tapio_event_process_start, reserved, 57);

/* A process ended. Fields that only its parent can know may be unset. */
struct tapio_event_process_exit {
	uint64_t start_ns;
	uint64_t start_ticks;
	uint64_t duration_ns; /* since its start */
	uint64_t cpu_user_ns;
	uint64_t cpu_system_ns;
	uint64_t rss_max_bytes;
	uint32_t ppid;
	int32_t exit_code;
	uint32_t signal; /* that ended it (0: none) */
	struct tapio_event_string comm;
	struct tapio_event_string executable;
	struct tapio_event_string container_id;
};
TAPIO_ASSERT_SIZE(tapio_event_process_exit, 72);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, start_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, start_ticks, 8);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, duration_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, cpu_user_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, cpu_system_ns, 32);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, rss_max_bytes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, ppid, 48);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, exit_code, 52);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, signal, 56);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, comm, 60);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, executable, 64);
TAPIO_ASSERT_OFFSET(tapio_event_process_exit, container_id, 68);

#define TAPIO_PROCESS_RUNNING    1 /* R */
#define TAPIO_PROCESS_SLEEPING   2 /* S */
#define TAPIO_PROCESS_DISK_SLEEP 3 /* D */
#define TAPIO_PROCESS_STOPPED    4 /* T, t */
#define TAPIO_PROCESS_DEFUNCT    5 /* Z, X */
#define TAPIO_PROCESS_IDLE       6 /* I */

/* The resources that a process uses. Counters run since its start. */
struct tapio_event_process_sample {
	uint64_t start_ticks;
	uint64_t interval_ns;   /* that cpu_utilization is about */
	double cpu_utilization; /* 1 is one CPU, fully used */
	uint64_t cpu_user_ns;
	uint64_t cpu_system_ns;
	uint64_t rss_bytes;
	uint64_t virtual_bytes;
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t voluntary_switches;
	uint64_t involuntary_switches;
	uint64_t read_bytes; /* from storage */
	uint64_t write_bytes;
	uint32_t threads;
	uint32_t open_files;
	struct tapio_event_string comm;
	struct tapio_event_string container_id;
	uint8_t state; /* TAPIO_PROCESS_* */
	uint8_t reserved[7];
};
TAPIO_ASSERT_SIZE(tapio_event_process_sample, 128);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, start_ticks, 0);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, interval_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, cpu_utilization, 16);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, cpu_user_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, cpu_system_ns, 32);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, rss_bytes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, virtual_bytes, 48);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, minor_faults, 56);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, major_faults, 64);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, voluntary_switches, 72);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, involuntary_switches, 80);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, read_bytes, 88);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, write_bytes, 96);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, threads, 104);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, open_files, 108);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, comm, 112);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, container_id, 116);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, state, 120);
TAPIO_ASSERT_OFFSET(tapio_event_process_sample, reserved, 121);

/* The kernel ended a process (pid) because memory ran out, of the host or of a cgroup. */
struct tapio_event_process_oom {
	uint64_t virtual_bytes;
	uint64_t anonymous_bytes; /* resident */
	uint64_t file_bytes;
	uint64_t shared_bytes;
	uint64_t page_table_bytes;
	uint64_t swap_bytes;
	int32_t score_adjustment; /* oom_score_adj */
	uint32_t trigger_pid;     /* of the process that asked for memory */
	struct tapio_event_string comm;
	struct tapio_event_string trigger_comm;
	struct tapio_event_string cgroup; /* path */
	struct tapio_event_string container_id;
};
TAPIO_ASSERT_SIZE(tapio_event_process_oom, 72);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, virtual_bytes, 0);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, anonymous_bytes, 8);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, file_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, shared_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, page_table_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, swap_bytes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, score_adjustment, 48);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, trigger_pid, 52);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, comm, 56);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, trigger_comm, 60);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, cgroup, 64);
TAPIO_ASSERT_OFFSET(tapio_event_process_oom, container_id, 68);

#define TAPIO_PRESSURE_CPU    1
#define TAPIO_PRESSURE_MEMORY 2
#define TAPIO_PRESSURE_IO     3
#define TAPIO_PRESSURE_IRQ    4

/* Pressure stall information: of the host, or of a cgroup if one is named. */
struct tapio_event_pressure {
	double some_avg10; /* percent of time */
	double some_avg60;
	double some_avg300;
	double full_avg10;
	double full_avg60;
	double full_avg300;
	uint64_t some_total_us;
	uint64_t full_total_us;
	struct tapio_event_string cgroup; /* path */
	uint8_t resource;                 /* TAPIO_PRESSURE_* */
	uint8_t reserved[3];
};
TAPIO_ASSERT_SIZE(tapio_event_pressure, 72);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, some_avg10, 0);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, some_avg60, 8);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, some_avg300, 16);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, full_avg10, 24);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, full_avg60, 32);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, full_avg300, 40);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, some_total_us, 48);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, full_total_us, 56);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, cgroup, 64);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, resource, 68);
TAPIO_ASSERT_OFFSET(tapio_event_pressure, reserved, 69);

#define TAPIO_INTERFACE_UP      1
#define TAPIO_INTERFACE_DOWN    2
#define TAPIO_INTERFACE_DORMANT 3

/* Counters of a network interface, since it was made. */
struct tapio_event_network_interface {
	uint64_t interval_ns; /* since the previous event of this interface */
	uint64_t receive_bytes;
	uint64_t receive_packets;
	uint64_t receive_errors;
	uint64_t receive_dropped;
	uint64_t transmit_bytes;
	uint64_t transmit_packets;
	uint64_t transmit_errors;
	uint64_t transmit_dropped;
	uint64_t speed_bits; /* per second */
	struct tapio_event_string name;
	uint32_t index;
	uint32_t mtu_bytes;
	uint8_t state; /* TAPIO_INTERFACE_* */
	uint8_t reserved[3];
};
TAPIO_ASSERT_SIZE(tapio_event_network_interface, 96);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, interval_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, receive_bytes, 8);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, receive_packets, 16);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, receive_errors, 24);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, receive_dropped, 32);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, transmit_bytes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, transmit_packets, 48);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, transmit_errors, 56);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, transmit_dropped, 64);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, speed_bits, 72);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, name, 80);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, index, 84);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, mtu_bytes, 88);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, state, 92);
TAPIO_ASSERT_OFFSET(tapio_event_network_interface, reserved, 93);

/* Counters of a disk or partition, since boot. */
struct tapio_event_disk {
	uint64_t interval_ns; /* since the previous event of this device */
	uint64_t reads;
	uint64_t reads_merged;
	uint64_t read_bytes;
	uint64_t read_time_ns;
	uint64_t writes;
	uint64_t writes_merged;
	uint64_t write_bytes;
	uint64_t write_time_ns;
	uint64_t io_time_ns;
	uint32_t in_flight;
	uint32_t major;
	uint32_t minor;
	struct tapio_event_string device;
};
TAPIO_ASSERT_SIZE(tapio_event_disk, 96);
TAPIO_ASSERT_OFFSET(tapio_event_disk, interval_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_disk, reads, 8);
TAPIO_ASSERT_OFFSET(tapio_event_disk, reads_merged, 16);
TAPIO_ASSERT_OFFSET(tapio_event_disk, read_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_event_disk, read_time_ns, 32);
TAPIO_ASSERT_OFFSET(tapio_event_disk, writes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_disk, writes_merged, 48);
TAPIO_ASSERT_OFFSET(tapio_event_disk, write_bytes, 56);
TAPIO_ASSERT_OFFSET(tapio_event_disk, write_time_ns, 64);
TAPIO_ASSERT_OFFSET(tapio_event_disk, io_time_ns, 72);
TAPIO_ASSERT_OFFSET(tapio_event_disk, in_flight, 80);
TAPIO_ASSERT_OFFSET(tapio_event_disk, major, 84);
TAPIO_ASSERT_OFFSET(tapio_event_disk, minor, 88);
TAPIO_ASSERT_OFFSET(tapio_event_disk, device, 92);

/* Memory of the host, or of a cgroup if one is named, now. */
struct tapio_event_memory {
	uint64_t total_bytes; /* or the limit of the cgroup */
	uint64_t free_bytes;
	uint64_t available_bytes; /* without swapping */
	uint64_t anonymous_bytes;
	uint64_t cached_bytes; /* of files */
	uint64_t shared_bytes;
	uint64_t dirty_bytes;
	uint64_t slab_bytes;
	uint64_t kernel_stack_bytes;
	uint64_t page_table_bytes;
	uint64_t swap_total_bytes;
	uint64_t swap_free_bytes;
	struct tapio_event_string cgroup; /* path */
	uint8_t reserved[4];
};
TAPIO_ASSERT_SIZE(tapio_event_memory, 104);
TAPIO_ASSERT_OFFSET(tapio_event_memory, total_bytes, 0);
TAPIO_ASSERT_OFFSET(tapio_event_memory, free_bytes, 8);
TAPIO_ASSERT_OFFSET(tapio_event_memory, available_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_event_memory, anonymous_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_event_memory, cached_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_event_memory, shared_bytes, 40);
TAPIO_ASSERT_OFFSET(tapio_event_memory, dirty_bytes, 48);
TAPIO_ASSERT_OFFSET(tapio_event_memory, slab_bytes, 56);
TAPIO_ASSERT_OFFSET(tapio_event_memory, kernel_stack_bytes, 64);
TAPIO_ASSERT_OFFSET(tapio_event_memory, page_table_bytes, 72);
TAPIO_ASSERT_OFFSET(tapio_event_memory, swap_total_bytes, 80);
TAPIO_ASSERT_OFFSET(tapio_event_memory, swap_free_bytes, 88);
TAPIO_ASSERT_OFFSET(tapio_event_memory, cgroup, 96);
TAPIO_ASSERT_OFFSET(tapio_event_memory, reserved, 100);

#define TAPIO_BLOCK_READ    1
#define TAPIO_BLOCK_WRITE   2
#define TAPIO_BLOCK_FLUSH   3
#define TAPIO_BLOCK_DISCARD 4
#define TAPIO_BLOCK_OTHER   5

/* One request to a disk. The process is the one that made it, where it is known. */
struct tapio_event_block_io {
	uint64_t latency_ns; /* from the request to its end */
	uint64_t queue_ns;   /* of it, before the device got it */
	uint64_t sector;     /* of 512 bytes */
	uint64_t length_bytes;
	uint32_t major;
	uint32_t minor;
	int32_t error; /* errno (0: none) */
	struct tapio_event_string device;
	struct tapio_event_string comm;
	uint8_t operation; /* TAPIO_BLOCK_* */
	uint8_t reserved[3];
};
TAPIO_ASSERT_SIZE(tapio_event_block_io, 56);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, latency_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, queue_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, sector, 16);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, length_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, major, 32);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, minor, 36);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, error, 40);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, device, 44);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, comm, 48);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, operation, 52);
TAPIO_ASSERT_OFFSET(tapio_event_block_io, reserved, 53);

#define TAPIO_LATENCY_RUN_QUEUE 1 /* a task waited for a CPU */
#define TAPIO_LATENCY_BLOCK_IO  2 /* a request to a disk */

/*
 * How long something took, in an interval, by a histogram: its attributes are the upper
 * bounds of the buckets in ns (or "inf"), each with its count, in ascending order. Empty
 * buckets are left out.
 */
struct tapio_event_latency {
	uint64_t interval_ns;
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint32_t cpu; /* it is about this one. Unset: all */
	struct tapio_event_string histogram;
	struct tapio_event_string device;
	struct tapio_event_string cgroup; /* path */
	uint8_t subject;                  /* TAPIO_LATENCY_* */
	uint8_t reserved[7];
};
TAPIO_ASSERT_SIZE(tapio_event_latency, 56);
TAPIO_ASSERT_OFFSET(tapio_event_latency, interval_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_latency, count, 8);
TAPIO_ASSERT_OFFSET(tapio_event_latency, sum_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event_latency, max_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_latency, cpu, 32);
TAPIO_ASSERT_OFFSET(tapio_event_latency, histogram, 36);
TAPIO_ASSERT_OFFSET(tapio_event_latency, device, 40);
TAPIO_ASSERT_OFFSET(tapio_event_latency, cgroup, 44);
TAPIO_ASSERT_OFFSET(tapio_event_latency, subject, 48);
TAPIO_ASSERT_OFFSET(tapio_event_latency, reserved, 49);

#define TAPIO_CONNECTION_CONNECT    1
#define TAPIO_CONNECTION_ACCEPT     2
#define TAPIO_CONNECTION_LISTEN     3
#define TAPIO_CONNECTION_CLOSE      4
#define TAPIO_CONNECTION_CHANGE     5 /* of state */
#define TAPIO_CONNECTION_RESET      6
#define TAPIO_CONNECTION_RETRANSMIT 7

#define TAPIO_TRANSPORT_TCP  1
#define TAPIO_TRANSPORT_UDP  2
#define TAPIO_TRANSPORT_UNIX 3
#define TAPIO_TRANSPORT_PIPE 4
#define TAPIO_TRANSPORT_QUIC 5
#define TAPIO_TRANSPORT_SCTP 6

/* TCP states, as the kernel numbers them. */
#define TAPIO_TCP_ESTABLISHED  1
#define TAPIO_TCP_SYN_SENT     2
#define TAPIO_TCP_SYN_RECEIVED 3
#define TAPIO_TCP_FIN_WAIT_1   4
#define TAPIO_TCP_FIN_WAIT_2   5
#define TAPIO_TCP_TIME_WAIT    6
#define TAPIO_TCP_CLOSED       7
#define TAPIO_TCP_CLOSE_WAIT   8
#define TAPIO_TCP_LAST_ACK     9
#define TAPIO_TCP_LISTEN       10
#define TAPIO_TCP_CLOSING      11

/* Something happened to a connection. Counters run since it was opened. */
struct tapio_event_network_connection {
	uint64_t cookie; /* SO_COOKIE of the socket */
	uint64_t duration_ns;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t rtt_ns; /* smoothed */
	struct tapio_event_ip local;
	struct tapio_event_ip peer;
	uint16_t local_port;
	uint16_t peer_port;
	uint32_t retransmits;
	int32_t error; /* errno (0: none) */
	struct tapio_event_string comm;
	struct tapio_event_string container_id;
	struct tapio_event_string path; /* of a Unix socket */
	uint8_t operation;              /* TAPIO_CONNECTION_* */
	uint8_t transport;              /* TAPIO_TRANSPORT_* */
	uint8_t state;                  /* TAPIO_TCP_* */
	uint8_t state_before;           /* TAPIO_TCP_* */
};
TAPIO_ASSERT_SIZE(tapio_event_network_connection, 112);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, cookie, 0);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, duration_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, sent_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, received_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, rtt_ns, 32);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, local, 40);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, peer, 60);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, local_port, 80);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, peer_port, 82);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, retransmits, 84);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, error, 88);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, comm, 92);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, container_id, 96);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, path, 100);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, operation, 104);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, transport, 105);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, state, 106);
TAPIO_ASSERT_OFFSET(tapio_event_network_connection, state_before, 107);

#define TAPIO_DNS_QUERY  1
#define TAPIO_DNS_ANSWER 2

/* A DNS message. Types and codes are the protocol's own numbers. */
struct tapio_event_dns {
	uint64_t latency_ns; /* of an answer, since its query */
	struct tapio_event_ip client;
	struct tapio_event_ip server;
	uint16_t client_port;
	uint16_t server_port;
	uint16_t message_id;
	uint16_t question_type;
	uint16_t response_code;
	uint8_t operation;    /* TAPIO_DNS_* */
	uint8_t transport;    /* TAPIO_TRANSPORT_* */
	uint32_t ttl_seconds; /* least of the answers */
	struct tapio_event_string question;
	struct tapio_event_string answers; /* separated by one space */
	struct tapio_event_string comm;
	struct tapio_event_string container_id;
	struct tapio_event_string message; /* bytes, as on the wire */
	uint8_t reserved[4];
};
TAPIO_ASSERT_SIZE(tapio_event_dns, 88);
TAPIO_ASSERT_OFFSET(tapio_event_dns, latency_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_dns, client, 8);
TAPIO_ASSERT_OFFSET(tapio_event_dns, server, 28);
TAPIO_ASSERT_OFFSET(tapio_event_dns, client_port, 48);
TAPIO_ASSERT_OFFSET(tapio_event_dns, server_port, 50);
TAPIO_ASSERT_OFFSET(tapio_event_dns, message_id, 52);
TAPIO_ASSERT_OFFSET(tapio_event_dns, question_type, 54);
TAPIO_ASSERT_OFFSET(tapio_event_dns, response_code, 56);
TAPIO_ASSERT_OFFSET(tapio_event_dns, operation, 58);
TAPIO_ASSERT_OFFSET(tapio_event_dns, transport, 59);
TAPIO_ASSERT_OFFSET(tapio_event_dns, ttl_seconds, 60);
TAPIO_ASSERT_OFFSET(tapio_event_dns, question, 64);
TAPIO_ASSERT_OFFSET(tapio_event_dns, answers, 68);
TAPIO_ASSERT_OFFSET(tapio_event_dns, comm, 72);
TAPIO_ASSERT_OFFSET(tapio_event_dns, container_id, 76);
TAPIO_ASSERT_OFFSET(tapio_event_dns, message, 80);
TAPIO_ASSERT_OFFSET(tapio_event_dns, reserved, 84);

#define TAPIO_FILE_OPEN     1
#define TAPIO_FILE_CREATE   2
#define TAPIO_FILE_READ     3
#define TAPIO_FILE_WRITE    4
#define TAPIO_FILE_CLOSE    5
#define TAPIO_FILE_DELETE   6
#define TAPIO_FILE_RENAME   7
#define TAPIO_FILE_LINK     8
#define TAPIO_FILE_EXECUTE  9
#define TAPIO_FILE_MODE     10 /* chmod */
#define TAPIO_FILE_OWNER    11 /* chown */
#define TAPIO_FILE_TRUNCATE 12
#define TAPIO_FILE_MOUNT    13

/* A process did something to a file. */
struct tapio_event_file_access {
	uint64_t inode;
	uint64_t size_bytes;
	uint64_t moved_bytes; /* read or written */
	uint64_t latency_ns;
	uint32_t device_major;
	uint32_t device_minor;
	uint32_t mode;       /* type and permissions */
	uint32_t open_flags; /* O_* of this architecture */
	int32_t error;       /* errno (0: none) */
	uint32_t owner_uid;
	uint32_t owner_gid;
	struct tapio_event_string path;
	struct tapio_event_string target; /* new name, or what a link is to */
	struct tapio_event_string comm;
	struct tapio_event_string container_id;
	uint8_t operation; /* TAPIO_FILE_* */
	uint8_t reserved[3];
};
TAPIO_ASSERT_SIZE(tapio_event_file_access, 80);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, inode, 0);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, size_bytes, 8);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, moved_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, latency_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, device_major, 32);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, device_minor, 36);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, mode, 40);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, open_flags, 44);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, error, 48);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, owner_uid, 52);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, owner_gid, 56);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, path, 60);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, target, 64);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, comm, 68);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, container_id, 72);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, operation, 76);
TAPIO_ASSERT_OFFSET(tapio_event_file_access, reserved, 77);

#define TAPIO_OBJECT_ADDED    1
#define TAPIO_OBJECT_MODIFIED 2
#define TAPIO_OBJECT_DELETED  3
#define TAPIO_OBJECT_EVENT    4 /* an event that the cluster reported */

/* Kinds of such events. */
#define TAPIO_OBJECT_NORMAL  1
#define TAPIO_OBJECT_WARNING 2

/* A Kubernetes object changed. */
struct tapio_event_kubernetes_object {
	uint64_t generation;
	uint64_t created_ns; /* CLOCK_REALTIME */
	uint32_t restarts;   /* of a pod's containers */
	struct tapio_event_string api_version;
	struct tapio_event_string kind;
	struct tapio_event_string name_space;
	struct tapio_event_string name;
	struct tapio_event_string object_uid;
	struct tapio_event_string resource_version;
	struct tapio_event_string cluster;
	struct tapio_event_string node;
	struct tapio_event_string container_id;
	struct tapio_event_string phase;
	struct tapio_event_string reason;
	struct tapio_event_string message;
	struct tapio_event_string labels; /* attributes */
	uint8_t operation;                /* TAPIO_OBJECT_* */
	uint8_t event_kind; /* TAPIO_OBJECT_NORMAL, TAPIO_OBJECT_WARNING */
	struct tapio_event_string reporter;
	uint16_t container_count;
	uint64_t deleted_ns; /* when its deletion was asked for */
	uint64_t count;      /* how often the cluster saw this event */
	struct tapio_event_ip address; /* of a pod */
	/* attributes: */
	struct tapio_event_string containers; /* name to id */
	struct tapio_event_string cgroups; /* id of a container to cgroup id */
	struct tapio_event_string owners;  /* kind/name to uid */
	struct tapio_event_string regarding; /* an event: its object */
	struct tapio_event_string status;
	struct tapio_event_string object; /* all of it, JSON */
	uint8_t reserved[4];
};
TAPIO_ASSERT_SIZE(tapio_event_kubernetes_object, 144);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, generation, 0);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, created_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, restarts, 16);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, api_version, 20);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, kind, 24);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, name_space, 28);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, name, 32);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, object_uid, 36);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, resource_version, 40);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, cluster, 44);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, node, 48);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, container_id, 52);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, phase, 56);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, reason, 60);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, message, 64);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, labels, 68);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, operation, 72);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, event_kind, 73);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, reporter, 74);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, container_count, 78);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, deleted_ns, 80);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, count, 88);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, address, 96);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, containers, 116);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, cgroups, 120);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, owners, 124);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, regarding, 128);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, status, 132);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, object, 136);
TAPIO_ASSERT_OFFSET(tapio_event_kubernetes_object, reserved, 140);

/* Facilities of syslog, plus one. */
#define TAPIO_FACILITY(code) ((code) + 1)

/* One record of a log. */
struct tapio_event_log {
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC of its writer */
	uint8_t boot_id[16];
	struct tapio_event_string body;
	struct tapio_event_string severity_text; /* as its writer spelt it */
	struct tapio_event_string identifier;    /* of its writer */
	struct tapio_event_string unit;          /* of systemd */
	struct tapio_event_string host;
	struct tapio_event_string file; /* that it was read from */
	struct tapio_event_string code_file;
	struct tapio_event_string code_function;
	struct tapio_event_string container_id;
	struct tapio_event_string cursor; /* to find it again at its source */
	struct tapio_event_string attributes;
	uint32_t code_line;
	uint16_t facility;                   /* TAPIO_FACILITY() */
	struct tapio_event_string transport; /* by which it came */
	uint16_t error;                      /* errno that its writer reports */
	uint8_t message_id[16];
	struct tapio_event_string comm;
	struct tapio_event_string executable;
	struct tapio_event_string command_line;
	struct tapio_event_string cgroup; /* path */
};
TAPIO_ASSERT_SIZE(tapio_event_log, 112);
TAPIO_ASSERT_OFFSET(tapio_event_log, monotonic_ns, 0);
TAPIO_ASSERT_OFFSET(tapio_event_log, boot_id, 8);
TAPIO_ASSERT_OFFSET(tapio_event_log, body, 24);
TAPIO_ASSERT_OFFSET(tapio_event_log, severity_text, 28);
TAPIO_ASSERT_OFFSET(tapio_event_log, identifier, 32);
TAPIO_ASSERT_OFFSET(tapio_event_log, unit, 36);
TAPIO_ASSERT_OFFSET(tapio_event_log, host, 40);
TAPIO_ASSERT_OFFSET(tapio_event_log, file, 44);
TAPIO_ASSERT_OFFSET(tapio_event_log, code_file, 48);
TAPIO_ASSERT_OFFSET(tapio_event_log, code_function, 52);
TAPIO_ASSERT_OFFSET(tapio_event_log, container_id, 56);
TAPIO_ASSERT_OFFSET(tapio_event_log, cursor, 60);
TAPIO_ASSERT_OFFSET(tapio_event_log, attributes, 64);
TAPIO_ASSERT_OFFSET(tapio_event_log, code_line, 68);
TAPIO_ASSERT_OFFSET(tapio_event_log, facility, 72);
TAPIO_ASSERT_OFFSET(tapio_event_log, transport, 74);
TAPIO_ASSERT_OFFSET(tapio_event_log, error, 78);
TAPIO_ASSERT_OFFSET(tapio_event_log, message_id, 80);
TAPIO_ASSERT_OFFSET(tapio_event_log, comm, 96);
TAPIO_ASSERT_OFFSET(tapio_event_log, executable, 100);
TAPIO_ASSERT_OFFSET(tapio_event_log, command_line, 104);
TAPIO_ASSERT_OFFSET(tapio_event_log, cgroup, 108);

#define TAPIO_METRIC_GAUGE      1
#define TAPIO_METRIC_CUMULATIVE 2 /* a sum since start_ns */
#define TAPIO_METRIC_DELTA      3 /* a sum since the previous sample */

/* One sample of a metric: `value`, or `value_integer` if it is one. */
struct tapio_event_metric {
	double value;
	int64_t value_integer;
	uint64_t start_ns; /* CLOCK_REALTIME */
	struct tapio_event_string name;
	struct tapio_event_string unit; /* as in UCUM */
	struct tapio_event_string attributes;
	uint8_t instrument; /* TAPIO_METRIC_* */
	uint8_t monotonic;  /* 1: the sum never falls */
	uint8_t reserved[2];
};
TAPIO_ASSERT_SIZE(tapio_event_metric, 40);
TAPIO_ASSERT_OFFSET(tapio_event_metric, value, 0);
TAPIO_ASSERT_OFFSET(tapio_event_metric, value_integer, 8);
TAPIO_ASSERT_OFFSET(tapio_event_metric, start_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event_metric, name, 24);
TAPIO_ASSERT_OFFSET(tapio_event_metric, unit, 28);
TAPIO_ASSERT_OFFSET(tapio_event_metric, attributes, 32);
TAPIO_ASSERT_OFFSET(tapio_event_metric, instrument, 36);
TAPIO_ASSERT_OFFSET(tapio_event_metric, monotonic, 37);
TAPIO_ASSERT_OFFSET(tapio_event_metric, reserved, 38);

/*
 * Events that a collector did not get, or could not understand: its source had lost them.
 * One event for each loss, with as much as is known of it. (What a channel refused is
 * in the channel's ledger.)
 */
struct tapio_event_loss {
	uint64_t count;
	uint64_t total;    /* of this cause, since the collector began */
	uint64_t first_ns; /* CLOCK_REALTIME: they happened from here */
	uint64_t last_ns;  /* to here */
	uint32_t cpu;
	struct tapio_event_string collector;
	struct tapio_event_string what;  /* the kind of events */
	struct tapio_event_string cause; /* in one word */
	struct tapio_event_string message;
	struct tapio_event_string before; /* cursor of the last one before it */
	struct tapio_event_string after;  /* and of the first one after it */
	uint8_t reserved[4];
};
TAPIO_ASSERT_SIZE(tapio_event_loss, 64);
TAPIO_ASSERT_OFFSET(tapio_event_loss, count, 0);
TAPIO_ASSERT_OFFSET(tapio_event_loss, total, 8);
TAPIO_ASSERT_OFFSET(tapio_event_loss, first_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event_loss, last_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_loss, cpu, 32);
TAPIO_ASSERT_OFFSET(tapio_event_loss, collector, 36);
TAPIO_ASSERT_OFFSET(tapio_event_loss, what, 40);
TAPIO_ASSERT_OFFSET(tapio_event_loss, cause, 44);
TAPIO_ASSERT_OFFSET(tapio_event_loss, message, 48);
TAPIO_ASSERT_OFFSET(tapio_event_loss, before, 52);
TAPIO_ASSERT_OFFSET(tapio_event_loss, after, 56);
TAPIO_ASSERT_OFFSET(tapio_event_loss, reserved, 60);

/* Operators of rules. */
#define TAPIO_FINDING_SEQUENCE 1 /* events of several kinds, in order */
#define TAPIO_FINDING_COUNT    2 /* many events */
#define TAPIO_FINDING_DISTINCT 3 /* many different values */
#define TAPIO_FINDING_ABSENT   4 /* no event */

#define TAPIO_VERDICT_TRUE 1
/* Events were lost in its window, so it may be otherwise. */
#define TAPIO_VERDICT_UNKNOWN 2

/*
 * A rule of tapio-correlate has fired. Its severity is that of the event. The same evidence
 * gives the same id, so a reader that sees an id again MAY pass it over.
 *
 * `evidence` are attributes. A key names an event: "INSTANCE/CHANNEL/LANE/POSITION". Its
 * value is the event as a JSON object, or empty where the finding had no room for it
 * (TAPIO_EVENT_TRUNCATED). `events` counts those that are not named, too.
 */
struct tapio_event_finding {
	uint8_t finding_id[16];
	uint64_t first_ns;  /* CLOCK_REALTIME: time of the first event */
	uint64_t last_ns;   /* of the last one */
	uint64_t window_ns; /* `within` of the rule */
	uint64_t count;     /* events, or distinct values, in the window */
	uint32_t events;    /* that it rests on */
	struct tapio_event_string rule;
	struct tapio_event_string message; /* `say` of the rule */
	struct tapio_event_string key;     /* fields of `by`, with values */
	struct tapio_event_string container_id;
	struct tapio_event_string evidence; /* attributes */
	uint8_t operation;                  /* TAPIO_FINDING_* */
	uint8_t verdict;                    /* TAPIO_VERDICT_* */
	uint8_t reserved[6];
};
TAPIO_ASSERT_SIZE(tapio_event_finding, 80);
TAPIO_ASSERT_OFFSET(tapio_event_finding, finding_id, 0);
TAPIO_ASSERT_OFFSET(tapio_event_finding, first_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event_finding, last_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event_finding, window_ns, 32);
TAPIO_ASSERT_OFFSET(tapio_event_finding, count, 40);
TAPIO_ASSERT_OFFSET(tapio_event_finding, events, 48);
TAPIO_ASSERT_OFFSET(tapio_event_finding, rule, 52);
TAPIO_ASSERT_OFFSET(tapio_event_finding, message, 56);
TAPIO_ASSERT_OFFSET(tapio_event_finding, key, 60);
TAPIO_ASSERT_OFFSET(tapio_event_finding, container_id, 64);
TAPIO_ASSERT_OFFSET(tapio_event_finding, evidence, 68);
TAPIO_ASSERT_OFFSET(tapio_event_finding, operation, 72);
TAPIO_ASSERT_OFFSET(tapio_event_finding, verdict, 73);
TAPIO_ASSERT_OFFSET(tapio_event_finding, reserved, 74);

#endif
