/*
 * telemetry.h - what every node's sensors and counters said, from the node to the report.
 *
 * On the node, the process `assay sample` reads the sampler of kernels.h once a second. It tells
 * the wire little (least, mean and most of ten seconds, and events at once) and keeps all of it,
 * packed, in memory, to be collected at the end. The controller lays both into RUN/telemetry/:
 *
 *   NODE.jsonl  the tele and mark lines as they came
 *   NODE.full   everything, one block after the other (docs/telemetry.md has the format)
 *
 * Readers find the second at which a part's trouble began and what else changed then. Times are the
 * node's own clock; readers take off what it is ahead.
 */
#ifndef ASSAY_TELEMETRY_H
#define ASSAY_TELEMETRY_H

#include "harness/event.h"
#include "kernels/kernels.h"

enum {
	TELEMETRY_WINDOW = 10,     /* seconds that one tele line stands for */
	TELEMETRY_AGAIN = 600,     /* every series is told at least so often */
	TELEMETRY_BEFORE = 660,    /* load so many seconds more, before and behind, for moments */
	TELEMETRY_LINES = 3,       /* tele lines of one window, at most */
	TELEMETRY_MARKS = 60,      /* marks at once, at most; one more comes free every window */
	TELEMETRY_KEPT = 48 << 20, /* bytes that a node keeps at most, packed */
	TELEMETRY_LINES_MOST = 200 << 20, /* bytes of one NODE.jsonl */
	TELEMETRY_FULL_MOST = 256 << 20,  /* bytes of one NODE.full: a resumed run has several */
};

/* ---- keeping (telemetry_store.c) ----------------------------------------------------------- */

struct store;

/* Keeps at most so many bytes, packed. */
struct store *store_new(size_t most);
void store_free(struct store *s);
/*
 * One second. 0, or -1 when the store is full: then nothing more is kept, *from is the millisecond
 * from which on there is nothing, and what was kept before stays.
 */
int store_add(struct store *s, int64_t ms, const struct sampling *now, int64_t *from);
/*
 * All that was kept so far; lent until the next call. *lost_from is 0, or the millisecond from
 * which on the last rows did not fit any more.
 */
const unsigned char *store_data(struct store *s, size_t *len, int64_t *lost_from);

/* One block, unpacked: what a node kept in an hour at most (telemetry_block.c). */
struct block_column {
	struct sample_series series;
	const unsigned char *tokens; /* inside the block */
	size_t len;
};

struct block {
	int64_t first_ms, last_ms;
	int rows, count;
	int64_t *ms; /* of each row */
	struct block_column *columns;
	unsigned char *raw;
};

/*
 * Reads the block at data, of which *used bytes are its own. 1, 0 at the end of the data, -1 with
 * err for what no node of ours has written.
 */
int block_open(const unsigned char *data, size_t len, size_t *used, struct block *b,
	       struct error *err);
void block_release(struct block *b);
/* Only its times, without unpacking it. As block_open; nothing to release. */
int block_peek(const unsigned char *data, size_t len, size_t *used, int64_t *first_ms,
	       int64_t *last_ms, struct error *err);
/* A column's values, as in struct sampling: `rows` of them. 0, or -1 with err. */
int block_values(const struct block *b, int column, double *values, struct error *err);

/* ---- telling (telemetry_wire.c) ------------------------------------------------------------ */

struct wire;

/* Gets each event as it becomes due, and owns it then. */
typedef void wire_fn(void *arg, json_t *event);

struct wire *wire_new(wire_fn *send, void *arg);
void wire_free(struct wire *w);
/* One second. Marks go out at once, and after each window its tele lines. */
void wire_take(struct wire *w, double t, const struct sampling *now);
void wire_mark(struct wire *w, double t, const char *part, const char *what, const char *text);
/* Tells what is left of the window. */
void wire_end(struct wire *w, double t);
/* "gpu3.power_w"; a series of the node is "node.inlet_c". Returns out. */
const char *series_name(const char *part, const char *name, char out[128]);

/*
 * The process on the node; harness/sample.c. The program's exit code. Whoever starts it
 * 1. runs `/proc/self/exe sample --root ROOT` with its input kept open (child_start with input
 * NULL) and a deadline beyond the run's;
 * 2. passes its tele, mark and full lines on, with `at` and `n` added, and nothing else;
 * 3. ends it with "stop\n" (child_send) and waits for its end as long as some 100 000 lines take:
 *    child_stop, or closing the pipe it prints to, would lose what it kept.
 * SIGTERM and the end of its input end it in the same way.
 */
struct sample_options {
	const char *root;
};
int sample_main(const struct sample_options *options);

/* ---- what the controller keeps (telemetry_files.c) ------------------------------------------ */

struct telemetry_files;

/* RUN/telemetry/, made if it is missing. NULL with err. */
struct telemetry_files *telemetry_files_open(const char *run, struct error *err);
/*
 * Takes a tele, mark or full event of a node that belongs to the run, and the line it came in.
 * Lines that came twice do no harm. -1 with a sentence when something of this node's telemetry is
 * lost (pieces out of order, more than any node may send, a disk that is full): the run goes on,
 * and the sentence belongs into a note. Said once for each node and reason.
 */
int telemetry_files_take(struct telemetry_files *f, const struct event *ev, const char *line,
			 size_t len, struct error *err);
/* Whether the last piece of what this node kept in full has arrived and was in order. */
int telemetry_files_complete(const struct telemetry_files *f, const char *node);
void telemetry_files_close(struct telemetry_files *f);

/* ---- reading (telemetry_read.c) ------------------------------------------------------------- */

struct telemetry_mark {
	double t;
	char *part, *what, *text;
};

/* One series as people read it: a flow is a rate in its unit a second. */
struct telemetry_point {
	double t, mean, least, most;
};

struct telemetry_series {
	struct sample_series about; /* part, name, kind, moved */
	struct telemetry_point *points;
	int count;
	/* while it is read: readings in the last point; the last reading of a flow */
	int in_bucket;
	double last, last_at;
};

/* What to read of a node. */
struct telemetry_wish {
	double ahead;    /* seconds that the node's clock is ahead: taken off all times */
	double from, to; /* without it */
	double bucket;   /* points are put together over so many seconds; 0: not */
	const char *const
		*patterns; /* of names as by fnmatch ("gpu*.power_w"), NULL ends; NULL: all */
};

struct telemetry {
	double every; /* seconds between readings: 1 from NODE.full, 10 from NODE.jsonl */
	struct telemetry_mark *marks;
	int mark_count;
	struct telemetry_series *series;
	int series_count;
	int damaged; /* lines, blocks and columns that could not be read */
};

/*
 * What is known of a node between two times: marks from NODE.jsonl, series from NODE.full where it
 * covers any of that time and else from NODE.jsonl. NULL with err when there is no telemetry of
 * this node.
 */
struct telemetry *telemetry_load(const char *run, const char *node,
				 const struct telemetry_wish *wish, struct error *err);
void telemetry_free(struct telemetry *t);
/* The times of the first and the last that is known of a node. 0, or -1 with err. */
int telemetry_span(const char *run, const char *node, double ahead, double *from, double *to,
		   struct error *err);
const struct telemetry_series *telemetry_find(const struct telemetry *t, const char *part,
					      const char *name);
/* The same from texts in memory (either may be empty): for tests and fuzzers. */
struct telemetry *telemetry_parse(const char *lines, size_t len, const unsigned char *full,
				  size_t full_len, const struct telemetry_wish *wish);

/* ---- the moment of a finding (telemetry_moment.c) ------------------------------------------- */

struct moment {
	double t;   /* when it began; seconds since 1970 */
	char *what; /* the mark: "XID 79: ..." */
	char *text; /* the whole sentence */
};

/*
 * When a part's trouble began within a step's time [from, to], and what else on the node changed
 * then. `part` is "gpu3", a pair "gpu0>gpu3", or "" for the node. 1 and *m, to be released, or 0
 * when no mark of the part or its node lies in that time.
 */
int telemetry_moment(const struct telemetry *t, const char *part, double from, double to,
		     struct moment *m);
/*
 * The same from RUN/telemetry/, of which it reads no more than it needs. -1 with err when there is
 * no telemetry of this node.
 */
int telemetry_moment_of(const char *run, const char *node, double ahead, const char *part,
			double from, double to, struct moment *m, struct error *err);
void moment_release(struct moment *m);

#endif
