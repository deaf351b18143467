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
#include "broker/registry/isolation.h"
#include "broker/registry/own_memory.h"
#include "broker/registry/slot_memory.h"
#include "broker/registry/state.h"
#include "broker/repair/process.h"
#include "lib/memory/layout.h"

struct tpi_keep;
struct tpi_session;

/* What members of a group want, in which they agree. */
struct tpi_group_filter {
	uint32_t severity_min;
	uint32_t class_mask; /* 0: any class */
	uint64_t types;      /* digest of the set; 0: any type */
};

/* flood.c: how often members have announced themselves, as of the last look. */
struct tpi_calls {
	int64_t since_ns;
	uint32_t made;    /* `armed` */
	uint32_t members; /* then, and those that have joined since */
	uint32_t floods;  /* looks that found too many */
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
	uint32_t looks; /* in a row that found it impossible (evict.c) */
	struct tpi_calls calls;
	bool durable;
	bool held;       /* while it is made: it begins at the gates */
	bool configured; /* named by the configuration: not one uid's own */
	bool private;    /* of one member, without a name */
	uid_t uid;
	char name[TAPIO_NAME_BYTES];
	struct tpi_state_slot *kept; /* its private part, for a successor */
};

/* A channel as its host has it. */
struct tpi_host {
	bool used; /* else this entry of the catalog is free */
	bool removed; /* the configuration does not name it: it drains (channels.c) */
	bool rounds; /* of layout 0.7 or later: announcements may ask for several rings */
	uint32_t index;
	const struct tpi_config_channel *config;
	struct tpi_config_channel own_config; /* of one that is removed */
	struct tapio_shm_channel *shm;
	struct tapio_shm_group *shm_groups; /* [TAPIO_GROUP_SLOTS] */
	uint32_t node_count;                /* segments of the channel */
	struct tpi_segment *nodes; /* by node index, or number of a producer */
	/* isolation.c: by number of a producer, from 1 on. */
	struct tpi_slot_memory own_memory[TAPIO_NODES_MAX];
	uint64_t own_taken; /* a bit for each that an attachment has */
	int64_t given_ns[TAPIO_NODES_MAX]; /* when it got that */
	/* own_memory.c */
	struct tpi_old_memory old[TAPIO_NODES_MAX];
	uint32_t old_count;
	uint64_t renewed_bytes; /* since the last tick */
	struct tpi_state_channel *kept;
	struct tapio_shm_span *spans; /* in the catalog, by lane id */
	struct tpi_segment cursor_segments[TAPIO_GROUP_SLOTS];
	struct tpi_slot_memory memory[TAPIO_GROUP_SLOTS];
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS];
	struct tpi_channel lanes;
	struct tpi_group groups[TAPIO_GROUP_SLOTS];
	/* boards.c: members by the board that they use, and those that use none. */
	uint32_t board_users[TAPIO_GROUP_SLOTS];
	uint32_t unboarded;
	struct tpi_judge judge;
	struct tpi_file *files; /* of all its segments, to look for in maps */
	uint32_t file_count;
	/* side_lanes.c: refused for want of a side lane, as of the last warning. */
	uint64_t no_lane[TAPIO_CLASSES_MAX];
	uint32_t quiet_ticks; /* until the next warning */
	uint32_t drain_ticks; /* channels.c: since the log had its numbers */
};

struct tpi_attachment {
	uint32_t index; /* in the catalog */
	uint32_t generation;
	uint32_t id; /* TAPIO_NOBODY: the record is free */
	uint32_t role;
	struct tpi_host *host;
	struct tpi_group *group;     /* consumers */
	uint32_t board;              /* while it has one: a slot (boards.c) */
	struct tpi_process *process; /* referenced */
	struct tpi_session
		*session; /* NULL: gone, but the process may not be */
	bool left;        /* said so itself, so it was in no call */
	uint8_t untold;   /* ticks until the log has that it lingers, or 0 */
	uint64_t born;    /* its number among all births */
	uint64_t rests_since;          /* births until it was freed last */
	uint32_t own_segment;          /* isolation.c. 0: it has none */
	struct tpi_state_client *kept; /* for a successor */
	/* A producer: of which memory of each slot it has the file. */
	uint32_t heard[TAPIO_GROUP_SLOTS];
	TAILQ_ENTRY(tpi_attachment) of_process;
	TAILQ_ENTRY(tpi_attachment) living;
	STAILQ_ENTRY(tpi_attachment) free;
};

struct tpi_registry {
	uint8_t instance[16];
	struct tpi_keep *keep; /* or NULL */
	bool adopted;          /* it was a former broker's */
	struct tpi_state state;
	struct tpi_segment catalog_segment;
	struct tpi_catalog catalog;
	struct tpi_budget budget;
	uint64_t used_bytes;
	uint32_t host_count;
	struct tpi_host
		*hosts; /* by entry of the catalog: see TPI_FOREACH_HOST */
	uint32_t attachment_id; /* of this run of the broker */
	uint32_t attached;
	struct tpi_attachment *attachments; /* by index. 1 is the broker's */
	uint32_t fresh_index;    /* from here on none was ever used */
	uint32_t generation_max; /* TAPIO_GENERATION_MAX, or less in a test */
	uint64_t births;
	TAILQ_HEAD(, tpi_attachment) living; /* oldest first */
	STAILQ_HEAD(, tpi_attachment) free;  /* freed first comes first */
	STAILQ_HEAD(, tpi_attachment) resting;
	bool membarrier;
};

/*
 * Takes over the memory of a former broker (adopt.h), or allocates everything that the
 * configuration asks for. -ENOMEM, -EMFILE or what
 * the kernel said. -EEXIST that memory has channels of other sizes. `error` has the numbers. tpi_registry_destroy() also after an
 * error.
 */
int tpi_registry_create(struct tpi_registry *registry,
			struct tpi_config *config,
			const struct tpi_topology *topology,
			struct tpi_keep *keep, struct tpi_log *log, char *error,
			size_t error_bytes);
/*
 * Makes channels that have no host yet, within the budget of `more`, and sets the
 * numbers that it leaves open. All but READY of each, or none of them.
 */
int tpi_registry_add(struct tpi_registry *registry, struct tpi_config *more,
		     const struct tpi_topology *topology, struct tpi_log *log,
		     char *error, size_t error_bytes);
/* A channel stamped with ticks is of no use where ticks cannot be converted. */
void tpi_registry_check_stamps(struct tpi_config *config, struct tpi_log *log);
/* How many segments, and descriptors of them, there are now. */
void tpi_registry_recount(struct tpi_registry *registry);
/* The keeper forgets all of it: there will be no successor. */
void tpi_registry_give_up(struct tpi_registry *registry);
void tpi_registry_destroy(struct tpi_registry *registry);
/*
 * Raises RLIMIT_NOFILE for the clients that a configuration lets in. -EMFILE: not even the
 * segments may have their descriptors.
 */
int tpi_registry_raise_fds(const struct tpi_registry *registry,
			   const struct tpi_config *config, struct tpi_log *log,
			   char *error, size_t error_bytes);
/* In a forked child: closes the descriptors of all segments, no more. */
void tpi_registry_forget(struct tpi_registry *registry);
/* The program has closed them: their numbers are its own. */
void tpi_registry_lose(struct tpi_registry *registry);

/* Writes a segment's record in the catalog, also over another one. */
void tpi_registry_note(struct tapio_shm_segment *record,
		       const struct tpi_segment *segment, uint32_t kind,
		       uint32_t channel, uint32_t index, uint32_t epoch);
/* The file of a slot's memory, by which a process's maps show it. */
void tpi_registry_note_file(struct tpi_host *host, uint32_t slot);

struct tpi_host *tpi_registry_find(struct tpi_registry *registry,
				   const char *channel);
/* The channels that are there, by their entries. The one at hand may be given back. */
struct tpi_host *tpi_host_next(const struct tpi_registry *registry,
			       const struct tpi_host *host);
#define TPI_FOREACH_HOST(host, registry)                       \
	for ((host) = tpi_host_next((registry), NULL); (host); \
	     (host) = tpi_host_next((registry), (host)))

/* The first of their names, for an error text: "\"a\", \"b\" and 3 more". */
#define TPI_NAMES_TOLD  8
#define TPI_NAMES_BYTES 160
void tpi_registry_names(const struct tpi_registry *registry,
			char out[TPI_NAMES_BYTES]);

/*
 * A fresh id for an attachment of a process on a channel, its record filled
 * in. NULL when all ids were used (tpi_attachment_explain). Referenced: host, process. The session is
 * the caller's to set.
 */
struct tpi_attachment *tpi_attachment_new(struct tpi_registry *registry,
					  struct tpi_host *host, uint32_t role,
					  struct tpi_process *process);
/* Why there was none. -EUSERS. */
int tpi_attachment_explain(const struct tpi_registry *registry, char *error,
			   size_t error_bytes);
/* Its record ALIVE, with everything in it. */
void tpi_attachment_publish(struct tpi_registry *registry,
			    struct tpi_attachment *attachment);
/*
 * The attachment of that name which the process has and which has no connection, for one
 * that goes on with it: the caller sets its session, and broker->lingering is one less
 * then. NULL with -ENOENT: there is none, or it is another process's. NULL with -EBUSY: it
 * has a connection.
 */
struct tpi_attachment *
tpi_attachment_find_resumable(const struct tpi_registry *registry, uint32_t id,
			      const struct tpi_process *process, int *err);
/* Its record DEAD: the broker is about to take back what it held. */
void tpi_attachment_dead(struct tpi_registry *registry,
			 struct tpi_attachment *attachment);
/* Lets its process go, and leaves its record to a successor. */
void tpi_attachment_leave(struct tpi_registry *registry,
			  struct tpi_attachment *attachment);
/* Frees its record. The id does not come back while a process may remember it. */
void tpi_attachment_free(struct tpi_registry *registry,
			 struct tpi_attachment *attachment);

/* side_lanes.c. For a successor: refusals of before are old news. */
void tpi_side_lanes_begin(struct tpi_host *host);
/* Warns when producers were refused for want of a side lane. */
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
/* The boot id of this kernel. */
void tpi_boot_id(uint8_t id[16]);
/* It runs again, as another process. */
void tpi_registry_describe_again(struct tpi_registry *registry,
				 const struct tpi_config *config,
				 struct tpi_log *log);
/* Who would start another broker, for tools. On each tick: a keeper may be replaced. */
void tpi_registry_note_keeper(struct tpi_registry *registry);
/* Whether a process like this one can use CPUs' lanes, found out by asking. */
bool tpi_host_has_cpu_lanes(void);
/*
 * The verdict on rseq in the catalog. On each tick it tries again, as long as the test
 * could not be made.
 */
void tpi_registry_test_rseq(struct tpi_registry *registry, struct tpi_log *log);
uint64_t tpi_realtime_ns(void);

#endif
