/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares of clients and attachments. Called on HELLO and ATTACH.
 *
 * One uid may take `uid_clients_max` of `clients_max`, and `clients_reserved` of them are
 * for root and the broker's own uid, so that an administrator can always look. Root of a
 * container is not meant (home.c). The uid is the kernel's word. All users that a user namespace does not map are 65534 to it, and
 * share what one uid has.
 *
 * An attachment whose connection is gone counts until its process unmaps or ends. So it
 * has a count of its own with the same limits. Sessions and processes are as many as
 * clients_max lets in, and both lists are walked: a count that is never kept cannot be
 * wrong.
 */
#include <errno.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "lib/base/error.h"

bool tpi_quota_is_exempt(const struct tpi_cred *cred)
{
	return cred->at_home && tpi_is_owner_uid(cred->uid);
}

bool tpi_quota_is_shared(const struct tpi_session *a,
			 const struct tpi_session *b)
{
	return a->cred.uid == b->cred.uid &&
	       tpi_quota_is_exempt(&a->cred) == tpi_quota_is_exempt(&b->cred);
}

static int check(const struct tpi_session *session, uint32_t all, uint32_t own,
		 const char *what, char *why, size_t bytes)
{
	const struct tpi_config *config = &session->broker->config;
	bool exempt = tpi_quota_is_exempt(&session->cred);
	uint32_t reserved = exempt ? 0 : config->clients_reserved;

	if (all >= config->clients_max - reserved)
		return tpi_fail(
			-EUSERS, why, bytes,
			"%u clients are %s, clients_max is %u, of which "
			"%u are for root and the broker's user "
			"(configuration)",
			all, what, config->clients_max,
			config->clients_reserved);
	if (!exempt && own >= config->uid_clients_max)
		return tpi_fail(-EDQUOT, why, bytes,
				"%u clients of uid %u are %s, uid_clients_max "
				"is %u (configuration)",
				own, session->cred.uid, what,
				config->uid_clients_max);
	return 0;
}

int tpi_quota_hello(const struct tpi_session *session, char *why, size_t bytes)
{
	struct tpi_broker *broker = session->broker;
	const struct tpi_session *s;
	uint32_t own, all = tpi_unread_left(broker, session->cred.uid, &own);

	TAILQ_FOREACH (s, &broker->server.sessions, link) {
		all += s->process != NULL;
		own += s->process && s->cred.uid == session->cred.uid;
	}
	return check(session, all, own, "connected", why, bytes);
}

int tpi_quota_attach(const struct tpi_session *session, char *why, size_t bytes)
{
	const struct tpi_broker *broker = session->broker;
	const struct tpi_attachment *attachment;
	const struct tpi_process *process;
	uint32_t own = 0;

	TAILQ_FOREACH (process, &broker->processes, link)
		TAILQ_FOREACH (attachment, &process->attachments, of_process)
			own += process->uid == session->process->uid;
	return check(session, broker->registry.attached, own, "attached", why,
		     bytes);
}
