/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by inputs.c and inputs_open.c. */
#ifndef TPI_CORRELATE_INPUTS_INNER_H
#define TPI_CORRELATE_INPUTS_INNER_H

#include "tools/correlate/inputs.h"

/* How long a merge waits for events that are being published. */
#define TPI_INPUT_MERGE_NS UINT64_C(1000000)

/* Finds out which memory it reads, and numbers it as a source of the engine. */
void tpi_input_identify(struct tpi_inputs *inputs, struct tpi_input *input);

/* Events of it were lost at some time that is not known. */
void tpi_input_gap(struct tpi_inputs *inputs, struct tpi_input *input,
		   uint64_t lost);

/* Joins the group anew. False: as tpi_inputs_open(). */
bool tpi_input_reopen(struct tpi_inputs *inputs, struct tpi_input *input);

#endif
