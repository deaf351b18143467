/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp profile that Docker gives to a container without further capabilities, as a
 * filter of our own: the calls that its default profile lists for x86-64 are allowed, others
 * fail with EPERM, clone3 and calls that are newer than the profile fail with ENOSYS.
 *
 * The refusals are answered by a thread of the test, so that the test knows them.
 */
#ifndef TEST_DOCKER_PROFILE_H
#define TEST_DOCKER_PROFILE_H

#include <pthread.h>
#include <stdbool.h>

enum docker_version {
	DOCKER_NONE, /* no profile */
	DOCKER_20,   /* 20.10: with io_uring */
	DOCKER_28,   /* 25 and newer: without */
};

#define DOCKER_CALLS 512

struct docker_supervisor {
	pthread_t thread;
	int listener;
	bool refused[DOCKER_CALLS];
};

/* In the container, for this process and its children. A listener, or -errno. */
int docker_profile_enter(enum docker_version version);

/* In the test: answers for all processes with that filter. */
void docker_supervise(struct docker_supervisor *supervisor, int listener);
/* After all of them have ended. */
void docker_supervise_end(struct docker_supervisor *supervisor);
/* Whether that call was refused up to now. */
bool docker_refused(const struct docker_supervisor *supervisor, long number);

#endif
