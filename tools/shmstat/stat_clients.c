/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments: the process, its channel and its role. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

/*
 * A copy that belongs to one attachment. False when the record is free or was
 * given to another one meanwhile.
 */
static bool copy_attachment(const struct tapio_shm_attachment *shared,
			    struct tapio_shm_attachment *copy)
{
	/*
	 * ORDER attachment.state (acquire): the record was filled before. Pairs
	 * with the broker's release.
	 */
	uint32_t state = tpi_load_acquire(&shared->state);

	if (state == TAPIO_ATTACHMENT_FREE)
		return false;
	memcpy(copy, shared, sizeof(*copy));
	tpi_fence_compiler(); /* the copy is what is looked at */
	copy->state = state;
	/* ORDER attachment.id (fence): the copy is older than this look.
	 * Pairs with the release of the state when the record is given
	 * again. */
	tpi_fence_load_load();
	return tpi_load_relaxed(&shared->id) == copy->id;
}

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

static json_t *one(const struct tpi_inspect *inspect,
		   const struct tapio_shm_attachment *a,
		   const struct stat_member *member)
{
	static const char *const states[] = {"free", "alive", "dead"};
	static const char *const roles[] = {NULL, "produce", "consume",
					    "inspect"};
	const char *process = process_state(a->pid, a->start_time_ticks);
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
	json_object_set_new(object, "alive",
			    json_boolean(a->state == TAPIO_ATTACHMENT_ALIVE &&
					 strcmp(process, "gone") != 0));
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
		if (!copy_attachment(&inspect->catalog.attachments[i],
				     &copies[count]))
			continue;
		stat_member_look(inspect, &copies[count], &members[count]);
		count++;
	}
	return count;
}

json_t *stat_clients(const struct tpi_inspect *inspect)
{
	size_t i, count, most = inspect->catalog.attachment_count;
	struct tapio_shm_attachment *copies = calloc(most, sizeof(*copies));
	struct stat_member *members = calloc(most, sizeof(*members));
	json_t *array = NULL;

	if (copies && members) {
		array = json_array();
		count = copy_all(inspect, copies, members);
		stat_members_settle(inspect, copies, members, count);
		for (i = 0; i < count; i++)
			json_array_append_new(
				array, one(inspect, &copies[i], &members[i]));
	}
	free(members);
	free(copies);
	return array;
}
