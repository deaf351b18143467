/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of fault.testpoints: a keeper and its brokers, which are tapiod with its
 * testpoints, a living pair that never stops, and actors that die where they are told.
 *
 *	points_board.c  the hook of the testpoints, and the ledger of all events
 *	points_list.c   the testpoints that the source has, and where they are
 *	points_acts.c   the acts of clients
 *	points_comes.c  acts in which memory and channels come and go
 *	points_moves.c  handles that move to another instance's memory
 *	points_host.c   tapiod
 *	points_world.c  the processes, and the check after each death
 *	testpoints.c    the cells of the matrix
 */
#ifndef TEST_POINTS_H
#define TEST_POINTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/tapio.h>

#define POINTS_MAX     320
#define POINT_BYTES    32
#define POINTS_NUMBERS (1u << 20)
#define POINTS_LIVING  (1u << 24)
#define POINTS_LIVES   256

/* The process that passes a testpoint. */
enum points_part {
	PART_PRODUCER,
	PART_CONSUMER,
	PART_CONTROL, /* a client that asks the broker */
	PART_BEGINS,  /* a broker that makes new memory */
	PART_BROKER,  /* one that serves */
	PART_ADOPTS,  /* one that takes over */
	PART_KEEPER,
	PARTS
};

/* Where a process of a part is to die or to stop. */
struct points_aim {
	uint32_t point;     /* its index, or POINTS_MAX: nowhere */
	uint32_t countdown; /* passes until then */
	uint32_t holds;     /* SIGSTOP in place of SIGKILL */
	uint32_t hit;       /* it has happened */
};

/* The fate of a number. */
enum points_state {
	POINTS_UNKNOWN,
	POINTS_BEGUN, /* given to a call that has not returned */
	POINTS_SURE   /* the call said that it is accepted */
};
struct points_fate {
	uint8_t state;
	uint8_t seen;
	uint8_t released;
	uint8_t by; /* the life that saw it last */
};

/* Shared by all processes of the test, also by those that execute it again. */
struct points_board {
	char socket[64];
	char config[64];
	char commands[64]; /* a FIFO */
	char names[POINTS_MAX][POINT_BYTES];
	uint32_t point_count;
	struct points_aim aims[PARTS];
	uint64_t passes[PARTS][POINTS_MAX];
	/* Processes of tapiod. The pids are their own. */
	uint32_t victim; /* the broker that was killed last */
	uint32_t broker, keeper;
	uint32_t serves;   /* brokers that have begun to serve */
	uint32_t keepers;  /* keepers that have begun */
	uint32_t answered; /* commands */
	uint32_t moved;    /* memories in which a mover has been */
	/* The ledger of the acts. */
	uint32_t next; /* number */
	uint32_t lives;
	uint8_t dead[POINTS_LIVES];
	uint32_t doubled, doubled_number;
	uint32_t stop; /* actors and feeders end */
	struct points_fate fates[POINTS_NUMBERS];
	/* The living pair. */
	uint32_t living_stop;
	uint32_t living_accepted;
	uint32_t living_received;
	uint8_t living_seen[POINTS_LIVING];
};
extern struct points_board *board;

/* ---- points_board.c --------------------------------------------------------------- */

/* Makes the board and its file, or opens it in a process that was executed. */
void points_board_make(void);
bool points_board_open(void);
void points_board_unlink(void);
void points_board_remove(void);

/* From here on this process passes testpoints as that part. */
void points_be(enum points_part part);
/* The same for tapiod, which is a keeper, a broker that takes over, and one that serves. */
void points_be_tapiod(void);
/* The broker of this process serves from now on. */
void points_serving(void);

void points_aim(enum points_part part, uint32_t point, uint32_t countdown,
		bool holds);
void points_aim_nowhere(void);
/* Nothing is to be hit any more. The hits stay. */
void points_disarm(void);
bool points_hit(enum points_part part);

/* Numbers for events. */
uint32_t points_begin(uint32_t count);
void points_sure(uint32_t first, int count);
/* A consumer's name in the ledger. */
uint32_t points_life(void);
void points_note(uint32_t life, const struct tapio_view *views, int count);
void points_note_released(const struct tapio_view *views, int count);

/* ---- points_list.c ----------------------------------------------------------------- */

/* Reads the source. Fills in board->names. */
void points_list(void);
/* The file, without its folder's first part, and in how many places it stands. */
const char *points_file(uint32_t point);
uint32_t points_places(uint32_t point);
/* Why no scenario reaches it. NULL: there is no reason. */
const char *points_reason(uint32_t point);

/* ---- points_acts.c ------------------------------------------------------------------ */

/* Beside the actor. */
enum points_need {
	POINTS_NOTHING,
	POINTS_READER,
	POINTS_FEEDER,
};
struct points_act {
	const char *name;
	void (*body)(void);
	enum points_part part;
	enum points_need need;
	bool last; /* it dies only where no other act does */
};
extern const struct points_act points_acts[];
extern const uint32_t points_act_count;

#define POINTS_TAG TAPIO_TAG(100, 5)
/* Takeovers of lanes begin after that time. */
#define POINTS_TAKEOVER_NS INT64_C(60000000)

/* Options for handles of this process. */
struct tapio_options points_options(void);
/* Handles. A broker that dies while it answers may refuse: the next one is asked. */
struct tapio_producer *points_producer(const char *channel);
struct tapio_consumer *
points_consumer(const char *channel,
		const struct tapio_consumer_options *wanted);
/* A member of the acts' group. */
struct tapio_consumer *points_member(void);
/* Emits numbered events until it is told to stop. */
void points_feed(void);
/* The living pair. */
void points_emit_living(void);
void points_read_living(void);
/* A letter to the broker: mend the group "d" (m), evict "x" (e), spend free slots (s). */
void points_command(char command);

/* ---- points_comes.c ------------------------------------------------------------------ */

/* The process looks into the memory from outside. */
void points_act_look(void);
/* A reader of an isolated channel, whose producers come and go. */
void points_act_follow(void);
void points_act_reload(void);
/* Two channels come by a reload, and go. */
void points_act_channels(void);

/* ---- points_moves.c ------------------------------------------------------------------ */

/* Their acts end when they are told to, and go to each new instance. */
extern const struct points_act points_movers[];
extern const uint32_t points_mover_count;
/*
 * A world, in which the mover goes to two other instances. Or to its aim: true if it has died
 * there. The last instance serves.
 */
bool points_move(const struct points_act *mover);

/* ---- points_host.c ------------------------------------------------------------------- */

/* Main of the process that is tapiod. */
int points_host(int argc, char **argv);

/* ---- points_world.c ------------------------------------------------------------------ */

/* The cell of the matrix, for messages. */
extern const char *points_cell;

/* A keeper and a broker. False: it does not serve in a minute. */
bool points_start(void);
void points_stop(void);
/* A keeper and a broker of another instance, after an end. */
bool points_start_again(void);
/* Both die, and their memory with them. */
void points_end_instance(void);
/* Waits until the mover has been in so many memories (false), or has hit its aim (true). */
bool points_await_moves(const struct points_act *mover, uint32_t count);
/* The configuration of all acts, and what comes before it. False: it is as before. */
bool points_configure(const char *more);
/* Starts the living pair, opens the handles of the test, and fills the group "d". */
void points_live(void);
void points_die(void);

/* Starts an act, and the feeder or the reader that it needs. */
void points_act_start(const struct points_act *act);
/*
 * Waits until a process of the part has hit its aim (true), or the act has ended (false).
 * After `limit_ms`, if it is not 0, the act is asked to end.
 */
bool points_act_wait(const struct points_act *act, enum points_part part,
		     uint32_t limit_ms);
/* SIGKILL for its actor, wherever it is. */
void points_act_kill(const struct points_act *act);
/* Lets all actors end, or ends those that are held. */
void points_acts_end(void);
/* A broker and a keeper are there that were not killed. */
void points_restored(void);
/* All that is promised holds. `what` is for a message. */
void points_check(const char *what);

#endif
