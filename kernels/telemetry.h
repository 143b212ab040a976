/*
 * telemetry.h - the telemetry half of the door: what a node's sensors and counters say each second.
 * Included by kernels.h.
 *
 * A sampler knows nothing of limits, events or files: it reads what there is and says how a series
 * is to be understood. Sources that can hang (a driver whose device is dead) are read by threads of
 * their own, so that the others go on; what they did not tell in time is not there.
 */
#ifndef ASSAY_KERNELS_TELEMETRY_H
#define ASSAY_KERNELS_TELEMETRY_H

struct error;
struct machine;
struct sampler;

enum series_kind {
	SERIES_LEVEL,  /* means something by itself: power, a temperature, a clock */
	SERIES_FLOW,   /* a counter of work: people read its growth in a second */
	SERIES_ERRORS, /* a counter of errors: that it grew is an event */
	SERIES_STATE,  /* a number that seldom changes: a change is an event */
	SERIES_BITS,   /* a set of bits: each that comes or goes is an event */
	SERIES_KINDS
};

enum { SERIES_MOST = 8192, SERIES_PART_ROOM = 64, SERIES_NAME_ROOM = 48 };

struct sample_series {
	char part[SERIES_PART_ROOM]; /* "gpu3"; "" is the node */
	char name[SERIES_NAME_ROOM]; /* "power_w" */
	char about[64];              /* how the machine calls it ("CPU Inlet"), or "" */
	enum series_kind kind;
	double unit;  /* what was read is kept in whole multiples of it */
	double moved; /* of a level, or of a flow in a second: a smaller change is noise */
};

/* All series of one reading; lent until the next. The list only ever grows, at its end. */
struct sampling {
	const struct sample_series *series;
	/* NAN: not read in this turn. INFINITY: asked for, and it did not answer. */
	const double *values;
	int count;
};

/* Something that is no number: `what` is a word ("xid"), text a line for people. */
typedef void sample_event_fn(void *arg, const char *part, const char *what, const char *text);

#endif
