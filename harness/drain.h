/*
 * drain.h - what a run has to do with Slurm beside its agents: what Slurm thinks of the nodes
 * before, what must not stay behind, and which of them are drained or resumed.
 *
 * None of it changes a verdict or an exit code. All that is done is a line on standard error and a
 * note in the journal.
 */
#ifndef ASSAY_DRAIN_H
#define ASSAY_DRAIN_H

#include "harness/runfolder.h"

/* What Slurm thinks of all nodes, or NULL, which was said. */
struct slurm_nodes *slurm_ask(const struct runfolder *r);
/* Runs the launcher's sweep, if it has one. */
void launch_sweep(const struct launcher *l, const struct launch *launch);
/*
 * drain: nodes with a failed finding, and those that went away in the middle. undrain: nodes that
 * passed and that assay drained for something which this run measured. Needs r->judgement.
 */
void drain_nodes(const struct runfolder *r, int drain, int undrain);

#endif
