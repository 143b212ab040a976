/*
 * cuda_on_cpu.h - enough of CUDA C++ to compile kernels/gpu/ with a C++ compiler. C++17.
 *
 * Include it before a .cu (or: c++ -std=c++17 -Wno-unknown-pragmas -x c++ -include
 * tests/doubles/cuda_on_cpu.h). A grid runs on one CPU thread, block after block. Within a block
 * there are two ways, and twins.cpp says for each kernel which one it needs:
 *
 *   plain   thread after thread, each from its first line to its last. Any collective operation
 *           aborts.
 *   fibers  every thread of the block has a stack of 64 KiB of its own and runs until it waits:
 *           __syncthreads() for the block, __syncwarp() and shim_warp_*() for 32 threads in a row,
 *           shim_wait_until() for whatever others do.
 *           A block whose threads cannot all get there is reported and aborts, for a GPU would
 *           hang.
 *
 * What a GPU refuses at run time is refused here too: vector accesses out of alignment abort.
 *
 * Memory between twins on several CPU threads: volatile accesses, the atomics and the ptx_
 * functions of device.cuh are safe, as they are between GPUs.
 *
 * Shared memory: `__shared__ float x[64];` in a function, but DYNAMIC_SHARED(type, name) for the
 * dynamic part (device.cuh has the same macro for nvcc). It is full of garbage when a block begins.
 */
#ifndef ASSAY_CUDA_ON_CPU_H
#define ASSAY_CUDA_ON_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>

/* ---- words of the language ----------------------------------------------------------------- */

#define __global__ __attribute__((visibility("hidden")))
#define __device__
#define __host__
#define __constant__ const
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __grid_constant__

#define DYNAMIC_SHARED(type, name) type *const name = reinterpret_cast<type *>(shim_shared)

struct shim_dim {
	unsigned x, y, z;
};

/* __thread, not thread_local: nothing to construct, so an access needs no guard. */
extern __thread struct shim_dim threadIdx, blockIdx, blockDim, gridDim;
extern __thread unsigned char *shim_shared; /* at an address that is a multiple of 1024 */

enum { warpSize = 32, SHIM_EXCHANGE_MOST = 256 };

/* ---- what needs fibers --------------------------------------------------------------------- */

void __syncthreads(void);
void __syncwarp(unsigned mask = 0xffffffffU); /* always all that live, whatever the mask says */

/*
 * Warp-collective emulation. All 32 lanes must call it, with the same `bytes`, at most
 * SHIM_EXCHANGE_MOST: each puts in its own and gets the 32 inputs, lane after lane. A warp that is
 * cut short by the end of the block has zeros for the lanes it lacks.
 */
void shim_warp_exchange(const void *in, size_t bytes, void *all);
/* The same without the copy: input of lane i is at i * bytes, until this lane's next collective. */
const void *shim_warp_view(const void *in, size_t bytes);

/* Lets others run until come(arg). If it never comes the block is reported, as above. */
void shim_wait_until(bool (*come)(const void *arg), const void *arg);

/* What an emulation of things that go on by themselves keeps of the block that runs. */
struct shim_beside {
	void *state;         /* from calloc; freed behind the grid */
	bool (*idle)(void);  /* all threads wait: make something happen, or say that nothing can */
	void (*ended)(void); /* all threads of a block have ended */
	unsigned long block; /* number of the block, of all that this CPU thread has run */
	unsigned syncs;      /* how often the block was synchronised */
	unsigned shared;     /* bytes of dynamic shared memory */
};
extern __thread struct shim_beside shim_beside;

static inline unsigned shim_lane(void)
{
	return threadIdx.x % warpSize;
}

template <class T> static inline T shim_lane_value(T value, unsigned lane)
{
	return static_cast<const T *>(shim_warp_view(&value, sizeof(value)))[lane % warpSize];
}

template <class T> static inline T __shfl_sync(unsigned, T value, int lane)
{
	return shim_lane_value(value, static_cast<unsigned>(lane));
}

template <class T> static inline T __shfl_xor_sync(unsigned, T value, int mask)
{
	return shim_lane_value(value, shim_lane() ^ static_cast<unsigned>(mask));
}

template <class T> static inline T __shfl_down_sync(unsigned, T value, unsigned delta)
{
	const unsigned lane = shim_lane() + delta;

	return shim_lane_value(value, lane < warpSize ? lane : shim_lane());
}

/* ---- how twins.cpp runs a grid (fibers.cpp) ------------------------------------------------ */

typedef void shim_thread_fn(void **args);

/* Both set blockIdx and threadIdx as they go. */
void shim_run_plain(shim_thread_fn *thread, unsigned blocks, unsigned threads, unsigned shared,
		    void **args);
void shim_run_fibers(shim_thread_fn *thread, unsigned blocks, unsigned threads, unsigned shared,
		     void **args);

/* Prints the kernel's thread and what is wrong, and aborts. */
[[noreturn]] void shim_fault(const char *what);

/* ---- memory -------------------------------------------------------------------------------- */

template <class T> static inline void shim_aligned(const volatile T *at)
{
	if (__builtin_expect(reinterpret_cast<uintptr_t>(at) % sizeof(T), 0))
		shim_fault("misaligned address");
}

#define SHIM_LOAD(name)                                                                            \
	template <class T> static inline T name(const T *from)                                     \
	{                                                                                          \
		shim_aligned(from);                                                                \
		return *from;                                                                      \
	}
#define SHIM_STORE(name)                                                                           \
	template <class T> static inline void name(T *to, T value)                                 \
	{                                                                                          \
		shim_aligned(to);                                                                  \
		*to = value;                                                                       \
	}
SHIM_LOAD(__ldg)
SHIM_LOAD(__ldca)
SHIM_LOAD(__ldcg)
SHIM_LOAD(__ldcs)
SHIM_LOAD(__ldlu)
SHIM_STORE(__stcg)
SHIM_STORE(__stcs)
SHIM_STORE(__stwb)
SHIM_STORE(__stwt)

static inline void __threadfence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void __threadfence_system(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- atomics: the old value comes back ------------------------------------------------------ */

template <class T> using shim_same = typename std::common_type<T>::type; /* no deduction from it */

/* Replaces *at by change(*at) in one step. Compares bits, so that a NaN does not loop for ever. */
template <class T, class F> static inline T shim_atomic(T *at, F change)
{
	T old, now;

	__atomic_load(at, &old, __ATOMIC_RELAXED);
	do
		now = change(old);
	while (!__atomic_compare_exchange(at, &old, &now, false, __ATOMIC_RELAXED,
					  __ATOMIC_RELAXED));
	return old;
}

template <class T> static inline T atomicAdd(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return static_cast<T>(old + value); });
}

template <class T> static inline T atomicMin(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return value < old ? value : old; });
}

template <class T> static inline T atomicMax(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return value > old ? value : old; });
}

template <class T> static inline T atomicOr(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return old | value; });
}

template <class T> static inline T atomicXor(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return old ^ value; });
}

template <class T> static inline T atomicExch(T *at, shim_same<T> value)
{
	return shim_atomic(at, [=](T) { return value; });
}

template <class T> static inline T atomicCAS(T *at, shim_same<T> expected, shim_same<T> value)
{
	return shim_atomic(at, [=](T old) { return old == expected ? value : old; });
}

/* ---- vectors and bits ---------------------------------------------------------------------- */

#define SHIM_VECTOR2(name, type)                                                                   \
	struct __attribute__((aligned(2 * sizeof(type)))) name {                                   \
		type x, y;                                                                         \
	};                                                                                         \
	static inline name make_##name(type x, type y)                                             \
	{                                                                                          \
		return name{ x, y };                                                               \
	}
#define SHIM_VECTOR4(name, type)                                                                   \
	struct __attribute__((aligned(4 * sizeof(type)))) name {                                   \
		type x, y, z, w;                                                                   \
	};                                                                                         \
	static inline name make_##name(type x, type y, type z, type w)                             \
	{                                                                                          \
		return name{ x, y, z, w };                                                         \
	}
SHIM_VECTOR2(int2, int)
SHIM_VECTOR2(uint2, unsigned)
SHIM_VECTOR2(float2, float)
SHIM_VECTOR2(double2, double)
SHIM_VECTOR2(ulonglong2, unsigned long long)
SHIM_VECTOR4(int4, int)
SHIM_VECTOR4(uint4, unsigned)
SHIM_VECTOR4(float4, float)

template <class To, class From> static inline To shim_bits(From from)
{
	To to;

	static_assert(sizeof(To) == sizeof(From), "bits are moved, not converted");
	memcpy(&to, &from, sizeof(to));
	return to;
}

static inline unsigned __float_as_uint(float f)
{
	return shim_bits<unsigned>(f);
}

static inline float __uint_as_float(unsigned bits)
{
	return shim_bits<float>(bits);
}

static inline int __float_as_int(float f)
{
	return shim_bits<int>(f);
}

static inline float __int_as_float(int bits)
{
	return shim_bits<float>(bits);
}

static inline long long __double_as_longlong(double d)
{
	return shim_bits<long long>(d);
}

static inline double __longlong_as_double(long long bits)
{
	return shim_bits<double>(bits);
}

static inline int __popc(unsigned bits)
{
	return __builtin_popcount(bits);
}

static inline int __popcll(unsigned long long bits)
{
	return __builtin_popcountll(bits);
}

/* ---- the else path of device.cuh --------------------------------------------------------------
 */

uint64_t ptx_nanoseconds(void); /* CLOCK_MONOTONIC */
unsigned ptx_sm(void);          /* block modulo twin_set_sms() */
/* Between two looks of a waiting loop; turn counts them. Lets other threads of this machine run. */
void ptx_pause(unsigned long turn);

template <class T> static inline T ptx_load_live(const volatile T *from)
{
	shim_aligned(from);
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

template <class T> static inline void ptx_store_live(volatile T *to, shim_same<T> value)
{
	shim_aligned(to);
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* Of struct device_unit, which is not known here. */
template <class T> static inline T ptx_load_unit(const T *from)
{
	shim_aligned(from);
	return *from;
}

template <class T> static inline void ptx_store_unit(T *to, shim_same<T> unit)
{
	shim_aligned(to);
	*to = unit;
}

#endif
