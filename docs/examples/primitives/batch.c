/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/ring.h>

int main(void)
{
	uint64_t in[10], out[16];
	struct tapio_ring *ring;
	int n;

	if (tapio_ring_create(&ring, 8))
		return 1;
	for (int i = 0; i < 10; i++)
		in[i] = (uint64_t)i * i;
	/* As many as there is room for, from the first; none would be -EAGAIN. */
	n = tapio_ring_put_batch(ring, in, 10, 0);
	printf("put %d of 10\n", n);
	/* As many as there are. */
	n = tapio_ring_get_batch(ring, out, 16, 0);
	printf("got %d, the last is %llu\n", n,
	       (unsigned long long)out[n > 0 ? n - 1 : 0]);
	tapio_ring_close(ring);
	return n == 8 ? 0 : 1;
}
