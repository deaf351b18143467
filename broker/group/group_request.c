/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a client may have what it asks of a group: to make one, to join it, to remove it.
 * Nothing is changed here. Called by group.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/group/group_inner.h"
#include "lib/base/error.h"
#include "lib/memory/policy.h"

/* Any class is 0, however it was asked for. */
uint32_t tpi_group_class_mask(const struct tpi_host *host, uint32_t mask)
{
	uint32_t all = (1u << host->config->spec.class_count) - 1;

	if ((mask & all) == all)
		return 0;
	return mask & all ? mask & all : mask;
}

#define FILTER_TEXT 96

/* As tools show it: a set of types by its digest. */
static void describe_filter(char out[FILTER_TEXT], uint32_t severity_min,
			    uint32_t mask, uint64_t types)
{
	char classes[24] = "all", set[24] = "all";

	if (mask)
		snprintf(classes, sizeof(classes), "0x%x", mask);
	if (types)
		snprintf(set, sizeof(set), "#%016llx",
			 (unsigned long long)types);
	snprintf(out, FILTER_TEXT, "{severity >= %u, classes %s, types %s}",
		 severity_min, classes, set);
}

/*
 * Members read for one another: an event that one of them passes over, no other one
 * sees. So all that are members at the same time have one filter. A durable group
 * without members takes that of its next first member.
 */
static int check_filter(const struct tpi_host *host,
			const struct tpi_group *group,
			const struct tpi_group_filter *filter, char *error,
			size_t error_bytes)
{
	const struct tpi_group_filter *theirs = &group->filter;
	uint32_t mask = tpi_group_class_mask(host, filter->class_mask);

	char has[FILTER_TEXT], wants[FILTER_TEXT];

	if (!group->members ||
	    (filter->severity_min == theirs->severity_min &&
	     mask == theirs->class_mask && filter->types == theirs->types))
		return 0;
	describe_filter(has, theirs->severity_min, theirs->class_mask,
			theirs->types);
	describe_filter(wants, filter->severity_min, mask, filter->types);
	return tpi_fail(-EBUSY, error, error_bytes,
			"group \"%s\" has members with the filter %s, not %s%s",
			group->name, has, wants,
			theirs->types != filter->types
				? ": they read other types of events. Read the "
				  "same, or name another group"
				: "");
}

static bool is_member(const struct tpi_group *group,
		      const struct tpi_process *process)
{
	const struct tpi_attachment *attachment;

	TAILQ_FOREACH (attachment, &process->attachments, of_process)
		if (attachment->group == group)
			return true;
	return false;
}

/* Joining what exists: with the same options, or with none. */
int tpi_group_check_existing(const struct tpi_host *host,
			     const struct tpi_group *group,
			     const struct tpi_process *process,
			     const struct tpi_group_request *request,
			     char *error, size_t error_bytes)
{
	if (!group->configured && process->uid == tpi_overflow_uid() &&
	    !is_member(group, process))
		return tpi_fail(-EACCES, error, error_bytes,
				"group \"%s\": this client is uid %u, which "
				"stands for all users without a mapping, and "
				"only the process that made the group may join "
				"it",
				group->name, process->uid);
	if (!group->configured && group->uid != process->uid && !request->owner)
		return tpi_fail(-EACCES, error, error_bytes,
				"group \"%s\" belongs to uid %u, and this "
				"client is uid %u (a group that the "
				"configuration names is open to all who may "
				"consume)",
				group->name, group->uid, process->uid);
	if (request->policy != TAPIO_GROUP_DEFAULT &&
	    request->policy != group->policy)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with policy %s, not %s",
				group->name, tpi_policy_name(group->policy),
				tpi_policy_name(request->policy));
	if (request->policy == TAPIO_GROUP_UNTIL && request->lag != group->lag)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with lag %u, not %u",
				group->name, group->lag, request->lag);
	if (request->durable && !group->durable)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists and is not durable",
				group->name);
	if (request->takeover_ns && request->takeover_ns != group->takeover_ns)
		return tpi_fail(-EBUSY, error, error_bytes,
				"group \"%s\" exists with a takeover after "
				"%lld ns, not %lld (-1: never)",
				group->name, (long long)group->takeover_ns,
				(long long)request->takeover_ns);
	return check_filter(host, group, &request->filter, error, error_bytes);
}

/* Of the channel's largest lanes. */
static uint32_t most_positions(const struct tpi_host *host)
{
	const struct tpi_channel_spec *spec = &host->config->spec;
	uint32_t most = 0;

	for (uint32_t i = 0; i < spec->class_count; i++) {
		if (spec->classes[i].block_count > most)
			most = spec->classes[i].block_count;
		if (spec->classes[i].side_count > most)
			most = spec->classes[i].side_count;
	}
	return most;
}

/* On smaller lanes producers apply the same limit by themselves (TAPIO_SLOT_FAR). */
int tpi_group_check_lag(const struct tpi_host *host,
			const struct tpi_group_request *request, char *error,
			size_t error_bytes)
{
	uint32_t most = most_positions(host);

	if (request->may_lossless || request->lag <= most / 2)
		return 0;
	return tpi_fail(-EPERM, error, error_bytes,
			"lag %u: without the role lossless a group on channel "
			"\"%s\" may hold at most %u of the %u positions of its "
			"largest lanes",
			request->lag, host->config->spec.name, most / 2, most);
}

/* It may live on without any process of its maker, and keep its slot for good. */
int tpi_group_check_durable(const struct tpi_host *host,
			    const struct tpi_group_request *request,
			    char *error, size_t error_bytes)
{
	if (request->may_durable || !request->durable)
		return 0;
	return tpi_fail(-EPERM, error, error_bytes,
			"a durable group on channel \"%s\" needs the role "
			"durable, which no allow rule grants: it would keep "
			"its events and its slot when its members have left",
			host->config->spec.name);
}

int tpi_group_check_request(const struct tpi_host *host,
			    const struct tpi_group_request *request,
			    char *error, size_t error_bytes)
{
	uint32_t most = most_positions(host);

	if (request->policy > TAPIO_GROUP_LOSSLESS)
		return tpi_fail(-EINVAL, error, error_bytes,
				"group policy %u is not one of 0 to %d",
				request->policy, TAPIO_GROUP_LOSSLESS);
	if (request->policy == TAPIO_GROUP_LOSSLESS && !request->may_lossless)
		return tpi_fail(-EPERM, error, error_bytes,
				"a lossless group on channel \"%s\" needs the "
				"role lossless, which no allow rule grants: it "
				"could stop producers without a limit",
				host->config->spec.name);
	if (request->lag >= most)
		return tpi_fail(-EINVAL, error, error_bytes,
				"lag %u: lanes of channel \"%s\" have %u "
				"positions, and a lag must be smaller",
				request->lag, host->config->spec.name, most);
	if (request->durable && !request->name[0])
		return tpi_fail(-EINVAL, error, error_bytes,
				"a durable group needs a name");
	return 0;
}

int tpi_group_check_remove(const struct tpi_host *host,
			   const struct tpi_group *group, uid_t uid, bool owner,
			   const char *name, char *error, size_t error_bytes)
{
	const char *channel = host->config->spec.name;

	if (!group)
		return tpi_fail(-ENXIO, error, error_bytes,
				"channel \"%s\" has no group \"%s\"", channel,
				name);
	if (group->configured)
		return tpi_fail(
			-EPERM, error, error_bytes,
			"group \"%s\" of channel \"%s\" is named in the "
			"configuration and cannot be removed",
			name, channel);
	if (uid == tpi_overflow_uid() && !owner)
		return tpi_fail(
			-EACCES, error, error_bytes,
			"group \"%s\" of channel \"%s\": uid %u stands "
			"for all users without a mapping, and removes no "
			"group",
			name, channel, uid);
	if (group->uid != uid && !owner)
		return tpi_fail(-EACCES, error, error_bytes,
				"group \"%s\" of channel \"%s\" belongs to uid "
				"%u, and this client is uid %u",
				name, channel, group->uid, uid);
	if (group->members)
		return tpi_fail(
			-EBUSY, error, error_bytes,
			"group \"%s\" of channel \"%s\" has %u member%s", name,
			channel, group->members, TPI_PLURAL(group->members));
	return 0;
}
