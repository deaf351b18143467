/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-emit: events from a shell. main.c has the options and the loop; input.c reads
 * lines; fields.c sets fields by name, from text or JSON.
 */
#ifndef TPI_EMIT_H
#define TPI_EMIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

/* The longest line, and the longest file that is one event. */
#define TPI_LINE_BYTES (1u << 20)

/* ---- input.c ------------------------------------------------------------------------- */

struct tpi_input {
	int fd;
	char *buffer; /* TPI_LINE_BYTES */
	size_t begin; /* of what is not taken yet */
	size_t end;
	bool ended;
	bool skips;    /* the rest of a line that was too long */
	uint64_t line; /* number of the last one, from 1 */
};

struct tpi_line {
	const char *text; /* valid until the next one is asked for */
	size_t length;
	bool cut; /* it was longer than TPI_LINE_BYTES */
};

/* A file, or "-" for standard input. 0 or -errno. */
int tpi_input_open(struct tpi_input *input, const char *path);
void tpi_input_close(struct tpi_input *input);

/* The next line, without its newline. 1, 0 at the end, -EINTR asked to stop, -errno. */
int tpi_input_line(struct tpi_input *input, struct tpi_line *line);

/* All of it, at most TPI_LINE_BYTES, as one line. As tpi_input_line. */
int tpi_input_whole(struct tpi_input *input, struct tpi_line *line);

/* ---- fields.c ------------------------------------------------------------------------ */

#define TPI_WHY_BYTES 400

/*
 * Sets a field of the header or of the event's type by its name, to a value that must be
 * one of its kind. False: it is none; `why` names the field and says what it takes.
 */
bool tpi_field_set_json(struct tapio_event_builder *b, const char *name,
			const json_t *value, char *why);

/* The same from text, as on a command line: "12", "warning", "10.0.0.1". */
bool tpi_field_set_text(struct tapio_event_builder *b, const char *name,
			const char *value, char *why);

/* Whether tapio-tail writes that member beside the fields: it is of the event that was shown,
 * and not of one that is made from the line. */
bool tpi_fields_is_place(const char *name);

/*
 * An event from one line of JSON: `type` is that of a line without one (0: there is
 * none). Begins the builder. False: `why` says what is wrong.
 */
bool tpi_fields_parse(struct tapio_event_builder *b, char *buffer,
		      size_t capacity, uint16_t type,
		      const struct tpi_line *line, char *why);

#endif
