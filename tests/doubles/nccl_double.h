/* nccl_double.h - what the two files of the NCCL face share. Numbers are those of nccl.h. */
#ifndef ASSAY_NCCL_DOUBLE_H
#define ASSAY_NCCL_DOUBLE_H

#include "tests/doubles/double.h"

enum { RANKS_MOST = 16, CHUNK = 64 * 1024 };
enum { OK, UNHANDLED_CUDA, SYSTEM, INTERNAL, INVALID_ARGUMENT, INVALID_USAGE, REMOTE, IN_PROGRESS };

struct mailbox {
	uint32_t full;
	unsigned char data[CHUNK];
};

/* Shared by all ranks; named by the unique id. */
struct segment {
	uint32_t attached, aborted;
	struct mailbox boxes[RANKS_MOST][RANKS_MOST]; /* from, to */
};

struct comm {
	struct segment *segment;
	struct context *context;
	int rank, ranks;
	uint32_t failed;
};

/* Declares and begins one exported function. */
#define NCCL(name, ...)                                                                            \
	FACE int name(__VA_ARGS__);                                                                \
	int name(__VA_ARGS__)

int nccl_in_group(void);

#endif
