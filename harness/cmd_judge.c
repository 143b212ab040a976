/* cmd_judge.c - judge and report: everything that needs only a journal. */
#include "harness/runfolder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int emit(const struct report_input *in, const struct report_format *f, const char *path)
{
	struct text out;
	struct error err;
	int rc = 0;

	text_init(&out);
	f->write(in, &out);
	if (path && strcmp(path, "-") != 0) {
		if (file_replace(path, out.data, out.len, &err) < 0)
			rc = fail_with(EXIT_HARNESS, &err);
	} else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
		error_set(&err, "cannot write the report: %s", strerror(errno));
		rc = fail_with(EXIT_HARNESS, &err);
	}
	text_release(&out);
	return rc;
}

int cmd_judge(const struct arguments *a)
{
	struct runfolder r = { 0 };
	int rc = run_open(&r, a->words[0], a->value[OPT_SPEC], 0);

	if (rc == 0) {
		struct report_input in;

		run_judge(&r);
		in = run_report_input(&r);
		rc = emit(&in, report_format_find(a->value[OPT_JSON] ? "json" : "text"), NULL);
		rc = rc ? rc : judgement_exit(r.judgement);
	}
	run_close(&r);
	return rc;
}

int cmd_report(const struct arguments *a)
{
	const char *name = a->value[OPT_FORMAT] ? a->value[OPT_FORMAT] : "text";
	const struct report_format *f = report_format_find(name);
	struct runfolder r = { 0 };
	struct error err;
	int rc;

	if (!f) {
		error_set(&err,
			  "unknown format '%.60s'; known: text, html, json, junit, csv, prometheus",
			  name);
		return fail_with(EXIT_USAGE, &err);
	}
	rc = run_open(&r, a->words[0], NULL, 0);
	if (rc == 0) {
		struct report_input in;

		run_judge(&r);
		in = run_report_input(&r);
		rc = emit(&in, f, a->value[OPT_OUT]);
	}
	run_close(&r);
	return rc;
}
