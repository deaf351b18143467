/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of a command line that fit nothing in the memory. Without a word about it a name that is
 * misspelled would be answered by an empty table, and by "healthy".
 */
#ifndef STAT_NAMED_H
#define STAT_NAMED_H

#include "tools/shmstat/command.h"

/*
 * True: `text` has the filter that fits nothing, and the names that are there. `look` is one whose rows are
 * not selected yet, for the names of -I; NULL: they are not asked for.
 */
bool named_is_unknown(const struct stat_filter *filter,
		      const struct tpi_inspect *inspect, const json_t *look,
		      char *text, size_t bytes);

/* The keys of rows that are names. Ends with NULL. */
extern const char *const named_keys[];

#endif
