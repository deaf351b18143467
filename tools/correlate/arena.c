/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once, with the rules that it holds. */
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/syntax.h"

#define BLOCK_BYTES 16384
/* Far beyond any rules that make sense. */
#define BYTES_MAX ((size_t)256 << 20)

struct tpi_arena_block {
	struct tpi_arena_block *next;
	size_t used, size;
	char data[] __attribute__((aligned(16)));
};

void *tpi_arena_get(struct tpi_arena *arena, size_t bytes)
{
	struct tpi_arena_block *block = arena->blocks;
	void *p;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!block || block->size - block->used < bytes) {
		size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

		arena->bytes += size;
		block = arena->bytes > BYTES_MAX
				? NULL
				: calloc(1, sizeof(*block) + size);
		if (!block) {
			arena->failed = true;
			return NULL;
		}
		block->size = size;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	p = block->data + block->used;
	block->used += bytes;
	return p;
}

char *tpi_arena_text(struct tpi_arena *arena, const char *text, size_t length)
{
	char *copy = tpi_arena_get(arena, length + 1);

	if (copy)
		memcpy(copy, text, length);
	return copy;
}

void tpi_arena_free(struct tpi_arena *arena)
{
	struct tpi_arena_block *next;

	for (; arena->blocks; arena->blocks = next) {
		next = arena->blocks->next;
		free(arena->blocks);
	}
	arena->failed = false;
}
