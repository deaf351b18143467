/* SPDX-License-Identifier: Apache-2.0 */
/* The self-test of rseq. rseq_proof.c makes it, and rseq.c keeps the result. */
#ifndef TPI_RSEQ_PROOF_H
#define TPI_RSEQ_PROOF_H

#include <stdint.h>

enum tpi_proof {
	TPI_PROOF_NONE,
	TPI_PROOF_ABORTED, /* the abort handler was reached */
	TPI_PROOF_ABSENT,  /* the thread's area is not registered */
	TPI_PROOF_OUTRAN,  /* no abort where one was owed */
	/* The test could not be made. */
	TPI_PROOF_NO_THREAD,
	TPI_PROOF_NO_MEANS,
	TPI_PROOF_REALTIME,
};

/*
 * Makes the test. The caller blocks signals and cancellation. When it returns, the
 * test's thread is joined and nothing of the test is left.
 */
uint32_t tpi_rseq_prove(void);

#endif
