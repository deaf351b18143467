/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five users attack at once with everything that their rights allow, and are killed and
 * stopped at random while they do. An honest pair beside them has an exact ledger, fresh
 * honest clients are served, and the broker and tapio-shmstat are unharmed.
 *
 * TAPIO_CHAOS_S in the environment says how many seconds it takes (120, with sanitizers
 * 30), TAPIO_SEED which attacks come. Phases with and without attackers take turns, and
 * their rates are printed. Attackers run with SCHED_IDLE: it is not their share of the
 * CPUs that counts, but what they make Tapio do.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/hostile/attackers.h"
#include "tests/hostile/honest.h"

#define USERS     5
#define FIRST_UID 61010
#define CROWD     (3 * USERS)
#define PHASES    12 /* half of them with attackers */

#define CONFIG                                                                    \
	HONEST_CHANNEL                                                            \
	"channel other { class main { block = 64  blocks = 64 } }\n" HONEST_RULES \
	"allow attackers { channel = events\n"                                    \
	"uid = {61010, 61011, 61012, 61013, 61014}\n"                             \
	"role = {consume, inspect} }\n"                                           \
	"allow some { channel = other  uid = {61013, 61014}\n"                    \
	"role = {produce, consume} }\n"

static struct world world;

static struct crowd {
	struct role role[CROWD];
	struct attacker attacker[CROWD];
	unsigned int started[ATTACKS];
	unsigned int killed, stopped, ended;
} crowd;

static uint64_t state;

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(state % n);
}

static unsigned int number_from(const char *name, unsigned int standard)
{
	const char *text = getenv(name);

	return text && atoi(text) > 0 ? (unsigned int)atoi(text) : standard;
}

/* ---- the crowd ------------------------------------------------------------------------- */

static void start_one(int i)
{
	const struct role_as as = {
		.uid = (uid_t)(FIRST_UID + i % USERS),
		.idle = true,
	};
	enum attack kind = (enum attack)below(ATTACKS);

	crowd.attacker[i] = (struct attacker){
		.socket = world.socket,
		.channel = below(8) ? "events" : "other",
		.attack = kind,
		.seed = state | 1,
	};
	crowd.started[kind]++;
	role_start(&crowd.role[i], &as, attack, &crowd.attacker[i]);
}

static void start_all(void)
{
	for (int i = 0; i < CROWD; i++)
		start_one(i);
}

static void kill_all(void)
{
	for (int i = 0; i < CROWD; i++)
		role_kill(&crowd.role[i]);
}

/* One of them ends, stops or goes on. */
static void stir(void)
{
	int i = (int)below(CROWD);
	struct role *role = &crowd.role[i];
	siginfo_t gone = {0};

	switch (below(8)) {
	case 0:
	case 1:
		role_kill(role);
		crowd.killed++;
		start_one(i);
		return;
	case 2:
		crowd.stopped++;
		kill(role->pid, SIGSTOP);
		return;
	case 3:
	case 4:
		kill(role->pid, SIGCONT);
		return;
	default:
		/* It was refused, or did not understand an answer. */
		if (waitid(P_PID, (id_t)role->pid, &gone,
			   WEXITED | WNOHANG | WNOWAIT) ||
		    !gone.si_pid)
			return;
		role_kill(role);
		crowd.ended++;
		start_one(i);
	}
}

/* ---- phases ------------------------------------------------------------------------------ */

struct phase {
	double rate;        /* events a second */
	double producer_ns; /* CPU time for each */
	double consumer_ns;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* 1: something does not balance, which is true of the liars' groups. */
static void shmstat_looks(void)
{
	struct command run;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", world.pid);
	command_run(&run, "tapio-shmstat", "--json", "--pid", pid, "all", NULL);
	ck_assert_msg(run.status == 0 || run.status == 1, "status %d: %s",
		      run.status, run.err);
	ck_assert_ptr_nonnull(strstr(run.out, "\"events\""));
	command_free(&run);
}

/* Another honest pair comes, while all that goes on, and leaves. */
static void newcomers_are_served(void)
{
	struct honest pair = {.group = "newcomers", .pace = 100};

	honest_start(&pair, &world);
	honest_receive(&pair, 500);
	honest_end(&pair);
	honest_free(&pair);
}

static void run_phase(const struct honest *pair, bool hostile, double seconds,
		      struct phase *phase)
{
	const struct honest_count *count = pair->count;
	uint64_t events = honest_now(&count->received);
	uint64_t producer = honest_now(&count->producer_ns);
	uint64_t consumer = honest_now(&count->consumer_ns);
	double begin = now_s(), events_d;

	if (hostile)
		start_all();
	while (now_s() < begin + seconds) {
		usleep(20000);
		if (hostile)
			stir();
	}
	events_d = (double)(honest_now(&count->received) - events);
	*phase = (struct phase){
		.rate = events_d / (now_s() - begin),
		.producer_ns =
			(double)(honest_now(&count->producer_ns) - producer) /
			events_d,
		.consumer_ns =
			(double)(honest_now(&count->consumer_ns) - consumer) /
			events_d,
	};
	ck_assert_msg(events_d > 0, "no event came in a phase");
	if (hostile) {
		shmstat_looks();
		newcomers_are_served();
		kill_all();
	}
}

/* ---- what is shown ------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of every second phase, from the first-th on, the doubles at that offset. */
static double median(const struct phase *phases, int first, size_t offset)
{
	double values[PHASES / 2];

	for (int i = 0; i < PHASES / 2; i++)
		values[i] =
			*(const double *)((const char *)&phases[2 * i + first] +
					  offset);
	qsort(values, PHASES / 2, sizeof(values[0]), by_value);
	return (values[PHASES / 4 - 1] + values[PHASES / 4]) / 2;
}

static void show_row(const struct phase *phases, const char *name,
		     size_t offset)
{
	double quiet = median(phases, 0, offset);
	double hostile = median(phases, 1, offset);

	printf("%-22s %12.0f %12.0f %8.2f\n", name, quiet, hostile,
	       hostile / quiet);
}

static void show(const struct phase *phases, const struct honest_count *count)
{
	printf("%-22s %12s %12s %8s\n", "honest pair, medians", "alone",
	       "attacked", "ratio");
	show_row(phases, "events/s", offsetof(struct phase, rate));
	show_row(phases, "producer, CPU ns/event",
		 offsetof(struct phase, producer_ns));
	show_row(phases, "consumer, CPU ns/event",
		 offsetof(struct phase, consumer_ns));
	printf("accepted %llu, delivered %llu, lost %llu, duplicated %llu, "
	       "corrupt %llu\n",
	       (unsigned long long)count->accepted,
	       (unsigned long long)count->delivered,
	       (unsigned long long)count->lost,
	       (unsigned long long)count->duplicated,
	       (unsigned long long)count->corrupt);
	printf("attackers: %u killed, %u stopped, %u gave up;", crowd.killed,
	       crowd.stopped, crowd.ended);
	for (int i = 0; i < ATTACKS; i++)
		printf(" %s %u", attack_name((enum attack)i), crowd.started[i]);
	printf("\n");
}

START_TEST(the_ledger_of_the_honest_is_exact_under_every_attack_at_once)
{
	const unsigned int seconds =
		number_from("TAPIO_CHAOS_S", CHECK_SANITIZED ? 30 : 120);
	struct phase phases[PHASES];
	struct honest pair = {0};

	state = number_from("TAPIO_SEED", 11);
	printf("%u s, seed %llu\n", seconds, (unsigned long long)state);
	fflush(stdout);
	world_start(&world, CONFIG);
	honest_start(&pair, &world);
	for (int i = 0; i < PHASES; i++)
		run_phase(&pair, i % 2, (double)seconds / PHASES, &phases[i]);
	honest_end(&pair);
	show(phases, pair.count);
	fflush(stdout);
	honest_free(&pair);
	world_assert_serves(&world, "events");
	world_stop(&world);
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	TCase *c;

	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("chaos");
	tcase_set_timeout(c, 600);
	tcase_add_test(
		c,
		the_ledger_of_the_honest_is_exact_under_every_attack_at_once);
	return check_run_case("chaos", c);
}
