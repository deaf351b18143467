/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of waking by a futex: one line is stored (stream_line.h), and a
 * wake follows, with no question whether anyone sleeps.
 */
#include "lib/base/atomic.h"
#include "lib/base/futex.h"

static inline void line_wake(uint32_t *bell)
{
	/* ORDER bench.bell (acq_rel): the event. Pairs with the acquire in
	 * line_sleep(). */
	tpi_add_acq_rel(bell, 1);
	tpi_futex_wake(bell, 1);
}

static inline void line_sleep(uint32_t *bell, const uint64_t *line,
			      uint64_t next)
{
	/* ORDER bench.bell (acquire): the events that it rang for. Pairs with
	 * line_wake(). */
	uint32_t rung = tpi_load_acquire(bell);

	if (tpi_load_relaxed(line) != next)
		tpi_futex_wait(bell, rung, 1000000000);
}

#include "bench/peers/stream_line.h"

const struct stream_peer stream_futex = {
	.peer = LINE_PEER("bare futex"),
	.make = line_make,
	.unmake = line_unmake,
	LINE_STREAM,
};
