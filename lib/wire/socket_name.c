/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default name of the control socket. One rule, used by tapiod, by the client
 * library and by the tools:
 *
 *   broker   root and system users:  TAPIO_SOCKET_DEFAULT
 *            a user with a session:  $XDG_RUNTIME_DIR/tapio/tapiod.sock
 *   client   the socket in $XDG_RUNTIME_DIR if that file exists, else
 *            TAPIO_SOCKET_DEFAULT
 *
 * So a plain user can start a broker without a right to /run, and its clients find
 * it. Where no such broker was started, they find the system's.
 *
 * The choice of the socket decides what a client sees and where its events go.
 * XDG_RUNTIME_DIR may name a directory of another user: sudo, su and setuid
 * programs can carry the variable along. So it counts only when the directory
 * belongs to the effective uid. Root never uses it: the broker that root starts
 * is the system's. secure_getenv() hides the variable from setuid programs.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapio/common.h>

#include "lib/wire/socket_name.h"

/* False: this user has no directory for a socket of its own. */
static bool session_name(struct tpi_socket_name *name)
{
	const char *directory = secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	if (!directory || directory[0] != '/' || geteuid() == 0)
		return false;
	if (stat(directory, &st) || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid())
		return false;
	n = snprintf(name->text, sizeof(name->text), "%s/tapio/tapiod.sock",
		     directory);
	return n > 0 && (size_t)n < sizeof(name->text);
}

static void system_name(struct tpi_socket_name *name)
{
	_Static_assert(sizeof(TAPIO_SOCKET_DEFAULT) <= sizeof(name->text),
		       "the default name is one that can be bound");
	strcpy(name->text, TAPIO_SOCKET_DEFAULT);
}

void tpi_socket_name_serve(struct tpi_socket_name *name)
{
	if (!session_name(name))
		system_name(name);
}

void tpi_socket_name_find(struct tpi_socket_name *name)
{
	if (!session_name(name) || access(name->text, F_OK))
		system_name(name);
}

const char *tpi_socket_name_of(const char *given, struct tpi_socket_name *found)
{
	const char *name = given ? given : secure_getenv("TAPIO_SOCKET");

	if (name && *name)
		return name;
	tpi_socket_name_find(found);
	return found->text;
}
