/*
 * plan.c - spec, fleet and profile into steps.
 *
 * Steps of one phase that occupy nothing in common run at the same time on a node; the expected
 * time is found by playing that schedule through, so plan and run cannot tell different stories.
 */
#include "harness/plan.h"

#include "harness/hash.h"
#include "harness/pairing.h"
#include "harness/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A child gets twice its expected time and this much on top before it is called hung. */
enum { DEADLINE_SLACK = 30 };

struct planning {
	struct plan *plan;
	const struct spec *spec;
	const struct fleet *fleet;
	const struct plan_options *options;
	const struct profile_check *pc;
	int phase;
};

static int is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = list; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
		if (!strncmp(s, name, n) && (s[n] == ',' || s[n] == '\0'))
			return 1;
	return 0;
}

static int param_index(const struct check *check, const char *name)
{
	for (int i = 0; check->params[i].name; i++)
		if (!strcmp(check->params[i].name, name))
			return i;
	return -1;
}

static int param_count(const struct check *check)
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

/* Sets a knob of the step to a text that the step owns from now on. */
static void own_value(struct step *s, const char *name, char *value)
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

static int compute_count(const struct node_type *t)
{
	int count = 0;

	for (int i = 0; i < node_type_count(t, PART_GPU); i++)
		count += node_type_computes(t, i);
	return count;
}

/* One GPU for a PER_GPU step, all of them for others; beyond the bits there are, they share one. */
static uint64_t occupies(const struct check *check, int part, int gpus)
{
	const uint64_t all = ((1ULL << GPU_BITS) - 1) << FIRST_GPU_BIT;
	uint64_t bits = check->occupies & ~(unsigned)USES_GPUS;

	if (!(check->occupies & USES_GPUS) || !gpus)
		return bits;
	return bits | (check->scope == PER_GPU ? 1ULL << (FIRST_GPU_BIT + part % GPU_BITS) : all);
}

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

static struct step *add_step(struct plan *p, const struct check *check)
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

/* part: number of the disk or GPU that the step is about, -1: of none */
static struct step *plan_step(const struct planning *x, int node, const char *unit, int part)
{
	const struct program *program = spec_program(x->spec, x->pc->name);
	const struct check *check = check_find(program ? "program" : x->pc->name);
	const struct node_type *type = &x->spec->nodes[x->fleet->nodes[node].type];
	struct step *s = add_step(x->plan, check);

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
	s->id = step_id(s, x->plan->profile->phases[x->phase].name, x->fleet->nodes[node].name);
	s->base = xstrdup(s->id);
	estimate(s);
	s->watts = watts_of(x, type, s);
	return s;
}

/* One step for each disk, or for each GPU that is computed on. */
static void plan_parts(const struct planning *x, int node, enum part_kind kind)
{
	const struct node_type *t = &x->spec->nodes[x->fleet->nodes[node].type];
	char unit[32];

	for (int i = 0; i < node_type_count(t, kind); i++) {
		if (kind == PART_GPU && !node_type_computes(t, i))
			continue;
		snprintf(unit, sizeof(unit), "%s%d", part_kind_name(kind), i);
		plan_step(x, node, unit, i);
	}
}

/* ---- steps that nodes run together ---- */

static int add_batch(struct plan *p, int first, int before)
{
	p->batches = grow(p->batches, (size_t)p->batch_count, sizeof(*p->batches));
	p->batches[p->batch_count] = (struct batch){ first, 0, before };
	return p->batch_count++;
}

/* One joint step of these nodes: a step for each, all with the same list of peers. */
static void plan_joint(const struct planning *x, const int *nodes, int count, const char *unit,
		       int batch)
{
	const char **names = xcalloc((size_t)count, sizeof(*names));
	int lead = x->plan->count;
	char *peers;

	for (int i = 0; i < count; i++)
		names[i] = x->fleet->nodes[nodes[i]].name;
	peers = hostlist_text(names, count);
	for (int i = 0; i < count; i++) {
		struct step *s = plan_step(x, nodes[i], unit, -1);

		/* A list of thousands of names once, not once for each of them. */
		if (i == 0)
			own_value(s, "peers", peers);
		else
			s->values[param_index(s->check, "peers")] = peers;
		s->lead = lead;
		s->members = count;
		s->batch = batch;
	}
	x->plan->batches[batch].count += count;
	free(names);
}

/* The nodes that such a check can meet on: all, or those with GPUs to compute on. */
static int *meeting_nodes(const struct planning *x, const struct check *check, int *count)
{
	int *nodes = xcalloc((size_t)x->fleet->count, sizeof(*nodes));

	*count = 0;
	for (int n = 0; n < x->fleet->count; n++) {
		const struct node_type *t = &x->spec->nodes[x->fleet->nodes[n].type];

		if (!(check->occupies & USES_GPUS) || compute_count(t) > 0)
			nodes[(*count)++] = n;
	}
	return nodes;
}

/* A knob as this profile sets it. */
static double profile_knob(const struct planning *x, const struct check *check, const char *name)
{
	const char **values = xcalloc((size_t)param_count(check) + 1, sizeof(*values));
	struct knobs k = { .check = check, .values = values };
	double value;

	for (int i = 0; i < x->pc->knob_count; i++)
		values[param_index(check, x->pc->knobs[i])] = x->pc->values[i];
	value = knob(&k, name);
	free(values);
	return value;
}

/* One round, as a batch. Marks who met somebody; returns how many never did so far. */
static int plan_round(const struct planning *x, const int *nodes, int count, const int *partner,
		      int batch, int round, char *met)
{
	int unmet = 0;
	char name[32];

	snprintf(name, sizeof(name), "r%d", round + 1);
	for (int i = 0; i < count; i++) {
		met[i] |= partner[i] >= 0;
		unmet += !met[i];
		if (partner[i] > i)
			plan_joint(x, (int[]){ nodes[i], nodes[partner[i]] }, 2, name, batch);
	}
	return unmet;
}

/* Who sits out the only round there is would never be measured, and nobody would say so. */
static void plan_pairs(const struct planning *x, const struct check *check)
{
	int count, *nodes = meeting_nodes(x, check, &count), before = -1, unmet = count;
	int *partner = xcalloc((size_t)count + 1, sizeof(*partner));
	int *unit = xcalloc((size_t)count + 1, sizeof(*unit));
	char *met = xcalloc((size_t)count + 1, 1);
	int rounds = pairing_rounds(count, (int)profile_knob(x, check, "rounds"));

	for (int i = 0; i < count; i++)
		unit[i] = x->fleet->nodes[nodes[i]].unit;
	for (int r = 0; count > 1 && (r < rounds || unmet); r++) {
		pairing_round(count, x->spec->units.count ? unit : NULL, r, partner);
		before = add_batch(x->plan, x->plan->count, before);
		unmet = plan_round(x, nodes, count, partner, before, r, met);
	}
	x->plan->alone = count == 1 ? check->name : x->plan->alone;
	free(met);
	free(unit);
	free(partner);
	free(nodes);
}

/*
 * Groups of neighbours in the host list, all at the same time; 0: one of all nodes. One that would
 * be left over alone joins the last group.
 */
static void plan_groups(const struct planning *x, const struct check *check)
{
	int count, *nodes = meeting_nodes(x, check, &count);
	int size = (int)profile_knob(x, check, "group");
	int batch = count > 1 ? add_batch(x->plan, x->plan->count, -1) : -1;

	size = size > 1 && size < count ? size : count;
	for (int i = 0, n; count > 1 && i < count; i += n) {
		n = count - i <= size + 1 ? count - i : size;
		plan_joint(x, nodes + i, n, "group", batch);
	}
	x->plan->alone = count == 1 ? check->name : x->plan->alone;
	free(nodes);
}

static void plan_check(const struct planning *x)
{
	const struct check *check = check_find(x->pc->name);

	if (check && check->scope == PER_PAIR) {
		plan_pairs(x, check);
		return;
	}
	if (check && check->scope == PER_GROUP) {
		plan_groups(x, check);
		return;
	}

	for (int n = 0; n < x->fleet->count; n++) {
		const struct node_type *t = &x->spec->nodes[x->fleet->nodes[n].type];

		if (!check)
			plan_step(x, n, x->pc->name, -1);
		else if (check->scope == PER_DISK || check->scope == PER_GPU)
			plan_parts(x, n, check->scope == PER_DISK ? PART_DISK : PART_GPU);
		else if (check->scope == PER_NODE || compute_count(t) > 0)
			plan_step(x, n, "", -1);
	}
}

static void hash_plan(struct plan *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->count; i++) {
		const struct step *s = &p->steps[i];

		text_addf(&t, "%s\n", s->id);
		for (int k = 0; s->check->params[k].name; k++) {
			if (s->lead != i && p->steps[s->lead].owned[k] && !s->owned[k])
				continue; /* what members share was said by the first */
			text_addf(&t, " %s=%s\n", s->check->params[k].name,
				  s->values[k] ? s->values[k] : s->check->params[k].preset);
		}
	}
	p->sha256 = hash_text(t.data, t.len);
	text_release(&t);
}

static int check_only(const struct profile *p, const char *only, struct error *err)
{
	char *list = xstrdup(only), *save = NULL;
	int rc = 0;

	for (char *name = strtok_r(list, ",", &save); name && !rc;
	     name = strtok_r(NULL, ",", &save)) {
		int found = 0;

		for (int i = 0; i < p->phase_count; i++)
			for (int k = 0; k < p->phases[i].check_count; k++)
				found |= !strcmp(p->phases[i].checks[k].name, name);
		if (!found)
			rc = error_set(err, "--only names '%s', which profile %s does not run",
				       name, p->name);
	}
	free(list);
	return rc;
}

/* -1 if the plan has a step of that id already. */
static int index_id(struct plan *p, int step)
{
	const char *id = p->steps[step].id;

	if (json_object_get(p->ids, id))
		return -1;
	json_object_set_new_nocheck(p->ids, id, json_integer(step));
	return 0;
}

static int check_ids(struct plan *p, struct error *err)
{
	for (int i = 0; i < p->count; i++)
		if (index_id(p, i) < 0)
			return error_set(
				err,
				"two steps are called %s: a check may stand only once in a "
				"phase, and phases need different names",
				p->steps[i].id);
	return 0;
}

struct plan *plan_build(const struct spec *s, const struct fleet *f, const struct profile *p,
			const struct plan_options *options, struct error *err)
{
	struct plan *plan;
	struct planning x = { .spec = s, .fleet = f, .options = options };

	if (options->only && check_only(p, options->only, err) < 0)
		return NULL;
	plan = xcalloc(1, sizeof(*plan));
	plan->profile = p;
	plan->ids = json_object();
	x.plan = plan;
	for (x.phase = 0; x.phase < p->phase_count; x.phase++)
		for (int k = 0; k < p->phases[x.phase].check_count; k++) {
			x.pc = &p->phases[x.phase].checks[k];
			if (!options->only || is_listed(options->only, x.pc->name))
				plan_check(&x);
		}
	if (plan->alone) {
		error_set(err,
			  "%s needs two nodes, and this run has one: without it nothing would say "
			  "that it was not measured; leave it out of the profile, or by --only",
			  plan->alone);
		plan_free(plan);
		return NULL;
	}
	plan->first_count = plan->count;
	if (plan->count == 0 || check_ids(plan, err) < 0) {
		if (plan->count == 0)
			error_set(err, "profile %s plans no step for spec %s", p->name, s->name);
		plan_free(plan);
		return NULL;
	}
	schedule_expect(s, f, plan);
	for (int i = 0; i < plan->count; i++)
		plan->writes += plan->steps[i].writes;
	hash_plan(plan);
	return plan;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->count; i++) {
		for (int k = 0; p->steps[i].check->params[k].name; k++)
			free(p->steps[i].owned[k]);
		free(p->steps[i].owned);
		free(p->steps[i].values);
		free(p->steps[i].id);
		free(p->steps[i].base);
	}
	json_decref(p->ids);
	free(p->batches);
	free(p->rack_peak);
	free(p->steps);
	free(p->sha256);
	free(p);
}

int plan_find(const struct plan *p, const char *id)
{
	json_t *found = json_object_get(p->ids, id);

	return found ? (int)json_integer_value(found) : -1;
}

/* "PHASE/CHECK/NODE" as "PHASE/CHECK#2/NODE". */
static char *repeat_id(const char *base, int round)
{
	const char *slash = strchr(strchr(base, '/') + 1, '/');

	return xasprintf("%.*s#%d%s", (int)(slash - base), base, round, slash);
}

/* Repeats follow each other without a gap, so the first one missing is the next. */
static int rounds_of(const struct plan *p, const char *base)
{
	for (int round = 2;; round++) {
		char *id = repeat_id(base, round);
		int found = plan_find(p, id);

		free(id);
		if (found < 0)
			return round - 1;
	}
}

static void add_repeat(struct plan *p, int first, int round, int lead, int batch)
{
	struct step *s = add_step(p, p->steps[first].check);
	const struct step *from = &p->steps[first];
	struct step copy = *from;

	copy.values = s->values;
	copy.owned = s->owned;
	memcpy(copy.values, from->values, (size_t)param_count(from->check) * sizeof(*copy.values));
	copy.round = round;
	copy.lead = lead;
	copy.batch = batch;
	copy.id = repeat_id(from->base, round);
	copy.base = xstrdup(from->base);
	*s = copy;
	index_id(p, p->count - 1);
}

/* The last batch of the same check: repeats of joint steps run one behind the other. */
static int last_batch(const struct plan *p, const struct step *s)
{
	for (int b = p->batch_count - 1; b >= 0; b--) {
		const struct step *other = &p->steps[p->batches[b].first];

		if (other->phase == s->phase && other->name == s->name)
			return b;
	}
	return -1;
}

/* A step, or all members of a joint one. */
static void add_repeats(struct plan *p, int first, int round)
{
	int from = p->steps[first].lead, count = p->steps[first].members, lead = p->count;
	int batch = p->steps[first].batch;

	if (batch >= 0) {
		batch = add_batch(p, lead, last_batch(p, &p->steps[first]));
		p->batches[batch].count = count;
	}
	for (int i = 0; i < count; i++)
		add_repeat(p, from + i, round, lead, batch);
}

int plan_extend(struct plan *p, const char *const *bases, int count, int most)
{
	int before = p->count;

	for (int b = 0; b < count; b++) {
		int first = plan_find(p, bases[b]), rounds = rounds_of(p, bases[b]);
		char *last = repeat_id(bases[b], rounds);
		int is_new = rounds > 1 && plan_find(p, last) >= before;

		free(last);
		/* Another member of its joint step has brought it along already. */
		if (first >= 0 && rounds <= most && !is_new)
			add_repeats(p, first, rounds + 1);
	}
	return p->count - before;
}
