/* SPDX-License-Identifier: Apache-2.0 */
/* A broker's memory to break. See the header. */
#include "check_world.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/starts.h"
#include "tools/inspect/segment_set.h"

#define EVENTS   30
#define RELEASED 10

#define ANSWER_NS INT64_C(30000000000)

static const char config[] =
	"hugepages = never\n"
	"channel \"events\" {\n"
	"	class \"main\" { block = 64 blocks = 64 side_lanes = 2 "
	"side_blocks = 64 }\n"
	"}\n";

/* A reservation that is submitted on another CPU leaves a block behind. */
static void stay(void)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	ck_assert_int_ge(cpu, 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void use(struct check_world *w)
{
	struct tapio_view views[RELEASED];

	for (int i = 0; i < EVENTS; i++)
		ck_assert_int_eq(tapio_output(w->producer, TAPIO_TAG(1, 1), &i,
					      sizeof(i)),
				 0);
	ck_assert_int_eq(tapio_poll(w->consumer, views, RELEASED, 0), RELEASED);
	ck_assert_int_eq(tapio_release(w->consumer), 0);
	ck_assert_int_eq(
		tapio_reserve(w->producer, TAPIO_TAG(1, 1), 8, &w->held), 0);
}

static void find_lanes(struct check_world *w)
{
	const struct tpi_channel *channel = &w->inspect->channels[0].channel;

	w->busy = w->idle = NULL;
	for (uint32_t i = 0; i < channel->lane_count; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];

		if (TAPIO_STATE_HELD(tpi_lane_peek(lane)))
			w->busy = lane;
		else if (lane->cpu == TAPIO_CPU_SIDE)
			w->idle = lane;
	}
	ck_assert_ptr_nonnull(w->busy);
	ck_assert_ptr_nonnull(w->idle);
}

void check_world_look(struct check_world *w)
{
	struct tpi_inspect_options options = {.pid = w->broker.daemon.pid};
	char why[512];

	tpi_inspect_close(w->inspect);
	ck_assert_msg(
		!tpi_inspect_open(&w->inspect, &options, why, sizeof(why)),
		"%s", why);
}

/* A signal is on its way until the state says so. */
static void wait_stopped(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
}

void check_world_open(struct check_world *w)
{
	/* On a busy machine an answer may take long. */
	const struct tapio_options patient = {.size = sizeof(patient),
					      .answer_ns = ANSWER_NS};
	struct tapio_observer_options watching = {.size = sizeof(watching),
						  .broker = patient};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = patient,
		.group = "witness",
		.policy = TAPIO_GROUP_LOSSLESS,
	};

	memset(w, 0, sizeof(*w));
	test_broker_start(&w->broker, config);
	stay();
	ck_assert_int_eq(tapio_consumer_open(&w->consumer, "events", &options),
			 0);
	ck_assert_int_eq(tapio_producer_open(&w->producer, "events", &patient),
			 0);
	ck_assert_int_eq(tapio_observer_open(&w->observer, "events", &watching),
			 0);
	use(w);
	check_world_look(w);
	wait_for_known_starts(&w->inspect->catalog);
	ck_assert_int_eq(kill(w->broker.daemon.pid, SIGSTOP), 0);
	wait_stopped(w->broker.daemon.pid);
	check_world_look(w);
	find_lanes(w);
}

void check_world_close(struct check_world *w)
{
	tpi_inspect_close(w->inspect);
	test_broker_kill(&w->broker);
	test_broker_stop(&w->broker);
	tapio_producer_close(w->producer);
	tapio_consumer_close(w->consumer);
	tapio_observer_close(w->observer);
}

/* ---- the same memory, to be written ------------------------------------------------ */

static const struct tpi_segment_set_entry *entry_of(const struct check_world *w,
						    const void *word)
{
	const struct tpi_segment_set *set = w->inspect->set;
	const unsigned char *at = word;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct tpi_map *map = &set->entries[i].map;

		if (at >= map->base && at < map->base + map->bytes)
			return &set->entries[i];
	}
	ck_abort_msg("not in a segment");
}

/* The broker's own descriptor of a file. */
static int open_file(const struct check_world *w,
		     const struct tpi_segment_set_entry *e, int flags)
{
	struct dirent *link;
	char path[64];
	struct stat st;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", w->broker.daemon.pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (fd < 0 && (link = readdir(dir)))
		if (!fstatat(dirfd(dir), link->d_name, &st, 0) &&
		    st.st_dev == e->device && st.st_ino == e->inode)
			fd = openat(dirfd(dir), link->d_name, flags);
	closedir(dir);
	ck_assert_int_ge(fd, 0);
	return fd;
}

void *check_world_writable(const struct check_world *w, const void *word)
{
	const struct tpi_segment_set_entry *e = entry_of(w, word);
	int fd = open_file(w, e, O_RDWR | O_CLOEXEC);
	unsigned char *base = mmap(NULL, e->map.bytes, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, 0);

	close(fd);
	ck_assert_ptr_ne(base, MAP_FAILED);
	return base + ((const unsigned char *)word - e->map.base);
}

void check_world_copy(const struct check_world *w)
{
	const struct tpi_segment_set *set = w->inspect->set;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct tpi_map *map = &set->entries[i].map;
		int fd = open_file(w, &set->entries[i], O_RDONLY | O_CLOEXEC);

		ck_assert_ptr_eq(mmap(map->base, map->bytes,
				      PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_FIXED, fd, 0),
				 map->base);
		close(fd);
	}
}

/* ---- checks ------------------------------------------------------------------------ */

void check_world_check(const struct check_world *w,
		       struct tpi_check_report *report)
{
	const struct tpi_check_options options = {.processes = true};

	ck_assert_int_eq(tpi_check(w->inspect, &options, report), 0);
}

void check_world_expect_clean(const struct tpi_inspect *inspect,
			      const struct tpi_check_report *report)
{
	char line[1024];

	for (uint32_t i = 0; i < report->count; i++) {
		tpi_finding_print(inspect, &report->findings[i], line,
				  sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	ck_assert_uint_eq(report->count, 0);
	ck_assert_uint_eq(report->left_out, 0);
}
