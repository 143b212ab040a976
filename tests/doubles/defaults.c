/*
 * defaults.c - the machine that a scenario starts from: 8 GPUs of no make. None of these numbers is
 * a fact of a product; they are round, so that nobody takes them for one.
 */
#include "tests/doubles/double.h"

#include <stdio.h>
#include <string.h>

void gpus_default(struct world *w, int count)
{
	w->gpu_count = count;
	for (int i = 0; i < count; i++) {
		struct gpu *g = &w->gpus[i];

		memset(g, 0, sizeof(*g));
		g->number = g->uplink = i;
		snprintf(g->pci, sizeof(g->pci), "0000:%02x:00.0", 0x10 + i);
		snprintf(g->model, sizeof(g->model), "Double GPU");
		snprintf(g->uuid, sizeof(g->uuid), "GPU-00000000-0000-0000-0000-%012d", i);
		snprintf(g->serial, sizeof(g->serial), "%013d", i);
		snprintf(g->vbios, sizeof(g->vbios), "00.00.00.00.00");
		snprintf(g->board, sizeof(g->board), "000-00000-0000-000");
		g->sms = 16, g->cc = 80, g->l2 = 4 << 20, g->mem = 64 << 20;
		g->free_most = UINT64_MAX;
		g->sm_clock = 1500, g->memory_clock = 2000, g->ecc = 1;
		g->pcie_gen = 4, g->pcie_width = 16;
		g->power_default = 400, g->power_idle = 60, g->temperature = 35, g->slowdown = 90;
	}
}

void world_default(struct world *w)
{
	static const double rates[RATES] = {
		[RATE_HBM] = 1e12,  [RATE_LOCAL] = 1e12, [RATE_NVL] = 1e11,  [RATE_H2D] = 2e10,
		[RATE_D2H] = 2e10,  [RATE_FP64] = 1e13,  [RATE_TF32] = 5e13, [RATE_BF16] = 1e14,
		[RATE_FP16] = 1e14, [RATE_FP8] = 2e14,   [RATE_INT8] = 2e14
	};
	static const double latencies[LATENCIES] = {
		[LATENCY_COPY] = 1e-6,         [LATENCY_STAGED] = 2e-5,
		[LATENCY_LAUNCH] = 0,          [LATENCY_CHASE_LOCAL] = 6e-7,
		[LATENCY_CHASE_PEER] = 1.2e-6, [LATENCY_CHASE_HOST] = 1.5e-6,
		[LATENCY_FLAG] = 9e-7
	};

	gpus_default(w, 8);
	memcpy(w->rates, rates, sizeof(rates));
	memcpy(w->latencies, latencies, sizeof(latencies));
	w->links = 12, w->nvlink_version = 3, w->driver = 13000;
	snprintf(w->fabric, sizeof(w->fabric), "none");
	snprintf(w->nvml_driver, sizeof(w->nvml_driver), "580.95.05");
}

/* What was not said follows from what was. */
void world_finish(struct world *w)
{
	double pcie =
		w->rates[RATE_H2D] > w->rates[RATE_D2H] ? w->rates[RATE_H2D] : w->rates[RATE_D2H];

	if (w->rates[RATE_NVL_GPU] <= 0)
		w->rates[RATE_NVL_GPU] =
			w->rates[RATE_NVL] * (w->nvlink_direct ? w->gpu_count - 1 : 1);
	if (w->rates[RATE_UPLINK] <= 0)
		w->rates[RATE_UPLINK] = pcie;
	if (w->rates[RATE_STAGED] <= 0)
		w->rates[RATE_STAGED] = pcie / 2;
	for (int i = 0; i < w->gpu_count; i++) {
		struct gpu *g = &w->gpus[i];

		if (!g->shown)
			g->shown = g->mem;
		if (g->power_limit <= 0)
			g->power_limit = g->power_default;
		if (!g->pcie_gen_now)
			g->pcie_gen_now = g->pcie_gen;
		if (!g->pcie_width_now)
			g->pcie_width_now = g->pcie_width;
	}
}
