/*
 * orders.h - what agents are told about steps.
 *
 * Steps that are the same but for their node are one order to all of these nodes: "@" stands for
 * the node's name in a step's id. A thousand nodes behind one command of a launcher all read what
 * any of them is told, so a line a node would be a million lines.
 */
#ifndef ASSAY_ORDERS_H
#define ASSAY_ORDERS_H

#include "harness/plan.h"
#include "harness/reach.h"

/* Orders these steps; `is_member` says which steps of a joint one take part. */
void orders_send(struct reach *reach, const struct plan *plan, const struct fleet *fleet,
		 const int *steps, int count, int (*is_member)(void *arg, int step), void *arg);
/* A step's id with "@" in place of its node; the caller frees it. */
char *order_id(const struct step *s, const struct fleet *fleet);

#endif
