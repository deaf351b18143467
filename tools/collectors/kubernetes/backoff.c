/* SPDX-License-Identifier: Apache-2.0 */
/* Waits between tries. See the header. */
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/kubernetes/backoff.h"

int64_t tpi_kube_backoff_fail(struct tpi_kube_backoff *backoff, uint64_t random)
{
	int64_t wait_ns = backoff->next_ns;

	if (wait_ns < backoff->min_ns)
		wait_ns = backoff->min_ns;
	if (wait_ns > backoff->max_ns)
		wait_ns = backoff->max_ns;
	backoff->next_ns =
		wait_ns > backoff->max_ns / 2 ? backoff->max_ns : 2 * wait_ns;
	int64_t half_ns = wait_ns / 2;
	if (half_ns <= 0)
		return wait_ns;
	return wait_ns - (int64_t)(random % (uint64_t)half_ns);
}

void tpi_kube_backoff_reset(struct tpi_kube_backoff *backoff)
{
	backoff->next_ns = 0;
}

uint64_t tpi_kube_random(void)
{
	struct timespec now;
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) ==
	    (ssize_t)sizeof(random))
		return random;
	/* Early at boot: the clock and the pid differ from node to node, too. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15)) ^
	       (uint64_t)getpid();
}
