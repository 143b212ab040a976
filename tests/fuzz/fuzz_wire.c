/*
 * fuzz_wire.c - any bytes as what channels to three agents say.
 *
 * The first byte says how: as it is or with each line sealed and numbered, one channel for all or
 * one each, and how far the agents had come before. What must hold is what reach.h promises.
 */
#include "harness/reach_private.h"
#include "harness/version.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODES = 3, SEALED = 1, SHARED = 2, GREETED = 4, CLOCKED = 8, NUMBERED = 16, LOSING = 32 };

struct seen {
	struct reach *reach;
	int how;
	long long last[NODES]; /* number of the last line */
	int hellos[NODES], ready[NODES], lost[NODES];
};

static void must(int holds)
{
	if (!holds)
		abort();
}

static void on_ready(void *arg, int node)
{
	struct seen *s = arg;

	must(s->hellos[node] == 1 && !s->ready[node]++ && !s->lost[node]);
	must(reach_is_ready(s->reach, node));
}

static void on_line(void *arg, int node, const struct event *ev, const char *line, size_t len)
{
	struct seen *s = arg;
	long long n = event_whole(ev, "n");

	must(!s->lost[node] && len <= EVENT_MOST && line[len] == '\0');
	must(n > s->last[node]);
	must((ev->kind == EV_HELLO) == !s->hellos[node]);
	s->hellos[node] += ev->kind == EV_HELLO;
	s->last[node] = n;
	if ((s->how & LOSING) && ev->kind == EV_NOTE)
		reach_lose(s->reach, node, "given up");
}

static void on_lost(void *arg, int node, const char *why)
{
	struct seen *s = arg;

	must(!s->lost[node]++ && *why);
}

static void on_note(void *arg, int node, const char *text)
{
	(void)arg;
	must(node >= 0 && node < NODES && *text);
}

static void tell(struct reach *r, int channel, json_t *object, const char *at, int number)
{
	struct error err;
	char *line;

	json_object_set_new(object, "at", json_string(at));
	json_object_set_new(object, "n", json_integer(number));
	line = event_line(object, &err);
	reach_feed(r, channel, line, strlen(line));
	free(line);
}

/* What an agent says until it is ready. */
static void greet(struct reach *r, int channel, const char *at, int with_clock)
{
	json_t *hello = event_new(EV_HELLO);

	json_object_set_new(hello, "version", json_string(ASSAY_VERSION));
	json_object_set_new(hello, "commit", json_string(ASSAY_COMMIT));
	json_object_set_new(hello, "boot", json_string(at));
	tell(r, channel, hello, at, 1);
	for (int k = 0; with_clock && k < 4; k++) {
		json_t *pong = event_new(EV_PONG);

		json_object_set_new(pong, "k", json_integer(k));
		tell(r, channel, pong, at, k + 2);
	}
}

/* The line without its closing brace, a name and a number if it has none, and the checksum. */
static void seal(struct text *out, const char *line, size_t len, int number)
{
	size_t from = out->len;

	if (len && line[len - 1] == '}')
		len--;
	text_put(out, line, len);
	if (number)
		text_addf(out, ",\"at\":\"n%d\",\"n\":%d", number % NODES + 1, number / NODES + 1);
	text_addf(out, ",\"c\":\"%08x\"}\n", crc32c(out->data + from, out->len - from));
}

static void feed(struct reach *r, int how, const char *text, size_t size)
{
	const char *end = text + size;
	struct text sealed;
	int lines = how & CLOCKED ? 5 * NODES : how & GREETED ? NODES : 0;

	if (!(how & SEALED)) {
		reach_feed(r, 0, text, size);
		return;
	}
	text_init(&sealed);
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		stop = stop ? stop : end;
		text_clear(&sealed);
		seal(&sealed, text, (size_t)(stop - text), how & NUMBERED ? lines : 0);
		reach_feed(r, how & SHARED ? 0 : lines % NODES, sealed.data, sealed.len);
		lines++;
		text = stop + 1;
	}
	text_release(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fleet_node nodes[NODES] = { { .name = "n1" }, { .name = "n2" }, { .name = "n3" } };
	struct fleet fleet = { nodes, NODES, json_object() };
	struct seen seen = { .how = size ? data[0] : 0 };
	const struct reach_calls calls = { on_ready, on_line, on_lost, on_note, &seen };
	const struct launcher launcher = { .patience = 20,
					   .together = seen.how & SHARED ? NODES : 1 };
	const struct launch launch = { .program = "" };
	uv_loop_t loop;

	if (!size) {
		json_decref(fleet.index);
		return 0;
	}
	uv_loop_init(&loop);
	for (int i = 0; i < NODES; i++)
		json_object_set_new(fleet.index, nodes[i].name, json_integer(i));
	seen.reach = reach_new(&loop, &fleet, &launcher, &launch, &calls);
	reach_start_without(seen.reach);
	for (int i = 0; i < NODES && (seen.how & (GREETED | CLOCKED)); i++)
		greet(seen.reach, seen.how & SHARED ? 0 : i, nodes[i].name, seen.how & CLOCKED);
	for (int i = 0; i < NODES && (seen.how & CLOCKED); i++)
		must(seen.ready[i] == 1);
	feed(seen.reach, seen.how, (const char *)data + 1, size - 1);
	for (int i = 0; i < NODES; i++)
		must(seen.ready[i] >= reach_is_ready(seen.reach, i));
	reach_leave(seen.reach, 0, 0);
	reach_free(seen.reach);
	uv_run(&loop, UV_RUN_DEFAULT);
	must(uv_loop_close(&loop) == 0);
	json_decref(fleet.index);
	return 0;
}
