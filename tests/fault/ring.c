/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring, with processes that are killed or stopped: at each step of the
 * crash table in lib/kit/ring.c and lib/kit/ring_wait.c, and at random
 * instants. The others go on. A value that was reported as put is got once, and
 * of the calls that were cut short exactly those took effect which the table
 * says.
 *
 * TAPIO_LONG=1 repeats each step more often and kills 20,000 times at random.
 */
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "ring_world.h"
#include "tests/check_main.h"

#define LIMIT  8000000 /* values of one producer: never reached */
#define OTHERS 2       /* producers, and consumers, besides the victim */
#define MORE   1000    /* values that must go through after the hit */

static const uint32_t capacities[] = {1, 2, 64};

static bool is_long(void)
{
	const char *value = getenv("TAPIO_LONG");

	return value && !strcmp(value, "1");
}

/* The process to hit, the step, and the truth about the call that is cut
 * short. */
struct step {
	const char *name;
	enum role role;
	enum style style;
	/* The state of the ring that leads there. */
	enum {
		AMONG,   /* all others are at work */
		ALONE,   /* no other one is */
		AWAITED, /* the other side is asleep */
	} when;
	int put;  /* values that took effect */
	int lost; /* values that went with it. < 0: see world_judge() */
};

#define ANY     (-1)
#define A_CHUNK (-5) /* 4 at least */

static const struct step steps[] = {
	{"ring.put.P2", PRODUCER, TRIES, AMONG, 0, 0},
	{"ring.put.P3", PRODUCER, TRIES, AMONG, 1, 0},
	{"ring.put.P4", PRODUCER, TRIES, AMONG, 1, 0},
	{"ring.put.P5", PRODUCER, TRIES, ALONE, 1, 0},
	{"ring.put.P2", PRODUCER, WAITS, AMONG, 0, 0},
	{"ring.put.P3", PRODUCER, WAITS, AMONG, 1, 0},
	{"ring.put.P4", PRODUCER, WAITS, AMONG, 1, 0},
	{"ring.put.P5", PRODUCER, WAITS, ALONE, 1, 0},
	{"ring.wake.W2", PRODUCER, TRIES, AWAITED, 1, 0},
	{"ring.wake.W3", PRODUCER, WAITS, AWAITED, 1, 0},
	{"ring.wake.W4", PRODUCER, TRIES, AWAITED, 1, 0},
	{"ring.wait.A2", PRODUCER, WAITS, ALONE, 0, 0},
	{"ring.wait.A4", PRODUCER, WAITS, ALONE, 0, 0},
	{"ring.get.G2", CONSUMER, TRIES, AMONG, 0, 0},
	{"ring.get.G3", CONSUMER, TRIES, AMONG, 0, 1},
	{"ring.get.G4", CONSUMER, TRIES, AMONG, 0, 1},
	{"ring.get.G2", CONSUMER, WAITS, AMONG, 0, 0},
	{"ring.get.G3", CONSUMER, WAITS, AMONG, 0, 1},
	{"ring.get.G4", CONSUMER, WAITS, AMONG, 0, 1},
	{"ring.wake.W2", CONSUMER, TRIES, AWAITED, 0, 1},
	{"ring.wake.W3", CONSUMER, WAITS, AWAITED, 0, 1},
	{"ring.wake.W4", CONSUMER, TRIES, AWAITED, 0, 1},
	{"ring.wait.A2", CONSUMER, WAITS, ALONE, 0, 0},
	{"ring.wait.A4", CONSUMER, WAITS, ALONE, 0, 0},
};
#define STEPS ((int)(sizeof(steps) / sizeof(steps[0])))

/* Steps of chunks. Calls for many values may have moved others before. */
static const struct step chunk_steps[] = {
	{"ring.put.L2", PRODUCER, BATCHES, AMONG, ANY, 0},
	{"ring.put.L3", PRODUCER, BATCHES, AMONG, A_CHUNK, 0},
	{"ring.put.P4", PRODUCER, BATCHES, AMONG, ANY, 0},
	{"ring.get.K1", CONSUMER, BATCHES, AMONG, 0, A_CHUNK},
	{"ring.get.K2", CONSUMER, TRIES, AMONG, 0, 0},
	{"ring.get.K3", CONSUMER, TRIES, AMONG, 0, 1},
	{"ring.get.K4", CONSUMER, TRIES, AMONG, 0, 1},
	{"ring.get.K2", CONSUMER, WAITS, AMONG, 0, 0},
	{"ring.get.K4", CONSUMER, WAITS, AMONG, 0, 1},
	{"ring.get.K4", CONSUMER, BATCHES, AMONG, 0, ANY},
	{"ring.get.G4", CONSUMER, BATCHES, AMONG, 0, ANY},
};
#define CHUNK_STEPS ((int)(sizeof(chunk_steps) / sizeof(chunk_steps[0])))

/* ---- hitting oneself at a testpoint ---------------------------------------- */

static struct hit {
	const char *name;
	unsigned int countdown;
	int signal_number;
} hit;

static void hit_here(const char *name)
{
	if (!strcmp(name, hit.name) && --hit.countdown == 0)
		raise(hit.signal_number);
}

static void arm(const void *argument)
{
	hit = *(const struct hit *)argument;
	tpi_testpoint_hook = hit_here;
}

/* ---- one step -------------------------------------------------------------- */

struct scene {
	const struct step *step;
	struct world *world;
	pid_t victim;
	pid_t others[2][OTHERS];
};

/* Everybody is there. The victim begins at once, and the others when they may. */
static void begin(struct scene *scene, const struct step *step,
		  uint32_t capacity, int signal_number, unsigned int countdown)
{
	enum role other = step->role == PRODUCER ? CONSUMER : PRODUCER;
	struct hit at = {step->name, countdown, signal_number};

	scene->step = step;
	scene->world = world_new(capacity, 2 * OTHERS + 1, LIMIT);
	for (int i = 0; i < OTHERS; i++)
		for (int role = 0; role < 2; role++)
			scene->others[role][i] = world_start(
				scene->world, role, WAITS + i, NULL, NULL);
	if (step->when == AMONG) {
		world_go(scene->world, PRODUCER);
		world_go(scene->world, CONSUMER);
	} else {
		at.countdown = 1;
	}
	if (step->when == AWAITED) {
		world_go(scene->world, other);
		world_until_asleep(scene->world, OTHERS);
	}
	scene->victim =
		world_start(scene->world, step->role, step->style, arm, &at);
}

/* The others go on, all the way. */
static void go_on(struct scene *scene)
{
	world_go(scene->world, PRODUCER);
	world_go(scene->world, CONSUMER);
	world_until_got(scene->world, MORE);
}

static void end(struct scene *scene, bool victim_lives)
{
	world_stop(scene->world, PRODUCER);
	for (int i = 0; i < OTHERS; i++)
		world_join(scene->others[PRODUCER][i]);
	if (victim_lives && scene->step->role == PRODUCER)
		world_join(scene->victim);
	world_stop(scene->world, CONSUMER);
	for (int i = 0; i < OTHERS; i++)
		world_join(scene->others[CONSUMER][i]);
	if (victim_lives && scene->step->role == CONSUMER)
		world_join(scene->victim);
	world_judge(scene->world, victim_lives ? 0 : scene->step->put,
		    victim_lives ? 0 : scene->step->lost);
	world_free(scene->world);
}

static void kill_at(const struct step *step, uint32_t capacity,
		    unsigned int countdown)
{
	struct scene scene;
	int status = 0;

	begin(&scene, step, capacity, SIGKILL, countdown);
	ck_assert_int_eq(waitpid(scene.victim, &status, 0), scene.victim);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	go_on(&scene);
	end(&scene, false);
}

/* Stopped there for many laps, then sent on with all it had read. */
static void stop_at(const struct step *step, uint32_t capacity,
		    unsigned int countdown)
{
	struct scene scene;
	int status = 0;

	begin(&scene, step, capacity, SIGSTOP, countdown);
	ck_assert_int_eq(waitpid(scene.victim, &status, WUNTRACED),
			 scene.victim);
	ck_assert(WIFSTOPPED(status));
	go_on(&scene);
	kill(scene.victim, SIGCONT);
	world_until_got(scene.world, MORE);
	end(&scene, true);
}

static void at_each_capacity(void (*hit_at)(const struct step *step,
					    uint32_t capacity,
					    unsigned int countdown),
			     const struct step *step)
{
	int rounds = is_long() ? 100 : 1;

	for (int round = 0; round < rounds; round++)
		for (int c = 0; c < 3; c++)
			hit_at(step, capacities[c],
			       1 + (unsigned int)rand() % 100);
}

START_TEST(a_kill_at_a_step_leaves_what_the_table_says)
{
	at_each_capacity(kill_at, &steps[_i]);
}
END_TEST

START_TEST(who_is_stopped_at_a_step_delays_nobody_and_does_no_harm_later)
{
	at_each_capacity(stop_at, &steps[_i]);
}
END_TEST

/* In a ring that is large enough for logs, where this process may use them. */
static void at_a_large_capacity(void (*hit_at)(const struct step *step,
					       uint32_t capacity,
					       unsigned int countdown),
				const struct step *step)
{
	int rounds = is_long() ? 100 : 1;

	if (!tpi_rseq_holds(tpi_rseq_selftest(NULL)))
		return;
	for (int round = 0; round < rounds; round++)
		hit_at(step, 64u << rand() % 3, 1 + (unsigned int)rand() % 100);
}

START_TEST(a_kill_at_a_step_of_a_chunk_leaves_what_the_table_says)
{
	at_a_large_capacity(kill_at, &chunk_steps[_i]);
}
END_TEST

START_TEST(who_is_stopped_at_a_step_of_a_chunk_does_no_harm_later)
{
	at_a_large_capacity(stop_at, &chunk_steps[_i]);
}
END_TEST

/* ---- random instants ------------------------------------------------------- */

#define PLAYERS     3    /* of each role */
#define SHORT_LIMIT 4096 /* values, then another takes its place */

static pid_t pids[2][PLAYERS];

/* Of a worker that is gone, killed or not, another one takes the place. */
static void replace(struct world *world, int role, int i)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pids[role][i], &status, 0), pids[role][i]);
	ck_assert(status == 0 ||
		  (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	pids[role][i] =
		world_start(world, role, world->workers % STYLES, NULL, NULL);
}

static void kill_at_random(struct world *world, int kills)
{
	for (int n = 0; n < kills; n++) {
		int role = rand() % 2, i = rand() % PLAYERS;

		usleep((unsigned int)rand() % 2000);
		kill(pids[role][i], SIGKILL);
		replace(world, role, i);
	}
}

START_TEST(kills_at_random_instants_lose_no_more_than_what_they_cut)
{
	int kills = is_long() ? 2000 : 150;
	struct world *world = world_new(
		1u << (2 * _i), (uint32_t)kills + 2 * PLAYERS, SHORT_LIMIT);

	for (int i = 0; i < 2 * PLAYERS; i++)
		pids[i % 2][i / 2] =
			world_start(world, i % 2, i / 2 % STYLES, NULL, NULL);
	world_go(world, PRODUCER);
	world_go(world, CONSUMER);
	kill_at_random(world, kills);
	world_stop(world, PRODUCER);
	for (int i = 0; i < PLAYERS; i++)
		world_join(pids[PRODUCER][i]);
	world_stop(world, CONSUMER);
	for (int i = 0; i < PLAYERS; i++)
		world_join(pids[CONSUMER][i]);
	world_judge(world, -1, -1);
	world_free(world);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring_fault");
	TCase *each = tcase_create("steps");
	TCase *any = tcase_create("instants");

	tcase_set_timeout(each, is_long() ? 120 : 10);
	tcase_set_timeout(any, is_long() ? 120 : 10);
	tcase_add_loop_test(each, a_kill_at_a_step_leaves_what_the_table_says,
			    0, STEPS);
	tcase_add_loop_test(
		each,
		who_is_stopped_at_a_step_delays_nobody_and_does_no_harm_later,
		0, STEPS);
	tcase_add_loop_test(
		each, a_kill_at_a_step_of_a_chunk_leaves_what_the_table_says, 0,
		CHUNK_STEPS);
	tcase_add_loop_test(
		each, who_is_stopped_at_a_step_of_a_chunk_does_no_harm_later, 0,
		CHUNK_STEPS);
	tcase_add_loop_test(
		any, kills_at_random_instants_lose_no_more_than_what_they_cut,
		0, is_long() ? 10 : 5);
	suite_add_tcase(suite, each);
	suite_add_tcase(suite, any);
	return check_run(suite);
}
