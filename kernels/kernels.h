/*
 * kernels.h - everything that touches hardware, real or simulated. The door of the kernels/ room.
 *
 * Callers get one const table, struct kernels. A primitive is "do this, tell me what came out": it
 * knows no limit, no spec and no verdict. A NULL entry means that this build or this machine cannot
 * do it, and the caller says so as a hole. All of them return 0, or -1 with a sentence in err; the
 * structs are filled by the caller above the line "out" and by the primitive below it.
 *
 * Units: bytes, seconds, and rates per second, unless a name says otherwise (_ns, _gbs = 1e9 B/s).
 * Processor numbers are the kernel's. Only processors that affinity and cgroup allow are ever used.
 */
#ifndef ASSAY_KERNELS_H
#define ASSAY_KERNELS_H

#include "harness/base/base.h"
#include "kernels/gpu.h"
#include "kernels/net.h"
#include "kernels/telemetry.h"

struct machine; /* one opened machine: root folder, topology; owns all that host() lends */

/* ---- what is there ------------------------------------------------------------------------- */

struct host_numa {
	int id;
	int cpu_count; /* allowed ones only; may be 0 */
	int *cpus;
	uint64_t bytes;
};

struct host_disk {
	char device[64]; /* "nvme0n1" */
	char path[80];   /* "/dev/nvme0n1" */
	char serial[160];
	char bus[16]; /* "nvme", "scsi", "virtio", "loop" */
	uint64_t bytes;
};

struct host {
	struct host_numa *numas; /* those with memory, by id */
	int numa_count;
	struct host_disk
		*disks; /* disk0 is disks[0]; nvme first, then by name; no partitions, no zram */
	int disk_count;
	int *cpus; /* all allowed processors, ascending */
	int cpu_count;
	uint64_t memory_available; /* what can be allocated now: MemAvailable, or less by cgroup */
	uint64_t last_cache_bytes; /* the largest cache, all instances */
};

/*
 * One fact: `part` is "" for the node or "dimm07", `key` as in parts.h. Exactly one of value and
 * hole is set; a hole says why the fact could not be read ("needs root:
 * /sys/firmware/dmi/tables/DMI"). A part without a number ("dimm") with a hole: parts of that kind
 * could not even be listed.
 */
typedef void fact_fn(void *arg, const char *part, const char *key, const char *value,
		     const char *hole);

/* One counter that only ever grows: "edac_ce", "edac_ue", "mce", "throttle", "aer_correctable", ...
 */
typedef void counter_fn(void *arg, const char *part, const char *name, double value);

/* State of a PCIe link, 0 where not known. Of part "gpu0", "nic2", "disk1". */
struct pcie_link {
	char part[16];
	char pci[16];
	int width, width_max, gen, gen_max;
};

/* ---- host memory --------------------------------------------------------------------------- */

enum memory_op {
	MEMORY_READ,
	MEMORY_WRITE,
	MEMORY_NT_WRITE,
	MEMORY_COPY,
	MEMORY_TRIAD,
	MEMORY_OPS
};

/*
 * Moves arrays through memory with all allowed processors of one NUMA node, bound to it, while the
 * arrays lie on another. Counted as STREAM does: copy moves 2 arrays, triad 3, no write-allocate.
 */
struct memory_rate {
	int cpu_numa, memory_numa; /* ids */
	uint64_t bytes;            /* of one array; there are three; a multiple of 64 */
	int samples;
	/* out */
	double *gbs[MEMORY_OPS]; /* caller's arrays of `samples`; a NULL one is left out */
	int threads;
	double huge_share; /* share of the pages that are huge */
};

/* A pointer chase through `bytes` in random order, one line (64 B) a hop, by one processor. */
struct memory_chase {
	int cpu_numa, memory_numa;
	uint64_t bytes;
	int samples; /* each the mean of hops_per_sample hops */
	int hops_per_sample;
	/* out */
	double *ns; /* caller's array of `samples` */
	double huge_share;
};

enum { MISMATCHES_KEPT = 16 };

struct memory_mismatch {
	uint64_t virtual_address, physical_address; /* physical 0 if not root */
	uint64_t expected, actual,
		again; /* again: a second read, which tells a bad read from a bad cell */
	int cpu;
	const char *pattern;
};

/*
 * Fills, moves and verifies memory for `seconds`, at least one round of all patterns. 256 MiB
 * always stay free. `tamper` is how a test plants flips: called once for each NUMA node's block
 * after each write pass that is verified next; NULL in production.
 */
struct memory_stress {
	uint64_t bytes; /* in all, over all NUMA nodes with processors */
	double seconds;
	uint64_t seed;
	void (*tamper)(void *arg, const char *pattern, unsigned char *base, uint64_t bytes);
	void *tamper_arg;
	/* out */
	uint64_t tested_bytes;   /* of memory, each byte once */
	uint64_t verified_bytes; /* read back and compared, over all patterns */
	uint64_t mismatches;     /* reads: a bad cell counts in each pass that sees it */
	double took;             /* seconds, without the first touch of the pages */
	int threads;
	double huge_share;
	int kept;
	struct memory_mismatch first[MISMATCHES_KEPT];
};

/* ---- processors ---------------------------------------------------------------------------- */

/* FMA in doubles at each width, AMX tiles in bf16, integer and AES/SHA mixes. */
enum cpu_mix { CPU_AVX2, CPU_AVX512, CPU_AMX, CPU_INTEGER, CPU_CRYPTO, CPU_MIXES };

/*
 * Runs one mix on all allowed processors at once, `windows` windows of `window` seconds. Every
 * block of work ends in a digest that is compared with a golden one from the source, not with
 * another core's. `tamper_cpu` >= 0 spoils one result of that processor, for tests; -1 in
 * production.
 */
struct cpu_burn {
	enum cpu_mix mix;
	double window;
	int windows;
	int tamper_cpu;
	/* out: caller's arrays of cpu_count, and of cpu_count x windows row by row */
	double *rate;     /* operations a second in each window: FLOP for FMA mixes, steps for the
			     others */
	double *clock;    /* core clock in Hz in each window, from a chain of dependent additions;
			   * rate and clock are 0 in a window in which the processor got no turn */
	uint64_t *wrong;  /* blocks with a wrong digest, by processor */
	uint64_t *blocks; /* blocks verified, by processor */
	double ops_per_cycle; /* of one core, by its ports; 0 if the model is not known */
	const char *core;     /* name of the core model, or "unknown" */
};

/* ---- disks --------------------------------------------------------------------------------- */

/*
 * Where disk work goes: an ordinary file made for it, or a device that is only read. Writing to a
 * device goes through disk_guard and never otherwise.
 */
struct disk_target {
	const char *path;
	int device;         /* path is a block device */
	int destroy;        /* the plan allows writing to this device */
	const char *serial; /* with destroy: the serial number that the plan names; must match
			       exactly */
	/*
	 * Not 0: a descriptor of an ordinary file of ours that has no name any more, so that
	 * nothing of it is left however this process ends; path is what messages call it.
	 */
	int nameless;
};

enum { DISK_DEPTH_MOST = 1024 };

/*
 * One job of io_uring with O_DIRECT, registered buffers and a registered file, by one thread. A
 * file that is written must be called assay-*.data; it is made if it is missing. A file that is
 * read must hold data all over the span, or zeros would be timed. -1 when not one operation
 * succeeded.
 */
struct disk_io {
	struct disk_target target;
	uint64_t span;  /* bytes of the file or device that are used, from its start */
	unsigned block; /* bytes of one operation */
	int depth;      /* operations in flight */
	int random;     /* else sequential */
	int write;      /* else read */
	double seconds; /* stops then, or at max_bytes if that is not 0 */
	uint64_t max_bytes;
	uint64_t seed;
	/* out */
	uint64_t operations, bytes;
	double took;        /* of the operations, and of the final fsync when writing */
	double cpu_seconds; /* user and system, of the whole process: its workers are its threads */
	double mean_ns, p50_ns, p99_ns, p999_ns, max_ns;
	uint64_t errors; /* operations that failed; error text of the first one below */
	char first_error[160];
};

enum disk_fault { DISK_CORRUPT, DISK_TORN, DISK_STALE, DISK_MISPLACED, DISK_FAULTS };

/*
 * Writes `files` files of file_bytes in `folder` twice (so that a stale block can be told), syncs,
 * drops them from the page cache and reads all back with O_DIRECT. Every 4096 bytes carry run,
 * file, offset and generation with a checksum. Files are removed at the end. `tamper` as in
 * memory_stress: called with the folder between writing and reading.
 */
struct disk_integrity {
	const char *folder;
	int files;
	uint64_t file_bytes; /* a multiple of 1 MiB */
	uint64_t seed;
	void (*tamper)(void *arg, const char *folder);
	void *tamper_arg;
	/* out */
	uint64_t written_bytes, verified_bytes;
	uint64_t bad[DISK_FAULTS]; /* blocks of 4096 bytes */
	char first_bad[200];       /* file, offset, what was found */
	double took;
};

const char *disk_fault_name(enum disk_fault fault); /* "corrupt", "torn", "stale", "misplaced" */

/* The NVMe SMART / health log, as the specification (NVM Express Base 2.0, 5.16.1.3) counts. */
struct disk_health {
	double critical_warning, temperature_c, spare_percent, spare_threshold, used_percent;
	double read_bytes, written_bytes, power_on_hours, unsafe_shutdowns, media_errors,
		error_log_entries;
	double warning_minutes, critical_minutes;
};

/* ---- who else is here ----------------------------------------------------------------------- */

enum { BUSY_KEPT = 32 };

struct busy_process {
	int pid;
	char name[64]; /* safe to print */
	double share;  /* of one processor */
};

/* Processes of others that use more than `share` of a processor over some seconds. */
struct busy {
	double seconds, share;
	/* out */
	int count, kept;
	struct busy_process first[BUSY_KEPT]; /* the busiest first */
	int is_apart; /* in a process namespace: what runs outside of it is not seen */
};

/* ---- the table ----------------------------------------------------------------------------- */

struct kernels {
	const char *name; /* "real" or "twin" */
	int simulated;    /* all of it; for a double of a driver's library alone see double_of */

	/* root is "" for this machine, or a folder that holds recorded /sys, /proc and /dev trees
	 */
	struct machine *(*machine_open)(const char *root, struct error *err);
	void (*machine_close)(struct machine *m);
	const struct host *(*host)(struct machine *m);

	int (*facts)(struct machine *m, fact_fn *put, void *arg, struct error *err);
	int (*counters)(struct machine *m, counter_fn *put, void *arg, struct error *err);
	/* Fills at most `room` links, returns how many there are, or -1. */
	int (*pcie_links)(struct machine *m, struct pcie_link *links, int room, struct error *err);
	/*
	 * The value of one setting of the system, as text in *value (the caller frees it): kinds
	 * are in setting_kinds below. -1 with err when it cannot be read; a setting that is not
	 * there is "absent".
	 */
	int (*setting)(struct machine *m, const char *kind, const char *name, char **value,
		       struct error *err);

	/* 1 if there is nothing to look at: a recorded machine runs nothing. */
	int (*busy)(struct machine *m, struct busy *job, struct error *err);

	int (*memory_rate)(struct machine *m, struct memory_rate *job, struct error *err);
	int (*memory_chase)(struct machine *m, struct memory_chase *job, struct error *err);
	int (*memory_stress)(struct machine *m, struct memory_stress *job, struct error *err);
	/* -1 with err saying which instruction set is missing when the machine lacks the mix. */
	int (*cpu_burn)(struct machine *m, struct cpu_burn *job, struct error *err);
	int (*cpu_can)(struct machine *m, enum cpu_mix mix);

	/* The whole-disk device behind a folder ("vda"), or -1: network, memory, or several disks.
	 */
	int (*disk_of_folder)(struct machine *m, const char *folder, char *device, size_t room,
			      struct error *err);
	/* 0 if writing to this device would destroy nothing; else -1, err naming what is in the
	 * way. */
	int (*disk_guard)(struct machine *m, const struct disk_target *target, struct error *err);
	int (*disk_io)(struct machine *m, struct disk_io *job, struct error *err);
	int (*disk_integrity)(struct machine *m, struct disk_integrity *job, struct error *err);
	int (*disk_health)(struct machine *m, const char *device, struct disk_health *health,
			   struct error *err);

	const struct net *tcp, *rdma; /* kinds of networks; see net.h */

	/*
	 * What of this machine's driver libraries turned out to be a double, NULL if none that was
	 * opened so far is. Nothing that was done with one is a measurement of this machine.
	 */
	const char *(*double_of)(struct machine *m);
	/*
	 * The GPUs that are there, by sysfs, NVML and CUDA together; opens CUDA at the first call,
	 * so only a step's own process may ask. Lent by the machine. NULL with err only when
	 * nothing could be listed at all.
	 */
	const struct host_gpus *(*gpus)(struct machine *m, struct error *err);
	/* 1 if `from` can reach memory of `to` directly, 0 if not, -1 with err. */
	int (*gpu_peer)(struct machine *m, int from, int to, struct error *err);
	int (*gpu_copy)(struct machine *m, struct gpu_copy *job, struct error *err);
	int (*gpu_latency)(struct machine *m, struct gpu_latency *job, struct error *err);
	int (*gpu_memory_rate)(struct machine *m, struct gpu_memory_rate *job, struct error *err);
	int (*gpu_memory_stress)(struct machine *m, struct gpu_memory_stress *job,
				 struct error *err);
	int (*gpu_burn)(struct machine *m, struct gpu_burn *job, struct error *err);
	/* These four ask NVML alone and touch no context. */
	int (*gpu_sensors)(struct machine *m, int gpu, struct gpu_sensors *s, struct error *err);
	/* Fills at most `room` links, returns how many the GPU has (0: none at all), or -1. */
	int (*gpu_links)(struct machine *m, int gpu, struct gpu_link *links, int room,
			 struct error *err);
	int (*gpu_fabric)(struct machine *m, int gpu, struct gpu_fabric *fabric, struct error *err);
	/* XIDs of a GPU since the machine was opened, as text ("79 GPU has fallen off the bus"), ""
	 * if none; the caller frees *text. */
	int (*gpu_events)(struct machine *m, int gpu, char **text, struct error *err);

	/*
	 * Watches everything that telemetry.h speaks of. The first reading opens what can hang, so
	 * opening itself does not. NULL with err.
	 */
	struct sampler *(*sampler_open)(struct machine *m, struct error *err);
	/* One reading, to be asked for once a second. Waits for slow sources at most 0.4 s. */
	void (*sampler_read)(struct sampler *s, struct sampling *out, sample_event_fn *event,
			     void *arg);
	/* 0, or -1 when a source still hangs in its driver: then the machine must stay open. */
	int (*sampler_close)(struct sampler *s);
};

/* The kinds that setting() knows, with what `name` is and how one changes such a setting. */
struct setting_kind {
	const char *name;
	const char *takes; /* what the name of a setting of this kind is; NULL if it has none */
	const char *
		fix; /* printf format with two %s: the name ("" if it has none), the wanted value */
};
extern const struct setting_kind setting_kinds[]; /* ends at name == NULL */

extern const struct kernels real_kernels;

#endif
