/* junit.c - a finding is a test case, so CI systems show it; what was not judged is an error, never
 * a pass. */
#include "reports/report.h"

#include <stdio.h>
#include <string.h>

static void attribute(struct text *out, const char *name, const char *value)
{
	text_addf(out, " %s=\"", name);
	text_add_xml(out, value);
	text_add(out, "\"");
}

/* NULL: the case passed */
static const char *const elements[VERDICT_COUNT] = {
	[VERDICT_NOT_MEASURED] = "error",     [VERDICT_PASS] = NULL,
	[VERDICT_FAIL] = "failure",           [VERDICT_INCONCLUSIVE] = "error",
	[VERDICT_NOT_APPLICABLE] = "skipped", [VERDICT_WAIVED] = "skipped",
};

static void add_case(struct text *out, const struct finding *f)
{
	const char *element = elements[f->verdict];
	char value[200], limit[200], *message;

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	text_add(out, "  <testcase");
	attribute(out, "classname", f->check);
	message = xasprintf("%s %s", f->metric, f->subject);
	attribute(out, "name", message);
	free(message);
	if (!element) {
		text_add(out, "/>\n");
		return;
	}
	message = xasprintf("%s: %s %s%s%s", verdict_name(f->verdict), value, limit,
			    *f->why ? "; " : "", f->why);
	text_addf(out, "><%s", element);
	attribute(out, "message", message);
	free(message);
	text_add(out, "/></testcase>\n");
}

void report_junit(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	int tests = 0;

	for (int i = 0; i < VERDICT_COUNT; i++)
		tests += j->of[i];
	text_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n <testsuite");
	attribute(out, "name", in->spec->name);
	text_addf(out, " tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\">\n", tests,
		  j->of[VERDICT_FAIL], j->of[VERDICT_NOT_MEASURED] + j->of[VERDICT_INCONCLUSIVE],
		  j->of[VERDICT_NOT_APPLICABLE] + j->of[VERDICT_WAIVED]);
	for (int i = 0; i < j->count; i++)
		if (!j->items[i].recorded)
			add_case(out, &j->items[i]);
	text_add(out, " </testsuite>\n</testsuites>\n");
}
