/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See the header. The file is replaced as a whole, and synced before it takes its name. So after
 * a kill or a loss of power there is the old text or the new one, and both are of accepted
 * events. A sync for each event would be slower than the source, so there is one in a while: a
 * kill repeats the events since then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/common/place_file.h"
#include "tools/common/tool.h"

static int read_text(struct tpi_place_file *file)
{
	FILE *in = fopen(file->path, "re");
	size_t length;

	if (!in)
		return errno == ENOENT ? 0 : -errno;
	length = fread(file->text, 1, sizeof(file->text) - 1, in);
	int err = ferror(in) ? -EIO : 0;
	fclose(in);
	file->text[length] = '\0';
	if (!err && (!length || file->text[length - 1] != '\n'))
		err = -EBADMSG;
	if (!err)
		file->text[length - 1] = '\0';
	if (err)
		file->text[0] = '\0';
	return err;
}

int tpi_place_file_load(struct tpi_place_file *file, const char *path,
			const char *name, int64_t every_ns)
{
	const char *directory = getenv("STATE_DIRECTORY");
	size_t room = sizeof(file->path_buffer);

	memset(file, 0, sizeof(*file));
	file->every_ns = every_ns;
	if (!path && directory && *directory) {
		if ((size_t)snprintf(file->path_buffer, room, "%s/%s",
				     directory, name) >= room)
			return -ENAMETOOLONG;
		path = file->path_buffer;
	}
	if (!path)
		return 0;
	file->path = path;
	if ((size_t)snprintf(file->path_new, sizeof(file->path_new), "%s.new",
			     path) >= sizeof(file->path_new))
		return -ENAMETOOLONG;
	return read_text(file);
}

void tpi_place_file_accept(struct tpi_place_file *file, const char *text)
{
	snprintf(file->text, sizeof(file->text), "%s", text);
	file->changed = true;
}

static int write_new(const struct tpi_place_file *file)
{
	int fd = open(file->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0600);
	size_t length = strlen(file->text);
	char line[TPI_PLACE_BYTES + 1];
	int err = 0;

	if (fd < 0)
		return -errno;
	memcpy(line, file->text, length);
	line[length++] = '\n';
	ssize_t written = write(fd, line, length);
	if (written < 0)
		err = -errno;
	else if ((size_t)written != length)
		err = -ENOSPC;
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(file->path_new, file->path))
		err = -errno;
	if (err)
		unlink(file->path_new);
	return err;
}

bool tpi_place_file_store(struct tpi_place_file *file, int64_t now_ns,
			  bool at_once)
{
	int err;

	if (!file->path || !file->changed ||
	    (!at_once && now_ns < tpi_place_file_due_ns(file)))
		return true;
	file->written_ns = now_ns;
	err = write_new(file);
	if (err) {
		if (!file->failed)
			tpi_say("cannot store the place in %s: %s; a restart "
				"will repeat what comes from here on",
				file->path, strerror(-err));
		file->failed = true;
		return false;
	}
	if (file->failed)
		tpi_say("the place is stored again in %s", file->path);
	file->failed = false;
	file->changed = false;
	return true;
}

int64_t tpi_place_file_due_ns(const struct tpi_place_file *file)
{
	if (!file->path || !file->changed)
		return INT64_MAX;
	return tpi_deadline_ns(file->written_ns, file->every_ns);
}
