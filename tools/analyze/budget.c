/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded memory. See the header. */
#include "tools/analyze/budget.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"

void *an_grow(struct an_budget *budget, void *old, size_t old_bytes,
	      size_t new_bytes)
{
	const uint64_t more = new_bytes - old_bytes;
	char *memory;

	/* Relaxed: a sum, and nothing is published with it. */
	if (tpi_add_relaxed(&budget->used_bytes, more) + more >
		    budget->max_bytes ||
	    !(memory = realloc(old, new_bytes))) {
		tpi_add_relaxed(&budget->used_bytes, (uint64_t)0 - more);
		return NULL;
	}
	memset(memory + old_bytes, 0, new_bytes - old_bytes);
	return memory;
}

void an_give(struct an_budget *budget, void *memory, size_t bytes)
{
	if (!memory)
		return;
	free(memory);
	/* Relaxed: as above. */
	tpi_add_relaxed(&budget->used_bytes, (uint64_t)0 - bytes);
}
