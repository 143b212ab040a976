/*
 * program.c - checks that a site describes in YAML: any other program, its figures and its exit
 * codes.
 *
 * To the rest of the harness such a program is a check with the program's name: its figures become
 * metrics, limits are keyed by it, a profile lists it.
 */
#include "harness/judge.h"
#include "harness/load.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define AT(type, member) offsetof(struct type, member)

struct figure_texts {
	const char *unit, *better, *judge, *json, *regex;
};

static const struct field figure_fields[] = {
	{ "unit", 0, load_text, AT(figure_texts, unit) },
	{ "better", 1, load_text, AT(figure_texts, better) },
	{ "judge", 0, load_text, AT(figure_texts, judge) },
	{ "json", 0, load_text, AT(figure_texts, json) },
	{ "regex", 0, load_text, AT(figure_texts, regex) },
	{ 0 },
};

struct better_word {
	const char *word;
	enum better better;
	enum judged judged;
};

static const struct better_word better_words[] = {
	{ "more", MORE, BY_MEDIAN },
	{ "less", LESS, BY_MEDIAN },
	{ "zero", NONE, BY_EVERY },
};

static const struct better_word *find_better(struct load *l, const struct yaml *y, const char *word)
{
	for (size_t i = 0; word && i < ARRAY_SIZE(better_words); i++)
		if (!strcmp(better_words[i].word, word))
			return &better_words[i];
	if (word)
		complain(l->c, &y->at, "better: '%s' is none of more, less, zero", word);
	return NULL;
}

static void check_expression(struct load *l, const struct yaml *y, const struct figure_texts *t)
{
	char why[200];
	regex_t re;
	int rc;

	if (!t->json == !t->regex)
		complain(l->c, &y->at, "a figure needs either json or regex");
	for (const char *s = t->json ? t->json : t->regex; s && *s; s++)
		if (*s == '\n' || *s == '\t') {
			complain(l->c, &y->at,
				 "write \\n and \\t instead of the characters themselves");
			return;
		}
	if (!t->regex)
		return;
	rc = regcomp(&re, t->regex, REG_EXTENDED | REG_NEWLINE);
	if (rc) {
		regerror(rc, &re, why, sizeof(why));
		complain(l->c, &yaml_get(y, "regex")->at, "not a regular expression: %s", why);
		return;
	}
	if (re.re_nsub != 1)
		complain(l->c, &yaml_get(y, "regex")->at,
			 "the expression needs exactly one group ( ) around the number, this has "
			 "%zu",
			 re.re_nsub);
	regfree(&re);
}

static int name_fits(const char *name)
{
	if (!islower((unsigned char)*name))
		return 0;
	for (; *name; name++)
		if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) &&
		    *name != '_')
			return 0;
	return 1;
}

static void load_figure(struct load *l, const struct yaml *map, int i, struct program *p)
{
	const struct yaml *y = map->items[i];
	struct figure_texts t = { 0 };
	const struct better_word *better;
	enum dimension dim;
	double factor;

	if (load_map(l, y, "a figure", figure_fields, &t) < 0)
		return;
	if (!name_fits(map->keys[i]))
		complain(l->c, &map->key_at[i], "a figure's name is made of a-z, 0-9 and _");
	better = find_better(l, y, t.better);
	if (t.unit && unit_find(t.unit, &dim, &factor) < 0) {
		complain(l->c, &yaml_get(y, "unit")->at, "unknown unit '%s'", t.unit);
		t.unit = NULL; /* a limit may still look at it */
	}
	if (t.judge && strcmp(t.judge, "median") != 0 && strcmp(t.judge, "every") != 0)
		complain(l->c, &yaml_get(y, "judge")->at, "judge: '%s' is neither median nor every",
			 t.judge);
	check_expression(l, y, &t);
	p->figures[p->figure_count] = (struct program_figure){
		map->keys[i],
		t.json ? FROM_JSON : FROM_REGEX,
		t.json ? t.json : t.regex,
		y->at,
	};
	p->metrics[p->figure_count++] = (struct metric){
		.name = map->keys[i],
		.unit = t.unit ? t.unit : "",
		.better = better ? better->better : MORE,
		.judged = t.judge && !strcmp(t.judge, "every") ? BY_EVERY
			  : better                             ? better->judged
							       : BY_MEDIAN,
		.help = "a figure of a program that the spec describes",
	};
}

static void load_figures(struct load *l, const struct yaml *y, void *into)
{
	struct program *p = into;

	if (load_kind(l, y, YAML_MAP, "figures") < 0)
		return;
	p->figures = xcalloc((size_t)y->count, sizeof(*p->figures));
	p->metrics = xcalloc((size_t)y->count + 1, sizeof(*p->metrics));
	for (int i = 0; i < y->count; i++)
		load_figure(l, y, i, p);
	if (y->count == 0)
		complain(l->c, &y->at, "a program without figures measures nothing");
}

static void load_argv(struct load *l, const struct yaml *y, void *into)
{
	struct program *p = into;
	struct texts t = { 0 };

	if (load_kind(l, y, YAML_LIST, "argv (no shell ever sees it, so words are a list)") < 0)
		return;
	load_texts(l, y, &t);
	p->argv = t.items;
	p->argc = t.count;
	if (t.count == 0 || t.count > 255)
		complain(l->c, &y->at, t.count ? "argv has more than 255 words" : "argv is empty");
	for (int i = 0; i < t.count; i++)
		if (strchr(t.items[i], '\n'))
			complain(l->c, &y->items[i]->at, "an argument holds a line end");
}

static void load_exits(struct load *l, const struct yaml *y, void *into)
{
	struct program *p = into;
	double value;

	if (load_kind(l, y, YAML_LIST, "exit") < 0)
		return;
	for (int i = 0; i < y->count; i++) {
		if (load_quantity(l, y->items[i], DIM_COUNT, &value) < 0)
			continue;
		if (value < 0 || value > 255 || value != (int)value ||
		    p->exit_count == (int)ARRAY_SIZE(p->exits))
			complain(l->c, &y->items[i]->at,
				 "exit codes are at most 16 numbers from 0 to 255");
		else
			p->exits[p->exit_count++] = (int)value;
	}
}

static void load_timeout(struct load *l, const struct yaml *y, void *into)
{
	double *seconds = into;

	if (load_quantity(l, y, DIM_TIME, seconds) == 0 && (*seconds <= 0 || *seconds > 30 * 86400))
		complain(l->c, &y->at, "a timeout is above zero and at most 30 days");
}

static void load_output(struct load *l, const struct yaml *y, void *into)
{
	double *bytes = into;

	if (load_quantity(l, y, DIM_BYTES, bytes) == 0 && (*bytes < 1 || *bytes > 64 << 20))
		complain(l->c, &y->at, "output is between 1 B and 64 MiB");
}

static const struct field program_fields[] = {
	{ "about", 0, load_text, AT(program, about) },
	{ "argv", 1, load_argv, 0 },
	{ "timeout", 1, load_timeout, AT(program, timeout) },
	{ "output", 0, load_output, AT(program, output_most) },
	{ "exit", 0, load_exits, 0 },
	{ "figures", 1, load_figures, 0 },
	{ 0 },
};

void spec_load_programs(struct load *l, const struct yaml *y, void *into)
{
	struct spec *s = into;

	if (load_kind(l, y, YAML_MAP, "programs") < 0)
		return;
	s->programs = xcalloc((size_t)y->count, sizeof(*s->programs));
	for (int i = 0; i < y->count; i++) {
		struct program *p = &s->programs[s->program_count++];

		*p = (struct program){ .name = y->keys[i],
				       .at = y->key_at[i],
				       .output_most = 1 << 20 };
		p->metrics = NULL;
		if (check_find(p->name) || !strcmp(p->name, WATCH_CHECK) || !name_fits(p->name) ||
		    strlen(p->name) > 31)
			complain(l->c, &p->at,
				 "'%s' is the name of a built-in check, or not made of a-z, 0-9 "
				 "and _",
				 p->name);
		load_map(l, y->items[i], "a program", program_fields, p);
		if (!p->metrics)
			p->metrics = xcalloc(1, sizeof(*p->metrics));
		if (p->exit_count == 0)
			p->exit_count = 1; /* just 0 */
	}
}

void spec_free_programs(struct spec *s)
{
	for (int i = 0; i < s->program_count; i++) {
		free(s->programs[i].argv);
		free(s->programs[i].figures);
		free(s->programs[i].metrics);
	}
	free(s->programs);
}

const struct program *spec_program(const struct spec *s, const char *name)
{
	for (int i = 0; i < s->program_count; i++)
		if (!strcmp(s->programs[i].name, name))
			return &s->programs[i];
	return NULL;
}
