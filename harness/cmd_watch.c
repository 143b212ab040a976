/*
 * cmd_watch.c - `assay watch`: look at a run from another terminal, or another machine.
 *
 * It reads files and nothing else, so it cannot disturb the run and works where the folder is
 * mounted. It asks once a second instead of being told: no network file system tells what another
 * machine writes.
 */
#include "harness/runfolder.h"
#include "harness/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

enum {
	POLL_SECONDS = 1,
	LINE_SECONDS = 10,
	JUDGE_SECONDS = 3,
	JUDGE_SHARE = 10, /* judging takes at most this part of our time */
	UNBORN_LOOKS = 5, /* with neither a head nor anybody who could write one */
	MISSED_LOOKS = 10,
	PLAIN_COLUMNS = 80,
};

enum form { FORM_SCREEN, FORM_LINE, FORM_JSON };

struct view {
	const char *path;
	struct follow follow;
	struct runfolder run;
	struct watch watch;
	struct power_meter *meter;
	int is_open; /* run, watch and meter are filled */
	int missed;  /* looks in a row that failed */
	double judged, judge_took;
	enum form form;
	int is_terminal;
	double interval, shown; /* shown: when the last line was printed */
	enum run_state shown_state;
	int drawn;         /* lines that stand on the terminal */
	int columns, rows; /* when they were drawn */
	uv_loop_t loop;
	int code; /* -1 while it goes on */
};

/* ---- the run ---- */

static void close_run(struct view *v)
{
	if (!v->is_open)
		return;
	power_meter_free(v->meter);
	watch_release(&v->watch);
	run_close(&v->run);
	watch_init(&v->watch, v->path);
	v->is_open = 0;
}

static void feed_results(void *arg, const char *data, size_t n)
{
	struct results *r = arg;

	if (!r->head)
		results_feed(r, data, n);
}

/* The head alone, into results that the run can begin with; NULL if there is none yet. */
static struct results *read_head(const char *path)
{
	struct results *all = results_new(), *head = NULL;
	struct follow f;
	struct error err;

	follow_init(&f, path);
	follow_look(&f, feed_results, all, &err);
	if (all->head) {
		head = results_new();
		head->head = json_incref(all->head);
	}
	follow_release(&f);
	results_free(all);
	return head;
}

/* 0 whether or not it has begun, or the exit code. */
static int open_run(struct view *v)
{
	struct results *head = read_head(v->path);
	int rc;

	if (!head)
		return 0;
	rc = run_open_head(&v->run, v->path, head);
	if (rc) {
		run_close(&v->run);
		return rc;
	}
	watch_begin(&v->watch, v->run.spec, v->run.profile, v->run.fleet, v->run.plan,
		    v->run.results);
	v->meter = power_meter_new(v->path, v->run.fleet);
	v->is_open = 1;
	return 0;
}

static void feed_watch(void *arg, const char *data, size_t n)
{
	struct watch *w = arg;

	if (w->plan)
		watch_feed(w, data, n);
}

static void judge_sometimes(struct view *v, int at_once)
{
	double began = clock_now(), pause = JUDGE_SHARE * v->judge_took;

	pause = pause > JUDGE_SECONDS ? pause : JUDGE_SECONDS;
	if (!v->watch.news || (!at_once && v->judged > 0 && began - v->judged < pause))
		return;
	watch_judge(&v->watch);
	v->judged = clock_now();
	v->judge_took = v->judged - began;
}

static int fail_look(struct view *v, struct error *err)
{
	error_prefix(err, "%s is no run folder: ", v->path);
	/* A network file system may be away for a moment. */
	return v->watch.looks && ++v->missed < MISSED_LOOKS ? 0 : fail_with(EXIT_USAGE, err);
}

/* A run that has no head and that nobody writes will never begin. */
static int check_unborn(struct view *v)
{
	struct error err;

	if (v->watch.plan || v->follow.lock == LOCK_HELD || v->watch.looks < UNBORN_LOOKS)
		return 0;
	error_set(&err,
		  "%s: its journal has no readable head, and no controller writes it; remove the "
		  "folder and run again",
		  v->path);
	return fail_with(EXIT_USAGE, &err);
}

/* One look at all files. 0 or the exit code of an error. */
static int look(struct view *v, int at_once)
{
	enum follow_news news;
	struct error err;
	int rc = 0;

	if (!v->is_open && (rc = open_run(v)))
		return rc;
	/* Without a plan nothing may be taken: it would be missing once there is one. */
	if (!v->is_open)
		v->follow.at = 0;
	news = follow_look(&v->follow, feed_watch, &v->watch, &err);
	if (news == FOLLOW_FAILED)
		return fail_look(v, &err);
	v->missed = 0;
	if (news == FOLLOW_AGAIN) {
		close_run(v);
		return open_run(v) ? EXIT_USAGE : look(v, at_once);
	}
	watch_look(&v->watch, clock_wall(), v->follow.lock, news == FOLLOW_GREW, v->follow.written);
	if (v->is_open) {
		judge_sometimes(v, at_once);
		power_meter_look(v->meter, v->watch.now, at_once ? 0 : POLL_SECONDS / 10.0,
				 &v->watch.power);
	}
	return check_unborn(v);
}

/* ---- what is shown ---- */

static void terminal_size(struct view *v)
{
	struct winsize size = { 0 };

	v->columns = PLAIN_COLUMNS;
	v->rows = 24;
	if (v->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		v->columns = size.ws_col;
		v->rows = size.ws_row > 1 ? size.ws_row : 24;
	}
}

/*
 * Over what was drawn before. Each line is emptied before it is written: behind a line that is as
 * wide as the terminal the cursor stands on its last letter.
 */
static void draw(struct view *v)
{
	int columns = v->columns, rows = v->rows, lines = 0;
	struct text screen, out;

	text_init(&screen);
	text_init(&out);
	terminal_size(v);
	if (v->drawn && (columns != v->columns || rows != v->rows)) {
		text_add(&out, "\033[H\033[2J"); /* the terminal has moved our lines about */
		v->drawn = 0;
	}
	if (v->drawn)
		text_addf(&out, "\r\033[%dA", v->drawn);
	watch_render(&v->watch, v->columns, v->rows - 1, &screen);
	for (char *at = screen.data, *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
		text_add(&out, "\033[K");
		text_put(&out, at, (size_t)(end - at) + 1);
	}
	text_add(&out, "\033[J");
	v->drawn = lines;
	fwrite(out.data, 1, out.len, stdout);
	text_release(&out);
	text_release(&screen);
}

static void print_screen(struct view *v)
{
	struct text out;

	text_init(&out);
	terminal_size(v);
	watch_render(&v->watch, v->columns, 1000, &out);
	fputs(out.data, stdout);
	text_release(&out);
}

static void print_line(struct view *v)
{
	struct text out;

	text_init(&out);
	if (v->form == FORM_JSON)
		watch_json(&v->watch, &out);
	else
		watch_line(&v->watch, &out);
	fputs(out.data, stdout);
	text_release(&out);
}

/* A screen each time; lines when their time has come, or when the run stops, ends or goes on. */
static void show(struct view *v)
{
	double now = clock_now();

	if (v->form == FORM_SCREEN)
		draw(v);
	else if (v->shown > 0 && now - v->shown < v->interval - 0.05 &&
		 v->shown_state == v->watch.state)
		return;
	else
		print_line(v);
	v->shown = now;
	v->shown_state = v->watch.state;
	fflush(stdout);
}

/* ---- the loop ---- */

static void leave(struct view *v, int code)
{
	v->code = code;
	uv_stop(&v->loop);
}

static void on_tick(uv_timer_t *timer)
{
	struct view *v = timer->data;
	int rc = look(v, 0);

	if (rc) {
		leave(v, rc);
		return;
	}
	show(v);
	if (v->watch.state == RUN_FINISHED)
		leave(v, judgement_exit(v->watch.judgement));
	else if (ferror(stdout))
		leave(v, EXIT_HARNESS);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct view *v = s->data;

	if (number == SIGWINCH) {
		draw(v);
		fflush(stdout);
	} else if (number == SIGCONT) {
		v->drawn = 0; /* the shell has written below our lines */
	} else {
		leave(v, 128 + number);
	}
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static int follow_run(struct view *v)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGWINCH, SIGCONT };
	uv_signal_t signals[ARRAY_SIZE(numbers)];
	double every = v->interval < POLL_SECONDS ? v->interval : POLL_SECONDS;
	uv_timer_t tick;

	v->code = -1;
	uv_loop_init(&v->loop);
	for (size_t i = 0; i < (v->form == FORM_SCREEN ? 4 : 2); i++) {
		uv_signal_init(&v->loop, &signals[i]);
		signals[i].data = v;
		uv_signal_start(&signals[i], on_signal, numbers[i]);
	}
	uv_timer_init(&v->loop, &tick);
	tick.data = v;
	uv_timer_start(&tick, on_tick, 0, (uint64_t)(1000 * every));
	uv_run(&v->loop, UV_RUN_DEFAULT);
	uv_walk(&v->loop, close_handle, NULL);
	uv_run(&v->loop, UV_RUN_DEFAULT);
	uv_loop_close(&v->loop);
	if (v->form == FORM_SCREEN && v->code >= 128)
		putchar('\n'); /* behind the ^C of the terminal */
	return v->code;
}

static int once(struct view *v)
{
	int rc = look(v, 1);

	if (rc)
		return rc;
	if (v->form == FORM_JSON)
		print_line(v);
	else
		print_screen(v);
	return 0;
}

static int take_interval(struct view *v, const char *text, struct error *err)
{
	struct quantity q;

	v->interval = v->form == FORM_SCREEN ? POLL_SECONDS : LINE_SECONDS;
	if (!text)
		return 0;
	if (quantity_parse(text, &q, err) < 0)
		return error_prefix(err, "--interval: ");
	if ((q.dim != DIM_TIME && q.dim != DIM_COUNT) || q.value < 0.1 || q.value > 86400)
		return error_set(err, "--interval takes a time from 0.1 s to 1 day, not '%.60s'",
				 text);
	v->interval = q.value;
	return 0;
}

int cmd_watch(const struct arguments *a)
{
	const char *term = getenv("TERM");
	struct view v = { .path = a->words[0], .is_terminal = isatty(STDOUT_FILENO) };
	struct error err;
	int rc;

	v.form = a->value[OPT_JSON]                                            ? FORM_JSON
		 : v.is_terminal && term && *term && strcmp(term, "dumb") != 0 ? FORM_SCREEN
									       : FORM_LINE;
	if (take_interval(&v, a->value[OPT_INTERVAL], &err) < 0)
		return fail_with(EXIT_USAGE, &err);
	follow_init(&v.follow, v.path);
	watch_init(&v.watch, v.path);
	rc = a->value[OPT_ONCE] ? once(&v) : follow_run(&v);
	close_run(&v);
	follow_release(&v.follow);
	return rc;
}
