/*
 * telemetry_read.c - RUN/telemetry/ read again, for one node and a stretch of time.
 *
 * A soak leaves files of many megabytes a node, and a reader wants minutes of them. Lines are in
 * the order of their times, so the first one is found by halving; blocks say their times in front.
 */
#include "harness/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const double value_most = 1e18; /* no sensor is beyond, and sums of these stay numbers */
enum { MARKS_MOST = 100000, SLACK = 60 /* seconds that lines may be out of order */ };

void telemetry_free(struct telemetry *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->mark_count; i++) {
		free(t->marks[i].part);
		free(t->marks[i].what);
		free(t->marks[i].text);
	}
	for (int i = 0; i < t->series_count; i++)
		free(t->series[i].points);
	free(t->marks);
	free(t->series);
	free(t);
}

const struct telemetry_series *telemetry_find(const struct telemetry *t, const char *part,
					      const char *name)
{
	for (int i = 0; i < t->series_count; i++)
		if (!strcmp(t->series[i].about.part, part) &&
		    !strcmp(t->series[i].about.name, name))
			return &t->series[i];
	return NULL;
}

/* That of this part and name, made at the first time. */
static struct telemetry_series *series_of(struct telemetry *t, const struct sample_series *about)
{
	struct telemetry_series *s =
		(struct telemetry_series *)telemetry_find(t, about->part, about->name);

	if (s)
		return s;
	t->series = grow(t->series, (size_t)t->series_count, sizeof(*t->series));
	s = &t->series[t->series_count++];
	*s = (struct telemetry_series){ .about = *about, .last = NAN };
	return s;
}

static int is_wanted(const struct telemetry_wish *wish, const struct sample_series *about)
{
	char name[128];

	series_name(about->part, about->name, name);
	for (int i = 0; wish->patterns && wish->patterns[i]; i++)
		if (fnmatch(wish->patterns[i], name, 0) == 0)
			return 1;
	return !wish->patterns;
}

/* A point of its own, or into the bucket of the one before. */
static void point_add(struct telemetry_series *s, const struct telemetry_wish *wish,
		      const struct telemetry_point *p)
{
	struct telemetry_point *last = s->count ? &s->points[s->count - 1] : NULL;

	if (p->t < wish->from || p->t > wish->to)
		return;
	if (last && wish->bucket > 0 && p->t >= last->t && p->t < last->t + wish->bucket) {
		last->mean += (p->mean - last->mean) / ++s->in_bucket;
		last->least = fmin(last->least, p->least);
		last->most = fmax(last->most, p->most);
		return;
	}
	s->points = grow(s->points, (size_t)s->count, sizeof(*s->points));
	s->points[s->count++] = *p;
	s->in_bucket = 1;
}

/* ---- NODE.full ----------------------------------------------------------------------------- */

/* Points of one column; a flow becomes its growth a second since the reading before. */
static void add_column(struct telemetry *t, const struct block *b, int column,
		       const struct telemetry_wish *wish)
{
	const struct sample_series *about = &b->columns[column].series;
	struct telemetry_series *s = series_of(t, about);
	double *values = xcalloc((size_t)b->rows, sizeof(*values));
	struct error ignored; /* counted */

	t->damaged += block_values(b, column, values, &ignored) < 0;
	for (int i = 0; i < b->rows; i++) {
		double at = (double)b->ms[i] / 1e3 - wish->ahead, v = values[i];

		if (!isfinite(v))
			continue;
		if (about->kind == SERIES_FLOW) {
			double grown = v - s->last, took = at - s->last_at;

			s->last = v;
			s->last_at = at;
			if (!(grown >= 0) || !(took > 0))
				continue;
			v = grown / took;
		}
		point_add(s, wish, &(struct telemetry_point){ at, v, v, v });
	}
	free(values);
}

static void add_blocks(struct telemetry *t, const unsigned char *data, size_t len,
		       const struct telemetry_wish *wish)
{
	int64_t first, last;
	struct error ignored; /* counted */
	struct block b;
	size_t used;
	int rc;

	for (; (rc = block_peek(data, len, &used, &first, &last, &ignored)) > 0;
	     data += used, len -= used) {
		if ((double)last / 1e3 - wish->ahead < wish->from ||
		    (double)first / 1e3 - wish->ahead > wish->to)
			continue;
		if (wish->patterns && !wish->patterns[0])
			continue;
		if (block_open(data, len, &used, &b, &ignored) <= 0) {
			t->damaged++;
			continue;
		}
		for (int i = 0; i < b.count; i++)
			if (is_wanted(wish, &b.columns[i].series))
				add_column(t, &b, i, wish);
		t->every = 1;
		block_release(&b);
	}
	t->damaged += rc < 0;
}

/* ---- NODE.jsonl ---------------------------------------------------------------------------- */

/* "gpu3.power_w": the name has no dot, the part may. 0, or -1 when it is neither. */
static int name_split(const char *whole, struct sample_series *about)
{
	const char *dot = strrchr(whole, '.');

	*about = (struct sample_series){ .kind = SERIES_LEVEL, .unit = 1 };
	if (!dot || !dot[1] || dot - whole >= SERIES_PART_ROOM ||
	    strlen(dot + 1) >= SERIES_NAME_ROOM)
		return -1;
	snprintf(about->part, sizeof(about->part), "%.*s", (int)(dot - whole), whole);
	snprintf(about->name, sizeof(about->name), "%s", dot + 1);
	if (!strcmp(about->part, "node"))
		*about->part = '\0';
	return 0;
}

/* [value], or [least, mean, most]. 0, or -1. */
static int point_of(const json_t *list, struct telemetry_point *p)
{
	size_t count = json_array_size(list);
	const json_t *mean = json_array_get(list, count == 3);
	const json_t *least = json_array_get(list, 0), *most = json_array_get(list, count - 1);

	if ((count != 1 && count != 3) || !json_is_number(mean) || !json_is_number(least) ||
	    !json_is_number(most))
		return -1;
	p->mean = json_number_value(mean);
	p->least = json_number_value(least);
	p->most = json_number_value(most);
	return p->least <= p->most && fabs(p->mean) < value_most && fabs(p->least) < value_most &&
			       fabs(p->most) < value_most
		       ? 0
		       : -1;
}

static void add_tele(struct telemetry *t, const struct event *ev, double at,
		     const struct telemetry_wish *wish)
{
	struct telemetry_point p = { .t = at };
	json_t *list;
	const char *name;

	json_object_foreach(json_object_get(ev->json, "v"), name, list)
	{
		struct sample_series about;

		if (point_of(list, &p) < 0 || name_split(name, &about) < 0)
			t->damaged++;
		else if (is_wanted(wish, &about) && t->series_count < SERIES_MOST)
			point_add(series_of(t, &about), wish, &p);
	}
}

static void add_mark(struct telemetry *t, const struct event *ev, double at)
{
	struct telemetry_mark *m;

	if (t->mark_count == MARKS_MOST)
		return;
	t->marks = grow(t->marks, (size_t)t->mark_count, sizeof(*t->marks));
	m = &t->marks[t->mark_count++];
	m->t = at;
	m->part = xstrdup(event_text(ev, "part"));
	m->what = xstrdup(event_text(ev, "what"));
	m->text = xstrdup(event_text(ev, "text"));
}

struct lines_between {
	struct telemetry *t;
	const struct telemetry_wish *wish;
	int only_marks, is_past;
};

static void add_line(void *arg, char *line, size_t len, int was_cut)
{
	static const char tele[] = "{\"e\":\"tele\",";
	struct lines_between *x = arg;
	struct error ignored; /* counted */
	struct event ev;
	double at;

	/* Nearly all lines are these; where nobody wants them they need not be parsed. */
	if (x->only_marks && !strncmp(line, tele, sizeof(tele) - 1))
		return;
	if (was_cut || event_parse(line, len, &ev, &ignored) < 0) {
		x->t->damaged++;
		return;
	}
	at = event_number(&ev, "t") - x->wish->ahead;
	if (at > x->wish->to + SLACK)
		x->is_past = 1;
	if (at >= x->wish->from && at <= x->wish->to) {
		if (ev.kind == EV_MARK)
			add_mark(x->t, &ev, at);
		else if (ev.kind == EV_TELE && !x->only_marks)
			add_tele(x->t, &ev, at, x->wish);
	}
	event_release(&ev);
}

/* The time of the first line that can be read at or behind `at`; NAN if there is none. */
static double time_at(const char *lines, size_t len, size_t at)
{
	const char *line = lines + at, *end = lines + len, *stop;
	struct error ignored;
	struct event ev;

	for (; line < end; line = stop + 1) {
		double t;

		stop = memchr(line, '\n', (size_t)(end - line));
		if (!stop)
			break;
		if (event_parse(line, (size_t)(stop - line), &ev, &ignored) < 0)
			continue;
		t = event_number(&ev, "t");
		event_release(&ev);
		return t;
	}
	return NAN;
}

static size_t next_start(const char *lines, size_t len, size_t at)
{
	const char *stop = at < len ? memchr(lines + at, '\n', len - at) : NULL;

	return stop ? (size_t)(stop - lines) + 1 : len;
}

/* Where a line begins that is surely before all lines of `from` and not far before them. */
static size_t find_start(const char *lines, size_t len, double from)
{
	size_t low = 0, high = len;

	while (high - low > 64 * 1024) {
		size_t middle = next_start(lines, len, low + (high - low) / 2);
		double t = middle < high ? time_at(lines, len, middle) : NAN;

		if (t < from - SLACK)
			low = middle;
		else
			high = low + (high - low) / 2;
	}
	return low;
}

static void add_lines(struct telemetry *t, const char *lines, size_t len,
		      const struct telemetry_wish *wish)
{
	int only_marks = t->every < TELEMETRY_WINDOW || (wish->patterns && !wish->patterns[0]);
	struct lines_between x = { t, wish, only_marks, 0 };
	size_t at = len ? find_start(lines, len, wish->from + wish->ahead) : 0;
	struct lines cut;

	lines_init(&cut, EVENT_MOST, add_line, &x);
	while (at < len && !x.is_past) {
		size_t stop = next_start(lines, len, at);

		lines_feed(&cut, lines + at, stop - at);
		at = stop;
	}
	lines_release(&cut);
}

struct telemetry *telemetry_parse(const char *lines, size_t len, const unsigned char *full,
				  size_t full_len, const struct telemetry_wish *wish)
{
	struct telemetry *t = xcalloc(1, sizeof(*t));

	t->every = TELEMETRY_WINDOW;
	add_blocks(t, full, full_len, wish);
	add_lines(t, lines, len, wish);
	return t;
}

/* ---- files --------------------------------------------------------------------------------- */

/* A whole file as memory; 0, also for one that is empty or missing, or -1 with err. */
static int map_file(const char *run, const char *node, const char *suffix, void **data, size_t *len,
		    struct error *err)
{
	char *path = xasprintf("%s/telemetry/%s.%s", run, node, suffix);
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct stat st;

	*data = NULL;
	*len = 0;
	if (fd < 0 && errno != ENOENT)
		rc = error_sys(err, "cannot open %s", path);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		*len = (size_t)st.st_size;
		*data = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
		if (*data == MAP_FAILED) {
			rc = error_sys(err, "cannot read %s", path);
			*data = NULL;
			*len = 0;
		}
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

struct telemetry *telemetry_load(const char *run, const char *node,
				 const struct telemetry_wish *wish, struct error *err)
{
	struct telemetry *t = NULL;
	void *lines, *full = NULL;
	size_t len, full_len = 0;

	if (!hostname_valid(node)) {
		error_set(err, "'%.60s' is no name of a node", node);
		return NULL;
	}
	if (map_file(run, node, "jsonl", &lines, &len, err) == 0 &&
	    map_file(run, node, "full", &full, &full_len, err) == 0) {
		if (len || full_len)
			t = telemetry_parse(lines, len, full, full_len, wish);
		else
			error_set(err, "there is no telemetry of %s in %s", node, run);
	}
	if (lines)
		munmap(lines, len);
	if (full)
		munmap(full, full_len);
	return t;
}

/* Widens the span by what the lines say at both ends. */
static void span_lines(const char *lines, size_t len, double *from, double *to)
{
	enum { TAIL = 64 * 1024 };
	size_t at = len > TAIL ? next_start(lines, len, len - TAIL) : 0;

	if (!len)
		return;
	*from = fmin(*from, time_at(lines, len, 0));
	for (; at < len; at = next_start(lines, len, at))
		*to = fmax(*to, time_at(lines, len, at));
}

static void span_blocks(const unsigned char *data, size_t len, double *from, double *to)
{
	int64_t first, last;
	struct error ignored;
	size_t used;

	for (; block_peek(data, len, &used, &first, &last, &ignored) > 0;
	     data += used, len -= used) {
		*from = fmin(*from, (double)first / 1e3);
		*to = fmax(*to, (double)last / 1e3);
	}
}

int telemetry_span(const char *run, const char *node, double ahead, double *from, double *to,
		   struct error *err)
{
	void *lines = NULL, *full = NULL;
	size_t len = 0, full_len = 0;
	int rc = -1;

	*from = INFINITY;
	*to = -INFINITY;
	if (!hostname_valid(node))
		return error_set(err, "'%.60s' is no name of a node", node);
	if (map_file(run, node, "jsonl", &lines, &len, err) == 0 &&
	    map_file(run, node, "full", &full, &full_len, err) == 0) {
		span_lines(lines, len, from, to);
		span_blocks(full, full_len, from, to);
		rc = *from <= *to ? 0
				  : error_set(err, "there is no telemetry of %s in %s", node, run);
	}
	if (lines)
		munmap(lines, len);
	if (full)
		munmap(full, full_len);
	*from -= ahead;
	*to -= ahead;
	return rc;
}
