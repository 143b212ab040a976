/*
 * sample_host.c - memory errors and machine checks, second by second.
 *
 * The names are those of counters.c, so that a counter of a step and its series can be laid side by
 * side.
 */
#include "kernels/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of /proc/interrupts has a column for each processor: megabytes on large machines. */
enum { INTERRUPTS_EVERY = 60, MEMORY_EVERY = 10 };

struct host_state {
	int machine_checks; /* series, or -1 */
	long due;
};

static const struct sample_series edac_ce = { .name = "edac_ce", .kind = SERIES_ERRORS, .unit = 1 };
static const struct sample_series edac_ue = { .name = "edac_ue", .kind = SERIES_ERRORS, .unit = 1 };
static const struct reading plain = { 0 };

static void watch_module(void *arg, const char *folder)
{
	struct source *s = arg;
	char *label = machine_line(s->m, "%s/dimm_label", folder);
	char *part = xasprintf("dimm:%s", label && *label ? label : strrchr(folder, '/') + 1);

	source_watch(s, part, &edac_ce, &plain, "%s/dimm_ce_count", folder);
	source_watch(s, part, &edac_ue, &plain, "%s/dimm_ue_count", folder);
	free(part);
	free(label);
}

/* What the controller could not give to a module, or all where it knows no modules. */
static void watch_controller(void *arg, const char *folder)
{
	struct source *s = arg;
	char *dimms = xasprintf("%s/dimm[0-9]*", folder);
	char *ranks = xasprintf("%s/rank[0-9]*", folder);
	char *part = xasprintf("memory:%s", strrchr(folder, '/') + 1);
	int known = machine_each(s->m, dimms, watch_module, s) +
		    machine_each(s->m, ranks, watch_module, s);

	source_watch(s, part, &edac_ce, &plain, "%s/%s", folder,
		     known ? "ce_noinfo_count" : "ce_count");
	source_watch(s, part, &edac_ue, &plain, "%s/%s", folder,
		     known ? "ue_noinfo_count" : "ue_count");
	free(part);
	free(ranks);
	free(dimms);
}

static void watch_memory(struct source *s)
{
	static const struct sample_series available = { .name = "memory_available_bytes",
							.kind = SERIES_LEVEL,
							.unit = 1 << 20,
							.moved = 4e9 };
	static const struct sample_series poisoned = { .name = "hwpoison_bytes",
						       .kind = SERIES_ERRORS,
						       .unit = 1024 };
	static const struct sample_series killed = { .name = "oom_kills",
						     .kind = SERIES_ERRORS,
						     .unit = 1 };
	static const struct reading kib = { .every = MEMORY_EVERY,
					    .scale = 1024,
					    .key = "MemAvailable:" };
	static const struct reading corrupted = { .scale = 1024, .key = "HardwareCorrupted:" };
	static const struct reading kills = { .every = MEMORY_EVERY, .key = "\noom_kill " };

	source_watch(s, "", &available, &kib, "/proc/meminfo");
	source_watch_same(s, "", &poisoned, &corrupted);
	source_watch(s, "", &killed, &kills, "/proc/vmstat");
}

/* Sum of the row of machine check exceptions, INFINITY if there is none. */
static double machine_checks(const struct source *s)
{
	char *path = machine_path(s->m, "/proc/interrupts"), *line = NULL, *at, *end;
	FILE *file = fopen(path, "re");
	size_t room = 0;
	double sum = INFINITY;

	free(path);
	while (file && isinf(sum) && getline(&line, &room, file) > 0) {
		at = line + strspn(line, " ");
		if (strncmp(at, "MCE:", 4) != 0)
			continue;
		sum = 0;
		for (at += 4;; at = end) {
			double count = strtod(at, &end);

			if (end == at)
				break;
			sum += count;
		}
	}
	free(line);
	if (file)
		fclose(file);
	return sum;
}

static void host_open(struct source *s)
{
	static const struct sample_series checks = { .name = "mce",
						     .kind = SERIES_ERRORS,
						     .unit = 1 };
	struct host_state *x = xcalloc(1, sizeof(*x));

	s->own = x;
	machine_each(s->m, "/sys/devices/system/edac/mc/mc[0-9]*", watch_controller, s);
	watch_memory(s);
	x->machine_checks = isfinite(machine_checks(s)) ? source_add(s, "", &checks) : -1;
}

static void host_read(struct source *s)
{
	struct host_state *x = s->own;

	if (x->machine_checks >= 0 && source_due(s, &x->due, INTERRUPTS_EVERY))
		s->values[x->machine_checks] = machine_checks(s);
}

static void host_close(struct source *s)
{
	free(s->own);
}

const struct source_kind sample_host = {
	.name = "memory errors",
	.open = host_open,
	.read = host_read,
	.close = host_close,
};
