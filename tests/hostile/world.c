/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. */
#include "tests/hostile/world.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/observer.h>

#include "lib/wire/fdpass.h"

#define PATIENCE_MS 300000

/* ---- start and end ------------------------------------------------------------------ */

static void make_directory(struct world *world)
{
	strcpy(world->directory, "/tmp/tapio-hostile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world->directory));
	ck_assert_int_eq(chown(world->directory, world->uid, world->uid), 0);
	ck_assert_int_eq(chmod(world->directory, 0755), 0);
	snprintf(world->socket, sizeof(world->socket), "%s/sock",
		 world->directory);
	snprintf(world->config, sizeof(world->config), "%s/conf",
		 world->directory);
	snprintf(world->log, sizeof(world->log), "%s/log", world->directory);
}

static void write_config(const struct world *world, const char *config)
{
	FILE *file = fopen(world->config, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_gt(fprintf(file, "%s%s\n",
				 strstr(config, "socket_mode")
					 ? ""
					 : "socket_mode = \"0666\"\n",
				 config),
			 0);
	ck_assert_int_eq(fclose(file), 0);
}

#define CAP_SYS_PTRACE 19

/* The kernel's, version 3. Its header is not on every machine. */
struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_data {
	uint32_t effective, permitted, inheritable;
};

/* As AmbientCapabilities= of a unit: one capability outlives the change of uid. */
static bool change_uid(const struct world *world, uid_t uid)
{
	const struct cap_header header = {.version = 0x20080522};
	const uint32_t bit = world->bare ? 0 : 1u << CAP_SYS_PTRACE;
	const struct cap_data data[2] = {{bit, bit, bit}, {0, 0, 0}};

	if (setgroups(0, NULL) || setresgid(uid, uid, uid))
		return false;
	if (world->uid_map || !uid)
		return !setresuid(uid, uid, uid);
	return !prctl(PR_SET_KEEPCAPS, 1) && !setresuid(uid, uid, uid) &&
	       !syscall(SYS_capset, &header, data) &&
	       (world->bare || !prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
				      CAP_SYS_PTRACE, 0, 0));
}

/* In the child. The program was opened before: its path may be closed to others. */
static void become_tapiod(const struct world *world, int program, int go)
{
	char *argv[] = {"tapiod",
			"--socket",
			(char *)world->socket,
			"--config",
			(char *)world->config,
			"--log-level=debug",
			"--no-keeper",
			NULL};
	const struct rlimit files = {world->files, world->files};
	const uid_t uid = world->uid_map ? 0 : world->uid;
	int log = open(world->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		       0644);
	char byte;

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	dup2(log, STDERR_FILENO);
	if (world->uid_map &&
	    (unshare(CLONE_NEWUSER) || read(go, &byte, 1) != 1))
		_exit(125);
	if (!change_uid(world, uid))
		_exit(126);
	if (world->files)
		setrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fexecve(program, argv, environ);
	_exit(127);
}

/* The test is root outside, so it may map what it likes. */
static void map_ids(const struct world *world, int go)
{
	static const char *const names[] = {"uid_map", "gid_map"};
	char path[64], text[512] = "";

	/* Until the child has unshared, it shows the map of the test. */
	snprintf(path, sizeof(path), "/proc/%d/uid_map", world->pid);
	for (int i = 0; i < PATIENCE_MS; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t got = read(fd, text, sizeof(text));

		close(fd);
		if (!got)
			break;
		usleep(1000);
	}
	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", world->pid,
			 names[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(
			write(fd, world->uid_map, strlen(world->uid_map)),
			(ssize_t)strlen(world->uid_map));
		close(fd);
	}
	ck_assert_int_eq(write(go, "g", 1), 1);
}

static bool answers(const struct world *world)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, world->socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool yes = !connect(fd, (void *)&address, (socklen_t)length);

	close(fd);
	return yes;
}

void world_start(struct world *world, const char *config)
{
	int program = open(TAPIO_BIN "/tapiod", O_RDONLY | O_CLOEXEC), go[2];

	ck_assert_int_ge(program, 0);
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	if (!world->uid)
		world->uid = WORLD_BROKER;
	make_directory(world);
	write_config(world, config);
	world->pid = fork();
	ck_assert_int_ge(world->pid, 0);
	if (!world->pid)
		become_tapiod(world, program, go[0]);
	if (world->uid_map)
		map_ids(world, go[1]);
	for (int i = 0; i < PATIENCE_MS / 10 && !answers(world); i++) {
		if (waitpid(world->pid, NULL, WNOHANG) == world->pid)
			break;
		usleep(10000);
	}
	if (!answers(world)) {
		char *log = world_log(world);

		ck_abort_msg("tapiod does not serve: %s", log);
	}
	close(program);
	close(go[0]);
	close(go[1]);
}

static void remove_files(const struct world *world)
{
	DIR *directory = opendir(world->directory);
	struct dirent *entry;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(world->directory);
}

void world_stop(struct world *world)
{
	int status = 0;
	pid_t pid = 0;
	char *log;

	kill(world->pid, SIGTERM);
	for (int ms = 0; ms < PATIENCE_MS && !pid; ms += 10) {
		pid = waitpid(world->pid, &status, WNOHANG);
		if (!pid)
			usleep(10000);
	}
	log = world_log(world);
	ck_assert_msg(pid == world->pid, "tapiod does not end: %s", log);
	ck_assert_msg(!status, "tapiod ended with wait status 0x%x: %s", status,
		      log);
	free(log);
	remove_files(world);
}

/* ---- what it says ---------------------------------------------------------------------- */

char *world_log(const struct world *world)
{
	int fd = open(world->log, O_RDONLY | O_CLOEXEC);
	struct stat st = {0};
	ssize_t got = 0;
	char *text;

	fstat(fd, &st);
	text = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	if (fd >= 0)
		got = read(fd, text, (size_t)st.st_size);
	text[got > 0 ? got : 0] = '\0';
	close(fd);
	return text;
}

bool world_said(const struct world *world, const char *words)
{
	bool said = false;

	for (int i = 0; i < 6000 && !said; i++) {
		char *log = world_log(world);

		said = strstr(log, words) != NULL;
		free(log);
		if (!said)
			usleep(10000);
	}
	return said;
}

/* ---- clients ------------------------------------------------------------------------------ */

struct tapio_options world_options(const struct world *world, char *error,
				   size_t error_bytes)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = world->socket,
		.error = error,
		.error_bytes = error_bytes,
		.answer_ns = INT64_C(120000000000),
	};
}

struct look {
	const struct world *world;
	const char *channel;
};

static void look_at(struct role *self)
{
	const struct look *look = self->arg;
	char error[512] = "";
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = world_options(look->world, error, sizeof(error)),
	};
	struct tapio_observer *o;
	int err = tapio_observer_open(&o, look->channel, &options);

	ck_assert_msg(!err, "an honest observer is refused: %d: %s", err,
		      error);
	tapio_observer_close(o);
}

void world_assert_serves(const struct world *world, const char *channel)
{
	const struct role_as as = {.uid = world->uid};
	struct look look = {.world = world, .channel = channel};

	ck_assert_int_eq(waitpid(world->pid, NULL, WNOHANG), 0);
	role_run(&as, look_at, &look);
}

/* ---- processes ----------------------------------------------------------------------------- */

uint64_t world_cpu_ticks(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	/* Behind the name, which may hold anything. */
	ck_assert_int_eq(sscanf(strrchr(line, ')') + 1,
				" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				"%lu %lu",
				&user, &system),
			 2);
	return user + system;
}

unsigned int world_fd_count(pid_t pid)
{
	unsigned int count = 0;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}
