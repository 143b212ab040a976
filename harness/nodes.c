/* nodes.c - findings and ends, summed up by node. */
#include "harness/nodes.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_WORD(id, word, past) word,
#define CLASS_PAST(id, word, past) past,
static const char *const words[] = { NODE_CLASSES(CLASS_WORD) };
static const char *const pasts[] = { NODE_CLASSES(CLASS_PAST) };

const char *node_class_word(enum node_class c)
{
	return words[c];
}

const char *node_class_past(enum node_class c)
{
	return pasts[c];
}

int node_of(const struct fleet *f, const struct plan *p, const struct finding *finding)
{
	int node = p->steps[finding->step].node;
	size_t n = strlen(f->nodes[node].name);

	/* What is missing of the whole fleet hangs on some step and has a subject of its own. */
	if (strncmp(finding->subject, f->nodes[node].name, n) != 0 ||
	    !strchr("/<>", finding->subject[n]))
		return -1;
	return node;
}

struct sums {
	int holes, lost, open;
};

static void add_finding(struct node_outcome *o, struct sums *s, const struct finding *f, int index)
{
	if (f->recorded)
		return;
	s->holes += f->verdict == VERDICT_NOT_MEASURED || f->verdict == VERDICT_INCONCLUSIVE;
	o->passes += f->verdict == VERDICT_PASS && strcmp(f->check, WATCH_CHECK) != 0;
	o->fails += f->verdict == VERDICT_FAIL;
	if (f->verdict == VERDICT_FAIL && o->fail < 0)
		o->fail = index;
}

static void add_step(struct node_outcome *o, struct sums *s, const struct results *r,
		     const char *id)
{
	int i = results_step(r, id);
	enum end_word word = i < 0 ? END_NONE : r->steps[i].word;

	s->open += word == END_NONE;
	/* A stuck step is a node that nobody can use before it is restarted. */
	if (word != END_LOST && word != END_STUCK)
		return;
	if (!s->lost++)
		o->why = r->steps[i].why;
}

static enum node_class classify(const struct node_outcome *o, const struct sums *s, int simulated)
{
	if (o->fails)
		return NODE_FAILED;
	if (s->lost || (!o->hello && s->open))
		return NODE_LOST;
	if (s->holes || s->open || !o->passes || simulated)
		return NODE_INCOMPLETE;
	return NODE_PASSED;
}

struct node_outcome *node_outcomes(const struct fleet *f, const struct plan *p,
				   const struct results *r, const struct judgement *j)
{
	struct node_outcome *out = xcalloc((size_t)f->count, sizeof(*out));
	struct sums *sums = xcalloc((size_t)f->count, sizeof(*sums));
	int node;

	for (int i = 0; i < f->count; i++)
		out[i] = (struct node_outcome){
			.hello = results_hello(r, f->nodes[i].name),
			.why = "",
			.fail = -1,
		};
	for (int i = 0; i < p->count; i++)
		add_step(&out[p->steps[i].node], &sums[p->steps[i].node], r, p->steps[i].id);
	for (int i = 0; i < j->count; i++)
		if ((node = node_of(f, p, &j->items[i])) >= 0)
			add_finding(&out[node], &sums[node], &j->items[i], i);
	for (int i = 0; i < f->count; i++)
		out[i].class = classify(&out[i], &sums[i], results_simulated(r));
	free(sums);
	return out;
}

char *node_list(const struct fleet *f, const struct node_outcome *nodes, enum node_class class,
		int *count)
{
	const char **names = xcalloc((size_t)f->count, sizeof(*names));
	int n = 0;
	char *list;

	for (int i = 0; i < f->count; i++)
		if (nodes[i].class == class)
			names[n++] = f->nodes[i].name;
	list = hostlist_text(names, n);
	if (count)
		*count = n;
	free(names);
	return list;
}
