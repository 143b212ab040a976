/* nvml_double.h - what the two files of the NVML face share. */
#ifndef ASSAY_NVML_DOUBLE_H
#define ASSAY_NVML_DOUBLE_H

#include "tests/doubles/double.h"

#include "kernels/nvml_abi.h"

/* Declared from the program's own list, so that the compiler compares the two. */
#define NVML_DECLARE(name, arguments) FACE int nvml##name arguments;
NVML_FUNCTIONS(NVML_DECLARE)

/* What every question about a GPU looks at first; with the lock held. NVML_OK or a code. */
int nvml_enter(const char *function, NVML_GPU handle, struct gpu **out);
unsigned nvml_temperature(const struct gpu *g);
void nvml_pci_of(const char *address, struct nvml_pci *pci);

/* The body of a question about one GPU: lock, look, answer, unlock. */
#define ANSWER(handle, body)                                                                       \
	do {                                                                                       \
		struct gpu *g;                                                                     \
		int rc_;                                                                           \
		pthread_mutex_lock(&world()->lock);                                                \
		rc_ = nvml_enter(__func__, handle, &g);                                            \
		if (rc_ == NVML_OK)                                                                \
			rc_ = body;                                                                \
		pthread_mutex_unlock(&world()->lock);                                              \
		return rc_;                                                                        \
	} while (0)

#endif
