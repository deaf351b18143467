/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the pool for aarch64. pool_section_x86_64.h
 * describes them. Included by pool.c alone.
 *
 * ORDER pool.list (release): the stlr of each commit: state and entry before the
 * word. Pairs with the acquire in tpi_pool_claim(). ORDER pool.entry
 * (store-store): the dmb ishst of each section: the commits on this CPU before
 * the stores of later sections. Pairs with tpi_pool_claim(). ORDER pool.state
 * (store-store): the same barrier, for the states among them. Pairs with
 * reclaim_one().
 *
 * x9 to x12 are scratch.
 */
#ifndef TPI_POOL_SECTION_AARCH64_H
#define TPI_POOL_SECTION_AARCH64_H

#define POOL_SECTION_ENTER                   \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n"                       \
	"3:\n\t"                             \
	".long 0, 0\n\t"                     \
	".quad 1f, 2f - 1f, 4f\n\t"          \
	".popsection\n\t"                    \
	"adrp x9, 3b\n\t"                    \
	"add x9, x9, :lo12:3b\n\t"           \
	"str x9, [%[rs], #8]\n"              \
	"1:\n\t"                             \
	"ldr w9, [%[rs], #4]\n\t"            \
	"sub w10, %w[stamp], #16\n\t"        \
	"cmp w9, w10\n\t"                    \
	"b.ne 5f\n\t"                        \
	"ldr x9, [%[list]]\n\t"              \
	"cmp x9, %[old]\n\t"                 \
	"b.ne 5f\n\t"

#define POOL_SECTION_LEAVE         \
	"2:\n\t"                   \
	"str xzr, [%[rs], #8]\n\t" \
	"b 8f\n\t"                 \
	".inst 0xd428bc00\n"       \
	"4:\n\t"                   \
	"b %l[moved]\n"            \
	"5:\n\t"                   \
	"str xzr, [%[rs], #8]\n\t" \
	"b %l[moved]\n"            \
	"6:\n\t"                   \
	"str xzr, [%[rs], #8]\n\t" \
	"b %l[other]\n"            \
	"8:\n\t"

static inline int section_pop(struct tapio_shm_pool_list *list, uint64_t old,
			      uint64_t *state, uint64_t stamp)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "ldr w9, [%[state]]\n\t"
				   "cmp w9, %w[stamp]\n\t"
				   "b.ne 6f\n\t"
				   "dmb ishst\n\t"
				   "str %[stamp], [%[state]]\n\t"
				   "add x9, %[old], #16, lsl #12\n\t"
				   "sub x9, x9, #1\n\t"
				   "stlr x9, [%[list]]\n" POOL_SECTION_LEAVE
				   "dmb ishst\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [state] "r"(state), [stamp] "r"(stamp)
		: "memory", "cc", "x9", "x10", "x11"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

static inline int section_push(struct tapio_shm_pool_list *list, uint64_t old,
			       uint64_t *state, uint64_t stamp, uint64_t want,
			       uint32_t index)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "ldr x9, [%[state]]\n\t"
				   "cmp x9, %[want]\n\t"
				   "b.ne 6f\n\t"
				   "and x10, %[old], #0xffff\n\t"
				   "add x10, %[list], x10, lsl #2\n\t"
				   "dmb ishst\n\t"
				   "str %w[index], [x10, #8]\n\t"
				   "str %[stamp], [%[state]]\n\t"
				   "add x9, %[old], #16, lsl #12\n\t"
				   "add x9, x9, #1\n\t"
				   "stlr x9, [%[list]]\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [state] "r"(state), [stamp] "r"(stamp), [want] "r"(want),
		  [index] "r"(index)
		: "memory", "cc", "x9", "x10", "x11"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

static inline int section_pop_many(struct tapio_shm_pool_list *list,
				   uint64_t old, uint64_t *states,
				   uint64_t stamp, const uint32_t *indices,
				   uint64_t count)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "dmb ishst\n\t"
				   "mov x10, #0\n"
				   "7:\n\t"
				   "ldr w9, [%[indices], x10, lsl #2]\n\t"
				   "add x11, %[states], x9, lsl #3\n\t"
				   "ldr w12, [x11]\n\t"
				   "cmp w12, %w[stamp]\n\t"
				   "b.ne 6f\n\t"
				   "str %[stamp], [x11]\n\t"
				   "add x10, x10, #1\n\t"
				   "cmp x10, %[count]\n\t"
				   "b.lo 7b\n\t"
				   "add x9, %[old], #16, lsl #12\n\t"
				   "sub x9, x9, %[count]\n\t"
				   "stlr x9, [%[list]]\n" POOL_SECTION_LEAVE
				   "dmb ishst\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [states] "r"(states), [stamp] "r"(stamp),
		  [indices] "r"(indices), [count] "r"(count)
		: "memory", "cc", "x9", "x10", "x11", "x12"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

static inline int section_push_many(struct tapio_shm_pool_list *list,
				    uint64_t old, uint64_t *states,
				    uint64_t stamp, const uint32_t *indices,
				    uint64_t count)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER "and x11, %[old], #0xffff\n\t"
				   "add x11, %[list], x11, lsl #2\n\t"
				   "add x11, x11, #8\n\t"
				   "dmb ishst\n\t"
				   "mov x10, #0\n"
				   "7:\n\t"
				   "ldr w9, [%[indices], x10, lsl #2]\n\t"
				   "str w9, [x11, x10, lsl #2]\n\t"
				   "str %[stamp], [%[states], x9, lsl #3]\n\t"
				   "add x10, x10, #1\n\t"
				   "cmp x10, %[count]\n\t"
				   "b.lo 7b\n\t"
				   "add x9, %[old], #16, lsl #12\n\t"
				   "add x9, x9, %[count]\n\t"
				   "stlr x9, [%[list]]\n" POOL_SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [list] "r"(list), [old] "r"(old),
		  [states] "r"(states), [stamp] "r"(stamp),
		  [indices] "r"(indices), [count] "r"(count)
		: "memory", "cc", "x9", "x10", "x11", "x12"
		: moved, other);
	return 0;
moved:
	return POOL_MOVED;
other:
	return POOL_OTHER;
}

#endif
