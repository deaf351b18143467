/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting the memory of group slots that was replaced while the producer was open.
 *
 * Called from lib/lane/lane.c before a gate is computed, when the generation of the
 * channel has changed since the last time. So the fast paths pay nothing for it, and a
 * producer learns of new memory when it needs room for the next time.
 *
 *  F1  Which slots have another epoch in the catalog than here? None: done.
 *  F2  One thread at a time goes on, with the turn of the connection (revive.c). Others
 *	leave the gate as it is.
 *  F3  FETCH is sent, once for each round. A connection that has ended is made anew
 *	first, within three milliseconds, or the next time.
 *  F4  FETCHED is waited for, a millisecond at most. An answer that comes later is
 *	taken the next time: `heeded` is no generation until then.
 *  F5  The file is mapped in the place of the old one (tpi_client_map_slots()), and
 *	the new epoch is stored.
 *
 * Until F5 such a slot is unheard (lib/lane/lane.c, G6): a lossless group keeps the
 * gate where it is, others do not. A group with new memory is told that a producer
 * has not heard of it (TAPIO_GROUP_FLAG_UNHEARD), and sleeps shortly, because that
 * producer does not ring for it.
 *
 * SIGKILL anywhere: no other process notices. SIGSTOP: this process holds nothing. The
 * others go on, and the gate is theirs to move. Migration: nothing here depends on the
 * CPU. Signals are blocked in here, so no handler finds the turn taken by its own thread
 * (F2). All calls are plain system calls on memory of the stack, so a handler may be in
 * here, and connect, too. fork: the child's handle is empty, and no call comes here. Another uid: the broker
 * alone says which file it is, and the file is measured before it is mapped over the old
 * one. A stopped broker costs a millisecond for each change of groups. A broker that is
 * gone: the slots stay unheard until another one has taken over.
 */
#include <errno.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"
#include "lib/base/thread.h"

#define ANSWER_MS 1

/* F1, a bit for each. */
static uint64_t unheard_slots(const struct tpi_gating *gating)
{
	uint64_t slots = 0;

	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (!tpi_gating_hears(gating, slot))
			slots |= UINT64_C(1) << slot;
	return slots;
}

/* F3 to F5, one round. True: there is no answer to be waited for. */
static bool fetch(struct tpi_producer *p, uint64_t slots, uint32_t *epochs)
{
	const uint32_t *serial = &p->client.link.serial;
	bool asked = p->slots.asked && p->slots.asked_on == *serial;
	/* An answer that was waited for in vain is not waited for again. */
	int err, wait_ms = asked ? 0 : ANSWER_MS;

	if (!asked && tpi_client_ask(&p->client, TPI_FETCH_CURSORS, slots))
		return true;
	p->slots.asked = true;
	p->slots.asked_on = *serial;
	TPI_TESTPOINT("slots.asked");
	err = tpi_client_take_slots(&p->client, wait_ms, epochs);
	if (err == -EAGAIN)
		return false;
	/* The answer is lost, and the broker believes that we have it. Another one waits
	 * in the socket until there is a descriptor. */
	if (err == -EMFILE &&
	    !tpi_client_ask(&p->client, TPI_FETCH_CURSORS, slots)) {
		p->slots.asked_on = *serial;
		return false;
	}
	p->slots.asked = false;
	/* It went away before it has answered. */
	if (err == -ECONNREFUSED || err == -ECONNRESET)
		tpi_client_hung_up(&p->client);
	return true;
}

/*
 * All rounds: an answer has room for some slots. True: no slot is unheard. False: an
 * answer is still to come, it came late and names memory that was replaced once more, or
 * they cannot be had now, as without a free descriptor. Then the next full lane asks
 * again.
 */
static bool fetch_all(struct tpi_producer *p, struct tpi_gating *gating)
{
	uint64_t slots = unheard_slots(gating), before;

	while (slots) {
		before = slots;
		if (!fetch(p, slots, gating->epochs))
			return false;
		slots = unheard_slots(gating);
		if (slots == before)
			return false;
	}
	return true;
}

static void heed(const struct tpi_gating *gating)
{
	struct tpi_emit *emit =
		(struct tpi_emit *)((char *)(uintptr_t)gating -
				    offsetof(struct tpi_emit, gating));
	struct tpi_producer *p = tpi_producer_of(emit);
	struct tpi_turn turn;
	int saved = errno;
	uint64_t generation;

	/* ORDER channel.generation (acquire): the epochs of that generation, or
	 * later ones. Pairs with the broker's release. */
	generation = tpi_load_acquire(gating->generation);
	if (!unheard_slots(gating)) {
		tpi_store_relaxed(&p->slots.heeded, generation);
		tpi_client_look(&p->client);
		return;
	}
	/* F2. */
	if (!tpi_client_enter(&p->client, &turn))
		goto out;
	/* ORDER channel.generation (acquire): the epochs of that generation, or
	 * later ones. Pairs with the broker's release. */
	generation = tpi_load_acquire(gating->generation);
	if (!fetch_all(p, &emit->gating))
		generation = ~generation; /* which is no generation */
	/* Relaxed: a thread that sees the old value comes here once more. */
	tpi_store_relaxed(&p->slots.heeded, generation);
	tpi_client_leave(&p->client, &turn);
out:
	errno = saved;
}

void tpi_slots_init(struct tpi_producer *p)
{
	struct tpi_gating *gating = &p->emit.gating;

	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		gating->epochs[slot] = p->client.epochs[slot];
	p->slots.heeded = ~UINT64_C(0);
	gating->heeded = &p->slots.heeded;
	gating->heed = heed;
	p->client.link.epochs = gating->epochs;
}
