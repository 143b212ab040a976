/*
 * judge_watch.h - what the two files that judge telemetry share. Private to them.
 */
#ifndef ASSAY_JUDGE_WATCH_H
#define ASSAY_JUDGE_WATCH_H

#include "harness/judge.h"
#include "harness/marks.h"

enum { WATCH_TEXT_SHOWN = 160 };   /* bytes of a mark's text in a finding */
enum { FAULTS, WATCH, CORRECTED }; /* in watch_metrics */

struct seen {
	const struct mark *mark;
	const struct mark_meaning *is;
	enum mark_class class; /* as other marks decide */
	int done;
};

struct told { /* a finding of a step that tells of what a mark may tell as well */
	int node, finding;
};

struct watching {
	struct judging *x;
	struct rows steps, marks, watches, told;
	struct told *told_rows;
	int node;          /* the one that is looked at */
	struct seen *seen; /* its marks */
	int count;
};

/* The end of a step as far as it is known, or NULL. */
const struct step_result *watch_result(const struct judging *x, int step);
/* A finding of this metric on the step that ran at that time. */
struct finding *watch_add(struct watching *w, int metric, const char *part, double t);
/* Eats the sentence. */
void watch_say(struct finding *f, char *why);
/* "12:03:04 UTC" */
void watch_add_time(struct text *out, double t);

/* Of the node that is looked at; judge_watch_holes.c. */
int watch_is_lost(const struct watching *w);
/* When it was first told to send telemetry; 0: never. */
double watch_told_at(const struct watching *w);
int watch_never_came(const struct watching *w);
/* How many holes there are, each as a finding. */
int watch_judge_holes(struct watching *w);

#endif
