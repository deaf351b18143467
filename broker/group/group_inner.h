/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of group.c, for a reload of the configuration (group_reload.c), for a successor
 * (adopt.c), and for one another. */
#ifndef TPI_BROKER_GROUP_INNER_H
#define TPI_BROKER_GROUP_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tpi_attachment;
struct tpi_broker;
struct tpi_config_channel;
struct tpi_config_group;
struct tpi_group;
struct tpi_group_request;
struct tpi_host;
struct tpi_process;
struct tpi_registry;

/* ---- group_request.c, for group.c. With an error and its reason, or 0 ---- */

/* Any class is 0, however it was asked for. */
uint32_t tpi_group_class_mask(const struct tpi_host *host, uint32_t mask);
/* The request by itself. */
int tpi_group_check_request(const struct tpi_host *host,
			    const struct tpi_group_request *request,
			    char *error, size_t error_bytes);
/* Joining what exists: with the same options, or with none. */
int tpi_group_check_existing(const struct tpi_host *host,
			     const struct tpi_group *group,
			     const struct tpi_process *process,
			     const struct tpi_group_request *request,
			     char *error, size_t error_bytes);
/* Making one: how far it may hold producers, and whether it may outlive its members. */
int tpi_group_check_lag(const struct tpi_host *host,
			const struct tpi_group_request *request, char *error,
			size_t error_bytes);
int tpi_group_check_durable(const struct tpi_host *host,
			    const struct tpi_group_request *request,
			    char *error, size_t error_bytes);
/* Ending one. `group` may be NULL. */
int tpi_group_check_remove(const struct tpi_host *host,
			   const struct tpi_group *group, uid_t uid, bool owner,
			   const char *name, char *error, size_t error_bytes);

/* ---- boards.c ---- */

/* D1 and D2, before the member is given anything. `knows`: it announces itself on boards. */
void tpi_board_join(struct tpi_broker *broker,
		    struct tpi_attachment *attachment, bool knows);
/* Of one that has a group. */
void tpi_board_leave(struct tpi_attachment *attachment);
/* For a successor, when all of them have been recalled. */
void tpi_boards_show(struct tpi_host *host);
/* Whether a producer has not got the memory of a slot. */
bool tpi_group_unheard(const struct tpi_broker *broker,
		       const struct tpi_host *host, uint32_t slot);

/* ---- for a reload and a successor ---- */

/* The group of that name in a configuration, or NULL. */
const struct tpi_config_group *
tpi_group_named(const struct tpi_config_channel *channel, const char *name);
/* Whether it asks for another policy, lag or takeover than the group has. */
bool tpi_group_is_changed(const struct tpi_group *group,
			  const struct tpi_config_group *to);

/* ---- for a reload, and tpi_group_retune() for a successor ---- */

/* An active group by its name, or NULL. */
struct tpi_group *tpi_group_find(struct tpi_host *host, const char *name);

/* Makes a group of the configuration. -EUSERS no slot is free, or why no memory is. */
int tpi_group_make(struct tpi_broker *broker, struct tpi_host *host,
		   const struct tpi_config_group *from, char *error,
		   size_t error_bytes);

/*
 * Gives a durable group without members another policy, lag and takeover. Events that
 * producers have not taken yet are kept for it, and the rest is counted as lost.
 */
void tpi_group_retune(struct tpi_host *host, struct tpi_group *group,
		      const struct tpi_config_group *to);

/* How many events a group has not read yet. A lane that cannot be read counts as one. */
uint64_t tpi_group_unread(const struct tpi_host *host, uint32_t slot);

/* Ends a group without members, and wakes the producers that waited for it. */
void tpi_group_end(struct tpi_host *host, struct tpi_group *group);

/* ---- for a successor ---- */

/* Its members, its slot's word, `active`, and a new generation. */
void tpi_group_show(struct tpi_host *host, const struct tpi_group *group);
/* Its attachments are of no group, and it has no members. */
void tpi_group_dismiss(struct tpi_broker *broker, struct tpi_host *host,
		       struct tpi_group *group);
/* Its slot is FREE. It has no members. */
void tpi_group_close(struct tpi_host *host, struct tpi_group *group);
/* The private part, for the next successor. */
void tpi_group_note(const struct tpi_group *group);
/* Producers act on all that was shown before. */
void tpi_group_barrier(const struct tpi_registry *registry);

#endif
