/*
 * spec.h - what was bought, and what counts as good.
 *
 * A spec is loaded once and never changed; its strings belong to it. Every item keeps its place in
 * the file for later messages, the linter's and the judge's alike.
 */
#ifndef ASSAY_SPEC_H
#define ASSAY_SPEC_H

#include "harness/base/parts.h"
#include "harness/checks/check.h"
#include "harness/yaml.h"

/* A fact that must hold: "8", ">= 2 TiB", "<= 5", or a pattern with * and ? for words. */
struct expect {
	const struct fact_key *key;
	const char *want;
	struct place at;
};

struct physics {
	const struct physics_key *key;
	double value; /* in base units */
	struct place at;
};

enum limit_op { AT_LEAST, AT_MOST, EXACTLY };

struct limit {
	const char *check, *metric; /* check is a program's name for a program's figure */
	const char *subject;        /* pattern with * and ?, NULL: all */
	int part;                   /* index of the part it belongs to, -1: any */
	enum limit_op op;
	double value;     /* in the unit of the metric */
	const char *text; /* as written: "180 GB/s" */
	const char *source;
	const char *origin;  /* datasheet, measured, derived */
	double share, worst; /* BY_SHARE figures: share of windows in band, worst window against the
				limit */
	const struct metric *of;
	struct place at;
};

/* A catalogue entry. */
struct part {
	const char *name;
	enum part_kind kind;
	const char *source;
	struct expect *facts;
	int fact_count;
	struct physics *physics;
	int physics_count;
	struct place at;
};

/* So many of one part in a node. */
struct group {
	enum part_kind kind;
	int part; /* index into spec->parts */
	int count;
	const char **folders; /* of disks: where files may be written, one a disk, or none */
	int folder_count;
	const char **serials; /* of disks: exact serial numbers that --destroy-data may write to */
	int serial_count;
	int no_compute; /* of GPUs: no check may compute on them (a display adapter) */
	int rails;      /* of NICs: each is a rail of the compute fabric */
	struct place at;
};

struct node_type {
	const char *name;
	const char *
		hosts; /* host list of the nodes of this type; NULL: all that no other type names */
	int count;     /* how many were bought; 0: not said */
	double idle_power; /* W that it draws before any step adds to it; 0: not said */
	struct expect *facts;
	int fact_count;
	struct group *groups;
	int group_count;
	struct place at;
};

struct setting {
	const char *kind, *name;  /* name "" when the kind has none */
	const char *want;         /* as expect.want; "absent" too */
	const char *source, *fix; /* fix NULL: the usual command of its kind */
	struct place at;
};

enum figure_from { FROM_JSON, FROM_REGEX };

struct program_figure {
	const char *metric;
	enum figure_from from;
	const char *where; /* the path or the expression */
	struct place at;
};

/* A check that a site adds: any other program. */
struct program {
	const char *name, *about;
	const char **argv;
	int argc;
	double timeout;
	double output_most; /* bytes */
	int exits[16];      /* codes that mean it ran */
	int exit_count;
	struct program_figure *figures;
	int figure_count;
	struct metric *metrics; /* one a figure, ends at name == NULL */
	struct place at;
};

struct waiver {
	const char *check, *metric, *subject; /* patterns; NULL: all */
	const char *reason, *by;
	struct place at;
};

struct site {
	const char *name, *place, *contract, *vendor, *customer;
};

/* A group of hosts that stand together: a rack, or a scalable unit, whose rails share leaves. */
struct standing {
	const char *name, *hosts, *source;
	double power; /* W that its feeds may carry; 0: not said */
	struct place at;
};

struct standings {
	struct standing *items;
	int count;
};

/* How fast load may grow, and how far. 0: no bound. */
struct ramp {
	int loaded_nodes;            /* nodes under load at the same time */
	int stage_nodes;             /* nodes that may take up load in one stage */
	double stage;                /* seconds */
	double inlet_most, gpu_most; /* C at which a node's load is stopped */
};

enum { RAILS_MOST = 16 };

struct spec {
	const char *name, *about;
	const char *calibration; /* "uncalibrated" for a derived spec, else NULL */
	struct site site;
	struct part *parts;
	int part_count;
	struct node_type *nodes;
	int node_count;
	struct limit *limits;
	int limit_count;
	struct setting *settings;
	int setting_count;
	struct program *programs;
	int program_count;
	struct waiver *waivers;
	int waiver_count;
	struct standings racks, units;
	struct ramp ramp;
	struct yaml *tree; /* everything merged, `extends` resolved */
	char *sha256;      /* of its text */
};

/* Knobs of one check in one phase of a profile. */
struct profile_check {
	const char *name; /* a check, or a program of the spec */
	const char **knobs, **values;
	struct place *value_at;
	int knob_count;
	struct place at;
};

/* What becomes of a node that fails in a phase, or whose figures are missing there. */
#define GATES(X)                                                                                   \
	X(GATE_OPEN, "open")   /* it goes on */                                                    \
	X(GATE_ALONE, "alone") /* it takes no part in steps with other nodes */                    \
	X(GATE_LEAVE, "leave") /* it takes no further steps */                                     \
	X(GATE_STOP, "stop")   /* the run takes no further phase */

#define GATE_ENUM(id, word) id,
enum gate { GATES(GATE_ENUM) GATE_COUNT };

struct phase {
	const char *name;
	enum gate gate;
	struct profile_check *checks;
	int check_count;
	struct place at;
};

struct profile {
	const char *name, *about;
	int repeat; /* rounds of repeat steps for what is inconclusive */
	int whole;  /* all nodes that were bought must be in the run */
	struct phase *phases;
	int phase_count;
	struct yaml *tree;
	char *sha256;
};

/*
 * spec_load_tree: only the tree, with all `extends` merged; folder is "systems" or "profiles".
 * name_or_path: a file if it has a '/' or ends in .yaml, else a name in the library. NULL when
 * something is wrong; everything that is wrong goes to c at once. What is only doubtful goes there
 * as a warning.
 */
struct yaml *spec_load_tree(const char *folder, const char *name, struct complaints *c);
struct spec *spec_load(const char *name_or_path, struct complaints *c);
/* From a tree, which is eaten. */
struct spec *spec_from(struct yaml *tree, struct complaints *c);
void spec_free(struct spec *s);

struct profile *profile_load(const char *name_or_path, struct complaints *c);
struct profile *profile_from(struct yaml *tree, struct complaints *c);
void profile_free(struct profile *p);
/* Every check, program and knob the profile names must exist, with values that fit. */
void profile_check_against(const struct profile *p, const struct spec *s, struct complaints *c);

/* The linter: limits no check evaluates were refused at load; this adds what needs the whole. */
void spec_lint(const struct spec *s, struct complaints *c);

/* Warns of figures that the profile measures and no limit judges: each would be a hole of the run.
 */
void spec_lint_profile(const struct spec *s, const struct profile *p, struct complaints *c);

const struct program *spec_program(const struct spec *s, const char *name);
/* The metrics a check or program of this name promises, or NULL if there is none such. */
const struct metric *spec_metrics(const struct spec *s, const char *check);
/* Value of a part's physics, or of the fact of the same meaning; -1 if the spec does not say. */
double part_physics(const struct part *p, const char *name);
double part_fact(const struct part *p, const char *name);
/* The part of the n-th gpu, disk, ... of a node type, -1 if it has fewer. */
int node_type_part(const struct node_type *t, enum part_kind kind, int n);
int node_type_count(const struct node_type *t, enum part_kind kind);
/* Whether checks may compute on the n-th GPU of a node type. */
int node_type_computes(const struct node_type *t, int gpu);
/* The NIC on rail 0, 1, ... of such a node: its number, -1 if it has no such rail. */
int node_type_rail(const struct node_type *t, int rail);
/* The folder for files on the n-th disk, or NULL. */
const char *node_type_folder(const struct node_type *t, int disk);
const char *node_type_serial(const struct node_type *t, int disk);

/* What stands behind "", "=", "<", "<=", ">" or ">=" of an expectation. */
const char *expect_number(const char *want);
/* Whether `found` is what `want` asks for (see struct expect). */
int expect_holds(enum fact_type type, const char *want, const char *found);

/* library.c: the files that ship inside the program. folder is "systems", "profiles" or "parts". */
struct library_file {
	const char *folder, *name, *text;
};
extern const struct library_file library_files[]; /* ends at name == NULL */
const struct library_file *library_find(const char *folder, const char *name);

/* derive.c: a spec of the machine that the facts describe, as YAML text; the caller frees it. */
struct derive_fact {
	char *part, *key, *value;
};
char *spec_derive(const struct derive_fact *facts, int count, const char *folder);

#endif
