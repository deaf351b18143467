/* SPDX-License-Identifier: Apache-2.0 */
/* For `adjust` of struct tpi_ebpf_programs: a program that every kernel refuses. */
#ifndef TEST_EBPF_BREAK_H
#define TEST_EBPF_BREAK_H

#include <linux/bpf.h>

#include <bpf/libbpf.h>

/* Its first instruction reads a register that nothing was written to. */
static inline void ebpf_break(struct bpf_object *object, const char *name)
{
	struct bpf_program *program =
		bpf_object__find_program_by_name(object, name);
	struct bpf_insn *first = (struct bpf_insn *)bpf_program__insns(program);

	*first = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X,
				   .dst_reg = BPF_REG_0,
				   .src_reg = BPF_REG_7};
}

#endif
