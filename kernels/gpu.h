/*
 * gpu.h - the GPU half of the door. Included by kernels.h; what that page says holds here.
 *
 * A GPU is known by its number in gpus(), which is also the number of its part ("gpu3"): NVIDIA's
 * 3D controllers first, then display adapters, each by PCI address. Ordinals of CUDA and NVML never
 * leave this room. Everything below runs in the process of one step, and a GPU that fails takes the
 * rest of that process with it: err then names the GPU, the driver's code, and the XIDs since
 * start.
 *
 * Work is timed by events on the device. A start that came late invalidates its timing, which is
 * repeated and counted in `invalid`.
 */
#ifndef ASSAY_GPU_H
#define ASSAY_GPU_H

#include <stdint.h>

struct error;
struct machine;

/* Formats that a GEMM takes; products of fp8 are e4m3. FP32 and int32 (fp64: fp64) come out. */
#define GPU_PRECISIONS(X)                                                                          \
	X(GPU_FP64, "fp64")                                                                        \
	X(GPU_TF32, "tf32")                                                                        \
	X(GPU_BF16, "bf16")                                                                        \
	X(GPU_FP16, "fp16")                                                                        \
	X(GPU_FP8, "fp8")                                                                          \
	X(GPU_INT8, "int8")

#define GPU_ENUM(id, word) id,
enum gpu_precision { GPU_PRECISIONS(GPU_ENUM) GPU_PRECISION_COUNT };
extern const char *const gpu_precision_names[];

enum { GPUS_MOST = 64, GPU_HOST = -1 };

struct host_gpu {
	char part[16]; /* "gpu3" */
	char pci[16];  /* as in sysfs: "0000:1b:00.0" */
	char uuid[64]; /* "" where no library tells it */
	char model[96];
	int usable;        /* a compute device of this process, whole (not split by MIG) */
	char why_not[240]; /* not usable: why, in words */
	char image[64]; /* of our device code, as loaded: "fatbin sm_90"; "" before the first use */
	/* of usable ones */
	int capability; /* 90 is sm_90 */
	int sms, numa;  /* numa -1: not told */
	uint64_t bytes, l2_bytes;
	unsigned precisions; /* bit set of enum gpu_precision that its tensor cores have */
};

struct host_gpus {
	struct host_gpu items[GPUS_MOST];
	int count;
	char driver[32];   /* version of the kernel driver, "" if not known */
	char library[300]; /* path of libcuda as loaded, "" if none */
	int cuda_version;  /* 13000 */
	int simulated;     /* libcuda or NVML is a double */
	int cuda_sees;     /* devices that CUDA enumerates */
};

/* ---- copies -------------------------------------------------------------------------------- */

enum gpu_way {
	GPU_WRITE_CE,  /* copy engine, driven by the source */
	GPU_READ_CE,   /* copy engine, driven by the destination */
	GPU_WRITE_SM,  /* a kernel on the source stores to the destination */
	GPU_READ_SM,   /* a kernel on the destination loads from the source */
	GPU_STAGED_CE, /* copy engine with peer access off: through host memory; one route alone
			  does not wait for a start, and its time includes the driver's work */
};

/* One stream of copies. From or to may be GPU_HOST, with pinned memory on NUMA node `numa`. */
struct gpu_route {
	int from,
		to; /* the same GPU twice: a copy within its memory, read and write both counted */
	int numa;   /* id; -1: wherever the kernel puts it */
	/* out */
	double *gbs; /* caller's array of `samples`: bytes over the time of this route alone */
	uint64_t wrong_bytes, first_wrong; /* offset of the first one */
};

/*
 * All routes start together, `copies` copies of `bytes` each a timing, through rotating buffers
 * larger than the caches. Every byte of the last copy of each buffer is compared with
 * address-unique data by the destination.
 */
struct gpu_copy {
	struct gpu_route *routes;
	int route_count;
	enum gpu_way way;
	uint64_t bytes; /* of one copy, a multiple of 16 */
	int copies, samples;
	uint64_t seed;
	/* out */
	int invalid; /* timings that were thrown away */
};

/* ---- latencies ----------------------------------------------------------------------------- */

enum gpu_latency_kind {
	GPU_COPY_16B, /* one 16 byte operation of the copy engine, many queued one behind the other
		       */
	GPU_CHASE,    /* dependent loads by one thread of `from`, in memory of `to` */
	GPU_FLAG,     /* one way of a flag that two GPUs pass to and fro: half a round trip */
};

struct gpu_latency {
	enum gpu_latency_kind kind;
	int from, to;
	uint64_t bytes;    /* of the memory that is chased through */
	int samples, hops; /* each sample is the mean of so many */
	/* out */
	double *ns; /* caller's array of `samples` */
};

/* ---- memory -------------------------------------------------------------------------------- */

enum gpu_memory_op { GPU_READ, GPU_WRITE, GPU_COPY, GPU_TRIAD, GPU_MEMORY_OPS };

/* Streams through `share` of the GPU's memory; counted as memory_rate counts: copy 2, triad 3. */
struct gpu_memory_rate {
	int gpu;
	double share;        /* of all memory, at least three arrays beyond the L2 cache */
	uint64_t slab_bytes; /* of the map; 0: no map */
	double least; /* seconds that one sample takes at least; 2 ms are 4000 ticks of events */
	int samples, slab_room;
	/* out */
	double *gbs[GPU_MEMORY_OPS]; /* caller's arrays of `samples` */
	double *slab_gbs; /* caller's array of slab_room: each slab read by one SM while all others
			     read */
	int slab_count;
	uint64_t bytes; /* in rotation */
};

struct gpu_mismatch {
	uint64_t offset;                  /* in bytes, from the start of what was tested */
	uint64_t address;                 /* virtual, of the GPU */
	uint64_t expected, actual, again; /* again: a second read, past the caches where possible */
	int sm;
	const char *pattern;
};

/*
 * Every pattern at least once over `share` of all memory, then rounds until `seconds` are over.
 * `after` is called behind each pattern, so that counters can be read around it; its value ends the
 * work when it is not 0. Less memory free than asked is an error that says how much there is.
 */
struct gpu_memory_stress {
	int gpu;
	double share, seconds;
	double fade; /* seconds that memory rests between writing and reading, 0: none */
	uint64_t seed;
	int (*after)(void *arg, const char *pattern);
	void *arg;
	/* out */
	uint64_t tested_bytes;   /* each byte once */
	uint64_t verified_bytes; /* over all patterns */
	uint64_t moved_bytes;    /* read and written by all passes */
	uint64_t mismatches;
	double took; /* seconds on the device */
	int patterns, kept;
	struct gpu_mismatch first[16];
};

/* ---- GEMM ---------------------------------------------------------------------------------- */

enum gpu_data {
	GPU_EXACT,  /* small integers: every order of summing gives the golden result */
	GPU_RANDOM, /* full mantissas: digests are compared over time, and by the judge across GPUs
		     */
	GPU_TOGGLE, /* neighbouring values differ in every bit, for heat */
};

/* What became of the same work when it was done again. */
enum gpu_again { GPU_NOT_REPEATED, GPU_RIGHT_AGAIN, GPU_WRONG_AGAIN };

struct gpu_wrong {
	int row, column; /* -1: not known, only the digest was wrong */
	double expected, actual;
	uint64_t expected_bits, actual_bits;
	int sm, window;
	double at;                          /* seconds into the burn */
	enum gpu_again same_gpu, other_gpu; /* the work repeated on this and on another GPU */
};

enum { GPU_ENGINE = 320, GPU_DOUBT = 320 };

/* Multiplies `size` x `size` matrices for windows of `window` seconds, synchronised at each end. */
struct gpu_burn {
	int gpu, other; /* other: where a mismatch is repeated, -1: nowhere */
	enum gpu_precision precision;
	enum gpu_data data;
	int size; /* a multiple of 128 */
	double window;
	int windows;
	double rest; /* power steps: after each `step` seconds of work so many without; 0: none */
	double step;
	int with_cublaslt; /* multiply by cuBLASLt where it is installed; verification is ours */
	int with_wgmma;    /* else on Hopper by our own kernels, wgmma instead of mma.sync */
	uint64_t seed;
	int (*each)(void *arg, int window); /* after each window; not 0 ends the work */
	void *arg;
	/* out */
	double *tflops; /* caller's array of `windows`; 10^12 operations a second */
	int done;       /* windows */
	uint64_t gemms, verified, wrong,
		not_finite;     /* wrong, not_finite: elements of verified ones */
	double took, verifying; /* seconds on the device, and those of them spent verifying */
	uint64_t digest; /* of the result of the random data: equal wherever this image runs on this
			    model */
	char engine[GPU_ENGINE]; /* "own wgmma sm_90a" or "cuBLASLt 13.0.2"; more in brackets */
	char doubt[GPU_DOUBT]; /* our own wgmma gave wrong products before the burn: what came of it
				  and what it means; "" if not */
	uint64_t proof; /* digest of the product by which wgmma was proved; 0: none, or it was not
			   the same twice */
	int proof_size;
	int kept;
	struct gpu_wrong first[8];
};

/* ---- sensors ------------------------------------------------------------------------------- */

/* NVML's clocks event reasons, as bits. */
enum {
	GPU_IDLE = 0x1,
	GPU_APPLICATION_CLOCKS = 0x2,
	GPU_SOFTWARE_POWER_CAP = 0x4,
	GPU_HARDWARE_SLOWDOWN = 0x8,
	GPU_SYNC_BOOST = 0x10,
	GPU_SOFTWARE_THERMAL = 0x20,
	GPU_HARDWARE_THERMAL = 0x40,
	GPU_POWER_BRAKE = 0x80,
	GPU_DISPLAY_CLOCKS = 0x100,
};

/* NAN where the driver does not tell; throttle 0 with throttle_known 0. */
struct gpu_sensors {
	double power_w, power_limit_w, power_default_w, energy_j;
	double temperature_c, memory_temperature_c,
		slowdown_c; /* slowdown: where the driver throttles */
	double sm_clock_hz, memory_clock_hz, sm_clock_max_hz;
	unsigned long long throttle;
	int throttle_known;
	uint64_t used_bytes, total_bytes; /* of its memory, by all processes */
	int processes;                    /* other than this one's family; -1: not told */
};

/* One NVLink of a GPU, as NVML tells. */
struct gpu_link {
	int number, up;
	int version;
	char remote[24]; /* "gpu3", "switch", or a PCI address */
};

/* State of the NVLink fabric: "completed", "in progress", "not supported", or an error in words. */
struct gpu_fabric {
	char state[96];
	int is_bad;
};

#endif
