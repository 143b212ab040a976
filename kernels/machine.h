/*
 * machine.h - what the files of this room share about an opened machine. Private to kernels/.
 */
#ifndef ASSAY_MACHINE_H
#define ASSAY_MACHINE_H

#include "kernels/kernels.h"

#include <glob.h>
#include <hwloc.h>
#include <stdarg.h>

struct machine {
	char *root; /* "" or a folder without a slash at its end */
	hwloc_topology_t topology;
	struct host host;
	/* made at first use by the file of that name, freed by its _close; see cuda.h, nvml.h
	 * and verbs.h */
	struct cuda_state *cuda;
	struct nvml *nvml;
	struct host_gpus *gpus;
	struct verbs *verbs;
};

/* root + a formatted absolute path ("/sys/..."); the caller frees it. */
char *machine_path(const struct machine *m, const char *fmt, ...) PRINTF(2, 3);
char *machine_vpath(const struct machine *m, const char *fmt, va_list args);
/* First line of such a file, or NULL with errno; the caller frees it. */
char *machine_line(const struct machine *m, const char *fmt, ...) PRINTF(2, 3);
/*
 * The paths that match a formatted pattern, in order, without the root in front; the caller calls
 * globfree(). 0, or what glob() returns: then *found is empty and need not, but may be freed.
 */
int machine_glob(const struct machine *m, glob_t *found, const char *fmt, ...) PRINTF(3, 4);
/* Calls fn with each path that matches, without the root in front. How many. */
int machine_each(const struct machine *m, const char *pattern,
		 void (*fn)(void *arg, const char *path), void *arg);
/* Calls fn with each name in a folder, in no order. One that is not there is empty; else 0 or -1.
 */
int machine_list(const struct machine *m, const char *folder,
		 void (*fn)(void *arg, const char *name), void *arg, struct error *err);
/* The numa of this id, or NULL. */
const struct host_numa *machine_numa(const struct machine *m, int id);

/*
 * The serial number of a whole disk ("nvme0n1"), exactly as a plan must name it, or NULL if it has
 * none (a loop device has "loop:" and the path of its backing file). The caller frees it.
 */
char *disk_serial(const struct machine *m, const char *device);

const char *machine_double_of(struct machine *m); /* machine.c; see kernels.h */
/* machine.c, facts.c, counters.c, pci.c, settings.c, busy.c: see kernels.h */
struct machine *machine_open(const char *root, struct error *err);
void machine_close(struct machine *m);
const struct host *machine_host(struct machine *m);
int machine_facts(struct machine *m, fact_fn *put, void *arg, struct error *err);
int machine_counters(struct machine *m, counter_fn *put, void *arg, struct error *err);
int machine_pcie_links(struct machine *m, struct pcie_link *links, int room, struct error *err);
int machine_setting(struct machine *m, const char *kind, const char *name, char **value,
		    struct error *err);
int machine_busy(struct machine *m, struct busy *job, struct error *err);

/* memory.c, chase.c, stress.c, cpu.c */
int host_memory_rate(struct machine *m, struct memory_rate *job, struct error *err);
int host_memory_chase(struct machine *m, struct memory_chase *job, struct error *err);
int host_memory_stress(struct machine *m, struct memory_stress *job, struct error *err);
int host_cpu_burn(struct machine *m, struct cpu_burn *job, struct error *err);
int host_cpu_can(struct machine *m, enum cpu_mix mix);

/* folder.c, guard.c, uring.c, integrity.c, nvme.c */
int disk_of_folder(struct machine *m, const char *folder, char *device, size_t room,
		   struct error *err);
int disk_guard(struct machine *m, const struct disk_target *target, struct error *err);
int disk_io(struct machine *m, struct disk_io *job, struct error *err);
int disk_integrity(struct machine *m, struct disk_integrity *job, struct error *err);
int disk_health(struct machine *m, const char *device, struct disk_health *health,
		struct error *err);

/* tcp.c, rdma.c */
extern const struct net net_tcp, net_rdma;

#endif
