/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_bytes: get and put. (bytes_init.c makes and attaches, bytes_heap.c has
 * the buffers that come from the heap.)
 *
 * All that is shared, and all that can be cut short by a kill, is in the pools.
 * The arguments are in pool.c. Here an address is turned into its class by
 * comparing it with where the classes end, in private memory: nothing that lies
 * beside a buffer, where its owner could overwrite it, says how large it is.
 */
#include <errno.h>
#include <string.h>

#include "lib/kit/bytes.h"

#define GET_FLAGS (TAPIO_BYTES_ZERO | TAPIO_BYTES_LARGER | TAPIO_BYTES_HEAP)

/* The smallest class that holds `length` <= TAPIO_BYTES_MAX bytes. */
static uint32_t class_of_length(size_t length)
{
	if (length <= TAPIO_BYTES_MIN)
		return 0;
	return 64 - (uint32_t)__builtin_clzll((length - 1) >> 6);
}

static size_t class_capacity(uint32_t klass)
{
	return (size_t)TAPIO_BYTES_MIN << klass;
}

/* The pool of a buffer's class, or NULL: it lies in none. */
static struct tapio_pool *pool_of(const struct tapio_bytes *bytes,
				  const void *buffer)
{
	uintptr_t at = (uintptr_t)buffer;
	uint32_t klass = 0;

	if (at < (uintptr_t)bytes->memory ||
	    at >= bytes->end[TAPIO_BYTES_CLASSES - 1])
		return NULL;
	while (at >= bytes->end[klass])
		klass++;
	return bytes->pool[klass];
}

static int get_pooled(struct tapio_bytes *bytes, uint32_t klass, uint32_t flags,
		      void **buffer)
{
	int err;

	do {
		err = tapio_pool_get(bytes->pool[klass], buffer);
		if (err != -EAGAIN || !(flags & TAPIO_BYTES_LARGER))
			break;
		klass = bytes->serves[klass + 1];
	} while (klass < TAPIO_BYTES_CLASSES);
	if (!err && flags & TAPIO_BYTES_ZERO &&
	    !(bytes->flags & TAPIO_BYTES_CLEAN))
		memset(*buffer, 0, class_capacity(klass));
	return err;
}

int tapio_bytes_get(struct tapio_bytes *bytes, size_t length, uint32_t flags,
		    void **buffer)
{
	int err;

	*buffer = NULL;
	if (tpi_unlikely(flags & ~GET_FLAGS))
		return -EINVAL;
	if (tpi_likely(length <= bytes->limit))
		return get_pooled(bytes, bytes->serves[class_of_length(length)],
				  flags, buffer);
	if (!(flags & TAPIO_BYTES_HEAP)) {
		/* Relaxed: a number for people. */
		tpi_add_relaxed(&bytes->too_large, 1);
		return -EMSGSIZE;
	}
	err = tpi_bytes_heap_get(bytes, length, buffer);
	if (!err && flags & TAPIO_BYTES_ZERO)
		memset(*buffer, 0,
		       (size_t)tpi_bytes_heap_capacity(bytes, *buffer));
	return err;
}

int tapio_bytes_put(struct tapio_bytes *bytes, void *buffer)
{
	struct tapio_pool *pool = pool_of(bytes, buffer);

	if (tpi_likely(pool != NULL))
		return tapio_pool_put(pool, buffer);
	return tpi_bytes_heap_put(bytes, buffer);
}

int64_t tapio_bytes_capacity(const struct tapio_bytes *bytes,
			     const void *buffer)
{
	struct tapio_pool *pool = pool_of(bytes, buffer);

	if (!pool)
		return tpi_bytes_heap_capacity(bytes, buffer);
	return tapio_pool_index(pool, buffer) >= 0
		       ? (int64_t)tapio_pool_object_bytes(pool)
		       : -EINVAL;
}

size_t tapio_bytes_limit(const struct tapio_bytes *bytes)
{
	return bytes->limit;
}

uint32_t tapio_bytes_owner(const struct tapio_bytes *bytes)
{
	return bytes->owner;
}

int tapio_bytes_give(struct tapio_bytes *bytes, void *buffer, uint32_t to)
{
	struct tapio_pool *pool = pool_of(bytes, buffer);

	return pool ? tapio_pool_give(pool, buffer, to) : -EINVAL;
}

int tapio_bytes_adopt(struct tapio_bytes *bytes, void *buffer, uint32_t from)
{
	struct tapio_pool *pool = pool_of(bytes, buffer);

	return pool ? tapio_pool_adopt(pool, buffer, from) : -EINVAL;
}

int64_t tapio_bytes_offset(const struct tapio_bytes *bytes, const void *buffer)
{
	struct tapio_pool *pool = pool_of(bytes, buffer);

	if (!pool || tapio_pool_index(pool, buffer) < 0)
		return -EINVAL;
	return (const unsigned char *)buffer - bytes->memory;
}

void *tapio_bytes_at(const struct tapio_bytes *bytes, uint64_t offset)
{
	uintptr_t end = bytes->end[TAPIO_BYTES_CLASSES - 1];
	void *buffer;

	if (offset >= end - (uintptr_t)bytes->memory)
		return NULL;
	buffer = bytes->memory + offset;
	return tapio_bytes_offset(bytes, buffer) >= 0 ? buffer : NULL;
}

int64_t tapio_bytes_reclaim(struct tapio_bytes *bytes, uint32_t owner)
{
	int64_t n, total = 0;
	uint32_t k;

	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		if (!bytes->pool[k])
			continue;
		n = tapio_pool_reclaim(bytes->pool[k], owner);
		if (n < 0)
			return n;
		total += n;
	}
	return total;
}

int tapio_bytes_class_stats_read(const struct tapio_bytes *bytes,
				 uint32_t index, struct tapio_pool_stats *stats)
{
	if (index >= TAPIO_BYTES_CLASSES || !bytes->pool[index])
		return -EINVAL;
	return tapio_pool_stats_read(bytes->pool[index], stats);
}

int tapio_bytes_stats_read(const struct tapio_bytes *bytes,
			   struct tapio_bytes_stats *stats)
{
	struct tapio_pool_stats one = {.size = sizeof(one)};
	struct tapio_bytes_stats all = {0};
	size_t size = stats->size;
	uint32_t k;

	if (size < 16)
		return -EINVAL;
	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		if (tapio_bytes_class_stats_read(bytes, k, &one))
			continue;
		all.free_bytes += class_capacity(k) * one.free;
		all.used_bytes += class_capacity(k) * one.in_use;
	}
	all.too_large = tpi_load_relaxed(&bytes->too_large);
	all.heap = tpi_bytes_heap_count(bytes);
	all.heap_max = bytes->heap_max;
	all.size = size < sizeof(all) ? size : sizeof(all);
	memcpy(stats, &all, all.size);
	return 0;
}
