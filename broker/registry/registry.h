/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned by the broker: the catalog, the channels' segments, and the ids
 * that it has given to attachments.
 */
#ifndef TPI_BROKER_REGISTRY_H
#define TPI_BROKER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "broker/config/config.h"
#include "broker/group/judge.h"
#include "broker/loop/log.h"
#include "broker/config/budget.h"
#include "broker/repair/process.h"
#include "lib/memory/layout.h"

struct tpi_session;

/* A process that was given the writable cursors of a slot. */
struct tpi_holder {
	struct tpi_process *process;
	uint32_t attached; /* members of it in the slot's group now */
	uint64_t since;    /* tpi_group.openings when it got them */
	LIST_ENTRY(tpi_holder) link;
};

/* What members of a group want, in which they agree. */
struct tpi_group_filter {
	uint32_t severity_min;
	uint32_t class_mask; /* 0: any class */
	uint64_t types;      /* digest of the set; 0: any type */
};

/* One group slot. The private twin of tapio_shm_group. */
struct tpi_group {
	uint32_t state;       /* TAPIO_SLOT_* */
	uint32_t incarnation; /* of the group that has or last had the slot */
	uint32_t policy;      /* TAPIO_GROUP_*, as asked for */
	uint32_t lag;
	bool far; /* its lag may be more than half of a lane */
	uint32_t members;
	struct tpi_group_filter filter; /* of its members, or the last ones */
	uint64_t takeover_ns;           /* TAPIO_TAKEOVER_NEVER */
	uint64_t openings; /* groups that the slot has had, this one included */
	uint32_t looks;    /* in a row that found it impossible (evict.c) */
	bool evicted; /* CLOSED for that. Waits until all holders are dead */
	bool durable;
	bool configured; /* named by the configuration: not one uid's own */
	bool private;    /* of one member, without a name */
	uid_t uid;
	char name[TAPIO_NAME_BYTES];
	LIST_HEAD(, tpi_holder) holders;
};

/* A channel as its host has it. */
struct tpi_host {
	uint32_t index;
	const struct tpi_config_channel *config;
	struct tapio_shm_channel *shm;
	struct tapio_shm_group *shm_groups; /* [TAPIO_GROUP_SLOTS] */
	uint32_t node_count;
	struct tpi_segment *nodes; /* by node index */
	struct tpi_segment cursor_segments[TAPIO_GROUP_SLOTS];
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS];
	struct tpi_channel lanes;
	struct tpi_group groups[TAPIO_GROUP_SLOTS];
	struct tpi_judge judge;
	struct tpi_file *files; /* of all its segments, to look for in maps */
	uint32_t file_count;
	/* side_lanes.c: refused for want of a side lane, as of the last warning. */
	uint64_t no_lane[TAPIO_CLASSES_MAX];
	uint32_t quiet_ticks; /* until the next warning */
};

struct tpi_attachment {
	uint32_t index; /* in the catalog */
	uint32_t generation;
	uint32_t id; /* TAPIO_NOBODY: the record is free */
	uint32_t role;
	struct tpi_host *host;
	struct tpi_group *group;     /* consumers */
	struct tpi_process *process; /* referenced */
	struct tpi_session
		*session; /* NULL: gone, but the process may not be */
	bool left;        /* said so itself, so it was in no call */
	TAILQ_ENTRY(tpi_attachment) of_process;
	STAILQ_ENTRY(tpi_attachment) free;
};

struct tpi_registry {
	uint8_t instance[16];
	struct tpi_segment catalog_segment;
	struct tpi_catalog catalog;
	struct tpi_budget budget;
	uint64_t used_bytes;
	uint32_t segments_used; /* records in the catalog */
	uint32_t host_count;
	struct tpi_host *hosts;
	uint32_t attachment_id; /* of this run of the broker */
	uint32_t attached;
	struct tpi_attachment *attachments; /* by index. 1 is the broker's */
	STAILQ_HEAD(, tpi_attachment) free;
	bool membarrier;
};

/*
 * Allocates everything that the configuration asks for. -ENOMEM, -EMFILE or what
 * the kernel said. `error` has the numbers. tpi_registry_destroy() also after an
 * error.
 */
int tpi_registry_create(struct tpi_registry *registry,
			struct tpi_config *config,
			const struct tpi_topology *topology,
			struct tpi_log *log, char *error, size_t error_bytes);
void tpi_registry_destroy(struct tpi_registry *registry);
/* In a forked child: closes the descriptors of all segments, no more. */
void tpi_registry_forget(struct tpi_registry *registry);
/* The program has closed them: their numbers are its own. */
void tpi_registry_lose(struct tpi_registry *registry);

struct tpi_host *tpi_registry_find(struct tpi_registry *registry,
				   const char *channel);

/*
 * A fresh id for an attachment of a process on a channel, its record filled
 * in. NULL when all records are taken. Referenced: host, process. The session is
 * the caller's to set.
 */
struct tpi_attachment *tpi_attachment_new(struct tpi_registry *registry,
					  struct tpi_host *host, uint32_t role,
					  struct tpi_process *process);
/* Its record ALIVE, with everything in it. */
void tpi_attachment_publish(struct tpi_registry *registry,
			    struct tpi_attachment *attachment);
/* Its record DEAD: the broker is about to take back what it held. */
void tpi_attachment_dead(struct tpi_registry *registry,
			 struct tpi_attachment *attachment);
/* Frees its record. The id never comes back. */
void tpi_attachment_free(struct tpi_registry *registry,
			 struct tpi_attachment *attachment);

/* side_lanes.c: warns when producers were refused for want of a side lane. */
void tpi_side_lanes_tick(struct tpi_registry *registry, struct tpi_log *log);

/*
 * broker_record.c: optional, while the process has one thread. It registers for
 * membarriers at once then, and later it waits some milliseconds for that.
 */
void tpi_registry_prepare(void);
/* The broker's own record, first without and then with segments. */
void tpi_registry_describe(struct tpi_registry *registry,
			   const struct tpi_config *config,
			   const struct tpi_topology *topology,
			   struct tpi_log *log);
void tpi_registry_learn(struct tpi_registry *registry);
/* Whether a process like this one can use CPUs' lanes, found out by asking. */
bool tpi_host_has_cpu_lanes(void);
/*
 * The verdict on rseq in the catalog. On each tick it tries again, as long as the test
 * could not be made.
 */
void tpi_registry_test_rseq(struct tpi_registry *registry, struct tpi_log *log);
uint64_t tpi_realtime_ns(void);

#endif
