/*
 * twins.cpp - the kernels of kernels/gpu/ by name; see twins.h.
 *
 * Includes the .cu files themselves, behind the shim, so that a twin cannot drift from its kernel:
 * number and sizes of its arguments come from its type. A row here says by hand only whether the
 * threads of a block wait for one another.
 */
#include "tests/doubles/cuda_on_cpu.h"
#include "tests/doubles/tensor_on_cpu.h"
#include "tests/doubles/wgmma_on_cpu.h"
#include "tests/doubles/twins.h"

#include "kernels/gpu/all.cu"

#include "tests/doubles/faulty.cuh"

#include <utility>

enum needs { PLAIN, FIBERS };

template <auto kernel> struct twin_of;

template <class... A, void (*kernel)(A...)> struct twin_of<kernel> {
	static constexpr int count = sizeof...(A);
	static constexpr size_t sizes[] = { sizeof(A)... };

	template <size_t... I> static void call(void **args, std::index_sequence<I...>)
	{
		kernel(*static_cast<A *>(args[I])...);
	}

	static void thread(void **args)
	{
		call(args, std::index_sequence_for<A...>());
	}

	template <needs NEEDS>
	static void run(unsigned blocks, unsigned threads, unsigned shared, void **args)
	{
		(NEEDS == FIBERS ? shim_run_fibers : shim_run_plain)(thread, blocks, threads,
								     shared, args);
	}
};

template <auto kernel, needs NEEDS> static constexpr struct twin row(const char *name)
{
	using t = twin_of<kernel>;

	return { name, t::count, t::sizes, t::template run<NEEDS> };
}

#define TWIN(name, needs) row<name, needs>(#name)

static const struct twin twins[] = {
	/* copy.cu */
	TWIN(spin, PLAIN),
	TWIN(fill_unique, PLAIN),
	TWIN(check_unique, PLAIN),
	TWIN(copy_units, PLAIN),
	/* latency.cu */
	TWIN(chase, PLAIN),
	TWIN(flag_first, PLAIN),
	TWIN(flag_second, PLAIN),
	/* memory.cu */
	TWIN(read_units, PLAIN),
	TWIN(write_units, PLAIN),
	TWIN(triad, PLAIN),
	TWIN(slab_read, FIBERS),
	/* stress.cu */
	TWIN(stress_write, PLAIN),
	TWIN(stress_check, PLAIN),
	TWIN(stress_invert, PLAIN),
	TWIN(stress_move, PLAIN),
	TWIN(stress_hammer, PLAIN),
	/* gemm.cu */
	TWIN(gemm_fp64, FIBERS),
	TWIN(gemm_tf32, FIBERS),
	TWIN(gemm_bf16, FIBERS),
	TWIN(gemm_fp16, FIBERS),
	TWIN(gemm_fp8, FIBERS),
	TWIN(gemm_int8, FIBERS),
	TWIN(gemm_tf32_wgmma, FIBERS),
	TWIN(gemm_bf16_wgmma, FIBERS),
	TWIN(gemm_fp16_wgmma, FIBERS),
	TWIN(gemm_fp8_wgmma, FIBERS),
	TWIN(gemm_int8_wgmma, FIBERS),
	TWIN(operand_fp64, PLAIN),
	TWIN(operand_tf32, PLAIN),
	TWIN(operand_bf16, PLAIN),
	TWIN(operand_fp16, PLAIN),
	TWIN(operand_fp8, PLAIN),
	TWIN(operand_int8, PLAIN),
	TWIN(rows_f32, FIBERS),
	TWIN(rows_f64, FIBERS),
	TWIN(rows_i32, FIBERS),
	TWIN(digest_words, FIBERS),
	/* none that a GPU has: tests of the emulation */
	TWIN(faulty_wgmma, FIBERS),
};

const struct twin *twin_find(const char *name)
{
	for (const struct twin &t : twins)
		if (!strcmp(t.name, name))
			return &t;
	return nullptr;
}

unsigned twin_wgmma_address(unsigned long long descriptor, unsigned row, unsigned k)
{
	return wgmma_address(wgmma_matrix_of(descriptor), row, k);
}
