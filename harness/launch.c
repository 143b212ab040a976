/*
 * launch.c - the launchers.
 *
 * ssh hands one line to a shell of the node's. All that goes into it is quoted, so no name and no
 * path can become a command there.
 */
#include "harness/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void launch_add(struct launch_words *w, const char *word)
{
	w->at = xrealloc(w->at, w->count + 2, sizeof(*w->at));
	w->at[w->count++] = xstrdup(word);
	w->at[w->count] = NULL;
}

static char **copy_words(const char *const *words, size_t count)
{
	struct launch_words w = { 0 };

	for (size_t i = 0; i < count; i++)
		launch_add(&w, words[i]);
	return w.at;
}

void launch_free(char **command)
{
	for (char **at = command; at && *at; at++)
		free(*at);
	free(command);
}

/* This very program: /proc/self/exe stays right when the file is replaced during a run. */
static char **local(const struct launch *launch, const char *const *nodes, int count,
		    struct error *err)
{
	const char *const words[] = { "/proc/self/exe", "agent",  "--node",
				      nodes[0],         "--root", launch->root };

	(void)count;
	(void)err;
	return copy_words(words, ARRAY_SIZE(words));
}

/* 'text', as a POSIX shell takes it for one word whatever is in it. */
static void add_quoted(struct text *t, const char *text)
{
	text_add(t, "'");
	for (; *text; text++)
		if (*text == '\'')
			text_add(t, "'\\''");
		else
			text_put(t, text, 1);
	text_add(t, "'");
}

char *launch_program(const struct launch *launch, struct error *err)
{
	char path[4096];
	ssize_t n;

	if (*launch->program)
		return xstrdup(launch->program);
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0) {
		error_sys(err, "cannot tell where this program is");
		return NULL;
	}
	path[n] = '\0';
	return xstrdup(path);
}

/* What a shell of the node's is asked to do. */
static char *remote_line(const struct launch *launch, const char *program, const char *node)
{
	const struct push *push = launch->push;
	struct text line;

	text_init(&line);
	if (push) {
		text_add(&line, "exec sh -c ");
		add_quoted(&line, push_script);
		text_addf(&line, " assay-push %zu %s ", push->len, push->sha256);
		add_quoted(&line, program);
		text_add(&line, " ");
		add_quoted(&line, node);
		text_add(&line, " ");
	} else {
		text_add(&line, "exec ");
		add_quoted(&line, program);
		text_add(&line, " agent --node ");
		add_quoted(&line, node);
		text_add(&line, " --root ");
	}
	add_quoted(&line, launch->root);
	return text_detach(&line);
}

static char **ssh(const struct launch *launch, const char *const *nodes, int count,
		  struct error *err)
{
	char *program = launch_program(launch, err), **command;
	char *line;

	(void)count;
	if (!program)
		return NULL;
	line = remote_line(launch, program, nodes[0]);
	{
		/* A connection that falls silent is cut after 15 s; a host that does not answer,
		 * in 10. */
		const char *const words[] = {
			"ssh", "-T",
			"-F",  launch->ssh_config,
			"-o",  "BatchMode=yes",
			"-o",  "ConnectTimeout=10",
			"-o",  "ServerAliveInterval=5",
			"-o",  "ServerAliveCountMax=3",
			"--",  nodes[0],
			line,
		};
		size_t skip = *launch->ssh_config ? 0 : 2;
		const char *kept[ARRAY_SIZE(words)];
		size_t n = 0;

		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (i < 2 || i >= 2 + skip)
				kept[n++] = words[i];
		command = copy_words(kept, n);
	}
	free(line);
	free(program);
	return command;
}

void launch_keep(char *noise, size_t room, const char *line)
{
	static const char between[] = " / ";
	char *joined = xasprintf("%s%s%s", noise, *noise ? between : "", line), *from = joined;

	while (strlen(from) >= room) {
		char *next = strstr(from, between);

		if (!next)
			break;
		from = next + strlen(between);
	}
	snprintf(noise, room, "%s", from);
	free(joined);
}

const char *launch_meaning(const struct launch_saying *table, size_t count, const char *noise)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(noise, table[i].words))
			return table[i].meaning;
	return NULL;
}

/* ssh leaves with 255 for whatever went wrong; only its words tell what (OpenSSH 9, ssh(1)). */
static const char *explain_ssh(int exit_code, const char *noise)
{
	static const struct launch_saying table[] = {
		{ "Permission denied", "it refuses our login" },
		{ "Host key verification failed", "its host key is not the one that is known" },
		{ "Could not resolve", "its name is not known" },
		{ "Connection refused", "nothing there listens for ssh" },
		{ "No route to host", "there is no way to it" },
		{ "not responding", "it fell silent" },
		{ "timed out", "it does not answer" },
		{ "closed by remote", "the connection was cut" },
		{ "Connection reset", "the connection was cut" },
		{ "Broken pipe", "the connection was cut" },
		{ "Bad configuration", "the ssh configuration is wrong" },
	};

	const char *meaning;

	if (exit_code == 125)
		return "assay could not be brought there";
	if (exit_code == 127)
		return "assay is not there (--program says where to look, --push brings it)";
	if (exit_code == 126)
		return "assay cannot be started there";
	if (exit_code != 255)
		return NULL;
	meaning = launch_meaning(table, ARRAY_SIZE(table), noise);
	return meaning ? meaning : "ssh failed, or the agent did";
}

static const struct launcher launcher_local = {
	.name = "local",
	.summary = "this machine",
	.one_node = 1,
	.together = 1,
	.patience = 20,
	.command = local,
};

static const struct launcher launcher_ssh = {
	.name = "ssh",
	.summary = "each host through ssh, without a password",
	.window = 32,
	.together = 1,
	.patience = 20,
	.command = ssh,
	.explain = explain_ssh,
};

static const struct launcher launcher_pretend = {
	.name = "pretend",
	.summary = "many names for this machine, to try the harness",
	.pretends = 1,
	.together = 1,
	.patience = 20,
	.command = local,
};

const struct launcher *const launchers[] = {
	&launcher_local, &launcher_ssh, &launcher_slurm, &launcher_pretend, NULL,
};

const struct launcher *launcher_find(const char *name)
{
	for (int i = 0; launchers[i]; i++)
		if (!strcmp(launchers[i]->name, name))
			return launchers[i];
	return NULL;
}
