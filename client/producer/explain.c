/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meaning of a refusal in words: which value met which limit.
 *
 * Emitting calls return no text: they may be made by several threads and signal
 * handlers at once, and refuse often. A caller that wants a reason asks here, with
 * the values that it had asked with. The answer follows from the tag, the length
 * and what the channel is, since a refusal leaves nothing behind. For want of room
 * it adds who is in the way now (holder.c), on the lane of the caller's CPU. For want
 * of a side lane it adds one count of shared memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/error.h"

#define HOLDER_BYTES 384

struct why {
	const struct tapio_shm_channel *info;
	const struct tpi_size *size; /* of the class in question, or NULL */
	const char *klass;           /* its name, or "" */
	uint32_t tag, length;
	char *text;
	size_t bytes;
};

#define SAY(w, ...) tpi_fail(0, (w)->text, (w)->bytes, __VA_ARGS__)

/* The class that the event would go to. A too long one: the largest. */
static const struct tpi_size *class_of(const struct tpi_emit *emit,
				       uint32_t tag, uint32_t length)
{
	const struct tpi_size *size = tpi_size_of(emit, tag, length, false);
	uint32_t klass = tag >> 24;

	if (size)
		return size;
	if (klass > emit->class_count)
		return NULL;
	return klass ? &emit->classes[klass - 1]
		     : &emit->sizes[emit->size_count - 1];
}

static void wrong(const struct why *w)
{
	if (!TAPIO_TAG_TYPE(w->tag))
		SAY(w, "type 0: an event has a type of 1 to %u", UINT16_MAX);
	else if (!w->size)
		SAY(w, "class %u: channel \"%s\" has %u of them",
		    (w->tag >> 24) - 1, w->info->name, w->info->class_count);
	else
		SAY(w,
		    "it is not an open reservation, or its %u bytes are "
		    "more than its capacity; class \"%s\" takes at most %u",
		    w->length, w->klass, w->size->bytes);
}

/* The lane that this thread emits through, as far as can be told, or NULL. */
static const struct tpi_lane *lane_of(const struct tpi_producer *p,
				      const struct tpi_size *size)
{
	const struct tpi_lane *lane = tpi_lane_here(&p->emit, size);

	/* Relaxed: a side lane that was taken stays the handle's. */
	return lane ? lane : tpi_load_relaxed(&p->sides.lane[size->klass]);
}

static void no_room(const struct tpi_producer *p, const struct why *w,
		    bool waited)
{
	const struct tapio_shm_class *klass;
	const struct tpi_lane *lane;
	char holder[HOLDER_BYTES] = "";
	uint32_t blocks;

	if (!w->size)
		return;
	klass = &w->info->classes[w->size->klass];
	lane = lane_of(p, w->size);
	blocks = lane ? lane->mask + 1 : klass->block_count;
	if (lane)
		tpi_holder_say(p, lane, holder, sizeof(holder));
	if (waited)
		SAY(w,
		    "none of the %u blocks of a lane of class \"%s\" became "
		    "free in %" PRIu64 " ms%s",
		    blocks, w->klass, w->info->wait_ns / 1000000, holder);
	else
		SAY(w,
		    "none of the %u blocks of a lane of class \"%s\" is free%s",
		    blocks, w->klass, holder);
}

/* Refused so far, of all producers: one count of shared memory. */
static void no_side_lane(const struct tpi_producer *p, const struct why *w)
{
	const struct tpi_lane *lane = tpi_no_lane_lane(p, w->size->klass);

	SAY(w,
	    "all %u side lanes of class \"%s\" are taken, and this producer "
	    "needs one (%s); %" PRIu64 " events were refused so: raise "
	    "side_lanes in the broker's configuration",
	    p->client.channel.side_count[w->size->klass], w->klass,
	    tpi_side_lane_reason(p),
	    tpi_load_relaxed(&lane->shm->dropped[TAPIO_DROP_NO_LANE]));
}

void tapio_producer_explain(const struct tapio_producer *handle, int err,
			    uint32_t tag, uint32_t length, char *text,
			    size_t text_bytes)
{
	const struct tpi_producer *p = tpi_producer_now(handle);
	struct why w = {
		.info = &p->client.channel.info,
		.klass = "",
		.tag = tag,
		.length = length,
		.text = text,
		.bytes = text_bytes,
	};

	SAY(&w, "%s", strerror(-err));
	if (err == -ECHILD || !tpi_alive(&p->hot)) {
		SAY(&w, "the handle belongs to the parent of this process");
		return;
	}
	w.size = class_of(&p->emit, tag, length);
	if (w.size)
		w.klass = w.info->classes[w.size->klass].name;
	if (err == -EINVAL)
		wrong(&w);
	else if (err == -EMSGSIZE && w.size)
		SAY(&w, "event of %u bytes: class \"%s\" takes at most %u",
		    length, w.klass, w.size->bytes);
	else if (err == -EAGAIN || err == -ETIMEDOUT)
		no_room(p, &w, err == -ETIMEDOUT);
	else if (err == -ENOBUFS && w.size)
		no_side_lane(p, &w);
}
