/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of adopt.c: adopt.c and adopt_segments.c. */
#ifndef TPI_BROKER_ADOPT_INNER_H
#define TPI_BROKER_ADOPT_INNER_H

#include <sys/stat.h>

#include "broker/registry/adopt.h"

/* One taking over at work. */
struct tpi_adopter {
	struct tpi_registry *registry;
	struct tpi_config *config;
	char why[512];
};

#define TPI_ADOPT_FAIL(a, err, ...) \
	tpi_fail(err, (a)->why, sizeof((a)->why), __VA_ARGS__)

/* The keeper's descriptor under that key, or -1. */
int tpi_adopt_take(const struct tpi_adopter *a, uint32_t kind, uint32_t number);
/* Takes ownership of the fd. All of the segment but its report. */
int tpi_adopt_open(struct tpi_adopter *a, struct tpi_segment *segment, int fd,
		   const char *what, uint32_t number, struct stat *st);
/* Whether the file is the one that the catalog names. */
int tpi_adopt_compare(struct tpi_adopter *a, const char *what, uint32_t number,
		      const struct tapio_shm_segment *record,
		      const struct stat *st);
/* All of it, by the record with that number. */
int tpi_adopt_segment(struct tpi_adopter *a, struct tpi_segment *segment,
		      uint32_t number, uint32_t epoch, const char *what);
/* Whether a record is of this segment. */
int tpi_adopt_record(struct tpi_adopter *a, uint32_t number, uint32_t kind,
		     uint32_t channel, uint32_t index);
/* The memory of a slot, the old one or the new one. Nothing is written. */
int tpi_adopt_slot(struct tpi_adopter *a, struct tpi_host *host, uint32_t slot);
/* adopt_own.c: the segment of an isolated producer, and M5 where it was not done. */
int tpi_adopt_own(struct tpi_adopter *a, struct tpi_host *host, uint32_t index);
void tpi_adopt_own_finish(struct tpi_host *host, uint32_t index);
/* N2 and N3 of slot_memory.h, where they were not done. */
void tpi_adopt_slot_finish(struct tpi_host *host, uint32_t slot);

#endif
