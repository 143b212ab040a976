/*
 * hostlist.c - "n[001-128]" in and out.
 *
 * Names end up in command lines of ssh and srun, so the alphabet is small and a name never looks
 * like an option.
 */
#include "harness/base/base.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 255, LIST_MOST = 65536, DIGITS_MOST = 9 };

static int is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '_';
}

int hostname_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MOST || name[0] == '-' || name[0] == '.')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(name[i]))
			return 0;
	return 1;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted copy, so that 65536 names are compared n log n times. */
static const char *first_double(const struct hostlist *list)
{
	char **sorted = xcalloc((size_t)list->count, sizeof(*sorted));
	const char *found = NULL;

	memcpy(sorted, list->names, (size_t)list->count * sizeof(*sorted));
	qsort(sorted, (size_t)list->count, sizeof(*sorted), name_compare);
	for (int i = 1; i < list->count && !found; i++)
		if (!strcmp(sorted[i - 1], sorted[i]))
			found = sorted[i];
	free(sorted);
	return found;
}

static int add_name(struct hostlist *list, const char *name, struct error *err)
{
	if (!hostname_valid(name))
		return error_set(err, "'%.60s' is not a host name", name);
	if (list->count == LIST_MOST)
		return error_set(err, "more than %d hosts", LIST_MOST);
	list->names = grow(list->names, (size_t)list->count, sizeof(*list->names));
	list->names[list->count++] = xstrdup(name);
	return 0;
}

/* Reads digits at *s; their count is the width to pad to. */
static int read_number(const char **s, long *value, int *width)
{
	int n = 0;

	*value = 0;
	while (isdigit((unsigned char)(*s)[n]) && n <= DIGITS_MOST) {
		*value = *value * 10 + ((*s)[n] - '0');
		n++;
	}
	*s += n;
	*width = n;
	return n > 0 && n <= DIGITS_MOST ? 0 : -1;
}

/* One range "001-128" or "7" of the bracket, between head and tail. */
static int add_range(struct hostlist *list, const char *head, int head_len, const char **s,
		     const char *tail, int tail_len, struct error *err)
{
	char name[NAME_MOST + 32];
	long from, to;
	int width, width_to;

	if (read_number(s, &from, &width) < 0)
		return error_set(err, "host list: a number is missing at '%.30s'", *s);
	to = from;
	if (**s == '-') {
		(*s)++;
		if (read_number(s, &to, &width_to) < 0)
			return error_set(err, "host list: a number is missing at '%.30s'", *s);
	}
	if (to < from)
		return error_set(err, "host list: range %ld-%ld runs backwards", from, to);
	if (to - from >= LIST_MOST)
		return error_set(err, "more than %d hosts", LIST_MOST);
	for (long i = from; i <= to; i++) {
		snprintf(name, sizeof(name), "%.*s%0*ld%.*s", head_len, head, width, i, tail_len,
			 tail);
		if (add_name(list, name, err) < 0)
			return -1;
	}
	return 0;
}

/* One item: plain name, or head[ranges]tail. Leaves *s behind it. */
static int add_item(struct hostlist *list, const char **s, struct error *err)
{
	const char *head = *s, *open, *close, *tail;
	int head_len, tail_len;
	char name[NAME_MOST + 2];

	while (is_name_char(**s))
		(*s)++;
	head_len = (int)(*s - head);
	if (head_len > NAME_MOST)
		return error_set(err, "host list: a name of %d letters", head_len);
	if (**s != '[') {
		snprintf(name, sizeof(name), "%.*s", head_len, head);
		return add_name(list, name, err);
	}
	open = *s + 1;
	close = strchr(open, ']');
	if (!close)
		return error_set(err, "host list: '[' without ']' at '%.30s'", *s);
	for (tail = *s = close + 1; is_name_char(**s);)
		(*s)++;
	tail_len = (int)(*s - tail);
	if (head_len + tail_len > NAME_MOST)
		return error_set(err, "host list: a name of more than %d letters", NAME_MOST);
	for (;;) {
		if (add_range(list, head, head_len, &open, tail, tail_len, err) < 0)
			return -1;
		if (open == close)
			return 0;
		if (*open++ != ',')
			return error_set(err, "host list: ',' or ']' expected at '%.30s'",
					 open - 1);
	}
}

int hostlist_parse(const char *text, struct hostlist *list, struct error *err)
{
	const char *s = text, *twice;

	*list = (struct hostlist){ 0 };
	do {
		if (add_item(list, &s, err) < 0)
			goto fail;
	} while (*s == ',' && *++s);
	if (*s) {
		error_set(err, "host list: '%.30s' is not understood", s);
		goto fail;
	}
	twice = first_double(list);
	if (twice) {
		error_set(err, "host list: %s is named twice", twice);
		goto fail;
	}
	return 0;
fail:
	hostlist_release(list);
	return -1;
}

void hostlist_release(struct hostlist *list)
{
	for (int i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct hostlist){ 0 };
}

/* Splits "n017" into head length 1 and number 17 of width 3; width 0 if it ends in no number. */
static int split(const char *name, size_t *head, long *number)
{
	size_t n = strlen(name), from = n;

	while (from > 0 && isdigit((unsigned char)name[from - 1]) && n - from < DIGITS_MOST)
		from--;
	*head = from;
	*number = from < n ? atol(name + from) : 0;
	return (int)(n - from);
}

static int follows(const char *a, const char *b)
{
	size_t head_a, head_b;
	long number_a, number_b;
	int width_a = split(a, &head_a, &number_a), width_b = split(b, &head_b, &number_b);

	return width_a && width_a == width_b && head_a == head_b && !strncmp(a, b, head_a) &&
	       number_b == number_a + 1;
}

static int same_series(const char *a, const char *b)
{
	size_t head_a, head_b;
	long number;
	int width_a = split(a, &head_a, &number), width_b = split(b, &head_b, &number);

	return width_a && width_a == width_b && head_a == head_b && !strncmp(a, b, head_a);
}

char *hostlist_text(const char *const *names, int count)
{
	struct text out;
	int open = 0;

	text_init(&out);
	for (int from = 0, to; from < count; from = to + 1) {
		int more;
		size_t head;
		long number;

		for (to = from; to + 1 < count && follows(names[to], names[to + 1]);)
			to++;
		more = to + 1 < count && same_series(names[to], names[to + 1]);
		split(names[from], &head, &number);
		if (from)
			text_add(&out, ",");
		if (!open && (to > from || more)) {
			text_addf(&out, "%.*s[", (int)head, names[from]);
			open = 1;
		}
		text_add(&out, open ? names[from] + head : names[from]);
		if (to > from)
			text_addf(&out, "-%s", names[to] + head);
		if (open && !more) {
			text_add(&out, "]");
			open = 0;
		}
	}
	return text_detach(&out);
}
