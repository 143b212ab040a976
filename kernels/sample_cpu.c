/*
 * sample_cpu.c - throttling, power and clocks of processors.
 *
 * Clocks are asked of a few processors of each socket and seldom: older kernels interrupt a
 * processor to learn its clock, and telemetry must not slow down what is being measured.
 */
#include "kernels/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOCKS_ASKED = 4, CLOCKS_EVERY = 10, ZONES_MOST = 64 };

/* A counter of energy that begins anew when it is full. */
struct energy {
	int series;
	double range, last, added;
};

struct cpu_state {
	struct energy zones[ZONES_MOST];
	int count;
};

static const struct {
	struct sample_series series;
	const char *file;
} throttles[] = {
	{ { .name = "throttle", .kind = SERIES_ERRORS, .unit = 1 }, "core_throttle_count" },
	{ { .name = "throttle_package", .kind = SERIES_ERRORS, .unit = 1 },
	  "package_throttle_count" },
};

/* Each processor counts for itself; the sum over a socket only ever grows, which is all we need. */
static void watch_throttling(struct source *s, hwloc_obj_t socket, const char *part)
{
	static const char format[] = "/sys/devices/system/cpu/cpu%d/thermal_throttle/%s";
	static const struct reading plain = { 0 };
	int cpu;

	for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
		int series = -1;

		hwloc_bitmap_foreach_begin(cpu, socket->cpuset)
		{
			if (series >= 0)
				source_watch_too(s, series, &plain, format, cpu, throttles[i].file);
			else
				series = source_watch(s, part, &throttles[i].series, &plain, format,
						      cpu, throttles[i].file);
		}
		hwloc_bitmap_foreach_end();
	}
}

static void watch_clock(struct source *s, hwloc_obj_t socket, const char *part)
{
	static const struct sample_series clock = { .name = "clock_mhz",
						    .about = "mean of a few processors",
						    .kind = SERIES_LEVEL,
						    .unit = 1,
						    .moved = 200 };
	static const char format[] = "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq";
	int all = hwloc_bitmap_weight(socket->cpuset), series = -1, index = 0, cpu;
	int asked = all < CLOCKS_ASKED ? all : CLOCKS_ASKED;
	const struct reading mean = { .every = CLOCKS_EVERY, .scale = 1e-3 / asked };

	hwloc_bitmap_foreach_begin(cpu, socket->cpuset)
	{
		/* evenly over the socket */
		if (index * asked / all == (index + 1) * asked / all && index++ >= 0)
			continue;
		index++;
		if (series < 0)
			series = source_watch(s, part, &clock, &mean, format, cpu);
		else
			source_watch_too(s, series, &mean, format, cpu);
	}
	hwloc_bitmap_foreach_end();
}

/* "package-1" or "package-1-die-0" (Documentation/power/powercap); others are parts of these. */
static void watch_energy(void *arg, const char *folder)
{
	struct source *s = arg;
	static const struct sample_series joules = {
		.name = "energy_j", .kind = SERIES_FLOW, .unit = 1, .moved = 10
	};
	static const struct reading micro = { .scale = 1e-6 };
	char *name = machine_line(s->m, "%s/name", folder), part[24];
	char *range = machine_line(s->m, "%s/max_energy_range_uj", folder);
	struct cpu_state *x = s->own;
	unsigned package;
	int series = -1;

	if (name && sscanf(name, "package-%u", &package) == 1 && x->count < ZONES_MOST) {
		snprintf(part, sizeof(part), "socket%u", package);
		series = source_watch(s, part, &joules, &micro, "%s/energy_uj", folder);
	}
	if (series >= 0)
		x->zones[x->count++] =
			(struct energy){ .series = series,
					 .range = range ? strtod(range, NULL) * 1e-6 : 0 };
	free(range);
	free(name);
}

static void cpu_open(struct source *s)
{
	hwloc_obj_t socket = NULL;
	char part[24];

	s->own = xcalloc(1, sizeof(struct cpu_state));
	while ((socket = hwloc_get_next_obj_by_type(s->m->topology, HWLOC_OBJ_PACKAGE, socket))) {
		snprintf(part, sizeof(part), "socket%u", socket->logical_index);
		watch_throttling(s, socket, part);
		watch_clock(s, socket, part);
	}
	machine_each(s->m, "/sys/class/powercap/intel-rapl:*", watch_energy, s);
}

static void cpu_read(struct source *s)
{
	struct cpu_state *x = s->own;

	for (int i = 0; i < x->count; i++) {
		struct energy *e = &x->zones[i];
		double *value = &s->values[e->series];

		if (!isfinite(*value))
			continue;
		if (*value < e->last)
			e->added += e->range;
		e->last = *value;
		*value += e->added;
	}
}

static void cpu_close(struct source *s)
{
	free(s->own);
}

const struct source_kind sample_cpu = {
	.name = "processors",
	.open = cpu_open,
	.read = cpu_read,
	.close = cpu_close,
};
