/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes at rest: private memory that stands for a segment of an isolated producer while its
 * own is not to be read, or is not had. Called by clients and tools.
 */
#include <errno.h>
#include <sys/mman.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/memory/layout_inner.h"

static void fill(const struct tpi_map *map, uint64_t offset, uint64_t end)
{
	struct tapio_shm_lane *lane =
		tpi_offset(map, offset, sizeof(*lane), TAPIO_CACHE_LINE);

	if (!lane) /* tpi_channel_attach() says what is wrong */
		return;
	lane->state = TAPIO_STATE(end & TAPIO_POSITION_MASK, 0);
	lane->gate = end & TAPIO_POSITION_MASK;
}

int tpi_channel_rest(struct tpi_map *map, const struct tpi_catalog *catalog,
		     uint32_t channel, uint32_t segment, uint64_t bytes)
{
	const struct tapio_shm_channel *info = &catalog->channels[channel];
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err = 0;

	if (base == MAP_FAILED)
		return -errno;
	*map = (struct tpi_map){.base = base, .bytes = bytes};
	for (uint32_t i = 0; i < info->lane_count; i++) {
		uint32_t at = info->first_place + i;

		/* Plain: the broker writes places once, before READY. Relaxed: a hint where
		 * the lane will go on. */
		if (catalog->places[at].segment == segment)
			fill(map, catalog->places[at].lane_offset,
			     tpi_load_relaxed(&catalog->spans[at].end));
	}
	(void)tpi_sys_madvise(base, bytes, MADV_DONTDUMP);
	if (mprotect(base, bytes, PROT_READ))
		err = -errno;
	if (!err)
		err = tpi_sys_madvise(base, bytes, MADV_DONTFORK);
	if (err)
		tpi_map_close(map);
	return err;
}
