/* options.c - parsing and printing what options.h lists. */
#include "harness/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *argument, *help;
} table[] = {
#define OPTION_ROW(id, name, arg, help) { name, arg, help },
	OPTIONS(OPTION_ROW)
};

const char *option_name(enum opt o)
{
	return table[o].name;
}

const char *option_argument(enum opt o)
{
	return table[o].argument;
}

const char *option_help(enum opt o)
{
	return table[o].help;
}

/* The options of a command in getopt's form; the last one is always --help. */
static void fill(const struct command *c, struct option *out)
{
	for (int i = 0;; i++) {
		enum opt o = c->options[i];

		out[i] = (struct option){ table[o].name,
					  table[o].argument ? required_argument : no_argument, NULL,
					  (int)o + 256 };
		if (o == OPT_HELP)
			return;
	}
}

static int take(struct arguments *a, enum opt o, const char *value, struct error *err)
{
	if (o == OPT_SET) {
		if (a->set_count == SETS_MOST)
			return error_set(err, "more than %d times --set", SETS_MOST);
		a->sets[a->set_count++] = value;
		return 0;
	}
	if (o == OPT_SRUN) {
		if (a->srun_count == SETS_MOST)
			return error_set(err, "more than %d times --srun", SETS_MOST);
		a->srun[a->srun_count++] = value;
		return 0;
	}
	if (a->value[o])
		return error_set(err, "--%s is given twice", table[o].name);
	a->value[o] = value ? value : "";
	return 0;
}

static int take_words(const struct command *c, int argc, char **argv, struct arguments *a,
		      struct error *err)
{
	for (int i = 0; i < argc; i++) {
		if (a->word_count == c->most)
			return error_set(err, "'%.80s' is one word too many; see `assay %s --help`",
					 argv[i], c->name);
		a->words[a->word_count++] = argv[i];
	}
	if (a->word_count < c->least && !a->value[OPT_HELP])
		return error_set(err, "%s is missing; see `assay %s --help`", c->words, c->name);
	return 0;
}

int arguments_parse(const struct command *c, int argc, char **argv, struct arguments *a,
		    struct error *err)
{
	struct option list[OPTION_COUNT + 1] = { 0 };
	int code;

	fill(c, list);
	opterr = 0;
	optind = 1;
	while ((code = getopt_long(argc, argv, ":o:h", list, NULL)) != -1) {
		enum opt o = code == 'o'   ? OPT_OUT
			     : code == 'h' ? OPT_HELP
					   : (enum opt)(code - 256);

		if (code == '?')
			return error_set(err, "unknown option '%.80s'; see `assay %s --help`",
					 argv[optind - 1], c->name);
		if (code == ':')
			return error_set(err, "option '%.80s' needs a value", argv[optind - 1]);
		if (take(a, o, optarg, err) < 0)
			return -1;
	}
	return take_words(c, argc - optind, argv + optind, a, err);
}

void print_wrapped(const char *text, int indent, int width)
{
	int column = indent;

	printf("%*s", indent, "");
	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > indent && column + 1 + n > width) {
			printf("\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", n, text);
		column += n;
		text += n + (text[n] == ' ');
	}
	putchar('\n');
}

void command_help(const struct command *c)
{
	printf("usage: assay %s%s%s [options]\n\n", c->name, *c->words ? " " : "", c->words);
	print_wrapped(c->about, 0, 78);
	printf("\noptions:\n");
	for (int i = 0;; i++) {
		enum opt o = c->options[i];
		char left[64];

		snprintf(left, sizeof(left), "%s--%s%s%s", o == OPT_OUT ? "-o, " : "",
			 table[o].name, table[o].argument ? " " : "",
			 table[o].argument ? table[o].argument : "");
		printf("  %-26s %s\n", left, table[o].help);
		if (o == OPT_HELP)
			break;
	}
	printf("\nexample:\n  %s\n", c->example);
}
