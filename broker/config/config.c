/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the configuration, with libconfuse: the grammar, and one load. Called
 * once at start, by tapiod and by tapio_broker_start().
 *
 * libconfuse knows the grammar. Values are checked in two places: those that
 * stand alone in config_check.c, those that depend on each other in
 * config_take.c. Its scanner is one global object, so one load runs at a time.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config/config_inner.h"
#include "lib/config/config_text.h"
#include "lib/base/error.h"

static pthread_mutex_t scanner_lock = PTHREAD_MUTEX_INITIALIZER;

/* Where the first error goes. Guarded by scanner_lock. */
static struct {
	char *text;
	size_t bytes;
	bool failed;
} report;

static void append(char *text, size_t bytes, const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, bytes - used, "%s", more);
}

/* The options of a block, for the message about one that it does not have. */
static void append_options(char *text, size_t bytes, const cfg_t *cfg)
{
	const char *separator = " ";

	append(text, bytes, "; those of ");
	append(text, bytes,
	       strcmp(cfg->name, "root") ? cfg->name : "the top level");
	append(text, bytes, " are");
	for (const cfg_opt_t *option = cfg->opts; option->name; option++) {
		if (!strcmp(option->name, TPI_CONFIG_END))
			continue;
		append(text, bytes, separator);
		append(text, bytes, option->name);
		separator = ", ";
	}
}

__attribute__((format(printf, 2, 0))) static void
report_error(cfg_t *cfg, const char *format, va_list args)
{
	char text[400];
	int n = 0;

	if (report.failed || !report.text || !report.bytes)
		return;
	report.failed = true;
	vsnprintf(text, sizeof(text), format, args);
	if (cfg && strstr(text, "no such option"))
		append_options(text, sizeof(text), cfg);
	if (strstr(text, TPI_CONFIG_END))
		snprintf(text, sizeof(text),
			 "a section is not closed: a } is missing");
	if (cfg && cfg->filename)
		n = snprintf(report.text, report.bytes,
			     "%s:%d: ", cfg->filename, cfg->line);
	if (n >= 0 && (size_t)n < report.bytes)
		snprintf(report.text + n, report.bytes - (size_t)n, "%s", text);
}

/* One that libconfuse does not notice: "LINE: message". */
static void report_mistake(const char *file, const char *why)
{
	report.failed = true;
	if (report.text)
		snprintf(report.text, report.bytes, "%s:%s", file, why);
}

/* ---- the grammar ------------------------------------------------------------- */

#define NUMBER(name, value) \
	CFG_INT_CB(name, value, CFGF_NONE, tpi_config_number)

static cfg_opt_t class_options[] = {
	NUMBER("block", TPI_BLOCK_DEFAULT),
	NUMBER("blocks", 0),
	CFG_STR("side_lanes", "auto", CFGF_NONE),
	NUMBER("side_blocks", 0),
	NUMBER("priority", 0),
	CFG_END(),
};

static cfg_opt_t group_options[] = {
	CFG_STR("policy", "until", CFGF_NONE),
	NUMBER("lag", 0),
	CFG_STR("takeover", "30s", CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t channel_options[] = {
	CFG_STR("full", "drop", CFGF_NONE),
	CFG_STR("wait", "100ms", CFGF_NONE),
	CFG_STR("stamp", "tsc", CFGF_NONE),
	NUMBER("groups_max", TPI_GROUPS_DEFAULT),
	NUMBER("uid_groups_max", 0),
	CFG_STR("isolation", "channel", CFGF_NONE),
	NUMBER("producers_max", 0),
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
	CFG_STR("socket_mode", TPI_MODE_DEFAULT, CFGF_NONE),
	CFG_STR("socket_group", NULL, CFGF_NONE),
	CFG_STR("budget", "512M", CFGF_NONE),
	CFG_STR("hugepages", "auto", CFGF_NONE),
	NUMBER("clients_max", TPI_CLIENTS_DEFAULT),
	NUMBER("uid_clients_max", 0),
	NUMBER("clients_reserved", TPI_RESERVED_AUTO),
	CFG_BOOL("trust_owner", cfg_true, CFGF_NONE),
	NUMBER("channels_max", 0),
	CFG_BOOL(TPI_CONFIG_END, cfg_false, CFGF_NONE),
	CFG_SEC("channel", channel_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_SEC("allow", allow_options,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_END(),
};

/* ---- loading ---- */

static int parse(cfg_t *cfg, const char *file, const char *text)
{
	size_t length;
	char *copy;
	FILE *in;
	char why[160] = "";
	int rc, err = tpi_config_text(&copy, &length, file, text, why,
				      sizeof(why));

	if (*why)
		report_mistake(file ? file : "configuration", why);
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
	tpi_config_checks(cfg);
	err = parse(cfg, file, text ? text : "");
	/* A configuration without a channel gets the default one. */
	if (!err && !cfg_size(cfg, "channel") &&
	    !cfg_addtsec(cfg, "channel", "events"))
		err = -ENOMEM;
	if (!err)
		err = tpi_config_take(config, cfg);
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
