/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How rows of the event tables are written (event_table_*.c) and where the
 * tables are. event_registry.c looks things up in them.
 *
 * A table's file defines S, the struct that its rows are about, before each
 * table. A row whose kind has another size than its member does not compile.
 */
#ifndef TPI_EVENT_TABLE_H
#define TPI_EVENT_TABLE_H

#include <tapio/event.h>

#define TPI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Bytes of a member of each kind. 0: the member's own affair. */
enum {
	TPI_BYTES_U8 = 1,
	TPI_BYTES_U16 = 2,
	TPI_BYTES_U32 = 4,
	TPI_BYTES_U64 = 8,
	TPI_BYTES_I32 = 4,
	TPI_BYTES_I64 = 8,
	TPI_BYTES_F64 = 8,
	TPI_BYTES_BOOL = 1,
	TPI_BYTES_ENUM8 = 1,
	TPI_BYTES_ENUM16 = 2,
	TPI_BYTES_ENUM32 = 4,
	TPI_BYTES_FLAGS16 = 2,
	TPI_BYTES_TYPE = 2,
	TPI_BYTES_TIME = 8,
	TPI_BYTES_IP = 20,
	TPI_BYTES_ID = 0,
	TPI_BYTES_STRING = 4,
	TPI_BYTES_BYTES = 4,
	TPI_BYTES_ATTRIBUTES = 4,
};

#define TPI_MEMBER_BYTES(member) sizeof(((struct S *)0)->member)
/* The size of a member, checked against its kind. */
#define TPI_CHECKED_BYTES(member, k)                                      \
	(TPI_MEMBER_BYTES(member) +                                       \
	 0 * sizeof(char[TPI_BYTES_##k == 0 ||                            \
					 TPI_BYTES_##k ==                 \
						 TPI_MEMBER_BYTES(member) \
				 ? 1                                      \
				 : -1]))

#define TPI_ROW(title, member, k, u, unit_, attribute_, metric_, names_,       \
		name_count_, summary_)                                         \
	{                                                                      \
		.name = title, .unit = unit_, .attribute = attribute_,         \
		.metric = metric_, .summary = summary_, .names = names_,       \
		.name_count = name_count_,                                     \
		.offset = offsetof(struct S, member), .kind = TAPIO_FIELD_##k, \
		.bytes = TPI_CHECKED_BYTES(member, k),                         \
		.unset = TAPIO_UNSET_##u,                                      \
	}

/* A plain field. One under another name. One with names for its values. */
#define TPI_FIELD(member, k, u, unit, attribute, metric, summary)        \
	TPI_ROW(#member, member, k, u, unit, attribute, metric, NULL, 0, \
		summary)
#define TPI_TITLED(title, member, k, u, unit, attribute, summary) \
	TPI_ROW(title, member, k, u, unit, attribute, NULL, NULL, 0, summary)
#define TPI_NAMED(member, k, u, names, attribute, summary)         \
	TPI_ROW(#member, member, k, u, "", attribute, NULL, names, \
		TPI_COUNT(names), summary)

#define TPI_TYPE(number, title, s, table, summary_)               \
	{                                                         \
		.type = number, .fields_bytes = sizeof(struct s), \
		.field_count = TPI_COUNT(table), .name = title,   \
		.summary = summary_, .fields = table,             \
	}

/* One array of types per family, in the order of their numbers. */
struct tpi_event_family {
	const struct tapio_event_type *types;
	uint32_t count;
};

extern const struct tpi_event_family tpi_event_processes;
extern const struct tpi_event_family tpi_event_resources;
extern const struct tpi_event_family tpi_event_network;
extern const struct tpi_event_family tpi_event_records;
extern const struct tapio_event_type tpi_event_header;

/* Severities by number: their names, and OpenTelemetry's numbers for them. */
#define TPI_SEVERITIES 10
extern const struct tapio_event_name tpi_severity_names[TPI_SEVERITIES];
extern const uint8_t tpi_severity_numbers[TPI_SEVERITIES];

#endif
