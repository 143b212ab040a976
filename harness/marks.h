/*
 * marks.h - what a mark of telemetry means for the verdict.
 *
 * One table says it for the judge, for the sampler, which gives marks of trouble room before
 * others, and for the second at which a finding began. A kind that it does not know is a fault.
 */
#ifndef ASSAY_MARKS_H
#define ASSAY_MARKS_H

enum mark_class {
	MARK_NOTE,      /* a healthy node does it as well, or it is told for people only */
	MARK_CORRECTED, /* an error that was put right at once: counted, not judged */
	MARK_HOLE,      /* something that tells of faults was not watched */
	MARK_DOUBT,     /* nobody is to blame, but figures of that time are doubtful */
	MARK_FAULT,
	/* what only other marks of the node decide */
	MARK_AWAY,     /* a part stopped answering: a fault unless it comes back */
	MARK_BACK,     /* it came back */
	MARK_SILENT,   /* a source does not answer: a hole unless it answers again */
	MARK_ANSWERS,  /* it answers again */
	MARK_COMPANION /* a line beside others of its kind: as bad as those, a fault alone */
};

struct mark_meaning {
	enum mark_class class;
	const char *reason;
	/* The metric of a step's finding that tells of the same event, NULL: none does. */
	const char *told_by;
};

/* Never NULL. `what` and `text` as in the event. */
const struct mark_meaning *mark_meaning(const char *what, const char *text);

/* Whether a mark can be left out, where there are too many, without hiding trouble. */
int mark_is_calm(const char *what, const char *text);

/* What is told of the watching itself is no trouble of a part. */
int mark_is_of_watching(const char *what);

#endif
