/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that programs which produce, consume or observe events need. */
#ifndef TAPIO_TAPIO_H
#define TAPIO_TAPIO_H

#include <tapio/common.h>
#include <tapio/consumer.h>
#include <tapio/event.h>
#include <tapio/observer.h>
#include <tapio/producer.h>
#include <tapio/ring.h>
#include <tapio/version.h>

#endif
