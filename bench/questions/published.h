/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of figures that were not measured here. */
#ifndef BENCH_PUBLISHED_H
#define BENCH_PUBLISHED_H

/* On whose machine, and of how large a batch, it does not say: an order of
 * magnitude, and no ratio. */
#define BENCH_SEED "as published by the seed package, on a machine of its own"

#endif
