/* SPDX-License-Identifier: Apache-2.0 */
/* abi.h as a C++17 program sees it, compared with layout.c's view. */
#include <cstring>

#include "tests/abi/layout_table.h"

unsigned int abi_rows_cpp(struct abi_row *rows)
{
	const struct abi_row table[] = {ABI_ROWS};

	static_assert(sizeof(table) / sizeof(table[0]) <= ABI_ROWS_MAX, "room");
	std::memcpy(rows, table, sizeof(table));
	return sizeof(table) / sizeof(table[0]);
}
