/*
 * slurm.h - what Slurm thinks of nodes, asked of scontrol and told to it.
 *
 * The text of scontrol is read and not its JSON, which a Slurm only has when it was built with it.
 */
#ifndef ASSAY_SLURM_H
#define ASSAY_SLURM_H

#include "harness/base/base.h"

struct slurm_nodes;

/* All nodes, as they are now. NULL with err when Slurm cannot be asked. */
struct slurm_nodes *slurm_nodes_read(struct error *err);
/* The same from the text of `scontrol show node`. */
struct slurm_nodes *slurm_nodes_parse(const char *text);
void slurm_nodes_free(struct slurm_nodes *n);
const char *slurm_state(const struct slurm_nodes *n, const char *node);  /* NULL: no such node */
const char *slurm_reason(const struct slurm_nodes *n, const char *node); /* "" when there is none */
/* Whether a state such as "IDLE+DRAIN" has this word in it. */
int slurm_state_has(const char *state, const char *word);
/* State DRAIN with a reason, or RESUME without one (NULL). 0, or -1 with err. */
int slurm_update(const char *node, const char *state, const char *reason, struct error *err);

#endif
