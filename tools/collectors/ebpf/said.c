/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbpf gives the verifier's log in one message that begins with "prog 'NAME': -- BEGIN PROG
 * LOAD LOG --". A log may have megabytes: its last lines say why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "tools/collectors/ebpf/said.h"

#define END_BYTES  600
#define LAST_LINES 4

static const char begin_mark[] = "-- BEGIN PROG LOAD LOG --";
static const char end_mark[] = "-- END PROG LOAD LOG --";

static struct {
	char program[64];
	char log[END_BYTES];  /* "": the verifier has said nothing */
	char last[END_BYTES]; /* the last other message */
} said;

/* Copies the last lines, with " | " between them, and no more than there is room for. */
static void keep_lines(char *to, const char *text, size_t length)
{
	const char *at = text + length;
	int lines = 0;
	size_t used = 0;

	while (at > text && at[-1] == '\n')
		at--, length--;
	while (at > text && text + length - at < END_BYTES - 64) {
		if (at[-1] == '\n' && ++lines == LAST_LINES)
			break;
		at--;
	}
	for (; at < text + length && used < END_BYTES - 4; at++) {
		if (*at == '\n')
			used += (size_t)snprintf(to + used, END_BYTES - used,
						 " | ");
		else
			to[used++] = *at == '\t' ? ' ' : *at;
	}
	to[used] = '\0';
}

static void keep_program(const char *text)
{
	const char *name = strstr(text, "prog '");
	size_t length;

	if (!name)
		return;
	name += strlen("prog '");
	length = strcspn(name, "'");
	if (length < sizeof(said.program)) {
		memcpy(said.program, name, length);
		said.program[length] = '\0';
	}
}

static void keep(const char *text)
{
	const char *log = strstr(text, begin_mark);
	const char *end = log ? strstr(log, end_mark) : NULL;

	keep_program(text);
	if (!end) {
		if (!said.log[0])
			keep_lines(said.last, text, strlen(text));
		return;
	}
	log += strlen(begin_mark) + 1;
	keep_lines(said.log, log, (size_t)(end - log));
}

static int print(enum libbpf_print_level level, const char *format,
		 va_list args)
{
	char *text;

	if (level > LIBBPF_WARN || vasprintf(&text, format, args) < 0)
		return 0;
	/* "failed to load object" comes behind what is of interest. */
	if (!strstr(text, "failed to load object") &&
	    !strstr(text, "failed to load BPF skeleton"))
		keep(text);
	free(text);
	return 0;
}

void tpi_ebpf_said_init(void)
{
	libbpf_set_print(print);
	tpi_ebpf_said_clear();
}

void tpi_ebpf_said_clear(void)
{
	memset(&said, 0, sizeof(said));
}

const char *tpi_ebpf_said_program(void)
{
	return said.program;
}

void tpi_ebpf_said_end(char *text, size_t bytes)
{
	snprintf(text, bytes, "%s", said.log[0] ? said.log : said.last);
}
