/* SPDX-License-Identifier: Apache-2.0 */
/* See points.h: the hook of the testpoints, and the ledger. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "tests/fault/points.h"

#define VARIABLE "TEST_POINTS_BOARD"
#define KEEPERS  "keeper." /* names of its testpoints begin so */

struct points_board *board;

static enum points_part part; /* of this process */
static bool is_tapiod, serves;

/* ---- the board ---------------------------------------------------------------------- */

static void map(int fd)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, 0);
	close(fd);
	if (board == MAP_FAILED)
		abort();
}

void points_board_make(void)
{
	char path[] = "/dev/shm/tapio-points-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof(*board)), 0);
	map(fd);
	setenv(VARIABLE, path, 1);
	snprintf(board->socket, sizeof(board->socket), "%s.sock", path);
	snprintf(board->config, sizeof(board->config), "%s.conf", path);
	snprintf(board->commands, sizeof(board->commands), "%s.fifo", path);
	ck_assert_int_eq(mkfifo(board->commands, 0600), 0);
	points_aim_nowhere();
}

bool points_board_open(void)
{
	const char *path = getenv(VARIABLE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return false;
	map(fd);
	return true;
}

void points_board_unlink(void)
{
	char lock[sizeof(board->socket) + 8];
	char fresh[sizeof(board->config) + 8];

	snprintf(lock, sizeof(lock), "%s.lock", board->socket);
	unlink(lock);
	unlink(board->socket);
	unlink(board->config);
	snprintf(fresh, sizeof(fresh), "%s.new", board->config);
	unlink(fresh);
	unlink(board->commands);
	unlink(getenv(VARIABLE));
}

void points_board_remove(void)
{
	points_board_unlink();
	unsetenv(VARIABLE);
	munmap(board, sizeof(*board));
}

/* ---- the hook ------------------------------------------------------------------------- */

/* By the text's address at first: a process passes the same places again and again. */
static uint32_t index_of(const char *name)
{
	static const char *known[4 * POINTS_MAX];
	static uint32_t indices[4 * POINTS_MAX];
	uint32_t at = (uint32_t)((uintptr_t)name / 8) % (4 * POINTS_MAX), i;

	/* Threads of a process may race here: each stores the index first. */
	if (tpi_load_acquire(&known[at]) == name)
		return indices[at];
	for (i = 0; i < board->point_count; i++)
		if (!strcmp(board->names[i], name))
			break;
	if (!known[at]) {
		indices[at] = i;
		tpi_store_release(&known[at], name);
	}
	return i;
}

static enum points_part part_of(const char *name)
{
	if (!is_tapiod)
		return part;
	if (!strncmp(name, KEEPERS, strlen(KEEPERS)))
		return PART_KEEPER;
	if (serves)
		return PART_BROKER;
	return tpi_load_relaxed(&board->serves) ? PART_ADOPTS : PART_BEGINS;
}

static void stop_here(struct points_aim *aim, enum points_part here)
{
	if (here >= PART_BEGINS && here != PART_KEEPER && !aim->holds)
		tpi_store_relaxed(&board->victim, (uint32_t)getpid());
	/* Release: all that this process has noted, before the test goes on. */
	tpi_store_release(&aim->hit, (uint32_t)getpid());
	kill(getpid(), aim->holds ? SIGSTOP : SIGKILL);
	for (;;)
		pause();
}

static void pass(const char *name)
{
	uint32_t point = index_of(name);
	enum points_part here = part_of(name);
	struct points_aim *aim = &board->aims[here];

	if (point >= board->point_count)
		return;
	tpi_add_relaxed(&board->passes[here][point], 1);
	if (tpi_load_acquire(&aim->point) != point ||
	    tpi_load_relaxed(&aim->hit))
		return;
	if (tpi_add_relaxed(&aim->countdown, (uint32_t)-1) == 1)
		stop_here(aim, here);
}

void points_be(enum points_part now)
{
	part = now;
	tpi_testpoint_set(pass);
}

void points_be_tapiod(void)
{
	is_tapiod = true;
	tpi_testpoint_set(pass);
}

void points_serving(void)
{
	serves = true;
}

void points_aim(enum points_part at, uint32_t point, uint32_t countdown,
		bool holds)
{
	struct points_aim *aim = &board->aims[at];

	aim->countdown = countdown;
	aim->holds = holds;
	aim->hit = 0;
	/* Release: the rest of the aim before its point. */
	tpi_store_release(&aim->point, point);
}

void points_aim_nowhere(void)
{
	for (int i = 0; i < PARTS; i++)
		points_aim((enum points_part)i, POINTS_MAX, 0, false);
}

void points_disarm(void)
{
	/* Relaxed: a process that passes just now may still hit it. */
	for (int i = 0; i < PARTS; i++)
		tpi_store_relaxed(&board->aims[i].point, POINTS_MAX);
}

bool points_hit(enum points_part at)
{
	return tpi_load_acquire(&board->aims[at].hit) != 0;
}

/* ---- the ledger ------------------------------------------------------------------------ */

uint32_t points_begin(uint32_t count)
{
	uint32_t first = tpi_add_relaxed(&board->next, count);

	if (first + count > POINTS_NUMBERS)
		_exit(9);
	for (uint32_t i = 0; i < count; i++)
		board->fates[first + i].state = POINTS_BEGUN;
	return first;
}

void points_sure(uint32_t first, int count)
{
	while (count-- > 0)
		board->fates[first++].state = POINTS_SURE;
}

uint32_t points_life(void)
{
	uint32_t life = tpi_add_relaxed(&board->lives, 1) % POINTS_LIVES;

	board->dead[life] = 0;
	return life;
}

static bool number_of(const struct tapio_view *view, uint32_t *number)
{
	if (view->flags & TAPIO_VIEW_GAP ||
	    view->type != TAPIO_TAG_TYPE(POINTS_TAG))
		return false;
	memcpy(number, view->data, sizeof(*number));
	return *number < POINTS_NUMBERS;
}

/* A released event comes no more, and one of another life only when that is over. */
void points_note(uint32_t life, const struct tapio_view *views, int count)
{
	uint32_t number;

	for (int i = 0; i < count; i++) {
		struct points_fate *fate;

		if (!number_of(&views[i], &number))
			continue;
		fate = &board->fates[number];
		if (fate->seen && (fate->released || !board->dead[fate->by])) {
			board->doubled_number = number;
			tpi_add_relaxed(&board->doubled, 1);
		}
		fate->seen++;
		fate->by = (uint8_t)life;
	}
}

void points_note_released(const struct tapio_view *views, int count)
{
	uint32_t number;

	for (int i = 0; i < count; i++)
		if (number_of(&views[i], &number))
			board->fates[number].released = 1;
}
