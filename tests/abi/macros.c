/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses every macro with arguments of the public headers. The script `headers`
 * compiles it as C17 and as C++17, since a compiler warns about a cast in a macro
 * where the macro is used, and it checks that no macro is left out.
 */
#include <tapio/broker.h>
#include <tapio/tapio.h>

#define NAME(name, unit, type, meaning, cause, remedy) \
#name ": " unit ": " meaning cause remedy,

uint64_t tapio_tests_macros(const struct tapio_event *event);

uint64_t tapio_tests_macros(const struct tapio_event *event)
{
	uint32_t id = TAPIO_ATTACHMENT_ID(7u, 8);
	uint32_t tag = TAPIO_TAG(1000, 5) | TAPIO_TAG_CLASS(7, 2, 1);
	uint64_t desc = TAPIO_DESC_META(7, 3u, 64);
	uint64_t head = TAPIO_HEAD(1, 2u, 1);
	uint64_t lease = TAPIO_LEASE(7, 2u, TAPIO_LEASE_MOVING, 3);
	uint64_t slot = TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_UNTIL, 1, 2u);
	uint64_t state = TAPIO_STATE(1, 2u);
	uint64_t serving = TAPIO_SERVING(1, 2u);
	uint64_t ticket = TAPIO_TICKET(1, 2u);
	uint64_t sum = TAPIO_EVENT_TAG(event);
	const char *const names[] = {TAPIO_BROKER_COUNTERS(NAME)
					     TAPIO_LANE_DROPS(NAME)};

	sum += sizeof(names) - TAPIO_BROKER_COUNTER_COUNT -
	       TAPIO_LANE_DROP_COUNT;

	sum += TAPIO_SEGMENT_PHASE(6u) + TAPIO_SEGMENT_MEMORY(6u) +
	       TAPIO_SEGMENT_READABLE(6u);
	sum += TAPIO_SERVING_RUN(serving) + TAPIO_SERVING_TID(serving);
	sum += TAPIO_ATTACHMENT_INDEX(id) + TAPIO_ATTACHMENT_GENERATION(id);
	sum += TAPIO_TAG_TYPE(tag) + TAPIO_TAG_SEVERITY(tag);
	sum += TAPIO_DESC_BLOCK(desc) + TAPIO_DESC_LENGTH(desc) +
	       TAPIO_DESC_TYPE(desc) + TAPIO_DESC_SEVERITY(desc) +
	       TAPIO_DESC_FLAGS(desc);
	sum += TAPIO_HEAD_POSITION(head) + TAPIO_HEAD_INCARNATION(head) +
	       TAPIO_HEAD_RECORD(head);
	sum += TAPIO_LEASE_HOLDER(lease) + TAPIO_LEASE_CELL(lease) +
	       TAPIO_LEASE_EPOCH(lease);
	sum += TAPIO_CELL_OWNER(TAPIO_CELL_TAKE(sum, 7)) + TAPIO_CELL_GIVEN;
	sum += TAPIO_SLOT_STATE(slot) + TAPIO_SLOT_POLICY(slot) +
	       TAPIO_SLOT_INCARNATION(slot) + TAPIO_SLOT_LAG(slot);
	sum += TAPIO_STATE_TAIL(state) + TAPIO_STATE_HELD(state);
	sum += TAPIO_TICKET_OWNER(ticket) + TAPIO_TICKET_PLACE(ticket);
	sum += TAPIO_FACILITY(3u) + TAPIO_ABI_READABLE(0u, 1u);
	return sum;
}
