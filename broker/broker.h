/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker as a whole, and the calls between its parts:
 *
 *	session   connections and messages      -> process, group, reaper
 *	process   who clients are, who lives    -> reaper
 *	group     joining and leaving           -> registry
 *	reaper    what the dead leave behind    -> group, registry
 *	evict     what the living must not do   -> judge, group
 *	clock     TSC to CLOCK_REALTIME
 *
 * Everything runs on one thread, so there are no locks. Callbacks of the loop
 * may end any attachment or process, which is why the lists are walked with care.
 */
#ifndef TPI_BROKER_BROKER_H
#define TPI_BROKER_BROKER_H

#include "broker/registry/clock.h"
#include "broker/config/config.h"
#include "broker/keep/keep.h"
#include "broker/loop/log.h"
#include "broker/loop/loop.h"
#include "broker/repair/process.h"
#include "broker/repair/starts.h"
#include "broker/registry/registry.h"
#include "broker/registry/serving.h"
#include "broker/session/server.h"

/* A test that waits for many looks sets tpi_tick_ns. One that counts them, or has something
 * to do between two, sets tpi_ticked before the broker starts. */
#ifdef TAPIO_TESTPOINTS
extern uint64_t tpi_tick_ns; /* 0: as in every other build */
extern void (*tpi_ticked)(void);
#endif
#define TPI_TICK_NS    UINT64_C(1000000000)
#define TPI_MAPS_LOOKS 8 /* processes whose maps are read in one tick */

struct tpi_broker {
	struct tpi_config config;
	char *config_file;        /* read again by a reload, or NULL */
	const char *config_later; /* read by a reload if it is there then */
	struct tpi_log log;
	struct tpi_topology topology;
	struct tpi_loop *loop;
	struct tpi_keep *keep; /* NULL: what it has ends with it */
	struct tpi_registry registry;
	struct tpi_serving serving;
	struct tpi_process_list processes;
	struct tpi_server server;
	struct tpi_clock clock;
	struct tpi_starts starts;
	struct tpi_timer tick;
	uint32_t ticks;
	uint32_t lingering; /* attachments whose connection is gone */
	uint32_t linger_at; /* index that is looked at next */
};

/* ---- broker.c ------------------------------------------------------------- */

struct tpi_broker_setup {
	const char *config_file;
	const char *config_text;
	/* With neither: a file that a reload reads if it is there by then, or NULL. Not
	 * copied. */
	const char *config_later;
	const char *socket;         /* before the configuration's */
	const char *socket_default; /* where neither says. NULL: abstract */
	uint32_t cpus;              /* of a simulated machine. 0: this one */
	uint32_t nodes;
	struct tpi_log log;
	struct tpi_keep *keep; /* or NULL. It outlives the broker */
	bool discard_memory;   /* begins anew, also if there is kept memory */
};

/*
 * Reads the configuration, allocates the segments, listens. Nothing is served
 * before tpi_broker_run. `error` has the reason with its numbers. *stage tells
 * what failed, for an exit status.
 */
enum tpi_stage {
	TPI_STAGE_CONFIG,
	TPI_STAGE_LOOP,
	TPI_STAGE_MEMORY,
	TPI_STAGE_SOCKET,
};
int tpi_broker_create(struct tpi_broker **out,
		      const struct tpi_broker_setup *setup,
		      enum tpi_stage *stage, char *error, size_t error_bytes);
/* Serves until tpi_loop_stop. Then says goodbye to everybody. */
int tpi_broker_run(struct tpi_broker *broker,
		   void (*idle)(void *arg, bool waits), void *arg);
void tpi_broker_destroy(struct tpi_broker *broker);

/* ---- reload.c ------------------------------------------------------------- */

/*
 * Puts another configuration in force: `text`, or (NULL) the broker's file as it is
 * now. All of it, or nothing: then -errno. `said` has a summary, or the reason why
 * nothing changed. The log has it, too, with each difference that needs a restart.
 */
int tpi_broker_reload(struct tpi_broker *broker, const char *text, char *said,
		      size_t said_bytes);

/* ---- group.c -------------------------------------------------------------- */

/* The request of a consumer, already found allowed. */
struct tpi_group_request {
	const char *name; /* empty: a group of its own */
	uint32_t policy;  /* TAPIO_GROUP_* (consumer.h) */
	uint32_t lag;
	bool durable;
	bool held; /* one that is made begins at the gates */
	bool may_lossless;
	bool may_durable;
	bool owner; /* of everything */
	const struct tpi_cred *cred;
	struct tpi_group_filter filter;
	uint64_t takeover_ns; /* 0: no wish */
	bool boards;          /* it announces itself on boards */
};

/*
 * Puts an attachment into a group, which it may have to make (*first). When it
 * returns 0, producers respect the group's heads. -EBUSY the group exists with
 * other options. -EACCES it is another uid's. -EPERM lossless or durable is not
 * granted. -EUSERS no slot. -EDQUOT the uid's share of groups is used up. -EINVAL.
 */
int tpi_group_join(struct tpi_broker *broker, struct tpi_attachment *attachment,
		   const struct tpi_group_request *request, bool *first,
		   char *error, size_t error_bytes);
/* session/quota.c: root and the broker's own uid, at home (home.c). No share binds them, and the reserve of
 * clients is theirs. */
bool tpi_quota_is_exempt(const struct tpi_cred *cred);
/* session/unread.c: the client has received all descriptors that it was sent. */
bool tpi_unread_none(struct tpi_session *session);
/* group_quota.c. -EDQUOT: the uid has its share of the channel's groups. */
int tpi_group_quota(const struct tpi_host *host, const struct tpi_cred *cred,
		    char *error, size_t error_bytes);
/* Takes it out again. The last member ends a group that is not durable. */
void tpi_group_leave(struct tpi_attachment *attachment);
/* Makes the durable groups that the configuration names. */
void tpi_groups_configured(struct tpi_broker *broker, struct tpi_host *host);
/*
 * Ends a durable group without members, for its creator's uid or for a client
 * with every right. -ENXIO no such group. -EBUSY it has members. -EACCES
 * another uid's. -EPERM the configuration's. The slot's number, or the error.
 */
int tpi_group_remove(struct tpi_broker *broker, struct tpi_host *host,
		     const struct tpi_cred *cred, const char *name, char *error,
		     size_t error_bytes);
/*
 * Ends a group whose cursors are impossible. Its memory serves no other one. A group
 * that is configured begins anew in another slot.
 */
void tpi_group_evict(struct tpi_broker *broker, struct tpi_host *host,
		     struct tpi_group *group);
/*
 * A durable group without members has impossible cursors: it goes on in other memory, on
 * each lane at the last head that was possible, or at the gate. If it cannot be had, the log
 * says so, and the group is as before.
 */
void tpi_group_mend(struct tpi_broker *broker, struct tpi_host *host,
		    struct tpi_group *group);
/* boards.c, for a successor: on which board a member announces itself. */
void tpi_board_recall(struct tpi_attachment *attachment);
/* L1 to L3: the board in the memory of a slot serves members of that slot's group only. */
void tpi_board_part(struct tpi_broker *broker, struct tpi_host *host,
		    uint32_t slot);
/* group_reload.c: another configuration's groups, in this order (see there). */
struct tpi_groups_changed {
	uint32_t made;
	uint32_t retuned;
	uint32_t ended;
	uint32_t left; /* as durable groups */
};
/* -EBUSY: a client of today stands in its way. */
int tpi_groups_check(struct tpi_host *host,
		     const struct tpi_config_channel *next, char *error,
		     size_t error_bytes);
/* -EUSERS, -ENOMEM: some may have been made, so it is to be undone. */
int tpi_groups_make(struct tpi_broker *broker, struct tpi_host *host,
		    const struct tpi_config_channel *next, uint32_t *made,
		    char *error, size_t error_bytes);
/* The same for a channel that is new. */
int tpi_groups_make_all(struct tpi_broker *broker, struct tpi_host *host,
			uint32_t *made, char *error, size_t error_bytes);
void tpi_groups_unmake(struct tpi_host *host,
		       const struct tpi_config_channel *next);
void tpi_groups_settle(struct tpi_broker *broker, struct tpi_host *host,
		       const struct tpi_config_channel *next,
		       struct tpi_groups_changed *changed);
/* A producer has fetched a slot's memory, or is gone: has every one got it? */
void tpi_group_heard(struct tpi_broker *broker, struct tpi_host *host,
		     uint32_t slot);
/* adopt.c, B4 and B5: the groups that a former broker has left, first in
 * private and then for all to see. */
void tpi_groups_recall(struct tpi_broker *broker);
void tpi_groups_make_whole(struct tpi_broker *broker);
/* B7: durable groups of the configuration are made, changed, or the clients' from now on. */
void tpi_groups_reconcile(struct tpi_broker *broker);
/* flood.c: the group begins. Its members are counted from now on. */
void tpi_flood_begin(const struct tpi_host *host, struct tpi_group *group);
/* One look. True: it is evicted, since no honest group announces itself so often. */
bool tpi_flood_look(struct tpi_broker *broker, struct tpi_host *host,
		    struct tpi_group *group);

/* ---- reaper.c ------------------------------------------------------------- */

/*
 * Ends an attachment: takes back its blocks, side lanes and leases, takes it out
 * of its group, frees its name, wakes those that its end concerns. Returns how
 * many blocks it still held.
 */
uint32_t tpi_attachment_end(struct tpi_broker *broker,
			    struct tpi_attachment *attachment);
/* Ends everything that a process, or an image of it, had. Closes its
 * connections. `how` is for the log. */
void tpi_process_died(struct tpi_process *process, const char *how);
/* The blocks that a former broker held when it was killed, under the id that is still our own, and all that
 * is abandoned. How many blocks. */
uint32_t tpi_reaper_sweep_former(struct tpi_broker *broker);
/* Takes back abandoned blocks. Looks at those whose connection is gone. */
void tpi_reaper_tick(struct tpi_broker *broker);

/* ---- wakeups.c ------------------------------------------------------------ */

/* Wakes the members of the group in a slot if its bell was answered in advance. */
void tpi_group_mend_bell(struct tpi_host *host, uint32_t slot);
/* Wakes the members of the group in a slot, and producers that wait for it. */
void tpi_group_wake(struct tpi_host *host, uint32_t slot);
/*
 * A producer's attachment has ended, or blocks were swept: wakes the groups that
 * have announced themselves, and with `swept` > 0 producers that wait, too.
 */
void tpi_producer_wake(struct tpi_host *host, bool died, uint32_t swept);
/* Wakes all sleepers of a channel. */
void tpi_host_wake(struct tpi_host *host);
/* Before a producer is let in that rings once for an announcement (lib/lane/wake.h, S2r). */
void tpi_host_ring_once(struct tpi_host *host);

/* ---- leases.c ------------------------------------------------------------- */

/*
 * Clears the leases of a group that bear the name `dead`, or (NOBODY) of no member
 * of it, and makes their cells free. How many leases.
 */
uint32_t tpi_leases_clear(struct tpi_broker *broker, struct tpi_host *host,
			  const struct tpi_group *group, uint32_t dead);

/* ---- evict.c -------------------------------------------------------------- */

/* Judges all groups, ends those that lie. Clears leases whose holder is
 * gone. */
void tpi_evict_tick(struct tpi_broker *broker);

#endif
