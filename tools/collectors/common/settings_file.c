/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a collector's section, with libconfuse as the broker does: each value is
 * checked where it stands, so that a message has its line.
 *
 * All values are strings for libconfuse, and become numbers by the parsers of the
 * command line: one way to write a duration in both places. Called by the main thread
 * before there are others: the memory of libconfuse's callbacks is static.
 */
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/config_text.h"
#include "tools/collectors/common/settings.h"

struct tpi_settings_file {
	cfg_t *cfg;
	cfg_opt_t *options; /* of the section, with names of our own */
	size_t option_count;
};

/* During one load: where its values and its first error go. */
static struct {
	const struct tpi_settings *tables;
	char *error;
	size_t error_bytes;
	bool failed;
} load;

/* ---- errors ------------------------------------------------------------------- */

static void append_options(char *text, size_t bytes, const cfg_t *cfg)
{
	const char *separator = "; there are ";

	for (const cfg_opt_t *option = cfg->opts; option->name; option++) {
		size_t used = strlen(text);

		if (!strcmp(option->name, TPI_CONFIG_END))
			continue;
		snprintf(text + used, bytes - used, "%s%s", separator,
			 option->name);
		separator = ", ";
	}
}

__attribute__((format(printf, 2, 0))) static void
report(cfg_t *cfg, const char *format, va_list args)
{
	char text[700];

	if (load.failed)
		return;
	load.failed = true;
	vsnprintf(text, sizeof(text), format, args);
	if (strstr(text, TPI_CONFIG_END))
		snprintf(text, sizeof(text),
			 "a section is not closed: a } is missing");
	else if (cfg && strstr(text, "no such option"))
		append_options(text, sizeof(text), cfg);
	if (cfg && cfg->filename)
		snprintf(load.error, load.error_bytes, "%s:%d: %s",
			 cfg->filename, cfg->line, text);
	else
		snprintf(load.error, load.error_bytes, "%s", text);
}

/* ---- the grammar: made from the tables ----------------------------------------- */

static int store_one(cfg_t *cfg, cfg_opt_t *option, unsigned int index,
		     const struct tpi_settings *table,
		     const struct tpi_setting *row)
{
	const char *text = cfg_opt_getnstr(option, index);
	char why[200];

	if (!text || tpi_setting_store(table, row, text, why, sizeof(why)))
		return 0;
	cfg_error(cfg, "%s = \"%s\": %s", option->name, text, why);
	return -1;
}

/*
 * Called for each value. Of a list it is called once more where the list ends, so all of it is
 * stored anew each time.
 */
static int take_value(cfg_t *cfg, cfg_opt_t *option)
{
	const unsigned int count = cfg_opt_size(option);
	const struct tpi_settings *table;
	const struct tpi_setting *row =
		tpi_settings_find(load.tables, option->name, &table);
	struct tpi_list *list;

	if (!row || !count)
		return 0;
	if (row->kind != TPI_SETTING_LIST)
		return store_one(cfg, option, count - 1, table, row);
	list = (void *)((char *)table->values + row->offset);
	list->count = 0;
	for (unsigned int i = 0; i < count; i++)
		if (store_one(cfg, option, i, table, row))
			return -1;
	return 0;
}

static size_t count_rows(const struct tpi_settings *tables)
{
	size_t count = 0;

	for (; tables->rows; tables++)
		for (const struct tpi_setting *row = tables->rows;
		     row->name || row->help; row++)
			count += row->name && !row->command_line_only;
	return count;
}

static bool add_option(struct tpi_settings_file *file,
		       const struct tpi_setting *row)
{
	const cfg_opt_t text = CFG_STR("", NULL, CFGF_NODEFAULT);
	const cfg_opt_t list = CFG_STR_LIST("", NULL, CFGF_NODEFAULT);
	cfg_opt_t *option = &file->options[file->option_count];
	char *name = strdup(row->name);

	if (!name)
		return false;
	for (char *at = name; *at; at++)
		if (*at == '-')
			*at = '_';
	*option = row->kind == TPI_SETTING_LIST ? list : text;
	option->name = name;
	file->option_count++;
	return true;
}

static bool make_options(struct tpi_settings_file *file,
			 const struct tpi_settings *tables)
{
	file->options = calloc(count_rows(tables) + 1, sizeof(cfg_opt_t));
	if (!file->options)
		return false;
	for (; tables->rows; tables++)
		for (const struct tpi_setting *row = tables->rows;
		     row->name || row->help; row++)
			if (row->name && !row->command_line_only &&
			    !add_option(file, row))
				return false;
	return true;
}

static bool make_grammar(struct tpi_settings_file *file, const char *section,
			 const struct tpi_settings *tables)
{
	char name[96];

	if (!make_options(file, tables))
		return false;
	cfg_opt_t top[] = {
		CFG_SEC(section, file->options, CFGF_NODEFAULT),
		CFG_BOOL(TPI_CONFIG_END, cfg_false, CFGF_NONE),
		CFG_END(),
	};
	file->cfg = cfg_init(top, CFGF_NONE); /* copies all of it */
	if (!file->cfg)
		return false;
	cfg_set_error_function(file->cfg, report);
	for (size_t i = 0; i < file->option_count; i++) {
		snprintf(name, sizeof(name), "%s|%s", section,
			 file->options[i].name);
		cfg_set_validate_func(file->cfg, name, take_value);
	}
	return true;
}

/* ---- loading ------------------------------------------------------------------- */

static int parse(struct tpi_settings_file *file, const char *path,
		 const char *section)
{
	char why[300] = "";
	size_t length = 0;
	char *text = NULL;
	int err = tpi_config_text(&text, &length, path, NULL, why, sizeof(why));

	if (!err)
		err = tpi_section_keep(text, length, section, why, sizeof(why));
	if (err) {
		if (*why)
			snprintf(load.error, load.error_bytes, "%s:%s", path,
				 why);
		else
			snprintf(load.error, load.error_bytes, "%s: %s", path,
				 strerror(-err));
		load.failed = true;
		free(text);
		return err;
	}
	free(file->cfg->filename);
	file->cfg->filename = strdup(path);
	FILE *in = fmemopen(text, length, "r");
	int rc = file->cfg->filename && in ? cfg_parse_fp(file->cfg, in)
					   : CFG_PARSE_ERROR;
	if (in)
		fclose(in);
	free(text);
	return rc == CFG_SUCCESS ? 0 : -EINVAL;
}

int tpi_settings_file_load(struct tpi_settings_file **out, const char *path,
			   const char *section,
			   const struct tpi_settings *tables, char *error,
			   size_t error_bytes)
{
	struct tpi_settings_file *file = calloc(1, sizeof(*file));
	int err = -ENOMEM;

	*out = NULL;
	load.tables = tables;
	load.error = error;
	load.error_bytes = error_bytes;
	load.failed = false;
	if (file && make_grammar(file, section, tables))
		err = parse(file, path, section);
	if (err) {
		if (!load.failed)
			snprintf(error, error_bytes, "%s: %s", path,
				 strerror(-err));
		tpi_settings_file_free(file);
		return err;
	}
	*out = file;
	return 0;
}

void tpi_settings_file_free(struct tpi_settings_file *file)
{
	if (!file)
		return;
	if (file->cfg)
		cfg_free(file->cfg);
	for (size_t i = 0; i < file->option_count; i++)
		free((char *)file->options[i].name);
	free(file->options);
	free(file);
}
