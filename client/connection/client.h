/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attachment to a channel: the control connection, the mapped segments, and the
 * broker's grant. It is the common part of producers, consumers and observers. Each of
 * them has a connection of its own (connect.c and attach.c make it).
 */
#ifndef TPI_CLIENT_H
#define TPI_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>
#include <tapio/common.h>

#include "client/connection/handle.h"
#include "lib/memory/layout.h"
#include "lib/memory/segment.h"
#include "lib/wire/wire.h"

#define TPI_ERROR_BYTES 320
/* A century: it stands for TAPIO_FOREVER where a sum must not overflow. */
#define TPI_FOREVER_NS INT64_C(3155760000000000000)

struct tpi_client {
	struct tpi_handle handle;
	struct tpi_map catalog_map;
	struct tpi_catalog catalog;
	struct tpi_map maps[TAPIO_NODES_MAX]; /* channel segments, by node */
	uint32_t map_count;
	struct tpi_map cursor_maps[TAPIO_GROUP_SLOTS];
	uint32_t cursor_count;
	struct tpi_channel channel;
	/* By group slot. A consumer has its own slot's only. */
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS];
	/* The channel's changing words in the catalog. Read only. */
	const struct tapio_shm_channel *shared;
	const struct tapio_shm_group *groups; /* [TAPIO_GROUP_SLOTS] */
	struct tpi_wire_attached granted;
	uint8_t wire_minor; /* of the broker */
	char error[TPI_ERROR_BYTES];
};

/* Writes the detail string and returns `err`. */
__attribute__((format(printf, 3, 4))) int
tpi_client_fail(struct tpi_client *client, int err, const char *format, ...);

/* A request to the broker: to attach, or to remove a group. */
struct tpi_request {
	uint32_t role; /* TAPIO_ROLE_*. 0: to remove `group` */
	const char *channel;
	const char *group; /* NULL: none, or one of its own */
	uint32_t policy;   /* TAPIO_GROUP_* (consumer.h) */
	uint32_t lag;
	uint32_t flags;        /* TPI_ATTACH_* */
	uint32_t severity_min; /* the filter: as in struct tpi_wire_attach */
	uint32_t class_mask;
	uint64_t types;
	uint64_t takeover_ns;
	uint32_t rseq_verdict; /* TAPIO_RSEQ_* */
};

/*
 * Connects, says hello, attaches and maps (or has a group removed). Waits for a broker as
 * the options say. After an error only `client->error` is left, which options->error has
 * too.
 */
int tpi_client_open(struct tpi_client *client,
		    const struct tpi_request *request,
		    const struct tapio_options *options);

/*
 * Tells the broker, waits a bounded time until it has taken back our blocks and leases,
 * unmaps, and closes. In a forked child only private memory is freed: the mappings are not
 * there, and their addresses may belong to the child's own by now.
 */
void tpi_client_close(struct tpi_client *client);

/* Maps the segments that came with ATTACHED and checks them (attach.c). */
int tpi_client_map(struct tpi_client *client, const struct tpi_request *request,
		   const int *fds);
void tpi_client_unmap(struct tpi_client *client);

/* Tells rseq.c the broker's verdict of now. Any context. */
void tpi_client_hear_verdict(const struct tpi_client *client);

/* 1 while the broker is there: it has not stopped, and its connection stands. */
int tpi_client_connected(const struct tpi_client *client);

/* The node that a lane's memory is on. ~0 unknown. */
uint32_t tpi_client_lane_node(const struct tpi_client *client,
			      const struct tpi_lane *lane);

/* The newest piece of the TSC's calibration, for its rate. mult is 0 while there is none. */
void tpi_client_calibration(const struct tpi_client *client,
			    struct tapio_shm_calibration *copy);

/* A time stamp as CLOCK_REALTIME nanoseconds, by the channel's policy
 * (time.c). */
uint64_t tpi_client_time_ns(const struct tpi_client *client, uint64_t time);

/*
 * Copies an option struct of the caller's version into one of ours. Fields that
 * the caller's does not have are zero. -EINVAL: no size, or fields we do not
 * know are set.
 */
int tpi_options_copy(void *to, size_t to_bytes, const void *from);

/* The same for how to reach the broker, with its values checked, and for those
 * options where they are part of others, whose size is known. */
int tpi_options_broker(struct tapio_options *to,
		       const struct tapio_options *from);
int tpi_options_nested(struct tapio_options *options);

/* Why tpi_options_copy() failed, in words. Returns -EINVAL. */
int tpi_options_unknown(const struct tapio_options *options);

/* The end of an open that failed: it hands out the reason to a caller that
 * asked for one. Returns err. */
int tpi_open_failed(const struct tapio_options *options, int err);

/* Hands out a struct that begins with the size that the caller knows. */
int tpi_stats_copy(void *to, const void *from, size_t from_bytes);

#endif
