/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rights. Called by sessions on every HELLO and ATTACH. The kernel says who the
 * peer is (SO_PEERCRED, as of its connect), the configuration says what such a
 * one may do. Nothing that the client writes plays a part.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/session/rights.h"
#include "lib/base/error.h"

int tpi_cred_read(struct tpi_cred *cred, int sock)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	memset(cred, 0, sizeof(*cred));
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return -errno;
	cred->pid = peer.pid;
	cred->uid = peer.uid;
	cred->gid = peer.gid;
	/* Too many groups, or a kernel without: the primary one counts. */
	length = sizeof(cred->groups);
	if (!getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, cred->groups, &length))
		cred->group_count = (uint32_t)(length / sizeof(gid_t));
	return 0;
}

static bool in_group(const struct tpi_cred *cred, gid_t gid)
{
	if (cred->gid == gid)
		return true;
	for (uint32_t i = 0; i < cred->group_count; i++)
		if (cred->groups[i] == gid)
			return true;
	return false;
}

static bool rule_is_for(const struct tpi_config_rule *rule,
			const struct tpi_cred *cred)
{
	if (rule->any)
		return true;
	for (uint32_t i = 0; i < rule->uid_count; i++)
		if (rule->uids[i] == cred->uid)
			return true;
	for (uint32_t i = 0; i < rule->gid_count; i++)
		if (in_group(cred, rule->gids[i]))
			return true;
	return false;
}

static bool rule_covers(const struct tpi_config_rule *rule, const char *channel)
{
	return !channel || !fnmatch(rule->channel, channel, 0);
}

bool tpi_is_owner_uid(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

bool tpi_cred_is_owner(const struct tpi_config *config,
		       const struct tpi_cred *cred)
{
	return config->trust_owner && cred->at_home &&
	       tpi_is_owner_uid(cred->uid);
}

uint32_t tpi_rights(const struct tpi_config *config,
		    const struct tpi_cred *cred, const char *channel)
{
	uint32_t rights = 0;

	if (tpi_cred_is_owner(config, cred))
		return TPI_RIGHT_ALL;
	for (uint32_t i = 0; i < config->rule_count; i++)
		if (rule_covers(&config->rules[i], channel) &&
		    rule_is_for(&config->rules[i], cred))
			rights |= config->rules[i].rights;
	return rights;
}

const char *tpi_right_name(uint32_t right)
{
	return tpi_config_role((unsigned int)__builtin_ctz(right) -
			       (unsigned int)__builtin_ctz(TPI_RIGHT_PRODUCE));
}

void tpi_rights_rules(const struct tpi_config *config, const char *channel,
		      uint32_t right, char *names, size_t bytes)
{
	size_t used = 0;

	snprintf(names, bytes, "none");
	for (uint32_t i = 0; i < config->rule_count; i++) {
		const struct tpi_config_rule *rule = &config->rules[i];
		int n;

		if (!rule_covers(rule, channel) ||
		    (right && !(rule->rights & right)))
			continue;
		n = snprintf(names + used, bytes - used, "%s\"%.40s\"",
			     used ? ", " : "", rule->name);
		if (n < 0 || (size_t)n >= bytes - used) {
			names[used] = 0; /* whole names only */
			return;
		}
		used += (size_t)n;
	}
}

/* Root is not used to being refused, so it learns why. */
static const char *not_at_home(const struct tpi_cred *cred)
{
	if (!tpi_is_owner_uid(cred->uid) || cred->at_home)
		return "";
	if (cred->ended)
		return ", and the process that connected has ended, so "
		       "trust_owner is not for it";
	return ", and trust_owner is for processes in the broker's own user "
	       "and PID namespace";
}

int tpi_rights_refuse(const struct tpi_cred *cred, const char *channel,
		      uint32_t right, char *error, size_t error_bytes)
{
	if (!right)
		return tpi_fail(-EACCES, error, error_bytes,
				"uid %u, gid %u has no rights here: no allow "
				"rule of the configuration is for it%s (the "
				"log of tapiod names the rules)",
				cred->uid, cred->gid, not_at_home(cred));
	return tpi_fail(-EACCES, error, error_bytes,
			"uid %u, gid %u has no right to %s on channel \"%s\": "
			"no allow rule grants it%s (the log of tapiod names "
			"the rules that grant it to others)",
			cred->uid, cred->gid, tpi_right_name(right), channel,
			not_at_home(cred));
}
