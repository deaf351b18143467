/* SPDX-License-Identifier: Apache-2.0 */
/* The part of keeping that is the same for every keeper. */
#include "broker/keep/keep.h"

#include <errno.h>
#include <stddef.h>

int tpi_keep_put(struct tpi_keep *keep, struct tpi_keep_key key, int fd)
{
	return keep ? keep->ops->put(keep, key, fd) : 0;
}

void tpi_keep_drop(struct tpi_keep *keep, struct tpi_keep_key key)
{
	if (keep)
		keep->ops->drop(keep, key);
}

int tpi_keep_take(struct tpi_keep *keep, struct tpi_keep_key key)
{
	for (uint32_t i = 0; keep && i < keep->kept_count; i++) {
		uint32_t at = (keep->next + i) % keep->kept_count;
		struct tpi_kept *kept = &keep->kept[at];
		int fd = kept->fd;

		if (kept->key.kind != key.kind ||
		    kept->key.number != key.number || fd < 0)
			continue;
		kept->fd = -1;
		keep->next = at + 1;
		return fd;
	}
	return -1;
}

int tpi_keep_hand(struct tpi_keep *keep, struct tpi_keep_hand *hand)
{
	return keep && keep->ops->hand ? keep->ops->hand(keep, hand) : -ENOTSUP;
}

int tpi_keep_let_go(struct tpi_keep *keep)
{
	return keep->ops->let_go(keep);
}

int tpi_keep_hold_on(struct tpi_keep *keep)
{
	return keep->ops->hold_on(keep);
}
