/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over the memory of a former broker: adopt.c has the steps. And the parts of
 * registry.c that making and taking over have in common.
 */
#ifndef TPI_BROKER_ADOPT_H
#define TPI_BROKER_ADOPT_H

#include "broker/registry/registry.h"

struct tpi_broker;

/*
 * B1 to B3: the segments that the keeper has from a former broker, checked and mapped.
 * registry->adopted tells whether there were such. If there is nothing, or something is missing or wrong, the
 * log has the reason, the keeper forgets it, and 0 is returned: the caller makes new memory.
 * New channels of the configuration are made (channels.c). -EEXIST it has other sizes for one
 * that is there, or why a new one cannot be made, with the remedy: the memory stays with the keeper.
 */
int tpi_registry_adopt(struct tpi_registry *registry, struct tpi_config *config,
		       const struct tpi_topology *topology, struct tpi_log *log,
		       char *error, size_t error_bytes);
/*
 * Whether a broker with that configuration can take over all that `keep` has: B1 to B3, in a
 * process that ends then. Writes to no shared memory. -EEXIST as above, or another
 * -errno, with the reason.
 */
int tpi_adopt_check(struct tpi_keep *keep, struct tpi_config *config,
		    struct tpi_log *log, char *error, size_t error_bytes);
/* The keeper forgets all memory of a former broker. How many descriptors. */
uint32_t tpi_adopt_nothing(struct tpi_keep *keep);

/* adopt_clients.c. B4: attachments and processes, with their groups. -ENOMEM, or why a
 * process cannot be watched. */
int tpi_attachments_adopt(struct tpi_broker *broker);
/* B6: ends those that were dead or have died, sweeps the blocks of the former broker, and takes another id. */
void tpi_attachments_settle(struct tpi_broker *broker);

/* N5 of slot_memory.h, after B5, and the end of files without a use. */
void tpi_adopt_empty_rest(struct tpi_registry *registry);

/* ---- registry.c ------------------------------------------------------------ */

/* Nothing is there yet. */
void tpi_registry_begin(struct tpi_registry *registry, struct tpi_keep *kept);
int tpi_registry_begin_host(struct tpi_registry *registry,
			    const struct tpi_config_channel *config,
			    uint32_t index, uint32_t segments);
void tpi_registry_destroy_host(struct tpi_host *host);
int tpi_registry_attach_lanes(struct tpi_registry *registry,
			      struct tpi_host *host, char *error,
			      size_t error_bytes);
int tpi_registry_note_files(struct tpi_host *host);
int tpi_registry_make_attachments(struct tpi_registry *registry, uint32_t id);
/* -EMFILE, with the numbers. */
int tpi_registry_raise_fd_limit(struct tpi_registry *registry,
				const struct tpi_config *config,
				struct tpi_log *log, char *error,
				size_t error_bytes);
/* Where the private records of a channel lie. */
void tpi_registry_find_state(struct tpi_registry *registry,
			     struct tpi_host *host);

#endif
