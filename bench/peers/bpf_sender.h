/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A BPF ring buffer, and a BPF program that sends into it when it is told to, for
 * stream_bpf.c. By the bare system call: the program is a dozen instructions and
 * written by hand, so that neither a compiler for it nor a library is needed.
 */
#ifndef BENCH_BPF_SENDER_H
#define BENCH_BPF_SENDER_H

#include <stdbool.h>
#include <stdint.h>

/* The only element of an array that a program and its user map. */
struct bpf_send {
	uint64_t word[128]; /* the event. The program sets the first word */
	uint64_t from;      /* set by the program, which counts on from it */
	uint64_t count;     /* how many events it is to send */
};

struct bpf_sender {
	int program;
	struct bpf_send *send;
};

#define BPF_SENDER_NONE ((struct bpf_sender){.program = -1})

/* A descriptor, or negative with bench_why() called. */
int bpf_ring_make(uint32_t ring_bytes);

/*
 * Loads a program that sends events of `bytes`. With `wakes` it wakes a sleeping
 * reader when the ring was empty. 0, or negative with bench_why() called.
 */
int bpf_sender_open(struct bpf_sender *sender, int ring, uint32_t bytes,
		    bool wakes);
void bpf_sender_close(struct bpf_sender *sender);

/*
 * Sends up to `count` events with the first words from, from + 1, ... How many, or
 * negative with bench_why() called.
 */
int bpf_sender_run(const struct bpf_sender *sender, uint64_t from,
		   uint64_t count);

#endif
