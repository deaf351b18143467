/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a handle, and its fate in a fork.
 *
 * A handle, or each memory of one that moves, is one mapping of two parts. The public pointer points to the hot part, which
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
	struct tpi_own_fd sock;   /* control connection */
	struct tpi_own_fd coming; /* one that may take its place (revive.c) */
	struct tpi_own_fd event;  /* eventfd or timerfd */
	/* One that is in no list, and goes the way of this one in a child: the newest
	 * memory of a listed handle that moves, and of each the one before. */
	struct tpi_handle *beside;
};

/*
 * A zeroed, page-aligned handle of `bytes`, whose struct tpi_handle is at
 * `cold` (>= TPI_HOT_BYTES). It is alive. NULL when there is no memory.
 */
void *tpi_handle_new(size_t bytes, size_t cold);
void tpi_handle_free(struct tpi_handle *handle);

/*
 * The same without the list, by system calls alone, so in any context. A fork knows of it
 * once it stands `beside` one that is listed.
 */
void *tpi_handle_make(size_t bytes, size_t cold);
void tpi_handle_unmake(struct tpi_handle *handle);

/* Of a handle that is in memory of its own, and has no hot part. */
void tpi_handle_list(struct tpi_handle *handle);
void tpi_handle_unlist(struct tpi_handle *handle);

static inline bool tpi_alive(const struct tpi_hot *hot)
{
	/* Relaxed: it changes only in a child, which has one thread. */
	return tpi_likely(tpi_load_relaxed(&hot->alive));
}

#endif
