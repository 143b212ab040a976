/* heat.h - when a node is so hot that its load has to be taken away. */
#ifndef ASSAY_HEAT_H
#define ASSAY_HEAT_H

#include "harness/event.h"
#include "harness/spec.h"

/*
 * Whether a tele event tells of more than the site's power section allows; then *why is a sentence.
 * Pure.
 */
int heat_is_too_much(const struct ramp *ramp, const struct event *ev, char *why, size_t room);

#endif
