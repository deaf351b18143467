/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part that all events have, and the functions that fill in the rest.
 *
 * A record is in memory that the kernel alone writes, and it is not written again before it
 * is released. Lengths in it are still held against that of the record: so a mistake in a
 * program costs strings, and reads nothing else.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/ebpf/event.h"
#include "tools/common/tool.h"

/* Addresses in an answer take more room as text than in the message. */
#define DNS_TEXT_BYTES 1024

struct kind {
	uint16_t type;
	uint8_t severity;
	uint16_t record_bytes; /* the shortest record */
	uint16_t fields_bytes;
};

static const struct kind kinds[TPI_EBPF_KINDS] = {
	[TPI_EBPF_EXEC] = {TAPIO_EVENT_PROCESS_START, TAPIO_SEVERITY_INFO,
			   sizeof(struct tpi_ebpf_start),
			   sizeof(struct tapio_event_process_start)},
	[TPI_EBPF_FORK] = {TAPIO_EVENT_PROCESS_START, TAPIO_SEVERITY_INFO,
			   sizeof(struct tpi_ebpf_start),
			   sizeof(struct tapio_event_process_start)},
	[TPI_EBPF_EXIT] = {TAPIO_EVENT_PROCESS_EXIT, TAPIO_SEVERITY_INFO,
			   sizeof(struct tpi_ebpf_exit),
			   sizeof(struct tapio_event_process_exit)},
	[TPI_EBPF_OOM] = {TAPIO_EVENT_PROCESS_OOM, TAPIO_SEVERITY_CRITICAL,
			  sizeof(struct tpi_ebpf_oom),
			  sizeof(struct tapio_event_process_oom)},
	[TPI_EBPF_CONNECTION] = {TAPIO_EVENT_NETWORK_CONNECTION,
				 TAPIO_SEVERITY_INFO,
				 sizeof(struct tpi_ebpf_connection),
				 sizeof(struct tapio_event_network_connection)},
	[TPI_EBPF_OPEN] = {TAPIO_EVENT_FILE_ACCESS, TAPIO_SEVERITY_INFO,
			   sizeof(struct tpi_ebpf_open),
			   sizeof(struct tapio_event_file_access)},
	[TPI_EBPF_BLOCK] = {TAPIO_EVENT_BLOCK_IO, TAPIO_SEVERITY_NOTICE,
			    sizeof(struct tpi_ebpf_block),
			    sizeof(struct tapio_event_block_io)},
	[TPI_EBPF_DNS] = {TAPIO_EVENT_DNS, TAPIO_SEVERITY_INFO,
			  sizeof(struct tpi_ebpf_dns),
			  sizeof(struct tapio_event_dns)},
};

/* As far apart as the two readings of one clock may be, and how often it is tried. */
#define NEAR_NS    2000
#define NEAR_TRIES 8

/*
 * Wall time is read between two readings of the other clock. Where something else ran on this CPU
 * meanwhile these are far apart, and it is done again: else stamps would be off by half of that.
 */
static void read_clocks(struct tpi_ebpf_now *now)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < NEAR_TRIES && best_ns > NEAR_NS; i++) {
		const uint64_t before_ns = tpi_clock_read_ns(CLOCK_BOOTTIME);
		const uint64_t wall_ns = tpi_clock_read_ns(CLOCK_REALTIME);
		const uint64_t apart_ns =
			tpi_clock_read_ns(CLOCK_BOOTTIME) - before_ns;

		if (apart_ns >= best_ns)
			continue;
		best_ns = apart_ns;
		now->wall_ns = wall_ns;
		now->boot_ns = before_ns + apart_ns / 2;
	}
}

void tpi_ebpf_now(struct tpi_ebpf_now *now)
{
	read_clocks(now);
	if (!now->page_bytes)
		now->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
}

uint16_t tpi_ebpf_event_type(const struct tpi_ebpf_head *head)
{
	return kinds[head->kind].type;
}

uint32_t tpi_ebpf_event_least(const struct tpi_ebpf_head *head)
{
	return (uint32_t)(sizeof(struct tapio_event) +
			  kinds[head->kind].fields_bytes + sizeof(uint32_t));
}

uint32_t tpi_ebpf_event_bound(const struct tpi_ebpf_head *head, uint32_t length)
{
	const struct kind *kind;
	uint32_t strings = 2 * TPI_EBPF_COMM_BYTES;

	if (length < sizeof(*head) || head->kind >= TPI_EBPF_KINDS)
		return 0;
	kind = &kinds[head->kind];
	if (length < kind->record_bytes)
		return 0;
	strings += length - kind->record_bytes;
	if (head->kind == TPI_EBPF_DNS) {
		const struct tpi_ebpf_dns *dns = (const void *)head;

		strings += (uint32_t)dns->question_bytes + dns->message_bytes +
			   (dns->answer ? DNS_TEXT_BYTES : 0);
	}
	return tpi_ebpf_event_least(head) + strings;
}

void tpi_ebpf_put(struct tapio_event_builder *b,
		  struct tapio_event_string *field, const char *text,
		  size_t bytes)
{
	const size_t length = strnlen(text, bytes);

	if (length)
		tapio_event_builder_string_max(b, field, text, length, length);
}

static void fill_header(const struct tpi_ebpf_now *now,
			const struct tpi_ebpf_head *head,
			struct tapio_event *event)
{
	event->severity = kinds[head->kind].severity;
	event->source = TAPIO_SOURCE_EBPF;
	event->time_ns = tpi_ebpf_wall(now, head->boot_ns);
	event->observed_ns = now->wall_ns;
	event->pid = head->pid;
	event->tid = head->tid;
	event->uid = head->uid;
	event->gid = head->gid;
	event->cgroup_id = head->cgroup_id;
	event->netns_inode = head->netns_inode;
	if (head->existing)
		event->flags |= TAPIO_EVENT_EXISTING;
}

void tpi_ebpf_event_fill(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_head *head, uint32_t length,
			 struct tapio_event_builder *b)
{
	const void *r = head;

	fill_header(now, head, b->event);
	switch ((enum tpi_ebpf_kind)head->kind) {
	case TPI_EBPF_EXEC:
	case TPI_EBPF_FORK:
		tpi_ebpf_fill_start(now, r, length, b);
		break;
	case TPI_EBPF_EXIT:
		tpi_ebpf_fill_exit(now, r, b);
		break;
	case TPI_EBPF_OOM:
		tpi_ebpf_fill_oom(now, r, b);
		break;
	case TPI_EBPF_CONNECTION:
		tpi_ebpf_fill_connection(now, r, b);
		break;
	case TPI_EBPF_OPEN:
		tpi_ebpf_fill_open(now, r, length, b);
		break;
	case TPI_EBPF_BLOCK:
		tpi_ebpf_fill_block(now, r, b);
		break;
	case TPI_EBPF_DNS:
		tpi_ebpf_fill_dns(now, r, b);
		break;
	case TPI_EBPF_KINDS:
		break;
	}
}

int tpi_ebpf_event_build(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_head *head, uint32_t length,
			 void *buffer, uint32_t capacity, uint32_t *tag)
{
	struct tapio_event_builder b;
	int err = tapio_event_builder_init(&b, buffer, capacity,
					   tpi_ebpf_event_type(head));

	if (err)
		return err;
	tpi_ebpf_event_fill(now, head, length, &b);
	err = tapio_event_builder_finish(&b);
	if (err > 0)
		*tag = TAPIO_EVENT_TAG(b.event);
	return err;
}
