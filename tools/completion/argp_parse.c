/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that the build loads before a program, to get its completion scripts:
 *
 *	LD_PRELOAD=.../libtpi_completion.so TAPIO_COMPLETION=FOLDER tapio-load
 *
 * It stands in for libc's argp_parse(). The program calls it with its option table, as always.
 * Instead of parsing, it writes FOLDER/bash/NAME, FOLDER/zsh/_NAME and FOLDER/fish/NAME.fish, and
 * ends. So completion follows from the option tables themselves, and no program has any code
 * for it.
 *
 * Commands are those that help_filter() adds to --help (ARGP_KEY_HELP_EXTRA), in lines of
 * two spaces, a name, words in capitals, and a text. It is not installed.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/completion/completion.h"

static struct program program;

static void fail(const char *what)
{
	fprintf(stderr, "completion of %s: %s: %s\n",
		program_invocation_short_name, what, strerror(errno));
	exit(EXIT_FAILURE);
}

void function_name(char *name, size_t bytes, const struct program *p)
{
	snprintf(name, bytes, "_%s", p->name);
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* ---- the table -------------------------------------------------------------------- */

/* A few words: to the first pause, and not within a word. */
static void shorten(char *text, size_t bytes, const char *from)
{
	static const char pauses[] = ".;:(\n\v";
	size_t n = strcspn(from, pauses);

	/* A full stop inside of "0.5" or of "../etc" is none. */
	while (from[n] == '.' && from[n + 1] && from[n + 1] != ' ')
		n += 1 + strcspn(from + n + 1, pauses);
	if (n >= bytes) {
		n = bytes - 1;
		while (n && from[n] != ' ')
			n--;
	}
	while (n && strchr(" ,", from[n - 1]))
		n--;
	snprintf(text, bytes, "%.*s", (int)n, from);
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

/* By the word that the table has for the argument. */
static enum takes takes(const char *argument)
{
	static const char *const files[] = {"FILE", "PATH", "SOCKET", NULL};
	static const char *const folders[] = {"DIR", "DIRECTORY", "FOLDER",
					      NULL};

	if (!argument)
		return TAKES_NOTHING;
	if (is_one_of(argument, files))
		return TAKES_FILE;
	if (is_one_of(argument, folders))
		return TAKES_FOLDER;
	return TAKES_VALUE;
}

static void add(const char *name, int key, const char *argument, bool optional,
		const char *text)
{
	struct option_row *row = &program.options[program.option_count];

	if (program.option_count == OPTIONS_MAX) {
		errno = E2BIG;
		fail("its options");
	}
	program.option_count++;
	row->name = name;
	row->letter = key > 0 && key < 256 && isgraph(key) ? (char)key : 0;
	row->argument = argument;
	row->optional = optional;
	row->takes = takes(argument);
	if (name && !strcmp(name, "channel") && argument)
		row->takes = TAKES_CHANNEL;
	shorten(row->text, sizeof(row->text), text ? text : "");
}

static void walk_options(const struct argp_option *o)
{
	const struct argp_option *real = o;

	for (; o && (o->key || o->name || o->doc || o->group); o++) {
		if (!o->name && !o->key)
			continue; /* a title */
		if (!(o->flags & OPTION_ALIAS))
			real = o;
		/* Hidden ones, and lines of text. */
		if (o->flags & (OPTION_HIDDEN | OPTION_DOC))
			continue;
		add(o->name, o->key, real->arg,
		    real->flags & OPTION_ARG_OPTIONAL, real->doc);
	}
}

static void walk(const struct argp *argp)
{
	const struct argp_child *child;

	walk_options(argp->options);
	for (child = argp->children; child && child->argp; child++)
		walk(child->argp);
}

/* Those that argp has by itself. */
static void add_common(unsigned int flags)
{
	if (!(flags & ARGP_NO_HELP)) {
		add("help", '?', NULL, false, "Give this help list");
		add("usage", 0, NULL, false, "Give a short usage message");
	}
	if (argp_program_version || argp_program_version_hook)
		add("version", 'V', NULL, false, "Print program version");
}

/* ---- commands --------------------------------------------------------------------- */

static void add_word(const char *line)
{
	struct word_row *w = &program.words[program.word_count];
	size_t n;

	if (strncmp(line, "  ", 2) || !islower((unsigned char)line[2]) ||
	    program.word_count == WORDS_MAX)
		return;
	line += 2;
	n = strspn(line, "abcdefghijklmnopqrstuvwxyz-");
	snprintf(w->name, sizeof(w->name), "%.*s", (int)n, line);
	line += n;
	line += strspn(line, " ABCDEFGHIJKLMNOPQRSTUVWXYZ[].");
	/* One capital too many: that of the text. */
	if (isupper((unsigned char)line[-1]))
		line--;
	shorten(w->text, sizeof(w->text), line);
	program.word_count++;
}

static void add_words(const struct argp *argp, void *input)
{
	char *text, *line, *rest;

	if (!argp->help_filter)
		return;
	text = argp->help_filter(ARGP_KEY_HELP_EXTRA, NULL, input);
	for (rest = text; (line = strsep(&rest, "\n"));)
		add_word(line);
	free(text);
}

/* ---- the files -------------------------------------------------------------------- */

static void make_folder(const char *path)
{
	if (mkdir(path, 0777) && errno != EEXIST)
		fail(path);
}

static void write_script(const char *folder, const char *shell,
			 const char *format,
			 void (*print)(FILE *out, const struct program *p))
{
	char path[PATH_MAX], name[256];
	FILE *out;

	snprintf(name, sizeof(name), format, program.name);
	snprintf(path, sizeof(path), "%s/%s", folder, shell);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, shell, name);
	out = fopen(path, "we");
	if (!out)
		fail(path);
	print(out, &program);
	if (fclose(out))
		fail(path);
}

/* By the words of the usage line. */
static enum takes takes_of_usage(const char *usage)
{
	if (usage && strstr(usage, "CHANNEL"))
		return TAKES_CHANNEL;
	if (usage && (strstr(usage, "FILE") || strstr(usage, "WORD")))
		return TAKES_FILE;
	return usage ? TAKES_VALUE : TAKES_NOTHING;
}

__attribute__((visibility("default"))) error_t
argp_parse(const struct argp *argp, int argc, char **argv, unsigned int flags,
	   int *end, void *input)
{
	const char *folder = getenv("TAPIO_COMPLETION");

	(void)argc;
	(void)argv;
	(void)end;
	if (!folder) {
		errno = EINVAL;
		fail("TAPIO_COMPLETION names no folder");
	}
	program.name = program_invocation_short_name;
	walk(argp);
	add_common(flags);
	add_words(argp, input);
	program.takes = takes_of_usage(argp->args_doc);
	make_folder(folder);
	write_script(folder, "bash", "%s", print_bash);
	write_script(folder, "zsh", "_%s", print_zsh);
	write_script(folder, "fish", "%s.fish", print_fish);
	exit(EXIT_SUCCESS);
}
