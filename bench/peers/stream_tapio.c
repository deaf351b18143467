/* SPDX-License-Identifier: Apache-2.0 */
/* Tapio, emitting from buffers: tapio_output and tapio_output_batch. */
#include <tapio/tapio.h>

#include "bench/peers/stream_peer.h"

#define TAG TAPIO_TAG(1, 6)

STREAM_INLINE int emit(struct tapio_producer *p, const uint64_t *event,
		       uint32_t bytes)
{
	int err = tapio_output(p, TAG, event, bytes);

	return err ? err : 1;
}

STREAM_INLINE int emit_batch(struct tapio_producer *p, const uint64_t *events,
			     uint32_t bytes, int count)
{
	struct tapio_item items[STREAM_BATCH];

	for (int i = 0; i < count; i++)
		items[i] = (struct tapio_item){
			.data = events + (uint32_t)i * (bytes / 8),
			.length = bytes,
			.tag = TAG,
		};
	return tapio_output_batch(p, items, (unsigned int)count);
}

#include "bench/peers/stream_tapio.h"

const struct stream_peer stream_tapio = TAPIO_STREAM_PEER;
