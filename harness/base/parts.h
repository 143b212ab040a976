/*
 * parts.h - the vocabulary: kinds of parts and the facts known of them.
 *
 * Inventory writes these names, specs expect them, the linter checks them, reports print them. A
 * fact is always a text; its dimension says how two texts are compared (quantities by value, words
 * as they are).
 */
#ifndef ASSAY_PARTS_H
#define ASSAY_PARTS_H

#include "harness/base/base.h"

/* The order is the order of reports. A part's name is its kind and a number: "gpu3", "dimm07". */
#define PART_KINDS(X)                                                                              \
	X(PART_NODE, "node")                                                                       \
	X(PART_SOCKET, "socket")                                                                   \
	X(PART_NUMA, "numa")                                                                       \
	X(PART_DIMM, "dimm")                                                                       \
	X(PART_GPU, "gpu")                                                                         \
	X(PART_NIC, "nic")                                                                         \
	X(PART_DISK, "disk")

#define PART_ENUM(id, name) id,
enum part_kind { PART_KINDS(PART_ENUM) PART_KIND_COUNT };

const char *part_kind_name(enum part_kind kind);
/* The kind in "gpu", or of the part "gpu3"; -1 if there is none. "" is the node itself. */
int part_kind_find(const char *name);
int part_kind_of(const char *part);

enum fact_type { FACT_WORD, FACT_NUMBER }; /* a number is any quantity, compared by value */

struct fact_key {
	enum part_kind kind;
	const char *name;
	enum fact_type type;
	enum dimension dim;
	const char *help;
};

/* NULL if no part of this kind has such a fact. */
const struct fact_key *fact_key_find(enum part_kind kind, const char *name);
/* All of them, ends at name == NULL. */
extern const struct fact_key fact_keys[];

/* How a part's physics is called in a spec: what theory computes ceilings from. */
struct physics_key {
	enum part_kind kind;
	const char *name;
	enum dimension dim;
	const char *help;
};

const struct physics_key *physics_key_find(enum part_kind kind, const char *name);
extern const struct physics_key physics_keys[];

#endif
