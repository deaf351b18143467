/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of CHANNELS that serves one channel after another: broker/registry/channels.c
 * (M1 to M5, D1 to D5), what a successor does with it (broker/registry/adopt.c), and a reader
 * without an attachment (lib/memory/layout_attach.c).
 *
 * One entry, with one segment. A broker is killed at any step, and the next one goes on
 * with the catalog and with the file that the keeper has under the entry's key. One client
 * attaches, through a broker that serves, and leaves.
 *
 * What must hold:
 *   a successor that finds READY finds the record of the segment, and its file
 *   while a client is attached, the entry, its file and the keeper's copy do not change
 *   a copy that the reader does not throw away is of one channel
 *   in the end an entry that is not READY has no record and no file
 *
 * At most one rule to break:
 *   BREAK_SHOWN     READY comes before the file is kept                (M5)
 *   BREAK_HIDDEN    READY is the last to go                            (D2)
 *   BREAK_ATTACHED  it goes though a client has it                     (D2)
 *   BREAK_FORGOTTEN the keeper is not told                             (D5)
 *   BREAK_RECORD    the record of the segment stays                    (D3)
 *   BREAK_REST      what was half made is dropped after its key is used again
 *   BREAK_TIDY      its record is not cleared
 *   BREAK_EPOCH     two channels of an entry have the same epoch       (M2)
 *   BREAK_FIRST     the reader loads the epoch after READY
 *   BREAK_LOOK      the reader does not look at the epoch again
 *   BREAK_READY     the reader does not look at READY again
 */
#ifndef LIVES
#define LIVES 3 /* brokers, one after another */
#endif
#ifndef MAKES
#define MAKES 2
#endif
#define FILES (LIVES + MAKES + 1)

/* The catalog. Two words stand for the record of the channel. */
bool ready, noted;
byte epoch, word1, word2, named;
/* The keeper, and the files. */
byte kept, files;
bool emptied[FILES];
/* The client. */
bool attached;
byte its_epoch, its_file;

#define SANE                                                                   \
	assert(!attached || (ready && epoch == its_epoch &&                     \
			     kept == its_file && !emptied[its_file]))

#define DIE                                                                    \
	SANE;                                                                  \
	if                                                                     \
	:: true                                                                \
	:: atomic { lives > 1 -> lives--; goto again }                         \
	fi

#ifdef BREAK_ATTACHED
#define FREE_OF_CLIENTS true
#else
#define FREE_OF_CLIENTS !attached
#endif

active proctype broker()
{
	byte lives = LIVES, makes, left;

again:
	left = 0;
	if
	:: atomic { ready ->
		assert(noted && kept == named && kept && !emptied[kept]) }
	:: atomic { !ready -> left = kept };
#ifndef BREAK_TIDY
	   noted = false;
	   DIE;
#endif
#ifndef BREAK_REST
	   if
	   :: left ->
		emptied[left] = true;
		DIE;
		kept = 0;
		left = 0;
		DIE
	   :: !left
	   fi
#endif
	fi;
	do
	:: !ready && makes < MAKES && files + 1 < FILES ->
		makes++;
		word1 = makes;
		DIE;
#ifndef BREAK_EPOCH
		epoch++;
#endif
		word2 = makes;
		DIE;
#ifdef BREAK_SHOWN
		ready = true;
		DIE;
#endif
		atomic { files++; named = files };
		noted = true;
		DIE;
		kept = files;
		DIE;
		ready = true;
		DIE
	:: atomic { left && kept -> emptied[left] = true; kept = 0; left = 0 };
		DIE
	/* One step of the broker: a request is answered whole. */
	:: atomic { ready && !attached ->
		attached = true; its_epoch = epoch; its_file = named };
		DIE
	:: atomic { attached -> attached = false };
		DIE
	:: atomic { ready && FREE_OF_CLIENTS ->
#ifndef BREAK_HIDDEN
		ready = false
#endif
		};
		DIE;
#ifndef BREAK_RECORD
		noted = false;
		DIE;
#endif
		emptied[named] = true;
		DIE;
#ifndef BREAK_FORGOTTEN
		kept = 0;
		DIE;
#endif
#ifdef BREAK_HIDDEN
		ready = false;
		DIE
#endif
	:: true -> break
	od;
	SANE;
	assert(ready || (!noted && !kept))
}

active proctype reader()
{
	byte a, b, e;

	/* Both looks are acquires, and a fence is behind the copy. */
#ifndef BREAK_FIRST
	e = epoch;
#endif
	if
	:: ready
	:: !ready -> goto done
	fi;
#ifdef BREAK_FIRST
	e = epoch;
#endif
	if /* a copy, in any order */
	:: a = word1; b = word2
	:: b = word2; a = word1
	fi;
#ifndef BREAK_READY
	if
	:: ready
	:: !ready -> goto done
	fi;
#endif
#ifndef BREAK_LOOK
	if
	:: epoch == e
	:: epoch != e -> goto done
	fi;
#endif
	assert(a == b);
done:	skip
}
