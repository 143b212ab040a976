/* cmd_telemetry.c - RUN/telemetry/ for people and for plotting programs. */
#include "harness/options.h"
#include "harness/telemetry.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR = 3600 };

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void print_node(const char *run, char *node)
{
	char first[32], last[32];
	struct error ignored; /* a node that never sent a whole line */
	double from, to;

	if (telemetry_span(run, node, 0, &from, &to, &ignored) == 0) {
		clock_text(from, first);
		clock_text(to, last);
		printf("%-24s %s to %s\n", node, first, last);
	}
	free(node);
}

static int list_nodes(const char *run, struct error *err)
{
	char *path = xasprintf("%s/telemetry", run), **names = NULL;
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		error_sys(err, "cannot list %s", path);
	free(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		static const char suffix[] = ".jsonl";

		if (len < sizeof(suffix) ||
		    strcmp(entry->d_name + len + 1 - sizeof(suffix), suffix))
			continue;
		names = grow(names, (size_t)count, sizeof(*names));
		names[count++] = xstrndup(entry->d_name, len + 1 - sizeof(suffix));
	}
	closedir(dir);
	if (count)
		qsort(names, (size_t)count, sizeof(*names), by_name);
	for (int i = 0; i < count; i++)
		print_node(run, names[i]);
	free(names);
	return 0;
}

/* Milliseconds behind the second, as programs that plot read it. */
static void print_time(double t)
{
	char text[32];
	double ms = floor((t - floor(t)) * 1e3);

	clock_text(floor(t), text);
	printf("%.19s.%03.0fZ", text, ms);
}

/* What a node says may be hostile to a terminal. */
static void print_safe(const char *text)
{
	struct text t;

	text_init(&t);
	text_add_printable(&t, text);
	fputs(t.data, stdout);
	text_release(&t);
}

static void print_marks(const struct telemetry *t)
{
	for (int i = 0; i < t->mark_count; i++) {
		const struct telemetry_mark *m = &t->marks[i];

		print_time(m->t);
		printf(" ");
		print_safe(*m->part ? m->part : "node");
		printf(" ");
		print_safe(m->what);
		printf(": ");
		print_safe(m->text);
		printf("\n");
	}
}

static void print_points(const struct telemetry *t)
{
	for (int i = 0; i < t->series_count; i++) {
		const struct telemetry_series *s = &t->series[i];
		char name[128];

		series_name(s->about.part, s->about.name, name);
		for (int k = 0; k < s->count; k++) {
			const struct telemetry_point *p = &s->points[k];

			print_time(p->t);
			printf(",\"");
			for (const char *c = name; *c; c++)
				printf("%s%c", *c == '"' ? "\"" : "",
				       (unsigned char)*c < 0x20 ? '?' : *c);
			printf("\",%.10g,%.10g,%.10g\n", p->mean, p->least, p->most);
		}
	}
}

/* Hour by hour: all series of three days are more than fits into memory. */
static int print_node_telemetry(const char *run, const char *node, const char *pattern,
				struct error *err)
{
	const char *const patterns[] = { pattern ? pattern : "", NULL };
	double from, to;

	if (telemetry_span(run, node, 0, &from, &to, err) < 0)
		return -1;
	if (pattern)
		printf("time,series,mean,least,most\n");
	for (double at = from; at <= to; at += HOUR) {
		const struct telemetry_wish wish = { .from = at,
						     .to = nextafter(at + HOUR, 0),
						     .patterns = patterns };
		struct telemetry *t = telemetry_load(run, node, &wish, err);

		if (!t)
			return -1;
		if (pattern)
			print_points(t);
		else
			print_marks(t);
		telemetry_free(t);
	}
	return 0;
}

int cmd_telemetry(const struct arguments *a)
{
	struct error err;
	int rc;

	if (a->word_count == 1)
		rc = list_nodes(a->words[0], &err);
	else
		rc = print_node_telemetry(a->words[0], a->words[1],
					  a->word_count > 2 ? a->words[2] : NULL, &err);
	return rc < 0 ? fail_with(EXIT_USAGE, &err) : 0;
}
