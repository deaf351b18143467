/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See bpf_sender.h. The program is of the type that BPF_PROG_RUN runs. Its
 * result is the number of events that it has sent.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/frame/bench.h"
#include "bench/peers/bpf_sender.h"

/* A loop that the verifier walks through in a few milliseconds. */
#define RUN_EVENTS 1024

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int bpf_ring_make(uint32_t ring_bytes)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_RINGBUF,
		.max_entries = ring_bytes,
	};
	int ring = bpf(BPF_MAP_CREATE, &attr);

	if (ring < 0)
		bench_why("no BPF ring buffer: %s", strerror(errno));
	return ring;
}

static int make_array(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = sizeof(uint32_t),
		.value_size = sizeof(struct bpf_send),
		.max_entries = 1,
		.map_flags = BPF_F_MMAPABLE,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

/* ---- the program --------------------------------------------------------- */

struct wanted {
	int ring;
	int array;
	uint32_t bytes;
	bool wakes;
};

#define INSN(c, d, s, o, i)                        \
	((struct bpf_insn){.code = (c),            \
			   .dst_reg = BPF_REG_##d, \
			   .src_reg = (s),         \
			   .off = (o),             \
			   .imm = (i)})
#define SET_REG(d, s)    INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, BPF_REG_##s, 0, 0)
#define SET(d, i)        INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)        INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o)    INSN(BPF_LDX | BPF_MEM | BPF_DW, d, BPF_REG_##s, o, 0)
#define STORE(d, o, s)   INSN(BPF_STX | BPF_MEM | BPF_DW, d, BPF_REG_##s, o, 0)
#define JUMP_GE(d, s, o) INSN(BPF_JMP | BPF_JGE | BPF_X, d, BPF_REG_##s, o, 0)
#define JUMP_NE(d, i, o) INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define JUMP_LT(d, i, o) INSN(BPF_JMP | BPF_JLT | BPF_K, d, 0, o, i)
#define CALL(function)   INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##function)
#define EXIT             INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Two slots: a map, or the address of its element. */
#define SET_MAP(d, how, fd)                                          \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_##how, 0, fd), \
		INSN(0, 0, 0, 0, 0)

/*
 *	for (r9 = 0; r9 < send->count && r9 < RUN_EVENTS; r9++, r7++) {
 *		send->word[0] = r7;
 *		if (bpf_ringbuf_output(ring, send, bytes, flags))
 *			break;
 *	}
 *	return r9;
 */
static int load(const struct wanted *wanted, char *log, uint32_t log_bytes)
{
	const int flags = wanted->wakes ? 0 : BPF_RB_NO_WAKEUP;
	const struct bpf_insn code[] = {
		SET_MAP(6, MAP_VALUE, wanted->array),
		LOAD(7, 6, offsetof(struct bpf_send, from)),
		LOAD(8, 6, offsetof(struct bpf_send, count)),
		SET(9, 0),
		JUMP_GE(9, 8, 11), /* to the last SET_REG */
		STORE(6, 0, 7),
		SET_MAP(1, MAP_FD, wanted->ring),
		SET_REG(2, 6),
		SET(3, (int)wanted->bytes),
		SET(4, flags),
		CALL(ringbuf_output),
		JUMP_NE(0, 0, 3),
		ADD(7, 1),
		ADD(9, 1),
		JUMP_LT(9, RUN_EVENTS, -12), /* to JUMP_GE */
		SET_REG(0, 9),
		EXIT,
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SYSCALL,
		.prog_flags = BPF_F_SLEEPABLE,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(code[0]),
		.license = (uintptr_t) "Apache-2.0",
		.log_buf = (uintptr_t)log,
		.log_size = log_bytes,
		.log_level = log ? 1 : 0,
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

/* The reason is the last line of what the verifier says. */
static void say_refused(const struct wanted *wanted)
{
	static char log[65536];
	int err = errno;
	char *end = log;

	if (load(wanted, log, sizeof(log)) < 0)
		end = log + strnlen(log, sizeof(log) - 1);
	while (end > log && end[-1] == '\n')
		*--end = 0;
	end = strrchr(log, '\n');
	bench_why("the kernel takes no BPF program: %s; %s", strerror(err),
		  end ? end + 1 : log);
}

static int map_array(struct bpf_sender *sender, int array)
{
	void *memory = mmap(NULL, sizeof(*sender->send), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, array, 0);

	if (memory == MAP_FAILED) {
		bench_why("a BPF array cannot be mapped: %s", strerror(errno));
		return -1;
	}
	sender->send = memory;
	return 0;
}

int bpf_sender_open(struct bpf_sender *sender, int ring, uint32_t bytes,
		    bool wakes)
{
	const struct wanted wanted = {ring, make_array(), bytes, wakes};
	int err = -1;

	*sender = BPF_SENDER_NONE;
	if (wanted.array < 0) {
		bench_why("no BPF array: %s", strerror(errno));
		return -1;
	}
	sender->program = load(&wanted, NULL, 0);
	if (sender->program < 0)
		say_refused(&wanted);
	else
		err = map_array(sender, wanted.array);
	/* It goes with the last mapping and the program. */
	close(wanted.array);
	if (err)
		bpf_sender_close(sender);
	return err;
}

void bpf_sender_close(struct bpf_sender *sender)
{
	if (sender->send)
		munmap(sender->send, sizeof(*sender->send));
	if (sender->program >= 0)
		close(sender->program);
	*sender = BPF_SENDER_NONE;
}

int bpf_sender_run(const struct bpf_sender *sender, uint64_t from,
		   uint64_t count)
{
	union bpf_attr attr = {.test.prog_fd = (uint32_t)sender->program};

	sender->send->from = from;
	sender->send->count = count;
	if (bpf(BPF_PROG_RUN, &attr)) {
		bench_why("BPF_PROG_RUN: %s", strerror(errno));
		return -1;
	}
	return (int)attr.test.retval;
}
