/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of files that looks like /proc, made up for a test, in a directory of
 * its own. A mistake in making it fails the test.
 */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <stdint.h>

struct fixture {
	char root[64];
};

void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

/* Writes a file and the directories that lead to it. */
void fixture_write(const struct fixture *fixture, const char *path,
		   const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void fixture_write_bytes(const struct fixture *fixture, const char *path,
			 const void *bytes, uint64_t count);
void fixture_link(const struct fixture *fixture, const char *path,
		  const char *target);
/* A file, or a directory with all that is in it. */
void fixture_remove(const struct fixture *fixture, const char *path);

/* The stat file of a process. The other fields are plausible. */
struct fixture_process {
	uint32_t pid;
	const char *comm;
	char state; /* 0: S */
	uint64_t start_ticks;
	uint64_t user_ticks;
	uint64_t system_ticks;
	uint64_t rss_pages;
	uint64_t exit_status;
};

/* The text of it. Its length. */
int fixture_stat(char *buffer, uint64_t size,
		 const struct fixture_process *process);
/* proc/PID/stat, status, cgroup and cmdline. */
void fixture_process(const struct fixture *fixture,
		     const struct fixture_process *process);

#endif
