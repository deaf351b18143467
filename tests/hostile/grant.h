/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory a client can write after a grant: every descriptor that came is tried in
 * every way that the kernel has to write through a file or to change it.
 */
#ifndef TEST_HOSTILE_GRANT_H
#define TEST_HOSTILE_GRANT_H

#include <stdbool.h>
#include <stdint.h>

struct peer;

/*
 * All that came with ATTACHED, for that role. `owner`: the client is root or the
 * broker's own user, whom file modes do not hold back. Fails the test otherwise.
 */
void grant_check(const struct peer *peer, uint32_t role, bool owner);

/* One descriptor: whether its memory can be written. */
void grant_check_fd(int fd, bool writable, bool owner);

#endif
