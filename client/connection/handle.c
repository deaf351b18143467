/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles, and the list of them that fork walks.
 *
 * The list exists for the child: its copies of the descriptors are closed at
 * once, or the broker would hold the parent's connection for open as long as the
 * child lives. Opening and closing hold the list's lock, and so does a fork, so the child's
 * list is whole.
 */
#include "client/connection/handle.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/sys.h"

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tpi_handle list = {.next = &list, .prev = &list};
static pthread_once_t atfork_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&list_mutex);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&list_mutex);
}

static void after_fork_child(void)
{
	struct tpi_handle *h;

	for (h = list.next; h != &list; h = h->next) {
		memset(h->hot, 0, TPI_HOT_BYTES);
		tpi_own_fd_close(&h->sock);
		tpi_own_fd_close(&h->event);
	}
	pthread_mutex_unlock(&list_mutex);
}

static void register_atfork(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void *tpi_handle_new(size_t bytes, size_t cold)
{
	struct tpi_handle *handle;
	void *base;

	pthread_once(&atfork_once, register_atfork);
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	/* May fail: then the atfork handler is all there is. */
	tpi_sys_madvise(base, TPI_HOT_BYTES, MADV_WIPEONFORK);
	handle = (struct tpi_handle *)((char *)base + cold);
	handle->hot = base;
	handle->bytes = bytes;
	handle->sock = TPI_OWN_FD_NONE;
	handle->event = TPI_OWN_FD_NONE;
	tpi_store_relaxed(&handle->hot->alive, 1);

	pthread_mutex_lock(&list_mutex);
	handle->next = &list;
	handle->prev = list.prev;
	list.prev->next = handle;
	list.prev = handle;
	pthread_mutex_unlock(&list_mutex);
	return base;
}

void tpi_handle_free(struct tpi_handle *handle)
{
	pthread_mutex_lock(&list_mutex);
	handle->prev->next = handle->next;
	handle->next->prev = handle->prev;
	pthread_mutex_unlock(&list_mutex);
	munmap(handle->hot, handle->bytes);
}
