/*
 * report.h - a run as text, HTML, JSON, JUnit, CSV and Prometheus. The door of reports/.
 *
 * A report is a pure function of its input: the same journal and spec give the same bytes, whoever
 * asks and whenever. Every string of a node is hostile until escaped for its format.
 */
#ifndef ASSAY_REPORT_H
#define ASSAY_REPORT_H

#include "harness/judge.h"
#include "harness/telemetry.h"

struct report_input {
	const struct spec *spec;
	const struct profile *profile;
	const struct fleet *fleet;
	const struct plan *plan;
	const struct results *results;
	const struct judgement *judgement;
	const char *run;                          /* the folder's name, for "how to" lines */
	const struct report_telemetry *telemetry; /* NULL: there is none */
};

/* What the nodes' telemetry adds to a report; reports/telemetry.c. */
struct report_moment { /* of one subject in one step */
	int step;
	const char *check, *subject; /* lent by the judgement */
	struct moment moment;
};

struct report_chart { /* power, temperatures and clocks of a node's GPUs over the whole run */
	int node;
	struct telemetry *telemetry;
};

enum { REPORT_MOMENTS = 300, REPORT_CHARTS = 16 };

struct report_telemetry {
	struct report_moment *moments;
	int moment_count;
	int *of_finding; /* index of its moment, by finding, or -1 */
	int not_asked;   /* subjects beyond REPORT_MOMENTS */
	struct report_chart charts[REPORT_CHARTS];
	int chart_count;
};

/*
 * Finds the second at which the trouble of each failed or missing finding began, and reads the
 * charts of nodes with failures. `ahead`: seconds that each node's clock is ahead, by node; NULL:
 * none. NULL when the run has no telemetry.
 */
struct report_telemetry *report_telemetry_load(const struct report_input *in, const double *ahead);
void report_telemetry_free(struct report_telemetry *t);
/* The moment of a finding, or NULL. */
const struct moment *report_moment_of(const struct report_input *in, const struct finding *f);

struct report_format {
	const char *name, *suffix, *summary;
	void (*write)(const struct report_input *in, struct text *out);
};

extern const struct report_format report_formats[]; /* ends at name == NULL */
const struct report_format *report_format_find(const char *name);

/* plan.json; the caller frees it */
char *report_plan_json(const struct spec *s, const struct fleet *f, const struct plan *p);

/* ---- shared by the formats; private to reports/ ---- */

void report_text(const struct report_input *in, struct text *out);
void report_json(const struct report_input *in, struct text *out);
void report_junit(const struct report_input *in, struct text *out);
void report_csv(const struct report_input *in, struct text *out);
void report_prometheus(const struct report_input *in, struct text *out);
void report_html(const struct report_input *in, struct text *out);
void report_charts(const struct report_input *in, struct text *out); /* a part of the HTML */

/* "182.4 GB/s", a found word, or "-"; and ">= 180 GB/s" or "" */
void report_value(const struct finding *f, char *out, size_t room);
void report_limit(const struct finding *f, char *out, size_t room);
/* One line that says what the verdict means for the reader. */
const char *report_meaning(const struct report_input *in);
/* How many recorded findings of one metric of one step begin at `first`; 0: that one is judged. */
int report_series(const struct judgement *j, int first);
int report_is_simulated(const struct report_input *in);
/*
 * What products that were all right prove: "no wrong product in 7.9 GPU-hours: fewer than 0.38 an
 * hour". Without errors in T hours the rate is below 3/T with 95 % confidence, for exp(-3) is 5 %.
 * "" when nothing was verified, something was wrong, or not all is known.
 */
void report_bound(const struct report_input *in, char *out, size_t room);
const char *report_head(const struct report_input *in, const char *key);
/* The value of a fact that the inventory step of this node found, or NULL. */
const char *report_fact(const struct report_input *in, int node, const char *part, const char *key);
/* Calls each(arg, node, part) for every part found on every node, in the order of the inventory. */
void report_parts(const struct report_input *in,
		  void (*each)(void *arg, int node, const char *part), void *arg);

#endif
