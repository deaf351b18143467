/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making segments: the ladder of memory.
 *
 *   HUGETLB  memfd of the 2 MiB pool
 *   THP      shmem, MADV_HUGEPAGE; counts only if smaps shows huge pages
 *   PAGES    shmem
 *
 * Called by the broker and by tests. A rung is tried whole, from memfd_create
 * to the read-only fd. If any step fails, all of it is undone, its errno goes
 * to the report and the next rung is tried. Invariant: an fd leaves this file
 * only when every page is there, the length is sealed and the read-only one has
 * been seen to refuse a writable mapping. So a process that maps a segment gets
 * no SIGBUS, needs no hugetlb limit of its own and cannot write where it must
 * not.
 *
 * Pages are faulted in through the mapping and not by fallocate: that ignores
 * the mapping's NUMA policy.
 */
#include "lib/memory/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/memory/cgroup.h"
#include "lib/memory/segment_place.h"
#include "lib/base/sys.h"

#define HUGE_BYTES (UINT64_C(2) << 20)

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* One request at work. `notes` collects what each failed rung said. */
struct maker {
	const struct tpi_segment_request *request;
	struct tpi_segment *segment;
	unsigned int rung;
	uint64_t bytes; /* rounded up to this rung's page */
	size_t notes_used;
	char notes[1280];
};

static const char *const rung_names[] = {
	[TAPIO_RUNG_HUGETLB] = "2 MiB pages",
	[TAPIO_RUNG_THP] = "huge shmem pages",
	[TAPIO_RUNG_PAGES] = "shmem pages",
};

/* Adds to the notes and returns `err`, as tpi_fail() does. */
__attribute__((format(printf, 3, 4))) static int
note(struct maker *maker, int err, const char *format, ...)
{
	size_t room = sizeof(maker->notes) - maker->notes_used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(maker->notes + maker->notes_used, room, format, args);
	va_end(args);
	if (n > 0)
		maker->notes_used += (size_t)n < room ? (size_t)n : room - 1;
	return err;
}

static int note_step(struct maker *maker, int err, const char *step)
{
	return note(maker, err, "%s: %s of %" PRIu64 " bytes: %s",
		    rung_names[maker->rung], step, maker->bytes,
		    strerror(-err));
}

/* The hugetlb pool, or memory, did not have it: say how much there was. */
static int note_shortage(struct maker *maker, int err, const char *step)
{
	uint64_t wanted = maker->bytes / HUGE_BYTES;
	int64_t unused = tpi_place_pool_free(maker->request->node);

	if (maker->rung != TAPIO_RUNG_HUGETLB)
		return note_step(maker, err, step);
	if (unused < 0)
		return note(maker, err,
			    "2 MiB pages: %" PRIu64 " wanted, no pool (%s: %s)",
			    wanted, step, strerror(-err));
	return note(maker, err,
		    "2 MiB pages: %" PRIu64 " wanted, %" PRId64
		    " free in the pool (%s: %s)",
		    wanted, unused, step, strerror(-err));
}

static int round_up(uint64_t bytes, uint64_t page, uint64_t *rounded)
{
	if (bytes > (uint64_t)INT64_MAX - (page - 1))
		return -EFBIG;
	*rounded = (bytes + page - 1) & ~(page - 1);
	return 0;
}

static int open_memfd(struct maker *maker)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (maker->rung == TAPIO_RUNG_HUGETLB)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	/* Wanted by vm.memfd_noexec. Unknown before Linux 6.3. */
	fd = tpi_sys_memfd_create(maker->request->name,
				  flags | MFD_NOEXEC_SEAL);
	if (fd == -EINVAL)
		fd = tpi_sys_memfd_create(maker->request->name, flags);
	if (fd < 0)
		return note_step(maker, fd, "memfd_create");
	maker->segment->fd = fd;
	return 0;
}

/* A memfd is born 0777 and can be opened again through /proc by all that its
 * mode allows. */
static int set_mode(struct maker *maker)
{
	struct stat st;
	int err = tpi_sys_fchmod(maker->segment->fd, 0600);

	if (err)
		return note_step(maker, err, "fchmod 0600");
	if (fstat(maker->segment->fd, &st))
		return note_step(maker, -errno, "fstat");
	if ((st.st_mode & 07777) != 0600)
		return note(maker, -EPERM, "%s: mode is 0%o after fchmod 0600",
			    rung_names[maker->rung], st.st_mode & 07777);
	return 0;
}

static uint64_t file_size_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) ? INT64_MAX : limit.rlim_cur;
}

static int map_whole(struct maker *maker, uint64_t page)
{
	struct tpi_segment *segment = maker->segment;
	void *base;
	int err;

	err = tpi_sys_ftruncate(segment->fd, maker->bytes);
	if (err == -EFBIG)
		return note(
			maker, err,
			"%s: RLIMIT_FSIZE (ulimit -f) allows files of %" PRIu64
			" bytes, and %" PRIu64 " are needed",
			rung_names[maker->rung], file_size_limit(),
			maker->bytes);
	if (err)
		return note_step(maker, err, "ftruncate");
	err = tpi_sys_mmap(&base, maker->bytes, PROT_READ | PROT_WRITE,
			   segment->fd);
	if (err)
		return note_shortage(maker, err, "mmap");
	segment->map =
		(struct tpi_map){base, maker->bytes, true, (uint32_t)page};
	/* Where it is refused, core dumps are long. Nothing else is lost. */
	(void)tpi_sys_madvise(base, maker->bytes, MADV_DONTDUMP);
	return 0;
}

/*
 * Overcommitted shmem does not fail, it gets somebody killed: ask before. An
 * estimate is enough, what it lets through is the kernel's to refuse.
 */
static int check_available(struct maker *maker)
{
	const struct tapio_shm_segment *report = &maker->segment->report;
	bool bound = report->node != UINT32_MAX &&
		     report->placement != TAPIO_PLACED_UNBOUND;
	int node = bound ? maker->request->node : -1;
	uint64_t available = tpi_place_available(node);

	if (maker->rung == TAPIO_RUNG_HUGETLB || maker->bytes <= available)
		return 0;
	return note(maker, -ENOMEM,
		    "%s: %" PRIu64 " bytes wanted, %" PRIu64 " available",
		    rung_names[maker->rung], maker->bytes, available);
}

static int compare_with(struct maker *maker,
			const struct tpi_cgroup_limit *limit)
{
	if (maker->bytes <= limit->room_bytes)
		return 0;
	return note(maker, -EDQUOT,
		    "%s: %" PRIu64 " bytes wanted, %" PRIu64 " of %" PRIu64
		    " bytes are left in the cgroup (%s)",
		    rung_names[maker->rung], maker->bytes, limit->room_bytes,
		    limit->limit_bytes, limit->file);
}

/*
 * A cgroup's limit is found out by the OOM killer, or by mmap without a reason. It is
 * asked for each segment, because others in the group take memory, too.
 */
static int check_cgroup(struct maker *maker)
{
	const struct tpi_cgroups *cgroups = maker->request->cgroups;
	bool huge = maker->rung == TAPIO_RUNG_HUGETLB;
	struct tpi_cgroup_limit limit;
	int err = 0;

	if (!cgroups)
		return 0;
	if (huge) {
		tpi_cgroup_read_huge(cgroups, &limit);
		err = compare_with(maker, &limit);
	}
	if (!err && (!huge || cgroups->memory_has_huge)) {
		tpi_cgroup_read(cgroups, TPI_CGROUP_MEMORY, &limit);
		err = compare_with(maker, &limit);
	}
	return err;
}

static int fill_with_pages(struct maker *maker)
{
	struct tpi_segment *segment = maker->segment;
	int err;

	tpi_place_bind(&segment->map, &segment->report);
	if (maker->rung == TAPIO_RUNG_THP) {
		err = tpi_sys_madvise(segment->map.base, maker->bytes,
				      MADV_HUGEPAGE);
		if (err)
			return note_step(maker, err, "MADV_HUGEPAGE");
	}
	err = check_available(maker);
	if (err)
		return err;
	err = tpi_place_populate(&segment->map, maker->rung);
	if (err)
		return note_shortage(maker, err, "MADV_POPULATE_WRITE");
	tpi_place_verify(&segment->map, &segment->report);
	return 0;
}

static int seal(struct maker *maker)
{
	struct tpi_segment *segment = maker->segment;
	int wanted = maker->request->seals_later ? TPI_SEALS_LENGTH : TPI_SEALS;
	int seals, err = tpi_sys_add_seals(segment->fd, wanted);

	if (err)
		return note_step(maker, err, "F_ADD_SEALS");
	seals = tpi_sys_get_seals(segment->fd);
	if (seals < 0)
		return note_step(maker, seals, "F_GET_SEALS");
	if ((seals & wanted) != wanted)
		return note(maker, -EPERM, "%s: seals are 0x%x, 0x%x were set",
			    rung_names[maker->rung], (unsigned int)seals,
			    (unsigned int)wanted);
	segment->report.seals = (uint32_t)seals;
	return 0;
}

int tpi_segment_seal(struct tpi_segment *segment)
{
	int seals, err = tpi_sys_add_seals(segment->fd,
					   F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);

	if (err)
		return err;
	seals = tpi_sys_get_seals(segment->fd);
	if (seals < 0)
		return seals;
	segment->report.seals = (uint32_t)seals;
	return (seals & TPI_SEALS_OWN) == TPI_SEALS_OWN ? 0 : -EPERM;
}

int tpi_fd_check_readonly(int fd, uint64_t bytes, char *error,
			  size_t error_bytes)
{
	struct stat st;
	void *base;
	int err;

	if (fstat(fd, &st))
		return tpi_fail(-errno, error, error_bytes,
				"fstat of fd %d: %s", fd, strerror(errno));
	if ((st.st_mode & 07777) != 0600)
		return tpi_fail(-EACCES, error, error_bytes,
				"fd %d: mode 0%o, must be 0600", fd,
				st.st_mode & 07777);
	err = tpi_sys_mmap(&base, bytes, PROT_READ | PROT_WRITE, fd);
	if (!err) {
		munmap(base, bytes);
		return tpi_fail(-EACCES, error, error_bytes,
				"read-only fd %d could be mapped writable, so "
				"readers could write events",
				fd);
	}
	if (err != -EACCES)
		return tpi_fail(err, error, error_bytes,
				"read-only fd %d: a writable mmap failed with "
				"\"%s\", expected \"%s\"",
				fd, strerror(-err), strerror(EACCES));
	return 0;
}

static int open_readonly(struct maker *maker)
{
	struct tpi_segment *segment = maker->segment;
	char reason[128];
	int err;

	segment->fd_ro = tpi_sys_reopen(segment->fd, O_RDONLY);
	if (segment->fd_ro < 0)
		return note_step(maker, segment->fd_ro,
				 "read-only reopening through /proc");
	err = tpi_fd_check_readonly(segment->fd_ro, maker->bytes, reason,
				    sizeof(reason));
	if (err)
		return note(maker, err, "%s: %s", rung_names[maker->rung],
			    reason);
	return 0;
}

/* The facts that are known before the first step. Errnos of earlier rungs
 * stay. */
static void begin_report(struct maker *maker, uint64_t page)
{
	struct tapio_shm_segment *report = &maker->segment->report;
	int32_t errnos[TAPIO_RUNGS];

	memcpy(errnos, report->rung_errno, sizeof(errnos));
	*report = (struct tapio_shm_segment){
		.node = (uint32_t)maker->request->node,
		.length_bytes = maker->bytes,
		.page_bytes = page,
		.rung = maker->rung,
		.placement = TAPIO_PLACED_UNCHECKED,
	};
	memcpy(report->rung_errno, errnos, sizeof(errnos));
}

/*
 * Huge pages as measured. Shmem without a single one is a segment of plain
 * pages whatever was asked for, and is reported as that.
 */
static int measure_huge(struct maker *maker)
{
	struct tapio_shm_segment *report = &maker->segment->report;

	if (maker->rung == TAPIO_RUNG_HUGETLB)
		report->huge_bytes = maker->bytes;
	if (maker->rung != TAPIO_RUNG_THP)
		return 0;
	report->huge_bytes = tpi_place_huge_bytes(&maker->segment->map);
	if (report->huge_bytes)
		return 0;
	note(maker, 0,
	     "%s: 0 of %" PRIu64 " bytes are huge "
	     "(transparent_hugepage/shmem_enabled?)",
	     rung_names[maker->rung], maker->bytes);
	report->rung_errno[TAPIO_RUNG_THP] = EOPNOTSUPP;
	if (maker->request->no_fallback)
		return -EOPNOTSUPP;
	report->rung = TAPIO_RUNG_PAGES;
	return 0;
}

/* By which others know the file again. */
static int name_file(struct maker *maker)
{
	struct tapio_shm_segment *report = &maker->segment->report;
	struct stat st;

	if (fstat(maker->segment->fd, &st))
		return note(maker, -errno, "fstat: %s", strerror(errno));
	report->device = st.st_dev;
	report->inode = st.st_ino;
	return 0;
}

static int try_rung(struct maker *maker)
{
	uint64_t page = maker->rung == TAPIO_RUNG_HUGETLB
				? HUGE_BYTES
				: (uint64_t)sysconf(_SC_PAGESIZE);
	int err = round_up(maker->request->bytes, page, &maker->bytes);

	if (err)
		return note(maker, err, "%" PRIu64 " bytes wanted",
			    maker->request->bytes);
	begin_report(maker, page);
	err = check_cgroup(maker);
	if (!err)
		err = open_memfd(maker);
	if (!err)
		err = name_file(maker);
	if (!err)
		err = set_mode(maker);
	if (!err)
		err = map_whole(maker, page);
	if (!err)
		err = fill_with_pages(maker);
	if (!err)
		err = seal(maker);
	if (!err)
		err = open_readonly(maker);
	if (!err)
		err = measure_huge(maker);
	return err;
}

/* Closes everything but keeps the report: it has the errnos of the rungs. */
static void undo(struct tpi_segment *segment)
{
	tpi_map_close(&segment->map);
	if (segment->fd_ro >= 0)
		close(segment->fd_ro);
	if (segment->fd >= 0)
		close(segment->fd);
	segment->fd = -1;
	segment->fd_ro = -1;
}

static int climb_down(struct maker *maker)
{
	const struct tpi_segment_request *request = maker->request;
	int err;

	for (maker->rung = request->first_rung;; maker->rung++) {
		if (maker->notes_used)
			note(maker, 0, "; ");
		err = try_rung(maker);
		if (!err)
			return 0;
		undo(maker->segment);
		maker->segment->report.rung_errno[maker->rung] = -err;
		if (request->no_fallback || maker->rung == TAPIO_RUNG_PAGES)
			return err;
	}
}

int tpi_segment_create(struct tpi_segment *segment,
		       const struct tpi_segment_request *request, char *error,
		       size_t error_bytes)
{
	struct maker maker = {.request = request, .segment = segment};
	char where[32] = "";
	int err;

	*segment = (struct tpi_segment){.fd = -1, .fd_ro = -1};
	if (error && error_bytes)
		error[0] = '\0';
	if (!request->bytes || request->first_rung > TAPIO_RUNG_PAGES ||
	    request->node < -1)
		return tpi_fail(-EINVAL, error, error_bytes,
				"segment `%s`: %" PRIu64
				" bytes, first rung %u of 0..%u, node %d",
				request->name, request->bytes,
				request->first_rung, TAPIO_RUNG_PAGES,
				request->node);
	err = climb_down(&maker);
	if (request->node >= 0)
		snprintf(where, sizeof(where), ", node %d", request->node);
	if (maker.notes_used)
		tpi_fail(err, error, error_bytes, "segment `%s`%s: %s",
			 request->name, where, maker.notes);
	return err;
}

void tpi_segment_destroy(struct tpi_segment *segment)
{
	/* All zero is what a caller has that made none: two fds are not both 0. */
	if (segment->fd == 0 && segment->fd_ro == 0)
		segment->fd = segment->fd_ro = -1;
	undo(segment);
	segment->report = (struct tapio_shm_segment){0};
}
