/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the analysis may hold, in bytes, of one process. All that grows with the
 * events takes from it: keys, sketches, partial results. So garbage cannot make the
 * program grow. Any thread may take and give.
 */
#ifndef ANALYZE_BUDGET_H
#define ANALYZE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct an_budget {
	uint64_t max_bytes;
	uint64_t used_bytes;
};

/*
 * As realloc(), from `old_bytes` to `new_bytes`. New bytes are zero. NULL: the budget or
 * the machine has no more, and `old` is as it was.
 */
void *an_grow(struct an_budget *budget, void *old, size_t old_bytes,
	      size_t new_bytes);
void an_give(struct an_budget *budget, void *memory, size_t bytes);

#endif
