/*
 * child.c - child processes by libuv, with an end that always comes.
 *
 * `ended` waits for three things: exit of the process, end of both pipes. A grandchild may hold a
 * pipe open for ever, so after the exit the pipes get two seconds and are then closed.
 */
#include "harness/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE = 5, PIPE_GRACE = 2, LINE_MOST = 1000 };

enum stage { RUNNING, TERMINATED, KILLED, EXITED };

struct child_process {
	uv_process_t process;
	uv_pipe_t in, out, err;
	uv_timer_t timer;
	struct lines out_lines, err_lines;
	struct child_calls calls;
	struct child_end end;
	enum stage stage;
	double began;
	int pid;
	int open_pipes; /* out and err, while they are read */
	int handles;    /* not yet closed */
	int ended;
	int freed; /* child_free came before the handles were closed */
	char buf[16384];
};

static void release(struct child_process *c)
{
	lines_release(&c->out_lines);
	lines_release(&c->err_lines);
	free(c);
}

static void on_closed(uv_handle_t *h)
{
	struct child_process *c = h->data;

	if (--c->handles == 0 && c->freed)
		release(c);
}

static void close_handle(uv_handle_t *h)
{
	if (!uv_is_closing(h))
		uv_close(h, on_closed);
}

static void close_all(struct child_process *c)
{
	close_handle((uv_handle_t *)&c->process);
	close_handle((uv_handle_t *)&c->in);
	close_handle((uv_handle_t *)&c->out);
	close_handle((uv_handle_t *)&c->err);
	close_handle((uv_handle_t *)&c->timer);
}

/* The last thing that happens to a child. */
static void conclude(struct child_process *c)
{
	if (c->ended)
		return;
	c->ended = 1;
	lines_flush(&c->out_lines);
	lines_flush(&c->err_lines);
	c->end.seconds = clock_now() - c->began;
	close_all(c);
	c->calls.ended(c->calls.arg, &c->end);
}

/* Kernel functions in which one waits for a device though a signal would wake one. */
static int waits_for_device(const char *wchan)
{
	static const char *const words[] = { "io_uring", "io_schedule", "blk_", "nvme", "scsi",
					     "nvidia",   "uvm_",        "ib_",  "rdma" };

	for (size_t i = 0; wchan && i < ARRAY_SIZE(words); i++)
		if (strstr(wchan, words[i]))
			return 1;
	return 0;
}

/* What a process that does not end waits for: state and kernel function, for the report. */
static void read_state(struct child_process *c)
{
	char path[64], *stat, *wchan, state;

	snprintf(path, sizeof(path), "/proc/%d/stat", c->pid);
	stat = file_line(path);
	snprintf(path, sizeof(path), "/proc/%d/wchan", c->pid);
	wchan = file_line(path);
	state = stat && strrchr(stat, ')') ? strrchr(stat, ')')[2] : '?';
	snprintf(c->end.state, sizeof(c->end.state), "state %c, waiting in %.100s", state,
		 wchan && *wchan && strcmp(wchan, "0") != 0 ? wchan : "?");
	c->end.in_kernel = state == 'D' || waits_for_device(wchan);
	free(stat);
	free(wchan);
}

static void on_timer(uv_timer_t *timer);

static void arm(struct child_process *c, double seconds)
{
	uv_timer_start(&c->timer, on_timer, (uint64_t)(seconds * 1000), 0);
}

static void signal_group(struct child_process *c, int signal)
{
	/* The child is its own session leader, so its group has its number. */
	if (c->pid > 0)
		kill(-c->pid, signal);
}

static void on_timer(uv_timer_t *timer)
{
	struct child_process *c = timer->data;

	switch (c->stage) {
	case RUNNING:
		c->end.timed_out = !c->end.stopped;
		if (c->end.timed_out)
			read_state(c);
		c->stage = TERMINATED;
		signal_group(c, SIGTERM);
		arm(c, GRACE);
		break;
	case TERMINATED:
		c->stage = KILLED;
		signal_group(c, SIGKILL);
		arm(c, GRACE);
		break;
	case KILLED:
		c->end.stuck = 1;
		read_state(c);
		conclude(c);
		break;
	case EXITED:
		conclude(c);
	}
}

static void on_gone(uv_process_t *process, int64_t status, int signal)
{
	struct child_process *c = process->data;

	c->end.exit_code = signal ? -1 : (int)status;
	c->end.signal = signal;
	c->stage = EXITED;
	signal_group(c, SIGKILL); /* whatever it left behind in its group */
	if (c->open_pipes == 0)
		conclude(c);
	else
		arm(c, PIPE_GRACE);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct child_process *c = h->data;

	(void)size;
	*buf = uv_buf_init(c->buf, sizeof(c->buf));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct child_process *c = s->data;
	struct lines *lines = s == (uv_stream_t *)&c->out ? &c->out_lines : &c->err_lines;

	if (n > 0)
		lines_feed(lines, buf->base, (size_t)n);
	if (n >= 0)
		return;
	uv_read_stop(s);
	if (--c->open_pipes == 0 && c->stage == EXITED)
		conclude(c);
}

struct sending {
	uv_write_t write;
	char *text; /* NULL: lent */
};

static void on_written(uv_write_t *w, int status)
{
	struct sending *s = w->data;

	(void)status; /* a child that does not read its order says so itself, or dies of it */
	free(s->text);
	free(s);
}

static void send_bytes(struct child_process *c, const char *data, size_t len, char *owned)
{
	struct sending *s = xcalloc(1, sizeof(*s));
	uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);

	s->text = owned;
	s->write.data = s;
	if (uv_write(&s->write, (uv_stream_t *)&c->in, &buf, 1, on_written) < 0)
		on_written(&s->write, -1);
}

static int takes_input(struct child_process *c)
{
	return !c->ended && !uv_is_closing((uv_handle_t *)&c->in);
}

void child_send(struct child_process *c, const char *text)
{
	char *copy;

	if (!takes_input(c))
		return;
	copy = xstrdup(text);
	send_bytes(c, copy, strlen(copy), copy);
}

void child_send_lent(struct child_process *c, const char *data, size_t len)
{
	if (takes_input(c))
		send_bytes(c, data, len, NULL);
}

static void on_shut(uv_shutdown_t *s, int status)
{
	struct child_process *c = s->handle->data;

	(void)status;
	free(s);
	close_handle((uv_handle_t *)&c->in);
}

void child_close_input(struct child_process *c)
{
	uv_shutdown_t *s = xcalloc(1, sizeof(*s));

	/* uv_shutdown waits for the writes that are under way. */
	if (c->ended || uv_is_closing((uv_handle_t *)&c->in) ||
	    uv_shutdown(s, (uv_stream_t *)&c->in, on_shut) < 0)
		free(s);
}

static int spawn(struct child_process *c, uv_loop_t *loop, const char *const *argv)
{
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
		  .data.stream = (uv_stream_t *)&c->in },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		  .data.stream = (uv_stream_t *)&c->out },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		  .data.stream = (uv_stream_t *)&c->err },
	};
	uv_process_options_t options = {
		.exit_cb = on_gone,
		.file = argv[0],
		.args = (char **)argv,
		.flags = UV_PROCESS_DETACHED,
		.stdio = stdio,
		.stdio_count = 3,
	};

	return uv_spawn(loop, &c->process, &options);
}

struct child_process *child_start(uv_loop_t *loop, const char *const *argv, const char *input,
				  double deadline, const struct child_calls *calls,
				  struct error *err)
{
	struct child_process *c = xcalloc(1, sizeof(*c));
	uv_handle_t *const handles[] = { (uv_handle_t *)&c->process, (uv_handle_t *)&c->in,
					 (uv_handle_t *)&c->out, (uv_handle_t *)&c->err,
					 (uv_handle_t *)&c->timer };
	int rc;

	c->calls = *calls;
	c->began = clock_now();
	lines_init(&c->out_lines, LINE_MOST, calls->line, calls->arg);
	lines_init(&c->err_lines, LINE_MOST, calls->noise, calls->arg);
	uv_pipe_init(loop, &c->in, 0);
	uv_pipe_init(loop, &c->out, 0);
	uv_pipe_init(loop, &c->err, 0);
	uv_timer_init(loop, &c->timer);
	rc = spawn(c, loop, argv);
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++)
		handles[i]->data = c;
	c->handles = ARRAY_SIZE(handles);
	if (rc < 0) {
		error_set(err, "cannot start %s: %s", argv[0], uv_strerror(rc));
		c->ended = 1;
		close_all(c);
		child_free(c);
		return NULL;
	}
	c->pid = c->process.pid;
	if (input) {
		child_send(c, input);
		child_close_input(c);
	}
	c->open_pipes = 2;
	uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
	uv_read_start((uv_stream_t *)&c->err, on_alloc, on_read);
	arm(c, deadline);
	return c;
}

void child_stop(struct child_process *c)
{
	if (c->stage != RUNNING)
		return;
	c->end.stopped = 1;
	on_timer(&c->timer);
}

void child_free(struct child_process *c)
{
	if (!c->ended)
		BUG("a child is freed while it runs");
	c->freed = 1;
	if (c->handles == 0)
		release(c);
}
