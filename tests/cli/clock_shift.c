/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: a process with it sees CLOCK_REALTIME five seconds too late. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHIFT_S 5

__attribute__((visibility("default"))) int clock_gettime(clockid_t id,
							 struct timespec *time)
{
	int err = (int)syscall(SYS_clock_gettime, id, time);

	if (!err && id == CLOCK_REALTIME)
		time->tv_sec += SHIFT_S;
	return err;
}
