/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the questions of tapio-bench (bench/questions/) and the peers
 * (bench/peers/).
 *
 * A question is a file with a table of cases. A case is measured for several
 * subjects: Tapio, floors, and what people would use instead. The frame
 * (bench/frame/) runs the subjects of a case in turns, A B C A B C, since on a
 * shared machine nothing can be compared across runs or even across minutes:
 * figures are medians of the turns, and ratios are taken turn by turn.
 *
 *	for each case that was asked for
 *		question->set_up once. peer->start once for each peer
 *		for each turn
 *			for each subject: subject->run(...) -> figures
 *
 * A subject's run does its work in processes of its own, pinned, by
 * bench_sides_run(). The frame's process itself never measures, so that what a
 * peer leaves behind (threads, locked memory) disturbs no other.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_FIGURES_MAX  8
#define BENCH_SUBJECTS_MAX 16
#define BENCH_GOALS_MAX    6
#define BENCH_SIDES_MAX    24
#define BENCH_CPUS_MAX     1024
#define BENCH_TURNS_MAX    101

/* ---- who is measured -------------------------------------------------------- */

enum bench_kind {
	BENCH_TAPIO, /* the first of its kind in a case is what ratios are to */
	BENCH_PEER,
	BENCH_FLOOR, /* the limit of the machine, with no safety at all */
};

/* A reader has to know this before comparing. Each a short phrase, or "". */
struct bench_peer {
	const char *name;    /* "Concurrency Kit ck_ring SPSC" */
	const char *package; /* Debian's, or "" */
	const char *copies;  /* "in and out", "in. Read in place", "none" */
	const char *across;  /* "processes", "threads" */
	const char *death;   /* "a producer's death mid-write stops the ring" */
	enum bench_kind kind;
	/*
	 * Once before the first measurement, in the frame's process, and once at
	 * the end: daemons, environments. start: 0, or -errno with bench_why()
	 * called. The peer is then reported as absent with that reason. Both may
	 * be NULL.
	 */
	int (*start)(void);
	void (*stop)(void);
};

/* ---- what is measured --------------------------------------------------------- */

struct bench_figure {
	const char *name; /* "p50" */
	const char *unit; /* "ns", "events/s", "GB/s", "bytes", "%" */
	bool more_is_better;
};

/* Parameters of one case, and of the moment. */
struct bench_run {
	const struct bench_case *of;
	const int *cpus; /* to pin to: those of --cpus first, then the others */
	unsigned int cpu_count;
	uint64_t events; /* of this turn. Few with --quick */
	bool quick;
};

struct bench_subject {
	const struct bench_peer *peer;
	/* The name that tells two subjects of one peer apart in this case, or
	 * NULL. */
	const char *variant;
	/*
	 * One turn. 0 with all figures of the case. BENCH_ABSENT, with
	 * bench_why() called, when this cannot be had here, else negative, with
	 * what went wrong said by bench_why(). An absent or failed subject is
	 * not asked again. Wrong results (a lost, torn or repeated event) are
	 * failures: a subject is measured only if it does the work.
	 */
	int (*run)(const struct bench_run *run,
		   const struct bench_subject *subject, double *figures);
	const void *arg; /* the subject's own */
};

#define BENCH_ABSENT 77

/* A goal of the project. Missed ones are reported as such. */
enum bench_goal_kind {
	BENCH_GOAL_VALUE,   /* its figure is held against limit, in its unit */
	BENCH_GOAL_SUBJECT, /* its figure over that of `against` */
	BENCH_GOAL_BEST_PEER, /* its figure over that of the best BENCH_PEER */
};
struct bench_goal {
	const char *text; /* "at most 1.5 x the floor". NULL ends the list */
	enum bench_goal_kind kind;
	/* Subjects of the case by name: "peer" or "peer, variant". Whose goal it
	 * is, NULL: Tapio's first. Whom it is held against. And one whose figure
	 * is added to that of `against`, or NULL. */
	const char *of;
	const char *against;
	const char *plus;
	unsigned int figure; /* index. That figure's direction says whether
				limit is a most or a least */
	double limit;
};

struct bench_case {
	const char *name; /* "stream/64/single", matched by --run */
	const char *title;
	uint32_t bytes;  /* of an event. 0 where it means nothing */
	uint32_t batch;  /* 1, 32 */
	uint64_t param;  /* the question varies it: rate, groups, ... */
	uint64_t events; /* per turn */
	uint64_t quick_events;
	struct bench_figure figures[BENCH_FIGURES_MAX]; /* NULL name ends */
	const struct bench_subject *const *subjects;    /* NULL ends */
	struct bench_goal goals[BENCH_GOALS_MAX + 1];
	const char *param_name; /* "groups", "events/s", or NULL */
	/* A glob of subjects that do less than the case says, as one producer
	 * where it has two. They are no rivals: goals look at them by name only.
	 * Or NULL. */
	const char *aside;
	const void *arg; /* the question's own */
};

/* A figure of others, from elsewhere: shown as published, never as measured. */
struct bench_published {
	const char *what; /* "put into the ring". NULL ends a list */
	double value;
	const char *unit;
	const char *source;
};

struct bench_question {
	unsigned int number;
	const char *text;
	const struct bench_case *cases; /* NULL name ends */
	/* Around its cases: brokers and the like. May be NULL. As peer->start. */
	int (*set_up)(void);
	void (*tear_down)(void);
	const struct bench_published *published; /* or NULL */
};

/* ---- running ------------------------------------------------------------------ */

/* Shared by the processes of one measurement. */
struct bench_shared {
	uint32_t sides;
	uint32_t ready; /* calls of bench_ready so far */
	uint32_t stop;  /* for the sides' own use, as is `words` */
	uint32_t reserved;
	uint64_t words[16];
	struct bench_side_result {
		uint64_t start_ns;
		uint64_t end_ns;
		uint64_t count;  /* events, or whatever the side counts */
		uint64_t cpu_ns; /* the process's, if the side asks for it */
		double value[BENCH_FIGURES_MAX];
		char why[160];
		uint64_t reserved[6];
	} side[BENCH_SIDES_MAX];
};

struct bench_side {
	int cpu; /* -1: not pinned */
	/* In a process of its own: 0, or negative (or BENCH_ABSENT) with
	 * bench_why() called. */
	int (*run)(void *arg, struct bench_shared *shared, unsigned int index);
	void *arg;
};

/*
 * Runs the sides, each in a forked process that is killed when this one dies or
 * when another side fails, and waits for them. 0, or negative, with the first
 * reason passed on to bench_why(). `shared` is a copy of what they left.
 */
int bench_sides_run(const struct bench_side *sides, unsigned int count,
		    struct bench_shared *shared);

/* In a side: waits until every side has come here (any number of times). */
void bench_ready(struct bench_shared *shared);

/* From the first start to the last end over all sides that set them. */
double bench_span_ns(const struct bench_shared *shared);

/* Why something failed or is absent. Printf-like. In sides, too. */
void bench_why(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Memory shared with all sides, zeroed, on huge pages if possible, its pages
 * mapped in every side before that runs, or NULL with bench_why() called.
 */
void *bench_memory(uint64_t bytes);
void bench_memory_free(void *memory, uint64_t bytes);

uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void); /* used by this process so far */
int bench_pin(int cpu);      /* 0, or -errno with bench_why() called */
double bench_median(const double *values, unsigned int count);
/* Sorts in place. q in [0, 1]. */
double bench_quantile(double *values, size_t count, double q);

/* Reads every word but the first, as a reader with a use for them does. */
static inline uint64_t bench_read(const void *data, uint32_t bytes)
{
	const uint64_t *word = data;
	uint64_t sum = 0;

	for (uint32_t i = 1; i < bytes / 8; i++)
		sum ^= word[i];
	return sum;
}

#endif
