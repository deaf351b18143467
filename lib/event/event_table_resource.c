/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of events about the host's resources. See event_table_process.c. */
#include "lib/event/event_table.h"

/* clang-format off */
static const struct tapio_event_name resources[] = {
	{ TAPIO_PRESSURE_CPU, "cpu" },
	{ TAPIO_PRESSURE_MEMORY, "memory" },
	{ TAPIO_PRESSURE_IO, "io" },
	{ TAPIO_PRESSURE_IRQ, "irq" },
};

#define S tapio_event_pressure
static const struct tapio_event_field pressure[] = {
	TPI_NAMED(resource, ENUM8, ZERO, resources,
		  "tapio.pressure.resource", "resource that tasks waited for"),
	TPI_FIELD(cgroup, STRING, ZERO, "",
		  "tapio.pressure.cgroup", NULL,
		  "cgroup of the figures; unset: the host"),
	TPI_FIELD(some_avg10, F64, ONES, "%",
		  "tapio.pressure.some.avg10", NULL,
		  "time that some task waited, of the last 10 s"),
	TPI_FIELD(some_avg60, F64, ONES, "%",
		  "tapio.pressure.some.avg60", NULL, "of the last 60 s"),
	TPI_FIELD(some_avg300, F64, ONES, "%",
		  "tapio.pressure.some.avg300", NULL, "of the last 300 s"),
	TPI_FIELD(full_avg10, F64, ONES, "%",
		  "tapio.pressure.full.avg10", NULL,
		  "time that all tasks waited, of the last 10 s"),
	TPI_FIELD(full_avg60, F64, ONES, "%",
		  "tapio.pressure.full.avg60", NULL, "of the last 60 s"),
	TPI_FIELD(full_avg300, F64, ONES, "%",
		  "tapio.pressure.full.avg300", NULL, "of the last 300 s"),
	TPI_FIELD(some_total_us, U64, ONES, "us",
		  "tapio.pressure.some.total", NULL,
		  "time that some task waited, since boot"),
	TPI_FIELD(full_total_us, U64, ONES, "us",
		  "tapio.pressure.full.total", NULL,
		  "time that all tasks waited, since boot"),
};
#undef S

static const struct tapio_event_name interface_states[] = {
	{ TAPIO_INTERFACE_UP, "up" },
	{ TAPIO_INTERFACE_DOWN, "down" },
	{ TAPIO_INTERFACE_DORMANT, "dormant" },
};

#define S tapio_event_network_interface
static const struct tapio_event_field network_interface[] = {
	TPI_FIELD(name, STRING, ZERO, "",
		  "network.interface.name", NULL, "the interface"),
	TPI_NAMED(state, ENUM8, ZERO, interface_states,
		  "tapio.network.interface.state", "state of the link"),
	TPI_FIELD(interval_ns, U64, ONES, "ns",
		  "tapio.network.interface.interval", NULL,
		  "time since the previous event of this interface"),
	TPI_FIELD(receive_bytes, U64, ONES, "By",
		  "tapio.network.interface.receive.bytes",
		  "system.network.io{network.io.direction=receive}",
		  "received"),
	TPI_FIELD(receive_packets, U64, ONES, "",
		  "tapio.network.interface.receive.packets",
		  "system.network.packet.count{network.io.direction=receive}",
		  "packets received"),
	TPI_FIELD(receive_errors, U64, ONES, "",
		  "tapio.network.interface.receive.errors",
		  "system.network.errors{network.io.direction=receive}",
		  "packets received damaged"),
	TPI_FIELD(receive_dropped, U64, ONES, "",
		  "tapio.network.interface.receive.dropped",
		  "system.network.packet.dropped{network.io.direction=receive}",
		  "packets received and thrown away"),
	TPI_FIELD(transmit_bytes, U64, ONES, "By",
		  "tapio.network.interface.transmit.bytes",
		  "system.network.io{network.io.direction=transmit}",
		  "sent"),
	TPI_FIELD(transmit_packets, U64, ONES, "",
		  "tapio.network.interface.transmit.packets",
		  "system.network.packet.count{network.io.direction=transmit}",
		  "packets sent"),
	TPI_FIELD(transmit_errors, U64, ONES, "",
		  "tapio.network.interface.transmit.errors",
		  "system.network.errors{network.io.direction=transmit}",
		  "packets that could not be sent"),
	TPI_FIELD(transmit_dropped, U64, ONES, "",
		  "tapio.network.interface.transmit.dropped",
		  "system.network.packet.dropped"
		  "{network.io.direction=transmit}",
		  "packets thrown away instead of sent"),
	TPI_FIELD(speed_bits, U64, ONES, "bit/s",
		  "tapio.network.interface.speed", NULL, "speed of the link"),
	TPI_FIELD(index, U32, ZERO, "",
		  "tapio.network.interface.index", NULL, "its number"),
	TPI_FIELD(mtu_bytes, U32, ONES, "By",
		  "tapio.network.interface.mtu", NULL, "longest packet"),
};
#undef S

#define S tapio_event_disk
static const struct tapio_event_field disk[] = {
	TPI_FIELD(device, STRING, ZERO, "",
		  "system.device", NULL, "the device"),
	TPI_FIELD(interval_ns, U64, ONES, "ns",
		  "tapio.disk.interval", NULL,
		  "time since the previous event of this device"),
	TPI_FIELD(reads, U64, ONES, "",
		  "tapio.disk.reads",
		  "system.disk.operations{disk.io.direction=read}",
		  "reads completed"),
	TPI_FIELD(reads_merged, U64, ONES, "",
		  "tapio.disk.reads_merged",
		  "system.disk.merged{disk.io.direction=read}",
		  "reads merged with another"),
	TPI_FIELD(read_bytes, U64, ONES, "By",
		  "tapio.disk.read_bytes",
		  "system.disk.io{disk.io.direction=read}", "read"),
	TPI_FIELD(read_time_ns, U64, ONES, "ns",
		  "tapio.disk.read_time",
		  "system.disk.operation_time{disk.io.direction=read}",
		  "sum of the times that reads took"),
	TPI_FIELD(writes, U64, ONES, "",
		  "tapio.disk.writes",
		  "system.disk.operations{disk.io.direction=write}",
		  "writes completed"),
	TPI_FIELD(writes_merged, U64, ONES, "",
		  "tapio.disk.writes_merged",
		  "system.disk.merged{disk.io.direction=write}",
		  "writes merged with another"),
	TPI_FIELD(write_bytes, U64, ONES, "By",
		  "tapio.disk.write_bytes",
		  "system.disk.io{disk.io.direction=write}", "written"),
	TPI_FIELD(write_time_ns, U64, ONES, "ns",
		  "tapio.disk.write_time",
		  "system.disk.operation_time{disk.io.direction=write}",
		  "sum of the times that writes took"),
	TPI_FIELD(io_time_ns, U64, ONES, "ns",
		  "tapio.disk.io_time", "system.disk.io_time",
		  "time with at least one operation in flight"),
	TPI_FIELD(in_flight, U32, ONES, "",
		  "tapio.disk.in_flight", NULL, "operations in flight"),
	TPI_FIELD(major, U32, ONES, "",
		  "tapio.disk.major", NULL, "number of its driver"),
	TPI_FIELD(minor, U32, ONES, "",
		  "tapio.disk.minor", NULL, "its number"),
};
#undef S

static const struct tapio_event_type types[] = {
	TPI_TYPE(TAPIO_EVENT_PRESSURE, "pressure",
		 tapio_event_pressure, pressure,
		 "pressure stall information of the host or a cgroup"),
	TPI_TYPE(TAPIO_EVENT_NETWORK_INTERFACE, "network.interface",
		 tapio_event_network_interface, network_interface,
		 "counters of a network interface, since it was made"),
	TPI_TYPE(TAPIO_EVENT_DISK, "disk",
		 tapio_event_disk, disk,
		 "counters of a disk or partition, since boot"),
};
/* clang-format on */

const struct tpi_event_family tpi_event_resources = {types, TPI_COUNT(types)};
