/*
 * work.h - pinned threads and placed memory, for the host loads. Private to kernels/.
 */
#ifndef ASSAY_WORK_H
#define ASSAY_WORK_H

#include "kernels/machine.h"

/* Memory of one NUMA node in huge pages if there are any: hugetlb first, then transparent. */
struct pages {
	unsigned char *base;
	uint64_t bytes;
	double huge_share; /* known after pages_count_huge */
};

/*
 * Transparent pages appear on `numa` when first touched; hugetlb pages are made at once, because a
 * lack of them would otherwise be a SIGBUS later. numa -1: anywhere. 0 or -1.
 */
int pages_alloc(struct machine *m, struct pages *p, uint64_t bytes, int numa, struct error *err);
/* Counts the huge pages that are there by now into p->huge_share. */
void pages_count_huge(struct pages *p);
void pages_free(struct pages *p);

/*
 * Runs fn(arg, index) on `count` threads, thread i pinned to cpus[i], all let go together once
 * every one is in place. Returns when all are done: 0, or -1 when a thread could not be made or
 * pinned.
 */
int threads_run(const int *cpus, int count, void (*fn)(void *arg, int index), void *arg,
		struct error *err);

#endif
