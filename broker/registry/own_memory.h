/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other memory for the segment of an isolated producer: step S6 of isolation.h.
 *
 *  M1  `begin` of its lanes is `end`. It counts for readers only when the segment is SEALED.
 *  M2  The new file is made, and its lanes begin there. Counts of refusals go on.
 *  M3  It takes the place of the old one in the broker's address space. Nobody else has it.
 *  M4  The keeper gets it, beside the old one.
 *  M5  The private state has the number of the new memory. Then the record in the catalog:
 *	READY off, the new values with FRESH, READY. `changes` + 1.
 *  M6  The keeper forgets the old file. It is closed.
 *
 * A sealed file cannot be emptied by a hole, so its memory lives as long as some process maps
 * it or has a descriptor of it: a reader that is stopped, or a child of the producer. The
 * broker counts such memory against the budget, and against the share of the producer's
 * uid. It knows by a lease of the file (F_SETLEASE), which the kernel grants only where no
 * other description of the file is open. Each description that leaves the broker is
 * opened anew for that. Where the kernel gives no leases on such files, old memory counts as
 * gone.
 *
 * SIGKILL of the broker: before M4 nothing has happened, but that `begin` is stored, which
 * M1 stores again. M4: the record says which file counts, and the other one is given up.
 * Within M5, READY is off: the number in the private state says that the new one counts, and
 * the successor writes the record (adopt_own.c). Before M6: the successor closes what no
 * record names. What it knew of old memory that others have is gone with it.
 */
#ifndef TPI_BROKER_OWN_MEMORY_H
#define TPI_BROKER_OWN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tpi_broker;
struct tpi_host;
struct tpi_segment;

/* Old memory of a producer that other processes have. */
struct tpi_old_memory {
	int fd;
	uid_t uid; /* of the producer */
	uint64_t bytes;
};

/*
 * M1 to M6. -EAGAIN there was so much of it in this second. -EDQUOT others have so much old
 * memory that the budget does not take the new one. Else what the kernel said. The segment
 * is then as before.
 */
int tpi_own_memory_renew(struct tpi_broker *broker, struct tpi_host *host,
			 uint32_t segment, char *error, size_t error_bytes);
/* Closes the old memory that nobody else has any more. */
void tpi_own_memory_collect(struct tpi_host *host);
/* Whether another process has an open description of the file, or a mapping. */
bool tpi_own_memory_is_shared(const struct tpi_segment *segment);
void tpi_own_memory_fini(struct tpi_host *host);

#endif
