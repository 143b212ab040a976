/*
 * sample_hwmon.c - temperatures, fans and power by the kernel's hwmon drivers.
 *
 * Names of chips and labels come from firmware and say what they like: a sensor belongs to a part
 * where its device does, and else to the node under a name made of chip and label. Drivers that ask
 * a slow bus or a disk are read seldom, and all of them by a thread of their own.
 */
#include "kernels/sample.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often a chip is read where that costs its device something: a command, or a slow bus. */
static const struct {
	const char *chip;
	int every;
	const char *only; /* labels must begin so */
} chips[] = {
	{ "nvme", 10, NULL },
	{ "drivetemp", 60, NULL },
	{ "jc42", 10, NULL },
	{ "spd5118", 10, NULL },
	{ "mlx5", 10, NULL },
	/* one sensor a core, each read by an interrupt of that core: the package's tells as much */
	{ "coretemp", 1, "Package" },
};

/* Documentation/hwmon/sysfs-interface.rst: millidegrees, revolutions a minute, microwatts. */
static const struct {
	const char *prefix, *suffix, *unit_name;
	double scale, unit, moved;
} quantities[] = {
	{ "temp", "_input", "c", 1e-3, 0.5, 2 },
	{ "fan", "_input", "rpm", 1, 10, 300 },
	{ "power", "_average", "w", 1e-6, 1, 20 },
	{ "power", "_input", "w", 1e-6, 1, 20 },
};

enum { NUMBERS_MOST = 100 }; /* of one quantity of a chip */

/* Letters and digits, all else as one '_': the name goes into files and tables of others. */
static void plain_word(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < room; text++) {
		if (isalnum((unsigned char)*text))
			out[n++] = (char)tolower((unsigned char)*text);
		else if (n && out[n - 1] != '_')
			out[n++] = '_';
	}
	while (n && out[n - 1] == '_')
		n--;
	out[n] = '\0';
}

static int is_taken(const struct source *s, const char *part, const char *name)
{
	for (int i = 0; i < s->count; i++)
		if (!strcmp(s->series[i].part, part) && !strcmp(s->series[i].name, name))
			return 1;
	return 0;
}

/* "inlet_c", "temperature_c", "coretemp_package_id_0_c"; a second one of that name gets a number.
 */
static void choose_name(const struct source *s, const char *part, const char *chip,
			const char *label, const char *unit_name, struct sample_series *like)
{
	char word[40], base[SERIES_NAME_ROOM - 8];
	int is_heat = !strcmp(unit_name, "c");

	plain_word(word, sizeof(word), label);
	if (is_heat && (strstr(word, "inlet") || strstr(word, "ambient")))
		snprintf(base, sizeof(base), "inlet");
	else if (*part && is_heat &&
		 (!strcmp(word, "temp1") || !strcmp(word, "composite") ||
		  !strncmp(word, "package", 7)))
		snprintf(base, sizeof(base), "temperature");
	else if (*part)
		snprintf(base, sizeof(base), "%.32s", word);
	else
		snprintf(base, sizeof(base), "%.12s_%.24s", chip, word);
	snprintf(like->name, sizeof(like->name), "%s_%s", base, unit_name);
	for (int i = 2; i < 1000 && is_taken(s, part, like->name); i++)
		snprintf(like->name, sizeof(like->name), "%s_%d_%s", base, i % 1000, unit_name);
}

/* The part that a sensor belongs to: that of its device, or the socket in its label. */
static void choose_part(struct source *s, const char *folder, const char *label, char out[24])
{
	char *device = xasprintf("%s/device", folder);
	const struct pci_part *part = source_part_of(s, device);
	hwloc_obj_t socket = NULL;
	unsigned package;

	*out = '\0';
	if (part)
		snprintf(out, 24, "%.23s", part->name);
	else if (sscanf(label, "Package id %u", &package) == 1)
		while ((socket = hwloc_get_next_obj_by_type(s->m->topology, HWLOC_OBJ_PACKAGE,
							    socket)))
			if (socket->os_index == package)
				snprintf(out, 24, "socket%u", socket->logical_index);
	free(device);
}

static void watch_sensor(struct source *s, const char *folder, const char *file, const char *chip,
			 size_t q)
{
	int number = atoi(file + strlen(quantities[q].prefix));
	char *label = machine_line(s->m, "%s/%s%d_label", folder, quantities[q].prefix, number);
	struct reading how = { .scale = quantities[q].scale };
	struct sample_series like = { .kind = SERIES_LEVEL,
				      .unit = quantities[q].unit,
				      .moved = quantities[q].moved };
	char part[24], word[32];
	int wanted = 1;

	snprintf(word, sizeof(word), "%s%d", quantities[q].prefix, number);
	for (size_t i = 0; i < ARRAY_SIZE(chips); i++)
		if (!strcmp(chips[i].chip, chip)) {
			how.every = chips[i].every;
			wanted = !chips[i].only ||
				 (label && !strncmp(label, chips[i].only, strlen(chips[i].only)));
		}
	if (wanted) {
		snprintf(like.about, sizeof(like.about), "%.20s %.40s", chip,
			 label && *label ? label : word);
		choose_part(s, folder, label ? label : "", part);
		choose_name(s, part, chip, label && *label ? label : word, quantities[q].unit_name,
			    &like);
		source_watch(s, part, &like, &how, "%s/%s", folder, file);
	}
	free(label);
}

static void watch_chip(void *arg, const char *folder)
{
	struct source *s = arg;
	char *name = machine_line(s->m, "%s/name", folder), chip[32], file[40];

	plain_word(chip, sizeof(chip), name ? name : "");
	free(name);
	for (size_t q = 0; q < ARRAY_SIZE(quantities); q++)
		for (int number = 0; number < NUMBERS_MOST; number++) {
			char *path;

			snprintf(file, sizeof(file), "%s%d%s", quantities[q].prefix, number,
				 quantities[q].suffix);
			path = machine_path(s->m, "%s/%s", folder, file);
			if (access(path, F_OK) == 0)
				watch_sensor(s, folder, file, chip, q);
			free(path);
		}
}

static void hwmon_open(struct source *s)
{
	machine_each(s->m, "/sys/class/hwmon/hwmon[0-9]*", watch_chip, s);
}

const struct source_kind sample_hwmon = {
	.name = "sensors (hwmon)",
	.apart = 1,
	.open = hwmon_open,
};
