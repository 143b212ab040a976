/*
 * step_end.h - how a step's process ended, in the word and the sentence that the record will hold.
 */
#ifndef ASSAY_STEP_END_H
#define ASSAY_STEP_END_H

#include "harness/child.h"
#include "harness/event.h"

enum { STEP_WHY_MOST = 400 };

/* What is known of a step when its process ends. */
struct step_told {
	double deadline;
	char word[16], why[STEP_WHY_MOST + 1]; /* what it said of its end; "" when nothing */
	char noise[STEP_WHY_MOST + 1];         /* the last line that it wrote beside its results */
	char waits_for[80]; /* the member that a joint step waits for; "" for none */
	int too_much;       /* it was stopped because it gave more lines than there is room for */
};

struct step_end {
	enum end_word word;
	char why[STEP_WHY_MOST + 200];
	const char *hang; /* whom to ask: "tool", "driver", "peer"; NULL: it did not hang */
};

/* Pure. */
void step_end_of(const struct step_told *told, const struct child_end *child, struct step_end *end);

#endif
