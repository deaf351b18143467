/* SPDX-License-Identifier: Apache-2.0 */
/* Opens of files by processes of a cgroup, and no others: filtered in the kernel. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/ebpf_rig.h"

static struct ebpf_rig rig;
static char cgroup[128];

static const struct tapio_event_file_access *opened(const char *path)
{
	const struct tapio_event_view *view;
	size_t at = 0;

	while ((view = ebpf_next(&rig, &at, TAPIO_EVENT_FILE_ACCESS, 0))) {
		const struct tapio_event_file_access *file =
			tapio_event_view_fields(view, TAPIO_EVENT_FILE_ACCESS);

		if (!strcmp(ebpf_text(&file->path), path))
			return file;
	}
	return NULL;
}

/* A group below the root of version 2. False: this host gives us none. It was told why. */
static bool make_cgroup(void)
{
	static const char *const roots[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};
	char type[160];

	for (int i = 0; i < 2; i++) {
		snprintf(cgroup, sizeof(cgroup), "%s/tapio-open-%d", roots[i],
			 getpid());
		snprintf(type, sizeof(type), "%s/cgroup.type", cgroup);
		if (mkdir(cgroup, 0755))
			continue;
		if (!access(type, F_OK))
			return true;
		rmdir(cgroup);
	}
	printf("no cgroup of version 2 can be made here: %s\n",
	       strerror(errno));
	return false;
}

/* A process of the group opens the file, and one that is in another group the other file. */
static void open_in_and_out(void)
{
	char procs[160];
	pid_t pid;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", cgroup);
	pid = fork();
	if (!pid) {
		int file = open(procs, O_WRONLY);

		if (write(file, "0", 1) != 1)
			_exit(1);
		close(open("/etc/passwd", O_RDONLY));
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	pid = fork();
	if (!pid) {
		close(open("/etc/group", O_RDONLY));
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

START_TEST(opens_of_other_cgroups_are_left_out)
{
	const char *prefixes[] = {"/"}, *cgroups[] = {cgroup};

	ebpf_rig_open(&rig, 4096);
	rig.values.open_prefixes = (struct tpi_list){prefixes, 1};
	rig.values.open_cgroups = (struct tpi_list){cgroups, 1};
	rig.values.sources = 1U << TPI_EBPF_SOURCE_OPEN;
	ebpf_rig_begin(&rig);
	ebpf_rig_read(&rig);
	open_in_and_out();
	ebpf_rig_end(&rig);
	ck_assert_ptr_nonnull(opened("/etc/passwd"));
	ck_assert_ptr_null(opened("/etc/group"));
	ebpf_rig_close(&rig);
}
END_TEST

int main(void)
{
	TCase *tests;
	int status;

	if (!ebpf_load(1U << TPI_EBPF_SOURCE_TCP) || !make_cgroup())
		return 77;
	tests = tcase_create("cgroup");
	tcase_add_test(tests, opens_of_other_cgroups_are_left_out);
	status = ebpf_run_case("ebpf_cgroup", tests);
	rmdir(cgroup);
	return status;
}
