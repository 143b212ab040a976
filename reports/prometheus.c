/*
 * prometheus.c - text exposition format, for node_exporter's textfile collector.
 *
 * Values are in base units (bytes, seconds, ratios), as that format's conventions ask for.
 */
#include "reports/report.h"

#include <stdio.h>
#include <string.h>

static void label(struct text *out, const char *name, const char *value, const char *end)
{
	struct text clean;

	text_init(&clean);
	text_add_printable(&clean, value);
	text_addf(out, "%s=\"", name);
	for (const char *c = clean.data; *c; c++) {
		if (*c == '"' || *c == '\\')
			text_add(out, "\\");
		text_put(out, c, 1);
	}
	text_addf(out, "\"%s", end);
	text_release(&clean);
}

static void verdicts(const struct report_input *in, struct text *out)
{
	static const char *const words[] = { "accepted", "rejected", "incomplete" };

	text_add(out, "# HELP assay_verdict 1 for the verdict of the last run.\n# TYPE "
		      "assay_verdict gauge\n");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		text_add(out, "assay_verdict{");
		label(out, "verdict", words[i], ",");
		label(out, "spec", in->spec->name, ",");
		label(out, "profile", in->profile->name, "} ");
		text_addf(out, "%d\n", !strcmp(words[i], in->judgement->verdict));
	}
	text_add(out, "# HELP assay_findings Findings of the last run by verdict.\n"
		      "# TYPE assay_findings gauge\n");
	for (int i = 0; i < VERDICT_COUNT; i++)
		text_addf(out, "assay_findings{verdict=\"%s\"} %d\n", verdict_name((enum verdict)i),
			  in->judgement->of[i]);
	text_addf(out,
		  "# HELP assay_end_time_seconds When the last run ended.\n"
		  "# TYPE assay_end_time_seconds gauge\nassay_end_time_seconds %.3f\n",
		  in->results->ended);
}

static void labels(const struct report_input *in, const struct finding *f, const char *name,
		   struct text *out)
{
	text_addf(out, "%s{", name);
	label(out, "check", f->check, ",");
	label(out, "metric", f->metric, ",");
	label(out, "subject", f->subject, ",");
	label(out, "phase", in->profile->phases[in->plan->steps[f->step].phase].name, "} ");
}

static void figure(const struct report_input *in, const struct finding *f, struct text *out)
{
	enum dimension dim;
	double factor;

	if (f->found || !f->samples || unit_find(f->unit, &dim, &factor) < 0)
		return;
	labels(in, f, "assay_figure", out);
	text_addf(out, "%.9g\n", f->value * factor);
}

void report_prometheus(const struct report_input *in, struct text *out)
{
	verdicts(in, out);
	text_add(out, "# HELP assay_figure Measured figures in base units.\n"
		      "# TYPE assay_figure gauge\n");
	for (int i = 0; i < in->judgement->count; i++)
		figure(in, &in->judgement->items[i], out);
	text_add(out, "# HELP assay_figure_pass 1 if the figure passed, 0 for anything else.\n"
		      "# TYPE assay_figure_pass gauge\n");
	for (int i = 0; i < in->judgement->count; i++) {
		const struct finding *f = &in->judgement->items[i];

		if (f->recorded || f->found || !f->samples)
			continue;
		labels(in, f, "assay_figure_pass", out);
		text_addf(out, "%d\n", f->verdict == VERDICT_PASS);
	}
}
