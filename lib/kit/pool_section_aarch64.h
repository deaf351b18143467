/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the pool for aarch64. pool_section_x86_64.h
 * describes them. Included by pool_list.h alone.
 *
 * ORDER pool.list (release): the stlr of each commit: state and entry before the
 * height. Pairs with the acquire in tpi_pool_claim(). ORDER pool.entry
 * (store-store): the dmb ishst of each section: the commits on this CPU before
 * the stores of later sections. Pairs with tpi_pool_claim(). ORDER pool.state
 * (store-store): the same barrier, for the states among them. Pairs with
 * reclaim_one().
 *
 *	x9   the CPU, then the stamp	x12  an object's number
 *	x10  the CPU's list		x13  scratch
 *	x11  its height			x14  scratch
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
	"ldr w10, [%[pool], #%c[cpus]]\n\t"  \
	"cmp w9, w10\n\t"                    \
	"b.hs 5f\n\t"                        \
	"add x10, %[pool], #%c[at]\n\t"      \
	"ldr x10, [x10, x9, lsl #3]\n\t"     \
	"ldr w11, [x10]\n\t"

#define POOL_SECTION_LEAVE(tell)   \
	"2:\n\t"                   \
	"str xzr, [%[rs], #8]\n\t" \
	"b 8f\n\t"                 \
	".inst 0xd428bc00\n"       \
	"4:\n"                     \
	"5:\n\t"                   \
	"str xzr, [%[rs], #8]\n\t" tell "8:\n\t"

#define POOL_SECTION_INPUT(limit)                                          \
	[rs] "r"(tpi_rseq_area()), [pool] "r"(pool), [states] "r"(states), \
		[at] "i"(offsetof(struct tapio_pool, list_of_cpu)),        \
		[cpus] "i"(offsetof(struct tapio_pool, limit)),            \
		[cache] "i"(offsetof(struct tapio_pool, cache)),           \
		[objects] "i"(offsetof(struct tapio_pool, count)),         \
		[held_at] "i"(offsetof(struct tapio_pool, held))

/* x11 becomes the height without the top entry, x12 the top. Out when there is none. */
#define POOL_TOP                               \
	"sub w11, w11, #1\n\t"                 \
	"ldr w12, [%[pool], #%c[cache]]\n\t"   \
	"cmp w11, w12\n\t"                     \
	"b.hs 5f\n\t"                          \
	"add x13, x10, x11, lsl #2\n\t"        \
	"ldr w12, [x13, #8]\n\t"               \
	"ldr w13, [%[pool], #%c[objects]]\n\t" \
	"cmp w12, w13\n\t"                     \
	"b.hs 5f\n\t"                          \
	"add x9, x9, #16\n\t"                  \
	"add x9, x9, %[held]\n\t"              \
	"add x13, %[states], x12, lsl #3\n\t"  \
	"ldr w14, [x13]\n\t"                   \
	"cmp w14, w9\n\t"

#define DEFINE_SECTION_POP(name, limit)                                     \
	static inline int64_t name(const struct tapio_pool *pool,           \
				   uint64_t *states, uint64_t held)         \
	{                                                                   \
		int64_t index;                                              \
                                                                            \
		__asm__ __volatile__(                                       \
			POOL_SECTION_ENTER POOL_TOP                         \
			"b.ne 5f\n\t"                                       \
			"mov %[index], x12\n\t"                             \
			"dmb ishst\n\t"                                     \
			"str x9, [x13]\n\t"                                 \
			"stlr x11, [x10]\n" POOL_SECTION_LEAVE(             \
				"mov %[index], #-1\n") "dmb ishst\n\t"      \
			: [index] "=&r"(index)                              \
			: POOL_SECTION_INPUT(limit), [held] "r"(held)       \
			: "memory", "cc", "x9", "x10", "x11", "x12", "x13", \
			  "x14");                                           \
		return index;                                               \
	}

static inline bool section_drop(const struct tapio_pool *pool, uint64_t *states,
				uint64_t held)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER POOL_TOP
		"b.eq 5f\n\t"
		"dmb ishst\n\t"
		"stlr x11, [x10]\n" POOL_SECTION_LEAVE(
			"b %l[out]\n") "dmb ishst\n\t"
		: /* none */
		: POOL_SECTION_INPUT(fast_cpus), [held] "r"(held)
		: "memory", "cc", "x9", "x10", "x11", "x12", "x13", "x14"
		: out);
	return true;
out:
	return false;
}

/* x14 is the stamp, or 0 before there is one. */
#define DEFINE_SECTION_PUSH(name, COMPARE)                                     \
	static inline int name(const struct tapio_pool *pool,                  \
			       uint64_t *states, uint64_t held, uint64_t want, \
			       uint64_t index)                                 \
	{                                                                      \
		(void)want;                                                    \
		__asm__ __volatile__ goto(                                     \
			"mov x14, #0\n\t" POOL_SECTION_ENTER                   \
			"ldr w12, [%[pool], #%c[cache]]\n\t"                   \
			"cmp w11, w12\n\t"                                     \
			"b.hs 5f\n\t" COMPARE "add x9, x9, #16\n\t"            \
			"add x14, x9, %[held]\n\t"                             \
			"add x13, x10, x11, lsl #2\n\t"                        \
			"add w11, w11, #1\n\t"                                 \
			"dmb ishst\n\t"                                        \
			"str %w[index], [x13, #8]\n\t"                         \
			"str x14, [%[states], %[index], lsl #3]\n\t"           \
			"stlr x11, [x10]\n" POOL_SECTION_LEAVE(                \
				"cbnz x14, %l[cut]\n\tb %l[out]\n")            \
			: /* none */                                           \
			: POOL_SECTION_INPUT(fast_cpus), [held] "r"(held),     \
			  [want] "r"(want), [index] "r"(index)                 \
			: "memory", "cc", "x9", "x10", "x11", "x12", "x13",    \
			  "x14"                                                \
			: out, cut);                                           \
		return 0;                                                      \
out:                                                                           \
		return POOL_OUT;                                               \
cut:                                                                           \
		return POOL_CUT;                                               \
	}
#define POOL_COMPARE_ONE                             \
	"ldr x12, [%[states], %[index], lsl #3]\n\t" \
	"cmp x12, %[want]\n\t"                       \
	"b.ne 5f\n\t"
DEFINE_SECTION_PUSH(section_push, POOL_COMPARE_ONE)
DEFINE_SECTION_PUSH(section_push_unchecked, "")

/* The stamp, where the handle is to be asked for our name. */
#define POOL_STAMP                             \
	"ldr x12, [%[pool], #%c[held_at]]\n\t" \
	"add x9, x9, #16\n\t"                  \
	"add x9, x9, x12\n\t"

/* x13 is the lowest entry to be taken, less 4, and x14 the entries to go. */
static inline uint64_t section_pop_many(const struct tapio_pool *pool,
					uint64_t *states, uint32_t *indices,
					uint64_t count)
{
	__asm__ __volatile__(
		"mov x14, %[count]\n\t" POOL_SECTION_ENTER
		"sub w12, w11, #1\n\t"
		"ldr w13, [%[pool], #%c[cache]]\n\t"
		"cmp w12, w13\n\t"
		"b.hs 5f\n\t"
		"cmp x14, x11\n\t"
		"csel x14, x14, x11, lo\n\t"
		"sub x11, x11, x14\n\t"
		"mov %[count], x14\n\t"
		"add x13, x10, x11, lsl #2\n\t"
		"add x13, x13, #4\n\t" POOL_STAMP
		"ldr w15, [%[pool], #%c[objects]]\n\t"
		"dmb ishst\n"
		"7:\n\t"
		"ldr w12, [x13, x14, lsl #2]\n\t"
		"cmp w12, w15\n\t"
		"b.hs 5f\n\t"
		"add x17, %[states], x12, lsl #3\n\t"
		"ldr w16, [x17]\n\t"
		"cmp w16, w9\n\t"
		"b.ne 5f\n\t"
		"add x16, %[indices], x14, lsl #2\n\t"
		"str w12, [x16, #-4]\n\t"
		"str x9, [x17]\n\t"
		"subs x14, x14, #1\n\t"
		"b.ne 7b\n\t"
		"stlr x11, [x10]\n" POOL_SECTION_LEAVE(
			"mov %[count], #0\n") "dmb ishst\n\t"
		: [count] "+&r"(count)
		: POOL_SECTION_INPUT(fast_cpus), [indices] "r"(indices)
		: "memory", "cc", "x9", "x10", "x11", "x12", "x13", "x14",
		  "x15", "x16", "x17");
	return count;
}

/* x13 is the first free entry. */
#define DEFINE_SECTION_PUSH_MANY(name, COMPARE)                               \
	static inline uint64_t name(const struct tapio_pool *pool,            \
				    uint64_t *states, uint64_t want,          \
				    const uint32_t *indices, uint64_t count,  \
				    uint64_t *stamped)                        \
	{                                                                     \
		uint64_t done = 0;                                            \
                                                                              \
		(void)want;                                                   \
		__asm__ __volatile__(                                         \
			POOL_SECTION_ENTER                                    \
			"ldr w12, [%[pool], #%c[cache]]\n\t"                  \
			"subs w12, w12, w11\n\t"                              \
			"b.ls 5f\n\t"                                         \
			"cmp %[count], x12\n\t"                               \
			"csel %[count], %[count], x12, lo\n\t"                \
			"add x13, x10, x11, lsl #2\n\t"                       \
			"add x13, x13, #8\n\t"                                \
			"add x11, x11, %[count]\n\t" POOL_STAMP "dmb ishst\n" \
			"7:\n\t"                                              \
			"ldr w12, [%[indices], %[done], lsl #2]\n\t" COMPARE  \
			"str w12, [x13, %[done], lsl #2]\n\t"                 \
			"add %[done], %[done], #1\n\t"                        \
			"str x9, [%[states], x12, lsl #3]\n\t"                \
			"cmp %[done], %[count]\n\t"                           \
			"b.ne 7b\n\t"                                         \
			"stlr x11, [x10]\n" POOL_SECTION_LEAVE(               \
				"mov %[count], #0\n")                         \
			: [count] "+&r"(count), [done] "+&r"(done)            \
			: POOL_SECTION_INPUT(fast_cpus), [want] "r"(want),    \
			  [indices] "r"(indices)                              \
			: "memory", "cc", "x9", "x10", "x11", "x12", "x13",   \
			  "x15");                                             \
		*stamped = done;                                              \
		return count;                                                 \
	}
#define POOL_COMPARE_MANY                       \
	"ldr x15, [%[states], x12, lsl #3]\n\t" \
	"cmp x15, %[want]\n\t"                  \
	"b.ne 5f\n\t"
DEFINE_SECTION_PUSH_MANY(section_push_many, POOL_COMPARE_MANY)
DEFINE_SECTION_PUSH_MANY(section_push_many_unchecked, "")

#endif
