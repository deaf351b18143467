/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels that come and go while the catalog stays. Called when a successor takes over
 * (adopt.c), by a reload (broker/reload.c), and on each tick. The head of channels.c has the
 * steps.
 */
#ifndef TPI_BROKER_CHANNELS_H
#define TPI_BROKER_CHANNELS_H

#include <stddef.h>
#include <stdint.h>

struct tapio_shm_channel;
struct tpi_broker;
struct tpi_config;
struct tpi_host;
struct tpi_log;
struct tpi_registry;
struct tpi_topology;

/* ---- channels.c ------------------------------------------------------------- */

/* A free entry of the catalog. -ENOSPC, with the numbers. */
int tpi_channel_find_entry(const struct tpi_registry *registry,
			   const char *name, uint32_t *index, char *error,
			   size_t error_bytes);
/* The first of so many places in a row that no channel has. -ENOSPC. */
int tpi_channel_find_places(const struct tpi_registry *registry,
			    const char *name, uint32_t lanes, uint32_t *first,
			    char *error, size_t error_bytes);

/*
 * M1 to M4: makes the channels of `next` that have no host. All or none. -ENOSPC the
 * catalog has no room, -ENOMEM, -EDQUOT, -EMFILE, or what the kernel said.
 */
int tpi_channels_make(struct tpi_registry *registry, struct tpi_config *next,
		      const struct tpi_topology *topology, struct tpi_log *log,
		      char *error, size_t error_bytes);
/* M5. How many. */
uint32_t tpi_channels_show(struct tpi_registry *registry);
/* Instead of M5. */
void tpi_channels_unmake(struct tpi_registry *registry);

/* D2 to D5. No attachment and no group has it. Also of one that is made in part. */
void tpi_channel_give_back(struct tpi_registry *registry,
			   struct tpi_host *host);
/* D3, of a successor: records of entries that are not READY. */
void tpi_channels_tidy(struct tpi_registry *registry);

/* A channel that no configuration names is described by its record. */
void tpi_channel_own_config(struct tpi_host *host,
			    const struct tapio_shm_channel *info);

/* ---- drain.c ---------------------------------------------------------------- */

/* Of one that is removed, or is to be. */
struct tpi_drain {
	uint32_t attached;
	uint32_t groups; /* durable ones with unread events */
	uint64_t unread;
};
struct tpi_drain tpi_channel_drain(const struct tpi_broker *broker,
				   const struct tpi_host *host);

/* How many channels a configuration has removed, and taken back. */
struct tpi_channels_changed {
	uint32_t removed;
	uint32_t restored;
};
/* D1: those that the configuration in force does not name are removed. Those that it
 * names again are served. */
struct tpi_channels_changed tpi_channels_settle(struct tpi_broker *broker);
/* Those that are drained are given back. The log has the numbers of others now and then. */
void tpi_channels_tick(struct tpi_broker *broker);

#endif
