/*
 * json.c - report.json, schema assay.report/1 (docs/report.schema.json).
 *
 * A tree of all findings of a thousand nodes takes hundreds of megabytes, so the two long lists are
 * put into the text entry by entry.
 */
#include "reports/report.h"

#include "harness/nodes.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *string_or_null(const char *s)
{
	return s ? event_string(s, 4000) : json_null();
}

static json_t *site(const struct spec *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", string_or_null(s->site.name), "place",
			 string_or_null(s->site.place), "contract",
			 string_or_null(s->site.contract), "vendor", string_or_null(s->site.vendor),
			 "customer", string_or_null(s->site.customer));
}

static json_t *limit(const struct finding *f)
{
	static const char *const bases[] = { NULL, "floor", "exact" };
	static const char *const ops[] = { ">=", "<=", "=" };
	json_t *l;

	if (f->basis == BASIS_NONE)
		return json_null();
	l = json_pack("{s:s, s:s, s:o, s:o}", "basis", bases[f->basis], "op",
		      f->is_fact ? "match" : ops[f->op], "text", string_or_null(f->limit_text),
		      "source", string_or_null(f->source));
	json_object_set_new(l, "value",
			    f->is_fact ? string_or_null(f->limit_text) : json_real(f->limit));
	if (f->at.line) {
		json_object_set_new(l, "file", string_or_null(f->at.file));
		json_object_set_new(l, "line", json_integer(f->at.line));
	}
	return l;
}

static json_t *number(const struct finding *f, double value)
{
	return f->samples && !f->found && isfinite(value) ? json_real(value) : json_null();
}

/* When the trouble began, and what else changed then. */
static json_t *moment(const struct moment *m)
{
	char when[32];

	if (!m)
		return json_null();
	clock_text(m->t, when);
	return json_pack("{s:s, s:o, s:o}", "at", when, "what", string_or_null(m->what), "text",
			 string_or_null(m->text));
}

static json_t *finding(const struct report_input *in, const struct finding *f)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:s, s:s}", "check", string_or_null(f->check),
			      "metric", string_or_null(f->metric), "subject",
			      string_or_null(f->subject), "unit", f->unit, "verdict",
			      f->recorded && f->samples ? "recorded" : verdict_name(f->verdict));

	json_object_set_new(o, "value", f->found ? string_or_null(f->found) : number(f, f->value));
	json_object_set_new(o, "low", number(f, f->low));
	json_object_set_new(o, "high", number(f, f->high));
	json_object_set_new(o, "samples", json_integer(f->samples));
	json_object_set_new(o, "limit", limit(f));
	json_object_set_new(o, "why", string_or_null(f->why));
	json_object_set_new(o, "next", string_or_null(f->next));
	json_object_set_new(o, "moment", moment(report_moment_of(in, f)));
	return o;
}

static json_t *hole(const struct report_input *in, const struct finding *f)
{
	(void)in;
	if (f->verdict != VERDICT_NOT_MEASURED || f->recorded)
		return NULL;
	return json_pack("{s:o, s:o, s:o, s:o}", "check", string_or_null(f->check), "metric",
			 string_or_null(f->metric), "subject", string_or_null(f->subject), "why",
			 string_or_null(f->why));
}

static json_t *coverage(const struct judgement *j)
{
	int planned = 0, judged;

	for (int i = 0; i < VERDICT_COUNT; i++)
		planned += j->of[i];
	judged = planned - j->of[VERDICT_NOT_MEASURED];
	return json_pack("{s:i, s:i, s:[]}", "planned", planned, "judged", judged, "holes");
}

static json_t *waivers(const struct spec *s)
{
	json_t *list = json_array();

	for (int i = 0; i < s->waiver_count; i++)
		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:o, s:o}", "check",
						string_or_null(s->waivers[i].check), "metric",
						string_or_null(s->waivers[i].metric), "subject",
						string_or_null(s->waivers[i].subject), "reason",
						string_or_null(s->waivers[i].reason), "by",
						string_or_null(s->waivers[i].by)));
	return list;
}

/* The classes are disjoint: their numbers add up to `expected`. */
static json_t *nodes(const struct report_input *in)
{
	struct node_outcome *of = node_outcomes(in->fleet, in->plan, in->results, in->judgement);
	json_t *o, *hosts = json_object();
	int answered = 0, count;

	for (int i = 0; i < in->fleet->count; i++)
		answered += of[i].hello != NULL;
	o = json_pack("{s:i, s:i}", "expected", in->fleet->count, "answered", answered);
	for (int c = 0; c < NODE_CLASS_COUNT; c++) {
		const char *word = node_class_past((enum node_class)c);
		char *list = node_list(in->fleet, of, (enum node_class)c, &count);

		json_object_set_new(o, word, json_integer(count));
		json_object_set_new(hosts, word, json_string(list));
		free(list);
	}
	json_object_set_new(o, "hosts", hosts);
	free(of);
	return o;
}

struct listing {
	const struct report_input *in;
	json_t *list;
};

static void add_part(void *arg, int node, const char *part)
{
	static const char *const keys[] = { "model", "serial", "firmware" };
	struct listing *l = arg;
	const char *name = l->in->fleet->nodes[node].name;
	char *path = *part ? xasprintf("%s/%s", name, part) : xstrdup(name);
	json_t *o = json_pack("{s:o}", "part", string_or_null(path));

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_set_new(o, keys[i],
				    string_or_null(report_fact(l->in, node, part, keys[i])));
	json_array_append_new(l->list, o);
	free(path);
}

/* An object as json_dumps writes it so deep in a tree; eats it. */
static void add_object(struct text *out, json_t *object, int depth)
{
	char *text = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		text_addf(out, "\n%*s%s", depth, "", line);
	free(text);
	json_decref(object);
}

/*
 * Puts one entry for each finding that has one into the empty list of this name. Texts of a dump
 * hold no newline, so a name behind one is that of a member. Returns the rest of the text.
 */
static const char *fill_list(struct text *out, const char *text, const char *name, int depth,
			     const struct report_input *in,
			     json_t *(*make)(const struct report_input *in,
					     const struct finding *f))
{
	char *mark = xasprintf("\n%*s\"%s\": []", depth, "", name);
	const char *at = strstr(text, mark), *end = at ? at + strlen(mark) - 1 : NULL;
	int count = 0;

	if (!at)
		BUG("a report without %s", name);
	text_put(out, text, (size_t)(end - text));
	for (int i = 0; i < in->judgement->count; i++) {
		json_t *object = make(in, &in->judgement->items[i]);

		if (object && count++)
			text_add(out, ",");
		if (object)
			add_object(out, object, depth + 1);
	}
	if (count)
		text_addf(out, "\n%*s", depth, "");
	free(mark);
	return end;
}

void report_json(const struct report_input *in, struct text *out)
{
	struct listing parts = { in, json_array() };
	json_t *root = json_object();
	const char *rest;
	char started[32], ended[32], *text;

	clock_text(in->results->started, started);
	clock_text(in->results->ended, ended);
	report_parts(in, add_part, &parts);
	json_object_set_new(root, "schema", json_string("assay.report/1"));
	json_object_set_new(root, "program",
			    json_pack("{s:o, s:o}", "version",
				      string_or_null(report_head(in, "version")), "commit",
				      string_or_null(report_head(in, "commit"))));
	json_object_set_new(root, "simulated", json_boolean(report_is_simulated(in)));
	json_object_set_new(root, "verdict", json_string(in->judgement->verdict));
	json_object_set_new(root, "site", site(in->spec));
	json_object_set_new(root, "spec",
			    json_pack("{s:o, s:s, s:o}", "name", string_or_null(in->spec->name),
				      "sha256", in->spec->sha256, "calibration",
				      string_or_null(in->spec->calibration)));
	json_object_set_new(root, "profile", string_or_null(in->profile->name));
	json_object_set_new(root, "only", string_or_null(report_head(in, "only")));
	json_object_set_new(
		root, "plan",
		json_pack("{s:s, s:i}", "sha256", in->plan->sha256, "steps", in->plan->count));
	json_object_set_new(root, "started", json_string(started));
	json_object_set_new(root, "ended", json_string(ended));
	json_object_set_new(root, "coverage", coverage(in->judgement));
	json_object_set_new(root, "nodes", nodes(in));
	json_object_set_new(root, "findings", json_array());
	json_object_set_new(root, "suspects", json_array());
	json_object_set_new(root, "waivers", waivers(in->spec));
	json_object_set_new(root, "parts", parts.list);
	text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	json_decref(root);
	rest = fill_list(out, text, "holes", 2, in, hole);
	rest = fill_list(out, rest, "findings", 1, in, finding);
	text_addf(out, "%s\n", rest);
	free(text);
}

char *report_plan_json(const struct spec *s, const struct fleet *f, const struct plan *p)
{
	json_t *root, *steps = json_array(), *racks = json_object();
	char *text;

	for (int i = 0; i < s->racks.count; i++)
		json_object_set_new(racks, s->racks.items[i].name,
				    json_pack("{s:f, s:f}", "peak_w", p->rack_peak[i], "power_w",
					      s->racks.items[i].power));
	for (int i = 0; i < p->count; i++) {
		const struct step *t = &p->steps[i];
		json_t *knobs = json_object();

		for (int k = 0; t->check->params[k].name; k++)
			json_object_set_new(knobs, t->check->params[k].name,
					    json_string(t->values[k] ? t->values[k]
								     : t->check->params[k].preset));
		json_array_append_new(
			steps, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:o}", "id",
					 t->id, "phase", p->profile->phases[t->phase].name, "node",
					 f->nodes[t->node].name, "check", t->name, "seconds",
					 t->seconds, "deadline", t->deadline, "writes", t->writes,
					 "watts", t->watts, "knobs", knobs));
	}
	root = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:s?, s:o, s:o}", "schema",
			 "assay.plan/1", "spec", s->name, "profile", p->profile->name, "sha256",
			 p->sha256, "seconds", p->seconds, "bound", p->bound, "writes", p->writes,
			 "energy_j", p->energy, "peak_w", p->peak, "power_unknown", p->unknown,
			 "racks", racks, "steps", steps);
	text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	json_decref(root);
	return text;
}
