/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tracepoints of stream_lttng.c, read several times by LTTng-UST's headers:
 * an event for each size, its payload an array of fixed length.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tapio_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "bench/peers/lttng/events.h"

#if !defined(BENCH_LTTNG_EVENTS_H) || \
	defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_LTTNG_EVENTS_H

#include <stdint.h>

#include <lttng/tracepoint.h>

/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(tapio_bench, bytes_64,
	LTTNG_UST_TP_ARGS(const uint64_t *, words),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_array_hex(uint64_t, words, words, 8)))

LTTNG_UST_TRACEPOINT_EVENT(tapio_bench, bytes_256,
	LTTNG_UST_TP_ARGS(const uint64_t *, words),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_array_hex(uint64_t, words, words, 32)))

LTTNG_UST_TRACEPOINT_EVENT(tapio_bench, bytes_1024,
	LTTNG_UST_TP_ARGS(const uint64_t *, words),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_array_hex(uint64_t, words, words, 128)))
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
