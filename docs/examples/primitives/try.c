/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <tapio/ring.h>

int main(void)
{
	struct tapio_ring *ring;
	uint64_t value;

	if (tapio_ring_create(&ring, 2))
		return 1;
	if (tapio_ring_try_get(ring, &value) != -EAGAIN)
		return 1;
	puts("empty: try_get says so and does not wait");
	if (tapio_ring_try_put(ring, 1) || tapio_ring_try_put(ring, 2))
		return 1;
	if (tapio_ring_try_put(ring, 3) != -EAGAIN)
		return 1;
	puts("full: try_put says so and does not wait");
	/* The same with a time-out, in nanoseconds. */
	if (tapio_ring_put(ring, 3, 1000000) != -ETIMEDOUT)
		return 1;
	puts("still full after 1 ms");
	tapio_ring_close(ring);
	return 0;
}
