/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to disks: to one of our own, a loop device on a file, so that all of its requests are
 * known.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/cli/ebpf_rig.h"

#define DISK_BYTES  (1 << 20)
#define WRITE_BYTES (1 << 16)

static struct ebpf_rig rig;

/* The disk, open and ours until the end of main(). */
static struct {
	int fd;
	char name[16];
	unsigned int major;
	unsigned int minor;
} disk = {.fd = -1};

/* ---- the disk ------------------------------------------------------------------------ */

static int backing_file(void)
{
	char path[] = "/tmp/tapio-disk-XXXXXX";
	int file = mkstemp(path);

	unlink(path);
	if (file >= 0 && ftruncate(file, DISK_BYTES)) {
		close(file);
		return -1;
	}
	return file;
}

/* Another process may take the free number first. False: errno. */
static bool attach(int control, int file)
{
	char path[32];

	for (int i = 0; i < 20; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return false;
		snprintf(disk.name, sizeof(disk.name), "loop%d", number);
		snprintf(path, sizeof(path), "/dev/%s", disk.name);
		disk.fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (disk.fd < 0)
			return false;
		if (!ioctl(disk.fd, LOOP_SET_FD, file))
			return true;
		close(disk.fd);
		disk.fd = -1;
		if (errno != EBUSY)
			return false;
	}
	return false;
}

/* False: this host gives us none. It was told why. */
static bool make_disk(void)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int file = control < 0 ? -1 : backing_file();
	struct stat st;

	if (file < 0 || !attach(control, file)) {
		printf("no loop device can be made here: %s\n",
		       strerror(errno));
		return false;
	}
	close(file);
	close(control);
	if (fstat(disk.fd, &st))
		return false;
	disk.major = major(st.st_rdev);
	disk.minor = minor(st.st_rdev);
	return true;
}

static void write_to_disk(void)
{
	void *block;

	ck_assert_int_eq(posix_memalign(&block, 4096, WRITE_BYTES), 0);
	memset(block, 1, WRITE_BYTES);
	ck_assert_int_eq(pwrite(disk.fd, block, WRITE_BYTES, WRITE_BYTES),
			 WRITE_BYTES);
	free(block);
}

/* ---- what was told of it --------------------------------------------------------------- */

struct told {
	uint64_t requests;
	uint64_t written_bytes;
	uint64_t sector; /* the lowest one that was written */
};

static void look_at_request(const struct tapio_event_block_io *io,
			    struct told *told)
{
	told->requests++;
	ck_assert_uint_gt(io->latency_ns, 0);
	ck_assert(io->queue_ns == UINT64_MAX || io->queue_ns <= io->latency_ns);
	ck_assert_int_eq(io->error, 0);
	ck_assert_str_eq(ebpf_text(&io->device), disk.name);
	if (io->operation != TAPIO_BLOCK_WRITE)
		return;
	told->written_bytes += io->length_bytes;
	if (io->sector < told->sector)
		told->sector = io->sector;
}

static struct told look_at_requests(void)
{
	struct told told = {.sector = UINT64_MAX};
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_BLOCK_IO, 0))) {
		const struct tapio_event_block_io *io =
			tapio_event_view_fields(view, TAPIO_EVENT_BLOCK_IO);

		if (io->major == disk.major && io->minor == disk.minor)
			look_at_request(io, &told);
	}
	return told;
}

static uint64_t in_histograms(void)
{
	const struct tapio_event_view *view;
	uint64_t sum = 0;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_LATENCY, 0))) {
		const struct tapio_event_latency *l =
			tapio_event_view_fields(view, TAPIO_EVENT_LATENCY);
		const size_t length = strlen(disk.name);
		const char *device = ebpf_text(&l->device);

		if (strncmp(device, disk.name, length) || device[length] != ' ')
			continue;
		ck_assert_uint_eq(l->subject, TAPIO_LATENCY_BLOCK_IO);
		ck_assert_uint_eq(ebpf_slots(view), l->count);
		sum += l->count;
	}
	return sum;
}

static void run_with_threshold(int64_t slow_ns)
{
	struct tpi_count counts[TPI_EBPF_ALL_KINDS + 1];

	ebpf_rig_open(&rig, 4096);
	rig.values.slow_io_ns = slow_ns;
	rig.values.sources = 1U << TPI_EBPF_SOURCE_BLOCK;
	ebpf_rig_begin(&rig);
	ebpf_rig_read(&rig);
	write_to_disk();
	/* A second histogram has what came since the first. */
	ebpf_pause_ms((long)(rig.values.interval_ns / 1000000));
	tpi_ebpf_run_step(&rig.run, rig.producer);
	write_to_disk();
	ebpf_rig_end(&rig);
	ebpf_rig_counts(&rig, counts);
	ck_assert_uint_eq(counts[TPI_EBPF_BLOCK].lost, 0);
}

START_TEST(each_request_is_told_of_and_in_the_histogram)
{
	struct told told;

	run_with_threshold(0);
	told = look_at_requests();
	ck_assert_uint_eq(told.written_bytes, 2 * WRITE_BYTES);
	ck_assert_uint_eq(told.sector, WRITE_BYTES / 512);
	ck_assert_uint_eq(in_histograms(), told.requests);
	ebpf_rig_close(&rig);
}
END_TEST

START_TEST(below_the_threshold_a_request_is_in_the_histogram_alone)
{
	run_with_threshold(INT64_C(3600000000000));
	ck_assert_uint_eq(look_at_requests().requests, 0);
	ck_assert_uint_ge(in_histograms(), 2);
	ebpf_rig_close(&rig);
}
END_TEST

int main(void)
{
	TCase *tests;
	int status;

	if (!ebpf_load(1U << TPI_EBPF_SOURCE_BLOCK) || !make_disk())
		return 77;
	tests = tcase_create("block");
	tcase_add_test(tests, each_request_is_told_of_and_in_the_histogram);
	tcase_add_test(tests,
		       below_the_threshold_a_request_is_in_the_histogram_alone);
	status = ebpf_run_case("ebpf_block", tests);
	ioctl(disk.fd, LOOP_CLR_FD);
	close(disk.fd);
	return status;
}
