/* SPDX-License-Identifier: Apache-2.0 */
/* The exports of the module provider.c, for stream_lttng.c, which loads it. */
#ifndef BENCH_LTTNG_PROVIDER_H
#define BENCH_LTTNG_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>

#define LTTNG_MODULE "tapio-bench-lttng.so"

/*
 * Sends events of `bytes` whose first words are [from, to). False when no
 * session records such events.
 */
bool tapio_bench_lttng_send(uint32_t bytes, uint64_t from, uint64_t to);

#endif
