/*
 * meet.c - waiting for other members.
 *
 * Whom this process waits for is told to the agent before each wait, so that a step which hangs
 * there can be put down to that member and not to this node.
 */
#include "harness/meet.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TAKE_SECONDS = 60, /* members start within a second of each other; their set-up is in it */
	BEGIN_SECONDS = 240, /* more than JOINT_WAIT, after which the controller waits for nobody */
	AHEAD_MOST = 30,     /* a start further ahead than this is a broken clock */
	SHARE_MOST = 250,
};

struct meet {
	struct lines lines;
	void (*send)(void *arg, json_t *event);
	void *arg;
	json_t *inbox; /* share events that nobody took yet */
	double start;  /* by our clock; 0: not told yet */
};

struct meet *meet_new(void (*on_line)(void *arg, char *line, size_t len, int cut),
		      void (*send)(void *arg, json_t *event), void *arg)
{
	struct meet *m = xcalloc(1, sizeof(*m));

	lines_init(&m->lines, EVENT_MOST, on_line, arg);
	m->send = send;
	m->arg = arg;
	m->inbox = json_array();
	return m;
}

void meet_free(struct meet *m)
{
	lines_release(&m->lines);
	json_decref(m->inbox);
	free(m);
}

int meet_read(struct meet *m, double seconds, struct error *err)
{
	struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
	char buf[4096];
	ssize_t n;
	int rc;

	do
		rc = poll(&fd, 1, seconds < 0 ? -1 : (int)ceil(seconds * 1000));
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return error_set(err, "nothing came for %.0f s", seconds);
	n = read(STDIN_FILENO, buf, sizeof(buf));
	if (n <= 0)
		return 0;
	lines_feed(&m->lines, buf, (size_t)n);
	return 1;
}

void meet_line(struct meet *m, const char *line, size_t len)
{
	struct error err;
	struct event ev;

	if (event_parse(line, len, &ev, &err) < 0)
		return;
	if (ev.kind == EV_SHARE)
		json_array_append(m->inbox, ev.json);
	else if (ev.kind == EV_GO)
		m->start = (double)event_whole(&ev, "us") / 1e6;
	event_release(&ev);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static void tell_wait(struct meet *m, const char *whom)
{
	json_t *event = event_new(EV_BEAT);

	json_object_set_new(event, "wait", event_string(whom, 60));
	m->send(m->arg, event);
}

int meet_share(struct meet *m, const char *to, const char *key, const char *value,
	       struct error *err)
{
	json_t *event;

	if (strlen(value) > SHARE_MOST)
		return error_set(err, "%s is too long to be shared", key);
	event = event_new(EV_SHARE);
	json_object_set_new(event, "k", event_string(key, 60));
	json_object_set_new(event, "v", event_string(value, 2 * SHARE_MOST));
	if (to)
		json_object_set_new(event, "for", event_string(to, 255));
	m->send(m->arg, event);
	return 0;
}

/* 1 with *value if it is there, 0 if not yet, -1 with err if that member is gone. */
static int find_share(struct meet *m, const char *from, const char *key, char **value,
		      struct error *err)
{
	json_t *share;
	size_t i;

	json_array_foreach(m->inbox, i, share)
	{
		if (strcmp(text_of(share, "from"), from) != 0)
			continue;
		if (!strcmp(text_of(share, "k"), "gone"))
			return error_set(err, "%s is gone: %s", from, text_of(share, "v"));
		if (strcmp(text_of(share, "k"), key) != 0)
			continue;
		*value = xstrdup(text_of(share, "v"));
		json_array_remove(m->inbox, i);
		return 1;
	}
	return 0;
}

/* One wait towards a deadline. -1 with err when it passed or the agent is gone. */
static int wait_until(struct meet *m, double deadline, const char *whom, struct error *err)
{
	double left = deadline - clock_now();
	int rc = left > 0 ? meet_read(m, left, err) : -1;

	if (rc > 0)
		return 0;
	if (rc == 0)
		return error_set(err, "the agent is gone");
	return error_set(err, "%s did not answer in time", whom);
}

int meet_take(struct meet *m, const char *from, const char *key, char **value, struct error *err)
{
	double deadline = clock_now() + TAKE_SECONDS;
	int rc;

	tell_wait(m, from);
	while ((rc = find_share(m, from, key, value, err)) == 0)
		if (wait_until(m, deadline, from, err) < 0)
			return -1;
	tell_wait(m, "");
	return rc > 0 ? 0 : -1;
}

/* -1 with err if any member is gone. */
static int all_there(const struct meet *m, struct error *err)
{
	json_t *share;
	size_t i;

	json_array_foreach(m->inbox, i, share)
	{
		if (!strcmp(text_of(share, "k"), "gone"))
			return error_set(err, "%s is gone: %s", text_of(share, "from"),
					 text_of(share, "v"));
	}
	return 0;
}

static int sleep_until(double start, struct error *err)
{
	struct timespec at = { (time_t)start, (long)((start - floor(start)) * 1e9) };

	if (start - clock_wall() > AHEAD_MOST)
		return error_set(err,
				 "the common start is %.0f s ahead: this clock or the controller's "
				 "jumped",
				 start - clock_wall());
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	return 0;
}

int meet_begin(struct meet *m, int with_all, struct error *err)
{
	double deadline = clock_now() + BEGIN_SECONDS;
	json_t *event = event_new(EV_SHARE);

	json_object_set_new(event, "k", json_string("ready"));
	json_object_set_new(event, "v", json_string(""));
	m->send(m->arg, event);
	tell_wait(m, "the other members");
	while (m->start <= 0) {
		if ((with_all && all_there(m, err) < 0) ||
		    wait_until(m, deadline, "one of the other members", err) < 0)
			return -1;
	}
	tell_wait(m, "");
	return sleep_until(m->start, err);
}
