/*
 * journal.h - RUN/journal.jsonl, written by one controller and read by everyone.
 *
 * Appending is one write(2) of whole lines; an `end` is synced. After a crash the file ends in at
 * most one torn line, which is cut when the run is resumed and left out when it is only read.
 */
#ifndef ASSAY_JOURNAL_H
#define ASSAY_JOURNAL_H

#include "harness/event.h"

struct journal;

/* A new journal in an existing folder; fails if there is one. */
struct journal *journal_create(const char *run, struct error *err);
/*
 * The journal of a run that goes on: locked against a second controller, its torn tail cut (*cut
 * bytes).
 */
struct journal *journal_open(const char *run, size_t *cut, struct error *err);
void journal_close(struct journal *j);
struct results;
/*
 * Appends an object; eats it. What the written line says, rounded numbers and all, goes into the
 * results (NULL: nowhere), so that a run is judged at its end as any later reader will judge it.
 * -1 when the disk refuses: what was written of the line is cut again.
 */
int journal_append(struct journal *j, json_t *object, int sync, struct results *into,
		   struct error *err);
/* Appends a line that came from an agent, as it is, without its newline. */
int journal_append_line(struct journal *j, const char *line, size_t len, int sync,
			struct error *err);

/* ---- what a journal says ---- */

struct fact {
	int step;
	const char *part, *key, *value, *hole; /* part "" is the node */
};

struct figure {                    /* one sample */
	int step, metric, subject; /* names by results->names */
	double value;
};

struct absent {
	int step, metric, subject, why;
	int is_hole; /* could not be measured; else there is nothing to measure */
};

struct step_result {
	const char *id;
	enum end_word word;
	const char *why;
	double seconds;
	double started, ended; /* by the controller's clock; 0 where not known */
	long lines;            /* data and fact lines of this try */
	int broken;            /* a sample was no number */
};

struct note {
	const char *at, *step, *text;
};

struct mark { /* of telemetry, told by the node's sampler */
	const char *at, *part, *what, *text;
	double t; /* without what the node's clock was ahead */
};

/* What the controller says of a node's telemetry. */
#define WATCH_WORDS(X)                                                                             \
	X(WATCH_TOLD, "told")     /* the node was told to send it */                               \
	X(WATCH_GAP, "gap")       /* nothing came since then */                                    \
	X(WATCH_BACK, "back")     /* it comes again */                                             \
	X(WATCH_FULL, "full")     /* further marks are not in the journal */                       \
	X(WATCH_ENOUGH, "enough") /* nor are further ones that accuse nobody */

#define WATCH_ENUM(id, word) id,
enum watch_word { WATCH_WORDS(WATCH_ENUM) WATCH_WORD_COUNT };
const char *watch_word_name(enum watch_word w);

struct watch_line {
	const char *at;
	enum watch_word word;
	double t, since;
};

struct results {
	json_t *head;  /* the head event */
	json_t *index; /* of step ids and names, by text */
	json_t *strings;
	json_t *hellos; /* version and commit of each agent that answered, by node */
	struct step_result *steps;
	int step_count;
	const char **names; /* metrics and subjects */
	int name_count;
	struct figure *figures;
	size_t figure_count;
	struct fact *facts;
	size_t fact_count;
	struct absent *absents;
	size_t absent_count;
	struct note *notes;
	size_t note_count;
	struct mark *marks;
	size_t mark_count;
	struct watch_line *watches;
	size_t watch_count;
	json_t *boots;         /* the last boot id that each node told */
	json_t *clocks;        /* seconds that each node's clock was ahead, as last measured */
	int doubles;           /* a step says that a library it worked on is a double */
	double started, ended; /* wall clock of the first and last event */
	size_t torn;           /* bytes of a torn last line */
	long lines;            /* that were read */
	int damaged;           /* lines that could not be read */
	struct text damage;    /* one sentence a line, for people */
};

/* NULL with err when there is no journal, or nothing in it that starts a run. */
struct results *journal_load(const char *run, struct error *err);
void results_free(struct results *r);
/* Replays one event into the results; for the controller, which sees them as they come. */
struct results *results_new(void);
void results_add(struct results *r, const struct event *ev);
/* Whether any of it comes from something else than the hardware: said by the head or by a step. */
int results_simulated(const struct results *r);
/* The boot id that a node told last, "" if it told none. */
const char *results_boot(const struct results *r, const char *node);
/* Seconds that a node's clock is ahead of the controller's; 0 if it was never measured. */
double results_ahead(const struct results *r, const char *node);
/* Version and commit that the agent of this node said last, or NULL: none ever answered. */
const char *results_hello(const struct results *r, const char *node);
int results_step(const struct results *r, const char *id); /* index, or -1 */
/* Whether a step has an end that stands: a lost result is measured again when a run is resumed. */
int results_ended(const struct results *r, const char *id);

/* Feeds text of a journal; of a last line without an end only r->torn tells. */
void results_feed(struct results *r, const char *data, size_t len);

#endif
