/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of /proc as plain structs. The parsers take text and nothing else,
 * so that a test or a fuzzer can hand them any. A number that is missing or
 * makes no sense is TPI_UNSET or the parser fails as a whole, never a guess.
 */
#ifndef TPI_PROC_PARSE_H
#define TPI_PROC_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/collectors/proc_text.h"

#define TPI_UNSET UINT64_MAX

/* A kernel thread's name may be longer than the 15 bytes of other tasks. */
#define TPI_COMM_BYTES         65
#define TPI_CONTAINER_ID_BYTES 65

/* ---- one process -------------------------------------------------------- */

struct tpi_pid_stat {
	uint32_t pid;
	uint32_t ppid;
	uint32_t group_id;
	uint32_t session_id;
	char comm[TPI_COMM_BYTES];
	char state; /* R S D T t Z X I and what kernels may add */
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t user_ticks;
	uint64_t system_ticks;
	uint64_t threads;
	uint64_t start_ticks;
	uint64_t virtual_bytes;
	uint64_t rss_pages;
	uint64_t exit_status; /* as wait() gives it. TPI_UNSET: not there */
};

/* /proc/PID/stat. False: not such a file, or cut off. */
bool tpi_parse_pid_stat(struct tpi_text text, struct tpi_pid_stat *stat);

struct tpi_pid_status {
	uint64_t uid; /* effective */
	uint64_t gid;
	uint64_t rss_max_bytes;
	uint64_t voluntary_switches;
	uint64_t involuntary_switches;
	uint64_t namespaces; /* how many pids it has: depth of its namespace */
};

/* /proc/PID/status. A value that it does not have is TPI_UNSET. */
void tpi_parse_pid_status(struct tpi_text text, struct tpi_pid_status *status);

struct tpi_pid_io {
	uint64_t read_bytes;
	uint64_t write_bytes;
};

/* /proc/PID/io. A value that it does not have is TPI_UNSET. */
void tpi_parse_pid_io(struct tpi_text text, struct tpi_pid_io *io);

/*
 * /proc/PID/cgroup: the path in the unified hierarchy, else in the first one
 * that is not the root. False: neither.
 */
bool tpi_parse_cgroup(struct tpi_text text, struct tpi_text *path,
		      bool *unified);

/*
 * The id of the innermost container that a cgroup's path names: 64 hexadecimal
 * digits with no letter or digit beside them. False: none.
 */
bool tpi_find_container_id(struct tpi_text path, char id[65]);

/*
 * /proc/PID/cmdline in place: NULs between arguments become spaces, those at
 * the end are cut off. Returns the number of arguments.
 */
uint32_t tpi_join_arguments(char *text, size_t *length);

/* ---- the host ----------------------------------------------------------- */

/* /proc/stat: when the host was booted, in seconds since 1970. */
bool tpi_parse_boot_time(struct tpi_text text, uint64_t *seconds);

struct tpi_pressure_line {
	double avg10; /* percent. NaN: the line is not there */
	double avg60;
	double avg300;
	uint64_t total_us; /* TPI_UNSET: the line is not there */
};

struct tpi_pressure {
	struct tpi_pressure_line some;
	struct tpi_pressure_line full;
};

/* A file of /proc/pressure. False: neither line is there. */
bool tpi_parse_pressure(struct tpi_text text, struct tpi_pressure *pressure);

/* /proc/meminfo. Lines that are not there leave their values alone. False: none is there. */
struct tapio_event_memory;
bool tpi_parse_memory(struct tpi_text text, struct tapio_event_memory *memory);

struct tpi_interface_counters {
	uint64_t receive_bytes;
	uint64_t receive_packets;
	uint64_t receive_errors;
	uint64_t receive_dropped;
	uint64_t transmit_bytes;
	uint64_t transmit_packets;
	uint64_t transmit_errors;
	uint64_t transmit_dropped;
};

struct tpi_interface {
	char name[32];
	struct tpi_interface_counters counters;
};

/* The next interface of /proc/net/dev. Lines that are none are passed over. */
bool tpi_parse_interface(struct tpi_text *text, struct tpi_interface *iface);

struct tpi_disk_counters {
	uint64_t reads;
	uint64_t reads_merged;
	uint64_t read_sectors;
	uint64_t read_ms;
	uint64_t writes;
	uint64_t writes_merged;
	uint64_t write_sectors;
	uint64_t write_ms;
	uint64_t in_flight;
	uint64_t io_ms;
};

struct tpi_disk {
	uint32_t major;
	uint32_t minor;
	char name[64];
	struct tpi_disk_counters counters;
};

/* The next device of /proc/diskstats. Lines that are none are passed over. */
bool tpi_parse_disk(struct tpi_text *text, struct tpi_disk *disk);

#endif
