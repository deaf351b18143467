/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libconfuse's tree to the structs that the broker works with, with every
 * default filled in. Values that depend on each other are checked here, naming
 * their section.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config/config_inner.h"
#include "lib/memory/policy.h"

static void set_name(char *field, size_t bytes, const char *name)
{
	memset(field, 0, bytes);
	memcpy(field, name, strnlen(name, bytes - 1));
}

/* Blocks of a lane whose class does not say how many: by their size. */
static uint32_t default_blocks(uint32_t block_bytes, uint32_t lane_bytes,
			       uint32_t most)
{
	uint32_t blocks = most;

	while (blocks > 16 && blocks > lane_bytes / block_bytes)
		blocks /= 2;
	return blocks;
}

static void set_class(struct tpi_config_channel *channel, uint32_t i,
		      const char *name, uint32_t block, uint32_t blocks,
		      uint32_t side_blocks)
{
	struct tapio_shm_class *klass = &channel->spec.classes[i];

	set_name(klass->name, sizeof(klass->name), name);
	klass->block_bytes = block;
	klass->block_count = blocks;
	klass->side_count = side_blocks;
	channel->blocks_auto[i] = !blocks;
	if (!blocks)
		klass->block_count = default_blocks(block, TPI_LANE_DEFAULT,
						    TPI_BLOCKS_DEFAULT);
	if (!side_blocks)
		klass->side_count = default_blocks(block, TPI_SIDE_DEFAULT,
						   TPI_SIDE_BLOCKS_MAX);
	if (!side_blocks && klass->side_count > klass->block_count)
		klass->side_count = klass->block_count;
}

static void set_sides(struct tpi_config_channel *channel, uint32_t i,
		      uint32_t sides)
{
	channel->sides_auto[i] = sides == TPI_SIDES_AUTO;
	/* tpi_budget() knows what `auto` is on this machine. */
	channel->spec.classes[i].side_lanes =
		channel->sides_auto[i] ? TPI_SIDES_LEAST : sides;
}

static void take_class(struct tpi_config_channel *channel, uint32_t i,
		       cfg_t *cfg)
{
	struct tapio_shm_class *klass = &channel->spec.classes[i];
	uint32_t sides;

	set_class(channel, i, cfg_title(cfg),
		  (uint32_t)cfg_getint(cfg, "block"),
		  (uint32_t)cfg_getint(cfg, "blocks"),
		  (uint32_t)cfg_getint(cfg, "side_blocks"));
	tpi_config_side_lanes(cfg_getstr(cfg, "side_lanes"), &sides);
	set_sides(channel, i, sides);
	klass->priority = (uint32_t)cfg_getint(cfg, "priority");
}

/*
 * Isolated producers have one lane of each class, of as many blocks as a CPU's lane
 * would have. So there is nothing to be said of side lanes.
 */
static int isolate_classes(struct tpi_config_channel *channel, cfg_t *cfg)
{
	struct tpi_channel_spec *spec = &channel->spec;

	for (unsigned int i = 0; i < cfg_size(cfg, "class"); i++) {
		cfg_t *sec = cfg_getnsec(cfg, "class", i);

		if (!cfg_getint(sec, "side_blocks") &&
		    !strcmp(cfg_getstr(sec, "side_lanes"), "auto"))
			continue;
		cfg_error(cfg,
			  "channel \"%s\", class \"%s\": isolation = process "
			  "gives each producer one lane of `blocks` blocks, "
			  "so side_lanes and side_blocks have no meaning",
			  cfg_title(cfg), cfg_title(sec));
		return -EINVAL;
	}
	for (uint32_t k = 0; k < spec->class_count; k++) {
		channel->sides_auto[k] = false;
		spec->classes[k].side_lanes = spec->producers_max;
		spec->classes[k].side_count = spec->classes[k].block_count;
	}
	return 0;
}

static int take_isolation(struct tpi_config_channel *channel, cfg_t *cfg)
{
	uint32_t producers = (uint32_t)cfg_getint(cfg, "producers_max");

	if (!tpi_config_choice("isolation", cfg_getstr(cfg, "isolation"))) {
		if (!producers)
			return 0;
		cfg_error(cfg,
			  "channel \"%s\": producers_max = %u needs isolation "
			  "= process. Producers of other channels share lanes",
			  cfg_title(cfg), producers);
		return -EINVAL;
	}
	channel->spec.flags = TAPIO_CHANNEL_ISOLATED;
	channel->spec.producers_max =
		producers ? producers : TPI_PRODUCERS_USUAL;
	return isolate_classes(channel, cfg);
}

/* The class of a channel that names none: events of up to 4 KiB. */
static void default_classes(struct tpi_config_channel *channel)
{
	channel->spec.class_count = 2;
	set_class(channel, 0, "small", 256, 0, 0);
	set_class(channel, 1, "large", 4096, 0, 0);
	set_sides(channel, 0, TPI_SIDES_AUTO);
	set_sides(channel, 1, TPI_SIDES_AUTO);
}

static bool class_before(const struct tapio_shm_class *a,
			 const struct tapio_shm_class *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->block_bytes < b->block_bytes;
}

static void swap_bools(bool *a, bool *b)
{
	bool was = *a;

	*a = *b;
	*b = was;
}

/* Changes places with the class before it. */
static void move_up(struct tpi_config_channel *channel, uint32_t k)
{
	struct tapio_shm_class *c = channel->spec.classes, klass = c[k];

	c[k] = c[k - 1];
	c[k - 1] = klass;
	swap_bools(&channel->blocks_auto[k], &channel->blocks_auto[k - 1]);
	swap_bools(&channel->sides_auto[k], &channel->sides_auto[k - 1]);
}

/* Critical first, then by size: the order in which `output` picks. */
static void sort_classes(struct tpi_config_channel *channel)
{
	const struct tapio_shm_class *c = channel->spec.classes;

	for (uint32_t i = 1; i < channel->spec.class_count; i++)
		for (uint32_t k = i; k && class_before(&c[k], &c[k - 1]); k--)
			move_up(channel, k);
}

static int take_classes(struct tpi_config_channel *channel, cfg_t *cfg)
{
	unsigned int count = cfg_size(cfg, "class");

	if (!count) {
		default_classes(channel);
		return 0;
	}
	if (count > TAPIO_CLASSES_MAX) {
		cfg_error(cfg, "channel \"%s\": %u classes, at most %d",
			  cfg_title(cfg), count, TAPIO_CLASSES_MAX);
		return -EINVAL;
	}
	channel->spec.class_count = count;
	for (unsigned int i = 0; i < count; i++)
		take_class(channel, i, cfg_getnsec(cfg, "class", i));
	sort_classes(channel);
	return 0;
}

static int take_groups(struct tpi_config_channel *channel, cfg_t *cfg)
{
	unsigned int count = cfg_size(cfg, "group");

	if (count > channel->groups_max) {
		cfg_error(cfg, "channel \"%s\": %u groups, but groups_max = %u",
			  cfg_title(cfg), count, channel->groups_max);
		return -EINVAL;
	}
	if (!count)
		return 0;
	channel->groups = calloc(count, sizeof(*channel->groups));
	if (!channel->groups)
		return -ENOMEM;
	channel->group_count = count;
	for (unsigned int i = 0; i < count; i++) {
		struct tpi_config_group *group = &channel->groups[i];
		cfg_t *sec = cfg_getnsec(cfg, "group", i);

		set_name(group->name, sizeof(group->name), cfg_title(sec));
		group->policy = tpi_policy_parse(cfg_getstr(sec, "policy"));
		group->lag = (uint32_t)cfg_getint(sec, "lag");
		group->takeover_ns = TAPIO_TAKEOVER_NEVER;
		tpi_parse_ns(cfg_getstr(sec, "takeover"), &group->takeover_ns);
	}
	return 0;
}

/* A quarter, and at least 2, where the file does not say. */
static uint32_t groups_of_uid(cfg_t *cfg, uint32_t most)
{
	uint32_t n = (uint32_t)cfg_getint(cfg, "uid_groups_max");

	if (!n)
		n = most / 4 > 2 ? most / 4 : 2;
	return n < most ? n : most;
}

static int take_channel(struct tpi_config_channel *channel, cfg_t *cfg)
{
	struct tpi_channel_spec *spec = &channel->spec;
	char why[256] = "";
	int err;

	set_name(spec->name, sizeof(spec->name), cfg_title(cfg));
	spec->full_policy =
		(uint32_t)tpi_config_choice("full", cfg_getstr(cfg, "full"));
	spec->stamp =
		(uint32_t)tpi_config_choice("stamp", cfg_getstr(cfg, "stamp"));
	tpi_parse_ns(cfg_getstr(cfg, "wait"), &spec->wait_ns);
	channel->groups_max = (uint32_t)cfg_getint(cfg, "groups_max");
	channel->uid_groups_max = groups_of_uid(cfg, channel->groups_max);
	err = take_classes(channel, cfg);
	if (!err)
		err = take_isolation(channel, cfg);
	if (!err)
		err = take_groups(channel, cfg);
	if (err)
		return err;
	err = tpi_channel_spec_check(spec, why, sizeof(why));
	if (err)
		cfg_error(cfg, "channel \"%s\": %s", spec->name, why);
	return err;
}

static int take_ids(cfg_t *cfg, const char *option, uint32_t *count,
		    unsigned int **ids)
{
	bool group = strcmp(option, "uid") != 0;

	*count = cfg_size(cfg, option);
	if (!*count)
		return 0;
	*ids = calloc(*count, sizeof(**ids));
	if (!*ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < *count; i++)
		tpi_config_id(cfg_getnstr(cfg, option, i), group, &(*ids)[i]);
	return 0;
}

static int take_rule(struct tpi_config_rule *rule, cfg_t *cfg)
{
	int err;

	set_name(rule->name, sizeof(rule->name), cfg_title(cfg));
	set_name(rule->channel, sizeof(rule->channel),
		 cfg_getstr(cfg, "channel"));
	rule->any = cfg_getbool(cfg, "any");
	for (unsigned int i = 0; i < cfg_size(cfg, "role"); i++)
		rule->rights |= TPI_RIGHT_PRODUCE << tpi_config_choice(
					"role", cfg_getnstr(cfg, "role", i));
	err = take_ids(cfg, "uid", &rule->uid_count, &rule->uids);
	if (!err)
		err = take_ids(cfg, "gid", &rule->gid_count, &rule->gids);
	if (err)
		return err;
	if (!rule->any && !rule->uid_count && !rule->gid_count) {
		cfg_error(cfg,
			  "allow \"%s\": it names no uid, no gid and not "
			  "any = true, so it allows no client",
			  rule->name);
		return -EINVAL;
	}
	if (!rule->rights) {
		cfg_error(cfg, "allow \"%s\": it names no role", rule->name);
		return -EINVAL;
	}
	return 0;
}

/* The catalog's room is for those of the file and some more, where it does not say. */
static int take_room(struct tpi_config *config, cfg_t *cfg, unsigned int count)
{
	uint32_t most = (uint32_t)cfg_getint(cfg, "channels_max");

	config->channels_auto = !most;
	if (!most)
		most = count + TPI_CHANNELS_SPARE;
	config->channels_max =
		most < TPI_CHANNELS_MAX ? most : TPI_CHANNELS_MAX;
	if (count <= config->channels_max)
		return 0;
	cfg_error(cfg, "%u channels, at most %u (channels_max)", count,
		  config->channels_max);
	return -EINVAL;
}

static int take_channels(struct tpi_config *config, cfg_t *cfg)
{
	unsigned int count = cfg_size(cfg, "channel");
	int err = take_room(config, cfg, count);

	if (err)
		return err;
	config->channels = calloc(count, sizeof(*config->channels));
	if (!config->channels)
		return -ENOMEM;
	config->channel_count = count;
	for (unsigned int i = 0; i < count && !err; i++)
		err = take_channel(&config->channels[i],
				   cfg_getnsec(cfg, "channel", i));
	return err;
}

static int take_rules(struct tpi_config *config, cfg_t *cfg)
{
	unsigned int count = cfg_size(cfg, "allow");
	int err = 0;

	if (count > TPI_RULES_MAX) {
		cfg_error(cfg, "%u allow rules, at most %d", count,
			  TPI_RULES_MAX);
		return -EINVAL;
	}
	if (!count)
		return 0;
	config->rules = calloc(count, sizeof(*config->rules));
	if (!config->rules)
		return -ENOMEM;
	config->rule_count = count;
	for (unsigned int i = 0; i < count && !err; i++)
		err = take_rule(&config->rules[i],
				cfg_getnsec(cfg, "allow", i));
	return err;
}

/*
 * Where the file does not say: half of all for one uid. A 16th, at least 4, but no more
 * than half, for root and the broker's uid.
 */
static int take_shares(struct tpi_config *config, cfg_t *cfg)
{
	uint32_t most = config->clients_max;
	uint32_t of_uid = (uint32_t)cfg_getint(cfg, "uid_clients_max");
	long reserved = cfg_getint(cfg, "clients_reserved");

	config->uid_clients_max = of_uid ? of_uid : (most + 1) / 2;
	if (config->uid_clients_max > most)
		config->uid_clients_max = most;
	if (reserved == TPI_RESERVED_AUTO) {
		reserved = most / 16 > 4 ? most / 16 : 4;
		if (reserved > most / 2)
			reserved = most / 2;
	}
	config->clients_reserved = (uint32_t)reserved;
	if (config->clients_reserved < most)
		return 0;
	cfg_error(cfg,
		  "clients_reserved = %ld: must be less than clients_max = %u",
		  reserved, most);
	return -EINVAL;
}

static int take_globals(struct tpi_config *config, cfg_t *cfg)
{
	const char *socket = cfg_getstr(cfg, "socket");
	const char *group = cfg_getstr(cfg, "socket_group");
	unsigned int gid;

	if (socket && *socket) {
		config->socket = strdup(socket);
		if (!config->socket)
			return -ENOMEM;
	}
	config->socket_mode =
		(mode_t)strtoul(cfg_getstr(cfg, "socket_mode"), NULL, 8);
	config->socket_group = (gid_t)-1;
	if (group && tpi_config_id(group, true, &gid))
		config->socket_group = gid;
	tpi_parse_bytes(cfg_getstr(cfg, "budget"), &config->budget_bytes);
	config->hugepages = (enum tpi_hugepages)tpi_config_choice(
		"hugepages", cfg_getstr(cfg, "hugepages"));
	config->clients_max = (uint32_t)cfg_getint(cfg, "clients_max");
	config->trust_owner = cfg_getbool(cfg, "trust_owner");
	return take_shares(config, cfg);
}

/* The memory of isolated producers is never of the hugetlb pool. */
static int check_hugepages(const struct tpi_config *config, cfg_t *cfg)
{
	if (config->hugepages != TPI_HUGE_REQUIRE)
		return 0;
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct tpi_channel_spec *spec = &config->channels[i].spec;

		if (!tpi_spec_isolated(spec))
			continue;
		cfg_error(cfg,
			  "channel \"%s\": isolation = process uses no hugetlb "
			  "pages, since a producer could make them fail for "
			  "readers, and hugepages = require asks for them: "
			  "use hugepages = auto",
			  spec->name);
		return -EINVAL;
	}
	return 0;
}

int tpi_config_take(struct tpi_config *config, cfg_t *cfg)
{
	int err = take_globals(config, cfg);

	if (!err)
		err = take_channels(config, cfg);
	if (!err)
		err = check_hugepages(config, cfg);
	if (!err)
		err = take_rules(config, cfg);
	return err;
}
