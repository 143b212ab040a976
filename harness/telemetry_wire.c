/*
 * telemetry_wire.c - what of a node's telemetry goes to the controller while the run goes on.
 *
 * Both kinds of lines are bounded, whatever the node does: a window has a few tele lines, in which
 * the series come first that were told longest ago, and marks are dealt out by a budget that fills
 * slowly. What found no place is counted and the count is told, so that nothing looks quiet that
 * was not.
 */
#include "harness/telemetry.h"

#include "harness/checks/gpu_watch.h"
#include "harness/marks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENTRIES_MOST =
		700, /* bytes of one line's series; the rest is for e, at, t, w, left, n, c */
	TEXT_MOST = 300,
	KIND_MARKS = 40, /* of one kind in KIND_SECONDS: a storm of one must not hide others */
	KIND_SECONDS = 60,
	KINDS_MOST = 200,
	GROWTH_QUIET = 60, /* a counter that goes on growing is told again after so long */
	STATE_QUIET = 10,
	NAMES_SHOWN = 160,
	/* Of the budget: what a healthy node does may not use up the room for trouble. */
	TROUBLE_MARKS = TELEMETRY_MARKS / 2,
};

/* A level must also move by this share of itself to count as moved. */
static const double share_moved = 0.02;
/* What never holds a clock down, or is no trouble of the GPU. */
static const unsigned long long calm_bits =
	GPU_IDLE | GPU_APPLICATION_CLOCKS | GPU_SYNC_BOOST | GPU_DISPLAY_CLOCKS;

struct numbers {
	double least, mean, most;
};

struct watched {
	/* this window */
	struct numbers now;
	double sum;
	int count;
	/* the one before, for rates and changes */
	double last, last_t;
	int has_last, is_away;
	/* marks */
	double told_value, quiet_until, seen_at[64]; /* seen_at: when a bit was last set */
	unsigned long long told_bits;
	int changes;
	/* on the wire */
	struct numbers told;
	int has_told;
	long told_window;
};

struct kind { /* of marks, by their word */
	char what[SERIES_NAME_ROOM];
	double since;
	int count, left_out, grave; /* grave: of those left out, marks of trouble */
};

struct wire {
	wire_fn *send;
	void *arg;
	struct sample_series *series;
	struct watched *items;
	int count;
	double window_from;
	long window;
	int seconds; /* that were read in this window */
	struct kind kinds[KINDS_MOST];
	int kind_count, budget, left_out, grave;
};

const char *series_name(const char *part, const char *name, char out[128])
{
	snprintf(out, 128, "%.70s.%.50s", *part ? part : "node", name);
	return out;
}

/* ---- marks --------------------------------------------------------------------------------- */

static void send_mark(struct wire *w, double t, const char *part, const char *what,
		      const char *text)
{
	json_t *event = event_new(EV_MARK);

	json_object_set_new(event, "t", json_real(t));
	json_object_set_new(event, "part", event_string(part, SERIES_PART_ROOM));
	json_object_set_new(event, "what", event_string(what, SERIES_NAME_ROOM));
	json_object_set_new(event, "text", event_string(text, TEXT_MOST));
	w->send(w->arg, event);
}

/* NULL when there are too many of them; then only the budget of all holds. */
static struct kind *kind_of(struct wire *w, const char *what)
{
	struct kind *k = NULL;

	for (int i = 0; i < w->kind_count && !k; i++)
		if (!strcmp(w->kinds[i].what, what))
			k = &w->kinds[i];
	if (!k && w->kind_count < KINDS_MOST) {
		k = &w->kinds[w->kind_count++];
		*k = (struct kind){ .since = -1e9 };
		snprintf(k->what, sizeof(k->what), "%s", what);
	}
	return k;
}

/* Says how many were left out, once there is room for it; at the end in any case. */
static void tell_left_out(struct wire *w, double t, int is_end)
{
	static const char none[] = ", none of them trouble"; /* marks.c reads it */
	char text[120];

	for (int i = 0; i < w->kind_count; i++) {
		struct kind *k = &w->kinds[i];

		if (!k->left_out || (!is_end && (t - k->since < KIND_SECONDS || !w->budget)))
			continue;
		snprintf(text, sizeof(text), "%d marks of this kind were left out before%s",
			 k->left_out, k->grave ? "" : none);
		w->budget -= w->budget > 0;
		k->left_out = k->grave = 0;
		send_mark(w, t, "", k->what, text);
	}
	if (!w->left_out || (!is_end && !w->budget))
		return;
	snprintf(text, sizeof(text), "%d marks were left out before%s", w->left_out,
		 w->grave ? "" : none);
	w->budget -= w->budget > 0;
	w->left_out = w->grave = 0;
	send_mark(w, t, "", "marks", text);
}

void wire_mark(struct wire *w, double t, const char *part, const char *what, const char *text)
{
	struct kind *k = kind_of(w, what);
	int calm = mark_is_calm(what, text);

	if (k && t - k->since >= KIND_SECONDS && !k->left_out) {
		k->since = t;
		k->count = 0;
	}
	if (k && k->count++ >= KIND_MARKS) {
		k->left_out++;
		k->grave += !calm;
	} else if (w->budget <= (calm ? TROUBLE_MARKS : 0)) {
		w->left_out++;
		w->grave += !calm;
	} else {
		w->budget--;
		send_mark(w, t, part, what, text);
	}
}

static void mark_series(struct wire *w, double t, int i, const char *text)
{
	const struct sample_series *s = &w->series[i];
	char whole[TEXT_MOST];

	snprintf(whole, sizeof(whole), "%s %.160s%s%s%s", s->name, text, *s->about ? " (" : "",
		 s->about, *s->about ? ")" : "");
	wire_mark(w, t, s->part, s->name, whole);
}

/* A number that changed: at once, and again when it had time to change more. */
static void mark_change(struct wire *w, double t, int i, double value)
{
	struct watched *x = &w->items[i];
	int is_counter = w->series[i].kind == SERIES_ERRORS;
	char text[120];
	int used;

	if (!x->has_last) {
		x->told_value = value;
		return;
	}
	x->changes += value != x->last;
	if (!x->changes || t < x->quiet_until)
		return;
	used = snprintf(text, sizeof(text), "%.12g to %.12g", x->told_value, value);
	if (is_counter && value < x->told_value)
		snprintf(text + used, sizeof(text) - (size_t)used, ", it was reset");
	else if (!is_counter && x->changes > 1)
		snprintf(text + used, sizeof(text) - (size_t)used, " in %d changes", x->changes);
	x->told_value = value;
	x->changes = 0;
	x->quiet_until = t + (is_counter ? GROWTH_QUIET : STATE_QUIET);
	mark_series(w, t, i, text);
}

static void bits_text(const struct sample_series *s, unsigned long long bits, char *out,
		      size_t room)
{
	if (!strcmp(s->name, "throttle"))
		gpu_throttle_text(bits, out, room);
	else
		snprintf(out, room, "%llx", bits);
}

/* A bit that comes is told at once, one that went when it has stayed away for a while. */
static void mark_bits(struct wire *w, double t, int i, double value)
{
	struct watched *x = &w->items[i];
	const struct sample_series *s = &w->series[i];
	unsigned long long bits = value > 0 && value < 1.8e19 ? (unsigned long long)value : 0;
	unsigned long long held = 0, come, gone;
	char text[200], words[150];

	if (!strcmp(s->name, "throttle"))
		bits &= ~calm_bits;
	for (int b = 0; b < 64; b++) {
		if (bits >> b & 1)
			x->seen_at[b] = t;
		if (x->seen_at[b] && t - x->seen_at[b] < STATE_QUIET)
			held |= 1ULL << b;
	}
	come = held & ~x->told_bits;
	gone = x->told_bits & ~held;
	x->told_bits = held;
	if (come) {
		bits_text(s, come, words, sizeof(words));
		snprintf(text, sizeof(text), "set: %s", words);
		mark_series(w, t, i, text);
	}
	if (gone) {
		bits_text(s, gone, words, sizeof(words));
		snprintf(text, sizeof(text), "no more for %d s: %s", STATE_QUIET, words);
		mark_series(w, t, i, text);
	}
}

/* Whether it went away, or came back, with this reading. */
static int turns(const struct wire *w, const struct sampling *now, int i, int going)
{
	const struct watched *x = &w->items[i];

	return going ? isinf(now->values[i]) && x->has_last && !x->is_away
		     : isfinite(now->values[i]) && x->is_away;
}

/* All series of one part that did so in the same second are one mark. */
static void mark_part(struct wire *w, double t, const struct sampling *now, int first, int going)
{
	const char *part = w->series[first].part;
	char names[TEXT_MOST];
	size_t used = 0;
	int count = 0;

	for (int i = first; i < now->count; i++) {
		if (!turns(w, now, i, going) || strcmp(w->series[i].part, part) != 0)
			continue;
		w->items[i].is_away = going;
		count++;
		if (used + SERIES_NAME_ROOM < NAMES_SHOWN)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
						 used ? ", " : "", w->series[i].name);
	}
	snprintf(names + used, sizeof(names) - used, " (%d series)", count);
	wire_mark(w, t, part, going ? "away" : "back", names);
}

static void mark_away(struct wire *w, double t, const struct sampling *now)
{
	for (int going = 0; going < 2; going++)
		for (int i = 0; i < now->count; i++)
			if (turns(w, now, i, going))
				mark_part(w, t, now, i, going);
}

/* ---- windows ------------------------------------------------------------------------------- */

static void window_add(struct watched *x, double value, int is_bits)
{
	if (!x->count) {
		x->now = (struct numbers){ value, value, value };
	} else if (is_bits) {
		x->now.least =
			(double)((unsigned long long)x->now.least & (unsigned long long)value);
		x->now.most = (double)((unsigned long long)x->now.most | (unsigned long long)value);
		x->now.mean = value;
	} else {
		x->now.least = fmin(x->now.least, value);
		x->now.most = fmax(x->now.most, value);
	}
	x->sum = x->count ? x->sum + value : value;
	x->count++;
	if (!is_bits)
		x->now.mean = x->sum / x->count;
}

static void take_value(struct wire *w, double t, int i, double value)
{
	struct watched *x = &w->items[i];

	switch (w->series[i].kind) {
	case SERIES_FLOW:
		/* A counter that went back tells nothing about this second. */
		if (x->has_last && value >= x->last && t > x->last_t)
			window_add(x, (value - x->last) / (t - x->last_t), 0);
		break;
	case SERIES_BITS:
		mark_bits(w, t, i, value);
		window_add(x, value, 1);
		break;
	case SERIES_ERRORS:
	case SERIES_STATE:
		mark_change(w, t, i, value);
		window_add(x, value, 0);
		break;
	default:
		window_add(x, value, 0);
	}
	x->last = value;
	x->last_t = t;
	x->has_last = 1;
}

static double change_of(const struct numbers *a, const struct numbers *b)
{
	return fmax(fabs(a->mean - b->mean),
		    fmax(fabs(a->least - b->least), fabs(a->most - b->most)));
}

static int is_moved(const struct wire *w, int i)
{
	const struct watched *x = &w->items[i];
	const struct sample_series *s = &w->series[i];
	int is_measured = s->kind == SERIES_LEVEL || s->kind == SERIES_FLOW;
	double change;

	if (!x->count)
		return 0;
	if (!x->has_told) /* of counters and states the first value is no news */
		return is_measured;
	change = change_of(&x->now, &x->told);
	if (is_measured)
		return change > 0 && change >= s->moved &&
		       change >= share_moved * fabs(x->told.mean);
	return change > 0;
}

static json_t *number_json(double value, int is_exact)
{
	char text[40];

	snprintf(text, sizeof(text), is_exact ? "%.15g" : "%.4g", value);
	value = strtod(text, NULL);
	if (value == floor(value) && fabs(value) < 1e15)
		return json_integer((json_int_t)value);
	return json_real(value);
}

/* [least, mean, most], or [value] where all three are the same. */
static json_t *entry_json(const struct wire *w, int i)
{
	const struct numbers *n = &w->items[i].now;
	int is_exact = w->series[i].kind != SERIES_LEVEL && w->series[i].kind != SERIES_FLOW;
	json_t *list = json_array();

	if (n->least != n->most)
		json_array_append_new(list, number_json(n->least, is_exact));
	json_array_append_new(list, number_json(n->mean, is_exact));
	if (n->least != n->most)
		json_array_append_new(list, number_json(n->most, is_exact));
	return list;
}

static int older_first(const void *a, const void *b, void *arg)
{
	const struct watched *items = arg;
	int x = *(const int *)a, y = *(const int *)b;

	if (items[x].told_window != items[y].told_window)
		return items[x].told_window < items[y].told_window ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void send_line(struct wire *w, double t, json_t *values, int left)
{
	json_t *event = event_new(EV_TELE);

	json_object_set_new(event, "t", json_real(t));
	json_object_set_new(event, "w", json_integer(w->seconds));
	json_object_set_new(event, "v", values);
	if (left)
		json_object_set_new(event, "left", json_integer(left));
	w->send(w->arg, event);
}

static size_t entry_size(const char *name, const json_t *entry)
{
	char *text = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(12));
	size_t size = strlen(name) * 2 + strlen(text) + 4; /* a name may hold quotes */

	free(text);
	return size;
}

/* The lines of a window, filled one after the other. */
struct packer {
	struct wire *w;
	double t;
	json_t *values;
	size_t used;
	int lines;
};

/* Puts series of the list into at most so many lines. How many found a place. */
static int pack(struct packer *p, const int *list, int count, int lines)
{
	for (int k = 0; k < count; k++) {
		const struct sample_series *s = &p->w->series[list[k]];
		struct watched *x = &p->w->items[list[k]];
		json_t *entry = entry_json(p->w, list[k]);
		char name[128];
		size_t size = entry_size(series_name(s->part, s->name, name), entry);

		if (p->used + size > ENTRIES_MOST && p->lines >= lines) {
			json_decref(entry);
			return k;
		}
		if (p->used + size > ENTRIES_MOST) {
			send_line(p->w, p->t, p->values, 0);
			p->values = json_object();
			p->used = 0;
			p->lines++;
		}
		p->used += size;
		json_object_set_new(p->values, name, entry);
		x->told = x->now;
		x->has_told = 1;
		x->told_window = p->w->window;
	}
	return count;
}

/* News first; but one line is left for what must be told again, or a busy node never told it. */
static void send_series(struct wire *w, double t, const int *news, int news_count, const int *old,
			int old_count)
{
	struct packer p = { .w = w, .t = t, .values = json_object(), .lines = 1 };
	int told = pack(&p, news, news_count, TELEMETRY_LINES - (old_count > 0));

	pack(&p, old, old_count, TELEMETRY_LINES);
	told += pack(&p, news + told, news_count - told, TELEMETRY_LINES);
	send_line(w, t, p.values, news_count - told);
}

/* An empty line is sent, too: it says that the sampler lives and nothing moved. */
static void window_close(struct wire *w, double t, int is_end)
{
	const long again = TELEMETRY_AGAIN / TELEMETRY_WINDOW;
	int *news = xcalloc((size_t)w->count + 1, sizeof(*news)), news_count = 0;
	int *old = xcalloc((size_t)w->count + 1, sizeof(*old)), old_count = 0;

	w->window++;
	for (int i = 0; i < w->count; i++) {
		const struct watched *x = &w->items[i];

		if (is_moved(w, i))
			news[news_count++] = i;
		else if (x->count && (!x->has_told || w->window - x->told_window >= again))
			old[old_count++] = i;
	}
	qsort_r(news, (size_t)news_count, sizeof(*news), older_first, w->items);
	qsort_r(old, (size_t)old_count, sizeof(*old), older_first, w->items);
	send_series(w, t, news, news_count, old, old_count);
	free(news);
	free(old);
	for (int i = 0; i < w->count; i++)
		w->items[i].count = 0;
	w->seconds = 0;
	w->budget += w->budget < TELEMETRY_MARKS;
	tell_left_out(w, t, is_end);
}

void wire_take(struct wire *w, double t, const struct sampling *now)
{
	for (; w->count < now->count; w->count++) {
		w->series = grow(w->series, (size_t)w->count, sizeof(*w->series));
		w->items = grow(w->items, (size_t)w->count, sizeof(*w->items));
		w->series[w->count] = now->series[w->count];
		memset(&w->items[w->count], 0, sizeof(*w->items));
	}
	if (!w->seconds++)
		w->window_from = t;
	mark_away(w, t, now);
	for (int i = 0; i < now->count; i++)
		if (isfinite(now->values[i]))
			take_value(w, t, i, now->values[i]);
	/* Seconds that were missed, or a clock that was set, must not stretch a window. */
	if (w->seconds >= TELEMETRY_WINDOW || t - w->window_from > TELEMETRY_WINDOW ||
	    t < w->window_from)
		window_close(w, t, 0);
}

void wire_end(struct wire *w, double t)
{
	for (int i = 0; i < w->count; i++) {
		struct watched *x = &w->items[i];

		x->quiet_until = 0;
		if (x->changes) /* a change that waited for more of its kind */
			mark_change(w, t, i, x->last);
	}
	window_close(w, t, 1);
}

struct wire *wire_new(wire_fn *send, void *arg)
{
	struct wire *w = xcalloc(1, sizeof(*w));

	w->send = send;
	w->arg = arg;
	w->budget = TELEMETRY_MARKS;
	return w;
}

void wire_free(struct wire *w)
{
	if (!w)
		return;
	free(w->series);
	free(w->items);
	free(w);
}
