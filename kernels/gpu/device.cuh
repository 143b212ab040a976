/*
 * device.cuh - what the kernels of this folder share: the instructions that C++ has no word for,
 * the order in which a grid goes over memory, and how a mismatch is put down. CUDA, or C++17 behind
 * tests/doubles/cuda_on_cpu.h, which brings its own ptx_ functions.
 *
 * Loads and stores of bulk data are volatile asm rather than intrinsics: the compiler must neither
 * merge the reads of two passes nor sink a load below the use of another, for the number of loads
 * in flight is what a rate is made of. Nothing here is newer than PTX 7.0, so that older drivers
 * can translate it.
 */
#ifndef ASSAY_GPU_DEVICE_CUH
#define ASSAY_GPU_DEVICE_CUH

#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

/*
 * Units of 16 bytes that a thread has on the way. What must be on the way is rate x latency
 * (Little): for B200 8 TB/s (NVIDIA's data sheet) x 0.8 us (assumed; idle latencies that are
 * published are lower), 43 KB for each of its 148 SMs. 4 units by 1024 threads are 64 KB, and 8
 * leave room for links and for fewer threads.
 */
enum { DEVICE_IN_FLIGHT = 8, DEVICE_IN_FLIGHT_CHECKED = 4 };

/*
 * An entry that takes any number of threads a block can have, so at most 64 registers each. The 1
 * (block that an SM must have room for) counts: without it ptxas aims at two blocks of 1024
 * threads, saves registers by waiting for each pair of loads before it sends the next, and two are
 * in flight where eight were meant.
 */
#define DEVICE_ENTRY extern "C" __global__ void __launch_bounds__(1024, 1)

#ifdef __CUDACC__

#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(1024) type name[]

/* The clock that all SMs share. PTX does not promise how fine its steps are. */
__device__ static inline uint64_t ptx_nanoseconds(void)
{
	uint64_t now;

	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
	return now;
}

__device__ static inline unsigned ptx_sm(void)
{
	unsigned sm;

	asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
	return sm;
}

/* The double lets its host's other threads run; a GPU has nothing better to do. */
__device__ static inline void ptx_pause(unsigned long)
{
}

/*
 * Memory that a peer or the host writes meanwhile. Volatile is relaxed at the scope of the system
 * and goes past the L1 cache (PTX ISA, memory consistency model). It orders nothing else, and the
 * flags that are passed so guard no other data.
 */
template <class T> __device__ static inline T ptx_load_live(const volatile T *from)
{
	return *from;
}

template <class T> __device__ static inline void ptx_store_live(volatile T *to, T value)
{
	*to = value;
}

/* Evict first: bulk data is used once, and must not drive out what is not. */
__device__ static inline struct device_unit ptx_load_unit(const struct device_unit *from)
{
	struct device_unit unit;

	asm volatile("ld.global.cs.v2.u64 {%0, %1}, [%2];"
		     : "=l"(unit.low), "=l"(unit.high)
		     : "l"(from));
	return unit;
}

__device__ static inline void ptx_store_unit(struct device_unit *to, struct device_unit unit)
{
	asm volatile("st.global.cs.v2.u64 [%0], {%1, %2};" ::"l"(to), "l"(unit.low), "l"(unit.high)
		     : "memory");
}

#endif

__device__ static inline int device_first_thread(void)
{
	return blockIdx.x == 0 && threadIdx.x == 0;
}

/* The threads that share a range, numbered: all of the grid, or one block. */
struct device_crew {
	uint64_t me, all;
};

__device__ static inline struct device_crew device_grid(void)
{
	return { (uint64_t)blockIdx.x * blockDim.x + threadIdx.x,
		 (uint64_t)gridDim.x * blockDim.x };
}

__device__ static inline struct device_crew device_block(void)
{
	return { threadIdx.x, blockDim.x };
}

/*
 * Goes over units in pieces: load(i) for FLIGHT of them, then use(i, loaded) for the same. 32
 * threads side by side work on a piece of FLIGHT x 512 bytes, so that the distance from one load to
 * the next is a constant, which costs no register and no instruction. Returns how many units the
 * pieces had; what is left is less than a piece, or all of it where there are not even 32 threads.
 */
template <int FLIGHT, class Load, class Use>
__device__ static __forceinline__ uint64_t device_pieces(struct device_crew crew, uint64_t units,
							 int backward, Load load, Use use)
{
	enum { SIDE = 32, PIECE = SIDE * FLIGHT };
	const uint64_t sides = crew.all / SIDE, pieces = sides ? units / PIECE : 0;

	/* Threads beyond the last whole side have nothing here: their turns belong to others. */
	if (crew.me < sides * SIDE)
#pragma unroll 1
		for (uint64_t turn = crew.me / SIDE; turn < pieces; turn += sides) {
			const uint64_t piece = backward ? pieces - 1 - turn : turn;
			const uint64_t at = piece * PIECE + crew.me % SIDE;
			decltype(load(at)) unit[FLIGHT];

#pragma unroll
			for (int i = 0; i < FLIGHT; i++)
				unit[i] = load(at + i * SIDE);
#pragma unroll
			for (int i = 0; i < FLIGHT; i++)
				use(at + i * SIDE, unit[i]);
		}
	return pieces * PIECE;
}

/* The same, and what is left unit by unit. */
template <int FLIGHT, class Load, class Use>
__device__ static __forceinline__ void device_stream(struct device_crew crew, uint64_t units,
						     Load load, Use use)
{
	uint64_t i = device_pieces<FLIGHT>(crew, units, 0, load, use);

	for (i += crew.me; i < units; i += crew.all)
		use(i, load(i));
}

/* By the whole grid. */
__device__ static __forceinline__ void device_copy(struct device_unit *to,
						   const struct device_unit *from, uint64_t units)
{
	device_stream<DEVICE_IN_FLIGHT>(
		device_grid(), units, [=](uint64_t i) { return ptx_load_unit(from + i); },
		[=](uint64_t i, struct device_unit unit) { ptx_store_unit(to + i, unit); });
}

/*
 * Makes a read count: the compiler drops loads whose result goes nowhere. Only a sum that comes out
 * as one odd number is added to *sink. Any data can do that, for one thread in 2^64; nobody reads
 * the sink, so it does no harm.
 */
__device__ static inline void device_sink(uint64_t *sink, uint64_t sum)
{
	const uint64_t odd = 0x9d7f3c5a1e6b8243ULL;

	if (sum == odd)
		atomicAdd((unsigned long long *)sink, (unsigned long long)sum);
}

/*
 * Puts down what is wrong about two neighbours and returns how many are. Kept while there is room:
 * that is looked at first, or a memory full of errors would queue up for one counter. `again` comes
 * past L1; no load goes past L2, so a line that L2 holds is read from there.
 *
 * Inlined, as a call would spill registers; a loop that stays one, as it is there so many times.
 */
__device__ static __forceinline__ unsigned device_keep(struct device_wrong *wrong,
						       const uint64_t *at, uint64_t index,
						       struct device_unit ought,
						       struct device_unit is)
{
	unsigned count = 0;

#pragma unroll 1
	for (int i = 0; i < 2; i++) {
		const uint64_t expected = i ? ought.high : ought.low;
		const uint64_t actual = i ? is.high : is.low;
		unsigned long long place = DEVICE_WRONG_KEPT;

		if (actual == expected)
			continue;
		count++;
		if (ptx_load_live(&wrong->kept) < DEVICE_WRONG_KEPT)
			place = atomicAdd(&wrong->kept, 1ULL);
		if (place >= DEVICE_WRONG_KEPT)
			continue;
		wrong->first[place].index = index + i;
		wrong->first[place].expected = expected;
		wrong->first[place].actual = actual;
		wrong->first[place].again = ptx_load_live(at + i);
		wrong->first[place].sm = ptx_sm();
	}
	return count;
}

/*
 * Goes over words with the whole grid, `backward` from the last piece to the first. word(index) is
 * what belongs there, where base[0] has the index `first`; so have the mismatches. WRITE alone
 * writes it, READ alone compares, and both together compare and leave the complement behind: of
 * what ought to have been there, or one bad word would count in every later pass.
 */
template <bool READ, bool WRITE, class Word>
__device__ static __forceinline__ void device_words(uint64_t *base, uint64_t words, uint64_t first,
						    int backward, struct device_wrong *wrong,
						    Word word)
{
	const struct device_crew grid = device_grid();
	const uint64_t head = words && (uintptr_t)base % sizeof(struct device_unit) ? 1 : 0;
	struct device_unit *const units = (struct device_unit *)(base + head);
	unsigned count = 0;
	const auto load = [=](uint64_t at) {
		return READ ? ptx_load_unit(units + at) : device_unit();
	};
	const auto use = [&](uint64_t at, struct device_unit is) {
		const uint64_t i = head + 2 * at;
		const struct device_unit ought = { word(first + i), word(first + i + 1) };
		const struct device_unit complement = { ~ought.low, ~ought.high };

		if (READ && (is.low != ought.low || is.high != ought.high))
			count += device_keep(wrong, base + i, first + i, ought, is);
		if (WRITE)
			ptx_store_unit(units + at, READ ? complement : ought);
	};
	const uint64_t in_pieces = 2 * device_pieces<DEVICE_IN_FLIGHT_CHECKED>(
					       grid, (words - head) / 2, backward, load, use);

	/* Before the first whole unit and behind the last piece, word by word. */
	for (uint64_t turn = grid.me; turn < words - in_pieces; turn += grid.all) {
		const uint64_t i = turn < head ? turn : turn + in_pieces;
		const uint64_t ought = word(first + i), is = READ ? ptx_load_live(base + i) : ought;

		if (READ && is != ought)
			count += device_keep(wrong, base + i, first + i, { ought, 0 }, { is, 0 });
		if (WRITE)
			base[i] = READ ? ~ought : ought;
	}
	if (READ && count)
		atomicAdd(&wrong->count, (unsigned long long)count);
}

#endif
