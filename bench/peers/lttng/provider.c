/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tracepoint provider of stream_lttng.c, in a module of its own: LTTng-UST
 * starts threads in each process that loads it, and waits there for the session
 * daemon, so only the sides that measure it do.
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "bench/peers/lttng/events.h"
#include "bench/peers/lttng/provider.h"

#define SEND_ALL(event)                                          \
	for (; from < to; from++) {                              \
		words[0] = from;                                 \
		lttng_ust_tracepoint(tapio_bench, event, words); \
	}

__attribute__((visibility("default"))) bool
tapio_bench_lttng_send(uint32_t bytes, uint64_t from, uint64_t to)
{
	static _Alignas(64) uint64_t words[128];

	switch (bytes) {
	case 64:
		SEND_ALL(bytes_64)
		return lttng_ust_tracepoint_enabled(tapio_bench, bytes_64);
	case 256:
		SEND_ALL(bytes_256)
		return lttng_ust_tracepoint_enabled(tapio_bench, bytes_256);
	case 1024:
		SEND_ALL(bytes_1024)
		return lttng_ust_tracepoint_enabled(tapio_bench, bytes_1024);
	default:
		return false;
	}
}
