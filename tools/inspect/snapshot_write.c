/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a snapshot: into a file of another name in the same folder, which gets its name when
 * it is whole and on the disk. So there is never half a snapshot under that name, and
 * after a failure there is nothing. A kill by SIGKILL leaves the other file, .NAME.XXXXXX.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "tools/common/tool.h"
#include "tools/inspect/segment_set.h"
#include "tools/inspect/snapshot.h"

#define CHUNK ((size_t)64 * 1024)

TAPIO_ASSERT_(sizeof(struct tpi_snapshot_refusal) ==
		      sizeof(struct tpi_segment_refusal),
	      "refusals are written as they are");

struct writer {
	struct tpi_snapshot_copy *copy;
	const struct tpi_snapshot_options *options;
	struct tpi_snapshot_report *report;
	const char *path;
	char *error;
	size_t error_bytes;
	char folder[PATH_MAX];
	char temporary[PATH_MAX];
	int fd;
	struct tpi_snapshot_section *sections;
	uint32_t section_count;
	uint64_t end; /* where the next section begins */
	unsigned char buffer[CHUNK];
};

static int fail(struct writer *w, int err, const char *what)
{
	return tpi_fail(err, w->error, w->error_bytes, "%s: %s: %s", w->path,
			what, strerror(-err));
}

static int write_at(struct writer *w, const void *data, size_t bytes,
		    uint64_t offset)
{
	const char *hint = "";
	ssize_t n;

	for (const char *at = data; bytes; at += n) {
		n = pwrite(w->fd, at, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n > 0) {
			bytes -= (size_t)n;
			offset += (uint64_t)n;
			continue;
		}
		n = n < 0 ? -errno : -ENOSPC;
		if (n == -ENOSPC || n == -EDQUOT || n == -EFBIG)
			hint = ". A folder with more room may be named, or "
			       "--no-events makes the file smaller";
		return tpi_fail((int)n, w->error, w->error_bytes,
				"%s: writing at byte %" PRIu64
				": %s%s; nothing "
				"was left behind",
				w->path, offset, strerror((int)-n), hint);
	}
	return 0;
}

/* ---- sections --------------------------------------------------------------------- */

/* Fills the buffer with these bytes of a section. */
typedef void fill_fn(struct writer *w, const void *source, uint64_t offset,
		     size_t bytes);

static void fill_plain(struct writer *w, const void *source, uint64_t offset,
		       size_t bytes)
{
	memcpy(w->buffer, (const unsigned char *)source + offset, bytes);
}

/* The part of a span that lies in the buffer, from the memory as it is now. */
static void fill_span(struct writer *w, const struct tpi_snapshot_image *image,
		      const struct tpi_snapshot_span *span, uint64_t offset,
		      size_t bytes)
{
	uint64_t from = span->offset > offset ? span->offset : offset;
	uint64_t to = span->offset + span->bytes;
	const uint64_t *live;
	uint64_t word;

	if (to > offset + bytes)
		to = offset + bytes;
	live = (const void *)(image->entry->map.base + from);
	/* Relaxed: blocks may be under a pen. state_after says which are whole. */
	for (uint64_t at = from; at < to; at += sizeof(word), live++) {
		word = tpi_load_relaxed(live);
		memcpy(w->buffer + (at - offset), &word, sizeof(word));
	}
}

static void fill_image(struct writer *w, const void *source, uint64_t offset,
		       size_t bytes)
{
	const struct tpi_snapshot_image *image = source;
	uint32_t low = 0, high = image->span_count;

	memcpy(w->buffer, image->copy + offset, bytes);
	if (w->options->no_events)
		return;
	while (low < high) { /* the first span that ends behind the offset */
		uint32_t middle = low + (high - low) / 2;
		const struct tpi_snapshot_span *s = &image->spans[middle];

		if (s->offset + s->bytes <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < image->span_count &&
	       image->spans[low].offset < offset + bytes;
	     low++)
		fill_span(w, image, &image->spans[low], offset, bytes);
}

/* The pages of the buffer that are not zero, in stretches. */
static int write_pages(struct writer *w, struct tpi_snapshot_section *s,
		       uint64_t offset, size_t bytes)
{
	size_t from = 0, n;
	int err = 0;

	for (size_t at = 0; at < bytes; at += n) {
		bool zero;

		n = bytes - at < TPI_SNAPSHOT_PAGE ? bytes - at
						   : TPI_SNAPSHOT_PAGE;
		zero = tpi_snapshot_is_zero(w->buffer + at, n);
		if (!zero) {
			s->digest = tpi_snapshot_digest_page(
				s->digest, offset + at, w->buffer + at, n);
			w->report->data_bytes += n;
		}
		if (zero && at > from)
			err = write_at(w, w->buffer + from, at - from,
				       s->offset + offset + from);
		if (zero)
			from = at + n;
		if (err)
			return err;
	}
	return bytes > from ? write_at(w, w->buffer + from, bytes - from,
				       s->offset + offset + from)
			    : 0;
}

static int add_section(struct writer *w, uint32_t kind, uint64_t bytes,
		       fill_fn *fill, const void *source,
		       struct tpi_snapshot_section **out)
{
	struct tpi_snapshot_section *s = &w->sections[w->section_count++];
	int err = 0;

	*out = s;
	s->kind = kind;
	s->offset = w->end;
	s->bytes = bytes;
	for (uint64_t at = 0; !err && at < bytes; at += CHUNK) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;

		fill(w, source, at, n);
		err = write_pages(w, s, at, n);
		if (!err && w->options->stop && w->options->stop())
			err = tpi_fail(-EINTR, w->error, w->error_bytes,
				       "%s: stopped at byte %" PRIu64
				       "; nothing was left behind",
				       w->path, s->offset + at);
	}
	w->end += tpi_snapshot_round(bytes);
	return err;
}

static int add_segment(struct writer *w, const struct tpi_snapshot_image *image)
{
	const struct tpi_segment_set_entry *e = image->entry;
	struct tpi_snapshot_section *s;
	int err = add_section(w, TPI_SECTION_SEGMENT, e->map.bytes, fill_image,
			      image, &s);

	s->flags = (e->catalog ? TPI_SECTION_CATALOG : 0) |
		   (e->received ? TPI_SECTION_RECEIVED : 0) |
		   (e->writable ? TPI_SECTION_WRITABLE : 0);
	s->device = e->device;
	s->inode = e->inode;
	s->seals = e->seals;
	s->mode = e->mode;
	s->page_bytes = e->map.page_bytes;
	s->pid = (uint32_t)e->pid;
	w->report->memory_bytes += e->map.bytes;
	w->report->segments++;
	return err;
}

/* Every event of a position above reap was whole when its block was copied. */
static void note_states(struct tpi_snapshot_copy *copy)
{
	/* ORDER lane.reuse (load-load): the copies of blocks before the state. Pairs with
	 * side_output(), side_reserve(), and the sections' order of stores. */
	tpi_fence_load_load();
	for (uint32_t i = 0; i < copy->lane_count; i++) {
		struct tpi_snapshot_lane *l = &copy->lanes[i];
		const struct tpi_lane *lane =
			&copy->inspect->channels[l->channel]
				 .channel.lanes[l->lane];

		l->state_after = tpi_load_relaxed(&lane->shm->state);
	}
}

static int add_sections(struct writer *w)
{
	struct tpi_snapshot_copy *copy = w->copy;
	const struct tpi_segment_set *set = copy->inspect->set;
	struct tpi_snapshot_facts *facts = &copy->facts;
	struct tpi_snapshot_section *s;
	int err = 0;

	for (uint32_t i = 0; !err && i < copy->image_count; i++)
		err = add_segment(w, &copy->images[i]);
	if (err)
		return err;
	note_states(copy);
	facts->end_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	facts->end_monotonic_ns = tpi_clock_read_ns(CLOCK_MONOTONIC);
	if (w->options->no_events)
		facts->flags |= TPI_SNAPSHOT_NO_EVENTS;
	err = add_section(w, TPI_SECTION_FACTS, sizeof(*facts), fill_plain,
			  facts, &s);
	if (!err)
		err = add_section(w, TPI_SECTION_PROCESSES,
				  copy->process_count *
					  sizeof(*copy->processes),
				  fill_plain, copy->processes, &s);
	if (!err)
		err = add_section(w, TPI_SECTION_LANES,
				  copy->lane_count * sizeof(*copy->lanes),
				  fill_plain, copy->lanes, &s);
	if (!err && set->refusal_count)
		err = add_section(w, TPI_SECTION_REFUSALS,
				  set->refusal_count * sizeof(*set->refusals),
				  fill_plain, set->refusals, &s);
	return err;
}

static int add_header(struct writer *w)
{
	size_t bytes = w->section_count * sizeof(*w->sections);
	struct tpi_snapshot_header header = {
		.magic = TPI_SNAPSHOT_MAGIC,
		.version = TPI_SNAPSHOT_VERSION,
		.section_count = w->section_count,
		.file_bytes = w->end,
		.table_digest = tpi_snapshot_digest(1, w->sections, bytes),
	};
	int err;

	header.digest = tpi_snapshot_digest_header(&header);
	err = write_at(w, w->sections, bytes, TPI_SNAPSHOT_PAGE);
	if (!err)
		err = write_at(w, &header, sizeof(header), 0);
	if (!err && ftruncate(w->fd, (off_t)w->end))
		err = fail(w, -errno, "its length");
	return err;
}

/* ---- the file --------------------------------------------------------------------- */

/* Before any work, and again when the file gets its name. */
static int check_target(struct writer *w)
{
	struct stat st;

	if (lstat(w->path, &st))
		return errno == ENOENT ? 0 : fail(w, -errno, "looking at it");
	if (!S_ISREG(st.st_mode))
		return tpi_fail(-EINVAL, w->error, w->error_bytes,
				"%s: it is no regular file, and a snapshot is "
				"written to one",
				w->path);
	if (w->options->force)
		return 0;
	return tpi_fail(-EEXIST, w->error, w->error_bytes,
			"%s: it exists; --force overwrites it", w->path);
}

static int open_temporary(struct writer *w)
{
	char folder[PATH_MAX], name[PATH_MAX];
	int n;

	if (snprintf(folder, sizeof(folder), "%s", w->path) >=
	    (int)sizeof(folder))
		return fail(w, -ENAMETOOLONG, "its name");
	memcpy(name, folder, sizeof(name));
	snprintf(w->folder, sizeof(w->folder), "%s", dirname(folder));
	n = snprintf(w->temporary, sizeof(w->temporary), "%s/.%s.XXXXXX",
		     w->folder, basename(name));
	if (n < 0 || (size_t)n >= sizeof(w->temporary))
		return fail(w, -ENAMETOOLONG, "its name");
	/* 0600: it has events, and others may read the folder. */
	w->fd = mkostemp(w->temporary, O_CLOEXEC);
	if (w->fd < 0) {
		w->temporary[0] = 0;
		return fail(w, -errno, "making a file in its folder");
	}
	if (fchmod(w->fd, 0600))
		return fail(w, -errno, "its mode");
	return 0;
}

static int sync_folder(struct writer *w)
{
	int fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return fail(w, -errno, "its folder");
	/* Some file systems cannot. Then the name is as safe as any. */
	if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
		err = fail(w, -errno, "fsync of its folder");
	close(fd);
	return err;
}

static int give_name(struct writer *w)
{
	int err = check_target(w);

	if (err)
		return err;
	if (w->options->force)
		err = rename(w->temporary, w->path) ? -errno : 0;
	else
		err = renameat2(AT_FDCWD, w->temporary, AT_FDCWD, w->path,
				RENAME_NOREPLACE)
			      ? -errno
			      : 0;
	/* A file system without RENAME_NOREPLACE has links. */
	if (err == -EINVAL || err == -ENOSYS)
		err = link(w->temporary, w->path) ? -errno
						  : unlink(w->temporary);
	if (err)
		return fail(w, err, "its name");
	w->temporary[0] = 0;
	return sync_folder(w);
}

static int write_file(struct writer *w)
{
	/* A limit of file sizes is an error here, and no signal. */
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	uint64_t table;
	int err = open_temporary(w);

	if (err)
		return err;
	/* Facts, processes, lanes, refusals. */
	table = (w->copy->image_count + 4) * sizeof(*w->sections);
	w->sections = calloc(1, table);
	if (!w->sections)
		return -ENOMEM;
	w->end = TPI_SNAPSHOT_PAGE + tpi_snapshot_round(table);
	sigaction(SIGXFSZ, &ignore, &before);
	err = add_sections(w);
	if (!err)
		err = add_header(w);
	if (!err && fsync(w->fd))
		err = fail(w, -errno, "fsync");
	sigaction(SIGXFSZ, &before, NULL);
	return err ? err : give_name(w);
}

static void describe(const struct writer *w)
{
	const struct tpi_snapshot_copy *copy = w->copy;
	const uint32_t whole = TPI_LANE_WHOLE | TPI_LANE_TICKETS;

	w->report->file_bytes = w->end;
	w->report->lanes = copy->lane_count;
	for (uint32_t i = 0; i < copy->lane_count; i++)
		w->report->moved += (copy->lanes[i].flags & whole) != whole;
	w->report->catalog_whole =
		copy->facts.flags & TPI_SNAPSHOT_CATALOG_WHOLE;
	w->report->window_ns = (int64_t)(copy->facts.end_monotonic_ns -
					 copy->facts.begin_monotonic_ns);
}

int tpi_snapshot_write(const struct tpi_inspect *inspect, const char *path,
		       const struct tpi_snapshot_options *options,
		       struct tpi_snapshot_report *report, char *error,
		       size_t error_bytes)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct tpi_snapshot_copy copy = {0};
	int err;

	*report = (struct tpi_snapshot_report){0};
	if (error_bytes)
		*error = 0;
	if (!w)
		return -ENOMEM;
	w->copy = &copy;
	w->options = options;
	w->report = report;
	w->path = path;
	w->error = error;
	w->error_bytes = error_bytes;
	w->fd = -1;
	err = check_target(w);
	if (!err)
		err = tpi_snapshot_take(&copy, inspect);
	if (!err)
		err = write_file(w);
	if (!err)
		describe(w);
	if (*w->temporary)
		unlink(w->temporary);
	if (w->fd >= 0)
		close(w->fd);
	tpi_snapshot_drop(&copy);
	free(w->sections);
	free(w);
	return err;
}
