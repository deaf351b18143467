/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachments. The broker fills a record that is FREE, and stores its id, then its state. An
 * id is given once. So a record that has the same id, and is not FREE, before and after the
 * copy was whole all the time: SURE.
 *
 * A process that is gone is found by its pidfd at once. Its attachments end soon, or, without a
 * broker, never: LEFT. Where pids are of another PID namespace than ours, nothing is said.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/sys.h"
#include "tools/inspect/check_inner.h"
#include "tools/inspect/process.h"

/* It is not FREE after the copy, either. */
static bool copy_record(const struct tapio_shm_attachment *shared,
			struct tapio_shm_attachment *copy)
{
	return tpi_inspect_attachment(shared, copy) &&
	       tpi_load_relaxed(&shared->state) != TAPIO_ATTACHMENT_FREE;
}

static void check_record(struct tpi_checker *c, uint32_t index,
			 const struct tapio_shm_attachment *a,
			 const struct tpi_where *where)
{
	uint32_t generation = TAPIO_ATTACHMENT_GENERATION(a->id);
	bool consumes = a->role == TAPIO_ROLE_CONSUME;

	tpi_check_that(c,
		       a->state <= TAPIO_ATTACHMENT_DEAD &&
			       TAPIO_ATTACHMENT_INDEX(a->id) == index &&
			       generation &&
			       generation <= TAPIO_GENERATION_MAX &&
			       a->role >= TAPIO_ROLE_PRODUCE &&
			       a->role <= TAPIO_ROLE_INSPECT &&
			       a->channel < c->inspect->catalog.channel_count &&
			       (consumes ? a->group_slot < TAPIO_GROUP_SLOTS
					 : a->group_slot == UINT32_MAX),
		       TPI_SURE, TPI_RULE_CLIENT_RECORD, where, a->id,
		       {"record", index}, {"state", a->state}, {"id", a->id},
		       {"role", a->role}, {"of_channel", a->channel},
		       {"group_slot", a->group_slot});
}

/* The broker frees the record before READY of the channel is off. */
static void check_channel(struct tpi_checker *c,
			  const struct tapio_shm_attachment *a,
			  const struct tpi_where *where)
{
	/* The broker's own is of no channel. */
	if (TAPIO_ATTACHMENT_INDEX(a->id) == 1)
		return;
	tpi_check_that(c, tpi_channel_exists(&c->inspect->catalog, a->channel),
		       TPI_LASTS, TPI_RULE_CLIENT_RECORD, where, a->id,
		       {"id", a->id}, {"of_channel", a->channel});
}

/* hidepid hides a process of another user, and pidfd_open() finds it. */
static bool is_gone(const struct tpi_checker *c,
		    const struct tapio_shm_attachment *a)
{
	int fd;

	if (tpi_inspect_process_state(c->inspect, a->pid,
				      a->start_time_ticks) != TPI_PROCESS_GONE)
		return false;
	if (c->inspect->snapshot || a->uid == geteuid() || !geteuid())
		return true;
	fd = tpi_sys_pidfd_open((pid_t)a->pid, 0);
	if (fd >= 0)
		close(fd);
	return fd == -ESRCH;
}

void tpi_check_clients(struct tpi_checker *c)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;

	/* Index 0 is never given. */
	for (uint32_t i = 1; i < catalog->attachment_count; i++) {
		struct tpi_where where = TPI_NOWHERE;
		struct tapio_shm_attachment copy;

		if (!copy_record(&catalog->attachments[i], &copy))
			continue;
		c->report->attachments++;
		where.attachment = copy.id;
		check_record(c, i, &copy, &where);
		check_channel(c, &copy, &where);
		if (c->pids_known && copy.pid)
			tpi_check_that(c, !is_gone(c, &copy), TPI_LEFT,
				       TPI_RULE_CLIENT_GONE, &where, copy.id,
				       {"pid", copy.pid},
				       {"state", copy.state});
	}
}
