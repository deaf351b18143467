/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the frame: the command line, the results, and their
 * output. Questions and peers see bench.h alone.
 *
 *	main -> options -> run -> turns (side_processes, peers, placement_look)
 *	                       -> table, json
 *
 * One process and one thread of it does all this. Measurements run in processes
 * that bench_sides_run() forks. Numbers (numbers.c, judge.c, format.c, select.c,
 * placement.c) are pure, and tested as such.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdio.h>

#include "bench/frame/bench.h"

#define BENCH_GLOBS_MAX      32
#define BENCH_WHY_BYTES      240
#define BENCH_EXIT_MISPLACED 3  /* the wanted placement did not come */
#define BENCH_EXIT_TOO_FEW   77 /* CPUs */
#define BENCH_TABLE_COLUMNS  100

/* ---- where the two CPUs are --------------------------------------------------- */

/* See placement.c. */
enum bench_placement {
	BENCH_ANYWHERE, /* wanted: either. Of what was seen: nothing yet */
	BENCH_TOGETHER,
	BENCH_APART,
	BENCH_UNKNOWN, /* the line's time is between, or was not measured */
	BENCH_MIXED,   /* of several looks, some say this and some say that */
};

/* Nanoseconds that a cache line takes from CPU to CPU, one way. */
#define BENCH_TOGETHER_MOST_NS 75.0
#define BENCH_APART_LEAST_NS   90.0

#define BENCH_WAIT_DEFAULT_S 60
#define BENCH_WAIT_MOST_S    86400

/* "apart". */
const char *bench_placement_name(enum bench_placement placement);
/* False: it is none that can be wanted. */
bool bench_placement_parse(const char *name, enum bench_placement *placement);
enum bench_placement bench_placement_of(double line_ns);
/* The sum of two looks, or of two turns. */
enum bench_placement bench_placement_join(enum bench_placement a,
					  enum bench_placement b);
/* Is a turn with these looks one of those that are wanted? */
bool bench_placement_keeps(enum bench_placement wanted,
			   enum bench_placement got);
/* May it wait, or try again, after so much was spent of what it may spend? */
bool bench_placement_waits(enum bench_placement wanted, double spent_s,
			   double wait_s);

/* The placements of a case, a question or a run. */
struct bench_placed {
	enum bench_placement got; /* in all turns that were kept */
	unsigned int kept;        /* turns */
	unsigned int thrown;      /* away */
	double waited_s;          /* for the wanted placement */
	double thrown_s;          /* in turns that were thrown away */
	unsigned int short_cases; /* that had too few turns to be answered */
};
void bench_placed_add(struct bench_placed *sum, const struct bench_placed *one);

/* ---- the command line -------------------------------------------------------- */

struct bench_options {
	const char *globs[BENCH_GLOBS_MAX];
	unsigned int glob_count; /* 0: everything */
	const char *subjects[BENCH_GLOBS_MAX];
	unsigned int subject_count;     /* 0: all of a case */
	enum bench_placement placement; /* that is wanted */
	double wait_s;                  /* for it, in each question */
	/* Tests look and sleep by means of their own. NULL: placement_look.c. */
	double (*look)(const int cpus[2], bool quick);
	double (*nap)(void);
	bool list;
	bool quick;
	const char *json;         /* a file, or "-", or NULL */
	bool table;               /* stdout is not the JSON's */
	unsigned int turns;       /* of a case, at most */
	bool all_turns;           /* however long they take */
	int cpus[BENCH_CPUS_MAX]; /* named ones first, then the others */
	unsigned int cpu_count;
	int argc; /* as given, to be told again */
	char **argv;
};

/* Ends the program on --help, --version and wrong usage. */
void bench_options_parse(struct bench_options *options, int argc, char **argv);

/* ---- what came out ----------------------------------------------------------- */

enum bench_state {
	BENCH_NOT_RUN,
	BENCH_OK,
	BENCH_NOT_HERE,
	BENCH_FAILED,
};

struct bench_outcome {
	const struct bench_subject *of;
	enum bench_state state;
	char why[BENCH_WHY_BYTES];
	double turns[BENCH_FIGURES_MAX][BENCH_TURNS_MAX];
};

struct bench_case_result {
	const struct bench_case *of;
	unsigned int figures;
	unsigned int subjects;
	unsigned int turns;
	struct bench_outcome subject[BENCH_SUBJECTS_MAX];
	struct bench_placed placed;
	/* p50 of a cache line over the looks of each turn that was kept. */
	double line_ns[BENCH_TURNS_MAX];
};

/* The state of the machine at a moment: see machine_state.c. */
struct bench_machine_state {
	double line_ns;  /* one cache line from CPU to CPU, one way */
	double store_ns; /* 64 bytes stored into a cache */
};

struct bench_question_result {
	const struct bench_question *of;
	char why[BENCH_WHY_BYTES]; /* it could not be set up, or "" */
	struct bench_machine_state before, after;
	struct bench_placed placed;
	struct bench_case_result *cases;
	unsigned int case_count;
};

struct bench_machine {
	char cpu[96];
	char architecture[32];
	char kernel[144];
	char system[96];
	char governor[32]; /* "" where there is none to be seen */
	bool hypervisor;
	unsigned int cpus_online;
	uint64_t memory_bytes;
	uint64_t huge_pages; /* in the pool, of the default size */
	double load;         /* of the last minute, before the run */
};

struct bench_results {
	struct bench_machine machine;
	char started[32]; /* ISO 8601, UTC */
	double seconds;
	struct bench_question_result *questions; /* those that were asked for */
	unsigned int question_count;
};

/* ---- numbers ----------------------------------------------------------------- */

double bench_least(const double *values, unsigned int count);
double bench_most(const double *values, unsigned int count);

/*
 * The median of the ratios turn by turn: a noisy turn was noisy for both. NAN
 * where that is no number.
 */
double bench_ratio(const double *values, const double *against,
		   unsigned int count);

/*
 * Is the one figure always so many times the other, or its reciprocal, as a rate
 * is a time's? Then it says nothing new.
 */
bool bench_follows(const struct bench_case_result *result, unsigned int figure,
		   unsigned int other);

/* The base of this case's ratios: the first Tapio that was measured, or
 * NULL. */
const struct bench_outcome *
bench_reference(const struct bench_case_result *result);

enum bench_verdict {
	BENCH_REACHED,
	BENCH_MISSED,
	BENCH_OPEN, /* nothing to judge by */
};
struct bench_judgement {
	enum bench_verdict verdict;
	double value; /* compared with the limit. NAN when open */
	const struct bench_subject *against; /* of a ratio, or NULL */
	const char *why;                     /* it is open, or NULL */
	/* The floor of the case beside it: its figure, which is what the goal is
	 * about, and whether the goal is missed by that, too. */
	const struct bench_subject *floor; /* NULL: there is none */
	double floor_figure;
	bool floor_misses;
};
struct bench_judgement bench_judge(const struct bench_case_result *result,
				   const struct bench_goal *goal);

/* Why a goal is missed, as far as the floor of its case shows that. "" where it does
 * not. */
const char *bench_note(const struct bench_case_result *result,
		       const struct bench_goal *goal,
		       const struct bench_judgement *judgement, char *text,
		       size_t bytes);

/* How many goals a case has. */
unsigned int bench_goal_count(const struct bench_case *c);

/* ---- which cases ------------------------------------------------------------- */

/* "stream/ *" of names, "2" and "2/ *" of numbers. A name alone means its tree. */
bool bench_matches(const char *glob, unsigned int number, const char *name);
bool bench_selected(const struct bench_options *options,
		    const struct bench_question *question,
		    const struct bench_case *c);

/* Is it one of those that --subject means? Those of Tapio always are. */
bool bench_subject_selected(const struct bench_options *options,
			    const struct bench_case *c, unsigned int subject);

/* All questions, by number. NULL ends. See questions.c. */
const struct bench_question *const *bench_questions(void);

/* ---- text -------------------------------------------------------------------- */

/* "Concurrency Kit", or "Concurrency Kit, MPMC". */
const char *bench_subject_name(const struct bench_subject *subject, char *text,
			       size_t bytes);

/* A unit for a column of figures, and what to multiply them by for it. */
struct bench_scale {
	double factor;
	char unit[32];
};
/* One in which `least`, given in `unit`, has one to three digits. */
struct bench_scale bench_scale(const char *unit, double least);

/* Three digits or more: "0.031", "3.41", "122", "1,720". "-" for no number. */
const char *bench_number(double value, char *text, size_t bytes);

/* A ratio: "13.5 x", "0.62 x", "0.013 x". "-  " for what is none. */
const char *bench_times(double ratio, char *text, size_t bytes);

/* The columns that a text takes. */
unsigned int bench_width(const char *text);

/* ---- course ------------------------------------------------------------------ */

/* The last text of bench_why() in this process, once. "" when there is none. */
const char *bench_why_taken(void);
/* From now on into there: in a side. */
void bench_why_into(char *text, size_t bytes);

/* Maps all of bench_memory() in this process. */
void bench_memory_touch(void);

void bench_machine_read(struct bench_machine *machine);

/* NAN where it could not be measured. */
void bench_machine_state_take(struct bench_machine_state *moment,
			      const int cpus[2], bool quick);

/* Nanoseconds of a cache line from CPU to CPU, one way: the p50 of a short
 * ping-pong. NAN where it could not be measured. */
double bench_line_look(const int cpus[2], bool quick);
/* Sleeps before the next look. The seconds that it took. */
double bench_line_nap(void);

/* 0, or why it cannot be had: started when first asked for, once. */
int bench_peer_start(const struct bench_peer *peer, const char **why);
void bench_peers_stop(void);

/* Runs everything. 0, -EINTR when stopped by a signal, -ENOMEM. */
int bench_turns(const struct bench_options *options,
		struct bench_results *results);
void bench_results_free(struct bench_results *results);

/* One line on the terminal, if there is one, about what is being done. Turn 0
 * is the one to warm up. */
void bench_progress(double done, const char *case_name,
		    const struct bench_subject *subject, unsigned int turn,
		    unsigned int turns);
void bench_progress_clear(void);

/* ---- which peers were built -------------------------------------------------- */

/* The peers that bench/CMakeLists.txt looked for. */
struct bench_built {
	const char *name;
	const char *package; /* Debian's */
	bool present;
};
extern const struct bench_built bench_built[]; /* NULL name ends */

/* ---- showing ----------------------------------------------------------------- */

/* Escapes for a terminal, or "" when stdout is none. */
enum bench_style {
	BENCH_PLAIN,
	BENCH_BOLD,
	BENCH_DIM,
	BENCH_GOOD,
	BENCH_BAD,
};
const char *bench_style(enum bench_style style);

/* Beyond ASCII where the locale has it. */
const char *bench_micro(void); /* for a unit that begins with u */
const char *bench_dash(void);  /* between two numbers */
const char *bench_rule(void);  /* one column of a line */

/* `text` in `columns`, cut or filled up. To the right with `right`. */
void bench_cell(const char *text, unsigned int columns, bool right);
/*
 * As many words of `text` as fit in so many columns, one at least, into `line`.
 * Returns what is left.
 */
const char *bench_line(const char *text, unsigned int columns, char *line,
		       size_t bytes);
/* `text`, which begins at `indent`, over as many lines as it takes. */
void bench_wrapped(const char *text, unsigned int indent);

void bench_table_head(const struct bench_options *options,
		      const struct bench_results *results);
void bench_table_question(const struct bench_question_result *question);
void bench_table_case(const struct bench_options *options,
		      const struct bench_case_result *result);
void bench_table_question_end(const struct bench_question_result *question);
void bench_table_summary(const struct bench_options *options,
			 const struct bench_results *results);
void bench_goals_show(const struct bench_case_result *result, bool missed_only);

void bench_list(const struct bench_options *options);

/* 0, or a message was printed. */
int bench_json_check(const char *path); /* that it can be written, later */
int bench_json_write(const char *path, const struct bench_options *options,
		     const struct bench_results *results);

#endif
