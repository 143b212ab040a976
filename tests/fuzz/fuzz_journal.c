/*
 * fuzz_journal.c - any bytes as a journal.
 *
 * No fuzzer guesses a checksum, so the bytes are fed twice: as they are, and with each line sealed
 * by a checksum that is right.
 */
#include "harness/judge.h"
#include "harness/marks.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line without its closing brace, then the checksum of it. */
static void seal(struct text *out, const char *line, size_t len)
{
	if (len && line[len - 1] == '}')
		len--;
	text_put(out, line, len);
	text_addf(out, ",\"c\":\"%08x\"}\n", crc32c(line, len));
}

static void must_hold_together(const struct results *r)
{
	for (size_t i = 0; i < r->figure_count; i++)
		if (r->figures[i].step >= r->step_count || r->figures[i].metric >= r->name_count ||
		    r->figures[i].subject >= r->name_count)
			abort();
	for (size_t i = 0; i < r->absent_count; i++)
		if (r->absents[i].step >= r->step_count || r->absents[i].why >= r->name_count)
			abort();
	for (size_t i = 0; i < r->fact_count; i++)
		if (r->facts[i].step >= r->step_count || !r->facts[i].value == !r->facts[i].hole)
			abort();
	for (int i = 0; i < r->step_count; i++)
		if (results_step(r, r->steps[i].id) != i || !r->steps[i].why)
			abort();
}

static void marks_must_mean(const struct results *r)
{
	for (size_t i = 0; i < r->mark_count; i++)
		if (!r->marks[i].at || !r->marks[i].part ||
		    !mark_meaning(r->marks[i].what, r->marks[i].text)->reason)
			abort();
	for (size_t i = 0; i < r->watch_count; i++)
		if (!r->watches[i].at || !watch_word_name(r->watches[i].word))
			abort();
}

/* Findings of telemetry come from texts of nodes alone. Node n1 has a step p/x. */
static void must_be_judged(const struct results *r)
{
	static const char text[] = "assay: spec/1\nname: t\nnodes: {n: {}}\nprograms: {x: {argv: "
				   "[a], timeout: 7s, figures: {f: {better: more, json: a}}}}\n";
	static const char phases[] =
		"assay: profile/1\nname: t\nphases: [{name: p, checks: {x: {}}}]\n";
	const struct plan_options options = { 0 };
	struct complaints c;
	struct hostlist hosts;
	struct error err;
	struct spec *s;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct judgement *j;

	complaints_init(&c);
	s = spec_from(yaml_parse(text, strlen(text), "s", &c), &c);
	profile = profile_from(yaml_parse(phases, strlen(phases), "p", &c), &c);
	if (c.errors || hostlist_parse("n1", &hosts, &err) < 0)
		abort();
	fleet = fleet_build(s, &hosts, &err);
	plan = plan_build(s, fleet, profile, &options, &err);
	j = judge(s, fleet, plan, r);
	for (int i = 0; i < j->count; i++)
		if (strlen(j->items[i].subject) > 300 || strlen(j->items[i].why) > 5000)
			abort();
	judgement_free(j);
	plan_free(plan);
	fleet_free(fleet);
	profile_free(profile);
	spec_free(s);
	hostlist_release(&hosts);
	complaints_release(&c);
}

static void feed(const char *data, size_t len)
{
	struct results *r = results_new();

	results_feed(r, data, len);
	must_hold_together(r);
	marks_must_mean(r);
	if (r->watch_count)
		must_be_judged(r);
	results_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	struct text sealed;

	feed(text, size);
	text_init(&sealed);
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		stop = stop ? stop : end;
		seal(&sealed, text, (size_t)(stop - text));
		text = stop + 1;
	}
	feed(sealed.data, sealed.len);
	text_release(&sealed);
	return 0;
}
