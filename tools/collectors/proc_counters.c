/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure, network interfaces and disks. Called for each scan.
 *
 * Counters are told when they changed since they were last told. The event says
 * how long ago that was. A list that cannot be read is said once, and tried
 * again with every scan.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"

/* ---- pressure ----------------------------------------------------------- */

static const struct {
	const char *path;
	uint8_t resource;
} pressures[] = {
	{"pressure/cpu", TAPIO_PRESSURE_CPU},
	{"pressure/memory", TAPIO_PRESSURE_MEMORY},
	{"pressure/io", TAPIO_PRESSURE_IO},
	{"pressure/irq", TAPIO_PRESSURE_IRQ}, /* since Linux 6.1, if at all */
};

static void emit_pressure(struct tpi_proc *proc, uint8_t resource,
			  const struct tpi_pressure *pressure)
{
	struct tapio_event_pressure *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_PRESSURE);

	if (!fields)
		return;
	fields->resource = resource;
	fields->some_avg10 = pressure->some.avg10;
	fields->some_avg60 = pressure->some.avg60;
	fields->some_avg300 = pressure->some.avg300;
	fields->some_total_us = pressure->some.total_us;
	fields->full_avg10 = pressure->full.avg10;
	fields->full_avg60 = pressure->full.avg60;
	fields->full_avg300 = pressure->full.avg300;
	fields->full_total_us = pressure->full.total_us;
	tpi_sink_end(proc->sink);
}

void tpi_pressure_scan(struct tpi_proc *proc)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tpi_pressure pressure;
	int found = 0, error = -ENOENT;

	for (size_t i = 0; i < sizeof(pressures) / sizeof(pressures[0]); i++) {
		ssize_t length = tpi_proc_read(proc->proc, pressures[i].path,
					       buffer, sizeof(buffer));
		if (length < 0 && length != -ENOENT)
			error = (int)length; /* switched off: EOPNOTSUPP */
		if (length <= 0 ||
		    !tpi_parse_pressure(tpi_text(buffer, (size_t)length),
					&pressure))
			continue;
		found++;
		emit_pressure(proc, pressures[i].resource, &pressure);
	}
	if (!found)
		tpi_proc_absent(proc, TPI_PROC_PRESSURE, "pressure", error);
}

/* ---- tables of counters ------------------------------------------------- */

static struct tpi_counters *find_counters(struct tpi_counter_table *table,
					  const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->items[i].name, name))
			return &table->items[i];
	return NULL;
}

static struct tpi_counters *add_counters(struct tpi_counter_table *table,
					 const char *name)
{
	if (table->count == table->capacity) {
		size_t larger = table->capacity ? table->capacity * 2 : 16;
		struct tpi_counters *moved =
			reallocarray(table->items, larger, sizeof(*moved));
		if (!moved)
			return NULL;
		table->items = moved;
		table->capacity = larger;
	}
	struct tpi_counters *counters = &table->items[table->count++];
	memset(counters, 0, sizeof(*counters));
	snprintf(counters->name, sizeof(counters->name), "%s", name);
	return counters;
}

/* Forgets what the scan did not see: the name may come back as another. */
static void forget_unseen(struct tpi_counter_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		if (!table->items[i].seen)
			continue;
		table->items[kept] = table->items[i];
		table->items[kept++].seen = false;
	}
	table->count = kept;
}

/* The values told of that name before, an empty record if none. NULL:
 * ENOMEM. */
static struct tpi_counters *look_up(struct tpi_counter_table *table,
				    const char *name)
{
	struct tpi_counters *known = find_counters(table, name);

	if (!known)
		known = add_counters(table, name);
	if (known)
		known->seen = true;
	return known;
}

static bool is_news(const struct tpi_counters *known, const void *counters,
		    size_t bytes)
{
	return memcmp(known->counters, counters, bytes) != 0;
}

static uint64_t since_told(const struct tpi_counters *known, int64_t now_ns)
{
	return known->told_ns ? (uint64_t)(now_ns - known->told_ns) : TPI_UNSET;
}

/* A dropped event was not told: it is news again in the next scan. */
static void note_told(struct tpi_counters *known, const void *counters,
		      size_t bytes, int64_t now_ns)
{
	memcpy(known->counters, counters, bytes);
	known->told_ns = now_ns;
}

_Static_assert(sizeof(struct tpi_interface_counters) <=
		       sizeof(((struct tpi_counters *)0)->counters),
	       "room for either kind of counters");

static bool read_list(struct tpi_proc *proc, enum tpi_proc_source source,
		      const char *path, struct tpi_text *text)
{
	ssize_t length = tpi_proc_read_all(proc->proc, path, &proc->text,
					   &proc->text_bytes);

	if (length < 0) {
		tpi_proc_absent(proc, source, path, (int)length);
		return false;
	}
	*text = tpi_text(proc->text, (size_t)length);
	return true;
}

/* ---- network ------------------------------------------------------------ */

static struct tpi_text read_attribute(const struct tpi_proc *proc,
				      const char *interface, const char *name,
				      char *buffer, size_t size)
{
	struct tpi_text text, line = {NULL, NULL};
	char path[128];

	if (proc->sys < 0)
		return line;
	snprintf(path, sizeof(path), "class/net/%s/%s", interface, name);
	ssize_t length = tpi_proc_read(proc->sys, path, buffer, size);
	text = tpi_text(buffer, length > 0 ? (size_t)length : 0);
	return tpi_text_line(&text, &line) ? line : text;
}

static bool read_number(const struct tpi_proc *proc, const char *interface,
			const char *name, uint64_t *value)
{
	char buffer[64];

	return tpi_text_u64(
		read_attribute(proc, interface, name, buffer, sizeof(buffer)),
		value);
}

static uint8_t interface_state(const struct tpi_proc *proc, const char *name)
{
	char buffer[64];
	struct tpi_text text =
		read_attribute(proc, name, "operstate", buffer, sizeof(buffer));

	if (tpi_text_is(text, "up"))
		return TAPIO_INTERFACE_UP;
	if (tpi_text_is(text, "down") || tpi_text_is(text, "lowerlayerdown"))
		return TAPIO_INTERFACE_DOWN;
	return tpi_text_is(text, "dormant") ? TAPIO_INTERFACE_DORMANT : 0;
}

static void fill_attributes(const struct tpi_proc *proc, const char *name,
			    struct tapio_event_network_interface *fields)
{
	uint64_t value;

	if (strchr(name, '/') || name[0] == '.')
		return; /* no name of an interface, but a path */
	if (read_number(proc, name, "ifindex", &value) && value < UINT32_MAX)
		fields->index = (uint32_t)value;
	if (read_number(proc, name, "mtu", &value) && value < UINT32_MAX)
		fields->mtu_bytes = (uint32_t)value;
	/* In Mbit/s. -1, or an error, where a link has no speed. */
	if (read_number(proc, name, "speed", &value) && value < UINT32_MAX)
		fields->speed_bits = value * 1000000;
	fields->state = interface_state(proc, name);
}

static bool emit_interface(struct tpi_proc *proc,
			   const struct tpi_interface *iface,
			   uint64_t interval_ns)
{
	const struct tpi_interface_counters *counters = &iface->counters;
	struct tapio_event_network_interface *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_NETWORK);

	if (!fields)
		return false;
	fields->interval_ns = interval_ns;
	fields->receive_bytes = counters->receive_bytes;
	fields->receive_packets = counters->receive_packets;
	fields->receive_errors = counters->receive_errors;
	fields->receive_dropped = counters->receive_dropped;
	fields->transmit_bytes = counters->transmit_bytes;
	fields->transmit_packets = counters->transmit_packets;
	fields->transmit_errors = counters->transmit_errors;
	fields->transmit_dropped = counters->transmit_dropped;
	tpi_sink_string(proc->sink, &fields->name, iface->name,
			strlen(iface->name));
	fill_attributes(proc, iface->name, fields);
	proc->sink->builder.event->netns_inode = proc->netns_inode;
	return tpi_sink_end(proc->sink);
}

int tpi_network_scan(struct tpi_proc *proc, int64_t now_ns)
{
	/* Interfaces are few: all of them are told once, used or not. */
	bool always = proc->options.all || !proc->scanned;
	struct tpi_interface iface;
	struct tpi_text text;

	if (!read_list(proc, TPI_PROC_NETWORK, "net/dev", &text))
		return 0;
	while (tpi_parse_interface(&text, &iface)) {
		const void *counters = &iface.counters;
		size_t bytes = sizeof(iface.counters);
		struct tpi_counters *known =
			look_up(&proc->interfaces, iface.name);

		if (!known)
			return -ENOMEM;
		if ((always || is_news(known, counters, bytes)) &&
		    emit_interface(proc, &iface, since_told(known, now_ns)))
			note_told(known, counters, bytes, now_ns);
	}
	forget_unseen(&proc->interfaces);
	return 0;
}

/* ---- disks -------------------------------------------------------------- */

#define SECTOR_BYTES 512 /* whatever the device's own */
#define NS_PER_MS    1000000

static uint64_t scale(uint64_t value, uint64_t by)
{
	uint64_t product;

	return __builtin_mul_overflow(value, by, &product) ? TPI_UNSET
							   : product;
}

static bool emit_disk(struct tpi_proc *proc, const struct tpi_disk *disk,
		      uint64_t interval_ns)
{
	const struct tpi_disk_counters *counters = &disk->counters;
	struct tapio_event_disk *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_DISK);

	if (!fields)
		return false;
	fields->interval_ns = interval_ns;
	fields->reads = counters->reads;
	fields->reads_merged = counters->reads_merged;
	fields->read_bytes = scale(counters->read_sectors, SECTOR_BYTES);
	fields->read_time_ns = scale(counters->read_ms, NS_PER_MS);
	fields->writes = counters->writes;
	fields->writes_merged = counters->writes_merged;
	fields->write_bytes = scale(counters->write_sectors, SECTOR_BYTES);
	fields->write_time_ns = scale(counters->write_ms, NS_PER_MS);
	fields->io_time_ns = scale(counters->io_ms, NS_PER_MS);
	if (counters->in_flight < UINT32_MAX)
		fields->in_flight = (uint32_t)counters->in_flight;
	fields->major = disk->major;
	fields->minor = disk->minor;
	tpi_sink_string(proc->sink, &fields->device, disk->name,
			strlen(disk->name));
	return tpi_sink_end(proc->sink);
}

int tpi_disks_scan(struct tpi_proc *proc, int64_t now_ns)
{
	struct tpi_disk disk;
	struct tpi_text text;

	if (!read_list(proc, TPI_PROC_DISK, "diskstats", &text))
		return 0;
	while (tpi_parse_disk(&text, &disk)) {
		const void *counters = &disk.counters;
		size_t bytes = sizeof(disk.counters);
		struct tpi_counters *known = look_up(&proc->disks, disk.name);

		if (!known)
			return -ENOMEM;
		/* A device that never did anything (most loop devices) is no
		 * news. */
		if ((proc->options.all || is_news(known, counters, bytes)) &&
		    emit_disk(proc, &disk, since_told(known, now_ns)))
			note_told(known, counters, bytes, now_ns);
	}
	forget_unseen(&proc->disks);
	return 0;
}
