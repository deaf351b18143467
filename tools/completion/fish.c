/* SPDX-License-Identifier: Apache-2.0 */
/* For fish: a line for each option. */
#include <string.h>

#include "tools/completion/completion.h"

/* Inside of '..'. */
static void print_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("'\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void print_option(FILE *out, const struct program *p,
			 const struct option_row *o)
{
	fprintf(out, "complete -c %s", p->name);
	if (o->letter)
		fprintf(out, " -s '%c'", o->letter);
	if (o->name)
		fprintf(out, " -l %s", o->name);
	switch (o->optional ? TAKES_NOTHING : o->takes) {
	case TAKES_FILE:
		fputs(" -r -F", out);
		break;
	case TAKES_FOLDER:
		fputs(" -x -a '(__fish_complete_directories)'", out);
		break;
	case TAKES_CHANNEL:
		fputs(" -x -a '(__tapio_channels)'", out);
		break;
	case TAKES_VALUE:
		fputs(" -x", out);
		break;
	default:
		break;
	}
	fputs(" -d '", out);
	print_text(out, o->text);
	fputs("'\n", out);
}

static void print_channels(FILE *out)
{
	fputs("function __tapio_channels\n"
	      "\tset -l socket /run/tapio/tapiod.sock\n"
	      "\tset -q TAPIO_SOCKET; and set socket $TAPIO_SOCKET\n"
	      "\ttest -S $socket; or string match -q '@*' -- $socket; or "
	      "return\n"
	      "\ttapio-shmstat --socket $socket --timeout 200ms --no-header "
	      "channels 2>/dev/null | string replace -r ' .*' ''\n"
	      "end\n\n",
	      out);
}

void print_fish(FILE *out, const struct program *p)
{
	fprintf(out,
		"# fish completion for %s, made from its option table when it "
		"was built\n\n",
		p->name);
	print_channels(out);
	if (p->takes != TAKES_FILE)
		fprintf(out, "complete -c %s -f\n", p->name);
	if (p->takes == TAKES_CHANNEL && !p->word_count)
		fprintf(out, "complete -c %s -a '(__tapio_channels)'\n",
			p->name);
	for (size_t i = 0; i < p->word_count; i++) {
		fprintf(out, "complete -c %s -a %s -d '", p->name,
			p->words[i].name);
		print_text(out, p->words[i].text);
		fputs("'\n", out);
	}
	for (size_t i = 0; i < p->option_count; i++)
		print_option(out, p, &p->options[i]);
}
