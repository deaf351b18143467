/* SPDX-License-Identifier: Apache-2.0 */
/* See container.h. */
#include "tests/fault/container.h"

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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"

#define NAMESPACES                                                  \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | \
	 CLONE_NEWUTS | CLONE_NEWCGROUP)

#define DO(x) ck_assert_msg(!(x), "%s: %s", #x, strerror(errno))

/* ---- the image ------------------------------------------------------------------------- */

static const char *const programs[] = {
	TAPIO_BIN "/tapiod",
	TAPIO_BIN "/tapio-shmstat",
	TAPIO_LIBRARY,
};
#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static char image[64];

static void copy(const char *from, const char *name)
{
	char path[160], buffer[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", image, name);
	out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ck_assert_msg(in >= 0 && out >= 0, "%s: %s", from, strerror(errno));
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		ck_assert_int_eq(write(out, buffer, (size_t)n), n);
	close(in);
	close(out);
}

const char *container_image(void)
{
	if (image[0])
		return image;
	strcpy(image, "/tmp/tapio-image-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(image));
	DO(chmod(image, 0755));
	for (size_t i = 0; i < PROGRAMS; i++)
		copy(programs[i], strrchr(programs[i], '/') + 1);
	/* The name that programs are linked with. */
	copy(TAPIO_LIBRARY, TAPIO_SONAME);
	return image;
}

void container_image_remove(void)
{
	DIR *directory = opendir(image);
	struct dirent *entry;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(image);
	image[0] = '\0';
}

/* ---- inside: files ------------------------------------------------------------------------ */

/* What a mount of the host has, a user namespace cannot take away. */
static unsigned long locked_flags(const char *path)
{
	struct statvfs fs;

	DO(statvfs(path, &fs));
	return (fs.f_flag & ST_NOSUID ? MS_NOSUID : 0) |
	       (fs.f_flag & ST_NODEV ? MS_NODEV : 0) |
	       (fs.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) |
	       (fs.f_flag & ST_NOATIME ? MS_NOATIME : 0) |
	       (fs.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

static void bind_to(const char *from, const char *to, bool writable)
{
	DO(mount(from, to, NULL, MS_BIND | MS_REC, NULL));
	if (!writable)
		DO(mount(NULL, to, NULL,
			 MS_REMOUNT | MS_BIND | MS_RDONLY | locked_flags(to),
			 NULL));
}

static void bind_directory(const char *from, const char *to, bool writable)
{
	DO(mkdir(to, 0755));
	bind_to(from, to, writable);
}

/* A library directory of the host: most often a link below /usr. */
static void bind_libraries(const char *from)
{
	char target[128];
	struct stat st;
	ssize_t n;

	if (lstat(from, &st))
		return;
	if (!S_ISLNK(st.st_mode)) {
		bind_directory(from, from + 1, false);
		return;
	}
	n = readlink(from, target, sizeof(target) - 1);
	ck_assert_int_gt(n, 0);
	target[n] = '\0';
	DO(symlink(target, from + 1));
}

static void mount_socket(const struct container_spec *spec)
{
	static const char file[] = "run/tapio/tapiod.sock";
	struct stat st;

	DO(stat(spec->mounted, &st));
	DO(mkdir("run", 0755));
	if (S_ISDIR(st.st_mode)) {
		bind_directory(spec->mounted, "run/tapio", spec->writable);
		return;
	}
	DO(mkdir("run/tapio", 0755));
	DO(mknod(file, S_IFREG | 0600, 0));
	bind_to(spec->mounted, file, true);
}

/* The current directory becomes the root, and nothing of the old one is seen any more. */
static void become_root(void)
{
	DO(syscall(SYS_pivot_root, ".", "."));
	DO(umount2(".", MNT_DETACH));
	DO(chdir("/"));
}

static void make_root(const struct container_spec *spec)
{
	DO(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	DO(mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755"));
	DO(chdir("/mnt"));
	bind_directory(image, "bin", false);
	DO(mkdir("usr", 0755));
	bind_libraries("/usr/lib");
	bind_libraries("/usr/lib64");
	bind_libraries("/lib");
	bind_libraries("/lib64");
	mount_socket(spec);
	DO(mkdir("tmp", 01777));
	bind_directory("/sys", "sys", true);
	DO(mkdir("proc", 0755));
	/* It shows the PID namespace of the process that mounts it. */
	DO(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		 NULL));
	become_root();
	DO(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
}

/* ---- inside: rights ------------------------------------------------------------------------ */

#define DOCKER_CAPABILITIES UINT32_C(0xa80425fb)

struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_data {
	uint32_t effective, permitted, inheritable;
};

/* Those of a process that is not root are gone by the change of its uid. */
static void limit_capabilities(const struct container_spec *spec)
{
	const struct cap_header header = {.version = 0x20080522};
	const uint32_t set = spec->bare ? 0 : DOCKER_CAPABILITIES;
	const struct cap_data data[2] = {{set, set, set}, {0, 0, 0}};

	for (int cap = 0; cap < 64; cap++)
		if (cap > 31 || !(set & UINT32_C(1) << cap))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (!spec->uid)
		DO(syscall(SYS_capset, &header, data));
}

/* A process that has changed its uid is not dumpable, which an exec undoes. */
static void become_user(const struct container_spec *spec)
{
	limit_capabilities(spec);
	if (!spec->uid)
		return;
	DO(setresgid(spec->uid, spec->uid, spec->uid));
	DO(setresuid(spec->uid, spec->uid, spec->uid));
	DO(prctl(PR_SET_DUMPABLE, 1));
}

/* The listener goes to the test. Without a profile the message has none. */
static void enter_profile(struct role *self, enum docker_version version)
{
	const char byte = 'p';
	int listener = -1;

	if (version) {
		listener = docker_profile_enter(version);
		ck_assert_msg(listener >= 0, "seccomp: %s", strerror(errno));
	}
	ck_assert_int_eq(
		tpi_send_fds(self->line, &byte, 1, &listener, listener >= 0),
		1);
	if (listener >= 0)
		close(listener);
}

static void enter_cgroup(const char *directory)
{
	char path[256];
	int fd;

	if (!directory)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_msg(write(fd, "0", 1) == 1, "%s: %s", path, strerror(errno));
	close(fd);
}

static void run_program(const struct container_spec *spec)
{
	char path[64];

	setenv("LD_LIBRARY_PATH", "/bin", 1);
	dup2(spec->output, STDOUT_FILENO);
	dup2(spec->output, STDERR_FILENO);
	snprintf(path, sizeof(path), "/bin/%s", spec->argv[0]);
	execv(path, (char *const *)spec->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

/* Process 1. */
static void be_first(struct role *self, const struct container_spec *spec)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Process 1 gets no signal for which it has no handler, but a signal
	 * handler of Check's would end the test. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	/* Root of its user namespace, with no group of the host's. */
	DO(setgroups(0, NULL));
	DO(setresgid(0, 0, 0));
	DO(setresuid(0, 0, 0));
	DO(sethostname(spec->name, strlen(spec->name)));
	make_root(spec);
	become_user(spec);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	enter_profile(self, spec->profile);
	if (spec->argv)
		run_program(spec);
	spec->body(self);
	_exit(0);
}

/* ---- outside ----------------------------------------------------------------------------- */

static int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * The parent of process 1: it makes the namespaces and waits. The cgroup comes before the
 * cgroup namespace, so that the container sees its own cgroup as the root.
 */
static void be_parent(struct role *self, const struct container_spec *spec,
		      pid_t test)
{
	int go[2];
	pid_t init;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test)
		_exit(1);
	DO(pipe2(go, O_CLOEXEC));
	enter_cgroup(spec->cgroup);
	DO(unshare(NAMESPACES | (spec->users ? CLONE_NEWUSER : 0)));
	role_tell(self, 0);
	role_hear(self); /* the users are mapped */
	init = fork();
	if (!init) {
		close(go[1]);
		(void)!read(go[0], &byte, 1); /* its end */
		be_first(self, spec);
	}
	role_tell(self, (uint64_t)init);
	close(go[1]);
	close(self->line);
	_exit(status_of(init));
}

static void map_users(pid_t pid, const char *map)
{
	static const char *const names[] = {"uid_map", "gid_map"};
	ssize_t length = (ssize_t)strlen(map);
	char path[64];

	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", pid, names[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_msg(write(fd, map, (size_t)length) == length,
			      "%s: %s", path, strerror(errno));
		close(fd);
	}
}

/* Process 1 has entered its profile. The message has a listener if there is one. */
static void hear_profile(struct container *container)
{
	unsigned int count = 1;
	int listener = -1;
	char byte;
	ssize_t n;

	ck_assert_msg(role_has_news(&container->role, 60000),
		      "the container does not start");
	n = tpi_recv_fds(container->role.line, &byte, 1, &listener, &count);
	ck_assert_msg(n == 1, "the container has ended: %s", strerror((int)-n));
	container->supervised = count;
	if (count)
		docker_supervise(&container->supervisor, listener);
}

void container_start(struct container *container,
		     const struct container_spec *spec)
{
	pid_t test = getpid();
	int ends[2];

	container_image();
	DO(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	*container =
		(struct container){.role = {.line = ends[0], .arg = spec->arg}};
	container->role.pid = fork();
	ck_assert_int_ge(container->role.pid, 0);
	if (!container->role.pid) {
		close(ends[0]);
		container->role.line = ends[1];
		be_parent(&container->role, spec, test);
	}
	close(ends[1]);
	role_hear(&container->role);
	if (spec->users)
		map_users(container->role.pid, spec->users);
	role_tell(&container->role, 0);
	container->init = (pid_t)role_hear(&container->role);
	hear_profile(container);
}

int container_end(struct container *container)
{
	int status = status_of(container->role.pid);

	close(container->role.line);
	if (container->supervised)
		docker_supervise_end(&container->supervisor);
	return status;
}

void container_kill(struct container *container)
{
	DO(kill(container->init, SIGKILL));
	ck_assert_int_eq(container_end(container), 128 + SIGKILL);
}

bool container_refused(const struct container *container, long number)
{
	return docker_refused(&container->supervisor, number);
}

/* ---- may it ------------------------------------------------------------------------------- */

/* Mounting /proc is what a container within a container may not do most often. */
static int try_all(void)
{
	pid_t pid;

	if (unshare(NAMESPACES | CLONE_NEWUSER))
		return errno;
	pid = fork();
	if (!pid)
		_exit(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
				      mount("proc", "/proc", "proc", 0, NULL)
			      ? errno
			      : 0);
	return status_of(pid);
}

const char *container_reason(void)
{
	static char text[128];
	int status;
	pid_t pid;

#ifndef __x86_64__
	return "Docker's profile is written down for x86-64 only";
#endif
	if (geteuid())
		return "needs root, to make containers";
	pid = fork();
	if (!pid)
		_exit(try_all());
	status = status_of(pid);
	if (!status)
		return NULL;
	snprintf(text, sizeof(text), "no containers can be made here: %s",
		 strerror(status));
	return text;
}
