/* test_gpu_loads.c - what checks of memory and products say, and the watch over sensors. */
#include "tests/unit/gpu_world.h"

/* ---- memory -------------------------------------------------------------------------------- */

static void slow_slabs_are_found(void **state)
{
	static const struct {
		int slabs, figures;
		const char *at;
	} cases[] = { { 100, 100, "gpu0 +146MiB" },
		      { 1000, 1000, "gpu0 +146MiB" },
		      { 4999, 1000, "gpu0 +140MiB" } }; /* slabs 70 to 74 are one point */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record r;
		struct world w;

		world_init(&w, 1);
		w.gpus.items[0].bytes = (uint64_t)20 << 30;
		w.slabs = cases[i].slabs;
		w.slow_slab = 73;
		r = run(&check_gpu_memory_bandwidth, &w, NULL);
		assert_int_equal(said_count(&r, FIGURE, "slab"), cases[i].figures);
		assert_true(must(&r, FIGURE, "slab_worst", "gpu0")->first == 50);
		assert_true(must(&r, FIGURE, "slab", cases[i].at)->first == 15);
		assert_true(must(&r, FIGURE, "slab", "gpu0 +0MiB")->first == 30);
		assert_true(must(&r, FIGURE, "triad", "gpu0")->first == 4003);
		assert_true(has_note(&r, "the slowest is at +146 MiB"));
		drop(&r);
	}
}

static void growth_is_named_with_its_pattern(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.ecc_pattern = "random";
	r = run(&check_gpu_memory_stress, &w, NULL);
	assert_true(has_note(&r, "corrected ECC errors grew by 3 during pattern random"));
	assert_true(must(&r, FIGURE, "ecc_corrected", "gpu0")->first == 3);
	assert_true(must(&r, FIGURE, "row_remaps", "gpu0")->first == 0);
	assert_true(must(&r, FIGURE, "mismatches", "gpu0")->first == 0);
	assert_true(fabs(must(&r, FIGURE, "tested_share", "gpu0")->first - 97) < 0.01);
	assert_non_null(must(&r, ABSENT, "retired_pages", "gpu0"));
	assert_null(find(&r, FIGURE, "ecc_corrected", "gpu1"));
	drop(&r);

	w.ecc_pattern = NULL;
	w.burn_wrong = 4;
	w.xids = 2;
	r = run(&check_gpu_memory_stress, &w, NULL);
	assert_true(must(&r, FIGURE, "mismatches", "gpu0")->first == 4);
	assert_true(must(&r, FIGURE, "xids", "gpu0")->first == 2);
	assert_true(has_note(&r, "offset 0x1000"));
	assert_true(has_note(&r, "SM 17"));
	assert_true(has_note(&r, "(a bad read)"));
	assert_true(has_note(&r, "XID 79"));
	drop(&r);
}

static void counters_that_vanish_are_holes(void **state)
{
	static const struct want wants[] = {
		{ "ecc_corrected", 0, 1, 0 }, { "ecc_uncorrected", 0, 1, 0 },
		{ "row_remaps", 0, 1, 0 },    { "xids", 0, 1, 0 },
		{ "mismatches", 1, 0, 0 },    { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 1);
	w.counters_vanish = 1;
	r = run(&check_gpu_memory_stress, &w, NULL);
	expect(&r, "vanish", wants);
	assert_non_null(strstr(must(&r, HOLE, "xids", "gpu0")->text, "stopped telling"));
	drop(&r);
	world_init(&w, 1);
	w.no_nvml = 1;
	r = run(&check_gpu_memory_stress, &w, NULL);
	expect(&r, "no NVML", wants);
	drop(&r);
	world_init(&w, 1);
	w.dead = 0;
	r = run_on(&fake, &check_gpu_memory_stress, &w, NULL);
	assert_int_equal(r.rc, RUN_ERROR);
	drop(&r);
}

/* ---- gpu_burn ------------------------------------------------------------------------------ */

static void burns_cover_all_precisions(void **state)
{
	static const char *const knobs[] = { "int8", "0", NULL };
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.gpus.items[0].precisions &= ~(1u << GPU_FP8);
	r = run(&check_gpu_burn, &w, knobs);
	expect_all_said(&r, &check_gpu_burn, "burn");
	assert_int_equal(must(&r, FIGURE, "bf16", "gpu0")->count, 18);
	assert_true(must(&r, FIGURE, "bf16", "gpu0")->first == 100 + GPU_BF16);
	assert_string_equal(must(&r, ABSENT, "fp8", "gpu0")->text, "this GPU has no fp8");
	assert_string_equal(must(&r, ABSENT, "int8", "gpu0")->text, "left out by the knob int8");
	assert_int_equal(w.burns, 4 * 3);
	assert_int_equal(said_count(&r, FIGURE, "wrong"), 4);
	assert_true(must(&r, FIGURE, "wrong", "gpu0 bf16")->first == 0);
	assert_true(fabs(must(&r, FIGURE, "verify_share", "gpu0")->first - 5) < 1e-9);
	assert_true(fabs(must(&r, FIGURE, "verified_hours", "gpu0")->first - 4 * 30 * 0.95 / 3600) <
		    1e-9);
	assert_true(fabs(must(&r, FIGURE, "bound", "gpu0")->first - 3 / (4 * 30 * 0.95 / 3600)) <
		    1e-6);
	assert_string_equal(
		must(&r, FACT, "digest bf16 8192 1 own wgmma sm_90a, NVIDIA H200", "gpu0")->text,
		"0000000000001234");
	assert_true(must(&r, FIGURE, "temperature", "gpu0")->first == 60);
	assert_true(must(&r, FIGURE, "hot_share", "gpu0")->first == 0);
	assert_int_equal(said_count(&r, HOLE, "wrong"), 0);
	drop(&r);
}

static void wrong_elements_are_named(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.burn_wrong = 9;
	w.throttle = GPU_POWER_BRAKE;
	w.no_memory_sensor = 1;
	r = run(&check_gpu_burn, &w, NULL);
	assert_true(must(&r, FIGURE, "wrong", "gpu0 fp64")->first == 27);
	assert_non_null(must(&r, ABSENT, "bound", "gpu0"));
	assert_non_null(must(&r, ABSENT, "memory_temperature", "gpu0"));
	assert_true(must(&r, FIGURE, "hot_share", "gpu0")->first == 100);
	assert_true(has_note(&r, "row 5, column 6"));
	assert_true(has_note(&r, "SM 44"));
	assert_true(has_note(&r, "on this GPU: wrong again, on another: right"));
	assert_true(has_note(&r, "power brake"));
	drop(&r);
}

static void a_burn_that_fails_is_a_hole(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 1);
	w.burn_fails = 1;
	w.failing = GPU_FP16;
	r = run(&check_gpu_burn, &w, NULL);
	assert_non_null(strstr(must(&r, HOLE, "fp16", "gpu0")->text, "no room"));
	assert_non_null(must(&r, HOLE, "wrong", "gpu0 fp16"));
	assert_null(find(&r, FIGURE, "wrong", "gpu0 fp16"));
	assert_non_null(must(&r, FIGURE, "fp8", "gpu0")); /* the others go on */
	assert_non_null(must(&r, ABSENT, "bound", "gpu0"));
	drop(&r);

	world_init(&w, 1);
	w.dead = 0;
	w.dies_after = 4; /* in the second precision */
	r = run(&check_gpu_burn, &w, NULL);
	assert_non_null(must(&r, FIGURE, "fp64", "gpu0"));
	assert_non_null(must(&r, HOLE, "int8", "gpu0"));
	assert_non_null(must(&r, HOLE, "wrong", "gpu0 int8"));
	assert_int_equal(w.dead_calls, 2);
	drop(&r);

	world_init(&w, 1);
	w.no_nvml = 1;
	r = run(&check_gpu_burn, &w, NULL);
	assert_non_null(must(&r, FIGURE, "bf16", "gpu0"));
	assert_non_null(strstr(must(&r, HOLE, "temperature", "gpu0")->text, "libnvidia-ml"));
	assert_non_null(must(&r, HOLE, "memory_temperature", "gpu0"));
	assert_non_null(must(&r, HOLE, "hot_share", "gpu0"));
	drop(&r);
}

/* It went on by mma.sync: that is no pass, and no accusation either. */
static void doubts_about_wgmma_are_holes(void **state)
{
	static const char key[] = "digest wgmma bf16 2304 1, NVIDIA H200, driver 580.95.05",
			  *const mma[] = { "wgmma", "0", NULL };
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.doubt = "wgmma gave wrong bf16 products";
	r = run(&check_gpu_burn, &w, NULL);
	assert_string_equal(must(&r, HOLE, "bf16", "gpu0")->text, w.doubt);
	assert_string_equal(must(&r, HOLE, "wrong", "gpu0 bf16")->text, w.doubt);
	assert_string_equal(must(&r, HOLE, "not_finite", "gpu0 bf16")->text, w.doubt);
	assert_null(find(&r, FIGURE, "bf16", "gpu0"));
	assert_null(find(&r, FIGURE, "wrong", "gpu0 bf16"));
	assert_non_null(must(&r, FIGURE, "fp16", "gpu0"));
	assert_non_null(must(&r, FIGURE, "wrong", "gpu0 fp16"));
	assert_non_null(must(&r, ABSENT, "bound", "gpu0"));
	assert_true(has_note(&r, "gpu0: wgmma gave wrong bf16 products"));
	assert_string_equal(must(&r, FACT, key, "gpu0")->text, "0000000000005678");
	assert_string_equal(must(&r, FACT, "engine bf16", "gpu0")->text,
			    "own wgmma sm_90a (no cuBLASLt: not installed)");
	drop(&r);

	w.doubt = NULL;
	r = run(&check_gpu_burn, &w, mma);
	assert_null(find(&r, FACT, key, "gpu0"));
	assert_int_equal(said_count(&r, HOLE, "wrong"), 0);
	drop(&r);
}

static void soaks_doubt_wgmma_too(void **state)
{
	static const char *const knobs[] = {
		"seconds", "0.2s", "gemm", "2s", "window", "1s", NULL
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.doubt = "wgmma gave wrong bf16 products";
	r = run(&check_gpu_soak, &w, knobs);
	assert_string_equal(must(&r, HOLE, "tflops", "gpu0")->text, w.doubt);
	assert_string_equal(must(&r, HOLE, "wrong", "gpu0")->text, w.doubt);
	assert_null(find(&r, FIGURE, "tflops", "gpu0"));
	drop(&r);
}

static void knobs_are_checked(void **state)
{
	static const struct {
		const struct check *check;
		const char *knobs[3];
	} cases[] = {
		{ &check_gpu_burn, { "size", "8000" } },
		{ &check_gpu_burn, { "windows", "0" } },
		{ &check_gpu_burn, { "random", "90%" } },
		{ &check_gpu_burn, { "window", "0s" } },
		{ &check_gpu_p2p, { "samples", "0" } },
		{ &check_gpu_p2p, { "ways", "5" } },
		{ &check_gpu_p2p, { "bytes", "1000001" } },
		{ &check_gpu_host_copy, { "copies", "1.5" } },
		{ &check_gpu_host_copy, { "bytes", "8 B" } },
		{ &check_gpu_p2p_latency, { "timings", "0" } },
		{ &check_gpu_memory_bandwidth, { "share", "0%" } },
		{ &check_gpu_memory_bandwidth, { "slab", "1000 B" } },
		{ &check_gpu_memory_stress, { "share", "120%" } },
		{ &check_gpu_soak, { "seconds", "0s" } },
		{ &check_gpu_soak, { "host", "95%" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record r;
		struct world w;

		world_init(&w, 1);
		r = run_on(&fake, cases[i].check, &w, cases[i].knobs);
		if (r.rc != RUN_ERROR || !*r.err.text)
			fail_msg("%s takes %s %s", cases[i].check->name, cases[i].knobs[0],
				 cases[i].knobs[1]);
		drop(&r);
	}
}

/* ---- gpu_soak ------------------------------------------------------------------------------ */

static void soaks_take_turns(void **state)
{
	static const char *const knobs[] = {
		"seconds", "0.2s", "gemm", "2s", "window", "1s", NULL
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	w.nopeer_from = 1;
	w.nopeer_to = 2;
	w.host.disks = &w.disk;
	w.host.disk_count = 1;
	r = run(&check_gpu_soak, &w, knobs);
	expect_all_said(&r, &check_gpu_soak, "soak");
	assert_int_equal(said_count(&r, FIGURE, "wrong"), 4);
	assert_int_equal(said_count(&r, HOLE, "wrong"), 0);
	assert_int_equal(said_count(&r, FIGURE, "mismatches"), 5);
	assert_true(must(&r, FIGURE, "mismatches", "host")->first == 0);
	assert_int_equal(said_count(&r, FIGURE, "wrong_bytes"), 11);
	assert_string_equal(must(&r, HOLE, "wrong_bytes", "gpu1>gpu2")->text, "no peer access");
	assert_non_null(strstr(must(&r, HOLE, "disk_errors", "disk0")->text, "permission"));
	assert_true(must(&r, FIGURE, "tflops", "gpu3")->first == 100 + GPU_BF16);
	assert_true(must(&r, FIGURE, "other_tflops", "gpu3 fp64")->first == 100 + GPU_FP64);
	assert_true(must(&r, FIGURE, "link_errors", "gpu0")->first == 0);
	assert_true(must(&r, FIGURE, "power", "gpu2")->count >= 2);
	drop(&r);
}

static void a_gpu_that_dies_in_a_soak_is_a_hole(void **state)
{
	static const char *const knobs[] = { "seconds", "0.1s", "host", "0%", "disks", "0", NULL };
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.dead = 1;
	w.dies_after = 5;
	w.links = 0;
	r = run(&check_gpu_soak, &w, knobs);
	expect_all_said(&r, &check_gpu_soak, "soak");
	assert_non_null(must(&r, HOLE, "wrong", "gpu1"));
	assert_null(find(&r, FIGURE, "wrong", "gpu1"));
	assert_non_null(must(&r, HOLE, "mismatches", "gpu1"));
	assert_non_null(must(&r, HOLE, "tflops", "gpu1"));
	assert_non_null(must(&r, HOLE, "wrong_bytes", "gpu0>gpu1"));
	assert_non_null(must(&r, FIGURE, "wrong", "gpu0"));
	assert_non_null(must(&r, ABSENT, "link_errors", "gpu0"));
	assert_non_null(must(&r, ABSENT, "disk_errors", ""));
	assert_true(w.dead_calls <= 3);
	drop(&r);

	world_init(&w, 2);
	w.broken_from = 0;
	w.broken_to = 1;
	r = run(&check_gpu_soak, &w, knobs);
	assert_string_equal(must(&r, HOLE, "wrong_bytes", "gpu0>gpu1")->text, "the link is broken");
	assert_non_null(must(&r, FIGURE, "wrong_bytes", "gpu1>gpu0"));
	assert_int_equal(said_count(&r, HOLE, "wrong"), 0);
	drop(&r);

	world_init(&w, 1);
	w.burn_wrong = 2;
	r = run(&check_gpu_soak, &w, knobs);
	assert_true(must(&r, FIGURE, "wrong", "gpu0")->first >= 4);
	assert_true(must(&r, FIGURE, "mismatches", "gpu0")->first >= 2);
	assert_string_equal(must(&r, ABSENT, "wrong_bytes", "")->text, "one GPU only");
	drop(&r);
}

/* ---- gpu_watch ----------------------------------------------------------------------------- */

static void watches_see_start_and_end(void **state)
{
	static const int gpus[] = { 0, 1 };
	struct record r = { .items = NULL };
	const struct sink sink = { on_figure, on_absent, on_fact, on_note, &r };
	struct job job = { .hw = &fake, .sink = &sink, .knobs = { .check = &check_gpu_soak } };
	struct gpu_watch *watch;
	struct error err;
	struct world w;

	(void)state;
	world_init(&w, 2);
	job.machine = (struct machine *)(void *)&w;
	watch = gpu_watch_start(&job, gpus, 2, 3600, &err);
	assert_non_null(watch);
	assert_true(gpu_watch_mean(watch, 1, WATCH_POWER) == 601);
	assert_true(isnan(gpu_watch_mean(watch, 1, WATCH_POWER)));
	gpu_watch_stop(watch);
	assert_int_equal(w.sensor_calls, 4); /* an hour's period: start and end alone */
	gpu_watch_series(watch, 1, WATCH_POWER, "power");
	assert_int_equal(must(&r, FIGURE, "power", "gpu1")->count, 2);
	gpu_watch_free(watch);

	w.sensor_calls = 0;
	w.sensors_fail_after = 30; /* of some hundred */
	watch = gpu_watch_start(&job, gpus, 1, 0.001, &err);
	usleep(300000);
	gpu_watch_stop(watch);
	gpu_watch_share(watch, 0, SHARE_HOT, "hot_share");
	assert_non_null(strstr(must(&r, HOLE, "hot_share", "gpu0")->text, "readings"));
	gpu_watch_free(watch);
	drop(&r);
}

/* Far more readings than a series has points: the worst of them must still be there. */
static void series_keep_their_peaks(void **state)
{
	static const int gpus[] = { 0 };
	struct record r = { .items = NULL };
	const struct sink sink = { on_figure, on_absent, on_fact, on_note, &r };
	struct job job = { .hw = &fake, .sink = &sink, .knobs = { .check = &check_gpu_soak } };
	struct gpu_watch *watch;
	struct error err;
	struct world w;

	(void)state;
	world_init(&w, 1);
	job.machine = (struct machine *)(void *)&w;
	watch = gpu_watch_start(&job, gpus, 1, 0.0001, &err);
	while (__atomic_load_n(&w.sensor_calls, __ATOMIC_RELAXED) < 2000)
		usleep(10000);
	gpu_watch_stop(watch);
	gpu_watch_series(watch, 0, WATCH_CLOCK, "clock");
	assert_true(must(&r, FIGURE, "clock", "gpu0")->count <= 601);
	assert_true(must(&r, FIGURE, "clock", "gpu0")->count >= 250);
	assert_true(must(&r, FIGURE, "clock", "gpu0")->first == 1400);
	gpu_watch_free(watch);
	drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_slabs_are_found),
		cmocka_unit_test(growth_is_named_with_its_pattern),
		cmocka_unit_test(counters_that_vanish_are_holes),
		cmocka_unit_test(burns_cover_all_precisions),
		cmocka_unit_test(wrong_elements_are_named),
		cmocka_unit_test(a_burn_that_fails_is_a_hole),
		cmocka_unit_test(doubts_about_wgmma_are_holes),
		cmocka_unit_test(soaks_doubt_wgmma_too),
		cmocka_unit_test(knobs_are_checked),
		cmocka_unit_test(soaks_take_turns),
		cmocka_unit_test(a_gpu_that_dies_in_a_soak_is_a_hole),
		cmocka_unit_test(watches_see_start_and_end),
		cmocka_unit_test(series_keep_their_peaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
