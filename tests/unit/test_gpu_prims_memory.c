/*
 * test_gpu_prims_memory.c - rates and stress of GPU memory, on the double of libcuda.
 *
 * Figures must be those of the scenario; faults that it plants must be found, at their place.
 */
#include "tests/unit/gpu_case.h"

/* ---- rates of memory ----------------------------------------------------------------------- */

struct rates {
	double gbs[GPU_MEMORY_OPS][SAMPLES], slabs[256];
	struct gpu_memory_rate job;
};

static void rates_init(struct rates *r, double share)
{
	memset(r, 0, sizeof(*r));
	r->job = (struct gpu_memory_rate){ .gpu = 1,
					   .share = share,
					   .least = 2e-3,
					   .samples = SAMPLES,
					   .slab_bytes = MIB / 4,
					   .slab_room = ARRAY_SIZE(r->slabs),
					   .slab_gbs = r->slabs };
	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		r->job.gbs[op] = r->gbs[op];
}

static void memory_has_the_rates_of_the_scenario(struct machine *m)
{
	struct rates r;
	struct error err = { "" };

	rates_init(&r, 0.75);
	NEED(real_kernels.gpu_memory_rate(m, &r.job, &err) == 0, "%s", err.text);
	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		for (int s = 0; s < SAMPLES; s++)
			need_near("an operation", r.gbs[op][s], 10);
	NEED(r.job.bytes == 6 * MIB / (3 << 16) * (3 << 16), "%llu bytes",
	     (unsigned long long)r.job.bytes);
	NEED(r.job.slab_count == (int)(r.job.bytes / r.job.slab_bytes), "%d slabs",
	     r.job.slab_count);
	for (int i = 0; i < r.job.slab_count; i++)
		need_near("a slab", r.slabs[i], 10.0 / 16);
}

static void a_slow_slab_shows_in_the_map(struct machine *m)
{
	struct rates r;
	struct error err = { "" };

	rates_init(&r, 0.75);
	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		if (op != GPU_READ)
			r.job.gbs[op] = NULL;
	NEED(real_kernels.gpu_memory_rate(m, &r.job, &err) == 0, "%s", err.text);
	for (int i = 0; i < r.job.slab_count; i++)
		need_near("a slab", r.slabs[i], i == 5 ? 10.0 / 16 / 3 : 10.0 / 16);
}

static void memory_in_use_makes_the_arrays_smaller(struct machine *m)
{
	struct rates r;
	struct error err = { "" };

	rates_init(&r, 0.75);
	r.job.slab_bytes = 0;
	NEED(real_kernels.gpu_memory_rate(m, &r.job, &err) == 0, "%s", err.text);
	NEED(r.job.bytes > 2 * MIB && r.job.bytes < 3 * MIB, "%llu bytes",
	     (unsigned long long)r.job.bytes);
	NEED(r.job.slab_count == 0, "a map that nobody wanted");
}

static void writes_that_go_astray_are_told(struct machine *m)
{
	struct rates r;
	struct error err = { "" };

	rates_init(&r, 0.75);
	NEED(real_kernels.gpu_memory_rate(m, &r.job, &err) == -1, "no error");
	need_says(&err, "left wrong data behind at offset 0");
}

static void memory_rates_refuse(struct machine *m)
{
	static const struct {
		double share;
		int samples, room;
		uint64_t slab;
		const char *says;
	} cases[] = {
		{ 0, 1, 256, MIB, "share" },
		{ 1.5, 1, 256, MIB, "share" },
		{ NAN, 1, 256, MIB, "share" },
		{ 0.5, 0, 256, MIB, "samples" },
		{ 0.5, 1, 256, 100, "100 bytes" },
		{ 0.5, 1, 2, MIB, "map of 2" },
		{ 0.5, 1, 256, 8 * MIB, "not one slab" },
		{ 0.05, 1, 256, MIB, "its cache of" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rates r;
		struct error err = { "" };

		rates_init(&r, cases[i].share);
		r.job.samples = cases[i].samples;
		r.job.slab_room = cases[i].room;
		r.job.slab_bytes = cases[i].slab;
		NEED(real_kernels.gpu_memory_rate(m, &r.job, &err) == -1, "case %zu", i);
		need_says(&err, cases[i].says);
	}
}

static void a_read_that_hangs_is_named(struct machine *m)
{
	struct rates r;
	struct error err = { "" };

	rates_init(&r, 0.75);
	NEED(gpu_memory_rate_run(m, &r.job, &impatient, &err) == -1, "no error");
	need_says(&err, "gpu1");
	need_says(&err, "hangs");
}

/* ---- memory under stress ------------------------------------------------------------------- */

struct seen {
	char names[400];
	int count, stop; /* stop after so many */
};

static int seen_after(void *arg, const char *pattern)
{
	struct seen *seen = arg;

	strcat(strcat(seen->names, pattern), ";");
	return ++seen->count == seen->stop;
}

static struct gpu_memory_stress stress_job(struct seen *seen)
{
	*seen = (struct seen){ .stop = -1 };
	return (struct gpu_memory_stress){
		.gpu = 0, .share = 0.75, .seed = 3, .after = seen_after, .arg = seen
	};
}

static void need_stress(struct machine *m, struct gpu_memory_stress *job)
{
	struct error err = { "" };

	NEED(real_kernels.gpu_memory_stress(m, job, &err) == 0, "%s", err.text);
}

static void sound_memory_passes(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);

	need_stress(m, &job);
	NEED(job.mismatches == 0 && job.kept == 0, "%llu mismatches in \"%s\"",
	     (unsigned long long)job.mismatches, job.first[0].pattern);
	NEED(job.tested_bytes == 3 * MIB / 2, "%llu bytes", (unsigned long long)job.tested_bytes);
	NEED(!strcmp(seen.names, "own address;solid;checker;walking bits;random;block move;"
				 "modulo 20;neighbours;"),
	     "%s", seen.names);
	NEED(job.patterns == 8, "%d patterns", job.patterns);
	NEED(job.verified_bytes >= 30 * job.tested_bytes, "little verified");
	NEED(job.moved_bytes > job.verified_bytes, "little moved");
	/* the double knows less than we do of what a cache answers of the hammering */
	NEED(job.moved_bytes / job.took > 0.8e12 && job.moved_bytes / job.took < 2e12, "%g B/s",
	     job.moved_bytes / job.took);
}

static void memory_rests_when_asked(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);
	const double start = clock_now();

	job.fade = 0.05;
	need_stress(m, &job);
	NEED(job.patterns == 9 && strstr(seen.names, "fade;"), "%s", seen.names);
	NEED(clock_now() - start >= 2 * job.fade && job.took < job.fade, "%g s", job.took);
}

static void stress_goes_on_until_its_time_is_over(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);

	job.after = NULL;
	job.seconds = 0.5;
	const double start = clock_now();

	need_stress(m, &job);
	NEED(clock_now() - start >= job.seconds, "too short");
	job = stress_job(&seen);
	job.seconds = 100;
	seen.stop = 3;
	need_stress(m, &job);
	NEED(seen.count == 3 && job.patterns == 3, "%s", seen.names);
}

static void a_flipped_bit_is_kept(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);
	const struct gpu_mismatch *f = &job.first[0];

	need_stress(m, &job);
	NEED(job.mismatches == 1 && job.kept == 1, "%llu mismatches",
	     (unsigned long long)job.mismatches);
	NEED(f->offset == 40968 && f->address % 4096 == 40968 % 4096, "at %llu, %llx",
	     (unsigned long long)f->offset, (unsigned long long)f->address);
	NEED((f->expected ^ f->actual) == 1 << 7 && f->again == f->actual, "%llx %llx %llx",
	     (unsigned long long)f->expected, (unsigned long long)f->actual,
	     (unsigned long long)f->again);
	NEED(!strcmp(f->pattern, "own address"), "in %s", f->pattern);
}

/* Found by most patterns, and counted in each pass that sees it. */
static void a_stuck_bit_is_found_again(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);
	int there = 0;

	need_stress(m, &job);
	NEED(job.mismatches > 5 && job.kept > 3, "%llu mismatches, %d kept",
	     (unsigned long long)job.mismatches, job.kept);
	for (int i = 0; i < job.kept; i++) {
		const struct gpu_mismatch *f = &job.first[i];

		there += f->offset == 1234560;
		NEED((f->expected ^ f->actual) == UINT64_C(1) << 37 && f->again == f->actual,
		     "%s: %llx for %llx", f->pattern, (unsigned long long)f->actual,
		     (unsigned long long)f->expected);
		NEED(f->offset == 1234560 || !strcmp(f->pattern, "block move"), "%s: at %llu",
		     f->pattern, (unsigned long long)f->offset);
	}
	NEED(there > 3, "only %d at the place", there);
}

/* What went up wrong comes down wrong: one bad byte is seen in either half. */
static void a_wrong_move_is_found_where_it_went(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);
	const uint64_t half = 3 * MIB / 4;

	need_stress(m, &job);
	NEED(job.mismatches == 2 && job.kept == 2, "%llu mismatches",
	     (unsigned long long)job.mismatches);
	NEED(job.first[0].offset == half + 4096 && job.first[1].offset == 4096, "at %llu and %llu",
	     (unsigned long long)job.first[0].offset, (unsigned long long)job.first[1].offset);
	NEED(job.first[0].address - job.first[1].address == half, "addresses");
	for (int i = 0; i < 2; i++)
		NEED(!strcmp(job.first[i].pattern, "block move"), "%s", job.first[i].pattern);
}

/* A flip in each of two pieces; the second is checked first. */
static void memory_in_pieces_is_tested_whole(struct machine *m)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);

	job.share = 0.75;
	need_stress(m, &job);
	NEED(job.tested_bytes == 6 * MIB && job.mismatches == 2, "%llu bytes, %llu mismatches",
	     (unsigned long long)job.tested_bytes, (unsigned long long)job.mismatches);
	NEED(job.first[0].offset == 3 * MIB + 512 && job.first[1].offset == 512, "at %llu, %llu",
	     (unsigned long long)job.first[0].offset, (unsigned long long)job.first[1].offset);
}

static void stress_refuses(struct machine *m)
{
	static const struct {
		double share, seconds;
		const char *says;
	} cases[] = {
		{ 0.9, 0, "gpu1: 90% of 2 MiB asked, 10" },
		{ 0, 0, "share of 0" },
		{ 2, 0, "share of 2" },
		{ 0.5, -1, "-1 s" },
		{ 1e-6, 0, "nothing to test" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gpu_memory_stress job = { .gpu = 1,
						 .share = cases[i].share,
						 .seconds = cases[i].seconds };
		struct error err = { "" };

		NEED(real_kernels.gpu_memory_stress(m, &job, &err) == -1, "case %zu", i);
		need_says(&err, cases[i].says);
	}
}

static void need_stress_error(struct machine *m, const char *a, const char *b)
{
	struct seen seen;
	struct gpu_memory_stress job = stress_job(&seen);
	struct error err = { "" };

	NEED(gpu_memory_stress_run(m, &job, &impatient, &err) == -1, "no error");
	need_says(&err, a);
	need_says(&err, b);
}

static void stress_that_hangs_is_named(struct machine *m)
{
	need_stress_error(m, "pattern \"solid\": gpu0", "hangs");
}

static void stress_that_fails_is_named(struct machine *m)
{
	need_stress_error(m, "pattern \"own address\": gpu0", "CUDA_ERROR_ECC_UNCORRECTABLE");
}

/* ---- cases --------------------------------------------------------------------------------- */

#define SMALL "ndev 4\ngpu * mem 2MiB l2 64KiB\n"
#define EIGHT "ndev 4\ngpu * mem 8MiB l2 256KiB\n"

static const struct gpu_case cases[] = {
	CASE(memory_has_the_rates_of_the_scenario, EIGHT "rate hbm 10e9\n"),
	CASE(a_slow_slab_shows_in_the_map,
	     EIGHT "rate hbm 10e9\n"
		   "fault op=launch name=slab_read slow=3 off=1310720 count=0\n"),
	CASE(memory_in_use_makes_the_arrays_smaller, EIGHT "rate hbm 10e9\nfree 1 3MiB\n"),
	CASE(writes_that_go_astray_are_told,
	     EIGHT "rate hbm 10e9\nfault op=launch name=write_units nth=2 flip off=6 bit=5\n"),
	CASE(memory_rates_refuse, EIGHT "rate hbm 10e9\n"),
	CASE(a_read_that_hangs_is_named, EIGHT "fault op=launch name=read_units hang\n"),
	CASE(sound_memory_passes, SMALL),
	CASE(memory_rests_when_asked, SMALL),
	CASE(stress_goes_on_until_its_time_is_over, SMALL),
	CASE(a_flipped_bit_is_kept,
	     SMALL "fault op=launch name=stress_write flip off=40968 bit=7\n"),
	CASE(a_stuck_bit_is_found_again,
	     SMALL "fault op=launch name=stress_write stuck off=1234564 bit=5\n"),
	CASE(a_wrong_move_is_found_where_it_went,
	     SMALL "fault op=launch name=stress_move flip off=4096 bit=1\n"),
	CASE(memory_in_pieces_is_tested_whole,
	     EIGHT "fault op=alloc dev=0 nth=3 err=2\n"
		   "fault op=launch name=stress_write count=2 flip off=512 bit=0\n"),
	CASE(stress_refuses, SMALL "free 1 1MiB\n"),
	CASE(stress_that_hangs_is_named, SMALL "fault op=launch name=stress_invert nth=2 hang\n"),
	CASE(stress_that_fails_is_named, SMALL "fault op=launch name=stress_check async=214\n"),
};

int main(void)
{
	return run_cases(cases, ARRAY_SIZE(cases));
}
