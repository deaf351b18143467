/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding, converting and publishing; what holds, and why, is in calibration.h.
 *
 * Piece number i of all that were ever published lies at i modulo the size of the
 * ring. The broker overwrites it while the count is i + size - 1 at least, since it
 * publishes two at once at most. A reader uses only pieces for which the count is
 * smaller than that, before and after its copy.
 */
#include "lib/memory/calibration.h"

#include "lib/base/atomic.h"

#define TRIES 8

uint64_t tpi_calibration_ns(const struct tapio_shm_calibration *piece,
			    uint64_t ticks)
{
	int64_t distance = (int64_t)(ticks - piece->base_tsc);
	unsigned __int128 ns;

	if (!piece->mult || piece->shift > 63)
		return 0;
	if (distance >= 0) {
		ns = (unsigned __int128)distance * piece->mult >> piece->shift;
		return piece->base_ns + (uint64_t)ns;
	}
	ns = (unsigned __int128)(0 - (uint64_t)distance) * piece->mult >>
	     piece->shift;
	return piece->base_ns - (uint64_t)ns;
}

static struct tapio_shm_calibration *piece_at(const struct tpi_catalog *catalog,
					      uint64_t number)
{
	return &catalog->calibrations[number % catalog->calibration_count];
}

/* Pieces before the newest that may be used. */
static uint64_t usable(const struct tpi_catalog *catalog, uint64_t count)
{
	uint64_t most = catalog->calibration_count - TPI_CALIBRATION_PIECES;

	return count < most ? count : most;
}

static bool begins_by(const struct tpi_catalog *catalog, uint64_t number,
		      uint64_t ticks)
{
	/* Relaxed: checked after the copy. */
	uint64_t base = tpi_load_relaxed(&piece_at(catalog, number)->base_tsc);

	return (int64_t)(ticks - base) >= 0;
}

/* The newest piece that begins by then, else the oldest; of `count` in all. */
static uint64_t search(const struct tpi_catalog *catalog, uint64_t count,
		       uint64_t ticks)
{
	uint64_t high = count - 1, low = count - usable(catalog, count), middle;

	/* Most stamps are fresh. */
	if (begins_by(catalog, high, ticks))
		return high;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (begins_by(catalog, middle, ticks))
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* False when the piece may have been overwritten meanwhile. */
static bool copy_piece(const struct tpi_catalog *catalog, uint64_t number,
		       struct tapio_shm_calibration *piece)
{
	uint64_t count;

	*piece = *piece_at(catalog, number);
	/* ORDER broker.calibrations (load-load): the copy before the second
	 * look. Pairs with the store-store in tpi_calibration_publish(): a piece
	 * that is overwritten was given up by an earlier count. */
	tpi_fence_load_load();
	count = tpi_load_relaxed(&catalog->broker->calibrations);
	return count - number <= usable(catalog, UINT64_MAX);
}

static uint64_t count_pieces(const struct tpi_catalog *catalog)
{
	/* ORDER broker.calibrations (acquire): the pieces that it counts are
	 * whole. Pairs with the release in tpi_calibration_publish(). */
	return tpi_load_acquire(&catalog->broker->calibrations);
}

bool tpi_calibration_find(const struct tpi_catalog *catalog, uint64_t ticks,
			  struct tapio_shm_calibration *piece)
{
	uint64_t count;

	for (int i = 0; i < TRIES; i++) {
		count = count_pieces(catalog);
		if (!count)
			return false;
		if (copy_piece(catalog, search(catalog, count, ticks), piece))
			return true;
	}
	/* The ring went round under us so often: it is the clock of another
	 * machine, or of one that is stopped and goes on all the time. */
	return tpi_calibration_newest(catalog, piece);
}

bool tpi_calibration_newest(const struct tpi_catalog *catalog,
			    struct tapio_shm_calibration *piece)
{
	uint64_t count;

	for (int i = 0; i < TRIES; i++) {
		count = count_pieces(catalog);
		if (!count)
			return false;
		if (copy_piece(catalog, count - 1, piece))
			return true;
	}
	return false;
}

void tpi_calibration_last(const struct tpi_catalog *catalog,
			  struct tapio_shm_calibration *pieces, uint32_t count)
{
	uint64_t number = count_pieces(catalog);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t back = count - i;

		pieces[i] = *piece_at(catalog,
				      number - (back < number ? back : number));
	}
}

void tpi_calibration_publish(const struct tpi_catalog *catalog,
			     const struct tapio_shm_calibration *pieces,
			     uint32_t count)
{
	uint64_t *shared = &catalog->broker->calibrations;
	/* Relaxed: we are the only writer. */
	uint64_t number = tpi_load_relaxed(shared);

	/* ORDER broker.calibrations (store-store): the count that gave up what
	 * lies there now, before it is overwritten. Pairs with the load-load in
	 * copy_piece(). */
	tpi_fence_store_store();
	for (uint32_t i = 0; i < count; i++)
		*piece_at(catalog, number + i) = pieces[i];
	/* ORDER broker.calibrations (release): the pieces before the count.
	 * Pairs with the acquire in count_pieces(). */
	tpi_store_release(shared, number + count);
}

void tpi_calibration_restart(const struct tpi_catalog *catalog,
			     const struct tapio_shm_calibration *piece)
{
	for (uint32_t i = 0; i < catalog->calibration_count; i++)
		tpi_calibration_publish(catalog, piece, 1);
}
