/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of counters, and its records in the catalog. */
#include "lib/memory/counters.h"

#include <stddef.h>
#include <string.h>

/* The index of a cause of refusals is that of its row. */
enum {
#define DROP(name, ...) DROP_##name,
	TAPIO_LANE_DROPS(DROP)
#undef DROP
};
_Static_assert(DROP_full == TAPIO_DROP_FULL && DROP_held == TAPIO_DROP_HELD &&
		       DROP_size == TAPIO_DROP_SIZE &&
		       DROP_timeout == TAPIO_DROP_TIMEOUT &&
		       DROP_no_lane == TAPIO_DROP_NO_LANE,
	       "rows of TAPIO_LANE_DROPS are in the order of TAPIO_DROP_*");

#define FITS(field, text) \
	(sizeof(text) <= sizeof(((struct tapio_shm_counter *)0)->field))
#define ROW_FITS(name_, unit_, type_, meaning_, cause_, remedy_)             \
	_Static_assert(FITS(name, #name_) && FITS(unit, unit_) &&            \
			       FITS(meaning, meaning_) &&                    \
			       FITS(cause, cause_) && FITS(remedy, remedy_), \
		       #name_ " is too long for its record");
TAPIO_BROKER_COUNTERS(ROW_FITS)
TAPIO_LANE_DROPS(ROW_FITS)

#define ROW(name_, unit_, type_, meaning_, cause_, remedy_, of_, offset_) \
	{.name = #name_,                                                  \
	 .unit = unit_,                                                   \
	 .meaning = meaning_,                                             \
	 .cause = cause_,                                                 \
	 .remedy = remedy_,                                               \
	 .of = of_,                                                       \
	 .offset = (uint32_t)(offset_),                                   \
	 .type = TAPIO_COUNTED_##type_},
#define BROKER_ROW(name, unit, type, meaning, cause, remedy)                   \
	ROW(name, unit, type, meaning, cause, remedy, TAPIO_COUNTER_OF_BROKER, \
	    offsetof(struct tapio_shm_broker, name))
#define LANE_ROW(name, unit, type, meaning, cause, remedy)                   \
	ROW(name, unit, type, meaning, cause, remedy, TAPIO_COUNTER_OF_LANE, \
	    offsetof(struct tapio_shm_lane, dropped) +                       \
		    DROP_##name * sizeof(uint64_t))

const struct tpi_counter tpi_counters[TPI_COUNTERS] = {
	TAPIO_BROKER_COUNTERS(BROKER_ROW) TAPIO_LANE_DROPS(LANE_ROW)};

static void set(char *field, const char *text)
{
	memcpy(field, text, strlen(text) + 1);
}

void tpi_counter_describe(const struct tpi_counter *counter,
			  struct tapio_shm_counter *record)
{
	set(record->name, counter->name);
	set(record->unit, counter->unit);
	set(record->meaning, counter->meaning);
	set(record->cause, counter->cause);
	set(record->remedy, counter->remedy);
	record->of = counter->of;
	record->offset = counter->offset;
	record->type = counter->type;
}

bool tpi_counter_sane(uint32_t of, uint32_t offset, uint32_t type)
{
	size_t bytes =
		of == TAPIO_COUNTER_OF_BROKER ? sizeof(struct tapio_shm_broker)
		: of == TAPIO_COUNTER_OF_LANE ? sizeof(struct tapio_shm_lane)
					      : 0;

	return offset % sizeof(uint64_t) == 0 && offset < bytes &&
	       (type == TAPIO_COUNTED_COUNTER || type == TAPIO_COUNTED_GAUGE);
}
