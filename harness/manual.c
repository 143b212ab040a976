/* manual.c - man page and bash completion, from the same tables as --help. */
#include "harness/options.h"
#include "harness/version.h"

#include <stdio.h>
#include <string.h>

/* roff: a leading dot or quote is a request, a backslash an escape, a hyphen a hyphen. */
static void put(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

static void put_line(const char *macro, const char *text)
{
	fputs(macro, stdout);
	put(text);
	putchar('\n');
}

static void put_command(const struct command *c)
{
	printf(".SS \"assay ");
	put(c->name);
	printf("%s%s\"\n", *c->words ? " " : "", c->words);
	put_line("", c->about);
	for (int i = 0; c->options[i] != OPT_HELP; i++) {
		enum opt o = c->options[i];

		printf(".TP\n.B \\-\\-");
		put(option_name(o));
		printf("%s%s\n", option_argument(o) ? " " : "",
		       option_argument(o) ? option_argument(o) : "");
		put_line("", option_help(o));
	}
	put_line(".PP\nExample:\n.RS\n", c->example);
	printf(".RE\n");
}

int cmd_manual(const struct arguments *a)
{
	(void)a;
	printf(".TH ASSAY 1 \"\" \"assay %s\" \"User commands\"\n", ASSAY_VERSION);
	printf(".SH NAME\nassay \\- accepts GPU clusters: measures, judges, points at the guilty "
	       "part\n");
	printf(".SH SYNOPSIS\n.B assay\nCOMMAND [options]\n.SH COMMANDS\n");
	for (const struct command *c = commands; c->name; c++)
		if (!c->hidden)
			put_command(c);
	printf(".SH EXIT STATUS\n.TP\n0\naccepted\n.TP\n1\nrejected: a figure "
	       "failed\n.TP\n2\nusage or spec "
	       "error\n.TP\n3\nnot accepted, because something was not measured or stayed "
	       "inconclusive\n.TP\n4\n"
	       "the harness itself failed\n");
	printf(".SH FILES\n.TP\nRUN/journal.jsonl\nall that was measured, one JSON line an event\n"
	       ".TP\nRUN/spec.yaml, RUN/profile.yaml\nas used, with everything they extend\n"
	       ".TP\nRUN/report.*\nthe reports\n"
	       ".TP\nRUN/hosts.pass, RUN/hosts.fail, RUN/hosts.lost, RUN/hosts.incomplete\n"
	       "nodes by their outcome, one host list each\n");
	return 0;
}

int cmd_completion(const struct arguments *a)
{
	(void)a;
	printf("# bash completion for assay, made by `assay completion`\n_assay() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words\n\tcase \"${COMP_WORDS[*]:1}\" in\n");
	for (const struct command *c = commands; c->name; c++) {
		if (c->hidden)
			continue;
		printf("\t\"%s \"*) words=\"", c->name);
		for (int i = 0;; i++) {
			printf("%s--%s", i ? " " : "", option_name(c->options[i]));
			if (c->options[i] == OPT_HELP)
				break;
		}
		printf("\" ;;\n");
	}
	printf("\t\"spec \"*) words=\"list show check derive\" ;;\n\t\"check \"*) words=\"list "
	       "show\" ;;\n"
	       "\t*) words=\"");
	for (const struct command *c = commands; c->name; c++)
		if (!c->hidden && !strchr(c->name, ' '))
			printf("%s ", c->name);
	printf("spec check\" ;;\n\tesac\n"
	       "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n}\n"
	       "complete -o filenames -F _assay assay\n");
	return 0;
}
