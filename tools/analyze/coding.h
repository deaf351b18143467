/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partial results as events, from a member to a merger, which are on one host. A delta
 * becomes one or more pieces, each an event of type AN_PARTIAL_TYPE whose bytes are
 *
 *	struct an_piece | record | record | ...
 *
 *	record: kind (1 byte), 0 (1 byte), length of what follows (2 bytes), contents
 *
 *	'K'  pane (8), key: the records behind it are of that cell
 *	'O'  pane (8): the cell of keys without room
 *	'C'  count, valued, negative, sum, min, max, cut
 *	'S'  of the spread: bucket (2) and count (8), repeated
 *	'D'  of the distinct: register (2) and rank (1), repeated
 *	'E'  the same of the distinct keys without room
 *	'T'  of the top: count (8), error (8), length (1), bytes, repeated
 *
 * Each piece begins with K or O. Counters of one cell's top may be in several pieces, and
 * are whole only when all are there. A decoder trusts no byte.
 */
#ifndef ANALYZE_CODING_H
#define ANALYZE_CODING_H

#include "tools/analyze/delta.h"

/* An application's own type: "TA". */
#define AN_PARTIAL_TYPE    0x5441
#define AN_PARTIAL_VERSION 1
#define AN_PIECE_LAST      1u
#define AN_PIECE_COVERS    2u
#define AN_PIECE_LEAVES    4u
#define AN_PIECE_RESET     8u
#define AN_PIECE_MOVED     16u
#define AN_PIECE_HOLE      32u
#define AN_PIECE_IDLE      64u
#define AN_PIECE_JOINS     128u
/* The smallest event that holds the longest record. */
#define AN_PIECE_BYTES_MIN 512u

struct an_piece {
	uint32_t magic; /* AN_PARTIAL_TYPE */
	uint16_t version;
	uint16_t flags;
	uint64_t digest; /* of the spec */
	uint64_t member;
	uint64_t sequence;
	uint32_t number; /* of the piece, from 0 */
	uint32_t length; /* of the piece, in bytes */
	uint32_t lane;
	uint32_t reserved; /* 0 */
	uint64_t first;
	uint64_t last;
	uint64_t events;
	uint64_t passed;
	uint64_t future;
	uint64_t untimed;
	uint64_t lost;
	uint64_t gaps;
	uint64_t group_lost;
	int64_t lost_from_ns;
	int64_t lost_to_ns;
	int64_t began_ns;
	int64_t watermark_ns;
};

/* Gets one piece. 0, or an error that ends the encoding. */
typedef int an_piece_fn(void *arg, const void *bytes, uint32_t length);

/* In pieces of at most `max` bytes, AN_PIECE_BYTES_MIN or more. The callback's error. */
int an_delta_encode(const struct an_delta *delta, const struct an_spec *spec,
		    uint32_t max, an_piece_fn *piece, void *arg);

/* ---- the other end --------------------------------------------------------- */

struct an_decoder {
	const struct an_spec *spec;
	struct an_budget *budget;
	uint64_t digest;
	struct an_delta delta; /* as far as it is there */
	uint32_t next;         /* the piece that must come */
};

#define AN_DECODED 1 /* the delta is whole */

/*
 * Adds a piece. 0: more must come. -ENODATA: the pieces before it are missing, and what
 * there is is thrown away. A first piece begins anew: the delta before it had no end, as
 * its member was killed, and its events come again. -EBADMSG: impossible.
 * -EPROTONOSUPPORT: another version. -ESTALE: a member of an analysis with other options. -ENOMEM.
 */
int an_decoder_take(struct an_decoder *d, const void *bytes, size_t length);
void an_decoder_free(struct an_decoder *d);

/* The member of a piece, so that its decoder can be found. False: it is no piece. */
bool an_piece_member(const void *bytes, size_t length, uint64_t *member);

#endif
