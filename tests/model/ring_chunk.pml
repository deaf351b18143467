/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring (lib/kit/ring_log.c, lib/kit/ring_chunk.c, lib/kit/ring_seek.c): chunks of
 * values beside single ones. Two producers that take turns on one CPU and so share its
 * log, and consumers that take one value or two, all killed anywhere. Then somebody who
 * empties and fills what they left behind.
 *
 * The steps are those of ring.c and ring_log.c. Every load, swap and store is a step of
 * its own, and may be a process's last. One step are the loads that the code makes
 * again until they agree (a cell's turn and ref, head.parted). A section is a row of
 * steps that goes on only while no other producer has begun one (on_cpu), and may be
 * aborted before each. BLOCK values make a block, and a log has N places.
 *
 * Ghost: T and H, how many values were put and got, `queue`, the values put, and
 * whether the ring was full or empty at an instant of each call.
 *
 * Asserted: a put takes effect at T and leaves at most N values, a get at H, and gets
 * the values that were put, in order, each once. Full and empty are said only if it was
 * so. No start that anybody stands on is more than the truth. A head that is lost is
 * found by way of floor or parted. Everybody who was not killed ends, and the auditor
 * then gets all that was put and not got, and fills the ring.
 *
 * At most one rule to break:
 *
 *   BREAK_SECTION  a producer that lost its CPU goes on inside its section        (L3)
 *   BREAK_NEXT     next moves after the swap                                      (L3)
 *   BREAK_MARK     a block is entered without a look at its mark                  (L2)
 *   BREAK_MAX      a mark may become less                                         (L3)
 *   BREAK_LATE     the mark moves after the swap                                  (L3)
 *   BREAK_ROOM     a cell that is not unread is room enough                       (P2)
 *   BREAK_FLOOR    what a lap before was no value is put over without a floor     (P2)
 *   BREAK_FULL_2   the cell does not say that what was there was no value         (P3)
 *   BREAK_PARTED   a part is got without K2: the cell still shows a chunk         (K2)
 *   BREAK_INSTALL  head.parted is stored, not swapped                             (K3)
 *   BREAK_LOAD     values are loaded after the swap                               (K1)
 *   BREAK_FIRST    who comes to a start does not look at head.parted first        (S)
 */
#ifndef N
#define N 2
#endif
#ifndef BLOCK
#define BLOCK 2
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef GETS
#define GETS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#define SIDES (PRODUCERS + CONSUMERS)
#define MOST  (2 * PRODUCERS * PUTS + N)

#define EMPTY  0
#define FULL   1
#define GOT    2
#define CHUNK  3
#define FULL_2 5
#define PARTED 6

byte tail, head; /* the hints */
byte floor, parted, given; /* parted: the ref, given: the position */
byte low[N], turn[N];
byte values[N], mark[N], next; /* the log */
byte on_cpu;

byte T, H; /* ghost */
byte queue[MOST];
bool was_full[4], was_empty[4];
byte ended;

#define CELL(p)      ((p) % N)
#define TURN(p, s)   (8 * (p) + (s))
#define STATE(t)     ((t) % 8)
#define IS_CHUNK(t)  (((t) / 2) % 2)
#define IS_UNREAD(t) ((t) % 2)
/* The position put last in a cell, + N. */
#define PUT_N(t) ((t) / 8 + N * (IS_UNREAD(t) || STATE(t) == PARTED))

#define REF(p, n, i) ((i) + 8 * (n) + 32 * ((p) % 8))
#define LENGTH(r)    (((r) / 8) % 4)
#define INDEX(r)     ((r) % 8)
#define BEFORE(r, q) (((q) + 8 - (r) / 32) % 8)
#define SIZE(t, r)   (1 + IS_CHUNK(t) * (LENGTH(r) - 1))

#define STANDS  0
#define PASSED  1
#define LOST    2
#define REFUSED 3
#define DONE    4
#define AGAIN   5

#define STEP(body)                                                             \
	if                                                                     \
	:: atomic { body }                                                     \
	:: atomic { mortal; goto dead }                                        \
	fi

inline note_edges()
{
	for (e : 0 .. 3) {
		was_full[e] = was_full[e] || T - H == N;
		was_empty[e] = was_empty[e] || T == H
	}
	e = 0
}

inline begin()
{
	atomic { was_full[me] = T - H == N; was_empty[me] = T == H }
}

/* S, for the tail. */
inline seek_tail()
{
	do
	:: STEP(seen = turn[CELL(p)]; ref = low[CELL(p)];
		if
		:: PUT_N(seen) < p + N -> did = STANDS
		:: else -> p = PUT_N(seen) - N + SIZE(seen, ref); did = PASSED;
			assert(p <= T)
		fi);
		if
		:: did == STANDS -> break
		:: else -> skip
		fi
	od
}

/* S, for the head, from h. in: it is inside of my copy of parted. */
inline seek_head()
{
	do
	:: STEP(ref = parted; at = given; assert(at <= H);
		left = LENGTH(ref) - BEFORE(ref, at);
		from = (left -> at - BEFORE(ref, at) : at);
#ifdef BREAK_FIRST
		left = 0; from = 0;
#endif
		if
		:: from > h -> h = from
		:: else -> skip
		fi);
		if
		:: left -> break
		:: else -> skip
		fi;
		from = h;
		do
		:: STEP(assert(h <= H);
			seen = turn[CELL(h)]; size = SIZE(seen, low[CELL(h)]);
			if
			:: PUT_N(seen) < h + N -> did = STANDS
			:: PUT_N(seen) >= h + N && STATE(seen) == PARTED ->
				did = (PUT_N(seen) == h + N -> STANDS : PASSED);
				h = PUT_N(seen) - N
			:: PUT_N(seen) >= h + N && IS_UNREAD(seen) ->
				if
				:: PUT_N(seen) == h + N -> did = STANDS
				:: PUT_N(seen) > h + N && STATE(seen) == FULL ->
					h = PUT_N(seen) - 2 * N + 1; did = PASSED
				:: else -> did = LOST
				fi
			:: else -> h = PUT_N(seen) - N + size; did = PASSED
			fi;
			assert(h <= H));
			if
			:: did == PASSED -> skip
			:: else -> break
			fi
		od;
		if
		:: did != LOST -> break
		:: else ->
			STEP(if
			     :: floor > h -> h = floor
			     :: else -> skip
			     fi;
			     /* Floor or parted is behind it by now. */
			     assert(h > from || given > h ||
				    (LENGTH(parted) > BEFORE(parted, given))))
		fi
	od;
	atomic { from = 0; size = 0 }
}

/* tpi_ring_reached(): h = a position that the head has reached, at least `least`. */
inline reached(least)
{
	STEP(h = floor);
	if
	:: h >= least -> skip
	:: else ->
		STEP(h = head);
		seek_head();
#ifndef BREAK_FLOOR
		STEP(if
		     :: h > floor -> floor = h
		     :: else -> skip
		     fi);
#endif
		if
		:: left -> h = at
		:: else -> skip
		fi
	fi;
	left = 0;
	at = 0
}

/* tpi_ring_room() for n values, after seen = turn of cell p. did: DONE, AGAIN, REFUSED,
 * and n = how many there is room for. */
inline room()
{
	if
	:: PUT_N(seen) >= p + N -> seek_tail(); did = AGAIN
	:: PUT_N(seen) < p + N && IS_UNREAD(seen) ->
		assert(PUT_N(seen) == p); did = REFUSED
	:: else ->
		kept = seen;
#ifndef BREAK_ROOM
		wanted = (p + n > N -> p + n - N : 0);
		reached(wanted);
		if
		:: h + N <= p -> did = REFUSED; assert(h + N == p)
		:: h > p -> did = AGAIN
		:: else ->
			did = DONE;
			n = (n > N - (p - h) -> N - (p - h) : n)
		fi;
#else
		did = DONE;
#endif
		seen = kept; kept = 0; h = 0
	fi
}

inline store_hint(which, position)
{
	if
	:: position != hint -> STEP(which = position)
	:: else -> skip
	fi
}

/* A step inside the section: an abort ends it. */
#ifdef BREAK_SECTION
#define MINE true
#else
#define MINE on_cpu == me
#endif
#define INSIDE(body)                                                           \
	if                                                                     \
	:: did == DONE ->                                                      \
		STEP(if                                                        \
		     :: MINE -> body                                           \
		     :: on_cpu != me -> did = AGAIN                            \
		     fi)                                                       \
	:: else -> skip                                                        \
	fi

/* L1 to L3, for n values at p. did: DONE, AGAIN or REFUSED. n = 0: one by one. */
inline put_chunk(v)
{
	STEP(seen = turn[CELL(p)]);
	STEP(old = low[CELL(p)]);
	room();
	if
	:: did == DONE ->
		STEP(place = next);
		n = (n > BLOCK - place % BLOCK -> BLOCK - place % BLOCK : n);
		STEP(bound = mark[(place % N) / BLOCK]);
#ifndef BREAK_MARK
		if
		:: place % BLOCK == 0 ->
			kept = seen;
			reached(bound);
			seen = kept; kept = 0;
			if
			:: h < bound -> n = 0
			:: else -> skip
			fi;
			h = 0
		:: else -> skip
		fi;
#endif
#ifndef BREAK_MAX
		bound = (p + n > bound -> p + n : bound);
#else
		bound = p + n;
#endif
		if
		:: n == 0 -> did = AGAIN
		:: else ->
			did = DONE;
			STEP(on_cpu = me);
			INSIDE(if
			       :: next == place -> skip
			       :: else -> did = AGAIN
			       fi);
			INSIDE(values[place % N] = v);
			INSIDE(if
			       :: n == 2 -> values[place % N + 1] = v + 1
			       :: else -> skip
			       fi);
#ifndef BREAK_LATE
			INSIDE(mark[(place % N) / BLOCK] = bound);
#endif
#ifndef BREAK_NEXT
			INSIDE(next = place + n);
#endif
			INSIDE(if
			       :: turn[CELL(p)] == seen && low[CELL(p)] == old ->
				       turn[CELL(p)] = TURN(p, CHUNK);
				       low[CELL(p)] = REF(p, n, place % N);
				       assert(p == T && T - H + n <= N);
				       queue[T] = v;
				       T++;
				       if
				       :: n == 2 -> queue[T] = v + 1; T++
				       :: else -> skip
				       fi;
				       note_edges()
			       :: else -> did = AGAIN
			       fi);
#ifdef BREAK_LATE
			INSIDE(mark[(place % N) / BLOCK] = bound);
#endif
#ifdef BREAK_NEXT
			INSIDE(next = place + n);
#endif
		fi
	:: else -> skip
	fi;
	atomic { place = 0; bound = 0; h = 0 }
}

/* P2 and P3 */
inline put_value(v)
{
	do
	:: STEP(seen = turn[CELL(p)]);
		STEP(old = low[CELL(p)]);
		if
		:: seen == TURN(p, EMPTY) -> did = DONE; left = FULL
		:: else -> n = 1; room(); left = FULL_2
		fi;
		if
		:: did == REFUSED -> break
		:: did == AGAIN -> skip
		:: else ->
#ifdef BREAK_FULL_2
			left = FULL;
#endif
			STEP(if
			     :: turn[CELL(p)] == seen && low[CELL(p)] == old ->
				     turn[CELL(p)] = TURN(p, left);
				     low[CELL(p)] = v;
				     assert(p == T && T - H < N);
				     queue[T] = v;
				     T++;
				     note_edges();
				     did = DONE
			     :: else -> did = AGAIN
			     fi);
			if
			:: did == DONE -> n = 1; break
			:: else -> skip
			fi
		fi
	od;
	left = 0
}

inline put(v, many)
{
	begin();
	STEP(hint = tail; p = hint);
	did = AGAIN;
	if
	:: many -> n = many; put_chunk(v)
	:: else -> skip
	fi;
	if
	:: did == AGAIN -> put_value(v)
	:: else -> skip
	fi;
	if
	:: did == DONE -> p = p + n
	:: else -> assert(did == REFUSED && was_full[me])
	fi;
	store_hint(tail, p);
	atomic { hint = 0; p = 0; seen = 0; old = 0; ref = 0; n = 0; size = 0 }
}

inline check_got(m)
{
	assert(H + m <= T);
	assert(first == queue[H]);
	assert(m == 1 || second == queue[H + 1]);
	H = H + m;
	note_edges();
	did = DONE
}

inline load_values(r, i, m)
{
	STEP(first = values[(INDEX(r) + i) % N]);
	if
	:: m == 2 -> STEP(second = values[(INDEX(r) + i + 1) % N])
	:: else -> skip
	fi
}

/* A get of 1 or n values. */
inline get(many)
{
	begin();
	STEP(hint = head; h = hint);
	do
	:: STEP(seen = turn[CELL(h)]);
		if
		:: seen == TURN(h, FULL) -> left = 0
		:: else ->
			seek_head();
			if
			:: left -> skip
			:: else -> STEP(seen = turn[CELL(h)])
			fi
		fi;
		n = many;
		did = AGAIN;
		if
		:: left -> /* K4 */
			n = (n > left -> left : n);
			load_values(ref, BEFORE(ref, at), n);
			STEP(if
			     :: given == at -> given = at + n; assert(at == H);
				     check_got(n)
			     :: else -> skip
			     fi);
			if
			:: did == DONE && n == left -> h = at + n
			:: else -> skip
			fi
		:: !left && PUT_N(seen) < h + N ->
			assert(!IS_UNREAD(seen)); did = REFUSED
		:: !left && PUT_N(seen) == h + N &&
			(STATE(seen) == FULL || STATE(seen) == FULL_2) ->
			n = 1;
			STEP(first = low[CELL(h)]);
			STEP(if /* G3 */
			     :: turn[CELL(h)] == seen -> assert(h == H);
				     turn[CELL(h)] = TURN(h + N, EMPTY);
				     check_got(1)
			     :: else -> skip
			     fi);
			if
			:: did == DONE -> h++
			:: else -> skip
			fi
		:: !left && PUT_N(seen) == h + N && STATE(seen) == CHUNK ->
			STEP(ref = low[CELL(h)]);
			if
			:: n >= LENGTH(ref) -> /* K1 */
				n = LENGTH(ref);
#ifndef BREAK_LOAD
				load_values(ref, 0, n);
				STEP(if
				     :: turn[CELL(h)] == seen -> assert(h == H);
					     turn[CELL(h)] = TURN(h + N, GOT);
					     check_got(n)
				     :: else -> skip
				     fi);
#else
				STEP(if
				     :: turn[CELL(h)] == seen -> assert(h == H);
					     turn[CELL(h)] = TURN(h + N, GOT);
					     H = H + n; note_edges();
					     old = H; did = DONE
				     :: else -> skip
				     fi);
				if
				:: did == DONE ->
					load_values(ref, 0, n);
					assert(first == queue[old - n])
				:: else -> skip
				fi;
				old = 0;
#endif
				if
				:: did == DONE -> h = h + n
				:: else -> skip
				fi
			:: else -> /* K2 */
#ifndef BREAK_PARTED
				STEP(if
				     :: turn[CELL(h)] == seen -> assert(h == H);
					     turn[CELL(h)] = TURN(h, PARTED)
				     :: else -> skip
				     fi)
#else
				goto first_part
#endif
			fi
		:: !left && PUT_N(seen) == h + N && STATE(seen) == PARTED ->
			STEP(ref = low[CELL(h)]);
first_part:		/* K3. size: parted as it was seen, in which nothing was left */
			n = (n > LENGTH(ref) -> LENGTH(ref) : n);
			load_values(ref, 0, n);
			STEP(if
#ifndef BREAK_INSTALL
			     :: given == at ->
#else
			     :: true ->
#endif
				     parted = ref; given = h + n; assert(h == H);
				     check_got(n)
#ifndef BREAK_INSTALL
			     :: else -> skip
#endif
			     fi);
			if
			:: did == DONE && n == LENGTH(ref) -> h = h + n
			:: else -> skip
			fi
		:: else -> skip
		fi;
		left = 0;
		if
		:: did == AGAIN -> skip
		:: else -> break
		fi
	od;
	assert(did == DONE || was_empty[me]);
	store_hint(head, h);
	atomic {
		hint = 0; h = 0; seen = 0; ref = 0; at = 0; first = 0; second = 0;
		n = 0; size = 0
	}
}

#define LOCALS                                                                 \
	byte hint, p, h, seen, old, ref, at, left, from, size, n, did, e;      \
	byte place, bound, first, second, k, wanted, kept

#define FORGET                                                                 \
	hint = 0; p = 0; h = 0; seen = 0; old = 0; ref = 0; at = 0; left = 0;  \
	from = 0; size = 0; n = 0; did = 0; e = 0; place = 0; bound = 0;       \
	first = 0; second = 0; k = 0; wanted = 0; kept = 0; was_full[me] = 0; was_empty[me] = 0

proctype producer(byte me)
{
	LOCALS;
	bool mortal = true;

	do
	:: k < PUTS ->
		if
		:: put(8 * (me + 1) + 2 * k, 2)
		:: put(8 * (me + 1) + 2 * k, 1)
		:: put(8 * (me + 1) + 2 * k, 0)
		fi;
		k++
	:: else -> break
	od;
dead:
	atomic { FORGET; ended++ }
}

proctype consumer(byte me)
{
	LOCALS;
	bool mortal = true;

	do
	:: k < GETS ->
		if
		:: first = 1
		:: first = 2
		fi;
		bound = first;
		get(bound);
		k++
	:: else -> break
	od;
dead:
	atomic { FORGET; ended++ }
}

proctype auditor(byte me)
{
	LOCALS;
	bool mortal = false;

	ended == SIDES;
	do
	:: get(1);
		if
		:: did == REFUSED -> break
		:: else -> skip
		fi
	od;
	assert(T == H);
	do
	:: k < N ->
		put(1, 0);
		assert(did == DONE);
		k++
	:: else -> break
	od;
	put(1, 0);
	assert(did == REFUSED);
dead:
	skip
}

init
{
	byte i;

	atomic {
		for (i : 0 .. N - 1) {
			turn[i] = TURN(i, EMPTY)
		}
		i = 0;
		on_cpu = 9;
		for (i : 1 .. PRODUCERS) {
			run producer(i - 1)
		}
		for (i : 1 .. CONSUMERS) {
			run consumer(1 + i)
		}
		i = 0;
		run auditor(3)
	}
}
