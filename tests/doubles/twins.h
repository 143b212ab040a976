/*
 * twins.h - the kernels of kernels/gpu/ as functions of the CPU, by name.
 *
 * Each twin runs the real .cu source, compiled as C++ with a small shim in place of CUDA, so that
 * an index that is wrong there is wrong here too.
 */
#ifndef ASSAY_TWINS_H
#define ASSAY_TWINS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct twin {
	const char *name;
	int arg_count;
	const size_t *arg_sizes; /* in bytes: a launch must copy its arguments before it returns */
	/* Runs the whole grid on the calling thread; args point at the arguments, as
	 * cuLaunchKernel's. */
	void (*run)(unsigned blocks, unsigned threads, unsigned shared_bytes, void **args);
};

/* NULL if no kernel has that name. */
const struct twin *twin_find(const char *name);

/* The SM that device code sees for a block, and the clock it sees, are set per calling thread. */
void twin_set_sms(unsigned sms);

/* Where, by a descriptor of wgmma, byte k (of 16) of a row lies in shared memory. */
unsigned twin_wgmma_address(unsigned long long descriptor, unsigned row, unsigned k);

#ifdef __cplusplus
}
#endif

#endif
