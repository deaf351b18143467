/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two forms of a message:
 *
 *	<34>1 2003-10-11T22:14:15.003Z host app 12 ID47 [sd@1 a="b"] text	RFC 5424
 *	<34>Oct 11 22:14:15 host app[12]: text				RFC 3164
 *	<34>Oct 11 22:14:15 app[12]: text			as syslog(3) does
 *
 * Senders write what they like. So a part that is not as it should be ends the header there, and
 * all the rest is the message.
 */
#include <string.h>
#include <time.h>

#include "tools/collectors/syslog/syslog.h"

#define NS UINT64_C(1000000000)

struct text {
	const char *at;
	const char *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number of `digits` digits. */
static bool take_digits(struct text *t, int digits, int *number)
{
	*number = 0;
	if (t->end - t->at < digits)
		return false;
	for (int i = 0; i < digits; i++) {
		if (!is_digit(t->at[i]))
			return false;
		*number = *number * 10 + (t->at[i] - '0');
	}
	t->at += digits;
	return true;
}

static bool take_char(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

/* Up to a space. False: there is no word. */
static bool take_word(struct text *t, struct tpi_span *word)
{
	const char *space = memchr(t->at, ' ', (size_t)(t->end - t->at));

	word->text = t->at;
	word->length = (size_t)((space ? space : t->end) - t->at);
	if (!word->length)
		return false;
	t->at += word->length + (space ? 1 : 0);
	return true;
}

static bool take_priority(struct text *t, struct tpi_syslog *syslog)
{
	struct text copy = *t;
	int value = 0, digits = 0;

	if (!take_char(&copy, '<'))
		return false;
	for (; copy.at < copy.end && is_digit(*copy.at) && digits < 3;
	     copy.at++, digits++)
		value = value * 10 + (*copy.at - '0');
	if (!digits || value > 191 || !take_char(&copy, '>'))
		return false;
	syslog->priority = (uint8_t)(value & 7);
	syslog->facility = (uint8_t)(value >> 3);
	syslog->has_priority = true;
	*t = copy;
	return true;
}

/* ---- RFC 5424 -------------------------------------------------------------------------- */

static bool take_fraction(struct text *t, uint64_t *ns)
{
	uint64_t scale = NS / 10;

	*ns = 0;
	if (!take_char(t, '.'))
		return true;
	if (t->at == t->end || !is_digit(*t->at))
		return false;
	for (; t->at < t->end && is_digit(*t->at); t->at++, scale /= 10)
		*ns += (uint64_t)(*t->at - '0') * scale;
	return true;
}

/* "Z" or "+01:30". Seconds to add. */
static bool take_zone(struct text *t, int *seconds)
{
	int sign, hours, minutes;

	*seconds = 0;
	if (take_char(t, 'Z'))
		return true;
	sign = take_char(t, '+') ? -1 : take_char(t, '-') ? 1 : 0;
	if (!sign || !take_digits(t, 2, &hours) || !take_char(t, ':') ||
	    !take_digits(t, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool take_clock(struct text *t, struct tm *tm)
{
	return take_digits(t, 2, &tm->tm_hour) && take_char(t, ':') &&
	       take_digits(t, 2, &tm->tm_min) && take_char(t, ':') &&
	       take_digits(t, 2, &tm->tm_sec) && tm->tm_hour < 24 &&
	       tm->tm_min < 60 && tm->tm_sec < 61;
}

static bool to_ns(time_t seconds, uint64_t fraction, uint64_t *ns)
{
	if (seconds <= 0 || (uint64_t)seconds > UINT64_MAX / NS - 1)
		return false;
	*ns = (uint64_t)seconds * NS + fraction;
	return true;
}

/* As 2003-10-11T22:14:15.003Z. */
static bool take_timestamp(struct text *t, uint64_t *ns)
{
	struct text copy = *t;
	struct tm tm = {0};
	uint64_t fraction;
	int zone;

	if (!take_digits(&copy, 4, &tm.tm_year) || !take_char(&copy, '-') ||
	    !take_digits(&copy, 2, &tm.tm_mon) || !take_char(&copy, '-') ||
	    !take_digits(&copy, 2, &tm.tm_mday) || !take_char(&copy, 'T') ||
	    !take_clock(&copy, &tm) || !take_fraction(&copy, &fraction) ||
	    !take_zone(&copy, &zone))
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (!to_ns(timegm(&tm) + zone, fraction, ns))
		return false;
	*t = copy;
	return true;
}

/* One element of structured data, with its brackets. */
static bool take_element(struct text *t)
{
	bool quoted = false;

	if (!take_char(t, '['))
		return false;
	for (; t->at < t->end; t->at++) {
		if (*t->at == '"')
			quoted = !quoted;
		else if (quoted && *t->at == '\\' && t->at + 1 < t->end)
			t->at++;
		else if (!quoted && *t->at == ']') {
			t->at++;
			return true;
		}
	}
	return false;
}

static bool take_data(struct text *t, struct tpi_span *data)
{
	struct text copy = *t;

	if (take_char(&copy, '-')) {
		*t = copy;
		return true;
	}
	while (copy.at < copy.end && *copy.at == '[')
		if (!take_element(&copy))
			return false;
	if (copy.at == t->at)
		return false;
	*data = (struct tpi_span){t->at, (size_t)(copy.at - t->at)};
	*t = copy;
	return true;
}

static void drop_nil(struct tpi_span *span)
{
	if (span->length == 1 && *span->text == '-')
		*span = (struct tpi_span){0};
}

static void take_message(struct text *t, struct tpi_syslog *syslog)
{
	static const char mark[] = "\xef\xbb\xbf"; /* says that UTF-8 follows */

	if (t->end - t->at >= 3 && !memcmp(t->at, mark, 3))
		t->at += 3;
	syslog->message = (struct tpi_span){t->at, (size_t)(t->end - t->at)};
}

/* Behind "<34>1 ". False: it is not of this form. */
static bool take_5424(struct text *t, struct tpi_syslog *syslog)
{
	struct tpi_syslog found = *syslog;
	struct text copy = *t;

	if (!take_char(&copy, '1') || !take_char(&copy, ' '))
		return false;
	if (!take_char(&copy, '-') && !take_timestamp(&copy, &found.time_ns))
		return false;
	if (!take_char(&copy, ' ') || !take_word(&copy, &found.host) ||
	    !take_word(&copy, &found.identifier) ||
	    !take_word(&copy, &found.pid) ||
	    !take_word(&copy, &found.message_id) ||
	    !take_data(&copy, &found.data))
		return false;
	take_char(&copy, ' ');
	drop_nil(&found.host);
	drop_nil(&found.identifier);
	drop_nil(&found.pid);
	drop_nil(&found.message_id);
	take_message(&copy, &found);
	*syslog = found;
	*t = copy;
	return true;
}

/* ---- RFC 3164 -------------------------------------------------------------------------- */

static bool take_month(struct text *t, int *month)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	if (t->end - t->at < 4)
		return false;
	for (int i = 0; i < 12; i++) {
		if (memcmp(t->at, names + 3 * i, 3) || t->at[3] != ' ')
			continue;
		*month = i;
		t->at += 4;
		return true;
	}
	return false;
}

/* The year that brings a local time without one closest to now. */
static time_t near_now(struct tm *tm, time_t now)
{
	time_t best = 0;
	struct tm local;
	int year;

	if (!localtime_r(&now, &local))
		return 0;
	year = local.tm_year;
	for (int i = -1; i <= 1; i++) {
		struct tm copy = *tm;

		copy.tm_year = year + i;
		copy.tm_isdst = -1;
		time_t at = mktime(&copy);
		time_t off = at > now ? at - now : now - at;
		time_t best_off = best > now ? best - now : now - best;

		if (!best || off < best_off)
			best = at;
	}
	return best;
}

/* "Oct 11 22:14:15 " or "Oct  1 22:14:15 ". */
static bool take_old_time(struct text *t, uint64_t now_ns, uint64_t *ns)
{
	struct text copy = *t;
	struct tm tm = {0};

	if (!take_month(&copy, &tm.tm_mon))
		return false;
	if (!take_digits(&copy, 2, &tm.tm_mday) &&
	    (!take_char(&copy, ' ') || !take_digits(&copy, 1, &tm.tm_mday)))
		return false;
	if (!take_char(&copy, ' ') || !take_clock(&copy, &tm) ||
	    !take_char(&copy, ' ') || tm.tm_mday < 1 || tm.tm_mday > 31)
		return false;
	if (!to_ns(near_now(&tm, (time_t)(now_ns / NS)), 0, ns))
		return false;
	*t = copy;
	return true;
}

static bool is_tag(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || strchr("-_./+@()", c);
}

/* "app: ", "app[12]: ". False: the message begins here. */
static bool take_tag(struct text *t, struct tpi_syslog *syslog)
{
	struct text copy = *t;
	struct tpi_span tag = {copy.at, 0}, pid = {0};

	while (copy.at < copy.end && *copy.at && is_tag(*copy.at))
		copy.at++;
	tag.length = (size_t)(copy.at - tag.text);
	if (!tag.length || tag.length > 64)
		return false;
	if (take_char(&copy, '[')) {
		pid.text = copy.at;
		while (copy.at < copy.end && is_digit(*copy.at))
			copy.at++;
		pid.length = (size_t)(copy.at - pid.text);
		if (!pid.length || !take_char(&copy, ']'))
			return false;
	}
	if (!take_char(&copy, ':'))
		return false;
	take_char(&copy, ' ');
	syslog->identifier = tag;
	if (pid.length)
		syslog->pid = pid;
	*t = copy;
	return true;
}

static void take_3164(struct text *t, struct tpi_syslog *syslog,
		      uint64_t now_ns)
{
	struct tpi_span host;
	struct text copy;

	if (take_old_time(t, now_ns, &syslog->time_ns) ||
	    (take_timestamp(t, &syslog->time_ns) && take_char(t, ' '))) {
		/* A host is only one where a tag follows. */
		copy = *t;
		if (!take_tag(t, syslog) && take_word(&copy, &host) &&
		    take_tag(&copy, syslog)) {
			syslog->host = host;
			*t = copy;
		}
	} else {
		take_tag(t, syslog);
	}
	take_message(t, syslog);
}

void tpi_syslog_parse(struct tpi_syslog *syslog, const char *text,
		      size_t length, uint64_t now_ns)
{
	struct text t = {text, text + length};

	memset(syslog, 0, sizeof(*syslog));
	/* A sender without a priority means user.notice. */
	syslog->priority = 5;
	syslog->facility = 1;
	if (length && (text[length - 1] == '\n' || !text[length - 1]))
		t.end--;
	if (take_priority(&t, syslog) && take_5424(&t, syslog))
		return;
	take_3164(&t, syslog, now_ns);
}

/* ---- structured data ---------------------------------------------------------------------- */

/* The name of the element that the parameter at `at` is in. */
static struct tpi_span element_of(const struct tpi_span *data, size_t at)
{
	struct text t = {data->text, data->text + data->length};
	struct tpi_span name = {0};

	while (t.at < t.end && t.at <= data->text + at) {
		name.text = t.at + 1;
		if (!take_element(&t))
			break;
	}
	while (name.text &&
	       name.text + name.length < data->text + data->length &&
	       name.text[name.length] != ' ' && name.text[name.length] != ']')
		name.length++;
	return name;
}

static void append(char *key, size_t key_bytes, size_t *used, const char *text,
		   size_t length)
{
	while (length-- && *used + 1 < key_bytes)
		key[(*used)++] = *text++;
	key[*used] = '\0';
}

bool tpi_syslog_parameter(const struct tpi_span *data, size_t *at, char *key,
			  size_t key_bytes, char *value, size_t *value_length)
{
	const char *end = data->text + data->length;
	const char *quote, *name;
	struct tpi_span element;
	size_t used = 0;

	*value_length = 0;
	if (*at >= data->length)
		return false;
	/* The next NAME=" : quotes within values were walked over with them. */
	quote = memmem(data->text + *at, data->length - *at, "=\"", 2);
	if (!quote)
		return false;
	for (name = quote; name > data->text + *at && name[-1] != ' ';)
		name--;
	element = element_of(data, (size_t)(name - data->text));
	append(key, key_bytes, &used, element.text, element.length);
	append(key, key_bytes, &used, ".", 1);
	append(key, key_bytes, &used, name, (size_t)(quote - name));
	for (quote += 2; quote < end && *quote != '"'; quote++) {
		if (*quote == '\\' && quote + 1 < end &&
		    strchr("\"\\]", quote[1]))
			quote++;
		value[(*value_length)++] = *quote;
	}
	*at = (size_t)(quote - data->text) + 1;
	return true;
}
