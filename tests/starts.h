/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A moment after a client has come, a child of the broker reads when it began
 * (broker/repair/starts.h). For tests that look at that, or count descriptors.
 */
#ifndef TESTS_STARTS_H
#define TESTS_STARTS_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/memory/layout.h"

static inline bool starts_are_known(const struct tpi_catalog *catalog)
{
	for (uint32_t i = 0; i < catalog->attachment_count; i++) {
		const struct tapio_shm_attachment *a = &catalog->attachments[i];

		if (tpi_load_acquire(&a->state) == TAPIO_ATTACHMENT_ALIVE &&
		    !tpi_load_acquire(&a->start_time_ticks))
			return false;
	}
	return true;
}

static inline void wait_for_known_starts(const struct tpi_catalog *catalog)
{
	for (int i = 0; i < 60000 && !starts_are_known(catalog); i++)
		usleep(1000);
	ck_assert(starts_are_known(catalog));
}

#endif
