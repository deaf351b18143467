/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of sections: each operation, each section that it goes through, and a death
 * at each instruction there. sections_trace.c stops a thread at an instruction,
 * sections_matrix.c runs an operation once for each, sections.c (lanes) and
 * sections_pool.c say which operations there are and look at the memory afterwards.
 */
#ifndef TAPIO_TESTS_SECTIONS_H
#define TAPIO_TESTS_SECTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As in linux/rseq.h. */
struct section_descriptor {
	uint64_t version_and_flags;
	uint64_t start;
	uint64_t length;
	uint64_t abort;
};

/* A section of this program, and which section of which function it is. */
struct section {
	const struct section_descriptor *descriptor;
	char name[48];
	bool reached; /* an operation went through it, up to its commit */
};

#define SECTIONS_MAX 512
extern struct section sections[SECTIONS_MAX];
extern int section_count;
/* Fills both from __rseq_cs and the symbols of /proc/self/exe. */
void sections_find(void);

/* An instruction at which a thread stood: in a section, or the one behind its commit. */
struct stand {
	uint64_t at;
	int section;
	uint32_t visit; /* how often the thread has stood there before */
};

/* Is it the one behind the commit? */
bool stand_is_behind(const struct stand *stand);

struct operation {
	const char *name;
	void (*set_up)(const struct operation *);
	/* Both in the child. 0, or its exit status. */
	int (*prepare)(const struct operation *);
	int (*call)(const struct operation *);
	/* The word in which its sections commit. Shared. */
	const uint64_t *word;
	/* The child is dead. The word at the beginning of the call, and at the death. */
	void (*check)(const struct operation *, uint64_t before,
		      uint64_t after);
};

/*
 * A child that has prepared the operation and stands before the call. `fake`: its
 * sections work on an area of rseq that the kernel does not know.
 */
pid_t trace_start(const struct operation *operation, bool fake);
/* Steps to the end of the call. The stands on the way, and how many. Needs `fake`. */
uint32_t trace_path(pid_t pid, struct stand *stands, uint32_t max);
/*
 * Runs up to a stand, for the time that it names. The first one only, unless `fake`.
 * False: the call has ended.
 */
bool trace_run_to(pid_t pid, const struct stand *stand, bool fake);
void trace_kill(pid_t pid);
bool trace_is_allowed(void);

/* In the parent of the test: before it, and after one that has failed. */
void matrix_begin(void);
void matrix_say_where(void);
/* A line of the table, before its rows. */
void matrix_title(const char *title);
/* A row for each passage of the operation through a section. Fails as ck_assert does. */
void matrix_add(const struct operation *operation);
/* Prints the table, and the sums. Each section was reached, or the build is one that has dead ones. */
void matrix_end(void);

/* All operations of a pool. */
void pool_operations(void);

#endif
