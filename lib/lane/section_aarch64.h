/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sections of the lane for aarch64. section_x86_64.h tells how
 * a section is built and what happens at each point of it. Included by lane.c
 * alone.
 *
 * Added by ARM's weaker order:
 *
 *   commit	stlr: block, descriptor, ticket and stamp before the state.
 *   reuse	dmb ishst after the checks and before the first store, in every
 *		section: the previous commit on this CPU before stores into what
 *		that commit freed. After reserve's commit again, before the
 *		caller writes into the blocks.
 *
 * ORDER lane.state (release): the stlr of each commit. Pairs with the acquire in
 * tpi_lane_peek(). ORDER lane.reuse (store-store): the dmb ishst of each section.
 * Pairs with tpi_lane_intact().
 *
 * x9 to x15 are scratch. x10 holds the shared lane throughout.
 */
#ifndef TPI_SECTION_AARCH64_H
#define TPI_SECTION_AARCH64_H

#define TPI_LANE_SHM  "0"
#define TPI_LANE_DESC "8"
#define TPI_LANE_TICK "16"
#define TPI_LANE_TIME "24"
#define TPI_LANE_CPU  "40"
#define TPI_LANE_MASK "44"
#define TPI_RSEQ_CPU  "4"
#define TPI_RSEQ_CS   "8"

#define SECTION_ENTER                               \
	".pushsection __rseq_cs, \"aw\"\n\t"        \
	".balign 32\n"                              \
	"3:\n\t"                                    \
	".long 0, 0\n\t"                            \
	".quad 1f, 2f - 1f, 4f\n\t"                 \
	".popsection\n\t"                           \
	"adrp x9, 3b\n\t"                           \
	"add x9, x9, :lo12:3b\n\t"                  \
	"str x9, [%[rs], #" TPI_RSEQ_CS "]\n"       \
	"1:\n\t"                                    \
	"ldr w9, [%[rs], #" TPI_RSEQ_CPU "]\n\t"    \
	"ldr w10, [%[lane], #" TPI_LANE_CPU "]\n\t" \
	"cmp w9, w10\n\t"                           \
	"b.ne 5f\n\t"                               \
	"ldr x10, [%[lane], #" TPI_LANE_SHM "]\n\t"

#define SECTION_CHECK_STATE  \
	"ldr x9, [x10]\n\t"  \
	"cmp x9, %[old]\n\t" \
	"b.ne 5f\n\t"        \
	"dmb ishst\n\t"

#define SECTION_LEAVE                            \
	"2:\n\t"                                 \
	"str xzr, [%[rs], #" TPI_RSEQ_CS "]\n\t" \
	"b 8f\n\t"                               \
	".inst 0xd428bc00\n"                     \
	"4:\n\t"                                 \
	"b %l[moved]\n"                          \
	"5:\n\t"                                 \
	"str xzr, [%[rs], #" TPI_RSEQ_CS "]\n\t" \
	"b %l[moved]\n"                          \
	"8:\n\t"

#define COPY_32                          \
	"str %q[x0], [%[dst]]\n\t"       \
	"add x11, %[dst], %[length]\n\t" \
	"stur %q[x1], [x11, #-16]\n\t"
#define COPY_64                          \
	"str %q[x0], [%[dst]]\n\t"       \
	"str %q[x1], [%[dst], #16]\n\t"  \
	"add x11, %[dst], %[length]\n\t" \
	"stur %q[x2], [x11, #-32]\n\t"   \
	"stur %q[x3], [x11, #-16]\n\t"

/* 64 bytes at a time from x11 to x12, the last 64 again up to the end. */
#define COPY_STEP                    \
	"ldp q0, q1, [x11]\n\t"      \
	"ldp q2, q3, [x11, #32]\n\t" \
	"stp q0, q1, [x12]\n\t"      \
	"stp q2, q3, [x12, #32]\n\t"
/* As on x86-64: for the lines of longer events prefetch_ahead() is not enough. */
#define COPY_AHEAD "prfm pstl1keep, [x12, #" TPI_AHEAD_TEXT "]\n\t"
#define COPY_LONG                                             \
	"mov x11, %[src]\n\t"                                 \
	"mov x12, %[dst]\n\t"                                 \
	"sub x13, %[length], #64\n\t"                         \
	"mov x14, x13\n"                                      \
	"6:\n\t" COPY_AHEAD COPY_STEP "add x11, x11, #64\n\t" \
	"add x12, x12, #64\n\t"                               \
	"subs x14, x14, #64\n\t"                              \
	"b.gt 6b\n\t"                                         \
	"add x11, %[src], x13\n\t"                            \
	"add x12, %[dst], x13\n\t" COPY_STEP

#define STAMP_NONE
#define STAMP_VALUE "str %[value], [%[time]]\n\t"
#define STAMP_TSC                 \
	"mrs x13, cntvct_el0\n\t" \
	"str x13, [%[time]]\n\t"

#define OUTPUT_COMMIT                      \
	"str wzr, [%[ticket]]\n\t"         \
	"str %[desc], [%[entry]]\n\t"      \
	"add x9, %[old], #16, lsl #12\n\t" \
	"stlr x9, [x10]\n"

#define OUTPUT_IN                                                    \
	[rs] "r"(tpi_rseq_area()), [lane] "r"(lane), [old] "r"(old), \
		[ticket] "r"(at->ticket), [entry] "r"(at->entry),    \
		[desc] "r"(at->desc), [dst] "r"(at->payload),        \
		[length] "r"(length)
#define IN_32   , [x0] "w"(in->x[0]), [x1] "w"(in->x[1])
#define IN_64   IN_32, [x2] "w"(in->x[2]), [x3] "w"(in->x[3])
#define IN_LONG , [src] "r"(src)
#define IN_NONE
#define IN_TSC   , [time] "r"(at->time)
#define IN_VALUE , [time] "r"(at->time), [value] "r"(value)
#define CLOBBERS_32
#define CLOBBERS_64
#define CLOBBERS_LONG , "v0", "v1", "v2", "v3"
#define SCRATCH       "memory", "cc", "x9", "x10", "x11", "x12", "x13", "x14", "x15"

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
			: SCRATCH CLOBBERS_##SIZE                         \
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

/* ticket[block] = word. Commit held + 1. */
static inline int section_reserve_one(const struct tpi_lane *lane, uint64_t old,
				      uint64_t block, uint64_t word)
{
	__asm__ __volatile__ goto(
		SECTION_ENTER SECTION_CHECK_STATE
		"str %[word], [%[ticket]]\n\t"
		"add x9, %[old], #1\n\t"
		"stlr x9, [x10]\n" SECTION_LEAVE "dmb ishst\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane), [old] "r"(old),
		  [ticket] "r"(&lane->tickets[block]), [word] "r"(word)
		: SCRATCH
		: moved);
	return 0;
moved:
	return TPI_MOVED;
}

/*
 * If ticket[block] is what the holder expects: its place = place, *entry = desc. Commit
 * tail + 1, held - 1.
 */
#define DEFINE_PUBLISH_ONE(name, STAMP)                                    \
	static inline __attribute__((always_inline)) int name(             \
		const struct tpi_lane *lane, uint64_t old,                 \
		const struct spot *at, uint64_t expected, uint32_t place,  \
		uint64_t value)                                            \
	{                                                                  \
		(void)value;                                               \
		__asm__ __volatile__ goto(                                 \
			SECTION_ENTER SECTION_CHECK_STATE                  \
			"ldr x11, [%[ticket]]\n\t"                         \
			"cmp x11, %[expected]\n\t"                         \
			"b.ne 5f\n\t"                                      \
			"str %w[place], [%[ticket], #4]\n\t" STAMP_##STAMP \
			"str %[desc], [%[entry]]\n\t"                      \
			"add x9, %[old], #16, lsl #12\n\t"                 \
			"sub x9, x9, #1\n\t"                               \
			"stlr x9, [x10]\n" SECTION_LEAVE                   \
			: /* none */                                       \
			: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane),     \
			  [old] "r"(old),                                  \
			  [ticket] "r"(&lane->tickets[at->block]),         \
			  [expected] "r"(expected), [place] "r"(place),    \
			  [entry] "r"(at->entry),                          \
			  [desc] "r"(at->desc)IN_##STAMP:SCRATCH           \
			: moved);                                          \
		return 0;                                                  \
moved:                                                                     \
		return TPI_MOVED;                                          \
	}
DEFINE_PUBLISH_ONE(section_publish_one, NONE)
DEFINE_PUBLISH_ONE(section_publish_one_value, VALUE)
DEFINE_PUBLISH_ONE(section_publish_one_tsc, TSC)

/* ticket[blocks[i]] = words[i] for i < count. Commit held + count. */
static inline int section_reserve(const struct tpi_lane *lane, uint64_t old,
				  const uint32_t *blocks, const uint64_t *words,
				  uint64_t count)
{
	__asm__ __volatile__ goto(
		SECTION_ENTER SECTION_CHECK_STATE
		"ldr x11, [%[lane], #" TPI_LANE_TICK "]\n\t"
		"mov x12, #0\n"
		"6:\n\t"
		"ldr w13, [%[blocks], x12, lsl #2]\n\t"
		"ldr x14, [%[words], x12, lsl #3]\n\t"
		"str x14, [x11, x13, lsl #3]\n\t"
		"add x12, x12, #1\n\t"
		"cmp x12, %[count]\n\t"
		"b.lo 6b\n\t"
		"add x9, %[old], %[count]\n\t"
		"stlr x9, [x10]\n" SECTION_LEAVE "dmb ishst\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane), [old] "r"(old),
		  [blocks] "r"(blocks), [words] "r"(words), [count] "r"(count)
		: SCRATCH
		: moved);
	return 0;
moved:
	return TPI_MOVED;
}

/* As in section_x86_64.h. */
static inline int section_take_run(const struct tpi_lane *lane, uint64_t old,
				   const uint64_t *entries, uint32_t *blocks,
				   uint64_t word,
				   const struct tapio_item *items,
				   uint64_t kind, uint64_t count)
{
	__asm__ __volatile__ goto(
		SECTION_ENTER SECTION_CHECK_STATE
		"ldr w14, [%[lane], #" TPI_LANE_MASK "]\n\t"
		"mov x11, %[word]\n\t"
		"add x15, %[items], #8\n\t"
		"mov x12, #0\n"
		"6:\n\t"
		"ldr x9, [x15], #16\n\t"
		"cmp x9, %[kind]\n\t"
		"b.ne 5f\n\t"
		"ldr x13, [%[entries], x12, lsl #3]\n\t"
		"and w13, w13, w14\n\t"
		"str w13, [%[blocks], x12, lsl #2]\n\t"
		"str x11, [%[table], x13, lsl #3]\n\t"
		"add x11, x11, %[step]\n\t"
		"add x12, x12, #1\n\t"
		"cmp x12, %[count]\n\t"
		"b.lo 6b\n\t"
		"add x9, %[old], %[count]\n\t"
		"stlr x9, [x10]\n" SECTION_LEAVE "dmb ishst\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane), [old] "r"(old),
		  [entries] "r"(entries), [blocks] "r"(blocks),
		  [table] "r"(lane->tickets), [word] "r"(word),
		  [items] "r"(items), [kind] "r"(kind),
		  [step] "r"(UINT64_C(1) << 32), [count] "r"(count)
		: SCRATCH
		: moved);
	return 0;
moved:
	return TPI_MOVED;
}

/* As in section_x86_64.h. x13 is the stamp in the end. */
#define FILL_RUN                                         \
	"mov x11, %[items]\n\t"                          \
	"mov x12, #0\n"                                  \
	"6:\n\t"                                         \
	"ldr x13, [x11], #16\n\t"                        \
	"ldr w9, [%[blocks], x12, lsl #2]\n\t"           \
	"madd x14, x9, %[bytes], %[base]\n\t"            \
	"add x15, x13, %[length]\n\t"                    \
	"ldp q0, q1, [x13]\n\t"                          \
	"ldp q2, q3, [x15, #-32]\n\t"                    \
	"add x15, x14, %[length]\n\t"                    \
	"stp q0, q1, [x14]\n\t"                          \
	"stp q2, q3, [x15, #-32]\n\t"                    \
	"prfm pstl1keep, [x14, #" TPI_AHEAD_TEXT "]\n\t" \
	"orr x9, x9, %[desc]\n\t"                        \
	"str x9, [%[entries], x12, lsl #3]\n\t"          \
	"add x12, x12, #1\n\t"                           \
	"cmp x12, %[count]\n\t"                          \
	"b.lo 6b\n\t"
#define RUN_STAMP                              \
	"mov x12, #0\n"                        \
	"7:\n\t"                               \
	"str x13, [%[times], x12, lsl #3]\n\t" \
	"add x12, x12, #1\n\t"                 \
	"cmp x12, %[count]\n\t"                \
	"b.lo 7b\n\t"

#define DEFINE_OUTPUT_RUN(name, STAMP)                                      \
	static inline int name(                                             \
		const struct tpi_lane *lane, uint64_t old, uint64_t new,    \
		uint64_t *entries, uint64_t *times, const uint32_t *blocks, \
		const struct tapio_item *items, uint64_t desc,              \
		uint64_t length, uint64_t count, uint64_t value)            \
	{                                                                   \
		__asm__ __volatile__ goto(                                  \
			SECTION_ENTER SECTION_CHECK_STATE FILL_RUN STAMP    \
			"stlr %[new], [x10]\n" SECTION_LEAVE                \
			: /* none */                                        \
			: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane),      \
			  [old] "r"(old), [new] "r"(new),                   \
			  [entries] "r"(entries), [times] "r"(times),       \
			  [blocks] "r"(blocks), [items] "r"(items),         \
			  [desc] "r"(desc), [length] "r"(length),           \
			  [bytes] "r"((uint64_t)lane->block_bytes),         \
			  [base] "r"(lane->blocks), [count] "r"(count),     \
			  [value] "r"(value)                                \
			: SCRATCH, "v0", "v1", "v2", "v3"                   \
			: moved);                                           \
		return 0;                                                   \
moved:                                                                      \
		return TPI_MOVED;                                           \
	}
DEFINE_OUTPUT_RUN(section_output_run, )
DEFINE_OUTPUT_RUN(section_output_run_value, "mov x13, %[value]\n\t" RUN_STAMP)
DEFINE_OUTPUT_RUN(section_output_run_tsc, "mrs x13, cntvct_el0\n\t" RUN_STAMP)

/*
 * desc[tail + i] = descs[i] for i < count, and the place of each block = ENTERED at
 * that entry, if its ticket is what the holder expects. Commit tail + count, held -
 * count. x9 is the block, x14 and x15 are what is at hand, x13 is the stamp.
 */
#define PUBLISH_LOOP                                 \
	"lsr x11, %[old], #16\n\t"                   \
	"mov x12, #0\n"                              \
	"6:\n\t"                                     \
	"ldr w14, [%[lane], #" TPI_LANE_MASK "]\n\t" \
	"and x11, x11, x14\n\t"                      \
	"ldr x9, [%[descs], x12, lsl #3]\n\t"        \
	"ldr x15, [%[lane], #" TPI_LANE_DESC "]\n\t" \
	"str x9, [x15, x11, lsl #3]\n\t"             \
	"and x9, x9, #0xfffff\n\t"                   \
	"ldr x15, [%[lane], #" TPI_LANE_TICK "]\n\t" \
	"add x9, x15, x9, lsl #3\n\t"                \
	"ldr x15, [%[tickets], x12, lsl #3]\n\t"     \
	"ldr x16, [x9]\n\t"                          \
	"cmp x16, x15\n\t"                           \
	"b.ne 5f\n\t"                                \
	"lsr x15, x15, #32\n\t"                      \
	"bic w15, w15, w14\n\t"                      \
	"orr w15, w15, w11\n\t"                      \
	"orr w15, w15, #0x80000000\n\t"              \
	"str w15, [x9, #4]\n\t"
#define PUBLISH_STAMP                                \
	"ldr x15, [%[lane], #" TPI_LANE_TIME "]\n\t" \
	"str x13, [x15, x11, lsl #3]\n\t"
#define PUBLISH_COMMIT          \
	"add x11, x11, #1\n\t"  \
	"add x12, x12, #1\n\t"  \
	"cmp x12, %[count]\n\t" \
	"b.lo 6b\n\t"           \
	"stlr %[new], [x10]\n"

#define DEFINE_PUBLISH(name, READ, STAMP)                                     \
	static inline int name(const struct tpi_lane *lane, uint64_t old,     \
			       uint64_t new, const uint64_t *descs,           \
			       const uint64_t *tickets, uint64_t count,       \
			       uint64_t time)                                 \
	{                                                                     \
		__asm__ __volatile__ goto(                                    \
			SECTION_ENTER SECTION_CHECK_STATE READ PUBLISH_LOOP   \
				STAMP PUBLISH_COMMIT SECTION_LEAVE            \
			: /* none */                                          \
			: [rs] "r"(tpi_rseq_area()), [lane] "r"(lane),        \
			  [old] "r"(old), [new] "r"(new), [descs] "r"(descs), \
			  [tickets] "r"(tickets), [count] "r"(count),         \
			  [time] "r"(time)                                    \
			: SCRATCH, "x16"                                      \
			: moved);                                             \
		return 0;                                                     \
moved:                                                                        \
		return TPI_MOVED;                                             \
	}
DEFINE_PUBLISH(section_publish, , )
DEFINE_PUBLISH(section_publish_value, "mov x13, %[time]\n\t", PUBLISH_STAMP)
DEFINE_PUBLISH(section_publish_tsc, "mrs x13, cntvct_el0\n\t", PUBLISH_STAMP)

/* As in section_x86_64.h. Here one way serves both. */
#define DEFINE_PUBLISH_RUN(name, publish)                                     \
	static inline int name(                                               \
		const struct tpi_lane *lane, uint64_t old, uint64_t new,      \
		uint64_t *entries, uint64_t *times, const uint64_t *descs,    \
		const uint64_t *tickets, uint64_t count, uint64_t value)      \
	{                                                                     \
		(void)entries, (void)times;                                   \
		return publish(lane, old, new, descs, tickets, count, value); \
	}
DEFINE_PUBLISH_RUN(section_publish_run, section_publish)
DEFINE_PUBLISH_RUN(section_publish_run_value, section_publish_value)
DEFINE_PUBLISH_RUN(section_publish_run_tsc, section_publish_tsc)

#endif
