/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of libbpf while it loads: kept, and shown only where it explains a failure. */
#ifndef TPI_EBPF_SAID_H
#define TPI_EBPF_SAID_H

#include <stddef.h>

/* From here on libbpf's messages are kept instead of printed. */
void tpi_ebpf_said_init(void);

/* Forgets them. */
void tpi_ebpf_said_clear(void);

/*
 * The program that the last failure was about. "": none was named. Valid until the next
 * message.
 */
const char *tpi_ebpf_said_program(void);

/* The end of the verifier's log, or else the last message, in one line. */
void tpi_ebpf_said_end(char *text, size_t bytes);

#endif
