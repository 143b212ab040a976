/*
 * blocks.h - blocks of data that say where they belong. Private to kernels/.
 */
#ifndef ASSAY_BLOCKS_H
#define ASSAY_BLOCKS_H

#include "kernels/kernels.h"

enum { BLOCK_BYTES = 4096, SECTOR_BYTES = 512, BLOCK_SECTORS = BLOCK_BYTES / SECTOR_BYTES };

/* Every sector of a block begins with this, with its own offset; all other bytes follow from it. */
struct block_id {
	uint64_t run;    /* differs from run to run */
	uint64_t offset; /* in the file, of this block or sector */
	uint32_t file, generation;
};

struct block_finding {
	enum disk_fault fault;
	char text[120]; /* what was found instead, for a person */
};

/* Writes the block of this id: BLOCK_BYTES at `block`, which must be aligned to 8. */
void block_fill(unsigned char *block, const struct block_id *id);
/* 1 if `block` is exactly the block of this id. */
int block_is(const unsigned char *block, const struct block_id *id);
/* Says what is wrong with a block for which block_is() said no. */
void block_examine(const unsigned char *block, const struct block_id *id,
		   struct block_finding *found);

#endif
