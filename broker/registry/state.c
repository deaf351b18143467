/* SPDX-License-Identifier: Apache-2.0 */
/* Making, opening and checking the private records. Called by registry.c and adopt.c. */
#include "broker/registry/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

static uint64_t bytes_of(uint64_t client_count, uint64_t channel_count)
{
	return sizeof(struct tpi_state_head) +
	       client_count * sizeof(struct tpi_state_client) +
	       channel_count * sizeof(struct tpi_state_channel);
}

static void find_records(struct tpi_state *state, void *base,
			 uint32_t client_count)
{
	state->head = base;
	state->clients = (void *)(state->head + 1);
	state->channels = (void *)(state->clients + client_count);
}

static int make_file(struct tpi_state *state, uint64_t bytes, char *error,
		     size_t error_bytes)
{
	struct tpi_segment_request request = {
		.name = "tapio-state",
		.bytes = bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	int err = tpi_segment_create(&state->segment, &request, error,
				     error_bytes);

	/* A forked child of an embedding process is no second broker. */
	if (!err)
		(void)tpi_sys_madvise(state->segment.map.base,
				      state->segment.map.bytes, MADV_DONTFORK);
	return err;
}

int tpi_state_create(struct tpi_state *state, uint32_t client_count,
		     uint32_t channel_count, const uint8_t instance[16],
		     bool kept, char *error, size_t error_bytes)
{
	uint64_t bytes = bytes_of(client_count, channel_count);
	void *base;
	int err = 0;

	memset(state, 0, sizeof(*state));
	if (kept)
		err = make_file(state, bytes, error, error_bytes);
	if (err)
		return err;
	state->on_heap = !kept;
	base = kept ? (void *)state->segment.map.base : calloc(1, bytes);
	if (!base)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	find_records(state, base, client_count);
	state->head->magic = TPI_STATE_MAGIC;
	state->head->version = TPI_STATE_VERSION;
	state->head->bytes = bytes;
	state->head->client_count = client_count;
	state->head->channel_count = channel_count;
	memcpy(state->head->instance, instance, sizeof(state->head->instance));
	/* ORDER state.ready (release): all of the head before it. Pairs
	 * with the acquire of a successor, check_head(). */
	tpi_store_release(&state->head->ready, TPI_STATE_READY);
	TPI_TESTPOINT("state.ready");
	return 0;
}

static int check_head(const struct tpi_map *map,
		      const struct tpi_catalog *catalog, char *error,
		      size_t error_bytes)
{
	const struct tpi_state_head *head = (const void *)map->base;
	uint64_t need =
		bytes_of(catalog->attachment_count, catalog->channel_count);

	if (map->bytes < sizeof(*head) || head->magic != TPI_STATE_MAGIC)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"the private state of %" PRIu64
				" bytes has not its magic number",
				map->bytes);
	if (head->version != TPI_STATE_VERSION)
		return tpi_fail(-EPROTONOSUPPORT, error, error_bytes,
				"the private state is of version %" PRIu32
				", this broker reads %d",
				head->version, TPI_STATE_VERSION);
	/* ORDER state.ready (acquire): pairs with tpi_state_create(). */
	if (tpi_load_acquire(&head->ready) != TPI_STATE_READY)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"the private state is not ready: 0x%08" PRIx32,
				head->ready);
	if (memcmp(head->instance, catalog->instance, sizeof(head->instance)))
		return tpi_fail(-EBADMSG, error, error_bytes,
				"the private state is of another instance than "
				"the catalog");
	if (head->client_count != catalog->attachment_count ||
	    head->channel_count != catalog->channel_count ||
	    head->bytes != need || map->bytes < need)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"the private state has %" PRIu32
				" clients and %" PRIu32 " channels in %" PRIu64
				" bytes, and the catalog has %" PRIu32
				" and %" PRIu32 ", which need %" PRIu64,
				head->client_count, head->channel_count,
				map->bytes, catalog->attachment_count,
				catalog->channel_count, need);
	return 0;
}

int tpi_state_open(struct tpi_state *state, int fd,
		   const struct tpi_catalog *catalog, char *error,
		   size_t error_bytes)
{
	struct tpi_segment *segment = &state->segment;
	struct stat st;
	int err;

	memset(state, 0, sizeof(*state));
	segment->fd = fd;
	segment->fd_ro = -1;
	if (fstat(fd, &st))
		err = tpi_fail(-errno, error, error_bytes, "fstat: %s",
			       strerror(errno));
	else if ((st.st_mode & 07777) != 0600)
		err = tpi_fail(-EACCES, error, error_bytes,
			       "the private state has the mode 0%o, must be "
			       "0600",
			       st.st_mode & 07777);
	else
		err = tpi_map_fd(&segment->map, fd, true, INT64_MAX, error,
				 error_bytes);
	if (!err)
		err = check_head(&segment->map, catalog, error, error_bytes);
	if (err) {
		tpi_segment_destroy(segment);
		memset(state, 0, sizeof(*state));
		return err;
	}
	find_records(state, segment->map.base, catalog->attachment_count);
	return 0;
}

void tpi_state_destroy(struct tpi_state *state)
{
	if (state->on_heap)
		free(state->head);
	else if (state->head || state->segment.map.base)
		tpi_segment_destroy(&state->segment);
	memset(state, 0, sizeof(*state));
}
