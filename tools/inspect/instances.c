/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding catalogs in all processes. A broker and its keeper hold descriptors. A client
 * only maps, and that is seen by root alone. So a catalog that is found in no
 * process's descriptors is one that only clients have.
 */
#include "tools/inspect/instances.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/inspect/segment_set.h"

static void add_command(char command[16], pid_t pid)
{
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (!file || !fgets(command, 16, file))
		command[0] = 0;
	if (file)
		fclose(file);
	command[strcspn(command, "\n")] = 0;
}

static uint32_t count_channels(const struct tpi_catalog *catalog)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < catalog->channel_count; i++)
		count += tpi_channel_exists(catalog, i);
	return count;
}

static uint32_t count_attached(const struct tpi_catalog *catalog)
{
	struct tapio_shm_attachment copy;
	uint32_t count = 0;

	/* Index 0 is never given, and 1 is the broker's own. */
	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		count +=
			tpi_inspect_attachment(&catalog->attachments[i], &copy);
	return count;
}

static enum tpi_instance_state state_of(const struct tpi_instance *i)
{
	switch (i->broker) {
	case TPI_PROCESS_RUNNING:
	case TPI_PROCESS_STOPPED:
		return TPI_INSTANCE_SERVED;
	case TPI_PROCESS_UNKNOWN:
		return TPI_INSTANCE_UNKNOWN;
	default:
		return i->source == TPI_SOURCE_FD ? TPI_INSTANCE_KEPT
						  : TPI_INSTANCE_LEFT;
	}
}

/* False: it is no catalog that can be read. */
static bool describe(struct tpi_instance *i,
		     const struct tpi_segment_set_entry *e, bool mapped)
{
	struct tpi_inspect look = {0};
	const struct tapio_shm_broker *b;

	if (tpi_catalog_attach(&look.catalog, &e->map, NULL, 0))
		return false;
	b = look.catalog.broker;
	memcpy(i->name, e->instance, sizeof(i->name));
	/* relaxed, here and below: words that are shown, each by itself */
	i->broker_pid = tpi_load_relaxed(&b->pid);
	i->broker = tpi_inspect_process_state(
		&look, i->broker_pid, tpi_load_relaxed(&b->start_time_ticks));
	i->started_ns = tpi_load_relaxed(&b->started_ns);
	memcpy(i->version, b->version, sizeof(b->version));
	i->channels = count_channels(&look.catalog);
	i->attached = count_attached(&look.catalog);
	i->pid = e->pid;
	add_command(i->command, e->pid);
	i->source = mapped ? TPI_SOURCE_MAP_FILES : TPI_SOURCE_FD;
	i->state = state_of(i);
	return true;
}

static int collect(const struct tpi_segment_set *set, uint32_t by_fd,
		   struct tpi_instance **out, size_t *count)
{
	*out = calloc((size_t)set->count + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (uint32_t i = 0; i < set->count; i++)
		if (tpi_segment_set_wants(set, &set->entries[i]))
			*count += describe(&(*out)[*count], &set->entries[i],
					   i >= by_fd);
	return 0;
}

int tpi_instances(const struct tpi_inspect_options *options,
		  struct tpi_instance **out, size_t *count, bool *denied)
{
	struct tpi_segment_set set = {.instance = options->instance};
	uint32_t by_fd;
	int err;

	*out = NULL;
	*count = 0;
	tpi_inspect_believe(&set, options);
	err = tpi_segment_set_from_all(&set, tpi_segment_set_from_fds);
	by_fd = set.count;
	if (!err)
		err = tpi_segment_set_from_all(&set,
					       tpi_segment_set_from_map_files);
	if (!err)
		err = collect(&set, by_fd, out, count);
	*denied = set.denied;
	tpi_segment_set_empty(&set);
	return err;
}
