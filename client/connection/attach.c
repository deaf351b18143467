/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping the segments that the broker handed out, each with the right of the role:
 *
 *	            catalog  channel segments  cursors
 *	producer    read     read, write       read (every slot's)
 *	consumer    read     read              read, write (its own slot's)
 *	inspector   read     read              read (every slot's)
 *
 * A producer maps the cursors of every group slot now and never has to learn of a
 * new group. Every offset and count was checked by layout.c. The numbers in the
 * broker's message are checked here against the catalog and against the limits.
 */
#include <errno.h>
#include <string.h>

#include "client/connection/client.h"

static int check_granted(struct tpi_client *client, uint32_t role)
{
	const struct tpi_wire_attached *g = &client->granted;
	uint32_t cursors = role == TAPIO_ROLE_CONSUME ? 1 : TAPIO_GROUP_SLOTS;

	if (g->attachment == TAPIO_NOBODY || g->attachment == TAPIO_ABANDONED)
		return tpi_client_fail(
			client, -EPROTO,
			"the broker gave the attachment id 0x%x, "
			"which is reserved",
			g->attachment);
	if (g->channel >= client->catalog.channel_count)
		return tpi_client_fail(client, -EPROTO,
				       "the broker gave channel %u, and its "
				       "catalog has %u",
				       g->channel,
				       client->catalog.channel_count);
	if (!g->segment_count || g->segment_count > TAPIO_NODES_MAX ||
	    g->cursors_count != cursors)
		return tpi_client_fail(
			client, -EPROTO,
			"the broker gave %u channel segments and %u cursors "
			"segments, expected 1 to %d and %u",
			g->segment_count, g->cursors_count, TAPIO_NODES_MAX,
			cursors);
	if (role == TAPIO_ROLE_CONSUME && g->group_slot >= TAPIO_GROUP_SLOTS)
		return tpi_client_fail(
			client, -EPROTO,
			"the broker gave group slot %u, and there "
			"are %d",
			g->group_slot, TAPIO_GROUP_SLOTS);
	return 0;
}

static int map_channel(struct tpi_client *client, bool writable, const int *fds)
{
	uint32_t i, count = client->granted.segment_count;
	int err;

	for (i = 0; i < count; i++) {
		err = tpi_map_fd(&client->maps[i], fds[i], writable, UINT64_MAX,
				 client->error, sizeof(client->error));
		if (err)
			return err;
		client->map_count++;
	}
	return tpi_channel_attach(&client->channel, &client->catalog,
				  client->granted.channel, client->maps, count,
				  client->error, sizeof(client->error));
}

/* A consumer's group slot, or all of them. */
static int map_cursors(struct tpi_client *client, bool consume, const int *fds)
{
	const struct tpi_wire_attached *g = &client->granted;
	uint32_t i, slot;
	int err;

	err = tpi_map_fds(client->cursor_maps, fds, g->cursors_count, consume,
			  UINT64_MAX, client->error, sizeof(client->error));
	if (err)
		return err;
	client->cursor_count = g->cursors_count;
	for (i = 0; i < g->cursors_count && !err; i++) {
		slot = consume ? g->group_slot : i;
		err = tpi_cursors_attach(&client->cursors[slot],
					 &client->cursor_maps[i],
					 &client->catalog, g->channel, slot,
					 client->channel.lane_count,
					 client->error, sizeof(client->error));
	}
	return err;
}

int tpi_client_map(struct tpi_client *client, const struct tpi_request *request,
		   const int *fds)
{
	const struct tpi_wire_attached *g = &client->granted;
	int err;

	err = check_granted(client, request->role);
	if (!err)
		err = map_channel(client, request->role == TAPIO_ROLE_PRODUCE,
				  fds);
	if (!err)
		err = map_cursors(client, request->role == TAPIO_ROLE_CONSUME,
				  fds + g->segment_count);
	if (err)
		return err;
	client->shared = &client->catalog.channels[g->channel];
	client->groups =
		&client->catalog.groups[(size_t)g->channel * TAPIO_GROUP_SLOTS];
	return 0;
}

void tpi_client_unmap(struct tpi_client *client)
{
	tpi_channel_detach(&client->channel);
	tpi_maps_close(client->cursor_maps, client->cursor_count);
	tpi_maps_close(client->maps, client->map_count);
	if (client->catalog_map.base)
		tpi_map_close(&client->catalog_map);
	client->cursor_count = 0;
	client->map_count = 0;
	client->catalog_map = (struct tpi_map){0};
	memset(&client->granted, 0, sizeof(client->granted));
}

uint32_t tpi_client_lane_node(const struct tpi_client *client,
			      const struct tpi_lane *lane)
{
	const unsigned char *at = (const unsigned char *)lane->shm;
	const struct tapio_shm_header *header;
	uint32_t i;

	for (i = 0; i < client->map_count; i++) {
		const struct tpi_map *map = &client->maps[i];

		if (at < map->base || (uint64_t)(at - map->base) >= map->bytes)
			continue;
		header = (const struct tapio_shm_header *)map->base;
		return header->node;
	}
	return UINT32_MAX;
}
