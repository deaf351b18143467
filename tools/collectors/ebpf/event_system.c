/* SPDX-License-Identifier: Apache-2.0 */
/* Events about files and disks. */
#include <string.h>

#include "tools/collectors/ebpf/event.h"

/* The kernel's own form of a device number. */
#define MAJOR_OF(device) ((device) >> 20)
#define MINOR_OF(device) ((device)&0xfffff)

#define OPEN_CREATE 0100 /* O_CREAT, the same on x86 and ARM */

/* REQ_OP_* of the kernel. */
enum {
	REQ_READ,
	REQ_WRITE,
	REQ_FLUSH,
	REQ_DISCARD,
	REQ_SECURE_ERASE = 5,
};

void tpi_ebpf_fill_open(const struct tpi_ebpf_now *now,
			const struct tpi_ebpf_open *r, uint32_t length,
			struct tapio_event_builder *b)
{
	struct tapio_event_file_access *f = b->fields;
	const uint32_t room = length - (uint32_t)sizeof(*r);

	(void)now;
	f->operation = TAPIO_FILE_OPEN;
	f->open_flags = r->open_flags;
	f->error = r->error;
	if (!r->error) {
		f->inode = r->inode;
		f->size_bytes = r->size_bytes;
		f->device_major = MAJOR_OF(r->device);
		f->device_minor = MINOR_OF(r->device);
		f->mode = r->mode;
		f->owner_uid = r->owner_uid;
		f->owner_gid = r->owner_gid;
	}
	tpi_ebpf_put(b, &f->comm, r->head.comm, sizeof(r->head.comm));
	tpi_ebpf_put(b, &f->path, r->path,
		     r->path_bytes < room ? r->path_bytes : room);
	if (r->flags)
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
}

uint8_t tpi_ebpf_block_operation(uint32_t operation)
{
	switch (operation) {
	case REQ_READ:
		return TAPIO_BLOCK_READ;
	case REQ_WRITE:
		return TAPIO_BLOCK_WRITE;
	case REQ_FLUSH:
		return TAPIO_BLOCK_FLUSH;
	case REQ_DISCARD:
	case REQ_SECURE_ERASE:
		return TAPIO_BLOCK_DISCARD;
	default:
		return TAPIO_BLOCK_OTHER;
	}
}

void tpi_ebpf_fill_block(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_block *r,
			 struct tapio_event_builder *b)
{
	struct tapio_event_block_io *i = b->fields;
	const char *device = tpi_disk_name(now->disks, r->major, r->minor);

	i->latency_ns = r->latency_ns;
	i->queue_ns = r->queue_ns;
	i->sector = r->sector;
	i->length_bytes = r->length_bytes;
	i->major = r->major;
	i->minor = r->minor;
	i->error = r->error;
	i->operation = tpi_ebpf_block_operation(r->operation);
	tpi_ebpf_put(b, &i->comm, r->head.comm, sizeof(r->head.comm));
	tpi_ebpf_put(b, &i->device, device, strlen(device));
}
