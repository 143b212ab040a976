/*
 * fibers.cpp - runs a grid on the calling CPU thread; see cuda_on_cpu.h.
 *
 * On x86-64 fibers are changed by eight instructions and not by swapcontext(): that asks the kernel
 * for the signal mask each time, a product of matrices changes fibers some million times, and
 * AddressSanitizer, which may be in the program around, objects to it.
 */
#include "tests/doubles/cuda_on_cpu.h"
#include "tests/doubles/twins.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#if !defined(__x86_64__) || defined(SHIM_UCONTEXT)
#define WITH_UCONTEXT
#include <ucontext.h>
#endif

__thread struct shim_dim threadIdx, blockIdx, blockDim, gridDim;
__thread unsigned char *shim_shared;
__thread struct shim_beside shim_beside;

enum { STACK = 64 << 10, SHARED_ALIGN = 1024 };
enum { CANARY = 0x5a, CANARY_BYTES = 64 }; /* at the end of a stack that grows into it */
enum { GARBAGE = 0xa5 };                   /* what a block finds in shared memory */

/* ---- changing stacks ----------------------------------------------------------------------- */

#ifdef WITH_UCONTEXT

typedef ucontext_t shim_context;

static void context_make(shim_context *c, unsigned char *stack, size_t bytes, void (*run)(void))
{
	getcontext(c);
	c->uc_stack.ss_sp = stack;
	c->uc_stack.ss_size = bytes;
	c->uc_link = nullptr;
	makecontext(c, run, 0);
}

static void context_change(shim_context *from, shim_context *to)
{
	swapcontext(from, to);
}

#else

typedef void *shim_context; /* its stack pointer; what a call must keep lies there */

extern "C" void shim_change(void **from, void *to);
__asm__(".text\n"
	".p2align 4\n"
	".hidden shim_change\n"
	".type shim_change, @function\n"
	"shim_change:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n"
	"	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n"
	"	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n"
	".size shim_change, . - shim_change\n");

static void context_make(shim_context *c, unsigned char *stack, size_t bytes, void (*run)(void))
{
	enum { KEPT = 6 };
	void **top = reinterpret_cast<void **>(stack + bytes);

	*--top = nullptr; /* where run() would return to, and what aligns the stack at its entry */
	*--top = reinterpret_cast<void *>(run);
	for (int i = 0; i < KEPT; i++)
		*--top = nullptr;
	*c = top;
}

static void context_change(shim_context *from, shim_context *to)
{
	shim_change(from, *to);
}

#endif

/* ---- a block of fibers --------------------------------------------------------------------- */

enum state { READY, AT_WARP, AT_BLOCK, AT_EVENT, GONE };

struct fiber {
	shim_context context;
	enum state state;
	bool (*come)(const void *arg); /* what it waits for AT_EVENT */
	const void *arg;
	unsigned char *stack;
};

struct warp {
	unsigned arrived; /* lanes at the collective under way */
	size_t bytes;     /* that they exchange; 0: they only wait for one another */
	int side; /* exchanges take turns: a lane may be at the next one before all have read this
		   */
	unsigned char slots[2][warpSize * SHIM_EXCHANGE_MOST] __attribute__((aligned(16)));
};

struct block {
	shim_thread_fn *thread;
	void **args;
	struct fiber *fibers;
	struct warp *warps;
	unsigned threads;
	shim_context scheduler;
};

static __thread struct block *running; /* NULL: plain */
static __thread unsigned sms;

void shim_fault(const char *what)
{
	fprintf(stderr, "device code on the CPU: block %u of %u, thread %u of %u: %s\n", blockIdx.x,
		gridDim.x, threadIdx.x, blockDim.x, what);
	abort();
}

static void fiber_main(void)
{
	struct block *b = running;
	const unsigned me = threadIdx.x;

	b->thread(b->args);
	b->fibers[me].state = GONE;
	context_change(&b->fibers[me].context, &b->scheduler);
	shim_fault("a thread that had ended went on");
}

/* Stops the running thread until all others of its kind have come as far. */
static void wait_at(enum state state)
{
	struct block *b = running;
	struct fiber *me = &b->fibers[threadIdx.x];

	me->state = state;
	context_change(&me->context, &b->scheduler);
}

static unsigned warp_end(const struct block *b, unsigned first)
{
	return first + warpSize < b->threads ? first + warpSize : b->threads;
}

static unsigned count(const struct block *b, unsigned first, unsigned end, enum state state)
{
	unsigned n = 0;

	for (unsigned i = first; i < end; i++)
		n += b->fibers[i].state == state;
	return n;
}

static void release(struct block *b, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		if (b->fibers[i].state != GONE)
			b->fibers[i].state = READY;
}

static void warp_check(const struct block *b, unsigned first, unsigned end)
{
	threadIdx.x = first;
	if (count(b, first, end, AT_BLOCK))
		shim_fault("of its warp some wait for the warp and some for the block");
	if (b->warps[first / warpSize].bytes && count(b, first, end, GONE))
		shim_fault("of its warp some exchange values and some have ended");
}

static bool fiber_can_run(struct fiber *f)
{
	if (f->state == AT_EVENT && f->come(f->arg))
		f->state = READY;
	return f->state == READY;
}

/* Runs the threads of a warp until none can go on. Whether any did. */
static bool warp_run(struct block *b, unsigned first)
{
	const unsigned end = warp_end(b, first);
	bool ran = false;

	for (;;) {
		for (unsigned i = first; i < end; i++)
			if (fiber_can_run(&b->fibers[i])) {
				threadIdx.x = i;
				context_change(&b->scheduler, &b->fibers[i].context);
				ran = true;
			}
		if (count(b, first, end, READY))
			continue;
		if (!count(b, first, end, AT_WARP) || count(b, first, end, AT_EVENT))
			return ran;
		warp_check(b, first, end);
		b->warps[first / warpSize].arrived = 0;
		release(b, first, end);
	}
}

static void stacks_check(const struct block *b)
{
	for (unsigned i = 0; i < b->threads; i++)
		for (int j = 0; j < CANARY_BYTES; j++)
			if (b->fibers[i].stack[j] != CANARY) {
				threadIdx.x = i;
				shim_fault("its stack of 64 KiB ran over");
			}
}

static void hang(const struct block *b)
{
	for (threadIdx.x = 0; b->fibers[threadIdx.x].state == GONE; threadIdx.x++)
		;
	shim_fault("it and others wait for what never comes: a GPU would hang");
}

/* Runs all warps once. Whether threads are left. */
static bool block_turn(struct block *b)
{
	const unsigned all = b->threads;
	bool ran = false;

	for (unsigned first = 0; first < all; first += warpSize)
		ran |= warp_run(b, first);
	if (count(b, 0, all, GONE) == all)
		return false;
	if (count(b, 0, all, GONE) + count(b, 0, all, AT_BLOCK) == all) {
		release(b, 0, all);
		shim_beside.syncs++;
	} else if (!ran && !(shim_beside.idle && shim_beside.idle())) {
		hang(b);
	}
	return true;
}

static void block_run(struct block *b)
{
	shim_beside.block++;
	shim_beside.syncs = 0;
	for (unsigned i = 0; i < b->threads; i++) {
		b->fibers[i].state = READY;
		context_make(&b->fibers[i].context, b->fibers[i].stack, STACK, fiber_main);
	}
	while (block_turn(b))
		;
	if (shim_beside.ended)
		shim_beside.ended();
	stacks_check(b);
}

/* ---- what device code calls ---------------------------------------------------------------- */

static struct block *block_of_fibers(void)
{
	if (!running)
		shim_fault("a collective operation in a kernel that twins.cpp lists as plain");
	return running;
}

void __syncthreads(void)
{
	block_of_fibers();
	wait_at(AT_BLOCK);
}

void shim_wait_until(bool (*come)(const void *arg), const void *arg)
{
	struct block *b = block_of_fibers();

	if (come(arg))
		return;
	b->fibers[threadIdx.x].come = come;
	b->fibers[threadIdx.x].arg = arg;
	wait_at(AT_EVENT);
}

/* The first lane to come says what is done; returns where an exchange puts its values. */
static unsigned char *warp_arrive(struct block *b, size_t bytes)
{
	struct warp *w = &b->warps[threadIdx.x / warpSize];

	if (!w->arrived++) {
		w->bytes = bytes;
		w->side = !w->side;
		memset(w->slots[w->side], 0, warpSize * bytes);
	}
	if (w->bytes != bytes)
		shim_fault("the lanes of its warp are at different collective operations");
	return w->slots[w->side];
}

void __syncwarp(unsigned)
{
	warp_arrive(block_of_fibers(), 0);
	wait_at(AT_WARP);
}

const void *shim_warp_view(const void *in, size_t bytes)
{
	struct block *b = block_of_fibers();
	unsigned char *slots;

	if (!bytes || bytes > SHIM_EXCHANGE_MOST)
		shim_fault("an exchange of nothing, or of more bytes than there is room for");
	slots = warp_arrive(b, bytes);
	memcpy(slots + shim_lane() * bytes, in, bytes);
	wait_at(AT_WARP);
	return slots;
}

void shim_warp_exchange(const void *in, size_t bytes, void *all)
{
	memcpy(all, shim_warp_view(in, bytes), warpSize * bytes);
}

uint64_t ptx_nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000U + static_cast<uint64_t>(now.tv_nsec);
}

unsigned ptx_sm(void)
{
	return sms ? blockIdx.x % sms : 0;
}

/* A thread that waits for long must not keep a small machine from what it is waiting for. */
void ptx_pause(unsigned long turn)
{
	enum { YIELDS = 1000 };
	const struct timespec rest = { 0, 20000 };

	if (turn < YIELDS)
		sched_yield();
	else
		nanosleep(&rest, nullptr);
}

void twin_set_sms(unsigned count)
{
	sms = count;
}

/* ---- grids --------------------------------------------------------------------------------- */

static void *memory_get(size_t bytes)
{
	void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		shim_fault("no memory for its stacks");
	return at;
}

static void grid_begin(unsigned blocks, unsigned threads, unsigned shared)
{
	gridDim = { blocks, 1, 1 };
	blockDim = { threads, 1, 1 };
	blockIdx = threadIdx = { 0, 0, 0 };
	shim_shared = nullptr;
	shim_beside.shared = shared;
	if (shared && posix_memalign(reinterpret_cast<void **>(&shim_shared), SHARED_ALIGN, shared))
		shim_fault("no memory for its shared memory");
}

static void grid_end(void)
{
	free(shim_shared);
	free(shim_beside.state);
	shim_shared = nullptr;
	shim_beside.state = nullptr;
	shim_beside.idle = nullptr;
	shim_beside.ended = nullptr;
}

void shim_run_plain(shim_thread_fn *thread, unsigned blocks, unsigned threads, unsigned shared,
		    void **args)
{
	grid_begin(blocks, threads, shared);
	for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
		for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
			thread(args);
	grid_end();
}

void shim_run_fibers(shim_thread_fn *thread, unsigned blocks, unsigned threads, unsigned shared,
		     void **args)
{
	const unsigned warps = (threads + warpSize - 1) / warpSize;
	struct block b = { thread, args, nullptr, nullptr, threads, {} };
	unsigned char *stacks;

	if (!blocks || !threads)
		return;
	grid_begin(blocks, threads, shared);
	b.fibers = static_cast<struct fiber *>(memory_get(threads * sizeof(*b.fibers)));
	b.warps = static_cast<struct warp *>(memory_get(warps * sizeof(*b.warps)));
	stacks = static_cast<unsigned char *>(memory_get(static_cast<size_t>(threads) * STACK));
	for (unsigned i = 0; i < threads; i++) {
		b.fibers[i].stack = stacks + static_cast<size_t>(i) * STACK;
		memset(b.fibers[i].stack, CANARY, CANARY_BYTES);
	}
	running = &b;
	for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
		if (shared)
			memset(shim_shared, GARBAGE, shared);
		block_run(&b);
	}
	running = nullptr;
	munmap(stacks, static_cast<size_t>(threads) * STACK);
	munmap(b.warps, warps * sizeof(*b.warps));
	munmap(b.fibers, threads * sizeof(*b.fibers));
	grid_end();
}
