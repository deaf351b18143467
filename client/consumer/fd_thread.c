/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper thread behind the pollable descriptor (fd.c): it sleeps on the
 * group's doorbell in the consumer's place, and makes the descriptor readable.
 *
 *	H1 heard = doorbell
 *	H2 if armed: if there is enough to read, armed = 0, raise, and go to H5;
 *	   else, unless an announcement is unanswered, announce (wake.h, S2, S3)
 *	H3 look again, as in H2
 *	H5 FUTEX_WAIT(doorbell, heard), bounded, and again from H1
 *
 * An announcement is unanswered as long as the doorbell has not moved since: then
 * no producer has loaded it. A ring, for whatever reason, may have answered
 * ours, too, so we announce ourselves again before the next sleep.
 *
 * ENOUGH is one event; or with a watermark as many as watermark.c waits for, by the same
 * two states: while nothing is unread marks are 0, and the first event rings and
 * starts the clock; then marks are K, and the K-th rings or the clock ends it.
 * Marks change before an announcement and under `lock`, which the consumer takes
 * to arm and to disarm (fd.c), so what the one has set the other does not undo;
 * each arming begins with marks 0 and another `epoch`.
 *
 * WITH A MERGE it may be known when the next event is ripe (`due_ns`). Until then no
 * news is wanted, so nothing is announced, as in sleep.c.
 *
 * ASIDE. A move to another memory (move.c), and events that come late in the one before, are
 * the consumer's work, so the descriptor is raised for them, too. Neither is rung for, so
 * both are found within the bound of a sleep. It is raised for them once in ASIDE_NS at
 * most, since the consumer may not be able to do anything about them now.
 *
 * Besides struct tpi_fd_thread it reads of the handle `deaf`, `group`, each track's
 * `idle`, which was written before `armed` or when the lane was taken, and fields that
 * never change while it runs. `former` is one of these. All signals are blocked. fork
 * does not copy the thread; SIGKILL and SIGSTOP take it with the process.
 */
#include <errno.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client/consumer/consumer.h"
#include "lib/base/thread.h"

#define CLOSE_POLL_NS 1000000
/* How long to sleep where no producer can know of us. */
#define DEAF_NS INT64_C(10000000)
/* Between two calls of the consumer for what lies aside. */
#define ASIDE_NS INT64_C(10000000)
/* Between two calls to fetch the memory of producers. */
#define TELL_NS INT64_C(10000000)

/* The thread's memory from one round to the next. */
struct rounds {
	uint32_t epoch; /* the arming that all of it is about, but for `call` */
	int64_t first;  /* when something was seen unread; 0: nothing is */
	bool marked;    /* marks are K */
	int64_t aside_ns; /* nothing that lies aside is raised for before */
	struct tpi_call call;
	int64_t told_ns; /* when the consumer was last told to follow */
};

void tpi_fd_thread_raise(struct tpi_consumer *c)
{
	static const struct itimerspec now = {.it_value.tv_nsec = 1};
	int fd = tpi_own_fd_number(&c->client.handle.event);
	uint64_t one = 1;
	ssize_t n;

	if (fd < 0)
		return; /* the program has closed it */
	if (c->bellhop.timer) {
		timerfd_settime(fd, 0, &now, NULL);
		return;
	}
	/* It can only fail when it is readable already. */
	n = write(fd, &one, sizeof(one));
	(void)n;
}

/* ---- what there is to read ----------------------------------------------------- */

/* Positions unread on a lane that is ours, or that we could take. */
static uint64_t unread(const struct tpi_consumer *c, const struct tpi_track *t,
		       bool *ours)
{
	/* Relaxed, all of them: a guess whether it is worth while to look. */
	uint32_t lease = tpi_cursor_holder(t->cursor);
	uint64_t from = tpi_load_relaxed(&t->idle);

	*ours = lease == c->me;
	if (tpi_load_relaxed(&t->shut))
		return 0;
	if (!*ours && lease != TAPIO_NOBODY)
		return 0;
	if (!*ours)
		from = TAPIO_HEAD_POSITION(
			tpi_load_relaxed(&tpi_cursor_cell(t->cursor)->head));
	return (TAPIO_STATE_TAIL(tpi_lane_peek(t->lane)) - from) &
	       TAPIO_POSITION_MASK;
}

/* Whether it is enough; *any: whether there is anything. */
static bool enough(const struct tpi_consumer *c, bool *any)
{
	uint32_t i;
	bool ours;

	*any = false;
	for (i = 0; i < c->lane_count; i++) {
		const struct tpi_track *t = &c->tracks[i];
		uint64_t count = unread(c, t, &ours);

		*any |= count != 0;
		/* A lane that was left behind is to be taken at once. */
		if (count && (!ours || count >= tpi_watermark_goal(c, t)))
			return true;
	}
	return false;
}

static bool ended(const struct tpi_consumer *c)
{
	uint64_t slot = tpi_load_relaxed(c->slot);

	return TAPIO_SLOT_STATE(slot) != TAPIO_SLOT_ACTIVE ||
	       TAPIO_SLOT_INCARNATION(slot) != c->incarnation;
}

static bool armed(const struct tpi_consumer *c)
{
	/* ORDER bellhop.armed (acquire): the doorbell before it (H1, H2), and
	 * what was written before it was armed. Pairs with the release in
	 * tpi_fd_idle(). */
	return tpi_load_acquire(&c->bellhop.armed);
}

/* ---- aside ------------------------------------------------------------------------ */

static bool may_move(const struct tpi_consumer *c, int64_t now)
{
	/* Relaxed: a hint. The consumer looks again. */
	return tpi_client_elsewhere(&c->client) &&
	       now >= tpi_load_relaxed(&c->client.link.again_ns);
}

static bool has_stragglers(const struct tpi_consumer *former)
{
	bool ours, any = false;
	uint32_t i;

	for (i = 0; former && i < former->lane_count && !any; i++)
		any = unread(former, &former->tracks[i], &ours) != 0;
	return any;
}

static bool is_called_aside(const struct tpi_consumer *c, struct rounds *r,
			    int64_t *ns)
{
	int64_t now;

	if (tpi_likely(!tpi_is_restless(c)))
		return false;
	now = tpi_now_ns();
	if (!may_move(c, now) && !has_stragglers(c->former))
		return false;
	if (now < r->aside_ns) {
		*ns = *ns < ASIDE_NS ? *ns : ASIDE_NS;
		return false;
	}
	r->aside_ns = now + ASIDE_NS;
	return true;
}

/* ---- a watermark ------------------------------------------------------------------ */

/* K on every lane of ours, or 0. The next announcement orders it. */
static void set_marks(struct tpi_consumer *c, struct rounds *r, bool wanted)
{
	uint32_t i, mark;

	if (r->marked == wanted)
		return;
	for (i = 0; i < c->lane_count; i++) {
		const struct tpi_track *t = &c->tracks[i];
		uint64_t head, idle = tpi_load_relaxed(&t->idle);
		/* Relaxed: if it is our name, it is ours while we are armed,
		 * unless another member takes it over. Then it is one wrong
		 * mark, and sleeps are bounded. */
		uint64_t lease = tpi_load_relaxed(&t->cursor->lease);
		struct tapio_shm_cell *cell;

		if (TAPIO_LEASE_HOLDER(lease) != c->me)
			continue;
		cell = &t->cursor->cells[tpi_lease_cell(lease)];
		head = TAPIO_HEAD_POSITION(tpi_load_relaxed(&cell->head));
		mark = 0;
		if (wanted) /* counted from head, so with what is in hand */
			mark = tpi_watermark_goal(c, t) +
			       (uint32_t)((idle - head) & TAPIO_POSITION_MASK);
		tpi_store_relaxed(&cell->watermark, mark);
	}
	r->marked = wanted;
	r->call.dirty = true;
}

/*
 * What is unread is too little for the watermark, so the member rightly does not poll:
 * a sign of life, in one cell. It may be lost among those of the member itself.
 */
static void live(const struct tpi_consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->lane_count; i++) {
		struct tapio_shm_cursor *cursor = c->tracks[i].cursor;
		/* Relaxed: as in set_marks(). */
		uint64_t lease = tpi_load_relaxed(&cursor->lease);
		struct tapio_shm_cell *cell;

		if (TAPIO_LEASE_HOLDER(lease) != c->me)
			continue;
		cell = &cursor->cells[tpi_lease_cell(lease)];
		tpi_store_relaxed(&cell->beat,
				  tpi_load_relaxed(&cell->beat) + 1);
		return;
	}
}

/* How long the clock of a watermark still runs; 0: it is over. */
static int64_t clock_ns(const struct tpi_consumer *c, struct rounds *r)
{
	int64_t now = tpi_now_ns(), left;

	if (!r->first)
		r->first = now;
	left = r->first + c->wake_ns - now;
	return left > 0 ? left : 0;
}

/* ---- the rounds ---------------------------------------------------------------------- */

/* There is memory to be fetched, which only the consumer does. It is told again and again,
 * but not all the time: the broker may be slow. */
static bool is_to_follow(const struct tpi_consumer *c, struct rounds *r,
			 int64_t *ns)
{
	int64_t now;

	if (!tpi_segments_changed(&c->client))
		return false;
	now = tpi_now_ns();
	if (*ns > TELL_NS)
		*ns = TELL_NS;
	if (now - r->told_ns < TELL_NS)
		return false;
	r->told_ns = now;
	return true;
}

/*
 * One look. True: the descriptor is to be raised. Else *ns is lowered to how long
 * it can wait at most without news.
 */
static bool look(struct tpi_consumer *c, struct rounds *r, int64_t *ns)
{
	bool any;
	bool full = enough(c, &any);
	int64_t left;

	if (full || ended(c) || is_called_aside(c, r, ns) ||
	    is_to_follow(c, r, ns))
		return true;
	if (!any) {
		r->first = 0;
		set_marks(c, r, false);
		return false;
	}
	live(c);
	left = clock_ns(c, r);
	if (left < *ns)
		*ns = left;
	set_marks(c, r, true);
	return !left;
}

/* Waits for news, announced. True: the descriptor is to be raised. */
static bool listen(struct tpi_consumer *c, struct rounds *r, uint32_t heard,
		   int64_t *ns)
{
	if (look(c, r, ns))
		return true;
	if (!r->call.dirty && r->call.made && r->call.heard == heard)
		return false;
	tpi_call(c, &r->call, heard);
	return look(c, r, ns);
}

/* Waits for the time at which something is ripe. The same. */
static bool wait_due(const struct tpi_consumer *c, int64_t due_ns, int64_t *ns)
{
	int64_t left = due_ns - tpi_now_ns();

	if (ended(c))
		return true;
	if (c->bellhop.timer)
		return false; /* the kernel raises it */
	if (left > 0 && left < *ns)
		*ns = left;
	return left <= 0;
}

/* H2, H3. With the lock held, and armed. */
static void serve(struct tpi_consumer *c, struct rounds *r, uint32_t heard,
		  int64_t *ns)
{
	/* Relaxed: stored before `armed`. */
	int64_t due_ns = tpi_load_relaxed(&c->bellhop.due_ns);

	if (r->epoch != c->bellhop.epoch) {
		*r = (struct rounds){.epoch = c->bellhop.epoch,
				     .aside_ns = r->aside_ns,
				     .call = r->call,
				     .told_ns = r->told_ns};
		r->call.dirty = true;
	}
	if (due_ns ? !wait_due(c, due_ns, ns) : !listen(c, r, heard, ns))
		return;
	set_marks(c, r, false);
	/* Relaxed: a consumer that arms it again looks first. */
	tpi_store_relaxed(&c->bellhop.armed, 0);
	tpi_fd_thread_raise(c);
}

static void *rounds(void *arg)
{
	struct tpi_consumer *c = arg;
	struct rounds r = {0};
	uint32_t heard;
	int64_t ns;

	/* ORDER bellhop.stop (acquire): nothing but the end of the thread comes
	 * after it. Pairs with the release in tpi_fd_thread_stop(). */
	while (!tpi_load_acquire(&c->bellhop.stop)) {
		/* Its consumer may be waiting for the descriptor. */
		tpi_client_look(&c->client);
		heard = tpi_wake_listen(c->doorbell);
		ns = tpi_is_rung(c) ? TPI_SLEEP_CONSUMER_NS : DEAF_NS;
		if (armed(c)) {
			pthread_mutex_lock(&c->bellhop.lock);
			if (armed(c))
				serve(c, &r, heard, &ns);
			pthread_mutex_unlock(&c->bellhop.lock);
		}
		tpi_wake_wait(c->doorbell, heard, ns);
		/* From now on a bell that has moved is heard. */
		tpi_call_unsettled(c, &r.call, tpi_wake_listen(c->doorbell),
				   tpi_now_ns());
	}
	return NULL;
}

int tpi_fd_thread_start(struct tpi_consumer *c)
{
	int err;

	pthread_mutex_init(&c->bellhop.lock, NULL);
	err = tpi_thread_start(&c->bellhop.thread, rounds, c);
	c->bellhop.running = !err;
	return err;
}

void tpi_fd_thread_stop(struct tpi_consumer *c)
{
	struct timespec nap = {.tv_nsec = CLOSE_POLL_NS};

	if (!c->bellhop.running)
		return;
	/* ORDER bellhop.stop (release): pairs with the acquire in rounds(). */
	tpi_store_release(&c->bellhop.stop, 1);
	/* Nudged again and again: it may be on its way to sleep. */
	do {
		tpi_wake_nudge(c->doorbell);
	} while (pthread_tryjoin_np(c->bellhop.thread, NULL) &&
		 !nanosleep(&nap, NULL));
	c->bellhop.running = false;
	pthread_mutex_destroy(&c->bellhop.lock);
}
