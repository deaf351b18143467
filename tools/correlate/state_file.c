/* SPDX-License-Identifier: Apache-2.0 */
/* The state file. See the header, and live.c for the order in which things are done. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/testpoint.h"
#include "tools/common/tool.h"
#include "tools/correlate/state_file.h"

#define MAGIC   "TAPIOCOR"
#define VERSION 1
/* More than the engine's limits allow is no state of ours. */
#define BYTES_MAX (UINT64_C(1) << 36)

struct header {
	char magic[8];
	uint32_t version; /* in the byte order of this host, as all of it */
	uint32_t emitted;
	uint64_t lengths[TPI_STATE_PARTS];
	uint64_t sum; /* of the parts */
};

/* FNV-1a by words: for damage that a disk does to a file, and not for enemies. */
static uint64_t sum_of(uint64_t sum, const void *data, size_t length)
{
	const unsigned char *at = data;
	uint64_t word;

	for (; length >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
		sum ^= sum >> 29;
		length -= sizeof(word);
	}
	for (; length; length--)
		sum = (sum ^ *at++) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t sum_of_parts(const struct tpi_state_part parts[TPI_STATE_PARTS])
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (int i = 0; i < TPI_STATE_PARTS; i++)
		sum = sum_of(sum, parts[i].data, parts[i].length);
	return sum;
}

/* ---- reading ----------------------------------------------------------------------- */

static int read_all(int fd, void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = read(fd, (char *)data + done, length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EBADMSG;
		done += (size_t)got;
	}
	return 0;
}

/* Whether the lengths add up to the bytes behind the header. */
static bool lengths_fit(const struct header *header, uint64_t rest)
{
	for (int i = 0; i < TPI_STATE_PARTS; i++) {
		if (header->lengths[i] > rest)
			return false;
		rest -= header->lengths[i];
	}
	return !rest;
}

static int read_parts(struct tpi_state_file *state, const struct header *header,
		      size_t length)
{
	const char *at;

	state->content = malloc(length ? length : 1);
	if (!state->content)
		return -ENOMEM;
	int err = read_all(state->fd, state->content, length);
	if (err)
		return err;
	at = state->content;
	for (int i = 0; i < TPI_STATE_PARTS; i++) {
		state->parts[i] =
			(struct tpi_state_part){at, (size_t)header->lengths[i]};
		at += header->lengths[i];
	}
	state->emitted = header->emitted;
	return sum_of_parts(state->parts) == header->sum ? 0 : -EBADMSG;
}

static int read_state(struct tpi_state_file *state)
{
	struct header header;
	struct stat st;

	if (fstat(state->fd, &st))
		return -errno;
	if (st.st_size < (off_t)sizeof(header) ||
	    (uint64_t)st.st_size > BYTES_MAX)
		return -EBADMSG;
	int err = read_all(state->fd, &header, sizeof(header));
	if (err)
		return err;
	if (memcmp(header.magic, MAGIC, sizeof(header.magic)))
		return -EBADMSG;
	if (header.version != VERSION)
		return -EPROTONOSUPPORT;
	const uint64_t rest = (uint64_t)st.st_size - sizeof(header);
	if (!lengths_fit(&header, rest))
		return -EBADMSG;
	return read_parts(state, &header, (size_t)rest);
}

static bool set_paths(struct tpi_state_file *state, const char *path)
{
	const char *directory = getenv("STATE_DIRECTORY");
	const size_t room = sizeof(state->path_buffer);

	memset(state, 0, sizeof(*state));
	state->fd = state->lock = -1;
	if (!path && directory && *directory) {
		if ((size_t)snprintf(state->path_buffer, room,
				     "%s/correlate.state", directory) >= room) {
			tpi_say("STATE_DIRECTORY is longer than %zu bytes",
				room);
			return false;
		}
		path = state->path_buffer;
	}
	state->path = path;
	if (path && ((size_t)snprintf(state->path_new, sizeof(state->path_new),
				      "%s.new", path) >= room ||
		     (size_t)snprintf(state->path_lock, room, "%s.lock",
				      path) >= room)) {
		tpi_say("--state: the name is longer than %zu bytes", room - 6);
		return false;
	}
	return true;
}

static bool lock(struct tpi_state_file *state)
{
	state->lock =
		open(state->path_lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (state->lock < 0) {
		tpi_say("cannot open %s: %s", state->path_lock,
			strerror(errno));
		return false;
	}
	if (!flock(state->lock, LOCK_EX | LOCK_NB))
		return true;
	if (errno == EWOULDBLOCK)
		tpi_say("another tapio-correlate uses the state in %s: give "
			"this one a --state and a --group of its own",
			state->path);
	else
		tpi_say("cannot lock %s: %s", state->path_lock,
			strerror(errno));
	return false;
}

static void say_bad(const struct tpi_state_file *state, int err)
{
	if (err == -EBADMSG)
		tpi_say("the state in %s is damaged; without it (move it "
			"away) all windows begin anew",
			state->path);
	else if (err == -EPROTONOSUPPORT)
		tpi_say("the state in %s is of another version of "
			"tapio-correlate; without it (move it away) all "
			"windows begin anew",
			state->path);
	else
		tpi_say("cannot read the state in %s: %s", state->path,
			strerror(-err));
}

bool tpi_state_open(struct tpi_state_file *state, const char *path)
{
	if (!set_paths(state, path))
		return false;
	if (!state->path)
		return true;
	if (!lock(state))
		return false;
	state->fd = open(state->path, O_RDWR | O_CLOEXEC);
	if (state->fd < 0 && errno == ENOENT)
		return true;
	int err = state->fd < 0 ? -errno : read_state(state);
	if (!err)
		return true;
	say_bad(state, err);
	return false;
}

void tpi_state_forget(struct tpi_state_file *state)
{
	free(state->content);
	state->content = NULL;
	memset(state->parts, 0, sizeof(state->parts));
}

void tpi_state_close(struct tpi_state_file *state)
{
	tpi_state_forget(state);
	if (state->fd >= 0)
		close(state->fd);
	if (state->lock >= 0)
		close(state->lock);
	state->fd = state->lock = -1;
}

/* ---- writing ----------------------------------------------------------------------- */

static int write_all(int fd, const void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t put =
			write(fd, (const char *)data + done, length - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		done += (size_t)put;
	}
	return 0;
}

static int write_new(int fd, const struct tpi_state_part parts[TPI_STATE_PARTS])
{
	struct header header = {.version = VERSION, .sum = sum_of_parts(parts)};
	int err;

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	for (int i = 0; i < TPI_STATE_PARTS; i++)
		header.lengths[i] = parts[i].length;
	err = write_all(fd, &header, sizeof(header));
	for (int i = 0; i < TPI_STATE_PARTS && !err; i++)
		err = write_all(fd, parts[i].data, parts[i].length);
	TPI_TESTPOINT("correlate.state.written");
	if (!err && fsync(fd))
		err = -errno;
	TPI_TESTPOINT("correlate.state.synced");
	return err;
}

/* The name itself, over a loss of power. A file system without that has none to lose. */
static void sync_directory(const struct tpi_state_file *state)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s", state->path);
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int replace(struct tpi_state_file *state,
		   const struct tpi_state_part parts[TPI_STATE_PARTS])
{
	int fd = open(state->path_new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0600);
	int err;

	if (fd < 0)
		return -errno;
	err = write_new(fd, parts);
	if (!err && rename(state->path_new, state->path))
		err = -errno;
	if (err) {
		unlink(state->path_new);
		close(fd);
		return err;
	}
	TPI_TESTPOINT("correlate.state.renamed");
	if (state->fd >= 0)
		close(state->fd);
	state->fd = fd;
	sync_directory(state);
	return 0;
}

int tpi_state_store(struct tpi_state_file *state,
		    const struct tpi_state_part parts[TPI_STATE_PARTS])
{
	int err = replace(state, parts);

	if (err && !state->failed)
		tpi_say("cannot store the state in %s: %s; no finding is "
			"emitted and no event is released until that works",
			state->path, strerror(-err));
	if (!err && state->failed)
		tpi_say("the state is stored again in %s", state->path);
	state->failed = err != 0;
	return err;
}

int tpi_state_emitted(struct tpi_state_file *state, uint32_t emitted)
{
	ssize_t put;

	do {
		put = pwrite(state->fd, &emitted, sizeof(emitted),
			     offsetof(struct header, emitted));
	} while (put < 0 && errno == EINTR);
	if (put < 0)
		return -errno;
	return put == sizeof(emitted) ? 0 : -EIO;
}
