/* SPDX-License-Identifier: Apache-2.0 */
/* For zsh: the arguments of _arguments. */
#include <string.h>

#include "tools/completion/completion.h"

/* Inside of '..' and of [..]. */
static void print_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\'", out);
		else if (strchr("[]:\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static const char *action(enum takes takes)
{
	switch (takes) {
	case TAKES_FILE:
		return "_files";
	case TAKES_FOLDER:
		return "_files -/";
	case TAKES_CHANNEL:
		return "_tapio_channels";
	default:
		return " ";
	}
}

static void print_argument(FILE *out, const struct option_row *o)
{
	if (!o->argument)
		return;
	fprintf(out, "%s:", o->optional ? ":" : "");
	print_text(out, o->argument);
	fprintf(out, ":%s", action(o->takes));
}

/* '(-f --file)--file=[text]:FILE:_files' */
static void print_form(FILE *out, const struct option_row *o, bool long_form)
{
	fputs("\t\t'", out);
	if (o->name && o->letter)
		fprintf(out, "(-%c --%s)", o->letter, o->name);
	if (long_form)
		fprintf(out, "--%s%s", o->name,
			!o->argument  ? ""
			: o->optional ? "=-"
				      : "=");
	else
		fprintf(out, "-%c%s", o->letter,
			!o->argument  ? ""
			: o->optional ? "-"
				      : "+");
	fputc('[', out);
	print_text(out, o->text);
	fputc(']', out);
	print_argument(out, o);
	fputs("' \\\n", out);
}

static void print_words(FILE *out, const struct program *p)
{
	fputs("\tlocal -a words\n\twords=(\n", out);
	for (size_t i = 0; i < p->word_count; i++) {
		fprintf(out, "\t\t'%s:", p->words[i].name);
		print_text(out, p->words[i].text);
		fputs("'\n", out);
	}
	fputs("\t)\n", out);
}

static void print_channels(FILE *out)
{
	fputs("(( $+functions[_tapio_channels] )) || _tapio_channels() {\n"
	      "\tlocal socket=${TAPIO_SOCKET:-/run/tapio/tapiod.sock}\n"
	      "\tlocal -a names\n\n"
	      "\t[[ -S $socket || $socket == @* ]] || return 1\n"
	      "\tnames=(${${(f)\"$(tapio-shmstat --socket $socket --timeout "
	      "200ms --no-header channels 2>/dev/null)\"}%% *})\n"
	      "\tcompadd -a names\n"
	      "}\n\n",
	      out);
}

void print_zsh(FILE *out, const struct program *p)
{
	char function[80];

	function_name(function, sizeof(function), p);
	fprintf(out,
		"#compdef %s\n"
		"# made from its option table when it was built\n\n",
		p->name);
	print_channels(out);
	fprintf(out, "%s() {\n", function);
	if (p->word_count)
		print_words(out, p);
	fputs("\t_arguments -s -S \\\n", out);
	for (size_t i = 0; i < p->option_count; i++) {
		if (p->options[i].name)
			print_form(out, &p->options[i], true);
		if (p->options[i].letter)
			print_form(out, &p->options[i], false);
	}
	if (p->word_count)
		fprintf(out, "\t\t'*: :{_describe command words%s}'\n",
			p->takes == TAKES_FILE ? " || _files" : "");
	else if (p->takes == TAKES_NOTHING)
		fputs("\t\t&& return 0\n", out);
	else
		fprintf(out, "\t\t'*: :%s'\n", action(p->takes));
	fprintf(out, "}\n\n%s \"$@\"\n", function);
}
