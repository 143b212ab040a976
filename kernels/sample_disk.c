/*
 * sample_disk.c - what disks move, whether they are alive, and NVMe health logs.
 *
 * A health log is a command to the disk: it is asked for seldom and by a thread of its own, for a
 * disk that hangs answers after the driver's time-out of half a minute.
 */
#include "kernels/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEALTH_EVERY = 10, ERRORS_EVERY = 10, SECTOR = 512 };

/* ---- /sys/block/X/stat: Documentation/admin-guide/iostats.rst ------------------------------- */

static const struct {
	struct sample_series series;
	struct reading reading;
} moves[] = {
	{ { .name = "read_bytes", .kind = SERIES_FLOW, .unit = 1 << 20, .moved = 50e6 },
	  { .scale = SECTOR, .column = 2 } },
	{ { .name = "write_bytes", .kind = SERIES_FLOW, .unit = 1 << 20, .moved = 50e6 },
	  { .scale = SECTOR, .column = 6 } },
	{ { .name = "busy_s", .kind = SERIES_FLOW, .unit = 0.01, .moved = 0.2 },
	  { .scale = 1e-3, .column = 9 } },
};

static const char *const live[] = { "live" }, *const running[] = { "running" };

static const struct {
	const char *bus;
	struct sample_series series;
	struct reading reading;
	const char *file;
} states[] = {
	{ "nvme",
	  { .name = "live", .kind = SERIES_STATE, .unit = 1 },
	  { .words = live },
	  "device/state" },
	{ "scsi",
	  { .name = "live", .kind = SERIES_STATE, .unit = 1 },
	  { .words = running },
	  "device/state" },
	{ "scsi",
	  { .name = "io_errors", .kind = SERIES_ERRORS, .unit = 1 },
	  { .every = ERRORS_EVERY },
	  "device/ioerr_cnt" },
	{ "scsi",
	  { .name = "io_timeouts", .kind = SERIES_ERRORS, .unit = 1 },
	  { .every = ERRORS_EVERY },
	  "device/iotmo_cnt" },
};

static void disk_open(struct source *s)
{
	const struct host *host = &s->m->host;
	char part[24];

	for (int i = 0; i < host->disk_count; i++) {
		const char *device = host->disks[i].device;

		snprintf(part, sizeof(part), "disk%d", i);
		if (source_watch(s, part, &moves[0].series, &moves[0].reading, "/sys/block/%s/stat",
				 device) >= 0)
			for (size_t k = 1; k < ARRAY_SIZE(moves); k++)
				source_watch_same(s, part, &moves[k].series, &moves[k].reading);
		for (size_t k = 0; k < ARRAY_SIZE(states); k++)
			if (!strcmp(states[k].bus, host->disks[i].bus))
				source_watch(s, part, &states[k].series, &states[k].reading,
					     "/sys/block/%s/%s", device, states[k].file);
	}
}

const struct source_kind sample_disk = {
	.name = "disks (sysfs)",
	.open = disk_open,
};

/* ---- NVMe health --------------------------------------------------------------------------- */

static const struct {
	struct sample_series series;
	size_t at; /* in struct disk_health */
} healths[] = {
	{ { .name = "critical_warning", .kind = SERIES_BITS, .unit = 1 },
	  offsetof(struct disk_health, critical_warning) },
	{ { .name = "media_errors", .kind = SERIES_ERRORS, .unit = 1 },
	  offsetof(struct disk_health, media_errors) },
	{ { .name = "smart_temperature_c", .kind = SERIES_LEVEL, .unit = 1, .moved = 2 },
	  offsetof(struct disk_health, temperature_c) },
	{ { .name = "spare_percent", .kind = SERIES_STATE, .unit = 1 },
	  offsetof(struct disk_health, spare_percent) },
	{ { .name = "used_percent", .kind = SERIES_LEVEL, .unit = 1, .moved = 1 },
	  offsetof(struct disk_health, used_percent) },
	{ { .name = "error_log_entries", .kind = SERIES_FLOW, .unit = 1, .moved = 1 },
	  offsetof(struct disk_health, error_log_entries) },
	{ { .name = "warning_minutes", .kind = SERIES_ERRORS, .unit = 1 },
	  offsetof(struct disk_health, warning_minutes) },
};

struct smart {
	int disk, first; /* first: its first series */
};

struct smart_state {
	struct smart *items;
	int count;
	long due;
};

static void smart_open(struct source *s)
{
	const struct host *host = &s->m->host;
	struct smart_state *x = xcalloc(1, sizeof(*x));
	struct disk_health health;
	struct error err;
	char part[24];

	s->own = x;
	for (int i = 0; i < host->disk_count; i++) {
		if (strcmp(host->disks[i].bus, "nvme") != 0)
			continue;
		snprintf(part, sizeof(part), "disk%d", i);
		if (disk_health(s->m, host->disks[i].device, &health, &err) < 0) {
			source_tell(s, part, "hole", "%s", err.text);
			continue;
		}
		x->items = grow(x->items, (size_t)x->count, sizeof(*x->items));
		x->items[x->count++] = (struct smart){ i, s->count };
		for (size_t k = 0; k < ARRAY_SIZE(healths); k++)
			source_add(s, part, &healths[k].series);
	}
}

static void smart_read(struct source *s)
{
	struct smart_state *x = s->own;
	struct disk_health health;
	struct error ignored; /* a disk that does not answer is a series that is away */

	if (!source_due(s, &x->due, HEALTH_EVERY))
		return;
	for (int i = 0; i < x->count; i++) {
		const char *device = s->m->host.disks[x->items[i].disk].device;
		int failed = disk_health(s->m, device, &health, &ignored);

		for (size_t k = 0; k < ARRAY_SIZE(healths); k++) {
			double *value = &s->values[x->items[i].first + (int)k];

			*value = INFINITY;
			if (!failed)
				memcpy(value, (char *)&health + healths[k].at, sizeof(*value));
		}
	}
}

static void smart_close(struct source *s)
{
	struct smart_state *x = s->own;

	if (x)
		free(x->items);
	free(x);
}

const struct source_kind sample_smart = {
	.name = "health logs of NVMe disks",
	.apart = 1,
	.open = smart_open,
	.read = smart_read,
	.close = smart_close,
};
