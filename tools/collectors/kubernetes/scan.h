/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON as it comes, in pieces cut anywhere, and keeps little of it.
 *
 * An API server sends lists of any length and objects of megabytes, of which an event needs
 * a few hundred bytes. So the bytes are looked at once, as they arrive, and only the members
 * that a table names are written out again, as JSON of a bounded size:
 *
 *	{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{...},{...}]}
 *	  |                                                            |     |
 *	  |                    one document for each item: the table's EACH  |
 *	  one document for what is around them, at its end
 *
 * The output is always valid JSON in valid UTF-8, whatever the input is:
 *   - a string that does not fit is cut between characters, a member that does not fit is
 *     left out, and the document says so (cut);
 *   - bytes that are no UTF-8, halves of surrogate pairs and \u0000 become U+FFFD, and are
 *     counted (repaired).
 * Text that is not JSON ends the stream with -EBADMSG. There is no way to find the next
 * document then, since nothing says where it begins.
 */
#ifndef TPI_KUBE_SCAN_H
#define TPI_KUBE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deeper JSON is refused. */
#define TPI_KUBE_DEPTH_MAX 256

/* The least that a document may be limited to: room for the brackets that are open. */
#define TPI_KUBE_TEXT_MIN 1024

/* tpi_kube_keep.how */
#define TPI_KEEP_EACH 1 /* of an array: each element is a document */
#define TPI_KEEP_FULL \
	2 /* of the value, or each element: its full text is wanted */
#define TPI_KEEP_SCALARS \
	4 /* of an object: members without a row, if they are scalars */

/*
 * One member that is kept. Tables end with a NULL key. The elements of an array have the
 * table of the array.
 */
struct tpi_kube_keep {
	const char *key;
	const struct tpi_kube_keep *below; /* NULL: all of the value */
	uint8_t how;
};

struct tpi_kube_document {
	const char *text; /* with a NUL at its end */
	size_t length;
	const char
		*full; /* of the value with TPI_KEEP_FULL. NULL: not wanted */
	size_t full_bytes;
	bool item;     /* an element of an EACH array, else the whole */
	bool cut;      /* `text` lacks something that the table names */
	bool full_cut; /* `full` lacks something */
	uint64_t repaired;
};

/* Valid during the call only. An error ends the scan, which returns it. */
typedef int tpi_kube_document_fn(void *arg,
				 const struct tpi_kube_document *document);

struct tpi_kube_scan_options {
	const struct tpi_kube_keep *keep;
	size_t text_bytes;   /* of a document. At least TPI_KUBE_TEXT_MIN */
	size_t string_bytes; /* of one string in it */
	size_t full_bytes;   /* 0: no full text is wanted */
	tpi_kube_document_fn *document;
	void *arg;
};

struct tpi_kube_scan;

/* -ENOMEM. All memory that the scan will ever have is allocated here. */
int tpi_kube_scan_open(struct tpi_kube_scan **out,
		       const struct tpi_kube_scan_options *options);
void tpi_kube_scan_close(struct tpi_kube_scan *scan);

/* Begins anew, for another stream. */
void tpi_kube_scan_reset(struct tpi_kube_scan *scan);

/* -EBADMSG: this is not JSON. Every later call returns the same then. */
int tpi_kube_scan_feed(struct tpi_kube_scan *scan, const void *bytes,
		       size_t length);

/* Whether a document has begun and not ended. */
bool tpi_kube_scan_inside(const struct tpi_kube_scan *scan);

/* How many bytes it has taken, and why it stopped. */
uint64_t tpi_kube_scan_offset(const struct tpi_kube_scan *scan);
const char *tpi_kube_scan_reason(const struct tpi_kube_scan *scan);

#endif
