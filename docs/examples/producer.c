/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/tapio.h>

#define TAG TAPIO_TAG(1024, 3) /* a type of our own, severity info */

int main(void)
{
	char why[256], text[32];
	struct tapio_options options = {
		.size = sizeof(options),
		.error = why,
		.error_bytes = sizeof(why),
	};
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "events", &options);

	if (err)
		fprintf(stderr, "producer: %s\n", why);
	for (int i = 1; !err && i <= 10; i++) {
		int length = snprintf(text, sizeof(text), "hello %d", i);

		err = tapio_output(p, TAG, text, (uint32_t)length);
		if (err) {
			tapio_producer_explain(p, err, TAG, (uint32_t)length,
					       why, sizeof(why));
			fprintf(stderr, "producer: event %d: %s\n", i, why);
		}
	}
	tapio_producer_close(p);
	return err ? 1 : 0;
}
