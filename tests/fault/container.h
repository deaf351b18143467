/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container of a test, made by hand as a runtime makes it: mount, PID, IPC, network, UTS
 * and cgroup namespaces of its own, and a user namespace where it is asked for. Its root is
 * a tmpfs with the libraries, the programs of Tapio, a /proc of its own, and one directory
 * or file of the host at /run/tapio. It has Docker's capabilities and its seccomp profile.
 *
 * Its process 1 runs a function of the test, or a program. All of it is killed when the test
 * ends, whatever the test did.
 */
#ifndef TEST_CONTAINER_H
#define TEST_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/fault/docker_profile.h"
#include "tests/hostile/role.h"

struct container_spec {
	const char *name;
	/* A directory of the host for /run/tapio, or the socket's file in one. */
	const char *mounted;
	bool writable; /* else it is mounted read-only */
	/* uid_map and gid_map of its user namespace. NULL: the host's. */
	const char *users;
	uid_t uid; /* of process 1, in it */
	bool bare; /* no capability, else Docker's */
	enum docker_version profile;
	/* A directory of a cgroup for its process 1. NULL: the test's own. */
	const char *cgroup;
	/* A program of Tapio's with its arguments, or a function. */
	const char *const *argv;
	int output; /* of a program: its stdout and stderr */
	void (*body)(struct role *self);
	void *arg;
};

struct container {
	struct role role; /* role.pid: its parent, outside */
	pid_t init;       /* its process 1, as the test sees it */
	bool supervised;
	struct docker_supervisor supervisor;
};

/* NULL, or why there can be no containers. For main(). */
const char *container_reason(void);

/* The image: programs for all containers of a test. Its directory, with room for files. */
const char *container_image(void);
void container_image_remove(void);

/* Returns when process 1 is about to run the function or the program. */
void container_start(struct container *container,
		     const struct container_spec *spec);
/* Its end by itself: the exit status of process 1, or 128 + the signal. */
int container_end(struct container *container);
/* SIGKILL of its process 1, by which the kernel ends all of it. */
void container_kill(struct container *container);
/* Whether a call was refused in it by the profile. */
bool container_refused(const struct container *container, long number);

#endif
