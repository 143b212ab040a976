/*
 * plan_step.c - one step of a plan: its knobs, what it occupies, its time and power.
 */
#include "harness/plan_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A child gets twice its expected time and this much on top before it is called hung. */
enum { DEADLINE_SLACK = 30 };

int param_index(const struct check *check, const char *name)
{
	for (int i = 0; check->params[i].name; i++)
		if (!strcmp(check->params[i].name, name))
			return i;
	return -1;
}

int param_count(const struct check *check)
{
	int n = 0;

	while (check->params[n].name)
		n++;
	return n;
}

struct knobs step_knobs(const struct step *s)
{
	return (struct knobs){ s->check, s->values, s->numas, s->disks, s->gpus };
}

int step_has_part(const struct step *s)
{
	return s->check->scope == PER_DISK || s->check->scope == PER_GPU;
}

/* ---- knobs ---- */

void own_value(struct step *s, const char *name, char *value)
{
	int i = param_index(s->check, name);

	if (i < 0)
		BUG("%s has no knob '%s' for the planner", s->check->name, name);
	s->values[i] = s->owned[i] = value;
}

static char *settings_text(const struct spec *spec)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < spec->setting_count; i++)
		text_addf(&t, "%s\t%s\n", spec->settings[i].kind, spec->settings[i].name);
	return text_detach(&t);
}

static char *argv_text(const struct program *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->argc; i++)
		text_addf(&t, "%s\n", p->argv[i]);
	return text_detach(&t);
}

static char *figures_text(const struct program *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->figure_count; i++)
		text_addf(&t, "%s\t%s\t%s\n", p->figures[i].metric,
			  p->figures[i].from == FROM_JSON ? "json" : "regex", p->figures[i].where);
	return text_detach(&t);
}

static char *exits_text(const struct program *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->exit_count; i++)
		text_addf(&t, "%d\n", p->exits[i]);
	return text_detach(&t);
}

static void fill_program(struct step *s, const struct program *p)
{
	own_value(s, "argv", argv_text(p));
	own_value(s, "timeout", xasprintf("%.17g s", p->timeout));
	own_value(s, "output", xasprintf("%.0f B", p->output_most));
	own_value(s, "exit", exits_text(p));
	own_value(s, "figures", figures_text(p));
}

/* What only the spec knows of this disk: where files may go, or which serial may be written to. */
static void fill_disk(const struct planning *x, struct step *s, const struct node_type *t, int disk)
{
	const char *folder = node_type_folder(t, disk), *serial = node_type_serial(t, disk);

	if (folder && param_index(s->check, "folder") >= 0)
		own_value(s, "folder", xstrdup(folder));
	if (serial && param_index(s->check, "serial") >= 0)
		own_value(s, "serial", xstrdup(serial));
	if (serial && !folder && x->options->destroy_data && param_index(s->check, "destroy") >= 0)
		own_value(s, "destroy", xstrdup("yes"));
}

static void fill_knobs(struct step *s, const struct profile_check *pc)
{
	for (int k = 0; k < pc->knob_count; k++)
		s->values[param_index(s->check, pc->knobs[k])] = pc->values[k];
}

/* "gpu0 gpu1 gpu3": all that checks may compute on. */
static char *gpus_text(const struct node_type *t)
{
	struct text text;

	text_init(&text);
	for (int i = 0; i < node_type_count(t, PART_GPU); i++)
		if (node_type_computes(t, i))
			text_addf(&text, "%sgpu%d", text.len ? " " : "", i);
	return text_detach(&text);
}

int compute_count(const struct node_type *t)
{
	int count = 0;

	for (int i = 0; i < node_type_count(t, PART_GPU); i++)
		count += node_type_computes(t, i);
	return count;
}

/* One GPU for a PER_GPU step, all of them for others; beyond the bits there are, they share one. */
static uint64_t occupied_gpus(const struct check *check, int part, int gpus)
{
	const uint64_t all = ((1ULL << GPU_BITS) - 1) << FIRST_GPU_BIT;

	if (!(check->occupies & USES_GPUS) || !gpus)
		return 0;
	return check->scope == PER_GPU ? 1ULL << (FIRST_GPU_BIT + part % GPU_BITS) : all;
}

/* One rail for a step over it; all of the network for others, whether or not it has rails. */
static uint64_t occupied_rails(const struct check *check, int part)
{
	const uint64_t all = ((1ULL << RAILS_MOST) - 1) << FIRST_RAIL_BIT;

	if (!(check->occupies & USES_NICS))
		return 0;
	return check->per_rail ? 1ULL << (FIRST_RAIL_BIT + part) : all | USES_NICS;
}

static uint64_t occupies(const struct check *check, int part, int gpus)
{
	return (check->occupies & ~(unsigned)(USES_GPUS | USES_NICS)) |
	       occupied_gpus(check, part, gpus) | occupied_rails(check, part);
}

/* ---- the rest ---- */

/* PHASE/CHECK/NODE[/PART or ROUND], with #REPEAT behind the check of a repeat. */
static char *step_id(const struct step *s, const char *phase, const char *node)
{
	const char *part = step_has_part(s) || s->check->scope >= PER_PAIR ? s->unit : "";

	if (s->round == 1)
		return xasprintf("%s/%s/%s%s%s", phase, s->name, node, *part ? "/" : "", part);
	return xasprintf("%s/%s#%d/%s%s%s", phase, s->name, s->round, node, *part ? "/" : "", part);
}

static int may_write(const struct step *s)
{
	int folder = param_index(s->check, "folder"), destroy = param_index(s->check, "destroy");

	return folder < 0 || s->values[folder] || (destroy >= 0 && s->values[destroy]);
}

static void estimate(struct step *s)
{
	struct knobs k = step_knobs(s);

	s->seconds = s->check->seconds(&k);
	s->deadline = 2 * s->seconds + DEADLINE_SLACK;
	/* Without a folder and without leave to destroy, a disk is only read. */
	s->writes = s->check->writes && may_write(s) ? s->check->writes(&k) : 0;
}

struct step *plan_add(struct plan *p, const struct check *check)
{
	struct step *s;
	size_t n = (size_t)param_count(check) + 1;

	p->steps = grow(p->steps, (size_t)p->count, sizeof(*p->steps));
	s = &p->steps[p->count++];
	*s = (struct step){ .check = check, .round = 1, .batch = -1, .members = 1 };
	s->lead = p->count - 1;
	s->values = xcalloc(n, sizeof(*s->values));
	s->owned = xcalloc(n, sizeof(*s->owned));
	return s;
}

/* Steps that go over all pairs of NUMA nodes take their time for each. */
static int numa_count(const struct node_type *t)
{
	int count = node_type_count(t, PART_NUMA);
	struct quantity q;
	struct error err;

	for (int i = 0; i < t->fact_count && !count; i++)
		if (!strcmp(t->facts[i].key->name, "numa_nodes") &&
		    quantity_parse(t->facts[i].want + strspn(t->facts[i].want, "<>= "), &q, &err) ==
			    0)
			count = (int)q.value;
	count = count ? count : node_type_count(t, PART_SOCKET);
	return count ? count : 1;
}

/* ---- power ---- */

static double parts_watts(const struct planning *x, const struct node_type *t, enum part_kind kind,
			  int count)
{
	double sum = 0;

	for (int i = 0; i < count; i++) {
		int part = node_type_part(t, kind, i);
		double watts = part < 0 ? -1 : part_physics(&x->spec->parts[part], "power");

		if (watts > 0)
			sum += watts;
		else
			x->plan->unknown = kind == PART_GPU ? "the power of a GPU"
							    : "the power of a processor";
	}
	return sum;
}

/* GPUs and processors at their limits: what else a step uses draws little beside them. */
static double watts_of(const struct planning *x, const struct node_type *t, const struct step *s)
{
	int gpus = s->check->scope == PER_GPU ? 1 : s->gpus;
	double watts = 0;

	if (!s->check->burns)
		return 0;
	if (s->check->occupies & USES_GPUS)
		watts += parts_watts(x, t, PART_GPU, gpus);
	if (s->check->occupies & USES_CORES)
		watts += parts_watts(x, t, PART_SOCKET, node_type_count(t, PART_SOCKET));
	if (t->idle_power <= 0)
		x->plan->unknown = "the idle_power of a node";
	return watts;
}

struct step *plan_step(const struct planning *x, int node, const char *unit, int part)
{
	const struct program *program = spec_program(x->spec, x->pc->name);
	const struct check *check = check_find(program ? "program" : x->pc->name);
	const struct node_type *type = &x->spec->nodes[x->fleet->nodes[node].type];
	struct step *s = plan_add(x->plan, check);

	s->name = program ? program->name : check->name;
	s->phase = x->phase;
	s->node = node;
	s->numas = numa_count(type);
	s->disks = node_type_count(type, PART_DISK);
	s->gpus = compute_count(type);
	s->occupies = occupies(check, part, s->gpus);
	snprintf(s->unit, sizeof(s->unit), "%s", unit);
	fill_knobs(s, x->pc);
	if (program)
		fill_program(s, program);
	if (param_index(check, "settings") >= 0)
		own_value(s, "settings", settings_text(x->spec));
	if (param_index(check, "gpus") >= 0)
		own_value(s, "gpus", gpus_text(type));
	if (part >= 0 && check->scope == PER_DISK)
		fill_disk(x, s, type, part);
	if (check->per_rail)
		own_value(s, "nic", xasprintf("nic%d", node_type_rail(type, part)));
	s->id = step_id(s, x->plan->profile->phases[x->phase].name, x->fleet->nodes[node].name);
	s->base = xstrdup(s->id);
	estimate(s);
	s->watts = watts_of(x, type, s);
	return s;
}
