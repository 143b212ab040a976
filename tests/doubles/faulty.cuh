/*
 * faulty.cuh - a product of one warpgroup that leaves out one thing. Included by twins.cpp behind
 * wgmma_on_cpu.h.
 *
 * It is here to show that the emulation notices: each omission may go unnoticed on a GPU for years.
 */
#ifndef ASSAY_FAULTY_CUH
#define ASSAY_FAULTY_CUH

#include "kernels/gpu/device.cuh"
#include "tests/doubles/faulty.h"

namespace faulty
{

enum { A = 64 * 128, B = 256 * 128, STAGE = A + B, STAGES = 2, CHUNKS = 4, FILLER = 128 };

struct shared {
	unsigned char *stages;
	uint64_t *full, *free;
};

static shared lay_out(unsigned char *from, int fault)
{
	unsigned char *at =
		from + (-wgmma_shared_address(from) & 1023) + (fault == FAULTY_PATTERN ? 256 : 0);
	uint64_t *barriers = reinterpret_cast<uint64_t *>(at + STAGES * STAGE);

	return { at, barriers, barriers + STAGES };
}

static void init(const shared &s, int fault)
{
	if (threadIdx.x == 0) {
		for (int i = 0; i < STAGES; i++) {
			if (fault != FAULTY_INIT)
				wgmma_barrier_init(s.full + i, 1);
			wgmma_barrier_init(s.free + i, 4);
		}
		if (fault != FAULTY_PUBLISH)
			wgmma_barrier_publish();
	}
	if (fault != FAULTY_SYNC)
		__syncthreads();
}

static unsigned chunks_of(int fault)
{
	return fault == FAULTY_READ ? 1 : CHUNKS;
}

static void fill(const shared &s, const device_map *a, const device_map *b, int fault)
{
	for (unsigned i = 0; i < chunks_of(fault); i++) {
		const unsigned stage = i % STAGES, round = i / STAGES;
		unsigned char *to = s.stages + stage * STAGE;

		if (fault != FAULTY_FREE_WAIT)
			wgmma_phase_ended(s.free + stage, round & 1 ? 0 : 1);
		wgmma_arrive_expecting(s.full + stage, STAGE + (fault == FAULTY_BYTES ? 16 : 0));
		wgmma_copy(to, a, i * 128, 0, s.full + stage);
		if (fault == FAULTY_TWICE)
			wgmma_copy(to, a, i * 128, 0, s.full + stage);
		wgmma_copy(to + A, b, i * 128, 0, s.full + stage);
	}
}

static uint64_t matrix_of(const void *shared, int fault)
{
	const uint64_t stray = fault == FAULTY_DESCRIPTOR ? 1ULL << 47 : 0;

	return wgmma_shared_address(shared) >> 4 | 1ULL << 16 | 64ULL << 32 | 1ULL << 62 | stray;
}

/* Threads write what is there already, or its opposite. */
static void write(unsigned char *at, int fault)
{
	if (threadIdx.x == 0 && (fault == FAULTY_WRITE || fault == FAULTY_WRITE_SHOWN))
		at[5] ^= 0xff;
	if (threadIdx.x == 0 && fault == FAULTY_WRITE_SHOWN)
		wgmma_barrier_publish();
}

static __thread unsigned heard; /* chunks that have come, as thread 0 says */

static bool is_heard(const void *chunk)
{
	return heard > *static_cast<const unsigned *>(chunk);
}

static void wait(const shared &s, unsigned i, int fault)
{
	if (fault == FAULTY_FULL_WAIT && threadIdx.x < 32)
		return;
	if (fault == FAULTY_HEARSAY && threadIdx.x >= 96)
		shim_wait_until(is_heard, &i);
	else
		wgmma_phase_ended(s.full + i % STAGES, i / STAGES & 1);
	if (threadIdx.x == 0)
		heard = i + 1;
}

static void multiply(float (&c)[128], const shared &s, unsigned i, int fault)
{
	const unsigned stage = i % STAGES;
	unsigned char *a = s.stages + stage * STAGE;
	const int alone = fault == FAULTY_GROUP && threadIdx.x < 32;

	wait(s, i, fault);
	write(a, fault);
	if (fault != FAULTY_FENCE || !i)
		wgmma_begin();
	for (unsigned k = 0; k < 4; k++)
		wgmma_bf16(c, matrix_of(a, fault) + k * 2,
			   matrix_of(a + A, fault) + (k ^ alone) * 2, i || k);
	if (fault == FAULTY_TOUCH)
		c[7] = 1;
	wgmma_commit();
	if (fault != FAULTY_EARLY_FREE && fault != FAULTY_READ)
		wgmma_wait<0>();
	if (threadIdx.x % 32 == 0)
		wgmma_arrive(s.free + stage);
	if (threadIdx.x == 0 && fault == FAULTY_ARRIVE)
		for (int more = 0; more < 4; more++)
			wgmma_arrive(s.free + stage);
}

static void work(const shared &s, float *to, int fault)
{
	float c[128];

	for (unsigned i = 0; i < chunks_of(fault); i++)
		multiply(c, s, i, fault);
	if (fault != FAULTY_READ && fault != FAULTY_END)
		wgmma_wait<0>();
	for (int i = 0; i < 128; i++)
		to[threadIdx.x * 128 + i] = c[i];
	if (fault == FAULTY_READ)
		wgmma_wait<0>();
	if (fault == FAULTY_END) {
		wgmma_begin();
		wgmma_bf16(c, matrix_of(s.stages, 0), matrix_of(s.stages + A, 0), 0);
	}
}

} // namespace faulty

/* to[thread][128]: sums of 64 x 256, of 256 elements of k. 129 threads. */
extern "C" __global__ void faulty_wgmma(const struct device_map a, const struct device_map b,
					float *to, int fault)
{
	DYNAMIC_SHARED(unsigned char, bytes);
	const faulty::shared s = faulty::lay_out(bytes, fault);

	faulty::init(s, fault);
	if (threadIdx.x < faulty::FILLER)
		faulty::work(s, to, fault);
	else
		faulty::fill(s, &a, &b, fault);
}

#endif
