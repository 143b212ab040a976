/*
 * done.c - leaves out a launch that would only write again what stands there already.
 *
 * A burn queues the same multiplication thousands of times, and a timing of memory the same pass,
 * for as long as a GPU needs to be timed well; a CPU would take minutes. Left out is only a launch
 * whose result is a function of its arguments and of memory that nothing has touched since.
 */
#include "tests/doubles/double.h"

#include <string.h>

enum { DONE_MOST = 16, ARGS_MOST = 8 };

/* Launches of a GPU whose results still stand: several multiplications, or one pass over memory. */
struct done {
	struct {
		const struct twin *twin;
		uint64_t args[ARGS_MOST];
	} items[DONE_MOST];
	int count, next;
};

static struct done done_of[GPUS_MOST]; /* guarded by the lock of the world */

/* Which argument is written, and what one unit of argument `count` is in bytes (0: a matrix). */
static const struct repeatable {
	const char *name;
	int output, count, bytes, inputs; /* inputs: so many pointers next to the output */
} repeatables[] = {
	{ "read_units", 2, 1, 0, 0 },
	{ "write_units", 0, 1, 16, 0 },
	{ "copy_units", 0, 2, 16, 1 },
	{ "triad", 0, 4, 8, 2 },
};

static void args_copy(uint64_t *to, const struct launch *l)
{
	memset(to, 0, sizeof(uint64_t) * ARGS_MOST);
	for (int i = 0; i < l->twin->arg_count && i < ARGS_MOST; i++)
		if (l->twin->arg_sizes[i] <= sizeof(uint64_t))
			memcpy(&to[i], l->args[i], l->twin->arg_sizes[i]);
}

/*
 * gemm_*(a, b, c, n, tile_sm, keep) with keep 0 is a function of its operands alone. Maps are not
 * compared: a result is always of the same matrices, until they are made anew.
 */
static int is_gemm(const struct launch *l)
{
	return !strncmp(l->twin->name, "gemm_", 5) && l->twin->arg_count == 6 &&
	       !*(const int *)l->args[5];
}

/* A pass over memory that does not read what it writes. */
static int is_pass(const struct launch *l)
{
	const struct repeatable *r = repeatables, *end = r + COUNT(repeatables);
	uint64_t args[ARGS_MOST], bytes;

	while (r < end && strcmp(r->name, l->twin->name))
		r++;
	if (r == end)
		return 0;
	args_copy(args, l);
	bytes = args[r->count] * (uint64_t)r->bytes;
	for (int i = 1; i <= r->inputs; i++)
		if (args[r->output] < args[i] + bytes && args[i] < args[r->output] + bytes)
			return 0;
	return 1;
}

static int was_done(const struct launch *l)
{
	const struct done *d = &done_of[l->gpu->number];
	uint64_t args[ARGS_MOST];

	args_copy(args, l);
	for (int i = 0; i < d->count; i++)
		if (d->items[i].twin == l->twin && !memcmp(d->items[i].args, args, sizeof(args)))
			return 1;
	return 0;
}

static int holds_passes(const struct done *d)
{
	return d->count && d->items[0].twin && strncmp(d->items[0].twin->name, "gemm_", 5);
}

void done_clear(void)
{
	for (int i = 0; i < GPUS_MOST; i++)
		done_of[i].count = done_of[i].next = 0;
}

/* Multiplications write matrices of their own: they leave each other's results standing. */
int done_begin(const struct launch *l)
{
	int gemm = is_gemm(l);

	if ((gemm || is_pass(l)) && was_done(l))
		return 1;
	if (!gemm || holds_passes(&done_of[l->gpu->number]))
		done_clear();
	return 0;
}

void done_end(const struct launch *l)
{
	struct done *d = &done_of[l->gpu->number];
	uint64_t args[ARGS_MOST];

	if (!is_gemm(l) && !is_pass(l))
		return;
	args_copy(args, l);
	for (int i = 0; i < d->count; i++) /* what stood there is overwritten */
		if (is_gemm(l) && d->items[i].args[2] == args[2])
			d->items[i].twin = NULL;
	d->items[d->next].twin = l->twin;
	memcpy(d->items[d->next].args, args, sizeof(args));
	d->next = (d->next + 1) % DONE_MOST;
	if (d->count < DONE_MOST)
		d->count++;
}
