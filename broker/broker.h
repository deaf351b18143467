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
#include "broker/loop/log.h"
#include "broker/loop/loop.h"
#include "broker/repair/process.h"
#include "broker/registry/registry.h"
#include "broker/session/server.h"

/* A test that waits for many looks sets tpi_tick_ns. */
#ifdef TAPIO_TESTPOINTS
extern uint64_t tpi_tick_ns; /* 0: as in every other build */
#endif
#define TPI_TICK_NS    UINT64_C(1000000000)
#define TPI_MAPS_LOOKS 8 /* processes whose maps are read in one tick */

struct tpi_broker {
	struct tpi_config config;
	struct tpi_log log;
	struct tpi_topology topology;
	struct tpi_loop *loop;
	struct tpi_registry registry;
	struct tpi_process_list processes;
	struct tpi_server server;
	struct tpi_clock clock;
	struct tpi_timer tick;
	uint32_t ticks;
	uint32_t lingering; /* attachments whose connection is gone */
	uint32_t linger_at; /* index that is looked at next */
};

/* ---- broker.c ------------------------------------------------------------- */

struct tpi_broker_setup {
	const char *config_file;
	const char *config_text;
	const char *socket;         /* before the configuration's */
	const char *socket_default; /* where neither says. NULL: abstract */
	uint32_t cpus;              /* of a simulated machine. 0: this one */
	uint32_t nodes;
	struct tpi_log log;
};

/*
 * Reads the configuration, allocates the segments, listens. Nothing is served
 * before tpi_broker_run. `error` has the reason with its numbers. *stage tells
 * what failed, for an exit status.
 */
enum tpi_stage {
	TPI_STAGE_CONFIG,
	TPI_STAGE_IO_URING,
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

/* ---- group.c -------------------------------------------------------------- */

/* The request of a consumer, already found allowed. */
struct tpi_group_request {
	const char *name; /* empty: a group of its own */
	uint32_t policy;  /* TAPIO_GROUP_* (consumer.h) */
	uint32_t lag;
	bool durable;
	bool may_lossless;
	struct tpi_group_filter filter;
	uint64_t takeover_ns; /* 0: no wish */
};

/*
 * Puts an attachment into a group, which it may have to make (*first). When it
 * returns 0, producers respect the group's heads. -EBUSY the group exists with
 * other options. -EACCES it is another uid's. -EPERM lossless is not granted.
 * -EUSERS no slot. -EINVAL.
 */
int tpi_group_join(struct tpi_broker *broker, struct tpi_attachment *attachment,
		   const struct tpi_group_request *request, bool *first,
		   char *error, size_t error_bytes);
/* Takes it out again. The last member ends a group that is not durable. */
void tpi_group_leave(struct tpi_broker *broker,
		     struct tpi_attachment *attachment);
/* Makes the durable groups that the configuration names. */
void tpi_groups_configured(struct tpi_broker *broker, struct tpi_host *host);
/*
 * Ends a durable group without members, for its creator's uid or for a client
 * with every right. -ENXIO no such group. -EBUSY it has members. -EACCES
 * another uid's. -EPERM the configuration's. The slot's number, or the error.
 */
int tpi_group_remove(struct tpi_broker *broker, struct tpi_host *host,
		     uid_t uid, const char *name, char *error,
		     size_t error_bytes);
/*
 * Ends a group whose cursors are impossible. Its slot waits for the death of all
 * who had it. One that is configured begins anew in another slot.
 */
void tpi_group_evict(struct tpi_broker *broker, struct tpi_host *host,
		     struct tpi_group *group);
/* A process is dead: slots that waited for it may be free now. */
void tpi_groups_forget(struct tpi_broker *broker, struct tpi_process *process);
/* The same for all processes, when the broker ends. */
void tpi_host_forget(struct tpi_host *host);

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
/* Takes back abandoned blocks. Looks at those whose connection is gone. */
void tpi_reaper_tick(struct tpi_broker *broker);

/* ---- wakeups.c ------------------------------------------------------------ */

/* Wakes the members of the group in a slot, and producers that wait for it. */
void tpi_group_wake(struct tpi_host *host, uint32_t slot);
/*
 * A producer's attachment has ended, or blocks were swept: wakes the groups that
 * have announced themselves, and with `swept` > 0 producers that wait, too.
 */
void tpi_producer_wake(struct tpi_host *host, bool died, uint32_t swept);
/* Wakes all sleepers of a channel. */
void tpi_host_wake(struct tpi_host *host);

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
