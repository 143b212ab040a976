/*
 * pairs.h - findings about pairs of nodes ("n001>n002", "n001/nic3>n002/nic3"), by check and
 * metric. Private to reports/.
 *
 * Many rounds of pairs are one picture and a few sentences to a reader, and thousands of lines in a
 * list. A step that told nothing of its pair is in the picture too, as a hole.
 */
#ifndef ASSAY_PAIRS_H
#define ASSAY_PAIRS_H

#include "reports/report.h"

/* Below three nodes there is nothing to compare with, and a list does as well. */
enum { PAIRS_NICS_MOST = 32, PAIRS_NODES_LEAST = 3 };

struct pair_figure {
	const struct finding *f;
	int from, to;         /* places among pairs->nodes */
	int from_nic, to_nic; /* places among pairs->nics */
	int rail;             /* place among pairs->rails */
};

/* All figures of one metric of one check in one phase. */
struct pairs {
	const struct finding *any; /* check, metric and unit of all, and a limit if one has it */
	const char *phase;
	int *nodes; /* of the fleet, in its order: those that have or miss a figure here */
	int node_count;
	int nics[PAIRS_NICS_MOST], nic_count;   /* numbers as written; -1: of no NIC */
	int rails[PAIRS_NICS_MOST], rail_count; /* the same */
	struct pair_figure *items;
	int count;
	int of[VERDICT_COUNT]; /* of the items */
	int values;            /* items that have one */
	double low, high;      /* of the values; NAN without any */
	int less_is_better;
	int limits_differ; /* so that the one of `any` is not that of all */
};

struct pairs_list {
	struct pairs *items;
	int count;
	int *of_finding; /* index of its pairs, by finding, or -1 */
};

struct pairs_list *pairs_collect(const struct report_input *in);
void pairs_free(struct pairs_list *l);
/* Whether there is a value to show: one above what physics allows is a hole and not a value. */
int pair_has_value(const struct finding *f);
/* Promised, and without a value. */
int pair_is_hole(const struct finding *f);
/* What is to be looked at: broken limits and what is too close to tell. */
int pair_is_bad(const struct finding *f);
/* "net_pair rate", and the phase where more than one has it; the caller frees it. */
char *pairs_title(const struct pairs_list *l, const struct pairs *p);
/* Whether there are enough nodes for a picture, so that no list of all figures is needed. */
int pairs_are_many(const struct pairs *p);

/* One end of pairs: a node, or a NIC of it. Ends are numbered node * nic_count + nic. */
enum pair_blame { /* bits; what is so of all figures of an end */
		  PAIR_SENDS_BADLY = 1,
		  PAIR_GETS_BADLY = 2,
		  PAIR_IS_HOLE = 4
};

struct pair_end {
	int out, out_bad, out_undecided; /* judged figures from it; undecided ones are bad too */
	int in, in_bad, in_undecided;    /* and to it */
	int passes, holes;
	int blame;       /* bits of enum pair_blame */
	double median;   /* of all values, or only of those that the blame is about; NAN: none */
	double farthest; /* the worst of all values; NAN: none */
	const struct finding *worst; /* of the bad ones; NULL: none is bad */
};

/* node_count * nic_count of them; the caller frees the array. skip: rails to leave out, or NULL. */
struct pair_end *pairs_ends(const struct pairs *p, const char *skip);
int pair_end_of(const struct pairs *p, int node, int nic);
int pair_from_end(const struct pairs *p, const struct pair_figure *x);
int pair_to_end(const struct pairs *p, const struct pair_figure *x);
/* Passed, or bad. */
int pair_is_judged(const struct finding *f);
int pairs_is_worse(const struct pairs *p, double a, double b);

/*
 * Sentences about what fails: nodes and NICs that are bad with all of their partners, pairs that
 * are bad though both are fine with others, and how many figures are neither. The caller frees the
 * array and each of them. No sentence when nothing fails and nothing is missing.
 */
char **pairs_say(const struct report_input *in, const struct pairs *p, int *count);
void pairs_sentences_free(char **sentences, int count);

/* A part of the HTML: maps up to 128 nodes, above that a strip of all nodes. */
void report_pairs_html(const struct report_input *in, const struct pairs_list *l, struct text *out);
/* The rules of the style sheet for it. */
extern const char pairs_style[];
/* The page that the pictures of all metrics are on. */
struct pairs_sheet {
	const struct report_input *in;
	struct text *out;
	int all_texts;   /* every cell has a text to be read by pointing at it */
	long texts_left; /* else those that are bad or missing, as long as this lasts */
};

/* pairs_map.c: a map of each rail, side by side. */
void pairs_maps(struct pairs_sheet *s, const struct pairs *p);
/* pairs_strip.c: all rails of one metric, one below the other, and the worst nodes by name. */
void pairs_strip(const struct report_input *in, const struct pairs *p, struct text *out);
/* From 0 at the low end of values and limit to 1 at the high end: what colour and height follow. */
double pairs_scale(const struct pairs *p, double value);
int pairs_shows_limit(const struct pairs *p);
void pairs_range(const struct pairs *p, double *low, double *high);
/* "rail 3" as a caption with what is bad there, in HTML; nothing for a check without NICs. */
void pairs_rail_caption(const struct pairs *p, int rail, struct text *out);

#endif
