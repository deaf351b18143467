/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of the group policies, the same in the configuration, in the options
 * of the tools and in what they print. One table, because a second one could
 * disagree with the numbers of TAPIO_GROUP_* (abi.h).
 */
#ifndef TPI_POLICY_H
#define TPI_POLICY_H

#include <stdint.h>
#include <string.h>

#include <tapio/abi.h>

/* The name of a policy that a group can have, else "?". */
static inline const char *tpi_policy_name(uint32_t policy)
{
	static const char *const names[] = {
		[TAPIO_GROUP_DEFAULT] = "?",
		[TAPIO_GROUP_LOSSY] = "lossy",
		[TAPIO_GROUP_UNTIL] = "until",
		[TAPIO_GROUP_LOSSLESS] = "lossless",
	};

	return policy <= TAPIO_GROUP_LOSSLESS ? names[policy] : "?";
}

/* The policy with that name. TAPIO_GROUP_DEFAULT: there is none. */
static inline uint32_t tpi_policy_parse(const char *name)
{
	uint32_t policy;

	for (policy = TAPIO_GROUP_LOSSLESS; policy > TAPIO_GROUP_DEFAULT;
	     policy--)
		if (!strcmp(tpi_policy_name(policy), name))
			break;
	return policy;
}

#endif
