/*
 * settings.c - kernel, drivers, limits, mounts and the like, as the spec wants them.
 *
 * The planner hands over which settings to read, one a line: kind, tab, name.
 */
#include "harness/checks/check.h"

#include <stdlib.h>
#include <string.h>

static const struct param params[] = {
	{ "settings", "", "what to read; filled in from the spec", 1 },
	{ 0 },
};

static const struct metric metrics[] = { { 0 } };

static double seconds(const struct knobs *k)
{
	(void)k;
	return 1;
}

static void read_one(struct job *job, const char *kind, const char *name)
{
	char *key = xasprintf("%s%s%s", kind, *name ? " " : "", name), *value = NULL;
	struct error err;

	if (job->hw->setting(job->machine, kind, name, &value, &err) < 0)
		job->sink->fact(job->sink->arg, "", key, NULL, err.text);
	else
		job->sink->fact(job->sink->arg, "", key, value, NULL);
	free(value);
	free(key);
}

static int run(struct job *job, struct error *err)
{
	char *list = xstrdup(knob_text(&job->knobs, "settings")), *save = NULL;

	(void)err;
	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *tab = strchr(line, '\t');

		if (!tab)
			BUG("a setting without a tab: %s", line);
		*tab = '\0';
		read_one(job, line, tab + 1);
	}
	free(list);
	return RUN_OK;
}

const struct check check_settings = {
	.name = "settings",
	.summary = "kernel, drivers, sysctl, mounts, limits as the spec wants them",
	.how = "Reads each setting that the spec lists, and nothing else. A deviation is reported "
	       "with what "
	       "was found, what was expected and the command that sets it.",
	.scope = PER_NODE,
	.occupies = USES_NOTHING,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
