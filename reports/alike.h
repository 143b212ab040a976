/*
 * alike.h - which figures are alike, so that many of them are one line. Private to reports/.
 */
#ifndef ASSAY_ALIKE_H
#define ASSAY_ALIKE_H

#include "reports/report.h"

/* What a finding is about within its node: "numa0>numa0", ">n007", "nic3>n007/nic3", or "". */
const char *subject_local(const struct finding *f);
/* To one other node or from one, or between NICs of two: a pair, whichever two they are. */
int subject_is_pair(const struct finding *f);
/* The kind of the part that a finding is about, PART_NODE if it is about no single one. */
int subject_part(const struct finding *f);

/*
 * Fills next[i] for all findings [from, to), those of one check: the next one behind i that is like
 * it, -1 if there is none. Alike are good figures of parts of one kind, or of the same of many
 * nodes, and figures of pairs by the end at their own node; all of one metric, wanted alike.
 */
void alike_link(const struct judgement *j, int from, int to, int *next);

#endif
