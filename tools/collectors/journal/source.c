/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which journal, and which of its entries. Filters are sd-journal's own matches, so that
 * it finds the entries by its indexes and reads no others.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/journal/journal.h"

/* As journalctl: this machine's, and not what was received from others. */
#define LIVE_FLAGS SD_JOURNAL_LOCAL_ONLY

static int open_files(sd_journal **out, const struct tpi_list *files)
{
	const char **paths = calloc(files->count + 1, sizeof(*paths));
	int err;

	if (!paths)
		return -ENOMEM;
	memcpy(paths, files->items, files->count * sizeof(*paths));
	err = sd_journal_open_files(out, paths, 0);
	free(paths);
	return err;
}

int tpi_journal_open(sd_journal **out, const struct tpi_journal_values *values)
{
	int err;

	*out = NULL;
	if (values->files.count)
		err = open_files(out, &values->files);
	else if (values->directory)
		err = sd_journal_open_directory(out, values->directory, 0);
	else if (values->name_space)
		err = sd_journal_open_namespace(out, values->name_space,
						LIVE_FLAGS);
	else
		err = sd_journal_open(out, LIVE_FLAGS);
	if (err < 0)
		return err;
	/* Longer than an event's strings, so that a cut shows. */
	err = sd_journal_set_data_threshold(*out, 1 << 17);
	return err < 0 ? err : 0;
}

const char *tpi_journal_where(const struct tpi_journal_values *values)
{
	if (values->files.count)
		return values->files.items[0];
	if (values->directory)
		return values->directory;
	return "the journal of this host";
}

/* ---- filters ----------------------------------------------------------------------------- */

static int match(sd_journal *journal, const char *field, const char *value)
{
	char text[1024];
	int length = snprintf(text, sizeof(text), "%s%s", field, value);

	if (length < 0 || (size_t)length >= sizeof(text))
		return -ENAMETOOLONG;
	return sd_journal_add_match(journal, text, (size_t)length);
}

/* Messages of the unit, and those of systemd about it. */
static int match_unit(sd_journal *journal, const char *unit)
{
	int err = match(journal, "_SYSTEMD_UNIT=", unit);

	if (!err)
		err = sd_journal_add_disjunction(journal);
	if (!err)
		err = match(journal, "_PID=", "1");
	if (!err)
		err = match(journal, "UNIT=", unit);
	if (!err)
		err = sd_journal_add_disjunction(journal);
	return err;
}

static int match_all(sd_journal *journal, const struct tpi_list *list,
		     int (*add)(sd_journal *journal, const char *value))
{
	int err = 0;

	for (size_t i = 0; !err && i < list->count; i++)
		err = add(journal, list->items[i]);
	if (!err && list->count)
		err = sd_journal_add_conjunction(journal);
	return err;
}

static int match_identifier(sd_journal *journal, const char *identifier)
{
	return match(journal, "SYSLOG_IDENTIFIER=", identifier);
}

static int match_text(sd_journal *journal, const char *text)
{
	return match(journal, "", text);
}

static int match_priority(sd_journal *journal, int least)
{
	char digit[2] = "0";
	int err = 0;

	for (int i = 0; !err && i <= least; i++) {
		digit[0] = (char)('0' + i);
		err = match(journal, "PRIORITY=", digit);
	}
	if (!err && least >= 0)
		err = sd_journal_add_conjunction(journal);
	return err;
}

int tpi_journal_filter(sd_journal *journal,
		       const struct tpi_journal_values *values)
{
	int err = match_all(journal, &values->units, match_unit);

	if (!err)
		err = match_all(journal, &values->identifiers,
				match_identifier);
	if (!err)
		err = match_all(journal, &values->matches, match_text);
	if (!err)
		err = match_priority(journal, values->priority);
	return err;
}

bool tpi_journal_has_filter(const struct tpi_journal_values *values)
{
	return values->units.count || values->identifiers.count ||
	       values->matches.count || values->priority >= 0;
}

/* ---- files that are none ------------------------------------------------------------------ */

static int try_file(const char *path)
{
	const char *paths[] = {path, NULL};
	sd_journal *journal = NULL;
	int err = sd_journal_open_files(&journal, paths, 0);

	sd_journal_close(journal);
	return err < 0 ? err : 0;
}

static bool is_journal(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && (!strcmp(end, ".journal") || !strcmp(end, ".journal~"));
}

static bool try_directory(const char *directory,
			  void (*bad)(void *arg, const char *path, int err),
			  void *arg)
{
	DIR *dir = opendir(directory);
	bool any = !dir && errno != ENOENT;
	char path[4096];

	for (const struct dirent *entry; dir && (entry = readdir(dir));) {
		if (!is_journal(entry->d_name))
			continue;
		any = true;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		int err = try_file(path);

		if (err && err != -ENOENT)
			bad(arg, path, err);
	}
	if (dir)
		closedir(dir);
	return any;
}

bool tpi_journal_bad_files(const struct tpi_journal_values *values,
			   void (*bad)(void *arg, const char *path, int err),
			   void *arg)
{
	static const char *const roots[] = {"/run/log/journal",
					    "/var/log/journal"};
	char path[128], id[SD_ID128_STRING_MAX];
	sd_id128_t machine;
	bool any = false;

	for (size_t i = 0; i < values->files.count; i++) {
		int err = try_file(values->files.items[i]);

		if (err)
			bad(arg, values->files.items[i], err);
	}
	if (values->files.count)
		return true;
	if (values->directory)
		return try_directory(values->directory, bad, arg);
	if (sd_id128_get_machine(&machine) < 0)
		return false;
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s%s%s", roots[i],
			 sd_id128_to_string(machine, id),
			 values->name_space ? "." : "",
			 values->name_space ? values->name_space : "");
		any |= try_directory(path, bad, arg);
	}
	return any;
}
