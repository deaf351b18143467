/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of a collector: one table for its options, for its section of the
 * configuration file, and for --help.
 *
 *	struct my_values {
 *		const char *directory;
 *		int64_t pause_ns;
 *		bool all;
 *	};
 *	static const struct tpi_setting settings[] = {
 *		{"directory", "PATH", "Where it reads", 'D', TPI_SETTING_TEXT,
 *		 .offset = offsetof(struct my_values, directory)},
 *		{"pause", "TIME", "Between two looks (default: 1s)",
 *		 .kind = TPI_SETTING_DURATION, .min = 1000000,
 *		 .offset = offsetof(struct my_values, pause_ns)},
 *		{"all", .help = "Also what did not change",
 *		 .kind = TPI_SETTING_FLAG,
 *		 .offset = offsetof(struct my_values, all)},
 *		{0},
 *	};
 *
 * That is --directory=PATH, --pause=TIME and --all, and in the file
 *
 *	my {
 *		directory = "/here"
 *		pause = 2s
 *		all = true
 *	}
 *
 * where a name has _ for each - of the option. The command line is stronger than the
 * file. A list on the command line takes the place of that in the file.
 */
#ifndef TPI_COLLECT_SETTINGS_H
#define TPI_COLLECT_SETTINGS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In brackets: the type of the member at `offset`. */
enum tpi_setting_kind {
	TPI_SETTING_HEADING, /* none: `help` stands above the next rows in --help */
	TPI_SETTING_FLAG,  /* (bool) without a value on the command line */
	TPI_SETTING_TEXT,  /* (const char *) */
	TPI_SETTING_LIST,  /* (struct tpi_list) may be given more than once */
	TPI_SETTING_COUNT, /* (uint64_t) from min to max */
	TPI_SETTING_SIZE,  /* (uint64_t) in bytes, from min to max */
	TPI_SETTING_RATE,  /* (uint64_t) per second */
	TPI_SETTING_DURATION, /* (int64_t) in ns, min at least, or TAPIO_FOREVER */
	TPI_SETTING_OWN,      /* what `parse` makes of it */
};

struct tpi_list {
	const char **items;
	size_t count;
};

struct tpi_setting {
	const char *name; /* of the option, without the dashes */
	const char *arg;  /* as --help calls the value. NULL: none */
	const char *help;
	int key; /* the short option, or 0 */
	enum tpi_setting_kind kind;
	size_t offset; /* in the struct of values */
	uint64_t min;
	uint64_t max; /* 0: no limit */
	/*
	 * Stores the value (a string that stays) at `value`. False: it is wrong, and
	 * `why` says what is allowed, as in "not a letter from a to f".
	 */
	bool (*parse)(void *value, const char *text, char *why,
		      size_t why_bytes);
	bool optional;          /* the value, which is NULL then (OWN) */
	bool command_line_only; /* the file does not have it */
};

/* A table with the struct that its rows fill in. */
struct tpi_settings {
	const struct tpi_setting *rows; /* the last one is {0} */
	void *values;
};

/*
 * Stores one value. False: it is wrong, and `why` says what is allowed. The text MUST
 * stay. A list grows by one item.
 */
bool tpi_setting_store(const struct tpi_settings *settings,
		       const struct tpi_setting *row, const char *text,
		       char *why, size_t why_bytes);

/* Empties each list, and gives its memory back. */
void tpi_settings_free(const struct tpi_settings *settings);

/*
 * Reads the section of a collector from a file, and stores its values in the tables,
 * of which the last one is {0}. Sections of other collectors are passed over, and the
 * names of sections that no collector has are refused. 0, -EINVAL, or why the file
 * could not be read; `error` then has file, line, value and what is allowed.
 *
 * The strings live until tpi_settings_file_free().
 */
struct tpi_settings_file;
int tpi_settings_file_load(struct tpi_settings_file **out, const char *file,
			   const char *section,
			   const struct tpi_settings *tables, char *error,
			   size_t error_bytes);
void tpi_settings_file_free(struct tpi_settings_file *file);

/* The row with that name in a file (with _ for -), in one of the tables, or NULL. */
const struct tpi_setting *tpi_settings_find(const struct tpi_settings *tables,
					    const char *name,
					    const struct tpi_settings **table);

/*
 * Blanks a prepared text (lib/config/config_text.h) but for one section, so that lines
 * keep their numbers. -EINVAL: a section that no collector has, or ours stands twice;
 * `why` has "LINE: " and a message.
 */
int tpi_section_keep(char *text, size_t length, const char *section, char *why,
		     size_t why_bytes);

#endif
