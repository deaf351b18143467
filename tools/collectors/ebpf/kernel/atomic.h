/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Counting in a map. A program may be interrupted by another one on its CPU, so that a
 * plain increment could be lost, and the ledger would not be exact.
 */
#ifndef TPI_EBPF_ATOMIC_H
#define TPI_EBPF_ATOMIC_H

#include "tools/collectors/ebpf/kernel/vmlinux.h"

#define count_add(place, n) ((void)__sync_fetch_and_add((place), (n)))

#endif
