/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measurement of a pool or an allocator, as a case's param says:
 *
 *	pair	get an object, put it, again and again
 *	bulk	get 32, put these 32
 *	across	one side gets 1024, then the other, on another CPU, puts them
 *
 * Figures: nanoseconds per object, got and put. Of `across` also those of the get
 * and of the put alone.
 */
#ifndef BENCH_POOL_RUN_H
#define BENCH_POOL_RUN_H

#include "bench/peers/pool_peer.h"

enum pool_what {
	POOL_PAIR,
	POOL_BULK,
	POOL_ACROSS,
};

/* A turn of a subject whose arg is a struct pool_ops. */
int bench_pool_run(const struct bench_run *run,
		   const struct bench_subject *subject, bool zeroed,
		   double *figures);

#endif
