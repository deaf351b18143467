/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared layout of Tapio, version 1.0.
 *
 * THE PROMISE. Whatever lies in a Tapio segment is described here and nowhere
 * else, field by field. Within one major version fields keep their offset, size
 * and meaning; a minor version may give meaning to reserved bytes, which writers
 * set to zero and readers ignore. A change that an old reader must not overlook
 * sets a bit in `incompat`; whoever finds a bit there that it does not know does
 * not touch the segment. All words are little-endian; there are no pointers,
 * bitfields, enums, bools, `long`s or `size_t`s.
 *
 * GLOSSARY
 *   segment     one sealed memfd, mapped whole
 *   channel     a named stream of events; one segment per NUMA node
 *   class       a kind of lane: block size, count and priority
 *   lane        ring and pool in one, for one (channel, class, CPU)
 *   side lane   a lane that belongs to an attachment instead of a CPU
 *   block       piece of a lane's pool; holds the payload of one event
 *   descriptor  64-bit word: which block, type, severity, length
 *   position    48-bit count of descriptors published on a lane
 *   group       a set of consumers that share one view of a channel
 *   attachment  one client on one channel in one role
 *   gate        cached lower bound of the heads that hold the lane
 *
 * THE SEGMENTS
 *
 *   catalog (1)                    channel (1 per channel and node)
 *   +---------------------------+  +-----------------------------------+
 *   | tapio_shm_header          |  | tapio_shm_header                  |
 *   | region table              |  | region table                     |
 *   +---------------------------+  +-----------------------------------+
 *   | BROKER        1           |  | DOORBELL  1 (used in node index 0)|
 *   | ATTACHMENTS   clients     |  | LANES     one per lane of the node|
 *   | SEGMENTS      segments    |  +-----------------------------------+
 *   | CHANNELS      channels    |  | per lane: owners, descriptors,    |
 *   | GROUPS        channels*64 |  | times, blocks; found by the       |
 *   +---------------------------+  | offsets in its tapio_shm_lane     |
 *                                  +-----------------------------------+
 *   cursors (64 per channel, one per group slot)
 *   +---------------------------+
 *   | tapio_shm_header          |
 *   | region table              |
 *   | GROUP_CONTROL 1           |
 *   | CURSORS       lanes       |
 *   | HISTOGRAM     1           |
 *   +---------------------------+
 *
 *                  producers   consumers of G   observers   broker
 *   catalog            R             R              R         RW
 *   channel            RW            R              R         RW
 *   cursors of G       R             RW             R         RW
 *
 * THE LANE. N descriptors, N blocks, N a power of two. Its whole state is one
 * word, `state = tail << 16 | held`, and every operation becomes visible by one
 * plain store of that word.
 *
 *           reap              gate                               tail
 *    ---------|--------- free ---------|------------ unread -------|
 *             ^ next block to reuse    ^ slowest gating group      ^ next
 *
 *   tail  positions published so far, modulo 2^48; a lane is born with N
 *         descriptors of type DISCARD, so with tail = N
 *   held  blocks that are out of the ring, in some producer's hands
 *   reap  tail - N + held, the oldest position whose block is in the ring
 *
 * A descriptor is at index position & (N - 1). Positions are compared modulo
 * 2^48 (tapio_position_diff).
 *
 * WHO MOVES WHAT
 *   state   producers on the lane's CPU, inside an rseq section (side lanes: the
 *           owner, under its private mutex); the broker's sweep likewise
 *   gate    the same writers; only grows
 *   head    the member that holds the lease; only grows; set by the broker
 *           while the slot is joining
 *   lease   0 -> me and sleeper -> me by a member, me -> 0 by that member,
 *           dead -> 0 by the broker
 *   slot    the broker
 */
#ifndef TAPIO_ABI_H
#define TAPIO_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TAPIO_ASSERT_(cond, text) static_assert(cond, text)
#else
#define TAPIO_ASSERT_(cond, text) _Static_assert(cond, text)
#endif
#define TAPIO_ASSERT_SIZE(type, bytes) \
	TAPIO_ASSERT_(sizeof(struct type) == (bytes), "size of " #type)
#define TAPIO_ASSERT_OFFSET(type, field, bytes)                \
	TAPIO_ASSERT_(offsetof(struct type, field) == (bytes), \
		      "offset of " #type "." #field)

#define TAPIO_ABI_MAJOR 1
#define TAPIO_ABI_MINOR 0

#define TAPIO_SEGMENT_MAGIC UINT64_C(0x4745534f49504154) /* "TAPIOSEG" */
#define TAPIO_SEGMENT_READY UINT32_C(0x59444552)         /* "REDY" */

/* Limits of the layout (a configuration may set lower ones). */
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

/* tapio_shm_header.kind */
#define TAPIO_SEGMENT_CATALOG 1
#define TAPIO_SEGMENT_CHANNEL 2
#define TAPIO_SEGMENT_CURSORS 3

/* Incompatible features. A reader refuses what it does not know. */
#define TAPIO_INCOMPAT_KNOWN UINT64_C(0)

/* Compatible features. A reader may ignore them. */
#define TAPIO_COMPAT_HISTOGRAM UINT64_C(1) /* cursors: has a HISTOGRAM */

/* tapio_shm_region.kind */
#define TAPIO_REGION_BROKER        1
#define TAPIO_REGION_ATTACHMENTS   2
#define TAPIO_REGION_SEGMENTS      3
#define TAPIO_REGION_CHANNELS      4
#define TAPIO_REGION_GROUPS        5
#define TAPIO_REGION_DOORBELL      6
#define TAPIO_REGION_LANES         7
#define TAPIO_REGION_GROUP_CONTROL 8
#define TAPIO_REGION_CURSORS       9
#define TAPIO_REGION_HISTOGRAM     10

/*
 * At the start of every segment.
 *
 * field           | writer | reader | store              | load
 * all but ready   | broker | all    | plain, before READY| plain, after READY
 * ready           | broker | all    | release, once      | acquire
 */
struct tapio_shm_header {
	uint64_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t kind; /* TAPIO_SEGMENT_* */
	uint64_t incompat;
	uint64_t compat;
	uint64_t length_bytes;  /* of the whole segment */
	uint64_t region_offset; /* of the region table */
	uint32_t region_count;
	uint32_t channel;     /* index in CHANNELS; 0 in the catalog */
	uint8_t instance[16]; /* random, one per set of segments */
	uint32_t index;       /* channel: node index; cursors: group slot */
	uint32_t node;        /* NUMA node it is bound to; ~0: none */
	uint64_t page_bytes;  /* of the mapping: 4096, 2 MiB, 1 GiB */
	uint8_t reserved[36];
	uint32_t ready;
};
TAPIO_ASSERT_SIZE(tapio_shm_header, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_header, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_header, abi_major, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_header, abi_minor, 10);
TAPIO_ASSERT_OFFSET(tapio_shm_header, kind, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_header, incompat, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_header, compat, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_header, length_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_header, region_offset, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_header, region_count, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_header, channel, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_header, instance, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_header, index, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_header, node, 76);
TAPIO_ASSERT_OFFSET(tapio_shm_header, page_bytes, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_header, reserved, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_header, ready, 124);

/* One row of the region table; written before READY. */
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
 * index:14 | generation:18 << 14. Index 0 is never given, so 0 is nobody.
 */
#define TAPIO_NOBODY                    UINT32_C(0)
#define TAPIO_ABANDONED                 UINT32_C(0xffffffff) /* a block that anyone may claim */
#define TAPIO_ATTACHMENT_INDEX(id)      ((uint32_t)(id)&0x3fffu)
#define TAPIO_ATTACHMENT_GENERATION(id) ((uint32_t)(id) >> 14)
#define TAPIO_ATTACHMENT_ID(index, gen) \
	(((uint32_t)(gen) << 14) | ((uint32_t)(index)&0x3fffu))
#define TAPIO_GENERATION_MAX 0x3fffeu /* 0x3ffff would spell ABANDONED */

/* ---- channel segments -------------------------------------------------- */

/*
 * The doorbell of a channel: in the segment of node index 0.
 *
 * field      | writer    | reader               | store        | load
 * doorbell   | producers | consumers (futex)    | atomic add   | acquire
 * room_armed | producers | consumers            | atomic add   | relaxed
 * answered[slot] | producers | producers            | relaxed      | relaxed
 */
struct tapio_shm_doorbell {
	uint32_t doorbell; /* + 1 whenever sleepers are woken */
	uint32_t reserved0[15];
	uint32_t room_armed; /* + 1 when a producer is about to wait for room */
	uint32_t reserved1[15];
	uint32_t answered
		[TAPIO_GROUP_SLOTS]; /* last `armed` that was answered */
};
TAPIO_ASSERT_SIZE(tapio_shm_doorbell, 384);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, doorbell, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, reserved0, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, room_armed, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, reserved1, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_doorbell, answered, 128);

/* Why an event was refused: the index of tapio_shm_lane.dropped. */
#define TAPIO_DROP_FULL    0 /* a gating group has not read what lies there */
#define TAPIO_DROP_HELD    1 /* too many blocks reserved */
#define TAPIO_DROP_SIZE    2 /* larger than any block of the channel */
#define TAPIO_DROP_TIMEOUT 3 /* waited for room as long as was allowed */
#define TAPIO_DROP_NO_LANE 4 /* no side lane left; counted on the first lane */
#define TAPIO_DROP_CAUSES  8

/* tapio_shm_lane.cpu of a side lane */
#define TAPIO_CPU_SIDE UINT32_C(0xffffffff)

/*
 * One lane. Lines 0 to 2 are the lane at work, line 3 says where its arrays lie
 * (offsets from the start of the segment) and is written before READY; who
 * attaches copies line 3 once, checks the copy and uses the copy.
 *
 * field          | writer                   | reader    | store   | load
 * state          | producers on CPU, broker | all       | release | acquire
 * gate           | the same                 | the same  | plain   | relaxed
 * newest_*       | the same                 | consumers | plain   | relaxed
 * hint           | producers, broker        | producers | relaxed | relaxed
 * owner          | producers (cas), broker  | all       | acq_rel | acquire
 * dropped        | producers                | all       | add     | relaxed
 * line 3         | broker                   | all       | once    | once
 */
struct tapio_shm_lane {
	/* line 0: what a section changes */
	uint64_t state; /* tail:48 | held:16 */
	uint64_t gate;  /* position; a lower bound of the gating heads */
	uint64_t reserved0[6];
	/* line 1: rarely written */
	uint32_t hint;  /* non-zero: abandoned blocks may be found */
	uint32_t owner; /* side lanes: the attachment it belongs to */
	uint64_t reserved1[7];
	/* line 2: refusals, in events */
	uint64_t dropped[TAPIO_DROP_CAUSES];
	/* line 3: geometry */
	uint32_t id;          /* index of its cursor in every group */
	uint32_t cpu;         /* or TAPIO_CPU_SIDE */
	uint32_t klass;       /* index of its class in the channel */
	uint32_t block_count; /* N */
	uint32_t block_bytes; /* a multiple of 64 */
	uint32_t reserved2;
	uint64_t owner_offset; /* uint32_t[N]: who took the block last */
	uint64_t desc_offset;  /* uint64_t[N] */
	uint64_t time_offset;  /* uint64_t[N]; 0: the channel has no stamps */
	uint64_t block_offset; /* N * block_bytes */
	uint64_t reserved3;
};
TAPIO_ASSERT_SIZE(tapio_shm_lane, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, state, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, gate, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved0, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, hint, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, owner, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved1, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, dropped, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, id, 192);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, cpu, 196);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, klass, 200);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, block_count, 204);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, block_bytes, 208);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved2, 212);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, owner_offset, 216);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, desc_offset, 224);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, time_offset, 232);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, block_offset, 240);
TAPIO_ASSERT_OFFSET(tapio_shm_lane, reserved3, 248);

/* The state word and positions. */
#define TAPIO_HELD_BITS     16
#define TAPIO_HELD_MASK     UINT64_C(0xffff)
#define TAPIO_POSITION_MASK UINT64_C(0xffffffffffff)
#define TAPIO_STATE(tail, held) \
	((uint64_t)(tail) << TAPIO_HELD_BITS | (uint64_t)(held))
#define TAPIO_STATE_TAIL(state) ((uint64_t)(state) >> TAPIO_HELD_BITS)
#define TAPIO_STATE_HELD(state) ((uint32_t)((state)&TAPIO_HELD_MASK))

/* a - b of two positions, in (-2^47, 2^47]: sign-extended from bit 47. */
static inline int64_t tapio_position_diff(uint64_t a, uint64_t b)
{
	return (int64_t)((a - b) << 16) >> 16;
}

/*
 * The descriptor: block:20 | length:20 << 20 | type:16 << 40 |
 * severity:4 << 56 | flags:4 << 60. What a filter looks at is all here, so a
 * reader that skips an event does not touch its block.
 */
#define TAPIO_DESC_BLOCK(d)    ((uint32_t)((d)&0xfffffu))
#define TAPIO_DESC_LENGTH(d)   ((uint32_t)((d) >> 20 & 0xfffffu))
#define TAPIO_DESC_TYPE(d)     ((uint16_t)((d) >> 40))
#define TAPIO_DESC_SEVERITY(d) ((uint8_t)((d) >> 56 & 0xfu))
#define TAPIO_DESC_FLAGS(d)    ((uint8_t)((d) >> 60))
#define TAPIO_DESC_BLOCK_MASK  UINT64_C(0xfffff)
/* All but the block, from type, severity and length. */
#define TAPIO_DESC_META(type, severity, length)                        \
	((uint64_t)(length) << 20 | (uint64_t)(uint16_t)(type) << 40 | \
	 (uint64_t)((severity)&0xfu) << 56)

/* Descriptor types. 1 to 65535 are the users' (event.h names some). */
#define TAPIO_TYPE_DISCARD 0 /* nothing was published at this position */

/* ---- cursors segments --------------------------------------------------- */

/*
 * field     | writer              | reader    | store      | load
 * armed     | members             | producers | atomic add | relaxed
 * room      | members (futex)     | producers | atomic add | acquire
 * room_answered | members             | members   | relaxed    | relaxed
 */
struct tapio_shm_group_control {
	uint32_t armed; /* + 1 when a member is about to sleep */
	uint32_t reserved0[15];
	uint32_t room;          /* + 1 whenever waiting producers are woken */
	uint32_t room_answered; /* last `room_armed` that was answered */
	uint32_t reserved1[14];
};
TAPIO_ASSERT_SIZE(tapio_shm_group_control, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, armed, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, reserved0, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, room, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, room_answered, 68);
TAPIO_ASSERT_OFFSET(tapio_shm_group_control, reserved1, 72);

/* What a member did not deliver, in positions. */
struct tapio_shm_tally {
	uint64_t skipped; /* discards and filtered events */
	uint64_t lost;    /* overrun before they were read */
};
TAPIO_ASSERT_SIZE(tapio_shm_tally, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_tally, skipped, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_tally, lost, 8);

/*
 * What one holder of a lane's lease says of its progress. A cell has one writer
 * at a time: the attachment in `owner`. A former holder that does not know yet
 * that it has lost the lease may still write its own cell, so the next holder
 * takes another one, and only the cell that the lease names counts.
 *
 * head = position:48 << 16 | incarnation:15 << 1 | record:1. `record` names the
 * tally that counts: the holder writes the other one, then head, with one
 * release store. A head of another incarnation than its slot's is no news.
 *
 * field     | writer                     | reader    | store   | load
 * head      | owner; broker while joining| all       | release | acquire
 * tally     | owner                      | all       | plain   | after head
 * next      | owner                      | members   | relaxed | relaxed
 * owner     | owner; broker (cas)        | members   | release | acquire
 * beat      | owner                      | members   | relaxed | relaxed
 * peak      | owner                      | all       | relaxed | relaxed
 * watermark | owner                      | producers | relaxed | relaxed
 */
struct tapio_shm_cell {
	uint64_t head;
	struct tapio_shm_tally tally[2];
	uint64_t next;  /* position up to which events were handed out */
	uint32_t owner; /* attachment that may write here; 0: free */
	uint32_t beat;  /* changes with each look of its owner, in one cell */
	uint32_t peak;  /* most positions found unread at once */
	uint32_t watermark; /* unread positions to ring for; 0, 1: the first */
};
TAPIO_ASSERT_SIZE(tapio_shm_cell, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, head, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, tally, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, next, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, owner, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, beat, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, peak, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_cell, watermark, 60);

/* One for the holder, the others for former holders that sleep. */
#define TAPIO_CELLS 3

/* tapio_shm_cursor.faults: what readers found to be impossible. They stay set. */
#define TAPIO_CURSOR_BAD_STATE      UINT32_C(1) /* of the lane */
#define TAPIO_CURSOR_BAD_DESCRIPTOR UINT32_C(2)

/*
 * One group on one lane. Line 0 changes when the lane changes hands, and each
 * cell is a line of its own.
 *
 * lease = holder:32 | cell:2 << 32 | flags:2 << 34 | epoch:28 << 36. The epoch
 * grows with each change of hands, so that no word comes back and a swap by
 * somebody who slept meanwhile fails.
 *
 * field     | writer                     | reader    | store   | load
 * lease     | members (cas), broker (cas)| all       | acq_rel | acquire
 * start     | broker, before the answer  | all       | plain   | plain
 * want      | members                    | holder    | relaxed | relaxed
 * faults    | members (or)               | all       | relaxed | relaxed
 * takeovers | members (add)              | all       | relaxed | relaxed
 */
struct tapio_shm_cursor {
	uint64_t lease;
	uint64_t start;     /* position at which the group began */
	uint32_t want;      /* non-zero: a member asks for this lane */
	uint32_t faults;    /* TAPIO_CURSOR_* */
	uint32_t takeovers; /* leases taken from members that slept */
	uint32_t reserved0;
	uint64_t reserved1[4];
	struct tapio_shm_cell cells[TAPIO_CELLS];
};
TAPIO_ASSERT_SIZE(tapio_shm_cursor, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, lease, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, start, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, want, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, faults, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, takeovers, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, reserved0, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, reserved1, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_cursor, cells, 64);

/* The lease word. The cell is below TAPIO_CELLS in an honest one. */
#define TAPIO_LEASE_ASKED      (UINT64_C(1) << 34) /* a member wants it */
#define TAPIO_LEASE_MOVING     (UINT64_C(1) << 35) /* to another cell */
#define TAPIO_LEASE_EPOCH_MASK UINT64_C(0xfffffff)
#define TAPIO_LEASE(holder, cell, flags, epoch)                  \
	((uint64_t)(uint32_t)(holder) | (uint64_t)(cell) << 32 | \
	 (uint64_t)(flags) | ((uint64_t)(epoch)&TAPIO_LEASE_EPOCH_MASK) << 36)
#define TAPIO_LEASE_HOLDER(lease) ((uint32_t)(lease))
#define TAPIO_LEASE_CELL(lease)   ((uint32_t)((lease) >> 32 & 3u))
#define TAPIO_LEASE_EPOCH(lease)  ((uint32_t)((lease) >> 36))

#define TAPIO_INCARNATION_MASK UINT32_C(0x7fff)
#define TAPIO_HEAD(position, incarnation, record)                \
	((uint64_t)(position) << 16 |                            \
	 (uint64_t)((incarnation)&TAPIO_INCARNATION_MASK) << 1 | \
	 (uint64_t)((record)&1u))
#define TAPIO_HEAD_POSITION(head) ((uint64_t)(head) >> 16)
#define TAPIO_HEAD_INCARNATION(head) \
	((uint32_t)((head) >> 1) & TAPIO_INCARNATION_MASK)
#define TAPIO_HEAD_RECORD(head) ((uint32_t)((head)&1u))

/*
 * How long a group's events took from their stamp to the call that handed them
 * out, in nanoseconds, with three significant digits. Buckets are 1 ns wide below
 * 512 and 1/512 of their power of two above; the last one also holds what is
 * larger. The middle of a bucket is less than 0.1 % from all that is in it.
 *
 * A bucket counts events. When one would pass 2^31 its writer halves all of them,
 * so that they keep their proportions, and counts that in `halvings`.
 *
 * field      | writer  | reader | store   | load
 * everything | members | all    | relaxed | relaxed
 *
 * Members write with plain stores and no order between them: two that write one
 * bucket in the same instant may lose one of the two additions. It is a
 * measurement; what is promised is in the cursors. The broker clears it while the
 * slot is FREE.
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

/* tapio_shm_broker.features: what this kernel allows */
#define TAPIO_FEATURE_MEMBARRIER UINT32_C(1)
#define TAPIO_FEATURE_HUGETLB    UINT32_C(2)
#define TAPIO_FEATURE_MBIND      UINT32_C(4)
#define TAPIO_FEATURE_IO_URING   UINT32_C(8)
#define TAPIO_FEATURE_PIDFD      UINT32_C(16)

/* Verdicts of the rseq self-test, in the catalog and per attachment. */
#define TAPIO_RSEQ_UNKNOWN      0 /* not run */
#define TAPIO_RSEQ_PROVEN       1 /* an abort was seen, none was missed */
#define TAPIO_RSEQ_ABSENT       2 /* this thread's libc or kernel has none */
#define TAPIO_RSEQ_BROKEN       3 /* a section went on across a preemption */
#define TAPIO_RSEQ_INCONCLUSIVE 4 /* no abort within the time allowed */

/* TSC to CLOCK_REALTIME: ns = base_ns + ((tsc - base_tsc) * mult >> shift). */
struct tapio_shm_calibration {
	uint64_t base_tsc;
	uint64_t base_ns; /* CLOCK_REALTIME */
	uint64_t mult;    /* 0: not calibrated */
	uint32_t shift;
	uint32_t error_ns; /* of the pair that base was taken from */
};
TAPIO_ASSERT_SIZE(tapio_shm_calibration, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, base_tsc, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, base_ns, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, mult, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, shift, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_calibration, error_ns, 28);

/*
 * The broker itself. Single words are stored with release and loaded with
 * acquire; the calibration is two copies and the index of the one that counts.
 */
struct tapio_shm_broker {
	uint32_t attachment; /* id of this run, used by its sweeps */
	uint32_t state;      /* TAPIO_BROKER_* */
	uint64_t pid;
	uint64_t start_time_ticks; /* /proc/PID/stat, field 22 */
	uint8_t boot_id[16];
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint64_t budget_bytes;
	uint64_t used_bytes;
	uint32_t features;     /* TAPIO_FEATURE_* */
	uint32_t rseq_verdict; /* TAPIO_RSEQ_*, of this boot */
	uint32_t cpus_possible;
	uint32_t nodes;
	uint32_t clients_max;
	uint32_t calibration_index;
	struct tapio_shm_calibration calibration[2];
	char version[32];
	char rseq_reason[64];
	/* counters, each in what its name says; relaxed */
	uint64_t hellos;
	uint64_t attaches;
	uint64_t refusals;
	uint64_t protocol_errors;
	uint64_t deaths;
	uint64_t closes;
	uint64_t sweeps;
	uint64_t swept_blocks;
	uint64_t leases_cleared;
	uint64_t evictions;
	uint64_t suspicions; /* looks that found a group impossible */
	uint64_t reserved[14];
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
TAPIO_ASSERT_OFFSET(tapio_shm_broker, calibration_index, 84);
TAPIO_ASSERT_OFFSET(tapio_shm_broker, calibration, 88);
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
TAPIO_ASSERT_OFFSET(tapio_shm_broker, reserved, 336);

#define TAPIO_ROLE_PRODUCE 1
#define TAPIO_ROLE_CONSUME 2
#define TAPIO_ROLE_INSPECT 3

#define TAPIO_ATTACHMENT_FREE  0
#define TAPIO_ATTACHMENT_ALIVE 1
#define TAPIO_ATTACHMENT_DEAD  2 /* being swept */

/*
 * One attachment. The broker fills a FREE record and stores `state` last, with
 * release; a reader that finds another `id` after its copy than before it
 * throws the copy away.
 */
struct tapio_shm_attachment {
	uint32_t state; /* TAPIO_ATTACHMENT_* */
	uint32_t id;
	uint32_t role; /* TAPIO_ROLE_* */
	uint32_t channel;
	uint32_t group_slot; /* consumers; else ~0 */
	uint32_t rseq_verdict;
	uint32_t pid; /* in the broker's PID namespace; 0: not visible there */
	uint32_t uid;
	uint32_t gid;
	uint32_t reserved0;
	uint64_t start_time_ticks;
	uint64_t attached_ns; /* CLOCK_REALTIME */
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

/* The rungs of memory, best first: index of tapio_shm_segment.rung_errno. */
#define TAPIO_RUNG_HUGETLB 0 /* memfd of the hugetlb pool */
#define TAPIO_RUNG_THP     1 /* shmem with MADV_HUGEPAGE */
#define TAPIO_RUNG_PAGES   2 /* shmem, plain pages */
#define TAPIO_RUNGS        4

/* tapio_shm_segment.placement */
#define TAPIO_PLACED_UNCHECKED 0 /* move_pages is not available: see errno */
#define TAPIO_PLACED_VERIFIED  1 /* every page is on the node */
#define TAPIO_PLACED_UNBOUND   2 /* mbind was refused: see errno */
#define TAPIO_PLACED_ELSEWHERE 3 /* misplaced_pages are on other nodes */

/* One segment, as it was really obtained; written before READY of the record. */
struct tapio_shm_segment {
	uint32_t kind;    /* TAPIO_SEGMENT_* */
	uint32_t channel; /* index in CHANNELS */
	uint32_t index;   /* node index or group slot */
	uint32_t node;
	uint64_t length_bytes;
	uint64_t page_bytes; /* 4096 with THP too: see huge_bytes */
	uint64_t huge_bytes; /* of length, backed by huge pages when measured */
	uint32_t rung;       /* TAPIO_RUNG_* that was obtained */
	uint32_t seals;      /* F_SEAL_* as read back */
	int32_t rung_errno
		[TAPIO_RUNGS]; /* why a rung failed; 0: not tried/ok */
	uint32_t placement;    /* TAPIO_PLACED_* */
	int32_t placement_errno;
	uint64_t misplaced_pages;
	uint64_t reserved[5];
	uint32_t reserved1;
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
TAPIO_ASSERT_OFFSET(tapio_shm_segment, reserved, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, reserved1, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_segment, ready, 124);

/* One class of a channel. Classes are sorted: critical first, then by size. */
struct tapio_shm_class {
	char name[16];
	uint32_t block_bytes;
	uint32_t block_count; /* N of a CPU's lane */
	uint32_t side_count;  /* N of a side lane */
	uint32_t side_lanes;
	uint32_t priority; /* 0 is served last; `critical` is 1 or more */
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

#define TAPIO_FULL_DROP 0 /* no block: refuse and count */
#define TAPIO_FULL_WAIT 1 /* no block: wait for one, wait_ns at most */

#define TAPIO_STAMP_NONE  0
#define TAPIO_STAMP_TSC   1 /* read inside the section: monotone per lane */
#define TAPIO_STAMP_CLOCK 2 /* CLOCK_REALTIME, read before the section */

/*
 * One channel. Written before READY but for two words:
 *
 * field       | writer | reader    | store   | load
 * active      | broker | producers | release | relaxed
 * generation  | broker | producers | release | acquire
 *
 * `active` has a bit for each slot that is ACTIVE; it says whose `armed` words to
 * look at. The gate is computed from the slots and `generation`.
 */
struct tapio_shm_channel {
	char name[TAPIO_NAME_BYTES];
	uint32_t class_count;
	uint32_t segment_count; /* nodes */
	uint32_t lane_count;    /* ids 0 .. lane_count - 1 */
	uint32_t full_policy;   /* TAPIO_FULL_* */
	uint64_t wait_ns;
	uint32_t stamp; /* TAPIO_STAMP_* */
	uint32_t flags;
	uint64_t reserved0[3];
	uint32_t reserved1;
	uint32_t ready;
	/* line 2 */
	uint64_t active;
	uint64_t generation;
	uint64_t reserved2[6];
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
TAPIO_ASSERT_OFFSET(tapio_shm_channel, reserved0, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, reserved1, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, ready, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, active, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, generation, 136);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, reserved2, 144);
TAPIO_ASSERT_OFFSET(tapio_shm_channel, classes, 192);

/*
 * A group slot. `slot` is one word, so that whoever computes a gate sees state,
 * policy, incarnation and lag of one moment:
 * state:8 | policy:8 << 8 | incarnation:16 << 16 | lag:32 << 32.
 *
 * `slot` is stored with release and loaded with acquire; the rest is written by
 * the broker while the slot is FREE, but for `members`, and EVICTED in `flags`,
 * which are relaxed.
 */
#define TAPIO_SLOT_FREE   0
#define TAPIO_SLOT_ACTIVE 1
#define TAPIO_SLOT_CLOSED 2 /* ended; its fds are still out, so not reusable */

#define TAPIO_POLICY_LOSSY    0 /* never holds the gate */
#define TAPIO_POLICY_UNTIL    1 /* holds it until `lag` positions behind tail */
#define TAPIO_POLICY_LOSSLESS 2 /* holds it */

#define TAPIO_SLOT(state, policy, incarnation, lag)               \
	((uint64_t)(state) | (uint64_t)(policy) << 8 |            \
	 (uint64_t)((incarnation)&TAPIO_INCARNATION_MASK) << 16 | \
	 (uint64_t)(uint32_t)(lag) << 32)
#define TAPIO_SLOT_STATE(slot)       ((uint32_t)((slot)&0xffu))
#define TAPIO_SLOT_POLICY(slot)      ((uint32_t)((slot) >> 8 & 0xffu))
#define TAPIO_SLOT_INCARNATION(slot) ((uint32_t)((slot) >> 16 & 0x7fffu))
#define TAPIO_SLOT_LAG(slot)         ((uint32_t)((slot) >> 32)) /* 0: N / 2 */

#define TAPIO_GROUP_DURABLE UINT32_C(1) /* stays when its last member leaves */
#define TAPIO_GROUP_EVICTED UINT32_C(2) /* CLOSED for impossible cursors */

struct tapio_shm_group {
	uint64_t slot;
	uint32_t
		admitted; /* incarnation whose first member has got its answer */
	uint32_t flags;   /* TAPIO_GROUP_* */
	uint32_t members; /* attached now; relaxed */
	uint32_t uid;     /* of its creator */
	char name[TAPIO_NAME_BYTES];
	uint64_t joined_ns; /* CLOCK_REALTIME */
	uint64_t reserved[4];
};
TAPIO_ASSERT_SIZE(tapio_shm_group, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_group, slot, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_group, admitted, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_group, flags, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_group, members, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_group, uid, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_group, name, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_group, joined_ns, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_group, reserved, 96);

#endif
