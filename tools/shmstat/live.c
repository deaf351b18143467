/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that looks. See live.h. */
#include "tools/shmstat/live.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tools/inspect/process.h"
#include "tools/shmstat/get.h"
#include "tools/shmstat/named.h"
#include "tools/shmstat/rows.h"

/* Memory that cannot be had at once is tried again later and later. */
#define PATIENCE_MIN_NS INT64_C(1000000000)
#define PATIENCE_MAX_NS INT64_C(30000000000)

struct live {
	struct stat_args *args;
	uint32_t parts;
	int64_t interval_ns;
	pthread_t thread;
	int fd;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stop, run, fresh;
	struct live_news news;

	/* Of the thread. */
	struct tpi_inspect *inspect;
	uint64_t opens;
	int64_t patience_ns, again_ns;
};

static bool slot_is_stale(const struct tpi_inspect *inspect, uint32_t channel,
			  uint32_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[slot];

	/* Relaxed: a hint, by itself. */
	return TAPIO_SLOT_STATE(tpi_load_relaxed(&group->slot)) !=
		       TAPIO_SLOT_FREE &&
	       tpi_load_relaxed(&group->epoch) !=
		       inspect->channels[channel].epochs[slot];
}

static bool phase_is_at_work(uint32_t phase)
{
	return phase == TAPIO_PHASE_SEALED || phase == TAPIO_PHASE_ENDED;
}

/* Whether something that is at work is not what is mapped. */
static bool is_stale(const struct tpi_inspect *inspect)
{
	uint32_t phase;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *channel =
			&inspect->channels[c].channel;

		if (!tpi_inspect_same(inspect, c))
			return true;
		if (!inspect->channels[c].there)
			continue;
		for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			if (slot_is_stale(inspect, c, slot))
				return true;
		for (uint32_t i = 0; i < channel->lane_count; i++)
			if (!tpi_inspect_has_lane(inspect, c, i, &phase) &&
			    phase_is_at_work(phase))
				return true;
	}
	return false;
}

static bool is_orphan(const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	/* Relaxed: hints, each by itself. */
	const char *process =
		tpi_inspect_process(inspect, tpi_load_relaxed(&b->pid),
				    tpi_load_relaxed(&b->start_time_ticks));

	return !strcmp(process, "gone") ||
	       tpi_load_relaxed(&b->state) == TAPIO_BROKER_STOPPED;
}

/* 0, or -errno with the reason in *why. */
static int open_memory(struct live *live, bool scan, char *why, size_t size)
{
	struct tpi_inspect *inspect;
	struct stat_args args = *live->args;
	int err = stat_find(&args, scan, &inspect, why, size);

	if (err)
		return err;
	tpi_inspect_close(live->inspect);
	live->inspect = inspect;
	live->opens++;
	snprintf(why, size, "%s", inspect->note);
	return 0;
}

static void set_patience(struct live *live, int64_t now)
{
	live->patience_ns =
		live->patience_ns ? 2 * live->patience_ns : PATIENCE_MIN_NS;
	if (live->patience_ns > PATIENCE_MAX_NS)
		live->patience_ns = PATIENCE_MAX_NS;
	live->again_ns = now + live->patience_ns;
}

/*
 * Opens the memory, or opens it again where it must. A successor of an orphan is asked for each
 * time: a socket that nothing listens at costs little. Memory that is stale still after it was opened,
 * for want of rights for example, is tried ever more rarely.
 */
static void refresh(struct live *live, char *why, size_t size)
{
	int64_t now = tpi_monotonic_ns();
	bool named = live->args->look.pid || live->args->look.instance;

	*why = 0;
	if (!live->inspect) {
		open_memory(live, true, why, size);
		return;
	}
	if (is_orphan(live->inspect)) {
		if (!named && !open_memory(live, false, why, size))
			return;
		snprintf(why, size, "the broker is gone: this is its memory");
	} else if (!is_stale(live->inspect)) {
		live->patience_ns = 0;
	} else if (now >= live->again_ns) {
		open_memory(live, true, why, size);
		set_patience(live, now);
	}
}

static void publish(struct live *live, const struct live_news *news)
{
	json_t *old;

	pthread_mutex_lock(&live->lock);
	old = live->fresh ? live->news.look : NULL;
	live->news = *news;
	live->fresh = true;
	pthread_mutex_unlock(&live->lock);
	json_decref(old);
	eventfd_write(live->fd, 1);
}

/* Channels without the right to look into them, or that cannot be followed. */
static void warn_not_read(struct live_news *news)
{
	const json_t *rows = json_object_get(news->look, "not_read");
	const json_t *first = json_array_get(rows, 0);
	size_t more = json_array_size(rows);

	if (*news->why || !first)
		return;
	snprintf(news->why, sizeof(news->why), "channel %s is not shown: %s",
		 get_text(first, "channel"), get_text(first, "why"));
	if (more > 1)
		snprintf(news->why + strlen(news->why),
			 sizeof(news->why) - strlen(news->why),
			 "; nor are %zu more", more - 1);
}

/* A filter that fits nothing is no end here, since its channel or client may come. */
static void select_rows(struct live *live, struct live_news *news)
{
	char text[sizeof(news->why)];

	if (!*news->why && named_is_unknown(&live->args->filter, live->inspect,
					    news->look, text, sizeof(text)))
		memcpy(news->why, text, sizeof(text));
	rows_select(news->look, live->args);
}

static void look_once(struct live *live)
{
	struct live_news news = {0};

	refresh(live, news.why, sizeof(news.why));
	news.at_ns = tpi_monotonic_ns();
	news.opens = live->opens;
	if (live->inspect) {
		news.look = parts_collect(live->inspect, live->parts);
		if (news.look)
			select_rows(live, &news);
		else
			snprintf(news.why, sizeof(news.why), "out of memory");
		warn_not_read(&news);
	}
	publish(live, &news);
}

/* True: a look is due. False: the thread ends. */
static bool wait_for(struct live *live, int64_t *next)
{
	struct timespec until;
	bool go;

	pthread_mutex_lock(&live->lock);
	if (*next < tpi_monotonic_ns())
		*next = tpi_monotonic_ns();
	while (!live->stop) {
		if (!live->run) {
			pthread_cond_wait(&live->wake, &live->lock);
			*next = tpi_monotonic_ns();
			continue;
		}
		if (tpi_monotonic_ns() >= *next)
			break;
		until = (struct timespec){.tv_sec = *next / 1000000000,
					  .tv_nsec = *next % 1000000000};
		pthread_cond_timedwait(&live->wake, &live->lock, &until);
	}
	go = !live->stop;
	*next += live->interval_ns;
	pthread_mutex_unlock(&live->lock);
	return go;
}

static void *look_on(void *context)
{
	struct live *live = context;
	int64_t next = tpi_monotonic_ns();

	while (wait_for(live, &next))
		look_once(live);
	tpi_inspect_close(live->inspect);
	return NULL;
}

static int start_thread(struct live *live)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	/* Of a crash: a handler may put the terminal back. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&live->thread, NULL, look_on, live);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int live_start(struct live **out, struct stat_args *args, uint32_t parts,
	       int64_t interval_ns)
{
	struct live *live = calloc(1, sizeof(*live));
	pthread_condattr_t attributes;
	int err;

	*out = NULL;
	if (!live)
		return -ENOMEM;
	*live = (struct live){.args = args,
			      .parts = parts,
			      .interval_ns = interval_ns,
			      .run = true};
	live->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (live->fd < 0) {
		err = -errno;
		free(live);
		return err;
	}
	pthread_mutex_init(&live->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&live->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	err = start_thread(live);
	if (err) {
		close(live->fd);
		free(live);
		return err;
	}
	*out = live;
	return 0;
}

void live_stop(struct live *live)
{
	if (!live)
		return;
	pthread_mutex_lock(&live->lock);
	live->stop = true;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
	pthread_join(live->thread, NULL);
	if (live->fresh)
		json_decref(live->news.look);
	pthread_cond_destroy(&live->wake);
	pthread_mutex_destroy(&live->lock);
	close(live->fd);
	free(live);
}

int live_fd(const struct live *live)
{
	return live->fd;
}

bool live_take(struct live *live, struct live_news *news)
{
	eventfd_t count;
	bool fresh;

	pthread_mutex_lock(&live->lock);
	eventfd_read(live->fd, &count);
	fresh = live->fresh;
	if (fresh)
		*news = live->news;
	live->fresh = false;
	pthread_mutex_unlock(&live->lock);
	return fresh;
}

void live_run(struct live *live, bool run)
{
	pthread_mutex_lock(&live->lock);
	live->run = run;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
}
