/* SPDX-License-Identifier: Apache-2.0 */
/* What bench-pool asks of a peer that stands in a file of its own. */
#ifndef BENCH_POOL_PEER_H
#define BENCH_POOL_PEER_H

#include <stdint.h>

/* Objects on one of Concurrency Kit's lock-free stacks (bench/peers/pool_ck.c). */
int ck_peer_set_up(uint32_t objects, uint32_t bytes);
void *ck_peer_get(void);
void ck_peer_put(void *object);

#endif
