/* SPDX-License-Identifier: Apache-2.0 */
/* What a helper does. Called in the child only, which ends afterwards. */
#ifndef TPI_BROKER_HELPER_CHILD_H
#define TPI_BROKER_HELPER_CHILD_H

/* Receives one message, and answers with a struct tpi_received over the channel. */
void tpi_helper_child_receive(int sock, int channel);

/* Drops what is in the queues of sockets, which are in rising order. */
void tpi_helper_child_empty(const int *socks, unsigned int count);

#endif
