/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/keeper_host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "broker/keep/process.h"
#include "lib/base/atomic.h"

#define BURST 600

static struct host *host;
static struct tpi_keep *keep;
static int fds[HOST_KEYS]; /* of what is kept */

/* A fault of the keeper. The test reads the line. */
#define CHECK(x)                                                    \
	do {                                                        \
		if (!(x)) {                                         \
			tpi_store_release(&host->failed, __LINE__); \
			_exit(0);                                   \
		}                                                   \
	} while (0)

static struct tpi_keep_key key_of(uint32_t i)
{
	return (struct tpi_keep_key){.kind = TPI_KEEP_SEGMENT, .number = i};
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

/* Nothing else is alive that took it. The kernel frees it at the end of its process. */
static void be_alone(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK};

	CHECK(!fcntl(open(path, O_RDWR | O_CLOEXEC), F_SETLK, &lock));
}

/* A descriptor that is the number: a file of so many bytes. */
static int new_fd(uint32_t number)
{
	int fd = memfd_create("kept", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, number));
	return fd;
}

static uint32_t number_of(int fd)
{
	return fd < 0 ? 0 : (uint32_t)lseek(fd, 0, SEEK_END);
}

/* What the broker before has left is what it had put. */
static void take_all(void)
{
	for (uint32_t i = 0; i < HOST_KEYS; i++) {
		uint32_t now = host->key[i].now, next = host->key[i].next;

		fds[i] = tpi_keep_take(keep, key_of(i));
		CHECK(number_of(fds[i]) == now || number_of(fds[i]) == next);
		host->key[i].now = host->key[i].next = number_of(fds[i]);
	}
	for (uint32_t i = 0; i < keep->kept_count; i++)
		CHECK(keep->kept[i].fd < 0);
}

/* SIGKILL at any instruction: the key is at `now` or at `next`. */
static void put(uint32_t i, uint32_t number)
{
	int fd = new_fd(number);

	/* Relaxed would do for the test's own process: it dies with its stores. */
	tpi_store_release(&host->key[i].next, number);
	while (tpi_keep_put(keep, key_of(i), fd))
		nap();
	tpi_store_release(&host->key[i].now, number);
	if (fds[i] >= 0)
		close(fds[i]);
	fds[i] = fd;
}

static void drop(uint32_t i)
{
	tpi_store_release(&host->key[i].next, 0);
	tpi_keep_drop(keep, key_of(i));
	/* The keeper may not have heard of it, if the record is lost with the
	 * keeper: then a new one never knew the key. */
	tpi_store_release(&host->key[i].now, 0);
	if (fds[i] >= 0)
		close(fds[i]);
	fds[i] = -1;
}

static void step(uint32_t number)
{
	uint32_t i = (uint32_t)rand() % HOST_KEYS;

	if (rand() % 3)
		put(i, number);
	else
		drop(i);
	/* Relaxed: a count, for the test to see that it goes on. */
	tpi_add_relaxed(&host->steps, 1);
}

static void wait_paused(void)
{
	for (uint32_t i = 0; i < HOST_KEYS; i++)
		drop(i);
	tpi_store_release(&host->paused, 1);
	while (tpi_load_acquire(&host->pause))
		nap();
	tpi_store_release(&host->paused, 0);
}

static int work(struct tpi_keep_process *process)
{
	uint32_t number = tpi_load_acquire(&host->generation) * 1000000;

	take_all();
	tpi_keep_process_note(process, TPI_NOTE_READY);
	tpi_add_relaxed(&host->generation, 1);
	srand((unsigned int)getpid());
	while (!tpi_load_acquire(&host->quit)) {
		tpi_store_release(&host->keeper, (uint32_t)keep->pid);
		if (tpi_load_acquire(&host->pause))
			wait_paused();
		step(++number);
		/* At first more than the queue of a socket has room for. */
		if (number % 1000000 > BURST && !(number % 16))
			nap();
	}
	tpi_keep_process_quit(process, (int)host->status);
	return (int)host->status;
}

static int be_broker(const struct tpi_keeper_side *side, char **argv)
{
	static struct tpi_log quiet;
	struct tpi_keep_process *process =
		tpi_keep_process_create(side, argv, &quiet);

	CHECK(process);
	keep = tpi_keep_process_keep(process);
	be_alone(argv[1]);
	tpi_store_release(&host->broker, (uint32_t)getpid());
	switch (host->mode) {
	case HOST_CRASH:
		tpi_add_relaxed(&host->generation, 1);
		signal(SIGABRT, SIG_DFL);
		abort();
	case HOST_EXIT:
		return (int)host->status;
	default:
		return work(process);
	}
}

int host_main(char **argv)
{
	struct tpi_keep_table none = {.fresh = 1};
	struct tpi_keeper_side side;
	int err = 0, status, fd = open(argv[1], O_RDWR | O_CLOEXEC);

	host = mmap(NULL, sizeof(*host), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	close(fd);
	if (host == MAP_FAILED)
		return 99;
	if (!tpi_keeper_resume(&err))
		err = tpi_keeper_create(&none);
	if (err)
		return 98;
	status = tpi_keeper_run(&side, 6);
	return status < 0 ? be_broker(&side, argv) : status;
}
