/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/tapio.h>

int main(void)
{
	struct tapio_producer *p;
	char text[32];
	int err = tapio_producer_open(&p, "events", NULL);

	for (int i = 1; !err && i <= 10; i++) {
		int length = snprintf(text, sizeof(text), "hello %d", i);

		err = tapio_output(p, TAPIO_TAG(1, 6), text, length);
	}
	tapio_producer_close(p);
	if (err)
		fprintf(stderr, "producer: error %d\n", err);
	return err ? 1 : 0;
}
