/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of the journal as one event of type log.
 *
 * A field that sd-journal hands out lives until the next field. So the short fields are stored
 * as they come, then the message, then the attributes, of which there may be any
 * number: each in a walk of its own. Text without room is cut, last things
 * first, and the event is flagged.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/collectors/journal/journal.h"

/* Longer than this are only the message and attributes. */
#define SHORT_BYTES 4096

struct entry {
	struct tpi_journal_reader *reader;
	size_t readable; /* fields, before one on which libsystemd aborted */
	struct tapio_event *event;
	struct tapio_event_log *log;
	uint64_t source_us; /* _SOURCE_REALTIME_TIMESTAMP. 0: not known */
	uint64_t dropped;   /* N_DROPPED. 0: not known */
};

struct value {
	const char *data;
	size_t length;
};

/* ---- values ------------------------------------------------------------------------------ */

static bool to_number(const struct value *v, uint64_t *number)
{
	*number = 0;
	if (!v->length || v->length > 19)
		return false;
	for (size_t i = 0; i < v->length; i++) {
		if (v->data[i] < '0' || v->data[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(v->data[i] - '0');
	}
	return true;
}

static bool to_u32(const struct value *v, uint32_t *number)
{
	uint64_t n;

	if (!to_number(v, &n) || n >= UINT32_MAX)
		return false;
	*number = (uint32_t)n;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An id as hexadecimal digits, with or without the dashes of a UUID. */
static void to_id(const struct value *v, uint8_t *id, size_t bytes)
{
	uint8_t found[16] = {0};
	size_t digits = 0;

	for (size_t i = 0; i < v->length; i++) {
		int digit = hex_digit(v->data[i]);

		if (v->data[i] == '-')
			continue;
		if (digit < 0 || digits == 2 * bytes)
			return;
		found[digits / 2] |= (uint8_t)(digits % 2 ? digit : digit << 4);
		digits++;
	}
	if (digits == 2 * bytes)
		memcpy(id, found, bytes);
}

/* ---- fields that become members ------------------------------------------------------------ */

static void take_priority(struct entry *e, const struct value *v)
{
	static const uint8_t severities[8] = {
		TAPIO_SEVERITY_EMERGENCY, TAPIO_SEVERITY_ALERT,
		TAPIO_SEVERITY_CRITICAL,  TAPIO_SEVERITY_ERROR,
		TAPIO_SEVERITY_WARNING,   TAPIO_SEVERITY_NOTICE,
		TAPIO_SEVERITY_INFO,      TAPIO_SEVERITY_DEBUG,
	};

	if (v->length == 1 && v->data[0] >= '0' && v->data[0] <= '7')
		e->event->severity = severities[v->data[0] - '0'];
}

static void take_facility(struct entry *e, const struct value *v)
{
	uint64_t code;

	if (to_number(v, &code) && code < 128)
		e->log->facility = (uint16_t)TAPIO_FACILITY(code);
}

static void take_errno(struct entry *e, const struct value *v)
{
	uint64_t code;

	if (to_number(v, &code) && code <= UINT16_MAX)
		e->log->error = (uint16_t)code;
}

static void take_pid(struct entry *e, const struct value *v)
{
	to_u32(v, &e->event->pid);
}

/* The process's own word, where journald has none. */
static void take_syslog_pid(struct entry *e, const struct value *v)
{
	if (!e->event->pid)
		to_u32(v, &e->event->pid);
}

static void take_tid(struct entry *e, const struct value *v)
{
	to_u32(v, &e->event->tid);
}

static void take_uid(struct entry *e, const struct value *v)
{
	to_u32(v, &e->event->uid);
}

static void take_gid(struct entry *e, const struct value *v)
{
	to_u32(v, &e->event->gid);
}

static void take_line(struct entry *e, const struct value *v)
{
	to_u32(v, &e->log->code_line);
}

static void take_source_time(struct entry *e, const struct value *v)
{
	to_number(v, &e->source_us);
}

static void take_dropped(struct entry *e, const struct value *v)
{
	to_number(v, &e->dropped);
}

static void take_message_id(struct entry *e, const struct value *v)
{
	to_id(v, e->log->message_id, 16);
}

static void take_trace_id(struct entry *e, const struct value *v)
{
	to_id(v, e->event->trace_id, 16);
}

static void take_span_id(struct entry *e, const struct value *v)
{
	to_id(v, e->event->span_id, 8);
}

static void take_trace_flags(struct entry *e, const struct value *v)
{
	if (v->length && hex_digit(v->data[v->length - 1]) & 1)
		e->event->flags |= TAPIO_EVENT_TRACE_SAMPLED;
}

static uint64_t cgroup_inode(const char *path)
{
	static const char *const roots[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};
	char whole[640];
	struct stat st;

	for (size_t i = 0; i < 2; i++) {
		snprintf(whole, sizeof(whole), "%s%s", roots[i], path);
		if (!stat(whole, &st) && S_ISDIR(st.st_mode))
			return st.st_ino;
	}
	return 0;
}

/* Only of this boot: another one had other cgroups under the same paths. */
static void take_cgroup(struct entry *e, const struct value *v)
{
	struct tpi_journal_reader *r = e->reader;

	tpi_sink_string(r->sink, &e->log->cgroup, v->data, v->length);
	if (sd_id128_is_null(r->boot_id) ||
	    memcmp(&r->boot_id, e->log->boot_id, 16) ||
	    v->length >= sizeof(r->cgroup))
		return;
	if (strlen(r->cgroup) != v->length ||
	    memcmp(r->cgroup, v->data, v->length)) {
		memcpy(r->cgroup, v->data, v->length);
		r->cgroup[v->length] = '\0';
		r->cgroup_id = cgroup_inode(r->cgroup);
	}
	e->event->cgroup_id = r->cgroup_id;
}

/* Fields that are no attributes: either by a function, or a string at an offset. */
static const struct field {
	const char *name;
	void (*take)(struct entry *e, const struct value *v);
	size_t offset; /* in struct tapio_event_log, if there is no function */
} fields[] = {
#define STRING(name, member)                                         \
	{                                                            \
		name, NULL, offsetof(struct tapio_event_log, member) \
	}
#define TAKE(name, function)      \
	{                         \
		name, function, 0 \
	}
	TAKE("PRIORITY", take_priority),
	TAKE("SYSLOG_FACILITY", take_facility),
	STRING("SYSLOG_IDENTIFIER", identifier),
	STRING("_SYSTEMD_UNIT", unit),
	STRING("_SYSTEMD_USER_UNIT", unit),
	STRING("UNIT", unit),
	STRING("USER_UNIT", unit),
	TAKE("_PID", take_pid),
	TAKE("SYSLOG_PID", take_syslog_pid),
	TAKE("TID", take_tid),
	TAKE("_UID", take_uid),
	TAKE("_GID", take_gid),
	TAKE("_SYSTEMD_CGROUP", take_cgroup),
	STRING("_COMM", comm),
	STRING("_EXE", executable),
	STRING("_CMDLINE", command_line),
	STRING("_TRANSPORT", transport),
	STRING("_HOSTNAME", host),
	TAKE("MESSAGE_ID", take_message_id),
	TAKE("ERRNO", take_errno),
	STRING("CODE_FILE", code_file),
	STRING("CODE_FUNC", code_function),
	TAKE("CODE_LINE", take_line),
	TAKE("TRACE_ID", take_trace_id),
	TAKE("SPAN_ID", take_span_id),
	TAKE("TRACE_FLAGS", take_trace_flags),
	STRING("CONTAINER_ID_FULL", container_id),
	STRING("CONTAINER_ID", container_id),
	TAKE("_SOURCE_REALTIME_TIMESTAMP", take_source_time),
	TAKE("N_DROPPED", take_dropped),
#undef STRING
#undef TAKE
};

static const struct field *find_field(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!strncmp(fields[i].name, name, length) &&
		    !fields[i].name[length])
			return &fields[i];
	return NULL;
}

static void take_member(struct entry *e, const struct field *field,
			const struct value *v)
{
	struct tapio_event_string *string;

	if (field->take) {
		field->take(e, v);
		return;
	}
	string = (void *)((char *)e->log + field->offset);
	if (string->length) /* the first one is the most exact */
		return;
	if (v->length > SHORT_BYTES)
		e->event->flags |= TAPIO_EVENT_TRUNCATED;
	tpi_sink_string(e->reader->sink, string, v->data,
			v->length > SHORT_BYTES ? SHORT_BYTES : v->length);
}

/* From "Suppressed 17 messages": versions of journald without N_DROPPED. */
static uint64_t number_in(const char *text, size_t length)
{
	struct value v = {text, 0};
	uint64_t number;

	if (length > 64)
		length = 64;
	while (length && (*v.data < '0' || *v.data > '9')) {
		v.data++;
		length--;
	}
	while (v.length < length && v.data[v.length] >= '0' &&
	       v.data[v.length] <= '9')
		v.length++;
	return to_number(&v, &number) ? number : 0;
}

/* ---- walks ------------------------------------------------------------------------------------ */

static bool is_message(const char *name, size_t length)
{
	return length == 7 && !memcmp(name, "MESSAGE", 7);
}

/* Fields that journald itself adds are about the writer and not of it. */
static bool is_attribute(const struct entry *e, const char *name, size_t length)
{
	if (is_message(name, length) || find_field(name, length))
		return false;
	return name[0] != '_' || e->reader->values->all_fields;
}

static void take_attribute(struct entry *e, const char *name, size_t length,
			   const struct value *v)
{
	char key[256]; /* journald allows 64 bytes */

	if (length >= sizeof(key)) {
		e->event->flags |= TAPIO_EVENT_TRUNCATED;
		return;
	}
	memcpy(key, name, length);
	key[length] = '\0';
	tpi_sink_attribute(e->reader->sink, &e->log->attributes, key, v->data,
			   v->length);
}

enum walk {
	WALK_MEMBERS,
	WALK_MESSAGE,
	WALK_ATTRIBUTES,
};

static void take_data(struct entry *e, enum walk walk, const char *data,
		      size_t length)
{
	const char *equals = memchr(data, '=', length);
	const struct field *field;
	struct value v;
	size_t name;

	if (!equals)
		return;
	name = (size_t)(equals - data);
	v.data = equals + 1;
	v.length = length - name - 1;
	if (walk == WALK_MEMBERS) {
		field = find_field(data, name);
		if (field)
			take_member(e, field, &v);
	} else if (walk == WALK_MESSAGE) {
		if (!is_message(data, name) || e->log->body.length)
			return;
		if (!e->dropped)
			e->dropped = number_in(v.data, v.length);
		tpi_sink_string(e->reader->sink, &e->log->body, v.data,
				v.length);
	} else if (is_attribute(e, data, name)) {
		take_attribute(e, data, name, &v);
	}
}

/* An error of one field only: the next one can be read. */
static bool of_one_field(int got)
{
	return got == -E2BIG || got == -EOPNOTSUPP || got == -EPROTONOSUPPORT ||
	       got == -ENOBUFS;
}

/*
 * libsystemd 252 aborts on some compressed fields that are damaged. An abort whose handler does
 * not return is none (abort(3)), so such a field is an error like others, and the last one that is
 * read of its entry. What libsystemd had allocated is lost: 200 KiB.
 */
static sigjmp_buf abort_jump;
static volatile sig_atomic_t abort_guarded;

void tpi_entry_aborted(void)
{
	if (!abort_guarded)
		return;
	abort_guarded = 0;
	siglongjmp(abort_jump, 1);
}

#define ABORTED (-ENOTRECOVERABLE)

/* As the function that it calls, or ABORTED: there is no way behind this field. */
static __attribute__((noinline)) int
guarded(int (*enumerate)(sd_journal *journal, const void **data,
			 size_t *length),
	sd_journal *journal, const void **data, size_t *length)
{
	int got;

	if (sigsetjmp(abort_jump, 1))
		return ABORTED;
	abort_guarded = 1;
	got = enumerate(journal, data, length);
	abort_guarded = 0;
	return got;
}

/*
 * A field that cannot be read is missing from the event: it is flagged. sd-journal stays at such
 * a field, and only its second function passes over it.
 */
static void walk_entry(struct entry *e, enum walk walk)
{
	sd_journal *journal = e->reader->journal;
	const void *data;
	size_t length;

	sd_journal_restart_data(journal);
	for (size_t i = 0; i < e->readable; i++) {
		int got = guarded(sd_journal_enumerate_data, journal, &data,
				  &length);

		if (got < 0)
			e->event->flags |= TAPIO_EVENT_TRUNCATED;
		if (of_one_field(got))
			got = guarded(sd_journal_enumerate_available_data,
				      journal, &data, &length);
		if (got == ABORTED)
			e->readable = i;
		if (got <= 0)
			return;
		take_data(e, walk, data, length);
	}
}

/* ---- losses that journald itself reports ------------------------------------------------------ */

static const struct {
	uint8_t message_id[16];
	const char *cause;
	const char *message;
} reports[] = {
	/* "Suppressed N messages from UNIT" */
	{{0xa5, 0x96, 0xd6, 0xfe, 0x7b, 0xfa, 0x49, 0x94, 0x82, 0x8e, 0x72,
	  0x30, 0x9e, 0x95, 0xd6, 0x1e},
	 "suppressed",
	 "journald's rate limit left messages out"},
	/* "Missed N kernel messages" */
	{{0xe9, 0xbf, 0x28, 0xe6, 0xe8, 0x34, 0x48, 0x1b, 0xb6, 0xf4, 0x8f,
	  0x54, 0x8a, 0xd1, 0x36, 0x06},
	 "missed",
	 "journald missed messages of the kernel"},
};

static void report_loss(struct tpi_journal_reader *r, const uint8_t *message_id,
			uint64_t dropped, uint64_t time_ns, const char *cursor)
{
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		if (memcmp(reports[i].message_id, message_id, 16))
			continue;
		const struct tpi_loss loss = {
			.count = dropped ? dropped : TPI_LOSS_UNKNOWN,
			.last_ns = time_ns,
			.cpu = UINT32_MAX,
			.cause = reports[i].cause,
			.message = reports[i].message,
			.after = cursor,
		};

		tpi_sink_loss(r->sink, TPI_JOURNAL_ENTRY, "journal", &loss);
	}
}

/* ---- one entry ---------------------------------------------------------------------------------- */

static void take_times(struct entry *e)
{
	sd_journal *journal = e->reader->journal;
	uint64_t realtime_us, monotonic_us;
	sd_id128_t boot_id;

	if (sd_journal_get_monotonic_usec(journal, &monotonic_us, &boot_id) >=
	    0) {
		e->log->monotonic_ns = monotonic_us * 1000;
		memcpy(e->log->boot_id, &boot_id, 16);
	}
	if (sd_journal_get_realtime_usec(journal, &realtime_us) >= 0)
		e->event->time_ns = realtime_us * 1000;
}

enum tpi_entry_result tpi_entry_emit(struct tpi_journal_reader *reader,
				     const char *cursor)
{
	struct tpi_sink *sink = reader->sink;
	struct entry e = {.reader = reader, .readable = SIZE_MAX};
	uint8_t message_id[16];
	bool left;

	e.log = tpi_sink_begin(sink, TPI_JOURNAL_ENTRY);
	if (!e.log)
		return TPI_ENTRY_DONE; /* counted: too long for the channel */
	e.event = sink->builder.event;
	take_times(&e);
	tpi_sink_text(sink, &e.log->cursor, cursor);
	walk_entry(&e, WALK_MEMBERS);
	walk_entry(&e, WALK_MESSAGE);
	if (!reader->values->no_attributes)
		walk_entry(&e, WALK_ATTRIBUTES);
	/* When it was written, where that is known: journald may be late. */
	if (e.source_us && e.source_us < UINT64_MAX / 1000)
		e.event->time_ns = e.source_us * 1000;
	memcpy(message_id, e.log->message_id, sizeof(message_id));
	const uint64_t time_ns = e.event->time_ns, dropped = e.dropped;
	if (!tpi_sink_end_patiently(sink, &left) && left)
		return TPI_ENTRY_LEFT;
	report_loss(reader, message_id, dropped, time_ns, cursor);
	return TPI_ENTRY_DONE;
}
