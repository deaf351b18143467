/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Believing nothing: offsets, headers, region tables, names and classes.
 *
 * Called by layout_attach.c for segments that come from elsewhere, and by the
 * makers of segments, for the values of the configuration. A field in shared
 * memory is copied, word by word and once, and only the copy is looked at: a
 * peer that changes a field between a check and its use changes nothing.
 * Nothing here writes to a segment.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/memory/layout_inner.h"
#include "lib/base/versions.h"

int tpi_report(const struct tpi_report *report, int err, const char *format,
	       ...)
{
	char text[320];
	va_list args;

	if (!report->error_bytes)
		return err;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return tpi_fail(err, report->error, report->error_bytes, "%s: %s",
			report->subject, text);
}

struct tpi_report tpi_report_node(const struct tpi_report *report,
				  uint32_t node_index)
{
	struct tpi_report one = *report;

	if (!report->error_bytes)
		return one;
	snprintf(one.subject, sizeof(one.subject), "%.80s, node %" PRIu32,
		 report->subject, node_index);
	return one;
}

void *tpi_offset(const struct tpi_map *map, uint64_t offset, uint64_t bytes,
		 uint64_t align)
{
	if (!map->base || bytes > map->bytes || offset > map->bytes - bytes ||
	    (offset & (align - 1)))
		return NULL;
	return map->base + offset;
}

void tpi_copy_once(void *copy, const void *shared, size_t bytes)
{
	const uint64_t *from = shared;
	unsigned char *to = copy;
	uint64_t word;

	/* Relaxed: READY was loaded with acquire, and no field vouches for
	 * another. Atomic only so that the compiler loads each word once. */
	for (size_t i = 0; i < bytes / sizeof(word); i++) {
		word = tpi_load_relaxed(&from[i]);
		memcpy(to + i * sizeof(word), &word, sizeof(word));
	}
}

/* The first questions. Until magic and READY are right, nothing has a meaning. */
static int load_header(struct tapio_shm_header *header,
		       const struct tpi_map *map,
		       const struct tpi_report *report)
{
	struct tapio_shm_header *shared;
	uint64_t magic;
	uint32_t ready;

	shared = tpi_offset(map, 0, sizeof(*shared), 8);
	if (!shared)
		return tpi_report(report, -EBADMSG,
				  "truncated: %" PRIu64
				  " bytes, a header has %zu",
				  map->bytes, sizeof(*shared));
	magic = tpi_load_relaxed(&shared->magic);
	if (magic != TAPIO_SEGMENT_MAGIC)
		return tpi_report(report, -EBADMSG,
				  "not a catalog: magic 0x%016" PRIx64
				  ", expected 0x%016" PRIx64,
				  magic, TAPIO_SEGMENT_MAGIC);
	/*
	 * ORDER segment.ready (acquire): all that was written before READY is
	 * seen below. Pairs with the release in tpi_catalog_build().
	 */
	ready = tpi_load_acquire(&shared->ready);
	if (ready != TAPIO_SEGMENT_READY)
		return tpi_report(report, -EBADMSG,
				  "not ready: 0x%08" PRIx32
				  ", expected 0x%08" PRIx32,
				  ready, TAPIO_SEGMENT_READY);
	tpi_copy_once(header, shared, sizeof(*header));
	return 0;
}

static int check_version(const struct tapio_shm_header *header,
			 const struct tpi_report *report)
{
	uint64_t unknown = header->incompat & ~TPI_INCOMPAT_KNOWN;

	if (!TAPIO_ABI_READABLE(header->abi_major, header->abi_minor))
		return tpi_report(
			report, -EPROTONOSUPPORT,
			"layout version %u.%u, this program knows "
			"%u.%u and no older one than %u.%u: " TPI_VERSIONS_REMEDY,
			header->abi_major, header->abi_minor, TAPIO_ABI_MAJOR,
			TPI_ABI_MINOR, TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR_LEAST);
	if (unknown)
		return tpi_report(
			report, -EPROTONOSUPPORT,
			"unknown incompatible features 0x%" PRIx64
			" of layout version %u.%u, this program knows "
			"%u.%u, known are 0x%" PRIx64 ": " TPI_VERSIONS_REMEDY,
			unknown, header->abi_major, header->abi_minor,
			TAPIO_ABI_MAJOR, TPI_ABI_MINOR, TPI_INCOMPAT_KNOWN);
	return 0;
}

static int load_regions(struct tpi_view *view, const struct tpi_report *report)
{
	const struct tapio_shm_header *header = &view->header;
	const void *table;
	uint64_t bytes;

	if (header->region_count > TAPIO_REGIONS_MAX)
		return tpi_report(report, -EBADMSG,
				  "%" PRIu32 " regions, the limit is %d",
				  header->region_count, TAPIO_REGIONS_MAX);
	bytes = header->region_count * sizeof(view->regions[0]);
	table = tpi_offset(view->map, header->region_offset, bytes, 8);
	if (!table || header->region_offset < sizeof(*header))
		return tpi_report(
			report, -EBADMSG,
			"region table of %" PRIu64 " bytes at %" PRIu64
			" is not inside the segment's %" PRIu64
			" bytes or lies in its header",
			bytes, header->region_offset, view->map->bytes);
	memset(view->regions, 0, sizeof(view->regions));
	tpi_copy_once(view->regions, table, bytes);
	return 0;
}

int tpi_view_open(struct tpi_view *view, const struct tpi_map *map,
		  const struct tpi_report *report)
{
	int err;

	view->map = map;
	err = load_header(&view->header, map, report);
	if (!err)
		err = check_version(&view->header, report);
	if (err)
		return err;
	if (view->header.length_bytes != map->bytes)
		return tpi_report(report, -EBADMSG,
				  "the header says %" PRIu64
				  " bytes, the mapping has %" PRIu64,
				  view->header.length_bytes, map->bytes);
	return load_regions(view, report);
}

/* The one region of that kind, or NULL. Two of them are an error. */
static int find_region(const struct tpi_view *view, uint32_t kind,
		       const struct tapio_shm_region **found,
		       const struct tpi_report *report)
{
	*found = NULL;
	for (uint32_t i = 0; i < view->header.region_count; i++) {
		if (view->regions[i].kind != kind)
			continue;
		if (*found)
			return tpi_report(report, -EBADMSG,
					  "two regions of kind %" PRIu32, kind);
		*found = &view->regions[i];
	}
	return 0;
}

int tpi_view_section(const struct tpi_view *view, uint32_t kind, uint64_t bytes,
		     uint64_t least, void **records, uint64_t *count,
		     const struct tpi_report *report)
{
	const struct tapio_shm_region *region;
	int err = find_region(view, kind, &region, report);

	*records = NULL;
	*count = 0;
	if (err)
		return err;
	if (!region || region->count < least) {
		if (!least)
			return 0;
		return tpi_report(report, -EBADMSG,
				  "region %" PRIu32 " has %" PRIu64
				  " records, needed %" PRIu64,
				  kind, region ? region->count : 0, least);
	}
	/* Records keep their size within a major version. */
	if (region->stride != bytes)
		return tpi_report(report, -EBADMSG,
				  "region %" PRIu32 " has records of %" PRIu64
				  " bytes, expected %" PRIu64,
				  kind, region->stride, bytes);
	if (region->count <= view->map->bytes / bytes &&
	    region->offset >= sizeof(struct tapio_shm_header))
		*records = tpi_offset(view->map, region->offset,
				      region->count * bytes, TAPIO_CACHE_LINE);
	if (!*records)
		return tpi_report(report, -EBADMSG,
				  "region %" PRIu32 ": %" PRIu64
				  " records of %" PRIu64 " bytes at %" PRIu64
				  " are not inside the segment's %" PRIu64
				  " bytes, lie in its header or off a "
				  "multiple of %d",
				  kind, region->count, bytes, region->offset,
				  view->map->bytes, TAPIO_CACHE_LINE);
	*count = region->count;
	return 0;
}

int tpi_name_check(const char *name, size_t bytes,
		   const struct tpi_report *report, const char *what)
{
	size_t length = strnlen(name, bytes);

	if (!length)
		return tpi_report(report, -EINVAL, "%s is empty", what);
	if (length == bytes)
		return tpi_report(report, -EINVAL,
				  "%s is longer than %zu bytes", what,
				  bytes - 1);
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return tpi_report(report, -EINVAL,
					  "%s has the byte 0x%02x", what,
					  (unsigned char)name[i]);
	return 0;
}

static int check_count(const struct tapio_shm_class *klass, const char *what,
		       uint32_t count, const struct tpi_report *report)
{
	if (count >= TPI_BLOCKS_MIN && count <= TAPIO_BLOCKS_MAX &&
	    !(count & (count - 1)))
		return 0;
	return tpi_report(
		report, -EINVAL,
		"class `%.15s`: %s %" PRIu32 " is not a power of two in %d..%d",
		klass->name, what, count, TPI_BLOCKS_MIN, TAPIO_BLOCKS_MAX);
}

int tpi_class_check(const struct tapio_shm_class *klass,
		    const struct tpi_report *report)
{
	int err = tpi_name_check(klass->name, sizeof(klass->name), report,
				 "a class name");

	if (err)
		return err;
	if (!klass->block_bytes || klass->block_bytes % TAPIO_CACHE_LINE ||
	    klass->block_bytes > TAPIO_BLOCK_BYTES_MAX)
		return tpi_report(report, -EINVAL,
				  "class `%.15s`: block_bytes %" PRIu32
				  " is not a multiple of %d in %d..%d",
				  klass->name, klass->block_bytes,
				  TAPIO_CACHE_LINE, TAPIO_CACHE_LINE,
				  TAPIO_BLOCK_BYTES_MAX);
	if (klass->side_lanes > TPI_SIDE_LANES_MAX)
		return tpi_report(report, -EINVAL,
				  "class `%.15s`: side_lanes %" PRIu32
				  ", the limit is %d",
				  klass->name, klass->side_lanes,
				  TPI_SIDE_LANES_MAX);
	err = check_count(klass, "block_count", klass->block_count, report);
	if (!err && klass->side_lanes)
		err = check_count(klass, "side_count", klass->side_count,
				  report);
	return err;
}
