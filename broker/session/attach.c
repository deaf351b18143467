/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ATTACH, alone or as a part of HELLO.
 *
 * An open is one round trip: on a busy host each one costs the client and the broker a
 * wait for a CPU. So HELLO may have the request in it, and WELCOME has then all that the
 * answers to ATTACH and FETCH would have. Such a client has the same rights, shares and
 * descriptors as one that asks step by step, by the same functions in the same order. What
 * it has in flight is counted before HELLO is read (unread.c).
 *
 * SIGKILL of the client anywhere: its pidfd tells, as for any attachment. SIGKILL of the broker
 * before the answer: the attachment is in the catalog, and the client asks the successor
 * for another one by the same handle (end_unanswered()). SIGSTOP of the client: its answer is
 * unread and counts against its uid. fork and another uid: the connection is that of the process that
 * made it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tapio/version.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "broker/session/requests.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

static bool may_write(const struct tpi_attachment *attachment)
{
	return attachment->role == TAPIO_ROLE_PRODUCE;
}

/* That come with ATTACHED. Of an isolated channel: that of the doorbells. */
static uint32_t segments_of(const struct tpi_host *host)
{
	return tpi_channel_isolated(&host->lanes) ? 1 : host->node_count;
}

/* The channel's segments first, then a consumer's cursors, and those with its board if they
 * are others. The fd itself carries the role's right to write. `own`: of an isolated
 * producer, or -1. */
static unsigned int collect_fds(const struct tpi_attachment *attachment,
				int own, int *fds)
{
	const struct tpi_host *host = attachment->host;
	unsigned int count = 0;

	for (uint32_t i = 0; i < segments_of(host); i++)
		fds[count++] = may_write(attachment) ? host->nodes[i].fd
						     : host->nodes[i].fd_ro;
	if (own >= 0)
		fds[count++] = own;
	if (attachment->role == TAPIO_ROLE_CONSUME) {
		uint32_t slot = (uint32_t)(attachment->group - host->groups);

		fds[count++] = host->cursor_segments[slot].fd;
		if (attachment->board != slot)
			fds[count++] =
				host->cursor_segments[attachment->board].fd;
	}
	return count;
}

static void fill_attached(struct tpi_wire_attached *attached,
			  const struct tpi_attachment *attachment,
			  unsigned int count, bool first)
{
	const struct tpi_host *host = attachment->host;
	const struct tpi_group *group = attachment->group;

	attached->attachment = attachment->id;
	attached->channel = host->index;
	attached->segment_count =
		segments_of(host) + (attachment->own_segment != 0);
	attached->cursors_count = count - attached->segment_count;
	attached->group_slot = UINT32_MAX;
	attached->own_segment = attachment->own_segment;
	if (group) {
		attached->group_slot = (uint32_t)(group - host->groups);
		attached->incarnation = group->incarnation;
		attached->policy = group->policy;
		attached->first = first;
		attached->board = attachment->kept->board;
	}
}

static void answer_attached(struct tpi_session *session, int own, bool first)
{
	const struct tpi_attachment *attachment = session->attachment;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int count = collect_fds(attachment, own, fds);

	tpi_wire_init(&message, TPI_WIRE_ATTACHED);
	fill_attached(&message.attached, attachment, count, first);
	tpi_session_answer(session, &message, fds, count);
}

/* The cursors of all slots, to be read. */
static unsigned int collect_slots(const struct tpi_host *host,
				  struct tpi_wire_welcome *welcome, int *fds)
{
	welcome->slots = UINT64_MAX;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		welcome->epochs[slot] = host->memory[slot].epoch;
		fds[slot] = host->cursor_segments[slot].fd_ro;
	}
	return TAPIO_GROUP_SLOTS;
}

static void answer_joint(struct tpi_session *session, int own, bool first)
{
	struct tpi_attachment *attachment = session->attachment;
	struct tpi_broker *broker = session->broker;
	union tpi_wire_message message;
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count;
	uint64_t slots;

	tpi_session_fill_welcome(broker, &message, fds);
	count = collect_fds(attachment, own, fds + 1);
	fill_attached(&message.welcome.attached, attachment, count, first);
	count++;
	if (attachment->role == TAPIO_ROLE_PRODUCE)
		count += collect_slots(attachment->host, &message.welcome,
				       fds + count);
	slots = message.welcome.slots;
	tpi_session_sends_slots(attachment, slots);
	if (tpi_session_answer(session, &message, fds, count))
		tpi_session_sent_slots(broker, attachment, slots);
}

static void answer(struct tpi_session *session, bool joint, bool first)
{
	const struct tpi_attachment *attachment = session->attachment;
	int own = attachment->own_segment ? tpi_isolation_fd(attachment) : -1;

	if (attachment->own_segment && own < 0) {
		tpi_session_no_descriptor(session, own);
		return;
	}
	if (joint)
		answer_joint(session, own, first);
	else
		answer_attached(session, own, first);
	TPI_TESTPOINT("session.attached");
	if (own >= 0)
		close(own);
}

static int has_no_channel(const struct tpi_broker *broker, const char *channel,
			  char *why, size_t why_bytes)
{
	char names[TPI_NAMES_BYTES];

	tpi_registry_names(&broker->registry, names);
	return tpi_fail(-ENOENT, why, why_bytes,
			"no channel \"%s\"; this broker has %s", channel,
			names);
}

/* Checks the right to attach. *host on success. */
static int check_attach(struct tpi_session *session,
			const struct tpi_wire_attach *attach, uint8_t minor,
			struct tpi_host **host, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	uint32_t right;
	int err;

	if (session->attachment)
		return tpi_fail(
			-EBUSY, why, why_bytes,
			"this connection has the attachment 0x%08x, and "
			"may have one at a time",
			session->attachment->id);
	if (attach->role < TAPIO_ROLE_PRODUCE ||
	    attach->role > TAPIO_ROLE_INSPECT)
		return tpi_fail(-EINVAL, why, why_bytes,
				"role %u is outside %d to %d", attach->role,
				TAPIO_ROLE_PRODUCE, TAPIO_ROLE_INSPECT);
	err = tpi_session_check_name("channel", attach->channel, why,
				     why_bytes);
	if (!err && attach->group[0])
		err = tpi_session_check_name("group", attach->group, why,
					     why_bytes);
	if (err)
		return err;
	*host = tpi_registry_find(&broker->registry, attach->channel);
	if (!*host)
		return has_no_channel(broker, attach->channel, why, why_bytes);
	if (tpi_channel_isolated(&(*host)->lanes) &&
	    minor < TPI_WIRE_MINOR_SEALED)
		return tpi_fail(
			-EPROTONOSUPPORT, why, why_bytes,
			"channel \"%s\" has isolated producers, whose "
			"memory is replaced: the client speaks protocol "
			"%d.%u, and must speak %d.%d to follow",
			attach->channel, TPI_WIRE_MAJOR, minor, TPI_WIRE_MAJOR,
			TPI_WIRE_MINOR_SEALED);
	right = 1u << attach->role;
	if (!(tpi_rights(&broker->config, &session->cred, attach->channel) &
	      right))
		return tpi_session_has_no_right(session, attach->channel, right,
						why, why_bytes);
	if ((*host)->removed && attach->role == TAPIO_ROLE_PRODUCE)
		return tpi_fail(-ESHUTDOWN, why, why_bytes,
				"channel \"%s\" was removed from the "
				"configuration and takes no new producer: put "
				"it back and reload (tapiod --reload), or emit "
				"into another channel",
				attach->channel);
	return 0;
}

/* Of a producer: whether it knows S2r of wake.h, for a successor. Members ask for one ring
 * from now on if it does not. */
static void note_rounds(struct tpi_attachment *attachment, uint8_t minor)
{
	bool emits = attachment->role == TAPIO_ROLE_PRODUCE;

	attachment->kept->board = emits && minor >= TPI_WIRE_MINOR_ROUNDS;
	if (emits && !attachment->kept->board)
		tpi_host_ring_once(attachment->host);
}

static int join(struct tpi_session *session, struct tpi_attachment *attachment,
		const struct tpi_wire_attach *attach, uint8_t minor,
		bool *first, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	uint32_t rights =
		tpi_rights(&broker->config, &session->cred, attach->channel);
	struct tpi_group_request request = {
		.name = attach->group,
		.policy = attach->policy,
		.lag = attach->lag,
		.durable = attach->flags & TPI_ATTACH_DURABLE,
		.held = attach->flags & TPI_ATTACH_HELD,
		.may_lossless = rights & TPI_RIGHT_LOSSLESS,
		.may_durable = rights & TPI_RIGHT_DURABLE,
		.owner = tpi_cred_is_owner(&broker->config, &session->cred),
		.cred = &session->cred,
		.filter = {.severity_min = attach->severity_min,
			   .class_mask = attach->class_mask,
			   .types = attach->types},
		.takeover_ns = attach->takeover_ns,
		.boards = minor >= TPI_WIRE_MINOR_BOARDS,
	};

	*first = false;
	if (attachment->role != TAPIO_ROLE_CONSUME) {
		note_rounds(attachment, minor);
		return tpi_isolation_give(
			broker, attachment, session->process->uid,
			tpi_quota_is_exempt(&session->cred), why, why_bytes);
	}
	return tpi_group_join(broker, attachment, &request, first, why,
			      why_bytes);
}

/*
 * A handle has one attachment. One that asks again has not got the answer, or not all that
 * follows it: a broker died, or a connection ended, in between. No word bears the id of the
 * first one, and it would hold a lossless group for as long as the process lives.
 */
static void end_unanswered(struct tpi_session *session, uint64_t handle)
{
	struct tpi_attachment *attachment, *next;

	for (attachment = TAILQ_FIRST(&session->process->attachments);
	     attachment && handle; attachment = next) {
		next = TAILQ_NEXT(attachment, of_process);
		if (attachment->kept->handle == handle)
			tpi_attachment_end(session->broker, attachment);
	}
}

void tpi_session_attach(struct tpi_session *session,
			const struct tpi_wire_attach *attach, uint8_t minor,
			bool joint)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_registry *registry = &broker->registry;
	struct tpi_attachment *attachment;
	struct tpi_host *host = NULL;
	char why[256];
	bool first;
	int err = check_attach(session, attach, minor, &host, why, sizeof(why));

	if (!err) {
		end_unanswered(session, attach->handle);
		err = tpi_quota_attach(session, why, sizeof(why));
	}
	if (err) {
		tpi_session_answer_refused(session, err, why);
		return;
	}
	attachment = tpi_attachment_new(registry, host, attach->role,
					session->process);
	if (!attachment) {
		tpi_attachment_explain(registry, why, sizeof(why));
		tpi_session_answer_refused(session, -EUSERS, why);
		return;
	}
	attachment->kept->handle = attach->handle;
	attachment->session = session;
	session->attachment = attachment;
	err = join(session, attachment, attach, minor, &first, why,
		   sizeof(why));
	if (err) {
		tpi_attachment_free(registry, attachment);
		session->attachment = NULL;
		tpi_session_answer_refused(session, err, why);
		return;
	}
	tpi_attachment_publish(registry, attachment);
	tpi_add_relaxed(&registry->catalog.broker->attaches, 1);
	tpi_log_client(
		&broker->log, TAPIO_LOG_DEBUG,
		"process %d \"%s\" attaches to \"%s\" as 0x%08x, role %u",
		session->process->pid, session->process->comm, attach->channel,
		attachment->id, attach->role);
	answer(session, joint, first);
}
