/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/replace_world.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"

struct replace_shared *shared;
char world_socket[96], world_config[96];
uid_t replace_uid;
static char directory[64], log_file[96], lock_file[104], once_file[96];
static int shared_fd;

const char replace_config[] =
	"budget = 64M channel a { stamp = \"none\" "
	"class c { block = 64 blocks = 1024 side_blocks = 1024 } "
	"group g { policy = lossless } }";

long replace_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

bool replace_late(long since)
{
	return replace_now() > since + REPLACE_LIMIT_S;
}

void replace_nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- the fixture ------------------------------------------------------------------------- */

static void path_of(char *path, size_t bytes, const char *name)
{
	snprintf(path, bytes, "%s/%s", directory, name);
}

void replace_configure(const char *text)
{
	FILE *file = fopen(world_config, "we");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* Those that a test leaves that fails. A program that loses one process makes another one. */
static void end_group(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != getpid() && getpgid(pid) == getpid())
			kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
}

void replace_open_directory(uid_t uid)
{
	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert(!uid || !chown(directory, uid, uid));
}

void replace_set_up(void)
{
	ck_assert_int_eq(getpgrp(), getpid()); /* as Check does it */
	atexit(end_group);
	strcpy(directory, "/tmp/tapio-replace-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	path_of(world_socket, sizeof(world_socket), "sock");
	path_of(world_config, sizeof(world_config), "conf");
	path_of(log_file, sizeof(log_file), "log");
	path_of(lock_file, sizeof(lock_file), "sock.lock");
	path_of(once_file, sizeof(once_file), "once");
	replace_configure(replace_config);
	shared_fd = memfd_create("replace", 0);
	ck_assert_int_eq(ftruncate(shared_fd, sizeof(*shared)), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		      shared_fd, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	replace_point(NULL, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void replace_tear_down(void)
{
	const char *const files[] = {world_socket, world_config, log_file,
				     lock_file, once_file};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir(directory);
	munmap(shared, sizeof(*shared));
	close(shared_fd);
}

/* ---- programs ---------------------------------------------------------------------------- */

void replace_point(const char *point, const char *action)
{
	if (!point) {
		unsetenv("POINT");
		return;
	}
	unlink(once_file);
	setenv("POINT", point, 1);
	setenv("POINT_DO", action, 1);
	setenv("POINT_ONCE", once_file, 1);
}

bool replace_passed(void)
{
	return !access(once_file, F_OK);
}

static void become(char **argv)
{
	int log =
		open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	dup2(log, STDERR_FILENO);
	if (replace_uid && (setgid(replace_uid) || setuid(replace_uid)))
		_exit(126);
	execv(argv[0], argv);
	_exit(127);
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		become(argv);
	return pid;
}

pid_t replace_start(const char *program, ...)
{
	char path[512], *argv[16] = {path,         "-c", world_config, "-s",
				     world_socket, "-l", "info"};
	int count = 7;
	va_list args;

	snprintf(path, sizeof(path), "%s/%s", TEST_BIN, program);
	va_start(args, program);
	while ((argv[count] = va_arg(args, char *)))
		ck_assert_int_lt(++count, 16);
	va_end(args);
	return start(argv);
}

static pid_t clients[REPLACE_OPENER + 1];

pid_t replace_client(const char *program, enum replace_role role)
{
	char path[512], number[12], fd[12];
	char *argv[] = {path, number, world_socket, fd, NULL};

	snprintf(path, sizeof(path), "%s/%s", TEST_BIN, program);
	snprintf(number, sizeof(number), "%d", (int)role);
	snprintf(fd, sizeof(fd), "%d", shared_fd);
	clients[role] = start(argv);
	return clients[role];
}

int replace_wait(pid_t pid)
{
	int status = 0;
	pid_t got = 0;

	REPLACE_WAIT((got = waitpid(pid, &status, WNOHANG)) != 0);
	ck_assert_int_eq(got, pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the broker of now --------------------------------------------------------------------- */

const char *replace_log(void)
{
	static char text[1 << 20];
	FILE *file = fopen(log_file, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[n] = '\0';
	return text;
}

const char *replace_log_end(void)
{
	const char *text = replace_log();
	size_t n = strlen(text);

	return n > 3000 ? text + n - 3000 : text;
}

bool replace_log_has(const char *part)
{
	return strstr(replace_log(), part) != NULL;
}

static void read_lock(pid_t *broker, pid_t *keeper)
{
	FILE *file = fopen(lock_file, "re");

	*broker = *keeper = 0;
	if (!file)
		return;
	if (fscanf(file, "%d %d", broker, keeper) != 2)
		*broker = *keeper = 0;
	fclose(file);
}

pid_t replace_keeper(void)
{
	pid_t broker, keeper;

	read_lock(&broker, &keeper);
	return keeper;
}

pid_t replace_broker(void)
{
	pid_t broker, keeper;
	char text[64];

	read_lock(&broker, &keeper);
	snprintf(text, sizeof(text), "process %d, serves", broker);
	/* A dead one that was not waited for yet is none. */
	if (!broker || !replace_log_has(text) ||
	    waitpid(broker, NULL, WNOHANG) == broker || kill(broker, 0))
		return 0;
	return broker;
}

static bool was_replaced(pid_t pid)
{
	char path[64], text[1024];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	return n > 0 && memmem(text, (size_t)n, "--replace", 10);
}

static bool serves(bool by_replace)
{
	pid_t broker = replace_broker();

	return broker && was_replaced(broker) == by_replace;
}

void replace_until(bool by_replace)
{
	REPLACE_WAIT(serves(by_replace));
}

/* ---- the ledger ------------------------------------------------------------------------------ */

void replace_flows(void)
{
	uint32_t read = tpi_load_relaxed(&shared->read);

	REPLACE_WAIT(tpi_load_relaxed(&shared->read) > read + 200);
}

static void no_error(void)
{
	for (int i = 0; i < 4; i++)
		ck_assert_msg(!shared->error[i][0], "role %d: %s\n%s", i,
			      shared->error[i], replace_log_end());
}

void replace_finish(void)
{
	tpi_store_relaxed(&shared->stop, 1);
	REPLACE_WAIT(tpi_load_acquire(&shared->done));
	REPLACE_WAIT(tpi_load_relaxed(&shared->read) >=
		     tpi_load_relaxed(&shared->accepted));
	replace_end();
	no_error();
	ck_assert_uint_eq(shared->connected, 1);
	ck_assert_uint_gt(shared->accepted, 0);
	ck_assert_uint_eq(shared->read, shared->accepted);
	ck_assert_uint_eq(shared->twice, 0);
	ck_assert_uint_eq(shared->connect_failures, 0);
	ck_assert_uint_eq(shared->open_failures, 0);
}

static bool none_left(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* The keeper of now is told, also one that has just been made. */
static bool has_ended(void)
{
	static pid_t told;
	pid_t keeper = replace_keeper();

	if (keeper && keeper != told && !kill(keeper, SIGTERM))
		told = keeper;
	return none_left();
}

static bool no_clients(void)
{
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (clients[i] && !waitpid(clients[i], NULL, WNOHANG))
			return false;
	return true;
}

void replace_end(void)
{
	tpi_store_relaxed(&shared->stop_others, 1);
	tpi_store_relaxed(&shared->stop_all, 1);
	/* The clients end while there is a broker. */
	REPLACE_WAIT(replace_broker());
	REPLACE_WAIT(no_clients());
	REPLACE_WAIT(has_ended());
}
