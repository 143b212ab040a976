/*
 * watch_text.c - the screen, the line and the JSON object of `assay watch`.
 *
 * Every line has a rank. Where the terminal is too low, the lines of the highest rank go first, so
 * that what must be seen stays: what state the run is in, and which nodes are bad.
 */
#include "harness/watch.h"

#include "reports/report.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct line {
	char *text;
	int rank; /* 0 stays longest */
};

struct screen {
	struct line *lines;
	int count, columns;
	locale_t locale; /* that knows how wide characters are; 0: none here */
};

/* Columns of the character at s and its bytes; 0 columns for what a terminal would not just show.
 */
static int char_width(const struct screen *s, const char *at, size_t *len)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	int width;

	*len = 1;
	if ((unsigned char)*at < 0x80)
		return 1;
	while (((unsigned char)at[*len] & 0xc0) == 0x80)
		++*len;
	if (!s->locale || mbrtowc(&wide, at, *len, &state) != *len)
		return 0;
	width = wcwidth(wide);
	return width > 0 ? width : 0;
}

/* Bytes of the printable text that fit into `room` columns; *used says how many they take. */
static size_t fit(const struct screen *s, const char *text, int room, int *used)
{
	size_t at = 0, len;

	for (*used = 0; text[at]; at += len) {
		int width = char_width(s, text + at, &len);

		if (*used + width > room)
			break;
		*used += width;
	}
	return at;
}

/* Printable, and nothing in it that takes no column: marks that turn the text around, for one. */
static char *clean(const struct screen *s, const char *text)
{
	struct text a, b;
	size_t len;

	text_init(&a);
	text_init(&b);
	text_add_printable(&a, text);
	for (const char *at = a.data; *at; at += len) {
		int width = char_width(s, at, &len);

		text_put(&b, width ? at : "?", width ? len : 1);
	}
	text_release(&a);
	return text_detach(&b);
}

/* Eats the text, which is clean and fits. */
static void add_line(struct screen *s, int rank, char *text)
{
	s->lines = grow(s->lines, (size_t)s->count, sizeof(*s->lines));
	s->lines[s->count++] = (struct line){ text, rank };
}

/* `text` in at most `most` lines, the further ones indented; what is too long ends in "...". */
static void add_wrapped(struct screen *s, int rank, int most, int indent, const char *text)
{
	char *whole = clean(s, text), *at = whole;

	for (int i = 0;; i++) {
		int in = i && indent < s->columns ? indent : 0, used;
		size_t n = fit(s, at, s->columns - in, &used), cut;

		if (at[n] && i == most - 1) { /* the rest is left out */
			n = fit(s, at, s->columns - in > 3 ? s->columns - in - 3 : 0, &used);
			add_line(s, rank,
				 xasprintf("%*s%.*s%.*s", in, "", (int)n, at,
					   s->columns - in < 3 ? s->columns - in : 3, "..."));
			break;
		}
		/* Names of nodes may be parted behind a comma. */
		for (cut = n; at[n] && cut > 0 && !strchr(" ,", at[cut - 1]);)
			cut--;
		n = at[n] && cut ? cut : n;
		add_line(s, rank, xasprintf("%*s%.*s", in, "", (int)n, at));
		at += n;
		if (!*at || !n)
			break;
	}
	free(whole);
}

static void addf(struct screen *s, int rank, const char *fmt, ...) PRINTF(3, 4);
static void addf(struct screen *s, int rank, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	add_wrapped(s, rank, 1, 0, text);
	free(text);
}

/* ---- the parts of the screen ---- */

enum { RANK_STATE, RANK_HEAD, RANK_BAD, RANK_COUNTS, RANK_LESS, RANK_FINDING, RANK_BLANK = 99 };

enum { LABEL = 10 }; /* columns of "findings  " */

/* That it is simulated is said whatever the width. */
static void add_head(struct screen *s, const struct watch *w)
{
	static const char word[] = "SIMULATED: ";

	addf(s, RANK_HEAD, "%s%s: %s, profile %s, %d node%s",
	     results_simulated(w->results) ? word : "", w->run, w->spec->name, w->profile->name,
	     w->fleet->count, w->fleet->count == 1 ? "" : "s");
}

static const char *phase_name(const struct watch *w)
{
	int phase = w->remaining.phase;

	return phase < w->profile->phase_count ? w->profile->phases[phase].name : "all phases";
}

static void add_bar(struct screen *s, const struct watch *w)
{
	char *left, *bar, *phase;
	int used, room, full, percent = watch_percent(w);

	if (w->remaining.phase < w->profile->phase_count)
		left = xasprintf("%s, phase %d of %d", phase_name(w), w->remaining.phase + 1,
				 w->profile->phase_count);
	else
		left = xstrdup("all steps have ended");
	phase = clean(s, left);
	fit(s, phase, s->columns, &used);
	room = s->columns - used - (int)strlen("  []  100%");
	room = room > 50 ? 50 : room;
	full = room * percent / 100;
	if (room < 5) {
		addf(s, RANK_STATE, "%3d%%  %s", percent, phase);
	} else {
		bar = xcalloc((size_t)room + 1, 1);
		memset(bar, '-', (size_t)room);
		memset(bar, '#', (size_t)full);
		addf(s, RANK_STATE, "%s  [%s]  %3d%%", phase, bar, percent);
		free(bar);
	}
	free(phase);
	free(left);
}

static void add_steps(struct screen *s, const struct watch *w)
{
	const struct remaining *r = &w->remaining;
	struct text t;

	text_init(&t);
	text_addf(&t, "%d of %d steps", r->done, r->total);
	if (r->failed)
		text_addf(&t, ", %d of them without result", r->failed);
	if (r->running)
		text_addf(&t, ", %d %s: %s%s", r->running,
			  w->state == RUN_RUNNING ? "running" : "cut off",
			  w->plan->steps[r->step].id, r->running > 1 ? ", ..." : "");
	add_wrapped(s, RANK_COUNTS, 1, 0, t.data);
	text_release(&t);
}

static int stopped_by_user(const struct watch *w)
{
	const struct results *r = w->results;
	const struct note *last = r->note_count ? &r->notes[r->note_count - 1] : NULL;

	return last && !*last->at && !strcmp(last->text, "stopped by the user");
}

static void add_stopped(struct screen *s, const struct watch *w, const char *left)
{
	addf(s, RANK_STATE, "%s: no controller runs; `assay resume %s` goes on",
	     stopped_by_user(w) ? "STOPPED BY THE USER" : "STOPPED", w->run);
	addf(s, RANK_LESS, "about %s left when it goes on", left);
}

static void add_running(struct screen *s, const struct watch *w, const char *left)
{
	char took[40], silent[40];

	seconds_text(watch_elapsed(w), took, sizeof(took));
	seconds_text(w->now - w->last_event, silent, sizeof(silent));
	if (w->remaining.done == w->remaining.total)
		addf(s, RANK_STATE, "%s so far; the controller is about to leave", took);
	else
		addf(s, RANK_STATE, "%s so far, about %s left; newest event %s old", took, left,
		     silent);
	if (watch_silence(w) > 0 && w->lock == LOCK_HELD)
		addf(s, RANK_STATE, "NO EVENT for %s: its controller hangs, or its machine is gone",
		     silent);
	else if (watch_silence(w) > 0)
		addf(s, RANK_STATE,
		     "NO EVENT for %s: the controller may be gone; `assay resume %s`", silent,
		     w->run);
}

static struct report_input report_input(const struct watch *w)
{
	return (struct report_input){
		.spec = w->spec,
		.profile = w->profile,
		.fleet = w->fleet,
		.plan = w->plan,
		.results = w->results,
		.judgement = w->judgement,
		.run = w->run,
	};
}

static const char *verdict_word(const struct judgement *j)
{
	return !strcmp(j->verdict, "accepted")   ? "ACCEPTED"
	       : !strcmp(j->verdict, "rejected") ? "REJECTED"
						 : "INCOMPLETE";
}

static void add_verdict(struct screen *s, const struct watch *w)
{
	const struct report_input in = report_input(w);
	char *text = xasprintf("%s: %s", verdict_word(w->judgement), report_meaning(&in));

	add_wrapped(s, RANK_STATE, 3, 0, text);
	free(text);
}

static void add_finished(struct screen *s, const struct watch *w)
{
	char took[40];

	seconds_text(watch_elapsed(w), took, sizeof(took));
	addf(s, RANK_LESS, "took %s; the whole report: `assay report %s`", took, w->run);
}

static void add_state(struct screen *s, const struct watch *w)
{
	char left[40];

	seconds_text(w->remaining.left, left, sizeof(left));
	if (w->state == RUN_FINISHED)
		add_verdict(s, w);
	else
		add_bar(s, w);
	add_steps(s, w);
	if (w->state == RUN_FINISHED)
		add_finished(s, w);
	if (w->state == RUN_STOPPED)
		add_stopped(s, w, left);
	if (w->state == RUN_RUNNING)
		add_running(s, w, left);
	if (w->results->damaged)
		addf(s, RANK_BAD, "%d damaged line%s of the journal left out", w->results->damaged,
		     w->results->damaged == 1 ? "" : "s");
}

/* The reason, where all nodes of that state have the same one. */
static const char *common_reason(const struct watch *w, enum watch_node_state state)
{
	const char *why = NULL;

	for (int i = 0; i < w->fleet->count; i++) {
		const struct watch_node *n = &w->nodes[i];

		if (n->state != state)
			continue;
		if (!n->why || !*n->why || (why && strcmp(why, n->why) != 0))
			return NULL;
		why = n->why;
	}
	return why;
}

static void add_names(struct screen *s, const struct watch *w, enum watch_node_state state,
		      const char *label)
{
	int count;
	char *names = watch_names(w, state, &count), *text;
	const char *why = state == WATCH_NODE_STATES ? NULL : common_reason(w, state);

	text = xasprintf("%-*s%d: %s%s%s", LABEL, label, count, names, why ? ": " : "",
			 why ? why : "");
	if (count)
		add_wrapped(s, RANK_BAD, 2, LABEL, text);
	free(text);
	free(names);
}

static void add_nodes(struct screen *s, const struct watch *w)
{
	struct text t;
	const char *comma = ": ";

	text_init(&t);
	text_addf(&t, "%-*s%d", LABEL, "nodes", w->fleet->count);
	for (int i = 0; i < WATCH_NODE_STATES; i++) {
		int count = watch_count(w, (enum watch_node_state)i);

		if (!count)
			continue;
		text_addf(&t, "%s%d %s", comma, count, watch_node_word((enum watch_node_state)i));
		comma = ", ";
	}
	addf(s, RANK_BLANK, " ");
	add_wrapped(s, RANK_COUNTS, 1, 0, t.data);
	text_release(&t);
	add_names(s, w, WATCH_NODE_STATES, "failing");
	add_names(s, w, WATCH_LOST, "lost");
	add_names(s, w, WATCH_LEFT_OUT, "left out");
}

static void add_findings(struct screen *s, const struct watch *w)
{
	const struct judgement *j = w->judgement;
	struct text t;

	addf(s, RANK_BLANK, " ");
	if (!j) {
		addf(s, RANK_LESS, "%-*snone yet", LABEL, "findings");
		return;
	}
	text_init(&t);
	text_addf(&t, "%-*s%d pass, %d fail, %d inconclusive, %d not measured", LABEL, "findings",
		  j->of[VERDICT_PASS], j->of[VERDICT_FAIL], j->of[VERDICT_INCONCLUSIVE], w->holes);
	if (j->of[VERDICT_WAIVED])
		text_addf(&t, ", %d waived", j->of[VERDICT_WAIVED]);
	add_wrapped(s, RANK_LESS, 1, 0, t.data);
	for (int i = 0; i < w->group_count; i++) {
		text_clear(&t);
		text_add(&t, "  ");
		watch_group_text(&w->groups[i], &t);
		add_wrapped(s, RANK_FINDING + i, 1, 0, t.data);
	}
	text_release(&t);
}

static void add_power(struct screen *s, const struct watch *w)
{
	struct text t;

	text_init(&t);
	watch_power_text(w, &t);
	addf(s, RANK_BLANK, " ");
	addf(s, RANK_LESS, "%-*s%s", LABEL, "power", t.data);
	text_release(&t);
}

/* Takes lines away until the rest fits: of the highest rank the last one first. */
static void drop_lines(struct screen *s, int rows)
{
	while (s->count > rows) {
		int worst = 0;

		for (int i = 0; i < s->count; i++)
			if (s->lines[i].rank >= s->lines[worst].rank)
				worst = i;
		free(s->lines[worst].text);
		s->count--;
		memmove(s->lines + worst, s->lines + worst + 1,
			(size_t)(s->count - worst) * sizeof(*s->lines));
	}
}

static void print_lines(struct screen *s, struct text *out)
{
	for (int i = 0; i < s->count; i++) {
		size_t n = strlen(s->lines[i].text);

		while (n && s->lines[i].text[n - 1] == ' ')
			n--;
		text_put(out, s->lines[i].text, n);
		text_add(out, "\n");
		free(s->lines[i].text);
	}
	free(s->lines);
}

void watch_render(const struct watch *w, int columns, int rows, struct text *out)
{
	struct screen s = { .columns = columns < 1 ? 1 : columns };
	/* Widths of characters are a matter of locales; ours must not depend on the user's. */
	locale_t old = (locale_t)0;

	s.locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (s.locale)
		old = uselocale(s.locale);
	if (!w->plan) {
		addf(&s, RANK_STATE, "%s has not begun yet: its journal has no head", w->run);
	} else {
		add_head(&s, w);
		add_state(&s, w);
		add_nodes(&s, w);
		add_findings(&s, w);
		add_power(&s, w);
	}
	drop_lines(&s, rows < 1 ? 1 : rows);
	print_lines(&s, out);
	if (s.locale) {
		uselocale(old);
		freelocale(s.locale);
	}
}

/* ---- the line ---- */

static void add_trouble(const struct watch *w, struct text *t)
{
	int failing = watch_count(w, WATCH_NODE_STATES), lost = watch_count(w, WATCH_LOST),
	    left_out = watch_count(w, WATCH_LEFT_OUT);

	if (failing)
		text_addf(t, ", %d node%s failing", failing, failing == 1 ? "" : "s");
	if (lost)
		text_addf(t, ", %d lost", lost);
	if (left_out)
		text_addf(t, ", %d left out", left_out);
}

static void line_of(const struct watch *w, struct text *t)
{
	const struct remaining *r = &w->remaining;
	char left[40];

	seconds_text(w->state == RUN_RUNNING && watch_silence(w) > 0 ? watch_silence(w) : r->left,
		     left, sizeof(left));
	if (w->state == RUN_FINISHED) {
		text_addf(t, "%s: %d of %d steps", verdict_word(w->judgement), r->done, r->total);
		add_trouble(w, t);
		text_addf(t, "; the whole report: `assay report %s`", w->run);
		return;
	}
	text_addf(t, "[%3d%%] %s: %d of %d steps", watch_percent(w), phase_name(w), r->done,
		  r->total);
	add_trouble(w, t);
	if (w->state == RUN_STOPPED)
		text_addf(t, ", stopped: no controller runs; `assay resume %s` goes on", w->run);
	else if (watch_silence(w) > 0)
		text_addf(t, ", no event for %s: the controller may be gone", left);
	else
		text_addf(t, ", about %s left", left);
}

void watch_line(const struct watch *w, struct text *out)
{
	struct text t;

	text_init(&t);
	if (w->plan && results_simulated(w->results))
		text_add(&t, "SIMULATED ");
	if (w->plan)
		line_of(w, &t);
	else
		text_addf(&t, "%s has not begun yet: its journal has no head", w->run);
	text_add_printable(out, t.data);
	text_add(out, "\n");
	text_release(&t);
}
