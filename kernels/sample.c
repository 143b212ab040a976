/*
 * sample.c - one reading of all sources a second.
 *
 * Sources that can hang have a thread each. A reading starts them, reads the others meanwhile, and
 * then waits a little: what they tell in that time belongs to this second. What comes later belongs
 * to the second in which it is collected, and until then their series are not there at all.
 */
#include "kernels/sample_inside.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SILENT_TURNS = 5 };
static const double patience = 0.4, farewell = 2;

static const struct source_kind *const kinds[] = {
	&sample_host, &sample_cpu,   &sample_pci,        &sample_hwmon, &sample_net,
	&sample_disk, &sample_smart, &sample_kernel_log, &sample_ipmi,
#ifdef HAVE_CUDA
	&sample_nvml,
#endif
};

enum stage { IDLE, WORKING, DONE, LEFT }; /* LEFT: its thread has ended */

struct seat { /* one source in the sampler */
	struct source source;
	struct sampler *sampler;
	enum stage stage;
	pthread_t thread;
	int has_thread, is_open;
	long asked; /* the turn at which it began to work */
	int was_silent;
	int *global; /* index in the sampler's list, by index in the source's */
	int global_count;
};

struct sampler {
	struct machine *m;
	struct pci_parts parts;
	struct seat seats[ARRAY_SIZE(kinds)];
	pthread_mutex_t lock; /* of the stages and of ending */
	pthread_cond_t work, done;
	int ending, is_full;
	long turn;
	struct sample_series *series;
	double *values;
	int count;
};

/* ---- one source ---------------------------------------------------------------------------- */

/* By the source's thread, or by the sampler's if it has none. */
static void seat_work(struct seat *seat)
{
	struct source *s = &seat->source;

	if (!seat->is_open)
		s->kind->open(s);
	seat->is_open = 1;
	for (int i = 0; i < s->count; i++)
		s->values[i] = NAN;
	source_read_files(s);
	if (s->kind->read)
		s->kind->read(s);
}

static void *seat_thread(void *arg)
{
	struct seat *seat = arg;
	struct sampler *sampler = seat->sampler;

	pthread_mutex_lock(&sampler->lock);
	while (!sampler->ending) {
		if (seat->stage != WORKING) {
			pthread_cond_wait(&sampler->work, &sampler->lock);
			continue;
		}
		pthread_mutex_unlock(&sampler->lock);
		seat_work(seat);
		pthread_mutex_lock(&sampler->lock);
		seat->stage = DONE;
		pthread_cond_signal(&sampler->done);
	}
	seat->stage = LEFT;
	pthread_cond_signal(&sampler->done);
	pthread_mutex_unlock(&sampler->lock);
	return NULL;
}

/* The source's own list may have grown: new ones get a place at the end of the common list. */
static void place_new(struct sampler *s, struct seat *seat)
{
	for (int i = seat->global_count; i < seat->source.count; i++) {
		seat->global = grow(seat->global, (size_t)i, sizeof(*seat->global));
		seat->global[i] = -1;
		if (s->count < SERIES_MOST) {
			s->series = grow(s->series, (size_t)s->count, sizeof(*s->series));
			s->values = grow(s->values, (size_t)s->count, sizeof(*s->values));
			s->series[s->count] = seat->source.series[i];
			seat->global[i] = s->count++;
		}
	}
	seat->global_count = seat->source.count;
}

static void collect(struct sampler *s, struct seat *seat, sample_event_fn *event, void *arg)
{
	struct source *from = &seat->source;

	place_new(s, seat);
	for (int i = 0; i < from->count; i++)
		if (seat->global[i] >= 0)
			s->values[seat->global[i]] = from->values[i];
	for (int i = 0; i < from->told_count; i++)
		event(arg, from->told[i].part, from->told[i].what, from->told[i].text);
	from->told_count = 0;
}

/* ---- all of them --------------------------------------------------------------------------- */

static void start_slow_ones(struct sampler *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct seat *seat = &s->seats[i];

		if (!seat->has_thread || seat->stage != IDLE)
			continue;
		seat->source.turn = seat->asked = s->turn;
		seat->stage = WORKING;
	}
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
}

static struct timespec later(double seconds)
{
	struct timespec t;
	double whole = floor(seconds);

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)whole;
	t.tv_nsec += (long)((seconds - whole) * 1e9);
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Waits until no thread is in `stage`, or the time is over. 0, or -1. With the lock held. */
static int wait_while(struct sampler *s, enum stage stage, int or_below, double seconds)
{
	const struct timespec until = later(seconds);

	for (;;) {
		int left = 0;

		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			left += s->seats[i].has_thread && (or_below ? s->seats[i].stage <= stage
								    : s->seats[i].stage == stage);
		if (!left)
			return 0;
		if (pthread_cond_timedwait(&s->done, &s->lock, &until) == ETIMEDOUT)
			return -1;
	}
}

static void say_silent(struct sampler *s, struct seat *seat, int is_done, sample_event_fn *event,
		       void *arg)
{
	const char *name = seat->source.kind->name;
	long turns = s->turn - seat->asked;
	char text[160];

	if (!is_done && turns == SILENT_TURNS) {
		snprintf(text, sizeof(text), "%s: no answer for %ld s", name, turns);
		event(arg, "", "silent", text);
		seat->was_silent = 1;
	} else if (is_done && seat->was_silent) {
		snprintf(text, sizeof(text), "%s: answers again, after %ld s", name, turns);
		event(arg, "", "silent", text);
		seat->was_silent = 0;
	}
}

static void collect_slow_ones(struct sampler *s, sample_event_fn *event, void *arg)
{
	enum stage stages[ARRAY_SIZE(kinds)];

	pthread_mutex_lock(&s->lock);
	wait_while(s, WORKING, 0, patience);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		stages[i] = s->seats[i].stage;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct seat *seat = &s->seats[i];

		if (!seat->has_thread)
			continue;
		say_silent(s, seat, stages[i] == DONE, event, arg);
		if (stages[i] != DONE)
			continue;
		collect(s, seat, event, arg); /* its thread waits for WORKING, touching nothing */
		pthread_mutex_lock(&s->lock);
		seat->stage = IDLE;
		pthread_mutex_unlock(&s->lock);
	}
}

void sampler_read(struct sampler *s, struct sampling *out, sample_event_fn *event, void *arg)
{
	char text[120];

	for (int i = 0; i < s->count; i++)
		s->values[i] = NAN;
	start_slow_ones(s);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct seat *seat = &s->seats[i];

		if (seat->has_thread)
			continue;
		seat->source.turn = s->turn;
		seat_work(seat);
		collect(s, seat, event, arg);
	}
	collect_slow_ones(s, event, arg);
	if (s->count == SERIES_MOST && !s->is_full) {
		s->is_full = 1;
		snprintf(text, sizeof(text),
			 "only %d series are watched; further ones are left out", SERIES_MOST);
		event(arg, "", "hole", text);
	}
	s->turn++;
	*out = (struct sampling){ s->series, s->values, s->count };
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void init_locks(struct sampler *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->done, &attr);
	pthread_cond_init(&s->work, &attr);
	pthread_condattr_destroy(&attr);
}

/* Files are kept open, more of them than a process may have by default. */
static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* what is refused is opened for each reading */
}

struct sampler *sampler_open(struct machine *m, struct error *err)
{
	struct sampler *s = xcalloc(1, sizeof(*s));

	s->m = m;
	if (pci_parts_list(m, &s->parts, err) < 0) {
		pci_parts_release(&s->parts);
		free(s);
		return NULL;
	}
	allow_files();
	init_locks(s);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct seat *seat = &s->seats[i];

		seat->sampler = s;
		seat->source = (struct source){ .kind = kinds[i], .m = m, .parts = &s->parts };
		/* Without a thread a source that hangs would take the others along. */
		seat->has_thread = kinds[i]->apart &&
				   pthread_create(&seat->thread, NULL, seat_thread, seat) == 0;
		if (!kinds[i]->apart || seat->has_thread)
			continue;
		error_set(err, "no thread can be started for %s", kinds[i]->name);
		sampler_close(s);
		return NULL;
	}
	return s;
}

static void sampler_free(struct sampler *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (s->seats[i].source.kind)
			source_release(&s->seats[i].source);
		free(s->seats[i].global);
	}
	pthread_cond_destroy(&s->done);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	pci_parts_release(&s->parts);
	free(s->series);
	free(s->values);
	free(s);
}

int sampler_close(struct sampler *s)
{
	int hangs;

	pthread_mutex_lock(&s->lock);
	s->ending = 1;
	pthread_cond_broadcast(&s->work);
	hangs = wait_while(s, DONE, 1, farewell) < 0;
	pthread_mutex_unlock(&s->lock);
	if (hangs) /* a thread in a driver still holds all of it */
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (s->seats[i].has_thread)
			pthread_join(s->seats[i].thread, NULL);
	sampler_free(s);
	return 0;
}
