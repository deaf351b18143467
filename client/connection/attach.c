/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping the segments that the broker handed out, each with the right of the role:
 *
 *	            catalog  channel segments  cursors
 *	producer    read     read, write       read (every slot's)
 *	consumer    read     read              read, write (its own slot's, and
 *	                                       the page with its board)
 *	inspector   read     read              none (a tool fetches them)
 *
 * On an ISOLATED channel a producer has two writable channel segments: that of the
 * doorbells, and its own. It has no other one. Readers fetch the segments of producers when
 * these are sealed (segments.h). Lanes that are not mapped are at rest.
 *
 * A producer maps the cursors of every group slot now, and the broker is not asked when
 * a group joins. Only where a slot's memory was replaced, a producer fetches it
 * (client/producer/slots.c). Every offset and count was checked by layout.c. The numbers
 * in the broker's message are checked here against the catalog and against the limits.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "client/connection/client.h"
#include "lib/base/sys.h"

/* Whether its board is in the memory of another slot, which comes with its own. */
static bool shares_board(const struct tpi_wire_attached *g)
{
	return g->board && g->board - 1 != g->group_slot;
}

static int check_granted(struct tpi_client *client, uint32_t role)
{
	const struct tpi_wire_attached *g = &client->granted;
	uint32_t cursors = role == TAPIO_ROLE_CONSUME ? 1 + shares_board(g) : 0;

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
			"the broker gave %u channel segments and cursors of %u "
			"slots, expected 1 to %d and %u",
			g->segment_count, g->cursors_count, TAPIO_NODES_MAX,
			cursors);
	if (role == TAPIO_ROLE_CONSUME && (g->group_slot >= TAPIO_GROUP_SLOTS ||
					   g->board > TAPIO_GROUP_SLOTS))
		return tpi_client_fail(
			client, -EPROTO,
			"the broker gave group slot %u and board %u, and there "
			"are %d",
			g->group_slot, g->board, TAPIO_GROUP_SLOTS);
	return 0;
}

/*
 * A producer has a segment of its own if and only if the channel is isolated. `segments`: of
 * the channel.
 */
static int check_own_segment(struct tpi_client *client, bool producer,
			     bool isolated, uint32_t segments)
{
	const struct tpi_wire_attached *g = &client->granted;
	bool wanted = producer && isolated;
	uint32_t came = isolated ? 1 + (uint32_t)wanted : segments;

	if (g->own_segment < segments && wanted == (g->own_segment != 0) &&
	    g->segment_count == came)
		return 0;
	return tpi_client_fail(client, -EPROTO,
			       "the broker gave %u of %u segments, and segment "
			       "%u as this client's own, expected %u and %s",
			       g->segment_count, segments, g->own_segment, came,
			       wanted ? "1 or more" : "0");
}

static int map_segment(struct tpi_client *client, uint32_t segment, int fd,
		       bool writable)
{
	return tpi_map_fd(&client->maps[segment], fd, writable, UINT64_MAX,
			  client->error, tpi_client_room(client));
}

static int map_isolated(struct tpi_client *client, bool producer,
			const int *fds)
{
	uint32_t own = client->granted.own_segment;
	int err = map_segment(client, 0, fds[0], producer);

	if (!err && own)
		err = map_segment(client, own, fds[1], true);
	return err ? err : tpi_segments_init(client, !producer, own);
}

static int map_channel(struct tpi_client *client, bool producer, const int *fds)
{
	struct tapio_shm_channel info;
	bool isolated;
	int err = tpi_channel_describe(&client->catalog,
				       client->granted.channel, &info,
				       client->error, tpi_client_room(client));

	if (err)
		return err;
	isolated = info.flags & TAPIO_CHANNEL_ISOLATED;
	err = check_own_segment(client, producer, isolated, info.segment_count);
	if (err)
		return err;
	/* Those that are not mapped are no mapping to be closed. */
	client->map_count = info.segment_count;
	if (isolated)
		err = map_isolated(client, producer, fds);
	for (uint32_t i = 0; !err && !isolated && i < info.segment_count; i++)
		err = map_segment(client, i, fds[i], producer);
	if (err)
		return err;
	return tpi_channel_attach(&client->channel, &client->catalog,
				  client->granted.channel, client->maps,
				  client->map_count, client->error,
				  tpi_client_room(client));
}

/*
 * The board in the memory of another slot. The page with that word is mapped, and no
 * cursor beyond it, so that a stray store of this program meets few of another group's.
 */
static int map_board(struct tpi_client *client, int fd)
{
	const struct tapio_shm_channel *info = &client->channel.info;
	struct tpi_map *map = &client->board_map;
	struct tpi_cursors cursors;
	uint64_t page;
	int err = tpi_map_fd(map, fd, true, UINT64_MAX, client->error,
			     tpi_client_room(client));

	if (err)
		return err;
	err = tpi_cursors_attach(&cursors, map, info, client->granted.board - 1,
				 client->error, tpi_client_room(client));
	if (err)
		return err;
	client->board = cursors.control;
	page = map->page_bytes;
	if (info->control_offset + sizeof(*cursors.control) <= page &&
	    page < map->bytes &&
	    !munmap((char *)map->base + page, map->bytes - page))
		map->bytes = page;
	return 0;
}

/* Of a consumer: its group slot's. */
static int map_own_slot(struct tpi_client *client, const int *fds)
{
	const struct tpi_wire_attached *g = &client->granted;
	int err;

	if (!g->cursors_count)
		return 0;
	err = tpi_map_fds(client->cursor_maps, fds, 1, true, UINT64_MAX,
			  client->error, tpi_client_room(client));
	if (err)
		return err;
	client->cursor_count = 1;
	err = tpi_cursors_attach(&client->cursors[g->group_slot],
				 &client->cursor_maps[0], &client->channel.info,
				 g->group_slot, client->error,
				 tpi_client_room(client));
	return !err && shares_board(g) ? map_board(client, fds[1]) : err;
}

/* ---- the cursors of all slots, in parts ------------------------------------------- */

static int map_first(struct tpi_client *client, uint32_t slot,
		     const struct tpi_map *map)
{
	int err = tpi_cursors_attach(&client->cursors[slot], map,
				     &client->channel.info, slot, NULL, 0);

	if (!err)
		client->cursor_maps[slot] = *map;
	return err;
}

/*
 * The new memory of a slot takes the place of the old one. A thread that reads there
 * meanwhile sees either, and finds out by the generation of the channel
 * (lib/lane/lane.c, G6). SIGKILL, SIGSTOP: no other process notices.
 */
static int map_again(struct tpi_client *client, uint32_t slot,
		     const struct tpi_map *map, uint32_t *epoch)
{
	struct tpi_map *old = &client->cursor_maps[slot];
	int err;

	if (map->bytes != old->bytes)
		return -EBADMSG;
	/* ORDER gating.epoch (release): the epoch is 0 before the mapping changes,
	 * since a system call follows. Pairs with the acquire in
	 * tpi_gating_hears(). A thread that has loaded the old epoch before is
	 * behind by a generation. */
	tpi_store_release(epoch, 0);
	err = tpi_sys_mremap_onto(map->base, map->bytes, old->base);
	return err;
}

static int map_slot(struct tpi_client *client, uint32_t slot,
		    struct tpi_map *map, uint32_t *epoch)
{
	return client->cursor_maps[slot].base
		       ? map_again(client, slot, map, epoch)
		       : map_first(client, slot, map);
}

uint64_t tpi_client_unmapped_slots(const struct tpi_client *client)
{
	uint64_t slots = 0;

	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (!client->cursor_maps[slot].base)
			slots |= UINT64_C(1) << slot;
	return slots;
}

int tpi_client_map_slots(struct tpi_client *client,
			 const struct tpi_wire_fetched *fetched, const int *fds,
			 uint32_t *epochs)
{
	struct tpi_map maps[TPI_WIRE_FETCH_MAX];
	uint32_t k, slot, count = fetched->count;
	int err, result;

	result = tpi_map_fds(maps, fds, count, false, UINT64_MAX, NULL, 0);
	if (result)
		return result;
	for (k = 0; k < count; k++) {
		slot = fetched->slots[k];
		err = slot < TAPIO_GROUP_SLOTS && fetched->epochs[k]
			      ? map_slot(client, slot, &maps[k], &epochs[slot])
			      : -EPROTO;
		if (err) {
			tpi_map_close(&maps[k]);
			result = err;
			continue;
		}
		client->cursor_count = TAPIO_GROUP_SLOTS;
		/* ORDER gating.epoch (release): the mapping before it. Pairs with
		 * the acquire in tpi_gating_hears(). */
		tpi_store_release(&epochs[slot], fetched->epochs[k]);
	}
	return result;
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
		err = map_own_slot(client, fds + g->segment_count);
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
	if (client->board_map.base)
		tpi_map_close(&client->board_map);
	client->board = NULL;
	tpi_maps_close(client->maps, client->map_count);
	if (client->catalog_map.base)
		tpi_map_close(&client->catalog_map);
	client->cursor_count = 0;
	client->map_count = 0;
	client->segments = (struct tpi_segments){0};
	client->catalog_map = (struct tpi_map){0};
	memset(&client->granted, 0, sizeof(client->granted));
}

uint32_t tpi_client_lane_node(const struct tpi_client *client,
			      const struct tpi_lane *lane)
{
	const struct tpi_channel *channel = &client->channel;

	return tpi_load_relaxed(
		&client->catalog.places[channel->info.first_place + lane->id]
			 .node);
}
