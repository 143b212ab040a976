/*
 * sample.c - the process that reads a node's sensors once a second.
 *
 * It is no part of the agent, since it opens drivers that may hang, and it ends by the word `stop`
 * rather than by a signal, for what it kept goes through the same pipe then and takes its time.
 * Seconds are those of the monotonic clock from its start: one that was missed is told, and nothing
 * takes its place.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

/* Bytes of a piece: four thirds of it fit into a line with the longest name of a node. */
enum { PIECE = 480, LINE_MOST = 200 };

struct sample {
	int out;
	const struct kernels *hw;
	struct machine *m;
	struct sampler *sampler;
	struct store *store;
	struct wire *wire;
	int is_full;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t term;
	uv_pipe_t in;
	struct lines orders;
	uint64_t start, turn; /* ns; seconds since then that are over */
	char buf[4096];
};

static void send_event(void *arg, json_t *object)
{
	struct sample *x = arg;
	struct error err;
	char *line = event_line(object, &err);

	if (!line) /* cannot be: members are bounded where they are made */
		return;
	if (write_all(x->out, line, strlen(line)) < 0)
		_exit(1); /* the agent is gone, so nobody is left to tell */
	free(line);
}

/* ---- one second ---------------------------------------------------------------------------- */

struct second {
	struct sample *x;
	double t;
};

static void on_event(void *arg, const char *part, const char *what, const char *text)
{
	struct second *now = arg;

	wire_mark(now->x->wire, now->t, part, what, text);
}

static void say_full(struct sample *x, double t, int64_t from_ms)
{
	char when[32], text[160];

	clock_text((double)from_ms / 1e3, when);
	snprintf(text, sizeof(text),
		 "%d MiB are full: from %s on the node keeps no more than the wire gets",
		 TELEMETRY_KEPT >> 20, when);
	wire_mark(x->wire, t, "", "kept", text);
	x->is_full = 1;
}

static void read_second(struct sample *x)
{
	struct second now = { x, round(clock_wall() * 1e3) / 1e3 };
	struct sampling got;
	int64_t from;

	x->hw->sampler_read(x->sampler, &got, on_event, &now);
	wire_take(x->wire, now.t, &got);
	if (!x->is_full && store_add(x->store, llround(now.t * 1e3), &got, &from) < 0)
		say_full(x, now.t, from);
}

static void on_tick(uv_timer_t *timer);

static void wait_for_next(struct sample *x)
{
	const uint64_t second = 1000000000;
	uint64_t next = x->start + x->turn * second, now = uv_hrtime();

	uv_update_time(&x->loop);
	uv_timer_start(&x->timer, on_tick, next > now ? (next - now + 999999) / 1000000 : 0, 0);
}

static void on_tick(uv_timer_t *timer)
{
	struct sample *x = timer->data;
	uint64_t late = (uv_hrtime() - x->start) / 1000000000 - x->turn;
	char text[80];

	if (late) {
		snprintf(text, sizeof(text), "%llu second%s were not read: the node was too busy",
			 (unsigned long long)late, late == 1 ? "" : "s");
		wire_mark(x->wire, clock_wall(), "", "missed", text);
	}
	x->turn += late + 1;
	read_second(x);
	wait_for_next(x);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void send_piece(struct sample *x, json_int_t i, const unsigned char *data, size_t len)
{
	char text[sodium_base64_ENCODED_LEN(PIECE, sodium_base64_VARIANT_ORIGINAL)];
	json_t *event = event_new(EV_FULL);

	sodium_bin2base64(text, sizeof(text), data, len, sodium_base64_VARIANT_ORIGINAL);
	json_object_set_new(event, "i", json_integer(i));
	json_object_set_new(event, "z", json_string(text));
	send_event(x, event);
}

/* All pieces, then one without `z` that says how many bytes they are and their CRC-32C. */
static void send_full(struct sample *x)
{
	size_t len, piece;
	int64_t lost_from;
	const unsigned char *data = store_data(x->store, &len, &lost_from);
	json_t *last = event_new(EV_FULL);
	json_int_t i = 0;

	if (lost_from)
		say_full(x, clock_wall(), lost_from);
	for (size_t at = 0; at < len; at += piece) {
		piece = len - at < PIECE ? len - at : PIECE;
		send_piece(x, i++, data + at, piece);
	}
	json_object_set_new(last, "i", json_integer(i));
	json_object_set_new(last, "bytes", json_integer((json_int_t)len));
	json_object_set_new(last, "crc", json_integer(crc32c(data, len)));
	send_event(x, last);
}

static void stop(struct sample *x)
{
	uv_stop(&x->loop);
}

static void on_signal(uv_signal_t *s, int number)
{
	(void)number;
	stop(s->data);
}

static void on_order(void *arg, char *line, size_t len, int cut)
{
	(void)len;
	if (!cut && !strcmp(line, "stop"))
		stop(arg);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct sample *x = h->data;

	(void)size;
	*buf = uv_buf_init(x->buf, sizeof(x->buf));
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct sample *x = s->data;

	if (n > 0)
		lines_feed(&x->orders, buf->base, (size_t)n);
	else if (n < 0)
		stop(x);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int open_all(struct sample *x, const char *root, struct error *err)
{
	x->hw = &real_kernels;
	x->m = x->hw->machine_open(root, err);
	x->sampler = x->m ? x->hw->sampler_open(x->m, err) : NULL;
	return x->sampler ? 0 : -1;
}

static void run_loop(struct sample *x)
{
	uv_loop_init(&x->loop);
	uv_timer_init(&x->loop, &x->timer);
	uv_signal_init(&x->loop, &x->term);
	uv_pipe_init(&x->loop, &x->in, 0);
	x->timer.data = x->term.data = x->in.data = x;
	uv_signal_start(&x->term, on_signal, SIGTERM);
	/* libuv cannot wait for files and the like; without a pipe only a signal ends us. */
	if (uv_guess_handle(STDIN_FILENO) == UV_NAMED_PIPE &&
	    uv_pipe_open(&x->in, STDIN_FILENO) == 0)
		uv_read_start((uv_stream_t *)&x->in, on_alloc, on_input);
	x->start = uv_hrtime();
	wait_for_next(x);
	uv_run(&x->loop, UV_RUN_DEFAULT);
}

int sample_main(const struct sample_options *options)
{
	struct sample *x = xcalloc(1, sizeof(*x));
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	x->out = dup(STDOUT_FILENO);
	/* Whatever a library prints goes where it harms nobody. */
	if (x->out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return 4;
	lines_init(&x->orders, LINE_MOST, on_order, x);
	x->wire = wire_new(send_event, x);
	x->store = store_new(TELEMETRY_KEPT);
	if (open_all(x, options->root, &err) < 0) {
		wire_mark(x->wire, clock_wall(), "", "hole", err.text);
	} else {
		run_loop(x);
		wire_end(x->wire, clock_wall());
	}
	send_full(x);
	if (x->sampler)
		x->hw->sampler_close(x->sampler); /* some sources leave files behind otherwise */
	/* The handlers of a driver's exit may wait for a device that hangs; all is told, so leave.
	 */
	_exit(0);
}
