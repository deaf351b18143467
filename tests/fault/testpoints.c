/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of testpoints. In one memory, that goes from broker to broker, a process is
 * killed at each testpoint of the library and of tapiod. Which process passes which of them
 * is found by acts in which nothing dies. So a new testpoint is died at from its first day,
 * and one that no act passes fails the test, unless points_list.c has the reason.
 *
 *	single     the process dies at its testpoint
 *	second     a successor dies at what only the death of that broker makes it pass
 *	pairs      producer and consumer, client and broker or keeper, broker and successor:
 *	           the first one is dead, or stopped where it stands, when the second dies.
 *	           All with TAPIO_LONG=1. Else some of them, others each day, and with
 *	           TAPIO_POINTS_SEED those of a day
 *	moves      in worlds of their own, since an instance ends there: a handle that goes to
 *	           the memory of another instance dies on its way (points_moves.c)
 *	stops      a broker dies while it stops, and another instance begins
 *
 * After each cell (points_check()): a broker with a keeper is there. No record of a dead
 * process is left. Each event that was accepted has come. None came twice, unless its reader
 * died before it had released it. Each lane lets three laps pass. A durable group has its
 * backlog. `tapio-shmstat check` finds nothing. A producer and a consumer that never stop
 * go on, and at the end each of their events has come once.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/lane/wake.h"
#include "tests/fault/points.h"
#include "tests/check_main.h"
#include "tests/cpu_lanes.h"

#define ROWS_MAX    1024
#define TRIES       12 /* and of a successor with its ways in turn */
#define WAYS        4
#define SAMPLE      (CHECK_SANITIZED ? 4 : 24) /* pairs of a kind, if not all */
#define OFTEN       3
#define CHANCES     20 /* one row of so many may be passed by chance */
#define SURVEY_MS   700
#define ACT_MS      10000
#define LONG_PASSES 5
#define DAY_S       86400
/* A prime, so that its multiples go through all pairs of any number of them. */
#define STRIDE UINT64_C(1000003)
/* Both are gone then, and nothing of tapiod is left that could go on. */
#define LAST_POINT "keep.buried"
/* Names of those in a move begin so. */
#define MOVE "move."

static const char *const part_names[PARTS] = {
	[PART_PRODUCER] = "producer", [PART_CONSUMER] = "consumer",
	[PART_CONTROL] = "client",    [PART_BEGINS] = "first broker",
	[PART_BROKER] = "broker",     [PART_ADOPTS] = "successor",
	[PART_KEEPER] = "keeper",
};

/* A part that passes a point, the act in which it does, and its deaths there. */
static struct row {
	enum points_part part;
	uint32_t point;
	const struct points_act *act;
	const struct row *after; /* of a broker that has to die before */
	uint64_t passes;         /* in that act */
	uint32_t died;
	/* More ways of a successor, the surest first. On a slow machine it may have passed
	 * by chance what the death of that broker does not make it pass. */
	struct way {
		const struct points_act *act;
		const struct row *after;
	} ways[WAYS];
	uint32_t way_count;
} rows[ROWS_MAX];
static uint32_t row_count;
static uint32_t cells, misses;

static const char *name_of(const struct row *row)
{
	return board->names[row->point];
}

static bool is_last(const struct row *row)
{
	return !strcmp(name_of(row), LAST_POINT);
}

static struct row *find_row(enum points_part part, uint32_t point)
{
	for (uint32_t i = 0; i < row_count; i++)
		if (rows[i].part == part && rows[i].point == point)
			return &rows[i];
	return NULL;
}

/* At the last look. The check between two acts passes testpoints, too. */
static uint64_t passed[PARTS][POINTS_MAX];

static void forget_passes(void)
{
	memcpy(passed, board->passes, sizeof(passed));
}

/* An act that is no last one passes it. */
static bool has_better_act(uint32_t point)
{
	for (uint32_t i = 0; i < row_count; i++)
		if (rows[i].point == point && rows[i].act && !rows[i].act->last)
			return true;
	return false;
}

/* After a death at the same testpoint a successor has to do it again. */
static void note_way(struct row *row, const struct points_act *act,
		     const struct row *after)
{
	const struct way way = {act, after};

	if (after->point == row->point) {
		row->ways[0] = way;
		row->way_count += !row->way_count;
	} else if (row->way_count < WAYS) {
		row->ways[row->way_count++] = way;
	}
}

/*
 * Those that were passed for the first time. An act that passes a testpoint often, and not by
 * chance, is the better one to die in.
 */
static void note_row(const struct points_act *act, const struct row *after,
		     enum points_part part, uint32_t point)
{
	uint64_t passes = tpi_load_relaxed(&board->passes[part][point]) -
			  passed[part][point];
	struct row *row = find_row(part, point);

	if (row && row->after && passes && after && part == PART_ADOPTS)
		note_way(row, act, after);
	/* A keeper that dies beside its broker ends the memory: the acts in which the
	 * broker lives come first. */
	if (!passes ||
	    (row && (row->died || row->passes >= OFTEN ||
		     row->passes >= passes || after || part == PART_KEEPER)) ||
	    (act && act->last && has_better_act(point)))
		return;
	if (!row) {
		ck_assert_uint_lt(row_count, ROWS_MAX);
		row = &rows[row_count++];
	}
	*row = (struct row){.part = part,
			    .point = point,
			    .act = act,
			    .after = after,
			    .passes = passes};
	if (after && part == PART_ADOPTS)
		note_way(row, act, after);
}

static void note_rows(const struct points_act *act, const struct row *after)
{
	for (int part = 0; part < PARTS; part++)
		for (uint32_t i = 0; i < board->point_count; i++)
			note_row(act, after, (enum points_part)part, i);
}

static double now_s(void)
{
	return (double)tpi_now_ns() / 1e9;
}

static double begun_s;

static void say(const char *what)
{
	printf("%6.2f s  %s\n", now_s() - begun_s, what);
	fflush(stdout);
}

/* ---- a broker that makes the memory -------------------------------------------------------- */

static void begin_with(uint32_t point)
{
	points_board_make();
	points_list();
	if (point < POINTS_MAX)
		points_aim(PART_BEGINS, point, 1, false);
	ck_assert_msg(points_start(),
		      "tapiod does not serve after a death at %s",
		      point < POINTS_MAX ? board->names[point] : "no point");
}

static void every_step_of_beginning(void)
{
	uint32_t count;

	begin_with(POINTS_MAX);
	memset(passed, 0, sizeof(passed));
	note_rows(NULL, NULL);
	points_stop();
	points_board_remove();
	count = row_count;
	for (uint32_t i = 0; i < count; i++) {
		char what[96];

		if (rows[i].part != PART_BEGINS)
			continue;
		begin_with(rows[i].point);
		ck_assert(points_hit(PART_BEGINS));
		snprintf(what, sizeof(what), "first broker at %s",
			 name_of(&rows[i]));
		points_live();
		points_check(what);
		points_die();
		points_stop();
		points_board_remove();
		rows[i].died++;
		cells++;
	}
	row_count = 0;
	for (uint32_t i = 0; i < count; i++)
		if (rows[i].part == PART_BEGINS)
			rows[row_count++] = rows[i];
}

static uint64_t seed(void)
{
	const char *text = getenv("TAPIO_POINTS_SEED");

	return text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) / DAY_S;
}

static bool is_long(void)
{
	const char *text = getenv("TAPIO_LONG");

	return text && !strcmp(text, "1");
}

/* ---- one death ------------------------------------------------------------------------------- */

static void survey(void)
{
	for (uint32_t i = 0; i < points_act_count; i++) {
		const struct points_act *act = &points_acts[i];

		forget_passes();
		points_act_start(act);
		points_act_wait(act, act->part, SURVEY_MS);
		points_acts_end();
		note_rows(act, NULL);
		points_check(act->name);
		say(act->name);
	}
}

/* Whether it died there. `force`: the client whose act it was dies then, too. */
static bool die_at(const struct row *row, uint32_t pass, bool force)
{
	char what[128];
	bool hit;

	snprintf(what, sizeof(what), "%s at %s, pass %u, act %s%s%s",
		 part_names[row->part], name_of(row), pass, row->act->name,
		 row->after ? ", after a broker at " : "",
		 row->after ? name_of(row->after) : "");
	if (row->after)
		points_aim(PART_BROKER, row->after->point, 1, false);
	points_aim(row->part, row->point, pass, false);
	points_cell = what;
	forget_passes();
	points_act_start(row->act);
	hit = points_act_wait(row->act, row->part, ACT_MS);
	if (hit && force && row->part >= PART_BROKER)
		points_act_kill(row->act);
	points_acts_end();
	/* A successor may have passed some for the first time. */
	if (row->part == PART_BROKER)
		note_rows(row->act, row);
	hit |= points_hit(row->part);
	points_check(what);
	say(what); /* a time-out is after the last one */
	return hit;
}

static void take_way(struct row *row, uint32_t n)
{
	if (!row->way_count)
		return;
	row->act = row->ways[n % row->way_count].act;
	row->after = row->ways[n % row->way_count].after;
}

static void single(struct row *row)
{
	for (uint32_t i = 0; i < TRIES && !row->died; i++) {
		take_way(row, i);
		row->died += die_at(row, 1, (cells + i) % 2);
	}
	if (!row->died)
		printf("%s has passed %s by chance\n", part_names[row->part],
		       name_of(row));
	/* Other passes are in other places, and not each act has them. */
	for (uint32_t pass = 2; is_long() && pass <= LONG_PASSES; pass++)
		row->died += die_at(row, pass, pass % 2);
	cells += row->died;
}

static void singles(void)
{
	for (uint32_t i = 0; i < row_count; i++) {
		if (rows[i].part == PART_BEGINS || is_last(&rows[i]))
			continue;
		single(&rows[i]);
	}
}

/* ---- pairs ------------------------------------------------------------------------------------ */

struct pairs {
	const char *name;
	const struct row *first[ROWS_MAX], *second[ROWS_MAX];
	uint32_t first_count, second_count;
	uint32_t sample; /* of them in a run that is not long */
	void (*run)(const struct row *a, const struct row *b, uint32_t n);
	uint32_t missed;
};

static void report(struct pairs *pairs, const struct row *a,
		   const struct row *b, const char *how, bool both)
{
	printf("pair  %s at %s, %s; %s at %s: %s\n", part_names[a->part],
	       name_of(a), how, part_names[b->part], name_of(b),
	       both ? "died" : "not reached then");
	fflush(stdout);
	pairs->missed += !both;
}

static struct pairs *present;

/* One after the other: the first one is dead or held when the second begins. */
static void run_in_turn(const struct row *a, const struct row *b, bool holds)
{
	char what[192];
	bool both;

	snprintf(what, sizeof(what), "%s %s at %s; %s at %s",
		 part_names[a->part], holds ? "held" : "dead", name_of(a),
		 part_names[b->part], name_of(b));
	points_cell = what;
	points_aim(a->part, a->point, 1, holds);
	points_act_start(a->act);
	both = points_act_wait(a->act, a->part, ACT_MS);
	if (both && a->part >= PART_BROKER)
		points_act_kill(a->act);
	if (both) {
		points_aim(b->part, b->point, 1, false);
		points_act_start(b->act);
		both = points_act_wait(b->act, b->part, ACT_MS);
	}
	points_check(what);
	report(present, a, b, holds ? "held" : "dead", both);
}

static void run_clients(const struct row *a, const struct row *b, uint32_t n)
{
	if (n & 2)
		run_in_turn(b, a, n & 1);
	else
		run_in_turn(a, b, n & 1);
}

/* A client that needs an answer gets none of a broker that stands still. */
static void run_with_broker(const struct row *client, const struct row *broker,
			    uint32_t n)
{
	if (n % 3 == 2)
		run_in_turn(broker, client, false);
	else
		run_in_turn(client, broker, n % 3 == 1);
}

static void run_brokers(const struct row *a, const struct row *b, uint32_t n)
{
	char what[160];
	bool both;

	snprintf(what, sizeof(what), "broker at %s, successor at %s",
		 name_of(a), name_of(b));
	points_cell = what;
	points_aim(PART_BROKER, a->point, 1, false);
	points_aim(PART_ADOPTS, b->point, 1, false);
	points_act_start(a->act);
	both = points_act_wait(a->act, PART_ADOPTS, ACT_MS);
	if (both && n % 2)
		points_act_kill(a->act);
	points_check(what);
	report(present, a, b, "dead", both);
}

static void collect(const struct row **list, uint32_t *count, uint32_t parts)
{
	*count = 0;
	for (uint32_t i = 0; i < row_count; i++)
		if (parts & 1u << rows[i].part && !is_last(&rows[i]) &&
		    !rows[i].after)
			list[(*count)++] = &rows[i];
}

static void run_pairs(struct pairs *pairs)
{
	uint64_t all = (uint64_t)pairs->first_count * pairs->second_count;
	uint64_t count = is_long() || all < pairs->sample ? all : pairs->sample;

	present = pairs;
	ck_assert_uint_gt(all, 0);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (seed() * count + i) % all * STRIDE % all;

		pairs->run(pairs->first[at / pairs->second_count],
			   pairs->second[at % pairs->second_count],
			   (uint32_t)(at + seed()));
	}
	printf("%s: %llu pairs of %llu, seed %llu: in %u the second one did not "
	       "pass its testpoint any more\n",
	       pairs->name, (unsigned long long)count, (unsigned long long)all,
	       (unsigned long long)seed(), pairs->missed);
	say(pairs->name);
	/* Most of them are deaths of two. */
	ck_assert_uint_lt(2 * pairs->missed, count);
}

#define BIT(part) (1u << (part))

static void all_pairs(void)
{
	static struct pairs clients = {.name = "producer and consumer",
				       .sample = SAMPLE,
				       .run = run_clients};
	static struct pairs asking = {.name = "client and broker or keeper",
				      .sample = SAMPLE,
				      .run = run_with_broker};
	static struct pairs brokers = {.name = "broker and successor",
				       .sample = SAMPLE,
				       .run = run_brokers};

	collect(clients.first, &clients.first_count, BIT(PART_PRODUCER));
	collect(clients.second, &clients.second_count, BIT(PART_CONSUMER));
	collect(asking.first, &asking.first_count,
		BIT(PART_PRODUCER) | BIT(PART_CONSUMER) | BIT(PART_CONTROL));
	collect(asking.second, &asking.second_count,
		BIT(PART_BROKER) | BIT(PART_KEEPER));
	collect(brokers.first, &brokers.first_count, BIT(PART_BROKER));
	collect(brokers.second, &brokers.second_count, BIT(PART_ADOPTS));
	run_pairs(&clients);
	run_pairs(&asking);
	run_pairs(&brokers);
}

/* ---- both at once ------------------------------------------------------------------------- */

/* A broker dies when its keeper is dead. No tapiod is left, and events go on. */
static void no_one_is_left(void)
{
	struct row *row = NULL;
	uint32_t accepted;

	for (uint32_t i = 0; i < row_count; i++)
		if (is_last(&rows[i]) && rows[i].part == PART_BROKER)
			row = &rows[i];
	ck_assert_ptr_nonnull(row);
	points_aim(PART_BROKER, row->point, 1, false);
	kill((pid_t)board->keeper, SIGKILL);
	for (int i = 0; i < 60000 && !points_hit(PART_BROKER); i++)
		usleep(1000);
	ck_assert(points_hit(PART_BROKER));
	row->died++;
	cells++;
	accepted = tpi_load_acquire(&board->living_accepted);
	for (int i = 0;
	     i < 60000 && tpi_load_acquire(&board->living_received) <= accepted;
	     i++)
		usleep(1000);
	ck_assert_uint_gt(tpi_load_acquire(&board->living_received), accepted);
	board->broker = board->keeper = 0;
}

/* ---- worlds that end ------------------------------------------------------------------------ */

static void begin_world(void)
{
	begin_with(POINTS_MAX);
	memset(passed, 0, sizeof(passed));
}

/* The instance that is there now is whole. */
static void end_world(const char *what)
{
	points_live();
	points_check(what);
	points_die();
	points_stop();
	points_board_remove();
}

/* Testpoints that have no row yet. */
static bool is_new(uint32_t point)
{
	for (uint32_t i = 0; i < row_count; i++)
		if (rows[i].point == point)
			return false;
	return true;
}

static void note_new(const struct points_act *act, enum points_part part)
{
	for (uint32_t i = 0; i < board->point_count; i++)
		if (is_new(i))
			note_row(act, NULL, part, i);
}

static void die_in_move(struct row *row)
{
	char what[96];

	begin_world();
	snprintf(what, sizeof(what), "%s at %s, %s", part_names[row->part],
		 name_of(row), row->act->name);
	points_cell = what;
	points_aim(row->part, row->point, 1, false);
	ck_assert_msg(points_move(row->act), "%s: not reached", what);
	end_world(what);
	say(what);
	row->died++;
	cells++;
}

static void every_step_of_a_move(void)
{
	bool news[POINTS_MAX];
	uint32_t first = row_count;

	for (uint32_t i = 0; i < POINTS_MAX; i++)
		news[i] = is_new(i);
	for (uint32_t m = 0; m < points_mover_count; m++) {
		const struct points_act *mover = &points_movers[m];

		points_cell = mover->name;
		begin_world();
		ck_assert(!points_move(mover));
		for (uint32_t i = 0; i < board->point_count; i++)
			if (news[i] &&
			    !strncmp(board->names[i], MOVE, strlen(MOVE)))
				note_row(mover, NULL, mover->part, i);
		end_world(mover->name);
	}
	for (uint32_t i = first, count = row_count; i < count; i++)
		die_in_move(&rows[i]);
	say("moves");
}

/* A broker dies while it stops. Its keeper ends, and the next instance can begin. */
static void die_in_stop(struct row *row)
{
	begin_world();
	points_cell = name_of(row);
	points_aim(row->part, row->point, 1, false);
	points_stop();
	ck_assert(points_hit(row->part));
	points_aim_nowhere();
	ck_assert_msg(points_start_again(), "no other instance serves");
	end_world("an end in a stop");
	row->died++;
	cells++;
}

static void every_step_of_a_stop(void)
{
	uint32_t first = row_count;

	points_cell = "a stop";
	begin_world();
	forget_passes();
	points_stop();
	note_new(NULL, PART_BROKER);
	points_board_remove();
	for (uint32_t i = first, count = row_count; i < count; i++)
		die_in_stop(&rows[i]);
	say("stops");
}

/* ---- the matrix ----------------------------------------------------------------------------- */

/* Where one part has passed it by chance, another one has died in it. */
static void print_point(uint32_t point, uint32_t *unreached)
{
	uint32_t died = 0;
	bool reached = false;

	printf("%-38s %-20s", points_file(point), board->names[point]);
	if (points_places(point) > 1)
		printf(" (%u places)", points_places(point));
	for (uint32_t i = 0; i < row_count; i++) {
		if (rows[i].point != point)
			continue;
		printf("%s %s died in it %u", reached ? "," : "",
		       part_names[rows[i].part], rows[i].died);
		misses += !rows[i].died;
		died += rows[i].died;
		reached = true;
	}
	if (reached) {
		puts(died ? "" : ": NEVER");
		*unreached += !died;
		return;
	}
	printf(" not reached by any scenario: %s\n",
	       points_reason(point) ? points_reason(point) : "NO REASON");
	*unreached += !points_reason(point);
}

static void print_matrix(void)
{
	uint32_t unreached = 0;

	for (uint32_t i = 0; i < board->point_count; i++)
		print_point(i, &unreached);
	printf("%u testpoints, %u rows, %u of them passed by chance, %u cells "
	       "with one death\n",
	       board->point_count, row_count, misses, cells);
	fflush(stdout);
	ck_assert_msg(!unreached,
		      "in %u testpoints no process has died, for no reason",
		      unreached);
	ck_assert_uint_lt(CHANCES * misses, row_count);
}

START_TEST(a_death_at_each_testpoint_loses_nothing)
{
	begun_s = now_s();
	every_step_of_beginning();
	say("first brokers");
	begin_with(POINTS_MAX);
	points_live();
	survey();
	say("survey");
	singles();
	say("singles");
	all_pairs();
	no_one_is_left();
	points_die();
	points_board_remove();
	every_step_of_a_move();
	every_step_of_a_stop();
	points_board_make();
	points_list();
	print_matrix();
	points_board_remove();
}
END_TEST

int main(int argc, char **argv)
{
	TCase *t;

	if (points_board_open())
		return points_host(argc, argv);
	if (!require_cpu_lanes() || sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		puts("needs two CPUs and rseq, to reach every testpoint");
		return 77;
	}
	t = tcase_create("testpoints");
	tcase_set_timeout(t, is_long() ? 7200 : 300);
	tcase_add_test(t, a_death_at_each_testpoint_loses_nothing);
	return check_run_case("testpoints", t);
}
