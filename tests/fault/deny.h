/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp filter that lets one system call fail, as containers' profiles do. */
#ifndef TEST_DENY_H
#define TEST_DENY_H

#include <stdbool.h>

/*
 * From now on `number` fails with `error` in this process and its children, and
 * everything else works. False where the kernel has no filters.
 */
bool deny_syscall(long number, int error);

#endif
