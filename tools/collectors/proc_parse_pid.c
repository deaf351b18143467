/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of the files in /proc/PID. Called by the scan of processes.
 *
 * A process chooses its own name, so `comm` may hold spaces, parentheses and
 * newlines, and looks like the rest of the line if it wants to. Behind it come
 * numbers only: the last ')' of the file is its end.
 */
#include <string.h>

#include "tools/collectors/proc_parse.h"

static bool next_u32(struct tpi_text *text, uint32_t *value)
{
	uint64_t wide;

	if (!tpi_text_next_u64(text, &wide) || wide > UINT32_MAX)
		return false;
	*value = (uint32_t)wide;
	return true;
}

/* Passes over `count` words that are numbers. */
static bool skip_numbers(struct tpi_text *text, int count)
{
	struct tpi_text word;
	int64_t i64;
	uint64_t u64;

	while (count-- > 0) {
		if (!tpi_text_word(text, &word))
			return false;
		if (!tpi_text_i64(word, &i64) && !tpi_text_u64(word, &u64))
			return false;
	}
	return true;
}

/* "PID (comm) ": leaves `text` behind it. */
static bool parse_name(struct tpi_text *text, struct tpi_pid_stat *stat)
{
	const char *open = memchr(text->at, '(', tpi_text_length(*text));
	const char *close = memrchr(text->at, ')', tpi_text_length(*text));

	if (!open || !close || close < open)
		return false;
	struct tpi_text pid = {text->at, open};
	struct tpi_text comm = {open + 1, close};
	if (!next_u32(&pid, &stat->pid))
		return false;
	tpi_text_copy(comm, stat->comm, sizeof(stat->comm));
	text->at = close + 1;
	return true;
}

/* Fields 4 to 24. The words between those that we want are numbers too. */
static bool parse_numbers(struct tpi_text *text, struct tpi_pid_stat *stat)
{
	int64_t ppid, group, session, rss;

	if (!tpi_text_next_i64(text, &ppid) ||
	    !tpi_text_next_i64(text, &group) ||
	    !tpi_text_next_i64(text, &session) || !skip_numbers(text, 3) ||
	    !tpi_text_next_u64(text, &stat->minor_faults) ||
	    !skip_numbers(text, 1) ||
	    !tpi_text_next_u64(text, &stat->major_faults) ||
	    !skip_numbers(text, 1) ||
	    !tpi_text_next_u64(text, &stat->user_ticks) ||
	    !tpi_text_next_u64(text, &stat->system_ticks) ||
	    !skip_numbers(text, 4) ||
	    !tpi_text_next_u64(text, &stat->threads) ||
	    !skip_numbers(text, 1) ||
	    !tpi_text_next_u64(text, &stat->start_ticks) ||
	    !tpi_text_next_u64(text, &stat->virtual_bytes) ||
	    !tpi_text_next_i64(text, &rss))
		return false;
	/* Negative where another pid namespace owns the group or session. */
	stat->ppid = ppid > 0 ? (uint32_t)ppid : 0;
	stat->group_id = group > 0 ? (uint32_t)group : 0;
	stat->session_id = session > 0 ? (uint32_t)session : 0;
	/* Its counters are per CPU and their sum may be seen below zero. */
	stat->rss_pages = rss > 0 ? (uint64_t)rss : 0;
	return true;
}

bool tpi_parse_pid_stat(struct tpi_text text, struct tpi_pid_stat *stat)
{
	struct tpi_text state;

	memset(stat, 0, sizeof(*stat));
	stat->exit_status = TPI_UNSET;
	if (text.at == text.end || text.end[-1] != '\n')
		return false; /* cut off: its last number may be, too */
	if (!parse_name(&text, stat) || !tpi_text_word(&text, &state) ||
	    tpi_text_length(state) != 1)
		return false;
	stat->state = *state.at;
	if (!parse_numbers(&text, stat))
		return false;
	/* Field 52. Kernels before 3.5 have no such field. */
	uint64_t status;
	if (skip_numbers(&text, 27) && tpi_text_next_u64(&text, &status))
		stat->exit_status = status;
	return true;
}

/* "Uid: real effective saved file" */
static void second_number(struct tpi_text line, uint64_t *value)
{
	uint64_t first, second;

	if (tpi_text_next_u64(&line, &first) &&
	    tpi_text_next_u64(&line, &second))
		*value = second;
}

static void first_number(struct tpi_text line, uint64_t *value)
{
	uint64_t first;

	if (tpi_text_next_u64(&line, &first))
		*value = first;
}

static void kilobytes(struct tpi_text line, uint64_t *bytes)
{
	uint64_t count;

	if (tpi_text_next_u64(&line, &count) && count <= UINT64_MAX / 1024)
		*bytes = count * 1024;
}

static void count_words(struct tpi_text line, uint64_t *count)
{
	struct tpi_text word;

	*count = 0;
	while (tpi_text_word(&line, &word))
		++*count;
}

void tpi_parse_pid_status(struct tpi_text text, struct tpi_pid_status *status)
{
	struct tpi_text line;

	memset(status, 0xff, sizeof(*status)); /* all TPI_UNSET */
	while (tpi_text_whole_line(&text, &line)) {
		if (tpi_text_skip(&line, "Uid:"))
			second_number(line, &status->uid);
		else if (tpi_text_skip(&line, "Gid:"))
			second_number(line, &status->gid);
		else if (tpi_text_skip(&line, "VmHWM:"))
			kilobytes(line, &status->rss_max_bytes);
		else if (tpi_text_skip(&line, "NSpid:"))
			count_words(line, &status->namespaces);
		else if (tpi_text_skip(&line, "voluntary_ctxt_switches:"))
			first_number(line, &status->voluntary_switches);
		else if (tpi_text_skip(&line, "nonvoluntary_ctxt_switches:"))
			first_number(line, &status->involuntary_switches);
	}
}

void tpi_parse_pid_io(struct tpi_text text, struct tpi_pid_io *io)
{
	struct tpi_text line;

	memset(io, 0xff, sizeof(*io)); /* all TPI_UNSET */
	while (tpi_text_whole_line(&text, &line)) {
		if (tpi_text_skip(&line, "read_bytes:"))
			first_number(line, &io->read_bytes);
		else if (tpi_text_skip(&line, "write_bytes:"))
			first_number(line, &io->write_bytes);
	}
}

/* "id:controllers:path". A path may hold colons, the others may not. */
static bool cgroup_path(struct tpi_text line, struct tpi_text *path)
{
	for (int i = 0; i < 2; i++) {
		const char *colon = memchr(line.at, ':', tpi_text_length(line));
		if (!colon)
			return false;
		line.at = colon + 1;
	}
	*path = line;
	return tpi_text_length(line) > 0 && *line.at == '/';
}

bool tpi_parse_cgroup(struct tpi_text text, struct tpi_text *path,
		      bool *unified)
{
	struct tpi_text line, here, best = {NULL, NULL};

	*unified = false;
	while (tpi_text_whole_line(&text, &line)) {
		struct tpi_text rest = line;
		bool is_unified = tpi_text_skip(&rest, "0::");

		if (!cgroup_path(line, &here))
			continue;
		/* In a hybrid set-up the unified one may say only "/". */
		if (tpi_text_length(here) > 1
			    ? is_unified || !best.at || tpi_text_is(best, "/")
			    : is_unified && !best.at) {
			best = here;
			*unified = is_unified;
		}
	}
	*path = best;
	return best.at != NULL;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

bool tpi_find_container_id(struct tpi_text path, char id[65])
{
	bool found = false;

	id[0] = '\0';
	while (path.at < path.end) {
		const char *begin = path.at;
		bool hex = true;

		for (; path.at < path.end && is_word(*path.at); path.at++)
			hex = hex && is_hex(*path.at);
		if (hex && path.at - begin == 64) {
			memcpy(id, begin, 64);
			id[64] = '\0';
			found = true;
		}
		if (path.at < path.end)
			path.at++;
	}
	return found;
}

uint32_t tpi_join_arguments(char *text, size_t *length)
{
	uint32_t count = 0;
	size_t end = *length;

	/* A process may write over its own arguments: the NULs may be gone. */
	while (end && text[end - 1] == '\0')
		end--;
	if (!end) {
		*length = 0;
		return 0;
	}
	for (size_t i = 0; i < end; i++) {
		if (text[i] == '\0') {
			text[i] = ' ';
			count++;
		}
	}
	*length = end;
	return count + 1;
}
