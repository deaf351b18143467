/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode and group of the socket's file: which users may connect. Called when the socket is
 * made (listen.c), and when a reload changes them. Connections that are there stay.
 */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/error.h"

/* The group that may connect, when the mode lets groups connect: -1 the broker's own. */
static gid_t choose_group(struct tpi_broker *broker,
			  const struct tpi_config *config)
{
	const struct group *named;

	if (config->socket_group != (gid_t)-1 || geteuid() ||
	    !(config->socket_mode & 0060))
		return config->socket_group;
	named = getgrnam(TPI_GROUP_DEFAULT);
	if (!named)
		tpi_log(&broker->log, TAPIO_LOG_INFO,
			"this host has no group \"%s\": the socket belongs to "
			"the broker's own group (socket_group)",
			TPI_GROUP_DEFAULT);
	return named ? named->gr_gid : (gid_t)-1;
}

/* A broker that may not change it goes on: that opens the socket to no more users. */
static void give_to(struct tpi_broker *broker, const struct tpi_config *config,
		    gid_t group, const char *path)
{
	struct stat st;

	if (group != (gid_t)-1 && chown(path, (uid_t)-1, group))
		tpi_log(&broker->log, TAPIO_LOG_WARNING,
			"socket \"%s\": cannot give it to group %u: %s. It "
			"keeps the broker's own group, and members of %u "
			"cannot connect by it",
			path, group, strerror(errno), group);
	if (!lstat(path, &st) && !(config->socket_mode & 0006))
		tpi_log(&broker->log, TAPIO_LOG_INFO,
			"socket \"%s\": mode %04o, group %u; other users cannot "
			"connect (socket_mode = \"0666\" lets all connect)",
			path, (unsigned int)config->socket_mode, st.st_gid);
}

void tpi_socket_set_group(struct tpi_broker *broker,
			  const struct tpi_config *config, const char *path)
{
	give_to(broker, config, choose_group(broker, config), path);
}

static bool is_ours(const struct tpi_server *server)
{
	struct stat st;

	return server->inode && !lstat(server->name, &st) &&
	       st.st_ino == server->inode && st.st_dev == server->device;
}

/*
 * First what both modes allow, then the group, then the new mode: at each moment one of
 * the configurations lets in all that can connect. SIGKILL between the steps leaves a file that
 * the next broker replaces. Clients that connect meanwhile may be refused once.
 */
int tpi_socket_change(struct tpi_broker *broker, const struct tpi_config *next,
		      char *error, size_t error_bytes)
{
	const struct tpi_config *now = &broker->config;
	const char *path = broker->server.name;
	gid_t group;

	if (path[0] == '@' || (next->socket_mode == now->socket_mode &&
			       next->socket_group == now->socket_group))
		return 0;
	if (!is_ours(&broker->server))
		return tpi_fail(-ENOENT, error, error_bytes,
				"socket \"%s\": the file is gone or another "
				"one, so its mode and group cannot change: "
				"restart tapiod",
				path);
	if (chmod(path, now->socket_mode & next->socket_mode))
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot set mode %03o: %s", path,
				(unsigned int)next->socket_mode,
				strerror(errno));
	group = choose_group(broker, next);
	give_to(broker, next, group == (gid_t)-1 ? getegid() : group, path);
	(void)chmod(path, next->socket_mode); /* as the one before it did */
	return 0;
}
