/*
 * theory.h - what physics allows: ceilings from what a spec says of its parts.
 *
 * A ceiling is a figure that cannot be exceeded, so a limit above it, or a measurement above it, is
 * a mistake. Formulas and their sources are in theory.c, one row each.
 */
#ifndef ASSAY_THEORY_H
#define ASSAY_THEORY_H

#include "harness/spec.h"

/*
 * The ceiling named by metric->ceiling for this node type (and this part of it, or -1), in base
 * units. 0 with the formula spelled out in `how`; -1 when the spec does not say enough.
 */
int theory_ceiling(const struct spec *s, const struct node_type *t, int part, const char *formula,
		   double *value, char *how, size_t room);

/* Least time of a piece of work, in seconds: its arithmetic alone, and its traffic alone. */
struct roofline {
	double compute, memory;
};
/* Any kind of operation will do, as long as both counts are of the same. A rate of 0 is a BUG. */
struct roofline theory_roofline(double flops, double bytes, double peak_flops, double bytes_per_s);

#endif
