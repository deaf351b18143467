/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a test that runs one function as another user: with all ids changed
 * and no groups, and, where it is asked for, in namespaces of its own. Test and role
 * tell each other numbers.
 *
 * A role asserts as a test does: a failure in it fails the test. It is killed when
 * the test ends, whatever the test did.
 */
#ifndef TEST_HOSTILE_ROLE_H
#define TEST_HOSTILE_ROLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct role_as {
	uid_t uid; /* real, effective and saved. The gid is the same number */
	bool user_ns;  /* in a user namespace of its own, in which it is root */
	bool unmapped; /* in one that maps no user: it is 65534 there */
	bool pid_ns;   /* in a PID namespace of its own, as its process 1 */
	bool idle;     /* takes only the CPU time that others leave */
};

/* Seen by both: each has its end of the line. */
struct role {
	pid_t pid; /* in the test. In the role: 0 */
	int line;
	void *arg;
};

/* Runs `body` in a child. Its return is the end of the child. */
void role_start(struct role *role, const struct role_as *as,
		void (*body)(struct role *self), void *arg);
/* As the uid, in no namespace. */
void role_start_uid(struct role *role, uid_t uid,
		    void (*body)(struct role *self), void *arg);

void role_tell(struct role *role, uint64_t number);
/* Waits for a number. Fails the test when the other end is gone, or after 60 s. */
uint64_t role_hear(struct role *role);
/* Whether a number is there, or the other end is gone, within so many ms. */
bool role_has_news(const struct role *role, int ms);

/* Waits for its end, which MUST be a return of `body`. */
void role_end(struct role *role);
void role_kill(struct role *role);

/* All of it at once: `body` runs and returns before the call does. */
void role_run(const struct role_as *as, void (*body)(struct role *self),
	      void *arg);

/* NULL, or why this process cannot be several users. For main(). */
const char *role_reason(void);
/* Whether a process of that uid may make a user namespace. */
bool role_may_unshare(uid_t uid);

#endif
