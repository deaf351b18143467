/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a group: one question on a connection of its own. Nothing is attached,
 * and nothing is left of it afterwards. fork in the middle of it: the child has a
 * copy of nothing.
 */
#include <errno.h>
#include <stddef.h>

#include <tapio/consumer.h>

#include "client/connection/client.h"
#include "lib/base/error.h"

struct asker {
	union {
		struct tpi_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
};

int tapio_group_remove(const struct tapio_options *options, const char *channel,
		       const char *group)
{
	struct tpi_request request = {.channel = channel, .group = group};
	struct tapio_options copy;
	struct asker *asker;
	int err = tpi_options_broker(&copy, options);

	if (err)
		return err;
	asker = tpi_handle_new(sizeof(*asker),
			       offsetof(struct asker, client.handle));
	if (!asker)
		return tpi_open_failed(&copy, -ENOMEM);
	err = tpi_client_open(&asker->client, &request, &copy);
	if (!err)
		tpi_client_close(&asker->client);
	tpi_handle_free(&asker->client.handle);
	return err;
}
