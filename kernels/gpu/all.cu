/* all.cu - one translation unit, so that one image holds every kernel and nothing is device-linked. */
#include "kernels/gpu/copy.cu"
#include "kernels/gpu/gemm.cu"
#include "kernels/gpu/gemm_wgmma.cu"
#include "kernels/gpu/latency.cu"
#include "kernels/gpu/memory.cu"
#include "kernels/gpu/stress.cu"
