/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tapio/pool.h>

struct request {
	char user[32];
	int retries;
};

/* After the whole object was zeroed: what a new one starts with. */
static void reset(void *object, void *argument)
{
	struct request *r = object;

	r->retries = *(int *)argument;
}

int main(void)
{
	int retries = 3;
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = sizeof(struct request),
		.count = 100,
		.init = reset,
		.reset = reset,
		.argument = &retries,
	};
	struct tapio_pool *pool;
	struct request *r;

	if (tapio_pool_create(&pool, &options) ||
	    tapio_pool_get(pool, (void **)&r))
		return 1;
	strcpy(r->user, "alice");
	r->retries = 0;
	if (tapio_pool_put(pool, r))
		return 1;
	/* Putting it twice would give one object two owners: refused. */
	if (tapio_pool_put(pool, r) != -EALREADY)
		return 1;
	if (tapio_pool_get(pool, (void **)&r))
		return 1;
	printf("user \"%s\", %d retries left\n", r->user, r->retries);
	tapio_pool_put(pool, r);
	tapio_pool_close(pool);
	return 0;
}
