/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachment names and their records in the catalog.
 *
 * An id is index:14 | generation:18, and never comes back: an owner or lease word
 * that holds it means one attachment for ever. Records are reused oldest first,
 * so that generations wear evenly. One whose generations are used up is retired.
 */
#include <string.h>

#include "broker/registry/registry.h"
#include "lib/base/atomic.h"

struct tpi_attachment *tpi_attachment_new(struct tpi_registry *registry,
					  struct tpi_host *host, uint32_t role,
					  struct tpi_process *process)
{
	struct tpi_attachment *attachment = STAILQ_FIRST(&registry->free);

	if (!attachment)
		return NULL;
	STAILQ_REMOVE_HEAD(&registry->free, free);
	attachment->generation++;
	attachment->id =
		TAPIO_ATTACHMENT_ID(attachment->index, attachment->generation);
	attachment->role = role;
	attachment->host = host;
	attachment->group = NULL;
	attachment->session = NULL;
	attachment->left = false;
	attachment->process = process;
	tpi_process_get(process);
	TAILQ_INSERT_TAIL(&process->attachments, attachment, of_process);
	registry->attached++;
	return attachment;
}

void tpi_attachment_publish(struct tpi_registry *registry,
			    struct tpi_attachment *attachment)
{
	struct tapio_shm_attachment *record =
		&registry->catalog.attachments[attachment->index];
	const struct tpi_process *process = attachment->process;

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
}

void tpi_attachment_free(struct tpi_registry *registry,
			 struct tpi_attachment *attachment)
{
	struct tpi_process *process = attachment->process;

	set_state(registry, attachment, TAPIO_ATTACHMENT_FREE);
	TAILQ_REMOVE(&process->attachments, attachment, of_process);
	attachment->id = TAPIO_NOBODY;
	attachment->process = NULL;
	registry->attached--;
	if (attachment->generation < TAPIO_GENERATION_MAX)
		STAILQ_INSERT_TAIL(&registry->free, attachment, free);
	tpi_process_put(process);
}
