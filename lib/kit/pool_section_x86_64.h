/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the pool for x86-64. Included by pool_list.h alone.
 * section_x86_64.h tells how a section is built. pool.c tells which of our
 * stores may be cut off, and why that does no harm.
 *
 * A section begins before it has looked at anything. So what it loads is of one CPU and
 * one moment, and it looks at nothing twice. Beside its end it has one way out, with
 * nothing committed. The caller finds out why (tpi_pool_why()).
 *
 *	rax  the CPU, then the stamp, which is the state that the object gets:
 *	     our name, and TPI_PLACE_LIST + the CPU
 *	rcx  the CPU's list
 *	rdx  its height
 *
 * Operands are few: at -O0 and under ASan registers run out. So a section loads from
 * the handle what it needs once.
 */
#ifndef TPI_POOL_SECTION_X86_64_H
#define TPI_POOL_SECTION_X86_64_H

#define POOL_SECTION_ENTER                          \
	".pushsection __rseq_cs, \"aw\"\n\t"        \
	".balign 32\n"                              \
	"3:\n\t"                                    \
	".long 0, 0\n\t"                            \
	".quad 1f, 2f - 1f, 4f\n\t"                 \
	".popsection\n\t"                           \
	"leaq 3b(%%rip), %%rax\n\t"                 \
	"movq %%rax, %%fs:8(%[rs])\n"               \
	"1:\n\t"                                    \
	"movl %%fs:4(%[rs]), %%eax\n\t"             \
	"cmpl %c[cpus](%[pool]), %%eax\n\t"         \
	"jae 5f\n\t"                                \
	"movq %c[at](%[pool], %%rax, 8), %%rcx\n\t" \
	"movl (%%rcx), %%edx\n\t"

/*
 * After the commit. 4: is where the kernel sends us, 5: the way out. `tell` tells the
 * caller. It ends with a jump: to 8:, or to a label of C. An `asm goto` has no outputs
 * here: gcc 12 drops what C assigns on the way to its label.
 */
#define POOL_SECTION_LEAVE(tell)                          \
	"2:\n\t"                                          \
	"movq $0, %%fs:8(%[rs])\n\t"                      \
	".pushsection .text.tapio_rseq_abort, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t"                      \
	".long 0x53053053\n"                              \
	"4:\n"                                            \
	"5:\n\t"                                          \
	"movq $0, %%fs:8(%[rs])\n\t" tell ".popsection\n" \
	"8:\n\t"

#define POOL_SECTION_INPUT(limit)                                          \
	[rs] "r"(tpi_rseq_offset), [pool] "r"(pool), [states] "r"(states), \
		[at] "i"(offsetof(struct tapio_pool, list_of_cpu)),        \
		[cpus] "i"(offsetof(struct tapio_pool, limit)),            \
		[cache] "i"(offsetof(struct tapio_pool, cache)),           \
		[objects] "i"(offsetof(struct tapio_pool, count)),         \
		[held_at] "i"(offsetof(struct tapio_pool, held))

/* rdx becomes the height without the top entry. Out when there is none. */
#define POOL_TOP                             \
	"subl $1, %%edx\n\t"                 \
	"cmpl %c[cache](%[pool]), %%edx\n\t" \
	"jae 5f\n\t"

/*
 * Step G3 for the top of the list. Its number, or less than 0. `limit` is the field of
 * the handle that says which CPUs have lists for this call.
 */
#define DEFINE_SECTION_POP(name, limit)                               \
	static inline int64_t name(const struct tapio_pool *pool,     \
				   uint64_t *states, uint64_t held)   \
	{                                                             \
		int64_t index;                                        \
                                                                      \
		__asm__ __volatile__(                                 \
			POOL_SECTION_ENTER POOL_TOP                   \
			"movl 8(%%rcx, %%rdx, 4), %k[index]\n\t"      \
			"cmpl %c[objects](%[pool]), %k[index]\n\t"    \
			"jae 5f\n\t"                                  \
			"leaq 16(%[held], %%rax), %%rax\n\t"          \
			"cmpl %%eax, (%[states], %[index], 8)\n\t"    \
			"jne 5f\n\t"                                  \
			"movq %%rax, (%[states], %[index], 8)\n\t"    \
			"movq %%rdx, (%%rcx)\n" POOL_SECTION_LEAVE(   \
				"movq $-1, %[index]\n\t"              \
				"jmp 8f\n\t")                         \
			: [index] "=&r"(index)                        \
			: POOL_SECTION_INPUT(limit), [held] "r"(held) \
			: "memory", "cc", "rax", "rcx", "rdx");       \
		return index;                                         \
	}

/* Argument 5: takes the top entry off, if the state of its object contradicts it. */
static inline bool section_drop(const struct tapio_pool *pool, uint64_t *states,
				uint64_t held)
{
	__asm__ __volatile__ goto(
		POOL_SECTION_ENTER POOL_TOP
		"movl 8(%%rcx, %%rdx, 4), %%r8d\n\t"
		"cmpl %c[objects](%[pool]), %%r8d\n\t"
		"jae 5f\n\t"
		"leaq 16(%[held], %%rax), %%rax\n\t"
		"cmpl %%eax, (%[states], %%r8, 8)\n\t"
		"je 5f\n\t"
		"movq %%rdx, (%%rcx)\n" POOL_SECTION_LEAVE("jmp %l[out]\n\t")
		: /* none */
		: POOL_SECTION_INPUT(fast_cpus), [held] "r"(held)
		: "memory", "cc", "rax", "rcx", "rdx", "r8"
		: out);
	return true;
out:
	return false;
}

/* Step P3. 0, POOL_OUT or POOL_CUT. r8 is the stamp, or 0 before there is one. */
#define DEFINE_SECTION_PUSH(name, COMPARE)                                     \
	static inline int name(const struct tapio_pool *pool,                  \
			       uint64_t *states, uint64_t held, uint64_t want, \
			       uint64_t index)                                 \
	{                                                                      \
		(void)want;                                                    \
		__asm__ __volatile__ goto(                                     \
			"xorl %%r8d, %%r8d\n\t" POOL_SECTION_ENTER             \
			"cmpl %c[cache](%[pool]), %%edx\n\t"                   \
			"jae 5f\n\t" COMPARE                                   \
			"leaq 16(%[held], %%rax), %%r8\n\t"                    \
			"movl %k[index], 8(%%rcx, %%rdx, 4)\n\t"               \
			"movq %%r8, (%[states], %[index], 8)\n\t"              \
			"addl $1, %%edx\n\t"                                   \
			"movq %%rdx, (%%rcx)\n" POOL_SECTION_LEAVE(            \
				"testq %%r8, %%r8\n\t"                         \
				"jnz %l[cut]\n\t"                              \
				"jmp %l[out]\n\t")                             \
			: /* none */                                           \
			: POOL_SECTION_INPUT(fast_cpus), [held] "r"(held),     \
			  [want] "r"(want), [index] "r"(index)                 \
			: "memory", "cc", "rax", "rcx", "rdx", "r8"            \
			: out, cut);                                           \
		return 0;                                                      \
out:                                                                           \
		return POOL_OUT;                                               \
cut:                                                                           \
		return POOL_CUT;                                               \
	}
#define POOL_COMPARE_ONE                             \
	"cmpq %[want], (%[states], %[index], 8)\n\t" \
	"jne 5f\n\t"
DEFINE_SECTION_PUSH(section_push, POOL_COMPARE_ONE)
DEFINE_SECTION_PUSH(section_push_unchecked, "")

/* The stamp, where the handle is to be asked for our name. */
#define POOL_STAMP            \
	"addq $16, %%rax\n\t" \
	"addq %c[held_at](%[pool]), %%rax\n"

/*
 * Step G3 for up to `count` objects from the top. How many, or 0. The top comes last in
 * `indices`.
 *
 *	rax  CPU, stamp		r8   an object's number
 *	rcx  list		r9   the lowest entry to be taken, less 4
 *	rdx  height afterwards	r10  entries to go
 */
static inline uint64_t section_pop_many(const struct tapio_pool *pool,
					uint64_t *states, uint32_t *indices,
					uint64_t count)
{
	__asm__ __volatile__(
		"movq %[count], %%r10\n\t" POOL_SECTION_ENTER
		"leal -1(%%rdx), %%r8d\n\t"
		"cmpl %c[cache](%[pool]), %%r8d\n\t"
		"jae 5f\n\t"
		"cmpl %%edx, %%r10d\n\t"
		"cmoval %%edx, %%r10d\n\t"
		"subl %%r10d, %%edx\n\t"
		"movq %%r10, %[count]\n\t"
		"leaq 4(%%rcx, %%rdx, 4), %%r9\n\t" POOL_STAMP "7:\n\t"
		"movl (%%r9, %%r10, 4), %%r8d\n\t"
		"cmpl %c[objects](%[pool]), %%r8d\n\t"
		"jae 5f\n\t"
		"cmpl %%eax, (%[states], %%r8, 8)\n\t"
		"jne 5f\n\t"
		"movl %%r8d, -4(%[indices], %%r10, 4)\n\t"
		"movq %%rax, (%[states], %%r8, 8)\n\t"
		"subq $1, %%r10\n\t"
		"jnz 7b\n\t"
		"movq %%rdx, (%%rcx)\n" POOL_SECTION_LEAVE(
			"xorl %k[count], %k[count]\n\t"
			"jmp 8f\n\t")
		: [count] "+&r"(count)
		: POOL_SECTION_INPUT(fast_cpus), [indices] "r"(indices)
		: "memory", "cc", "rax", "rcx", "rdx", "r8", "r9", "r10");
	return count;
}

/*
 * Step P3 for up to `count` objects. How many, or 0. Then the first *stamped of them had
 * the state `want`, and may have the stamp. The others are as they were.
 *
 *	rax  CPU, stamp		r8   an object's number
 *	rcx  list		r9   its first free entry
 *	rdx  height
 */
#define DEFINE_SECTION_PUSH_MANY(name, COMPARE)                              \
	static inline uint64_t name(const struct tapio_pool *pool,           \
				    uint64_t *states, uint64_t want,         \
				    const uint32_t *indices, uint64_t count, \
				    uint64_t *stamped)                       \
	{                                                                    \
		uint64_t done = 0;                                           \
                                                                             \
		(void)want;                                                  \
		__asm__ __volatile__(                                        \
			POOL_SECTION_ENTER                                   \
			"movl %c[cache](%[pool]), %%r8d\n\t"                 \
			"subl %%edx, %%r8d\n\t"                              \
			"jbe 5f\n\t"                                         \
			"cmpl %%r8d, %k[count]\n\t"                          \
			"cmoval %%r8d, %k[count]\n\t"                        \
			"leaq 8(%%rcx, %%rdx, 4), %%r9\n\t"                  \
			"addl %k[count], %%edx\n\t" POOL_STAMP "7:\n\t"      \
			"movl (%[indices], %[done], 4), %%r8d\n\t" COMPARE   \
			"movl %%r8d, (%%r9, %[done], 4)\n\t"                 \
			"addq $1, %[done]\n\t"                               \
			"movq %%rax, (%[states], %%r8, 8)\n\t"               \
			"cmpq %[count], %[done]\n\t"                         \
			"jne 7b\n\t"                                         \
			"movq %%rdx, (%%rcx)\n" POOL_SECTION_LEAVE(          \
				"xorl %k[count], %k[count]\n\t"              \
				"jmp 8f\n\t")                                \
			: [count] "+&r"(count), [done] "+&r"(done)           \
			: POOL_SECTION_INPUT(fast_cpus), [want] "r"(want),   \
			  [indices] "r"(indices)                             \
			: "memory", "cc", "rax", "rcx", "rdx", "r8", "r9");  \
		*stamped = done;                                             \
		return count;                                                \
	}
#define POOL_COMPARE_MANY                        \
	"cmpq %[want], (%[states], %%r8, 8)\n\t" \
	"jne 5f\n\t"
DEFINE_SECTION_PUSH_MANY(section_push_many, POOL_COMPARE_MANY)
DEFINE_SECTION_PUSH_MANY(section_push_many_unchecked, "")

#endif
