/* SPDX-License-Identifier: Apache-2.0 */
/* Standard output of a program. For programs, not for the library. */
#ifndef TPI_OUTPUT_H
#define TPI_OUTPUT_H

/*
 * First in main(): the program ends with `status` and a message instead of 0 when not all
 * of its standard output could be written, as to a full device. A closed pipe is
 * no fault of the program: it changes the status, and no message says so.
 */
void tpi_output_check_at_exit(const char *program, int status);

#endif
