/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork_many COUNT [CGROUP_PROCS]: makes so many processes, one after the other, each of
 * which ends at once. In the cgroup whose file of processes is named, if one is.
 *
 * By vfork(), which copies no page tables: a shell needs some milliseconds for each of its
 * children on a small virtual machine, so 450 took more than the two seconds in which they
 * are to come.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int enter(const char *procs)
{
	FILE *f = fopen(procs, "w");

	if (!f)
		return -1;
	fprintf(f, "%d", getpid());
	return fclose(f);
}

static int make_one(void)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(EXIT_SUCCESS);
	return pid < 0 || waitpid(pid, NULL, 0) != pid ? -1 : 0;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	if (argc > 2 && enter(argv[2])) {
		perror(argv[2]);
		return EXIT_FAILURE;
	}
	for (; count > 0; count--)
		if (make_one()) {
			perror("vfork");
			return EXIT_FAILURE;
		}
	return EXIT_SUCCESS;
}
