/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of disks by their numbers, from /sys/dev/block, remembered. One thread uses a
 * table.
 */
#ifndef TPI_EBPF_DISKS_H
#define TPI_EBPF_DISKS_H

#include <stdint.h>

#define TPI_DISKS           32
#define TPI_DISK_NAME_BYTES 32

struct tpi_disks {
	struct tpi_disk {
		uint32_t major;
		uint32_t minor;
		char name[TPI_DISK_NAME_BYTES]; /* "": the row is free */
	} rows[TPI_DISKS];
	unsigned int next; /* the row that is given up for another disk */
};

/* "" when it has none. Valid until the next call. `disks` may be NULL. */
const char *tpi_disk_name(struct tpi_disks *disks, uint32_t major,
			  uint32_t minor);

#endif
