/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker on a thread of the test, on whose loop the test can do things. So it can end
 * connections as the death of a broker does, while the attachments stay.
 */
#ifndef TEST_CUT_BROKER_H
#define TEST_CUT_BROKER_H

#include <stdbool.h>

#include "broker/broker.h"

/* With that configuration at that name, which begins with '@'. */
void cut_broker_start(const char *config, const char *name);
void cut_broker_stop(void);

/* Calls `work` on the broker's thread, and returns when it has returned. */
void cut_broker_do(void (*work)(struct tpi_broker *broker, void *arg),
		   void *arg);

/*
 * Ends all connections of clients with attachments. `begun`: as a broker that takes over,
 * which stores when it has begun. Else only those find out that look at their connection.
 */
void cut(bool begun);
/* It listens no more, and listens again. */
void cut_broker_hide(void);
void cut_broker_show(void);

/* Attachments, and those of them without a connection. */
unsigned int cut_attached(void);
unsigned int cut_lingering(void);

#endif
