/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the host: /proc/meminfo, with every scan. */
#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"

#define KILOBYTE 1024 /* of meminfo, which writes kB */

#define AT(member) offsetof(struct tapio_event_memory, member)

static const struct {
	const char *name;
	size_t offset;
} lines[] = {
	{"MemTotal:", AT(total_bytes)},
	{"MemFree:", AT(free_bytes)},
	{"MemAvailable:", AT(available_bytes)},
	{"AnonPages:", AT(anonymous_bytes)},
	{"Cached:", AT(cached_bytes)},
	{"Shmem:", AT(shared_bytes)},
	{"Dirty:", AT(dirty_bytes)},
	{"Slab:", AT(slab_bytes)},
	{"KernelStack:", AT(kernel_stack_bytes)},
	{"PageTables:", AT(page_table_bytes)},
	{"SwapTotal:", AT(swap_total_bytes)},
	{"SwapFree:", AT(swap_free_bytes)},
};

/* "AnonPages:       1234 kB" */
static bool parse_line(struct tpi_text line, struct tapio_event_memory *memory)
{
	struct tpi_text name;
	uint64_t value;

	if (!tpi_text_word(&line, &name))
		return false;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!tpi_text_is(name, lines[i].name))
			continue;
		if (!tpi_text_next_u64(&line, &value) ||
		    __builtin_mul_overflow(value, (uint64_t)KILOBYTE, &value))
			return false;
		*(uint64_t *)((char *)memory + lines[i].offset) = value;
		return true;
	}
	return false;
}

bool tpi_parse_memory(struct tpi_text text, struct tapio_event_memory *memory)
{
	struct tpi_text line;
	bool found = false;

	while (tpi_text_whole_line(&text, &line))
		found |= parse_line(line, memory);
	return found;
}

void tpi_memory_scan(struct tpi_proc *proc)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tapio_event_memory *fields;
	ssize_t length =
		tpi_proc_read(proc->proc, "meminfo", buffer, sizeof(buffer));

	if (length < 0) {
		tpi_proc_absent(proc, TPI_PROC_MEMORY, "meminfo", (int)length);
		return;
	}
	fields = tpi_sink_begin(proc->sink, TPI_PROC_MEMORY);
	if (!fields)
		return;
	if (tpi_parse_memory(tpi_text(buffer, (size_t)length), fields))
		tpi_sink_end(proc->sink);
	else
		tpi_sink_cancel(proc->sink);
}
