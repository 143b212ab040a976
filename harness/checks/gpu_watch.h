/*
 * gpu_watch.h - power, clocks, temperatures and throttling of GPUs while they work. Private to
 * harness/checks/.
 */
#ifndef ASSAY_GPU_WATCH_H
#define ASSAY_GPU_WATCH_H

#include "harness/checks/gpu.h"

enum gpu_watched {
	WATCH_POWER, /* W */
	WATCH_CLOCK, /* MHz, of the SMs */
	WATCH_TEMPERATURE,
	WATCH_MEMORY_TEMPERATURE,
	WATCHED
};

enum gpu_share {
	SHARE_HOT,   /* slowed down by heat, by the board, or by the power supply */
	SHARE_CAPPED /* held at the power limit, as a healthy GPU under full load is */
};

/* Any of these bits at rest, or often under load, means trouble. */
enum {
	GPU_HOT = GPU_HARDWARE_SLOWDOWN | GPU_SOFTWARE_THERMAL | GPU_HARDWARE_THERMAL |
		  GPU_POWER_BRAKE
};

struct gpu_watch; /* a thread that reads the sensors */

/*
 * Reads the sensors of these GPUs (numbers) now, then every `period` seconds until
 * gpu_watch_stop(), which reads them once more. NULL with err when no thread can be had. Sensors
 * that cannot be read are no error here but holes when they are reported.
 */
struct gpu_watch *gpu_watch_start(struct job *job, const int *gpus, int count, double period,
				  struct error *err);
void gpu_watch_stop(struct gpu_watch *w);
void gpu_watch_free(struct gpu_watch *w); /* stops it too; NULL will do */

/* Mean since the last call for this GPU and sensor; NAN if nothing was read. */
double gpu_watch_mean(struct gpu_watch *w, int gpu, enum gpu_watched what);

/*
 * Reports, after gpu_watch_stop(): the series of a sensor, at most 600 points, each the worst
 * of its stretch (the highest; of clocks the lowest); or the share of readings with throttle bits.
 */
void gpu_watch_series(struct gpu_watch *w, int gpu, enum gpu_watched what, const char *metric);
void gpu_watch_share(struct gpu_watch *w, int gpu, enum gpu_share what, const char *metric);
/* Notes how many readings failed, which throttle bits were seen, and what a point stands for. */
void gpu_watch_notes(struct gpu_watch *w);

/* "thermal (hardware), power brake" */
void gpu_throttle_text(unsigned long long bits, char *out, size_t room);

#endif
