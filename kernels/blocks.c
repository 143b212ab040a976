/*
 * blocks.c - blocks of data that say where they belong.
 *
 * Each sector of 512 bytes names itself, not only each block, because a disk promises to write
 * sectors whole and no more: a block of old and new sectors must be told from one with flipped
 * bits. The checksum in a sector covers its name and is the seed of all its other bytes, so a
 * sector is checked by making it again from what it says of itself, which no error can pass by
 * chance as with a short sum.
 */
#include "kernels/blocks.h"

#include <stdio.h>
#include <string.h>

struct tag {
	struct block_id id;
	uint64_t sum;
};

_Static_assert(sizeof(struct block_id) == 24 && sizeof(struct tag) == 32,
	       "no padding may be written");

const char *disk_fault_name(enum disk_fault fault)
{
	static const char *const names[DISK_FAULTS] = {
		[DISK_CORRUPT] = "corrupt",
		[DISK_TORN] = "torn",
		[DISK_STALE] = "stale",
		[DISK_MISPLACED] = "misplaced",
	};

	return names[fault];
}

/* One step of a sponge over splitmix64, so that every bit of the name changes the whole sum. */
static uint64_t absorb(uint64_t state, uint64_t word)
{
	state ^= word;
	return random_next(&state);
}

static uint64_t id_sum(const struct block_id *id)
{
	uint64_t sum = absorb(0x61737361792f6264u, id->run); /* "assay/bd" */

	sum = absorb(sum, id->offset);
	return absorb(sum, (uint64_t)id->file << 32 | id->generation);
}

/* Eight xorshift generators (Marsaglia 2003, shifts 13, 7, 17) side by side: vector code from any
 * compiler. */
static void sector_fill(unsigned char *sector, const struct block_id *id)
{
	enum { LANES = 8 };
	uint64_t lanes[LANES];
	struct tag tag = { .id = *id, .sum = id_sum(id) };
	uint64_t seed = tag.sum;

	for (int i = 0; i < LANES; i++)
		lanes[i] = random_next(&seed);
	for (unsigned at = 0; at < SECTOR_BYTES; at += sizeof(lanes)) {
		for (int i = 0; i < LANES; i++) {
			lanes[i] ^= lanes[i] << 13;
			lanes[i] ^= lanes[i] >> 7;
			lanes[i] ^= lanes[i] << 17;
		}
		memcpy(sector + at, lanes, sizeof(lanes));
	}
	memcpy(sector, &tag, sizeof(tag));
}

static struct block_id sector_id(const struct block_id *block, unsigned sector)
{
	struct block_id id = *block;

	id.offset += (uint64_t)sector * SECTOR_BYTES;
	return id;
}

void block_fill(unsigned char *block, const struct block_id *id)
{
	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		struct block_id part = sector_id(id, i);

		sector_fill(block + (size_t)i * SECTOR_BYTES, &part);
	}
}

static int sector_is(const unsigned char *sector, const struct block_id *id)
{
	_Alignas(64) unsigned char made[SECTOR_BYTES];

	sector_fill(made, id);
	return memcmp(sector, made, sizeof(made)) == 0;
}

int block_is(const unsigned char *block, const struct block_id *id)
{
	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		struct block_id part = sector_id(id, i);

		if (!sector_is(block + (size_t)i * SECTOR_BYTES, &part))
			return 0;
	}
	return 1;
}

/* The block that a sector says it is a part of: 1 if the sector is whole and of this run. */
static int sector_source(const unsigned char *sector, unsigned index, uint64_t run,
			 struct block_id *source)
{
	struct tag tag;

	memcpy(&tag, sector, sizeof(tag));
	if (tag.id.run != run || !sector_is(sector, &tag.id))
		return 0;
	*source = tag.id;
	source->offset -= (uint64_t)index * SECTOR_BYTES;
	return 1;
}

static int same_block(const struct block_id *a, const struct block_id *b)
{
	return a->run == b->run && a->offset == b->offset && a->file == b->file &&
	       a->generation == b->generation;
}

static int is_all_zeros(const unsigned char *block)
{
	return !block[0] && memcmp(block, block + 1, BLOCK_BYTES - 1) == 0;
}

/* Whole, but not of this run: what a disk gives back that lost every write to the place. */
static int is_of_another_run(const unsigned char *block)
{
	struct tag tag;

	memcpy(&tag, block, sizeof(tag));
	return block_is(block, &tag.id);
}

static void describe_corrupt(const unsigned char *block, const struct block_id *id,
			     struct block_finding *found)
{
	_Alignas(64) unsigned char made[BLOCK_BYTES];
	unsigned wrong = 0, first = 0;

	found->fault = DISK_CORRUPT;
	block_fill(made, id);
	for (unsigned i = 0; i < BLOCK_BYTES; i++) {
		if (block[i] == made[i])
			continue;
		first = wrong++ ? first : i;
	}
	if (is_all_zeros(block))
		snprintf(found->text, sizeof(found->text), "all zeros");
	else if (is_of_another_run(block))
		snprintf(found->text, sizeof(found->text), "a block of an earlier run");
	else
		snprintf(found->text, sizeof(found->text),
			 "%u of 4096 bytes differ, the first at %u: 0x%02x instead of 0x%02x",
			 wrong, first, block[first], made[first]);
}

static void describe_whole(const struct block_id *source, const struct block_id *id,
			   struct block_finding *found)
{
	if (source->file == id->file && source->offset == id->offset) {
		found->fault = DISK_STALE;
		snprintf(found->text, sizeof(found->text), "generation %u instead of %u",
			 source->generation, id->generation);
		return;
	}
	found->fault = DISK_MISPLACED;
	snprintf(found->text, sizeof(found->text),
		 "the block of file %u, offset %llu, generation %u", source->file,
		 (unsigned long long)source->offset, source->generation);
}

void block_examine(const unsigned char *block, const struct block_id *id,
		   struct block_finding *found)
{
	struct block_id first, source;
	unsigned differs = 0;

	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		const unsigned char *sector = block + (size_t)i * SECTOR_BYTES;

		if (!sector_source(sector, i, id->run, &source)) {
			describe_corrupt(block, id, found);
			return;
		}
		if (i == 0)
			first = source;
		else if (!differs && !same_block(&source, &first))
			differs = i;
	}
	if (!differs) {
		describe_whole(&first, id, found);
		return;
	}
	found->fault = DISK_TORN;
	snprintf(found->text, sizeof(found->text),
		 "sectors of different blocks or generations, the first change at byte %u",
		 differs * SECTOR_BYTES);
}
