/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: one is one client, and has at most one attachment at a time.
 *
 * This file bounds the costs that a client can cause. A message is read into
 * one buffer on the stack and answered by one message. Nothing is queued in
 * between, so a connection costs one struct. A client that does not read fills
 * its small socket buffer and is closed. Descriptors that clients send are never
 * received here (helper.c). Newcomers, and how many of them there may be, are
 * accept.c's.
 *
 * A connection that ends says nothing about its process: that is the pidfd's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/version.h>

#include "broker/broker.h"
#include "broker/session/hand_over.h"
#include "broker/session/quota.h"
#include "broker/session/requests.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"
#include "lib/base/versions.h"
#include "lib/wire/fdpass.h"

#define UNTOLD_TICKS 2 /* a process does not take longer to die */

static struct tapio_shm_broker *counters(const struct tpi_broker *broker)
{
	return broker->registry.catalog.broker;
}

/* ---- ends --------------------------------------------------------------------- */

/* Why it may not be seen that the process has become another program. */
static void say_blind(struct tpi_broker *broker,
		      const struct tpi_process *process, int maps)
{
	if (!process->pid)
		tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
			       "the broker cannot see processes of a PID "
			       "namespace that is not below its own, so it "
			       "cannot see that one becomes another program "
			       "(execve) and says no hello: run the broker in "
			       "the host's PID namespace");
	else if (maps == -EACCES || maps == -EPERM)
		tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
			       "the broker (uid %u) may not read the mappings "
			       "of processes of uid %u, so it cannot see that "
			       "one becomes another program (execve): give it "
			       "CAP_SYS_PTRACE (AmbientCapabilities= in a "
			       "unit), or run it as root",
			       geteuid(), process->uid);
}

static bool holds_producers(const struct tpi_attachment *attachment)
{
	return attachment->group &&
	       attachment->group->policy == TAPIO_GROUP_LOSSLESS;
}

/* It may be another program by now, and what it had is kept for it. */
void tpi_session_say_lingering(struct tpi_broker *broker,
			       const struct tpi_attachment *attachment,
			       int maps)
{
	const struct tpi_process *process = attachment->process;
	char what[64];

	if (maps > 0)
		snprintf(what, sizeof(what), "still maps the channel");
	else
		snprintf(what, sizeof(what), "may still map the channel (%s)",
			 strerror(-maps));
	tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
		       "process %d \"%s\" (uid %u) closed its connection and "
		       "%s: attachment 0x%08x stays until the process %sends%s",
		       process->pid, process->comm, process->uid, what,
		       attachment->id, maps > 0 ? "unmaps it or " : "",
		       holds_producers(attachment)
			       ? ", and its lossless group keeps events for it"
			       : "");
	say_blind(broker, process, maps);
}

/* Closed without DETACH: gone if the process maps nothing of ours. */
static void orphan(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_attachment *attachment = session->attachment;
	const struct tpi_file *files;
	uint32_t count;
	int maps;

	attachment->session = NULL;
	session->attachment = NULL;
	broker->lingering++;
	if (tpi_process_is_dead(attachment->process))
		return; /* its pidfd tells us next, with all it had */
	if (broker->lingering > TPI_MAPS_LOOKS)
		return; /* the tick looks, a few at a time */
	files = tpi_isolation_files(attachment, &count);
	maps = tpi_process_maps(attachment->process, files, count);
	if (maps == 0) {
		tpi_add_relaxed(&counters(broker)->closes, 1);
		tpi_attachment_end(broker, attachment);
		return;
	}
	/* A process that dies loses its maps first, and its pidfd tells it a moment
	 * later. One whose first thread has ended looks the same, and stays. */
	if (maps == -ESRCH && attachment->process->pid)
		attachment->untold = UNTOLD_TICKS;
	else
		tpi_session_say_lingering(broker, attachment, maps);
}

void tpi_session_close(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_process *process = session->process;

	tpi_watch_stop(broker->loop, &session->watch);
	tpi_unread_forget(session);
	TAILQ_REMOVE(&broker->server.sessions, session, link);
	broker->server.session_count--;
	if (!process)
		broker->server.stranger_count--;
	tpi_client_socket_close(broker, session->fd, session->cred.uid,
				tpi_helper_forget(session));
	TPI_TESTPOINT("session.closed");
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

bool tpi_session_answer(struct tpi_session *session,
			union tpi_wire_message *message, const int *fds,
			unsigned int fd_count)
{
	struct tpi_broker *broker = session->broker;
	ssize_t sent;

	message->header.fd_count = fd_count;
	if (fd_count)
		tpi_unread_note(session, fd_count);
	sent = tpi_send_fds(session->fd, message, message->header.length, fds,
			    fd_count);
	if (sent == (ssize_t)message->header.length)
		return true;
	if (sent == -ETOOMANYREFS) {
		tpi_unread_forget(session);
		tpi_session_no_descriptor(session, (int)sent);
		return false;
	}
	if (sent != -EPIPE && sent != -ECONNRESET)
		tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
			       "process %d (uid %u): connection closed: %s",
			       session->cred.pid, session->cred.uid,
			       sent == -EAGAIN ? "it does not read its answers"
					       : strerror((int)-sent));
	tpi_session_close(session);
	return false;
}

bool tpi_session_answer_refused(struct tpi_session *session, int err,
				const char *text)
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
	if (!tpi_session_answer(session, &message, NULL, 0))
		return false;
	TPI_TESTPOINT("session.refused");
	return true;
}

void tpi_session_refuse(struct tpi_session *session, int err, const char *text)
{
	if (tpi_session_answer_refused(session, err, text))
		tpi_session_close(session);
}

/*
 * Not the client's fault: it may come again, and -EAGAIN says so. The log has the errno
 * and the remedy.
 */
void tpi_session_no_descriptor(struct tpi_session *session, int err)
{
	tpi_warn_descriptors(session->broker, -err);
	tpi_session_refuse(session, -EAGAIN,
			   "the broker has no descriptor left for another "
			   "client now (its RLIMIT_NOFILE): try again");
}

void tpi_session_protocol_error(struct tpi_session *session, int err,
				const char *text)
{
	tpi_add_relaxed(&counters(session->broker)->protocol_errors, 1);
	tpi_session_refuse(session, err, text);
}

/* ---- HELLO ------------------------------------------------------------------------ */

/* The client is told that it has no right. The log says which rules grant it. */
int tpi_session_has_no_right(struct tpi_session *session, const char *channel,
			     uint32_t right, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	char rules[96];

	/* Its answer will not be read, and rules have nothing to do with it. */
	if (session->cred.ended)
		return tpi_rights_refuse(&session->cred, channel, right, why,
					 why_bytes);
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

/* The memory may be older, or newer, than this broker. */
static const struct tapio_shm_header *made_as(const struct tpi_broker *broker)
{
	return (const void *)broker->registry.catalog_segment.map.base;
}

static int check_hello(struct tpi_session *session,
		       const struct tpi_wire_hello *hello, char *why,
		       size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	const struct tapio_shm_header *header = made_as(broker);

	if (!TAPIO_ABI_READABLE(hello->abi_major, hello->abi_minor) ||
	    header->incompat & ~hello->incompat_known)
		return tpi_fail(
			-EPROTONOSUPPORT, why, why_bytes,
			"the client knows layout %u.%u (features %#" PRIx64
			"), the broker's is %u.%u (%#" PRIx64
			"): " TPI_VERSIONS_REMEDY,
			hello->abi_major, hello->abi_minor,
			hello->incompat_known, header->abi_major,
			header->abi_minor, header->incompat);
	if (!tpi_rights(&broker->config, &session->cred, NULL))
		return tpi_session_has_no_right(session, NULL, 0, why,
						why_bytes);
	return tpi_quota_hello(session, why, why_bytes);
}

void tpi_session_fill_welcome(const struct tpi_broker *broker,
			      union tpi_wire_message *message, int *fd)
{
	const struct tpi_registry *registry = &broker->registry;
	struct tpi_wire_welcome *welcome = &message->welcome;

	tpi_wire_init(message, TPI_WIRE_WELCOME);
	memcpy(welcome->instance, registry->instance,
	       sizeof(welcome->instance));
	welcome->abi_major = made_as(broker)->abi_major;
	welcome->abi_minor = made_as(broker)->abi_minor;
	snprintf(welcome->version, sizeof(welcome->version), "%s",
		 tapio_version());
	*fd = registry->catalog_segment.fd_ro;
}

static void welcome(struct tpi_session *session)
{
	union tpi_wire_message message;
	int fd;

	tpi_session_fill_welcome(session->broker, &message, &fd);
	tpi_session_answer(session, &message, &fd, 1);
	TPI_TESTPOINT("session.welcomed");
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
	if (err == -EMFILE || err == -ENFILE) {
		tpi_session_no_descriptor(session, err);
		return;
	}
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
	if (hello->attach.role)
		tpi_session_attach(session, &hello->attach, hello->header.minor,
				   true);
	else
		welcome(session);
}

/* ---- of several requests ------------------------------------------------------------ */

void tpi_session_not_attached(struct tpi_session *session, uint32_t named)
{
	const struct tpi_attachment *attachment = session->attachment;
	char why[128];

	snprintf(why, sizeof(why),
		 "attachment 0x%08x is not this connection's, which is 0x%08x",
		 named, attachment ? attachment->id : 0);
	tpi_session_answer_refused(session, -ENOENT, why);
}

int tpi_session_check_name(const char *what, const char *text, char *why,
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

/* ---- DETACH --------------------------------------------------------------------------- */

static void on_detach(struct tpi_session *session,
		      const struct tpi_wire_detach *detach)
{
	struct tpi_attachment *attachment = session->attachment;
	union tpi_wire_message message;

	if (!attachment || attachment->id != detach->attachment) {
		tpi_session_not_attached(session, detach->attachment);
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
	tpi_session_answer(session, &message, NULL, 0);
	TPI_TESTPOINT("session.detached");
}

/* ---- REMOVE ---------------------------------------------------------------------------- */

static int remove_group(struct tpi_session *session,
			const struct tpi_wire_remove *remove,
			struct tpi_host **host, char *why, size_t why_bytes)
{
	struct tpi_broker *broker = session->broker;
	int err = tpi_session_check_name("channel", remove->channel, why,
					 why_bytes);

	if (!err)
		err = tpi_session_check_name("group", remove->group, why,
					     why_bytes);
	if (err)
		return err;
	*host = tpi_registry_find(&broker->registry, remove->channel);
	if (!*host)
		return tpi_fail(-ENOENT, why, why_bytes, "no channel \"%s\"",
				remove->channel);
	return tpi_group_remove(broker, *host, &session->cred, remove->group,
				why, why_bytes);
}

static void on_remove(struct tpi_session *session,
		      const struct tpi_wire_remove *remove)
{
	union tpi_wire_message message;
	struct tpi_host *host = NULL;
	char why[256];
	int slot = remove_group(session, remove, &host, why, sizeof(why));

	if (slot < 0) {
		tpi_session_answer_refused(session, slot, why);
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
	tpi_session_answer(session, &message, NULL, 0);
	TPI_TESTPOINT("session.removed");
}

/* ---- RELOAD ---------------------------------------------------------------------------- */

/*
 * For users that can send a signal to the broker: root and its own uid, at home. They may
 * have no other right (trust_owner), so a reload needs no HELLO.
 */
static void on_reload(struct tpi_session *session)
{
	union tpi_wire_message message;
	char said[sizeof(message.reloaded.text)];
	int err;

	if (!tpi_quota_is_exempt(&session->cred)) {
		tpi_session_refuse(session, -EPERM,
				   "a reload is for root and the broker's own "
				   "user, in the broker's namespaces");
		return;
	}
	err = tpi_broker_reload(session->broker, NULL, said, sizeof(said));
	if (err) {
		tpi_session_answer_refused(session, err, said);
		return;
	}
	tpi_wire_init(&message, TPI_WIRE_RELOADED);
	memcpy(message.reloaded.text, said, sizeof(said));
	tpi_session_answer(session, &message, NULL, 0);
	TPI_TESTPOINT("session.reloaded");
}

/* ---- messages ---------------------------------------------------------------------------- */

void tpi_session_dispatch(struct tpi_session *session,
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
	if (type == TPI_WIRE_RELOAD) {
		on_reload(session);
	} else if (type == TPI_WIRE_REPLACE) {
		tpi_session_hand_over(session);
	} else if (type == TPI_WIRE_ATTACH && session->process) {
		tpi_session_attach(session, &message->attach,
				   message->header.minor, false);
	} else if (type == TPI_WIRE_DETACH && session->process) {
		on_detach(session, &message->detach);
	} else if (type == TPI_WIRE_REMOVE && session->process) {
		on_remove(session, &message->remove);
	} else if (type == TPI_WIRE_FETCH && session->process) {
		tpi_session_fetch(session, &message->fetch);
	} else if (type == TPI_WIRE_RESUME && session->process) {
		tpi_session_resume(session, &message->resume);
	} else if (type == TPI_WIRE_MAPPED && session->process) {
		tpi_session_mapped(session, &message->mapped);
	} else {
		snprintf(why, sizeof(why), "message type %u: %s", type,
			 session->process
				 ? "after HELLO a client sends "
				   "ATTACH, RESUME, MAPPED, FETCH, DETACH "
				   "or REMOVE"
				 : "the first message must be HELLO");
		tpi_session_protocol_error(session, -EPROTO, why);
	}
}
