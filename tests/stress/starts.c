/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts of producers on a machine that is busy with something else: two spinning
 * threads per CPU, or a quota of 3 % of one CPU. Each of them MUST be on CPUs' lanes:
 * the self-test has no time limit that load could exceed. On fddcec1 30 to 60 % of the
 * processes get no verdict beside one spinning thread per CPU, and are on side lanes.
 *
 * A start is a process of its own: this program, with the broker's socket as argument.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/unit/broker_child.h"

/* Many more with TAPIO_LONG. A start with a sanitizer takes a second under the quota. */
#define HOW_MANY(many, few, sanitized) \
	(getenv("TAPIO_LONG") ? (many) : CHECK_SANITIZED ? (sanitized) : (few))
#define LOADED    HOW_MANY(200, 60, 16)
#define QUOTED    HOW_MANY(100, 30, 8)
#define BROKERS   HOW_MANY(40, 10, 4)
#define AT_A_TIME 4
#define QUOTA_US  3000
#define PERIOD_US 100000
#define SPINNERS  64

/* How a start ends, as its exit status. */
enum {
	ON_CPU_LANE,
	NOT_PROVEN = 40,
	ON_SIDE_LANE,
	NO_BROKER,
	REFUSED,
};

/* ---- one start ----------------------------------------------------------------- */

static int start_here(const char *socket)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct tapio_options options = {
		.size = sizeof(options),
		.socket = socket,
		.answer_ns = TAPIO_FOREVER,
	};
	struct tapio_producer *p;

	if (tapio_producer_open(&p, "t", &options))
		return NO_BROKER;
	if (tapio_output(p, TAG, "x", 1))
		return REFUSED;
	tapio_producer_stats_read(p, &stats);
	tapio_producer_close(p);
	if (stats.rseq != TAPIO_RSEQ_PROVEN)
		return NOT_PROVEN;
	return stats.side_lane ? ON_SIDE_LANE : ON_CPU_LANE;
}

/* A broker, and a look at the verdict in its catalog. */
static int start_broker_here(void)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = RIG_CONFIG,
	};
	struct tapio_producer *p;
	struct tapio_broker *broker;
	uint32_t verdict;

	if (tapio_broker_start(&broker, &options))
		return NO_BROKER;
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = tapio_broker_socket(broker),
		.answer_ns = TAPIO_FOREVER,
	};
	if (tapio_producer_open(&p, "t", &rig.options))
		return REFUSED;
	verdict = p->now->client.catalog.broker->rseq_verdict;
	tapio_producer_close(p);
	tapio_broker_stop(broker);
	return verdict == TAPIO_RSEQ_PROVEN ? ON_CPU_LANE : NOT_PROVEN;
}

/* `what`: the socket of a broker for a producer, or BROKER. */
#define BROKER "a broker"

static pid_t start(const char *what, void (*first)(void))
{
	pid_t pid = fork();

	/* It gets signals: -1 would be everybody. */
	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (first)
		first();
	execl("/proc/self/exe", "starts", what, NULL);
	_exit(127);
}

static void must_be_on_a_cpu_lane(pid_t pid, int i)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "start %d: status 0x%x", i, status);
	ck_assert_msg(WEXITSTATUS(status) == ON_CPU_LANE, "start %d: %s", i,
		      WEXITSTATUS(status) == NOT_PROVEN     ? "not proven"
		      : WEXITSTATUS(status) == ON_SIDE_LANE ? "on a side lane"
							    : "failed");
}

/* ---- two spinning threads per CPU ------------------------------------------------ */

static pid_t spinners[SPINNERS];
static int spinner_count;

static void spin(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		;
}

static void load_begin(void)
{
	int i, count = 2 * cpu_count();

	for (i = 0; i < count && i < SPINNERS; i++) {
		spinners[i] = fork();
		ck_assert_int_ge(spinners[i], 0);
		if (!spinners[i])
			spin();
		spinner_count++;
	}
}

static void load_end(void)
{
	while (spinner_count) {
		kill(spinners[--spinner_count], SIGKILL);
		waitpid(spinners[spinner_count], NULL, 0);
	}
}

START_TEST(beside_two_spinning_threads_per_cpu)
{
	int i;

	broker_child_start(RIG_CONFIG, NULL);
	load_begin();
	for (i = 0; i < LOADED; i++)
		must_be_on_a_cpu_lane(start(rig.options.socket, NULL), i);
	load_end();
	printf("%d starts beside %d spinning threads: all on CPUs' lanes\n", i,
	       2 * cpu_count());
	fflush(stdout);
	broker_child_kill();
}
END_TEST

START_TEST(brokers_beside_two_spinning_threads_per_cpu)
{
	int i;

	load_begin();
	for (i = 0; i < BROKERS; i++)
		must_be_on_a_cpu_lane(start(BROKER, NULL), i);
	load_end();
}
END_TEST

/* ---- a quota of 3 % of one CPU ------------------------------------------------------ */

static const struct {
	const char *root;
	bool v2;
} hierarchies[] = {
	{"/sys/fs/cgroup/cpu", false},
	{"/sys/fs/cgroup/cpu,cpuacct", false},
	{"/sys/fs/cgroup", true},
};
#define HIERARCHIES (int)(sizeof(hierarchies) / sizeof(hierarchies[0]))

static pid_t main_pid; /* the process that removes it */
static char cgroup[256];
static bool cgroup_v2;

static void name_cgroup(int i)
{
	snprintf(cgroup, sizeof(cgroup), "%s/tapio-test-%d",
		 hierarchies[i].root, (int)main_pid);
	cgroup_v2 = hierarchies[i].v2;
}

static void remove_cgroups(void)
{
	int i;

	for (i = 0; i < HIERARCHIES; i++) {
		name_cgroup(i);
		rmdir(cgroup);
	}
}

__attribute__((format(printf, 2, 3))) static bool
write_to(const char *name, const char *format, ...)
{
	char path[400], text[64];
	va_list args;
	int fd, length;
	bool done;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, text, (size_t)length) == length;
	close(fd);
	return done;
}

static bool set_quota(void)
{
	if (cgroup_v2)
		return write_to("cpu.max", "%d %d", QUOTA_US, PERIOD_US);
	return write_to("cpu.cfs_period_us", "%d", PERIOD_US) &&
	       write_to("cpu.cfs_quota_us", "%d", QUOTA_US);
}

static bool make_cgroup(void)
{
	int i;

	for (i = 0; i < HIERARCHIES; i++) {
		name_cgroup(i);
		if (!mkdir(cgroup, 0755) && set_quota())
			return true;
		rmdir(cgroup);
	}
	return false;
}

static void enter_cgroup(void)
{
	if (!write_to("cgroup.procs", "%d", (int)getpid()))
		_exit(126);
}

/* Where there are no cgroups: 3 ms in 100 ms, by stopping the process. */
static void ration(const pid_t *pids, int count)
{
	int i, k, status;
	bool running = true;

	while (running) {
		running = false;
		for (i = 0; i < count; i++)
			kill(pids[i], SIGCONT);
		nap_ms(QUOTA_US / 1000);
		for (i = 0; i < count; i++)
			kill(pids[i], SIGSTOP);
		for (k = 0; k < count; k++) {
			siginfo_t info = {0};

			status = waitid(P_PID, (id_t)pids[k], &info,
					WEXITED | WNOHANG | WNOWAIT);
			running |= !status && !info.si_pid;
		}
		nap_ms((PERIOD_US - QUOTA_US) / 1000);
	}
}

START_TEST(under_a_quota_of_three_percent)
{
	bool quota = make_cgroup();
	pid_t pids[AT_A_TIME];
	int i, k;

	broker_child_start(RIG_CONFIG, NULL);
	for (i = 0; i < QUOTED; i += k) {
		for (k = 0; k < AT_A_TIME && i + k < QUOTED; k++)
			pids[k] = start(rig.options.socket,
					quota ? enter_cgroup : NULL);
		if (!quota)
			ration(pids, k);
		for (int n = 0; n < k; n++)
			must_be_on_a_cpu_lane(pids[n], i + n);
	}
	printf("%d starts, %d at a time, under a quota of 3 %% by %s: all on "
	       "CPUs' lanes\n",
	       i, AT_A_TIME,
	       !quota      ? "SIGSTOP and SIGCONT (no cgroup can be made)"
	       : cgroup_v2 ? "cpu.max"
			   : "cpu.cfs_quota_us");
	fflush(stdout);
	broker_child_kill();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *t;
	int status;

	if (argc == 2)
		return strcmp(argv[1], BROKER) ? start_here(argv[1])
					       : start_broker_here();
	suite = suite_create("starts");
	t = tcase_create("starts");
	main_pid = getpid();
	tcase_set_timeout(t, 60);
	tcase_add_test(t, beside_two_spinning_threads_per_cpu);
	tcase_add_test(t, brokers_beside_two_spinning_threads_per_cpu);
	tcase_add_test(t, under_a_quota_of_three_percent);
	suite_add_tcase(suite, t);
	status = check_run(suite);
	remove_cgroups();
	return status;
}
