/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments of producers on an ISOLATED channel.
 *
 * Memory that a process was given writable can be written for ever: the process may fork, or
 * pass the descriptor on, and its death proves nothing. So each memory serves ONE
 * attachment, and the broker seals it when that has mapped it. After F_SEAL_FUTURE_WRITE no
 * process can map it writable again, write() to it, punch a hole or shrink it: readers never
 * meet SIGBUS, or a page that was not there before. The phases are in the catalog (abi.h,
 * TAPIO_PHASE_*), in one word with the number of the memory.
 *
 *  S1  ATTACH. A FRESH segment that no attachment has. The uid that gets it is noted in the
 *	private state, then the attachment's name goes to `owner` of its lanes, and the
 *	descriptors go out: segment 0, and this one by a description of its own.
 *  S2  MAPPED. F_SEAL_FUTURE_WRITE and F_SEAL_SEAL, and a look that they are there.
 *  S3  SEALED is stored, `changes` + 1, and only then the answer. Readers fetch the memory
 *	from now on, and believe no event before.
 *  S4  The end of the attachment. `end` of each lane is its tail, as one load finds it, then
 *	ENDED. Nothing is swept. Readers go up to `end` and no further, whatever a child of the
 *	producer writes there. One that has gone further steps back.
 *	An attachment that ends before S3 has shown nothing: CLOSED.
 *  S5  Each lossless group has released exactly up to `end`, and the holder of the lease, if there
 *	is one, has said that it stays there (`followed`): CLOSED. Groups that
 *	do not hold producers for ever (`until`, lossy) are waited for, too, until an attach
 *	finds no other segment. What they have not read is lost to them. Readers drop the
 *	memory.
 *  S6  Another file (own_memory.c, M1 to M6), whose lanes begin at `end`: FRESH.
 *
 * A producer that does not say MAPPED in 5 seconds is ended by the tick, so it holds nothing.
 * One uid has at most half of the segments at a time: those of its attachments, those
 * that wait for readers after it, and old memory of it that some process still has.
 *
 * Everything runs on the broker's thread. SIGKILL, SIGSTOP of the client before S2: the
 * give-up time, or its end, which is S4. SIGKILL later: S4. SIGSTOP later: it keeps its segment,
 * and no other. A signal handler of the producer may emit at any time, as before: the mapping
 * is there before the open returns. fork: a child that inherited the mapping can write the
 * old memory, which no reader believes beyond `end`, and which nobody gets after it. Another
 * uid: has a read-only description at most. RLIMIT, or a kernel without the seal (before 5.1):
 * S2 fails, the client is refused, and the attachment ends.
 *
 * SIGKILL of the broker:
 *  before the note of S1	nothing has happened
 *  S1, S2, before SEALED	FRESH, with an attachment or a note: the next ATTACH of that
 *				handle, the give-up time, or settling ends it: CLOSED
 *  S3, before the answer	SEALED. The client asks again, which ends the first one
 *  S4, before ENDED		the attachment is DEAD, so S4 is done again. After it, `end`
 *				stays as it is: only then may readers have acted upon it
 *  S5				the heads are still there: S5 again
 *  S6				own_memory.c
 * A successor cannot map a sealed segment writable. It maps it to be read, and S4 to S6 need
 * no more. The gate of a lane there cannot be sealed against a group that holds more
 * (broker/group/group.c, P2): see tpi_isolation_gate().
 */
#ifndef TPI_BROKER_ISOLATION_H
#define TPI_BROKER_ISOLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tpi_attachment;
struct tpi_broker;
struct tpi_file;
struct tpi_host;

/*
 * S1 for a producer of that uid. On other channels, and for other roles, there is nothing to
 * do. -EUSERS all are in use. -EAGAIN some wait for readers. -EDQUOT the uid has its
 * share: half of the segments. It does not bind those that are `exempt`. With the numbers.
 */
int tpi_isolation_give(struct tpi_broker *broker,
		       struct tpi_attachment *attachment, uid_t uid,
		       bool exempt, char *error, size_t error_bytes);
/* A description of the attachment's own segment, for it alone. The caller closes it. -errno. */
int tpi_isolation_fd(const struct tpi_attachment *attachment);
/* S2 and S3. *epoch of the segment. -errno with the reason. */
int tpi_isolation_seal(struct tpi_attachment *attachment, uint32_t *epoch,
		       char *error, size_t error_bytes);
/* Whether it has a segment that is not sealed. */
bool tpi_isolation_is_open(const struct tpi_attachment *attachment);
/* The files by which a process shows that it still uses the attachment. */
const struct tpi_file *tpi_isolation_files(const struct tpi_attachment *a,
					   uint32_t *count);
/* S4. Its process is gone, or it has left. */
void tpi_isolation_end(struct tpi_attachment *attachment);
/* The attachment has its segment no more. */
void tpi_isolation_take_back(struct tpi_attachment *attachment);
/* S5, S6, and those that do not say MAPPED. */
void tpi_isolation_tick(struct tpi_broker *broker);
/* For a successor: segments that were given and have no attachment. */
void tpi_isolation_settle(struct tpi_host *host);

/* The epoch of a segment, and of the one of a lane. */
uint32_t tpi_isolation_epoch(const struct tpi_host *host, uint32_t segment);
/* Stores a phase of the memory that is there, or another epoch, and shows it. */
void tpi_isolation_show(struct tpi_host *host, uint32_t segment,
			uint32_t epoch);

/* Where a group that joins now begins on a lane: at its tail, if that is believed. */
uint64_t tpi_isolation_tail(const struct tpi_host *host, uint32_t lane);
/*
 * P2 of group.c, for any lane: a position that no gate passes from now on without the group
 * whose slot had that word before.
 */
uint64_t tpi_isolation_gate(const struct tpi_host *host, uint32_t lane,
			    uint64_t slot_before);

#endif
