/* csv.c - one row a finding, RFC 4180; a cell that a spreadsheet could take for a formula is quoted
 * off. */
#include "reports/report.h"

#include <stdio.h>
#include <string.h>

static void cell(struct text *out, const char *s, const char *end)
{
	struct text clean;

	text_init(&clean);
	if (*s && strchr("=+-@", *s) && s[1])
		text_add(&clean, "'");
	text_add_printable(&clean, s);
	text_add(out, "\"");
	for (const char *c = clean.data; *c; c++) {
		if (*c == '"')
			text_add(out, "\"");
		text_put(out, c, 1);
	}
	text_addf(out, "\"%s", end);
	text_release(&clean);
}

static void numbers(struct text *out, const struct finding *f)
{
	if (f->found || !f->samples)
		text_add(out, ",,,");
	else
		text_addf(out, "%.9g,%.9g,%.9g,", f->value, f->low, f->high);
}

void report_csv(const struct report_input *in, struct text *out)
{
	text_add(out, "check,metric,subject,verdict,found,value,low,high,unit,samples,limit,source,"
		      "why\r\n");
	for (int i = 0; i < in->judgement->count; i++) {
		const struct finding *f = &in->judgement->items[i];
		char limit[300];

		report_limit(f, limit, sizeof(limit));
		cell(out, f->check, ",");
		cell(out, f->metric, ",");
		cell(out, f->subject, ",");
		cell(out, f->recorded && f->samples ? "recorded" : verdict_name(f->verdict), ",");
		cell(out, f->found ? f->found : "", ",");
		numbers(out, f);
		cell(out, f->unit, ",");
		text_addf(out, "%d,", f->samples);
		cell(out, limit, ",");
		cell(out, f->source ? f->source : "", ",");
		cell(out, f->why, "\r\n");
	}
}
