/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tapio/bytes.h>

int main(void)
{
	struct tapio_bytes_options options = {.size = sizeof(options)};
	struct tapio_bytes *bytes;
	char *buffer;

	options.count[TAPIO_BYTES_CLASS_256] = 100;
	options.count[TAPIO_BYTES_CLASS_4K] = 20;
	if (tapio_bytes_create(&bytes, &options))
		return 1;
	if (tapio_bytes_get(bytes, 200, TAPIO_BYTES_ZERO, (void **)&buffer))
		return 1;
	printf("asked for 200, room for %lld\n",
	       (long long)tapio_bytes_capacity(bytes, buffer));
	strcpy(buffer, "hello");
	if (tapio_bytes_put(bytes, buffer))
		return 1;
	/* Larger than the largest class: refused, or from the heap if asked. */
	if (tapio_bytes_get(bytes, 100000, 0, (void **)&buffer) != -EMSGSIZE)
		return 1;
	printf("at most %zu\n", tapio_bytes_limit(bytes));
	if (tapio_bytes_get(bytes, 100000, TAPIO_BYTES_HEAP,
			    (void **)&buffer) ||
	    tapio_bytes_put(bytes, buffer))
		return 1;
	puts("100000 from the heap, and back");
	tapio_bytes_close(bytes);
	return 0;
}
