/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/ring.h>

int main(void)
{
	struct tapio_ring *ring;
	uint64_t value;

	if (tapio_ring_create(&ring, 8))
		return 1;
	for (uint64_t i = 1; i <= 3; i++)
		if (tapio_ring_put(ring, i * 10, TAPIO_FOREVER))
			return 1;
	while (tapio_ring_get(ring, &value, 0) == 0)
		printf("got %llu\n", (unsigned long long)value);
	tapio_ring_close(ring);
	return 0;
}
