/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared layout of Tapio, number 0.7.
 *
 * PROMISE. This file describes every byte of every segment. Fields keep
 * offset, size and meaning as long as the number of the layout says so
 * (TAPIO_ABI_MAJOR). Writers MUST store zero in reserved bytes, and readers
 * MUST ignore them. A bit in `incompat` marks a change that an old reader must
 * not overlook: a reader that does not know a bit there MUST NOT use the
 * segment. All words are little-endian. There are no pointers, bitfields,
 * enums, bools, `long`s or `size_t`s.
 *
 * READERS of this file are tools that inspect memory, and ports to other
 * languages. Programs that emit and consume events use the calls of the other
 * headers. A reader MUST load a value that a peer can write once, into a local,
 * and MUST check the local before it follows it: no process is trusted with the
 * memory of another.
 *
 * GLOSSARY
 *   segment     one sealed memfd, mapped whole
 *   region      one array of a segment, found by the region table
 *   channel     a named stream of events, with one segment per NUMA node, or
 *               (ISOLATED) one for the doorbells and one per producer
 *   class       a kind of lane: block size, count and priority
 *   lane        ring and pool in one, for one (channel, class, CPU)
 *   side lane   a lane that belongs to an attachment instead of a CPU
 *   block       piece of a lane's pool, with the payload of one event
 *   descriptor  64-bit word: which block, type, severity, length
 *   position    48-bit count of descriptors published on a lane
 *   attachment  one client on one channel in one role
 *   group       a named set of consumers that share one view of a channel
 *   slot        the place of a group: 64 per channel, each with its cursors
 *   lease       the right of one member of a group to consume one lane
 *   gate        cached lower bound of the heads that hold the lane
 *   section     restartable sequence (rseq): the kernel aborts it when its thread
 *               is preempted, migrated or signalled
 *
 * SEGMENTS
 *
 *   catalog (1)                    channel (1 per channel and node)
 *   +---------------------------+  +-----------------------------------+
 *   | tapio_shm_header          |  | tapio_shm_doorbells (node index 0)|
 *   | region table              |  | tapio_shm_lane, one per lane of   |
 *   +---------------------------+  | the node                          |
 *   | BROKER        1           |  +-----------------------------------+
 *   | ATTACHMENTS   clients     |  | per lane: tickets, descriptors,   |
 *   | SEGMENTS 1+channels*128(*)|  | times, blocks                     |
 *   | CHANNELS      channels (*)|  +-----------------------------------+
 *   | GROUPS        channels*64 |
 *   | CALIBRATIONS  8192        |  cursors (64 per channel, 1 per slot)
 *   | PLACES        lanes    (*)|  +-----------------------------------+
 *   | SPANS         lanes    (*)|  | tapio_shm_group_control           |
 *   | COUNTERS      counters    |  | tapio_shm_cursor, one per lane    |
 *   +---------------------------+  | tapio_shm_histogram               |
 *                                  +-----------------------------------+
 *
 * (*) With room for channels that come later. A channel has the records 1 + 128 * index
 *     and following of SEGMENTS: 64 for its segments, then 64 for its slots.
 *
 * Only the catalog describes memory. A client cannot write it. The other segments
 * hold values that change, and their geometry is in CHANNELS and PLACES.
 *
 * The right to write is in the descriptor that the broker hands out:
 *
 *                  producers   consumers of G   observers   broker
 *   catalog            R             R              R         RW
 *   channel            RW (*)        R              R         RW
 *   cursors of G       R             RW (+)         R         RW
 *
 * (*) ISOLATED: segment 0, which has the doorbells and no lanes, and the one segment
 *     that the producer was given. It maps no other one.
 * (+) Also members of other groups of the same uid, for the board that they share.
 *
 * THE LANE. N descriptors, N blocks, N a power of two. Its whole state is one
 * word, `state = tail << 16 | held`. Every operation becomes visible by one plain
 * store of that word, so a process that dies leaves no half-done state.
 *
 *           reap              gate                               tail
 *    ---------|--------- free ---------|------------ unread -------|
 *             ^ next block to reuse    ^ slowest gating group      ^ next
 *
 *   tail  positions published so far, modulo 2^48. A lane is born with N
 *         descriptors of type DISCARD, so with tail = N
 *   held  blocks that are out of the ring, in some producer's hands
 *   reap  tail - N + held, the oldest position whose block is in the ring
 *
 * A descriptor is at index position & (N - 1). Positions are compared modulo
 * 2^48 (tapio_position_diff). A block is free below the gate, because every
 * group that may hold the lane has released it.
 *
 * STATES. Five things have states. Each arrow names the writer and the
 * operation.
 *
 * AN ENTRY OF CHANNELS (ready, and TAPIO_CHANNEL_*). Only the broker writes it.
 *
 *            made: epoch + 1, the record, its places, segments and groups, then READY
 *   +------+ ----------------------------------------------------> +--------+
 *   | free |                                                       | SERVED |
 *   +------+ <---------+                                           +--------+
 *                      |                  a configuration does not    |  ^  one
 *                      |                  name it any more            |  |  does
 *                      |  no attachment, and no durable group         v  |
 *                      |  with unread events: READY off,           +---------+
 *                      +------------------------------------------ | REMOVED |
 *                         then its memory is given back            +---------+
 *
 *   A REMOVED channel takes no new producer and no new group. Those that are attached
 *   go on. A reader of a record that is not READY MUST NOT use the rest of it.
 *
 * A SLOT (TAPIO_SLOT_*). Only the broker writes it.
 *
 *              the first member joins: new memory if need be, heads set, ACTIVE,
 *              generation + 1, barrier, heads raised, `admitted`, answer
 *   +------+ ----------------------------------------------> +--------+
 *   | FREE |                                                 | ACTIVE |
 *   +------+ <---------------------------------------------- +--------+
 *              the group ends: its last member leaves, it is
 *              removed (durable), or evicted
 *
 *   Each way into ACTIVE adds 1 to `incarnation`. Heads bear the incarnation, so
 *   a former member that wakes up late moves nothing. While no member is there, a
 *   lossless group is UNTIL, because it makes no progress.
 *
 * SLOT MEMORY. The cursors of a slot are one file. A process that got it writable can
 * write it for ever, and pass it on. So memory that one uid was given never serves
 * a group of another one. The broker replaces it while the slot is FREE: it makes
 * another file and adds 1 to `epoch` of the slot, before the slot is ACTIVE again. A
 * producer that has the memory of another epoch MUST leave the gate where it is
 * as long as the slot is ACTIVE, and asks the broker for the new file.
 *
 * SEGMENT OF AN ISOLATED PRODUCER (TAPIO_PHASE_*, in the epoch of its record). Only the
 * broker writes it.
 *
 *   +-------+  the producer has mapped it, and the broker   +--------+
 *   | FRESH | --------------------------------------------> | SEALED |
 *   +-------+  has sealed it: seals, then epoch, answer     +--------+
 *     ^   |                                                     |
 *     |   | the attachment ends unsealed      the attachment    | `end` of its
 *     |   v                                   ends              v lanes, then epoch
 *   +--------+    each group that holds it has read    +-------+
 *   | CLOSED | <-------------------------------------- | ENDED |
 *   +--------+    up to `end`, or need not             +-------+
 *
 *   From CLOSED to FRESH the broker puts another file in its place, whose lanes begin at
 *   `end`. Each memory serves one attachment. A reader MUST believe a lane only while the
 *   segment is SEALED or ENDED, and in ENDED only below `end`. One that has the memory of
 *   another epoch fetches the new one when it has nothing of the old one in hand.
 *
 * AN ATTACHMENT (TAPIO_ATTACHMENT_*). Only the broker writes it.
 *
 *   +------+  ATTACH is granted: id, then state               +-------+
 *   | FREE | -----------------------------------------------> | ALIVE |
 *   +------+                                                  +-------+
 *       ^                                                         |
 *       |  blocks swept, leases cleared,     +------+             |
 *       |  place in the group given up       | DEAD | <-----------+
 *       +----------------------------------- +------+   DETACH, the process is
 *                                                       dead, it called execve,
 *                                                       or it closed the connection
 *                                                       and maps nothing any more
 *
 *   A record that is used again gets the next generation. One whose generations
 *   are used up rests. It begins anew when no attachment lives that is as old as
 *   one of its ids, so no process can remember an id that comes back.
 *
 * A BLOCK. It is in the ring (a descriptor of [reap, tail) names it), or
 * `owner` says in which hand it is. A section here is one on the lane's CPU,
 * or, on a side lane, its owner's turn under the mutex of its process.
 *
 *                 .----.  output (section): owner = 0, fill, publish
 *                 |    v
 *               +----------+
 *               | in the   |   `owner` means nothing here
 *               | ring     |
 *               +----------+
 *     reserve     |      ^    submit, discard (section, by X):
 *     (section):  |      |    desc[tail] = its descriptor
 *     owner = X   v      |
 *               +----------+  abandon (X has left the CPU):    +-----------+
 *        .----> | held     |  owner = ABANDONED, then `hint`   |           |
 *        |      | by X     | --------------------------------> | abandoned |
 *        '----- |          | <-------------------------------- |           |
 *               +----------+  claim, by a producer Y without   +-----------+
 *     sweep, by the broker    room, or sweep, by the broker,
 *     (X is dead or closed):  both on the CPU of the lane:
 *     swap X -> broker        swap ABANDONED -> Y, or -> broker
 *
 *   The broker has an attachment, too, and is a holder as any other: it discards
 *   a block that it has swept, or abandons it where it may not run on the CPU.
 *   SIGKILL at any arrow: before its last store nothing has happened, after it all
 *   has. The next broker sweeps all that a dead one held.
 *
 * A LEASE (tapio_shm_cursor.lease). Holder 0 is TAPIO_NOBODY. Each arrow adds 1
 * to the epoch, except ask.
 *
 *             take, by member X: swap 0 -> X, then X goes on from `head`
 *   +------+ ---------------------------------------------------> +-----------+
 *   | free |                                                      | held by X |
 *   +------+ <--------------------------------------------------- +-----------+
 *             give, by X: swap X -> 0, when a member asks (`want`)    ^  |  ^ |
 *             or X leaves                                        keep |  |  | |
 *             clear, by the broker: swap X -> 0, when X is dead       |  |  | |
 *                                                                     |  v  | |
 *   ask, by member Y, when X holds nothing unreleased and has   +-----------+ |
 *   not looked for a second: swap X -> X, ASKED                 |  ASKED    | |
 *   keep, by X, before it hands out anything: swap ASKED off    +-----------+ |
 *                                                                     |       |
 *   take over, by Y, when X has still handed out nothing:             v       v
 *   swap X, ASKED -> Y, MOVING                                  +-----------+
 *   or without asking, when X has not looked for `takeover`:    | Y, MOVING |
 *   swap X -> Y, MOVING                                         +-----------+
 *                                                                     |
 *   settle, by Y, when X's head and tally are in a cell of its own:   v
 *   swap MOVING off, and name that cell                         +-----------+
 *                                                               | held by Y |
 *                                                               +-----------+
 *
 *   While a lane is MOVING its head is no news: the gate stays.
 *   A member asks by `want` (swap 0 -> its id). The holder that gives or refuses
 *   clears it, and so does the next one that takes. A member that is killed has
 *   not moved `head` past events that it had not released, so the next holder gets
 *   them again.
 *
 * WRITERS
 *   state   producers on the lane's CPU, inside a section (side lanes: the owner,
 *           under its private mutex), and the broker's sweep in the same way
 *   gate    producers, by a swap: its position only grows. The broker adds to the
 *           epoch above it before a group may hold the lane back further
 *   head    the member that holds the lease, and the broker while the slot is
 *           joining. It only grows
 *   lease   see above
 *   slot    the broker
 */
#ifndef TAPIO_ABI_H
#define TAPIO_ABI_H

/* First: it refuses other targets before their C library does. */
#include <tapio/version.h>

#include <tapio/counters.h>

#include <stddef.h>
#include <stdint.h>

#if defined(TAPIO_TARGET_REFUSED_) && !defined(__cplusplus)
#define TAPIO_ASSERT_(cond, text) _Static_assert(1, text)
#elif defined(TAPIO_TARGET_REFUSED_)
#define TAPIO_ASSERT_(cond, text) static_assert(true, text)
#elif defined(__cplusplus)
#define TAPIO_ASSERT_(cond, text) static_assert(cond, text)
#else
#define TAPIO_ASSERT_(cond, text) _Static_assert(cond, text)
#endif
#define TAPIO_ASSERT_SIZE(type, bytes) \
	TAPIO_ASSERT_(sizeof(struct type) == (bytes), "size of " #type)
#define TAPIO_ASSERT_OFFSET(type, field, bytes)                \
	TAPIO_ASSERT_(offsetof(struct type, field) == (bytes), \
		      "offset of " #type "." #field)

/*
 * The number of the layout. It counts layouts, not releases: a release that
 * does not change the layout leaves it alone.
 *
 *   minor + 1  reserved bytes, flags or kinds get a meaning that an old reader
 *              may overlook, or with a bit in `incompat` any change
 *   major + 1  (from 1.0 on) any other change
 *
 * Memory has the number with which it was made for as long as it lives, also when a
 * broker of another minor number takes it over. Programs of two minor numbers share it:
 * the newer one does with it what the older number allows. Layouts before 0.4 had no such
 * rule, so nothing that knows this one reads them.
 */
#define TAPIO_ABI_MAJOR 0
#define TAPIO_ABI_MINOR 7
/* The oldest one that programs of this one read. */
#define TAPIO_ABI_MINOR_LEAST 4
/* From here on memory has boards (tapio_shm_group_control). */
#define TAPIO_ABI_MINOR_BOARDS 6
/* From here on an announcement may be for several rings (the same). */
#define TAPIO_ABI_MINOR_ROUNDS 7

/*
 * Whether a program that knows this layout may read a segment with that number, unless
 * `incompat` has a bit that it does not know.
 */
#define TAPIO_ABI_READABLE(major, minor) \
	((major) == TAPIO_ABI_MAJOR && (minor) >= TAPIO_ABI_MINOR_LEAST)

#define TAPIO_SEGMENT_MAGIC UINT64_C(0x4745534f49504154) /* "TAPIOSEG" */
#define TAPIO_SEGMENT_READY UINT32_C(0x59444552)         /* "REDY" */

/* Limits of the layout. A configuration may set lower ones. */
#define TAPIO_CACHE_LINE      64
#define TAPIO_CLASSES_MAX     8
#define TAPIO_GROUP_SLOTS     64
#define TAPIO_NODES_MAX       64
#define TAPIO_REGIONS_MAX     16
#define TAPIO_NAME_BYTES      64      /* names, with their final NUL */
#define TAPIO_BLOCKS_MAX      65536   /* N: held has 16 bits */
#define TAPIO_BLOCK_BYTES_MAX 1048512 /* 2^20 - 64: length has 20 bits */
#define TAPIO_HELD_MAX        65535
#define TAPIO_CLIENTS_MAX     16383 /* attachment records 1..16383 */
#define TAPIO_CALIBRATIONS    8192  /* pieces that are kept */

/* tapio_shm_segment.kind */
#define TAPIO_SEGMENT_CATALOG 1
#define TAPIO_SEGMENT_CHANNEL 2
#define TAPIO_SEGMENT_CURSORS 3

/* Incompatible features. A reader refuses what it does not know. */
#define TAPIO_INCOMPAT_KNOWN UINT64_C(0)

/* tapio_shm_region.kind */
#define TAPIO_REGION_BROKER       1
#define TAPIO_REGION_ATTACHMENTS  2
#define TAPIO_REGION_SEGMENTS     3
#define TAPIO_REGION_CHANNELS     4
#define TAPIO_REGION_GROUPS       5
#define TAPIO_REGION_CALIBRATIONS 6
#define TAPIO_REGION_PLACES       7
#define TAPIO_REGION_SPANS        8
#define TAPIO_REGION_COUNTERS     9 /* from 0.5 on */

/*
 * At the start of the catalog. The other segments have none, because clients can
 * write them: their kinds, and where things lie in them, the catalog says
 * (tapio_shm_segment, tapio_shm_channel, tapio_shm_place).
 *
 * field           | writer | reader | store              | load
 * all but ready   | broker | all    | plain, before READY| plain, after READY
 * ready           | broker | all    | release, once      | acquire
 */
struct tapio_shm_header {
	uint64_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t reserved0;
	uint64_t incompat;
	uint64_t compat;        /* a reader may ignore these features */
	uint64_t length_bytes;  /* of the whole segment */
	uint64_t region_offset; /* of the region table */
	uint32_t region_count;
	uint32_t reserved1;
	uint8_t instance[16]; /* random, one per set of segments */
	uint64_t reserved2;
	uint64_t page_bytes; /* of the mapping: 4096, 2 MiB, 1 GiB */
	uint8_t reserved3[36];
	uint32_t ready;
};
TAPIO_ASSERT_SIZE(tapio_shm_header, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_header, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_header, abi_major, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_header, abi_minor, 10);
TAPIO_ASSERT_OFFSET(tapio_shm_header, reserved0, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_header, incompat, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_header, compat, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_header, length_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_header, region_offset, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_header, region_count, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_header, reserved1, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_header, instance, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_header, reserved2, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_header, page_bytes, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_header, reserved3, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_header, ready, 124);

/* One row of the region table. Written before READY. */
struct tapio_shm_region {
	uint32_t kind; /* TAPIO_REGION_* */
	uint32_t reserved;
	uint64_t offset;
	uint64_t stride; /* bytes from one record to the next */
	uint64_t count;
};
TAPIO_ASSERT_SIZE(tapio_shm_region, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_region, kind, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_region, reserved, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_region, offset, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_region, stride, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_region, count, 24);

/*
 * Attachment ids, the values of `owner` and `lease` words:
 * index:14 | generation:18 << 14. Index 0 is never given, so that 0 is free to
 * mean "no attachment".
 */
#define TAPIO_NOBODY                    UINT32_C(0)
#define TAPIO_ABANDONED                 UINT32_C(0xffffffff) /* to be claimed */
#define TAPIO_ATTACHMENT_INDEX(id)      (TAPIO_CAST_(uint32_t, id) & 0x3fffu)
#define TAPIO_ATTACHMENT_GENERATION(id) (TAPIO_CAST_(uint32_t, id) >> 14)
#define TAPIO_ATTACHMENT_ID(index, gen)       \
	((TAPIO_CAST_(uint32_t, gen) << 14) | \
	 ((TAPIO_CAST_(uint32_t, index) & 0x3fffu)))
#define TAPIO_GENERATION_MAX 0x3fffeu /* 0x3ffff would spell ABANDONED */

/* ---- channel segments -------------------------------------------------- */

/*
 * The doorbells of a channel, one for each group slot, in the segment of node
 * index 0. The members of a slot's group sleep on its `doorbell` and on no
 * other, so that a process is woken for its own group alone. A producer that
 * sees an announcement (`armed` of a group ahead of `answered`) rings the bell
 * of that slot after its commit, and stores `answered` last, so that a kill
 * between the two costs one ring too many and no sleep too long.
 *
 * Each bell has a cache line of its own: a ring takes away the line of one
 * group. `answered` lies apart from them and is packed, because in memory before
 * 0.6 a producer reads it after every commit.
 *
 * field                 | writer            | reader            | store      | load
 * room_armed            | producers         | consumers         | atomic add | relaxed
 * answered[slot]        | producers, broker | producers, broker | relaxed    | relaxed
 * slots[slot].doorbell  | producers, broker | members (futex)   | cas, add   | acquire
 * slots[slot].begun     | producers, broker | members           | relaxed    | relaxed
 * slots[slot].rung      | producers, broker | producers         | release    | acquire
 * slots[slot].board_seen| producers, broker | producers         | relaxed    | relaxed
 * slots[slot].woken     | producers, broker | producers         | release    | acquire
 *
 * `board_seen` is for the board in that slot's memory what `answered` is for `armed`, and
 * from 0.6 on it is what a producer reads after every commit (tapio_shm_group_control).
 *
 * `rung` is when the last complete ring began, by CLOCK_MONOTONIC, in nanoseconds.
 * Nobody rings a bell again within microseconds of that: members can announce
 * themselves as often as they like, and a ring is a system call of a producer.
 *
 * `begun` says of one ring which it was and when it began: the `doorbell` that it made, and
 * the same clock in units of 1,024 ns, both modulo 2^32. A member that was woken late learns
 * from it that the window is over. A ring may leave it out (of layout 0.5: all do).
 *
 * `woken` is the `doorbell` that a complete ring has made: all who slept before it are
 * awake. A ring may leave it out, and a late one may store an older number.
 */
struct tapio_shm_doorbell {
	uint32_t doorbell;   /* + 1 at each ring */
	uint32_t board_seen; /* from 0.6 on */
	uint64_t rung;
	uint64_t begun; /* doorbell:32 | time:32 << 32 (from 0.6 on) */
	uint32_t woken; /* from 0.7 on */
	uint32_t reserved[9];
};
TAPIO_ASSERT_SIZE(tapio_shm_doorbell, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, doorbell, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, board_seen, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, rung, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, begun, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, woken, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, reserved, 28);

struct tapio_shm_doorbells {
	uint32_t room_armed; /* + 1 when a producer is about to wait for room */
	uint32_t reserved[15];
	/* Of each slot, the last `armed` that was answered. */
	uint32_t answered[TAPIO_GROUP_SLOTS];
	struct tapio_shm_doorbell slots[TAPIO_GROUP_SLOTS];
};
TAPIO_ASSERT_SIZE(tapio_shm_doorbells, 4416);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbells, room_armed, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbells, reserved, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbells, answered, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbells, slots, 320);

/* Why an event was refused: the index of tapio_shm_lane.dropped. */
#define TAPIO_DROP_FULL    0 /* a gating group has not read the oldest block */
#define TAPIO_DROP_HELD    1 /* too many blocks are reserved */
#define TAPIO_DROP_SIZE    2 /* larger than any block of the class or channel */
#define TAPIO_DROP_TIMEOUT 3 /* no room within the channel's wait */
/* No side lane left: counted on the first one of the class, else on lane 0. */
#define TAPIO_DROP_NO_LANE 4
#define TAPIO_DROP_CAUSES  8

/* tapio_shm_lane.cpu of a side lane */
#define TAPIO_CPU_SIDE UINT32_C(0xffffffff)

/*
 * One lane at work. Where it and its arrays lie, and how large they are, its
 * tapio_shm_place in the catalog says. A lane has an even number of lines, so that
 * two lines that a CPU fetches together belong to one lane.
 *
 * field          | writer                   | reader    | store   | load
 * state          | producers on CPU, broker | all       | release | acquire
 * gate           | producers, broker        | all       | swap    | acquire
 * hint           | producers, broker        | producers | relaxed | relaxed
 * owner          | producers (cas), broker  | all       | acq_rel | acquire
 * dropped        | producers                | all       | add     | relaxed
 */
struct tapio_shm_lane {
	/* line 0: changed by sections */
	uint64_t state; /* tail:48 | held:16 */
	uint64_t gate;  /* epoch:16 | position:48, a lower bound of the heads */
	uint64_t reserved0[6];
	/* line 1: rarely written */
	uint32_t hint;  /* not 0: there may be abandoned blocks */
	uint32_t owner; /* of a side lane: its attachment */
	uint64_t reserved1[7];
	/* line 2: refusals, in events */
	uint64_t dropped[TAPIO_DROP_CAUSES];
	uint64_t reserved2[8];
};
TAPIO_ASSERT_SIZE(tapio_shm_lane, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, state, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, gate, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved0, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, hint, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, owner, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved1, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, dropped, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved2, 192);

/*
 * The ticket: the attachment that took a block out of the ring last, and which taking it was. While
 * the block is in hands, its holder can prove by the word that the reservation is
 * open. The word of a block in the ring that bears an owner says where it lies.
 *
 * ticket = owner:32 | place:32 << 32
 * place  = index:k | serial:30-k | CLAIMED | ENTERED, where N = 2^k
 *
 * The serial, with CLAIMED, differs between any two takings of the block by one owner.
 * (It comes round after 2^29 positions; with CLAIMED after 2^(30-k) claims.) The index is that of the descriptor from which the block
 * was taken; or, once ENTERED, of the one with which its holder has begun to put it
 * back.
 *
 * part       | writer                      | reader    | store   | load
 * whole word | producers on CPU: reserve   | producers,| plain   | acquire
 * whole word | producers, broker: claim,   | broker    | swap    | acquire
 *            |   retake, abandon, sweep    |           |         |
 * owner      | producers on CPU: output    | the same  | plain   | acquire
 * place      | producers on CPU: publish   | the same  | plain   | acquire
 */
#define TAPIO_PLACE_ENTERED UINT32_C(0x80000000)
#define TAPIO_PLACE_CLAIMED UINT32_C(0x40000000)
#define TAPIO_TICKET(owner, place)            \
	(TAPIO_CAST_(uint64_t, place) << 32 | \
	 TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint32_t, owner)))
#define TAPIO_TICKET_OWNER(ticket) TAPIO_CAST_(uint32_t, ticket)
#define TAPIO_TICKET_PLACE(ticket) TAPIO_CAST_(uint32_t, (ticket) >> 32)

/* The state word and positions. */
#define TAPIO_HELD_BITS     16
#define TAPIO_HELD_MASK     UINT64_C(0xffff)
#define TAPIO_POSITION_MASK UINT64_C(0xffffffffffff)
#define TAPIO_STATE(tail, held)                           \
	(TAPIO_CAST_(uint64_t, tail) << TAPIO_HELD_BITS | \
	 TAPIO_CAST_(uint64_t, held))
#define TAPIO_STATE_TAIL(state) \
	(TAPIO_CAST_(uint64_t, state) >> TAPIO_HELD_BITS)
#define TAPIO_STATE_HELD(state) TAPIO_CAST_(uint32_t, TAPIO_HELD_MASK &(state))

/* a - b of two positions, in [-2^47, 2^47): sign-extended from bit 47. */
static inline int64_t tapio_position_diff(uint64_t a, uint64_t b)
{
	return TAPIO_CAST_(int64_t, (a - b) << 16) >> 16;
}

/*
 * The descriptor: block:20 | length:20 << 20 | type:16 << 40 |
 * severity:4 << 56 | flags:4 << 60. A filter needs nothing else, so a reader
 * that skips an event does not touch its block.
 */
#define TAPIO_DESC_BLOCK(d)    TAPIO_CAST_(uint32_t, 0xfffffu & (d))
#define TAPIO_DESC_LENGTH(d)   TAPIO_CAST_(uint32_t, 0xfffffu & (d) >> 20)
#define TAPIO_DESC_TYPE(d)     TAPIO_CAST_(uint16_t, (d) >> 40)
#define TAPIO_DESC_SEVERITY(d) TAPIO_CAST_(uint8_t, 0xfu & (d) >> 56)
#define TAPIO_DESC_FLAGS(d)    TAPIO_CAST_(uint8_t, (d) >> 60)
#define TAPIO_DESC_BLOCK_MASK  UINT64_C(0xfffff)
/* All but the block, from type, severity and length. */
#define TAPIO_DESC_META(type, severity, length)                     \
	(TAPIO_CAST_(uint64_t, length) << 20 |                      \
	 TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint16_t, type)) << 40 | \
	 TAPIO_CAST_(uint64_t, 0xfu & (severity)) << 56)

/* Descriptor types. 1 to 65535 are types of events (event_types.h names some). */
#define TAPIO_TYPE_DISCARD 0 /* no event was published at this position */

/* ---- cursors segments --------------------------------------------------- */

/*
 * Where members announce that they sleep (`armed`), and where producers that
 * wait for room sleep (`room`).
 *
 * `board` counts announcements for producers that look at one word and not at all of
 * `armed`. A member adds to the board of its own slot, and to the one of another slot that
 * the broker has named: all groups of one uid share a board where they can. Only where a
 * board differs from its `board_seen` a producer looks at each group (lib/lane/wake.h).
 *
 * `ring_until` asks for more than one ring: until the `woken` of the group's bell is as
 * large, by signed difference, each commit rings. So a member that is woken by each
 * event announces itself once for many.
 *
 * field         | writer  | reader            | store      | load
 * armed         | members | producers         | atomic add | relaxed
 * board         | members | producers         | atomic add | relaxed, acquire
 * ring_until    | members | producers         | cas        | relaxed
 * room          | members | producers (futex) | atomic add | acquire
 * room_answered | members | members           | relaxed    | relaxed
 */
struct tapio_shm_group_control {
	uint32_t armed;      /* + 1 when a member is about to sleep */
	uint32_t board;      /* + 1 after each `armed` that it counts (0.6) */
	uint32_t ring_until; /* a number of the bell (0.7) */
	uint32_t reserved0[13];
	uint32_t room;          /* + 1 at each ring for producers */
	uint32_t room_answered; /* last `room_armed` that was answered */
	uint32_t reserved1[14];
};
TAPIO_ASSERT_SIZE(tapio_shm_group_control, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, armed, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, board, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, ring_until, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, reserved0, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, room, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, room_answered, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, reserved1, 72);

/* Positions that the group passed without a delivery. */
struct tapio_shm_tally {
	uint64_t skipped; /* discards and filtered events */
	uint64_t lost;    /* overwritten before they were read */
};
TAPIO_ASSERT_SIZE(tapio_shm_tally, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_tally, skipped, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_tally, lost, 8);

/*
 * The progress of one holder of a lane's lease. A cell has one writer at a time:
 * the attachment in `owner`. A former holder that does not know yet that it has
 * lost the lease may still write its own cell. So the next holder takes another
 * one, and only the cell that the lease names counts.
 *
 * head = position:48 << 16 | incarnation:15 << 1 | record:1. `record` names the
 * tally that counts: the holder writes the other one, and then head, with one
 * release store, so that a kill between the two unbalances nothing. A reader
 * MUST ignore a head of another incarnation than its slot's.
 *
 * owner = attachment:32 | given:1 << 32 | turn:31 << 33. GIVEN: its last store
 * there is done, and the lease names the cell. Attachment 0 without GIVEN: free.
 * `turn` grows with each attachment that takes the cell, so no word comes back.
 *
 * The ledger holds at any time, after any kills:
 *
 *   tail - start = delivered + skipped + lost + (tail - head)
 *
 * field     | writer                     | reader    | store   | load
 * head      | owner, broker while joining| all       | release | acquire
 * tally     | owner                      | all       | relaxed | after head
 * owner     | members, broker (cas)      | members   | acq_rel | relaxed
 * next      | owner                      | members   | relaxed | relaxed
 * beat      | owner                      | members   | relaxed | relaxed
 * peak      | owner                      | all       | relaxed | relaxed
 * watermark | owner                      | producers | relaxed | relaxed
 */
struct tapio_shm_cell {
	uint64_t head;
	struct tapio_shm_tally tally[2];
	uint64_t owner;
	uint32_t next; /* low bits of the position up to which it has read */
	uint32_t beat; /* changes with each look of its owner, in one cell */
	uint32_t peak; /* most positions found unread at once */
	uint32_t watermark; /* unread positions to ring for (0, 1: the first) */
};
TAPIO_ASSERT_SIZE(tapio_shm_cell, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, head, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, tally, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, owner, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, next, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, beat, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, peak, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, watermark, 60);

#define TAPIO_CELL_GIVEN        (UINT64_C(1) << 32)
#define TAPIO_CELL_OWNER(owner) TAPIO_CAST_(uint32_t, owner)
/* The owner word of the next attachment that takes the cell. */
#define TAPIO_CELL_TAKE(owner, id)                          \
	((TAPIO_CAST_(uint64_t, (owner) >> 33) + 1) << 33 | \
	 TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint32_t, id)))

/* One for the holder, the others for former holders that sleep. */
#define TAPIO_CELLS 3

/* tapio_shm_cursor.faults: readers found it impossible. The flags stay set. */
#define TAPIO_CURSOR_BAD_STATE      UINT32_C(1) /* of the lane */
#define TAPIO_CURSOR_BAD_DESCRIPTOR UINT32_C(2)

/*
 * One group on one lane. Line 0 changes when the lane changes hands, and each
 * cell is a line of its own.
 *
 * lease = holder:32 | cell:2 << 32 | flags:2 << 34 | epoch:28 << 36. The epoch
 * grows with each change of hands, so no word comes back, and the swap of a member
 * that slept meanwhile fails.
 *
 * field     | writer                     | reader    | store   | load
 * lease     | members (cas), broker (cas)| all       | acq_rel | acquire
 * start     | broker, before the answer  | all       | plain   | plain
 * want      | members                    | holder    | relaxed | relaxed
 * faults    | members (or)               | all       | relaxed | relaxed
 * takeovers | members (add)              | all       | relaxed | relaxed
 * followed  | holder                     | broker    | release | acquire
 */
struct tapio_shm_cursor {
	uint64_t lease;
	uint64_t start;     /* position at which the group began */
	uint32_t want;      /* non-zero: a member asks for this lane */
	uint32_t faults;    /* TAPIO_CURSOR_* */
	uint32_t takeovers; /* leases taken from members that slept */
	/* ISOLATED: the epoch of a segment that is ENDED, by a holder that stands at `end`
	 * and goes no further. */
	uint32_t followed;
	uint64_t reserved1[4];
	struct tapio_shm_cell cells[TAPIO_CELLS];
};
TAPIO_ASSERT_SIZE(tapio_shm_cursor, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, lease, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, start, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, want, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, faults, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, takeovers, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, followed, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, reserved1, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, cells, 64);

/* The lease word. The cell is below TAPIO_CELLS in an honest one. */
#define TAPIO_LEASE_ASKED      (UINT64_C(1) << 34) /* a member wants it */
#define TAPIO_LEASE_MOVING     (UINT64_C(1) << 35) /* to another cell */
#define TAPIO_LEASE_EPOCH_MASK UINT64_C(0xfffffff)
#define TAPIO_LEASE(holder, cell, flags, epoch)                             \
	(TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint32_t, holder)) |             \
	 TAPIO_CAST_(uint64_t, cell) << 32 | TAPIO_CAST_(uint64_t, flags) | \
	 TAPIO_CAST_(uint64_t, TAPIO_LEASE_EPOCH_MASK & (epoch)) << 36)
#define TAPIO_LEASE_HOLDER(lease) TAPIO_CAST_(uint32_t, lease)
#define TAPIO_LEASE_CELL(lease)   TAPIO_CAST_(uint32_t, (lease) >> 32 & 3u)
#define TAPIO_LEASE_EPOCH(lease)  TAPIO_CAST_(uint32_t, (lease) >> 36)

#define TAPIO_INCARNATION_MASK UINT32_C(0x7fff)
#define TAPIO_HEAD(position, incarnation, record)                             \
	(TAPIO_CAST_(uint64_t, position) << 16 |                              \
	 TAPIO_CAST_(uint64_t, TAPIO_INCARNATION_MASK & (incarnation)) << 1 | \
	 TAPIO_CAST_(uint64_t, 1u & (record)))
#define TAPIO_HEAD_POSITION(head) (TAPIO_CAST_(uint64_t, head) >> 16)
#define TAPIO_HEAD_INCARNATION(head) \
	(TAPIO_CAST_(uint32_t, (head) >> 1) & TAPIO_INCARNATION_MASK)
#define TAPIO_HEAD_RECORD(head) TAPIO_CAST_(uint32_t, 1u & (head))

/*
 * How long a group's events took from their stamp to the call that handed them
 * out, in nanoseconds, with three significant digits. Buckets are 1 ns wide
 * below 512 and 1/512 of their power of two above. The last one also holds all
 * larger values. The middle of a bucket is less than 0.1 % from every value in
 * it.
 *
 * A bucket counts events. When one would pass 2^31, its writer halves all of
 * them, so that they keep their proportions, and adds 1 to `halvings`.
 *
 * field      | writer  | reader | store   | load
 * everything | members | all    | relaxed | relaxed
 *
 * Members write with plain stores and no order between them: two that write one
 * bucket in the same instant may lose one of the two additions. This is a
 * measurement, and exact counts are in the cursors. The broker clears it before
 * the slot becomes ACTIVE.
 */
#define TAPIO_HISTOGRAM_BITS    9u  /* 2^9 buckets per power of two */
#define TAPIO_HISTOGRAM_ROWS    26u /* up to 2^34 ns, 17 s */
#define TAPIO_HISTOGRAM_BUCKETS (TAPIO_HISTOGRAM_ROWS << TAPIO_HISTOGRAM_BITS)

struct tapio_shm_histogram {
	uint64_t count; /* events since the group began */
	uint64_t sum_ns;
	uint64_t max_ns;
	uint32_t halvings;
	uint32_t reserved0;
	uint64_t reserved1[4];
	uint32_t bucket[TAPIO_HISTOGRAM_BUCKETS];
};
TAPIO_ASSERT_SIZE(tapio_shm_histogram, 53312);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, count, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, sum_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, max_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, halvings, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, reserved0, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, reserved1, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_histogram, bucket, 64);

/* ---- the catalog ---------------------------------------------------------- */

#define TAPIO_BROKER_STARTING 1
#define TAPIO_BROKER_RUNNING  2
#define TAPIO_BROKER_STOPPED  3 /* shut down cleanly */

/* tapio_shm_broker.features: allowed by this kernel */
#define TAPIO_FEATURE_MEMBARRIER UINT32_C(1)
#define TAPIO_FEATURE_HUGETLB    UINT32_C(2)
#define TAPIO_FEATURE_MBIND      UINT32_C(4)
#define TAPIO_FEATURE_IO_URING   UINT32_C(8) /* the broker's loop runs on it */
#define TAPIO_FEATURE_PIDFD      UINT32_C(16)
/* `serving` tells the death of a broker at once, and not only its successor. */
#define TAPIO_FEATURE_SERVING UINT32_C(32)

/*
 * tapio_shm_broker.serving: which broker serves this memory, if one does.
 *
 *    63..32  the run: restarts + 1. 0: none has served yet
 *    31..0   the TID of the broker's thread while it serves, 0 after a clean stop,
 *            TAPIO_SERVING_DIED after a death
 *
 * The kernel writes the last one, by the thread's robust list (broker/registry/serving.c).
 * The TID is of the broker's PID namespace. A client MUST take it for a mark only.
 */
#define TAPIO_SERVING_DIED     UINT32_C(0x40000000) /* FUTEX_OWNER_DIED */
#define TAPIO_SERVING_TID_MASK UINT32_C(0x3fffffff)
#define TAPIO_SERVING(run, tid) \
	(TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint32_t, run)) << 32 | (tid))
#define TAPIO_SERVING_RUN(serving) TAPIO_CAST_(uint32_t, (serving) >> 32)
#define TAPIO_SERVING_TID(serving) \
	(TAPIO_CAST_(uint32_t, serving) & TAPIO_SERVING_TID_MASK)

/* Verdicts of the rseq self-test, in the catalog and per attachment. */
#define TAPIO_RSEQ_UNKNOWN 0 /* not run */
#define TAPIO_RSEQ_PROVEN  1 /* an abort was seen, none was missed */
#define TAPIO_RSEQ_ABSENT  2 /* this thread's libc or kernel has none */
#define TAPIO_RSEQ_BROKEN  3 /* a section went on across a preemption */
#define TAPIO_RSEQ_INCONCLUSIVE \
	4 /* no test was possible, the next open tries */

/*
 * One piece of the map from the TSC to CLOCK_REALTIME, in the region CALIBRATIONS:
 *
 *     ns = base_ns + ((tsc - base_tsc) * mult >> shift)
 *
 * Piece i of all that were ever made lies at index i modulo the count of
 * records, and tapio_shm_broker.calibrations is their number. A
 * piece covers the stamps from its base up to the base of the next one, and the
 * first that is left covers the stamps before it, too. A piece is published
 * before its base has come, and MUST NOT change: a stamp has one time.
 *
 * field      | writer | reader | store                         | load
 * everything | broker | all    | plain, before `calibrations`  | plain, checked
 */
struct tapio_shm_calibration {
	uint64_t base_tsc;
	uint64_t base_ns; /* CLOCK_REALTIME */
	uint64_t mult;
	uint32_t shift;
	uint32_t error_ns; /* of the pair that base was taken from */
};
TAPIO_ASSERT_SIZE(tapio_shm_calibration, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, base_tsc, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, base_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, mult, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, shift, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, error_ns, 28);

/* tapio_shm_broker.keeper: it starts another broker after a death. */
#define TAPIO_KEEPER_UNKNOWN 0 /* a broker of layout 0.4 does not say */
#define TAPIO_KEEPER_NONE    1
#define TAPIO_KEEPER_PROCESS 2 /* a process of tapiod's own: keeper_pid */
#define TAPIO_KEEPER_SERVICE \
	3 /* the service manager, which has the descriptors */

/* Words of tapio_shm_broker for counters, those that are reserved included. */
#define TAPIO_BROKER_WORDS 24
/* clang-format off */
#define TAPIO_COUNTER_WORD_(name, unit, type, meaning, cause, remedy) \
	uint64_t name;
#define TAPIO_COUNTER_ONE_(name, unit, type, meaning, cause, remedy) +1
/* How many rows the tables have. */
#define TAPIO_BROKER_COUNTER_COUNT (0 TAPIO_BROKER_COUNTERS(TAPIO_COUNTER_ONE_))
#define TAPIO_LANE_DROP_COUNT (0 TAPIO_LANE_DROPS(TAPIO_COUNTER_ONE_))
/* clang-format on */

/* tapio_shm_counter.of: the struct that has the word. */
#define TAPIO_COUNTER_OF_BROKER 1 /* tapio_shm_broker */
#define TAPIO_COUNTER_OF_LANE   2 /* tapio_shm_lane, of each lane */

/* tapio_shm_counter.type */
#define TAPIO_COUNTED_COUNTER 1 /* only grows */
#define TAPIO_COUNTED_GAUGE   2

/*
 * The meaning of a word, for readers that are older than the broker: a row of counters.h. Texts
 * end with a NUL. The word is one of the 64-bit words of its struct. A reader MUST check
 * `offset` before it follows it, and MUST skip a row with an `of` or a `type` that it does
 * not know. Memory of layout 0.4 has no such region.
 */
struct tapio_shm_counter {
	char name[32];
	char unit[16];
	uint32_t of;     /* TAPIO_COUNTER_OF_* */
	uint32_t offset; /* of the word in its struct, in bytes */
	uint32_t type;   /* TAPIO_COUNTED_* */
	uint32_t reserved0;
	char meaning[152];
	char cause[152];
	char remedy[152];
	uint64_t reserved1[7];
};
TAPIO_ASSERT_SIZE(tapio_shm_counter, 576);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, name, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, unit, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, of, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, offset, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, type, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, reserved0, 60);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, meaning, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, cause, 216);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, remedy, 368);
TAPIO_ASSERT_OFFSET(tapio_shm_counter, reserved1, 520);

/*
 * The broker itself. Single words are stored with release and loaded with
 * acquire. `calibrations` is stored with release, after the pieces that it
 * counts.
 */
struct tapio_shm_broker {
	uint32_t attachment; /* id of this run, used by its sweeps */
	uint32_t state;      /* TAPIO_BROKER_* */
	uint64_t pid;
	uint64_t start_time_ticks; /* /proc/PID/stat, field 22 */
	uint8_t boot_id[16];
	uint64_t started_ns; /* CLOCK_REALTIME, of this run */
	uint64_t budget_bytes;
	uint64_t used_bytes;
	uint32_t features;     /* TAPIO_FEATURE_* */
	uint32_t rseq_verdict; /* TAPIO_RSEQ_*, changes while INCONCLUSIVE */
	uint32_t cpus_possible;
	uint32_t nodes;
	uint32_t clients_max;
	uint32_t reserved0;
	uint64_t calibrations; /* pieces made so far; 0: stamps have no time */
	/* By how much the clock was off at the last look, at most. */
	uint64_t clock_error_ns;
	uint64_t clock_steps; /* how often it was set */
	uint64_t restarts;    /* how often a broker took this memory over */
	uint32_t keeper;      /* TAPIO_KEEPER_*, of this run (from 0.5 on) */
	uint32_t keeper_pid;  /* if it is a process of its own, or 0 */
	/* TAPIO_SERVING(). A client that sees another value looks at its connection. Its
	 * cache line changes when the broker does, and not else. */
	uint64_t serving;
	uint64_t reserved2[2];
	char version[32];
	char rseq_reason[64];
	/* The rows of counters.h. Relaxed. */
	TAPIO_BROKER_COUNTERS(TAPIO_COUNTER_WORD_)
	uint64_t reserved[TAPIO_BROKER_WORDS - TAPIO_BROKER_COUNTER_COUNT];
	/* Inode of /proc/self/ns/pid: where `pid` and those of attachments mean
	 * something. 0: unknown. */
	uint64_t pid_namespace;
};
TAPIO_ASSERT_SIZE(tapio_shm_broker, 448);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, attachment, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, state, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, pid, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, start_time_ticks, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, boot_id, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, started_ns, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, budget_bytes, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, used_bytes, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, features, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, rseq_verdict, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, cpus_possible, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, nodes, 76);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, clients_max, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reserved0, 84);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, calibrations, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, clock_error_ns, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, clock_steps, 104);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, restarts, 112);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, keeper, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, keeper_pid, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, serving, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reserved2, 136);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, version, 152);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, rseq_reason, 184);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, hellos, 248);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, attaches, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, refusals, 264);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, protocol_errors, 272);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, deaths, 280);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, closes, 288);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, sweeps, 296);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, swept_blocks, 304);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, leases_cleared, 312);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, evictions, 320);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, suspicions, 328);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reloads, 336);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reload_refusals, 344);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reserved, 352);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, pid_namespace, 440);

#define TAPIO_ROLE_PRODUCE 1
#define TAPIO_ROLE_CONSUME 2
#define TAPIO_ROLE_INSPECT 3

#define TAPIO_ATTACHMENT_FREE  0
#define TAPIO_ATTACHMENT_ALIVE 1
#define TAPIO_ATTACHMENT_DEAD  2 /* being swept */

/*
 * One attachment. The broker fills a FREE record and stores `state` last, with
 * release. A reader MUST discard its copy of a record when `id` has changed
 * meanwhile.
 */
struct tapio_shm_attachment {
	uint32_t state; /* TAPIO_ATTACHMENT_* */
	uint32_t id;
	uint32_t role; /* TAPIO_ROLE_* */
	uint32_t channel;
	uint32_t group_slot; /* of a consumer, else ~0 */
	uint32_t rseq_verdict;
	uint32_t pid; /* in the broker's PID namespace (0: not visible there) */
	uint32_t uid;
	uint32_t gid;
	uint32_t reserved0;
	uint64_t start_time_ticks; /* 0: not known, or not yet */
	uint64_t attached_ns;      /* CLOCK_REALTIME */
	char comm[16];
	uint64_t reserved[7];
};
TAPIO_ASSERT_SIZE(tapio_shm_attachment, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, state, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, id, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, role, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, channel, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, group_slot, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, rseq_verdict, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, pid, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, uid, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, gid, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, reserved0, 36);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, start_time_ticks, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, attached_ns, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, comm, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_attachment, reserved, 72);

/* The rungs of the memory ladder, best first: index of rung_errno below. */
#define TAPIO_RUNG_HUGETLB 0 /* memfd of the hugetlb pool */
#define TAPIO_RUNG_THP     1 /* shmem with MADV_HUGEPAGE */
#define TAPIO_RUNG_PAGES   2 /* shmem, plain pages */
#define TAPIO_RUNGS        4

/* tapio_shm_segment.placement */
#define TAPIO_PLACED_UNCHECKED 0 /* move_pages is not available: see errno */
#define TAPIO_PLACED_VERIFIED  1 /* every page is on the node */
#define TAPIO_PLACED_UNBOUND   2 /* mbind was refused: see errno */
#define TAPIO_PLACED_ELSEWHERE 3 /* misplaced_pages are on other nodes */

/*
 * One segment, as it was really obtained. Written before READY of the record. The
 * memory of a group slot or of an isolated producer can be replaced (SLOT MEMORY,
 * TAPIO_PHASE_*), and that of a channel given back. Then the broker clears READY, writes
 * the record anew, and stores READY again with release. A reader MUST load `inode` before
 * READY, and MUST discard its copy when READY or `inode` has changed meanwhile.
 *
 * `device` and `inode` name the file. They are how a tool knows what a descriptor
 * of a segment is, since clients can write what is in it.
 */
struct tapio_shm_segment {
	uint32_t kind;    /* TAPIO_SEGMENT_* */
	uint32_t channel; /* index in CHANNELS */
	uint32_t index;   /* node index, number of a producer, or group slot */
	uint32_t node;
	uint64_t length_bytes;
	uint64_t page_bytes; /* 4096 with THP too: see huge_bytes */
	uint64_t huge_bytes; /* of length, backed by huge pages when measured */
	uint32_t rung;       /* TAPIO_RUNG_* that was obtained */
	uint32_t seals;      /* F_SEAL_* as read back */
	int32_t rung_errno
		[TAPIO_RUNGS]; /* why a rung failed (0: not tried, or ok; EDQUOT: a
				  cgroup's limit) */
	uint32_t placement;    /* TAPIO_PLACED_* */
	int32_t placement_errno;
	uint64_t misplaced_pages; /* UINT64_MAX: move_pages is not available */
	uint64_t device;          /* st_dev */
	uint64_t inode;           /* st_ino */
	uint64_t reserved[3];
	/* Of a group slot: its memory's. Of an isolated producer: memory << 2 | phase. Else
	 * 0. */
	uint32_t epoch;
	uint32_t ready;
};
TAPIO_ASSERT_SIZE(tapio_shm_segment, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, kind, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, channel, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, index, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, node, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, length_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, page_bytes, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, huge_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, rung, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, seals, 44);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, rung_errno, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, placement, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, placement_errno, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, misplaced_pages, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, device, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, inode, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, reserved, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, epoch, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, ready, 124);

/*
 * The epoch of the segment of an isolated producer. One word: the phase changes by a store
 * with release, and the memory with the record.
 */
#define TAPIO_PHASE_FRESH 0 /* no client's, or not sealed yet */
#define TAPIO_PHASE_SEALED \
	1 /* its producer maps it, and no other process can */
#define TAPIO_PHASE_ENDED           2 /* its producer is gone: it is read up to `end` */
#define TAPIO_PHASE_CLOSED          3 /* read: it waits for other memory */
#define TAPIO_SEGMENT_PHASE(epoch)  TAPIO_CAST_(uint32_t, 3u & (epoch))
#define TAPIO_SEGMENT_MEMORY(epoch) TAPIO_CAST_(uint32_t, (epoch) >> 2)
/* Whether readers may believe what is there. */
#define TAPIO_SEGMENT_READABLE(epoch)                        \
	(TAPIO_SEGMENT_PHASE(epoch) == TAPIO_PHASE_SEALED || \
	 TAPIO_SEGMENT_PHASE(epoch) == TAPIO_PHASE_ENDED)

/* One class of a channel. Sorted by priority, highest first, then by size. */
struct tapio_shm_class {
	char name[16];
	uint32_t block_bytes;
	uint32_t block_count; /* N of a CPU's lane */
	uint32_t side_count;  /* N of a side lane */
	uint32_t side_lanes;
	uint32_t priority; /* 0 is served last, `critical` is 1 or more */
	uint32_t reserved[3];
};
TAPIO_ASSERT_SIZE(tapio_shm_class, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_class, name, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_class, block_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_class, block_count, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_class, side_count, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_class, side_lanes, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_class, priority, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_class, reserved, 36);

/* The full policy, for a producer that finds no free block. */
#define TAPIO_FULL_DROP 0 /* the event is refused and counted */
#define TAPIO_FULL_WAIT 1 /* the producer waits for wait_ns at most */

/* Time stamps of a channel's events. */
#define TAPIO_STAMP_NONE  0
#define TAPIO_STAMP_TSC   1 /* read inside the section: monotone per lane */
#define TAPIO_STAMP_CLOCK 2 /* CLOCK_REALTIME, read before the section */

/*
 * tapio_shm_channel.flags. ISOLATED: no CPU has a lane. Each producer has a segment
 * of its own, 1 to segment_count - 1, with one side lane of each class. The side lane
 * with number i of any class lies in segment 1 + i. The producer that was given the
 * segment is the only one that can write there, and its attachment is in `owner` from
 * the beginning. The memory is replaced for each producer (TAPIO_PHASE_*).
 */
#define TAPIO_CHANNEL_ISOLATED UINT32_C(1)
#define TAPIO_CHANNEL_FLAGS    TAPIO_CHANNEL_ISOLATED /* that are known */

/* tapio_shm_channel.state. REMOVED: the configuration does not name it any more. */
#define TAPIO_CHANNEL_SERVED  0
#define TAPIO_CHANNEL_REMOVED 1

/* Records of SEGMENTS that an entry of CHANNELS has. The catalog has record 0. */
#define TAPIO_CHANNEL_RECORDS (TAPIO_NODES_MAX + TAPIO_GROUP_SLOTS)

/*
 * The place of one lane: where it and its arrays lie, in bytes from the start of
 * the segment. Written before READY of its channel, and never changed. The lane with
 * id i of a channel has the record first_place + i. A process that attaches MUST copy
 * the record once, check the copy against its mapping, and use only the copy.
 */
struct tapio_shm_place {
	uint32_t segment; /* node index. ISOLATED: 1 + the producer's number */
	uint32_t node;    /* NUMA node that the segment was made for */
	uint32_t cpu;     /* or TAPIO_CPU_SIDE */
	uint32_t klass;   /* index of its class in the channel */
	uint32_t block_count;   /* N */
	uint32_t block_bytes;   /* a multiple of 64 */
	uint64_t lane_offset;   /* tapio_shm_lane */
	uint64_t ticket_offset; /* uint64_t[N], by block */
	uint64_t desc_offset;   /* uint64_t[N] */
	uint64_t time_offset;   /* uint64_t[N] (0: the channel has no stamps) */
	uint64_t block_offset;  /* N * block_bytes */
};
TAPIO_ASSERT_SIZE(tapio_shm_place, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_place, segment, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_place, node, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_place, cpu, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_place, klass, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_place, block_count, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_place, block_bytes, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_place, lane_offset, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_place, ticket_offset, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_place, desc_offset, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_place, time_offset, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_place, block_offset, 56);

/*
 * ISOLATED: the positions of a lane in the memory that its segment has now. The lane with
 * id i has the record first_place + i. `end` counts in the phases ENDED and CLOSED. Other
 * channels have zeros. A reader that uses one MUST look at the epoch again afterwards.
 *
 * field | writer | reader  | store   | load
 * begin | broker | readers | relaxed | relaxed
 * end   | broker | readers | relaxed | relaxed
 */
struct tapio_shm_span {
	uint64_t begin; /* the tail with which its lane was born */
	uint64_t end;   /* the tail when its producer was gone */
};
TAPIO_ASSERT_SIZE(tapio_shm_span, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_span, begin, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_span, end, 8);

/*
 * One channel. Written before READY, except eight words:
 *
 * field       | writer | reader    | store   | load
 * active      | broker | producers | relaxed | relaxed
 * boards      | broker | producers | relaxed | relaxed
 * unboarded   | broker | producers | relaxed | relaxed
 * single      | broker | members   | release | relaxed
 * generation  | broker | producers | release | acquire
 * changes     | broker | readers   | release | relaxed, acquire
 * state       | broker | all       | relaxed | relaxed
 * ready       | broker | all       | release | acquire
 *
 * When its memory is given back, READY is taken off before anything changes, and the
 * entry may serve another channel later, with the next `epoch`. It does not change while
 * an attachment lives. A reader without one MUST load `epoch` before READY, and MUST
 * discard its copy when READY or `epoch` has changed meanwhile.
 *
 * `active` has a bit for each slot that is ACTIVE, so that a producer looks
 * only at the `armed` words of groups that exist. `boards` has a bit for each slot whose
 * board a producer looks at after a commit: each living member adds to one of them. Members
 * of an older library add to none. `unboarded` is how many there are, and while it is not 0
 * no board is answered. `single` is 1 once a producer of an older library has attached: it
 * rings once for an announcement, so no member counts on more. The gate is computed from
 * the slots and `generation`. `changes` grows with each change of a segment's epoch.
 */
struct tapio_shm_channel {
	char name[TAPIO_NAME_BYTES];
	uint32_t class_count;
	uint32_t segment_count; /* nodes. ISOLATED: 1 + producers */
	uint32_t lane_count;    /* ids 0 .. lane_count - 1 */
	uint32_t full_policy;   /* TAPIO_FULL_* */
	uint64_t wait_ns;
	uint32_t stamp;            /* TAPIO_STAMP_* */
	uint32_t flags;            /* TAPIO_CHANNEL_* */
	uint64_t doorbells_offset; /* in the segment of index 0 */
	uint64_t
		control_offset; /* in each slot's segment: the group's control */
	uint64_t cursors_offset; /* one for each lane, by its id */
	uint32_t first_place;    /* of its lanes, by id */
	uint32_t ready;
	/* line 2 */
	uint64_t active;
	uint64_t generation;
	uint64_t
		histogram_offset; /* in each slot's segment. 0: there is none */
	uint32_t state;           /* TAPIO_CHANNEL_SERVED, _REMOVED */
	uint32_t epoch;           /* + 1 for each channel in this entry */
	uint64_t changes;         /* ISOLATED: of the epochs of its segments */
	uint64_t boards;          /* from 0.6 on */
	uint32_t unboarded;       /* from 0.6 on */
	uint32_t single;          /* from 0.7 on */
	uint64_t reserved2;
	struct tapio_shm_class classes[TAPIO_CLASSES_MAX];
};
TAPIO_ASSERT_SIZE(tapio_shm_channel, 576);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, name, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, class_count, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, segment_count, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, lane_count, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, full_policy, 76);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, wait_ns, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, stamp, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, flags, 92);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, doorbells_offset, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, control_offset, 104);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, cursors_offset, 112);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, first_place, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, ready, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, active, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, generation, 136);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, histogram_offset, 144);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, state, 152);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, epoch, 156);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, changes, 160);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, boards, 168);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, unboarded, 176);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, single, 180);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, reserved2, 184);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, classes, 192);

/*
 * A group slot. `slot` is one word, so that a producer that computes a gate
 * sees state, policy, incarnation and lag of one moment:
 * state:8 | policy:8 << 8 | incarnation:15 << 16 | far:1 << 31 | lag:32 << 32.
 * `far`: the lag may be more than half of a lane.
 *
 * `slot` is stored with release and loaded with acquire. The broker writes the
 * rest before the slot becomes ACTIVE, except `members`, and EVICTED in
 * `flags`, which are relaxed.
 */
#define TAPIO_SLOT_FREE   0
#define TAPIO_SLOT_ACTIVE 1

/*
 * The policy of a group decides about producers that find no free block. A
 * group that holds the gate makes them refuse or wait (TAPIO_FULL_*). One that
 * does not hold it loses the oldest events. The numbers are the same in the
 * slot, in the options of a consumer and in the protocol. Only a request may
 * be DEFAULT.
 */
#define TAPIO_GROUP_DEFAULT  0 /* as configured, else UNTIL half a lane */
#define TAPIO_GROUP_LOSSY    1 /* never holds the gate */
#define TAPIO_GROUP_UNTIL    2 /* holds it up to `lag` positions behind tail */
#define TAPIO_GROUP_LOSSLESS 3 /* holds it */

#define TAPIO_SLOT(state, policy, incarnation, lag)                            \
	(TAPIO_CAST_(uint64_t, state) | TAPIO_CAST_(uint64_t, policy) << 8 |   \
	 TAPIO_CAST_(uint64_t, TAPIO_INCARNATION_MASK & (incarnation)) << 16 | \
	 TAPIO_CAST_(uint64_t, TAPIO_CAST_(uint32_t, lag)) << 32)
#define TAPIO_SLOT_STATE(slot)  TAPIO_CAST_(uint32_t, 0xffu & (slot))
#define TAPIO_SLOT_POLICY(slot) TAPIO_CAST_(uint32_t, 0xffu & (slot) >> 8)
#define TAPIO_SLOT_INCARNATION(slot) \
	TAPIO_CAST_(uint32_t, 0x7fffu & (slot) >> 16)
#define TAPIO_SLOT_LAG(slot) TAPIO_CAST_(uint32_t, (slot) >> 32) /* 0: N / 2 */
#define TAPIO_SLOT_FAR       (UINT64_C(1) << 31)

/* tapio_shm_group.flags */
#define TAPIO_GROUP_FLAG_DURABLE UINT32_C(1) /* stays without members */
#define TAPIO_GROUP_FLAG_EVICTED UINT32_C(2) /* ended for impossible cursors */
/* A producer has not got the slot's memory yet: it does not ring. */
#define TAPIO_GROUP_FLAG_UNHEARD UINT32_C(4)

#define TAPIO_TAKEOVER_NEVER UINT64_MAX

struct tapio_shm_group {
	uint64_t slot;
	uint32_t admitted; /* the incarnation that has its final heads */
	uint32_t flags;    /* TAPIO_GROUP_FLAG_* */
	uint32_t members;  /* attached now */
	uint32_t uid;      /* of its creator */
	char name[TAPIO_NAME_BYTES];
	uint64_t joined_ns;   /* CLOCK_REALTIME */
	uint32_t policy;      /* as it was made; `slot` has the one in force */
	uint32_t epoch;       /* of the slot's memory: changes before ACTIVE */
	uint64_t filter;      /* digest of its members' filter; 0: none */
	uint64_t takeover_ns; /* TAPIO_TAKEOVER_NEVER */
	uint64_t reserved1;
};
TAPIO_ASSERT_SIZE(tapio_shm_group, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_group, slot, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_group, admitted, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_group, flags, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_group, members, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_group, uid, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_group, name, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_group, joined_ns, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_group, policy, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_group, epoch, 100);
TAPIO_ASSERT_OFFSET(tapio_shm_group, filter, 104);
TAPIO_ASSERT_OFFSET(tapio_shm_group, takeover_ns, 112);
TAPIO_ASSERT_OFFSET(tapio_shm_group, reserved1, 120);

#endif
