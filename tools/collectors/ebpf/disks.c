/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/ebpf/disks.h"

/* The link leads to the directory of the device, which has its name. */
static void look_up(struct tpi_disk *disk)
{
	char path[64], target[256];
	const char *name;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", disk->major,
		 disk->minor);
	length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return;
	target[length] = '\0';
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	snprintf(disk->name, sizeof(disk->name), "%.*s",
		 TPI_DISK_NAME_BYTES - 1, name);
}

const char *tpi_disk_name(struct tpi_disks *disks, uint32_t major,
			  uint32_t minor)
{
	struct tpi_disk *disk;

	if (!disks)
		return "";
	for (int i = 0; i < TPI_DISKS; i++) {
		disk = &disks->rows[i];
		if (disk->name[0] && disk->major == major &&
		    disk->minor == minor)
			return disk->name;
	}
	disk = &disks->rows[disks->next++ % TPI_DISKS];
	*disk = (struct tpi_disk){.major = major, .minor = minor};
	look_up(disk);
	return disk->name;
}
