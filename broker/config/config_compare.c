/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration against the memory that is there. Called by a reload (broker/reload.c)
 * and by a successor (broker/registry/adopt.c), with the same rules.
 *
 * Clients have mapped the channels that are there, so their sizes cannot change. The
 * catalog says what they are, whatever a former file said. A number that the file
 * leaves open is that of the memory.
 */
#include <inttypes.h>
#include <string.h>

#include "broker/config/config_compare.h"

#define NEW_MEMORY "begin with new memory (tapiod --discard-memory)"
#define REMEDY \
	"its memory cannot change: give the channel another name, or " NEW_MEMORY

struct compare {
	void (*say)(void *arg, const char *difference, const char *remedy);
	void *arg;
	uint32_t count;
	const char *remedy;
	char where[2 * TAPIO_NAME_BYTES + 32]; /* "channel "a": ", or empty */
};

#define NUMBER_BYTES 24

static void differ(struct compare *c, const char *option, const char *was,
		   const char *is)
{
	char line[640];

	c->count++;
	snprintf(line, sizeof(line), "%s%s: %s -> %s", c->where, option, was,
		 is);
	c->say(c->arg, line, c->remedy);
}

static void compare_text(struct compare *c, const char *option, const char *was,
			 const char *is)
{
	if (strcmp(was, is))
		differ(c, option, was, is);
}

static void compare_number(struct compare *c, const char *option, uint64_t was,
			   uint64_t is)
{
	char before[NUMBER_BYTES], after[NUMBER_BYTES];

	snprintf(before, sizeof(before), "%" PRIu64, was);
	snprintf(after, sizeof(after), "%" PRIu64, is);
	compare_text(c, option, before, after);
}

static void compare_word(struct compare *c, const char *option,
			 unsigned int was, unsigned int is)
{
	compare_text(c, option, tpi_config_word(option, was),
		     tpi_config_word(option, is));
}

/* ---- one channel --------------------------------------------------------------- */

static void compare_class(struct compare *c,
			  const struct tpi_config_channel *next,
			  const struct tapio_shm_class *was, uint32_t k)
{
	const struct tapio_shm_class *is = &next->spec.classes[k];
	uint32_t sides = is->side_count;

	compare_number(c, "block", was->block_bytes, is->block_bytes);
	if (!next->blocks_auto[k])
		compare_number(c, "blocks", was->block_count, is->block_count);
	compare_number(c, "priority", was->priority, is->priority);
	/* Those of isolated producers follow from the rest. */
	if (tpi_spec_isolated(&next->spec))
		return;
	if (!next->sides_auto[k])
		compare_number(c, "side_lanes", was->side_lanes,
			       is->side_lanes);
	/* Where the budget has halved a lane, a side lane has no more. */
	if (sides > was->block_count)
		sides = was->block_count;
	compare_number(c, "side_blocks", was->side_count, sides);
}

/* Classes stand in the order in which producers choose, in both. */
static void compare_classes(struct compare *c,
			    const struct tpi_config_channel *next,
			    const struct tapio_shm_channel *was)
{
	const struct tpi_channel_spec *is = &next->spec;

	compare_number(c, "number of classes", was->class_count,
		       is->class_count);
	for (uint32_t k = 0; k < was->class_count && k < is->class_count; k++) {
		snprintf(c->where, sizeof(c->where),
			 "channel \"%s\", class \"%s\": ", was->name,
			 was->classes[k].name);
		if (strcmp(was->classes[k].name, is->classes[k].name))
			differ(c, "name", was->classes[k].name,
			       is->classes[k].name);
		else
			compare_class(c, next, &was->classes[k], k);
	}
}

static void compare_channel(struct compare *c,
			    const struct tpi_config_channel *next,
			    const struct tapio_shm_channel *was)
{
	const struct tpi_channel_spec *is = &next->spec;
	bool isolated = was->flags & TAPIO_CHANNEL_ISOLATED;

	c->remedy = REMEDY;
	snprintf(c->where, sizeof(c->where), "channel \"%s\": ", was->name);
	compare_word(c, "full", was->full_policy, is->full_policy);
	compare_number(c, "wait (ns)", was->wait_ns, is->wait_ns);
	compare_word(c, "stamp", was->stamp, is->stamp);
	compare_word(c, "isolation", isolated, tpi_spec_isolated(is));
	if (isolated && tpi_spec_isolated(is))
		compare_number(c, "producers_max", was->segment_count - 1,
			       is->producers_max);
	compare_classes(c, next, was);
	c->where[0] = 0;
}

/* ---- all of it -------------------------------------------------------------------- */

struct tpi_config_channel *tpi_config_find(const struct tpi_config *config,
					   const char *name)
{
	for (uint32_t i = 0; i < config->channel_count; i++)
		if (!strcmp(config->channels[i].spec.name, name))
			return &config->channels[i];
	return NULL;
}

static void compare_channels(struct compare *c,
			     const struct tpi_catalog *catalog,
			     struct tpi_config *next)
{
	for (uint32_t i = 0; i < catalog->channel_count; i++) {
		struct tpi_config_channel *channel;
		struct tapio_shm_channel was;
		uint32_t before = c->count;

		/* A free entry. One that is broken is found when it is taken. */
		if (!tpi_channel_exists(catalog, i) ||
		    tpi_channel_describe(catalog, i, &was, NULL, 0))
			continue;
		channel = tpi_config_find(next, was.name);
		if (!channel)
			continue;
		compare_channel(c, channel, &was);
		if (c->count == before)
			memcpy(channel->spec.classes, was.classes,
			       sizeof(was.classes));
	}
}

static void compare_budget(struct compare *c,
			   const struct tpi_config_memory *memory,
			   const struct tpi_config *next)
{
	char remedy[128];

	if (next->budget_bytes >= memory->used_bytes)
		return;
	snprintf(remedy, sizeof(remedy),
		 "%" PRIu64 " bytes are in use: raise budget, or " NEW_MEMORY,
		 memory->used_bytes);
	c->remedy = remedy;
	compare_number(c, "budget", memory->catalog->broker->budget_bytes,
		       next->budget_bytes);
}

uint32_t tpi_config_compare(const struct tpi_config_memory *memory,
			    struct tpi_config *next,
			    void (*say)(void *arg, const char *difference,
					const char *remedy),
			    void *arg)
{
	const struct tpi_config *now = memory->now;
	struct compare c = {.say = say, .arg = arg};

	c.remedy = "needs a restart";
	if (now)
		compare_text(&c, "socket",
			     now->socket ? now->socket : "default",
			     next->socket ? next->socket : "default");
	c.remedy = "the catalog has room for so many: leave it, or " NEW_MEMORY;
	if (!next->channels_auto)
		compare_number(&c, "channels_max",
			       memory->catalog->channel_count,
			       next->channels_max);
	next->channels_max = memory->catalog->channel_count;
	compare_budget(&c, memory, next);
	compare_channels(&c, memory->catalog, next);
	return c.count;
}
