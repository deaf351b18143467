/* SPDX-License-Identifier: Apache-2.0 */
/* One batch of records from a ring into a lane. By the thread of that drain. */
#ifndef TPI_EBPF_BATCH_H
#define TPI_EBPF_BATCH_H

#include "tools/collectors/ebpf/drain.h"

/*
 * Up to 32 records of one ring. How many have left it (each as emitted, or refused because
 * it never fits). 0: there is none. -EAGAIN, -ENOBUFS or another error: they stay.
 */
int tpi_drain_batch(struct tpi_drain *d, int ring);

/* Counts the records that are left in both rings as refused, by the cause of that. */
void tpi_drain_left(struct tpi_drain *d);

#endif
