/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESUME. A process whose connection has ended goes on with its attachment: this broker
 * has closed the connection, or has taken over from one that died. RESUME grants nothing.
 * The memory is mapped, and the attachment counts in all shares since it was made, so the
 * share of connections (HELLO) is the only one to be asked. The process is the kernel's
 * word, and one with another uid, or after execve, is another one (repair/process.c).
 *
 * Epochs are a client's word, as FETCH without a mapping is. A producer that lies fails to
 * ring for a group, which it can do anyway.
 *
 * SIGKILL of the client here: its connection ends and its pidfd says so, in any order.
 * SIGSTOP, fork: it has a connection, or has none and lingers as before. A broker that dies
 * before the answer has gone out: the client asks the next one.
 */
#include <errno.h>

#include "broker/broker.h"
#include "broker/session/requests.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

static struct tpi_attachment *find_resumed(struct tpi_session *session,
					   uint32_t id, char *why,
					   size_t why_bytes, int *err)
{
	struct tpi_attachment *attachment;

	if (session->attachment) {
		*err = tpi_fail(-EBUSY, why, why_bytes,
				"this connection has the attachment 0x%08x, "
				"and may have one at a time",
				session->attachment->id);
		return NULL;
	}
	attachment = tpi_attachment_find_resumable(&session->broker->registry,
						   id, session->process, err);
	if (*err == -EBUSY)
		tpi_fail(*err, why, why_bytes,
			 "attachment 0x%08x has another connection: close that "
			 "first",
			 id);
	else if (*err)
		tpi_fail(*err, why, why_bytes,
			 "process %d has no attachment 0x%08x any more: open a "
			 "new handle",
			 session->process->pid, id);
	return attachment;
}

static void hear_epochs(struct tpi_broker *broker,
			struct tpi_attachment *attachment,
			const uint32_t *epochs)
{
	struct tpi_host *host = attachment->host;
	bool lost;

	if (attachment->role != TAPIO_ROLE_PRODUCE)
		return;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		/* 0 would be one that has just attached (group.c, unheard()). */
		attachment->heard[slot] =
			epochs[slot] ? epochs[slot] : UINT32_MAX;
		attachment->kept->heard[slot] = attachment->heard[slot];
		lost = attachment->heard[slot] != host->memory[slot].epoch;
		if (lost) /* it was sent, and has not come */
			tpi_board_part(broker, host, slot);
		if (lost ||
		    host->shm_groups[slot].flags & TAPIO_GROUP_FLAG_UNHEARD)
			tpi_group_heard(broker, host, slot);
	}
}

void tpi_session_resume(struct tpi_session *session,
			const struct tpi_wire_resume *resume)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_attachment *attachment;
	union tpi_wire_message message;
	char why[256];
	int err;

	attachment = find_resumed(session, resume->attachment, why, sizeof(why),
				  &err);
	if (!attachment) {
		tpi_session_answer_refused(session, err, why);
		return;
	}
	/* It maps memory that was never sealed: the open that asked for it failed. */
	if (tpi_isolation_is_open(attachment)) {
		tpi_attachment_end(broker, attachment);
		tpi_session_answer_refused(
			session, -ENOENT,
			"the memory of this attachment was never sealed: open a "
			"new handle");
		return;
	}
	attachment->session = session;
	attachment->untold = 0;
	session->attachment = attachment;
	broker->lingering--;
	hear_epochs(broker, attachment, resume->epochs);
	tpi_log_client(&broker->log, TAPIO_LOG_DEBUG,
		       "process %d \"%s\" goes on with 0x%08x",
		       session->process->pid, session->process->comm,
		       attachment->id);
	tpi_wire_init(&message, TPI_WIRE_RESUMED);
	message.resumed.attachment = attachment->id;
	tpi_session_answer(session, &message, NULL, 0);
	TPI_TESTPOINT("session.resumed");
}
