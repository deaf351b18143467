/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over from a broker that dies to its successor: the keeper (broker/keep), the
 * order of the broker's steps in its private state, the catalog and the keeper
 * (broker/registry, broker/group, broker/repair), and what a client does whose connection
 * is gone.
 *
 * Two programs `tapiod` are started with the same name, at any times. Each has a keeper and
 * a broker. Any of them is killed at any step, and so are the clients. A process that is
 * not scheduled has stopped: then the queue of a keeper is full, and the broker may think
 * that it has waited long enough (STOPS).
 *
 * A put is a message in a queue of the kernel that holds QUEUE of them. It outlives the
 * broker, and ends with the keeper. An answer in a client's socket outlives the broker,
 * too. The channel has one group slot, and its two clients have different uids: so the
 * second one needs the end of the first one and new memory for the slot.
 *
 *   -DFORK      a new keeper is a fork of the broker and has everything at once, as the code
 *               has it (broker/keep/process.c). Otherwise everything is put again, and
 *               then COMMIT
 *   -DCHECK     no COMMIT: a successor that misses something begins a new instance
 *
 * What must hold:
 *   never do two brokers work at once
 *   an id that was given to a client is in the catalog until the client has left, is
 *           dead, or the instance is gone. It is given once
 *   memory serves one uid, and is there while its keeper is ready and lives
 *   the instance ends only with the broker and its keeper, or before COMMIT
 *   in the end: with a broker, each client is served or was told, each death is swept,
 *           no attachment is without a client, and the keeper has what the catalog
 *           names and nothing else. Without one, no keeper is left, and all connections
 *           are closed
 *
 * At most one rule to break:
 *   BREAK_PIDFD      a keeper restarts a broker that is silent, not dead
 *   BREAK_DRAIN      it does so before it has read what the dead one put
 *   BREAK_LOCK       the lock of the name is not in the keeper
 *   BREAK_TAKE       a broker that got no lock from its keeper serves without one
 *   BREAK_KILL       a keeper that does not read is left alive, and another one is made
 *   BREAK_DEATH      a dead keeper is not replaced
 *   BREAK_FULL       what finds no room in the queue is not put
 *   BREAK_AGAIN      a new keeper gets only what changes from then on
 *   BREAK_COMMIT     a successor trusts what a keeper has got so far
 *   BREAK_READY      a broker serves before COMMIT
 *   BREAK_PUT        the client's pidfd is put after the answer
 *   BREAK_ANSWER     the answer comes before the record is ALIVE
 *   BREAK_GENERATION the generations are the broker's, not of the kept state
 *   BREAK_NONCE      a handle that asks again gets another attachment
 *   BREAK_GIVEN      the state says after the answer whom the memory was given to
 *   BREAK_BOUND      it does not say which memory it means
 *   BREAK_MEMORY     new memory is put after its record
 *   BREAK_OLD        old memory is dropped before the record names the new one
 *   BREAK_TORN       the record stays valid while it is written
 *   BREAK_DROP       the pidfd is dropped before the record is FREE
 *   BREAK_SWEEP      the record is FREE before the sweep
 *   BREAK_DEAD       a successor leaves records that are DEAD
 *   BREAK_SILENT     a successor ends the attachments of clients that have not come back
 *   BREAK_UNDO       a successor leaves a slot without members ACTIVE
 *   BREAK_REST       it leaves descriptors that no record names
 *   BREAK_INSTANCE   an id of another instance is taken for one of this
 *   BREAK_ONCE       a client says only once that it leaves
 *   BREAK_TOLD       a client whose instance is gone is not told
 */
#ifndef KILLS /* of a broker */
#define KILLS 2
#endif
#ifndef KEEPER_KILLS
#define KEEPER_KILLS 1
#endif
#ifndef CLIENT_KILLS
#define CLIENT_KILLS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef PROGRAMS
#define PROGRAMS 1
#endif
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef QUEUE
#define QUEUE 2
#endif
#define RECORDS 2
#define NONE    9

/* Puts. A value of 0 drops. */
mtype = {LOCK, BASE, MEMORY, PROCESS, COMMIT};
/* Requests and answers. */
mtype = {ATTACH, RESUME, DETACH, ATTACHED, RESUMED, OTHER, DETACHED};
/* Of a record. FREE is 0. */
mtype = {ALIVE, DEAD};

/* What a keeper has, and a broker: copies of descriptors. */
typedef Kept {
	bool lock, ready;
	byte base;	      /* catalog and private state of this instance */
	byte memory[2];	      /* of the slot, by the lowest bit of its epoch */
	byte process[RECORDS] /* client + 1 */
}
Kept keeps[2], has[2];

/* Keepers. */
bool keeping[2];
byte broker_of[2]; /* it has the pidfd of this one */
chan queue[2] = [QUEUE] of {mtype, byte, byte};

#define ITEMS 6
#define SETTLED (!lost[b] && at[b] == ITEMS)

/* Brokers. `gone`: the pidfd says so. */
bool running[2], gone[2] = true, working[2];
bool lost[2];		  /* the keeper is to be replaced */
byte at[2] = ITEMS; /* what is put again next */
byte keeper_of[2];

/* The memory of the instance of now. */
byte instance;
mtype state[RECORDS];
byte name[RECORDS], who[RECORDS]; /* the generation, and client + 1 */
byte epoch, record[2];		  /* of the slot; in two words */
bool valid, shown;
byte dirt[RECORDS]; /* a generation: words that bear the id */
/* The private state. */
byte generation[RECORDS], nonce[RECORDS];
byte given_epoch, given_uid;

/* Clients, and their connections. */
bool alive[CLIENTS] = true, linked[CLIENTS], left[CLIENTS], used[CLIENTS], finished[CLIENTS];
mtype asks[CLIENTS], answer[CLIENTS];
/* The name that it was given: ghost until it has read the answer. */
bool knows[CLIENTS];
byte its_record[CLIENTS], its_generation[CLIENTS], its_instance[CLIENTS];

/* Ghosts. */
bool replaced;	       /* a keeper was, and the new one has not got all */
byte given[RECORDS];   /* the last generation that was given */
byte users[8];	       /* by epoch: the uid that the memory was given to */
byte kills = KILLS, keeper_kills = KEEPER_KILLS, client_kills = CLIENT_KILLS, stops = STOPS;

#define HOLDS(k) (keeping[k] && (keeps[k].lock || queue[k]??[LOCK, 0, 1]))
#define HELD                                                                   \
	(HOLDS(0) || HOLDS(1) || (running[0] && has[0].lock) ||                \
	 (running[1] && has[1].lock))
/* The listening socket is always where the lock is. */
#define LISTENS HELD

#define UID(client) ((client) + 1)

/* ---- deaths ------------------------------------------------------------------------ */

inline forget(kept)
{
	kept.lock = false;
	kept.ready = false;
	kept.base = 0;
	kept.memory[0] = 0;
	kept.memory[1] = 0;
	kept.process[0] = 0;
	kept.process[1] = 0
}

inline unlink(client)
{
	linked[client] = false;
	asks[client] = 0
}

inline unlink_all()
{
	unlink(0);
#if CLIENTS > 1
	unlink(1)
#endif
}

inline end_keeper(k)
{
	keeping[k] = false;
	broker_of[k] = 0;
	forget(keeps[k]);
	do
	:: nempty(queue[k]) -> queue[k]?_, _, _
	:: empty(queue[k]) -> break
	od;
	if
	:: !(LISTENS) -> unlink_all()
	:: else
	fi
}

inline end_broker(b)
{
	running[b] = false;
	keeper_of[b] = 0;
	lost[b] = false;
	at[b] = ITEMS;
	if
	:: working[b] -> unlink_all()
	:: else
	fi;
	working[b] = false;
	forget(has[b]);
	if
	:: !(LISTENS) -> unlink_all()
	:: else
	fi
}

proctype Deaths()
{
end:	do
	:: d_step { kills > 0 && running[0] -> kills--; end_broker(0) }
	:: d_step { kills > 0 && running[1] -> kills--; end_broker(1) }
	:: d_step { keeper_kills > 0 && keeping[0] -> keeper_kills--; end_keeper(0) }
	:: d_step { keeper_kills > 0 && keeping[1] -> keeper_kills--; end_keeper(1) }
	:: d_step { client_kills > 0 && alive[0] && !finished[0] ->
		client_kills--; alive[0] = false; unlink(0); answer[0] = 0 }
	:: break
	od
}

/* ---- the keeper -------------------------------------------------------------------- */

inline apply(kept, what, key, value)
{
	if
	:: what == LOCK -> kept.lock = true
	:: what == BASE -> kept.base = value
	:: what == MEMORY -> kept.memory[key] = value
	:: what == PROCESS -> kept.process[key] = value
	:: what == COMMIT -> kept.ready = true
	fi
}

inline copy(to, from)
{
	to.lock = from.lock;
	to.ready = from.ready;
	to.base = from.base;
	to.memory[0] = from.memory[0];
	to.memory[1] = from.memory[1];
	to.process[0] = from.process[0];
	to.process[1] = from.process[1]
}

/* Of two programs, or of two keepers of one broker. */
#define OTHERS(k) (keeping[1 - (k)] && broker_of[1 - (k)] == broker_of[k])

inline restart(k)
{
	n = (OTHERS(k) || running[broker_of[k]] -> 1 - broker_of[k] : broker_of[k]);
#if !defined(BREAK_COMMIT) && !defined(CHECK)
	if
	:: !keeps[k].ready -> /* the lock, and nothing else */
		lock = keeps[k].lock;
		forget(keeps[k]);
		keeps[k].lock = lock;
		lock = false
	:: else
	fi;
#endif
	copy(has[n], keeps[k]);
	broker_of[k] = n;
	keeper_of[n] = k;
	gone[n] = false;
	running[n] = true;
	n = 0
}

#ifdef BREAK_PIDFD
#define DIED(k) true
#else
#define DIED(k) gone[broker_of[k]]
#endif
#ifdef BREAK_DRAIN
#define DRAINED(k) true
#else
#define DRAINED(k) empty(queue[k])
#endif

proctype Keeper(byte k)
{
	mtype what;
	byte key, value, n;
	bool lock;

end:	do
	:: d_step { keeping[k] && nempty(queue[k]) ->
		queue[k]?what, key, value;
		apply(keeps[k], what, key, value);
		what = 0; key = 0; value = 0
	   }
	:: d_step { keeping[k] && DRAINED(k) && DIED(k) &&
		(gone[broker_of[k]] && !OTHERS(k) || gone[1 - broker_of[k]]) -> restart(k) }
	od
}

/* ---- the broker's side of the keeper ------------------------------------------------ */

/* Its keeper lives: another program's may have come into the place of a dead one. */
#define MINE (keeping[keeper_of[b]] && broker_of[keeper_of[b]] == b)
#define ROOM (MINE && nfull(queue[keeper_of[b]]))
#define FULL (MINE && full(queue[keeper_of[b]]))

/*
 * One message. `lost`: the keeper is dead, or has not read for too long. A FULL queue may
 * also be waited for.
 */
inline send(what, key, value)
{
	if
	:: ROOM -> queue[keeper_of[b]]!what, key, value
#ifdef BREAK_FULL
	:: FULL
#else
	:: FULL && stops > 0 -> stops--; lost[b] = true
#endif
#ifdef BREAK_DEATH
	:: !(MINE)
#else
	:: !(MINE) -> lost[b] = true
#endif
	fi
}

/* The lock is there by the fork. */
inline send_item()
{
	if
	:: at[b] == 0 && has[b].base > 0 -> send(BASE, 0, has[b].base)
	:: at[b] >= 1 && at[b] <= 2 && has[b].memory[at[b] - 1] > 0 ->
		send(MEMORY, at[b] - 1, has[b].memory[at[b] - 1])
	:: at[b] >= 3 && at[b] <= 4 && has[b].process[at[b] - 3] > 0 ->
		send(PROCESS, at[b] - 3, has[b].process[at[b] - 3])
	:: at[b] == 5 && has[b].ready -> send(COMMIT, 0, 1)
	:: else
	fi;
	if
	:: !lost[b] ->
		at[b]++;
		replaced = at[b] < ITEMS
	:: else
	fi
}

/* A part of the broker: a keeper that is lost is dead before there is another one. */
proctype Renewal(byte b)
{
	byte k;

end:	do
#ifdef BREAK_KILL
#define READY_FOR_ANOTHER true
#else
#define READY_FOR_ANOTHER !(MINE)
	:: atomic { running[b] && lost[b] && MINE -> end_keeper(keeper_of[b]) }
#endif
	:: atomic { running[b] && lost[b] && READY_FOR_ANOTHER &&
		(!keeping[0] || !keeping[1]) ->
		k = (keeping[0] -> 1 : 0);
		keeping[k] = true;
		broker_of[k] = b;
		keeper_of[b] = k;
#ifdef FORK
		copy(keeps[k], has[b]);
#else
		keeps[k].lock = has[b].lock;
		replaced = true;
#ifdef BREAK_AGAIN
		at[b] = ITEMS - 1;
#else
		at[b] = 0;
#endif
#endif
#ifdef BREAK_LOCK
		keeps[k].lock = false;
#endif
		k = 0;
		lost[b] = false
	   }
	:: atomic { running[b] && !lost[b] && at[b] < ITEMS && (ROOM || !(MINE) || stops > 0) ->
		send_item() }
	od
}

/* When it is over, the keeper has it, or has it in its queue. */
inline put(what, key, value)
{
	atomic {
		apply(has[b], what, key, value);
		send(what, key, value)
	};
	SETTLED
}

/* ---- attachments -------------------------------------------------------------------- */

#define LIVES(i) (state[i] == ALIVE)
#define HAS_CLIENT(i)                                                          \
	(alive[who[i] - 1] && knows[who[i] - 1] && !left[who[i] - 1] &&        \
	 its_instance[who[i] - 1] == instance && its_record[who[i] - 1] == i && \
	 its_generation[who[i] - 1] == name[i])

inline leave()
{
	if
	:: !LIVES(0) && !LIVES(1) -> shown = false
	:: else
	fi
}

inline sweep(i)
{
	assert(dirt[i] == 0 || dirt[i] == name[i]);
	dirt[i] = 0
}

inline finish(i)
{
#ifdef BREAK_SWEEP
	atomic { state[i] = 0 };
	sweep(i);
	leave();
#else
	atomic { sweep(i) };
	atomic { leave() };
#ifdef BREAK_DROP
	put(PROCESS, i, 0);
#endif
	state[i] = 0;
#endif
#ifndef BREAK_DROP
	put(PROCESS, i, 0)
#endif
}

inline end_attachment(i)
{
#ifdef BREAK_DROP
	put(PROCESS, i, 0);
#endif
	atomic {
		assert(!HAS_CLIENT(i));
		state[i] = DEAD
	};
	finish(i)
}

/* ---- the slot ---------------------------------------------------------------------- */

inline renew()
{
	e = epoch + 1;
	atomic { users[e] = 0 };
#ifdef BREAK_BOUND
	given_uid = 0;
#endif
#ifdef BREAK_OLD
	put(MEMORY, (e - 1) % 2, 0);
#endif
#ifndef BREAK_MEMORY
	put(MEMORY, e % 2, e);
#endif
#ifndef BREAK_TORN
	valid = false;
#endif
	record[0] = e;
	record[1] = e;
	valid = true;
#ifdef BREAK_MEMORY
	put(MEMORY, e % 2, e);
#endif
	epoch = e
}

#ifdef BREAK_BOUND
#define MAY_HAVE(uid) (given_uid == 0 || given_uid == (uid))
#else
#define MAY_HAVE(uid) (given_epoch != epoch || given_uid == (uid))
#endif

inline give(uid)
{
	atomic { given_uid = uid; given_epoch = epoch }
}

inline join(uid)
{
	if
	:: !shown && !(MAY_HAVE(uid)) ->
		renew();
		shown = true;
#ifndef BREAK_OLD
		put(MEMORY, (e - 1) % 2, 0);
#endif
		e = 0
	:: !shown && MAY_HAVE(uid) -> shown = true
	:: shown
	fi;
#ifndef BREAK_GIVEN
	give(uid)
#endif
}

/* ---- requests ---------------------------------------------------------------------- */

/* Its memory is with the answer. */
inline answer_attached(c)
{
	atomic {
		if
		:: linked[c] && asks[c] == ATTACH ->
			assert(users[epoch] == 0 || users[epoch] == UID(c));
			assert(name[i] > given[i] || (nonce[i] == c + 1 &&
				(!knows[c] || its_instance[c] != instance ||
				its_record[c] == i && its_generation[c] == name[i])));
			users[epoch] = UID(c);
			given[i] = name[i];
			knows[c] = true;
			its_record[c] = i;
			its_generation[c] = name[i];
			its_instance[c] = instance;
			asks[c] = 0;
			answer[c] = ATTACHED
		:: else
		fi
	}
}

inline publish(c)
{
	atomic { name[i] = generation[i]; who[i] = c + 1 };
	atomic { assert(dirt[i] == 0); state[i] = ALIVE }
}

inline attach(c)
{
#ifndef BREAK_NONCE
	if
	:: LIVES(0) && nonce[0] == c + 1 -> i = 0
	:: LIVES(1) && nonce[1] == c + 1 -> i = 1
	:: else ->
#endif
		i = (state[0] == 0 -> 0 : 1);
		atomic { generation[i]++; nonce[i] = c + 1 };
#ifndef BREAK_PUT
		put(PROCESS, i, c + 1);
#endif
		join(UID(c));
#ifdef BREAK_ANSWER
		atomic { name[i] = generation[i] };
		answer_attached(c);
#endif
		publish(c);
#ifndef BREAK_NONCE
	fi;
#endif
	answer_attached(c);
#ifdef BREAK_GIVEN
	give(UID(c));
#endif
#ifdef BREAK_PUT
	put(PROCESS, i, c + 1);
#endif
	i = 0
}

/* The slot is the group's of one uid. */
#define ADMITS(c)                                                              \
	((state[0] == 0 || state[1] == 0 || LIVES(0) && nonce[0] == c + 1 ||   \
	  LIVES(1) && nonce[1] == c + 1) &&                                    \
	 (!shown || (given_epoch == epoch && given_uid == UID(c))))

inline reply(c, what)
{
	if
	:: linked[c] -> asks[c] = 0; answer[c] = what
	:: else
	fi
}

#ifdef BREAK_INSTANCE
#define OF_NOW(c) (its_instance[c] != 0)
#else
#define OF_NOW(c) (its_instance[c] == instance)
#endif
#define NAMES(c)                                                               \
	(OF_NOW(c) && state[its_record[c]] == ALIVE &&                         \
	 name[its_record[c]] == its_generation[c])

inline resume(c)
{
	atomic {
		if
		:: OF_NOW(c) ->
			assert(its_instance[c] == instance);
			assert(NAMES(c)); /* not forgotten */
			reply(c, RESUMED)
#ifdef BREAK_TOLD
		:: else -> reply(c, RESUMED)
#else
		:: else -> reply(c, OTHER)
#endif
		fi
	}
}

inline detach(c)
{
	if
	:: NAMES(c) ->
		i = its_record[c];
		end_attachment(i);
		i = 0
	:: else
	fi;
	atomic { reply(c, DETACHED) }
}

/* ---- start ------------------------------------------------------------------------- */

#define READY_WITH(k) (keeping[k] && keeps[k].ready && keeps[k].base == instance)
#define KNOWN_TO(c)   (alive[c] && knows[c] && its_instance[c] == instance)

inline begin()
{
	d_step {
#ifndef CHECK
		assert(!READY_WITH(0) && !READY_WITH(1));
#endif
		assert(!heir || replaced || !KNOWN_TO(0) && !KNOWN_TO(CLIENTS - 1));
		replaced = false;
		instance++;
		state[0] = 0; state[1] = 0;
		name[0] = 0; name[1] = 0;
		who[0] = 0; who[1] = 0;
		dirt[0] = 0; dirt[1] = 0;
		generation[0] = 0; generation[1] = 0;
		nonce[0] = 0; nonce[1] = 0;
		given[0] = 0; given[1] = 0;
		users[1] = 0;
		given_epoch = 0; given_uid = 0;
		epoch = 1; record[0] = 1; record[1] = 1;
		valid = true; shown = false
	};
#ifdef CHECK
	put(MEMORY, 0, 0);
	put(PROCESS, 0, 0);
	put(PROCESS, 1, 0);
#endif
	put(BASE, 0, instance);
#ifdef BREAK_READY
	serve_one();
#endif
	put(MEMORY, 1, 1);
#ifndef CHECK
	put(COMMIT, 0, 1)
#endif
}

#define COMPLETE                                                               \
	(has[b].base == instance &&                                            \
	 has[b].memory[(valid -> record[0] : epoch) % 2] ==                    \
		 (valid -> record[0] : epoch) &&                               \
	 (state[0] != ALIVE || has[b].process[0] == who[0]) &&                 \
	 (state[1] != ALIVE || has[b].process[1] == who[1]))

inline adopt_record(i)
{
	if
	:: LIVES(i) ->
		assert(shown);
#ifdef BREAK_SILENT
		if
		:: !linked[who[i] - 1] -> end_attachment(i)
		:: else
		fi
#endif
	:: state[i] == DEAD ->
#ifndef BREAK_DEAD
		finish(i)
#endif
	:: state[i] == 0 ->
#ifndef BREAK_REST
		if
		:: has[b].process[i] > 0 -> put(PROCESS, i, 0)
		:: else
		fi
#endif
	fi
}

inline adopt()
{
	d_step {
		assert(COMPLETE);
		assert(!valid || record[0] == record[1]);
		assert(!LIVES(0) || !LIVES(1) || who[0] != who[1])
#ifdef BREAK_GENERATION
		;
		generation[0] = 0;
		generation[1] = 0
#endif
	};
	if
	:: !valid -> /* undo */
		record[0] = epoch;
		record[1] = epoch;
		valid = true
	:: valid && record[0] != epoch -> epoch = record[0] /* complete */
	:: else
	fi;
#ifndef BREAK_REST
	if
	:: has[b].memory[1 - epoch % 2] > 0 -> put(MEMORY, 1 - epoch % 2, 0)
	:: else
	fi;
#endif
#ifndef BREAK_UNDO
	atomic { leave() };
#endif
	adopt_record(0);
	adopt_record(1)
}

#ifdef BREAK_READY
inline serve_one()
{
	if
	:: asks[0] == ATTACH && ADMITS(0) -> attach(0)
	:: true
	fi
}
#endif

inline take_lock()
{
	heir = has[b].lock;
	if
	:: has[b].lock
	:: else ->
#ifndef BREAK_TAKE
		atomic {
			if
			:: HELD -> /* the whole program ends */
				if
				:: MINE -> end_keeper(keeper_of[b])
				:: else
				fi;
				end_broker(b)
			:: else -> has[b].lock = true
			fi
		};
#endif
#ifndef BREAK_LOCK
		put(LOCK, 0, 1)
#endif
	fi
}

#ifdef CHECK
#define ADOPTS (has[b].base > 0 && COMPLETE)
#else
#ifdef BREAK_COMMIT
#define ADOPTS (has[b].base > 0)
#else
#define ADOPTS has[b].ready
#endif
#endif

proctype Broker(byte b)
{
	byte i, e;
	bool heir;

end:	do
	:: !gone[b] ->
		{
			take_lock();
			atomic { working[b] = true; assert(!working[1 - b]) };
			if
			:: ADOPTS -> adopt()
			:: else -> begin()
			fi;
end_serving:		do
			:: asks[0] == ATTACH && ADMITS(0) -> attach(0)
			:: asks[0] == RESUME -> resume(0)
			:: asks[0] == DETACH -> detach(0)
#if CLIENTS > 1
			:: asks[1] == ATTACH && ADMITS(1) -> attach(1)
			:: asks[1] == RESUME -> resume(1)
			:: asks[1] == DETACH -> detach(1)
#endif
			:: LIVES(0) && has[b].process[0] > 0 && !alive[has[b].process[0] - 1] ->
				end_attachment(0)
			:: LIVES(1) && has[b].process[1] > 0 && !alive[has[b].process[1] - 1] ->
				end_attachment(1)
#ifndef BREAK_DEATH
			:: !(MINE) -> lost[b] = true; SETTLED
#endif
			od
		} unless { !running[b] };
		atomic { i = 0; e = 0; heir = false; gone[b] = true }
	od
}

/* ---- programs and clients ----------------------------------------------------------- */

#define NAMED(b)                                                               \
	(keeping[0] && broker_of[0] == b || keeping[1] && broker_of[1] == b)
#define VACANT(b) (gone[b] && !NAMED(b))

/* `tapiod`: a keeper, and its first broker. */
proctype Program()
{
	byte k, n;

end:	d_step {
		(!keeping[0] || !keeping[1]) && (VACANT(0) || VACANT(1)) ->
		k = (keeping[0] -> 1 : 0);
		n = (VACANT(0) -> 0 : 1);
		keeping[k] = true;
		broker_of[k] = n;
		keeper_of[n] = k;
		gone[n] = false;
		running[n] = true
	}
}

#define READS(c) alive[c] && answer[c]

#ifdef BREAK_ONCE
#define ASKS(c) !left[c]
#else
#define ASKS(c) true
#endif

proctype Client(byte c; bool leaves)
{
end:	do
	:: atomic { alive[c] && !linked[c] && answer[c] == 0 && LISTENS && ASKS(c) ->
		linked[c] = true;
		asks[c] = (knows[c] -> (left[c] -> DETACH : RESUME) : ATTACH) }
	:: atomic { READS(c) == ATTACHED -> answer[c] = 0 }
	:: atomic { READS(c) == RESUMED -> answer[c] = 0 }
	:: atomic { READS(c) == OTHER -> /* it was told, and comes anew */
		assert(its_instance[c] != instance);
		answer[c] = 0;
		knows[c] = false;
		if
		:: linked[c] -> asks[c] = ATTACH
		:: else
		fi
	   }
	:: atomic { alive[c] && knows[c] && answer[c] == 0 && !left[c] && !used[c] ->
		used[c] = true;
		if
		:: its_instance[c] == instance ->
			dirt[its_record[c]] = its_generation[c]
		:: else
		fi
	   }
	:: atomic { leaves && alive[c] && knows[c] && answer[c] == 0 && !left[c] &&
		linked[c] && asks[c] == 0 ->
		left[c] = true;
		asks[c] = DETACH
	   }
	:: atomic { READS(c) == DETACHED ->
		answer[c] = 0;
		knows[c] = false;
		finished[c] = true;
		break
	   }
	od
}

/* ---- the end ------------------------------------------------------------------------ */

inline judge_client(c)
{
	assert(!alive[c] || finished[c] || linked[c]);
	assert(!alive[c] || finished[c] ||
	       (knows[c] -> its_instance[c] == instance && asks[c] == 0
			 : asks[c] == ATTACH && !(ADMITS(c))))
}

inline judge_record(i)
{
	assert(state[i] == 0 || state[i] == ALIVE && HAS_CLIENT(i));
	assert(has[b].process[i] == (state[i] == 0 -> 0 : who[i]));
	assert(dirt[i] == 0 || state[i] == ALIVE);
	assert(keeps[keeper_of[b]].process[i] == has[b].process[i])
}

proctype Judge()
{
	byte b;

	atomic {
		timeout ->
		b = (working[0] -> 0 : 1);
		if
		:: working[b] ->
			assert(MINE);
			assert(has[b].base == instance);
			assert(has[b].memory[epoch % 2] == epoch);
			assert(has[b].memory[1 - epoch % 2] == 0);
			assert(keeps[keeper_of[b]].base == instance);
			assert(keeps[keeper_of[b]].memory[0] == has[b].memory[0]);
			assert(keeps[keeper_of[b]].memory[1] == has[b].memory[1]);
			assert(shown == (LIVES(0) || LIVES(1)));
			judge_record(0);
			judge_record(1);
			judge_client(0);
			judge_client(CLIENTS - 1)
		:: else ->
			assert(!running[0] && !running[1]);
			assert(!keeping[0] && !keeping[1]);
			assert(!linked[0] && !linked[CLIENTS - 1])
		fi
	}
}

init
{
	atomic {
		run Keeper(0);
		run Keeper(1);
		run Broker(0);
		run Broker(1);
		run Renewal(0);
		run Renewal(1);
		run Program();
#if PROGRAMS > 1
		run Program();
#endif
		run Client(0, true);
#if CLIENTS > 1
		run Client(1, false);
#endif
		run Deaths();
		run Judge()
	}
}
