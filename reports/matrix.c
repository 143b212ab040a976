/* matrix.c - see matrix.h. Findings of one step stand together, so only that stretch is searched.
 */
#include "reports/matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of a part's name ("gpu12") at the start of a text, 0 if there is none. */
static size_t part_length(const char *text)
{
	size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
	size_t digits = strspn(text + letters, "0123456789");

	return letters && digits ? letters + digits : 0;
}

/*
 * The part of the subject behind the node, if it names a directed pair of parts; else NULL.
 * Subjects come from nodes, so anything else in them is none of this page's.
 */
static const char *pair_of(const struct finding *f)
{
	const char *pair = strchr(f->subject, '/');
	size_t from = pair ? part_length(++pair) : 0;
	size_t to = from && pair[from] == '>' ? part_length(pair + from + 1) : 0;

	return to && !pair[from + 1 + to] ? pair : NULL;
}

static int belongs(const struct finding *a, const struct finding *b)
{
	return a->step == b->step && !strcmp(a->check, b->check) && !strcmp(a->metric, b->metric) &&
	       pair_of(b);
}

static int name_index(struct matrix_names *n, const char *name, size_t len)
{
	for (int i = 0; i < n->count; i++)
		if (strlen(n->items[i]) == len && !strncmp(n->items[i], name, len))
			return i;
	if (n->count == MATRIX_MOST || len >= sizeof(n->items[0]))
		return -1;
	memcpy(n->items[n->count], name, len);
	n->items[n->count][len] = '\0';
	return n->count++;
}

static int by_number(const void *a, const void *b)
{
	return strverscmp(a, b);
}

/* First and one behind last finding of the step that finding i belongs to. */
static void stretch(const struct judgement *j, int i, int *from, int *to)
{
	for (*from = i; *from > 0 && j->items[*from - 1].step == j->items[i].step;)
		--*from;
	for (*to = i; *to < j->count && j->items[*to].step == j->items[i].step;)
		++*to;
}

/* Names of both ends of all pairs, in order. */
static void collect_names(const struct judgement *j, int i, struct matrix *m)
{
	int from, to;

	stretch(j, i, &from, &to);
	for (int k = from; k < to; k++) {
		const char *pair = pair_of(&j->items[k]), *arrow;

		if (!belongs(&j->items[i], &j->items[k]))
			continue;
		arrow = strchr(pair, '>');
		name_index(&m->rows, pair, (size_t)(arrow - pair));
		name_index(&m->columns, arrow + 1, strlen(arrow + 1));
	}
	qsort(m->rows.items, (size_t)m->rows.count, sizeof(m->rows.items[0]), by_number);
	qsort(m->columns.items, (size_t)m->columns.count, sizeof(m->columns.items[0]), by_number);
}

static int first_of(const struct judgement *j, int i)
{
	int from, to;

	stretch(j, i, &from, &to);
	while (from < i && !belongs(&j->items[i], &j->items[from]))
		from++;
	return from;
}

int matrix_has(const struct judgement *j, int i)
{
	const struct finding *f = &j->items[i];
	const char *pair = pair_of(f);
	int from, to;

	if (!pair)
		return 0;
	stretch(j, i, &from, &to);
	for (int k = from; k < to; k++) {
		const char *other = pair_of(&j->items[k]), *arrow;

		if (!belongs(f, &j->items[k]))
			continue;
		arrow = strchr(other, '>');
		if (strncmp(other, arrow + 1, (size_t)(arrow - other)) != 0 ||
		    strlen(arrow + 1) != (size_t)(arrow - other))
			return 1; /* a pair of two: at least a matrix of 2 x 2 */
	}
	return 0;
}

static void put_cell(struct matrix *m, const struct finding *f)
{
	const char *pair = pair_of(f), *arrow = strchr(pair, '>');
	int row = name_index(&m->rows, pair, (size_t)(arrow - pair));
	int column = name_index(&m->columns, arrow + 1, strlen(arrow + 1));

	if (row < 0 || column < 0)
		return;
	m->cells[row][column] = f;
	/* A GPU's own memory is another kind of figure: its colour would drown the pairs'. */
	if (!strcmp(m->rows.items[row], m->columns.items[column]) || !f->samples)
		return;
	m->low = isnan(m->low) || f->value < m->low ? f->value : m->low;
	m->high = isnan(m->high) || f->value > m->high ? f->value : m->high;
}

int matrix_at(const struct judgement *j, int i, struct matrix *m)
{
	const struct finding *f = &j->items[i];
	int from, to;

	if (!matrix_has(j, i) || first_of(j, i) != i)
		return 0;
	memset(m, 0, sizeof(*m));
	m->low = m->high = NAN;
	m->any = f;
	m->node = f->subject;
	m->node_len = (int)strcspn(f->subject, "/");
	collect_names(j, i, m);
	stretch(j, i, &from, &to);
	for (int k = from; k < to; k++)
		if (belongs(f, &j->items[k]))
			put_cell(m, &j->items[k]);
	return 1;
}

void matrix_cell(const struct finding *f, char *out, size_t room)
{
	double size = f ? fabs(f->value) : 0;

	if (!f)
		snprintf(out, room, "-");
	else if (!f->samples)
		snprintf(out, room, f->verdict == VERDICT_NOT_APPLICABLE ? "-" : "HOLE");
	else if (size >= 1e6 || (size > 0 && size < 0.01))
		snprintf(out, room, "%.2g", f->value);
	else if (f->value == floor(f->value) && !*f->unit)
		snprintf(out, room, "%.0f", f->value);
	else
		snprintf(out, room, size < 10000 ? "%.2f" : "%.0f", f->value);
}
