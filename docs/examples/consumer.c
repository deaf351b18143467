/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tapio/tapio.h>

static void show(const struct tapio_view *view)
{
	const struct tapio_gap *gap = view->data;

	if (!(view->flags & TAPIO_VIEW_GAP))
		printf("%.*s\n", (int)view->length, (const char *)view->data);
	else if (gap->cause == TAPIO_GAP_INSTANCE)
		printf("(from here on by another broker)\n");
	else
		printf("(%" PRIu64 " events missed)\n", gap->count);
}

int main(void)
{
	char why[256];
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker),
			   .error = why,
			   .error_bytes = sizeof(why)},
	};
	struct tapio_consumer *c;
	struct tapio_view views[32];
	int n;

	if (tapio_consumer_open(&c, "events", &options)) {
		fprintf(stderr, "consumer: %s\n", why);
		return 1;
	}
	while ((n = tapio_poll(c, views, 32, TAPIO_FOREVER)) >= 0) {
		for (int i = 0; i < n; i++)
			show(&views[i]);
		if (tapio_release(c) > 0) /* producers were faster */
			printf("(of the lines above some are garbled)\n");
		fflush(stdout);
	}
	fprintf(stderr, "consumer: %s\n", strerror(-n));
	tapio_consumer_close(c);
	return 1;
}
