/*
 * watch.h - what a run looks like from outside, at one moment.
 *
 * The state is made of the lines of a journal and of what was seen of its file, and drawing is a
 * pure function of the state: all clocks and files are someone else's (cmd_watch.c), so that a test
 * can draw any moment of any run.
 */
#ifndef ASSAY_WATCH_H
#define ASSAY_WATCH_H

#include "harness/follow.h"
#include "harness/judge.h"
#include "harness/remaining.h"

/* What a node does. */
#define WATCH_NODES(X)                                                                             \
	X(WATCH_WAITING, "waiting") /* no agent of it has answered yet */                          \
	X(WATCH_RUNNING, "running")                                                                \
	X(WATCH_IDLE, "idle")         /* waits until the others have come as far */                \
	X(WATCH_DONE, "done")         /* all its steps have ended */                               \
	X(WATCH_LEFT_OUT, "left out") /* takes no further steps */                                 \
	X(WATCH_LOST, "lost")         /* went away, or never answered */

#define WATCH_ENUM(id, word) id,
enum watch_node_state { WATCH_NODES(WATCH_ENUM) WATCH_NODE_STATES };
const char *watch_node_word(enum watch_node_state s);

struct watch_node {
	enum watch_node_state state;
	json_t *hello; /* of the agent that serves it; NULL: none yet. Owned */
	int retired, stuck, failing;
	int running, open; /* steps */
	int first;         /* step of it, -1: none; further ones by watch.next */
	char *why;         /* it was retired; owned, or NULL */
	long touched;      /* the look at which its agent or a step of it began last */
};

/* Findings that read as one: the same figure on many parts, or many holes of one cause. */
struct watch_group {
	const struct finding *worst; /* lent by the judgement */
	int count, node_count;
	double badness;
	char *nodes; /* host list; owned */
};

enum { WATCH_GROUPS = 8 };

/* What telemetry says of the power of the fleet, and who says so. */
struct watch_power {
	int is_there; /* the run has a folder of telemetry */
	int nodes;    /* that told something lately */
	int parts[PART_KIND_COUNT];
	double watts;
	double newest; /* when the newest of all lines came; 0: none */
	char hottest[300];
	double celsius;
};

#define RUN_STATES(X)                                                                              \
	X(RUN_EMPTY, "empty")                                                                      \
	X(RUN_RUNNING, "running")                                                                  \
	X(RUN_STOPPED, "stopped")                                                                  \
	X(RUN_FINISHED, "finished")

enum run_state { RUN_STATES(WATCH_ENUM) RUN_STATE_COUNT };
const char *run_state_word(enum run_state s);

struct watch {
	const char *run; /* the folder, as it was named. This and the next five are lent */
	const struct spec *spec;
	const struct profile *profile;
	const struct fleet *fleet;
	struct plan *plan; /* NULL before the journal has a head; grows by repeats */
	struct results *results;

	struct watch_node *nodes;
	struct step_state *steps;
	int *next; /* another step of the same node, or -1 */
	int step_count;
	struct judgement *judgement; /* owned; NULL before the first */
	struct watch_group groups[WATCH_GROUPS];
	int group_count, holes; /* holes: only of steps that have ended */
	int news;               /* steps that ended since the last judging */
	struct watch_power power;

	enum run_state state;
	struct remaining remaining;
	double now;        /* by our clock */
	double ahead;      /* how far the controller's clock is ahead of ours */
	double last_event; /* when the newest line came, by our clock */
	long looks;
	enum journal_lock lock;
	int unlocked_growth; /* looks in a row that found new lines and no lock */
};

void watch_init(struct watch *w, const char *run);
/* Once the plan is known. Nothing but the head may be in the results yet. */
void watch_begin(struct watch *w, const struct spec *s, const struct profile *p,
		 const struct fleet *f, struct plan *plan, struct results *results);
void watch_release(struct watch *w);

/* Whole lines of the journal. Needs watch_begin. */
void watch_feed(struct watch *w, const char *data, size_t len);
/*
 * After each look at the file: `grew` says whether it had new lines, `written` when it was changed
 * last. Finds what state the nodes and the run are in.
 */
void watch_look(struct watch *w, double now, enum journal_lock lock, int grew, double written);
/* Judges what is there. Costly for a large fleet: for the caller to do now and then. */
void watch_judge(struct watch *w);

/* Seconds without a new line when no running step explains that; else 0. */
double watch_silence(const struct watch *w);
/* Node names of one state (or, WATCH_NODE_STATES, of those with a failing finding), as a host list;
 * the caller frees it. */
char *watch_names(const struct watch *w, enum watch_node_state s, int *count);
int watch_count(const struct watch *w, enum watch_node_state s);
/* Seconds that the run took or has taken so far. */
double watch_elapsed(const struct watch *w);
int watch_percent(const struct watch *w);

/* ---- drawing ---- */

/* Lines of at most `columns`, and at most `rows` of them: what matters least is left out first. */
void watch_render(const struct watch *w, int columns, int rows, struct text *out);
/* One line for a log file. */
void watch_line(const struct watch *w, struct text *out);
/* One JSON object and a newline; docs/journal.md. */
void watch_json(const struct watch *w, struct text *out);

/* ---- power, from RUN/telemetry/NODE.jsonl ---- */

struct power_meter;
struct power_meter *power_meter_new(const char *run, const struct fleet *f);
void power_meter_free(struct power_meter *t);
/*
 * Looks at the files of some nodes, the next ones each time, for at most `seconds` (0: at all), and
 * reads the ends of those that changed. Adds up what was told lately.
 */
void power_meter_look(struct power_meter *t, double now, double seconds, struct watch_power *out);

/* ---- private to watch*.c ---- */

/* "What failed" in few words: the mark, and the sentence; into an empty text. */
void watch_group_text(const struct watch_group *g, struct text *out);
/* Fills groups from the judgement. */
void watch_group_findings(struct watch *w);
/* "43.1 kW of 512 gpus on 64 of 64 nodes", or why there is none; into an empty text. */
void watch_power_text(const struct watch *w, struct text *out);

#endif
