/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FDSTORE=1 and FDSTOREREMOVE=1 of sd_notify(3). The store keeps several descriptors under
 * one name, and so a former one is removed first.
 *
 * FDPOLL=0: systemd would otherwise drop a pidfd whose process has ended, or a socket of which
 * the peer has, and the next broker could not find out about it.
 *
 * SIGKILL between the two messages of a put: the key is empty. Between the messages and the
 * reading of systemd: they are in its queue. SIGSTOP changes nothing. A restart gets all by
 * LISTEN_FDS. systemd itself is process 1: it does not die.
 */
#include "broker/keep/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/keep/listen_fds.h"
#include "broker/keep/notify.h"

/* For systemd to read its queue, as after many puts at once. */
#define WAIT_MS    1000
#define TEXT_BYTES (TPI_KEEP_NAME_BYTES + 48)

struct keep_manager {
	struct tpi_keep keep;
	struct tpi_keep_table table;
	uint32_t room;
};

static int send_name(const char *format, struct tpi_keep_key key, int fd)
{
	char name[TPI_KEEP_NAME_BYTES], text[TEXT_BYTES];

	tpi_keep_name(name, key);
	snprintf(text, sizeof(text), "%s\nFDNAME=%s%s", format, name,
		 fd < 0 ? "" : "\nFDPOLL=0");
	return tpi_notify_send(text, fd, WAIT_MS);
}

static void drop(struct tpi_keep *keep, struct tpi_keep_key key)
{
	struct keep_manager *m = (struct keep_manager *)keep;

	if (tpi_keep_table_drop(&m->table, key) >= 0 && m->room &&
	    key.kind != TPI_KEEP_ACTIVATED)
		(void)send_name("FDSTOREREMOVE=1", key, -1);
}

static int put(struct tpi_keep *keep, struct tpi_keep_key key, int fd)
{
	struct keep_manager *m = (struct keep_manager *)keep;
	int old, err;

	if (!m->room)
		return 0;
	drop(keep, key);
	if (m->table.used >= m->room)
		return -ENOSPC;
	err = tpi_keep_table_put(&m->table, key, fd, &old);
	if (!err)
		err = send_name("FDSTORE=1", key, fd);
	if (err)
		(void)tpi_keep_table_drop(&m->table, key);
	return err;
}

static const struct tpi_keep_ops ops = {.put = put, .drop = drop};

struct tpi_keep *tpi_keep_manager_create(const struct tpi_keep_table *table,
					 uint32_t room)
{
	struct keep_manager *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->keep.ops = &ops;
	m->table = *table;
	m->room = room;
	if (tpi_keep_inherit(&m->keep, table)) {
		free(m);
		return NULL;
	}
	return &m->keep;
}
