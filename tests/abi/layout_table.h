/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi.h as a program sees it, as a table: sizes, alignments and the values of
 * its macros and functions. Compiled once as C17 and once as C++17 and compared
 * by layout.c.
 */
#ifndef TAPIO_TESTS_LAYOUT_TABLE_H
#define TAPIO_TESTS_LAYOUT_TABLE_H

#include <tapio/abi.h>

struct abi_row {
	const char *name;
	uint64_t value;
};

#ifdef __cplusplus
extern "C" {
#define ABI_ALIGN(type) alignof(type)
#else
#define ABI_ALIGN(type) _Alignof(type)
#endif

/* Each fills in at most ABI_ROWS_MAX rows and says how many. */
#define ABI_ROWS_MAX 128
unsigned int abi_rows_c(struct abi_row *rows);
unsigned int abi_rows_cpp(struct abi_row *rows);

#ifdef __cplusplus
}
#endif

#define ABI_STRUCT(type)                                 \
	{"sizeof " #type, sizeof(struct type)},          \
	{                                                \
		"alignof " #type, ABI_ALIGN(struct type) \
	}
#define ABI_VALUE(expression)                       \
	{                                           \
#expression, (uint64_t)(expression) \
	}

/* clang-format off */
#define ABI_ROWS \
	ABI_STRUCT(tapio_shm_header), \
	ABI_STRUCT(tapio_shm_region), \
	ABI_STRUCT(tapio_shm_doorbell), \
	ABI_STRUCT(tapio_shm_doorbells), \
	ABI_STRUCT(tapio_shm_lane), \
	ABI_STRUCT(tapio_shm_group_control), \
	ABI_STRUCT(tapio_shm_tally), \
	ABI_STRUCT(tapio_shm_cell), \
	ABI_STRUCT(tapio_shm_cursor), \
	ABI_STRUCT(tapio_shm_histogram), \
	ABI_STRUCT(tapio_shm_calibration), \
	ABI_STRUCT(tapio_shm_broker), \
	ABI_STRUCT(tapio_shm_counter), \
	ABI_VALUE(TAPIO_BROKER_COUNTER_COUNT), \
	ABI_VALUE(TAPIO_LANE_DROP_COUNT), \
	ABI_STRUCT(tapio_shm_attachment), \
	ABI_STRUCT(tapio_shm_segment), \
	ABI_STRUCT(tapio_shm_class), \
	ABI_STRUCT(tapio_shm_place), \
	ABI_STRUCT(tapio_shm_span), \
	ABI_STRUCT(tapio_shm_channel), \
	ABI_STRUCT(tapio_shm_group), \
	ABI_VALUE(TAPIO_SEGMENT_MAGIC), \
	ABI_VALUE(TAPIO_SEGMENT_READY), \
	ABI_VALUE(TAPIO_ATTACHMENT_ID(16383, TAPIO_GENERATION_MAX)), \
	ABI_VALUE(TAPIO_ATTACHMENT_INDEX(0xfffffffeu)), \
	ABI_VALUE(TAPIO_ATTACHMENT_GENERATION(0xfffffffeu)), \
	ABI_VALUE(TAPIO_STATE(TAPIO_POSITION_MASK, 0xffff)), \
	ABI_VALUE(TAPIO_STATE_TAIL(UINT64_C(0x123456789abcdef0))), \
	ABI_VALUE(TAPIO_STATE_HELD(UINT64_C(0x123456789abcdef0))), \
	ABI_VALUE(TAPIO_TICKET(0x12345678u, 0x9abcdef0u)), \
	ABI_VALUE(TAPIO_TICKET_OWNER(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_TICKET_PLACE(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_PLACE_ENTERED | TAPIO_PLACE_CLAIMED), \
	ABI_VALUE(TAPIO_DESC_META(65535, 15, 1048512)), \
	ABI_VALUE(TAPIO_DESC_BLOCK(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_DESC_LENGTH(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_DESC_TYPE(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_DESC_SEVERITY(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_DESC_FLAGS(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_HEAD(TAPIO_POSITION_MASK, 0x7fff, 1)), \
	ABI_VALUE(TAPIO_HEAD_POSITION(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_HEAD_INCARNATION(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_HEAD_RECORD(UINT64_C(0xfedcba9876543211))), \
	ABI_VALUE(TAPIO_LEASE(0xfffffffeu, 2, TAPIO_LEASE_MOVING, 0xffffffffu)), \
	ABI_VALUE(TAPIO_CELL_OWNER(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_CELL_TAKE(UINT64_C(0xfedcba9876543210), 7u)), \
	ABI_VALUE(TAPIO_LEASE_HOLDER(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_LEASE_CELL(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_LEASE_EPOCH(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_LOSSLESS, \
			     0xffff, 0xfffffffeu)), \
	ABI_VALUE(TAPIO_SLOT_STATE(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_SLOT_POLICY(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_SLOT_INCARNATION(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(TAPIO_SLOT_LAG(UINT64_C(0xfedcba9876543210))), \
	ABI_VALUE(tapio_position_diff(1, TAPIO_POSITION_MASK)), \
	ABI_VALUE(tapio_position_diff(TAPIO_POSITION_MASK, 1)), \
	ABI_VALUE(tapio_position_diff(UINT64_C(1) << 47, 0))
/* clang-format on */

#endif
