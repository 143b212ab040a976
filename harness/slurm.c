/* slurm.c - the words of scontrol. */
#include "harness/slurm.h"

#include "harness/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* scontrol itself gives up on a controller that is silent after 10 s (MessageTimeout). */
enum { SECONDS = 60 };

struct slurm_nodes {
	json_t *by_name; /* name: {state, reason} */
};

static json_t *word_at(const char *s)
{
	return json_stringn(s, strcspn(s, " \n"));
}

/* "bad fan [root@2026-11-21T18:39:17]": who and when are Slurm's, the rest is the reason. */
static json_t *reason_at(const char *s)
{
	size_t n = strcspn(s, "\n");

	for (size_t i = n; n && s[n - 1] == ']' && i > 1; i--)
		if (s[i - 1] == '[' && s[i - 2] == ' ')
			return json_stringn(s, i - 2);
	return json_stringn(s, n);
}

struct slurm_nodes *slurm_nodes_parse(const char *text)
{
	static const char name[] = "NodeName=", state[] = "   State=", reason[] = "   Reason=";
	struct slurm_nodes *n = xcalloc(1, sizeof(*n));
	json_t *node = NULL;

	n->by_name = json_object();
	/* A reason of several lines goes on indented, so it cannot begin a node. */
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		if (!strncmp(line, name, strlen(name))) {
			const char *at = line + strlen(name);
			char *key = xstrndup(at, strcspn(at, " \n"));

			node = json_object();
			json_object_set_new(n->by_name, key, node);
			free(key);
		} else if (node && !strncmp(line, state, strlen(state))) {
			json_object_set_new(node, "state", word_at(line + strlen(state)));
		} else if (node && !strncmp(line, reason, strlen(reason))) {
			json_object_set_new(node, "reason", reason_at(line + strlen(reason)));
		}
		if (!line[strcspn(line, "\n")])
			break;
	}
	return n;
}

struct slurm_nodes *slurm_nodes_read(struct error *err)
{
	static const char *const argv[] = { "scontrol", "--all", "show", "node", NULL };
	struct slurm_nodes *n = NULL;
	struct text out;

	text_init(&out);
	if (command_run(argv, SECONDS, &out, err) == 0)
		n = slurm_nodes_parse(out.data);
	text_release(&out);
	return n;
}

void slurm_nodes_free(struct slurm_nodes *n)
{
	if (!n)
		return;
	json_decref(n->by_name);
	free(n);
}

static const char *member(const struct slurm_nodes *n, const char *node, const char *key)
{
	return json_string_value(json_object_get(json_object_get(n->by_name, node), key));
}

const char *slurm_state(const struct slurm_nodes *n, const char *node)
{
	return member(n, node, "state");
}

const char *slurm_reason(const struct slurm_nodes *n, const char *node)
{
	const char *s = member(n, node, "reason");

	return s ? s : "";
}

int slurm_state_has(const char *state, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = state; (at = strstr(at, word)); at += n)
		if ((at == state || at[-1] == '+') && strchr("+*~#!%$@^-", at[n]))
			return 1;
	return 0;
}

int slurm_update(const char *node, const char *state, const char *reason, struct error *err)
{
	char *name = xasprintf("NodeName=%s", node), *to = xasprintf("State=%s", state),
	     *why = xasprintf("Reason=%s", reason ? reason : "");
	const char *const argv[] = { "scontrol", "update", name, to, reason ? why : NULL, NULL };
	int rc = command_run(argv, SECONDS, NULL, err);

	free(name);
	free(to);
	free(why);
	return rc;
}
