/*
 * watch_power.c - the newest power and temperatures, from RUN/telemetry/NODE.jsonl.
 *
 * A node tells a series when it moved, and each again after ten minutes, so the last value of each
 * counts for that long, as long as the node tells anything at all. A look costs a stat a node, and
 * only what was appended is read; the first time, only the end.
 */
#include "harness/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIECE = 256 << 10, /* bytes that are read at once: ten minutes of a node at its most */
	OLD = 60,          /* seconds without a line: what it told is not the power of now */
	RETOLD = 660,      /* seconds after which a series that was not told again is gone */
};

/* The last that was told of one series. */
struct told {
	char *series;
	double t, value;
};

struct source {
	double written;
	long long size, at; /* at: behind the last whole line that was taken */
	struct told *told;
	int count;
	double newest; /* time of the newest line, by the node's clock */
};

struct power_meter {
	char *folder;
	const struct fleet *fleet;
	struct source *sources; /* one a node */
	int next;
};

/* "gpu3.power_w": the name behind the last dot, and the kind of the part. */
static const char *split_series(const char *series, int *kind)
{
	const char *dot = strrchr(series, '.');
	char part[32];

	*kind = PART_NODE;
	if (!dot)
		return "";
	snprintf(part, sizeof(part), "%.*s", (int)(dot - series), series);
	*kind = part_kind_of(part) >= 0 ? part_kind_of(part) : PART_NODE;
	return dot + 1;
}

static int is_power(const char *series)
{
	int kind;

	return !strcmp(split_series(series, &kind), "power_w");
}

static int is_heat(const char *series)
{
	int kind;

	return !strcmp(split_series(series, &kind), "temperature_c") && kind == PART_GPU;
}

static void forget(struct source *s, int i)
{
	free(s->told[i].series);
	s->told[i] = s->told[--s->count];
}

static void forget_all(struct source *s)
{
	while (s->count)
		forget(s, 0);
}

struct power_meter *power_meter_new(const char *run, const struct fleet *f)
{
	struct power_meter *t = xcalloc(1, sizeof(*t));

	t->folder = xasprintf("%s/telemetry", run);
	t->fleet = f;
	t->sources = xcalloc((size_t)f->count, sizeof(*t->sources));
	return t;
}

void power_meter_free(struct power_meter *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->fleet->count; i++) {
		forget_all(&t->sources[i]);
		free(t->sources[i].told);
	}
	free(t->folder);
	free(t->sources);
	free(t);
}

/* [least, mean, most] of a window, or [value]: of power the mean, of heat the most. */
static void take_series(struct source *s, double t, const char *series, json_t *v)
{
	json_t *one = json_array_get(v, json_array_size(v) == 1 ? 0 : is_power(series) ? 1 : 2);
	int i = 0;

	if (!json_is_number(one) || (!is_power(series) && !is_heat(series)))
		return;
	while (i < s->count && strcmp(s->told[i].series, series) != 0)
		i++;
	if (i == s->count) {
		s->told = grow(s->told, (size_t)s->count, sizeof(*s->told));
		s->told[s->count++] = (struct told){ .series = xstrdup(series) };
	}
	s->told[i].t = t;
	s->told[i].value = json_number_value(one);
}

static void take_tele(struct source *s, const struct event *ev)
{
	const char *series;
	json_t *v;

	s->newest = event_number(ev, "t");
	json_object_foreach(json_object_get(ev->json, "v"), series, v)
		take_series(s, s->newest, series, v);
}

/* A part that stopped to answer has no power that anybody knows. */
static void take_mark(struct source *s, const struct event *ev)
{
	const char *part = event_text(ev, "part");
	size_t n = strlen(part);

	if (strcmp(event_text(ev, "what"), "away") != 0)
		return;
	for (int i = s->count - 1; i >= 0; i--)
		if (!strncmp(s->told[i].series, part, n) && s->told[i].series[n] == '.')
			forget(s, i);
}

static void take_line(struct source *s, const char *line, size_t n)
{
	struct error err;
	struct event ev;

	if (event_parse(line, n, &ev, &err) < 0)
		return; /* also the rest of a line, where the reading began */
	if (ev.kind == EV_TELE)
		take_tele(s, &ev);
	if (ev.kind == EV_MARK)
		take_mark(s, &ev);
	event_release(&ev);
}

static void read_on(struct source *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data, *at, *end;
	ssize_t n;

	if (fd < 0)
		return;
	data = xcalloc(1, PIECE);
	n = pread(fd, data, PIECE, (off_t)s->at);
	for (at = data; n > 0 && (end = memchr(at, '\n', (size_t)(data + n - at))); at = end + 1)
		take_line(s, at, (size_t)(end - at));
	s->at += at - data;
	free(data);
	close(fd);
}

static void look_at(struct power_meter *t, int node)
{
	struct source *s = &t->sources[node];
	char *path = xasprintf("%s/%s.jsonl", t->folder, t->fleet->nodes[node].name);
	struct stat st;
	double written;

	if (stat(path, &st) == 0) {
		written = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9;
		if (st.st_size < s->at)
			forget_all(s);
		/* What is older than a piece would only be told again. */
		if (st.st_size < s->at || st.st_size - s->at > PIECE)
			s->at = st.st_size > PIECE ? st.st_size - PIECE : 0;
		if (written != s->written || st.st_size != s->size)
			read_on(s, path);
		s->written = written;
		s->size = st.st_size;
	}
	free(path);
}

static void add_source(const struct power_meter *t, int node, struct watch_power *out)
{
	const struct source *s = &t->sources[node];
	int kind, tells = 0;

	for (int i = 0; i < s->count; i++) {
		const struct told *o = &s->told[i];

		if (s->newest - o->t > RETOLD)
			continue;
		split_series(o->series, &kind);
		if (is_power(o->series)) {
			tells = 1;
			out->watts += o->value;
			out->parts[kind]++;
		} else if (!*out->hottest || o->value > out->celsius) {
			out->celsius = o->value;
			snprintf(out->hottest, sizeof(out->hottest), "%s/%.*s",
				 t->fleet->nodes[node].name, (int)strcspn(o->series, "."),
				 o->series);
		}
	}
	out->nodes += tells;
}

void power_meter_look(struct power_meter *t, double now, double seconds, struct watch_power *out)
{
	double until = clock_now() + seconds;

	*out = (struct watch_power){ .is_there = access(t->folder, F_OK) == 0 };
	for (int i = 0; out->is_there && i < t->fleet->count; i++) {
		look_at(t, t->next);
		t->next = (t->next + 1) % t->fleet->count;
		if (seconds > 0 && clock_now() > until)
			break;
	}
	for (int i = 0; i < t->fleet->count; i++) {
		const struct source *s = &t->sources[i];

		out->newest = s->written > out->newest ? s->written : out->newest;
		if (s->written > 0 && now - s->written < OLD)
			add_source(t, i, out);
	}
}

/* ---- in words ---- */

static void add_watts(double watts, struct text *out)
{
	static const struct {
		double least;
		const char *unit;
	} units[] = { { 1e6, "MW" }, { 1e3, "kW" }, { 0, "W" } };
	size_t i = 0;

	while (watts < units[i].least && i + 1 < ARRAY_SIZE(units))
		i++;
	text_addf(out, units[i].least > 0 ? "%.2f %s" : "%.0f %s",
		  units[i].least > 0 ? watts / units[i].least : watts, units[i].unit);
}

/* "512 gpus and 128 sockets": what the sum is of, for it is never the whole node. */
static void add_parts(const struct watch_power *p, struct text *out)
{
	const char *comma = "";

	for (int k = 0; k < PART_KIND_COUNT; k++) {
		if (!p->parts[k])
			continue;
		text_addf(out, "%s%d %s%s", comma, p->parts[k], part_kind_name((enum part_kind)k),
			  p->parts[k] == 1 ? "" : "s");
		comma = ", ";
	}
}

void watch_power_text(const struct watch *w, struct text *out)
{
	const struct watch_power *p = &w->power;
	char age[40];

	if (!p->is_there) {
		text_add(out, "no telemetry in this run");
	} else if (!p->nodes && p->newest <= 0) {
		text_add(out, "no node has told anything yet");
	} else if (!p->nodes && w->now - p->newest > OLD) {
		seconds_text(w->now - p->newest, age, sizeof(age));
		text_addf(out, "nothing told for %s", age);
	} else if (!p->nodes) {
		text_add(out, "no node tells its power");
	} else {
		add_watts(p->watts, out);
		text_add(out, " of ");
		add_parts(p, out);
		text_addf(out, " on %d of %d node%s", p->nodes, w->fleet->count,
			  w->fleet->count == 1 ? "" : "s");
	}
	if (*p->hottest)
		text_addf(out, "; hottest %s, %.0f C", p->hottest, p->celsius);
}
