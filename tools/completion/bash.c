/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For bash: one function for each program, with no other package. bash breaks words at '=',
 * so --file=a is three words to it.
 */
#include "tools/completion/completion.h"

static void print_form(FILE *out, bool *any, const char *format,
		       const char *name)
{
	fputs(*any ? " | " : "\t", out);
	fprintf(out, format, name);
	*any = true;
}

/* Patterns of a case: all options that take this. An optional argument comes with = alone. */
static bool print_pattern(FILE *out, const struct program *p, enum takes takes)
{
	bool any = false;

	for (size_t i = 0; i < p->option_count; i++) {
		const struct option_row *o = &p->options[i];
		const char letter[] = {o->letter, 0};

		if (o->takes != takes)
			continue;
		if (o->name)
			print_form(out, &any, "--%s=", o->name);
		if (o->name && !o->optional)
			print_form(out, &any, "--%s", o->name);
		if (o->letter && !o->optional)
			print_form(out, &any, "-%s", letter);
	}
	if (any)
		fputs(")\n", out);
	return any;
}

static void print_call(FILE *out, enum takes takes, const char *indent)
{
	switch (takes) {
	case TAKES_FILE:
		fprintf(out, "%scompopt -o filenames\n", indent);
		fprintf(out,
			"%smapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n",
			indent);
		break;
	case TAKES_FOLDER:
		fprintf(out, "%scompopt -o filenames\n", indent);
		fprintf(out,
			"%smapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n",
			indent);
		break;
	case TAKES_CHANNEL:
		fprintf(out,
			"%smapfile -t COMPREPLY < <(compgen -W "
			"\"$(%s_channels)\" -- \"$cur\")\n",
			indent, "_tapio");
		break;
	default:
		break;
	}
}

static void print_cases(FILE *out, const struct program *p)
{
	static const enum takes all[] = {TAKES_FILE, TAKES_FOLDER,
					 TAKES_CHANNEL, TAKES_VALUE};

	fputs("\tcase $option in\n", out);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!print_pattern(out, p, all[i]))
			continue;
		print_call(out, all[i], "\t\t");
		fputs("\t\treturn ;;\n", out);
	}
	fputs("\tesac\n", out);
}

/* With = where an argument may follow, so that it is typed at once. */
static void print_options(FILE *out, const struct program *p)
{
	fputs("\tlocal options='", out);
	for (size_t i = 0; i < p->option_count; i++) {
		const struct option_row *o = &p->options[i];

		if (o->name)
			fprintf(out, "%s--%s%s", i ? " " : "", o->name,
				o->argument ? "=" : "");
		if (o->letter)
			fprintf(out, "%s-%c", i || o->name ? " " : "",
				o->letter);
	}
	fputs("'\n", out);
}

static void print_words(FILE *out, const struct program *p)
{
	if (!p->word_count) {
		print_call(out, p->takes, "\t");
		return;
	}
	fputs("\tlocal words='", out);
	for (size_t i = 0; i < p->word_count; i++)
		fprintf(out, "%s%s", i ? " " : "", p->words[i].name);
	fputs("'\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
	      "\"$cur\")\n",
	      out);
	if (p->takes == TAKES_FILE)
		fputs("\tif ((COMP_CWORD > 1 && ${#COMPREPLY[@]} == 0)); then\n"
		      "\t\tcompopt -o filenames\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		      "\tfi\n",
		      out);
}

/* Of the broker that is found without an option. No broker: nothing, and at once. */
static void print_channels(FILE *out, const struct program *p)
{
	bool any = p->takes == TAKES_CHANNEL;

	for (size_t i = 0; i < p->option_count; i++)
		any |= p->options[i].takes == TAKES_CHANNEL;
	if (!any)
		return;
	fputs("_tapio_channels() {\n"
	      "\tlocal socket=${TAPIO_SOCKET:-/run/tapio/tapiod.sock}\n\n"
	      "\t[[ -S $socket || $socket == @* ]] || return 0\n"
	      "\ttapio-shmstat --socket \"$socket\" --timeout 200ms --no-header "
	      "\\\n"
	      "\t\tchannels 2>/dev/null | while read -r name _; do\n"
	      "\t\techo \"$name\"\n"
	      "\tdone\n"
	      "}\n\n",
	      out);
}

void print_bash(FILE *out, const struct program *p)
{
	char function[80];

	function_name(function, sizeof(function), p);
	fprintf(out,
		"# bash completion for %s, made from its option table when it "
		"was built\n\n",
		p->name);
	print_channels(out, p);
	fprintf(out, "%s() {\n", function);
	fputs("\tlocal cur=${COMP_WORDS[COMP_CWORD]} option=\n\n"
	      "\tCOMPREPLY=()\n"
	      "\tif [[ $cur == = ]]; then\n"
	      "\t\tcur= option=${COMP_WORDS[COMP_CWORD - 1]}=\n"
	      "\telif ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[COMP_CWORD - 1]} "
	      "== = ]]; then\n"
	      "\t\toption=${COMP_WORDS[COMP_CWORD - 2]}=\n"
	      "\telif ((COMP_CWORD > 1)); then\n"
	      "\t\toption=${COMP_WORDS[COMP_CWORD - 1]}\n"
	      "\tfi\n",
	      out);
	print_options(out, p);
	print_cases(out, p);
	fputs("\tif [[ $cur == -* ]]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- "
	      "\"$cur\")\n"
	      "\t\t[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
	      "\t\treturn\n"
	      "\tfi\n",
	      out);
	print_words(out, p);
	fprintf(out, "}\ncomplete -F %s %s\n", function, p->name);
}
