/*
 * scenario.c - what the devices do, one fact a line: WHERE KEY [VALUE], '#' begins a comment.
 *
 * WHERE is a pattern for the names of devices, or NODE:PATTERN, for the steps of one node. The file
 * is ROOT/lib/verbs.txt of the recorded machine that the library lies in, else what
 * ASSAY_VERBS_DOUBLE names. A word that is not known ends the process: a typing error in a test
 * must not pass for a healthy NIC.
 */
#include "tests/doubles/verbs/verbs.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOW_ENOUGH = 100000000 }; /* bytes a second, so that tests have time to look */

void double_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("assay double of libibverbs: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

double double_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const struct key {
	const char *name;
	enum { NUMBER, WHOLE, FLAG } type;
	size_t offset;
} keys[] = {
	{ "rate", NUMBER, offsetof(struct rules, rate) },
	{ "slow", NUMBER, offsetof(struct rules, slow) },
	{ "dead", NUMBER, offsetof(struct rules, dead) },
	{ "down", FLAG, offsetof(struct rules, down) },
	{ "wrong_path", FLAG, offsetof(struct rules, wrong_path) },
	{ "memlock", FLAG, offsetof(struct rules, memlock) },
	{ "corrupt", WHOLE, offsetof(struct rules, corrupt) },
	{ "loses", WHOLE, offsetof(struct rules, loses) },
	{ "forgets", WHOLE,
	  offsetof(struct rules, forgets) }, /* what came, though it says it has it */
	{ "inline", WHOLE, offsetof(struct rules, max_inline) },
};

static void rule_set(struct rules *rules, const char *name, const char *value, const char *where)
{
	char *end = NULL, *at;
	double number = value ? strtod(value, &end) : 0;

	for (size_t i = 0; i < COUNT(keys); i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if ((keys[i].type == FLAG) != !value || (value && (end == value || *end)))
			double_die("%s: '%s' takes %s number", where, name,
				   keys[i].type == FLAG ? "no" : "a");
		at = (char *)rules + keys[i].offset;
		if (keys[i].type == NUMBER)
			*(double *)(void *)at = number;
		else
			*(int *)(void *)at = keys[i].type == FLAG ? 1 : (int)number;
		return;
	}
	double_die("%s: '%s' is not known here", where, name);
}

/* The name that a step of a run bears: assay step ... --node NAME. */
static void node_name(char *out, size_t room)
{
	FILE *f = fopen("/proc/self/cmdline", "re");
	char text[4096];
	size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	*out = '\0';
	text[len] = '\0';
	for (const char *word = text; word < text + len; word += strlen(word) + 1)
		if (!strcmp(word, "--node"))
			snprintf(out, room, "%s", word + strlen(word) + 1);
	if (f)
		fclose(f);
}

static int is_meant(const struct device *d, char *where)
{
	char node[256], *colon = strchr(where, ':');

	if (!colon)
		return fnmatch(where, d->v.name, 0) == 0;
	*colon = '\0';
	node_name(node, sizeof(node));
	return fnmatch(where, node, 0) == 0 && fnmatch(colon + 1, d->v.name, 0) == 0;
}

static void line_read(struct device *d, char *line, const char *where)
{
	char *words[3] = { NULL }, *save = NULL, *more;
	int n = 0;

	line[strcspn(line, "#\n")] = '\0';
	for (more = strtok_r(line, " \t", &save); more && n < 3;
	     more = strtok_r(NULL, " \t", &save))
		words[n++] = more;
	if (n == 0)
		return;
	if (n < 2 || more)
		double_die("%s: not WHERE KEY [VALUE]", where);
	if (is_meant(d, words[0]))
		rule_set(&d->rules, words[1], words[2], where);
}

void rules_read(struct device *d)
{
	const char *named = getenv("ASSAY_VERBS_DOUBLE");
	char path[600], line[256], where[700];
	FILE *f;

	d->rules = (struct rules){ .rate = SLOW_ENOUGH, .slow = 1, .dead = -1, .max_inline = 220 };
	snprintf(path, sizeof(path), "%s/lib/verbs.txt", d->root);
	if (!*d->root || access(path, F_OK) < 0)
		snprintf(path, sizeof(path), "%s", named ? named : "");
	if (!*path)
		return;
	f = fopen(path, "re");
	if (!f)
		double_die("%s cannot be read", path);
	for (int number = 1; fgets(line, sizeof(line), f); number++) {
		snprintf(where, sizeof(where), "%s:%d", path, number);
		line_read(d, line, where);
	}
	fclose(f);
	snprintf(assay_double, 320, "assay double of libibverbs, scenario %.255s", path);
}
