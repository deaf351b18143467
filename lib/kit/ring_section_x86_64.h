/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable section of the ring for x86-64, L3 of ring_log.c, which alone includes
 * it. section_x86_64.h of lib/lane tells how a section is built. Here the commit is the
 * compare-and-swap of the cell: one instruction, so the kernel aborts before it or not
 * at all. ring_log.c tells which of the stores before it may be cut off.
 */
#ifndef TPI_RING_SECTION_X86_64_H
#define TPI_RING_SECTION_X86_64_H

static inline enum section_end section_put(const struct section *s)
{
	__asm__ __volatile__ goto(
		".pushsection __rseq_cs, \"aw\"\n\t"
		".balign 32\n"
		"3:\n\t"
		".long 0, 0\n\t"
		".quad 1f, 2f - 1f, 4f\n\t"
		".popsection\n\t"
		"leaq 3b(%%rip), %%rax\n\t"
		"movq %%rax, %%fs:8(%[rs])\n"
		"1:\n\t"
		"movl (%[s]), %%eax\n\t"
		"cmpl %%eax, %%fs:4(%[rs])\n\t"
		"jne 5f\n\t"
		"movq 8(%[s]), %%r8\n\t"
		"movq 16(%[s]), %%rax\n\t"
		"cmpq %%rax, (%%r8)\n\t"
		"jne 5f\n\t"
		/* 32 bytes at a time, the last 32 again up to the end. */
		"movq 32(%[s]), %%rcx\n\t"
		"movq 40(%[s]), %%rbx\n\t"
		"movq 48(%[s]), %%rdx\n\t"
		"subq $32, %%rdx\n\t"
		"xorl %%eax, %%eax\n"
		"6:\n\t"
		"movups (%%rcx, %%rax), %%xmm0\n\t"
		"movups 16(%%rcx, %%rax), %%xmm1\n\t"
		"movups %%xmm0, (%%rbx, %%rax)\n\t"
		"movups %%xmm1, 16(%%rbx, %%rax)\n\t"
		"addq $32, %%rax\n\t"
		"cmpq %%rdx, %%rax\n\t"
		"jb 6b\n\t"
		"movups (%%rcx, %%rdx), %%xmm0\n\t"
		"movups 16(%%rcx, %%rdx), %%xmm1\n\t"
		"movups %%xmm0, (%%rbx, %%rdx)\n\t"
		"movups %%xmm1, 16(%%rbx, %%rdx)\n\t"
		"movq 56(%[s]), %%rcx\n\t"
		"movq 64(%[s]), %%rax\n\t"
		"movq %%rax, (%%rcx)\n\t"
		"movq 24(%[s]), %%rax\n\t"
		"movq %%rax, (%%r8)\n\t"
		"movq 72(%[s]), %%r8\n\t"
		"movq 80(%[s]), %%rax\n\t"
		"movq 88(%[s]), %%rdx\n\t"
		"movq 96(%[s]), %%rbx\n\t"
		"movq 104(%[s]), %%rcx\n\t"
		"lock cmpxchg16b (%%r8)\n"
		"2:\n\t"
		"movq $0, %%fs:8(%[rs])\n\t"
		"jne %l[late]\n\t"
		".pushsection .text.tapio_rseq_abort, \"ax\"\n\t"
		".byte 0x0f, 0xb9, 0x3d\n\t"
		".long 0x53053053\n"
		"4:\n\t"
		"jmp %l[moved]\n"
		"5:\n\t"
		"movq $0, %%fs:8(%[rs])\n\t"
		"jmp %l[moved]\n\t"
		".popsection\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_offset), [s] "r"(s)
		: "memory", "cc", "rax", "rbx", "rcx", "rdx", "r8", "xmm0",
		  "xmm1"
		: moved, late);
	return SECTION_DONE;
moved:
	return SECTION_MOVED;
late:
	return SECTION_LATE;
}

#endif
