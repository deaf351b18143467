/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of events about processes: names, kinds, units and the OpenTelemetry
 * attributes and metrics that the fields become. Attributes without a name in the
 * semantic conventions begin with "tapio.".
 */
#include "lib/event/event_table.h"

/* clang-format off */
static const struct tapio_event_name process_operations[] = {
	{ TAPIO_PROCESS_FORK, "fork" },
	{ TAPIO_PROCESS_EXEC, "exec" },
};

#define S tapio_event_process_start
static const struct tapio_event_field process_start[] = {
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name, 15 bytes at most"),
	TPI_FIELD(ppid, U32, ZERO, "",
		  "process.parent_pid", NULL, "parent"),
	TPI_FIELD(executable, STRING, ZERO, "",
		  "process.executable.path", NULL, "path of its program"),
	TPI_FIELD(command_line, STRING, ZERO, "",
		  "process.command_line", NULL,
		  "arguments, separated by spaces"),
	TPI_TITLED("start", start_ns, TIME, ZERO, "ns",
		   "process.creation.time", "when the process began"),
	TPI_FIELD(start_ticks, U64, ONES, "",
		  "tapio.process.start_ticks", NULL,
		  "the same in clock ticks since boot; unique with pid"),
	TPI_FIELD(session_id, U32, ZERO, "",
		  "process.session_leader.pid", NULL, "session"),
	TPI_FIELD(group_id, U32, ZERO, "",
		  "process.group_leader.pid", NULL, "process group"),
	TPI_FIELD(args, U32, ONES, "",
		  "process.args_count", NULL, "number of arguments"),
	TPI_FIELD(directory, STRING, ZERO, "",
		  "process.working_directory", NULL, "working directory"),
	TPI_FIELD(cgroup, STRING, ZERO, "",
		  "process.linux.cgroup", NULL, "path of its cgroup"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container that it runs in"),
	TPI_NAMED(operation, ENUM8, ZERO, process_operations,
		  "tapio.process.operation", "how it began"),
};
#undef S

#define S tapio_event_process_exit
static const struct tapio_event_field process_exit[] = {
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name, 15 bytes at most"),
	TPI_FIELD(exit_code, I32, ONES, "",
		  "process.exit.code", NULL, "exit code"),
	TPI_FIELD(signal, U32, ONES, "",
		  "tapio.process.exit.signal", NULL,
		  "signal that ended it; 0: none"),
	TPI_FIELD(duration_ns, U64, ONES, "ns",
		  "tapio.process.duration", "process.uptime",
		  "time from start to end"),
	TPI_FIELD(ppid, U32, ZERO, "",
		  "process.parent_pid", NULL, "parent"),
	TPI_FIELD(executable, STRING, ZERO, "",
		  "process.executable.path", NULL, "path of its program"),
	TPI_TITLED("start", start_ns, TIME, ZERO, "ns",
		   "process.creation.time", "when the process began"),
	TPI_FIELD(start_ticks, U64, ONES, "",
		  "tapio.process.start_ticks", NULL,
		  "the same in clock ticks since boot; unique with pid"),
	TPI_FIELD(cpu_user_ns, U64, ONES, "ns",
		  "tapio.process.cpu.user", "process.cpu.time{cpu.mode=user}",
		  "CPU time in user mode"),
	TPI_FIELD(cpu_system_ns, U64, ONES, "ns",
		  "tapio.process.cpu.system",
		  "process.cpu.time{cpu.mode=system}",
		  "CPU time in the kernel"),
	TPI_FIELD(rss_max_bytes, U64, ONES, "By",
		  "tapio.process.memory.rss_max", NULL,
		  "most resident memory at once"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container that it ran in"),
};
#undef S

static const struct tapio_event_name process_states[] = {
	{ TAPIO_PROCESS_RUNNING, "running" },
	{ TAPIO_PROCESS_SLEEPING, "sleeping" },
	{ TAPIO_PROCESS_DISK_SLEEP, "disk_sleep" },
	{ TAPIO_PROCESS_STOPPED, "stopped" },
	{ TAPIO_PROCESS_DEFUNCT, "defunct" },
	{ TAPIO_PROCESS_IDLE, "idle" },
};

#define S tapio_event_process_sample
static const struct tapio_event_field process_sample[] = {
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name, 15 bytes at most"),
	TPI_NAMED(state, ENUM8, ZERO, process_states,
		  "process.state", "state in the scheduler"),
	TPI_FIELD(cpu_utilization, F64, ONES, "1",
		  "tapio.process.cpu.utilization", "process.cpu.utilization",
		  "CPU time used in the interval; 1 is one CPU"),
	TPI_FIELD(rss_bytes, U64, ONES, "By",
		  "tapio.process.memory.rss", "process.memory.usage",
		  "resident memory"),
	TPI_FIELD(threads, U32, ONES, "",
		  "tapio.process.threads", "process.thread.count", "threads"),
	TPI_FIELD(start_ticks, U64, ONES, "",
		  "tapio.process.start_ticks", NULL,
		  "start in clock ticks since boot; unique with pid"),
	TPI_FIELD(interval_ns, U64, ONES, "ns",
		  "tapio.process.sample.interval", NULL,
		  "time that cpu_utilization is about"),
	TPI_FIELD(cpu_user_ns, U64, ONES, "ns",
		  "tapio.process.cpu.user", "process.cpu.time{cpu.mode=user}",
		  "CPU time in user mode"),
	TPI_FIELD(cpu_system_ns, U64, ONES, "ns",
		  "tapio.process.cpu.system",
		  "process.cpu.time{cpu.mode=system}",
		  "CPU time in the kernel"),
	TPI_FIELD(virtual_bytes, U64, ONES, "By",
		  "tapio.process.memory.virtual", "process.memory.virtual",
		  "address space in use"),
	TPI_FIELD(minor_faults, U64, ONES, "",
		  "tapio.process.faults.minor",
		  "process.paging.faults{system.paging.fault.type=minor}",
		  "page faults without reading from storage"),
	TPI_FIELD(major_faults, U64, ONES, "",
		  "tapio.process.faults.major",
		  "process.paging.faults{system.paging.fault.type=major}",
		  "page faults that read from storage"),
	TPI_FIELD(voluntary_switches, U64, ONES, "",
		  "tapio.process.switches.voluntary",
		  "process.context_switches"
		  "{process.context_switch.type=voluntary}",
		  "times that it waited"),
	TPI_FIELD(involuntary_switches, U64, ONES, "",
		  "tapio.process.switches.involuntary",
		  "process.context_switches"
		  "{process.context_switch.type=involuntary}",
		  "times that it was preempted"),
	TPI_FIELD(read_bytes, U64, ONES, "By",
		  "tapio.process.io.read",
		  "process.disk.io{disk.io.direction=read}",
		  "read from storage"),
	TPI_FIELD(write_bytes, U64, ONES, "By",
		  "tapio.process.io.write",
		  "process.disk.io{disk.io.direction=write}",
		  "written to storage"),
	TPI_FIELD(open_files, U32, ONES, "",
		  "tapio.process.open_files",
		  "process.unix.file_descriptor.count",
		  "open file descriptors"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container that it runs in"),
};
#undef S

#define S tapio_event_process_oom
static const struct tapio_event_field process_oom[] = {
	TPI_FIELD(comm, STRING, ZERO, "",
		  "process.title", NULL, "name of the process that was ended"),
	TPI_FIELD(cgroup, STRING, ZERO, "",
		  "process.linux.cgroup", NULL, "path of its cgroup"),
	TPI_FIELD(container_id, STRING, ZERO, "",
		  "container.id", NULL, "container that it ran in"),
	TPI_FIELD(anonymous_bytes, U64, ONES, "By",
		  "tapio.process.oom.anonymous", NULL,
		  "its resident memory of no file"),
	TPI_FIELD(file_bytes, U64, ONES, "By",
		  "tapio.process.oom.file", NULL,
		  "its resident memory of files"),
	TPI_FIELD(shared_bytes, U64, ONES, "By",
		  "tapio.process.oom.shared", NULL,
		  "its resident shared memory"),
	TPI_FIELD(page_table_bytes, U64, ONES, "By",
		  "tapio.process.oom.page_tables", NULL, "its page tables"),
	TPI_FIELD(swap_bytes, U64, ONES, "By",
		  "tapio.process.oom.swap", NULL, "its memory in swap"),
	TPI_FIELD(virtual_bytes, U64, ONES, "By",
		  "tapio.process.oom.virtual", NULL, "its address space"),
	TPI_FIELD(score_adjustment, I32, ONES, "",
		  "tapio.process.oom.score_adjustment", NULL,
		  "its oom_score_adj"),
	TPI_FIELD(trigger_pid, U32, ZERO, "",
		  "tapio.process.oom.trigger.pid", NULL,
		  "process that asked for memory"),
	TPI_FIELD(trigger_comm, STRING, ZERO, "",
		  "tapio.process.oom.trigger.comm", NULL, "its name"),
};
#undef S

static const struct tapio_event_type types[] = {
	TPI_TYPE(TAPIO_EVENT_PROCESS_START, "process.start",
		 tapio_event_process_start, process_start,
		 "a process began, or was there already"),
	TPI_TYPE(TAPIO_EVENT_PROCESS_EXIT, "process.exit",
		 tapio_event_process_exit, process_exit,
		 "a process ended"),
	TPI_TYPE(TAPIO_EVENT_PROCESS_SAMPLE, "process.sample",
		 tapio_event_process_sample, process_sample,
		 "resources that a process uses; counters run since its start"),
	TPI_TYPE(TAPIO_EVENT_PROCESS_OOM, "process.oom",
		 tapio_event_process_oom, process_oom,
		 "the kernel ended a process because memory ran out"),
};
/* clang-format on */

const struct tpi_event_family tpi_event_processes = {types, TPI_COUNT(types)};
