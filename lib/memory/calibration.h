/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticks of the processor's counter as CLOCK_REALTIME, by the pieces that the broker
 * publishes in the catalog (abi.h). Clients and tools find and convert, the broker
 * publishes (broker/registry/clock.c).
 *
 * ONE TIME FOR ONE STAMP. A piece never changes once it is published, and it covers
 * the stamps from its base to the base of the next one. A new piece begins in the
 * future: when it becomes visible, no stamp that it covers has been made. So a stamp
 * is converted by the same piece at every look:
 *
 *  C1  The broker publishes a piece whose base is LEAD ahead of the counter, and
 *	looks at the counter just before the store.
 *  C2  A stamp t that a reader has is not later than now, and at that moment the
 *	pieces with a base <= t are all visible: one that is published later begins
 *	after its publication, so after t.
 *  C3  So the newest piece with base <= t is the same at every later look, until it
 *	is overwritten by the ring.
 *
 * A COUNTER THAT BEGINS ANEW (the machine was suspended, and its processor lost it)
 * makes all pieces and all earlier stamps meaningless. The broker finds that its
 * counter went back, and fills the ring with one piece.
 *
 * What breaks it: a broker that is stopped for longer than LEAD between the look at
 * the counter and the store that follows it. Then stamps made in between move by the
 * correction at hand, usually less than a microsecond. After as many corrections as
 * the ring has pieces, the oldest stamps are converted by a later piece.
 *
 * A broker that takes over goes on behind the last pieces, and changes none.
 *
 * SIGKILL of the broker between writing pieces and storing their count: no reader
 * looks at them. SIGKILL or SIGSTOP after it: the last piece goes on for ever, at the
 * rate of the clock when it was made. A reader that is stopped in its copy finds
 * that the ring has gone round, and looks again.
 */
#ifndef TPI_CALIBRATION_H
#define TPI_CALIBRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/memory/layout.h"

/* By one piece, whether it covers them or not. 0: it has no rate. */
uint64_t tpi_calibration_ns(const struct tapio_shm_calibration *piece,
			    uint64_t ticks);

/* A copy of the piece that covers a stamp; false while there is none. */
bool tpi_calibration_find(const struct tpi_catalog *catalog, uint64_t ticks,
			  struct tapio_shm_calibration *piece);

/* A copy of the last piece, for its rate; false while there is none. */
bool tpi_calibration_newest(const struct tpi_catalog *catalog,
			    struct tapio_shm_calibration *piece);

/*
 * The broker: the last `count` pieces that were published, oldest first. Where there are not so many, the
 * first one stands for those before it. There MUST be one.
 */
void tpi_calibration_last(const struct tpi_catalog *catalog,
			  struct tapio_shm_calibration *pieces, uint32_t count);

/* Pieces in one publication. */
#define TPI_CALIBRATION_PIECES 2

/*
 * The broker: publishes up to TPI_CALIBRATION_PIECES pieces, in order, with one
 * store. Their bases MUST lie in the future, and beyond those of all before.
 */
void tpi_calibration_publish(const struct tpi_catalog *catalog,
			     const struct tapio_shm_calibration *pieces,
			     uint32_t count);

/*
 * The broker: one piece for all stamps, when the counter has begun anew. The ring has
 * no other piece then, since bases MUST NOT go back in it.
 */
void tpi_calibration_restart(const struct tpi_catalog *catalog,
			     const struct tapio_shm_calibration *piece);

#endif
