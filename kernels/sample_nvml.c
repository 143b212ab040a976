/*
 * sample_nvml.c - what NVML tells of GPUs each second.
 *
 * Its series are declared when the library has opened, which can take long or never come: GPUs that
 * appear late are series that begin late. What needs many calls (links, remapped rows) is read
 * seldom; errors of memory, replays and XIDs every second.
 */
#include "kernels/nvml_inside.h"
#include "kernels/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNTERS_EVERY = 10 };

static const struct sensor {
	struct sample_series series;
	double scale;
	size_t at; /* in struct gpu_sensors, a double */
} sensors[] = {
	{ { .name = "power_w", .kind = SERIES_LEVEL, .unit = 0.5, .moved = 10 },
	  1,
	  offsetof(struct gpu_sensors, power_w) },
	{ { .name = "clock_mhz", .kind = SERIES_LEVEL, .unit = 1, .moved = 30 },
	  1e-6,
	  offsetof(struct gpu_sensors, sm_clock_hz) },
	{ { .name = "memory_clock_mhz", .kind = SERIES_LEVEL, .unit = 1, .moved = 30 },
	  1e-6,
	  offsetof(struct gpu_sensors, memory_clock_hz) },
	{ { .name = "temperature_c", .kind = SERIES_LEVEL, .unit = 1, .moved = 2 },
	  1,
	  offsetof(struct gpu_sensors, temperature_c) },
	{ { .name = "memory_temperature_c", .kind = SERIES_LEVEL, .unit = 1, .moved = 2 },
	  1,
	  offsetof(struct gpu_sensors, memory_temperature_c) },
};

static const struct sample_series throttle = { .name = "throttle", .kind = SERIES_BITS, .unit = 1 };
static const struct sample_series used = {
	.name = "memory_used_bytes", .kind = SERIES_LEVEL, .unit = 1 << 20, .moved = 1e9
};
static const struct sample_series links_up = { .name = "nvlinks_up",
					       .kind = SERIES_STATE,
					       .unit = 1 };

struct nvml_state {
	long counters_due;
	int is_said;
};

/* Index of a series of this source, declared at the first time. */
static int series_of(struct source *s, const char *part, const struct sample_series *like)
{
	for (int i = 0; i < s->count; i++)
		if (!strcmp(s->series[i].part, part) && !strcmp(s->series[i].name, like->name))
			return i;
	return source_add(s, part, like);
}

static void put_value(struct source *s, const char *part, const struct sample_series *like,
		      double value)
{
	int i = series_of(s, part, like); /* which may move the values */

	s->values[i] = value;
}

static void read_gpu(struct source *s, const char *part, int gpu)
{
	struct gpu_sensors got;
	struct error ignored; /* a GPU that does not answer is a series that is away */

	if (machine_gpu_sensors(s->m, gpu, &got, &ignored) < 0) {
		for (int i = 0; i < s->count; i++)
			if (!strcmp(s->series[i].part, part) && s->series[i].kind != SERIES_ERRORS)
				s->values[i] = INFINITY;
		return;
	}
	for (size_t k = 0; k < ARRAY_SIZE(sensors); k++) {
		double value;

		memcpy(&value, (char *)&got + sensors[k].at, sizeof(value));
		if (isfinite(value))
			put_value(s, part, &sensors[k].series, value * sensors[k].scale);
	}
	if (got.throttle_known)
		put_value(s, part, &throttle, (double)got.throttle);
	if (got.total_bytes)
		put_value(s, part, &used, (double)got.used_bytes);
}

static void read_links(struct source *s, const char *part, int gpu)
{
	struct gpu_link links[LINKS_ROOM];
	struct error ignored;
	int count = machine_gpu_links(s->m, gpu, links, LINKS_ROOM, &ignored), up = 0;

	for (int i = 0; i < count && i < LINKS_ROOM; i++)
		up += links[i].up;
	if (count > 0)
		put_value(s, part, &links_up, up);
}

/* "gpu_ecc_corrected" of the counters is ecc_corrected here: the part says the rest. */
static void take_counter(void *arg, const char *part, const char *name, double value)
{
	struct sample_series like = { .kind = SERIES_ERRORS, .unit = 1 };
	size_t skip = strncmp(name, "gpu_", 4) ? 0 : 4;

	snprintf(like.name, sizeof(like.name), "%s", name + skip);
	put_value(arg, part, &like, value);
}

static void nvml_source_open(struct source *s)
{
	s->own = xcalloc(1, sizeof(struct nvml_state));
}

/* Says which NVIDIA GPUs are not watched, once. Where there are none, nothing is missed. */
static void say_holes(struct source *s, struct nvml *n, const char *why)
{
	enum { NVIDIA = 0x10de };

	for (int i = 0; i < s->parts->count; i++) {
		const struct pci_part *part = &s->parts->items[i];

		if (part->kind == PART_GPU && part->vendor == NVIDIA &&
		    (!n || !nvml_at(n, part->address)))
			source_tell(s, part->name, "hole", "not watched: %s",
				    n ? "NVML does not list it" : why);
	}
}

static void nvml_source_read(struct source *s)
{
	struct nvml_state *x = s->own;
	struct error err;
	struct nvml *n = nvml_open(s->m, &err);
	int all;

	if (!x->is_said++)
		say_holes(s, n, err.text);
	if (!n)
		return;
	all = source_due(s, &x->counters_due, COUNTERS_EVERY);
	for (int i = 0; i < n->device_count; i++) {
		char part[16];

		snprintf(part, sizeof(part), "gpu%d", n->devices[i].number);
		read_gpu(s, part, n->devices[i].number);
		if (all)
			read_links(s, part, n->devices[i].number);
	}
	nvml_counters(s->m, !all, take_counter, s);
}

static void nvml_source_close(struct source *s)
{
	free(s->own);
}

const struct source_kind sample_nvml = {
	.name = "GPUs (NVML)",
	.apart = 1,
	.open = nvml_source_open,
	.read = nvml_source_read,
	.close = nvml_source_close,
};
