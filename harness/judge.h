/*
 * judge.h - figures against limits. A pure function of spec, fleet, plan and results.
 *
 * Every promised figure and every expected fact becomes one finding, born `not-measured`: a planned
 * step without an `end`, without data, or without a limit stays a hole with a name.
 */
#ifndef ASSAY_JUDGE_H
#define ASSAY_JUDGE_H

#include "harness/journal.h"
#include "harness/plan.h"

/* The findings of what telemetry saw go by the name of a check that nobody can run. */
#define WATCH_CHECK "telemetry"
extern const struct metric watch_metrics[]; /* ends at name == NULL */

#define VERDICTS(X)                                                                                \
	X(VERDICT_NOT_MEASURED, "not-measured")                                                    \
	X(VERDICT_PASS, "pass")                                                                    \
	X(VERDICT_FAIL, "fail")                                                                    \
	X(VERDICT_INCONCLUSIVE, "inconclusive")                                                    \
	X(VERDICT_NOT_APPLICABLE, "not-applicable")                                                \
	X(VERDICT_WAIVED, "waived")

#define VERDICT_ENUM(id, word) id,
enum verdict { VERDICTS(VERDICT_ENUM) VERDICT_COUNT };
const char *verdict_name(enum verdict v);

enum basis { BASIS_NONE, BASIS_FLOOR, BASIS_EXACT };

struct finding {
	enum verdict verdict;
	const char *check, *metric, *unit; /* lent by spec and check tables */
	char *subject;                     /* "n001/disk0" */
	char *found;                       /* a word instead of a number, or NULL */
	double value, low, high;
	int samples;
	int is_interval; /* low and high are a 95 % interval of the median, else the extremes */
	int is_fact;     /* compared with an expectation, not with a limit */
	int recorded;    /* a curve's point: no verdict, no hole */
	enum basis basis;
	enum limit_op op;
	double limit;
	char *limit_text, *source; /* as the spec writes them; NULL without a limit */
	struct place at;           /* of the limit in the spec; line 0 if there is none */
	char *why;                 /* one sentence, or "" */
	char *next;                /* what to do about it: the command that sets a setting; or "" */
	int step;                  /* of the plan */
};

struct judgement {
	struct finding *items;
	int count;
	int of[VERDICT_COUNT];
	const char *verdict; /* "accepted", "rejected", "incomplete" */
};

/* The limit of a figure that holds unless the spec gives another one, or NULL. */
const struct limit *judge_built_in(const char *check, const char *metric);

/* Always succeeds: what cannot be judged is a finding that says so. */
struct judgement *judge(const struct spec *s, const struct fleet *f, const struct plan *p,
			const struct results *r);
void judgement_free(struct judgement *j);

/*
 * Base ids of the steps whose repetition could decide an inconclusive finding; the caller frees the
 * array, not the strings, which are the plan's.
 */
const char **judge_undecided(const struct judgement *j, const struct plan *p, int *count);

/* 0 accepted, 1 rejected, 3 incomplete. */
int judgement_exit(const struct judgement *j);

/* Which rows of the results belong to a step: at[from[step]] up to at[from[step + 1]]. */
struct rows {
	size_t *at, *from;
};

/* judge_facts.c: findings about facts. Private to the judge. */
struct judging {
	const struct spec *spec;
	const struct fleet *fleet;
	const struct plan *plan;
	const struct results *results;
	struct judgement *out;
	struct rows facts, absents;
	int *step_of_plan; /* results' index of a plan step, or -1 */
	int *base_of_plan; /* plan index of the first round of a step */
	int *plan_of_step; /* and back */
};

struct finding *judge_add(struct judging *x, int step, const char *check, const char *metric,
			  const char *unit, const char *local_subject);
/* "why" of a step that gave nothing, as a sentence; the caller frees it. */
char *judge_hole(const struct judging *x, int step);
void judge_inventory(struct judging *x, int step);
void judge_settings(struct judging *x, int step);
/* What the driver reported of GPUs during a step, whether or not the step came to its end. */
void judge_xids(struct judging *x, int step);

/* Judges a count of faults: any but zero fails. */
void judge_zero(struct finding *f, double count);
/* Puts rows that begin with the index of what they belong to (below `of`) in its order. */
struct rows rows_by_owner(const void *rows, size_t count, size_t size, int of);
void rows_release(struct rows *r);

/* judge_watch.c: what telemetry saw. Behind all other findings, some of which tell of the same. */
void judge_watch(struct judging *x);

/* judge_votes.c: results of equal work against each other. Private to the judge. */
struct votes;
struct votes *judge_count_votes(const struct judging *x);
void judge_votes(struct judging *x, const struct votes *v, int step);
void judge_free_votes(struct votes *v);

#endif
