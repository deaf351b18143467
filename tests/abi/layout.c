/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared layout is one and the same for C and C++, its words hold what is put
 * into them, and positions compare across the wrap. Sizes and offsets themselves
 * are asserted in abi.h, at compile time, in both languages. That no struct has
 * padding is shown by compiling abi.h with -Wpadded (CMakeLists.txt).
 */
#include <check.h>
#include <string.h>

#include "tests/abi/layout_table.h"
#include "tests/check_main.h"

unsigned int abi_rows_c(struct abi_row *rows)
{
	const struct abi_row table[] = {ABI_ROWS};

	_Static_assert(sizeof(table) / sizeof(table[0]) <= ABI_ROWS_MAX,
		       "room");
	memcpy(rows, table, sizeof(table));
	return sizeof(table) / sizeof(table[0]);
}

START_TEST(c_and_cpp_see_the_same_layout)
{
	struct abi_row c[ABI_ROWS_MAX], cpp[ABI_ROWS_MAX];
	unsigned int count = abi_rows_c(c);

	ck_assert_uint_gt(count, 50);
	ck_assert_uint_eq(count, abi_rows_cpp(cpp));
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_str_eq(c[i].name, cpp[i].name);
		ck_assert_msg(c[i].value == cpp[i].value,
			      "%s: %#llx in C, %#llx in C++", c[i].name,
			      (unsigned long long)c[i].value,
			      (unsigned long long)cpp[i].value);
	}
}
END_TEST

START_TEST(no_name_of_an_attachment_spells_nobody_or_abandoned)
{
	for (uint32_t index = 1; index <= TAPIO_CLIENTS_MAX; index++)
		for (uint32_t generation = 0; generation < 3; generation++) {
			uint32_t name = TAPIO_ATTACHMENT_ID(
				index, TAPIO_GENERATION_MAX - generation);

			ck_assert_uint_ne(name, TAPIO_NOBODY);
			ck_assert_uint_ne(name, TAPIO_ABANDONED);
			ck_assert_uint_eq(TAPIO_ATTACHMENT_INDEX(name), index);
			ck_assert_uint_eq(TAPIO_ATTACHMENT_GENERATION(name),
					  TAPIO_GENERATION_MAX - generation);
		}
}
END_TEST

START_TEST(words_hold_their_largest_parts_apart)
{
	uint64_t head = TAPIO_HEAD(TAPIO_POSITION_MASK, 0x7fff, 0);
	uint64_t slot = TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_LOSSLESS,
				   0x7fff, UINT32_MAX);
	uint64_t desc = TAPIO_DESC_META(65535, 15, TAPIO_BLOCK_BYTES_MAX) |
			(TAPIO_BLOCKS_MAX - 1);
	uint64_t state = TAPIO_STATE(TAPIO_POSITION_MASK, TAPIO_HELD_MAX);

	ck_assert_uint_eq(TAPIO_HEAD_POSITION(head), TAPIO_POSITION_MASK);
	ck_assert_uint_eq(TAPIO_HEAD_INCARNATION(head), 0x7fff);
	ck_assert_uint_eq(TAPIO_HEAD_RECORD(head), 0);
	ck_assert_uint_eq(TAPIO_HEAD_RECORD(head | 1), 1);
	ck_assert_uint_eq(TAPIO_SLOT_STATE(slot), TAPIO_SLOT_ACTIVE);
	ck_assert_uint_eq(TAPIO_SLOT_POLICY(slot), TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(TAPIO_SLOT_INCARNATION(slot), 0x7fff);
	ck_assert_uint_eq(TAPIO_SLOT_LAG(slot), UINT32_MAX);
	ck_assert_uint_eq(TAPIO_DESC_BLOCK(desc), TAPIO_BLOCKS_MAX - 1);
	ck_assert_uint_eq(TAPIO_DESC_LENGTH(desc), TAPIO_BLOCK_BYTES_MAX);
	ck_assert_uint_eq(TAPIO_DESC_TYPE(desc), 65535);
	ck_assert_uint_eq(TAPIO_DESC_SEVERITY(desc), 15);
	ck_assert_uint_eq(TAPIO_DESC_FLAGS(desc), 0);
	ck_assert_uint_eq(TAPIO_STATE_TAIL(state), TAPIO_POSITION_MASK);
	ck_assert_uint_eq(TAPIO_STATE_HELD(state), TAPIO_HELD_MAX);
}
END_TEST

START_TEST(positions_compare_across_the_wrap)
{
	const uint64_t last = TAPIO_POSITION_MASK;

	ck_assert_int_eq(tapio_position_diff(0, last), 1);
	ck_assert_int_eq(tapio_position_diff(last, 0), -1);
	ck_assert_int_eq(tapio_position_diff(5, last - 4), 10);
	ck_assert_int_eq(tapio_position_diff(7, 7), 0);
	ck_assert_int_eq(tapio_position_diff(UINT64_C(1) << 46, 0),
			 INT64_C(1) << 46);
	ck_assert_int_eq(tapio_position_diff(0, UINT64_C(1) << 46),
			 -(INT64_C(1) << 46));
	/* bits above the 48 do not matter */
	ck_assert_int_eq(tapio_position_diff(UINT64_C(0xabcd) << 48 | 9, 4), 5);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("layout");

	tcase_add_test(t, c_and_cpp_see_the_same_layout);
	tcase_add_test(t, no_name_of_an_attachment_spells_nobody_or_abandoned);
	tcase_add_test(t, words_hold_their_largest_parts_apart);
	tcase_add_test(t, positions_compare_across_the_wrap);
	return check_run_case("abi", t);
}
