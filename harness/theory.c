/*
 * theory.c - formulas for what cannot be exceeded.
 *
 * Sources: DDR transfers move bus_width bytes each (JEDEC JESD79-5, 64 data bits a channel); a core
 * does at most flops_per_cycle in a cycle (ports x lanes x 2 for a fused multiply-add); PCIe
 * carries GT/s x lanes x 128/130 / 8 from generation 3 on (PCI Express Base 3.0, 4.2.2).
 */
#include "harness/theory.h"

#include <stdio.h>
#include <string.h>

struct subject {
	const struct spec *s;
	const struct node_type *t;
	int part;
};

static const struct part *first_part(const struct subject *x, enum part_kind kind)
{
	int part = node_type_part(x->t, kind, 0);

	return part < 0 ? NULL : &x->s->parts[part];
}

static int memory_rate(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *socket = first_part(x, PART_SOCKET), *dimm = first_part(x, PART_DIMM);
	double channels = socket ? part_physics(socket, "memory_channels") : -1;
	double speed = dimm ? part_fact(dimm, "speed") : -1;
	double width = dimm ? part_physics(dimm, "bus_width") : -1;
	int sockets = node_type_count(x->t, PART_SOCKET);

	if (channels <= 0 || speed <= 0)
		return -1;
	width = width > 0 ? width : 8;
	*value = sockets * channels * speed * width;
	snprintf(how, room, "%d sockets x %g channels x %g MT/s x %g B = %.1f GB/s", sockets,
		 channels, speed / 1e6, width, *value / 1e9);
	return 0;
}

static int cpu_flops(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *socket = first_part(x, PART_SOCKET);
	double clock = socket ? part_physics(socket, "clock") : -1;
	double flops = socket ? part_physics(socket, "flops_per_cycle") : -1;
	double cores = socket ? part_fact(socket, "cores") : -1;
	int sockets = node_type_count(x->t, PART_SOCKET);

	if (clock <= 0 || flops <= 0 || cores <= 0)
		return -1;
	*value = sockets * cores * clock * flops;
	snprintf(how, room, "%d sockets x %g cores x %.2f GHz x %g FLOP = %.0f GFLOP/s", sockets,
		 cores, clock / 1e9, flops, *value / 1e9);
	return 0;
}

/* One lane after line coding, GB/s, by generation. */
static const double lane_rates[] = { 0, 0.25e9, 0.5e9, 0.985e9, 1.969e9, 3.938e9, 7.563e9 };

static int disk_rate(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *disk = x->part >= 0 ? &x->s->parts[x->part] : first_part(x, PART_DISK);
	double given = disk ? part_physics(disk, "link_rate") : -1;
	double width = disk ? part_fact(disk, "link_width") : -1;
	double gen = disk ? part_fact(disk, "link_gen") : -1;

	if (given > 0) {
		*value = given;
		snprintf(how, room, "link_rate of part %s = %.2f GB/s", disk->name, given / 1e9);
		return 0;
	}
	if (width <= 0 || gen < 1 || gen >= (double)ARRAY_SIZE(lane_rates))
		return -1;
	*value = width * lane_rates[(int)gen];
	snprintf(how, room, "PCIe gen %g x%g = %.2f GB/s", gen, width, *value / 1e9);
	return 0;
}

static int whole(const struct subject *x, double *value, char *how, size_t room)
{
	(void)x;
	*value = 1;
	snprintf(how, room, "a share of what is possible = 100%%");
	return 0;
}

static const struct formula {
	const char *name;
	int (*evaluate)(const struct subject *x, double *value, char *how, size_t room);
} formulas[] = {
	{ "memory", memory_rate },
	{ "flops", cpu_flops },
	{ "disk", disk_rate },
	{ "whole", whole },
};

int theory_ceiling(const struct spec *s, const struct node_type *t, int part, const char *formula,
		   double *value, char *how, size_t room)
{
	const struct subject x = { s, t, part };

	for (size_t i = 0; i < ARRAY_SIZE(formulas); i++)
		if (!strcmp(formulas[i].name, formula))
			return formulas[i].evaluate(&x, value, how, room);
	BUG("no formula '%s'", formula);
}
