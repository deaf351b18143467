/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors whose close waits, for as long as the test likes. */
#ifndef TEST_LINGERING_H
#define TEST_LINGERING_H

/*
 * A TCP socket that lingers for a minute when its last reference is closed. *other is
 * its other end, which does not read. A process that is killed does not wait.
 */
int lingering_socket(int *other);

#endif
