/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a move to another instance that all readers share: the attempt, with the turn,
 * and why it has failed. Producers have a way of their own, since a signal handler may
 * be on it.
 *
 * SIGKILL, SIGSTOP, fork, another uid: client/consumer/move.c, for each of the steps.
 */
#include <errno.h>
#include <string.h>

#include "client/connection/client.h"
#include "lib/base/error.h"

bool tpi_client_same_memory(const struct tpi_client *a,
			    const struct tpi_client *b)
{
	return !memcmp(a->catalog.instance, b->catalog.instance,
		       sizeof(a->catalog.instance));
}

int tpi_client_attempt(struct tpi_client *client, struct tapio_options *broker,
		       int (*attach)(void *arg), void *arg)
{
	char words[TPI_ERROR_BYTES] = "";
	struct tpi_turn turn;
	int err = -EAGAIN;

	if (!tpi_client_enter(client, &turn))
		return -EAGAIN;
	if (tpi_client_may_move(client)) {
		broker->error = words;
		broker->error_bytes = sizeof(words);
		err = attach(arg);
		broker->error = NULL;
		broker->error_bytes = 0;
		if (err)
			tpi_client_stays(client, words, err);
	}
	tpi_client_leave(client, &turn);
	return err;
}

int tpi_client_open_as(struct tpi_client *client,
		       const struct tpi_request *request,
		       const struct tapio_options *options,
		       const struct tpi_client *former)
{
	int err;

	if (!former)
		return tpi_client_open(client, request, options);
	err = tpi_client_open_again(client, request, former);
	return err ? tpi_fail(err, options->error, options->error_bytes, "%s",
			      client->error)
		   : 0;
}
