/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the pool for x86-64. Included by pool.c alone.
 * section_x86_64.h tells how a section is built. pool.c tells which of our
 * stores may be cut off, and why that does no harm.
 *
 * `stamp` is the state that the object gets: our name, and TPI_PLACE_LIST + the
 * CPU that this section is for. The word of the list is operations:48 | count:16.
 */
#ifndef TPI_POOL_SECTION_X86_64_H
#define TPI_POOL_SECTION_X86_64_H

#define POOL_SECTION_ENTER                   \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n"                       \
	"3:\n\t"                             \
	".long 0, 0\n\t"                     \
	".quad 1f, 2f - 1f, 4f\n\t"          \
	".popsection\n\t"                    \
	"leaq 3b(%%rip), %%rax\n\t"          \
	"movq %%rax, 8(%[rs])\n"             \
	"1:\n\t"                             \
	"leal -16(%k[stamp]), %%eax\n\t"     \
	"cmpl %%eax, 4(%[rs])\n\t"           \
	"jne 5f\n\t"                         \
	"cmpq %[old], (%[list])\n\t"         \
	"jne 5f\n\t"

/* After the commit. 5: and 6: are ways out with nothing changed. */
#define POOL_SECTION_LEAVE                                \
	"2:\n\t"                                          \
	"movq $0, 8(%[rs])\n\t"                           \
	".pushsection .text.tapio_rseq_abort, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t"                      \
	".long 0x53053053\n"                              \
	"4:\n\t"                                          \
	"jmp %l[moved]\n"                                 \
	"5:\n\t"                                          \
	"movq $0, 8(%[rs])\n\t"                           \
	"jmp %l[moved]\n"                                 \
	"6:\n\t"                                          \
	"movq $0, 8(%[rs])\n\t"                           \
	"jmp %l[other]\n\t"                               \
	".popsection\n\t"

/* Step G3. 0, POOL_MOVED, or POOL_OTHER: the object is not in this list. */
static inline int section_pop(struct tapio_shm_pool_list *list, uint64_t old,
			      uint64_t *state, uint64_t stamp)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "cmpl %k[stamp], (%[state])\n\t"
				   "jne 6f\n\t"
				   "movq %[stamp], (%[state])\n\t"
				   "leaq 0xffff(%[old]), %%rax\n\t"
				   "movq %%rax, (%[list])\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [state] "r"(state), [stamp] "r"(stamp)
		: "memory", "cc", "rax"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

/* Step P3. 0, POOL_MOVED, or POOL_OTHER: its state is not `want`. */
static inline int section_push(struct tapio_shm_pool_list *list, uint64_t old,
			       uint64_t *state, uint64_t stamp, uint64_t want,
			       uint32_t index)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "cmpq %[want], (%[state])\n\t"
				   "jne 6f\n\t"
				   "movzwl %w[old], %%ecx\n\t"
				   "movl %[index], 8(%[list], %%rcx, 4)\n\t"
				   "movq %[stamp], (%[state])\n\t"
				   "leaq 0x10001(%[old]), %%rax\n\t"
				   "movq %%rax, (%[list])\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [state] "r"(state), [stamp] "r"(stamp), [want] "r"(want),
		  [index] "r"(index)
		: "memory", "cc", "rax", "rcx"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

/* Step G3 for `count` objects from the top: all or none. */
static inline int section_pop_many(struct tapio_shm_pool_list *list,
				   uint64_t old, uint64_t *states,
				   uint64_t stamp, const uint32_t *indices,
				   uint64_t count)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "xorl %%edx, %%edx\n"
				   "7:\n\t"
				   "movl (%[indices], %%rdx, 4), %%eax\n\t"
				   "cmpl %k[stamp], (%[states], %%rax, 8)\n\t"
				   "jne 6f\n\t"
				   "movq %[stamp], (%[states], %%rax, 8)\n\t"
				   "incq %%rdx\n\t"
				   "cmpq %[count], %%rdx\n\t"
				   "jb 7b\n\t"
				   "leaq 0x10000(%[old]), %%rax\n\t"
				   "subq %[count], %%rax\n\t"
				   "movq %%rax, (%[list])\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [states] "r"(states), [stamp] "r"(stamp),
		  [indices] "r"(indices), [count] "r"(count)
		: "memory", "cc", "rax", "rdx"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

/* Step P3 for `count` objects that are in our hands. There is room. */
static inline int section_push_many(struct tapio_shm_pool_list *list,
				    uint64_t old, uint64_t *states,
				    uint64_t stamp, const uint32_t *indices,
				    uint64_t count)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "movzwl %w[old], %%ecx\n\t"
				   "leaq 8(%[list], %%rcx, 4), %%rcx\n\t"
				   "xorl %%edx, %%edx\n"
				   "7:\n\t"
				   "movl (%[indices], %%rdx, 4), %%eax\n\t"
				   "movl %%eax, (%%rcx, %%rdx, 4)\n\t"
				   "movq %[stamp], (%[states], %%rax, 8)\n\t"
				   "incq %%rdx\n\t"
				   "cmpq %[count], %%rdx\n\t"
				   "jb 7b\n\t"
				   "leaq 0x10000(%[old], %[count]), %%rax\n\t"
				   "movq %%rax, (%[list])\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [states] "r"(states), [stamp] "r"(stamp),
		  [indices] "r"(indices), [count] "r"(count)
		: "memory", "cc", "rax", "rcx", "rdx"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

#endif
