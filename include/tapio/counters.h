/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of the shared layout, each in one row:
 *
 *	X(name, unit, type, meaning, cause, remedy)
 *
 * All that speaks of a counter comes from its row: the word in its struct (abi.h), the
 * description in the catalog (TAPIO_REGION_COUNTERS), by which a tool that is older than
 * the broker shows it, tapio-shmstat, and the list in tapio-shmstat(1).
 *
 *   name     a word of the struct, 31 letters at most
 *   unit     what it counts, 15 letters at most
 *   type     COUNTER only grows while this memory lives, GAUGE does not
 *   meaning  one sentence, 151 letters at most, as the next two
 *   cause    why it is not zero, or grows
 *   remedy   an action, or that there is nothing to do
 *
 * A new counter is a new last row, and takes the place of a reserved word.
 */
#ifndef TAPIO_COUNTERS_H
#define TAPIO_COUNTERS_H

#include <tapio/version.h>

/* clang-format off */

/* Words of tapio_shm_broker, from `hellos` on, in this order. */
#define TAPIO_BROKER_COUNTERS(X) \
X(hellos, "connections", COUNTER, \
  "Processes that connected to the broker and were let in.", \
  "Clients and tools open handles.", \
  "Nothing to do. A steady rate is a program that opens a handle for each event: keep one open.") \
X(attaches, "attachments", COUNTER, \
  "Attachments to channels that were granted, in any role.", \
  "Producers, consumers and inspectors open channels.", \
  "Nothing to do.") \
X(refusals, "requests", COUNTER, \
  "Requests that were answered with a refusal.", \
  "A rule denies the right, a channel does not exist, or a limit is reached.", \
  "The log of tapiod names each with its process. Rules and limits are in tapiod.conf.") \
X(protocol_errors, "messages", COUNTER, \
  "Messages that no correct client sends. Each ends its connection.", \
  "Another program talks at the socket, or a client is broken or hostile.", \
  "The log of tapiod names the process. Install the same release of library and broker.") \
X(deaths, "processes", COUNTER, \
  "Clients that ended without closing their handles.", \
  "A crash, a kill, or an exit without close.", \
  "All that they held was swept. Look at the program when the number grows.") \
X(closes, "attachments", COUNTER, \
  "Attachments that ended as they should.", \
  "Clients and tools close their handles.", \
  "Nothing to do.") \
X(sweeps, "attachments", COUNTER, \
  "Attachments of ended clients whose blocks were looked for.", \
  "A producer has died, or has closed with reservations open.", \
  "Nothing to do.") \
X(swept_blocks, "blocks", COUNTER, \
  "Blocks that ended clients held and that were given back.", \
  "A producer has died between reserve and submit.", \
  "Nothing to do: no event was published there.") \
X(leases_cleared, "lanes", COUNTER, \
  "Lanes that were taken from ended members of groups.", \
  "A consumer has died, or has closed with lanes in its hands.", \
  "Other members get its unreleased events again.") \
X(evictions, "groups", COUNTER, \
  "Groups that were ended because their cursors were impossible.", \
  "A member has written memory that it should not, by a bug or on purpose.", \
  "The log of tapiod names the group and its members. See EVICTION in tapiod(8).") \
X(suspicions, "looks", COUNTER, \
  "Looks that found cursors or calls of a group impossible.", \
  "As for evictions: some looks in a row evict the group.", \
  "See EVICTION in tapiod(8).") \
X(reloads, "reloads", COUNTER, \
  "Changed configurations that were put in force while the broker ran.", \
  "SIGHUP, or a reload that was asked for.", \
  "Nothing to do.") \
X(reload_refusals, "reloads", COUNTER, \
  "Changed configurations that were refused: the one before is in force.", \
  "The file has an error, or a change that needs a restart.", \
  "The log of tapiod names the line. See RELOAD in tapiod(8).")

/* Words of tapio_shm_lane.dropped, by their index: TAPIO_DROP_*. */
#define TAPIO_LANE_DROPS(X) \
X(full, "events", COUNTER, \
  "Events refused for want of a free block.", \
  "A group whose events are kept has not read the oldest block yet.", \
  "tapio-shmstat groups shows the lag. Add consumers, blocks of the class, or a smaller lag of the group.") \
X(held, "events", COUNTER, \
  "Events refused because too many blocks were reserved.", \
  "Producers hold reservations for long, or more than half of a lane.", \
  "Submit sooner, or give the class more blocks.") \
X(size, "events", COUNTER, \
  "Events refused because they are larger than any block of the channel.", \
  "The program writes larger events than the channel is made for.", \
  "Add a class with larger blocks in tapiod.conf.") \
X(timeout, "events", COUNTER, \
  "Events refused after the wait for room.", \
  "As for full, on a channel with full = wait.", \
  "As for full, or raise the time to wait.") \
X(no_lane, "events", COUNTER, \
  "Events refused because no side lane of the class was left.", \
  "More producers without restartable sequences attach than the class has side lanes.", \
  "Raise side_lanes in tapiod.conf, or find out why they have no rseq: tapio-shmstat clients.")

/* clang-format on */

#endif
