/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "tools/load/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"

#define START_NS    INT64_C(60000000000)
#define STOP_NS     INT64_C(20000000000)
#define NAP_NS      INT64_C(2000000)
#define KEEPER_COMM "tapiod-keeper"

static void nap(void)
{
	tpi_sleep_until(tpi_monotonic_ns() + NAP_NS);
}

/* ---- starting ------------------------------------------------------------------- */

/* Beside this program, as in a build, or else by the PATH. */
static void find_program(char path[PATH_MAX])
{
	char self[PATH_MAX / 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		snprintf(path, PATH_MAX, "%s/tapiod", dirname(self));
		if (!access(path, X_OK))
			return;
	}
	snprintf(path, PATH_MAX, "tapiod");
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t length = strlen(text);
	bool done;

	if (fd < 0)
		return -errno;
	done = write(fd, text, length) == (ssize_t)length;
	close(fd);
	return done ? 0 : -EIO;
}

/* In the child. */
static void become_tapiod(const struct load_host *host, const char *program,
			  const char *config)
{
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execlp(program, "tapiod", "--config", config, "--socket", host->socket,
	       "--log-level", "warning", (char *)NULL);
	fprintf(stderr, "tapio-load: cannot run %s: %s\n", program,
		strerror(errno));
	_exit(127);
}

static int wait_until_it_serves(struct load_host *host, char *error,
				size_t error_bytes)
{
	int64_t until = tpi_monotonic_ns() + START_NS;
	int status;

	while (!tpi_has_listener(host->socket)) {
		if (waitpid(host->pid, &status, WNOHANG) == host->pid) {
			host->pid = 0;
			return tpi_fail(-EIO, error, error_bytes,
					"tapiod ended with status %d before it "
					"served",
					WIFEXITED(status) ? WEXITSTATUS(status)
							  : -1);
		}
		if (tpi_monotonic_ns() > until)
			return tpi_fail(-ETIMEDOUT, error, error_bytes,
					"tapiod does not serve after %lld s",
					(long long)(START_NS / 1000000000));
		nap();
	}
	return 0;
}

int load_daemon_again(struct load_host *host, char *error, size_t error_bytes)
{
	char path[PATH_MAX], program[PATH_MAX];

	snprintf(path, sizeof(path), "%s/conf", host->directory);
	find_program(program);
	host->pid = fork();
	if (host->pid < 0)
		return tpi_fail(-errno, error, error_bytes, "fork: %s",
				strerror(errno));
	if (!host->pid)
		become_tapiod(host, program, path);
	return wait_until_it_serves(host, error, error_bytes);
}

int load_daemon_start(struct load_host *host, const char *config, char *error,
		      size_t error_bytes)
{
	const char *root = getenv("TMPDIR");
	char path[PATH_MAX];
	int err;

	snprintf(host->directory, sizeof(host->directory),
		 "%s/tapio-load-XXXXXX", root && *root ? root : "/tmp");
	if (!mkdtemp(host->directory)) {
		err = -errno;
		host->directory[0] = '\0';
		return tpi_fail(err, error, error_bytes,
				"cannot make a directory in %s: %s",
				root && *root ? root : "/tmp", strerror(-err));
	}
	snprintf(host->socket, sizeof(host->socket), "%s/sock",
		 host->directory);
	snprintf(path, sizeof(path), "%s/conf", host->directory);
	err = write_file(path, config);
	if (err)
		return tpi_fail(err, error, error_bytes, "%s: %s", path,
				strerror(-err));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	host->leash = -1;
	return load_daemon_again(host, error, error_bytes);
}

/* ---- which processes they are ---------------------------------------------------- */

pid_t load_daemon_broker(const struct load_run *run)
{
	const struct tapio_shm_broker *broker = run->inspect->catalog.broker;

	/* ORDER broker.state (acquire): the pid that it was stored with. Pairs with
	 * the release of the broker (broker/broker.c). */
	if (tpi_load_acquire(&broker->state) != TAPIO_BROKER_RUNNING)
		return 0;
	return (pid_t)tpi_load_relaxed(&broker->pid);
}

static bool is_keeper(pid_t pid)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(comm, sizeof(comm), file))
		comm[0] = '\0';
	fclose(file);
	return !strcmp(comm, KEEPER_COMM "\n");
}

static pid_t keeper_among(pid_t parent)
{
	char path[64];
	int pid, found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent,
		 parent);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (!found && fscanf(file, "%d", &pid) == 1)
		if (is_keeper(pid))
			found = pid;
	fclose(file);
	return found;
}

pid_t load_daemon_keeper(const struct load_host *host, pid_t broker)
{
	pid_t found;

	/* The first one, one that came later, or one whose broker is dead. */
	if (host->pid > 0 && is_keeper(host->pid))
		return host->pid;
	found = broker ? keeper_among(broker) : 0;
	return found ? found : keeper_among(getpid());
}

/* ---- killing both ---------------------------------------------------------------- */

/* The first one is stopped before, and dies when the second one is dead. */
int load_daemon_kill(struct load_host *host, const struct load_run *run,
		     bool broker_first)
{
	pid_t broker = load_daemon_broker(run);
	pid_t keeper = load_daemon_keeper(host, broker);
	pid_t stopped = broker_first ? keeper : broker;
	pid_t first = broker_first ? broker : keeper;
	int64_t until = tpi_monotonic_ns() + STOP_NS;

	if (!broker || !keeper)
		return -ESRCH;
	if (kill(stopped, SIGSTOP) || kill(first, SIGKILL) ||
	    kill(stopped, SIGKILL))
		return -errno;
	/* A broker whose keeper is dead is a child of ours. */
	if (waitpid(keeper, NULL, 0) != keeper ||
	    (waitpid(broker, NULL, 0) != broker && errno != ECHILD))
		return -errno;
	host->pid = 0;
	/* The kernel closes a dead broker's ring, and with it the socket, some
	 * milliseconds later. */
	while (tpi_has_listener(host->socket)) {
		if (tpi_monotonic_ns() > until)
			return -ETIMEDOUT;
		nap();
	}
	return 0;
}

/* ---- ending ---------------------------------------------------------------------- */

static void end_one(pid_t pid, int signal)
{
	struct pollfd dead = {.events = POLLIN};

	if (pid <= 0)
		return;
	dead.fd = tpi_sys_pidfd_open(pid, 0);
	if (dead.fd < 0)
		return;
	kill(pid, signal);
	if (poll(&dead, 1, (int)(STOP_NS / 1000000)) != 1) {
		tpi_say("process %d of the broker does not end: it is killed",
			pid);
		kill(pid, SIGKILL);
	}
	close(dead.fd);
}

static void remove_directory(struct load_host *host)
{
	static const char *const names[] = {"conf", "sock", "sock.lock"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", host->directory,
			 names[i]);
		unlink(path);
	}
	rmdir(host->directory);
	host->directory[0] = '\0';
}

void load_daemon_stop(struct load_host *host, const struct load_run *run)
{
	pid_t broker = run->inspect ? load_daemon_broker(run) : 0;
	pid_t keeper = load_daemon_keeper(host, broker);

	/* A clean end of the broker ends its keeper. */
	end_one(broker ? broker : keeper, SIGTERM);
	end_one(load_daemon_keeper(host, 0), SIGTERM);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	host->pid = 0;
	if (host->directory[0])
		remove_directory(host);
}
