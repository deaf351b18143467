/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed events: a header that all collectors share, and typed payloads.
 *
 * The bytes that a program gives to tapio_output():
 *
 *	+--------------------+ 0
 *	| struct tapio_event |            who, when, what, how bad
 *	+--------------------+ header_bytes
 *	| fields             |            struct tapio_event_* of that type
 *	+--------------------+ + fields_bytes
 *	| u32 strings_bytes  |            length of the string area
 *	+--------------------+ + 4
 *	| string area        |            the fields' strings lie here
 *	+--------------------+ + strings_bytes
 *	| (later versions)   |
 *	+--------------------+ header_bytes + payload_bytes
 *
 * The id of an event is (lane, position): it comes with the reader's view and
 * is not stored.
 *
 *	TAPIO_EVENT_ALIGNED char buffer[512];
 *	struct tapio_event_builder b;
 *	struct tapio_event_process_start *p;
 *
 *	tapio_event_builder_init(&b, buffer, sizeof(buffer),
 *				 TAPIO_EVENT_PROCESS_START);
 *	b.event->pid = pid;
 *	p = b.fields;
 *	p->ppid = ppid;
 *	tapio_event_builder_string(&b, &p->comm, comm, strlen(comm));
 *	length = tapio_event_builder_finish(&b);
 *	if (length > 0)
 *		tapio_output(producer, TAPIO_EVENT_TAG(b.event), buffer, length);
 *
 * The functions here do not allocate, lock or keep state, so any thread MAY
 * call them. Each group says whether signal handlers MAY. Reading trusts no
 * byte: an event may lie in memory that its producer still writes.
 */
#ifndef TAPIO_EVENT_H
#define TAPIO_EVENT_H

#include <tapio/common.h>
#include <tapio/event_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the header ----------------------------------------------------------- */

#define TAPIO_EVENT_MAGIC   0x4554 /* "TE" */
#define TAPIO_EVENT_VERSION 1

/* Severities. Larger is worse. In brackets: OpenTelemetry's severity number. */
#define TAPIO_SEVERITY_UNSET     0  /* (0) */
#define TAPIO_SEVERITY_TRACE     1  /* (1) */
#define TAPIO_SEVERITY_DEBUG     2  /* (5) */
#define TAPIO_SEVERITY_INFO      3  /* (9) */
#define TAPIO_SEVERITY_NOTICE    4  /* (10) */
#define TAPIO_SEVERITY_WARNING   5  /* (13) */
#define TAPIO_SEVERITY_ERROR     6  /* (17) */
#define TAPIO_SEVERITY_CRITICAL  7  /* (18) */
#define TAPIO_SEVERITY_ALERT     8  /* (19) */
#define TAPIO_SEVERITY_EMERGENCY 9  /* (21) */
#define TAPIO_SEVERITY_MAX       15 /* 10 to 15: for later versions */

/* Where an event was found. From 65536 on: an application's own numbers. */
#define TAPIO_SOURCE_UNSET       0
#define TAPIO_SOURCE_APPLICATION 1
#define TAPIO_SOURCE_PROC        2 /* /proc and /sys */
#define TAPIO_SOURCE_EBPF        3
#define TAPIO_SOURCE_JOURNALD    4
#define TAPIO_SOURCE_SYSLOG      5
#define TAPIO_SOURCE_KMSG        6
#define TAPIO_SOURCE_AUDIT       7
#define TAPIO_SOURCE_FANOTIFY    8
#define TAPIO_SOURCE_NETLINK     9
#define TAPIO_SOURCE_PERF        10
#define TAPIO_SOURCE_SYSTEMD     11
#define TAPIO_SOURCE_CONTAINERS  12 /* a container runtime */
#define TAPIO_SOURCE_KUBERNETES  13
#define TAPIO_SOURCE_OTLP        14
#define TAPIO_SOURCE_CUSTOM_MIN  65536

/* tapio_event.flags */
#define TAPIO_EVENT_TRUNCATED     0x1 /* a string was cut to fit */
#define TAPIO_EVENT_EXISTING      0x2 /* a state found at start, not a change */
#define TAPIO_EVENT_TRACE_SAMPLED 0x4 /* the trace's own flag */

#define TAPIO_UID_UNSET UINT32_C(0xffffffff) /* and GID */

/*
 * The header. A reader MUST refuse another `version`. A later release MAY make
 * the header longer (header_bytes) and give meaning to `reserved`, which MUST
 * be zero.
 */
struct tapio_event {
	uint16_t magic;   /* TAPIO_EVENT_MAGIC */
	uint8_t version;  /* TAPIO_EVENT_VERSION */
	uint8_t severity; /* TAPIO_SEVERITY_* */
	uint16_t type;    /* TAPIO_EVENT_* */
	uint16_t flags;   /* TAPIO_EVENT_* */
	uint16_t header_bytes;
	uint16_t fields_bytes;
	uint32_t payload_bytes; /* all bytes behind the header */
	uint64_t time_ns;       /* of the event: CLOCK_REALTIME (0: unset) */
	uint64_t observed_ns;   /* when the collector saw it */
	uint8_t trace_id[16];   /* as in W3C trace context (0: unset) */
	uint8_t span_id[8];
	uint64_t cgroup_id;   /* inode of its directory (0: unset) */
	uint64_t netns_inode; /* 0: unset */
	uint32_t source;      /* TAPIO_SOURCE_* */
	uint32_t pid;         /* of the process it is about (0: unset) */
	uint32_t tid;
	uint32_t uid; /* TAPIO_UID_UNSET: unset */
	uint32_t gid;
	uint32_t reserved;
};
TAPIO_ASSERT_SIZE(tapio_event, 96);
TAPIO_ASSERT_OFFSET(tapio_event, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_event, version, 2);
TAPIO_ASSERT_OFFSET(tapio_event, severity, 3);
TAPIO_ASSERT_OFFSET(tapio_event, type, 4);
TAPIO_ASSERT_OFFSET(tapio_event, flags, 6);
TAPIO_ASSERT_OFFSET(tapio_event, header_bytes, 8);
TAPIO_ASSERT_OFFSET(tapio_event, fields_bytes, 10);
TAPIO_ASSERT_OFFSET(tapio_event, payload_bytes, 12);
TAPIO_ASSERT_OFFSET(tapio_event, time_ns, 16);
TAPIO_ASSERT_OFFSET(tapio_event, observed_ns, 24);
TAPIO_ASSERT_OFFSET(tapio_event, trace_id, 32);
TAPIO_ASSERT_OFFSET(tapio_event, span_id, 48);
TAPIO_ASSERT_OFFSET(tapio_event, cgroup_id, 56);
TAPIO_ASSERT_OFFSET(tapio_event, netns_inode, 64);
TAPIO_ASSERT_OFFSET(tapio_event, source, 72);
TAPIO_ASSERT_OFFSET(tapio_event, pid, 76);
TAPIO_ASSERT_OFFSET(tapio_event, tid, 80);
TAPIO_ASSERT_OFFSET(tapio_event, uid, 84);
TAPIO_ASSERT_OFFSET(tapio_event, gid, 88);
TAPIO_ASSERT_OFFSET(tapio_event, reserved, 92);

/* The tag for tapio_output() of an event that was built. */
#define TAPIO_EVENT_TAG(event) TAPIO_TAG((event)->type, (event)->severity)

/* ---- building ---------------------------------------------------------------
 *
 * Signal handlers MAY call all of it.
 */

#define TAPIO_EVENT_ALIGNED __attribute__((aligned(8)))

struct tapio_event_builder {
	struct tapio_event *event; /* the header, to fill in */
	void *fields;              /* the struct of its type, to fill in */
	char *strings;             /* private from here on */
	uint32_t strings_bytes;
	uint32_t strings_room;
	int32_t error;
	uint16_t type;
	uint16_t fields_bytes;
};

/*
 * Begins an event in `buffer`, which MUST be aligned to 8 bytes: severity
 * INFO, time and all fields unset.
 *
 *   errno     | cause                                  | remedy
 *   -EINVAL   | a misaligned buffer, or a type that is | TAPIO_EVENT_ALIGNED, or
 *             | not in the table                       | init_custom
 *   -EMSGSIZE | `capacity` is less than an event of    | a larger buffer
 *             | this type without strings              |
 *
 * After an error `event` and `fields` are NULL, strings are refused, and
 * finish returns the same error.
 */
TAPIO_API int tapio_event_builder_init(struct tapio_event_builder *b,
				       void *buffer, size_t capacity,
				       uint16_t type);

/*
 * The same for an application's own type, with `fields_bytes` zero bytes of
 * fields: a multiple of 8, at most TAPIO_EVENT_FIELDS_MAX. The type MUST NOT
 * be in the table (-EINVAL).
 */
TAPIO_API int tapio_event_builder_init_custom(struct tapio_event_builder *b,
					      void *buffer, size_t capacity,
					      uint16_t type,
					      size_t fields_bytes);

/*
 * Stores a string (any bytes, without a final NUL) and makes `field`, one of
 * the fields, refer to it. -EMSGSIZE: there is no room. The field stays unset
 * then, and finish returns the same error.
 */
TAPIO_API int tapio_event_builder_string(struct tapio_event_builder *b,
					 struct tapio_event_string *field,
					 const char *string, size_t length);

/*
 * Stores at most `max` bytes of a string, and no more than there is room for.
 * A cut falls between characters of UTF-8 and sets TAPIO_EVENT_TRUNCATED.
 * Returns the number of bytes stored, or an earlier error.
 */
TAPIO_API int tapio_event_builder_string_max(struct tapio_event_builder *b,
					     struct tapio_event_string *field,
					     const char *string, size_t length,
					     size_t max);

/*
 * Appends a key and its value to `field`, which is of kind ATTRIBUTES. All
 * attributes of a field MUST be appended before another string is stored
 * (-EINVAL). -EMSGSIZE: there is no room. Finish returns the same error.
 */
TAPIO_API int tapio_event_builder_attribute(struct tapio_event_builder *b,
					    struct tapio_event_string *field,
					    const char *key, size_t key_length,
					    const char *value,
					    size_t value_length);

/*
 * The same with as much of the value as there is room for, and without the
 * attribute if there is no room for its key. A cut falls between characters of
 * UTF-8. A cut or a left out attribute sets TAPIO_EVENT_TRUNCATED. Returns 0, or
 * an earlier error.
 */
TAPIO_API int
tapio_event_builder_attribute_max(struct tapio_event_builder *b,
				  struct tapio_event_string *field,
				  const char *key, size_t key_length,
				  const char *value, size_t value_length);

/*
 * Completes the event and returns its length in bytes, or the first error of
 * the calls before. An unset time_ns becomes now, and so does an unset
 * observed_ns.
 */
TAPIO_API int tapio_event_builder_finish(struct tapio_event_builder *b);

/* Addresses from network order: 4 bytes of IPv4, 16 of IPv6. */
TAPIO_API void tapio_event_ip4(struct tapio_event_ip *ip, const void *bytes);
TAPIO_API void tapio_event_ip6(struct tapio_event_ip *ip, const void *bytes);

/* ---- the registry -----------------------------------------------------------
 *
 * Tables in the library, valid while it is loaded. Signal handlers MAY call
 * all of it. The structs grow at their end, so a program MUST NOT keep copies
 * or arrays of them.
 */

/* Kinds of fields. In brackets the member of tapio_event_value that holds it. */
#define TAPIO_FIELD_U8         1  /* (u64) */
#define TAPIO_FIELD_U16        2  /* (u64) */
#define TAPIO_FIELD_U32        3  /* (u64) */
#define TAPIO_FIELD_U64        4  /* (u64) */
#define TAPIO_FIELD_I32        5  /* (i64) */
#define TAPIO_FIELD_I64        6  /* (i64) */
#define TAPIO_FIELD_F64        7  /* (f64) */
#define TAPIO_FIELD_BOOL       8  /* (u64) 0 or 1 */
#define TAPIO_FIELD_ENUM8      9  /* (u64, name) */
#define TAPIO_FIELD_ENUM16     10 /* (u64, name) */
#define TAPIO_FIELD_ENUM32     11 /* (u64, name) */
#define TAPIO_FIELD_FLAGS16    12 /* (u64) named bits */
#define TAPIO_FIELD_TYPE       13 /* (u64, name) a type of event */
#define TAPIO_FIELD_TIME       14 /* (u64) ns since 1970 */
#define TAPIO_FIELD_IP         15 /* (ip) */
#define TAPIO_FIELD_ID         16 /* (data, length) fixed, in the view */
#define TAPIO_FIELD_STRING     17 /* (data, length) */
#define TAPIO_FIELD_BYTES      18 /* (data, length) */
#define TAPIO_FIELD_ATTRIBUTES 19 /* (data, length) */

/* Which value of a field means "not known". */
#define TAPIO_UNSET_NEVER 0 /* none does */
#define TAPIO_UNSET_ZERO  1 /* 0, or empty */
#define TAPIO_UNSET_ONES  2 /* all bits set, or the smallest, or NaN */

struct tapio_event_name {
	uint32_t value; /* of an enum, or the bit (FLAGS16) */
	const char *name;
};

struct tapio_event_field {
	const char *name;
	const char *unit;      /* "ns", "By", "%", or "" */
	const char *attribute; /* of an OpenTelemetry log record, or a member of
				* the record if it begins in upper case */
	const char *metric;    /* "name" or "name{attribute=value}", or NULL */
	const char *summary;
	const struct tapio_event_name *names; /* or NULL */
	uint32_t name_count;
	uint16_t offset;
	uint8_t kind;  /* TAPIO_FIELD_* */
	uint8_t bytes; /* in the struct */
	uint8_t unset; /* TAPIO_UNSET_* */
};

struct tapio_event_type {
	uint16_t type;
	uint16_t fields_bytes;
	uint32_t field_count;
	const char *name; /* "process.start" */
	const char *summary;
	const struct tapio_event_field *fields; /* use tapio_event_field_at() */
};

/* A type by number, by name, by index from 0. NULL: there is none. */
TAPIO_API const struct tapio_event_type *tapio_event_type_get(uint16_t type);
TAPIO_API const struct tapio_event_type *
tapio_event_type_find(const char *name);
TAPIO_API const struct tapio_event_type *tapio_event_type_at(unsigned index);

/* The header itself, as a type whose fields lie in struct tapio_event. */
TAPIO_API const struct tapio_event_type *tapio_event_header_type(void);

/* A field of a type by index from 0, by name. NULL: there is none. */
TAPIO_API const struct tapio_event_field *
tapio_event_field_at(const struct tapio_event_type *type, unsigned index);
TAPIO_API const struct tapio_event_field *
tapio_event_field_find(const struct tapio_event_type *type, const char *name);

/*
 * Names and numbers, for users' filters. A type is a name of the registry or a
 * number from 1 to 65535. A severity is a name ("warning", and the usual short
 * forms) in any case, or a number from 0 to 15. -ENOENT: anything else.
 */
TAPIO_API int tapio_event_type_parse(const char *text, uint16_t *type);
TAPIO_API int tapio_severity_parse(const char *text, uint8_t *severity);

/* "info". NULL: the number has no name. */
TAPIO_API const char *tapio_severity_name(uint8_t severity);
/* OpenTelemetry's SeverityNumber, 0 to 24. */
TAPIO_API uint32_t tapio_severity_otel(uint8_t severity);

/* ---- reading ----------------------------------------------------------------
 *
 * Signal handlers MAY call all of it except the two format functions.
 */

/* tapio_event_view.flags */
#define TAPIO_EVENT_VIEW_ID     0x1 /* lane and position are known */
#define TAPIO_EVENT_VIEW_OPAQUE 0x2 /* not a typed event: only bytes */

/*
 * A checked reader of one event. Header, lengths and fields are private
 * copies, made and checked once, because a producer might change the original.
 * Strings stay where they are, and are read within bounds. Valid as long as
 * the event's memory is (for a consumer: until tapio_release).
 */
struct tapio_event_view {
	struct tapio_event header;
	const struct tapio_event_type *type; /* NULL: not in the table */
	const unsigned char *data;           /* the event */
	const unsigned char *strings;        /* its string area */
	uint32_t length;                     /* of data */
	uint32_t strings_bytes;
	uint32_t flags; /* TAPIO_EVENT_VIEW_* */
	uint32_t lane;
	uint64_t position;
	uint64_t fields[TAPIO_EVENT_FIELDS_MAX / 8];
};

/*
 * Checks an event and makes a view of it. A type that is not in the table is
 * no error.
 *
 *   errno            | cause
 *   -EINVAL          | no data
 *   -EMSGSIZE        | shorter than the header, or than the header says
 *   -EBADMSG         | not a typed event (magic), or an impossible length, string or
 *                    | address
 *   -EPROTONOSUPPORT | another version of the header
 */
TAPIO_API int tapio_event_view_init(struct tapio_event_view *v,
				    const void *data, size_t length);

/*
 * The same for an event as a consumer or observer sees it, with its id.
 * -EBADMSG also: the descriptor has another type. After an error the view is
 * one of plain bytes (TAPIO_EVENT_VIEW_OPAQUE). It can be formatted as any
 * other, so that a tool can show an event that it does not understand.
 */
TAPIO_API int tapio_event_view_open(struct tapio_event_view *v,
				    const struct tapio_view *view);

/* The view's copy of the fields if it is of that type, else NULL. */
TAPIO_API const void *tapio_event_view_fields(const struct tapio_event_view *v,
					      uint16_t type);

struct tapio_event_value {
	union {
		uint64_t u64;
		int64_t i64;
		double f64;
		struct tapio_event_ip ip;
	};
	const char *
		data; /* in the event's memory: may change, no NUL at its end */
	uint32_t length;
	uint32_t kind;    /* TAPIO_FIELD_* */
	const char *name; /* of an enum's value (NULL: it has none) */
};

/*
 * The value of a field, which is one of the view's type, or of
 * tapio_event_header_type(). 1: it has one. 0: it is unset. -EINVAL: the field
 * is of neither type.
 */
TAPIO_API int tapio_event_view_value(const struct tapio_event_view *v,
				     const struct tapio_event_field *field,
				     struct tapio_event_value *value);

/* The same by name, the header's fields first. -ENOENT: no such field. */
TAPIO_API int tapio_event_view_get(const struct tapio_event_view *v,
				   const char *name,
				   struct tapio_event_value *value);

/*
 * Copies a string of the view (a field of one of the structs that
 * tapio_event_view_fields returned) and ends it with NUL. Copies at most size
 * - 1 bytes, and returns the whole length, as snprintf does.
 */
TAPIO_API size_t tapio_event_view_string(const struct tapio_event_view *v,
					 const struct tapio_event_string *s,
					 char *buffer, size_t size);

/*
 * Walks the attributes of a value of kind ATTRIBUTES. *at MUST be 0 at the
 * beginning. 1: the next key and value (of kind STRING, with data and length
 * only). 0: the end. -EBADMSG: impossible lengths.
 */
TAPIO_API int
tapio_event_attribute_next(const struct tapio_event_value *attributes,
			   uint32_t *at, struct tapio_event_value *key,
			   struct tapio_event_value *value);

/*
 * One line for people, without its newline, and one JSON object. As snprintf:
 * returns the length of the whole, and writes at most size - 1 bytes of it and
 * a NUL (nothing if size is 0, and buffer MAY be NULL then). Numbers are
 * exact. Strings are valid UTF-8 whatever the event holds: invalid bytes
 * become U+FFFD, and control characters are escaped. Types that are not in the
 * table are shown by their lengths and first bytes.
 */
TAPIO_API int tapio_event_format_text(char *buffer, size_t size,
				      const struct tapio_event_view *v);
TAPIO_API int tapio_event_format_json(char *buffer, size_t size,
				      const struct tapio_event_view *v);

#ifdef __cplusplus
}
#endif

#endif
