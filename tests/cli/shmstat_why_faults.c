/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each fault that MUST NOT be called healthy, made for real: every part of tapio-shmstat says
 * so, and `check` and `why` name it. Misplaced pages need two nodes: here their record is
 * written by hand, and tests/numa has real ones.
 */
#include "why_rig.h"

#include <fcntl.h>
#include <sys/prctl.h>

#define BLOCKS 64

static const char config[] =
	"hugepages = never\n"
	"channel events {\n"
	"  class main { block = 64 blocks = 64 side_lanes = 1 "
	"side_blocks = 64 }\n"
	"}\n";

static void set_up(void)
{
	rig_open(config);
}

static void tear_down(void)
{
	rig_close();
}

START_TEST(an_idle_broker_is_healthy)
{
	ck_assert_int_eq(shmstat("--json", "broker", NULL, NULL), 0);
	ck_assert(json_is_true(json_object_get(look, "healthy")));
	ck_assert_int_eq(shmstat("check", NULL, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(run.out, ", 0 faults"));
}
END_TEST

START_TEST(a_lossless_group_that_fills_its_lane_starves_producers)
{
	const json_t *numbers;

	consume("events", "audit", TAPIO_GROUP_LOSSLESS);
	produce("events");
	ck_assert_int_eq(emit(BLOCKS), BLOCKS);
	/* Full, and nobody was refused yet. */
	expect_healthy("group-holds-lane", "warning",
		       "lossless group audit of channel events keeps all 64 "
		       "blocks of lane");
	ck_assert_int_eq(emit(7), 0);
	numbers = expect_fault(
		"group-starves",
		"lossless group audit of channel events keeps 64 of 64 blocks of lane");
	ck_assert_int_eq(count_in(numbers, "refused"), 7);
	ck_assert_int_eq(count_in(numbers, "in_flight"), BLOCKS);
	ck_assert_int_eq(count_in(numbers, "members"), 1);
	ck_assert_ptr_nonnull(
		strstr(text_in(numbers, "members_say"), "has taken no lane"));
}
END_TEST

START_TEST(a_group_at_its_lag_is_named_with_what_it_lost)
{
	const json_t *numbers;

	consume("events", "slow", TAPIO_GROUP_UNTIL);
	produce("events");
	ck_assert_int_eq(emit(3 * BLOCKS), 3 * BLOCKS);
	numbers = expect_fault("group-at-lag",
			       "group slow of channel events is at its lag");
	ck_assert_int_eq(count_in(numbers, "lag"), BLOCKS / 2);
	ck_assert_int_ge(count_in(numbers, "lost"), 2 * BLOCKS);
}
END_TEST

/* In a process of its own: opens, says so, and waits for its end. */
static pid_t member_of(const char *group)
{
	int tell[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		consume("events", group, TAPIO_GROUP_DEFAULT);
		if (write(tell[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(tell[1]);
	ck_assert_int_eq(read(tell[0], &byte, 1), 1);
	close(tell[0]);
	return pid;
}

static void wait_stopped(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
}

/* A broker that runs repairs it at once: so it is stopped. */
START_TEST(a_dead_member_is_named_and_so_is_a_stopped_broker)
{
	pid_t member = member_of("audit");
	const json_t *numbers;
	int status;

	wait_stopped(broker.daemon.pid);
	ck_assert_int_eq(kill(member, SIGKILL), 0);
	ck_assert_int_eq(waitpid(member, &status, 0), member);
	look_into(broker.daemon.pid);
	numbers = expect_fault(
		"client-dead",
		"attached to channel events to consume in group audit");
	ck_assert_int_eq(count_in(numbers, "pid"), member);
	numbers = expect_fault("broker-stopped", "is stopped");
	ck_assert_int_eq(count_in(numbers, "pid"), broker.daemon.pid);
	ck_assert_int_eq(kill(broker.daemon.pid, SIGCONT), 0);
	source[0] = "--timeout=30s";
	source[1] = NULL;
	/* A look waits for a broker that runs. */
	ck_assert_int_eq(shmstat("--json", "clients", NULL, NULL), 0);
}
END_TEST

/*
 * A process without restartable sequences, on a class with one side lane: the second one finds
 * none. It is this program, run again (main).
 */
static pid_t producer_without_rseq(int *result)
{
	int tell[2];
	pid_t pid;

	ck_assert_int_eq(pipe(tell), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		dup2(tell[1], STDOUT_FILENO);
		execl("/proc/self/exe", "producer", "--emit-one", (char *)NULL);
		_exit(126);
	}
	close(tell[1]);
	ck_assert_int_eq(read(tell[0], result, sizeof(*result)),
			 sizeof(*result));
	close(tell[0]);
	return pid;
}

static int emit_one(void)
{
	int result = tapio_producer_open(&producer, "events", &patient);

	if (!result)
		result = tapio_output(producer, TAG, &result, sizeof(result));
	if (write(STDOUT_FILENO, &result, sizeof(result)) != sizeof(result))
		return 1;
	for (;;)
		pause();
}

START_TEST(side_lanes_that_are_all_taken_are_named)
{
	const json_t *numbers;
	pid_t pids[2];
	int result;

	pids[0] = producer_without_rseq(&result);
	ck_assert_int_eq(result, 0);
	expect_healthy("side-lanes-in-use", "note",
		       "1 producer emits to channel events through side lanes");
	pids[1] = producer_without_rseq(&result);
	ck_assert_int_eq(result, -ENOBUFS);
	numbers = expect_fault(
		"side-lanes-exhausted",
		"class main of channel events has 1 side lane, all are "
		"taken, and 1 event was refused");
	ck_assert_int_eq(count_in(numbers, "refused"), 1);
	ck_assert_int_eq(count_in(numbers, "side_lanes"), 1);
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	/* They are free again: it is over, and was so. */
	expect_healthy("side-lanes-were-short", "warning", "1 of 1 are free");
}
END_TEST

/* Memory without a broker is found in those that map it, which needs root. */
static bool may_look(void)
{
	if (!geteuid())
		return true;
	puts("skipped: opening /proc/PID/map_files needs root");
	return false;
}

START_TEST(memory_without_broker_and_keeper_is_orphaned)
{
	const json_t *numbers;

	if (!may_look())
		return;
	produce("events");
	emit(3);
	wait_for_starts();
	test_broker_kill(&broker);
	look_into(getpid());
	numbers = expect_fault("orphaned-instance", "and its keeper are gone");
	ck_assert_uint_eq(strlen(text_in(numbers, "instance")), 32);
	ck_assert_int_eq(count_in(numbers, "clients"), 1);
}
END_TEST

START_TEST(memory_of_a_broker_that_has_stopped_is_a_former_one)
{
	if (!may_look())
		return;
	produce("events");
	ck_assert_int_eq(running_stop(&broker.daemon, SIGTERM), 0);
	close(broker.daemon.err);
	look_into(getpid());
	expect_fault("former-instance", "has stopped");
}
END_TEST

START_TEST(a_clock_that_the_broker_sees_wrong_is_off)
{
	const json_t *numbers;

	if (access("/sys/devices/system/clocksource", R_OK))
		return;
	test_broker_kill(&broker);
	setenv("LD_PRELOAD", CLOCK_SHIFT, 1);
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	test_broker_restart(&broker);
	unsetenv("LD_PRELOAD");
	ck_assert_int_ge(shmstat("--json", "broker", NULL, NULL), 0);
	if (json_is_null(json_object_get(json_object_get(look, "broker"),
					 "clock_off_ns"))) {
		puts("skipped: this machine's counter has no constant rate");
		return;
	}
	numbers = expect_fault("clock-off", "off by 5 s");
	ck_assert_int_gt(count_in(numbers, "off_ns"), 4900000000);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, an_idle_broker_is_healthy);
	tcase_add_test(tc,
		       a_lossless_group_that_fills_its_lane_starves_producers);
	tcase_add_test(tc, a_group_at_its_lag_is_named_with_what_it_lost);
	tcase_add_test(tc, a_dead_member_is_named_and_so_is_a_stopped_broker);
	tcase_add_test(tc, side_lanes_that_are_all_taken_are_named);
	tcase_add_test(tc, memory_without_broker_and_keeper_is_orphaned);
	tcase_add_test(tc, memory_of_a_broker_that_has_stopped_is_a_former_one);
	tcase_add_test(tc, a_clock_that_the_broker_sees_wrong_is_off);
}

int main(int argc, char **argv)
{
	TCase *tc = tcase_create("shmstat_why_faults");

	if (argc > 1 && !strcmp(argv[1], "--emit-one"))
		return emit_one();
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	add_tests(tc);
	return check_run_case("shmstat_why_faults", tc);
}
