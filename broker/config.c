/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the configuration, with libconfuse. Called once at start, by tapiod
 * and by tapio_broker_start().
 *
 * libconfuse knows the grammar; what a value may be is checked here, in two
 * places: values that stand alone in validation callbacks, which run where the
 * value stands and so can name its line; values that depend on each other when
 * the tree is turned into structs, naming the section.
 *
 * libconfuse's scanner is one global object, so one load runs at a time.
 */
#include <confuse.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/config_text.h"
#include "lib/error.h"
#include "lib/wire.h"

static pthread_mutex_t scanner_lock = PTHREAD_MUTEX_INITIALIZER;

/* Where the first error goes; guarded by scanner_lock. */
static struct {
	char *text;
	size_t bytes;
	bool failed;
} report;

__attribute__((format(printf, 2, 0))) static void
report_error(cfg_t *cfg, const char *format, va_list args)
{
	char text[400];
	int n = 0;

	if (report.failed || !report.text || !report.bytes)
		return;
	report.failed = true;
	vsnprintf(text, sizeof(text), format, args);
	if (strstr(text, TPI_CONFIG_END))
		snprintf(text, sizeof(text),
			 "a section is not closed: a } is missing");
	if (cfg && cfg->filename)
		n = snprintf(report.text, report.bytes,
			     "%s:%d: ", cfg->filename, cfg->line);
	if (n >= 0 && (size_t)n < report.bytes)
		snprintf(report.text + n, report.bytes - (size_t)n, "%s", text);
}

/* ---- values that stand alone ------------------------------------------------ */

bool tpi_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] < '0' || text[0] > '9')
		return false;
	*bytes = n;
	if (!*end)
		return true;
	unit = strchr(units, *end);
	if (!unit || end[1])
		return false;
	*bytes = n << (10 * (unit - units + 1));
	return *bytes >> (10 * (unit - units + 1)) == n;
}

bool tpi_parse_ns(const char *text, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] < '0' || text[0] > '9')
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name))
			continue;
		*ns = n * units[i].ns;
		return *ns / units[i].ns == n;
	}
	return false;
}

static const char *last_str(cfg_opt_t *opt)
{
	return cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
}

static int check_bytes(cfg_t *cfg, cfg_opt_t *opt)
{
	uint64_t bytes;

	if (tpi_parse_bytes(last_str(opt), &bytes) && bytes)
		return 0;
	cfg_error(cfg,
		  "%s = \"%s\": not a number of bytes, as 1048576, 64K, "
		  "512M or 2G",
		  opt->name, last_str(opt));
	return -1;
}

static int check_ns(cfg_t *cfg, cfg_opt_t *opt)
{
	uint64_t ns;

	if (tpi_parse_ns(last_str(opt), &ns) && ns)
		return 0;
	cfg_error(cfg, "%s = \"%s\": not a time, as 500us, 100ms or 2s",
		  opt->name, last_str(opt));
	return -1;
}

static int check_mode(cfg_t *cfg, cfg_opt_t *opt)
{
	char *end;
	unsigned long mode = strtoul(last_str(opt), &end, 8);

	if (last_str(opt)[0] && !*end && mode <= 0777)
		return 0;
	cfg_error(cfg, "%s = \"%s\": not a mode of three octal digits",
		  opt->name, last_str(opt));
	return -1;
}

/* The words an option may have, by its name; the index is the value. */
static const struct choice {
	const char *option;
	const char *words[5];
} choices[] = {
	{"hugepages", {"auto", "require", "never"}},
	{"full", {"drop", "wait"}},
	{"stamp", {"none", "tsc", "clock"}},
	{"policy", {"lossy", "until", "lossless"}},
	{"role", {"produce", "consume", "inspect", "lossless"}},
};

static int choice_of(const char *option, const char *word)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if (strcmp(choices[i].option, option))
			continue;
		for (int k = 0; k < 5 && choices[i].words[k]; k++)
			if (!strcmp(choices[i].words[k], word))
				return k;
	}
	return -1;
}

static int check_choice(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *all[5] = {0};

	if (choice_of(opt->name, last_str(opt)) >= 0)
		return 0;
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (!strcmp(choices[i].option, opt->name))
			memcpy(all, choices[i].words, sizeof(all));
	cfg_error(cfg, "%s = \"%s\": not one of %s, %s%s%s%s%s", opt->name,
		  last_str(opt), all[0], all[1], all[2] ? ", " : "",
		  all[2] ? all[2] : "", all[3] ? ", " : "",
		  all[3] ? all[3] : "");
	return -1;
}

static const struct range {
	const char *option;
	long least;
	long most;
	bool power; /* of two */
	long multiple;
} ranges[] = {
	{"clients_max", 1, TAPIO_CLIENTS_MAX - 1, false, 1},
	{"groups_max", 1, TAPIO_GROUP_SLOTS, false, 1},
	{"block", 64, TAPIO_BLOCK_BYTES_MAX, false, 64},
	{"blocks", 4, TAPIO_BLOCKS_MAX, true, 1},
	{"side_lanes", 0, 4096, false, 1},
	{"side_blocks", 4, TAPIO_BLOCKS_MAX, true, 1},
	{"priority", 0, 255, false, 1},
	{"lag", 0, TAPIO_BLOCKS_MAX - 1, false, 1},
};

static int check_range(cfg_t *cfg, cfg_opt_t *opt)
{
	long n = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);
	const struct range *r = ranges;

	while (strcmp(r->option, opt->name))
		r++;
	if (n < r->least || n > r->most) {
		cfg_error(cfg, "%s = %ld: outside %ld to %ld", opt->name, n,
			  r->least, r->most);
		return -1;
	}
	if (r->power && n & (n - 1)) {
		cfg_error(cfg, "%s = %ld: not a power of two", opt->name, n);
		return -1;
	}
	if (n % r->multiple) {
		cfg_error(cfg, "%s = %ld: not a multiple of %ld", opt->name, n,
			  r->multiple);
		return -1;
	}
	return 0;
}

static bool parse_id(const char *text, bool group, unsigned int *id)
{
	struct passwd *user;
	struct group *named;
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end) {
		*id = (unsigned int)n;
		return !errno && n < UINT32_MAX;
	}
	if (group) {
		named = getgrnam(text);
		*id = named ? named->gr_gid : 0;
		return named != NULL;
	}
	user = getpwnam(text);
	*id = user ? user->pw_uid : 0;
	return user != NULL;
}

static int check_id(cfg_t *cfg, cfg_opt_t *opt)
{
	bool group = strcmp(opt->name, "uid") != 0;
	unsigned int id;

	if (cfg_opt_size(opt) > TPI_IDS_MAX) {
		cfg_error(cfg, "%s: more than %d in one rule", opt->name,
			  TPI_IDS_MAX);
		return -1;
	}
	if (parse_id(last_str(opt), group, &id))
		return 0;
	cfg_error(cfg, "%s = \"%s\": no such %s on this host", opt->name,
		  last_str(opt), group ? "group" : "user");
	return -1;
}

static int check_title(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	bool klass = !strcmp(opt->name, "class");
	size_t limit = klass ? sizeof(((struct tapio_shm_class *)0)->name)
			     : TAPIO_NAME_BYTES;
	char name[TAPIO_NAME_BYTES];

	if (!tpi_wire_name(name, cfg_title(section)) && strlen(name) < limit)
		return 0;
	cfg_error(
		cfg,
		"%s \"%s\": a name has 1 to %zu characters, none of them a space",
		opt->name, cfg_title(section), limit - 1);
	return -1;
}

/* ---- the grammar ------------------------------------------------------------- */

static cfg_opt_t class_options[] = {
	CFG_INT("block", TPI_BLOCK_DEFAULT, CFGF_NONE),
	CFG_INT("blocks", 0, CFGF_NONE),
	CFG_INT("side_lanes", TPI_SIDE_LANES, CFGF_NONE),
	CFG_INT("side_blocks", 0, CFGF_NONE),
	CFG_INT("priority", 0, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t group_options[] = {
	CFG_STR("policy", "until", CFGF_NONE),
	CFG_INT("lag", 0, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t channel_options[] = {
	CFG_STR("full", "drop", CFGF_NONE),
	CFG_STR("wait", "100ms", CFGF_NONE),
	CFG_STR("stamp", "tsc", CFGF_NONE),
	CFG_INT("groups_max", TPI_GROUPS_DEFAULT, CFGF_NONE),
	CFG_SEC("class", class_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_SEC("group", group_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_END(),
};

static cfg_opt_t allow_options[] = {
	CFG_STR("channel", "*", CFGF_NONE),
	CFG_STR_LIST("uid", "{}", CFGF_NONE),
	CFG_STR_LIST("gid", "{}", CFGF_NONE),
	CFG_BOOL("any", cfg_false, CFGF_NONE),
	CFG_STR_LIST("role", "{}", CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t options[] = {
	CFG_STR("socket", NULL, CFGF_NONE),
	CFG_STR("socket_mode", "0666", CFGF_NONE),
	CFG_STR("socket_group", NULL, CFGF_NONE),
	CFG_STR("budget", "512M", CFGF_NONE),
	CFG_STR("hugepages", "auto", CFGF_NONE),
	CFG_INT("clients_max", TPI_CLIENTS_DEFAULT, CFGF_NONE),
	CFG_BOOL("trust_owner", cfg_true, CFGF_NONE),
	CFG_BOOL(TPI_CONFIG_END, cfg_false, CFGF_NONE),
	CFG_SEC("channel", channel_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_SEC("allow", allow_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_END(),
};

static const struct {
	const char *option;
	cfg_validate_callback_t check;
} checks[] = {
	{"socket_mode", check_mode},
	{"socket_group", check_id},
	{"budget", check_bytes},
	{"hugepages", check_choice},
	{"clients_max", check_range},
	{"channel", check_title},
	{"channel|full", check_choice},
	{"channel|wait", check_ns},
	{"channel|stamp", check_choice},
	{"channel|groups_max", check_range},
	{"channel|class", check_title},
	{"channel|class|block", check_range},
	{"channel|class|blocks", check_range},
	{"channel|class|side_lanes", check_range},
	{"channel|class|side_blocks", check_range},
	{"channel|class|priority", check_range},
	{"channel|group", check_title},
	{"channel|group|policy", check_choice},
	{"channel|group|lag", check_range},
	{"allow", check_title},
	{"allow|uid", check_id},
	{"allow|gid", check_id},
	{"allow|role", check_choice},
};

/* ---- from the tree to the structs --------------------------------------------- */

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
	klass->side_lanes = TPI_SIDE_LANES;
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

static void take_class(struct tpi_config_channel *channel, uint32_t i,
		       cfg_t *cfg)
{
	struct tapio_shm_class *klass = &channel->spec.classes[i];

	set_class(channel, i, cfg_title(cfg),
		  (uint32_t)cfg_getint(cfg, "block"),
		  (uint32_t)cfg_getint(cfg, "blocks"),
		  (uint32_t)cfg_getint(cfg, "side_blocks"));
	klass->side_lanes = (uint32_t)cfg_getint(cfg, "side_lanes");
	klass->priority = (uint32_t)cfg_getint(cfg, "priority");
}

/* What a channel gets that names no class: events of up to 4 KiB. */
static void default_classes(struct tpi_config_channel *channel)
{
	channel->spec.class_count = 2;
	set_class(channel, 0, "small", 256, 0, 0);
	set_class(channel, 1, "large", 4096, 0, 0);
}

static bool class_before(const struct tapio_shm_class *a,
			 const struct tapio_shm_class *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->block_bytes < b->block_bytes;
}

/* Critical first, then by size: the order in which `output` picks. */
static void sort_classes(struct tpi_config_channel *channel)
{
	struct tapio_shm_class *c = channel->spec.classes, klass;

	for (uint32_t i = 1; i < channel->spec.class_count; i++) {
		for (uint32_t k = i; k && class_before(&c[k], &c[k - 1]); k--) {
			bool was = channel->blocks_auto[k];

			channel->blocks_auto[k] = channel->blocks_auto[k - 1];
			channel->blocks_auto[k - 1] = was;
			klass = c[k];
			c[k] = c[k - 1];
			c[k - 1] = klass;
		}
	}
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
		group->policy = (uint32_t)choice_of("policy",
						    cfg_getstr(sec, "policy"));
		group->lag = (uint32_t)cfg_getint(sec, "lag");
	}
	return 0;
}

static int take_channel(struct tpi_config_channel *channel, cfg_t *cfg)
{
	struct tpi_channel_spec *spec = &channel->spec;
	char why[256] = "";
	int err;

	set_name(spec->name, sizeof(spec->name), cfg_title(cfg));
	spec->full_policy =
		(uint32_t)choice_of("full", cfg_getstr(cfg, "full"));
	spec->stamp = (uint32_t)choice_of("stamp", cfg_getstr(cfg, "stamp"));
	tpi_parse_ns(cfg_getstr(cfg, "wait"), &spec->wait_ns);
	channel->groups_max = (uint32_t)cfg_getint(cfg, "groups_max");
	err = take_classes(channel, cfg);
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
		parse_id(cfg_getnstr(cfg, option, i), group, &(*ids)[i]);
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
		rule->rights |= TPI_RIGHT_PRODUCE << choice_of(
					"role", cfg_getnstr(cfg, "role", i));
	err = take_ids(cfg, "uid", &rule->uid_count, &rule->uids);
	if (!err)
		err = take_ids(cfg, "gid", &rule->gid_count, &rule->gids);
	if (err)
		return err;
	if (!rule->any && !rule->uid_count && !rule->gid_count) {
		cfg_error(cfg,
			  "allow \"%s\": it names no uid, no gid and not "
			  "any = true, so it allows nobody",
			  rule->name);
		return -EINVAL;
	}
	if (!rule->rights) {
		cfg_error(cfg, "allow \"%s\": it names no role", rule->name);
		return -EINVAL;
	}
	return 0;
}

static int take_channels(struct tpi_config *config, cfg_t *cfg)
{
	unsigned int count = cfg_size(cfg, "channel");
	int err = 0;

	if (count > TPI_CHANNELS_MAX) {
		cfg_error(cfg, "%u channels, at most %d", count,
			  TPI_CHANNELS_MAX);
		return -EINVAL;
	}
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
	if (group && parse_id(group, true, &gid))
		config->socket_group = gid;
	tpi_parse_bytes(cfg_getstr(cfg, "budget"), &config->budget_bytes);
	config->hugepages = (enum tpi_hugepages)choice_of(
		"hugepages", cfg_getstr(cfg, "hugepages"));
	config->clients_max = (uint32_t)cfg_getint(cfg, "clients_max");
	config->trust_owner = cfg_getbool(cfg, "trust_owner");
	return 0;
}

static int take_all(struct tpi_config *config, cfg_t *cfg)
{
	int err = take_globals(config, cfg);

	if (!err)
		err = take_channels(config, cfg);
	if (!err)
		err = take_rules(config, cfg);
	return err;
}

static int parse(cfg_t *cfg, const char *file, const char *text)
{
	size_t length;
	char *copy;
	FILE *in;
	int rc, err = tpi_config_text(&copy, &length, file, text);

	if (err)
		return err;
	free(cfg->filename);
	cfg->filename = strdup(file ? file : "configuration");
	in = fmemopen(copy, length, "r");
	rc = cfg->filename && in ? cfg_parse_fp(cfg, in) : CFG_PARSE_ERROR;
	if (in)
		fclose(in);
	free(copy);
	return rc == CFG_SUCCESS ? 0 : -EINVAL;
}

static int load_locked(struct tpi_config *config, const char *file,
		       const char *text, char *error, size_t error_bytes)
{
	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	int err;

	if (!cfg)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	cfg_set_error_function(cfg, report_error);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		cfg_set_validate_func(cfg, checks[i].option, checks[i].check);
	err = parse(cfg, file, text ? text : "");
	/* A configuration without a channel gets the default one. */
	if (!err && !cfg_size(cfg, "channel") &&
	    !cfg_addtsec(cfg, "channel", "events"))
		err = -ENOMEM;
	if (!err)
		err = take_all(config, cfg);
	if (err && !report.failed)
		tpi_fail(err, error, error_bytes, "%s: %s",
			 file ? file : "configuration", strerror(-err));
	cfg_free(cfg);
	return err;
}

int tpi_config_load(struct tpi_config *config, const char *file,
		    const char *text, char *error, size_t error_bytes)
{
	int err;

	memset(config, 0, sizeof(*config));
	pthread_mutex_lock(&scanner_lock);
	report.text = error;
	report.bytes = error_bytes;
	report.failed = false;
	err = load_locked(config, file, text, error, error_bytes);
	report.text = NULL;
	pthread_mutex_unlock(&scanner_lock);
	return err;
}

void tpi_config_free(struct tpi_config *config)
{
	for (uint32_t i = 0; i < config->channel_count; i++)
		free(config->channels[i].groups);
	for (uint32_t i = 0; i < config->rule_count; i++) {
		free(config->rules[i].uids);
		free(config->rules[i].gids);
	}
	free(config->channels);
	free(config->rules);
	free(config->socket);
	memset(config, 0, sizeof(*config));
}
