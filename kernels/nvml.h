/*
 * nvml.h - NVML as this room uses it. Private to kernels/.
 *
 * libnvidia-ml is opened at the first use (with a recorded machine: ROOT/lib/libnvidia-ml.so.1 or
 * none). A function that this driver lacks is a NULL pointer, and what it would have told is a
 * hole.
 */
#ifndef ASSAY_NVML_H
#define ASSAY_NVML_H

#include "kernels/facts.h"
#include "kernels/machine.h"

struct nvml; /* the opened library */

/* NULL with err: no library, no driver, versions that do not fit. Kept by the machine. */
struct nvml *nvml_open(struct machine *m, struct error *err);
void nvml_close(struct machine *m); /* called by machine_close */
int nvml_is_double(struct nvml *n);

struct nvml_gpu {
	char pci[16]; /* as sysfs writes it */
	char uuid[64], model[96];
	int mig; /* MIG mode is on */
};

/* All GPUs that NVML enumerates, in its order; at most room. Returns how many, or -1. */
int nvml_gpus(struct nvml *n, struct nvml_gpu *gpus, int room, struct error *err);
/* The version of the kernel driver ("580.95.05"), "" if not told. */
void nvml_driver(struct nvml *n, char *out, size_t room);

/*
 * Facts of the GPU at a PCI address, as part `part`; what this driver does not tell is a hole each.
 * 0, or -1 when NVML does not know that address.
 */
int nvml_facts(struct nvml *n, const struct facts *f, const char *part, const char *pci);

/* What NVML says of the GPU at a PCI address now: "" if it answers, else its code in words. */
void nvml_health(struct machine *m, const char *pci, char *out, size_t room);
/* XIDs of the GPU at a PCI address since the machine was opened: "79 GPU has fallen off the bus".
 */
void nvml_xids(struct machine *m, const char *pci, char *out, size_t room);
/* Counters of all GPUs: gpu_ecc_corrected, ... (see nvml_counters.c), or only those that cost
 * little.
 */
void nvml_counters(struct machine *m, int only_quick, counter_fn *put, void *arg);

/* See kernels.h; gpu is a number of gpus(). */
int machine_gpu_sensors(struct machine *m, int gpu, struct gpu_sensors *s, struct error *err);
int machine_gpu_links(struct machine *m, int gpu, struct gpu_link *links, int room,
		      struct error *err);
int machine_gpu_fabric(struct machine *m, int gpu, struct gpu_fabric *fabric, struct error *err);
int machine_gpu_events(struct machine *m, int gpu, char **text, struct error *err);

#endif
