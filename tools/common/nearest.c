/* SPDX-License-Identifier: Apache-2.0 */
/* The name that was meant. See the header. */
#include "tools/common/nearest.h"

#include <string.h>

#define NAME_MAX_BYTES 64

/* The least number of insertions, deletions and exchanges that makes b of a. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_MAX_BYTES + 1], diagonal, above;
	const size_t m = strlen(a), n = strlen(b);

	if (m > NAME_MAX_BYTES || n > NAME_MAX_BYTES)
		return NAME_MAX_BYTES;
	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= m; i++) {
		diagonal = row[0];
		row[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			above = row[j];
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[n];
}

const char *tpi_nearest(const char *name, const char *const *names,
			size_t count)
{
	unsigned int best = (unsigned int)strlen(name) / 2 + 1, now;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		now = distance(name, names[i]);
		if (now < best) {
			best = now;
			found = names[i];
		}
	}
	return found;
}
