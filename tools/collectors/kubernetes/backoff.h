/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next try. Each failure doubles it, up to a limit. The wait is
 * drawn from the upper half of that, so that the collectors of a thousand nodes do not come
 * back in the same moment to a server that has just started again.
 */
#ifndef TPI_KUBE_BACKOFF_H
#define TPI_KUBE_BACKOFF_H

#include <stdint.h>

struct tpi_kube_backoff {
	int64_t min_ns;
	int64_t max_ns;
	int64_t next_ns; /* 0: no failure yet */
};

/* The wait after one more failure. `random` is any number, evenly distributed. */
int64_t tpi_kube_backoff_fail(struct tpi_kube_backoff *backoff,
			      uint64_t random);
void tpi_kube_backoff_reset(struct tpi_kube_backoff *backoff);

/* A number for the draw. */
uint64_t tpi_kube_random(void);

#endif
