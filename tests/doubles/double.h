/*
 * double.h - the inside of the GPU double: one shared object that stands for libcuda.so.1,
 * libnvidia-ml.so.1 and libnccl.so.2 on a machine without a GPU.
 *
 * All three faces see one world, made from a scenario file when the library is loaded. A C library
 * that is asked for by name cannot be handed its state, so the world is the one file-scope variable
 * here. Kernels and copies really run, on the CPU; the time they take is not the CPU's but comes
 * from the scenario's rates, so that figures are the same on every machine.
 */
#ifndef ASSAY_DOUBLE_H
#define ASSAY_DOUBLE_H

/* Everything is hidden but what the three libraries export. */
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#include "tests/doubles/twins.h"

#include <pthread.h>
#include <stdint.h>

#define FACE __attribute__((visibility("default")))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { GPUS_MOST = 64, FAULTS_MOST = 64, LINKS_MOST = 18, STUCK_MOST = 16, XIDS_MOST = 64 };

/* ---- the scenario -------------------------------------------------------------------------- */

/* Bytes a second (tensor rates: operations a second); see scenario.c for their words. */
enum rate {
	RATE_HBM,     /* what kernels read and write in a GPU's own memory */
	RATE_LOCAL,   /* copies within a GPU's memory, bytes read and bytes written both counted */
	RATE_NVL,     /* one route between two GPUs */
	RATE_NVL_GPU, /* all routes out of one GPU, and all into one */
	RATE_H2D,
	RATE_D2H,
	RATE_UPLINK, /* all that passes one PCIe uplink one way */
	RATE_STAGED, /* a peer copy without peer access */
	RATE_FP64,   /* from here on in the order of device.h's precisions */
	RATE_TF32,
	RATE_BF16,
	RATE_FP16,
	RATE_FP8,
	RATE_INT8,
	RATES
};

enum latency {
	LATENCY_COPY,
	LATENCY_STAGED,
	LATENCY_LAUNCH,
	LATENCY_CHASE_LOCAL,
	LATENCY_CHASE_PEER,
	LATENCY_CHASE_HOST,
	LATENCY_FLAG, /* one way */
	LATENCIES
};

enum fault_op {
	OP_LAUNCH,
	OP_ALLOC,
	OP_H2D,
	OP_D2H,
	OP_PEER,
	OP_LOCAL,
	OP_MEMSET,
	OP_SYNC,
	OP_CTX,
	OP_MODULE,
	OP_NCCL,
	FAULT_OPS
};

enum fault_action {
	ACT_ERR, /* the call returns the code */
	ACT_ASYNC,
	ACT_HANG,
	ACT_FLIP,
	ACT_STUCK,
	ACT_SLOW,
	ACT_LOST,
	ACT_CRASH,
	FAULT_ACTIONS
};

/* Fires on the nth matching operation of this process, and on so many in all (0: for ever). */
struct fault {
	enum fault_op op;
	enum fault_action action;
	char name[64]; /* of a kernel or an image, a shell pattern; "" any */
	int dev, peer; /* ordinals of the scenario, -1 any */
	int nth, count, seen;
	int code, bit, bit_value, xid; /* xid 0: none */
	int64_t offset;                /* -1: not given */
	double factor;
};

struct process {
	unsigned pid;
	uint64_t used;
};

struct stream;
struct gpu;

/* A primary context. It lives in its GPU: other contexts are never made here. */
struct context {
	uint32_t magic;
	struct gpu *gpu;
	int retained, life; /* life: how often it ended */
	CUresult failing;   /* an operation failed; told by the next call that waits */
	CUresult poisoned;
	unsigned char peers[GPUS_MOST]; /* by number in world.gpus */
	struct stream *null_stream;
};

struct stuck {
	unsigned char *at;
	int bit, value;
};

struct gpu {
	int number; /* of the scenario */
	char pci[16], model[96], uuid[64], serial[32], vbios[32], board[32];
	int sms, cc, numa, uplink, display, sm_clock, memory_clock; /* clocks in MHz */
	int pcie_gen, pcie_width, pcie_gen_now, pcie_width_now;
	int exclusive, mig, ecc;
	uint64_t l2, mem;
	uint64_t shown;     /* what NVML tells as memory: data sheets are in GB, tests in MB */
	uint64_t free_most; /* no more than this is free, UINT64_MAX: all */
	double power_default, power_limit, power_idle; /* W */
	double temperature, slowdown;                  /* C */
	unsigned long long throttle;
	double throttle_share; /* of the times it is asked */
	int remapped[4];       /* correctable, uncorrectable, pending, failure */
	uint64_t ecc_corrected, ecc_uncorrected;
	unsigned char link_down[LINKS_MOST];
	unsigned link_crc[LINKS_MOST]; /* errors counted */
	struct process processes[8];
	int process_count;
	/* what happened */
	struct context context;
	int lost, running; /* running: operations on it now */
	uint64_t used;
	double busy_until, energy, energy_at; /* real seconds; J */
	unsigned throttle_asked;
	struct stuck stuck[STUCK_MOST];
	int stuck_count;
};

struct xid {
	int gpu, number;
};

struct world {
	pthread_mutex_t lock;    /* of everything here */
	pthread_cond_t progress; /* broadcast when an operation ends */
	char path[256];
	struct gpu gpus[GPUS_MOST];
	int gpu_count;
	int order[GPUS_MOST], visible;             /* CUDA's ordinals */
	double rates[RATES], latencies[LATENCIES]; /* latencies in seconds */
	unsigned char no_peer[GPUS_MOST][GPUS_MOST];
	int links, nvlink_version, nvlink_direct;
	char fabric[24];
	int driver, stub, nvml_rc, ready;
	char nvml_driver[32], nvml_missing[16][64];
	int nvml_missing_count;
	struct fault faults[FAULTS_MOST];
	int fault_count;
	struct xid xids[XIDS_MOST];
	int xid_count;
};

struct world *world(void);
void scenario_read(struct world *w, const char *path); /* aborts on a word it does not know */
/* defaults.c: the machine of an empty scenario; so many GPUs; what follows from what was said. */
void world_default(struct world *w);
void gpus_default(struct world *w, int count);
void world_finish(struct world *w);
_Noreturn void double_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double real_now(void); /* seconds */

/* ---- faults: all with the lock held -------------------------------------------------------- */

/*
 * Counts an operation against the rules. Returns what the call must return at once, CUDA_SUCCESS
 * mostly; *f is then the rule that the operation itself must obey, or NULL.
 */
CUresult fault_meet(enum fault_op op, const char *name, const struct gpu *dev,
		    const struct gpu *peer, const struct fault **f);
void gpu_xid(struct gpu *g, int xid);
void gpu_lose(struct gpu *g);
uint64_t gpu_memory(const struct gpu *g); /* that CUDA shows */
unsigned gpu_shared_most(const struct gpu *g);
/* Starts or ends something that makes the GPU busy. */
void gpu_busy(struct gpu *g, int change);

/* ---- memory -------------------------------------------------------------------------------- */

enum { MEMORY_DEVICE, MEMORY_HOST, MEMORY_REGISTERED };

struct memory {
	uintptr_t base;
	size_t size;
	int kind;
	struct gpu *gpu; /* of device memory */
};

/* What holds this address, or NULL. With the lock held. */
const struct memory *memory_at(uintptr_t address);
/* All memory of a GPU whose context ends. */
void memory_end(struct gpu *g);
/* Applies what is stuck in a GPU's memory. */
void memory_settle(struct gpu *g);
void memory_stick(struct gpu *g, unsigned char *at, int bit, int value);

/* ---- cost ---------------------------------------------------------------------------------- */

/* What several routes share; see cost_uses(). */
enum resource { USE_NVL_OUT, USE_NVL_IN, USE_UP, USE_DOWN, USE_LOCAL, RESOURCES };

struct cost {
	double least;       /* seconds: a lower bound, the latency */
	double bytes, rate; /* rate: of this one alone */
	int uses[4], use_count;
	double slow; /* a fault's factor */
};

struct launch {
	const struct twin *twin;
	struct gpu *gpu;
	unsigned blocks, threads, shared;
	void **args;
	double slow;
	int64_t slow_offset; /* slow only there (slab_read), -1: everywhere */
};

double cost_capacity(int use);
void cost_copy(struct cost *c, const struct gpu *from, const struct gpu *to); /* NULL: host */
void cost_launch(struct cost *c, const struct launch *l); /* with the lock held */
/* Puts the virtual times in place of those that a kernel measured by the CPU's clock. */
void cost_after(const struct launch *l); /* with the lock held */
/* 1 if there is a row for the kernel that fits its arguments. */
int cost_knows(const struct twin *t);
/* Where a kernel's output begins, for flips; the first bad pointer among its arguments or NULL. */
unsigned char *launch_output(const struct launch *l);
int launch_pointers_good(const struct launch *l);
/* done.c: 1 if the launch may be left out; else it is to be run, and done_end follows. */
int done_begin(const struct launch *l);
void done_end(const struct launch *l);
/* Results that were kept no longer stand: something else wrote, or a fault spoiled one. */
void done_clear(void);
/* The flag a kernel waits for, or NULL: it takes no time by itself but until that is set. */
const volatile unsigned *launch_gate(const struct launch *l);

/* ---- streams ------------------------------------------------------------------------------- */

struct op {
	struct op *next; /* in its stream */
	int references;
	struct stream *stream;
	struct gpu *gpu, *other; /* other: of a peer copy */
	struct op **after;
	int after_count;
	struct cost cost;
	void (*run)(struct op *op); /* without the lock; NULL: nothing to do */
	void *to;
	const void *from;
	size_t bytes;
	uint32_t value;
	int width;
	struct launch launch;
	const struct fault *fault;
	unsigned char *output;
	/* progress */
	int done, resolved, hung, flowing;
	double queued, until, left, end; /* virtual seconds */
};

enum { STREAM_MAGIC = 0x73747265, EVENT_MAGIC = 0x65766e74, MODULE_MAGIC = 0x6d6f6475 };
enum { CONTEXT_MAGIC = 0x63747874, FUNCTION_MAGIC = 0x66756e63 };

struct stream {
	uint32_t magic;
	struct stream *next; /* of all streams, never freed */
	struct context *context;
	int blocking; /* with the null stream */
	int abandoned;
	int has_worker;
	pthread_cond_t work;
	struct op *first, *untimed, *last; /* to run; to time; the newest */
	double time;                       /* end of the newest that is timed */
};

struct event {
	uint32_t magic;
	struct event *next;
	struct context *context;
	int untimed;
	struct op *op; /* NULL: never recorded */
};

struct stream *stream_new(struct context *c, int blocking);
struct stream *streams(void); /* the list */
/* An operation that is not queued yet. */
struct op *op_new(struct stream *s, void (*run)(struct op *));
void op_after(struct op *op, struct op *earlier);
void op_queue(struct op *op);
struct op *op_hold(struct op *op);
void op_drop(struct op *op);
void op_forget(struct op *op); /* what it came after */
/* Waits until the operation has run; then the calling thread's clock stands at its end. */
void op_wait(struct op *op);
void stream_wait(struct stream *s);
void context_wait(struct context *c);
int context_idle(struct context *c);
/* Gives end times to all that can have one by now. */
void timeline_resolve(void);
double *thread_clock(void); /* virtual time of the calling thread */

/* ---- contexts ------------------------------------------------------------------------------ */

extern _Thread_local struct context *current;

/* The header names the newer ones only. */
#undef cuEventElapsedTime
#undef cuGetProcAddress
FACE CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to);
FACE CUresult cuGetProcAddress(const char *name, void **out, int version, cuuint64_t flags);

/* What every call looks at first: initialised, a context, not lost, not poisoned. */
CUresult context_check(void);
/* The same after waiting: an operation that failed is told now. */
CUresult context_told(struct context *c);
/* The rules for calls that wait. */
CUresult wait_faults(void);

/* Runs a call with the lock held, after what every call looks at. */
#define WITH_CONTEXT(call)                                                                         \
	({                                                                                         \
		pthread_mutex_lock(&world()->lock);                                                \
		CUresult rc_ = context_check();                                                    \
		if (!rc_)                                                                          \
			rc_ = call;                                                                \
		pthread_mutex_unlock(&world()->lock);                                              \
		rc_;                                                                               \
	})

/* The stream of a handle, NULL if it is none of this context. */
struct stream *stream_of(CUstream handle);

#endif
