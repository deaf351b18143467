/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a uid out while a helper hangs in its descriptor (helper.c). Its connections
 * could neither be received from nor be closed, so they must not come to be: the kernel
 * refuses them, by an access control list of the socket's file (acl(5)), in which that
 * uid may do nothing.
 *
 * The mode of the file holds for all others. Where there is no file (an abstract name),
 * or a file system without such lists, each connection of the uid takes a place among
 * those that wait to be closed.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "broker/broker.h"

/* The layout of the attribute, little-endian, as on both platforms. */
#define ACL_NAME    "system.posix_acl_access"
#define ACL_VERSION 2
#define ACL_NO_ID   UINT32_MAX

enum {
	ACL_OWNER = 0x01,
	ACL_UID = 0x02,
	ACL_OWNING_GROUP = 0x04,
	ACL_MASK = 0x10,
	ACL_OTHERS = 0x20,
};

struct acl {
	uint32_t version;
	struct acl_entry {
		uint16_t tag;
		uint16_t mode; /* three bits of it */
		uint32_t id;
	} entries[TPI_HELPERS_HUNG + 4];
};

static void add(struct acl *acl, uint32_t *count, uint16_t tag, mode_t mode,
		uint32_t id)
{
	acl->entries[(*count)++] =
		(struct acl_entry){tag, (uint16_t)(mode & 7), id};
}

/* Entries of users stand in the order of their ids, and once each. */
static void add_barred(struct acl *acl, uint32_t *count,
		       const struct tpi_helpers *helpers)
{
	const struct tpi_helper *helper;
	uint64_t least, after = 0;

	for (;;) {
		least = UINT64_MAX;
		TAILQ_FOREACH (helper, &helpers->list, link)
			if (helper->hung && helper->uid >= after &&
			    helper->uid < least)
				least = helper->uid;
		if (least == UINT64_MAX || *count > TPI_HELPERS_HUNG)
			return;
		add(acl, count, ACL_UID, 0, (uint32_t)least);
		after = least + 1;
	}
}

static bool is_ours(const struct tpi_server *server)
{
	struct stat st;

	return server->name[0] != '@' && server->inode &&
	       !lstat(server->name, &st) && st.st_ino == server->inode &&
	       st.st_dev == server->device;
}

void tpi_bar_update(struct tpi_broker *broker)
{
	const struct tpi_server *server = &broker->server;
	mode_t mode = broker->config.socket_mode;
	struct acl acl = {.version = ACL_VERSION};
	uint32_t count = 0;
	size_t bytes;

	if (!is_ours(server))
		return;
	if (!server->helpers.hung) {
		lremovexattr(server->name, ACL_NAME);
		chmod(server->name, mode);
		return;
	}
	add(&acl, &count, ACL_OWNER, mode >> 6, ACL_NO_ID);
	add_barred(&acl, &count, &server->helpers);
	add(&acl, &count, ACL_OWNING_GROUP, mode >> 3, ACL_NO_ID);
	add(&acl, &count, ACL_MASK, mode >> 3, ACL_NO_ID);
	add(&acl, &count, ACL_OTHERS, mode, ACL_NO_ID);
	bytes = offsetof(struct acl, entries) + count * sizeof(acl.entries[0]);
	if (lsetxattr(server->name, ACL_NAME, &acl, bytes, 0))
		tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
			       "socket \"%s\": cannot keep a uid out by an "
			       "access control list: %s",
			       server->name, strerror(errno));
}
