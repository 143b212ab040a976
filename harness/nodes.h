/*
 * nodes.h - what came out of each node: the sum of its findings, for host lists and for Slurm.
 */
#ifndef ASSAY_NODES_H
#define ASSAY_NODES_H

#include "harness/judge.h"

/* Each node is in one class, the first that fits. The words name the files RUN/hosts.WORD too. */
#define NODE_CLASSES(X)                                                                            \
	X(NODE_FAILED, "fail", "failed") /* at least one finding of its failed */                  \
	X(NODE_LOST, "lost", "lost")     /* it never answered, or went away */                     \
	X(NODE_INCOMPLETE, "incomplete",                                                           \
	  "incomplete")                  /* something of it is a hole or undecided */              \
	X(NODE_PASSED, "pass", "passed") /* judged on something, and all of it good */

#define NODE_CLASS_ENUM(id, word, past) id,
enum node_class { NODE_CLASSES(NODE_CLASS_ENUM) NODE_CLASS_COUNT };
const char *node_class_word(enum node_class c); /* "fail" */
const char *node_class_past(enum node_class c); /* "failed" */

struct node_outcome {
	enum node_class class;
	const char *hello; /* version and commit its agent said last, or NULL; lent by results */
	const char *why;   /* lost: of the first lost step, or ""; lent by results */
	int fail;          /* index of its first failed finding, or -1 */
	int fails, passes; /* how many */
};

/* One a node of the fleet; the caller frees the array. In a simulated run no node passed. */
struct node_outcome *node_outcomes(const struct fleet *f, const struct plan *p,
				   const struct results *r, const struct judgement *j);
/* Host list of a class, "" when it is empty; the caller frees it. *count: how many (may be NULL).
 */
char *node_list(const struct fleet *f, const struct node_outcome *nodes, enum node_class class,
		int *count);
/* Index of the node that a finding is about, or -1 when it is about the fleet. */
int node_of(const struct fleet *f, const struct plan *p, const struct finding *finding);

#endif
