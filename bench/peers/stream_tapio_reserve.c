/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tapio, filling events in place: tapio_reserve and tapio_submit, and their
 * batches. It fills in the bytes that the others copy.
 */
#include <string.h>

#include <tapio/tapio.h>

#include "bench/peers/stream_peer.h"

#define TAG TAPIO_TAG(1, 6)

STREAM_INLINE int emit(struct tapio_producer *p, const uint64_t *event,
		       uint32_t bytes)
{
	struct tapio_reservation r;
	int err = tapio_reserve(p, TAG, bytes, &r);

	if (err)
		return err;
	memcpy(r.data, event, bytes);
	while (tapio_submit(p, &r))
		; /* only where this thread moved to a CPU without room */
	return 1;
}

STREAM_INLINE int emit_batch(struct tapio_producer *p, const uint64_t *events,
			     uint32_t bytes, int count)
{
	struct tapio_reservation r[STREAM_BATCH];
	int got = tapio_reserve_batch(p, TAG, bytes, r, (unsigned int)count);
	int done = 0;

	for (int i = 0; i < got; i++)
		memcpy(r[i].data, events + (uint32_t)i * (bytes / 8), bytes);
	while (done < got) {
		int n = tapio_submit_batch(p, r + done,
					   (unsigned int)(got - done));

		if (n > 0)
			done += n;
	}
	return got;
}

#include "bench/peers/stream_tapio.h"

const struct stream_peer stream_tapio_reserve = TAPIO_STREAM_PEER;
