/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helper processes, for kernels that cannot refuse the descriptors that clients send
 * (SO_PASSRIGHTS, Linux 6.16). The proof is at the head of helper.c.
 */
#ifndef TPI_BROKER_HELPER_H
#define TPI_BROKER_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "broker/loop/loop.h"
#include "lib/wire/wire.h"

struct tpi_broker;
struct tpi_session;

#define TPI_HELPERS_MAX    8   /* at work at the same time, .. */
#define TPI_HELPERS_OF_UID 2   /* .. and for one uid */
#define TPI_HELPERS_HUNG   16  /* that did not even end when they were killed */
#define TPI_BURIED_MAX     256 /* sockets that wait for a helper to close them */
#define TPI_HELPER_NS      UINT64_C(2000000000) /* then it is killed */
#define TPI_HELPER_LOOKS   2 /* that find it asleep after that: it hangs */

/* A message, and what came with it. */
struct tpi_received {
	int32_t got; /* bytes, 0: the connection has ended, or -errno */
	uint32_t fd_count;
	bool has_pidfd; /* the one descriptor is a pidfd */
	union tpi_wire_message message;
};

struct tpi_helper {
	struct tpi_watch died;   /* its pidfd */
	struct tpi_watch answer; /* not started: it has answered, or need not */
	struct tpi_broker *broker;
	struct tpi_session *session; /* that waits for the answer, or NULL */
	uid_t uid;
	pid_t pid;
	uint64_t kill_ns; /* CLOCK_MONOTONIC */
	bool killed;
	uint32_t asleep; /* ticks that have found it so since then */
	bool hung;
	TAILQ_ENTRY(tpi_helper) link;
};

/* A socket that only a helper may close. */
struct tpi_buried {
	int fd;
	uid_t uid;
	STAILQ_ENTRY(tpi_buried) link;
};

struct tpi_helpers {
	bool needed; /* the kernel lets clients send descriptors */
	uint32_t at_work;
	uint32_t hung;
	uint32_t buried_count;
	TAILQ_HEAD(, tpi_helper) list;
	STAILQ_HEAD(, tpi_buried) buried;
};

/* Whether the next message of a client's socket has descriptors with it. */
bool tpi_carries_fds(int sock);

/*
 * Has the session's next message received by a helper. The session's watch is stopped
 * until tpi_session_received() is called. -EBUSY: later, when another one has ended.
 * -EPERM: a helper hangs in a descriptor of this uid. -errno: no process can be made.
 */
int tpi_helper_receive(struct tpi_session *session);
/* The session ends. True: a helper may be receiving there, and answers no session. */
bool tpi_helper_forget(struct tpi_session *session);

/*
 * Closes a client's socket: by a helper, if descriptors are queued there, or if another
 * helper may be receiving there.
 */
void tpi_client_socket_close(struct tpi_broker *broker, int fd, uid_t uid,
			     bool in_helper);

/* A helper hangs in a descriptor of this uid. */
bool tpi_helper_barred(const struct tpi_broker *broker, uid_t uid);
/* So many sockets wait to be closed that no more connections are taken. */
bool tpi_helpers_full(const struct tpi_broker *broker);

/* Kills those that take too long, and finds those that hang. */
void tpi_helpers_tick(struct tpi_broker *broker);
/* The end of the broker. What waits is left to one last helper. */
void tpi_helpers_stop(struct tpi_broker *broker);
/* In a forked child: closes its copies, and touches nothing else. */
void tpi_helpers_close_copies(struct tpi_helpers *helpers);
/* The program has closed all descriptors: their numbers are its own. */
void tpi_helpers_lose(struct tpi_helpers *helpers);

/* bar.c: the kernel refuses connections of the uids whose helpers hang, and no others. */
void tpi_bar_update(struct tpi_broker *broker);

#endif
