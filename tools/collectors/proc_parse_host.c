/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of the files of /proc that are about the whole host. Called by the
 * sources of pressure, network and disks. Newer kernels append columns to the
 * lists. The parsers leave alone the columns behind those that they know.
 */
#include <math.h>
#include <string.h>

#include "tools/collectors/proc_parse.h"

bool tpi_parse_boot_time(struct tpi_text text, uint64_t *seconds)
{
	struct tpi_text line;

	while (tpi_text_whole_line(&text, &line))
		if (tpi_text_skip(&line, "btime "))
			return tpi_text_next_u64(&line, seconds);
	return false;
}

static bool pressure_average(struct tpi_text *line, const char *key,
			     double *value)
{
	struct tpi_text word;

	return tpi_text_word(line, &word) && tpi_text_skip(&word, key) &&
	       tpi_text_fraction(word, value);
}

/* "avg10=0.26 avg60=0.14 avg300=0.10 total=5022515" */
static bool pressure_line(struct tpi_text line, struct tpi_pressure_line *out)
{
	struct tpi_pressure_line values;
	struct tpi_text word;

	if (!pressure_average(&line, "avg10=", &values.avg10) ||
	    !pressure_average(&line, "avg60=", &values.avg60) ||
	    !pressure_average(&line, "avg300=", &values.avg300) ||
	    !tpi_text_word(&line, &word) || !tpi_text_skip(&word, "total=") ||
	    !tpi_text_u64(word, &values.total_us))
		return false;
	*out = values;
	return true;
}

bool tpi_parse_pressure(struct tpi_text text, struct tpi_pressure *pressure)
{
	static const struct tpi_pressure_line unset = {(double)NAN, (double)NAN,
						       (double)NAN, TPI_UNSET};
	struct tpi_text line;
	bool found = false;

	pressure->some = pressure->full = unset;
	while (tpi_text_whole_line(&text, &line)) {
		if (tpi_text_skip(&line, "some "))
			found |= pressure_line(line, &pressure->some);
		else if (tpi_text_skip(&line, "full "))
			found |= pressure_line(line, &pressure->full);
	}
	return found;
}

static bool next_numbers(struct tpi_text *line, uint64_t *values, int count)
{
	for (int i = 0; i < count; i++)
		if (!tpi_text_next_u64(line, &values[i]))
			return false;
	return true;
}

/* "  name:" and 16 numbers. A name may hold any byte but '/' and space. */
static bool interface_line(struct tpi_text line, struct tpi_interface *iface)
{
	const char *colon = memrchr(line.at, ':', tpi_text_length(line));
	uint64_t n[16];

	if (!colon)
		return false;
	struct tpi_text head = {line.at, colon}, name;
	line.at = colon + 1;
	if (!tpi_text_word(&head, &name) || !next_numbers(&line, n, 16))
		return false;
	tpi_text_copy(name, iface->name, sizeof(iface->name));
	iface->counters = (struct tpi_interface_counters){
		.receive_bytes = n[0],
		.receive_packets = n[1],
		.receive_errors = n[2],
		.receive_dropped = n[3],
		.transmit_bytes = n[8],
		.transmit_packets = n[9],
		.transmit_errors = n[10],
		.transmit_dropped = n[11],
	};
	return true;
}

bool tpi_parse_interface(struct tpi_text *text, struct tpi_interface *iface)
{
	struct tpi_text line;

	while (tpi_text_whole_line(text, &line))
		if (interface_line(line, iface))
			return true;
	return false;
}

static bool disk_line(struct tpi_text line, struct tpi_disk *disk)
{
	struct tpi_text name;
	uint64_t device[2], n[10];

	if (!next_numbers(&line, device, 2) || device[0] > UINT32_MAX ||
	    device[1] > UINT32_MAX || !tpi_text_word(&line, &name) ||
	    !next_numbers(&line, n, 10))
		return false;
	tpi_text_copy(name, disk->name, sizeof(disk->name));
	disk->major = (uint32_t)device[0];
	disk->minor = (uint32_t)device[1];
	disk->counters = (struct tpi_disk_counters){
		.reads = n[0],
		.reads_merged = n[1],
		.read_sectors = n[2],
		.read_ms = n[3],
		.writes = n[4],
		.writes_merged = n[5],
		.write_sectors = n[6],
		.write_ms = n[7],
		.in_flight = n[8],
		.io_ms = n[9],
	};
	return true;
}

bool tpi_parse_disk(struct tpi_text *text, struct tpi_disk *disk)
{
	struct tpi_text line;

	while (tpi_text_whole_line(text, &line))
		if (disk_line(line, disk))
			return true;
	return false;
}
