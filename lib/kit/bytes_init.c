/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_bytes: making, attaching and closing.
 *
 * The header says where the pools begin. Each pool says, and checks, the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kit/bytes.h"

#define BYTES_FLAGS                                                   \
	(TAPIO_BYTES_CLEAN | TAPIO_BYTES_SHARED | TAPIO_BYTES_EXACT | \
	 TAPIO_BYTES_UNCHECKED)

/* Where the pools are to be. */
struct plan {
	uint64_t offset[TAPIO_BYTES_CLASSES + 1]; /* the last: the length */
};

static bool read_options(const struct tapio_bytes_options *from,
			 struct tapio_bytes_options *options)
{
	memset(options, 0, sizeof(*options));
	if (!from)
		return true;
	if (from->size < offsetof(struct tapio_bytes_options, flags))
		return false;
	memcpy(options, from,
	       from->size < sizeof(*options) ? from->size : sizeof(*options));
	return !(options->flags & ~BYTES_FLAGS) &&
	       options->heap_max <= TAPIO_BYTES_HEAP_LIMIT;
}

static struct tapio_pool_options
pool_options(const struct tapio_bytes_options *options, uint32_t klass,
	     uint32_t owner)
{
	struct tapio_pool_options pool = {
		.size = sizeof(pool),
		.object_bytes = UINT32_C(64) << klass,
		.count = options->count[klass],
		.flags = options->flags & ~TAPIO_BYTES_CLEAN,
		.cpus = options->cpus,
		.nodes = options->nodes,
		.owner = owner,
	};

	if (!(options->flags & TAPIO_BYTES_CLEAN))
		pool.flags |= TAPIO_POOL_DIRTY;
	return pool;
}

static bool plan_layout(const struct tapio_bytes_options *options,
			struct plan *plan)
{
	uint64_t at = sizeof(struct tapio_shm_bytes);
	struct tapio_pool_options pool;
	bool any = false;
	size_t bytes;
	uint32_t k;

	memset(plan, 0, sizeof(*plan));
	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		if (!options->count[k])
			continue;
		pool = pool_options(options, k, 0);
		bytes = tapio_pool_bytes(&pool);
		if (!bytes)
			return false;
		plan->offset[k] = at;
		at += (bytes + TAPIO_POOL_ALIGN - 1) &
		      ~(uint64_t)(TAPIO_POOL_ALIGN - 1);
		any = true;
	}
	plan->offset[TAPIO_BYTES_CLASSES] = at;
	return any;
}

size_t tapio_bytes_bytes(const struct tapio_bytes_options *from)
{
	struct tapio_bytes_options options;
	struct plan plan;

	if (!read_options(from, &options) || !plan_layout(&options, &plan))
		return 0;
	return plan.offset[TAPIO_BYTES_CLASSES];
}

static struct tapio_bytes *handle_new(void *memory,
				      const struct tapio_bytes_options *options,
				      uint32_t owner)
{
	struct tapio_bytes *bytes = calloc(1, sizeof(*bytes));

	if (!bytes)
		return NULL;
	bytes->memory = memory;
	bytes->owner = owner;
	bytes->heap_max = options->heap_max ? options->heap_max
					    : TAPIO_BYTES_HEAP_DEFAULT;
	bytes->heap = calloc(bytes->heap_max, sizeof(*bytes->heap));
	if (bytes->heap)
		return bytes;
	free(bytes);
	return NULL;
}

/* When all pools are there: which class serves which, and where they end. */
static void index_classes(struct tapio_bytes *bytes)
{
	uintptr_t end = (uintptr_t)bytes->memory;
	struct tapio_pool *pool;
	uint32_t k, next = TAPIO_BYTES_CLASSES;

	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		pool = bytes->pool[k];
		if (pool) {
			end = (uintptr_t)tapio_pool_object(
				      pool, tapio_pool_count(pool) - 1) +
			      tapio_pool_object_bytes(pool);
			bytes->limit = tapio_pool_object_bytes(pool);
		}
		bytes->end[k] = end;
	}
	bytes->serves[k] = TAPIO_BYTES_CLASSES;
	while (k--) {
		if (bytes->pool[k])
			next = k;
		bytes->serves[k] = (uint8_t)next;
	}
}

static int make_pools(struct tapio_bytes *bytes,
		      const struct tapio_bytes_options *options,
		      const struct plan *plan)
{
	struct tapio_pool_options pool;
	uint32_t k;
	int err;

	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		if (!plan->offset[k])
			continue;
		pool = pool_options(options, k, bytes->owner);
		err = tapio_pool_init(&bytes->pool[k],
				      bytes->memory + plan->offset[k],
				      tapio_pool_bytes(&pool), &pool);
		if (err)
			return err;
	}
	index_classes(bytes);
	return 0;
}

static int format(struct tapio_bytes *bytes,
		  const struct tapio_bytes_options *options,
		  const struct plan *plan)
{
	struct tapio_shm_bytes *shm = (struct tapio_shm_bytes *)bytes->memory;
	int err;

	/* READY goes first and comes last. */
	tpi_store_relaxed(&shm->ready, 0);
	tpi_fence_store_store();
	memset(shm, 0, offsetof(struct tapio_shm_bytes, ready));
	shm->version = TAPIO_BYTES_VERSION;
	shm->flags = options->flags;
	shm->length_bytes = plan->offset[TAPIO_BYTES_CLASSES];
	memcpy(shm->offset, plan->offset, sizeof(shm->offset));
	memset(shm->reserved1, 0, sizeof(shm->reserved1));
	shm->next_owner = 2; /* 1 is the maker's, if it has no other */
	shm->magic = TAPIO_BYTES_MAGIC;
	err = make_pools(bytes, options, plan);
	if (err)
		return err;
	bytes->flags = options->flags;
	/*
	 * ORDER bytes.ready (release): all of the above, pools included. Pairs
	 * with the load in tapio_bytes_attach().
	 */
	tpi_store_release(&shm->ready, TAPIO_BYTES_READY);
	return 0;
}

int tapio_bytes_init(struct tapio_bytes **out, void *memory, size_t bytes,
		     const struct tapio_bytes_options *from)
{
	struct tapio_bytes_options options;
	struct tapio_bytes *handle;
	struct plan plan;
	int err;

	*out = NULL;
	if (!read_options(from, &options) || !plan_layout(&options, &plan) ||
	    !memory || (uintptr_t)memory % TAPIO_POOL_ALIGN ||
	    bytes < plan.offset[TAPIO_BYTES_CLASSES])
		return -EINVAL;
	handle =
		handle_new(memory, &options, options.owner ? options.owner : 1);
	if (!handle)
		return -ENOMEM;
	err = format(handle, &options, &plan);
	if (err)
		tapio_bytes_close(handle);
	else
		*out = handle;
	return err;
}

int tapio_bytes_create(struct tapio_bytes **out,
		       const struct tapio_bytes_options *options)
{
	size_t bytes = tapio_bytes_bytes(options);
	void *memory;
	int err;

	*out = NULL;
	if (!bytes)
		return -EINVAL;
	memory = aligned_alloc(TAPIO_POOL_ALIGN, bytes);
	if (!memory)
		return -ENOMEM;
	err = tapio_bytes_init(out, memory, bytes, options);
	if (err)
		free(memory);
	else
		(*out)->owned = memory;
	return err;
}

static int check_header(const struct tapio_shm_bytes *shm, size_t bytes)
{
	uint64_t magic, length;
	uint32_t ready;

	/*
	 * ORDER bytes.ready (acquire): the constants and pools are all there.
	 * Pairs with the store in format().
	 */
	ready = tpi_load_acquire(&shm->ready);
	magic = tpi_load_relaxed(&shm->magic);
	if (ready == 0 && (magic == 0 || magic == TAPIO_BYTES_MAGIC))
		return -EAGAIN;
	if (ready != TAPIO_BYTES_READY || magic != TAPIO_BYTES_MAGIC)
		return -EBADMSG;
	if (tpi_load_relaxed(&shm->version) != TAPIO_BYTES_VERSION)
		return -EPROTONOSUPPORT;
	length = tpi_load_relaxed(&shm->length_bytes);
	if (length > bytes || length % TAPIO_POOL_ALIGN ||
	    tpi_load_relaxed(&shm->flags) & ~BYTES_FLAGS)
		return -EBADMSG;
	return 0;
}

/* Copies the offsets. False: they are not ascending, or lie outside. */
static bool read_offsets(const struct tapio_shm_bytes *shm, size_t bytes,
			 struct plan *plan)
{
	uint64_t at = sizeof(*shm), offset, length;
	bool any = false;
	uint32_t k;

	length = tpi_load_relaxed(&shm->length_bytes);
	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		offset = tpi_load_relaxed(&shm->offset[k]);
		plan->offset[k] = offset;
		if (!offset)
			continue;
		if (offset < at || offset >= length ||
		    offset % TAPIO_POOL_ALIGN)
			return false;
		at = offset + TAPIO_POOL_ALIGN;
		any = true;
	}
	plan->offset[k] = length;
	return any && length <= bytes;
}

/* Each pool may lie up to where the next one begins, and has its class's size. */
static int attach_pools(struct tapio_bytes *bytes, const struct plan *plan)
{
	struct tapio_pool_options options = {.size = sizeof(options),
					     .owner = bytes->owner};
	uint64_t end = plan->offset[TAPIO_BYTES_CLASSES];
	uint32_t k = TAPIO_BYTES_CLASSES;
	int err;

	while (k--) {
		if (!plan->offset[k])
			continue;
		err = tapio_pool_attach(&bytes->pool[k],
					bytes->memory + plan->offset[k],
					end - plan->offset[k], &options);
		if (err)
			return err == -ENOMEM ? err : -EBADMSG;
		if (tapio_pool_object_bytes(bytes->pool[k]) != 64u << k)
			return -EBADMSG;
		end = plan->offset[k];
	}
	index_classes(bytes);
	return 0;
}

static int take_name(struct tapio_shm_bytes *shm, uint32_t owner,
		     uint32_t *name)
{
	uint64_t next = owner;

	/* Relaxed: only that no two get the same. */
	if (!next)
		next = tpi_add_relaxed(&shm->next_owner, 1);
	*name = (uint32_t)next;
	return next && next <= UINT32_MAX ? 0 : -ENOSPC;
}

int tapio_bytes_attach(struct tapio_bytes **out, void *memory, size_t bytes,
		       const struct tapio_bytes_options *from)
{
	struct tapio_shm_bytes *shm = memory;
	struct tapio_bytes_options options;
	struct tapio_bytes *handle;
	struct plan plan;
	uint32_t owner;
	int err;

	*out = NULL;
	if (!read_options(from, &options) || !memory ||
	    (uintptr_t)memory % TAPIO_POOL_ALIGN || bytes < sizeof(*shm))
		return -EINVAL;
	err = check_header(shm, bytes);
	if (!err && !read_offsets(shm, bytes, &plan))
		err = -EBADMSG;
	if (!err)
		err = take_name(shm, options.owner, &owner);
	if (err)
		return err;
	handle = handle_new(memory, &options, owner);
	if (!handle)
		return -ENOMEM;
	err = attach_pools(handle, &plan);
	if (err) {
		tapio_bytes_close(handle);
		return err;
	}
	handle->flags = tpi_load_relaxed(&shm->flags) & BYTES_FLAGS;
	*out = handle;
	return 0;
}

void tapio_bytes_close(struct tapio_bytes *bytes)
{
	uint32_t k;

	if (!bytes)
		return;
	for (k = 0; k < TAPIO_BYTES_CLASSES; k++)
		tapio_pool_close(bytes->pool[k]);
	tpi_bytes_heap_free_all(bytes);
	free(bytes->heap);
	free(bytes->owned);
	free(bytes);
}
