/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a handle, and its fate in a fork.
 *
 * A handle is one mapping of two parts. The public pointer points to the hot part, which
 * comes first. It reads as zeros in a child of fork, so `alive` is 0 there and every table
 * that the fast path follows is empty: a child falls off the fast path by the checks that
 * are there anyway, and no instruction is spent on fork. The cold part stays, so that the
 * child can free its memory.
 *
 * The kernel wipes the hot part at the fork itself (MADV_WIPEONFORK), before the
 * child runs an instruction: a signal handler may emit in a child before any
 * atfork handler had its turn, and _Fork runs none. Where the kernel cannot, an
 * atfork handler does the same, a little later.
 */
#ifndef TPI_HANDLE_H
#define TPI_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/atomic.h"
#include "lib/base/own_fd.h"

/* Room for the hot part: a multiple of every page size of the platform. */
#if defined(__aarch64__)
#define TPI_HOT_BYTES 65536
#else
#define TPI_HOT_BYTES 4096
#endif

/* Begins every hot part. */
struct tpi_hot {
	uint32_t alive; /* 0: a forked child */
};

/* In every cold part. */
struct tpi_handle {
	struct tpi_handle *next;
	struct tpi_handle *prev;
	struct tpi_hot *hot;
	size_t bytes; /* of the mapping */
	/* None in a forked child: they are the parent's. */
	struct tpi_own_fd sock;  /* control connection */
	struct tpi_own_fd event; /* eventfd or timerfd */
};

/*
 * A zeroed, page-aligned handle of `bytes`, whose struct tpi_handle is at
 * `cold` (>= TPI_HOT_BYTES). It is alive. NULL when there is no memory.
 */
void *tpi_handle_new(size_t bytes, size_t cold);
void tpi_handle_free(struct tpi_handle *handle);

static inline bool tpi_alive(const struct tpi_hot *hot)
{
	/* Relaxed: it changes only in a child, which has one thread. */
	return tpi_likely(tpi_load_relaxed(&hot->alive));
}

#endif
