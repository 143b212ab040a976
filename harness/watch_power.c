/*
 * watch_power.c - the newest power and temperatures, from the ends of RUN/telemetry/NODE.jsonl.
 *
 * A look costs a stat a node, and only what changed is read, and of that only the end. A window of
 * a node comes as several lines that may not all be there yet, so for each series the newest value
 * of the last two windows counts. What is older than a minute is not the power of now and counts
 * as nothing.
 */
#include "harness/watch.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TAIL = 32 << 10, /* bytes: two windows of a node with hundreds of series */
	OLD = 60,        /* seconds */
};

struct source {
	double written;
	long long size;
	double watts; /* NAN: it tells none */
	int parts[PART_KIND_COUNT];
	double celsius; /* NAN: it tells none */
	char hottest[32];
};

struct telemetry {
	char *folder;
	const struct fleet *fleet;
	struct source *sources; /* one a node */
	int next;
};

struct telemetry *telemetry_new(const char *run, const struct fleet *f)
{
	struct telemetry *t = xcalloc(1, sizeof(*t));

	t->folder = xasprintf("%s/telemetry", run);
	t->fleet = f;
	t->sources = xcalloc((size_t)f->count, sizeof(*t->sources));
	for (int i = 0; i < f->count; i++)
		t->sources[i].watts = t->sources[i].celsius = NAN;
	return t;
}

void telemetry_free(struct telemetry *t)
{
	if (!t)
		return;
	free(t->folder);
	free(t->sources);
	free(t);
}

/* "gpu3.power_w": the name behind the dot, and the kind of the part; NULL if there is no dot. */
static const char *split_series(const char *series, int *kind)
{
	const char *dot = strchr(series, '.');
	char part[32];

	*kind = PART_NODE;
	if (!dot)
		return NULL;
	snprintf(part, sizeof(part), "%.*s", (int)(dot - series), series);
	*kind = part_kind_of(part) >= 0 ? part_kind_of(part) : PART_NODE;
	return dot + 1;
}

static void take_series(struct source *s, const char *series, json_t *v)
{
	int kind;
	const char *name = split_series(series, &kind);
	json_t *mean = json_array_get(v, 1), *most = json_array_get(v, 2);
	size_t n = name ? strlen(name) : 0;

	if (n && !strcmp(name, "power_w") && json_is_number(mean)) {
		s->watts = (isnan(s->watts) ? 0 : s->watts) + json_number_value(mean);
		s->parts[kind]++;
	}
	if (kind != PART_GPU || strncmp(name, "temp", 4) != 0 || strcmp(name + n - 2, "_c") != 0 ||
	    !json_is_number(most))
		return;
	if (isnan(s->celsius) || json_number_value(most) > s->celsius) {
		s->celsius = json_number_value(most);
		snprintf(s->hottest, sizeof(s->hottest), "%.*s", (int)(name - series) - 1, series);
	}
}

/* One line; 0 when it is of an older window, and all before it too. */
static int take_line(struct source *s, const char *line, size_t n, double *newest, json_t *seen)
{
	struct error err;
	struct event ev;
	const char *series;
	json_t *v;
	int is_new = 1;

	if (event_parse(line, n, &ev, &err) < 0)
		return 1;
	if (ev.kind == EV_TELE) {
		double t = event_number(&ev, "t");

		*newest = *newest > 0 ? *newest : t;
		is_new = t > *newest - 1.5 * event_number(&ev, "w") || t == *newest;
		if (is_new)
			json_object_foreach(json_object_get(ev.json, "v"), series, v)
			{
				if (json_object_get(seen, series))
					continue;
				json_object_set_new(seen, series, json_true());
				take_series(s, series, v);
			}
	}
	event_release(&ev);
	return is_new;
}

/* Whole lines from the last one on backwards. */
static void take_tail(struct source *s, const char *data, size_t n)
{
	const char *end = memrchr(data, '\n', n), *before;
	json_t *seen = json_object();
	double newest = 0;

	for (int more = 1; more && end && end > data; end = before) {
		before = memrchr(data, '\n', (size_t)(end - data));
		/* The first line of what was read may be the rest of one; its checksum tells. */
		more = take_line(s, before ? before + 1 : data,
				 (size_t)(end - (before ? before + 1 : data)), &newest, seen);
	}
	json_decref(seen);
}

static void read_tail(struct source *s, const char *path, long long size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data;
	ssize_t n;

	memset(s->parts, 0, sizeof(s->parts));
	s->watts = s->celsius = NAN;
	*s->hottest = '\0';
	if (fd < 0)
		return;
	data = xcalloc(1, TAIL);
	n = pread(fd, data, TAIL, size > TAIL ? (off_t)(size - TAIL) : 0);
	if (n > 0)
		take_tail(s, data, (size_t)n);
	free(data);
	close(fd);
}

static void look_at(struct telemetry *t, int node)
{
	struct source *s = &t->sources[node];
	char *path = xasprintf("%s/%s.jsonl", t->folder, t->fleet->nodes[node].name);
	struct stat st;
	double written;

	if (stat(path, &st) == 0) {
		written = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9;
		if (written != s->written || st.st_size != s->size)
			read_tail(s, path, st.st_size);
		s->written = written;
		s->size = st.st_size;
	}
	free(path);
}

static void add_source(const struct telemetry *t, int node, struct watch_power *out)
{
	const struct source *s = &t->sources[node];

	if (!isnan(s->watts)) {
		out->nodes++;
		out->watts += s->watts;
		for (int k = 0; k < PART_KIND_COUNT; k++)
			out->parts[k] += s->parts[k];
	}
	if (!isnan(s->celsius) && (!*out->hottest || s->celsius > out->celsius)) {
		out->celsius = s->celsius;
		snprintf(out->hottest, sizeof(out->hottest), "%s/%s", t->fleet->nodes[node].name,
			 s->hottest);
	}
}

void telemetry_look(struct telemetry *t, double now, double seconds, struct watch_power *out)
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
