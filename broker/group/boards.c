/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards: at which words producers look after each commit (lib/lane/wake.h, B1 to B4).
 * Called by group.c and the successor, on the broker's thread.
 *
 * Each slot's memory has a board. A member announces itself on that of its own slot, and on
 * one that the broker has named, so that the groups of one uid cost a producer one look
 * and not one each. `boards` of the channel has a bit for one of the two, for each living
 * member.
 *
 *  D1	The board is chosen: one that others of the uid use already, or its own slot's. It
 *	is noted in the private state.
 *  D2	The bit in `boards`.
 *  D3	ATTACHED, with the descriptor of that slot's memory. The member's first announcement
 *	comes after it, so its barrier shows D2 to producers.
 *
 * WHOM A BOARD SERVES. A process that can write a board can keep those asleep that have
 * no other. So a member is given the board of another slot only if that memory was given to
 * its own uid and to no other, serves further groups (it is not spent), and is had by every
 * producer. Before any of that ends, the board is left:
 *
 *  L1	Each member of another group is noted with the board of its own slot, which it has
 *	used all the time.
 *  L2	`boards` has their own bits instead.
 *  L3	Their bells are rung, by R at once (wake.h, S2r). They announce themselves anew, and
 *	their barrier shows L2 to producers. Until then a producer that has loaded `boards`
 *	before L2 may look at a word that is another uid's by now. What it has published is seen
 *	in the look that follows the ring.
 *
 * Members of an older library announce themselves on no board. Their slot's differs from what
 * was seen of it, and no producer answers any board while there are such members. So each
 * event costs a look at every group, as it does in that library.
 *
 * SIGKILL of the broker: the successor counts the notes, stores `boards` anew, and rings
 * all bells in the end, as L3 does (adopt.c). A note without its bit, or a bit without an
 * answer, is of a client that asks again. SIGKILL, SIGSTOP of a member: its bit stays until
 * its attachment ends. Another uid: a member that writes its board costs each event a look at every
 * group, which is less than what `armed` allows it (flood.c).
 */
#include "broker/broker.h"
#include "broker/group/group_inner.h"
#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"

static uint32_t own_slot(const struct tpi_attachment *attachment)
{
	return (uint32_t)(attachment->group - attachment->host->groups);
}

/* D2, L2. */
static void show(struct tpi_host *host)
{
	uint64_t boards = 0;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->board_users[i])
			boards |= UINT64_C(1) << i;
	/* Relaxed, both: a member's barrier orders them. */
	tpi_store_relaxed(&host->shm->boards, boards);
	tpi_store_relaxed(&host->shm->unboarded, host->unboarded);
	TPI_TESTPOINT("board.shown");
}

/* Whether the board in a slot's memory may serve members of other groups of `uid`. */
static bool lends(const struct tpi_broker *broker, const struct tpi_host *host,
		  uint32_t slot, uid_t uid)
{
	const struct tpi_slot_memory *memory = &host->memory[slot];

	return memory->given && !memory->mixed && !memory->spent &&
	       memory->uid == uid && !tpi_group_unheard(broker, host, slot);
}

static uint32_t choose(const struct tpi_broker *broker,
		       const struct tpi_attachment *attachment)
{
	const struct tpi_host *host = attachment->host;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->board_users[i] &&
		    lends(broker, host, i, attachment->process->uid))
			return i;
	return own_slot(attachment);
}

/* So that a producer looks. None answers it, while there is an unboarded member. */
static void raise_board(const struct tpi_host *host, uint32_t slot)
{
	uint32_t *board = &host->cursors[slot].control->board;
	const uint32_t *seen = &host->lanes.doorbells->slots[slot].board_seen;
	uint32_t now;

	/* ORDER wake.board (release): `unboarded` before it. Pairs with the acquire in
	 * read_boards(). */
	do
		now = tpi_add_acq_rel(board, 1) + 1;
	while (now == tpi_load_relaxed(seen));
}

static void count(struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;

	host->board_users[attachment->board]++;
	host->unboarded += !attachment->kept->board;
}

void tpi_board_join(struct tpi_broker *broker,
		    struct tpi_attachment *attachment, bool knows)
{
	attachment->board =
		knows ? choose(broker, attachment) : own_slot(attachment);
	attachment->kept->board = knows ? attachment->board + 1 : 0;
	TPI_TESTPOINT("board.noted");
	count(attachment);
	show(attachment->host);
	if (!knows)
		raise_board(attachment->host, attachment->board);
}

void tpi_board_leave(struct tpi_attachment *attachment)
{
	struct tpi_host *host = attachment->host;

	host->board_users[attachment->board]--;
	host->unboarded -= !attachment->kept->board;
	show(host);
}

void tpi_board_part(struct tpi_broker *broker, struct tpi_host *host,
		    uint32_t slot)
{
	struct tpi_registry *registry = &broker->registry;
	uint64_t parted = 0;
	uint32_t own;

	for (uint32_t i = 0; i < registry->fresh_index; i++) {
		struct tpi_attachment *a = &registry->attachments[i];

		if (a->id == TAPIO_NOBODY || a->host != host || !a->group ||
		    a->board != slot || own_slot(a) == slot)
			continue;
		own = own_slot(a);
		host->board_users[slot]--;
		host->board_users[own]++;
		a->board = own;
		a->kept->board = own + 1;
		parted |= UINT64_C(1) << own;
	}
	TPI_TESTPOINT("board.parted");
	if (!parted)
		return;
	show(host);
	for (; parted; parted &= parted - 1) {
		own = (uint32_t)__builtin_ctzll(parted);
		tpi_wake_anew(&host->lanes.doorbells->slots[own].doorbell);
	}
}

void tpi_board_recall(struct tpi_attachment *attachment)
{
	uint32_t noted = attachment->kept->board;

	attachment->board = noted && noted <= TAPIO_GROUP_SLOTS
				    ? noted - 1
				    : own_slot(attachment);
	count(attachment);
}

void tpi_boards_show(struct tpi_host *host)
{
	show(host);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS && host->unboarded; i++)
		if (host->board_users[i])
			raise_board(host, i);
}
