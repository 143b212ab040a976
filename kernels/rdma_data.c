/*
 * rdma_data.c - what is sent, and how it is told from what is stale, misplaced or wrong.
 *
 * A word is its place times an odd constant, as over TCP. Memory that a NIC reads from cannot be
 * filled anew for each window without holding the NIC up, so each window is sent from another place
 * of the same words instead: what is in the other's memory at a place then differs from window to
 * window, and nothing has to be written in between.
 */
#include "kernels/rdma.h"

#define STEP 0x9e3779b97f4a7c15u /* 2^64 / golden ratio, odd */
enum { LINE = 64, BLOCK = 64 };  /* bytes; words that are looked at together */

/* Prime, so that no two of as many windows as there are lines begin at the same one. */
static const uint64_t stride = 1000003;

uint64_t rdma_shift(const struct rdma *r, uint64_t window)
{
	uint64_t lines = r->span / LINE;

	return window % lines * (stride % lines) % lines * LINE;
}

static uint64_t word_at(uint64_t token, uint64_t offset)
{
	return token + (offset / 8 + 1) * STEP;
}

void rdma_fill(uint64_t token, uint64_t *words, uint64_t offset, uint64_t bytes)
{
	uint64_t word = word_at(token, offset);

	for (uint64_t i = 0; i < bytes / 8; i++, word += STEP)
		words[i] = word;
}

static unsigned wrong_bytes_of(uint64_t difference)
{
	unsigned count = 0;

	for (; difference; difference >>= 8)
		count += (difference & 0xff) != 0;
	return count;
}

static uint64_t compare_words(const uint64_t *words, uint64_t word, uint64_t count)
{
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < count; i++)
		wrong += wrong_bytes_of(words[i] ^ (word + i * STEP));
	return wrong;
}

/* Without a branch a word: this is to be faster than the network. */
static uint64_t block_differs(const uint64_t *words, uint64_t word)
{
	uint64_t differs = 0;

	for (uint64_t i = 0; i < BLOCK; i++)
		differs |= words[i] ^ (word + i * STEP);
	return differs;
}

uint64_t rdma_compare(uint64_t token, const uint64_t *words, uint64_t offset, uint64_t bytes)
{
	uint64_t count = bytes / 8, word = word_at(token, offset), wrong = 0, i = 0;

	for (; i + BLOCK <= count; i += BLOCK)
		if (block_differs(words + i, word + i * STEP))
			wrong += compare_words(words + i, word + i * STEP, BLOCK);
	return wrong + compare_words(words + i, word + i * STEP, count - i);
}
