/* watch_json.c - one moment of a run for programs; docs/journal.md lists the members. */
#include "harness/watch.h"

#include "reports/report.h"

#include <math.h>
#include <stdlib.h>

/* What is a text of somebody else's may hold anything, and JSON wants UTF-8. */
static json_t *text_json(const char *s)
{
	struct text t;
	json_t *j;

	text_init(&t);
	text_add_printable(&t, s);
	j = json_string(t.data);
	text_release(&t);
	return j;
}

static json_t *steps_json(const struct watch *w)
{
	return json_pack("{s:i,s:i,s:i,s:i}", "total", w->remaining.total, "ended",
			 w->remaining.done, "running",
			 w->state == RUN_RUNNING ? w->remaining.running : 0, "without_result",
			 w->remaining.failed);
}

static json_t *names_json(const struct watch *w, enum watch_node_state s)
{
	int count;
	char *names = watch_names(w, s, &count);
	json_t *j = text_json(names);

	free(names);
	return j;
}

static json_t *nodes_json(const struct watch *w)
{
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:o,s:o,s:o}", "total", w->fleet->count, "waiting",
			 watch_count(w, WATCH_WAITING), "running", watch_count(w, WATCH_RUNNING),
			 "idle", watch_count(w, WATCH_IDLE), "done", watch_count(w, WATCH_DONE),
			 "failing", names_json(w, WATCH_NODE_STATES), "lost",
			 names_json(w, WATCH_LOST), "left_out", names_json(w, WATCH_LEFT_OUT));
}

static json_t *group_json(const struct watch_group *g)
{
	const struct finding *f = g->worst;
	char value[200], limit[300];

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "verdict",
			 verdict_name(f->verdict), "figures", g->count, "nodes",
			 text_json(g->nodes), "check", text_json(f->check), "metric",
			 text_json(f->metric), "subject", text_json(f->subject), "value",
			 f->samples || f->found ? text_json(value) : json_null(), "limit",
			 *limit ? text_json(limit) : json_null(), "why", text_json(f->why));
}

static json_t *findings_json(const struct watch *w)
{
	const struct judgement *j = w->judgement;
	json_t *worst = json_array();

	if (!j) {
		json_decref(worst);
		return json_null();
	}
	for (int i = 0; i < w->group_count; i++)
		json_array_append_new(worst, group_json(&w->groups[i]));
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:o}", "pass", j->of[VERDICT_PASS], "fail",
			 j->of[VERDICT_FAIL], "inconclusive", j->of[VERDICT_INCONCLUSIVE],
			 "not_measured", w->holes, "waived", j->of[VERDICT_WAIVED], "worst", worst);
}

static json_t *power_json(const struct watch *w)
{
	const struct watch_power *p = &w->power;
	json_t *parts = json_object();

	if (!p->nodes) {
		json_decref(parts);
		return json_null();
	}
	for (int i = 0; i < PART_KIND_COUNT; i++)
		if (p->parts[i])
			json_object_set_new(parts, part_kind_name((enum part_kind)i),
					    json_integer(p->parts[i]));
	return json_pack("{s:i,s:f,s:o,s:o,s:o}", "nodes", p->nodes, "watts", p->watts, "parts",
			 parts, "hottest", *p->hottest ? text_json(p->hottest) : json_null(),
			 "celsius", *p->hottest ? json_real(p->celsius) : json_null());
}

/* json_real refuses what is no number; a clock far off could make one. */
static json_t *seconds_json(double s)
{
	return isfinite(s) && s > 0 ? json_real(round(10 * s) / 10) : json_integer(0);
}

static void fill(const struct watch *w, json_t *j)
{
	int phase = w->remaining.phase, phases = w->profile->phase_count;

	json_object_set_new(j, "simulated", json_boolean(results_simulated(w->results)));
	json_object_set_new(j, "verdict",
			    w->state == RUN_FINISHED ? json_string(w->judgement->verdict)
						     : json_null());
	json_object_set_new(j, "phase",
			    phase < phases ? text_json(w->profile->phases[phase].name)
					   : json_null());
	json_object_set_new(j, "phase_number", json_integer(phase < phases ? phase + 1 : phases));
	json_object_set_new(j, "phases", json_integer(phases));
	json_object_set_new(j, "elapsed", seconds_json(watch_elapsed(w)));
	json_object_set_new(j, "left", seconds_json(w->remaining.left));
	json_object_set_new(j, "silent", seconds_json(w->now - w->last_event));
	json_object_set_new(j, "suspicious", json_boolean(watch_silence(w) > 0));
	json_object_set_new(j, "damaged", json_integer(w->results->damaged));
	json_object_set_new(j, "steps", steps_json(w));
	json_object_set_new(j, "nodes", nodes_json(w));
	json_object_set_new(j, "findings", findings_json(w));
	json_object_set_new(j, "power", power_json(w));
}

void watch_json(const struct watch *w, struct text *out)
{
	json_t *j = json_pack("{s:s,s:o,s:s}", "schema", "assay.watch/1", "run", text_json(w->run),
			      "state", run_state_word(w->state));
	char *line;

	json_object_set_new(j, "t", seconds_json(w->now));
	if (w->plan)
		fill(w, j);
	line = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(12));
	text_addf(out, "%s\n", line);
	free(line);
	json_decref(j);
}
