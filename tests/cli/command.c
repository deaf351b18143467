/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 40
#define LIMIT_S       60

struct stream {
	int fd;
	char *text;
	size_t used;
};

static void start(char **argv, const int out[2], const int err[2])
{
	/* The alarm outlives exec, and what it kills is the command. */
	alarm(LIMIT_S);
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	execv(argv[0], argv);
	_exit(126);
}

/* Takes what there is. False at the end. */
static void take(struct stream *s)
{
	ssize_t n;

	s->text = realloc(s->text, s->used + 4096);
	ck_assert_ptr_nonnull(s->text);
	n = read(s->fd, s->text + s->used, 4095);
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
		n = 0;
	}
	s->used += (size_t)n;
	s->text[s->used] = 0;
}

static void take_all(struct stream *a, struct stream *b)
{
	while (a->fd >= 0 || b->fd >= 0) {
		struct pollfd p[2] = {{.fd = a->fd, .events = POLLIN},
				      {.fd = b->fd, .events = POLLIN}};

		ck_assert_int_gt(poll(p, 2, LIMIT_S * 2000), 0);
		if (p[0].revents)
			take(a);
		if (p[1].revents)
			take(b);
	}
}

void command_run(struct command *command, const char *name, ...)
{
	char path[4096], *argv[ARGUMENTS_MAX] = {path};
	struct stream out_stream = {0}, err_stream = {0};
	int out[2], err[2], n = 1, status;
	va_list args;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", TAPIO_BIN, name);
	va_start(args, name);
	while ((argv[n] = va_arg(args, char *)))
		ck_assert_int_lt(++n, ARGUMENTS_MAX);
	va_end(args);
	ck_assert_int_eq(pipe2(out, 0) | pipe2(err, 0), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		start(argv, out, err);
	close(out[1]);
	close(err[1]);
	out_stream.fd = out[0];
	err_stream.fd = err[0];
	take_all(&out_stream, &err_stream);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	command->status = WIFEXITED(status) ? WEXITSTATUS(status)
					    : 128 + WTERMSIG(status);
	command->out = out_stream.text;
	command->err = err_stream.text;
	ck_assert_int_ne(command->status, 126);
}

void command_free(struct command *command)
{
	free(command->out);
	free(command->err);
	*command = (struct command){0};
}

void command_refuses(const char *name, const char *const *arguments,
		     const char *why)
{
	struct command c;

	command_run(&c, name, arguments[0], arguments[1], arguments[2], NULL);
	ck_assert_int_eq(c.status, 2);
	ck_assert_msg(strstr(c.err, why) != NULL, "expected '%s', got: %s", why,
		      c.err);
	ck_assert_str_eq(c.out, "");
	command_free(&c);
}

const char *command_last_line(char *text)
{
	size_t n = strlen(text);
	char *line;

	while (n && text[n - 1] == '\n')
		text[--n] = 0;
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}
