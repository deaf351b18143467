/* SPDX-License-Identifier: Apache-2.0 */
/* The rights of clients: peer credentials against the configuration's rules. */
#ifndef TPI_BROKER_RIGHTS_H
#define TPI_BROKER_RIGHTS_H

#include "broker/config/config.h"

#define TPI_GROUPS_MAX 256 /* supplementary groups that are looked at */

struct tpi_cred {
	pid_t pid; /* in our PID namespace. 0: not visible there */
	uid_t uid;
	gid_t gid;
	bool at_home; /* known to be in the broker's namespaces (home.c) */
	bool ended;   /* so that is not known */
	uint32_t group_count;
	gid_t groups[TPI_GROUPS_MAX];
};

/* The identity of the other end of a connected Unix socket. */
int tpi_cred_read(struct tpi_cred *cred, int sock);

/* Whether it is one that `trust_owner` is for: root, or the broker's own. */
bool tpi_is_owner_uid(uid_t uid);

/* May do everything, also with what others have made: such a uid, at home. */
bool tpi_cred_is_owner(const struct tpi_config *config,
		       const struct tpi_cred *cred);

/* The rights that the rules together give on a channel (NULL: on any at all). */
uint32_t tpi_rights(const struct tpi_config *config,
		    const struct tpi_cred *cred, const char *channel);

/* The word of one right in the configuration, as "produce". */
const char *tpi_right_name(uint32_t right);

/*
 * Why a right is missing, for the client. It has no names of rules: they are not for
 * users without rights. right 0: any. Returns -EACCES.
 */
int tpi_rights_refuse(const struct tpi_cred *cred, const char *channel,
		      uint32_t right, char *error, size_t error_bytes);

/* For the log: the rules that grant a right (0: any) on a channel (NULL: any). */
void tpi_rights_rules(const struct tpi_config *config, const char *channel,
		      uint32_t right, char *names, size_t bytes);

#endif
