/*
 * cuda_launch.c - modules, functions and launches. A kernel is its twin: the same source, run on
 * the stream's thread.
 */
#include "tests/doubles/double.h"
#include "tests/doubles/tensor_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct module {
	uint32_t magic;
	struct module *next;
	struct context *context;
	int life; /* of the context: modules end with it */
};

struct function {
	uint32_t magic;
	struct function *next;
	struct module *module;
	const struct twin *twin;
	unsigned shared_most;
};

/* Guarded by the lock of the world; never freed, for stale handles must be recognised. */
static struct module *modules;
static struct function *functions;

enum { SHARED_PRESET = 48 * 1024 };

/* ---- images -------------------------------------------------------------------------------- */

static const uint32_t fatbin_magic = 0xba55ed50; /* first word of what nvcc -fatbin writes */

static const char *image_kind(const void *image)
{
	uint32_t first;
	char start[4096];

	memcpy(&first, image, sizeof(first));
	if (first == fatbin_magic)
		return "fatbin";
	snprintf(start, sizeof(start), "%s", (const char *)image);
	return strstr(start, ".version") ? "ptx" : NULL;
}

static void empty_log(unsigned count, CUjit_option *options, void **values)
{
	for (unsigned i = 0; i < count; i++)
		if (options[i] == CU_JIT_INFO_LOG_BUFFER || options[i] == CU_JIT_ERROR_LOG_BUFFER)
			if (values[i])
				*(char *)values[i] = 0;
}

static CUresult load(CUmodule *out, const void *image)
{
	const char *kind = image ? image_kind(image) : NULL;
	const struct fault *f;
	struct module *m;
	CUresult rc;

	if (!out || !image)
		return CUDA_ERROR_INVALID_VALUE;
	if (!kind)
		return CUDA_ERROR_INVALID_IMAGE;
	rc = fault_meet(OP_MODULE, kind, current->gpu, NULL, &f);
	if (rc)
		return rc;
	m = calloc(1, sizeof(*m));
	if (!m)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*m = (struct module){ MODULE_MAGIC, modules, current, current->life };
	modules = m;
	*out = (CUmodule)m;
	return CUDA_SUCCESS;
}

CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, CUjit_option *options,
			    void **values)
{
	empty_log(count, options, values);
	return WITH_CONTEXT(load(out, image));
}

static struct module *module_of(CUmodule handle)
{
	struct module *m = (struct module *)handle;

	return m && m->magic == MODULE_MAGIC && m->life == m->context->life ? m : NULL;
}

static CUresult unload(CUmodule handle)
{
	struct module *m = module_of(handle);

	if (!m)
		return CUDA_ERROR_INVALID_HANDLE;
	m->magic = 0; /* kept: functions of it may still be asked for */
	return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle)
{
	return WITH_CONTEXT(unload(handle));
}

/* ---- functions ----------------------------------------------------------------------------- */

static CUresult get_function(CUfunction *out, CUmodule handle, const char *name)
{
	struct module *m = module_of(handle);
	const struct twin *twin = name ? twin_find(name) : NULL;
	struct function *f;

	if (!out || !name)
		return CUDA_ERROR_INVALID_VALUE;
	if (!m)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!twin)
		return CUDA_ERROR_NOT_FOUND;
	if (!cost_knows(twin))
		double_die("cost.c has no row that fits the kernel %s", name);
	for (f = functions; f; f = f->next)
		if (f->module == m && f->twin == twin)
			break;
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return CUDA_ERROR_OUT_OF_MEMORY;
		*f = (struct function){ FUNCTION_MAGIC, functions, m, twin, SHARED_PRESET };
		functions = f;
	}
	*out = (CUfunction)f;
	return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *name)
{
	return WITH_CONTEXT(get_function(out, handle, name));
}

static struct function *function_of(CUfunction handle)
{
	struct function *f = (struct function *)handle;

	return f && f->magic == FUNCTION_MAGIC && module_of((CUmodule)f->module) ? f : NULL;
}

/* Dynamic shared memory that a block may ask for at most (CUDA programming guide, table of compute
 * capabilities: 163 KB for 8.0, 99 KB for 8.6, 8.9 and 12.x, 227 KB for 9.0 and 10.x). */
unsigned gpu_shared_most(const struct gpu *g)
{
	if (g->cc == 90 || g->cc / 10 == 10)
		return 227 * 1024;
	if (g->cc == 80 || g->cc == 87)
		return 163 * 1024;
	return g->cc < 80 ? 64 * 1024 : 99 * 1024;
}

static CUresult set_attribute(CUfunction handle, CUfunction_attribute what, int value)
{
	struct function *f = function_of(handle);

	if (!f)
		return CUDA_ERROR_INVALID_HANDLE;
	if (what != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
		return CUDA_SUCCESS;
	if (value < 0 || (unsigned)value > gpu_shared_most(current->gpu))
		return CUDA_ERROR_INVALID_VALUE;
	f->shared_most = (unsigned)value;
	return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute what, int value)
{
	return WITH_CONTEXT(set_attribute(handle, what, value));
}

/* Threads and shared memory alone: registers are the compiler's, which is not here. */
static CUresult occupancy(int *blocks, CUfunction handle, int threads, size_t shared)
{
	size_t room = gpu_shared_most(current->gpu);

	if (!blocks || threads < 1 || threads > 1024)
		return CUDA_ERROR_INVALID_VALUE;
	if (!function_of(handle))
		return CUDA_ERROR_INVALID_HANDLE;
	*blocks = 2048 / threads;
	if (shared && (size_t)*blocks > room / shared)
		*blocks = (int)(room / shared);
	return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction handle, int threads,
						     size_t shared)
{
	return WITH_CONTEXT(occupancy(blocks, handle, threads, shared));
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
				void *at, const cuuint64_t *dims, const cuuint64_t *strides,
				const cuuint32_t *box, const cuuint32_t *steps,
				CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
				CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
	return (CUresult)tensor_map_encode(map, (int)type, rank, at, dims, strides, box, steps,
					   (int)interleave, (int)swizzle, (int)promotion,
					   (int)fill);
}

/* ---- launching ----------------------------------------------------------------------------- */

static void run_launch(struct op *op)
{
	const struct launch *l = &op->launch;
	struct world *w = world();
	int skip;

	pthread_mutex_lock(&w->lock);
	skip = done_begin(l);
	pthread_mutex_unlock(&w->lock);
	if (skip)
		return;
	twin_set_sms((unsigned)l->gpu->sms);
	l->twin->run(l->blocks, l->threads, l->shared, l->args);
	pthread_mutex_lock(&w->lock);
	done_end(l);
	cost_after(l);
	pthread_mutex_unlock(&w->lock);
}

/* An address that is none: what the GPU's memory management finds when the kernel runs. */
static const struct fault illegal_address = {
	.op = OP_LAUNCH,
	.action = ACT_ASYNC,
	.code = CUDA_ERROR_ILLEGAL_ADDRESS,
	.xid = 31,
	.offset = -1,
};

/* Arguments must be copied: they are the caller's again when the call returns. */
static void launch_copy_args(struct launch *l, void **args)
{
	const struct twin *t = l->twin;
	size_t room = sizeof(void *) * (size_t)t->arg_count;
	char *at;

	for (int i = 0; i < t->arg_count; i++)
		room += (t->arg_sizes[i] + 15) / 16 * 16;
	l->args = calloc(1, room + 16);
	if (!l->args)
		double_die("out of memory");
	at = (char *)l->args + (sizeof(void *) * (size_t)t->arg_count + 15) / 16 * 16;
	for (int i = 0; i < t->arg_count; i++) {
		memcpy(at, args[i], t->arg_sizes[i]);
		l->args[i] = at;
		at += (t->arg_sizes[i] + 15) / 16 * 16;
	}
}

struct shape {
	unsigned blocks, threads, shared;
};

static CUresult launch_check(const struct function *f, const struct stream *s,
			     const struct shape *shape, void **args)
{
	if (!f || !s || f->module->context != current)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!shape->blocks || !shape->threads || shape->threads > 1024 ||
	    shape->shared > f->shared_most || (!args && f->twin->arg_count))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function, const struct shape *shape, CUstream stream, void **args)
{
	struct function *f = function_of(function);
	struct stream *s = stream_of(stream);
	CUresult rc = launch_check(f, s, shape, args);
	const struct fault *fault;
	struct op *op;

	if (rc)
		return rc;
	rc = fault_meet(OP_LAUNCH, f->twin->name, current->gpu, NULL, &fault);
	if (rc)
		return rc;
	op = op_new(s, run_launch);
	op->launch = (struct launch){
		f->twin, op->gpu, shape->blocks, shape->threads, shape->shared, NULL, 1, -1
	};
	launch_copy_args(&op->launch, args);
	op->fault = fault;
	if (!launch_pointers_good(&op->launch)) {
		op->fault = &illegal_address;
	} else {
		if (fault && fault->action == ACT_SLOW) {
			op->launch.slow = fault->factor;
			op->launch.slow_offset = fault->offset;
		}
		cost_launch(&op->cost, &op->launch);
		op->output = launch_output(&op->launch);
	}
	op_queue(op);
	return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
			unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
			CUstream stream, void **args, void **extra)
{
	struct shape shape = { grid_x * grid_y * grid_z, block_x * block_y * block_z, shared };

	if (extra || grid_y > 1 || grid_z > 1 || block_y > 1 || block_z > 1)
		return CUDA_ERROR_NOT_SUPPORTED; /* twins are one-dimensional */
	return WITH_CONTEXT(launch(f, &shape, stream, args));
}
