/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that a stream knows, so that a new list can be compared with what was there
 * before: objects that are new, that have changed, and that have gone without a watch.
 *
 * An object is known by namespace and name, with its uid and the version that was told last.
 * It takes some 150 bytes. How many are known is limited. The deletion of one that is not
 * known is still told when the server tells it, but a comparison cannot find it.
 */
#ifndef TPI_KUBE_KNOWN_H
#define TPI_KUBE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/collectors/kubernetes/object.h"

/* The state of one that is known. Its strings end with NUL, and live as long as it does. */
struct tpi_kube_known_one {
	struct tpi_kube_known_one *next;
	uint64_t hash;
	uint64_t
		version; /* a hash of it: versions are compared for equality alone */
	uint32_t round; /* in which list it was seen last */
	const char *name;
	const char *uid;
	const char *node;
	char name_space[];
};

struct tpi_kube_known {
	struct tpi_kube_known_one **slots;
	size_t slot_count; /* a power of two, or 0 */
	size_t count;
	size_t count_max;
	uint64_t seed;
	uint32_t round;
	bool told_full; /* that count_max was reached: for a message */
};

enum tpi_kube_change {
	TPI_KUBE_NEW,
	TPI_KUBE_CHANGED,
	TPI_KUBE_SAME, /* the version that was told last */
	TPI_KUBE_REPLACED, /* another object of that name: the former one has gone */
	TPI_KUBE_UNKNOWN, /* new, and there is no room to know it */
};

void tpi_kube_known_init(struct tpi_kube_known *known, size_t count_max);
void tpi_kube_known_fini(struct tpi_kube_known *known);

/*
 * How the object differs from what is known. TPI_KUBE_REPLACED: *former is the one that has
 * gone, and is for tpi_kube_known_free_one(). Else *former is NULL.
 */
enum tpi_kube_change tpi_kube_known_see(struct tpi_kube_known *known,
					const struct tpi_kube_object *object,
					struct tpi_kube_known_one **former);

/* The server said that it was deleted. Whether it was known. */
bool tpi_kube_known_forget(struct tpi_kube_known *known,
			   const struct tpi_kube_object *object);

/* A list begins: an object that is not seen before tpi_kube_known_next_gone() has gone. */
void tpi_kube_known_begin_round(struct tpi_kube_known *known);

/*
 * Takes one that was not seen in this round out, or NULL at the end. *place is 0 at first.
 * For tpi_kube_known_free_one().
 */
struct tpi_kube_known_one *
tpi_kube_known_next_gone(struct tpi_kube_known *known, size_t *place);
void tpi_kube_known_free_one(struct tpi_kube_known_one *one);

#endif
