/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every header of libtapio. Include this one, or only those that you need: each
 * compiles alone, as C17 and as C++17. broker.h is not among them, because it
 * belongs to another library, libtapio-broker.
 */
#ifndef TAPIO_TAPIO_H
#define TAPIO_TAPIO_H

#include <tapio/abi.h>
#include <tapio/bytes.h>
#include <tapio/common.h>
#include <tapio/consumer.h>
#include <tapio/counters.h>
#include <tapio/event.h>
#include <tapio/event_types.h>
#include <tapio/observer.h>
#include <tapio/pool.h>
#include <tapio/producer.h>
#include <tapio/ring.h>
#include <tapio/version.h>

#endif
