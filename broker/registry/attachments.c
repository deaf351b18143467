/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachment names and their records in the catalog.
 *
 * An id is index:14 | generation:18. An owner or lease word that holds it means one
 * attachment for as long as any process can remember it. There are as many records as
 * there are indices, however few clients there may be: first those that were never used,
 * then those that were freed first. So an id comes back after four billion others at the
 * earliest, and only by these steps:
 *
 *  N1  When an attachment ends, no word of its channel holds its id from then on: the
 *	sweep, and the clearing of its leases, come before its record is FREE
 *	(repair/reaper.c). Its own process is dead, has unmapped the channel, or has said
 *	that it leaves, after which an honest one writes nothing.
 *  N2  Other processes load ids from these words, and a stopped one may compare a word
 *	with an id that it loaded long ago. It can have loaded only ids of attachments
 *	that lived in the same time as one of its own.
 *  N3  A record whose generations are used up RESTS, from the birth number R on. Every id
 *	of it was freed before R. When no attachment lives that was born before R, no
 *	process can remember one of them, by N1 and N2. Then its generations begin anew.
 *  N4  The oldest attachment is the first of a list in the order of births.
 *
 * While an attachment lives for so long that all records rest, attaching is refused, and
 * the message names it. Tools and observers compare ids only to see whether a copy is
 * whole, and write nothing. A hostile producer can write any id at any time: that is
 * the right of its role. The broker keeps no id from one callback to the next but in the
 * records here.
 *
 * A SUCCESSOR takes the memory over (adopt_clients.c), and the steps hold over it:
 *
 *  N1	An attachment that was DEAD, or that was given its id and never published, is
 *	swept by the successor before its record is FREE.
 *  N2	No process is asked: those that live go on, with the attachments that they have.
 *	Each id that was given is in the private state (state.h) before it is in any
 *	word of a channel, so the successor never gives it again.
 *  N3	The births, and those at which a record was freed, are in the private state,
 *	too: `born` before the attachment is ALIVE, `rests_since` before it is FREE. A
 *	kill before the second leaves a record without an end: its end is now, which is
 *	later than the true one, so it rests for longer.
 *  N4	The list is made again in the order of births.
 */
#include <errno.h>
#include <string.h>

#include "broker/keep/keep.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

/* N3. */
static struct tpi_attachment *wake_rested(struct tpi_registry *registry)
{
	struct tpi_attachment *rested = STAILQ_FIRST(&registry->resting);
	const struct tpi_attachment *oldest = TAILQ_FIRST(&registry->living);

	if (!rested || (oldest && oldest->born < rested->rests_since))
		return NULL;
	STAILQ_REMOVE_HEAD(&registry->resting, free);
	rested->generation = 0;
	return rested;
}

static struct tpi_attachment *take_record(struct tpi_registry *registry)
{
	struct tpi_attachment *attachment = STAILQ_FIRST(&registry->free);

	if (registry->fresh_index < registry->catalog.attachment_count) {
		attachment = &registry->attachments[registry->fresh_index];
		attachment->index = registry->fresh_index++;
		return attachment;
	}
	if (attachment)
		STAILQ_REMOVE_HEAD(&registry->free, free);
	return attachment ? attachment : wake_rested(registry);
}

/* Before the id is in any word that others see. */
static void note_new(struct tpi_registry *registry,
		     const struct tpi_attachment *attachment)
{
	struct tpi_state_client *kept = attachment->kept;

	registry->state.head->births = registry->births;
	kept->rests_since = TPI_STATE_IN_USE;
	kept->born = attachment->born;
	kept->own_segment = 0;
	kept->handle = 0;
	kept->inode = tpi_process_inode(attachment->process);
	kept->incarnation = TPI_STATE_NO_GROUP;
	kept->board = 0;
	memset(kept->heard, 0, sizeof(kept->heard));
	memcpy(kept->at_random, attachment->process->at_random,
	       sizeof(kept->at_random));
	/* ORDER state.id (release): its record. Pairs with the load of a
	 * successor, tpi_attachments_adopt(). */
	tpi_store_release(&kept->id, attachment->id);
	TPI_TESTPOINT("attachment.noted");
}

static struct tpi_keep_key key_of(const struct tpi_attachment *attachment)
{
	return (struct tpi_keep_key){TPI_KEEP_PROCESS, attachment->index};
}

struct tpi_attachment *tpi_attachment_new(struct tpi_registry *registry,
					  struct tpi_host *host, uint32_t role,
					  struct tpi_process *process)
{
	struct tpi_attachment *attachment = take_record(registry);

	if (!attachment)
		return NULL;
	attachment->generation++;
	attachment->id =
		TAPIO_ATTACHMENT_ID(attachment->index, attachment->generation);
	attachment->kept = &registry->state.clients[attachment->index];
	attachment->role = role;
	attachment->host = host;
	attachment->group = NULL;
	attachment->session = NULL;
	attachment->left = false;
	attachment->untold = 0;
	attachment->own_segment = 0;
	memset(attachment->heard, 0, sizeof(attachment->heard));
	attachment->process = process;
	attachment->born = registry->births++;
	note_new(registry, attachment);
	TAILQ_INSERT_TAIL(&registry->living, attachment, living);
	tpi_process_get(process);
	TAILQ_INSERT_TAIL(&process->attachments, attachment, of_process);
	registry->attached++;
	return attachment;
}

int tpi_attachment_explain(const struct tpi_registry *registry, char *error,
			   size_t error_bytes)
{
	const struct tpi_attachment *oldest = TAILQ_FIRST(&registry->living);

	return tpi_fail(-EUSERS, error, error_bytes,
			"all ids of attachments were used, and may come back "
			"when attachment 0x%08x of process %d (\"%s\"), the "
			"oldest, has ended",
			oldest ? oldest->id : 0,
			oldest ? oldest->process->pid : 0,
			oldest ? oldest->process->comm : "");
}

void tpi_attachment_publish(struct tpi_registry *registry,
			    struct tpi_attachment *attachment)
{
	struct tapio_shm_attachment *record =
		&registry->catalog.attachments[attachment->index];
	const struct tpi_process *process = attachment->process;

	if (attachment->group)
		attachment->kept->incarnation = attachment->group->incarnation;
	/* Without it the successor looks for the process by its number and its inode. */
	(void)tpi_keep_put(registry->keep, key_of(attachment), process->pidfd);
	TPI_TESTPOINT("attachment.put");
	/* The old name goes first: a reader in the middle of its copy of the
	 * record's last user finds that it changed. */
	tpi_store_relaxed(&record->id, TAPIO_NOBODY);
	/* ORDER attachment.id (store-store): pairs with the second look at
	 * the name in tools/. */
	tpi_fence_store_store();
	record->role = attachment->role;
	record->channel = attachment->host->index;
	record->group_slot = attachment->group
				     ? (uint32_t)(attachment->group -
						  attachment->host->groups)
				     : UINT32_MAX;
	record->rseq_verdict = process->rseq_verdict;
	record->pid = (uint32_t)process->pid;
	record->uid = process->uid;
	record->gid = process->gid;
	record->start_time_ticks = process->start_ticks;
	record->attached_ns = tpi_realtime_ns();
	memcpy(record->comm, process->comm, sizeof(record->comm));
	tpi_store_relaxed(&record->id, attachment->id);
	/* ORDER attachment.state (release): the record before it counts. Pairs
	 * with the acquire of the tools that list attachments (tools/). */
	tpi_store_release(&record->state, TAPIO_ATTACHMENT_ALIVE);
	TPI_TESTPOINT("attachment.alive");
}

static void set_state(struct tpi_registry *registry,
		      const struct tpi_attachment *attachment, uint32_t state)
{
	/* ORDER attachment.state (release): as in tpi_attachment_publish(). */
	tpi_store_release(
		&registry->catalog.attachments[attachment->index].state, state);
}

void tpi_attachment_dead(struct tpi_registry *registry,
			 struct tpi_attachment *attachment)
{
	set_state(registry, attachment, TAPIO_ATTACHMENT_DEAD);
	TPI_TESTPOINT("attachment.dead");
}

void tpi_attachment_leave(struct tpi_registry *registry,
			  struct tpi_attachment *attachment)
{
	struct tpi_process *process = attachment->process;

	TAILQ_REMOVE(&process->attachments, attachment, of_process);
	TAILQ_REMOVE(&registry->living, attachment, living);
	attachment->id = TAPIO_NOBODY;
	attachment->process = NULL;
	tpi_process_put(process);
}

struct tpi_attachment *
tpi_attachment_find_resumable(const struct tpi_registry *registry, uint32_t id,
			      const struct tpi_process *process, int *err)
{
	uint32_t index = TAPIO_ATTACHMENT_INDEX(id);
	struct tpi_attachment *attachment;

	*err = -ENOENT;
	if (id == TAPIO_NOBODY || index >= registry->fresh_index)
		return NULL;
	attachment = &registry->attachments[index];
	/* The broker's own attachment is no process's. */
	if (attachment->id != id || attachment->process != process)
		return NULL;
	*err = attachment->session ? -EBUSY : 0;
	return *err ? NULL : attachment;
}

void tpi_attachment_free(struct tpi_registry *registry,
			 struct tpi_attachment *attachment)
{
	struct tpi_process *process = attachment->process;

	attachment->kept->rests_since = registry->births;
	set_state(registry, attachment, TAPIO_ATTACHMENT_FREE);
	TPI_TESTPOINT("attachment.free");
	tpi_keep_drop(registry->keep, key_of(attachment));
	TPI_TESTPOINT("attachment.dropped");
	tpi_isolation_take_back(attachment);
	TAILQ_REMOVE(&process->attachments, attachment, of_process);
	attachment->id = TAPIO_NOBODY;
	attachment->process = NULL;
	registry->attached--;
	TAILQ_REMOVE(&registry->living, attachment, living);
	attachment->rests_since = registry->births;
	if (attachment->generation < registry->generation_max)
		STAILQ_INSERT_TAIL(&registry->free, attachment, free);
	else
		STAILQ_INSERT_TAIL(&registry->resting, attachment, free);
	tpi_process_put(process);
}
