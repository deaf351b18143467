/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups that announce themselves without end. Called once a second, on the broker's
 * thread, with the other looks of evict.c.
 *
 * Members announce themselves in memory of their own (`armed`), and each announcement
 * that is not answered makes the producers of the channel leave their fast path. They
 * ring once in a window (wake.h), so a flood costs them a look at the clock and a line
 * of memory for each event. That is bounded, and still not for nothing. So a group that
 * floods is evicted, by what no honest group can do, as for its cursors (judge.c):
 *
 *  F1	A thread adds to `armed` when it has heard one bell for TPI_RING_SETTLED_NS, and
 *	then not again before it has heard another one for as long
 *	(client/consumer/call.c). So in a time T it does so T / TPI_RING_SETTLED_NS + 1
 *	times at most, by its own clock, which runs as ours. A thread that is stopped does
 *	it less often.
 *  F2	A member has two such threads at most: the one that polls, and the helper of
 *	tapio_fd().
 *  F3	A member between two looks was one at the first of them, or has joined since. There
 *	were no more members than that.
 *  F4	T is taken from before the first load of `armed` to after the second one.
 *  F5	A former member that was stopped just before it added does so when it goes on,
 *	once for each thread. SLACK has room for more of them than a host has clients.
 *
 * A group that asks for more rings all the time (`ring_until`) costs the same, and is not found
 * out: it looks like one that each event wakes.
 *
 * Nothing of it is a value that a producer can write: a producer that moves the bell
 * makes no honest member announce itself more often. The counter wraps after 2^32, which
 * honest members need hours for, and then the allowance is larger than any count.
 *
 * One look would be enough. LOOKS of them evict, in a row or not, so that the log says
 * it before, and so that a flood with pauses ends, too.
 */
#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/lane/wake.h"

#define LOOKS             3
#define SLACK             65536
#define THREADS_OF_MEMBER 2

static uint32_t announcements(const struct tpi_host *host,
			      const struct tpi_group *group)
{
	/* Relaxed: a count, and nothing follows it. */
	return tpi_load_relaxed(
		&host->cursors[group - host->groups].control->armed);
}

void tpi_flood_begin(const struct tpi_host *host, struct tpi_group *group)
{
	group->calls = (struct tpi_calls){
		.since_ns = tpi_now_ns(),
		.made = announcements(host, group),
		.members = group->members,
	};
}

static void report(struct tpi_broker *broker, const struct tpi_host *host,
		   const struct tpi_group *group, uint32_t made,
		   uint64_t allowed, int64_t ns)
{
	tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
		       "group \"%s\" (slot %u, uid %u) of channel \"%s\" is "
		       "%s: its members announced themselves %u times in %lld "
		       "ms, and %u member%s can do so %llu times at most (look "
		       "%u of %d)",
		       group->name, (unsigned int)(group - host->groups),
		       group->uid, host->config->spec.name,
		       group->calls.floods < LOOKS ? "suspected"
		       : group->members            ? "evicted"
						   : "given other memory",
		       made, (long long)(ns / 1000000), group->calls.members,
		       TPI_PLURAL(group->calls.members),
		       (unsigned long long)allowed, group->calls.floods, LOOKS);
}

bool tpi_flood_look(struct tpi_broker *broker, struct tpi_host *host,
		    struct tpi_group *group)
{
	struct tpi_calls *calls = &group->calls;
	int64_t begin = tpi_now_ns(), ns;
	uint32_t armed = announcements(host, group);
	uint32_t made = armed - calls->made;
	uint64_t allowed;

	ns = tpi_now_ns() - calls->since_ns;
	allowed = SLACK + (uint64_t)calls->members * THREADS_OF_MEMBER *
				  ((uint64_t)(ns / TPI_RING_SETTLED_NS) + 2);
	if (made > allowed) {
		calls->floods++;
		tpi_add_relaxed(&broker->registry.catalog.broker->suspicions,
				1);
		report(broker, host, group, made, allowed, ns);
	}
	calls->since_ns = begin;
	calls->made = armed;
	calls->members = group->members;
	if (calls->floods < LOOKS)
		return false;
	/* A former member floods where there are none, and what the group keeps is for
	 * others: it goes on in memory that no client has had. */
	if (group->members)
		tpi_group_evict(broker, host, group);
	else
		tpi_group_mend(broker, host, group);
	return true;
}
