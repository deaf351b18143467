/* SPDX-License-Identifier: Apache-2.0 */
/* REPLACE: another program takes over (hand_over.c). */
#ifndef TPI_BROKER_HAND_OVER_H
#define TPI_BROKER_HAND_OVER_H

struct tpi_session;

/* Does not return if it has. Else the session is closed. */
void tpi_session_hand_over(struct tpi_session *session);

#endif
