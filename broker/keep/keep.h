/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptors that outlive the broker. The broker puts a copy of each that its
 * successor needs into a keeper, and the successor takes them at its start.
 *
 * A keeper is a small process of tapiod's own, or the fd store of systemd. A broker inside
 * another program has none: its memory ends with that program, and each call here does
 * nothing.
 *
 * A put has happened when the call returns 0: the descriptor is in the keeper, or in its
 * queue in the kernel, and the death of the broker at any later instruction leaves it
 * there. A keeper that is dead or stopped is replaced, and the new one has all that was put.
 * No call waits for a stopped keeper. For one that runs but has not read its queue yet, as
 * after many puts at once, a call waits a second at most, and then replaces it.
 *
 * The number of a descriptor belongs to the keeper's side, too: a new keeper is made from
 * the broker's own descriptors. So each that was put, or taken, MUST stay open, as the same
 * file under the same number, until its key is dropped or another one is put there. Drop
 * first, and close then. One descriptor may be under several keys.
 *
 * All calls are made on the loop's thread.
 */
#ifndef TPI_BROKER_KEEP_H
#define TPI_BROKER_KEEP_H

#include <stdint.h>

enum tpi_keep_kind {
	TPI_KEEP_LOCK = 1, /* of the socket's name, number 0 */
	TPI_KEEP_LISTEN,   /* the listening socket, number 0 */
	TPI_KEEP_CATALOG,  /* number 0 */
	TPI_KEEP_STATE,    /* private records of the broker, number 0 */
	/* A segment, writable. The number is 2 * its record in the catalog + (epoch & 1),
	 * so that the old and the new memory of a slot are kept side by side while it
	 * is replaced. */
	TPI_KEEP_SEGMENT,
	TPI_KEEP_PROCESS, /* a pidfd. The number is an attachment's index */
	/* A listening socket of the service manager, number 0. The broker takes it,
	 * and puts none. */
	TPI_KEEP_ACTIVATED,
	TPI_KEEP_KINDS
};

struct tpi_keep_key {
	uint32_t kind;   /* enum tpi_keep_kind */
	uint32_t number; /* less than 2^24 */
};

struct tpi_keep;

/* A descriptor that a former broker has left. */
struct tpi_kept {
	struct tpi_keep_key key;
	int fd; /* -1: taken */
};

/* All that is kept, for another program that takes over (session/hand_over.c). */
struct tpi_keep_hand {
	struct tpi_kept *kept; /* to be freed by the caller */
	uint32_t count;
	int life;   /* the reading end of the life line (keeper.h) */
	int keeper; /* its pidfd */
};

struct tpi_keep_ops {
	int (*put)(struct tpi_keep *keep, struct tpi_keep_key key, int fd);
	void (*drop)(struct tpi_keep *keep, struct tpi_keep_key key);
	/* The rest is NULL where no other program can take over. */
	int (*hand)(struct tpi_keep *keep, struct tpi_keep_hand *hand);
	int (*let_go)(struct tpi_keep *keep);
	int (*hold_on)(struct tpi_keep *keep);
};

/* The common part of every keeper. */
struct tpi_keep {
	const struct tpi_keep_ops *ops;
	struct tpi_kept
		*kept; /* in any order. NULL: there was no broker before */
	uint32_t kept_count;
	uint32_t
		next; /* to be looked at first: they are taken in their order */
	int pid; /* of the keeper process, for messages. 0: there is none */
};

/*
 * Keeps a copy of the descriptor under that key, in place of a former one. The caller's own
 * stays open. With `keep` NULL nothing happens. -errno: the successor may not have it.
 *
 * Under systemd a put in place of a former one is two messages, and a death between them
 * leaves the key empty.
 */
int tpi_keep_put(struct tpi_keep *keep, struct tpi_keep_key key, int fd);
/* Forgets it. A death before the keeper has heard of that leaves it to the successor. */
void tpi_keep_drop(struct tpi_keep *keep, struct tpi_keep_key key);
/*
 * The descriptor that the former broker had put under that key. The caller owns it. It is
 * CLOEXEC, and the keeper has its own copy still. -1: there is none, or it was taken.
 */
int tpi_keep_take(struct tpi_keep *keep, struct tpi_keep_key key);

/* -ENOTSUP: this keeper gives nothing to another program. -EAGAIN: there is none just now.
 * -ENOMEM. */
int tpi_keep_hand(struct tpi_keep *keep, struct tpi_keep_hand *hand);
/*
 * The keeper starts no broker any more, and ends with this one. No keeper is made in its
 * place. -errno: all is as before.
 */
int tpi_keep_let_go(struct tpi_keep *keep);
/* It was not meant so: a new keeper takes its place. */
int tpi_keep_hold_on(struct tpi_keep *keep);

#endif
