/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FETCH and MAPPED: memory that a client gets after it has attached, because it is new, or
 * is replaced (registry/slot_memory.h, registry/isolation.h).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "broker/broker.h"
#include "broker/session/requests.h"
#include "lib/base/testpoint.h"

/* Cursors of the first slots that are asked for, to be read. */
static unsigned int collect_slots(struct tpi_session *session, uint64_t slots,
				  struct tpi_wire_fetched *fetched, int *fds)
{
	const struct tpi_host *host = session->attachment->host;
	unsigned int count = 0;

	for (; slots && count < TPI_WIRE_FETCH_MAX; slots &= slots - 1) {
		uint32_t slot = (uint32_t)__builtin_ctzll(slots);

		fetched->slots[count] = slot;
		fetched->epochs[count] = host->memory[slot].epoch;
		fds[count++] = host->cursor_segments[slot].fd_ro;
	}
	fetched->count = count;
	return count;
}

/* Segments of isolated producers, to be read. A reader believes what is SEALED. */
static unsigned int collect_segments(struct tpi_session *session,
				     uint64_t numbers,
				     struct tpi_wire_fetched *fetched, int *fds)
{
	const struct tpi_host *host = session->attachment->host;
	unsigned int count = 0;

	for (uint32_t i = 1; i < host->node_count && count < TPI_WIRE_FETCH_MAX;
	     i++) {
		if (!(numbers >> i & 1))
			continue;
		fetched->slots[count] = i;
		fetched->epochs[count] = tpi_isolation_epoch(host, i);
		fds[count++] = host->nodes[i].fd_ro;
	}
	fetched->count = count;
	return count;
}

static bool may_fetch(const struct tpi_attachment *attachment,
		      const struct tpi_wire_fetch *fetch)
{
	const struct tpi_host *host = attachment->host;
	uint64_t numbers = UINT64_MAX >> (64 - host->node_count) & ~UINT64_C(1);

	if (fetch->kind == TPI_FETCH_CURSORS)
		return attachment->role != TAPIO_ROLE_CONSUME && fetch->slots;
	return fetch->kind == TPI_FETCH_SEGMENTS &&
	       attachment->role != TAPIO_ROLE_PRODUCE &&
	       tpi_channel_isolated(&host->lanes) && fetch->slots & numbers;
}

/* For a successor: if the client does not get the answer, it asks again. */
void tpi_session_sends_slots(struct tpi_attachment *attachment, uint64_t slots)
{
	const struct tpi_host *host = attachment->host;

	if (attachment->role != TAPIO_ROLE_PRODUCE)
		return;
	for (; slots; slots &= slots - 1) {
		int slot = __builtin_ctzll(slots);

		attachment->kept->heard[slot] = host->memory[slot].epoch;
	}
}

/* The client has them, or will take them before it takes anything else from us. */
void tpi_session_sent_slots(struct tpi_broker *broker,
			    struct tpi_attachment *attachment, uint64_t slots)
{
	struct tpi_host *host = attachment->host;

	if (attachment->role != TAPIO_ROLE_PRODUCE)
		return;
	for (; slots; slots &= slots - 1) {
		uint32_t slot = (uint32_t)__builtin_ctzll(slots);

		attachment->heard[slot] = host->memory[slot].epoch;
		if (host->shm_groups[slot].flags & TAPIO_GROUP_FLAG_UNHEARD)
			tpi_group_heard(broker, host, slot);
	}
}

static uint64_t slots_of(const struct tpi_wire_fetched *fetched)
{
	uint64_t slots = 0;

	for (uint32_t k = 0; k < fetched->count; k++)
		slots |= UINT64_C(1) << fetched->slots[k];
	return slots;
}

void tpi_session_fetch(struct tpi_session *session,
		       const struct tpi_wire_fetch *fetch)
{
	struct tpi_attachment *attachment = session->attachment;
	struct tpi_broker *broker = session->broker;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	unsigned int count;
	uint64_t slots;
	char why[128];

	if (!attachment || attachment->id != fetch->attachment) {
		tpi_session_not_attached(session, fetch->attachment);
		return;
	}
	if (!may_fetch(attachment, fetch)) {
		snprintf(why, sizeof(why),
			 "FETCH of kind %u, 0x%" PRIx64 ", by role %u: a "
			 "producer or an inspector may name 1 to %d slots, and "
			 "a reader segments of isolated producers",
			 fetch->kind, fetch->slots, attachment->role,
			 TAPIO_GROUP_SLOTS);
		tpi_session_answer_refused(session, -EINVAL, why);
		return;
	}
	tpi_wire_init(&message, TPI_WIRE_FETCHED);
	message.fetched.attachment = attachment->id;
	if (fetch->kind == TPI_FETCH_SEGMENTS) {
		count = collect_segments(session, fetch->slots,
					 &message.fetched, fds);
		tpi_session_answer(session, &message, fds, count);
		return;
	}
	count = collect_slots(session, fetch->slots, &message.fetched, fds);
	slots = slots_of(&message.fetched);
	tpi_session_sends_slots(attachment, slots);
	if (tpi_session_answer(session, &message, fds, count)) {
		TPI_TESTPOINT("session.fetched");
		tpi_session_sent_slots(broker, attachment, slots);
	}
}

/* ---- MAPPED ------------------------------------------------------------------------------ */

/* S2 and S3 of isolation.h. A client that cannot be sealed has nothing. */
void tpi_session_mapped(struct tpi_session *session,
			const struct tpi_wire_mapped *mapped)
{
	struct tpi_attachment *attachment = session->attachment;
	union tpi_wire_message message;
	char why[256];
	int err;

	if (!attachment || attachment->id != mapped->attachment) {
		tpi_session_not_attached(session, mapped->attachment);
		return;
	}
	tpi_wire_init(&message, TPI_WIRE_SEALED);
	message.sealed.attachment = attachment->id;
	err = tpi_isolation_seal(attachment, &message.sealed.epoch, why,
				 sizeof(why));
	if (!err) {
		tpi_session_answer(session, &message, NULL, 0);
		return;
	}
	if (tpi_isolation_is_open(attachment))
		tpi_attachment_end(session->broker, attachment);
	tpi_session_answer_refused(session, err, why);
}
