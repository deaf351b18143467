/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: one is one client, and has at most one attachment at a time.
 *
 * This file bounds the costs that a client can cause. A message is read into
 * one buffer on the stack and answered by one message. Nothing is queued in
 * between, so a connection costs one struct. A client that does not read fills
 * its small socket buffer and is closed. Descriptors beyond the one that HELLO
 * may carry are closed by the receive itself. Newcomers, and how many of them
 * there may be, are accept.c's.
 *
 * A connection that ends says nothing about its process: that is the pidfd's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/version.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/wire/fdpass.h"

static struct tapio_shm_broker *counters(const struct tpi_broker *broker)
{
	return broker->registry.catalog.broker;
}

/* ---- ends --------------------------------------------------------------------- */

/* Closed without DETACH: gone if the process maps nothing of ours. */
static void orphan(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_attachment *attachment = session->attachment;
	int maps;

	attachment->session = NULL;
	session->attachment = NULL;
	broker->lingering++;
	if (tpi_process_is_dead(attachment->process))
		return; /* its pidfd tells us next, with all it had */
	if (broker->lingering > TPI_MAPS_LOOKS)
		return; /* the tick looks, a few at a time */
	maps = tpi_process_maps(attachment->process, attachment->host->files,
				attachment->host->file_count);
	if (maps == 0) {
		tpi_add_relaxed(&counters(broker)->closes, 1);
		tpi_attachment_end(broker, attachment);
		return;
	}
	tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
		       "process %d \"%s\" closed its connection and %s the "
		       "channel: attachment 0x%08x stays until the process "
		       "unmaps it or ends",
		       attachment->process->pid, attachment->process->comm,
		       maps > 0 ? "still maps" : "may still map",
		       attachment->id);
}

void tpi_session_close(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_process *process = session->process;

	tpi_watch_stop(broker->loop, &session->watch);
	TAILQ_REMOVE(&broker->server.sessions, session, link);
	broker->server.session_count--;
	if (!process)
		broker->server.stranger_count--;
	close(session->fd);
	if (session->attachment)
		orphan(session);
	free(session);
	if (process)
		tpi_process_put(process);
}

void tpi_sessions_of(struct tpi_broker *broker,
		     const struct tpi_process *process)
{
	struct tpi_session *session, *next;

	for (session = TAILQ_FIRST(&broker->server.sessions); session;
	     session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->process == process)
			tpi_session_close(session);
	}
}

void tpi_sessions_close_all(struct tpi_broker *broker)
{
	struct tpi_session *session;

	while ((session = TAILQ_FIRST(&broker->server.sessions))) {
		/* The broker goes, the attachment does not. */
		if (session->attachment)
			session->attachment->session = NULL;
		session->attachment = NULL;
		tpi_session_close(session);
	}
}

/* ---- answers -------------------------------------------------------------------- */

/* False, and the session is gone, when the client does not take it. */
static bool answer(struct tpi_session *session, union tpi_wire_message *message,
		   const int *fds, unsigned int fd_count)
{
	struct tpi_broker *broker = session->broker;
	ssize_t sent;

	message->header.fd_count = fd_count;
	sent = tpi_send_fds(session->fd, message, message->header.length, fds,
			    fd_count);
	if (sent == (ssize_t)message->header.length)
		return true;
	if (sent != -EPIPE && sent != -ECONNRESET)
		tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
			       "process %d (uid %u): connection closed: %s",
			       session->cred.pid, session->cred.uid,
			       sent == -EAGAIN ? "it does not read its answers"
					       : strerror((int)-sent));
	tpi_session_close(session);
	return false;
}

static bool refuse(struct tpi_session *session, int err, const char *text)
{
	struct tpi_broker *broker = session->broker;
	union tpi_wire_message message;

	tpi_add_relaxed(&counters(broker)->refusals, 1);
	tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
		       "process %d (uid %u) refused: %s", session->cred.pid,
		       session->cred.uid, text);
	tpi_wire_init(&message, TPI_WIRE_REFUSED);
	message.refused.error = err;
	snprintf(message.refused.text, sizeof(message.refused.text), "%s",
		 text);
	return answer(session, &message, NULL, 0);
}

void tpi_session_refuse(struct tpi_session *session, int err, const char *text)
{
	if (refuse(session, err, text))
		tpi_session_close(session);
}

static void protocol_error(struct tpi_session *session, int err,
			   const char *text)
{
	tpi_add_relaxed(&counters(session->broker)->protocol_errors, 1);
	tpi_session_refuse(session, err, text);
}

/* ---- HELLO ------------------------------------------------------------------------ */

/* The client is told that it has no right. The log says which rules grant it. */
static int has_no_right(struct tpi_session *session, const char *channel,
			uint32_t right, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	char rules[96];

	tpi_rights_rules(&broker->config, channel, right, rules, sizeof(rules));
	tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
		       "process %d (uid %u) has no right to %s%s%s%s: allow "
		       "rules that grant it to others: %s",
		       session->cred.pid, session->cred.uid,
		       right ? tpi_right_name(right) : "connect",
		       channel ? " on channel \"" : "", channel ? channel : "",
		       channel ? "\"" : "", rules);
	return tpi_rights_refuse(&session->cred, channel, right, why,
				 why_bytes);
}

static int check_hello(struct tpi_session *session,
		       const struct tpi_wire_hello *hello, char *why,
		       size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	uint32_t known =
		broker->server.session_count - broker->server.stranger_count;

	if (!TAPIO_ABI_READABLE(hello->abi_major, hello->abi_minor))
		return tpi_fail(-EPROTONOSUPPORT, why, why_bytes,
				"the client knows layout %u.%u, the broker's "
				"is %u.%u",
				hello->abi_major, hello->abi_minor,
				TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR);
	if (!tpi_rights(&broker->config, &session->cred, NULL))
		return has_no_right(session, NULL, 0, why, why_bytes);
	if (known >= broker->config.clients_max)
		return tpi_fail(-EUSERS, why, why_bytes,
				"%u clients are connected, clients_max is %u "
				"(configuration)",
				known, broker->config.clients_max);
	return 0;
}

static void welcome(struct tpi_session *session)
{
	struct tpi_registry *registry = &session->broker->registry;
	union tpi_wire_message message;

	tpi_wire_init(&message, TPI_WIRE_WELCOME);
	memcpy(message.welcome.instance, registry->instance,
	       sizeof(message.welcome.instance));
	message.welcome.abi_major = TAPIO_ABI_MAJOR;
	message.welcome.abi_minor = TAPIO_ABI_MINOR;
	snprintf(message.welcome.version, sizeof(message.welcome.version), "%s",
		 tapio_version());
	answer(session, &message, &registry->catalog_segment.fd_ro, 1);
}

static void on_hello(struct tpi_session *session,
		     const struct tpi_wire_hello *hello, int pidfd)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_process *process;
	char why[256];
	int err;

	err = check_hello(session, hello, why, sizeof(why));
	if (err) {
		if (pidfd >= 0)
			close(pidfd);
		tpi_session_refuse(session, err, why);
		return;
	}
	err = tpi_process_identify(broker, &process, session->fd, pidfd,
				   &session->cred, hello, session->accepted_ns,
				   why, sizeof(why));
	if (err) {
		tpi_session_refuse(session, err, why);
		return;
	}
	session->process = process;
	broker->server.stranger_count--;
	tpi_add_relaxed(&counters(broker)->hellos, 1);
	tpi_log_client(&broker->log, TAPIO_LOG_DEBUG,
		       "process %d \"%s\" (uid %u) says hello", process->pid,
		       process->comm, process->uid);
	welcome(session);
}

/* ---- ATTACH ------------------------------------------------------------------------- */

/* Nodes first, then cursors. The fd itself carries the role's right to
 * write. */
static unsigned int collect_fds(const struct tpi_attachment *attachment,
				int *fds)
{
	const struct tpi_host *host = attachment->host;
	bool produces = attachment->role == TAPIO_ROLE_PRODUCE;
	unsigned int count = 0;

	for (uint32_t i = 0; i < host->node_count; i++)
		fds[count++] =
			produces ? host->nodes[i].fd : host->nodes[i].fd_ro;
	if (attachment->role == TAPIO_ROLE_CONSUME) {
		fds[count++] =
			host->cursor_segments[attachment->group - host->groups]
				.fd;
		return count;
	}
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		fds[count++] = host->cursor_segments[i].fd_ro;
	return count;
}

static void answer_attached(struct tpi_session *session, bool first)
{
	const struct tpi_attachment *attachment = session->attachment;
	const struct tpi_host *host = attachment->host;
	const struct tpi_group *group = attachment->group;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int count = collect_fds(attachment, fds);

	tpi_wire_init(&message, TPI_WIRE_ATTACHED);
	message.attached.attachment = attachment->id;
	message.attached.channel = host->index;
	message.attached.segment_count = host->node_count;
	message.attached.cursors_count = count - host->node_count;
	message.attached.group_slot = UINT32_MAX;
	if (group) {
		message.attached.group_slot = (uint32_t)(group - host->groups);
		message.attached.incarnation = group->incarnation;
		message.attached.policy = group->policy;
		message.attached.first = first;
	}
	answer(session, &message, fds, count);
}

static int check_name(const char *what, const char *text, char *why,
		      size_t why_bytes)
{
	char name[TAPIO_NAME_BYTES];

	if (!tpi_wire_name(name, text))
		return 0;
	return tpi_fail(-EINVAL, why, why_bytes,
			"the name of the %s must have 1 to %d printable "
			"characters, none of them a space",
			what, TAPIO_NAME_BYTES - 1);
}

/* Checks the right to attach. *host on success. */
static int check_attach(struct tpi_session *session,
			const struct tpi_wire_attach *attach,
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
	err = check_name("channel", attach->channel, why, why_bytes);
	if (!err && attach->group[0])
		err = check_name("group", attach->group, why, why_bytes);
	if (err)
		return err;
	*host = tpi_registry_find(&broker->registry, attach->channel);
	if (!*host)
		return tpi_fail(-ENOENT, why, why_bytes,
				"no channel \"%s\"; this broker has %u, the "
				"first is \"%s\"",
				attach->channel, broker->registry.host_count,
				broker->registry.hosts[0].config->spec.name);
	right = 1u << attach->role;
	if (!(tpi_rights(&broker->config, &session->cred, attach->channel) &
	      right))
		return has_no_right(session, attach->channel, right, why,
				    why_bytes);
	return 0;
}

static int join(struct tpi_session *session, struct tpi_attachment *attachment,
		const struct tpi_wire_attach *attach, bool *first, char *why,
		size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_group_request request = {
		.name = attach->group,
		.policy = attach->policy,
		.lag = attach->lag,
		.durable = attach->flags & TPI_ATTACH_DURABLE,
		.may_lossless = tpi_rights(&broker->config, &session->cred,
					   attach->channel) &
				TPI_RIGHT_LOSSLESS,
		.filter = {.severity_min = attach->severity_min,
			   .class_mask = attach->class_mask,
			   .types = attach->types},
		.takeover_ns = attach->takeover_ns,
	};

	*first = false;
	if (attachment->role != TAPIO_ROLE_CONSUME)
		return 0;
	return tpi_group_join(broker, attachment, &request, first, why,
			      why_bytes);
}

static void on_attach(struct tpi_session *session,
		      const struct tpi_wire_attach *attach)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_registry *registry = &broker->registry;
	struct tpi_attachment *attachment;
	struct tpi_host *host = NULL;
	char why[256];
	bool first;
	int err = check_attach(session, attach, &host, why, sizeof(why));

	if (err) {
		refuse(session, err, why);
		return;
	}
	attachment = tpi_attachment_new(registry, host, attach->role,
					session->process);
	if (!attachment) {
		snprintf(why, sizeof(why),
			 "%u clients are attached, clients_max is %u "
			 "(configuration)",
			 registry->attached, broker->config.clients_max);
		refuse(session, -EUSERS, why);
		return;
	}
	attachment->session = session;
	session->attachment = attachment;
	err = join(session, attachment, attach, &first, why, sizeof(why));
	if (err) {
		tpi_attachment_free(registry, attachment);
		session->attachment = NULL;
		refuse(session, err, why);
		return;
	}
	tpi_attachment_publish(registry, attachment);
	tpi_add_relaxed(&counters(broker)->attaches, 1);
	tpi_log_client(
		&broker->log, TAPIO_LOG_DEBUG,
		"process %d \"%s\" attaches to \"%s\" as 0x%08x, role %u",
		session->process->pid, session->process->comm, attach->channel,
		attachment->id, attach->role);
	answer_attached(session, first);
}

/* ---- DETACH --------------------------------------------------------------------------- */

static void on_detach(struct tpi_session *session,
		      const struct tpi_wire_detach *detach)
{
	struct tpi_attachment *attachment = session->attachment;
	union tpi_wire_message message;
	char why[128];

	if (!attachment || attachment->id != detach->attachment) {
		snprintf(why, sizeof(why),
			 "attachment 0x%08x is not this connection's, which is "
			 "0x%08x",
			 detach->attachment, attachment ? attachment->id : 0);
		refuse(session, -ENOENT, why);
		return;
	}
	tpi_wire_init(&message, TPI_WIRE_DETACHED);
	message.detached.attachment = attachment->id;
	tpi_add_relaxed(&counters(session->broker)->closes, 1);
	tpi_log_client(&session->broker->log, TAPIO_LOG_DEBUG,
		       "process %d \"%s\" detaches 0x%08x",
		       session->process->pid, session->process->comm,
		       attachment->id);
	attachment->left = true;
	message.detached.swept =
		tpi_attachment_end(session->broker, attachment);
	answer(session, &message, NULL, 0);
}

/* ---- REMOVE ---------------------------------------------------------------------------- */

static int remove_group(struct tpi_session *session,
			const struct tpi_wire_remove *remove,
			struct tpi_host **host, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	int err = check_name("channel", remove->channel, why, why_bytes);

	if (!err)
		err = check_name("group", remove->group, why, why_bytes);
	if (err)
		return err;
	*host = tpi_registry_find(&broker->registry, remove->channel);
	if (!*host)
		return tpi_fail(-ENOENT, why, why_bytes, "no channel \"%s\"",
				remove->channel);
	return tpi_group_remove(broker, *host, session->process->uid,
				remove->group, why, why_bytes);
}

static void on_remove(struct tpi_session *session,
		      const struct tpi_wire_remove *remove)
{
	union tpi_wire_message message;
	struct tpi_host *host = NULL;
	char why[256];
	int slot = remove_group(session, remove, &host, why, sizeof(why));

	if (slot < 0) {
		refuse(session, slot, why);
		return;
	}
	tpi_log_client(&session->broker->log, TAPIO_LOG_INFO,
		       "process %d \"%s\" (uid %u) removes group \"%s\" of "
		       "channel \"%s\"",
		       session->process->pid, session->process->comm,
		       session->process->uid, remove->group, remove->channel);
	tpi_wire_init(&message, TPI_WIRE_REMOVED);
	message.removed.channel = host->index;
	message.removed.group_slot = (uint32_t)slot;
	answer(session, &message, NULL, 0);
}

/* ---- messages ---------------------------------------------------------------------------- */

static void dispatch(struct tpi_session *session,
		     const union tpi_wire_message *message, int pidfd)
{
	uint16_t type = message->header.type;
	char why[128];

	if (type == TPI_WIRE_HELLO && !session->process) {
		on_hello(session, &message->hello, pidfd);
		return;
	}
	if (pidfd >= 0)
		close(pidfd);
	if (type == TPI_WIRE_ATTACH && session->process) {
		on_attach(session, &message->attach);
	} else if (type == TPI_WIRE_DETACH && session->process) {
		on_detach(session, &message->detach);
	} else if (type == TPI_WIRE_REMOVE && session->process) {
		on_remove(session, &message->remove);
	} else {
		snprintf(why, sizeof(why), "message type %u: %s", type,
			 session->process ? "after HELLO a client sends "
					    "ATTACH, DETACH or REMOVE"
					  : "the first message must be HELLO");
		protocol_error(session, -EPROTO, why);
	}
}

/* One message each time, so that no client keeps the others waiting. */
void tpi_session_message(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_session *session = (struct tpi_session *)watch;
	union tpi_wire_message message;
	unsigned int fds = 1;
	int pidfd = -1, err;
	char why[256];
	ssize_t got;

	(void)events;
	got = tpi_recv_fds(session->fd, &message, sizeof(message), &pidfd,
			   &fds);
	if (got == -EAGAIN)
		return;
	if (got == -EMSGSIZE) {
		snprintf(why, sizeof(why),
			 "a message has at most %d bytes and one descriptor",
			 TPI_WIRE_BYTES_MAX);
		protocol_error(session, -EMSGSIZE, why);
		return;
	}
	if (got == -EMFILE) {
		/* Not the client's fault: it may come again. */
		tpi_log_client(
			&session->broker->log, TAPIO_LOG_ERROR,
			"process %d (uid %u): no descriptor is left for "
			"what it sends (RLIMIT_NOFILE; LimitNOFILE= in a "
			"unit)",
			session->cred.pid, session->cred.uid);
		tpi_session_refuse(session, -EMFILE,
				   "the broker has no descriptor left for "
				   "another client (RLIMIT_NOFILE)");
		return;
	}
	if (got <= 0) {
		tpi_session_close(session);
		return;
	}
	err = tpi_wire_check(&message, (size_t)got, fds, why, sizeof(why));
	if (err) {
		if (fds)
			close(pidfd);
		protocol_error(session, err, why);
		return;
	}
	dispatch(session, &message, fds ? pidfd : -1);
}
