/*
 * program.c - any other program as a check, as the spec describes it.
 *
 * No shell ever sees the words. A program that prints more than its cap, runs longer than its limit
 * or leaves with a code that the spec does not list has not measured anything, whatever it printed;
 * so has one whose output lacks a figure.
 */
#include "harness/checks/check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct param params[] = {
	{ "argv", "", "the program and its arguments, one a line; from the spec", 1 },
	{ "exit", "", "codes that mean that it ran; from the spec", 1 },
	{ "figures", "", "metric, tab, json or regex, tab, where; from the spec", 1 },
	{ "timeout", "60s", "longest time; from the spec" },
	{ "output", "1MiB", "most it may print; from the spec" },
	{ 0 },
};

/* The spec says which figures a program has; they are checked there. */
static const struct metric metrics[] = { { 0 } };

static double seconds(const struct knobs *k)
{
	return knob(k, "timeout");
}

/*
 * Rows of a knob; every one ends in a newline, so an empty one is an empty word. The caller
 * releases them; without rows or with a last one that is cut off it is not what the planner wrote.
 */
struct rows {
	char *text, **items; /* items end with NULL */
	int count;
};

static int rows_read(struct rows *r, const struct knobs *k, const char *name, struct error *err)
{
	char *at;

	*r = (struct rows){ .text = xstrdup(knob_text(k, name)) };
	at = r->text;
	for (char *end; (end = strchr(at, '\n')); at = end + 1) {
		*end = '\0';
		r->items = grow(r->items, (size_t)r->count, sizeof(*r->items));
		r->items[r->count++] = at;
	}
	if (*at || r->count == 0)
		return error_set(err, "the order for this step is damaged: its %s %s", name,
				 *at ? "has no end" : "is empty");
	r->items = grow(r->items, (size_t)r->count, sizeof(*r->items));
	r->items[r->count] = NULL;
	return 0;
}

static void rows_release(struct rows *r)
{
	free(r->items);
	free(r->text);
}

/* ---- running it ---- */

struct child {
	pid_t pid;
	int out;
	struct text output;
	double deadline;
	size_t most;
};

/* In the child, between fork and exec: only what is safe there. Never returns. */
static void become(char *argv[], int out, int report, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY), code;

	/* If the step dies, its program must not go on heating the node. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(out, STDOUT_FILENO) >= 0)
		execvp(argv[0], argv);
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

/* errno of the child's exec, or 0 when it worked and closed its end. */
static int exec_error(int report)
{
	int code = 0;

	while (read(report, &code, sizeof(code)) < 0 && errno == EINTR)
		;
	return code;
}

static int start(struct child *c, char *argv[], struct error *err)
{
	int out[2], report[2], status, code;
	pid_t parent = getpid();

	if (pipe2(out, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	if (pipe2(report, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return error_sys(err, "cannot make a pipe");
	}
	c->pid = fork();
	code = errno;
	if (c->pid == 0)
		become(argv, out[1], report[1], parent);
	close(out[1]);
	close(report[1]);
	c->out = out[0];
	code = c->pid < 0 ? code : exec_error(report[0]);
	close(report[0]);
	if (c->pid >= 0 && code == 0)
		return 0;
	errno = code;
	error_sys(err, "cannot start %s", argv[0]);
	if (c->pid > 0)
		waitpid(c->pid, &status, 0);
	close(c->out);
	return -1;
}

/* 1 while there may be more, 0 at the end, -1 when a bound is broken. */
static int read_some(struct child *c, struct error *err)
{
	struct pollfd p = { .fd = c->out, .events = POLLIN };
	double left = c->deadline - clock_now();
	char buf[16384];
	ssize_t n;

	if (left <= 0)
		return error_set(err, "it did not end within its time limit");
	if (poll(&p, 1, (int)(left * 1000) + 1) <= 0)
		return 1;
	n = read(c->out, buf, sizeof(buf));
	if (n <= 0)
		return 0;
	text_put(&c->output, buf, (size_t)n);
	if (c->output.len > c->most)
		return error_set(err, "it printed more than its cap of %zu bytes", c->most);
	return 1;
}

/* Its exit status, waited for no longer than its deadline allows. */
static int wait_for(struct child *c, int *status, struct error *err)
{
	const struct timespec nap = { 0, 5000000 };

	for (;;) {
		pid_t got = waitpid(c->pid, status, WNOHANG);

		if (got == c->pid)
			return 0;
		if (got < 0 && errno != EINTR)
			return error_sys(err, "cannot wait for it");
		if (clock_now() > c->deadline)
			return error_set(
				err, "it closed its output and did not end within its time limit");
		nanosleep(&nap, NULL);
	}
}

static int run_program(struct child *c, char *argv[], int *status, struct error *err)
{
	int rc;

	if (start(c, argv, err) < 0)
		return -1;
	while ((rc = read_some(c, err)) > 0)
		;
	if (rc == 0)
		rc = wait_for(c, status, err);
	if (rc < 0) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, status, 0);
	}
	close(c->out);
	return rc;
}

static int check_status(struct job *job, int status, struct error *err)
{
	struct rows codes;
	int rc = -1;

	if (WIFSIGNALED(status))
		return error_set(err, "it was killed by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
	if (rows_read(&codes, &job->knobs, "exit", err) == 0) {
		for (int i = 0; i < codes.count; i++)
			if (WEXITSTATUS(status) == atoi(codes.items[i]))
				rc = 0;
		if (rc < 0)
			error_set(err, "it left with code %d, which does not mean that it ran",
				  WEXITSTATUS(status));
	}
	rows_release(&codes);
	return rc;
}

/* ---- figures ---- */

static int parse_number(const char *text, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*value) ? 0 : -1;
}

static int report_match(struct job *job, const char *metric, const char *from, size_t len,
			struct error *err)
{
	char *text = xstrndup(from, len);
	double value;
	int rc = parse_number(text, &value);

	if (rc < 0)
		error_set(err, "figure %s: '%.40s' is not a number", metric, text);
	else
		job_report(job, metric, "", value);
	free(text);
	return rc;
}

/*
 * Every match is one sample: a program that repeats its line gives an interval. The end of the
 * output is told each time, for finding it anew behind each match takes hours where there are many.
 */
static int by_regex(struct job *job, const char *metric, const char *where, const char *output,
		    struct error *err)
{
	const regoff_t end = (regoff_t)strlen(output);
	regmatch_t m[2];
	regex_t re;
	int found = 0, rc = 0;

	if (regcomp(&re, where, REG_EXTENDED | REG_NEWLINE) != 0)
		return error_set(err, "figure %s: bad expression", metric);
	for (regoff_t at = 0; rc == 0; at = m[0].rm_eo, found++) {
		m[0] = (regmatch_t){ at, end };
		if (regexec(&re, output, 2, m, REG_STARTEND) != 0 || m[0].rm_eo == at)
			break;
		rc = report_match(job, metric, m[1].rm_so < 0 ? "" : output + m[1].rm_so,
				  (size_t)(m[1].rm_eo - m[1].rm_so), err);
	}
	regfree(&re);
	if (rc == 0 && found == 0)
		return error_set(err, "figure %s: nothing in its output matches", metric);
	return rc;
}

/* "results.0.busbw": keys and indices. The last one may be a list of numbers: samples. */
static json_t *walk(json_t *at, const char *path)
{
	char *copy = xstrdup(path), *save = NULL;

	for (char *key = strtok_r(copy, ".", &save); key && at; key = strtok_r(NULL, ".", &save))
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key))
				       : json_object_get(at, key);
	free(copy);
	return at;
}

static int report_json(struct job *job, const char *metric, json_t *v, struct error *err)
{
	if (!json_is_number(v) || !isfinite(json_number_value(v)))
		return error_set(err, "figure %s: what its path names is not a number", metric);
	job_report(job, metric, "", json_number_value(v));
	return 0;
}

static int by_json(struct job *job, const char *metric, const char *where, const char *output,
		   struct error *err)
{
	json_error_t why;
	json_t *root = json_loads(output, 0, &why), *at, *v;
	size_t i;
	int rc = 0;

	if (!root)
		return error_set(err, "figure %s: its output is not JSON: line %d: %s", metric,
				 why.line, why.text);
	at = walk(root, where);
	if (json_is_array(at) && json_array_size(at) > 0) {
		json_array_foreach(at, i, v) rc = rc < 0 ? rc : report_json(job, metric, v, err);
	} else {
		rc = report_json(job, metric, at, err);
	}
	json_decref(root);
	return rc;
}

/* "metric, tab, json or regex, tab, where" */
static int report_figure(struct job *job, char *row, const char *output, struct error *err)
{
	char *from = strchr(row, '\t'), *where = from ? strchr(from + 1, '\t') : NULL;

	if (!where)
		return error_set(err, "the order for this step is damaged: a figure without its "
				      "expression");
	*from++ = *where++ = '\0';
	return strcmp(from, "json") ? by_regex(job, row, where, output, err)
				    : by_json(job, row, where, output, err);
}

static int report_figures(struct job *job, const char *output, struct error *err)
{
	struct rows rows;
	int rc = rows_read(&rows, &job->knobs, "figures", err);

	for (int i = 0; i < rows.count && rc == 0; i++)
		rc = report_figure(job, rows.items[i], output, err);
	rows_release(&rows);
	return rc;
}

/* The last lines of the output go into the record: they are what a person would look at first. */
static void note_tail(struct job *job, const char *output)
{
	size_t n = strlen(output);
	const char *from = output + (n > 400 ? n - 400 : 0);
	char *copy = xstrdup(from), *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		job_note(job, "%s", line);
	free(copy);
}

static int run(struct job *job, struct error *err)
{
	struct child c = { .deadline = clock_now() + knob(&job->knobs, "timeout"),
			   .most = (size_t)knob(&job->knobs, "output") };
	struct rows argv;
	int status = 0, rc = rows_read(&argv, &job->knobs, "argv", err);

	text_init(&c.output);
	if (rc == 0)
		rc = run_program(&c, argv.items, &status, err);
	if (rc == 0)
		note_tail(job, c.output.data);
	if (rc == 0)
		rc = check_status(job, status, err);
	if (rc == 0)
		rc = report_figures(job, c.output.data, err);
	text_release(&c.output);
	rows_release(&argv);
	return rc < 0 ? RUN_ERROR : RUN_OK;
}

const struct check check_program = {
	.name = "program",
	.summary = "any other program, described in the spec",
	.how = "Starts the program without a shell, with a time limit and an output cap, and takes "
	       "its figures "
	       "from its output by a JSON path or a regular expression; every match is one sample. "
	       "Its name in "
	       "the spec is the name of the check: limits, profiles and reports use that.",
	.scope = PER_NODE,
	.occupies = USES_CORES | USES_MEMORY | USES_DISKS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
