/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of a stream: stream.c asks, stream_take.c takes what comes. */
#ifndef TPI_KUBE_STREAM_INNER_H
#define TPI_KUBE_STREAM_INNER_H

#include "tools/collectors/kubernetes/stream.h"

#define VERSION_BYTES 128
/* The longest token of a page that goes into a URL. */
#define NEXT_BYTES 4096

enum tpi_kube_state {
	TPI_KUBE_RESOLVE,
	TPI_KUBE_LIST,
	TPI_KUBE_WATCH,
};

/* The rest of an answer, besides its objects. */
struct tpi_kube_said {
	bool list_ended; /* a list with a version */
	long error;      /* code of a Status. 0: none */
	char message[256];
	uint64_t events; /* of a watch, bookmarks too */
};

struct tpi_kube_stream {
	struct tpi_kube_shared *shared;
	struct tpi_kube_resource resource;
	const char *name_space;
	char where[TPI_KUBE_NAME_BYTES + 128]; /* for messages */
	enum tpi_kube_state state;
	struct tpi_kube_request request;
	bool running;
	int64_t next_ns; /* when to ask next */
	struct tpi_kube_backoff backoff;
	struct tpi_kube_discovery *discovery;
	struct tpi_kube_scan *list_scan;
	struct tpi_kube_scan *watch_scan;
	struct tpi_kube_said said;
	struct tpi_kube_known known;
	bool listed;                 /* once at least, to the end */
	bool paging;                 /* in a list, behind its first page */
	bool unsure;                 /* an item of the list could not be read */
	char version[VERSION_BYTES]; /* to watch from */
	char next[NEXT_BYTES];       /* of the next page. "": none */
	const char *loss;    /* cause that the next list ends. NULL: none */
	uint64_t loss_count; /* TPI_LOSS_UNKNOWN */
	char loss_message[256];
	char loss_before[VERSION_BYTES];
	bool told_failure; /* and what it was: */
	char failure[TPI_KUBE_WHY_BYTES];
	struct tpi_kube_stream_counts counts;
};

/* stream_take.c: handlers of the scans. */
int tpi_kube_take_list(void *arg, const struct tpi_kube_document *document);
int tpi_kube_take_watch(void *arg, const struct tpi_kube_document *document);

/* After the last page: tells what has gone. -EINTR */
int tpi_kube_take_gone(struct tpi_kube_stream *stream);

/* Notes that changes were lost, to be told with the next list. */
void tpi_kube_note_loss(struct tpi_kube_stream *stream, const char *cause,
			uint64_t count, const char *message);
void tpi_kube_tell_loss(struct tpi_kube_stream *stream);

/* stream.c: an answer came that is one. */
void tpi_kube_works(struct tpi_kube_stream *stream);

/* stream_path.c: the path of the next request, to be freed. NULL: no memory. */
char *tpi_kube_stream_path(const struct tpi_kube_stream *stream);

#endif
