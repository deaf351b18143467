/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attachment to a channel: the control connection, the mapped segments, and the
 * broker's grant. It is the common part of producers, consumers and observers. Each of
 * them has a connection of its own (connect.c and attach.c make it).
 */
#ifndef TPI_CLIENT_H
#define TPI_CLIENT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>
#include <tapio/common.h>

#include "client/connection/handle.h"
#include "client/connection/segments.h"
#include "lib/memory/layout.h"
#include "lib/memory/segment.h"
#include "lib/wire/socket_name.h"
#include "lib/wire/wire.h"

#define TPI_ERROR_BYTES 320
/* A century: it stands for TAPIO_FOREVER where a sum must not overflow. */
#define TPI_FOREVER_NS INT64_C(3155760000000000000)

/* revive.c: the connection, and the way to another one. */
enum tpi_link_state {
	TPI_LINK_UP,
	TPI_LINK_DOWN,    /* it has ended */
	TPI_LINK_HELLO,   /* the next one has said HELLO .. */
	TPI_LINK_RESUMES, /* .. and has asked for our attachment */
	TPI_LINK_LOST,    /* no broker has it any more. For good */
	/* A broker with other memory is there: the handle moves, or has been refused. */
	TPI_LINK_ELSEWHERE,
};

#define TPI_LINK_WHY_BYTES 480

/* Of the one that has the turn, but for *known, `again_ns` and `state`, which all read. */
struct tpi_link {
	struct tpi_socket_name name; /* as it was found by open */
	uid_t broker_uid;
	uint32_t rseq_verdict;
	int64_t answer_ns;
	const uint32_t *epochs; /* a producer's, by slot. NULL: of others */
	/* The word `serving` (abi.h) that we know, 0: look again. A producer's is among
	 * what its fast paths read, else it is `own_known`. */
	uint64_t *known;
	uint64_t own_known;
	int64_t again_ns;  /* no attempt of the data path before */
	int64_t answer_by; /* the next connection is given up */
	uint32_t state;    /* TPI_LINK_* */
	uint32_t turn;     /* 1: a thread is at it */
	uint32_t serial;   /* connections before this one */
	bool waited;       /* for this answer, in vain */
	int error;         /* of the last attempt, DOWN. Atomic */
	uint32_t refused;  /* ELSEWHERE: the last move was. Atomic */
	/* LOST, or ELSEWHERE and refused: in words. A new reason goes to the other one. */
	uint32_t why_at;
	char why[2][TPI_LINK_WHY_BYTES];
};

struct tpi_client {
	struct tpi_handle handle;
	struct tpi_link link;
	struct tpi_map catalog_map;
	struct tpi_catalog catalog;
	struct tpi_map maps[TAPIO_NODES_MAX]; /* channel segments, by node */
	uint32_t map_count;
	struct tpi_segments segments; /* of isolated producers */
	/* By group slot. A consumer has its own slot's only, at index 0. */
	struct tpi_map cursor_maps[TAPIO_GROUP_SLOTS];
	uint32_t cursor_count;
	/* A consumer whose board is in another slot's memory: the page with that. */
	struct tpi_map board_map;
	struct tapio_shm_group_control *board; /* or NULL */
	uint32_t epochs[TAPIO_GROUP_SLOTS];    /* of them, when it was opened */
	struct tpi_channel channel;
	/* By group slot. A consumer has its own slot's only. */
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS];
	/* The channel's changing words in the catalog. Read only. */
	const struct tapio_shm_channel *shared;
	const struct tapio_shm_group *groups; /* [TAPIO_GROUP_SLOTS] */
	struct tpi_wire_attached granted;
	uint8_t wire_minor; /* of the broker */
	/* Opened where no words can be made, as in a signal handler: `error` has the broker's
	 * own words, or is empty. */
	bool mute;
	char error[TPI_ERROR_BYTES];
};

/* Writes the detail string and returns `err`. Of a mute one nothing is evaluated but
 * `err`. */
#define tpi_client_fail(client, err, ...) \
	((client)->mute ? (err) : tpi_client_say((client), (err), __VA_ARGS__))
__attribute__((format(printf, 3, 4))) int
tpi_client_say(struct tpi_client *client, int err, const char *format, ...);
/* Room for words in `error`, for functions that take it. */
static inline size_t tpi_client_room(const struct tpi_client *client)
{
	return client->mute ? 0 : sizeof(client->error);
}

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
 * The same once, for a handle whose `former` attachment is ELSEWHERE: at the same name, with
 * what open was asked for, of a broker of the same uid, and for a second at most. Any
 * context if `client` is mute. `client` is zeroed but for its handle, `mute` and
 * link.known. With the turn of `former`, and tpi_client_stays() after an error.
 */
int tpi_client_open_again(struct tpi_client *client,
			  const struct tpi_request *request,
			  const struct tpi_client *former);

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
/* The slots, a bit for each, whose cursors are not mapped. */
uint64_t tpi_client_unmapped_slots(const struct tpi_client *client);
/*
 * Maps cursors that came with FETCHED, and closes nothing. A slot that has a mapping
 * keeps its address: other threads may read there. `epochs` is by slot: 0 while a
 * mapping is being changed, then the new one. Any context. -errno, with as many as
 * could be mapped.
 */
int tpi_client_map_slots(struct tpi_client *client,
			 const struct tpi_wire_fetched *fetched, const int *fds,
			 uint32_t *epochs);

/*
 * fetch.c: asks for some slots or segments (TPI_FETCH_*), a bit for each, by a connection
 * that may have to be made anew. Then it takes the answer, of which there may be several.
 * -EAGAIN: none came in that time. Any context, with the turn. -errno.
 */
int tpi_client_ask(struct tpi_client *client, uint32_t kind, uint64_t bits);
int tpi_client_take_fetched(struct tpi_client *client, int wait_ms,
			    union tpi_wire_message *message, int *fds,
			    unsigned int *count);
int tpi_client_take_slots(struct tpi_client *client, int wait_ms,
			  uint32_t *epochs);

/* Tells rseq.c the broker's verdict of now. Any context. */
void tpi_client_hear_verdict(const struct tpi_client *client);

/*
 * connect.c: HELLO in `message`. The pidfd to send with it, which the caller closes, or -1
 * where the broker's kernel needs none. Any context.
 */
int tpi_client_hello(union tpi_wire_message *message, int sock,
		     uint32_t rseq_verdict);
/* Whose program is at the other end of a connection. -1: the kernel does not say. */
uid_t tpi_client_peer_uid(int sock);
/* Sends it, without the pidfd where the broker takes none. As tpi_send_fds(). */
ssize_t tpi_client_send(int sock, union tpi_wire_message *message, int fd);
/* Waits until there is something to read. 0, -ETIMEDOUT, -errno. Any context. */
int tpi_client_wait(int sock, int64_t until);

/*
 * revive.c: the right to use the connection. All signals are blocked and the thread
 * cannot be cancelled until it is given back. False: another thread has it. Any context.
 */
struct tpi_turn {
	sigset_t signals;
	int cancel;
};
bool tpi_client_enter(struct tpi_client *client, struct tpi_turn *turn);
void tpi_client_leave(struct tpi_client *client, const struct tpi_turn *turn);

/* Is a look at the connection due? No system call. */
static inline bool tpi_client_called(const struct tpi_client *client)
{
	/* Relaxed, both: a number that changes when a broker begins or ends. It
	 * orders nothing, and a look that comes late is one. */
	return tpi_unlikely(
		tpi_load_relaxed(&client->catalog.broker->serving) !=
		tpi_load_relaxed(client->link.known));
}
/* Looks whether the connection stands, and makes it anew until then. With the turn, or in
 * close. 0: it stands. */
int tpi_client_revive(struct tpi_client *client, int64_t until);
/* The same for the data path: at its pace, and for a millisecond at most. */
int tpi_client_revive_soon(struct tpi_client *client);
/* It has ended: the next one that comes by looks. With the turn. */
void tpi_client_hung_up(struct tpi_client *client);

/* The same, on the way of a call that has the time. Any context. */
void tpi_client_answer_call(struct tpi_client *client);

/* Whether its memory has the words of announcements for several rings (lib/lane/wake.h, S2r). */
static inline bool tpi_client_has_rounds(const struct tpi_client *client)
{
	return client->catalog.minor >= TAPIO_ABI_MINOR_ROUNDS;
}

/*
 * Whether they may be relied on: the broker stores `single` before a producer comes that rings
 * once, and has not. The broker's version is stored by whichever thread connects again.
 *
 * ORDER wake.single (acquire): made by S1, whose bell is rung after that store. Pairs with the
 * release in tpi_host_ring_once().
 */
static inline bool tpi_client_knows_rounds(const struct tpi_client *client)
{
	return tpi_client_has_rounds(client) &&
	       tpi_load_relaxed(&client->wire_minor) >= TPI_WIRE_MINOR_ROUNDS &&
	       !tpi_load_relaxed(&client->shared->single);
}

/* R1 of segments.h. Relaxed: a change that is seen late is seen at the next look. */
static inline bool tpi_segments_changed(const struct tpi_client *client)
{
	return tpi_unlikely(client->segments.records != NULL) &&
	       tpi_load_relaxed(&client->shared->changes) !=
		       tpi_load_relaxed(&client->segments.seen);
}

static inline void tpi_client_look(struct tpi_client *client)
{
	if (tpi_client_called(client))
		tpi_client_answer_call(client);
}

/*
 * Another instance serves at our name: the memory that this handle has is served no more,
 * and a role may open anew (tpi_client_open_again()). Any context.
 */
bool tpi_client_elsewhere(const struct tpi_client *client);
/* With the turn, in ELSEWHERE. Is it time for an attempt? They are paced. */
bool tpi_client_may_move(const struct tpi_client *client);
/*
 * With the turn: the attempt has failed with err. Where no broker was there any more, the
 * handle looks for one again. Else it stays ELSEWHERE, tpi_client_error() says why in
 * `words` (the broker's, or empty), and the next attempt may be made a second later.
 */
void tpi_client_stays(struct tpi_client *client, const char *words, int err);

/*
 * move.c, for readers: calls `attach` with the turn, in ELSEWHERE, when it is time for it,
 * with a place for words in `broker`. 0: it has attached.
 */
int tpi_client_attempt(struct tpi_client *client, struct tapio_options *broker,
		       int (*attach)(void *arg), void *arg);
/* tpi_client_open(), or tpi_client_open_again() where there is a former attachment. */
int tpi_client_open_as(struct tpi_client *client,
		       const struct tpi_request *request,
		       const struct tapio_options *options,
		       const struct tpi_client *former);
/* Of one instance. */
bool tpi_client_same_memory(const struct tpi_client *a,
			    const struct tpi_client *b);

/* Open has made the connection. Notes to which broker it goes. */
void tpi_client_linked(struct tpi_client *client, const char *name,
		       int64_t answer_ns, uint32_t rseq_verdict);

/* The broker has said that it stops, and its memory has no other one. */
bool tpi_client_stopped(const struct tpi_client *client);

/* 1 while the broker is there: it has not stopped, and its connection stands, or could be
 * made anew within some milliseconds. */
int tpi_client_connected(const struct tpi_client *client);

/* Whether the configuration of the broker does not name the channel any more. */
bool tpi_client_removed(const struct tpi_client *client);

/* TAPIO_LINK_* (common.h), as one look within some milliseconds finds it. */
int tpi_client_broker(const struct tpi_client *client);

/* The last error of the control connection, in words. Any context. */
const char *tpi_client_error(const struct tpi_client *client);

/* The node that a lane's memory is on. ~0 unknown. */
uint32_t tpi_client_lane_node(const struct tpi_client *client,
			      const struct tpi_lane *lane);

/* The newest piece of the TSC's calibration, for its rate. mult is 0 while there is none. */
void tpi_client_calibration(const struct tpi_client *client,
			    struct tapio_shm_calibration *copy);

/* A time stamp as CLOCK_REALTIME nanoseconds, by the channel's policy
 * (time.c). */
uint64_t tpi_client_time_ns(const struct tpi_client *client, uint64_t time);
/* Whether it is no stamp from before the calibration of that memory began. */
bool tpi_client_time_known(const struct tpi_client *client, uint64_t time);

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

/* Copies that outlive the caller's: of a text, which may be NULL, and of types, which may
 * be none. False: no memory. */
bool tpi_options_keep_text(char **to, const char *from);
bool tpi_options_keep_types(uint16_t **to, const uint16_t *from,
			    uint32_t count);

/* Why tpi_options_copy() failed, in words. Returns -EINVAL. */
int tpi_options_unknown(const struct tapio_options *options);

/* The end of an open that failed: it hands out the reason to a caller that
 * asked for one. Returns err. */
int tpi_open_failed(const struct tapio_options *options, int err);

/* Hands out a struct that begins with the size that the caller knows. */
int tpi_stats_copy(void *to, const void *from, size_t from_bytes);

#endif
