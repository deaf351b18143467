/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting peers when they are first asked for, and stopping them at the end, in
 * reverse: daemons, environments. Each is started once, whatever came of it.
 */
#include "bench/frame/frame.h"

#define PEERS_MAX 128

static struct started {
	const struct bench_peer *peer;
	int err;
	char why[BENCH_WHY_BYTES];
} started[PEERS_MAX];
static unsigned int count;

static struct started *find(const struct bench_peer *peer)
{
	for (unsigned int i = 0; i < count; i++)
		if (started[i].peer == peer)
			return &started[i];
	return NULL;
}

static struct started *start(const struct bench_peer *peer)
{
	struct started *s = &started[count++];

	s->peer = peer;
	s->err = peer->start();
	if (s->err)
		snprintf(s->why, sizeof(s->why), "%s", bench_why_taken());
	return s;
}

int bench_peer_start(const struct bench_peer *peer, const char **why)
{
	struct started *s = find(peer);

	*why = "";
	if (!peer->start)
		return 0;
	if (!s) {
		if (count == PEERS_MAX) {
			*why = "more peers than the frame has room for";
			return -1;
		}
		s = start(peer);
	}
	*why = s->why;
	return s->err;
}

void bench_peers_stop(void)
{
	while (count) {
		const struct started *s = &started[--count];

		if (!s->err && s->peer->stop)
			s->peer->stop();
	}
}
