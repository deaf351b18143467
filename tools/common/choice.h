/* SPDX-License-Identifier: Apache-2.0 */
/* Options whose value is one of a few words. */
#ifndef TPI_CHOICE_H
#define TPI_CHOICE_H

#include <argp.h>
#include <stdint.h>

struct tpi_choice {
	const char *name; /* NULL ends a list */
	uint32_t value;
};

/* Where a reader starts, and the policies of a group. */
extern const struct tpi_choice tpi_starts[];
extern const struct tpi_choice tpi_policies[];

/* The choice of that name. NULL: there is none. */
const struct tpi_choice *tpi_choice_find(const struct tpi_choice *choices,
					 const char *name);

/* Its value. Without one argp ends the program, and names all that there are. */
uint32_t tpi_arg_choice(struct argp_state *state, const char *option,
			const struct tpi_choice *choices, const char *text);

#endif
