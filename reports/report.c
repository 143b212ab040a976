/* report.c - what all formats share. */
#include "reports/report.h"

#include <stdio.h>
#include <string.h>

const struct report_format report_formats[] = {
	{ "text", "txt", "for a terminal, 80 columns", report_text },
	{ "html", "html", "one self-contained page", report_html },
	{ "json", "json", "schema assay.report/1", report_json },
	{ "junit", "xml", "JUnit XML for CI systems", report_junit },
	{ "csv", "csv", "one row a finding", report_csv },
	{ "prometheus", "prom", "textfile for node_exporter", report_prometheus },
	{ 0 },
};

const struct report_format *report_format_find(const char *name)
{
	for (const struct report_format *f = report_formats; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

void report_value(const struct finding *f, char *out, size_t room)
{
	if (f->found)
		snprintf(out, room, "%s", f->found);
	else if (f->samples)
		quantity_text(f->value, f->unit, out, room);
	else
		snprintf(out, room, "-");
}

void report_limit(const struct finding *f, char *out, size_t room)
{
	static const char *const ops[] = { ">= ", "<= ", "= " };
	/* A fact's expectation brings its own sign, or is equality. */
	const char *op =
		f->found || !f->limit_text || strchr("<>", *f->limit_text) ? "" : ops[f->op];

	snprintf(out, room, "%s%s", op, f->limit_text ? f->limit_text : "");
}

const char *report_meaning(const struct report_input *in)
{
	const struct judgement *j = in->judgement;

	if (report_is_simulated(in) && strcmp(j->verdict, "rejected") != 0)
		return "These figures are not of the hardware here, so they can accept nothing.";
	if (!strcmp(j->verdict, "accepted") && *report_head(in, "only"))
		return "What was run is good, but --only left out the rest of the profile.";
	if (!strcmp(j->verdict, "accepted") && in->spec->calibration)
		return "Everything was measured and is above its floor, but the spec is not "
		       "calibrated: "
		       "its floors catch what is broken, not what is slow.";
	if (!strcmp(j->verdict, "accepted"))
		return "Everything that was promised was measured and is good.";
	if (!strcmp(j->verdict, "rejected"))
		return "At least one figure breaks its limit; the list below says which part and "
		       "why.";
	if (j->of[VERDICT_NOT_MEASURED])
		return "Nothing failed, but not everything was measured; what is missing is named "
		       "below.";
	if (j->of[VERDICT_INCONCLUSIVE])
		return "Nothing failed, but some figures lie too close to their limit to tell.";
	return "Nothing was judged.";
}

const char *report_head(const struct report_input *in, const char *key)
{
	const char *s = json_string_value(json_object_get(in->results->head, key));

	return s ? s : "";
}

int report_series(const struct judgement *j, int first)
{
	const struct finding *f = &j->items[first];
	int n = 0;

	while (f->recorded && first + n < j->count && j->items[first + n].step == f->step &&
	       !strcmp(j->items[first + n].metric, f->metric))
		n++;
	return n;
}

int report_is_simulated(const struct report_input *in)
{
	return results_simulated(in->results);
}

void report_bound(const struct report_input *in, char *out, size_t room)
{
	const struct judgement *j = in->judgement;
	double hours = 0;

	*out = '\0';
	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		if (strncmp(f->check, "gpu_", 4) != 0)
			continue;
		if ((!strcmp(f->metric, "wrong") || !strcmp(f->metric, "not_finite") ||
		     !strcmp(f->metric, "vote")) &&
		    f->verdict != VERDICT_PASS && f->verdict != VERDICT_NOT_APPLICABLE)
			return;
		if (!strcmp(f->metric, "verified_hours") && f->samples)
			hours += f->value;
	}
	if (hours > 0)
		snprintf(out, room,
			 "no wrong product in %.3g verified GPU-hours: fewer than %.3g in a "
			 "GPU-hour "
			 "(3/T, 95%% sure)",
			 hours, 3 / hours);
}

static int inventory_step(const struct report_input *in, int node)
{
	for (int i = 0; i < in->plan->count; i++)
		if (in->plan->steps[i].node == node &&
		    !strcmp(in->plan->steps[i].name, "inventory"))
			return results_step(in->results, in->plan->steps[i].id);
	return -1;
}

const char *report_fact(const struct report_input *in, int node, const char *part, const char *key)
{
	int step = inventory_step(in, node);

	for (size_t i = 0; i < in->results->fact_count && step >= 0; i++) {
		const struct fact *f = &in->results->facts[i];

		if (f->step == step && !strcmp(f->part, part) && !strcmp(f->key, key))
			return f->value;
	}
	return NULL;
}

void report_parts(const struct report_input *in,
		  void (*each)(void *arg, int node, const char *part), void *arg)
{
	for (int n = 0; n < in->fleet->count; n++) {
		int step = inventory_step(in, n);
		const char *last = NULL;

		/* Facts of one part stand together, as the inventory reports part by part. */
		for (size_t i = 0; i < in->results->fact_count && step >= 0; i++) {
			const struct fact *f = &in->results->facts[i];

			if (f->step != step || part_kind_of(f->part) < 0 ||
			    (last && !strcmp(last, f->part)))
				continue;
			last = f->part;
			each(arg, n, f->part);
		}
	}
}
