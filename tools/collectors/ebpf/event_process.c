/* SPDX-License-Identifier: Apache-2.0 */
/* Events about processes. */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/collectors/ebpf/event.h"

/* The unit of /proc/PID/stat: 100 a second, on each architecture that Tapio knows. */
#define TICK_NS 10000000

/* The arguments with a space between them, as far as there is room for them. */
static void put_command_line(struct tapio_event_builder *b,
			     struct tapio_event_string *field, const char *args,
			     size_t bytes)
{
	char *text;

	while (bytes && !args[bytes - 1])
		bytes--;
	if (!bytes ||
	    tapio_event_builder_string_max(b, field, args, bytes, bytes) <= 0)
		return;
	/* In place: in the block of the lane. */
	text = (char *)(b->event + 1) + b->fields_bytes + sizeof(uint32_t) +
	       field->offset;
	for (uint16_t i = 0; i < field->length; i++)
		if (!text[i])
			text[i] = ' ';
}

static void put_program(const struct tpi_ebpf_start *r, uint32_t length,
			struct tapio_event_process_start *p,
			struct tapio_event_builder *b)
{
	const uint32_t room = length - (uint32_t)sizeof(*r);
	const uint32_t path = r->path_bytes < room ? r->path_bytes : room;
	const uint32_t args =
		r->args_bytes < room - path ? r->args_bytes : room - path;

	tpi_ebpf_put(b, &p->executable, r->data, path);
	put_command_line(b, &p->command_line, r->data + path, args);
	if (r->flags)
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
}

void tpi_ebpf_fill_start(const struct tpi_ebpf_now *now,
			 const struct tpi_ebpf_start *r, uint32_t length,
			 struct tapio_event_builder *b)
{
	struct tapio_event_process_start *p = b->fields;

	p->start_ns = tpi_ebpf_wall(now, r->head.start_boot_ns);
	p->start_ticks = r->head.start_boot_ns / TICK_NS;
	p->ppid = r->head.ppid;
	p->session_id = r->session_id;
	p->group_id = r->group_id;
	tpi_ebpf_put(b, &p->comm, r->head.comm, sizeof(r->head.comm));
	if (r->head.kind == TPI_EBPF_FORK) {
		p->operation = TAPIO_PROCESS_FORK;
		return;
	}
	if (!r->head.existing)
		p->operation = TAPIO_PROCESS_EXEC;
	p->args = r->args;
	put_program(r, length, p, b);
}

/*
 * The kernel counts user and system time by ticks, so that a short process has none, and
 * the time on CPUs exactly: this is divided as the ticks are, as /proc does.
 */
static void fill_times(const struct tpi_ebpf_exit *r,
		       struct tapio_event_process_exit *p)
{
	const uint64_t ticks = r->user_ns + r->system_ns;

	p->cpu_user_ns = r->runtime_ns;
	if (ticks)
		p->cpu_user_ns = (uint64_t)((unsigned __int128)r->runtime_ns *
					    r->user_ns / ticks);
	p->cpu_system_ns = r->runtime_ns - p->cpu_user_ns;
}

static bool is_usual(int signal)
{
	return !signal || signal == SIGHUP || signal == SIGINT ||
	       signal == SIGPIPE || signal == SIGTERM;
}

void tpi_ebpf_fill_exit(const struct tpi_ebpf_now *now,
			const struct tpi_ebpf_exit *r,
			struct tapio_event_builder *b)
{
	struct tapio_event_process_exit *p = b->fields;
	const int status = (int)r->status;

	p->start_ns = tpi_ebpf_wall(now, r->head.start_boot_ns);
	p->start_ticks = r->head.start_boot_ns / TICK_NS;
	p->duration_ns = r->head.boot_ns - r->head.start_boot_ns;
	p->rss_max_bytes = r->rss_max_pages * now->page_bytes;
	p->ppid = r->head.ppid;
	p->signal = (uint32_t)(status & 0x7f);
	if (!p->signal)
		p->exit_code = WEXITSTATUS(status);
	if (!is_usual((int)p->signal))
		b->event->severity = TAPIO_SEVERITY_WARNING;
	fill_times(r, p);
	tpi_ebpf_put(b, &p->comm, r->head.comm, sizeof(r->head.comm));
}

static uint64_t pages(const struct tpi_ebpf_now *now, uint64_t n)
{
	return n == UINT64_MAX ? n : n * now->page_bytes;
}

void tpi_ebpf_fill_oom(const struct tpi_ebpf_now *now,
		       const struct tpi_ebpf_oom *r,
		       struct tapio_event_builder *b)
{
	struct tapio_event_process_oom *p = b->fields;

	p->virtual_bytes = pages(now, r->virtual_pages);
	p->anonymous_bytes = pages(now, r->anonymous_pages);
	p->file_bytes = pages(now, r->file_pages);
	p->shared_bytes = pages(now, r->shared_pages);
	p->swap_bytes = pages(now, r->swap_pages);
	p->page_table_bytes = r->page_table_bytes;
	p->score_adjustment = r->score_adjustment;
	p->trigger_pid = r->trigger_pid;
	tpi_ebpf_put(b, &p->comm, r->head.comm, sizeof(r->head.comm));
	tpi_ebpf_put(b, &p->trigger_comm, r->trigger_comm,
		     sizeof(r->trigger_comm));
}
