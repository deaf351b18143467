/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapiod --replace`: a program takes the memory over from one that runs
 * (broker/session/hand_over.c, broker/replace.c). handover.pml has the deaths within one
 * program.
 *
 * O is the broker that runs and K its keeper. N is the keeper that comes and W its broker. Any of
 * them is killed at any step, KILLS in all. One that is not scheduled has stopped: so every
 * time-out may come at once, or never.
 *
 * The life line has ended when neither K nor O lives. A keeper that O makes, and a broker that
 * K starts, are K and O again.
 *
 * Rules that must hold:
 *   never do two brokers work at once
 *   in the end one program is left, with its broker, if any process is
 *   with one kill, or none, it is never so that none is left, and the keeper that was told
 *           to end leaves the memory to N and W
 *
 * At most one rule to break:
 *   BREAK_LINE     W serves when O is dead, and does not wait for K
 *   BREAK_WAIT     W serves when it is told TAKEN
 *   BREAK_QUIT     O says TAKEN before K is told
 *   BREAK_END      K starts a broker though it was told
 *   BREAK_SILENT   W gives up because O does not answer
 *   BREAK_BACK     O ends though TAKEN could not be sent
 *   BREAK_AGAIN    then O goes on with the keeper that was told to end
 *   BREAK_FORK     N sends TAKE before there is W
 *   BREAK_ANSWER   W gives up though no broker answers
 */
#ifndef KILLS
#define KILLS 1
#endif

bool k = true, o = true, n, w;	/* alive */
bool works_o = true, works_w;
bool quit;			/* K was told */
bool asked, held;		/* REPLACE; O does nothing else */
bool has;			/* N has all */
bool take, taken;		/* in the queues */
bool hung;			/* O has closed its end */
bool fails;			/* W has ended by itself: so does N */
byte kills = KILLS, killed;
byte born, made;		/* of O and K: another process has another pidfd */
bool leaves, goes_on;		/* ghosts: the decision of O */

#define LINE_ENDED (!k && !o)
#define CONNECTED  (n || w)
#define ANSWERS	   (o && works_o && !held)

inline new_keeper()
{
	k = true;
	quit = false;
	made++
}

inline end_o()
{
	o = false;
	works_o = false;
	hung = true;
	held = false
}

proctype Kills()
{
end:	do
	:: atomic { kills > 0 && k -> kills--; killed++; k = false; quit = false }
	:: atomic { kills > 0 && o -> kills--; killed++; end_o() }
	:: atomic { kills > 0 && n -> kills--; killed++; n = false }
	:: atomic { kills > 0 && w -> kills--; killed++; w = false; works_w = false }
	od
}

/* ---- the program that runs ------------------------------------------------------------- */

proctype Keeper()
{
end:	do
#ifdef BREAK_END
	:: atomic { k && !o ->
#else
	:: atomic { k && !o && quit ->
		k = false;
		quit = false;
		assert(!goes_on);
		assert(!leaves || taken || n || w)
	   }
	:: atomic { k && !o && !quit ->
#endif
		o = true;
		works_o = true;
		born++;
		assert(!works_w)
	   }
	od
}

/* One that was told to end while O went on is no keeper. */
#ifdef BREAK_AGAIN
#define RENEW skip
#else
#define RENEW new_keeper()
#endif

proctype Broker()
{
	byte me;

end:	do
	:: atomic { o && works_o && !k && !held -> new_keeper() }
	:: atomic { o && asked && !held && !hung && born == 0 -> held = true; me = born };
		{
			if
			:: atomic { take && (CONNECTED) -> skip }
			:: atomic { o && held -> /* the time is over, or it has hung up */
				hung = true; held = false }
			fi;
			if
			:: held ->
#ifdef BREAK_QUIT
				atomic { o && me == born -> if
					:: CONNECTED -> taken = true
					:: else
					fi };
#endif
				atomic { o && me == born -> quit = k };
				atomic { o && me == born ->
					if
#ifdef BREAK_BACK
					:: true -> taken = (CONNECTED); works_o = false; leaves = true
#else
					:: CONNECTED -> taken = true; works_o = false; leaves = true
					:: else -> /* K is replaced */
						RENEW;
						goes_on = true;
						hung = true;
						held = false
#endif
					fi
				};
				if
				:: atomic { o && !works_o -> end_o() }
				:: else
				fi
			:: else
			fi
		} unless { !o || born != me }
	od
}

/* ---- the program that comes --------------------------------------------------------------- */

proctype Successor()
{
end:	do
	:: atomic { !asked && !n && killed == 0 -> n = true; asked = true }
	/* The whole table, or O was too slow, and N ends. */
	:: atomic { n && asked && held && !has && !hung -> has = true }
	:: atomic { n && !has && asked -> n = false; hung = true }
#ifdef BREAK_FORK
	:: atomic { n && has && !take && !hung -> take = true }
	:: atomic { n && has && !w && !fails && (taken || hung) -> w = true }
#else
	:: atomic { n && has && !w && !fails -> w = true }
#endif
	/* The status of W, while the other program lives. Else it is tried again. */
	:: atomic { n && fails -> n = false; fails = false }
	od
}

/* Those whose pidfds it has. */
inline hasten()
{
	if
	:: made == 0 -> k = false; quit = false
	:: else
	fi;
	if
	:: born == 0 -> end_o()
	:: else
	fi
}

proctype Heir()
{
end:	do
	:: atomic { w && !works_w && !take -> take = true }
	/* TAKEN, and the end. */
#ifdef BREAK_WAIT
	:: atomic { w && !works_w && taken -> works_w = true; assert(!works_o && !o) }
#endif
	:: atomic { w && !works_w && taken && (k && made == 0 || o && born == 0) -> hasten() }
	:: atomic { w && !works_w && LINE_ENDED -> works_w = true; assert(!works_o && !o) }
#ifdef BREAK_LINE
	:: atomic { w && !works_w && !o -> works_w = true; assert(!works_o) }
#endif
#ifdef BREAK_SILENT
	:: atomic { w && !works_w && take && !taken && !hung -> w = false; fails = true }
#endif
	/* It has hung up. */
#ifdef BREAK_ANSWER
	:: atomic { w && !works_w && hung && !taken && !(LINE_ENDED) ->
#else
	:: atomic { w && !works_w && hung && !taken && ANSWERS ->
#endif
		w = false; fails = true }
	/* A broker that serves has a keeper. */
	:: atomic { w && works_w && !n -> n = true; has = true }
	od
}

proctype Judge()
{
	atomic {
		timeout ->
		assert(!(works_o && works_w));
		if
		:: works_o -> assert(o && k && !w && !n)
		:: works_w -> assert(w && n && !o && !k)
		:: else ->
			assert(!o && !k && !w && !n);
			assert(killed > 1)
		fi
	}
}

init
{
	atomic {
		run Keeper();
		run Broker();
		run Successor();
		run Heir();
		run Kills();
		run Judge()
	}
}
