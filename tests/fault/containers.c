/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker, producers, consumers and tools in containers of their own, which share nothing but
 * the mounted directory of the socket (container.h): docs/guide/containers.md. Brokers,
 * clients and whole containers are killed, paused and made again, and the ledger is exact.
 *
 * The numbers of other PID namespaces are 0 for a broker in a container. So all that it knows
 * of its clients' lives here are their pidfds.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tapio/consumer.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/cpu_lanes.h"
#include "tests/fault/container_cgroup.h"
#include "tests/fault/container_world.h"

/* ---- kinds of containers --------------------------------------------------------------------- */

static const struct container_spec docker_20 = {.profile = DOCKER_20};
static const struct container_spec docker_28 = {.profile = DOCKER_28};
/* With users of their own: root and a plain user. */
static const struct container_spec remapped = {.profile = DOCKER_28,
					       .users = "0 100000 2000"};
static const struct container_spec plain = {
	.profile = DOCKER_28, .users = "0 100000 2000", .uid = 1000};
/* For a broker there, all other users are 65534. */
static const struct container_spec remapped_broker = {
	.profile = DOCKER_28, .users = "0 200000 1000", .uid = 500};
/* As the manifest of the page has it. */
static const struct container_spec kubernetes = {.profile = DOCKER_28,
						 .bare = true};

static const struct kind {
	const struct container_spec *broker; /* NULL: on the host */
	const struct container_spec *clients;
	const char *says; /* in the log of the broker */
} kinds[] = {
	{&docker_20, &docker_20, "io_uring"},
	{&docker_28, &docker_28, "epoll"},
	{&kubernetes, &remapped, "(uid 100000)"},
	{&remapped_broker, &plain, "(uid 65534)"},
	{NULL, &plain, "(uid 101000)"},
	{NULL, &docker_28, "not trusted as an owner"},
};
#define KINDS (int)(sizeof(kinds) / sizeof(kinds[0]))

/* ---- one socket is enough -------------------------------------------------------------------- */

static ino_t namespace_of(pid_t pid, const char *kind)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

/* They share no namespace with the test or with one another. */
static void are_apart(const struct container *a, const struct container *b,
		      bool users)
{
	static const char *const names[] = {"mnt", "pid",    "ipc", "net",
					    "uts", "cgroup", "user"};

	for (int i = 0; i < (users ? 7 : 6); i++) {
		ino_t of_a = namespace_of(a->init, names[i]);

		ck_assert_uint_ne(of_a, namespace_of(b->init, names[i]));
		ck_assert_uint_ne(of_a, namespace_of(getpid(), names[i]));
	}
}

/* Of the broker. The last one is what it tries before it takes epoll. */
static const struct {
	int number;
	const char *name;
} refused_calls[] = {
	{SYS_mbind, "`mbind`"},
	{SYS_get_mempolicy, "`get_mempolicy`"},
	{SYS_move_pages, "`move_pages`"},
	{SYS_io_uring_setup, "`io_uring_setup`"},
};

/* The profile has refused the first `count` of these calls, and no other. */
static void refuses(const struct container *container, int count)
{
	for (int number = 0; number < DOCKER_CALLS; number++) {
		bool wanted = false;

		for (int i = 0; i < count; i++)
			wanted |= refused_calls[i].number == number;
		ck_assert_msg(container_refused(container, number) == wanted,
			      "call %d is %srefused", number,
			      wanted ? "not " : "");
	}
	for (int i = 0; i < count; i++)
		ck_assert_ptr_nonnull(strstr(page(), refused_calls[i].name));
}

START_TEST(all_pass_through_the_socket_alone)
{
	const struct kind *kind = &kinds[_i];

	start_broker(kind->broker);
	start_consumer(0, kind->clients);
	start_producer(0, kind->clients);
	start_producer(1, kind->clients);
	are_apart(&producers[0], &consumers[0], kind->clients->users);
	if (kind->broker)
		are_apart(&producers[0], &host.container, kind->clients->users);
	load_wait_for(board, 300);
	account(3, kind->clients, 0);
	ck_assert_msg(said(kind->says), "%s", text_of(host.log));
	/* It claims nothing of its pages where it may not ask. */
	ck_assert_uint_eq(said("on which nodes its pages are cannot be known"),
			  kind->broker != NULL);
	ck_assert_uint_eq(said("pages are elsewhere"), 0);
	refuses(&producers[0], 0);
	refuses(&consumers[0], 0);
	if (kind->broker)
		refuses(&host.container,
			kind->broker->profile == DOCKER_20 ? 3 : 4);
	end_clients(2, 1);
	stop_broker();
}
END_TEST

/*
 * Pids are of the broker's PID namespace. Fails on commit 1c40611e: `check` finds that the
 * broker is gone, and clients are not alive.
 */
START_TEST(tools_do_not_take_pids_of_another_namespace_for_their_own)
{
	start_broker(_i ? &docker_28 : NULL);
	start_consumer(0, &docker_28);
	ck_assert(shows(&docker_28, "broker", "\"process\": \"unknown\""));
	ck_assert(shows(&docker_28, "clients", "\"alive\": null"));
	ck_assert(!shows(&docker_28, "clients", "\"alive\": false"));
	shmstat_is_well(&docker_28, "check");
	end_clients(0, 1);
	stop_broker();
}
END_TEST

/* ---- brokers die ----------------------------------------------------------------------------- */

static bool has_one_child(pid_t pid)
{
	const char *children = children_of(pid);

	return *children && strchr(children, ' ') == strrchr(children, ' ');
}

/* In containers the keeper is process 1, and inherits all orphans. */
START_TEST(killed_brokers_are_replaced)
{
	start_broker(_i ? &remapped_broker : NULL);
	start_consumer(0, &plain);
	start_producer(0, &plain);
	start_producer(1, &remapped);
	for (int i = 0; i < 5; i++) {
		load_wait_for(board, 50);
		kill_broker();
	}
	WAIT(load_ask(&producers[0].role, LOAD_CONNECTED) == 1);
	WAIT(load_ask(&producers[1].role, LOAD_CONNECTED) == 1);
	WAIT(load_ask(&consumers[0].role, LOAD_CONNECTED) == 1);
	load_wait_for(board, 50);
	account(3, &plain, 0);
	ck_assert(shows(&plain, "broker", "\"restarts\": 5,"));
	ck_assert_uint_eq(said(" died:"), 0);
	WAIT(has_one_child(host.keeper));
	end_clients(2, 1);
	stop_broker();
}
END_TEST

/*
 * The broker, its keeper and their memory are gone, and another container serves in the same
 * directory. Its socket is another file, which a mount of the file does not show.
 */
START_TEST(
	a_mounted_directory_shows_the_next_socket_and_a_mounted_file_does_not)
{
	struct container_spec of_file = plain;

	of_file.mounted = host.socket;
	start_broker(&docker_28);
	start_consumer(0, &plain);
	start_producer(0, &plain);
	start_producer(1, &of_file);
	/* The next one of the same keeper listens at the same file. */
	kill_broker();
	ck_assert_int_eq((int)load_ask(&producers[1].role, LOAD_AGAIN), 0);
	container_kill(&host.container);
	load_wait_for(board, 100);
	load_pause(board, 3);
	load_drained(board, 0);
	load_judge(board, 0, 0);
	start_broker(&docker_28);
	ck_assert_int_eq((int)load_ask(&producers[0].role, LOAD_AGAIN), 0);
	ck_assert_int_eq((int)load_ask(&producers[1].role, LOAD_AGAIN),
			 ECONNREFUSED);
	shmstat_is_well(&plain, "check");
	end_clients(2, 1);
	stop_broker();
}
END_TEST

/* ---- clients die ------------------------------------------------------------------------------- */

START_TEST(dead_producers_and_whole_containers_leave_nothing)
{
	start_broker(_i ? &docker_28 : NULL);
	start_consumer(0, &remapped);
	start_producer(0, &plain);
	start_producer(1, &plain);
	start_pod(&remapped);
	ck_assert_int_eq((int)load_ask(&producers[0].role, LOAD_HOLD), 0);
	load_wait_for(board, 200);
	/* Process 1 is the producer, or the parent of two. */
	container_kill(&producers[0]);
	container_kill(&producers[2]);
	WAIT(said(" died:") == 3);
	ck_assert_uint_ge(said("1 attachments ended, 1 blocks taken back"), 1);
	load_wait_for(board, 50);
	account(2, &remapped, 0);
	ck_assert(shows(&plain, "broker", "\"deaths\": 3,"));
	tpi_store_release(&board->stop, 1);
	ck_assert_int_eq(container_end(&producers[1]), 0);
	ck_assert_int_eq(container_end(&consumers[0]), 0);
	stop_broker();
}
END_TEST

static void become_a_program(struct role *self)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.group = "first",
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "events", &options);

	role_tell(self, (uint64_t)-err);
	role_hear(self);
	dup2(memfd_create("output", 0), STDOUT_FILENO);
	setenv("LD_LIBRARY_PATH", "/bin", 1);
	execl("/bin/tapio-shmstat", "tapio-shmstat", "--watch=1h", "broker",
	      (char *)NULL);
}

/*
 * A broker of the host reads what the process maps. One in a container cannot, and says so,
 * until the new program says hello.
 */
START_TEST(an_execve_is_seen)
{
	struct container_spec spec = plain;
	struct container container;

	spec.name = "program";
	spec.mounted = host.directory;
	spec.body = become_a_program;
	start_broker(_i ? &docker_28 : NULL);
	container_start(&container, &spec);
	ck_assert_int_eq((int)role_hear(&container.role), 0);
	role_tell(&container.role, 0);
	WAIT(!shows(&docker_28, "clients", "\"consume\""));
	ck_assert_uint_eq(said("became another program (execve)"), _i);
	ck_assert_uint_eq(said("in the host's PID namespace"), _i);
	container_kill(&container);
	stop_broker();
}
END_TEST

/* The next one has another user namespace, and so other uids. */
START_TEST(a_consumer_that_is_made_again_goes_on_in_its_group)
{
	static const struct container_spec elsewhere = {
		.profile = DOCKER_28, .users = "0 300000 1000"};
	uint32_t hands;

	start_broker(_i ? &docker_28 : NULL);
	start_consumer(0, &remapped);
	start_producer(0, &plain);
	load_wait_for(board, 50);
	tpi_store_release(&board->consumer[0].hold, 1);
	WAIT(tpi_load_acquire(&board->consumer[0].hands));
	load_wait_for(board, 20);
	load_pause(board, 1);
	container_kill(&consumers[0]);
	hands = board->consumer[0].hands;
	board->consumer[0].hands = board->consumer[0].hold = 0;
	WAIT(said(" died:") == 1);
	start_consumer(0, &elsewhere);
	load_drained(board, 0);
	load_continue(board);
	load_wait_for(board, 50);
	account(1, &plain, hands);
	end_clients(1, 1);
	stop_broker();
}
END_TEST

/* ---- pauses and limits -------------------------------------------------------------------------- */

static uint32_t refused(unsigned int i)
{
	return tpi_load_relaxed(&board->producer[i].refused);
}

/* A lossless group holds its producers, but not those that read in other groups. */
START_TEST(a_paused_container_is_not_dead)
{
	struct container_cgroup pause, pause_broker;
	struct container_spec consumer = plain, producer = plain,
			      broker = docker_28;

	if (!cgroup_freezer(&pause, "pause"))
		return;
	ck_assert(cgroup_freezer(&pause_broker, "pause-broker"));
	consumer.cgroup = producer.cgroup = pause.directory;
	broker.cgroup = pause_broker.directory;
	start_broker(&broker);
	start_consumer(0, &consumer);
	start_consumer(1, &plain);
	start_producer(0, &plain);
	start_producer(1, &producer);
	ck_assert_int_eq((int)load_ask(&producers[1].role, LOAD_HOLD), 0);
	load_wait_for(board, 50);
	cgroup_freeze(&pause, true);
	WAIT(refused(0) > 5);
	load_drained(board, 1);
	usleep(1500000); /* a tick of the broker, at least */
	ck_assert_uint_eq(said(" died:") + said("taken back"), 0);
	cgroup_freeze(&pause_broker, true);
	cgroup_freeze(&pause, false);
	load_wait_for(board, 100);
	cgroup_freeze(&pause_broker, false);
	account(3, &plain, 0);
	end_clients(2, 2);
	stop_broker();
	cgroup_remove(&pause);
	cgroup_remove(&pause_broker);
}
END_TEST

#define LIMIT_BYTES (UINT64_C(8) << 20)
#define LARGE                                                               \
	"budget = 128M\n"                                                   \
	"hugepages = never\n"                                               \
	"socket_mode = \"0666\"\n"                                          \
	"channel events { class main {"                                     \
	" block = 4096 blocks = 4096 side_lanes = 2 side_blocks = 4096 }\n" \
	"	group first { policy = lossless } }\n"                            \
	"allow all { any = true role = {produce, consume, inspect} }\n"

/* How much of the broker's memory it has touched. */
static uint64_t touched_bytes(pid_t pid)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "RssShmem: %" SCNu64, &kib);
	fclose(file);
	return kib << 10;
}

START_TEST(memory_of_the_broker_does_not_count_against_a_client)
{
	struct container_cgroup memory;
	struct container_spec limited = plain;

	if (!cgroup_memory(&memory, "memory", LIMIT_BYTES))
		return;
	limited.cgroup = memory.directory;
	configure(LARGE);
	start_broker(&docker_28);
	start_consumer(0, &limited);
	start_producer(0, &limited);
	WAIT(touched_bytes(producers[0].init) > LIMIT_BYTES &&
	     touched_bytes(consumers[0].init) > LIMIT_BYTES);
	account(1, &plain, 0);
	ck_assert_uint_gt(cgroup_used(&memory), 0);
	ck_assert_uint_lt(cgroup_used(&memory), LIMIT_BYTES / 2);
	end_clients(1, 1);
	stop_broker();
	cgroup_remove(&memory);
}
END_TEST

int main(void)
{
	const char *reason = container_reason();
	TCase *c;

	if (reason) {
		printf("%s\n", reason);
		return 77;
	}
	if (!side_flavour())
		require_cpu_lanes();
	c = tcase_create("containers");
	tcase_add_checked_fixture(c, world_set_up, world_tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, all_pass_through_the_socket_alone, 0, KINDS);
	/* The broker is on the host, and in a container. */
	tcase_add_loop_test(
		c, tools_do_not_take_pids_of_another_namespace_for_their_own, 0,
		2);
	tcase_add_loop_test(c, killed_brokers_are_replaced, 0, 2);
	tcase_add_test(
		c,
		a_mounted_directory_shows_the_next_socket_and_a_mounted_file_does_not);
	tcase_add_loop_test(
		c, dead_producers_and_whole_containers_leave_nothing, 0, 2);
	tcase_add_loop_test(
		c, a_consumer_that_is_made_again_goes_on_in_its_group, 0, 2);
	tcase_add_loop_test(c, an_execve_is_seen, 0, 2);
	tcase_add_test(c, a_paused_container_is_not_dead);
	tcase_add_test(c, memory_of_the_broker_does_not_count_against_a_client);
	return check_run_case("containers", c);
}
