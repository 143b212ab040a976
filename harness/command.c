/* command.c - a child of its own loop, for what is done before or behind a run and not in it. */
#include "harness/command.h"

#include "harness/child.h"

#include <stdio.h>

enum { OUTPUT_MOST = 64 << 20 };

struct running {
	struct child_process *child;
	struct child_end end;
	struct text *out;
	char noise[300];
};

static void on_line(void *arg, char *line, size_t len, int cut)
{
	struct running *r = arg;

	(void)cut;
	if (!r->out || r->out->len + len > OUTPUT_MOST)
		return;
	text_put(r->out, line, len);
	text_add(r->out, "\n");
}

static void on_noise(void *arg, char *line, size_t len, int cut)
{
	struct running *r = arg;

	(void)cut;
	if (len)
		snprintf(r->noise, sizeof(r->noise), "%s", line);
}

static void on_ended(void *arg, const struct child_end *end)
{
	struct running *r = arg;

	r->end = *end;
	child_free(r->child);
	r->child = NULL;
}

static int conclude(const struct running *r, const char *name, double seconds, struct error *err)
{
	const char *colon = *r->noise ? ": " : "";

	if (r->end.timed_out || r->end.stuck)
		return error_set(err, "%s did not end within %.0f s%s%s", name, seconds, colon,
				 r->noise);
	if (r->end.signal)
		return error_set(err, "%s was killed by signal %d%s%s", name, r->end.signal, colon,
				 r->noise);
	if (r->end.exit_code)
		return error_set(err, "%s left with code %d%s%s", name, r->end.exit_code, colon,
				 r->noise);
	return 0;
}

int command_run(const char *const *argv, double seconds, struct text *out, struct error *err)
{
	struct running r = { .out = out };
	const struct child_calls calls = { on_line, on_noise, on_ended, &r };
	uv_loop_t loop;
	int rc = -1;

	uv_loop_init(&loop);
	r.child = child_start(&loop, argv, "", seconds, &calls, err);
	if (r.child)
		rc = 0;
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return rc < 0 ? -1 : conclude(&r, argv[0], seconds, err);
}
