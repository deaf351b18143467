/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/tapio.h>

int main(void)
{
	struct tapio_consumer *c;
	struct tapio_view views[32];
	int n = tapio_consumer_open(&c, "events", NULL);

	while (n >= 0 && (n = tapio_poll(c, views, 32, TAPIO_FOREVER)) >= 0) {
		for (int i = 0; i < n; i++)
			printf("%.*s\n", (int)views[i].length,
			       (const char *)views[i].data);
		fflush(stdout);
		tapio_release(c);
	}
	tapio_consumer_close(c);
	fprintf(stderr, "consumer: error %d\n", n);
	return 1;
}
