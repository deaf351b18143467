/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles, and the list of them that fork walks.
 *
 * The list exists for the child: its copies of the descriptors are closed at
 * once, or the broker would hold the parent's connection for open as long as the
 * child lives. Opening and closing hold the list's lock, and so does a fork, so the child's
 * list is whole.
 *
 * A handle that moves may do so in a signal handler, which takes no lock. So its memories hang
 * from a listed handle by `beside`: a new one is whole before the store that hangs it up, which
 * comes before its first descriptor, and none is taken down before the handle is closed. The
 * kernel copies pages at a fork in the order of the stores, so a child finds a chain.
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

static void bury(struct tpi_handle *h)
{
	if (h->hot)
		memset(h->hot, 0, TPI_HOT_BYTES);
	tpi_own_fd_close(&h->sock);
	tpi_own_fd_close(&h->coming);
	tpi_own_fd_close(&h->event);
}

static void after_fork_child(void)
{
	struct tpi_handle *h, *one;

	for (h = list.next; h != &list; h = h->next)
		for (one = h; one; one = one->beside)
			bury(one);
	pthread_mutex_unlock(&list_mutex);
}

static void register_atfork(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void *tpi_handle_make(size_t bytes, size_t cold)
{
	struct tpi_handle *handle;
	void *base;

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
	handle->coming = TPI_OWN_FD_NONE;
	handle->event = TPI_OWN_FD_NONE;
	tpi_store_relaxed(&handle->hot->alive, 1);
	return base;
}

void tpi_handle_unmake(struct tpi_handle *handle)
{
	munmap(handle->hot, handle->bytes);
}

void tpi_handle_list(struct tpi_handle *handle)
{
	pthread_once(&atfork_once, register_atfork);
	pthread_mutex_lock(&list_mutex);
	handle->next = &list;
	handle->prev = list.prev;
	list.prev->next = handle;
	list.prev = handle;
	pthread_mutex_unlock(&list_mutex);
}

void tpi_handle_unlist(struct tpi_handle *handle)
{
	pthread_mutex_lock(&list_mutex);
	handle->prev->next = handle->next;
	handle->next->prev = handle->prev;
	pthread_mutex_unlock(&list_mutex);
}

void *tpi_handle_new(size_t bytes, size_t cold)
{
	char *base = tpi_handle_make(bytes, cold);

	if (base)
		tpi_handle_list((struct tpi_handle *)(base + cold));
	return base;
}

void tpi_handle_free(struct tpi_handle *handle)
{
	tpi_handle_unlist(handle);
	tpi_handle_unmake(handle);
}
