/*
 * gates.c - leaves out of later phases what failed in this one.
 *
 * A hole keeps a node out like a failure does: what was not measured is not known to be good, and
 * may be what would spoil the figures of others. A pair does not say which of the two it is: a node
 * is out when it was bad with each of its partners, two at least, on one rail.
 */
#include "harness/gates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gates_end_partners(const struct gates *g, int step, enum end_word word, const char *what)
{
	const struct step *s = &g->plan->steps[step];
	char why[400];
	int others = 0, other = -1;

	for (int i = s->lead; i < s->lead + s->members; i++)
		if (!schedule_is_closed(g->schedule, i)) {
			others++;
			other = i;
		}
	if (others != 1 || schedule_is_running(g->schedule, other))
		return;
	snprintf(why, sizeof(why), "%s, which it was to meet, %s", g->fleet->nodes[s->node].name,
		 what);
	g->end(g->arg, other, word, why);
}

/* ".rail3" of "r2.rail3", for steps over rails. */
static const char *rail_of(const struct step *s)
{
	const char *dot = strchr(s->unit, '.');

	return dot ? dot : "";
}

/* Whether this node was bad in all steps like this one; bad: of each step. */
static int is_bad_with_all(const struct gates *g, int step, const char *bad)
{
	const struct step *s = &g->plan->steps[step];
	int count, alike = 0;
	const int *steps = schedule_of_node(g->schedule, s->node, &count);

	for (int i = 0; i < count; i++) {
		const struct step *other = &g->plan->steps[steps[i]];

		if (other->phase != s->phase || other->name != s->name || other->round > 1 ||
		    strcmp(rail_of(other), rail_of(s)) != 0)
			continue;
		if (!bad[steps[i]])
			return 0;
		alike++;
	}
	return alike > 1;
}

static int is_bad(const struct gates *g, int phase, const struct finding *f)
{
	/* What was not watched of a node is a hole and spoils no other node's figures. */
	if (f->verdict == VERDICT_NOT_MEASURED && !strcmp(f->check, WATCH_CHECK))
		return 0;
	return g->plan->steps[f->step].phase == phase && !f->recorded &&
	       (f->verdict == VERDICT_FAIL || f->verdict == VERDICT_NOT_MEASURED);
}

/* Joint steps with a finding that is bad; telemetry's are about the node itself. */
static char *bad_meetings(const struct gates *g, int phase, const struct judgement *j)
{
	char *bad = xcalloc((size_t)g->plan->count + 1, 1);

	for (int i = 0; i < j->count; i++)
		if (is_bad(g, phase, &j->items[i]) && strcmp(j->items[i].check, WATCH_CHECK) != 0)
			bad[j->items[i].step] = g->plan->steps[j->items[i].step].members > 1;
	return bad;
}

/* What a node showed in this phase that keeps it out of later ones; NULL: nothing. */
static char **find_failures(const struct gates *g, int phase, const struct judgement *j)
{
	char **why = xcalloc((size_t)g->fleet->count, sizeof(*why));
	char *bad = bad_meetings(g, phase, j);

	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];
		const struct step *s = &g->plan->steps[f->step];
		int is_joint = s->members > 1 && strcmp(f->check, WATCH_CHECK) != 0;

		if (!is_bad(g, phase, f) || why[s->node] ||
		    (is_joint && !is_bad_with_all(g, f->step, bad)))
			continue;
		why[s->node] = xasprintf("in phase %s, %s.%s of %s is %s%s",
					 g->profile->phases[phase].name, f->check, f->metric,
					 f->subject, verdict_name(f->verdict),
					 is_joint ? ", and so it is with each that it met" : "");
	}
	free(bad);
	return why;
}

/* Steps of later phases that this node takes no part in. */
static void leave_out(const struct gates *g, int phase, int node, int alone_too, const char *why)
{
	int count;
	const int *steps = schedule_of_node(g->schedule, node, &count);

	for (int i = 0; i < count; i++) {
		const struct step *s = &g->plan->steps[steps[i]];

		if (s->phase <= phase || (s->members == 1 && !alone_too) ||
		    schedule_is_closed(g->schedule, steps[i]))
			continue;
		g->end(g->arg, steps[i], END_LEFT, why);
		gates_end_partners(g, steps[i], END_LEFT, "was left out");
	}
}

void gates_pass(const struct gates *g, int phase, const struct judgement *j)
{
	enum gate gate = g->profile->phases[phase].gate;
	char **why = gate == GATE_OPEN ? NULL : find_failures(g, phase, j), *first = NULL;

	for (int n = 0; why && n < g->fleet->count; n++) {
		if (why[n] && gate != GATE_STOP)
			leave_out(g, phase, n, gate == GATE_LEAVE, why[n]);
		first = first ? first : why[n];
	}
	for (int n = 0; first && gate == GATE_STOP && n < g->fleet->count; n++)
		leave_out(g, phase, n, 1, first);
	for (int n = 0; why && n < g->fleet->count; n++)
		free(why[n]);
	free(why);
}
