/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two programs fits this kernel, by what its BTF says of a tracepoint. The
 * arguments of a tracepoint are no fixed interface.
 */
#ifndef TPI_EBPF_VARIANTS_H
#define TPI_EBPF_VARIANTS_H

#include <stdbool.h>

struct btf;

/* Whether the kernel has this tracepoint, or this iterator. */
bool tpi_ebpf_has_tracepoint(const struct btf *btf, const char *name);
bool tpi_ebpf_has_iterator(const struct btf *btf, const char *name);

/* Whether the newer one of the two programs of that name fits. */
typedef bool tpi_ebpf_newer_fn(const struct btf *btf);
bool tpi_ebpf_newer_exit(const struct btf *btf);
bool tpi_ebpf_newer_victim(const struct btf *btf);
bool tpi_ebpf_newer_issue(const struct btf *btf);
bool tpi_ebpf_newer_complete(const struct btf *btf);
bool tpi_ebpf_newer_query(const struct btf *btf);

#endif
