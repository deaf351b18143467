/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of the scan: scan.c reads, scan_keep.c writes. */
#ifndef TPI_KUBE_SCAN_INNER_H
#define TPI_KUBE_SCAN_INNER_H

#include "tools/collectors/kubernetes/scan.h"
#include "tools/collectors/kubernetes/text.h"

#define LITERAL_BYTES 64
#define KEY_BYTES     1024

/* The two texts that are written. */
enum {
	TEXT,
	FULL,
	TEXTS
};

struct out {
	char *text;
	size_t used;
	size_t soft; /* nothing but brackets and ends goes beyond */
	bool cut;
	bool stopped; /* the string that is written has no more room */
};

/* An object or array that is open. */
struct level {
	char open; /* '{' or '[' */
	uint8_t how;
	bool metadata;       /* of the value that FULL has */
	bool written[TEXTS]; /* its bracket is in the text */
	bool has[TEXTS];     /* and a member behind it */
	const struct tpi_kube_keep *keep[TEXTS];
};

struct tpi_kube_scan {
	struct tpi_kube_scan_options options;
	/* scan.c */
	uint8_t state;
	const char *reason;
	uint64_t offset;
	bool in_key;
	struct tpi_kube_string string;
	char literal[LITERAL_BYTES + 1];
	size_t literal_used;
	/* scan_keep.c */
	struct out whole, item, full;
	struct out *out[TEXTS]; /* where the value goes that is read now */
	bool to[TEXTS];         /* the string that is read now goes there */
	size_t string_used;
	char key[KEY_BYTES];
	size_t key_used;
	bool key_long;
	size_t depth;
	size_t item_depth; /* of the element's own level. 0: in none */
	size_t full_depth;
	struct level levels[TPI_KUBE_DEPTH_MAX];
	char *memory;
};

/* scan_keep.c. Each is told of one piece, in the order of the text. */
void tpi_kube_keep_reset(struct tpi_kube_scan *scan);
int tpi_kube_keep_open(struct tpi_kube_scan *scan, char bracket);
int tpi_kube_keep_close(struct tpi_kube_scan *scan);
void tpi_kube_keep_key(struct tpi_kube_scan *scan); /* begins */
void tpi_kube_keep_string(struct tpi_kube_scan *scan);
void tpi_kube_keep_unit(void *arg, const char *unit, size_t length);
void tpi_kube_keep_string_end(struct tpi_kube_scan *scan);
void tpi_kube_keep_literal(struct tpi_kube_scan *scan);

#endif
