/*
 * pairs.c - see pairs.h. Subjects are parsed here and nowhere else in reports/, and strictly: their
 * second half comes from a node, so what names no node of the run or no NIC is no pair, and stays
 * in the lists.
 */
#include "reports/pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A pair as its subject has it: nodes of the fleet, numbers of NICs. */
struct raw_pair {
	int from, to, from_nic, to_nic;
	int rail; /* by the step that told; where it is of none, the number of the sender's NIC */
};

/* The rail that a step is about, or -1: units of steps over rails end in ".rail3". */
static int rail_of(const struct step *s)
{
	const char *at = strstr(s->unit, ".rail");

	return at ? atoi(at + strlen(".rail")) : -1;
}

/* The number in "nic3" at the start of a text, and what stands behind it; -1 if there is none. */
static int nic_number(const char *text, const char **rest)
{
	size_t digits;

	if (strncmp(text, "nic", 3) != 0)
		return -1;
	digits = strspn(text + 3, "0123456789");
	*rest = text + 3 + digits;
	return digits > 0 && digits < 5 ? atoi(text + 3) : -1;
}

/* ">n002" or "<n002/nic3" behind one's own node or NIC. */
static int parse_other(const struct report_input *in, const char *text, int own, int own_nic,
		       struct raw_pair *r)
{
	const char *slash = own_nic >= 0 ? strrchr(text, '/') : NULL, *rest = "?";
	char *name = slash ? xstrndup(text + 1, (size_t)(slash - text - 1)) : xstrdup(text + 1);
	int other = fleet_find(in->fleet, name), nic = slash ? nic_number(slash + 1, &rest) : -1;

	free(name);
	if (other < 0 || other == own || (own_nic >= 0 && (nic < 0 || *rest)))
		return 0;
	*r = *text == '>' ? (struct raw_pair){ own, other, own_nic, nic, -1 }
			  : (struct raw_pair){ other, own, nic, own_nic, -1 };
	return 1;
}

static int parse_pair(const struct report_input *in, const struct finding *f, struct raw_pair *r)
{
	int own = in->plan->steps[f->step].node, nic = -1;
	const char *name = in->fleet->nodes[own].name, *rest = f->subject + strlen(name);

	if (strncmp(f->subject, name, strlen(name)) != 0)
		return 0;
	if (*rest == '/' && (nic = nic_number(rest + 1, &rest)) < 0)
		return 0;
	if ((*rest != '>' && *rest != '<') || !parse_other(in, rest, own, nic, r))
		return 0;
	r->rail = rail_of(&in->plan->steps[f->step]);
	r->rail = r->rail < 0 ? r->from_nic : r->rail;
	return 1;
}

/* The NIC that a step over a rail was to use, or -1. */
static int planned_nic(const struct step *s)
{
	struct knobs k = step_knobs(s);
	const char *rest;

	return s->check->per_rail ? nic_number(knob_text(&k, "nic"), &rest) : -1;
}

/* A hole of a whole step, whose subject is the node alone: the plan knows whom it was to meet. */
static int planned_pair(const struct report_input *in, const struct finding *f, struct raw_pair *r)
{
	const struct step *s = &in->plan->steps[f->step], *mates = &in->plan->steps[s->lead];

	if (f->samples || s->members != 2 || s->check->scope != PER_PAIR ||
	    strcmp(f->subject, in->fleet->nodes[s->node].name) != 0)
		return 0;
	mates += mates[0].node == s->node;
	*r = (struct raw_pair){
		s->node, mates->node, planned_nic(s), planned_nic(mates), rail_of(s),
	};
	return 1;
}

int pair_has_value(const struct finding *f)
{
	static const char waived_hole[] = "not-measured, waived";

	if (!f->samples || (f->verdict == VERDICT_NOT_MEASURED && f->limit_text))
		return 0;
	return f->verdict != VERDICT_WAIVED || !f->limit_text ||
	       strncmp(f->why, waived_hole, strlen(waived_hole)) != 0;
}

int pair_is_hole(const struct finding *f)
{
	return !pair_has_value(f) && f->verdict != VERDICT_NOT_APPLICABLE;
}

int pair_is_bad(const struct finding *f)
{
	return f->verdict == VERDICT_FAIL || f->verdict == VERDICT_INCONCLUSIVE;
}

int pairs_are_many(const struct pairs *p)
{
	return p->node_count >= PAIRS_NODES_LEAST;
}

char *pairs_title(const struct pairs_list *l, const struct pairs *p)
{
	int same = 0;

	for (int i = 0; i < l->count; i++)
		same += !strcmp(l->items[i].any->check, p->any->check) &&
			!strcmp(l->items[i].any->metric, p->any->metric);
	return xasprintf("%s %s%s%s", p->any->check, p->any->metric, same > 1 ? " in phase " : "",
			 same > 1 ? p->phase : "");
}

/* ---- collecting ---- */

static const char *phase_of(const struct report_input *in, const struct finding *f)
{
	return in->profile->phases[in->plan->steps[f->step].phase].name;
}

static int find_pairs(struct pairs_list *l, const struct report_input *in, const struct finding *f)
{
	const struct metric *metrics = spec_metrics(in->spec, f->check), *m;
	const char *phase = phase_of(in, f);

	for (int i = l->count - 1; i >= 0; i--) {
		const struct finding *any = l->items[i].any;

		if (l->items[i].phase == phase && !strcmp(any->metric, f->metric) &&
		    !strcmp(any->check, f->check))
			return i;
	}
	m = metrics ? metric_find(metrics, f->metric) : NULL;
	l->items = grow(l->items, (size_t)l->count, sizeof(*l->items));
	l->items[l->count] = (struct pairs){
		.any = f,
		.phase = phase,
		.low = NAN,
		.high = NAN,
		.less_is_better = m && m->better != MORE,
	};
	return l->count++;
}

/* The place of a number in a short list, made if need be; -1 when there are too many. */
static int place_of(int number, int *list, int *count)
{
	for (int i = 0; i < *count; i++)
		if (list[i] == number)
			return i;
	if (*count == PAIRS_NICS_MOST)
		return -1;
	list[*count] = number;
	return (*count)++;
}

/* Nodes and NICs as the fleet and the node number them; places come when all are there. */
static int add_item(struct pairs *p, const struct finding *f, const struct raw_pair *r)
{
	if (place_of(r->from_nic, p->nics, &p->nic_count) < 0 ||
	    place_of(r->to_nic, p->nics, &p->nic_count) < 0 ||
	    place_of(r->rail, p->rails, &p->rail_count) < 0)
		return -1;
	p->items = grow(p->items, (size_t)p->count, sizeof(*p->items));
	p->items[p->count++] =
		(struct pair_figure){ f, r->from, r->to, r->from_nic, r->to_nic, r->rail };
	if (f->limit_text && !p->any->limit_text)
		p->any = f;
	return 0;
}

/*
 * A step that told nothing has nothing on its rail, or, where it is of none, on each that others
 * told of.
 */
static void add_hole(struct pairs *p, const struct finding *f, struct raw_pair r, int gets)
{
	int nics = r.rail < 0 ? p->nic_count : 0;

	if (gets)
		r = (struct raw_pair){ r.to, r.from, r.to_nic, r.from_nic, r.rail };
	if (!nics)
		add_item(p, f, &r);
	for (int i = 0; i < nics; i++) {
		r.from_nic = r.to_nic = r.rail = p->nics[i];
		add_item(p, f, &r);
	}
}

static int by_number(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void place_items(struct pairs *p, const struct fleet *fleet)
{
	int *place = xcalloc((size_t)fleet->count + 1, sizeof(*place));

	qsort(p->nics, (size_t)p->nic_count, sizeof(int), by_number);
	qsort(p->rails, (size_t)p->rail_count, sizeof(int), by_number);
	for (int i = 0; i < p->count; i++)
		place[p->items[i].from] = place[p->items[i].to] = 1;
	p->nodes = xcalloc((size_t)fleet->count + 1, sizeof(int));
	for (int n = 0; n < fleet->count; n++) {
		if (!place[n])
			continue;
		place[n] = p->node_count;
		p->nodes[p->node_count++] = n;
	}
	for (int i = 0; i < p->count; i++) {
		struct pair_figure *x = &p->items[i];

		x->from = place[x->from];
		x->to = place[x->to];
		x->from_nic = place_of(x->from_nic, p->nics, &p->nic_count);
		x->to_nic = place_of(x->to_nic, p->nics, &p->nic_count);
		x->rail = place_of(x->rail, p->rails, &p->rail_count);
	}
	free(place);
}

static int is_planned(const struct pair_figure *x)
{
	return !strpbrk(x->f->subject, "<>");
}

/* By rail, then row by row; what was told goes before what was planned alone. */
static int by_place(const void *a, const void *b)
{
	const struct pair_figure *x = a, *y = b;

	return x->rail != y->rail       ? x->rail - y->rail
	       : x->from != y->from     ? x->from - y->from
	       : x->to != y->to         ? x->to - y->to
	       : x->to_nic != y->to_nic ? x->to_nic - y->to_nic
					: is_planned(x) - is_planned(y);
}

static int same_place(const struct pair_figure *x, const struct pair_figure *y)
{
	return x->rail == y->rail && x->from == y->from && x->to == y->to && x->to_nic == y->to_nic;
}

/* A step that was lost is no hole where another one told of the same two NICs. */
static void drop_told(struct pairs *p)
{
	int kept = 0;

	qsort(p->items, (size_t)p->count, sizeof(*p->items), by_place);
	for (int i = 0; i < p->count; i++)
		if (!kept || !is_planned(&p->items[i]) ||
		    !same_place(&p->items[kept - 1], &p->items[i]))
			p->items[kept++] = p->items[i];
	p->count = kept;
}

static void sum_up(struct pairs *p)
{
	for (int i = 0; i < p->count; i++) {
		const struct finding *f = p->items[i].f;

		p->of[f->verdict]++;
		p->limits_differ |= f->limit_text && strcmp(f->limit_text, p->any->limit_text);
		if (!pair_has_value(f))
			continue;
		p->values++;
		p->low = isnan(p->low) || f->value < p->low ? f->value : p->low;
		p->high = isnan(p->high) || f->value > p->high ? f->value : p->high;
	}
}

/* Whether a metric is about what comes from the other: its figures have the arrow that way. */
static int *directions(const struct pairs_list *l)
{
	int *gets = xcalloc((size_t)l->count + 1, sizeof(*gets));

	for (int i = 0; i < l->count; i++)
		gets[i] = l->items[i].count && strchr(l->items[i].items[0].f->subject, '<');
	return gets;
}

static void collect_holes(struct pairs_list *l, const struct report_input *in)
{
	const struct judgement *j = in->judgement;
	int known = l->count, *gets = directions(l);
	struct raw_pair r;

	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];
		int k;

		if (l->of_finding[i] >= 0 || f->verdict == VERDICT_NOT_APPLICABLE ||
		    !planned_pair(in, f, &r))
			continue;
		k = l->of_finding[i] = find_pairs(l, in, f);
		add_hole(&l->items[k], f, r, k < known && gets[k]);
	}
	free(gets);
}

struct pairs_list *pairs_collect(const struct report_input *in)
{
	const struct judgement *j = in->judgement;
	struct pairs_list *l = xcalloc(1, sizeof(*l));
	struct raw_pair r;

	l->of_finding = xcalloc((size_t)j->count + 1, sizeof(int));
	for (int i = 0; i < j->count; i++) {
		l->of_finding[i] = -1;
		if (!parse_pair(in, &j->items[i], &r))
			continue;
		l->of_finding[i] = find_pairs(l, in, &j->items[i]);
		if (add_item(&l->items[l->of_finding[i]], &j->items[i], &r) < 0)
			l->of_finding[i] = -1;
	}
	collect_holes(l, in);
	for (int i = 0; i < l->count; i++) {
		place_items(&l->items[i], in->fleet);
		drop_told(&l->items[i]);
		sum_up(&l->items[i]);
	}
	return l;
}

void pairs_free(struct pairs_list *l)
{
	for (int i = 0; i < l->count; i++) {
		free(l->items[i].nodes);
		free(l->items[i].items);
	}
	free(l->items);
	free(l->of_finding);
	free(l);
}
