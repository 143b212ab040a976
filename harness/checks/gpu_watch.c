/*
 * gpu_watch.c - power, clocks, temperatures and throttling of GPUs while they work.
 *
 * A series has a fixed size: when it is full, neighbours are merged into the worse of them and each
 * point stands for twice the time, so a soak of days costs no more than one of minutes and no peak
 * is lost.
 */
#include "harness/checks/gpu_watch.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POINTS = 600, FAILURES_A_HUNDRED = 10 };

struct series {
	double points[POINTS];
	int count;
	long each, held_count; /* readings a point stands for; those of the next point so far */
	double held;
};

struct watched {
	int gpu;
	long readings, failures, throttle_known, hot, capped;
	unsigned long long bits; /* all that were ever seen */
	struct error failure;    /* the first one */
	struct series series[WATCHED];
	double sum[WATCHED]; /* since the last gpu_watch_mean() */
	long summed[WATCHED];
	int was_told[WATCHED];
};

struct gpu_watch {
	struct job *job;
	double period;
	struct watched *items;
	int count, is_running, is_ending;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
};

/* Of temperatures and power the highest is the worst, of clocks the lowest. */
static double worse(enum gpu_watched what, double a, double b)
{
	if (what == WATCH_CLOCK)
		return a < b ? a : b;
	return a > b ? a : b;
}

static void halve(struct series *s, enum gpu_watched what)
{
	for (int i = 0; i < POINTS / 2; i++)
		s->points[i] = worse(what, s->points[2 * i], s->points[2 * i + 1]);
	s->count = POINTS / 2;
	s->each *= 2;
}

static void append(struct series *s, enum gpu_watched what, double value)
{
	s->held = s->held_count ? worse(what, s->held, value) : value;
	if (++s->held_count < s->each)
		return;
	if (s->count == POINTS)
		halve(s, what);
	if (s->held_count < s->each) /* a point has just become twice as long */
		return;
	s->points[s->count++] = s->held;
	s->held_count = 0;
}

static void keep(struct watched *x, const struct gpu_sensors *s)
{
	const double values[WATCHED] = {
		[WATCH_POWER] = s->power_w,
		[WATCH_CLOCK] = s->sm_clock_hz / 1e6,
		[WATCH_TEMPERATURE] = s->temperature_c,
		[WATCH_MEMORY_TEMPERATURE] = s->memory_temperature_c,
	};

	for (int i = 0; i < WATCHED; i++) {
		if (!isfinite(values[i]))
			continue;
		append(&x->series[i], (enum gpu_watched)i, values[i]);
		x->sum[i] += values[i];
		x->summed[i]++;
		x->was_told[i] = 1;
	}
	if (!s->throttle_known)
		return;
	x->throttle_known++;
	x->bits |= s->throttle;
	x->hot += (s->throttle & GPU_HOT) != 0;
	x->capped += (s->throttle & GPU_SOFTWARE_POWER_CAP) != 0;
}

static int read_sensors(struct job *job, int gpu, struct gpu_sensors *s, struct error *err)
{
	if (!job->hw->gpu_sensors)
		return error_set(err, "%s", gpu_no_code);
	return job->hw->gpu_sensors(job->machine, gpu, s, err);
}

/* The driver is asked without the lock: a call into a GPU that hangs must not hold up the load. */
static void read_all(struct gpu_watch *w)
{
	for (int i = 0; i < w->count; i++) {
		struct watched *x = &w->items[i];
		struct gpu_sensors s;
		struct error err;
		int rc = read_sensors(w->job, x->gpu, &s, &err);

		pthread_mutex_lock(&w->lock);
		x->readings++;
		if (rc == 0)
			keep(x, &s);
		else if (x->failures++ == 0)
			x->failure = err;
		pthread_mutex_unlock(&w->lock);
	}
}

static struct timespec later(double seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)seconds;
	t.tv_nsec += (long)((seconds - floor(seconds)) * 1e9);
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static void *watch(void *arg)
{
	struct gpu_watch *w = arg;
	struct timespec next = later(w->period);

	pthread_mutex_lock(&w->lock);
	while (!w->is_ending) {
		if (pthread_cond_timedwait(&w->wake, &w->lock, &next) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&w->lock);
		read_all(w);
		next = later(w->period);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void init_lock(struct gpu_watch *w)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
}

struct gpu_watch *gpu_watch_start(struct job *job, const int *gpus, int count, double period,
				  struct error *err)
{
	struct gpu_watch *w = xcalloc(1, sizeof(*w));

	w->job = job;
	w->period = period;
	w->count = count;
	w->items = xcalloc((size_t)count, sizeof(*w->items));
	for (int i = 0; i < count; i++) {
		w->items[i].gpu = gpus[i];
		for (int k = 0; k < WATCHED; k++)
			w->items[i].series[k].each = 1;
	}
	init_lock(w);
	read_all(w);
	w->is_running = pthread_create(&w->thread, NULL, watch, w) == 0;
	if (w->is_running)
		return w;
	error_set(err, "no thread can be started to read the GPUs' sensors");
	gpu_watch_free(w);
	return NULL;
}

void gpu_watch_stop(struct gpu_watch *w)
{
	if (!w->is_running)
		return;
	pthread_mutex_lock(&w->lock);
	w->is_ending = 1;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->is_running = 0;
	read_all(w);
}

void gpu_watch_free(struct gpu_watch *w)
{
	if (!w)
		return;
	gpu_watch_stop(w);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w->items);
	free(w);
}

static struct watched *find(struct gpu_watch *w, int gpu)
{
	for (int i = 0; i < w->count; i++)
		if (w->items[i].gpu == gpu)
			return &w->items[i];
	BUG("gpu%d is not watched", gpu);
}

double gpu_watch_mean(struct gpu_watch *w, int gpu, enum gpu_watched what)
{
	struct watched *x = find(w, gpu);
	double mean;

	pthread_mutex_lock(&w->lock);
	mean = x->summed[what] ? x->sum[what] / (double)x->summed[what] : NAN;
	x->sum[what] = 0;
	x->summed[what] = 0;
	pthread_mutex_unlock(&w->lock);
	return mean;
}

/* ---- reports ------------------------------------------------------------------------------- */

/* 1, and the reason, when so many readings failed that the rest would tell of better times only. */
static int failed_often(const struct watched *x, char *why, size_t room)
{
	if (x->failures * 100 <= x->readings * FAILURES_A_HUNDRED)
		return 0;
	snprintf(why, room, "%ld of %ld readings of its sensors failed: %.300s", x->failures,
		 x->readings, x->failure.text);
	return 1;
}

void gpu_watch_series(struct gpu_watch *w, int gpu, enum gpu_watched what, const char *metric)
{
	struct watched *x = find(w, gpu);
	struct series *s = &x->series[what];
	double points[POINTS + 1];
	char why[400], part[16];

	snprintf(part, sizeof(part), "gpu%d", gpu);
	memcpy(points, s->points, (size_t)s->count * sizeof(*points));
	if (s->held_count)
		points[s->count] = s->held;
	if (failed_often(x, why, sizeof(why)))
		job_hole(w->job, metric, part, why);
	else if (x->was_told[what])
		job_samples(w->job, metric, part, points, s->count + (s->held_count > 0));
	else if (what == WATCH_MEMORY_TEMPERATURE && x->was_told[WATCH_TEMPERATURE])
		job_absent(w->job, metric, part, "the driver shows no such sensor of this GPU");
	else
		job_hole(w->job, metric, part, "the driver does not tell it of this GPU");
}

void gpu_watch_share(struct gpu_watch *w, int gpu, enum gpu_share what, const char *metric)
{
	struct watched *x = find(w, gpu);
	long bad = what == SHARE_HOT ? x->hot : x->capped;
	char why[400], part[16];

	snprintf(part, sizeof(part), "gpu%d", gpu);
	if (failed_often(x, why, sizeof(why)))
		job_hole(w->job, metric, part, why);
	else if (x->throttle_known)
		job_report(w->job, metric, part, 100.0 * (double)bad / (double)x->throttle_known);
	else
		job_hole(w->job, metric, part, "the driver does not tell why clocks are low");
}

void gpu_watch_notes(struct gpu_watch *w)
{
	for (int i = 0; i < w->count; i++) {
		struct watched *x = &w->items[i];
		char bits[200];

		gpu_throttle_text(x->bits, bits, sizeof(bits));
		job_note(w->job,
			 "gpu%d: %ld readings of its sensors, a point of a series is the worst of "
			 "%ld; clocks were held down by: %s",
			 x->gpu, x->readings, x->series[WATCH_TEMPERATURE].each,
			 *bits ? bits : "nothing");
		if (x->failures)
			job_note(w->job, "gpu%d: %ld readings failed, the first: %.300s", x->gpu,
				 x->failures, x->failure.text);
	}
}

void gpu_throttle_text(unsigned long long bits, char *out, size_t room)
{
	static const struct {
		unsigned bit;
		const char *text;
	} names[] = {
		{ GPU_IDLE, "idle" },
		{ GPU_APPLICATION_CLOCKS, "application clocks" },
		{ GPU_SOFTWARE_POWER_CAP, "power limit" },
		{ GPU_HARDWARE_SLOWDOWN, "hardware slowdown" },
		{ GPU_SYNC_BOOST, "sync boost" },
		{ GPU_SOFTWARE_THERMAL, "heat (driver)" },
		{ GPU_HARDWARE_THERMAL, "heat (hardware)" },
		{ GPU_POWER_BRAKE, "power brake" },
		{ GPU_DISPLAY_CLOCKS, "display" },
	};
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bits & names[i].bit && len + 40 < room)
			len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "",
						names[i].text);
}
