/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input chooses the classes of a tapio_bytes and then what is
 * done with it. The properties: a buffer is as large as was asked for, of the
 * smallest class that may serve, overlaps no other, keeps what is written into
 * it, is zero when that was asked for. A put is accepted once, and nothing else
 * is. A refusal has the reason that the model knows.
 */
#include <errno.h>
#include <string.h>

#include <tapio/bytes.h>

#include "fuzz.h"

#define LIVE_MAX 64
#define HEAP_MAX 4

struct choices {
	const uint8_t *data;
	size_t size;
};

static uint32_t choose(struct choices *c)
{
	if (!c->size)
		return 0;
	c->size--;
	return *c->data++;
}

static uint32_t choose_wide(struct choices *c)
{
	uint32_t low = choose(c);

	return low | choose(c) << 8;
}

struct live {
	unsigned char *buffer;
	size_t capacity;
	uint8_t fill;
	bool heap;
};

struct model {
	struct tapio_bytes *bytes;
	uint32_t flags;
	uint32_t left[TAPIO_BYTES_CLASSES];
	uint32_t count[TAPIO_BYTES_CLASSES];
	size_t limit;
	struct live live[LIVE_MAX];
	uint32_t lives;
	uint32_t heap;
	uint8_t next_fill;
};

static bool is_all(const unsigned char *at, size_t length, uint8_t value)
{
	return !length || (at[0] == value && !memcmp(at, at + 1, length - 1));
}

/* The class that the model expects. TAPIO_BYTES_CLASSES: exhausted. */
static uint32_t expect(const struct model *m, size_t length, uint32_t flags)
{
	uint32_t k = 0;

	while (length > (size_t)TAPIO_BYTES_MIN << k || !m->count[k])
		k++;
	if (flags & TAPIO_BYTES_LARGER)
		while (k < TAPIO_BYTES_CLASSES && !m->left[k])
			k++;
	return k < TAPIO_BYTES_CLASSES && m->left[k] ? k : TAPIO_BYTES_CLASSES;
}

static void keep(struct model *m, unsigned char *buffer, size_t length,
		 uint32_t flags, bool heap)
{
	struct live *live = &m->live[m->lives++];
	int64_t capacity = tapio_bytes_capacity(m->bytes, buffer);

	FUZZ_CHECK(capacity >= (int64_t)length);
	FUZZ_CHECK((uintptr_t)buffer % 64 == 0);
	if (flags & TAPIO_BYTES_ZERO || (!heap && m->flags & TAPIO_BYTES_CLEAN))
		FUZZ_CHECK(is_all(buffer, (size_t)capacity, 0));
	live->buffer = buffer;
	live->capacity = (size_t)capacity;
	live->fill = ++m->next_fill;
	live->heap = heap;
	memset(buffer, live->fill, live->capacity);
}

static void try_get(struct model *m, struct choices *c)
{
	uint32_t flags = choose(c) & 7, k;
	size_t length = choose_wide(c) >> choose(c) % 16;
	void *buffer = m;
	int err;

	length += choose(c) & 1 ? m->limit - 1 : 0;
	err = tapio_bytes_get(m->bytes, length, flags, &buffer);
	FUZZ_CHECK(err || buffer);
	FUZZ_CHECK(!err || !buffer);
	if (length > m->limit) {
		if (!(flags & TAPIO_BYTES_HEAP)) {
			FUZZ_CHECK(err == -EMSGSIZE);
		} else if (m->heap == HEAP_MAX) {
			FUZZ_CHECK(err == -EAGAIN);
		} else {
			FUZZ_CHECK(!err);
			m->heap++;
			keep(m, buffer, length, flags, true);
		}
		return;
	}
	k = expect(m, length, flags);
	if (k == TAPIO_BYTES_CLASSES) {
		FUZZ_CHECK(err == -EAGAIN);
		return;
	}
	FUZZ_CHECK(!err);
	FUZZ_CHECK(tapio_bytes_capacity(m->bytes, buffer) == TAPIO_BYTES_MIN
								     << k);
	m->left[k]--;
	keep(m, buffer, length, flags, false);
}

static void try_put(struct model *m, struct choices *c)
{
	uint32_t i = choose(c) % m->lives, k = 0;
	struct live live = m->live[i];

	FUZZ_CHECK(is_all(live.buffer, live.capacity, live.fill));
	/* Neighbours of a buffer are not buffers. */
	FUZZ_CHECK(
		tapio_bytes_put(m->bytes, live.buffer + 1 + choose(c) % 63) ==
		-EINVAL);
	FUZZ_CHECK(!tapio_bytes_put(m->bytes, live.buffer));
	m->live[i] = m->live[--m->lives];
	if (live.heap) {
		m->heap--;
		return;
	}
	FUZZ_CHECK(tapio_bytes_put(m->bytes, live.buffer) == -EALREADY);
	while (live.capacity > (size_t)TAPIO_BYTES_MIN << k)
		k++;
	m->left[k]++;
}

/* Any offset: a buffer's beginning or NULL, and then it is ours or refused. */
static void try_offset(struct model *m, struct choices *c)
{
	uint64_t offset = (uint64_t)choose_wide(c) << choose(c) % 12;
	void *buffer = tapio_bytes_at(m->bytes, offset);
	uint32_t i;
	int err;

	if (!buffer)
		return;
	FUZZ_CHECK(tapio_bytes_offset(m->bytes, buffer) == (int64_t)offset);
	for (i = 0; i < m->lives; i++)
		if (m->live[i].buffer == buffer)
			return;
	err = tapio_bytes_put(m->bytes, buffer);
	FUZZ_CHECK(err == -EALREADY);
	FUZZ_CHECK(tapio_bytes_give(m->bytes, buffer, 9) == -EALREADY);
}

static bool make(struct model *m, struct choices *c)
{
	struct tapio_bytes_options options = {.size = sizeof(options)};
	uint32_t k;

	memset(m, 0, sizeof(*m));
	/* SHARED: an exhausted class is exhausted on every CPU. */
	m->flags = TAPIO_BYTES_SHARED | (choose(c) & TAPIO_BYTES_CLEAN);
	for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
		options.count[k] = choose(c) % 5;
		m->left[k] = m->count[k] = options.count[k];
		if (options.count[k])
			m->limit = (size_t)TAPIO_BYTES_MIN << k;
	}
	options.flags = m->flags;
	options.cpus = 2;
	options.heap_max = HEAP_MAX;
	if (!m->limit) {
		FUZZ_CHECK(tapio_bytes_create(&m->bytes, &options) == -EINVAL);
		return false;
	}
	FUZZ_CHECK(!tapio_bytes_create(&m->bytes, &options));
	FUZZ_CHECK(tapio_bytes_limit(m->bytes) == m->limit);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tapio_bytes_stats stats = {.size = sizeof(stats)};
	struct choices c = {data, size};
	struct model m;
	uint64_t used = 0;
	uint32_t i;

	if (!make(&m, &c))
		return 0;
	while (c.size) {
		switch (choose(&c) % 4) {
		case 0:
		case 1:
			if (m.lives < LIVE_MAX)
				try_get(&m, &c);
			break;
		case 2:
			if (m.lives)
				try_put(&m, &c);
			break;
		default:
			try_offset(&m, &c);
		}
	}
	for (i = 0; i < m.lives; i++) {
		FUZZ_CHECK(is_all(m.live[i].buffer, m.live[i].capacity,
				  m.live[i].fill));
		used += m.live[i].heap ? 0 : m.live[i].capacity;
	}
	FUZZ_CHECK(!tapio_bytes_stats_read(m.bytes, &stats));
	FUZZ_CHECK(stats.used_bytes == used);
	FUZZ_CHECK(stats.heap == m.heap);
	tapio_bytes_close(m.bytes);
	return 0;
}
