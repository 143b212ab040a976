/*
 * drain.c - which nodes Slurm shall not use, and which it may use again.
 *
 * A mistake in the set-up must not empty a cluster: a node that was never reached is not drained,
 * and when half of them are lost at once, that is the network's doing, or ours.
 */
#include "harness/drain.h"

#include "harness/command.h"
#include "harness/nodes.h"
#include "harness/slurm.h"
#include "harness/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All reasons begin with this; what begins otherwise is somebody else's. */
#define OURS "assay "
enum { REASON_MOST = 200, SWEEP_SECONDS = 60 };

struct draining {
	const struct runfolder *run;
	const struct slurm_nodes *slurm;
	const struct node_outcome *nodes;
	char name[64]; /* of the run: short, and without the colon that ends it in a reason */
	int many_lost;
};

static void say(const struct runfolder *r, const char *node, const char *fmt, ...) PRINTF(3, 4);
static void say(const struct runfolder *r, const char *node, const char *fmt, ...)
{
	json_t *event = event_new(EV_NOTE);
	struct text shown;
	struct error err;
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	text_init(&shown);
	text_add_printable(&shown, text);
	fprintf(stderr, "assay: %s%s%s\n", node, *node ? ": " : "", shown.data);
	json_object_set_new(event, "at", event_string(node, 255));
	json_object_set_new(event, "text", event_string(text, 500));
	json_object_set_new(event, "t", json_real(clock_wall()));
	if (journal_append(r->journal, event, 0, r->results, &err) < 0)
		fprintf(stderr, "assay: this is not in the journal: %s\n", err.text);
	text_release(&shown);
	free(text);
}

/* ---- before and after the agents ---- */

struct slurm_nodes *slurm_ask(const struct runfolder *r)
{
	struct slurm_nodes *n;
	struct error err;

	n = slurm_nodes_read(&err);
	if (!n)
		say(r, "", "what Slurm thinks of the nodes is not known: %s", err.text);
	return n;
}

void launch_sweep(const struct launcher *l, const struct launch *launch)
{
	char **argv = l->sweep ? l->sweep(launch) : NULL;
	struct error err;

	if (argv && command_run((const char *const *)argv, SWEEP_SECONDS, NULL, &err) < 0)
		fprintf(stderr, "assay: jobs named %s may be left behind: %s\n", launch->job,
			err.text);
	launch_free(argv);
}

/* ---- reasons ---- */

/* Slurm's tables are lines of plain text, and other programs take them apart. */
static char *reason_text(const char *text)
{
	char *out = xstrndup(text, strnlen(text, REASON_MOST));

	for (char *c = out; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '|' || *c == '`' || *c == '$' || *c == '"' ||
		    *c == '\'' || *c == '\\')
			*c = '?';
	return out;
}

static char *fail_reason(const struct draining *d, const struct node_outcome *o)
{
	const struct finding *f = &d->run->judgement->items[o->fail];
	char value[120], limit[120], more[40] = "";
	char *text, *reason;

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	if (o->fails > 1)
		snprintf(more, sizeof(more), " (and %d more)", o->fails - 1);
	text = xasprintf(OURS "%s: %s %s.%s %s%s%s%s", d->name, f->subject, f->check, f->metric,
			 value, *limit ? ", wanted " : "", limit, more);
	reason = reason_text(text);
	free(text);
	return reason;
}

static char *lost_reason(const struct draining *d, const struct node_outcome *o)
{
	char *text = xasprintf(OURS "%s: lost: %s", d->name, o->why);
	char *reason = reason_text(text);

	free(text);
	return reason;
}

/* ---- draining ---- */

static void drain_node(const struct draining *d, int node, char *reason)
{
	const char *name = d->run->fleet->nodes[node].name;
	const char *state = slurm_state(d->slurm, name), *old = slurm_reason(d->slurm, name);
	struct error err;

	if (!state)
		say(d->run, name, "not drained: Slurm has no node of this name");
	else if (slurm_state_has(state, "DRAIN") && strncmp(old, OURS, strlen(OURS)) != 0)
		say(d->run, name, "is drained already, by somebody else: %s", old);
	else if (slurm_update(name, "DRAIN", reason, &err) < 0)
		say(d->run, name, "NOT DRAINED: %s", err.text);
	else
		say(d->run, name, "drained: %s", reason);
	free(reason);
}

/* Whether the agent that was lost was one of ours in the first place. */
static int was_there(const struct node_outcome *o)
{
	char *ours = xasprintf("%s (%s)", ASSAY_VERSION, ASSAY_COMMIT);
	int yes = o->hello && !strcmp(o->hello, ours);

	free(ours);
	return yes;
}

static void consider_drain(const struct draining *d, int node)
{
	const struct node_outcome *o = &d->nodes[node];
	const char *name = d->run->fleet->nodes[node].name, *state = slurm_state(d->slurm, name);

	if (o->class == NODE_FAILED)
		drain_node(d, node, fail_reason(d, o));
	else if (o->class != NODE_LOST || !state || slurm_state_has(state, "DRAIN"))
		return;
	else if (!was_there(o))
		say(d->run, name,
		    "not drained: no agent of this version answered, which may be "
		    "the set-up's fault");
	else if (d->many_lost)
		say(d->run, name,
		    "not drained: half of the nodes or more were lost, which is not theirs");
	else
		drain_node(d, node, lost_reason(d, o));
}

static int many_lost(const struct draining *d)
{
	int lost = 0, answered = 0;

	for (int i = 0; i < d->run->fleet->count; i++) {
		answered += was_there(&d->nodes[i]);
		lost += was_there(&d->nodes[i]) && d->nodes[i].class == NODE_LOST;
	}
	return 2 * lost >= answered;
}

/* ---- undraining ---- */

/*
 * Whether this run measured and passed what the node was drained for: "assay RUN: SUBJECT
 * CHECK.METRIC ...". A loss is made good by any clean pass.
 */
static int makes_good(const struct draining *d, int node, const char *reason)
{
	const struct judgement *j = d->run->judgement;
	const char *at = strstr(reason, ": "), *check, *dot;

	if (!at)
		return 0;
	if (!strncmp(at + 2, "lost: ", 6))
		return 1;
	check = strchr(at + 2, ' ');
	dot = check ? strchr(check, '.') : NULL;
	if (!dot)
		return 0;
	check++;
	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		if (f->verdict == VERDICT_PASS && !f->recorded &&
		    strlen(f->check) == (size_t)(dot - check) &&
		    !strncmp(f->check, check, strlen(f->check)) &&
		    node_of(d->run->fleet, d->run->plan, f) == node)
			return 1;
	}
	return 0;
}

static void consider_undrain(const struct draining *d, int node)
{
	const char *name = d->run->fleet->nodes[node].name;
	const char *state = slurm_state(d->slurm, name), *reason = slurm_reason(d->slurm, name);
	struct error err;

	if (d->nodes[node].class != NODE_PASSED || !state || !slurm_state_has(state, "DRAIN"))
		return;
	if (strncmp(reason, OURS, strlen(OURS)) != 0)
		say(d->run, name, "stays drained, somebody else did that: %s", reason);
	else if (!makes_good(d, node, reason))
		say(d->run, name,
		    "stays drained, this run did not measure what it is drained for: %s", reason);
	else if (slurm_update(name, "RESUME", NULL, &err) < 0)
		say(d->run, name, "STAYS DRAINED: %s", err.text);
	else
		say(d->run, name, "undrained; the reason was: %s", reason);
}

static void take_name(struct draining *d, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(d->name, sizeof(d->name), "%s", slash && slash[1] ? slash + 1 : path);
	for (char *c = d->name; *c; c++)
		if (*c == ':')
			*c = '_';
}

void drain_nodes(const struct runfolder *r, int drain, int undrain)
{
	struct draining d = { .run = r };
	struct node_outcome *nodes;
	struct slurm_nodes *slurm;
	struct error err;

	if (results_simulated(r->results)) {
		say(r, "", "no node is drained or undrained by a simulated run");
		return;
	}
	if (undrain && r->options.only)
		say(r, "", "no node is undrained: the run has only a part of the profile");
	slurm = slurm_nodes_read(&err);
	if (!slurm) {
		say(r, "", "NO NODE WAS DRAINED OR UNDRAINED: %s", err.text);
		return;
	}
	nodes = node_outcomes(r->fleet, r->plan, r->results, r->judgement);
	take_name(&d, r->path);
	d.slurm = slurm;
	d.nodes = nodes;
	d.many_lost = many_lost(&d);
	for (int i = 0; i < r->fleet->count; i++) {
		if (drain)
			consider_drain(&d, i);
		if (undrain && !r->options.only)
			consider_undrain(&d, i);
	}
	free(nodes);
	slurm_nodes_free(slurm);
}
