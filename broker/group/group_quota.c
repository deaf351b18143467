/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares of a channel's groups: one uid may have `uid_groups_max` of `groups_max` at a
 * time, durable ones without members included. The configuration's groups are no uid's.
 */
#include <errno.h>

#include "broker/broker.h"
#include "lib/base/error.h"

int tpi_group_quota(const struct tpi_host *host, const struct tpi_cred *cred,
		    char *error, size_t error_bytes)
{
	uint32_t own = 0;

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		const struct tpi_group *group = &host->groups[i];

		own += group->state == TAPIO_SLOT_ACTIVE &&
		       !group->configured && group->uid == cred->uid;
	}
	if (tpi_quota_is_exempt(cred) || own < host->config->uid_groups_max)
		return 0;
	return tpi_fail(-EDQUOT, error, error_bytes,
			"channel \"%s\": uid %u has %u groups, uid_groups_max "
			"is %u of groups_max = %u",
			host->config->spec.name, cred->uid, own,
			host->config->uid_groups_max, host->config->groups_max);
}
