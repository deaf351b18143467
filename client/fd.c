/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pollable descriptor: an eventfd of this process and a thread that sleeps on
 * the channel's doorbell and writes to it. Nobody else ever holds the descriptor,
 * so nobody can block, fill or close it under us.
 *
 *	consumer, tapio_poll(.., 0)         helper
 *	finds nothing                       H1 heard = doorbell
 *	C1 empties the eventfd              H2 if armed and something is unread:
 *	C2 armed = 1                               armed = 0, writes the eventfd
 *	C3 announces, with barrier          H3 FUTEX_WAIT(doorbell, heard), bounded
 *	C4 looks again: if there is         and again from H1
 *	   something, writes the eventfd
 *
 * An event that C4 does not see is rung for (wake.h), which ends H3 or makes it
 * return at once; the H1 after that ring is after C2, because C3 lies between C2
 * and the ring, so H2 sees `armed`. While the descriptor stays readable the helper
 * does nothing, and no producer rings.
 *
 * The helper blocks every signal and reads shared memory only; what it touches of
 * the handle are the words of struct tpi_bellhop, `deaf`, and what never changes.
 * fork does not copy it; SIGKILL and SIGSTOP take it with the process.
 */
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/consumer.h"

#define STACK_BYTES   65536
#define CLOSE_POLL_NS 1000000
/* How long to sleep where no producer can know of us. */
#define DEAF_NS INT64_C(10000000)

/* Whether a lane that is ours, or that we could take, has something unread. */
static bool unread(const struct tapio_consumer *c)
{
	uint32_t i, lease;
	uint64_t head, tail;

	for (i = 0; i < c->lane_count; i++) {
		const struct tapio_shm_cursor *cursor = c->tracks[i].cursor;

		/* Relaxed: a guess whether it is worth while to look. */
		lease = tpi_load_relaxed(&cursor->lease);
		if (lease != c->me && lease != TAPIO_NOBODY)
			continue;
		head = tpi_load_relaxed(&cursor->head);
		tail = TAPIO_STATE_TAIL(tpi_lane_peek(c->tracks[i].lane));
		if (TAPIO_HEAD_POSITION(head) != tail)
			return true;
	}
	return false;
}

static bool ended(const struct tapio_consumer *c)
{
	uint64_t slot = tpi_load_relaxed(c->slot);

	return TAPIO_SLOT_STATE(slot) != TAPIO_SLOT_ACTIVE ||
	       TAPIO_SLOT_INCARNATION(slot) != c->incarnation;
}

static void raise_fd(struct tapio_consumer *c)
{
	uint64_t one = 1;
	ssize_t n;

	/* It can only fail when it is readable already. */
	n = write(c->client.handle.event, &one, sizeof(one));
	(void)n;
}

static void lower_fd(struct tapio_consumer *c)
{
	uint64_t count;
	ssize_t n;

	n = read(c->client.handle.event, &count, sizeof(count));
	(void)n; /* -EAGAIN: it was not readable */
}

/*
 * How long until what is unread may be read, which with a merge has to wait; 0: it
 * may be now.
 */
static int64_t due_in_ns(const struct tapio_consumer *c)
{
	/* Relaxed: stored before `armed`. */
	int64_t due_ns = tpi_load_relaxed(&c->bellhop.due_ns);

	if (!due_ns)
		return 0;
	due_ns -= tpi_now_ns();
	return due_ns > 0 ? due_ns : 0;
}

static void *bellhop(void *arg)
{
	struct tapio_consumer *c = arg;
	int64_t ns, due_ns;
	uint32_t heard;

	/* ORDER bellhop.stop (acquire): nothing but the end of the thread comes
	 * after it. Pairs with the release in tpi_fd_close(). */
	while (!tpi_load_acquire(&c->bellhop.stop)) {
		heard = tpi_wake_listen(&c->bell->doorbell);
		ns = tpi_load_relaxed(&c->deaf) ? DEAF_NS
						: TPI_SLEEP_CONSUMER_NS;
		/* ORDER bellhop.armed (acquire): the doorbell before it (H1, H2).
		 * Pairs with the release in tpi_fd_idle(). */
		if (tpi_load_acquire(&c->bellhop.armed) &&
		    (unread(c) || ended(c))) {
			due_ns = due_in_ns(c);
			if (!due_ns) {
				tpi_store_relaxed(&c->bellhop.armed, 0);
				raise_fd(c);
			} else if (due_ns < ns) {
				ns = due_ns;
			}
		}
		tpi_wake_wait(&c->bell->doorbell, heard, ns);
	}
	return NULL;
}

static int start_bellhop(struct tapio_consumer *c)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&c->bellhop.thread, &attr, bellhop, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	c->bellhop.running = !err;
	return -err;
}

int tapio_fd(struct tapio_consumer *c)
{
	int err, fd;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	if (c->bellhop.running)
		return c->client.handle.event;
	/* Readable at first: whoever has it looks once. */
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	c->client.handle.event = fd;
	err = start_bellhop(c);
	if (err) {
		close(fd);
		c->client.handle.event = -1;
		return err;
	}
	return fd;
}

int tpi_fd_idle(struct tapio_consumer *c, struct tapio_view *views,
		unsigned int max)
{
	unsigned int n;

	if (!c->bellhop.running)
		return 0;
	tpi_lease_free(c);
	/* Relaxed: ours but for the helper's 1 -> 0, which comes with a write
	 * to the eventfd. Armed already: nothing has come since. */
	if (tpi_load_relaxed(&c->bellhop.armed))
		return (int)tpi_gather(c, views, max);
	lower_fd(c);
	tpi_store_relaxed(&c->bellhop.due_ns, c->merge.due_ns);
	/* ORDER bellhop.armed (release): pairs with the acquire in bellhop();
	 * the barrier of the announcement makes it visible before any ring. */
	tpi_store_release(&c->bellhop.armed, 1);
	tpi_announce(c);
	n = tpi_gather(c, views, max);
	if (n) {
		tpi_store_relaxed(&c->bellhop.armed, 0);
		raise_fd(c);
	} else if (c->merge.due_ns) {
		/* Something waits for its time, and nobody rings for that. If
		 * the helper is on its way to sleep it misses this, and looks
		 * when its sleep is over. */
		tpi_wake_nudge(&c->bell->doorbell);
	}
	return (int)n;
}

void tpi_fd_close(struct tapio_consumer *c)
{
	struct timespec nap = {.tv_nsec = CLOSE_POLL_NS};

	if (c->bellhop.running) {
		/* ORDER bellhop.stop (release): pairs with the acquire in
		 * bellhop(). */
		tpi_store_release(&c->bellhop.stop, 1);
		/* Nudged again and again: it may be on its way to sleep. */
		do {
			tpi_wake_nudge(&c->bell->doorbell);
		} while (pthread_tryjoin_np(c->bellhop.thread, NULL) &&
			 !nanosleep(&nap, NULL));
	}
	c->bellhop.running = false;
	if (c->client.handle.event >= 0)
		close(c->client.handle.event);
	c->client.handle.event = -1;
}
