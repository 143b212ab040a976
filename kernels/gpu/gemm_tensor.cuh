/*
 * gemm_tensor.cuh - the tensor core's instructions, one small function each. Included by gemm.cu.
 *
 * All inline assembly of the GEMM is here, so that tests/doubles/tensor_on_cpu.h can give the same
 * functions to a CPU and a fragment that is indexed wrongly shows without a GPU. Layouts of
 * fragments are those of the PTX ISA (9.0), chapter "Warp Level Matrix Multiply-Accumulate
 * Instructions".
 */
#ifndef ASSAY_GEMM_TENSOR_CUH
#define ASSAY_GEMM_TENSOR_CUH

/* What the code was built for: 90 is sm_90. A device of the same family may run code for an older.
 */
static __device__ __forceinline__ unsigned tensor_architecture()
{
#ifdef __CUDA_ARCH__
	return __CUDA_ARCH__ / 10;
#else
	return 0;
#endif
}

static __device__ __forceinline__ unsigned tensor_shared_address(const void *shared)
{
	return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/* 16 bytes from global to shared memory, past L1 and registers; seen after commit, wait, barrier.
 */
static __device__ __forceinline__ void tensor_copy(void *shared, const void *global)
{
	asm volatile(
		"cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(tensor_shared_address(shared)),
		"l"(global));
}

static __device__ __forceinline__ void tensor_commit()
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most PENDING of the newest groups of this thread's copies are under way. */
template <int PENDING> static __device__ __forceinline__ void tensor_wait()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/*
 * Four matrices of 8 rows of 16 bytes. Lane 8 i + r tells where row r of matrix i is, and every
 * lane gets of each matrix the four bytes that mma wants: 4 (lane % 4) and following of row lane
 * / 4.
 */
static __device__ __forceinline__ void tensor_load(unsigned (&to)[4], const void *shared)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
		     : "r"(tensor_shared_address(shared))
		     : "memory");
}

/* c += a b: 16 x 8 from 16 x 32 bytes and 32 bytes x 8. */
static __device__ __forceinline__ void tensor_tf32(float (&c)[4], const unsigned (&a)[4],
						   const unsigned (&b)[2])
{
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void tensor_bf16(float (&c)[4], const unsigned (&a)[4],
						   const unsigned (&b)[2])
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void tensor_fp16(float (&c)[4], const unsigned (&a)[4],
						   const unsigned (&b)[2])
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/*
 * Exists from sm_89 on (PTX ISA, mma, "Target ISA Notes"). Code for older ones has the entry all
 * the same, so that one table of entries fits every image, and traps; the host asks first what the
 * code was built for and does not launch it.
 */
static __device__ __forceinline__ void tensor_fp8(float (&c)[4], const unsigned (&a)[4],
						  const unsigned (&b)[2])
{
#if __CUDA_ARCH__ >= 890
	asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
	(void)c, (void)a, (void)b;
	__trap();
#endif
}

static __device__ __forceinline__ void tensor_int8(int (&c)[4], const unsigned (&a)[4],
						   const unsigned (&b)[2])
{
	asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* 8 x 8 from 8 x 4 and 4 x 8 doubles. */
static __device__ __forceinline__ void tensor_fp64(double (&c)[2], double a, double b)
{
	asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
	    : "+d"(c[0]), "+d"(c[1])
	    : "d"(a), "d"(b));
}

#endif
