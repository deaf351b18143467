/* SPDX-License-Identifier: Apache-2.0 */
/* HyperLogLog. See the header for the papers. */
#include "tools/analyze/distinct.h"

#include <math.h>
#include <string.h>

static uint32_t register_count(const struct an_distinct *d)
{
	return d->precision ? UINT32_C(1) << d->precision : 0;
}

/* Where a register is in the list, or belongs. */
static uint32_t place_of(const struct an_distinct *d, uint32_t index)
{
	uint32_t low = 0, high = d->listed;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (d->list[middle] >> 8 < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint8_t an_distinct_rank(const struct an_distinct *d, uint32_t index)
{
	uint32_t place;

	if (d->registers)
		return d->registers[index];
	place = place_of(d, index);
	return place < d->listed && d->list[place] >> 8 == index
		       ? (uint8_t)d->list[place]
		       : 0;
}

/* From a list to registers. */
static bool spread_out(struct an_distinct *d, struct an_budget *budget)
{
	uint8_t *registers = an_grow(budget, NULL, 0, register_count(d));

	if (!registers)
		return false;
	for (uint32_t i = 0; i < d->listed; i++)
		registers[d->list[i] >> 8] = (uint8_t)d->list[i];
	an_give(budget, d->list, d->room * sizeof(*d->list));
	d->list = NULL;
	d->listed = d->room = 0;
	d->registers = registers;
	return true;
}

/* A register that is not in the list yet. */
static bool list_new(struct an_distinct *d, struct an_budget *budget,
		     uint32_t place, uint32_t entry)
{
	if (d->listed == d->room) {
		uint32_t room = d->room ? 2u * d->room : 8u;
		uint32_t *list =
			an_grow(budget, d->list, d->room * sizeof(*list),
				room * sizeof(*list));

		if (!list)
			return false;
		d->list = list;
		d->room = (uint16_t)room;
	}
	memmove(d->list + place + 1, d->list + place,
		(d->listed - place) * sizeof(*d->list));
	d->list[place] = entry;
	d->listed++;
	return true;
}

bool an_distinct_raise(struct an_distinct *d, struct an_budget *budget,
		       uint8_t precision, uint32_t index, uint8_t rank)
{
	uint32_t place;

	d->precision = precision;
	if (!d->registers) {
		place = place_of(d, index);
		if (place < d->listed && d->list[place] >> 8 == index) {
			if ((uint8_t)d->list[place] < rank)
				d->list[place] = index << 8 | rank;
			return true;
		}
		if (d->listed < AN_DISTINCT_LISTED)
			return list_new(d, budget, place, index << 8 | rank);
		if (!spread_out(d, budget))
			return false;
	}
	if (d->registers[index] < rank)
		d->registers[index] = rank;
	return true;
}

bool an_distinct_add(struct an_distinct *d, struct an_budget *budget,
		     uint8_t precision, uint64_t hash)
{
	/* The bit below the hash ends the run of zeros at the highest rank. */
	const uint64_t rest = hash << precision | UINT64_C(1)
							  << (precision - 1u);

	return an_distinct_raise(d, budget, precision,
				 (uint32_t)(hash >> (64u - precision)),
				 (uint8_t)(__builtin_clzll(rest) + 1));
}

bool an_distinct_merge(struct an_distinct *to, struct an_budget *budget,
		       const struct an_distinct *from)
{
	const uint32_t count = from->registers ? register_count(from) : 0;

	for (uint32_t i = 0; i < from->listed; i++)
		if (!an_distinct_raise(to, budget, from->precision,
				       from->list[i] >> 8,
				       (uint8_t)from->list[i]))
			return false;
	for (uint32_t i = 0; i < count; i++)
		if (from->registers[i] &&
		    !an_distinct_raise(to, budget, from->precision, i,
				       from->registers[i]))
			return false;
	return true;
}

/* x + sum of x^(2^k) 2^(k - 1), k from 1. */
static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x == 1.0)
		return INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k, k from 1) / 3. */
static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x == 0.0 || x == 1.0)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}

double an_distinct_estimate(const struct an_distinct *d)
{
	const uint32_t count = register_count(d), top = 64u - d->precision + 1u;
	const double m = count;
	uint32_t of_rank[66] = {0};
	double z;

	if (!count)
		return 0;
	if (d->registers)
		for (uint32_t i = 0; i < count; i++)
			of_rank[d->registers[i]]++;
	else
		of_rank[0] = count - d->listed;
	for (uint32_t i = 0; i < d->listed; i++)
		of_rank[(uint8_t)d->list[i]]++;
	z = m * tau(1 - of_rank[top] / m);
	for (uint32_t k = top - 1; k >= 1; k--)
		z = 0.5 * (z + of_rank[k]);
	z += m * sigma(of_rank[0] / m);
	return m * m / (2 * M_LN2 * z);
}

void an_distinct_free(struct an_distinct *d, struct an_budget *budget)
{
	an_give(budget, d->registers, register_count(d));
	an_give(budget, d->list, d->room * sizeof(*d->list));
	*d = (struct an_distinct){0};
}
