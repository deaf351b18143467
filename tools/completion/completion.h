/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion scripts of shells, made of the option tables of programs: argp_parse.c walks a
 * table into a flat list, and each shell has a printer.
 */
#ifndef TPI_COMPLETION_H
#define TPI_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

#define OPTIONS_MAX 200
#define WORDS_MAX   64

enum takes {
	TAKES_NOTHING,
	TAKES_VALUE,   /* that no shell can guess */
	TAKES_FILE,    /* any file */
	TAKES_FOLDER,  /* a directory */
	TAKES_CHANNEL, /* of a broker that runs */
};

struct option_row {
	const char *name; /* without hyphens, or NULL */
	char letter;      /* or 0 */
	const char *argument;
	bool optional; /* its argument comes with = alone */
	enum takes takes;
	char text[80]; /* a few words of its help */
};

struct word_row {
	char name[40];
	char text[80];
};

struct program {
	const char *name;
	struct option_row options[OPTIONS_MAX];
	size_t option_count;
	struct word_row words[WORDS_MAX]; /* commands */
	size_t word_count;
	enum takes takes; /* other arguments */
};

void print_bash(FILE *out, const struct program *program);
void print_zsh(FILE *out, const struct program *program);
void print_fish(FILE *out, const struct program *program);

/* "_tapio_load" of "tapio-load", up to `bytes`. */
void function_name(char *name, size_t bytes, const struct program *program);

#endif
