/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which broker serves, in one word that clients compare before each event. The kernel
 * changes it when the broker's thread ends, so clients see a death at once, and ask no one.
 *
 *  V1	The thread's robust list gets one entry, whose futex is the low half of the word.
 *  V2	The word: this run, and the thread's TID.
 *  V3	(the end) The word: this run, and no thread. STOPPED was stored before, so a client
 *	that sees the word change sees that, too.
 *  V4	The thread's own list is put back.
 *
 * When a thread ends, the kernel walks its robust list (set_robust_list(2)). Where the low
 * half of a futex word is the thread's TID, it becomes FUTEX_OWNER_DIED. That happens in
 * each end of a thread, so in exit, SIGKILL, and in the execve() of another thread of the
 * process, and while the thread's memory is still mapped.
 *
 * SIGKILL before V1: the word is the former broker's, which has marked it as dead. Between
 * V1 and V2: the same, since the TID in it is not ours. (If it is, by chance, it names a
 * broker that is dead.) After V2: the kernel marks it. After V3: it names none, and the
 * kernel leaves it alone. SIGSTOP: the word stands, and clients do not move, since the broker
 * has only stopped for a while. Migration and signal handlers change nothing. fork: the
 * kernel gives a child no robust list, so the end of a child marks nothing, and the
 * page of the list is not in it (MADV_DONTFORK). Another thread of an embedding process
 * has a list of its own. Another uid: clients have the word read-only. A successor has another
 * run, so a TID that is given again makes no word that was there before. In a
 * PID namespace the kernel compares the TID as that namespace has it, and so does gettid()
 * give it.
 *
 * The list of glibc's robust mutexes is set aside meanwhile: the broker's thread takes none.
 * The page of the list is shared memory, although only one process has it: of a process
 * that the OOM killer ends, the kernel may take private pages back before it walks the list.
 *
 * Where set_robust_list() is refused (seccomp), TAPIO_FEATURE_SERVING is missing and the
 * word stands after a death. Clients find that out by their connection, as they did before.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/registry/serving.h"
#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

_Static_assert(TAPIO_SERVING_DIED == FUTEX_OWNER_DIED &&
		       TAPIO_SERVING_TID_MASK == FUTEX_TID_MASK,
	       "the kernel marks the word");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the low half comes first");

struct tpi_serving_page {
	struct robust_list_head head;
	struct robust_list entry;
	struct robust_list_head *before; /* the thread's own */
};

static uint64_t word_of(const struct tapio_shm_broker *shm, uint32_t tid)
{
	return TAPIO_SERVING(shm->restarts + 1, tid);
}

static struct tpi_serving_page *new_page(void)
{
	void *page =
		mmap(NULL, sizeof(struct tpi_serving_page),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	/* Where it is refused, a child has it and does not use it. */
	(void)tpi_sys_madvise(page, sizeof(struct tpi_serving_page),
			      MADV_DONTFORK);
	return page;
}

/* V1. -errno. */
static int set_list(struct tpi_serving_page *page, const uint64_t *word)
{
	int err = tpi_sys_get_robust_list(&page->before);

	page->entry.next = &page->head.list;
	page->head.list.next = &page->entry;
	page->head.futex_offset =
		(long)((uintptr_t)word - (uintptr_t)&page->entry);
	return err ? err : tpi_sys_set_robust_list(&page->head);
}

void tpi_serving_begin(struct tpi_serving *serving,
		       struct tapio_shm_broker *shm, struct tpi_log *log)
{
	struct tpi_serving_page *page = new_page();
	int err = page ? set_list(page, &shm->serving) : -ENOMEM;

	if (err) {
		if (page)
			munmap(page, sizeof(*page));
		page = NULL;
		shm->features &= ~TAPIO_FEATURE_SERVING;
		tpi_log(log, TAPIO_LOG_WARNING,
			"set_robust_list: %s (a seccomp filter is the usual "
			"cause): producers find out later when this broker "
			"dies",
			strerror(-err));
	} else {
		shm->features |= TAPIO_FEATURE_SERVING;
	}
	serving->page = page;
	TPI_TESTPOINT("serving.listed");
	/* ORDER broker.serving (release): nothing before it is for those that see it.
	 * It names a broker, and a client asks that over its connection. */
	tpi_store_release(&shm->serving,
			  word_of(shm, (uint32_t)syscall(SYS_gettid)));
}

void tpi_serving_end(struct tpi_serving *serving, struct tapio_shm_broker *shm)
{
	struct tpi_serving_page *page = serving->page;

	/* ORDER broker.serving (release): STOPPED before it. Pairs with the acquire in
	 * run_of() of client/connection/revive.c. */
	tpi_store_release(&shm->serving, word_of(shm, 0));
	TPI_TESTPOINT("serving.ended");
	if (!page)
		return;
	(void)tpi_sys_set_robust_list(page->before);
	munmap(page, sizeof(*page));
	serving->page = NULL;
}
