/*
 * nvml_inside.h - the opened NVML, shared by nvml.c, nvml_facts.c, nvml_counters.c, gpu_sensors.c,
 * gpu_list.c and sample_nvml.c only. Everyone else asks through nvml.h.
 */
#ifndef ASSAY_NVML_INSIDE_H
#define ASSAY_NVML_INSIDE_H

#include "kernels/nvml.h"
#include "kernels/nvml_abi.h"

#include <pthread.h>

enum { LINKS_ROOM = 64, XIDS_ROOM = 16 };

/* An XID that a GPU raised, and how often by either source: both tell of the same ones. */
struct nvml_xid {
	int number;
	unsigned by_nvml, by_kernel;
};

struct nvml_device {
	char pci[16];
	int number; /* in gpus() */
	struct nvml_handle *handle;
	int events; /* registered for XIDs */
	struct nvml_xid xids[XIDS_ROOM];
	int xid_count;
	double link_errors[LINKS_ROOM]; /* last seen: a link that died must not lower the sum */
	uint64_t links_seen;
};

#define NVML_POINTER(name, arguments) int(*name) arguments;
struct nvml {
	NVML_FUNCTIONS(NVML_POINTER)
	pthread_mutex_t lock; /* of opening, and of what is counted below */
	int tried, is_open, is_double;
	struct error why_not;
	void *library;
	struct nvml_device devices[GPUS_MOST];
	int device_count;
	struct nvml_set *events;
	int kernel_log; /* /dev/kmsg, or -1 */
	struct lines kernel_lines;
};

/* Calls a function, or says that this driver lacks it. */
#define NVML_CALL(n, name, ...) ((n)->name ? (n)->name(__VA_ARGS__) : NVML_NO_FUNCTION)

/* "GPU is lost: off the bus, or it does not answer (NVML 15)". Returns out. */
const char *nvml_words(int code, char out[120]);
/* The device at a PCI address, or of a number in gpus(). NULL if NVML does not list it. */
struct nvml_device *nvml_at(struct nvml *n, const char *pci);
/* The same with err. */
struct nvml_device *nvml_numbered(struct machine *m, int gpu, struct nvml **n, struct error *err);
/* One field value as a number. 0 or NVML's code. */
int nvml_value(const struct nvml *n, const struct nvml_device *d, unsigned field, unsigned scope,
	       double *value);
/* How many links may be asked about. */
int nvml_link_bound(const struct nvml *n, const struct nvml_device *d);
/* All its memory and what is used of it. 0 or NVML's code. */
int nvml_memory_of(const struct nvml *n, const struct nvml_device *d, uint64_t *total,
		   uint64_t *used);
int nvml_mig_on(const struct nvml *n, const struct nvml_device *d);
/* Compute processes beside this one and its process group; -1: not told. */
int nvml_foreign(const struct nvml *n, const struct nvml_device *d);
/* As sysfs writes an address: "0000:1b:00.0". */
void pci_text(char out[16], unsigned domain, unsigned bus, unsigned device, unsigned function);

/* nvml_counters.c */
void xids_open(struct machine *m, struct nvml *n); /* with the lock held */
void xids_close(struct nvml *n);
/* XIDs of a device so far; "" if there were none. -1 with err when none could have been seen. */
int xids_text(struct nvml *n, struct nvml_device *d, struct text *out, struct error *err);

/* nvml_facts.c: facts that only the driver's library tells are holes, each for this reason. */
void nvml_holes(const struct facts *f, const char *part, const char *why);
/* Facts of the node about the driver, where there is an NVIDIA GPU. */
void nvml_node_facts(const struct facts *f, int nvidia_gpus);

#endif
