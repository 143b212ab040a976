/*
 * test_gpu_prims.c - copies and latencies of GPUs, on the double of libcuda.
 *
 * Figures must be those of the scenario; faults that it plants must be found.
 */
#include "tests/unit/gpu_case.h"

/* ---- copies -------------------------------------------------------------------------------- */

static struct gpu_copy copy_job(struct gpu_route *routes, int count, enum gpu_way way)
{
	return (struct gpu_copy){ .routes = routes,
				  .route_count = count,
				  .way = way,
				  .bytes = MIB,
				  .copies = 4,
				  .samples = SAMPLES,
				  .seed = 7 };
}

static void need_copy(struct machine *m, int from, int to, enum gpu_way way, double gbs)
{
	double got[SAMPLES] = { 0 };
	struct gpu_route route = { .from = from, .to = to, .numa = -1, .gbs = got };
	struct gpu_copy job = copy_job(&route, 1, way);
	struct error err = { "" };
	char what[64];

	snprintf(what, sizeof(what), "way %d from %d to %d", (int)way, from, to);
	NEED(real_kernels.gpu_copy(m, &job, &err) == 0, "%s: %s", what, err.text);
	for (int s = 0; s < SAMPLES; s++)
		need_near(what, got[s], gbs);
	NEED(route.wrong_bytes == 0 && job.invalid == 0, "%s: %llu wrong, %d invalid", what,
	     (unsigned long long)route.wrong_bytes, job.invalid);
}

static void copies_have_the_rates_of_the_scenario(struct machine *m)
{
	static const struct {
		int from, to;
		enum gpu_way way;
		double gbs;
	} cases[] = {
		{ 0, 1, GPU_WRITE_CE, 100 },       { 0, 1, GPU_READ_CE, 100 },
		{ 1, 0, GPU_WRITE_SM, 100 },       { 1, 0, GPU_READ_SM, 100 },
		{ 0, 1, GPU_STAGED_CE, 5 },        { 0, 1, GPU_WRITE_CE, 100 },
		{ 2, 2, GPU_WRITE_CE, 200 },       { 2, 2, GPU_READ_SM, 400 },
		{ GPU_HOST, 1, GPU_WRITE_CE, 20 }, { GPU_HOST, 1, GPU_READ_CE, 20 },
		{ GPU_HOST, 1, GPU_READ_SM, 20 },  { 1, GPU_HOST, GPU_WRITE_CE, 10 },
		{ 1, GPU_HOST, GPU_READ_CE, 10 },  { 1, GPU_HOST, GPU_WRITE_SM, 10 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		need_copy(m, cases[i].from, cases[i].to, cases[i].way, cases[i].gbs);
}

static void routes_share_what_they_pass(struct machine *m)
{
	double gbs[4][SAMPLES];
	struct gpu_route routes[] = {
		{ .from = 0, .to = 1, .numa = -1, .gbs = gbs[0] },
		{ .from = 0, .to = 2, .numa = -1, .gbs = gbs[1] },
		{ .from = 1, .to = 0, .numa = -1, .gbs = gbs[2] },
		{ .from = 3, .to = GPU_HOST, .numa = -1, .gbs = gbs[3] },
	};
	static const double want[] = { 50, 50, 100, 10 };
	struct gpu_copy job = copy_job(routes, ARRAY_SIZE(routes), GPU_WRITE_CE);
	struct error err = { "" };

	NEED(real_kernels.gpu_copy(m, &job, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		for (int s = 0; s < SAMPLES; s++)
			need_near("a route of four", gbs[i][s], want[i]);
}

/* More copies than a stream takes ahead, and more buffers than copies. */
static void many_small_copies_are_timed_in_batches(struct machine *m)
{
	double gbs[2];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, GPU_READ_CE);
	struct error err = { "" };

	job.bytes = 4096;
	job.copies = 1300;
	job.samples = 2;
	NEED(real_kernels.gpu_copy(m, &job, &err) == 0, "%s", err.text);
	need_near("4 KiB a microsecond", gbs[0], 4.096);
	NEED(route.wrong_bytes == 0, "wrong");
}

static void staged_copies_leave_peer_access_as_it_was(struct machine *m)
{
	struct error err = { "" };
	struct gpu_context *a = gpu_use(m, 0, &err), *b = gpu_use(m, 1, &err);
	int was_on;

	NEED(a && b, "%s", err.text);
	need_copy(m, 0, 1, GPU_STAGED_CE, 10);
	NEED(gpu_peer_off(a, b, &was_on, &err) == 0 && !was_on, "switched on: %s", err.text);
	NEED(gpu_peer_on(a, b, &err) == 0, "%s", err.text);
	need_copy(m, 1, 0, GPU_STAGED_CE, 10);
	NEED(gpu_peer_off(a, b, &was_on, &err) == 0 && was_on, "left off: %s", err.text);
	NEED(gpu_peer_off(b, a, &was_on, &err) == 0 && !was_on, "switched on: %s", err.text);
}

static void a_missing_peer_is_told(struct machine *m)
{
	double gbs[SAMPLES];
	struct gpu_route route = { .from = 1, .to = 2, .numa = -1, .gbs = gbs };
	struct error err = { "" };

	NEED(real_kernels.gpu_peer(m, 1, 2, &err) == 0, "%s", err.text);
	NEED(real_kernels.gpu_peer(m, 1, 3, &err) == 1, "%s", err.text);
	NEED(real_kernels.gpu_peer(m, 1, 1, &err) == 1, "%s", err.text);
	NEED(real_kernels.gpu_peer(m, 1, 99, &err) == -1, "a GPU 99");
	for (int way = GPU_WRITE_CE; way <= GPU_READ_SM; way++) {
		struct gpu_copy job = copy_job(&route, 1, (enum gpu_way)way);

		NEED(real_kernels.gpu_copy(m, &job, &err) == -1, "way %d", way);
		need_says(&err, "copying from gpu1 to gpu2");
		need_says(&err, "cannot reach memory of");
	}
	need_copy(m, 1, 2, GPU_STAGED_CE, 10);
}

static void a_slow_pair_is_slow(struct machine *m)
{
	need_copy(m, 2, 3, GPU_WRITE_CE, 25);
	need_copy(m, 3, 2, GPU_WRITE_CE, 100);
}

/* Six copies into six buffers: none is written twice, so a wrong byte stays. */
static void need_wrong(struct machine *m, int from, int to, enum gpu_way way, uint64_t bytes,
		       uint64_t first)
{
	double gbs[1];
	struct gpu_route route = { .from = from, .to = to, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, way);
	struct error err = { "" };

	job.bytes = bytes;
	job.copies = 3;
	job.samples = 1;
	NEED(real_kernels.gpu_copy(m, &job, &err) == 0, "%s", err.text);
	NEED(route.wrong_bytes == 1 && route.first_wrong == first,
	     "%d to %d: %llu wrong bytes, the first at %llu", from, to,
	     (unsigned long long)route.wrong_bytes, (unsigned long long)route.first_wrong);
}

static void flipped_bits_are_found(struct machine *m)
{
	need_wrong(m, 0, 1, GPU_WRITE_CE, MIB, 100);
	need_wrong(m, 1, 2, GPU_READ_SM, MIB, 4097);
	need_wrong(m, 2, GPU_HOST, GPU_WRITE_CE, MIB, 65535);
	need_wrong(m, GPU_HOST, 3, GPU_WRITE_CE, MIB, 12);
	need_wrong(m, 3, 3, GPU_WRITE_CE, MIB, 9);
}

/* So much of it that the host compares it with several threads; the fault is in the last part. */
static void flipped_bits_are_found_in_much_host_memory(struct machine *m)
{
	need_wrong(m, 0, GPU_HOST, GPU_READ_CE, 8 * MIB, 8 * MIB - 1);
	need_wrong(m, 0, GPU_HOST, GPU_READ_CE, 8 * MIB, 77);
}

/* One byte of each of twenty copies; a GPU keeps sixteen words, of the others all eight bytes
 * count. */
static void many_wrong_words_are_counted(struct machine *m)
{
	double gbs[1];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, GPU_WRITE_CE);
	struct error err = { "" };

	job.bytes = 4096;
	job.copies = 10;
	job.samples = 1;
	NEED(real_kernels.gpu_copy(m, &job, &err) == 0, "%s", err.text);
	NEED(route.wrong_bytes == 16 + 4 * 8 && route.first_wrong == 1234,
	     "%llu wrong bytes, the first at %llu", (unsigned long long)route.wrong_bytes,
	     (unsigned long long)route.first_wrong);
}

static void need_no_clock(struct machine *m, enum gpu_way way, enum gpu_latency_kind kind)
{
	double gbs[SAMPLES], ns[SAMPLES];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, way);
	struct gpu_latency latency = { kind, 0, 1, MIB, SAMPLES, 10, ns };
	struct error err = { "" };

	NEED(real_kernels.gpu_copy(m, &job, &err) == -1, "%g GB/s", gbs[0]);
	need_says(&err, "the clock of gpu0 did not move");
	NEED(real_kernels.gpu_latency(m, &latency, &err) == -1, "%g ns", ns[0]);
	need_says(&err, "the clock of gpu0 did not move");
}

static void a_clock_that_stands_still_is_told(struct machine *m)
{
	need_no_clock(m, GPU_WRITE_CE, GPU_COPY_16B);
	need_no_clock(m, GPU_WRITE_SM, GPU_CHASE);
	need_no_clock(m, GPU_WRITE_SM, GPU_FLAG);
}

static void copies_refuse(struct machine *m)
{
	double gbs[SAMPLES];
	const struct {
		int from, to, way, copies, samples;
		uint64_t bytes;
		const char *says;
	} cases[] = {
		{ GPU_HOST, GPU_HOST, GPU_WRITE_CE, 1, 1, 4096, "both ends" },
		{ 0, 0, GPU_STAGED_CE, 1, 1, 4096, "between two GPUs" },
		{ 0, GPU_HOST, GPU_STAGED_CE, 1, 1, 4096, "between two GPUs" },
		{ 0, 77, GPU_WRITE_CE, 1, 1, 4096, "gpu77" },
		{ 0, 1, GPU_WRITE_CE, 0, 1, 4096, "a copy at least" },
		{ 0, 1, GPU_WRITE_CE, 1, 0, 4096, "a sample" },
		{ 0, 1, GPU_WRITE_CE, 1, 1, 4097, "units of 16" },
		{ 0, 1, GPU_WRITE_CE, 1, 1, 0, "units of 16" },
		{ 0, 1, 99, 1, 1, 4096, "no way" },
		{ 0, 1, GPU_WRITE_CE, 1, 1, UINT64_C(1) << 40, "two buffers need 2 TiB" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gpu_route route = { cases[i].from, cases[i].to, -1, gbs, 0, 0 };
		struct gpu_copy job = { .routes = &route,
					.route_count = 1,
					.way = (enum gpu_way)cases[i].way,
					.bytes = cases[i].bytes,
					.copies = cases[i].copies,
					.samples = cases[i].samples };
		struct error err = { "" };

		NEED(real_kernels.gpu_copy(m, &job, &err) == -1, "case %zu", i);
		need_says(&err, cases[i].says);
	}
}

static void a_copy_that_hangs_is_named(struct machine *m)
{
	double gbs[SAMPLES];
	struct gpu_route routes[] = {
		{ .from = 0, .to = 1, .numa = -1, .gbs = gbs },
		{ .from = 2, .to = 3, .numa = -1, .gbs = gbs },
	};
	struct gpu_copy job = copy_job(routes, 2, GPU_WRITE_CE);
	struct error err = { "" };
	const double start = clock_now();

	NEED(gpu_copy_run(m, &job, &impatient, &err) == -1, "it ended");
	need_says(&err, "copying from gpu2 to gpu3: gpu2");
	need_says(&err, "hangs");
	NEED(clock_now() - start < 20, "%g s", clock_now() - start);
}

static void a_copy_that_fails_is_named(struct machine *m)
{
	double gbs[SAMPLES];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, GPU_WRITE_CE);
	struct error err = { "" };

	NEED(real_kernels.gpu_copy(m, &job, &err) == -1, "no error");
	need_says(&err, "copying from gpu0 to gpu1");
	need_says(&err, "CUDA_ERROR_ECC_UNCORRECTABLE");
}

static void memory_that_is_not_there_is_told(struct machine *m)
{
	double gbs[SAMPLES];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, GPU_WRITE_CE);
	struct error err = { "" };

	NEED(real_kernels.gpu_copy(m, &job, &err) == -1, "no error");
	need_says(&err, "two buffers need 2 MiB");
}

/* ---- the start ----------------------------------------------------------------------------- */

static void a_start_that_comes_late_says_so(struct machine *m)
{
	const struct gpu_patience patience = { .queueing = 0.02, .slack = 10, .rate = 1e9 };
	struct error err = { "" };
	struct gpu_context *g = gpu_use(m, 0, &err);
	struct gpu_start start;
	struct gpu_timer timer;
	struct gpu_bag bag;

	NEED(g, "%s", err.text);
	gpu_bag_init(&bag, m, &patience);
	NEED(gpu_timer_init(&bag, g, &timer, &err) == 0 &&
		     gpu_start_init(&bag, g, &start, &err) == 0,
	     "%s", err.text);
	for (int late = 0; late < 2; late++) {
		gpu_start_hold(&start);
		NEED(gpu_start_queue(&start, &timer, &err) == 0, "%s", err.text);
		if (late)
			usleep(200 * 1000);
		gpu_start_go(&start);
		NEED(gpu_bag_wait(&bag, g, timer.stream, 0, &err) == 0, "%s", err.text);
		if (late)
			NEED(gpu_start_late(&start), "nobody noticed");
	}
	gpu_bag_release(&bag);
}

/* With no patience at all nearly every timing is late; one that is not counts as any other. */
static void late_timings_are_not_figures(struct machine *m)
{
	const struct gpu_patience none = { .queueing = 0, .slack = 10, .rate = 1e9 };
	double gbs[1];
	struct gpu_route route = { .from = 0, .to = 1, .numa = -1, .gbs = gbs };
	struct gpu_copy job = copy_job(&route, 1, GPU_WRITE_CE);
	struct error err = { "" };
	int seen = 0;

	job.bytes = 4096;
	job.copies = 400;
	job.samples = 1;
	/* Whether one is late is up to the scheduler; on a busy machine it takes many. */
	for (int i = 0; i < 3000 && !seen; i++) {
		const int rc = gpu_copy_run(m, &job, &none, &err);

		if (rc < 0)
			need_says(&err, "timings were invalid");
		else
			need_near("a timing in time", gbs[0], 4.096);
		seen = job.invalid > 0;
	}
	NEED(seen, "no timing was late");
}

/* ---- latencies ----------------------------------------------------------------------------- */

static void latencies_are_those_of_the_scenario(struct machine *m)
{
	static const struct {
		enum gpu_latency_kind kind;
		int from, to;
		double ns;
	} cases[] = {
		{ GPU_COPY_16B, 0, 1, 1000 }, { GPU_COPY_16B, 2, 2, 1000 },
		{ GPU_CHASE, 0, 0, 600 },     { GPU_CHASE, 0, 1, 1200 },
		{ GPU_CHASE, 3, 2, 1200 },    { GPU_FLAG, 0, 1, 900 },
		{ GPU_FLAG, 3, 1, 900 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double ns[SAMPLES] = { 0 };
		struct gpu_latency job = { .kind = cases[i].kind,
					   .from = cases[i].from,
					   .to = cases[i].to,
					   .bytes = MIB,
					   .samples = SAMPLES,
					   .hops = 200,
					   .ns = ns };
		struct error err = { "" };

		NEED(real_kernels.gpu_latency(m, &job, &err) == 0, "case %zu: %s", i, err.text);
		for (int s = 0; s < SAMPLES; s++)
			need_near("latency", ns[s], cases[i].ns);
	}
}

static void need_latency_error(struct machine *m, struct gpu_latency job, const char *says)
{
	double ns[SAMPLES];
	struct error err = { "" };

	job.ns = ns;
	job.samples = job.samples ? job.samples : 1;
	NEED(gpu_latency_run(m, &job, &impatient, &err) == -1, "no error, but: %s", says);
	need_says(&err, says);
}

static void latencies_refuse(struct machine *m)
{
	need_latency_error(m, (struct gpu_latency){ GPU_FLAG, 0, 0, MIB, 1, 1, NULL }, "two GPUs");
	need_latency_error(m, (struct gpu_latency){ GPU_FLAG, 0, 77, MIB, 1, 1, NULL }, "gpu77");
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 0, 0, 128, 1, 1, NULL },
			   "256 bytes");
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 0, 0, MIB, 1, 0, NULL }, "0 hops");
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 0, 0, MIB, -1, 1, NULL }, "samples");
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 0, 0, 1 << 30, 1, 1, NULL },
			   "a ring of 1 GiB does not fit");
	need_latency_error(m,
			   (struct gpu_latency){ (enum gpu_latency_kind)9, 0, 0, MIB, 1, 1, NULL },
			   "no kind");
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 1, 2, MIB, 1, 1, NULL },
			   "gpu1 and gpu2: gpu1 cannot reach");
	need_latency_error(m, (struct gpu_latency){ GPU_FLAG, 1, 2, MIB, 1, 1, NULL },
			   "gpu1 and gpu2: gpu1 cannot reach");
}

static void a_chain_that_leads_astray_is_told(struct machine *m)
{
	need_latency_error(m, (struct gpu_latency){ GPU_CHASE, 0, 0, 256, 1, 3, NULL },
			   "came back wrong");
}

static void a_flag_that_never_comes_is_told(struct machine *m)
{
	need_latency_error(m, (struct gpu_latency){ GPU_FLAG, 0, 1, MIB, 1, 10, NULL },
			   "gpu0 and gpu1: ");
}

/* ---- cases --------------------------------------------------------------------------------- */

static const struct gpu_case cases[] = {
	CASE(copies_have_the_rates_of_the_scenario,
	     "ndev 4\nrate nvl 100e9\nrate h2d 20e9\nrate d2h 10e9\nrate staged 5e9\n"
	     "rate local 200e9\nrate hbm 400e9\n"),
	CASE(routes_share_what_they_pass, "ndev 4\nrate nvl 100e9\nrate h2d 10e9\nrate d2h 10e9\n"),
	CASE(many_small_copies_are_timed_in_batches, "ndev 2\nlatency copy 1us\n"),
	CASE(staged_copies_leave_peer_access_as_it_was, "ndev 2\nrate pcie 20e9\n"),
	CASE(a_missing_peer_is_told, "ndev 4\nnopeer 1 2\nrate pcie 20e9\n"),
	CASE(a_slow_pair_is_slow, "ndev 4\nfault op=peer dev=2 peer=3 slow=4\n"),
	CASE(flipped_bits_are_found, "ndev 4\n"
				     "fault op=peer dev=0 peer=1 nth=5 flip off=100 bit=3\n"
				     "fault op=launch name=copy_units nth=5 flip off=4097 bit=0\n"
				     "fault op=d2h dev=2 nth=5 flip off=65535 bit=7\n"
				     "fault op=h2d dev=3 nth=5 flip off=12 bit=1\n"
				     "fault op=local dev=3 nth=5 flip off=9 bit=1\n"),
	CASE(flipped_bits_are_found_in_much_host_memory,
	     "ndev 1\nfault op=d2h nth=6 flip off=8388607 bit=0\n"
	     "fault op=d2h nth=7 flip off=77 bit=0\n"),
	CASE(many_wrong_words_are_counted,
	     "ndev 2\nfault op=peer nth=1 count=0 flip off=1234 bit=0\n"),
	CASE(a_clock_that_stands_still_is_told, "ndev 2\nrate nvl 1e30\nrate nvl_gpu 1e30\n"
						"latency copy 0 chase_peer 0 flag 0\n"),
	CASE(copies_refuse, "ndev 2\n"),
	CASE(a_copy_that_hangs_is_named, "ndev 4\nfault op=peer dev=2 nth=3 hang\n"),
	CASE(a_copy_that_fails_is_named, "ndev 2\nfault op=peer dev=0 nth=3 async=214\n"),
	CASE(memory_that_is_not_there_is_told, "ndev 2\nfree 1 1MiB\n"),
	CASE(a_start_that_comes_late_says_so, "ndev 1\n"),
	CASE(late_timings_are_not_figures, "ndev 2\nlatency copy 1us\n"),
	CASE(latencies_are_those_of_the_scenario,
	     "ndev 4\nlatency copy 1us chase_local 600ns chase_peer 1200ns flag 900ns\n"),
	CASE(latencies_refuse, "ndev 4\nnopeer 1 2\n"),
	CASE(a_chain_that_leads_astray_is_told, "ndev 2\nfault op=h2d dev=0 flip off=0 bit=4\n"),
	CASE(a_flag_that_never_comes_is_told, "ndev 2\nfault op=launch name=flag_second hang\n"),
};

int main(void)
{
	return run_cases(cases, ARRAY_SIZE(cases));
}
