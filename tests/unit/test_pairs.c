/*
 * test_pairs.c - figures of pairs of nodes: which nodes and pairs the sentences name, what maps and
 * strips show of them, and that nothing a node says becomes markup.
 */
#include "reports/pairs.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum kind { NONE_MORE, NODE, SENDS, NIC, RAIL, PAIR, DEAD, DEAD_NIC, CLOSE, LOST };

/* a, b: numbers of nodes from 1 on; of NIC and RAIL the number of the NIC from 0 on */
struct fault {
	enum kind kind;
	int a, b;
};

struct world {
	struct spec spec;
	struct profile profile;
	struct phase phase;
	struct fleet fleet;
	struct plan plan;
	struct judgement judgement;
	struct report_input in;
};

/* A step alone for each node; behind them one of two, for each two neighbours. */
static void build(struct world *w, int nodes, const char *const *names)
{
	memset(w, 0, sizeof(*w));
	w->phase.name = xstrdup("pairs");
	w->profile.phases = &w->phase;
	w->fleet.index = json_object();
	w->fleet.nodes = xcalloc((size_t)nodes, sizeof(*w->fleet.nodes));
	w->plan.steps = xcalloc(2 * (size_t)nodes, sizeof(*w->plan.steps));
	for (int i = 0; i < nodes; i++) {
		char *name = names ? xstrdup(names[i]) : xasprintf("n%03d", i + 1);

		w->fleet.nodes[i] = (struct fleet_node){ name, 0, -1, -1 };
		json_object_set_new(w->fleet.index, name, json_integer(i));
		w->plan.steps[i] = (struct step){
			.check = check_find("net_pair"), .node = i, .lead = i, .members = 1
		};
		w->plan.steps[nodes + i] = (struct step){
			.check = check_find("net_pair"),
			.node = i,
			.lead = nodes + i / 2 * 2,
			.members = 2,
		};
	}
	w->fleet.count = nodes;
	w->plan.count = 2 * nodes;
	w->in = (struct report_input){
		.spec = &w->spec,
		.profile = &w->profile,
		.fleet = &w->fleet,
		.plan = &w->plan,
		.judgement = &w->judgement,
	};
}

static void tear_down(struct world *w)
{
	for (int i = 0; i < w->judgement.count; i++) {
		free(w->judgement.items[i].subject);
		free(w->judgement.items[i].limit_text);
		free(w->judgement.items[i].why);
	}
	for (int i = 0; i < w->fleet.count; i++)
		free(w->fleet.nodes[i].name);
	free(w->judgement.items);
	free(w->fleet.nodes);
	free(w->plan.steps);
	free((void *)(uintptr_t)w->phase.name);
	json_decref(w->fleet.index);
}

static struct finding *add(struct world *w, int step, const char *metric, char *subject,
			   enum verdict v, double value)
{
	struct judgement *j = &w->judgement;

	j->items = grow(j->items, (size_t)j->count, sizeof(*j->items));
	j->items[j->count] = (struct finding){
		.check = "net_pair",
		.metric = metric,
		.unit = "GB/s",
		.subject = subject,
		.step = step,
		.verdict = v,
		.value = value,
		.low = value,
		.high = value,
		.samples = v == VERDICT_NOT_MEASURED ? 0 : 6,
		.op = AT_LEAST,
		.limit = 48,
		.limit_text = v == VERDICT_NOT_MEASURED ? NULL : xstrdup("48 GB/s"),
		.why = xstrdup(v == VERDICT_NOT_MEASURED ? "the port is down" : ""),
	};
	return &j->items[j->count++];
}

static char *subject(const struct world *w, int from, int to, int nic)
{
	const char *a = w->fleet.nodes[from].name, *b = w->fleet.nodes[to].name;

	return nic < 0 ? xasprintf("%s>%s", a, b) : xasprintf("%s/nic%d>%s/nic%d", a, nic, b, nic);
}

static int hits(const struct fault *f, int from, int to, int nic)
{
	int a = f->a - 1, b = f->b - 1;

	switch (f->kind) {
	case NODE:
	case DEAD:
	case CLOSE:
		return from == a || to == a;
	case SENDS:
		return from == a;
	case NIC:
	case DEAD_NIC:
		return (from == a || to == a) && nic == f->b;
	case RAIL:
		return nic == f->a;
	case PAIR:
		return (from == a && to == b) || (from == b && to == a);
	case LOST:
		return from == a && to == b;
	case NONE_MORE:
		break;
	}
	return 0;
}

static void add_figure(struct world *w, const struct fault *faults, int from, int to, int nic)
{
	enum verdict v = VERDICT_PASS;

	for (const struct fault *f = faults; f->kind; f++) {
		if (!hits(f, from, to, nic))
			continue;
		if (f->kind == LOST)
			return; /* its step told nothing */
		if (f->kind == DEAD || f->kind == DEAD_NIC)
			v = VERDICT_NOT_MEASURED;
		else if (v != VERDICT_NOT_MEASURED)
			v = f->kind == CLOSE ? VERDICT_INCONCLUSIVE : VERDICT_FAIL;
	}
	add(w, from, "rate", subject(w, from, to, nic), v,
	    v == VERDICT_FAIL           ? 31.2
	    : v == VERDICT_INCONCLUSIVE ? 48.0
					: 49 + 0.001 * (from + to));
}

/* Up to 128 nodes all pairs, above each with five others. */
static void fill(struct world *w, int rails, const struct fault *faults)
{
	int n = w->fleet.count, reach = n > 128 ? 5 : n - 1;

	for (int from = 0; from < n; from++)
		for (int k = 1; k <= reach; k++)
			for (int nic = rails ? 0 : -1; nic < rails; nic++)
				add_figure(w, faults, from, (from + k) % n, nic);
}

/* ---- sentences ---- */

static const struct {
	const char *name;
	int nodes, rails;
	struct fault faults[4];
	const char *sentences;
} cases[] = {
	{ "all good", 8, 0, { { 0 } }, "" },
	{ "one slow node",
	  8,
	  0,
	  { { NODE, 3, 0 } },
	  "n003: low with 7 of 7 partners, both ways (median 31.20 of 48 GB/s)" },
	{ "one that sends slowly",
	  8,
	  0,
	  { { SENDS, 3, 0 } },
	  "n003: low to 7 of 7 partners (median 31.20 of 48 GB/s)" },
	{ "one slow pair",
	  8,
	  0,
	  { { PAIR, 2, 5 } },
	  "n002 and n005: low both ways, though both are fine with others (31.20 of 48 GB/s)" },
	{ "one slow pair, one way",
	  8,
	  0,
	  { { LOST, 5, 2 }, { PAIR, 2, 5 } },
	  "n002>n005: low, though both are fine with others (31.20 of 48 GB/s)" },
	{ "a slow node, and a pair of others",
	  8,
	  0,
	  { { NODE, 3, 0 }, { PAIR, 1, 6 } },
	  "n003: low with 7 of 7 partners, both ways (median 31.20 of 48 GB/s)|"
	  "n001 and n006: low both ways, though both are fine with others (31.20 of 48 GB/s)" },
	{ "pairs that share a node are no such pair",
	  8,
	  0,
	  { { PAIR, 1, 2 }, { PAIR, 2, 3 } },
	  "4 figures that point at no single node or pair" },
	{ "too close to tell",
	  8,
	  0,
	  { { CLOSE, 4, 0 } },
	  "n004: too close to tell with 7 of 7 partners, both ways (median 48 of 48 GB/s)" },
	{ "partly too close to tell",
	  8,
	  0,
	  { { CLOSE, 4, 0 }, { PAIR, 4, 1 } },
	  "n004: low with 7 of 7 partners, both ways (median 48 of 48 GB/s; 12 too close to "
	  "tell)" },
	{ "a hole is no failure", 8, 0, { { DEAD, 5, 0 } }, "n005: not measured with any partner" },
	{ "a slow node beside a hole",
	  8,
	  0,
	  { { NODE, 3, 0 }, { DEAD, 5, 0 } },
	  "n003: low with 6 of 6 partners, both ways (median 31.20 of 48 GB/s; 2 not measured)|"
	  "n005: not measured with any partner" },
	{ "two nodes have nobody to compare with", 2, 0, { { PAIR, 1, 2 } }, "" },
	{ "three of which all are slow",
	  3,
	  0,
	  { { NODE, 1, 0 }, { NODE, 2, 0 } },
	  "between all 3 nodes: all 6 figures are low (median 31.20 of 48 GB/s)" },
	{ "three of which one is slow",
	  3,
	  0,
	  { { NODE, 1, 0 } },
	  "n001: low with 2 of 2 partners, both ways (median 31.20 of 48 GB/s)" },
	{ "a pair that nobody else can be held against",
	  3,
	  0,
	  { { PAIR, 1, 2 }, { DEAD, 3, 0 } },
	  "2 figures that point at no single node or pair|n003: not measured with any partner" },
	{ "one slow NIC",
	  8,
	  8,
	  { { NIC, 3, 2 } },
	  "n003 nic2: low with 7 of 7 partners, both ways (median 31.20 of 48 GB/s)" },
	{ "one slow node of eight NICs",
	  8,
	  8,
	  { { NODE, 3, 0 } },
	  "n003, all 8 NICs: low with 56 of 56 figures, both ways (median 31.20 of 48 GB/s)" },
	{ "one slow rail",
	  64,
	  8,
	  { { RAIL, 5, 0 } },
	  "rail 5: all 4032 figures are low (median 31.20 of 48 GB/s)" },
	{ "a slow rail, and a slow node",
	  64,
	  8,
	  { { RAIL, 5, 0 }, { NODE, 23, 0 } },
	  "rail 5: all 4032 figures are low (median 31.20 of 48 GB/s)|"
	  "n023, all 7 other NICs: low with 441 of 441 figures, both ways (median 31.20 of 48 "
	  "GB/s)" },
	{ "a slow pair on all NICs",
	  8,
	  8,
	  { { PAIR, 2, 5 } },
	  "n002 and n005: low between 8 of their NICs, though both are fine with others (worst "
	  "31.20 of 48 GB/s)" },
	{ "a NIC that is down",
	  8,
	  8,
	  { { DEAD_NIC, 6, 1 } },
	  "n006 nic1: not measured with any partner" },
	{ "129 nodes, one slow",
	  129,
	  0,
	  { { NODE, 50, 0 } },
	  "n050: low with 5 of 5 partners, both ways (median 31.20 of 48 GB/s)" },
	{ "129 nodes, one slow NIC",
	  129,
	  8,
	  { { NIC, 50, 7 } },
	  "n050 nic7: low with 5 of 5 partners, both ways (median 31.20 of 48 GB/s)" },
};

static char *said(struct world *w)
{
	struct pairs_list *l = pairs_collect(&w->in);
	struct text t;

	text_init(&t);
	for (int i = 0; i < l->count; i++) {
		int n;
		char **sentences = pairs_say(&w->in, &l->items[i], &n);

		for (int k = 0; k < n; k++)
			text_addf(&t, "%s%s", t.len ? "|" : "", sentences[k]);
		pairs_sentences_free(sentences, n);
	}
	pairs_free(l);
	return text_detach(&t);
}

static void sentences_name_what_is_common(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		char *text;

		print_message("  %s\n", cases[i].name);
		build(&w, cases[i].nodes, NULL);
		fill(&w, cases[i].rails, cases[i].faults);
		text = said(&w);
		assert_string_equal(text, cases[i].sentences);
		free(text);
		tear_down(&w);
	}
}

/* ---- which findings are pairs ---- */

static const struct {
	const char *subject;
	int step, pairs; /* step 0 is n001's; 4 the one in which n001 was to meet n002 */
} subjects[] = {
	{ "n001>n002", 0, 1 },
	{ "n001<n002", 0, 1 },
	{ "n001/nic0>n002/nic3", 0, 1 },
	{ "n001/nic0<n002/nic0", 0, 1 },
	{ "n001", 0, 0 },
	{ "n001", 4, 1 }, /* a hole of the whole step */
	{ "n001>n001", 0, 0 },
	{ "n001>n009", 0, 0 },
	{ "n001>", 0, 0 },
	{ "n002>n001", 0, 0 }, /* told by another than its first node */
	{ "n0010>n002", 0, 0 },
	{ "n001/>n002", 0, 0 },
	{ "n001/nic0>n002", 0, 0 },
	{ "n001>n002/nic0", 0, 0 },
	{ "n001/nic0>n002/gpu0", 0, 0 },
	{ "n001/nic<img>>n002/nic0", 0, 0 },
	{ "n001/nic0>n002/nic0 ", 0, 0 },
	{ "n001/nic99999>n002/nic99999", 0, 0 },
	{ "n001/gpu0>gpu1", 0, 0 },
};

static void only_pairs_of_the_fleet_are_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct pairs_list *l;
		struct world w;

		print_message("  %s\n", subjects[i].subject);
		build(&w, 4, NULL);
		add(&w, subjects[i].step, "rate", xstrdup(subjects[i].subject),
		    VERDICT_NOT_MEASURED, 0);
		l = pairs_collect(&w.in);
		assert_int_equal(l->count, subjects[i].pairs);
		assert_int_equal(l->of_finding[0], subjects[i].pairs - 1);
		pairs_free(l);
		tear_down(&w);
	}
}

/* A step that was lost is a hole from its node to the other on every rail, and nowhere else. */
static void lost_steps_are_holes_where_nothing_was_told(void **state)
{
	struct pairs_list *l;
	struct pairs *p;
	struct world w;

	(void)state;
	build(&w, 4, NULL);
	fill(&w, 2, (struct fault[]){ { LOST, 1, 2 }, { 0 } });
	add(&w, 4, "rate", xstrdup("n001"), VERDICT_NOT_MEASURED, 0);
	add(&w, 5, "rate", xstrdup("n002"), VERDICT_NOT_MEASURED, 0); /* but it told all */
	l = pairs_collect(&w.in);
	assert_int_equal(l->count, 1);
	p = &l->items[0];
	assert_int_equal(p->rail_count, 2);
	assert_int_equal(p->count, 2 * 4 * 3);
	assert_int_equal(p->of[VERDICT_NOT_MEASURED], 2);
	for (int i = 0; i < p->count; i++)
		if (p->items[i].f->verdict == VERDICT_NOT_MEASURED) {
			assert_int_equal(p->items[i].from, 0);
			assert_int_equal(p->items[i].to, 1);
		}
	pairs_free(l);
	tear_down(&w);
}

/* A step over a rail says which by its unit, whatever the NIC is called, and is a hole of it alone.
 */
static void rails_are_those_of_the_steps(void **state)
{
	static const char *const own[] = { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "nic5" };
	struct pairs_list *l;
	struct world w;

	(void)state;
	build(&w, 4, NULL);
	for (int i = 0; i < 6; i++) { /* n001 .. n004, and the two of a pair */
		struct step *s = &w.plan.steps[i];

		s->check = check_find("rail_pair");
		s->values = (const char **)(uintptr_t)own;
		snprintf(s->unit, sizeof(s->unit), "r1.rail%d", i < 4 ? 2 : 3);
	}
	add(&w, 0, "rate", xstrdup("n001/nic4>n002/nic4"), VERDICT_PASS, 40);
	add(&w, 4, "rate", xstrdup("n001"), VERDICT_NOT_MEASURED, 0);
	l = pairs_collect(&w.in);
	assert_int_equal(l->count, 1);
	assert_int_equal(l->items[0].rail_count, 2);
	assert_int_equal(l->items[0].rails[0], 2);
	assert_int_equal(l->items[0].rails[1], 3);
	assert_int_equal(l->items[0].count, 2);
	assert_int_equal(l->items[0].nics[l->items[0].items[1].from_nic], 5);
	pairs_free(l);
	tear_down(&w);
}

/* ---- pictures ---- */

static int count_of(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static char *page(struct world *w)
{
	struct pairs_list *l = pairs_collect(&w->in);
	struct text t;

	text_init(&t);
	report_pairs_html(&w->in, l, &t);
	pairs_free(l);
	return text_detach(&t);
}

/* As a browser takes it: text and attributes without markup in them, and each element ended. */
static void assert_well_formed(const char *html)
{
	char open[64][24];
	int depth = 0;

	for (const char *s = html; (s = strchr(s, '<')); s++) {
		const char *end = strchr(s, '>');
		int len = (int)strspn(s + 1, "abcdefghijklmnopqrstuvwxyz123");

		assert_non_null(end);
		assert_null(memchr(s + 1, '<', (size_t)(end - s - 1)));
		if (s[1] == '/') {
			assert_true(depth > 0);
			depth--;
			assert_memory_equal(s + 2, open[depth], strlen(open[depth]));
		} else if (end[-1] != '/') {
			assert_true(len > 0 && len < 24 && depth < 64);
			snprintf(open[depth++], sizeof(open[0]), "%.*s", len, s + 1);
		}
	}
	assert_int_equal(depth, 0);
}

static const struct {
	const char *name;
	int nodes, rails;
	struct fault faults[3];
	size_t most; /* bytes */
	const char *holds[6], *lacks[3];
} pictures[] = {
	{ "no picture of two nodes", 2, 0, { { PAIR, 1, 2 } }, 0, { NULL }, { "<svg" } },
	{ "8 nodes with values",
	  8,
	  0,
	  { { NODE, 3, 0 } },
	  40000,
	  { "class=\"f\" x=", ">31.2</text>",
	    "<title>n003&gt;n001: 31.20 GB/s, wanted &gt;= 48 "
	    "GB/s, fail</title>",
	    "class=\"b\" text-anchor=\"end\"" },
	  { "rail 0", "hatch-fine)" } },
	{ "8 nodes, a hole",
	  8,
	  0,
	  { { DEAD, 3, 0 } },
	  40000,
	  { "<path fill=\"url(#hatch)\" d=\"M", "<title>n003&gt;n001: not measured: "
						"the port is down</title>" },
	  { ">0</text>", "class=\"f\"" } },
	{ "8 nodes, 8 rails",
	  8,
	  8,
	  { { NIC, 3, 2 } },
	  200000,
	  { "<figcaption>rail 0</figcaption>",
	    "<figcaption>rail 2 <span class=\"fail\">14 fail</span>", "<figcaption>rail 7<" },
	  { "rail 8" } },
	{ "64 nodes",
	  64,
	  0,
	  { { NODE, 23, 0 } },
	  900000,
	  { "<path class=\"m\" stroke-width=\".6\" d=\"M22.2 0.5h.6", ">n023</text>" },
	  { ">49.0</text>" } },
	{ "64 nodes, 8 rails: texts only where it matters",
	  64,
	  8,
	  { { RAIL, 5, 0 } },
	  1500000,
	  { "<title>n001/nic5&gt;n002/nic5",
	    "<title>from n001 to 63 others: ", "<span class=\"fail\">4032 fail</span>" },
	  { "<title>n001/nic4" } },
	{ "129 nodes are a strip",
	  129,
	  0,
	  { { NODE, 50, 0 } },
	  60000,
	  { "<path class=\"dot\" d=\"M", "<path class=\"cross\" d=\"M", "The lowest 20",
	    ">limit</text>", "<td>n050</td><td class=\"n\">31.20 GB/s</td>" },
	  { "class=\"c0\"" } },
	{ "129 nodes, 8 rails",
	  129,
	  8,
	  { { NIC, 50, 7 }, { DEAD_NIC, 60, 1 } },
	  300000,
	  { "<figcaption>rail 7 <span class=\"fail\">10 fail</span>", "<td>n050 nic7</td>",
	    "not measured</text>" },
	  { NULL } },
	{ "3000 nodes are medians",
	  3000,
	  8,
	  { { NIC, 50, 7 } },
	  400000,
	  { "<path class=\"median\" d=\"M", "<td>n050 nic7</td>", "<title>n050: median" },
	  { "class=\"dot\"" } },
};

static void pictures_show_what_there_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pictures); i++) {
		struct world w;
		char *html;

		print_message("  %s\n", pictures[i].name);
		build(&w, pictures[i].nodes, NULL);
		fill(&w, pictures[i].rails, pictures[i].faults);
		html = page(&w);
		assert_well_formed(html);
		if (strlen(html) > pictures[i].most)
			fail_msg("%zu bytes", strlen(html));
		for (int k = 0; k < 6 && pictures[i].holds[k]; k++)
			if (!strstr(html, pictures[i].holds[k]))
				fail_msg("lacks %s", pictures[i].holds[k]);
		for (int k = 0; k < 3 && pictures[i].lacks[k]; k++)
			if (strstr(html, pictures[i].lacks[k]))
				fail_msg("holds %s", pictures[i].lacks[k]);
		free(html);
		tear_down(&w);
	}
}

/* The caption of a map: what is wanted, unless that is not one thing. */
static const struct {
	const char *name, *limits[2]; /* of the first figure and of the others */
	int recorded;
	const char *holds;
} captions[] = {
	{ "one limit",
	  { "48 GB/s", "48 GB/s" },
	  0,
	  "<p class=\"why\">12 figures of 4 nodes in GB/s, wanted &gt;= 48 GB/s; 12 pass</p>" },
	{ "two limits",
	  { "40 GB/s", "48 GB/s" },
	  0,
	  "<p class=\"why\">12 figures of 4 nodes in GB/s; not all have the same limit, one is "
	  "&gt;= 40 GB/s; 12 pass</p>" },
	{ "a limit of markup", { "<b>", "<b>" }, 0, " in GB/s, wanted &lt;b&gt;; 12 pass</p>" },
	{ "no limit", { NULL, NULL }, 0, " in GB/s, without limit; 12 pass</p>" },
	{ "recorded", { NULL, NULL }, 1, " in GB/s, not judged</p>" },
};

static void captions_say_what_is_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(captions); i++) {
		struct world w;
		char *html;

		print_message("  %s\n", captions[i].name);
		build(&w, 4, NULL);
		fill(&w, 0, (struct fault[]){ { 0 } });
		for (int k = 0; k < w.judgement.count; k++) {
			struct finding *f = &w.judgement.items[k];
			const char *limit = captions[i].limits[k > 0];

			free(f->limit_text);
			f->limit_text = limit ? xstrdup(limit) : NULL;
			f->recorded = captions[i].recorded;
		}
		html = page(&w);
		if (!strstr(html, captions[i].holds))
			fail_msg("lacks %s", captions[i].holds);
		free(html);
		tear_down(&w);
	}
}

/* Each cell of a map is there once: a value, a hole, or bare ground. */
static void maps_are_whole(void **state)
{
	struct world w;
	char *html;

	(void)state;
	build(&w, 8, NULL);
	fill(&w, 0, (struct fault[]){ { DEAD, 3, 0 }, { LOST, 1, 2 }, { 0 } });
	html = page(&w);
	assert_int_equal(count_of(html, ".5h1\"><title>"), 8 * 7 - 14 - 1);
	assert_int_equal(count_of(html, "\"url(#hatch)\" d=\"M"), 14 + 1); /* and one in the key */
	assert_int_equal(count_of(html, "<title>"), 8 * 7 - 1);
	free(html);
	tear_down(&w);
}

static void names_never_become_markup(void **state)
{
	/* maps with values, one a rail, one with texts of whole rows, and strips */
	static const int sizes[][2] = { { 5, 0 }, { 5, 2 }, { 128, 0 }, { 130, 0 }, { 130, 2 } };
	char *names[130] = {
		xstrdup("<img src=x onerror=y>"),
		xstrdup("\"n2\""),
		xstrdup("n3'&amp;"),
		xstrdup("</svg><script>"),
		xstrdup("n\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"),
	};

	(void)state;
	for (size_t i = 5; i < ARRAY_SIZE(names); i++)
		names[i] = xasprintf("<img src=%zu>", i);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct world w;
		char *html;

		build(&w, sizes[i][0], (const char *const *)names);
		fill(&w, sizes[i][1], (struct fault[]){ { NODE, 1, 0 }, { DEAD, 2, 0 }, { 0 } });
		add(&w, 1, "rate", xstrdup("\"n2\"/nic0\"><b>>n3'&amp;/nic0"), VERDICT_FAIL, 3);
		for (int k = 0; k < w.judgement.count; k++)
			w.judgement.items[k].unit = "<b>";
		html = page(&w);
		assert_well_formed(html);
		assert_null(strstr(html, "<img"));
		assert_null(strstr(html, "<script"));
		assert_null(strstr(html, "</svg><script"));
		assert_null(strstr(html, "<b>"));
		assert_non_null(strstr(html, "&lt;img src=x onerror=y&gt;"));
		free(html);
		tear_down(&w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		free(names[i]);
}

/* What physics forbids has a number and is no value; what no limit judges is one. */
static void only_values_have_colours(void **state)
{
	static const struct {
		struct finding f;
		int has_value;
	} values[] = {
		{ { .samples = 6, .verdict = VERDICT_PASS, .limit_text = (char *)"1" }, 1 },
		{ { .samples = 6, .verdict = VERDICT_FAIL, .limit_text = (char *)"1" }, 1 },
		{ { .samples = 6, .verdict = VERDICT_NOT_MEASURED }, 1 },
		{ { .samples = 6, .verdict = VERDICT_NOT_MEASURED, .limit_text = (char *)"1" }, 0 },
		{ { .samples = 0, .verdict = VERDICT_NOT_MEASURED }, 0 },
		{ { .samples = 6,
		    .verdict = VERDICT_WAIVED,
		    .limit_text = (char *)"1",
		    .why = (char *)"not-measured, waived by J.: x" },
		  0 },
		{ { .samples = 6,
		    .verdict = VERDICT_WAIVED,
		    .limit_text = (char *)"1",
		    .why = (char *)"fail, waived by J.: x" },
		  1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_int_equal(pair_has_value(&values[i].f), values[i].has_value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sentences_name_what_is_common),
		cmocka_unit_test(only_pairs_of_the_fleet_are_pairs),
		cmocka_unit_test(lost_steps_are_holes_where_nothing_was_told),
		cmocka_unit_test(rails_are_those_of_the_steps),
		cmocka_unit_test(pictures_show_what_there_is),
		cmocka_unit_test(captions_say_what_is_wanted),
		cmocka_unit_test(maps_are_whole),
		cmocka_unit_test(names_never_become_markup),
		cmocka_unit_test(only_values_have_colours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
