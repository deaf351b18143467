/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable section of the ring for aarch64, L3 of ring_log.c, which alone includes
 * it. ring_section_x86_64.h describes it. The commit is the store of an exclusive pair.
 * When that fails, nothing was put, and it counts as moved. ORDER ring.cell (release):
 * the stlxp: the values before the turn. Pairs with tpi_ring_turn(). x9 to x15 are
 * scratch.
 */
#ifndef TPI_RING_SECTION_AARCH64_H
#define TPI_RING_SECTION_AARCH64_H

static inline enum section_end section_put(const struct section *s)
{
	__asm__ __volatile__ goto(".pushsection __rseq_cs, \"aw\"\n\t"
				  ".balign 32\n"
				  "3:\n\t"
				  ".long 0, 0\n\t"
				  ".quad 1f, 2f - 1f, 4f\n\t"
				  ".popsection\n\t"
				  "adrp x9, 3b\n\t"
				  "add x9, x9, :lo12:3b\n\t"
				  "str x9, [%[rs], #8]\n"
				  "1:\n\t"
				  "ldr w9, [%[rs], #4]\n\t"
				  "ldr w10, [%[s]]\n\t"
				  "cmp w9, w10\n\t"
				  "b.ne 5f\n\t"
				  "ldp x11, x10, [%[s], #8]\n\t"
				  "ldr x9, [x11]\n\t"
				  "cmp x9, x10\n\t"
				  "b.ne 5f\n\t"
				  "ldp x9, x10, [%[s], #32]\n\t"
				  "ldr x12, [%[s], #48]\n"
				  "7:\n\t"
				  "subs x12, x12, #8\n\t"
				  "ldr x13, [x9, x12]\n\t"
				  "str x13, [x10, x12]\n\t"
				  "b.ne 7b\n\t"
				  "ldp x9, x10, [%[s], #56]\n\t"
				  "str x10, [x9]\n\t"
				  "ldr x9, [%[s], #24]\n\t"
				  "str x9, [x11]\n\t"
				  "ldr x9, [%[s], #72]\n\t"
				  "ldp x10, x11, [%[s], #80]\n\t"
				  "ldp x12, x13, [%[s], #96]\n\t"
				  "ldaxp x14, x15, [x9]\n\t"
				  "cmp x14, x10\n\t"
				  "ccmp x15, x11, #0, eq\n\t"
				  "b.ne 6f\n\t"
				  "stlxp w14, x12, x13, [x9]\n"
				  "2:\n\t"
				  "str xzr, [%[rs], #8]\n\t"
				  "cbnz w14, %l[moved]\n\t"
				  "b 8f\n\t"
				  ".inst 0xd428bc00\n"
				  "4:\n\t"
				  "b %l[moved]\n"
				  "5:\n\t"
				  "str xzr, [%[rs], #8]\n\t"
				  "b %l[moved]\n"
				  "6:\n\t"
				  "clrex\n\t"
				  "str xzr, [%[rs], #8]\n\t"
				  "b %l[late]\n"
				  "8:\n\t"
				  : /* none */
				  : [rs] "r"(tpi_rseq_area()), [s] "r"(s)
				  : "memory", "cc", "x9", "x10", "x11", "x12",
				    "x13", "x14", "x15"
				  : moved, late);
	return SECTION_DONE;
moved:
	return SECTION_MOVED;
late:
	return SECTION_LATE;
}

#endif
