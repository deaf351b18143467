/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers in a message of DNS. It comes from the network: each length and offset in it
 * is held against what there is, and names are followed for a bounded number of steps.
 */
#ifndef TPI_EBPF_DNS_H
#define TPI_EBPF_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TPI_DNS_TEXT_BYTES 1024

struct tpi_dns_answers {
	uint32_t ttl_seconds; /* the least. UINT32_MAX: there is no answer */
	uint32_t text_bytes;
	bool cut; /* the message or the text is not whole */
	/* Addresses, and names of CNAME, NS and PTR, with a space between them. */
	char text[TPI_DNS_TEXT_BYTES];
};

/* `at`: behind the question. */
void tpi_dns_read(const uint8_t *message, size_t bytes, size_t at,
		  struct tpi_dns_answers *answers);

#endif
