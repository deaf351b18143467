/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of the configuration that stand alone: each is checked by a callback of
 * libconfuse's, which runs where the value stands and so can name its line.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config/config_inner.h"
#include "lib/wire/wire.h"

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

static int check_takeover(cfg_t *cfg, cfg_opt_t *opt)
{
	uint64_t ns;

	if (!strcmp(last_str(opt), "never") ||
	    (tpi_parse_ns(last_str(opt), &ns) && ns))
		return 0;
	cfg_error(cfg,
		  "%s = \"%s\": not never or a time, as 500us, 100ms or 2s",
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

#define WORDS_MAX 6 /* and NULL */

/* The words an option may have, by its name. The index is the value (of a policy:
 * tpi_policy_parse; of a role: the bit of TPI_RIGHT_*). */
static const struct choice {
	const char *option;
	const char *words[WORDS_MAX];
} choices[] = {
	{"hugepages", {"auto", "require", "never"}},
	{"full", {"drop", "wait"}},
	{"stamp", {"none", "tsc", "clock"}},
	{"isolation", {"channel", "process"}},
	{"policy", {"lossy", "until", "lossless"}},
	{"role", {"produce", "consume", "inspect", "lossless", "durable"}},
};

static const struct choice *choice_of(const char *option)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (!strcmp(choices[i].option, option))
			return &choices[i];
	return NULL;
}

int tpi_config_choice(const char *option, const char *word)
{
	const struct choice *choice = choice_of(option);

	for (int k = 0; choice && choice->words[k]; k++)
		if (!strcmp(choice->words[k], word))
			return k;
	return -1;
}

const char *tpi_config_word(const char *option, unsigned int value)
{
	return value < WORDS_MAX ? choice_of(option)->words[value] : NULL;
}

const char *tpi_config_role(unsigned int i)
{
	return tpi_config_word("role", i);
}

static int check_choice(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct choice *choice = choice_of(opt->name);
	char all[96] = "";
	size_t used = 0;

	if (tpi_config_choice(opt->name, last_str(opt)) >= 0)
		return 0;
	for (int k = 0; choice->words[k] && used < sizeof(all); k++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
					 k ? ", " : "", choice->words[k]);
	cfg_error(cfg, "%s = \"%s\": not one of %s", opt->name, last_str(opt),
		  all);
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
	{"uid_clients_max", 1, TAPIO_CLIENTS_MAX - 1, false, 1},
	{"clients_reserved", 0, TAPIO_CLIENTS_MAX - 2, false, 1},
	{"channels_max", 1, TPI_CHANNELS_MAX, false, 1},
	{"groups_max", 1, TAPIO_GROUP_SLOTS, false, 1},
	{"uid_groups_max", 1, TAPIO_GROUP_SLOTS, false, 1},
	{"producers_max", 1, TPI_PRODUCERS_MAX, false, 1},
	{"block", 64, TAPIO_BLOCK_BYTES_MAX, false, 64},
	{"blocks", 4, TAPIO_BLOCKS_MAX, true, 1},
	{"side_blocks", 4, TAPIO_BLOCKS_MAX, true, 1},
	{"priority", 0, 255, false, 1},
	{"lag", 0, TAPIO_BLOCKS_MAX - 1, false, 1},
};

static const struct range *range_of(const cfg_opt_t *opt)
{
	const struct range *r = ranges;

	while (strcmp(r->option, opt->name))
		r++;
	return r;
}

int tpi_config_number(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		      void *result)
{
	const struct range *r = range_of(opt);
	char *end;
	long n = strtol(value, &end, 0); /* beyond long: the nearest one */

	if (end == value || *end) {
		cfg_error(cfg,
			  "%s = \"%s\": not a number from %ld to %ld, without "
			  "a unit",
			  opt->name, value, r->least, r->most);
		return -1;
	}
	*(long *)result = n;
	return 0;
}

static int check_range(cfg_t *cfg, cfg_opt_t *opt)
{
	long n = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);
	const struct range *r = range_of(opt);

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

bool tpi_config_side_lanes(const char *text, uint32_t *lanes)
{
	unsigned long n;
	char *end;

	*lanes = TPI_SIDES_AUTO;
	if (!strcmp(text, "auto"))
		return true;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' ||
	    n > TPI_SIDES_MAX)
		return false;
	*lanes = (uint32_t)n;
	return true;
}

bool tpi_config_id(const char *text, bool group, unsigned int *id)
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
	if (tpi_config_id(last_str(opt), group, &id))
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

static int check_side_lanes(cfg_t *cfg, cfg_opt_t *opt)
{
	uint32_t lanes;

	if (tpi_config_side_lanes(last_str(opt), &lanes))
		return 0;
	cfg_error(cfg, "%s = \"%s\": not auto, or a number from 0 to %d",
		  opt->name, last_str(opt), TPI_SIDES_MAX);
	return -1;
}

static const struct {
	const char *option;
	cfg_validate_callback_t check;
} checks[] = {
	{"socket_mode", check_mode},
	{"socket_group", check_id},
	{"budget", check_bytes},
	{"hugepages", check_choice},
	{"clients_max", check_range},
	{"uid_clients_max", check_range},
	{"clients_reserved", check_range},
	{"channels_max", check_range},
	{"channel", check_title},
	{"channel|full", check_choice},
	{"channel|wait", check_ns},
	{"channel|stamp", check_choice},
	{"channel|groups_max", check_range},
	{"channel|uid_groups_max", check_range},
	{"channel|isolation", check_choice},
	{"channel|producers_max", check_range},
	{"channel|class", check_title},
	{"channel|class|block", check_range},
	{"channel|class|blocks", check_range},
	{"channel|class|side_lanes", check_side_lanes},
	{"channel|class|side_blocks", check_range},
	{"channel|class|priority", check_range},
	{"channel|group", check_title},
	{"channel|group|policy", check_choice},
	{"channel|group|lag", check_range},
	{"channel|group|takeover", check_takeover},
	{"allow", check_title},
	{"allow|uid", check_id},
	{"allow|gid", check_id},
	{"allow|role", check_choice},
};

void tpi_config_checks(cfg_t *cfg)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		cfg_set_validate_func(cfg, checks[i].option, checks[i].check);
}
