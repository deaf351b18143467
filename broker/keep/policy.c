/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kill from outside (SIGKILL: a person, the OOM killer, a test) says nothing against the
 * broker, so one that had served is replaced at once. All other ends within 5 s of the
 * start are failures: the first one is forgiven, and from then on each start comes twice
 * as late, up to 5 s. After a kill before it served it is 100 ms at most: many of them say
 * something against the killer, and clients wait.
 *
 * A broker that crashes before it serves most probably crashes again, over the memory that
 * it is given. After five in a row the keeper gives up, so that the service manager or the
 * operator sees it. Only then new memory can be made.
 */
#include "broker/keep/keeper.h"

#include <signal.h>

int tpi_keeper_delay(struct tpi_keeper_policy *policy, int signal, bool ready,
		     int64_t lived_ns)
{
	bool killed = signal == SIGKILL || !signal;
	bool crashed = signal > 0 && !killed;
	uint32_t delay,
		most = killed ? TPI_KEEPER_DELAY_KILLED : TPI_KEEPER_DELAY_MAX;

	policy->crashes = crashed && !ready ? policy->crashes + 1 : 0;
	if (policy->crashes >= TPI_KEEPER_CRASHES)
		return -1;
	if ((ready && !crashed) || lived_ns >= TPI_KEEPER_SETTLED_NS) {
		policy->failures = 0;
		return 0;
	}
	policy->failures++;
	if (policy->failures == 1)
		return 0;
	if (policy->failures > 11)
		return (int)most;
	delay = UINT32_C(10) << (policy->failures - 2);
	return (int)(delay < most ? delay : most);
}
