/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: making, attaching and closing one.
 *
 * The memory is believed once, here: attaching computes the layout from the few
 * numbers that make it, checks every other constant and the length against it,
 * and puts what the operations need into a private handle, which no other
 * process can change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kit/pool.h"
#include "lib/base/rseq.h"
#include "lib/base/topology.h"

#define POOL_FLAGS                                                       \
	(TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET | TAPIO_POOL_SHARED | \
	 TAPIO_POOL_EXACT | TAPIO_POOL_UNCHECKED)
#define POOL_CACHE_DEFAULT 64

/* The numbers that make a layout, and the layout. */
struct plan {
	uint32_t object_bytes, count, align, flags, cache, cpus, nodes;
	uint32_t stride, list_bytes, group_count;
	uint64_t nodes_offset, lists_offset, groups_offset, states_offset;
	uint64_t objects_offset, length_bytes;
};

static uint64_t up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* False: the numbers are not those of a pool. */
static bool plan_layout(struct plan *p)
{
	uint32_t both = TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET;
	uint32_t checks = TAPIO_POOL_EXACT | TAPIO_POOL_UNCHECKED;

	if (!p->object_bytes || p->object_bytes > TAPIO_POOL_OBJECT_MAX ||
	    !p->count || p->count > TAPIO_POOL_COUNT_MAX || p->align < 8 ||
	    p->align > TAPIO_POOL_ALIGN_MAX || (p->align & (p->align - 1)) ||
	    p->flags & ~POOL_FLAGS || (p->flags & both) == both ||
	    (p->flags & checks) == checks || p->cache > TAPIO_POOL_CACHE_MAX ||
	    !p->cpus || p->cpus > TPI_CPUS_MAX || !p->nodes ||
	    p->nodes > TAPIO_NODES_MAX)
		return false;
	p->stride = (uint32_t)up(p->object_bytes, p->align);
	p->list_bytes = (uint32_t)up(sizeof(struct tapio_shm_pool_list) +
					     p->cache * sizeof(uint32_t),
				     128);
	p->group_count = (p->count + TAPIO_POOL_GROUP - 1) / TAPIO_POOL_GROUP;
	p->nodes_offset = sizeof(struct tapio_shm_pool);
	p->lists_offset = up(p->nodes_offset + p->cpus, 128);
	p->groups_offset = p->lists_offset + (uint64_t)p->cpus * p->list_bytes;
	p->states_offset = up(p->groups_offset + p->group_count * 8ul, 128);
	p->objects_offset = up(p->states_offset + p->count * 8ul,
			       p->align > 128 ? p->align : 128);
	p->length_bytes = p->objects_offset + (uint64_t)p->count * p->stride;
	return true;
}

static void plan_cache(struct plan *p, uint32_t wanted)
{
	uint32_t cache = wanted;

	if (!cache) {
		cache = p->count / 4 / p->cpus;
		if (cache > POOL_CACHE_DEFAULT)
			cache = POOL_CACHE_DEFAULT;
	}
	p->cache = p->flags & TAPIO_POOL_SHARED ? 0 : cache;
}

/* This machine's CPUs and nodes, or those that the options say. */
static int read_topology(const struct tapio_pool_options *options,
			 struct tpi_topology *topology)
{
	if (options->cpus)
		return tpi_topology_simulate(topology, options->cpus,
					     options->nodes ? options->nodes
							    : 1);
	return tpi_topology_read(topology, "/sys/devices/system");
}

/* A private copy, whatever version of the struct the caller knows. */
static bool read_options(const struct tapio_pool_options *from,
			 struct tapio_pool_options *options)
{
	memset(options, 0, sizeof(*options));
	if (!from)
		return true;
	if (from->size < offsetof(struct tapio_pool_options, align))
		return false;
	memcpy(options, from,
	       from->size < sizeof(*options) ? from->size : sizeof(*options));
	return true;
}

static int plan_new(const struct tapio_pool_options *options, struct plan *p,
		    struct tpi_topology *topology)
{
	int err = read_topology(options, topology);

	if (err)
		return err;
	memset(p, 0, sizeof(*p));
	p->object_bytes = options->object_bytes;
	p->count = options->count;
	p->align = options->align;
	if (!p->align)
		p->align = p->object_bytes >= 64 ? 64 : 16;
	p->flags = options->flags;
	p->cpus = topology->cpus_possible;
	p->nodes = options->nodes ? options->nodes : topology->node_count;
	plan_cache(p, options->cache);
	if (plan_layout(p))
		return 0;
	tpi_topology_free(topology);
	return -EINVAL;
}

size_t tapio_pool_bytes(const struct tapio_pool_options *from)
{
	struct tapio_pool_options options;
	struct tpi_topology topology;
	struct plan p;

	if (!read_options(from, &options) || plan_new(&options, &p, &topology))
		return 0;
	tpi_topology_free(&topology);
	return p.length_bytes;
}

static bool memory_ok(const void *memory, size_t bytes, uint32_t align,
		      uint64_t least)
{
	if (align < TAPIO_POOL_ALIGN)
		align = TAPIO_POOL_ALIGN;
	return memory && !((uintptr_t)memory % align) && bytes >= least;
}

static void set_ranges(struct tapio_pool *pool)
{
	uint64_t n = pool->group_count;
	uint32_t i;

	for (i = 0; i < pool->nodes; i++) {
		pool->range[i].first = (uint32_t)(n * i / pool->nodes);
		pool->range[i].end = (uint32_t)(n * (i + 1) / pool->nodes);
	}
}

static void set_callbacks(struct tapio_pool *pool,
			  const struct tapio_pool_options *options)
{
	pool->reset = options->reset;
	pool->argument = options->argument;
	pool->zero_on_get = pool->flags & TAPIO_POOL_ZERO_ON_GET;
	pool->work_on_put =
		pool->reset ||
		!(pool->flags & (TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET));
	if (pool->work_on_put || pool->flags & TAPIO_POOL_EXACT)
		pool->put_way = TPI_PUT_IN_STEPS;
	else if (pool->flags & TAPIO_POOL_UNCHECKED)
		pool->put_way = TPI_PUT_UNCHECKED;
	else
		pool->put_way = TPI_PUT_AT_ONCE;
	pool->put_count = pool->put_way == TPI_PUT_AT_ONCE ? pool->count : 0;
	pool->get_cpus = pool->zero_on_get ? 0 : pool->fast_cpus;
}

/* A pool without lists needs no test. */
static void choose_lists(struct tapio_pool *pool)
{
	uint32_t verdict;

	if (!pool->cache)
		return;
	verdict = tpi_rseq_selftest(NULL);
	pool->undecided = verdict == TAPIO_RSEQ_INCONCLUSIVE;
	if (tpi_rseq_usable(verdict))
		pool->fast_cpus = pool->cpus;
}

/*
 * Lists and depots may be used side by side, so a process that has used depots alone
 * may begin with the lists at any moment, in any thread.
 */
void tpi_pool_look_for_lists(const struct tapio_pool *pool)
{
	struct tapio_pool *handle = (struct tapio_pool *)(uintptr_t)pool;

	/* Relaxed: all else was there before the handle was handed out. */
	if (pool->undecided && tpi_rseq_usable(tpi_rseq_known())) {
		tpi_store_relaxed(&handle->fast_cpus, pool->cpus);
		if (!pool->zero_on_get)
			tpi_store_relaxed(&handle->get_cpus, pool->cpus);
	}
}

/* The odd factor's inverse: each round doubles the bits that are right, from 3. */
static void divide_by(struct tapio_pool *pool, uint32_t stride)
{
	uint64_t odd, inverse;
	int i;

	pool->stride = stride;
	pool->shift = (uint32_t)__builtin_ctz(stride);
	odd = stride >> pool->shift;
	inverse = odd;
	for (i = 0; i < 5; i++)
		inverse *= 2 - odd * inverse;
	pool->inverse = inverse;
}

static void find_lists(struct tapio_pool *pool, unsigned char *base,
		       const struct plan *p)
{
	uint32_t cpu;

	for (cpu = 0; cpu < p->cpus; cpu++)
		pool->list_of_cpu[cpu] =
			(struct tapio_shm_pool_list *)(base + p->lists_offset +
						       (size_t)cpu *
							       p->list_bytes);
	pool->node_of_cpu = (uint8_t *)&pool->list_of_cpu[p->cpus];
}

static struct tapio_pool *handle_new(void *memory, const struct plan *p)
{
	size_t size = up(
		sizeof(struct tapio_pool) + p->cpus * (sizeof(void *) + 1), 64);
	struct tapio_pool *pool = aligned_alloc(64, size);
	unsigned char *base = memory;

	if (!pool)
		return NULL;
	memset(pool, 0, size);
	pool->shm = memory;
	pool->states = (uint64_t *)(base + p->states_offset);
	pool->objects = base + p->objects_offset;
	pool->groups = (uint64_t *)(base + p->groups_offset);
	divide_by(pool, p->stride);
	find_lists(pool, base, p);
	pool->count = p->count;
	pool->cache = p->cache;
	pool->cpus = p->cpus;
	choose_lists(pool);
	pool->flags = p->flags;
	pool->object_bytes = p->object_bytes;
	pool->group_count = p->group_count;
	pool->nodes = p->nodes;
	pool->length_bytes = p->length_bytes;
	pool->batch = p->cache > 1 ? p->cache / 2 : 1;
	if (pool->batch > TAPIO_POOL_GROUP)
		pool->batch = TAPIO_POOL_GROUP;
	set_ranges(pool);
	return pool;
}

/* The node of each CPU. The memory's word on it is only a preference. */
static void copy_nodes(struct tapio_pool *pool, const struct plan *p)
{
	const uint8_t *from = (uint8_t *)pool->shm + p->nodes_offset;
	uint32_t cpu;
	uint8_t node;

	for (cpu = 0; cpu < p->cpus; cpu++) {
		node = tpi_load_relaxed(&from[cpu]);
		pool->node_of_cpu[cpu] = node < p->nodes ? node : 0;
	}
}

static int take_name(struct tapio_pool *pool, uint32_t owner)
{
	uint64_t name = owner;

	/* Relaxed: only that no two get the same. */
	if (!name)
		name = tpi_add_relaxed(&pool->shm->next_owner, 1);
	if (!name || name > UINT32_MAX)
		return -ENOSPC;
	pool->held = tpi_pool_state(name, TPI_PLACE_HELD);
	return 0;
}

static void write_constants(struct tapio_shm_pool *shm, const struct plan *p)
{
	shm->magic = TAPIO_POOL_MAGIC;
	shm->version = TAPIO_POOL_VERSION;
	shm->flags = p->flags;
	shm->object_bytes = p->object_bytes;
	shm->count = p->count;
	shm->align = p->align;
	shm->stride = p->stride;
	shm->cache = p->cache;
	shm->list_bytes = p->list_bytes;
	shm->cpus = p->cpus;
	shm->nodes = p->nodes;
	shm->nodes_offset = p->nodes_offset;
	shm->lists_offset = p->lists_offset;
	shm->groups_offset = p->groups_offset;
	shm->states_offset = p->states_offset;
	shm->objects_offset = p->objects_offset;
	shm->length_bytes = p->length_bytes;
	shm->next_owner = 1;
	shm->low_depots = p->count;
	shm->min_free = p->count;
}

/* Every object made, free, and in its depot. */
static void make_objects(struct tapio_pool *pool,
			 const struct tapio_pool_options *options)
{
	uint32_t i, node, group;

	for (i = 0; i < pool->count; i++) {
		pool->states[i] = tpi_pool_state(0, TPI_PLACE_DEPOT);
		pool->groups[i / TAPIO_POOL_GROUP] |= UINT64_C(1)
						      << i % TAPIO_POOL_GROUP;
		if (options->init)
			options->init(tpi_pool_at(pool, i), options->argument);
	}
	for (node = 0; node < pool->nodes; node++)
		for (group = pool->range[node].first;
		     group < pool->range[node].end; group++)
			pool->shm->depots[node].free +=
				__builtin_popcountll(pool->groups[group]);
}

static void format(struct tapio_pool *pool, const struct plan *p,
		   const struct tapio_pool_options *options,
		   const struct tpi_topology *topology)
{
	struct tapio_shm_pool *shm = pool->shm;
	uint8_t *node_of_cpu = (uint8_t *)shm + p->nodes_offset;
	size_t after = offsetof(struct tapio_shm_pool, next_owner);

	/*
	 * READY goes first and comes last. A process that attaches in between
	 * finds it missing, also when this process is killed here.
	 */
	tpi_store_relaxed(&shm->ready, 0);
	tpi_fence_store_store();
	memset(shm, 0, offsetof(struct tapio_shm_pool, ready));
	memset((char *)shm + after, 0, p->length_bytes - after);
	write_constants(shm, p);
	memcpy(node_of_cpu, topology->node_of_cpu, p->cpus);
	make_objects(pool, options);
	/*
	 * ORDER pool.ready (release): all of the above. Pairs with the load in
	 * tapio_pool_attach().
	 */
	tpi_store_release(&shm->ready, TAPIO_POOL_READY);
}

static int init(struct tapio_pool **out, void *memory, const struct plan *p,
		const struct tapio_pool_options *options,
		const struct tpi_topology *topology)
{
	struct tapio_pool *pool = handle_new(memory, p);

	if (!pool)
		return -ENOMEM;
	format(pool, p, options, topology);
	copy_nodes(pool, p);
	set_callbacks(pool, options);
	take_name(pool, options->owner); /* the first: there is one */
	*out = pool;
	return 0;
}

int tapio_pool_init(struct tapio_pool **out, void *memory, size_t bytes,
		    const struct tapio_pool_options *from)
{
	struct tapio_pool_options options;
	struct tpi_topology topology;
	struct plan p;
	int err;

	*out = NULL;
	if (!read_options(from, &options))
		return -EINVAL;
	err = plan_new(&options, &p, &topology);
	if (err)
		return err;
	err = memory_ok(memory, bytes, p.align, p.length_bytes)
		      ? init(out, memory, &p, &options, &topology)
		      : -EINVAL;
	tpi_topology_free(&topology);
	return err;
}

int tapio_pool_create(struct tapio_pool **out,
		      const struct tapio_pool_options *from)
{
	struct tapio_pool_options options;
	struct tpi_topology topology;
	struct plan p;
	size_t align;
	void *memory;
	int err;

	*out = NULL;
	if (!read_options(from, &options))
		return -EINVAL;
	err = plan_new(&options, &p, &topology);
	if (err)
		return err;
	align = p.align > TAPIO_POOL_ALIGN ? p.align : TAPIO_POOL_ALIGN;
	memory = aligned_alloc(align, up(p.length_bytes, align));
	err = memory ? init(out, memory, &p, &options, &topology) : -ENOMEM;
	tpi_topology_free(&topology);
	if (err)
		free(memory);
	else
		(*out)->owned = memory;
	return err;
}

/* The plan of the pool that lies there: 0, or it is none. */
static int read_plan(const struct tapio_shm_pool *shm, size_t bytes,
		     struct plan *p)
{
	memset(p, 0, sizeof(*p));
	p->object_bytes = tpi_load_relaxed(&shm->object_bytes);
	p->count = tpi_load_relaxed(&shm->count);
	p->align = tpi_load_relaxed(&shm->align);
	p->flags = tpi_load_relaxed(&shm->flags);
	p->cache = tpi_load_relaxed(&shm->cache);
	p->cpus = tpi_load_relaxed(&shm->cpus);
	p->nodes = tpi_load_relaxed(&shm->nodes);
	if (!plan_layout(p) || p->length_bytes > bytes ||
	    p->stride != tpi_load_relaxed(&shm->stride) ||
	    p->list_bytes != tpi_load_relaxed(&shm->list_bytes) ||
	    p->nodes_offset != tpi_load_relaxed(&shm->nodes_offset) ||
	    p->lists_offset != tpi_load_relaxed(&shm->lists_offset) ||
	    p->groups_offset != tpi_load_relaxed(&shm->groups_offset) ||
	    p->states_offset != tpi_load_relaxed(&shm->states_offset) ||
	    p->objects_offset != tpi_load_relaxed(&shm->objects_offset) ||
	    p->length_bytes != tpi_load_relaxed(&shm->length_bytes))
		return -EBADMSG;
	return 0;
}

static int check_header(const struct tapio_shm_pool *shm)
{
	uint64_t magic;
	uint32_t ready;

	/*
	 * ORDER pool.ready (acquire): the constants are all there. Pairs with
	 * the store in format().
	 */
	ready = tpi_load_acquire(&shm->ready);
	magic = tpi_load_relaxed(&shm->magic);
	if (ready == 0 && (magic == 0 || magic == TAPIO_POOL_MAGIC))
		return -EAGAIN;
	if (ready != TAPIO_POOL_READY || magic != TAPIO_POOL_MAGIC)
		return -EBADMSG;
	if (tpi_load_relaxed(&shm->version) != TAPIO_POOL_VERSION)
		return -EPROTONOSUPPORT;
	return 0;
}

int tapio_pool_attach(struct tapio_pool **out, void *memory, size_t bytes,
		      const struct tapio_pool_options *from)
{
	struct tapio_pool_options options;
	struct tapio_pool *pool;
	struct plan p;
	int err;

	*out = NULL;
	if (!read_options(from, &options) ||
	    !memory_ok(memory, bytes, 0, sizeof(struct tapio_shm_pool)))
		return -EINVAL;
	err = check_header(memory);
	if (!err)
		err = read_plan(memory, bytes, &p);
	if (err)
		return err;
	if (!memory_ok(memory, bytes, p.align, p.length_bytes))
		return -EINVAL;
	pool = handle_new(memory, &p);
	if (!pool)
		return -ENOMEM;
	err = take_name(pool, options.owner);
	if (err) {
		free(pool);
		return err;
	}
	copy_nodes(pool, &p);
	set_callbacks(pool, &options);
	*out = pool;
	return 0;
}

void tapio_pool_close(struct tapio_pool *pool)
{
	if (!pool)
		return;
	free(pool->owned);
	free(pool);
}

uint32_t tapio_pool_owner(const struct tapio_pool *pool)
{
	return TPI_STATE_NAME(pool->held);
}

int64_t tapio_pool_index(const struct tapio_pool *pool, const void *object)
{
	uint64_t index = tpi_pool_index(pool, object);

	return index < pool->count ? (int64_t)index : -EINVAL;
}

void *tapio_pool_object(const struct tapio_pool *pool, uint64_t index)
{
	return index < pool->count ? tpi_pool_at(pool, (uint32_t)index) : NULL;
}

uint32_t tapio_pool_count(const struct tapio_pool *pool)
{
	return pool->count;
}

uint32_t tapio_pool_object_bytes(const struct tapio_pool *pool)
{
	return pool->object_bytes;
}
