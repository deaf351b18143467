/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives a fuzz target without libFuzzer: all files of the directories that are
 * named, and then a number of inputs that are made of them by damaging, cutting
 * and joining. The same numbers give the same inputs on every run.
 *
 *	plain [--mutate COUNT] [--seed N] DIRECTORY...
 *
 * With TAPIO_LONG=1 in the environment it goes on for ten minutes. An input that fails
 * is left in the file `failed-input` of the working directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX  8192
#define INPUTS_MAX 512
#define LONG_S     600

static struct input {
	uint8_t *data;
	size_t size;
} inputs[INPUTS_MAX];
static size_t input_count;

static uint64_t state = 1;

/* xorshift64*: good enough to damage files, and the same everywhere. */
static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t below(size_t n)
{
	return (size_t)(next_random() % n);
}

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void load_file(const char *path)
{
	struct input *input = &inputs[input_count];
	FILE *file = fopen(path, "rb");

	if (!file || input_count == INPUTS_MAX)
		fail(path);
	input->data = malloc(INPUT_MAX);
	input->size = fread(input->data, 1, INPUT_MAX, file);
	fclose(file);
	input_count++;
}

static void load_directory(const char *path)
{
	struct dirent **names;
	char name[4096];
	/* Sorted, so that the order of a file system does not matter. */
	const int n = scandir(path, &names, NULL, alphasort);

	if (n < 0)
		fail(path);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path,
				 names[i]->d_name);
			load_file(name);
		}
		free(names[i]);
	}
	free(names);
}

/* Numbers that checks of lengths and offsets stumble over. */
static void put_number(uint8_t *data, size_t size)
{
	static const uint32_t numbers[] = {
		0,      1,       2,          3,          4,
		7,      8,       95,         96,         0x7f,
		0x80,   0xff,    0x7fff,     0x8000,     0xfff8,
		0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
	const uint32_t n = numbers[below(sizeof(numbers) / sizeof(*numbers))];
	const size_t bytes = (size_t)1 << below(3);

	if (size >= bytes)
		memcpy(data + below(size - bytes + 1), &n, bytes);
}

static size_t damage(uint8_t *data, size_t size)
{
	const struct input *other = &inputs[below(input_count)];
	size_t from, n;

	switch (below(5)) {
	case 0:
		if (size)
			data[below(size)] ^= (uint8_t)(1u << below(8));
		return size;
	case 1:
		put_number(data, size);
		return size;
	case 2: /* shorter */
		return size ? below(size) : 0;
	case 3: /* longer */
		n = below(16);
		if (size + n > INPUT_MAX)
			return size;
		memset(data + size, (int)next_random(), n);
		return size + n;
	default: /* a piece of another */
		if (!size || !other->size)
			return size;
		from = below(size < other->size ? size : other->size);
		n = below(size < other->size ? size - from
					     : other->size - from);
		memcpy(data + from, other->data + from, n);
		return size;
	}
}

/* ---- the input at hand ------------------------------------------------------------ */

static const uint8_t *now_data;
static size_t now_size;
static unsigned long executions;

/* Sanitizers have it, and call it before they end the process. */
void __sanitizer_set_death_callback(void (*callback)(void))
	__attribute__((weak));

static void keep_input(void)
{
	int fd = open("failed-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, now_data, now_size) != (ssize_t)now_size)
		return;
	close(fd);
}

static void on_signal(int signal_number)
{
	keep_input();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void keep_failed_input(void)
{
	signal(SIGABRT, on_signal);
	signal(SIGALRM, on_signal);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(keep_input);
		return;
	}
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
}

static void run(const uint8_t *data, size_t size)
{
	now_data = data;
	now_size = size;
	executions++;
	LLVMFuzzerTestOneInput(data, size);
}

/* ---- all of them ------------------------------------------------------------------ */

static void mutate_one(void)
{
	static uint8_t data[INPUT_MAX];
	const struct input *base = &inputs[below(input_count)];
	size_t size = base->size;

	memcpy(data, base->data, size);
	for (size_t n = 1 + below(4); n; n--)
		size = damage(data, size);
	run(data, size);
}

static void mutate(unsigned long count)
{
	const char *wanted = getenv("TAPIO_LONG");
	time_t until = wanted && !strcmp(wanted, "1") ? time(NULL) + LONG_S : 0;

	for (unsigned long i = 0; i < count || time(NULL) < until; i++)
		mutate_one();
}

int main(int argc, char **argv)
{
	unsigned long count = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--mutate") && i + 1 < argc)
			count = strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			state = strtoull(argv[++i], NULL, 10) | 1;
		else
			load_directory(argv[i]);
	}
	if (!input_count) {
		fprintf(stderr, "no inputs\n");
		return EXIT_FAILURE;
	}
	keep_failed_input();
	for (size_t i = 0; i < input_count; i++)
		run(inputs[i].data, inputs[i].size);
	mutate(count);
	printf("%zu inputs, %lu executions\n", input_count, executions);
	for (size_t i = 0; i < input_count; i++)
		free(inputs[i].data);
	return EXIT_SUCCESS;
}
