/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that speaks to a broker by hand, message by message, so that tests
 * can say what no honest client would, and brokers to speak to.
 */
#ifndef TEST_PEER_H
#define TEST_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/broker.h>
#include <tapio/consumer.h>

#include "lib/lane/lane.h"
#include "lib/memory/layout.h"
#include "lib/wire/wire.h"

/* One connection and what came over it. */
struct peer {
	uint64_t handle; /* as the next ATTACH names it. 0: it does not */
	uint8_t minor;   /* of the protocol, in ATTACH. 0: ours */
	int sock;
	struct tpi_wire_welcome welcome;
	struct tpi_wire_refused refused; /* the last one */
	struct tpi_catalog catalog;      /* mapped read-only */
	int fds[TPI_WIRE_FDS_MAX];       /* of ATTACHED or FETCHED */
	unsigned int fd_count;
	struct tpi_wire_attached attached;
	struct tpi_map maps[TAPIO_NODES_MAX];
	uint32_t map_count;
	bool isolated;
	bool stays_open; /* does not say MAPPED by itself */
	struct tpi_channel channel;
	struct tpi_map cursors_map; /* consumers: their own slot's */
	struct tpi_cursors cursors;
};

/* Starts a broker with that configuration text. Fails the test if it cannot. */
struct tapio_broker *broker_start(const char *config);
/* Whether any broker of this test has logged these words. */
bool broker_said(const char *words);

/* Connects and does not say anything. */
void peer_connect(struct peer *peer, const struct tapio_broker *broker);
void peer_connect_to(struct peer *peer, const char *socket);
/* Sends any bytes with any descriptors. -errno. */
int peer_send(struct peer *peer, const void *bytes, size_t length,
	      const int *fds, unsigned int fd_count);
/*
 * Receives one message: its type, 0 when the connection ended, -ETIMEDOUT after
 * a minute. Descriptors are in fds, fd_count.
 */
int peer_receive(struct peer *peer, union tpi_wire_message *message);

/* A HELLO of this process, to be changed and sent. */
void peer_init_hello(union tpi_wire_message *message);
/* HELLO with one's own pidfd. 0, or the error of REFUSED. */
int peer_hello(struct peer *peer);
int peer_hello_with(struct peer *peer, int pidfd, const uint8_t at_random[16]);
/* ATTACH. Maps the segments that came. 0, or the error of REFUSED. */
int peer_attach(struct peer *peer, uint32_t role, const char *channel,
		const char *group, uint32_t policy, uint32_t lag,
		uint32_t flags);
/* MAPPED, of an isolated producer. 0, or the error of REFUSED. */
int peer_mapped(struct peer *peer);
/* The descriptor of a segment that came with ATTACHED. */
int peer_fd(const struct peer *peer, uint32_t segment);
/* FETCH. The descriptors are in fds, fd_count. 0, or the error of REFUSED. */
int peer_fetch(struct peer *peer, uint64_t slots,
	       struct tpi_wire_fetched *fetched);
/* Maps the cursors of all slots, of one peer at a time, and gates by them, as the
 * library's producers do. */
void peer_map_slots(struct peer *peer, struct tpi_gating *gating);
/* DETACH. How many blocks were swept, or the error. */
int peer_detach(struct peer *peer);
/* REMOVE of a group. 0, or the error of REFUSED. */
int peer_remove(struct peer *peer, const char *channel, const char *group);
/* Unmaps, closes. The connection too. */
void peer_close(struct peer *peer);
/* The same, but leaves the memory mapped. */
void peer_hang_up(struct peer *peer);

/* Connects, says hello and attaches to `events`. Fails the test if refused. */
void peer_open(struct peer *peer, const struct tapio_broker *broker,
	       uint32_t role, const char *group);

/* Its record in the catalog, seen by `peer`. */
const struct tapio_shm_attachment *peer_record(const struct peer *peer,
					       uint32_t name);
/* Waits up to a minute until the record's state is `state`. False when it is not. */
bool wait_state(const struct peer *peer, uint32_t name, uint32_t state);

/* A lane on the CPU this thread is pinned to, of class 0. */
struct tpi_lane *peer_lane(struct peer *peer);
void pin_to_first_cpu(void);

#endif
