/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of any bytes, of bounded length, from something that may be a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/tool.h"
#include "tools/emit/emit.h"

int tpi_input_open(struct tpi_input *input, const char *path)
{
	*input = (struct tpi_input){.fd = STDIN_FILENO};
	input->buffer = malloc(TPI_LINE_BYTES);
	if (!input->buffer)
		return -ENOMEM;
	if (strcmp(path, "-"))
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
	return input->fd < 0 ? -errno : 0;
}

void tpi_input_close(struct tpi_input *input)
{
	if (input->fd > STDIN_FILENO)
		close(input->fd);
	free(input->buffer);
}

/* Reads more behind what is there, which has been moved to the begin. */
static int fill(struct tpi_input *input)
{
	ssize_t got;

	if (input->begin) {
		memmove(input->buffer, input->buffer + input->begin,
			input->end - input->begin);
		input->end -= input->begin;
		input->begin = 0;
	}
	/* A signal between a look and a read would be missed without this. */
	if (tpi_wait_until(input->fd, INT64_MAX) < 0)
		return -EINTR;
	got = read(input->fd, input->buffer + input->end,
		   TPI_LINE_BYTES - input->end);
	if (got < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	input->ended = !got;
	input->end += (size_t)got;
	return 0;
}

static void take(struct tpi_input *input, struct tpi_line *line, size_t length,
		 size_t behind)
{
	line->text = input->buffer + input->begin;
	line->length = length;
	input->begin += length + behind;
}

/* The rest of a line that was too long, up to its newline. */
static int skip_rest(struct tpi_input *input)
{
	while (input->skips) {
		const char *text = input->buffer + input->begin;
		const char *newline =
			memchr(text, '\n', input->end - input->begin);
		int err = 0;

		input->begin = newline ? (size_t)(newline + 1 - input->buffer)
				       : input->end;
		input->skips = !newline && !input->ended;
		if (input->skips)
			err = fill(input);
		if (err)
			return err;
	}
	return 0;
}

int tpi_input_line(struct tpi_input *input, struct tpi_line *line)
{
	int err = skip_rest(input);

	*line = (struct tpi_line){0};
	while (!err) {
		const size_t there = input->end - input->begin;
		const char *text = input->buffer + input->begin;
		const char *newline = memchr(text, '\n', there);

		line->cut = !newline && there == TPI_LINE_BYTES;
		if (newline || line->cut || (input->ended && there)) {
			input->line++;
			input->skips = line->cut;
			take(input, line,
			     newline ? (size_t)(newline - text) : there,
			     newline != NULL);
			return 1;
		}
		if (input->ended)
			return 0;
		err = fill(input);
	}
	return err;
}

int tpi_input_whole(struct tpi_input *input, struct tpi_line *line)
{
	*line = (struct tpi_line){0};
	while (!input->ended && input->end < TPI_LINE_BYTES) {
		int err = fill(input);

		if (err)
			return err;
	}
	if (input->begin == input->end) /* empty, or taken already */
		return 0;
	line->cut = !input->ended;
	input->ended = true;
	take(input, line, input->end, 0);
	return 1;
}
