/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Adding to a histogram of this CPU. */
#ifndef TPI_EBPF_HISTOGRAM_H
#define TPI_EBPF_HISTOGRAM_H

#include "tools/collectors/ebpf/kernel/probe.h"

/* The number of bits that a value has: 0 for 0. */
static __always_inline uint32_t bits_of(uint64_t value)
{
	uint32_t bits = 0;

	for (int step = 32; step; step /= 2) {
		if (value >> step) {
			value >>= step;
			bits += (uint32_t)step;
		}
	}
	return bits + (value ? 1 : 0);
}

static __always_inline void histogram_add(struct tpi_ebpf_histogram *h,
					  uint64_t ns)
{
	uint32_t slot = bits_of(ns / 1000);

	if (slot >= TPI_EBPF_SLOTS)
		slot = TPI_EBPF_SLOTS - 1;
	count_add(&h->slots[slot], 1);
	count_add(&h->sum_ns, ns);
	if (ns > h->max_ns)
		h->max_ns = ns;
}

#endif
