/*
 * results.c - a journal replayed into rows.
 *
 * A `start` begins a new try of its step and drops what an earlier try left; an `end` that counts
 * more lines than arrived turns the step into a lost one. So a figure is only ever there when its
 * whole step is.
 */
#include "harness/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20, DAMAGE_SHOWN = 10 };
/* What a sampler of ours tells is no longer (telemetry_wire.c); a node may send anything. */
enum { MARK_PART_MOST = 64, MARK_WHAT_MOST = 48, MARK_TEXT_MOST = 320 };

#define WORD(id, word) word,
static const char *const watch_words[] = { WATCH_WORDS(WORD) };

const char *watch_word_name(enum watch_word w)
{
	return watch_words[w];
}

struct results *results_new(void)
{
	struct results *r = xcalloc(1, sizeof(*r));

	r->index = json_object();
	r->boots = json_object();
	r->clocks = json_object();
	r->strings = json_array();
	r->hellos = json_object();
	text_init(&r->damage);
	return r;
}

void results_free(struct results *r)
{
	if (!r)
		return;
	json_decref(r->head);
	json_decref(r->index);
	json_decref(r->boots);
	json_decref(r->clocks);
	json_decref(r->strings);
	json_decref(r->hellos);
	text_release(&r->damage);
	free(r->steps);
	free(r->names);
	free(r->figures);
	free(r->facts);
	free(r->absents);
	free(r->notes);
	free(r->marks);
	free(r->watches);
	free(r);
}

/* A copy of the text that lives as long as the results. */
static const char *keep(struct results *r, const char *text)
{
	json_t *s = json_string(text);

	json_array_append_new(r->strings, s);
	return json_string_value(s);
}

/* The index holds a copy of each key, which lives as long: no second one is needed. */
static const char *key_of(const struct results *r, const char *key)
{
	return json_object_iter_key(json_object_iter_at(r->index, key)) + 1;
}

static int name_index(struct results *r, const char *text)
{
	char *key = xasprintf("n%s", text);
	json_t *found = json_object_get(r->index, key);
	int i = r->name_count;

	if (found) {
		i = (int)json_integer_value(found);
	} else {
		json_object_set_new(r->index, key, json_integer(i));
		r->names = grow(r->names, (size_t)r->name_count, sizeof(*r->names));
		r->names[r->name_count++] = key_of(r, key);
	}
	free(key);
	return i;
}

int results_step(const struct results *r, const char *id)
{
	char *key = xasprintf("s%s", id);
	json_t *found = json_object_get(r->index, key);

	free(key);
	return found ? (int)json_integer_value(found) : -1;
}

int results_ended(const struct results *r, const char *id)
{
	int i = results_step(r, id);

	return i >= 0 && r->steps[i].word != END_NONE && r->steps[i].word != END_LOST &&
	       r->steps[i].word != END_LEFT;
}

static int step_index(struct results *r, const char *id)
{
	int i = results_step(r, id);
	char *key;

	if (i >= 0)
		return i;
	key = xasprintf("s%s", id);
	i = r->step_count++;
	json_object_set_new(r->index, key, json_integer(i));
	r->steps = grow(r->steps, (size_t)i, sizeof(*r->steps));
	r->steps[i] = (struct step_result){ .id = key_of(r, key), .why = "" };
	free(key);
	return i;
}

/* Takes the rows of one step out of an array of structs that begin with the step's index. */
static size_t drop_rows(void *rows, size_t count, size_t size, int step)
{
	char *base = rows;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		int of;

		memcpy(&of, base + i * size, sizeof(of));
		if (of == step)
			continue;
		if (kept != i)
			memmove(base + kept * size, base + i * size, size);
		kept++;
	}
	return kept;
}

static void forget(struct results *r, int step)
{
	if (r->steps[step].lines == 0)
		return;
	r->figure_count = drop_rows(r->figures, r->figure_count, sizeof(*r->figures), step);
	r->fact_count = drop_rows(r->facts, r->fact_count, sizeof(*r->facts), step);
	r->absent_count = drop_rows(r->absents, r->absent_count, sizeof(*r->absents), step);
	r->steps[step].lines = 0;
}

static void add_start(struct results *r, const struct event *ev)
{
	int step = step_index(r, ev->step);

	forget(r, step);
	r->steps[step].started = event_number(ev, "t");
	r->steps[step].ended = 0;
	r->steps[step].word = END_NONE;
	r->steps[step].broken = 0;
	r->steps[step].why = "";
}

static void add_sample(struct results *r, int step, int metric, int subject, json_t *v)
{
	/* What is no number fails closed: the whole step counts as lost. */
	if (!json_is_number(v)) {
		r->steps[step].broken = 1;
		return;
	}
	/* Capacities are powers of two, as grow() keeps them even after rows were dropped. */
	r->figures = grow(r->figures, r->figure_count, sizeof(*r->figures));
	r->figures[r->figure_count++] =
		(struct figure){ step, metric, subject, json_number_value(v) };
}

static void add_values(struct results *r, const struct event *ev, int step)
{
	int metric = name_index(r, event_text(ev, "m"));
	const char *subject;
	json_t *samples, *v;
	size_t i;

	json_object_foreach(json_object_get(ev->json, "v"), subject, samples)
	{
		int name = name_index(r, subject);

		if (json_array_size(samples) == 0)
			r->steps[step].broken = 1;

		json_array_foreach(samples, i, v) add_sample(r, step, metric, name, v);
	}
}

static void add_absent(struct results *r, const struct event *ev, int step)
{
	int is_hole = json_object_get(ev->json, "hole") != NULL;
	int metric = name_index(r, event_text(ev, "m")),
	    subject = name_index(r, event_text(ev, "s"));
	int why = name_index(r, event_text(ev, is_hole ? "hole" : "na"));

	r->absents = grow(r->absents, r->absent_count, sizeof(*r->absents));
	r->absents[r->absent_count++] = (struct absent){ step, metric, subject, why, is_hole };
}

static void add_data(struct results *r, const struct event *ev)
{
	int step = step_index(r, ev->step);

	r->steps[step].lines++;
	if (!json_is_object(json_object_get(ev->json, "v")) &&
	    !json_is_string(json_object_get(ev->json, "na")) &&
	    !json_is_string(json_object_get(ev->json, "hole")))
		r->steps[step].broken = 1;
	else if (json_object_get(ev->json, "v"))
		add_values(r, ev, step);
	else
		add_absent(r, ev, step);
}

static void add_fact(struct results *r, const struct event *ev)
{
	int step = step_index(r, ev->step);
	int hole = json_object_get(ev->json, "hole") != NULL;

	r->steps[step].lines++;
	if (!strcmp(event_text(ev, "k"), "simulated"))
		r->doubles = 1;
	r->facts = grow(r->facts, r->fact_count, sizeof(*r->facts));
	r->facts[r->fact_count++] = (struct fact){
		step,
		keep(r, event_text(ev, "part")),
		keep(r, event_text(ev, "k")),
		hole ? NULL : keep(r, event_text(ev, "v")),
		hole ? keep(r, event_text(ev, "hole")) : NULL,
	};
}

static void add_note(struct results *r, const struct event *ev)
{
	r->notes = grow(r->notes, r->note_count, sizeof(*r->notes));
	r->notes[r->note_count++] = (struct note){
		keep(r, ev->at),
		keep(r, ev->step),
		keep(r, event_text(ev, "text")),
	};
}

/* The same, at most so many bytes of it, and printable. */
static const char *keep_short(struct results *r, const char *text, size_t most)
{
	json_t *s = event_string(text, most);

	json_array_append_new(r->strings, s);
	return json_string_value(s);
}

/* The clock of a node was measured before it was told to send; later sittings measure it anew. */
static void add_mark(struct results *r, const struct event *ev)
{
	r->marks = grow(r->marks, r->mark_count, sizeof(*r->marks));
	r->marks[r->mark_count++] = (struct mark){
		.at = keep(r, ev->at),
		.part = keep_short(r, event_text(ev, "part"), MARK_PART_MOST),
		.what = keep_short(r, event_text(ev, "what"), MARK_WHAT_MOST),
		.text = keep_short(r, event_text(ev, "text"), MARK_TEXT_MOST),
		.t = event_number(ev, "t") - results_ahead(r, ev->at),
	};
}

/* A word that is not known counts as a gap: something became of the watching. */
static void add_watch(struct results *r, const struct event *ev)
{
	enum watch_word word = WATCH_GAP;

	for (int i = 0; i < WATCH_WORD_COUNT; i++)
		if (!strcmp(watch_words[i], event_text(ev, "word")))
			word = (enum watch_word)i;
	r->watches = grow(r->watches, r->watch_count, sizeof(*r->watches));
	r->watches[r->watch_count++] = (struct watch_line){
		keep(r, ev->at),
		word,
		event_number(ev, "t"),
		event_number(ev, "since"),
	};
}

static void add_end(struct results *r, const struct event *ev)
{
	int step = step_index(r, ev->step), word = end_word_find(event_text(ev, "word"));
	double said = event_number(ev, "lines");
	long lines = said >= 0 && said < 1e15 ? (long)said : -1;
	struct step_result *s = &r->steps[step];
	char why[120];

	s->word = word > END_NONE ? (enum end_word)word : END_LOST;
	s->seconds = event_number(ev, "seconds");
	/* An agent's end has the time of its node. */
	s->ended = s->seconds > 0 ? s->started + s->seconds : event_number(ev, "t");
	if (s->word == END_DONE && s->broken) {
		s->word = END_LOST;
		s->why = "a figure of it is no number";
		return;
	}
	if (s->word == END_DONE && lines != s->lines) {
		snprintf(why, sizeof(why),
			 "its end counts %ld lines, the journal holds %ld good ones", lines,
			 s->lines);
		s->word = END_LOST;
		s->why = keep(r, why);
		return;
	}
	s->why = keep(r, event_text(ev, "why"));
}

int results_simulated(const struct results *r)
{
	return r->doubles || json_is_true(json_object_get(r->head, "simulated"));
}

static void add_clock(struct results *r, const struct event *ev)
{
	json_object_set_new(r->clocks, ev->at, json_real(event_number(ev, "offset")));
}

double results_ahead(const struct results *r, const char *node)
{
	return json_number_value(json_object_get(r->clocks, node));
}

const char *results_boot(const struct results *r, const char *node)
{
	const char *boot = json_string_value(json_object_get(r->boots, node));

	return boot ? boot : "";
}

static void add_head(struct results *r, const struct event *ev)
{
	if (!r->head)
		r->head = json_incref(ev->json);
}

static void add_hello(struct results *r, const struct event *ev)
{
	char *said = xasprintf("%s (%s)", event_text(ev, "version"), event_text(ev, "commit"));

	json_object_set_new(r->hellos, ev->at, json_string(said));
	json_object_set_new(r->boots, ev->at, json_string(event_text(ev, "boot")));
	free(said);
}

const char *results_hello(const struct results *r, const char *node)
{
	return json_string_value(json_object_get(r->hellos, node));
}

void results_add(struct results *r, const struct event *ev)
{
	static void (*const add[EVENT_KIND_COUNT])(struct results *, const struct event *) = {
		[EV_FACT] = add_fact,   [EV_DATA] = add_data,   [EV_NOTE] = add_note,
		[EV_HELLO] = add_hello, [EV_CLOCK] = add_clock, [EV_END] = add_end,
		[EV_HEAD] = add_head,   [EV_START] = add_start, [EV_MARK] = add_mark,
		[EV_WATCH] = add_watch,
	};
	/* Agents number their lines. Their clocks may be anything, so the controller's counts. */
	double t = json_object_get(ev->json, "n") ? 0 : event_number(ev, "t");

	/* A resumed run that had nothing to do says hello too; that is no time of the run. */
	if (t > 0 && ev->kind != EV_HELLO && ev->kind != EV_NOTE && ev->kind != EV_CLOCK &&
	    ev->kind != EV_WATCH && ev->kind != EV_MARK) {
		r->started = r->started > 0 && r->started < t ? r->started : t;
		r->ended = t > r->ended ? t : r->ended;
	}
	if (add[ev->kind])
		add[ev->kind](r, ev);
}

static void add_damage(struct results *r, long line, const char *why)
{
	if (r->damaged++ < DAMAGE_SHOWN)
		text_addf(&r->damage, "journal.jsonl:%ld: %s\n", line, why);
}

void results_feed(struct results *r, const char *data, size_t len)
{
	const char *end;
	struct error err;
	struct event ev;

	for (r->torn = 0; len; len -= (size_t)(end + 1 - data), data = end + 1) {
		end = memchr(data, '\n', len);
		if (!end) {
			r->torn = len;
			return;
		}
		r->lines++;
		if (event_parse(data, (size_t)(end - data), &ev, &err) < 0) {
			add_damage(r, r->lines, err.text);
		} else {
			results_add(r, &ev);
			event_release(&ev);
		}
	}
}

/* Takes whole lines; returns how many bytes of the last one are kept, at the start of data. */
static size_t feed_piece(struct results *r, char *data, size_t len)
{
	results_feed(r, data, len);
	memmove(data, data + len - r->torn, r->torn);
	if (r->torn < PIECE)
		return r->torn;
	/* No line of ours is so long: what comes behind it, up to its end, is no line either. */
	*data = '?';
	return 1;
}

/* In pieces, for the journal of ten thousand nodes is larger than the memory of a laptop. */
static int feed_file(struct results *r, const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data = xcalloc(1, PIECE);
	size_t held = 0;
	ssize_t n = fd < 0 ? -1 : 1;

	if (fd < 0)
		error_sys(err, "cannot open %s", path);
	while (n > 0) {
		n = read(fd, data + held, PIECE - held);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			error_sys(err, "cannot read %s", path);
		else
			held = feed_piece(r, data, held + (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	free(data);
	return (int)n;
}

struct results *journal_load(const char *run, struct error *err)
{
	char *path = xasprintf("%s/journal.jsonl", run);
	struct results *r = results_new();
	int rc = feed_file(r, path, err);

	free(path);
	if (rc < 0) {
		results_free(r);
		error_prefix(err, "%s is no run folder: ", run);
		return NULL;
	}
	if (r->head)
		return r;
	error_set(err,
		  "%s: its journal has no readable head, so there is nothing to go on with%s%s",
		  run, r->damaged ? ": " : "; remove the folder and run again",
		  r->damaged ? r->damage.data : "");
	err->text[strcspn(err->text, "\n")] = '\0';
	results_free(r);
	return NULL;
}
