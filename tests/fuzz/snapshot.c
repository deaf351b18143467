/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input corrupts a snapshot, and every command of tapio-shmstat that shows one
 * looks at it. Whatever the file says, none leaves its memory or its time, each ends with
 * a status that the man page has, and JSON is JSON.
 *
 * The input is a list of damages of 12 bytes: a kind, a section, a place, a number. The digests
 * are made right again after most of them, or nothing behind them would be reached.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuzz.h"
#include "snapshot_base.h"
#include "tools/shmstat/command.h"

#define LIMIT_BYTES (UINT64_C(64) << 20)
#define SECONDS     30 /* for one file, also on a slow machine with sanitizers */
#define RSS_KIB     (2 * 1024 * 1024)

/* Those that show no file, or never end. */
static const char *const left_out[] = {"instances", "snapshot", "watch",
				       "serve"};

/* Messages would come ten thousand times. */
void __wrap_tpi_say(const char *format, ...);
void __wrap_tpi_say(const char *format, ...)
{
	(void)format;
}

/* Of the table, but not of this program: they need a terminal, and a library of servers. */
const struct argp command_serve_argp;

int command_serve(struct stat_args *args)
{
	(void)args;
	return TPI_EXIT_USAGE;
}

int command_watch(struct stat_args *args)
{
	(void)args;
	return TPI_EXIT_USAGE;
}

struct damage {
	uint8_t what;
	uint8_t section;
	uint16_t where;
	uint64_t number;
};
#define DAMAGE_BYTES 12

static void take(struct damage *d, const uint8_t *data)
{
	d->what = data[0];
	d->section = data[1];
	memcpy(&d->where, data + 2, sizeof(d->where));
	memcpy(&d->number, data + 4, sizeof(d->number));
}

/* Numbers that checks of lengths, counts and offsets stumble over. */
static uint64_t odd_number(uint64_t n)
{
	static const uint64_t numbers[] = {
		0,          1,          2,           3,          7,
		64,         4095,       4096,        0xffff,     0x10000,
		0x7fffffff, 0x80000000, 0xffffffff,  1ull << 32, 1ull << 47,
		1ull << 63, ~0ull,      ~0ull - 4095};

	return numbers[n % (sizeof(numbers) / sizeof(numbers[0]))];
}

/* Where in the file: in the header, the table, or one of the sections, evenly. */
static size_t place(const struct snapshot_base *base, const struct damage *d)
{
	struct tpi_snapshot_header h;
	struct tpi_snapshot_section s;
	uint32_t i;

	memcpy(&h, base->data, sizeof(h));
	i = d->section % (h.section_count + 8);
	if (i == h.section_count)
		return d->where % sizeof(h);
	/* Most follows from the catalog. */
	i = i > h.section_count ? 0 : i;
	if (d->what & 0x40)
		return TPI_SNAPSHOT_PAGE +
		       d->where % (h.section_count * sizeof(s));
	memcpy(&s, base->data + TPI_SNAPSHOT_PAGE + i * sizeof(s), sizeof(s));
	return s.offset + (d->number >> 32 << 16 | d->where) % s.bytes;
}

/* How many bytes are left of the file. */
static size_t apply(uint8_t *data, size_t bytes,
		    const struct snapshot_base *base, const struct damage *d)
{
	size_t at = place(base, d);
	uint64_t number = d->what & 0x20 ? odd_number(d->number) : d->number;
	size_t n = d->what & 0x10 ? 8 : 4;

	if (at >= bytes)
		return bytes;
	switch (d->what % 8) {
	case 0:
		data[at] ^= (uint8_t)(1u << d->number % 8);
		return bytes;
	case 1: /* cut */
		return d->what & 0x80 ? at : bytes;
	case 2: /* a piece of elsewhere */
		n = d->number % 512;
		at &= ~(size_t)7;
		if (n <= bytes - at)
			memmove(data + at,
				base->data +
					d->number % (base->bytes - n) / 8 * 8,
				n);
		return bytes;
	case 3: /* zeros */
		n = d->number % 8192;
		memset(data + at, 0, n < bytes - at ? n : bytes - at);
		return bytes;
	default:
		at &= ~(n - 1);
		if (n <= bytes - at)
			memcpy(data + at, &number, n);
		return bytes;
	}
}

/* ---- looks ------------------------------------------------------------------------ */

static bool is_left_out(const char *name)
{
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (!strcmp(name, left_out[i]))
			return true;
	return false;
}

static void run(int (*command)(struct stat_args *args), const char *path,
		bool json)
{
	struct stat_args args = {
		.look = {.file = path, .file_limit_bytes = LIMIT_BYTES},
		.parts = PARTS_ALL,
		.json = json,
		.all = true};
	FILE *before = stdout;
	char *text = NULL;
	size_t bytes = 0;
	int status;

	stdout = open_memstream(&text, &bytes);
	FUZZ_CHECK(stdout);
	status = command(&args);
	fclose(stdout);
	stdout = before;
	FUZZ_CHECK(status >= 0 && status <= TPI_EXIT_CORRUPT);
	if (json && bytes) {
		json_t *value = json_loadb(text, bytes, 0, NULL);

		FUZZ_CHECK(value);
		json_decref(value);
	}
	free(text);
}

static void look(const char *path, bool json)
{
	run(command_show, path, json);
	for (const struct stat_command *c = stat_commands; c->name; c++)
		if (!is_left_out(c->name))
			run(c->run, path, !json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct snapshot_base base;
	bool seal = !size || data[0] % 16, json = !size || data[0] & 0x10;
	struct damage d;
	struct rusage used;
	uint8_t *file;
	size_t bytes;
	char path[32];
	int fd;

	if (!base.data)
		snapshot_base_make(&base);
	file = malloc(base.bytes);
	FUZZ_CHECK(file);
	memcpy(file, base.data, base.bytes);
	bytes = base.bytes;
	for (size_t at = 1; size >= DAMAGE_BYTES && at <= size - DAMAGE_BYTES;
	     at += DAMAGE_BYTES) {
		take(&d, data + at);
		bytes = apply(file, bytes, &base, &d);
	}
	if (seal)
		snapshot_base_seal(file, bytes);
	fd = memfd_create("snapshot", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && write(fd, file, bytes) == (ssize_t)bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	alarm(SECONDS);
	look(path, json);
	alarm(0);
	FUZZ_CHECK(!getrusage(RUSAGE_SELF, &used));
	FUZZ_CHECK(used.ru_maxrss < RSS_KIB);
	close(fd);
	free(file);
	return 0;
}
