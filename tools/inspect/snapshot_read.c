/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a snapshot that anybody can have written, and may be writing.
 *
 * It is read, not mapped, into memory of our own, so it does not change under us, and a file
 * that gets shorter is a short read and no SIGBUS. Each length is checked before anything is made of it. Sections lie one behind the other, so the work is
 * bounded by the file's data: holes are passed over, and pages of zeros take no memory. An
 * inspection of the memory is bounded by the same data (inspect.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/memory/segment_place.h"
#include "tools/inspect/segment_set.h"
#include "tools/inspect/snapshot.h"

#define CHUNK ((size_t)64 * 1024)
/* Segments of a set: a slot each, of a thousand channels. Finding one is a walk. */
#define SECTIONS_MAX 65536
/* Of addresses, not of memory. */
#define CLAIM_MAX    (UINT64_C(1) << 42)
#define CATALOG_MAX  (UINT64_C(256) << 20)
#define ALL_MAX      (UINT64_C(64) << 20) /* of facts, processes or lanes */
#define REFUSALS_MAX 1024

struct reader {
	struct tpi_snapshot *snapshot;
	struct tpi_segment_set *set;
	const char *path;
	int fd;
	uint64_t file_bytes;
	uint64_t limit_bytes;
	uint64_t claimed;
	char *error;
	size_t error_bytes;
	struct tpi_snapshot_header header;
	struct tpi_snapshot_section *sections;
	uint32_t seen; /* a bit for each kind of section */
	unsigned char buffer[CHUNK];
};

#define FAIL(r, err, format, ...)                                    \
	tpi_fail((err), (r)->error, (r)->error_bytes, "%s: " format, \
		 (r)->path, __VA_ARGS__)

/* All of these bytes, or an error. */
static int read_at(struct reader *r, void *data, size_t bytes, uint64_t offset)
{
	ssize_t n;

	for (char *at = data; bytes; at += n) {
		n = pread(r->fd, at, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0)
			return FAIL(r, -errno,
				    "reading at byte %" PRIu64 ": %s", offset,
				    strerror(errno));
		if (!n)
			return FAIL(r, -EBADMSG,
				    "it ends at byte %" PRIu64
				    ", and has %zu bytes more by its header: "
				    "it was cut, copy it again",
				    offset, bytes);
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* ---- header and table ------------------------------------------------------------- */

static int open_file(struct reader *r)
{
	struct stat st;

	/* A FIFO or a device is not waited for. */
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (r->fd < 0)
		return FAIL(r, -errno, "%s", strerror(errno));
	if (fstat(r->fd, &st))
		return FAIL(r, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return FAIL(r, -EINVAL,
			    "it is no regular file (type %#o), and a snapshot "
			    "is one",
			    st.st_mode & S_IFMT);
	r->file_bytes = (uint64_t)st.st_size;
	return 0;
}

static int read_header(struct reader *r)
{
	struct tpi_snapshot_header *h = &r->header;
	uint64_t digest;
	int err;

	if (r->file_bytes < sizeof(*h))
		return FAIL(r, -EBADMSG,
			    "%" PRIu64 " bytes are no snapshot: a header has "
			    "%zu",
			    r->file_bytes, sizeof(*h));
	err = read_at(r, h, sizeof(*h), 0);
	if (err)
		return err;
	if (h->magic != TPI_SNAPSHOT_MAGIC)
		return FAIL(r, -EBADMSG,
			    "it is no snapshot of tapio-shmstat: it begins "
			    "with %016" PRIx64 ", expected %016" PRIx64,
			    h->magic, TPI_SNAPSHOT_MAGIC);
	if (h->version != TPI_SNAPSHOT_VERSION)
		return FAIL(r, -EPROTONOSUPPORT,
			    "the snapshot has version %" PRIu32
			    ", this program knows %d",
			    h->version, TPI_SNAPSHOT_VERSION);
	digest = tpi_snapshot_digest_header(h);
	if (digest != h->digest)
		return FAIL(r, -EBADMSG,
			    "its header is damaged: digest %016" PRIx64
			    ", expected %016" PRIx64,
			    digest, h->digest);
	if (h->file_bytes != r->file_bytes)
		return FAIL(r, -EBADMSG,
			    "it has %" PRIu64 " bytes, and %" PRIu64
			    " by its header: it was cut, copy it again",
			    r->file_bytes, h->file_bytes);
	return 0;
}

static int read_table(struct reader *r)
{
	size_t count = r->header.section_count, bytes;
	uint64_t digest;
	int err;

	if (!count || count > SECTIONS_MAX)
		return FAIL(r, -EBADMSG, "%zu sections, allowed are 1..%d",
			    count, SECTIONS_MAX);
	bytes = count * sizeof(*r->sections);
	if (r->file_bytes < TPI_SNAPSHOT_PAGE ||
	    bytes > r->file_bytes - TPI_SNAPSHOT_PAGE)
		return FAIL(r, -EBADMSG,
			    "a table of %zu sections does not fit %" PRIu64
			    " bytes",
			    count, r->file_bytes);
	r->sections = calloc(count, sizeof(*r->sections));
	if (!r->sections)
		return -ENOMEM;
	err = read_at(r, r->sections, bytes, TPI_SNAPSHOT_PAGE);
	if (err)
		return err;
	digest = tpi_snapshot_digest(1, r->sections, bytes);
	if (digest != r->header.table_digest)
		return FAIL(r, -EBADMSG,
			    "its table is damaged: digest %016" PRIx64
			    ", expected %016" PRIx64,
			    digest, r->header.table_digest);
	return 0;
}

/* One behind the other, and inside of the file. */
static int check_places(struct reader *r)
{
	uint64_t end = TPI_SNAPSHOT_PAGE, bytes;

	for (uint32_t i = 0; i < r->header.section_count; i++) {
		const struct tpi_snapshot_section *s = &r->sections[i];

		if (s->offset % TPI_SNAPSHOT_PAGE || s->offset < end ||
		    s->offset > r->file_bytes ||
		    s->bytes > r->file_bytes - s->offset)
			return FAIL(r, -EBADMSG,
				    "section %" PRIu32 ": %" PRIu64
				    " bytes at %" PRIu64
				    " are not behind the last one, at %" PRIu64
				    ", and inside of %" PRIu64 " bytes",
				    i, s->bytes, s->offset, end, r->file_bytes);
		bytes = tpi_snapshot_round(s->bytes);
		end = s->offset + bytes;
		r->claimed += bytes;
	}
	if (r->claimed > CLAIM_MAX)
		return FAIL(r, -EFBIG,
			    "its segments have %" PRIu64
			    " bytes, the limit is %" PRIu64,
			    r->claimed, CLAIM_MAX);
	return 0;
}

/* ---- contents --------------------------------------------------------------------- */

/* The pages of the buffer that are not zero. */
static int keep_pages(struct reader *r, unsigned char *memory, uint64_t offset,
		      size_t bytes, uint64_t *digest)
{
	size_t n;

	for (size_t at = 0; at < bytes; at += n) {
		n = bytes - at < TPI_SNAPSHOT_PAGE ? bytes - at
						   : TPI_SNAPSHOT_PAGE;
		if (tpi_snapshot_is_zero(r->buffer + at, n))
			continue;
		r->snapshot->data_bytes += n;
		if (r->snapshot->data_bytes > r->limit_bytes)
			return FAIL(r, -EFBIG,
				    "it has more data than %" PRIu64
				    " bytes, half of the memory that there is",
				    r->limit_bytes);
		*digest = tpi_snapshot_digest_page(*digest, offset + at,
						   r->buffer + at, n);
		memcpy(memory + offset + at, r->buffer + at, n);
	}
	return 0;
}

/* The next byte of a section that is no hole. Its length: there is none. */
static uint64_t next_data(const struct reader *r,
			  const struct tpi_snapshot_section *s, uint64_t at)
{
	off_t data = lseek(r->fd, (off_t)(s->offset + at), SEEK_DATA);

	if (data < 0) /* ENXIO: holes to the end. Else: no such call there */
		return errno == ENXIO ? s->bytes : at;
	data -= (off_t)s->offset;
	data -= data % TPI_SNAPSHOT_PAGE;
	return (uint64_t)data < at ? at : (uint64_t)data;
}

static int read_section(struct reader *r, const struct tpi_snapshot_section *s,
			unsigned char *memory)
{
	uint64_t digest = 0, at = 0;
	int err = 0;

	while (!err && (at = next_data(r, s, at)) < s->bytes) {
		size_t n =
			s->bytes - at < CHUNK ? (size_t)(s->bytes - at) : CHUNK;

		err = read_at(r, r->buffer, n, s->offset + at);
		if (!err)
			err = keep_pages(r, memory, at, n, &digest);
		at += n;
	}
	if (!err && digest != s->digest)
		return FAIL(r, -EBADMSG,
			    "the section at byte %" PRIu64
			    " is damaged: digest %016" PRIx64
			    ", expected %016" PRIx64 ": copy it again",
			    s->offset, digest, s->digest);
	return err;
}

/* A section of records, all of it. */
static int read_records(struct reader *r, const struct tpi_snapshot_section *s,
			size_t record_bytes, void **out, uint64_t *count)
{
	if (*out || s->bytes % record_bytes || s->bytes > ALL_MAX)
		return FAIL(r, -EBADMSG,
			    "section of kind %" PRIu32 ": %" PRIu64
			    " bytes, expected are records of %zu, %" PRIu64
			    " bytes at most, once",
			    s->kind, s->bytes, record_bytes, ALL_MAX);
	*count = s->bytes / record_bytes;
	*out = calloc(*count + 1, record_bytes);
	return *out ? read_section(r, s, *out) : -ENOMEM;
}

static int read_facts(struct reader *r, const struct tpi_snapshot_section *s)
{
	struct tpi_snapshot_facts *facts = &r->snapshot->facts;
	int err;

	if (s->bytes != sizeof(*facts) ||
	    r->seen & UINT32_C(1) << TPI_SECTION_FACTS)
		return FAIL(r, -EBADMSG,
			    "its facts have %" PRIu64 " bytes, expected %zu, "
			    "once",
			    s->bytes, sizeof(*facts));
	err = read_section(r, s, (unsigned char *)facts);
	facts->host[sizeof(facts->host) - 1] = 0;
	facts->kernel[sizeof(facts->kernel) - 1] = 0;
	facts->tool[sizeof(facts->tool) - 1] = 0;
	facts->note[sizeof(facts->note) - 1] = 0;
	/* The clock may have been set back meanwhile. */
	if (!err && (!facts->begin_ns || !facts->end_ns))
		return FAIL(r, -EBADMSG,
			    "by its facts it was taken from %" PRIu64
			    " to %" PRIu64 " ns: 0 is no time",
			    facts->begin_ns, facts->end_ns);
	return err;
}

static int read_segment(struct reader *r, const struct tpi_snapshot_section *s)
{
	bool catalog = s->flags & TPI_SECTION_CATALOG;
	struct tpi_segment_set_entry entry = {
		.pid = (pid_t)s->pid,
		.device = s->device,
		.inode = s->inode,
		.seals = s->seals,
		.mode = s->mode,
		.received = s->flags & TPI_SECTION_RECEIVED,
		.writable = s->flags & TPI_SECTION_WRITABLE,
	};
	void *base;
	int err;

	if (s->bytes < sizeof(struct tapio_shm_header) ||
	    (catalog && s->bytes > CATALOG_MAX))
		return FAIL(r, -EBADMSG,
			    "a segment of %" PRIu64
			    " bytes, allowed are %zu..%" PRIu64,
			    s->bytes, sizeof(struct tapio_shm_header),
			    catalog ? CATALOG_MAX : CLAIM_MAX);
	base = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return FAIL(r, -errno, "memory for %" PRIu64 " bytes: %s",
			    s->bytes, strerror(errno));
	entry.map = (struct tpi_map){base, s->bytes, false, s->page_bytes};
	(void)tpi_sys_madvise(base, s->bytes, MADV_DONTDUMP);
	err = read_section(r, s, base);
	if (!err && mprotect(base, s->bytes, PROT_READ))
		err = -errno;
	if (!err)
		err = tpi_segment_set_put(r->set, &entry, catalog);
	if (err)
		munmap(base, s->bytes);
	return err;
}

static int read_refusals(struct reader *r, const struct tpi_snapshot_section *s)
{
	struct tpi_snapshot_refusal *all;
	void *records = NULL;
	uint64_t count = 0;
	int err = read_records(r, s, sizeof(*all), &records, &count);

	all = records;
	for (uint64_t i = 0; !err && i < count && i < REFUSALS_MAX; i++) {
		all[i].channel[sizeof(all[i].channel) - 1] = 0;
		all[i].why[sizeof(all[i].why) - 1] = 0;
		err = tpi_segment_set_refuse(r->set, all[i].channel,
					     all[i].why);
	}
	free(records);
	return err;
}

static int read_sections(struct reader *r)
{
	struct tpi_snapshot *s = r->snapshot;
	void *processes = NULL, *lanes = NULL;
	int err = 0;

	for (uint32_t i = 0; !err && i < r->header.section_count; i++) {
		const struct tpi_snapshot_section *section = &r->sections[i];
		uint32_t kind = section->kind;

		switch (kind) {
		case TPI_SECTION_FACTS:
			err = read_facts(r, section);
			break;
		case TPI_SECTION_PROCESSES:
			err = read_records(r, section, sizeof(*s->processes),
					   &processes, &s->process_count);
			s->processes = processes;
			break;
		case TPI_SECTION_LANES:
			err = read_records(r, section, sizeof(*s->lanes),
					   &lanes, &s->lane_count);
			s->lanes = lanes;
			break;
		case TPI_SECTION_SEGMENT:
			err = read_segment(r, section);
			break;
		case TPI_SECTION_REFUSALS:
			err = read_refusals(r, section);
			break;
		default: /* of a later writer: it is not needed */
			continue;
		}
		r->seen |= UINT32_C(1) << kind;
	}
	return err;
}

/*
 * Those that every writer makes. Without one of them it would be said of memory when it was
 * taken, which processes were there, or which words belong to each other, and be made up.
 */
static int check_whole(struct reader *r)
{
	static const char *const names[] = {
		[TPI_SECTION_FACTS] = "facts (when and where it was taken)",
		[TPI_SECTION_PROCESSES] = "list of processes",
		[TPI_SECTION_LANES] = "list of lanes",
	};

	for (uint32_t kind = TPI_SECTION_FACTS; kind <= TPI_SECTION_LANES;
	     kind++)
		if (!(r->seen & UINT32_C(1) << kind))
			return FAIL(r, -EBADMSG,
				    "it has no %s, as each snapshot has: it "
				    "is not one that tapio-shmstat wrote",
				    names[kind]);
	return 0;
}

static int compare_processes(const void *a, const void *b)
{
	const struct tpi_snapshot_process *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->start_time_ticks < y->start_time_ticks
		       ? -1
		       : x->start_time_ticks > y->start_time_ticks;
}

static uint64_t half_of_memory(void)
{
	uint64_t available = tpi_place_available(-1);

	return available == UINT64_MAX ? CLAIM_MAX : available / 2;
}

int tpi_snapshot_read(struct tpi_snapshot **out, struct tpi_segment_set *set,
		      const char *path, uint64_t limit_bytes, char *error,
		      size_t error_bytes)
{
	struct reader *r = calloc(1, sizeof(*r));
	int err = -ENOMEM;

	*out = calloc(1, sizeof(**out));
	if (r && *out) {
		r->snapshot = *out;
		r->set = set;
		r->path = path;
		r->limit_bytes = limit_bytes ? limit_bytes : half_of_memory();
		r->error = error;
		r->error_bytes = error_bytes;
		err = open_file(r);
		if (!err)
			err = read_header(r);
		if (!err)
			err = read_table(r);
		if (!err)
			err = check_places(r);
		if (!err)
			err = read_sections(r);
		if (!err)
			err = check_whole(r);
		if (r->fd >= 0)
			close(r->fd);
		free(r->sections);
	}
	free(r);
	if (err) {
		tpi_snapshot_free(*out);
		*out = NULL;
		return err;
	}
	if ((*out)->process_count)
		qsort((*out)->processes, (*out)->process_count,
		      sizeof(*(*out)->processes), compare_processes);
	return 0;
}

/* ---- marks ------------------------------------------------------------------------ */

int tpi_snapshot_attach(struct tpi_snapshot *snapshot,
			const struct tpi_inspect *inspect)
{
	uint32_t count = inspect->catalog.channel_count;

	snapshot->marks = calloc((size_t)count + 1, sizeof(*snapshot->marks));
	if (!snapshot->marks)
		return -ENOMEM;
	snapshot->channel_count = count;
	for (uint32_t c = 0; c < count; c++) {
		size_t lanes = inspect->channels[c].channel.lane_count;

		if (!lanes)
			continue;
		snapshot->marks[c] = calloc(lanes, sizeof(**snapshot->marks));
		if (!snapshot->marks[c])
			return -ENOMEM;
	}
	for (uint64_t i = 0; i < snapshot->lane_count; i++) {
		const struct tpi_snapshot_lane *l = &snapshot->lanes[i];

		if (l->channel < count &&
		    l->lane < inspect->channels[l->channel].channel.lane_count)
			snapshot->marks[l->channel][l->lane] = l->flags;
	}
	return 0;
}

uint64_t tpi_snapshot_moved(const struct tpi_snapshot *snapshot)
{
	const uint32_t whole = TPI_LANE_WHOLE | TPI_LANE_TICKETS;
	uint64_t moved = 0;

	for (uint64_t i = 0; i < snapshot->lane_count; i++)
		moved += (snapshot->lanes[i].flags & whole) != whole;
	return moved;
}

uint32_t tpi_snapshot_lane(const struct tpi_snapshot *snapshot,
			   uint32_t channel, uint32_t lane)
{
	return snapshot->marks[channel][lane];
}

void tpi_snapshot_free(struct tpi_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (uint32_t c = 0; snapshot->marks && c < snapshot->channel_count;
	     c++)
		free(snapshot->marks[c]);
	free(snapshot->marks);
	free(snapshot->processes);
	free(snapshot->lanes);
	free(snapshot);
}
