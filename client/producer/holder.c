/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the obstacle of a producer without room: the group that holds the lane,
 * with the process that reads it there, or the process that has reserved most
 * of the blocks. For tapio_producer_explain().
 *
 * All of it is read from memory that changes meanwhile and that peers write. So it
 * is true of this moment, each word is loaded once, and what is printed is made
 * printable.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "client/producer/producer.h"

#define NAME_BYTES 128
/* Attachments that are told apart. More hold a block each, or few. */
#define OWNERS_MAX 32

/* ---- a process -------------------------------------------------------------- */

static void make_printable(char *text)
{
	for (; *text; text++)
		if (!isprint((unsigned char)*text) || *text == '"')
			*text = '?';
}

/* The record of an attachment. False when it is another's, or free. */
static bool copy_attachment(const struct tpi_producer *p, uint32_t id,
			    struct tapio_shm_attachment *copy)
{
	const struct tpi_catalog *catalog = &p->client.catalog;
	uint32_t index = TAPIO_ATTACHMENT_INDEX(id);
	const struct tapio_shm_attachment *shared;

	if (index >= catalog->attachment_count)
		return false;
	shared = &catalog->attachments[index];
	/* ORDER attachment.state (acquire): the record was filled before. Pairs
	 * with the broker's release. */
	if (tpi_load_acquire(&shared->state) == TAPIO_ATTACHMENT_FREE)
		return false;
	memcpy(copy, shared, sizeof(*copy));
	tpi_fence_compiler(); /* the copy is what is looked at */
	/* ORDER attachment.id (load-load): the copy is older than this look.
	 * Pairs with the store of another name in tpi_attachment_publish(). */
	tpi_fence_load_load();
	return tpi_load_relaxed(&shared->id) == id && copy->id == id;
}

/* `pid 12 ("name")`, as far as the broker knows. */
static void name_process(const struct tpi_producer *p, uint32_t id,
			 char name[NAME_BYTES])
{
	struct tapio_shm_attachment a;
	char comm[sizeof(a.comm) + 1];

	if (!copy_attachment(p, id, &a)) {
		snprintf(name, NAME_BYTES, "a process that is gone");
		return;
	}
	memcpy(comm, a.comm, sizeof(a.comm));
	comm[sizeof(a.comm)] = '\0';
	make_printable(comm);
	if (!a.pid)
		snprintf(name, NAME_BYTES,
			 "a process \"%s\" of another PID namespace", comm);
	else
		snprintf(name, NAME_BYTES, "pid %u (\"%s\")", a.pid, comm);
}

/* ---- a group that has not released ---------------------------------------------- */

static void name_group(const struct tapio_shm_group *group, char *name)
{
	char raw[TAPIO_NAME_BYTES + 1];

	memcpy(raw, group->name, TAPIO_NAME_BYTES);
	raw[TAPIO_NAME_BYTES] = '\0';
	make_printable(raw);
	if (raw[0])
		snprintf(name, NAME_BYTES, "group \"%s\"", raw);
	else
		snprintf(name, NAME_BYTES, "a group without a name");
}

static void say_group(const struct tpi_producer *p, const struct tpi_lane *lane,
		      int slot, uint64_t unread, char *text, size_t bytes)
{
	const struct tapio_shm_cursor *cursor =
		p->emit.gating.cursors[slot] + lane->id;
	char group[NAME_BYTES], process[NAME_BYTES];
	/* Relaxed: one word, of this moment. */
	uint32_t lease = tpi_load_relaxed(&cursor->lease);

	name_group(&p->client.groups[slot], group);
	if (lease == TAPIO_NOBODY) {
		snprintf(text, bytes,
			 ": %s has yet to release %llu positions of lane %u, "
			 "which no member reads",
			 group, (unsigned long long)unread, lane->id);
		return;
	}
	name_process(p, lease, process);
	snprintf(text, bytes,
		 ": %s has yet to release %llu positions of lane %u, which %s "
		 "reads",
		 group, (unsigned long long)unread, lane->id, process);
}

/* Its memory was replaced, and the broker has not sent it. */
static void say_unheard(const struct tpi_producer *p,
			const struct tpi_lane *lane, int slot, char *text,
			size_t bytes)
{
	char group[NAME_BYTES];

	name_group(&p->client.groups[slot], group);
	snprintf(text, bytes,
		 ": the positions that %s has released of lane %u are not "
		 "known: this producer waits for memory from the broker, "
		 "which %s",
		 group, lane->id,
		 tpi_client_connected(&p->client) ? "has not answered"
						  : "is gone");
}

/* ---- producers that have reserved ------------------------------------------------- */

struct owners {
	uint32_t id[OWNERS_MAX];
	uint32_t blocks[OWNERS_MAX];
	uint32_t count;
};

static void count_owner(struct owners *owners, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < owners->count; i++)
		if (owners->id[i] == id)
			break;
	if (i == OWNERS_MAX)
		return;
	if (i == owners->count)
		owners->id[owners->count++] = id;
	owners->blocks[i]++;
}

static void say_owners(const struct tpi_producer *p,
		       const struct tpi_lane *lane, uint64_t state, char *text,
		       size_t bytes)
{
	struct owners owners = {.count = 0};
	char process[NAME_BYTES];
	uint32_t block, owner, most = 0;
	uint64_t ticket;

	if (!TAPIO_STATE_HELD(state) || !tpi_lane_state_sane(lane, state))
		return;
	for (block = 0; block <= lane->mask; block++) {
		/* Relaxed: a look that may be torn by those at work there. */
		ticket = tpi_load_relaxed(&lane->tickets[block]);
		owner = TAPIO_TICKET_OWNER(ticket);
		if (owner != TAPIO_NOBODY &&
		    !tpi_lane_in_ring(lane, state, block,
				      TAPIO_TICKET_PLACE(ticket)))
			count_owner(&owners, owner);
	}
	if (!owners.count)
		return;
	for (uint32_t i = 1; i < owners.count; i++)
		if (owners.blocks[i] > owners.blocks[most])
			most = i;
	name_process(p, owners.id[most], process);
	snprintf(text, bytes,
		 ": %u blocks of lane %u are reserved, %u of them by %s",
		 TAPIO_STATE_HELD(state), lane->id, owners.blocks[most],
		 process);
}

void tpi_holder_say(const struct tpi_producer *p, const struct tpi_lane *lane,
		    char *text, size_t bytes)
{
	uint64_t state = tpi_lane_peek(lane), gate, generation;
	uint64_t tail = TAPIO_STATE_TAIL(state);
	int slot;

	if (!bytes)
		return;
	text[0] = '\0';
	/* Groups that come and go meanwhile: the answer is of this moment. */
	tpi_gate_compute(lane, &p->emit.gating, &gate, &generation, &slot);
	if (tapio_position_diff(gate, tpi_lane_reap(lane, state)) > 0)
		slot = -1; /* there is room, or the blocks are reserved */
	if (slot >= 0 && !tpi_gating_hears(&p->emit.gating, slot))
		say_unheard(p, lane, slot, text, bytes);
	else if (slot >= 0)
		say_group(p, lane, slot, (tail - gate) & TAPIO_POSITION_MASK,
			  text, bytes);
	else
		say_owners(p, lane, state, text, bytes);
}
