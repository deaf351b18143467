/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the rules, and findings as text. tapio-shmstat(1) has the same table. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect/check.h"

#define CATALOG   "memory.md"
#define LANE      "lane.md"
#define CONSUMING "consuming.md"
#define BROKER    "broker.md"

static const struct {
	const char *name;
	const char *text;
	const char *page;
} rules[TPI_RULES] = {
	[TPI_RULE_CATALOG_HEADER] = {"catalog.header",
				     "magic, READY, version, length and "
				     "regions are what a catalog has",
				     CATALOG},
	[TPI_RULE_CATALOG_REGIONS] = {"catalog.regions",
				      "header and regions lie apart", CATALOG},
	[TPI_RULE_CHANNEL_RECORD] = {"channel.record",
				     "description, state and places are in "
				     "range, inside their segments and aligned",
				     CATALOG},
	[TPI_RULE_CHANNEL_PLACES] =
		{"channel.places",
		 "the parts of a segment lie apart, and so do "
		 "the places of channels",
		 CATALOG},
	[TPI_RULE_CHANNEL_GENERATION] = {"channel.generation",
					 "the generation only grows", LANE},
	[TPI_RULE_SEGMENT_RECORD] =
		{"segment.record",
		 "each segment has one record, in range, and "
		 "its channel is there",
		 CATALOG},
	[TPI_RULE_SEGMENT_FILE] = {"segment.file",
				   "length, seals and mode of the file are "
				   "those of the record, and a descriptor that "
				   "was handed out only reads",
				   CATALOG},
	[TPI_RULE_SEGMENT_MISSING] = {"segment.missing",
				      "each segment of a channel is found",
				      CATALOG},
	[TPI_RULE_BROKER_RECORD] = {"broker.record",
				    "state, id and verdict are ones that exist",
				    BROKER},
	[TPI_RULE_BROKER_COUNTERS] = {"broker.counters",
				      "the broker's counters only grow",
				      BROKER},
	[TPI_RULE_BROKER_CLOCK] = {"broker.clock",
				   "the bases of calibrations only grow",
				   CATALOG},
	[TPI_RULE_BROKER_GONE] = {"broker.gone",
				  "a broker that did not stop is there",
				  BROKER},
	[TPI_RULE_CLIENT_RECORD] = {"client.record",
				    "id, role, channel and slot of an "
				    "attachment are in range, the id has the "
				    "record's index, and the channel is there",
				    BROKER},
	[TPI_RULE_CLIENT_GONE] = {"client.gone",
				  "an attachment ends with its process",
				  BROKER},
	[TPI_RULE_LANE_HELD] = {"lane.held",
				"at most half of the blocks are held", LANE},
	[TPI_RULE_LANE_TAIL] = {"lane.tail", "the tail only grows", LANE},
	[TPI_RULE_LANE_GATE] = {"lane.gate",
				"the gate only grows, and stays behind the "
				"tail",
				LANE},
	[TPI_RULE_LANE_REAP] = {"lane.reap", "reap stays behind the gate",
				LANE},
	[TPI_RULE_LANE_OWNER] = {"lane.owner",
				 "a side lane's owner is a producer of the "
				 "channel, or the broker",
				 LANE},
	[TPI_RULE_LANE_DROPPED] = {"lane.dropped",
				   "counts of refusals only grow", LANE},
	[TPI_RULE_RING_BLOCK] = {"ring.block",
				 "descriptors in the ring name blocks of the "
				 "lane",
				 LANE},
	[TPI_RULE_RING_TWICE] = {"ring.twice", "no block is in the ring twice",
				 LANE},
	[TPI_RULE_RING_PLACE] = {"ring.place",
				 "the ticket of a block in the ring that bears "
				 "an owner says where it lies",
				 LANE},
	[TPI_RULE_RING_HOLDER] = {"ring.holder",
				  "a block out of the ring is held by a "
				  "producer of the channel or the broker, or "
				  "abandoned",
				  LANE},
	[TPI_RULE_RING_STEADY] = {"ring.steady",
				  "the ring can be read while it turns", LANE},
	[TPI_RULE_SLOT_WORD] = {"slot.word",
				"state, policy and lag are ones that exist",
				BROKER},
	[TPI_RULE_SLOT_RECORD] = {"slot.record",
				  "flags are known, the name ends, and the "
				  "policy in force follows from the group's",
				  BROKER},
	[TPI_RULE_SLOT_ACTIVE] = {"slot.active",
				  "`active` has the bits of the slots that are "
				  "ACTIVE",
				  BROKER},
	[TPI_RULE_SLOT_ADMITTED] = {"slot.admitted",
				    "a group that joins is admitted",
				    CONSUMING},
	[TPI_RULE_SLOT_POLICY] = {"slot.policy",
				  "a lossless group is lossless while it has "
				  "members",
				  BROKER},
	[TPI_RULE_SLOT_MEMBERS] = {"slot.members",
				   "a group has as many members as attachments "
				   "are in it",
				   BROKER},
	[TPI_RULE_SLOT_EPOCH] = {"slot.epoch",
				 "slot and segment agree about the epoch of "
				 "the memory",
				 CATALOG},
	[TPI_RULE_SLOT_BELL] = {"slot.bell",
				"no announcement is answered before it is made",
				CONSUMING},
	[TPI_RULE_SLOT_MISSING] = {"slot.missing",
				   "the cursors of an ACTIVE slot are had",
				   CATALOG},
	[TPI_RULE_CURSOR_GATE] = {"cursor.gate",
				  "the gate has not passed a group that holds "
				  "it",
				  CONSUMING},
	[TPI_RULE_CURSOR_HEAD] = {"cursor.head",
				  "a head is not beyond the tail", CONSUMING},
	[TPI_RULE_CURSOR_START] = {"cursor.start",
				   "a head is not before the group's start",
				   CONSUMING},
	[TPI_RULE_CURSOR_TALLY] = {"cursor.tally",
				   "no more was skipped and lost than released",
				   CONSUMING},
	[TPI_RULE_CURSOR_INCARNATION] = {"cursor.incarnation",
					 "heads are of the group that has the "
					 "slot",
					 CONSUMING},
	[TPI_RULE_CURSOR_BACK] = {"cursor.back", "a head only grows",
				  CONSUMING},
	[TPI_RULE_CURSOR_FOUND] = {"cursor.found",
				   "no member has found an impossible state or "
				   "descriptor",
				   CONSUMING},
	[TPI_RULE_CURSOR_LEASE] = {"cursor.lease",
				   "a lease names one of the cells", CONSUMING},
	[TPI_RULE_CURSOR_HOLDER] = {"cursor.holder",
				    "leases and cells are held by members of "
				    "the group",
				    CONSUMING},
	[TPI_RULE_CURSOR_CELL] = {"cursor.cell",
				  "the cell that counts is in use", CONSUMING},
	[TPI_RULE_CURSOR_STEADY] = {"cursor.steady",
				    "a cursor can be read while it moves",
				    CONSUMING},
	[TPI_RULE_HISTOGRAM] = {"histogram.bucket",
				"a bucket is halved before it overflows",
				CONSUMING},
};

const char *tpi_rule_name(enum tpi_rule rule)
{
	return rules[rule].name;
}

const char *tpi_rule_text(enum tpi_rule rule)
{
	return rules[rule].text;
}

const char *tpi_rule_page(enum tpi_rule rule)
{
	return rules[rule].page;
}

const char *tpi_severity_name(enum tpi_severity severity)
{
	static const char *const names[] = {"broken", "suspicious",
					    "unsettled"};

	return names[severity];
}

__attribute__((format(printf, 4, 5))) static void
append(char *text, size_t bytes, size_t *at, const char *format, ...)
{
	va_list args;
	int n;

	if (*at >= bytes)
		return;
	va_start(args, format);
	n = vsnprintf(text + *at, bytes - *at, format, args);
	va_end(args);
	*at += n > 0 ? (size_t)n : 0;
}

static void append_where(const struct tpi_inspect *inspect,
			 const struct tpi_where *w, char *text, size_t bytes,
			 size_t *at)
{
	struct tapio_shm_channel info;
	const char *comma = "";

	if (w->segment != TPI_NONE) {
		append(text, bytes, at, "segment %" PRIu32, w->segment);
		comma = ", ";
	}
	if (w->channel != TPI_NONE) {
		/* The name is checked there: it is printable and ends. */
		if (tpi_channel_look(&inspect->catalog, w->channel, &info, NULL,
				     0))
			strcpy(info.name, "?");
		append(text, bytes, at, "%schannel %" PRIu32 " (%s)", comma,
		       w->channel, info.name);
		comma = ", ";
	}
	if (w->lane != TPI_NONE)
		append(text, bytes, at, "%slane %" PRIu32, comma, w->lane);
	if (w->slot != TPI_NONE)
		append(text, bytes, at, ", slot %" PRIu32, w->slot);
	if (w->attachment != TPI_NONE)
		append(text, bytes, at, "%sattachment %" PRIu32, comma,
		       w->attachment);
}

void tpi_finding_print(const struct tpi_inspect *inspect,
		       const struct tpi_finding *f, char *text, size_t bytes)
{
	const char *before = ": ";
	size_t at = 0, start;

	append(text, bytes, &at, "%s %s: ", tpi_rule_name(f->rule),
	       tpi_severity_name(f->severity));
	start = at;
	append_where(inspect, &f->where, text, bytes, &at);
	if (at == start)
		before = "";
	for (int i = 0; f->numbers[i].name; i++) {
		append(text, bytes, &at, "%s%s %" PRIu64, before,
		       f->numbers[i].name, f->numbers[i].value);
		before = ", ";
	}
	if (*f->why)
		append(text, bytes, &at, "%s%s", before, f->why);
	if (f->more)
		append(text, bytes, &at, ", and %" PRIu64 " more there",
		       f->more);
	append(text, bytes, &at, " (%s: %s)", tpi_rule_page(f->rule),
	       tpi_rule_text(f->rule));
}
