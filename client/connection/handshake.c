/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of an open, and of the removal of a group. connect.c calls it, on a
 * connection that it has just made, and begins again when the broker goes away meanwhile.
 *
 *   connect -> HELLO, ATTACH   -> WELCOME (+ catalog, segments, cursors) | REFUSED
 *        or -> HELLO           -> WELCOME (+ catalog)   a broker before 1.6, no room for so
 *                                                       many descriptors, or no attachment
 *           -> ATTACH          -> ATTACHED (+ segments) | REFUSED
 *           -> MAPPED          -> SEALED | REFUSED      a producer with its own segment
 *           -> FETCH           -> FETCHED (+ cursors)   a producer, again and again
 *                              -> FETCHED (+ segments)  a reader of isolated producers
 *        or -> RESUME          -> RESUMED | REFUSED     after the old one has ended
 *                                                       (revive.c)
 *        or -> REMOVE          -> REMOVED | REFUSED
 *
 * An open is one round trip, because each one waits for a CPU twice on a busy host. An open
 * of more round trips gets the same in the same order, by the same checks.
 *
 * SIGKILL at any point closes the connection, and the broker sees the pidfd. Received
 * descriptors are CLOEXEC and above 2, and are closed as soon as they are mapped. No thread
 * is cancelled in here.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/connection/dial.h"
#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "lib/base/versions.h"

/* Names were checked before, by check_names(). */
static void fill_attach(struct tpi_wire_attach *attach,
			const struct tpi_request *request, uint64_t handle)
{
	attach->role = request->role;
	attach->policy = request->policy;
	attach->lag = request->lag;
	attach->flags = request->flags;
	attach->severity_min = request->severity_min;
	attach->class_mask = request->class_mask;
	attach->types = request->types;
	attach->takeover_ns = request->takeover_ns;
	attach->handle = handle;
	tpi_wire_name(attach->channel, request->channel);
	if (request->group)
		tpi_wire_name(attach->group, request->group);
}

static int say_hello(struct tpi_dial *d, const struct tpi_request *request)
{
	union tpi_wire_message message;
	int pidfd, err;

	pidfd = tpi_client_hello(&message,
				 tpi_own_fd_number(&d->client->handle.sock),
				 request->rseq_verdict);
	if (request->role && !d->by_steps)
		fill_attach(&message.hello.attach, request, d->handle);
	err = tpi_dial_send(d, &message, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	TPI_TESTPOINT("open.hello");
	return err;
}

void tpi_client_hear_verdict(const struct tpi_client *client)
{
	/* ORDER broker.rseq (acquire): nothing is read after it that depends on
	 * it. The order is the broker's. Pairs with the release in
	 * tpi_registry_test_rseq(). */
	tpi_rseq_hear(tpi_load_acquire(&client->catalog.broker->rseq_verdict));
}

/* WELCOME: the versions, and the catalog. */
static int be_welcome(struct tpi_dial *d, const union tpi_wire_message *message,
		      int fd)
{
	const struct tpi_wire_welcome *welcome = &message->welcome;
	struct tpi_client *client = d->client;
	int err = 0;

	tpi_store_relaxed(&client->wire_minor, message->header.minor);
	if (!TAPIO_ABI_READABLE(welcome->abi_major, welcome->abi_minor))
		err = tpi_client_fail(
			client, -EPROTONOSUPPORT,
			"the broker's memory layout is %u.%u, this library "
			"knows %u.%u: " TPI_VERSIONS_REMEDY,
			welcome->abi_major, welcome->abi_minor, TAPIO_ABI_MAJOR,
			TPI_ABI_MINOR);
	if (!err)
		err = tpi_map_fd(&client->catalog_map, fd, false, UINT64_MAX,
				 client->error, tpi_client_room(client));
	if (!err)
		err = tpi_catalog_attach(&client->catalog, &client->catalog_map,
					 client->error,
					 tpi_client_room(client));
	if (!err && memcmp(client->catalog.instance, welcome->instance,
			   sizeof(client->catalog.instance)))
		err = tpi_client_fail(
			client, -EBADMSG,
			"the catalog that came is not the one that the broker "
			"announced");
	if (!err)
		tpi_client_hear_verdict(client);
	return err;
}

static int map_slots(struct tpi_dial *d, const struct tpi_wire_fetched *fetched,
		     const int *fds)
{
	struct tpi_client *client = d->client;
	int err = tpi_client_map_slots(client, fetched, fds, client->epochs);

	if (!err)
		return 0;
	return tpi_client_fail(client, err,
			       "mapping the cursors of %u group slots: %s",
			       fetched->count, strerror(-err));
}

/* The cursors of all slots, a few in each message. */
static int fetch_slots(struct tpi_dial *d)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	unsigned int count;
	uint64_t left;
	int err = 0;

	while (!err && (left = tpi_client_unmapped_slots(client))) {
		tpi_wire_init(&message, TPI_WIRE_FETCH);
		message.fetch.attachment = client->granted.attachment;
		message.fetch.slots = left;
		count = TPI_WIRE_FETCH_MAX;
		err = tpi_dial_send(d, &message, -1);
		TPI_TESTPOINT("open.fetch");
		if (!err)
			err = tpi_dial_receive(d, TPI_WIRE_FETCHED, &message,
					       fds, &count);
		if (err)
			break;
		err = map_slots(d, &message.fetched, fds);
		tpi_dial_close_fds(fds, count);
		if (!err && tpi_client_unmapped_slots(client) == left)
			err = tpi_client_fail(client, -EPROTO,
					      "the broker sent the cursors of "
					      "group slots that were not asked "
					      "for");
	}
	return err;
}

/* Those that came with WELCOME. */
static int map_welcome_slots(struct tpi_dial *d,
			     const struct tpi_wire_welcome *welcome,
			     const int *fds)
{
	struct tpi_wire_fetched some;
	uint64_t left = welcome->slots;
	int err = 0;

	while (left && !err) {
		some.count = 0;
		for (; left && some.count < TPI_WIRE_FETCH_MAX;
		     left &= left - 1, some.count++) {
			uint32_t slot = (uint32_t)__builtin_ctzll(left);

			some.slots[some.count] = slot;
			some.epochs[some.count] = welcome->epochs[slot];
		}
		err = map_slots(d, &some, fds);
		fds += some.count;
	}
	return err;
}

/*
 * S2 of broker/registry/isolation.h: from here on no process can map the segment writable.
 * Before the open returns, so no event of this handle is one that readers do not believe.
 */
static int be_sealed(struct tpi_dial *d)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	unsigned int count = 0;
	int err;

	TPI_TESTPOINT("open.mapped");
	tpi_wire_init(&message, TPI_WIRE_MAPPED);
	message.mapped.attachment = client->granted.attachment;
	err = tpi_dial_send(d, &message, -1);
	if (!err)
		err = tpi_dial_receive(d, TPI_WIRE_SEALED, &message, NULL,
				       &count);
	TPI_TESTPOINT("open.sealed");
	return err;
}

/* The memory of isolated producers that is there now. */
static int fetch_segments(struct tpi_dial *d)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	unsigned int count;
	uint64_t left;
	int err = 0;

	while (!err && (left = tpi_segments_missing(client))) {
		tpi_wire_init(&message, TPI_WIRE_FETCH);
		message.fetch.attachment = client->granted.attachment;
		message.fetch.kind = TPI_FETCH_SEGMENTS;
		message.fetch.slots = left;
		count = TPI_WIRE_FETCH_MAX;
		err = tpi_dial_send(d, &message, -1);
		if (!err)
			err = tpi_dial_receive(d, TPI_WIRE_FETCHED, &message,
					       fds, &count);
		if (err)
			break;
		err = tpi_segments_map(client, &message.fetched, fds);
		tpi_dial_close_fds(fds, count);
		if (err == -EAGAIN) /* it was read meanwhile */
			err = 0;
		else if (err)
			err = tpi_client_fail(client, err,
					      "mapping the memory of %u "
					      "producers: %s",
					      count, strerror(-err));
	}
	return err;
}

/* What ATTACHED says, alone or in WELCOME. */
static int map_granted(struct tpi_dial *d, const struct tpi_request *request,
		       const struct tpi_wire_attached *attached, const int *fds)
{
	d->client->granted = *attached;
	TPI_TESTPOINT("open.attached");
	return tpi_client_map(d->client, request, fds);
}

static int attach(struct tpi_dial *d, const struct tpi_request *request)
{
	union tpi_wire_message message;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int count = TPI_WIRE_FDS_MAX;
	int err;

	tpi_wire_init(&message, TPI_WIRE_ATTACH);
	fill_attach(&message.attach, request, d->handle);
	err = tpi_dial_send(d, &message, -1);
	TPI_TESTPOINT("open.attach");
	if (!err)
		err = tpi_dial_receive(d, TPI_WIRE_ATTACHED, &message, fds,
				       &count);
	if (err)
		return err;
	err = map_granted(d, request, &message.attached, fds);
	tpi_dial_close_fds(fds, count);
	return err;
}

/* WELCOME, which may have the attachment. */
static int enter(struct tpi_dial *d, const struct tpi_request *request)
{
	const struct tpi_wire_attached *attached;
	union tpi_wire_message message;
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count = TPI_WIRE_WELCOME_FDS_MAX;
	int err = tpi_dial_receive(d, TPI_WIRE_WELCOME, &message, fds, &count);

	if (err)
		return err;
	attached = &message.welcome.attached;
	err = be_welcome(d, &message, fds[0]);
	if (!err && attached->attachment)
		err = map_granted(d, request, attached, fds + 1);
	if (!err && attached->attachment)
		err = map_welcome_slots(d, &message.welcome,
					fds + 1 + attached->segment_count +
						attached->cursors_count);
	tpi_dial_close_fds(fds, count);
	return err;
}

/* After WELCOME: the rest, which it does not have. */
static int complete(struct tpi_dial *d, const struct tpi_request *request)
{
	struct tpi_client *client = d->client;
	int err = 0;

	if (!client->granted.attachment)
		err = attach(d, request);
	if (!err && client->granted.own_segment)
		err = be_sealed(d);
	if (err)
		return err;
	return request->role == TAPIO_ROLE_PRODUCE ? fetch_slots(d)
						   : fetch_segments(d);
}

static int remove_group(struct tpi_dial *d, const struct tpi_request *request)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	unsigned int count = 0;
	int err;

	if (client->wire_minor < TPI_WIRE_MINOR_REMOVE)
		return tpi_client_fail(client, -EOPNOTSUPP,
				       "the broker speaks protocol %d.%d, in "
				       "which groups cannot be removed",
				       TPI_WIRE_MAJOR, client->wire_minor);
	tpi_wire_init(&message, TPI_WIRE_REMOVE);
	tpi_wire_name(message.remove.channel, request->channel);
	tpi_wire_name(message.remove.group, request->group);
	err = tpi_dial_send(d, &message, -1);
	TPI_TESTPOINT("remove.asked");
	if (!err)
		err = tpi_dial_receive(d, TPI_WIRE_REMOVED, &message, NULL,
				       &count);
	return err;
}

int tpi_dial_ask(struct tpi_dial *d, const struct tpi_request *request)
{
	int err = say_hello(d, request);

	if (!err)
		err = enter(d, request);
	if (err)
		return err;
	return request->role ? complete(d, request) : remove_group(d, request);
}
