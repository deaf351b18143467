/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the lane for x86-64. Included by lane.c alone: a
 * section in a function that the linker may merge or drop would leave its
 * descriptor in __rseq_cs behind, pointing at nothing.
 *
 * How a section is built (linux/rseq.h has the kernel's side):
 *
 *	store &descriptor to rseq_cs	immediately before 1:
 *   1:	cpu_id == lane->cpu ?		else out, nothing changed
 *	shm->state == old ?		else out, nothing changed
 *	publish: ticket == expected ?	else out, marks that do no harm (T2)
 *	stores that are not read before the commit commit: one plain store of
 *	the state
 *   2:	rseq_cs = 0
 *
 * Between 1: and 2: the kernel sends a thread that is preempted, migrated or
 * signalled to 4:, which is preceded by the signature that libc registered. The
 * effect on the stores, at each point:
 *
 *   SIGKILL    before the commit nothing was published; after it, all was
 *   SIGSTOP    as preemption: the section starts again after SIGCONT
 *   migration  4:, and the caller looks its new CPU's lane up
 *   signal     4: first, then the handler, which may run a section of its own on
 *              this lane. The state has moved then, and the retry sees it
 *
 * Operands are few. At -O0 and under ASan registers run out, and in a fast path each
 * one more is a register that the function saves. So what a section needs beyond them
 * it loads from the private struct tpi_lane: its offsets are asserted in lane.c. The
 * lane in shared memory is %rax from the check of the state on. Where a batch is
 * published it is [shm].
 *
 * The commit of a single operation is an `add` to the state. It is one instruction, so
 * the kernel aborts before or after it, and no other code stores there meanwhile (L1).
 * So it stores the state that was checked, plus a constant, and needs no register.
 */
#ifndef TPI_SECTION_X86_64_H
#define TPI_SECTION_X86_64_H

#define TPI_LANE_SHM    "0"
#define TPI_LANE_DESC   "8"
#define TPI_LANE_TIME   "24"
#define TPI_LANE_BLOCKS "32"
#define TPI_LANE_CPU    "40"
#define TPI_LANE_MASK   "44"
#define TPI_RSEQ_CPU    "4"
#define TPI_RSEQ_CS     "8"

#define SECTION_BEGIN                               \
	".pushsection __rseq_cs, \"aw\"\n\t"        \
	".balign 32\n"                              \
	"3:\n\t"                                    \
	".long 0, 0\n\t"                            \
	".quad 1f, 2f - 1f, 4f\n\t"                 \
	".popsection\n\t"                           \
	"leaq 3b(%%rip), %%rax\n\t"                 \
	"movq %%rax, %%fs:" TPI_RSEQ_CS "(%[rs])\n" \
	"1:\n\t"

#define SECTION_CHECK_CPU                              \
	"movl " TPI_LANE_CPU "(%[lane]), %%eax\n\t"    \
	"cmpl %%eax, %%fs:" TPI_RSEQ_CPU "(%[rs])\n\t" \
	"jne 5f\n\t"

#define SECTION_ENTER SECTION_BEGIN SECTION_CHECK_CPU

/* %rax = the lane in shared memory. */
#define SECTION_LANE "movq " TPI_LANE_SHM "(%[lane]), %%rax\n\t"
#define SECTION_CHECK_STATE        \
	SECTION_LANE               \
	"cmpq %[old], (%%rax)\n\t" \
	"jne 5f\n\t"

/* After the commit. 5: is the way out with nothing changed. */
#define SECTION_LEAVE                                     \
	"2:\n\t"                                          \
	"movq $0, %%fs:" TPI_RSEQ_CS "(%[rs])\n\t"        \
	".pushsection .text.tapio_rseq_abort, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t"                      \
	".long 0x53053053\n"                              \
	"4:\n\t"                                          \
	"jmp %l[moved]\n"                                 \
	"5:\n\t"                                          \
	"movq $0, %%fs:" TPI_RSEQ_CS "(%[rs])\n\t"        \
	"jmp %l[moved]\n\t"                               \
	".popsection\n\t"

/* Copies of up to 32 and up to 64 bytes, preloaded: x0..x3 to both ends. */
#define COPY_32                      \
	"movups %[x0], (%[dst])\n\t" \
	"movups %[x1], -16(%[dst], %[length])\n\t"
#define COPY_64                                    \
	"movups %[x0], (%[dst])\n\t"               \
	"movups %[x1], 16(%[dst])\n\t"             \
	"movups %[x2], -32(%[dst], %[length])\n\t" \
	"movups %[x3], -16(%[dst], %[length])\n\t"

/*
 * 64 bytes at a time, the last 64 again up to the end. length >= 64. Each step asks for the
 * line that prefetch_ahead() asks for where an event has one.
 */
#define COPY_STEP(at)                           \
	"movups (%[src], " at "), %%xmm0\n\t"   \
	"movups 16(%[src], " at "), %%xmm1\n\t" \
	"movups 32(%[src], " at "), %%xmm2\n\t" \
	"movups 48(%[src], " at "), %%xmm3\n\t" \
	"movups %%xmm0, (%[dst], " at ")\n\t"   \
	"movups %%xmm1, 16(%[dst], " at ")\n\t" \
	"movups %%xmm2, 32(%[dst], " at ")\n\t" \
	"movups %%xmm3, 48(%[dst], " at ")\n\t"
#define COPY_AHEAD(at) "prefetchw " TPI_AHEAD_TEXT "(%[dst], " at ")\n\t"
/* clang-format off */
#define COPY_LOOP(STEP)                  \
	"leaq -64(%[length]), %%rax\n\t" \
	"xorl %%edx, %%edx\n"            \
	"6:\n\t"                         \
	COPY_AHEAD("%%rdx")              \
	STEP("%%rdx")                    \
	"addq $64, %%rdx\n\t"            \
	"cmpq %%rax, %%rdx\n\t"          \
	"jb 6b\n\t"                      \
	STEP("%%rax")
/* clang-format on */
#define COPY_LONG COPY_LOOP(COPY_STEP) SECTION_LANE

/*
 * The same by registers of 32 bytes, where the processor has AVX: half as many stores. They
 * fill the store buffer, and a commit waits for all before it. vzeroupper, or instructions
 * of 16 bytes become slower on some processors.
 */
#define TPI_HAVE_WIDE 1
#define COPY_WIDE_STEP(at)                       \
	"vmovups (%[src], " at "), %%ymm0\n\t"   \
	"vmovups 32(%[src], " at "), %%ymm1\n\t" \
	"vmovups %%ymm0, (%[dst], " at ")\n\t"   \
	"vmovups %%ymm1, 32(%[dst], " at ")\n\t"
#define COPY_WIDE COPY_LOOP(COPY_WIDE_STEP) "vzeroupper\n\t" SECTION_LANE

static inline bool tpi_has_wide(void)
{
	return __builtin_cpu_supports("avx");
}

/* After an abort within the copy. */
static inline void wide_over(void)
{
	__asm__ __volatile__("vzeroupper" ::: "xmm0", "xmm1");
}

#define STAMP_NONE
#define STAMP_VALUE "movq %[value], (%[time])\n\t"
#define STAMP_TSC              \
	"rdtsc\n\t"            \
	"shlq $32, %%rdx\n\t"  \
	"orq %%rdx, %%rax\n\t" \
	"movq %%rax, (%[time])\n\t" SECTION_LANE

/* A block that output took bears no owner (T1). */
#define OUTPUT_COMMIT                  \
	"movl $0, (%[ticket])\n\t"     \
	"movq %[desc], (%[entry])\n\t" \
	"addq $0x10000, (%%rax)\n"

#define OUTPUT_IN                                                    \
	[rs] "r"(tpi_rseq_offset), [lane] "r"(lane), [old] "r"(old), \
		[ticket] "r"(at->ticket), [entry] "r"(at->entry),    \
		[desc] "rx"(at->desc), [dst] "r"(at->payload),       \
		[length] "r"(length)
#define IN_32 , [x0] "x"(in->x[0]), [x1] "x"(in->x[1])
#define IN_64                                                         \
	, [x0] "x"(in->x[0]), [x1] "x"(in->x[1]), [x2] "x"(in->x[2]), \
		[x3] "x"(in->x[3])
#define IN_LONG , [src] "r"(src)
#define IN_WIDE IN_LONG
#define IN_NONE
#define IN_TSC   , [time] "r"(at->time)
#define IN_VALUE , [time] "r"(at->time), [value] "x"(value)
#define CLOBBERS_32
#define CLOBBERS_64
#define CLOBBERS_LONG , "rdx", "xmm0", "xmm1", "xmm2", "xmm3"
#define CLOBBERS_WIDE , "rdx", "xmm0", "xmm1"
#define CLOBBERS_NONE
#define CLOBBERS_VALUE
#define CLOBBERS_TSC , "rdx"

/* Each instantiation is one section: output by payload size and stamp. */
#define DEFINE_OUTPUT(name, SIZE, STAMP)                                  \
	static inline __attribute__((always_inline)) int name(            \
		const struct tpi_lane *lane, uint64_t old,                \
		const struct spot *at, uint64_t value, const void *src,   \
		uint64_t length, const struct payload *in)                \
	{                                                                 \
		(void)value, (void)src, (void)in;                         \
		__asm__ __volatile__ goto(                                \
			SECTION_ENTER SECTION_CHECK_STATE COPY_##SIZE     \
				STAMP_##STAMP OUTPUT_COMMIT SECTION_LEAVE \
			: /* none */                                      \
			: OUTPUT_IN IN_##SIZE IN_##STAMP                  \
			: "memory", "cc",                                 \
			  "rax" CLOBBERS_##SIZE CLOBBERS_##STAMP          \
			: moved);                                         \
		return 0;                                                 \
moved:                                                                    \
		return TPI_MOVED;                                         \
	}

DEFINE_OUTPUT(section_output_32, 32, NONE)
DEFINE_OUTPUT(section_output_32_value, 32, VALUE)
DEFINE_OUTPUT(section_output_32_tsc, 32, TSC)
DEFINE_OUTPUT(section_output_64, 64, NONE)
DEFINE_OUTPUT(section_output_64_value, 64, VALUE)
DEFINE_OUTPUT(section_output_64_tsc, 64, TSC)
DEFINE_OUTPUT(section_output_long, LONG, NONE)
DEFINE_OUTPUT(section_output_long_value, LONG, VALUE)
DEFINE_OUTPUT(section_output_long_tsc, LONG, TSC)
DEFINE_OUTPUT(section_output_wide, WIDE, NONE)
DEFINE_OUTPUT(section_output_wide_value, WIDE, VALUE)
DEFINE_OUTPUT(section_output_wide_tsc, WIDE, TSC)

/* ticket[block] = word. Commit held + 1. */
static inline __attribute__((always_inline)) int
section_reserve_one(const struct tpi_lane *lane, uint64_t old, uint64_t block,
		    uint64_t word)
{
	__asm__ __volatile__ goto(SECTION_ENTER SECTION_CHECK_STATE
				  "movq %[word], (%[table], %[block], 8)\n\t"
				  "addq $1, (%%rax)\n" SECTION_LEAVE
				  : /* none */
				  : [rs] "r"(tpi_rseq_offset), [lane] "r"(lane),
				    [old] "r"(old), [table] "r"(lane->tickets),
				    [block] "r"(block), [word] "r"(word)
				  : "memory", "cc", "rax"
				  : moved);
	return 0;
moved:
	return TPI_MOVED;
}

/*
 * If ticket[block] is what the holder expects: its place = place, *entry = desc. Commit
 * tail + 1, held - 1.
 */
#define DEFINE_PUBLISH_ONE(name, STAMP)                                             \
	static inline __attribute__((always_inline)) int name(                      \
		const struct tpi_lane *lane, uint64_t old,                          \
		const struct spot *at, uint64_t expected, uint32_t place,           \
		uint64_t value)                                                     \
	{                                                                           \
		(void)value;                                                        \
		__asm__ __volatile__ goto(                                          \
			SECTION_ENTER SECTION_CHECK_STATE                           \
			"cmpq %[expected], (%[table], %[block], 8)\n\t"             \
			"jne 5f\n\t"                                                \
			"movl %[place], 4(%[table], %[block], 8)\n\t" STAMP_##STAMP \
			"movq %[desc], (%[entry])\n\t"                              \
			"addq $0xffff, (%%rax)\n" SECTION_LEAVE                     \
			: /* none */                                                \
			: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane),              \
			  [old] "r"(old), [table] "r"(lane->tickets),               \
			  [block] "r"(at->block), [expected] "r"(expected),         \
			  [place] "r"(place), [entry] "r"(at->entry),               \
			  [desc] "rx"(at->desc)IN_##STAMP                           \
			: "memory", "cc", "rax" CLOBBERS_##STAMP                    \
			: moved);                                                   \
		return 0;                                                           \
moved:                                                                              \
		return TPI_MOVED;                                                   \
	}
DEFINE_PUBLISH_ONE(section_publish_one, NONE)
DEFINE_PUBLISH_ONE(section_publish_one_value, VALUE)
DEFINE_PUBLISH_ONE(section_publish_one_tsc, TSC)

/*
 * Loops run with an index from -count to 0, relative to the ends of what they read
 * and write.
 */

/* ticket[blocks[i]] = words[i] for i < count. Commit held + count. */
static inline int section_reserve(const struct tpi_lane *lane, uint64_t old,
				  const uint32_t *blocks, const uint64_t *words,
				  uint64_t count)
{
	__asm__ __volatile__ goto(
		SECTION_ENTER SECTION_CHECK_STATE
		"movq %[count], %%rdx\n\t"
		"negq %%rdx\n"
		"6:\n\t"
		"movl (%[blocks], %%rdx, 4), %%ecx\n\t"
		"movq (%[words], %%rdx, 8), %%rsi\n\t"
		"movq %%rsi, (%[table], %%rcx, 8)\n\t"
		"incq %%rdx\n\t"
		"jnz 6b\n\t"
		"addq %[count], (%%rax)\n" SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane), [old] "r"(old),
		  [table] "r"(lane->tickets), [blocks] "r"(blocks + count),
		  [words] "r"(words + count), [count] "r"(count)
		: "memory", "cc", "rax", "rcx", "rdx", "rsi"
		: moved);
	return 0;
moved:
	return TPI_MOVED;
}

/*
 * The same for blocks whose entries do not go round the ring's end and whose tickets are
 * neighbours, if all items are of one kind (tag and length): blocks[i] = the block of
 * entries[i], and its ticket = word, with i added to the place, for i < count. Commit
 * held + count.
 *
 * rdx goes by twos, since an item has two words.
 */
static inline __attribute__((always_inline)) int
section_take_run(const struct tpi_lane *lane, uint64_t old,
		 const uint64_t *entries, uint32_t *blocks, uint64_t word,
		 const struct tapio_item *items, uint64_t kind, uint64_t count)
{
	__asm__ __volatile__ goto(
		SECTION_ENTER SECTION_CHECK_STATE
		"movq %[word], %%rcx\n\t"
		"movq %[count], %%rdx\n\t"
		"negq %%rdx\n\t"
		"addq %%rdx, %%rdx\n"
		"6:\n\t"
		"movl (%[entries], %%rdx, 4), %%eax\n\t"
		"andl " TPI_LANE_MASK "(%[lane]), %%eax\n\t"
		"cmpq %[kind], 8(%[items], %%rdx, 8)\n\t"
		"jne 5f\n\t"
		"movl %%eax, (%[blocks], %%rdx, 2)\n\t"
		"movq %%rcx, (%[table], %%rax, 8)\n\t"
		"addq %[step], %%rcx\n\t"
		"addq $2, %%rdx\n\t"
		"jnz 6b\n\t" SECTION_LANE "movq %[count], %%rdx\n\t"
		"addq %%rdx, (%%rax)\n" SECTION_LEAVE
		: /* none */
		: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane), [old] "r"(old),
		  [entries] "r"(entries + count), [blocks] "r"(blocks + count),
		  [table] "r"(lane->tickets), [word] "rm"(word),
		  [items] "r"(items + count), [kind] "r"(kind),
		  [step] "rm"(UINT64_C(1) << 32), [count] "rm"(count)
		: "memory", "cc", "rax", "rcx", "rdx"
		: moved);
	return 0;
moved:
	return TPI_MOVED;
}

/* Batches: registers are few, so what is used once may be in memory. */
#define SECTION_CHECK_STATE_BATCH  \
	"movq %[old], %%rax\n\t"   \
	"cmpq %%rax, (%[shm])\n\t" \
	"jne 5f\n\t"
#define SECTION_COMMIT_BATCH     \
	"movq %[new], %%rax\n\t" \
	"movq %%rax, (%[shm])\n"
/* ENTERED, and ones where the index is, of a place in a ticket. */
#define PLACE_ONES(lane) TAPIO_TICKET(0, TAPIO_PLACE_ENTERED | (lane)->mask)

/*
 * entry[i] = descs[i] for i < count, where the entries do not go round the ring's end, and
 * the place of each block = ENTERED at that entry, if its ticket is what the holder
 * expects. Commit tail + count, held - count. Of a block that is there twice the second
 * ticket is not as expected any more.
 *
 * rcx is (index - mask) << 32, which makes the index of the ones.
 */
#define RUN_PUT                                  \
	"movq %[first], %%rcx\n\t"               \
	"movq %[count], %%rdx\n\t"               \
	"negq %%rdx\n"                           \
	"6:\n\t"                                 \
	"movq (%[descs], %%rdx, 8), %%rax\n\t"   \
	"movq %%rax, (%[entries], %%rdx, 8)\n\t" \
	"andl $0xfffff, %%eax\n\t"               \
	"movq (%[tickets], %%rdx, 8), %%rsi\n\t" \
	"cmpq %%rsi, (%[table], %%rax, 8)\n\t"   \
	"jne 5f\n\t"                             \
	"orq %[ones], %%rsi\n\t"                 \
	"addq %%rcx, %%rsi\n\t"                  \
	"movq %%rsi, (%[table], %%rax, 8)\n\t"   \
	"addq %[step], %%rcx\n\t"                \
	"incq %%rdx\n\t"                         \
	"jnz 6b\n\t"
/* rax = the stamp. After the loop, since a stamp is as late as can be. */
#define RUN_STAMP                              \
	"movq %[count], %%rdx\n\t"             \
	"negq %%rdx\n"                         \
	"8:\n\t"                               \
	"movq %%rax, (%[times], %%rdx, 8)\n\t" \
	"incq %%rdx\n\t"                       \
	"jnz 8b\n\t"
#define RUN_NONE
#define RUN_VALUE "movq %[value], %%rax\n\t" RUN_STAMP
#define RUN_TSC               \
	"rdtsc\n\t"           \
	"shlq $32, %%rdx\n\t" \
	"orq %%rdx, %%rax\n\t" RUN_STAMP
#define RUN_IN_NONE
#define RUN_IN_TSC   , [times] "r"(times + count)
#define RUN_IN_VALUE , [times] "r"(times + count), [value] "x"(value)

#define DEFINE_PUBLISH_RUN(name, STAMP)                                        \
	static inline int name(                                                \
		const struct tpi_lane *lane, uint64_t old, uint64_t new,       \
		uint64_t *entries, uint64_t *times, const uint64_t *descs,     \
		const uint64_t *tickets, uint64_t count, uint64_t value)       \
	{                                                                      \
		uint64_t first = TAPIO_STATE_TAIL(old) & lane->mask;           \
                                                                               \
		(void)value, (void)times;                                      \
		__asm__ __volatile__ goto(                                     \
			SECTION_ENTER SECTION_CHECK_STATE_BATCH RUN_PUT        \
				RUN_##STAMP SECTION_COMMIT_BATCH SECTION_LEAVE \
			: /* none */                                           \
			: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane),         \
			  [shm] "r"(lane->shm), [old] "rm"(old),               \
			  [new] "rm"(new), [entries] "r"(entries + count),     \
			  [descs] "r"(descs + count),                          \
			  [tickets] "r"(tickets + count),                      \
			  [table] "r"(lane->tickets),                          \
			  [first] "rm"((first - lane->mask) << 32),            \
			  [ones] "rm"(PLACE_ONES(lane)),                       \
			  [step] "rm"(UINT64_C(1) << 32),                      \
			  [count] "rm"(count)RUN_IN_##STAMP                    \
			: "memory", "cc", "rax", "rcx", "rdx", "rsi"           \
			: moved);                                              \
		return 0;                                                      \
moved:                                                                         \
		return TPI_MOVED;                                              \
	}
DEFINE_PUBLISH_RUN(section_publish_run, NONE)
DEFINE_PUBLISH_RUN(section_publish_run_value, VALUE)
DEFINE_PUBLISH_RUN(section_publish_run_tsc, TSC)

/*
 * A run that section_take_run() has taken, in the state of its commit: the payload of
 * items[i], of 32 to 64 bytes, into blocks[i], and entries[i] = desc | blocks[i], for
 * i < count. Commit tail + count, held - count. No one else has had a ticket of these
 * blocks, and each says already where its block enters, so no ticket is looked at.
 */
#define FILL_RUN                                       \
	"movq %[count], %%rdx\n\t"                     \
	"negq %%rdx\n\t"                               \
	"addq %%rdx, %%rdx\n"                          \
	"6:\n\t"                                       \
	"movq (%[items], %%rdx, 8), %%rsi\n\t"         \
	"movl (%[blocks], %%rdx, 2), %%eax\n\t"        \
	"movups (%%rsi), %%xmm0\n\t"                   \
	"movups 16(%%rsi), %%xmm1\n\t"                 \
	"movups -32(%%rsi, %[length]), %%xmm2\n\t"     \
	"movups -16(%%rsi, %[length]), %%xmm3\n\t"     \
	"movq %[bytes], %%rsi\n\t"                     \
	"imulq %%rax, %%rsi\n\t"                       \
	"addq " TPI_LANE_BLOCKS "(%[lane]), %%rsi\n\t" \
	"movups %%xmm0, (%%rsi)\n\t"                   \
	"movups %%xmm1, 16(%%rsi)\n\t"                 \
	"movups %%xmm2, -32(%%rsi, %[length])\n\t"     \
	"movups %%xmm3, -16(%%rsi, %[length])\n\t"     \
	"prefetchw " TPI_AHEAD_TEXT "(%%rsi)\n\t"      \
	"orq %[desc], %%rax\n\t"                       \
	"movq %%rax, (%[entries], %%rdx, 4)\n\t"       \
	"addq $2, %%rdx\n\t"                           \
	"jnz 6b\n\t"

#define DEFINE_OUTPUT_RUN(name, STAMP)                                         \
	static inline __attribute__((always_inline)) int name(                 \
		const struct tpi_lane *lane, uint64_t old, uint64_t new,       \
		uint64_t *entries, uint64_t *times, const uint32_t *blocks,    \
		const struct tapio_item *items, uint64_t desc,                 \
		uint64_t length, uint64_t count, uint64_t value)               \
	{                                                                      \
		const uint64_t bytes = lane->block_bytes;                      \
                                                                               \
		(void)value, (void)times;                                      \
		__asm__ __volatile__ goto(                                     \
			SECTION_ENTER SECTION_CHECK_STATE_BATCH FILL_RUN       \
				RUN_##STAMP SECTION_COMMIT_BATCH SECTION_LEAVE \
			: /* none */                                           \
			: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane),         \
			  [shm] "r"(lane->shm), [old] "rm"(old),               \
			  [new] "rm"(new), [entries] "r"(entries + count),     \
			  [blocks] "r"(blocks + count),                        \
			  [items] "r"(items + count), [length] "r"(length),    \
			  [bytes] "rm"(bytes), [desc] "rm"(desc),              \
			  [count] "rm"(count)RUN_IN_##STAMP                    \
			: "memory", "cc", "rax", "rdx", "rsi", "xmm0", "xmm1", \
			  "xmm2", "xmm3"                                       \
			: moved);                                              \
		return 0;                                                      \
moved:                                                                         \
		return TPI_MOVED;                                              \
	}
DEFINE_OUTPUT_RUN(section_output_run, NONE)
DEFINE_OUTPUT_RUN(section_output_run_value, VALUE)
DEFINE_OUTPUT_RUN(section_output_run_tsc, TSC)

/* The same where the entries go round: desc[tail + i] = descs[i] for i < count. */
#define PUBLISH_LOOP                                 \
	"movq %[old], %%rdx\n\t"                     \
	"shrq $16, %%rdx\n\t"                        \
	"xorl %%esi, %%esi\n"                        \
	"6:\n\t"                                     \
	"andl " TPI_LANE_MASK "(%[lane]), %%edx\n\t" \
	"movq (%[descs], %%rsi, 8), %%rax\n\t"       \
	"movq " TPI_LANE_DESC "(%[lane]), %%rdi\n\t" \
	"movq %%rax, (%%rdi, %%rdx, 8)\n\t"          \
	"andl $0xfffff, %%eax\n\t"                   \
	"movq (%[tickets], %%rsi, 8), %%rdi\n\t"     \
	"cmpq %%rdi, (%[table], %%rax, 8)\n\t"       \
	"jne 5f\n\t"                                 \
	"orq %[ones], %%rdi\n\t"                     \
	"shrq $32, %%rdi\n\t"                        \
	"subl " TPI_LANE_MASK "(%[lane]), %%edi\n\t" \
	"addl %%edx, %%edi\n\t"                      \
	"movl %%edi, 4(%[table], %%rax, 8)\n\t"
#define PUBLISH_STAMP                                \
	"movq " TPI_LANE_TIME "(%[lane]), %%rax\n\t" \
	"movq %[time], (%%rax, %%rdx, 8)\n\t"
#define PUBLISH_STAMP_TSC                            \
	"movq " TPI_LANE_TIME "(%[lane]), %%rax\n\t" \
	"movq %%xmm0, (%%rax, %%rdx, 8)\n\t"
#define PUBLISH_READ_TSC       \
	"rdtsc\n\t"            \
	"shlq $32, %%rdx\n\t"  \
	"orq %%rdx, %%rax\n\t" \
	"movq %%rax, %%xmm0\n\t"
#define PUBLISH_NEXT               \
	"incl %%edx\n\t"           \
	"incq %%rsi\n\t"           \
	"cmpq %[count], %%rsi\n\t" \
	"jb 6b\n\t"

#define DEFINE_PUBLISH(name, READ, STAMP)                                     \
	static inline int name(const struct tpi_lane *lane, uint64_t old,     \
			       uint64_t new, const uint64_t *descs,           \
			       const uint64_t *tickets, uint64_t count,       \
			       uint64_t time)                                 \
	{                                                                     \
		__asm__ __volatile__ goto(                                    \
			SECTION_ENTER SECTION_CHECK_STATE_BATCH READ          \
				PUBLISH_LOOP STAMP PUBLISH_NEXT               \
					SECTION_COMMIT_BATCH SECTION_LEAVE    \
			: /* none */                                          \
			: [rs] "r"(tpi_rseq_offset), [lane] "r"(lane),        \
			  [shm] "r"(lane->shm), [old] "rm"(old),              \
			  [new] "rm"(new), [descs] "r"(descs),                \
			  [tickets] "r"(tickets), [table] "r"(lane->tickets), \
			  [ones] "rm"(PLACE_ONES(lane)), [count] "rm"(count), \
			  [time] "x"(time)                                    \
			: "memory", "cc", "rax", "rdx", "rsi", "rdi", "xmm0"  \
			: moved);                                             \
		return 0;                                                     \
moved:                                                                        \
		return TPI_MOVED;                                             \
	}
DEFINE_PUBLISH(section_publish, , )
DEFINE_PUBLISH(section_publish_value, , PUBLISH_STAMP)
DEFINE_PUBLISH(section_publish_tsc, PUBLISH_READ_TSC, PUBLISH_STAMP_TSC)

#endif
