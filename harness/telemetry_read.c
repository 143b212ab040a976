/*
 * telemetry_read.c - RUN/telemetry/ read again, for one node and a stretch of time.
 *
 * A soak leaves files of many megabytes a node, and a reader wants minutes of them. Lines are in
 * the order of their times, so the first one is found by halving; blocks say their times in front.
 */
#include "harness/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MARKS_MOST = 100000, SLACK = 60 /* seconds that lines may be out of order */ };

static struct telemetry *telemetry_new(double ahead)
{
	struct telemetry *t = xcalloc(1, sizeof(*t));

	t->ahead = ahead;
	t->every = TELEMETRY_WINDOW;
	return t;
}

void telemetry_free(struct telemetry *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->mark_count; i++) {
		free(t->marks[i].part);
		free(t->marks[i].what);
		free(t->marks[i].text);
	}
	for (int i = 0; i < t->series_count; i++) {
		free(t->series[i].t);
		free(t->series[i].v);
	}
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

static struct telemetry_series *series_add(struct telemetry *t, const struct sample_series *about)
{
	struct telemetry_series *s;

	t->series = grow(t->series, (size_t)t->series_count, sizeof(*t->series));
	s = &t->series[t->series_count++];
	*s = (struct telemetry_series){ .about = *about };
	return s;
}

static void point_add(struct telemetry_series *s, double t, double v)
{
	s->t = grow(s->t, (size_t)s->count, sizeof(*s->t));
	s->v = grow(s->v, (size_t)s->count, sizeof(*s->v));
	s->t[s->count] = t;
	s->v[s->count++] = v;
}

/* ---- NODE.full ----------------------------------------------------------------------------- */

/* Points of one column; a flow becomes its growth a second since the reading before. */
static void add_column(struct telemetry *t, const struct block *b, int column, double from,
		       double to)
{
	const struct sample_series *about = &b->columns[column].series;
	struct telemetry_series *s =
		(struct telemetry_series *)telemetry_find(t, about->part, about->name);
	double *values = xcalloc((size_t)b->rows, sizeof(*values)), last = NAN, last_at = 0;
	struct error ignored; /* counted */

	if (block_values(b, column, values, &ignored) < 0) {
		t->damaged++;
		free(values);
		return;
	}
	s = s ? s : series_add(t, about);
	for (int i = 0; i < b->rows; i++) {
		double at = (double)b->ms[i] / 1e3 - t->ahead, v = values[i];

		if (!isfinite(v))
			continue;
		if (about->kind == SERIES_FLOW) {
			double grown = v - last, took = at - last_at;

			last = v;
			last_at = at;
			if (!(grown >= 0) || !(took > 0))
				continue;
			v = grown / took;
		}
		if (at >= from && at <= to)
			point_add(s, at, v);
	}
	free(values);
}

static void add_blocks(struct telemetry *t, const unsigned char *data, size_t len, double from,
		       double to)
{
	int64_t first, last;
	struct error ignored; /* counted */
	struct block b;
	size_t used;
	int rc;

	for (; (rc = block_peek(data, len, &used, &first, &last, &ignored)) > 0;
	     data += used, len -= used) {
		if ((double)last / 1e3 - t->ahead < from || (double)first / 1e3 - t->ahead > to)
			continue;
		if (block_open(data, len, &used, &b, &ignored) <= 0) {
			t->damaged++;
			continue;
		}
		for (int i = 0; i < b.count; i++)
			add_column(t, &b, i, from, to);
		block_release(&b);
	}
	t->damaged += rc < 0;
	if (t->series_count)
		t->every = 1;
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

static void add_tele(struct telemetry *t, const struct event *ev, double at)
{
	json_t *list;
	const char *name;

	json_object_foreach(json_object_get(ev->json, "v"), name, list)
	{
		json_t *mean = json_array_get(list, json_array_size(list) > 1);
		struct telemetry_series *s;
		struct sample_series about;

		if (!json_is_number(mean) || name_split(name, &about) < 0) {
			t->damaged++;
			continue;
		}
		s = (struct telemetry_series *)telemetry_find(t, about.part, about.name);
		point_add(s ? s : series_add(t, &about), at, json_number_value(mean));
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
	double from, to;
	int only_marks, is_past;
};

static void add_line(void *arg, char *line, size_t len, int was_cut)
{
	struct lines_between *x = arg;
	struct error ignored; /* counted */
	struct event ev;
	double at;

	if (was_cut || event_parse(line, len, &ev, &ignored) < 0) {
		x->t->damaged++;
		return;
	}
	at = event_number(&ev, "t") - x->t->ahead;
	if (at > x->to + SLACK)
		x->is_past = 1;
	if (at >= x->from && at <= x->to) {
		if (ev.kind == EV_MARK)
			add_mark(x->t, &ev, at);
		else if (ev.kind == EV_TELE && !x->only_marks)
			add_tele(x->t, &ev, at);
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

static void add_lines(struct telemetry *t, const char *lines, size_t len, double from, double to)
{
	struct lines_between x = { t, from, to, t->every < TELEMETRY_WINDOW, 0 };
	size_t at = len ? find_start(lines, len, from + t->ahead) : 0;
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
				  size_t full_len, double ahead, double from, double to)
{
	struct telemetry *t = telemetry_new(ahead);

	add_blocks(t, full, full_len, from, to);
	add_lines(t, lines, len, from, to);
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

struct telemetry *telemetry_load(const char *run, const char *node, double ahead, double from,
				 double to, struct error *err)
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
			t = telemetry_parse(lines, len, full, full_len, ahead, from, to);
		else
			error_set(err, "there is no telemetry of %s in %s", node, run);
	}
	if (lines)
		munmap(lines, len);
	if (full)
		munmap(full, full_len);
	return t;
}
