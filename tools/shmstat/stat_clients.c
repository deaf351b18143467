/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments: the process, its channel and its role. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/inspect/process.h"
#include "tools/shmstat/stat.h"

/* How long a broker may take to see a death. */
#define NAPS   20
#define NAP_NS 50000000

static json_t *group_name(const struct tpi_inspect *inspect,
			  const struct tapio_shm_attachment *a)
{
	const struct tapio_shm_group *group;

	if (a->role != TAPIO_ROLE_CONSUME ||
	    a->group_slot >= TAPIO_GROUP_SLOTS ||
	    a->channel >= inspect->catalog.channel_count)
		return json_null();
	group = &tpi_inspect_groups(inspect, a->channel)[a->group_slot];
	return value_text(group->name, sizeof(group->name));
}

/* null: a process that cannot be looked at, as one of another user under hidepid. */
static json_t *value_alive(const struct tapio_shm_attachment *a,
			   const char *process)
{
	if (a->state != TAPIO_ATTACHMENT_ALIVE || !strcmp(process, "gone"))
		return json_false();
	return strcmp(process, "unknown") ? json_true() : json_null();
}

static json_t *one(const struct tpi_inspect *inspect,
		   const struct tapio_shm_attachment *a,
		   const struct stat_member *member)
{
	static const char *const states[] = {"free", "alive", "dead"};
	static const char *const roles[] = {NULL, "produce", "consume",
					    "inspect"};
	const char *process =
		tpi_inspect_process(inspect, a->pid, a->start_time_ticks);
	json_t *object = json_object();

	json_object_set_new(object, "id", value_count(a->id));
	json_object_set_new(object, "pid", value_count(a->pid));
	json_object_set_new(object, "comm",
			    value_text(a->comm, sizeof(a->comm)));
	json_object_set_new(object, "uid", value_count(a->uid));
	json_object_set_new(object, "gid", value_count(a->gid));
	json_object_set_new(object, "role", value_word(roles, 4, a->role));
	json_object_set_new(object, "channel",
			    value_channel(inspect, a->channel));
	json_object_set_new(object, "group", group_name(inspect, a));
	stat_member_add(object, a->role == TAPIO_ROLE_CONSUME, member);
	json_object_set_new(object, "rseq", value_rseq(a->rseq_verdict));
	json_object_set_new(object, "state", value_word(states, 3, a->state));
	json_object_set_new(object, "process", json_string(process));
	json_object_set_new(object, "alive", value_alive(a, process));
	return object;
}

/* All that are in use, each at one instant. How many. */
static size_t copy_all(const struct tpi_inspect *inspect,
		       struct tapio_shm_attachment *copies,
		       struct stat_member *members)
{
	size_t count = 0;

	/* Index 0 is never given. */
	for (uint32_t i = 1; i < inspect->catalog.attachment_count; i++) {
		if (!tpi_inspect_attachment(&inspect->catalog.attachments[i],
					    &copies[count]))
			continue;
		stat_member_look(inspect, &copies[count], &members[count]);
		count++;
	}
	return count;
}

static bool any_gone(const struct tpi_inspect *inspect,
		     const struct tapio_shm_attachment *copies, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(tpi_inspect_process(inspect, copies[i].pid,
						copies[i].start_time_ticks),
			    "gone"))
			return true;
	return false;
}

/* A broker that runs takes a moment to see a death. */
static size_t copy_settled(const struct tpi_inspect *inspect,
			   struct tapio_shm_attachment *copies,
			   struct stat_member *members)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	const struct timespec nap = {.tv_nsec = NAP_NS};
	size_t count = copy_all(inspect, copies, members);

	for (int naps = 0; naps < NAPS && stat_is_live(inspect) &&
			   any_gone(inspect, copies, count);
	     naps++) {
		/* Relaxed: written before anybody was served. */
		if (strcmp(tpi_inspect_process(
				   inspect, tpi_load_relaxed(&b->pid),
				   tpi_load_relaxed(&b->start_time_ticks)),
			   "running"))
			break;
		nanosleep(&nap, NULL);
		count = copy_all(inspect, copies, members);
	}
	return count;
}

static json_t *collect(const struct tpi_inspect *inspect, bool settle)
{
	size_t i, count, most = inspect->catalog.attachment_count;
	struct tapio_shm_attachment *copies = calloc(most, sizeof(*copies));
	struct stat_member *members = calloc(most, sizeof(*members));
	json_t *array = NULL;

	if (copies && members) {
		array = json_array();
		count = copy_settled(inspect, copies, members);
		if (settle)
			stat_members_settle(inspect, copies, members, count);
		for (i = 0; i < count; i++)
			json_array_append_new(
				array, one(inspect, &copies[i], &members[i]));
	}
	free(members);
	free(copies);
	return array;
}

json_t *stat_clients(const struct tpi_inspect *inspect)
{
	return collect(inspect, true);
}

json_t *stat_clients_quick(const struct tpi_inspect *inspect)
{
	return collect(inspect, false);
}
