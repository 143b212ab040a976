/*
 * theory.c - formulas for what cannot be exceeded.
 *
 * Sources: DDR transfers move bus_width bytes each (JEDEC JESD79-5, 64 data bits a channel); a core
 * does at most flops_per_cycle in a cycle (ports x lanes x 2 for a fused multiply-add); PCIe
 * carries GT/s x lanes x 128/130 / 8 from generation 3 on (PCI Express Base 3.0, 4.2.2); GPU
 * memory moves two bits a wire in a clock (JEDEC JESD235 and JESD238: data on both edges). A port's
 * rate bounds its data, one way. Peaks of tensor cores are taken from data sheets, for no driver
 * tells how much a core does in a clock.
 */
#include "harness/theory.h"

#include <stdio.h>
#include <string.h>

struct subject {
	const struct spec *s;
	const struct node_type *t;
	int part;
	const char *physics; /* of formulas that are one figure of the part, else NULL */
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

static int pcie_rate(double width, double gen, double *value, char *how, size_t room)
{
	if (width <= 0 || gen < 1 || gen >= (double)ARRAY_SIZE(lane_rates))
		return -1;
	*value = width * lane_rates[(int)gen];
	snprintf(how, room, "PCIe gen %g x%g = %.2f GB/s", gen, width, *value / 1e9);
	return 0;
}

static int disk_rate(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *disk = x->part >= 0 ? &x->s->parts[x->part] : first_part(x, PART_DISK);
	double given = disk ? part_physics(disk, "link_rate") : -1;

	if (given > 0) {
		*value = given;
		snprintf(how, room, "link_rate of part %s = %.2f GB/s", disk->name, given / 1e9);
		return 0;
	}
	return disk ? pcie_rate(part_fact(disk, "link_width"), part_fact(disk, "link_gen"), value,
				how, room)
		    : -1;
}

/* ---- GPUs ---- */

/* NULL when there is none, or when the part is of another kind. */
static const struct part *gpu_of(const struct subject *x)
{
	const struct part *gpu = x->part >= 0 ? &x->s->parts[x->part] : first_part(x, PART_GPU);

	return gpu && gpu->kind == PART_GPU ? gpu : NULL;
}

static int gpu_memory(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *gpu = gpu_of(x);
	double clock = gpu ? part_physics(gpu, "memory_clock") : -1;
	double bus = gpu ? part_physics(gpu, "memory_bus") : -1;
	double given = gpu ? part_physics(gpu, "memory_rate") : -1;

	if (clock > 0 && bus > 0) {
		*value = 2 * clock * bus / 8;
		snprintf(how, room, "2 x %g MHz x %g bits / 8 = %.1f GB/s", clock / 1e6, bus,
			 *value / 1e9);
		return 0;
	}
	if (given <= 0)
		return -1;
	*value = given;
	snprintf(how, room, "memory_rate of part %s = %.1f GB/s", gpu->name, given / 1e9);
	return 0;
}

static int gpu_nvlink(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *gpu = gpu_of(x);
	double links = gpu ? part_physics(gpu, "nvlinks") : -1;
	double rate = gpu ? part_physics(gpu, "nvlink_rate") : -1;

	if (links <= 0 || rate <= 0)
		return -1;
	*value = links * rate;
	snprintf(how, room, "%g NVLinks x %g GB/s one way = %.1f GB/s", links, rate / 1e9,
		 *value / 1e9);
	return 0;
}

/* What device and slot can do, not what is in use: a link at rest may have gone down. */
static int gpu_pcie(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *gpu = gpu_of(x);
	double width = gpu ? part_fact(gpu, "link_width_max") : -1;
	double gen = gpu ? part_fact(gpu, "link_gen_max") : -1;

	if (gpu && width < 0)
		width = part_fact(gpu, "link_width");
	if (gpu && gen < 0)
		gen = part_fact(gpu, "link_gen");
	return pcie_rate(width, gen, value, how, room);
}

static int gpu_peak(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *gpu = gpu_of(x);
	double peak = gpu ? part_physics(gpu, x->physics) : -1;

	if (peak <= 0)
		return -1;
	*value = peak;
	snprintf(how, room, "%s of part %s = %g TFLOP/s", x->physics, gpu->name, peak / 1e12);
	return 0;
}

/*
 * One direction of a port. Nodes have NICs of several kinds, so where no one is meant it is the
 * fastest of them: a limit for all is refused only if none could reach it.
 */
static int nic_rate(const struct subject *x, double *value, char *how, size_t room)
{
	const struct part *best = x->part >= 0 ? &x->s->parts[x->part] : NULL;

	for (int n = 0, part; x->part < 0 && (part = node_type_part(x->t, PART_NIC, n)) >= 0; n++)
		if (!best || part_physics(&x->s->parts[part], "rate") > part_physics(best, "rate"))
			best = &x->s->parts[part];
	if (!best || part_physics(best, "rate") <= 0)
		return -1;
	*value = part_physics(best, "rate") / 8;
	snprintf(how, room, "rate of part %s / 8 = %.2f GB/s", best->name, *value / 1e9);
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
	const char *physics;
} formulas[] = {
	{ "memory", memory_rate, NULL },
	{ "flops", cpu_flops, NULL },
	{ "disk", disk_rate, NULL },
	{ "whole", whole, NULL },
	{ "nic", nic_rate, NULL },
	{ "hbm", gpu_memory, NULL },
	{ "nvlink", gpu_nvlink, NULL },
	{ "gpu_pcie", gpu_pcie, NULL },
	{ "gpu_fp64", gpu_peak, "fp64_rate" },
	{ "gpu_tf32", gpu_peak, "tf32_rate" },
	{ "gpu_bf16", gpu_peak, "bf16_rate" },
	{ "gpu_fp16", gpu_peak, "fp16_rate" },
	{ "gpu_fp8", gpu_peak, "fp8_rate" },
	{ "gpu_int8", gpu_peak, "int8_rate" },
};

int theory_ceiling(const struct spec *s, const struct node_type *t, int part, const char *formula,
		   double *value, char *how, size_t room)
{
	for (size_t i = 0; i < ARRAY_SIZE(formulas); i++) {
		const struct subject x = { s, t, part, formulas[i].physics };

		if (!strcmp(formulas[i].name, formula))
			return formulas[i].evaluate(&x, value, how, room);
	}
	BUG("no formula '%s'", formula);
}

struct roofline theory_roofline(double flops, double bytes, double peak_flops, double bytes_per_s)
{
	if (peak_flops <= 0 || bytes_per_s <= 0)
		BUG("a roofline of %g FLOP/s and %g B/s", peak_flops, bytes_per_s);
	return (struct roofline){ flops / peak_flops, bytes / bytes_per_s };
}
