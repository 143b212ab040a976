/* job.c - the helpers of check.h: knobs, reports, look-ups. */
#include "harness/checks/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *knob_value(const struct knobs *k, const char *name, int from_spec)
{
	for (int i = 0; k->check->params[i].name; i++) {
		if (strcmp(k->check->params[i].name, name) != 0)
			continue;
		if (k->check->params[i].from_spec != from_spec)
			break;
		return k->values[i] ? k->values[i] : k->check->params[i].preset;
	}
	BUG("%s has no knob '%s'", k->check->name, name);
}

double knob(const struct knobs *k, const char *name)
{
	struct quantity q;
	struct error err;

	if (quantity_parse(knob_value(k, name, 0), &q, &err) < 0)
		BUG("%s.%s was not checked: %s", k->check->name, name, err.text);
	return q.value;
}

const char *knob_text(const struct knobs *k, const char *name)
{
	return knob_value(k, name, 1);
}

const struct check *check_find(const char *name)
{
	for (int i = 0; all_checks[i]; i++)
		if (!strcmp(all_checks[i]->name, name))
			return all_checks[i];
	return NULL;
}

const struct metric *metric_find(const struct metric *metrics, const char *name)
{
	for (; metrics->name; metrics++)
		if (!strcmp(metrics->name, name))
			return metrics;
	return NULL;
}

void job_samples(struct job *job, const char *metric, const char *subject, const double *samples,
		 int count)
{
	const struct check *check = job->knobs.check;

	/* A program's metrics come from the spec, so its table is empty here. */
	if (check->metrics->name && !metric_find(check->metrics, metric))
		BUG("%s has no metric '%s'", check->name, metric);
	job->sink->figure(job->sink->arg, metric, subject, samples, count);
}

void job_report(struct job *job, const char *metric, const char *subject, double value)
{
	job_samples(job, metric, subject, &value, 1);
}

void job_absent(struct job *job, const char *metric, const char *subject, const char *why)
{
	job->sink->absent(job->sink->arg, metric, subject, why, 0);
}

void job_hole(struct job *job, const char *metric, const char *subject, const char *why)
{
	job->sink->absent(job->sink->arg, metric, subject, why, 1);
}

struct wanted_fact {
	const char *part, *key;
	char *value;
};

static void take_fact(void *arg, const char *part, const char *key, const char *value,
		      const char *hole)
{
	struct wanted_fact *w = arg;

	(void)hole;
	if (!w->value && value && !strcmp(part, w->part) && !strcmp(key, w->key))
		w->value = xstrdup(value);
}

char *job_fact(struct job *job, const char *part, const char *key)
{
	struct wanted_fact w = { part, key, NULL };
	struct error err;

	/* What cannot be read is simply not known here; the inventory check reports the hole. */
	(void)job->hw->facts(job->machine, take_fact, &w, &err);
	return w.value;
}

void job_note(struct job *job, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	job->sink->note(job->sink->arg, text);
}

int job_skip(struct error *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return RUN_SKIP;
}

double job_count(struct job *job, const char *part, const char *key)
{
	char *text = job_fact(job, part, key);
	double value = text ? atof(text) : 0;

	free(text);
	return value;
}

int job_is_virtual(struct job *job)
{
	char *hypervisor = job_fact(job, "", "hypervisor");
	int is_virtual = hypervisor && strcmp(hypervisor, "none") != 0;

	free(hypervisor);
	return is_virtual;
}

const struct host_disk *job_disk(struct job *job, struct error *err)
{
	const struct host *host = job->hw->host(job->machine);
	int i = atoi(job->unit + strlen("disk"));

	if (i >= 0 && i < host->disk_count)
		return &host->disks[i];
	error_set(err, "this node has %d disks, so there is no %s", host->disk_count, job->unit);
	return NULL;
}

int job_may_compute(const struct job *job, const char *part)
{
	const char *list = knob_text(&job->knobs, "gpus");
	size_t n = strlen(part);

	for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (strcspn(at, " ") == n && !strncmp(at, part, n))
			return 1;
	return 0;
}

int job_peers(struct job *job, struct hostlist *peers, int *self, struct error *err)
{
	if (hostlist_parse(knob_text(&job->knobs, "peers"), peers, err) < 0)
		return error_prefix(err, "the members of this step: ");
	for (*self = 0; *self < peers->count; (*self)++)
		if (!strcmp(peers->names[*self], job->node))
			return 0;
	hostlist_release(peers);
	return error_set(err, "%s is no member of this step", job->node);
}

static int alone(struct error *err)
{
	return error_set(err, "this step runs alone, without other members");
}

int job_share(struct job *job, const char *key, const char *value, struct error *err)
{
	return job_tell(job, NULL, key, value, err);
}

int job_tell(struct job *job, const char *to, const char *key, const char *value, struct error *err)
{
	return job->sink->share ? job->sink->share(job->sink->arg, to, key, value, err)
				: alone(err);
}

int job_take(struct job *job, const char *from, const char *key, char **value, struct error *err)
{
	return job->sink->take ? job->sink->take(job->sink->arg, from, key, value, err)
			       : alone(err);
}

int job_begin(struct job *job, struct error *err)
{
	return job->sink->begin ? job->sink->begin(job->sink->arg, err) : alone(err);
}
