/*
 * test_gpu_checks.c - which GPUs are measured, and what checks of state, copies and latencies say.
 */
#include "tests/unit/gpu_world.h"

/* ---- fits and schedules -------------------------------------------------------------------- */

static void lines_are_fitted(void **state)
{
	double x[10], y[10], a, b;

	(void)state;
	for (int i = 0; i < 10; i++) {
		x[i] = 4096.0 * pow(4, i);
		y[i] = 1500 + x[i] / 25;
	}
	assert_int_equal(fit_line(x, y, 10, &a, &b), 0);
	assert_true(fabs(a - 1500) < 1e-6 && fabs(b - 0.04) < 1e-12);
	/* a wild point, and scatter of 1 % of the largest, which is a hundred times the constant */
	y[3] *= 3;
	y[9] *= 1.01;
	assert_int_equal(fit_line(x, y, 10, &a, &b), 0);
	assert_true(fabs(a - 1500) < 15 && fabs(b - 0.04) < 0.0005);
	assert_int_equal(fit_line(x, y, 1, &a, &b), -1);
	x[1] = x[0];
	assert_int_equal(fit_line(x, y, 2, &a, &b), -1);
	y[0] = 0;
	assert_int_equal(fit_line(x, y, 10, &a, &b), -1);
	y[0] = NAN;
	assert_int_equal(fit_line(x, y, 10, &a, &b), -1);
}

static void rounds_pair_all_once(void **state)
{
	(void)state;
	for (int n = 0; n <= 17; n++) {
		int met[17][17] = { { 0 } };

		for (int round = 0; round < rounds_count(n); round++)
			for (int i = 0; i < n; i++) {
				int k = rounds_pair(n, round, i);

				assert_true(k >= -1 && k < n && k != i);
				if (k < 0)
					continue;
				assert_int_equal(rounds_pair(n, round, k), i);
				met[i][k]++;
			}
		for (int i = 0; i < n; i++)
			for (int k = 0; k < n; k++)
				assert_int_equal(met[i][k], i != k);
	}
	assert_int_equal(rounds_count(8), 7);
	assert_int_equal(rounds_count(2), 1);
	assert_int_equal(rounds_count(1), 0);
}

/* ---- which GPUs ---------------------------------------------------------------------------- */

static void every_check_skips_without_gpu_code(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2);
	for (size_t i = 0; i < ARRAY_SIZE(gpu_checks); i++) {
		struct record r = run_on(&no_gpu_code, gpu_checks[i], &w, NULL);

		assert_int_equal(r.rc, RUN_SKIP);
		assert_string_equal(r.err.text, "this build has no GPU code (nvcc was missing)");
		assert_int_equal(r.count, 0);
		drop(&r);
	}
}

static void unusable_gpus_are_holes(void **state)
{
	static const char *const knobs[] = { "gpus", "gpu0 gpu1 gpu2 gpu9", NULL };
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 3);
	w.gpus.items[1].usable = 0;
	snprintf(w.gpus.items[1].why_not, sizeof(w.gpus.items[1].why_not), "split by MIG");
	for (size_t i = 0; i < ARRAY_SIZE(gpu_checks); i++) {
		const struct check *c = gpu_checks[i];
		const char *fast[] = { "gpus", "gpu0 gpu1 gpu2 gpu9", "seconds", "0.01s", NULL };

		if (c->scope != ALL_GPUS)
			continue;
		r = run(c, &w, fast);
		for (const struct metric *m = c->metrics; m->name; m++) {
			if (m->judged == RECORDED || !strcmp(m->name, "disk_errors"))
				continue;
			assert_string_equal(must(&r, HOLE, m->name, "gpu1")->text, "split by MIG");
			assert_non_null(strstr(must(&r, HOLE, m->name, "gpu9")->text, "no gpu9"));
		}
		assert_string_equal(must(&r, FACT, "cuda_library", "")->text, "/lib/libcuda.so.1");
		assert_string_equal(must(&r, FACT, "cuda_driver_version", "")->text, "13.0");
		assert_int_equal(said_count(&r, FACT, "cuda_library"), 1);
		drop(&r);
	}
	w.gpus.items[0].usable = 0;
	w.gpus.items[2].usable = 0;
	for (size_t i = 0; i < ARRAY_SIZE(gpu_checks); i++) {
		r = run_on(&fake, gpu_checks[i], &w, knobs);
		assert_int_equal(r.rc, RUN_ERROR);
		assert_true(*r.err.text);
		drop(&r);
	}
}

static void expected_times_are_sane(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gpu_checks); i++) {
		const char **values = knob_values(gpu_checks[i], NULL);
		double last = 0;

		for (int n = 1; n <= 16; n *= 2) {
			struct knobs k = { gpu_checks[i], values, 2, 1, n };
			double now = gpu_checks[i]->seconds(&k);

			assert_true(isfinite(now) && now >= last && now > 1 && now < 3600);
			last = now;
		}
		free(values);
	}
}

/* ---- gpu_inventory ------------------------------------------------------------------------- */

static void inventory_tells_the_state(void **state)
{
	static const struct want healthy[] = {
		{ "links_down", 2, 0, 0 },      { "links_up", 2, 0, 0 },
		{ "fabric_bad", 2, 0, 0 },      { "foreign_processes", 2, 0, 0 },
		{ "foreign_memory", 2, 0, 0 },  { "remap_pending", 2, 0, 0 },
		{ "remap_failed", 2, 0, 0 },    { "retired_pages", 0, 0, 2 },
		{ "ecc_uncorrected", 2, 0, 0 }, { "power_limit_cut", 2, 0, 0 },
		{ "throttle_hot", 2, 0, 0 },    { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	r = run(&check_gpu_inventory, &w, NULL);
	expect(&r, "healthy", healthy);
	for (size_t i = 0; i < r.count; i++)
		if (r.items[i].said == FIGURE && strcmp(r.items[i].metric, "links_up") != 0 &&
		    strcmp(r.items[i].metric, "foreign_memory") != 0)
			assert_true(r.items[i].first == 0);
	assert_true(must(&r, FIGURE, "links_up", "gpu1")->first == 18);
	assert_true(must(&r, FIGURE, "foreign_memory", "gpu1")->first == 500 << 20);
	assert_string_equal(must(&r, FACT, "nvlink 3", "gpu0")->text, "switch");
	drop(&r);

	w.links_down = 2;
	w.fabric_bad = 1;
	w.power_limit = 450;
	w.throttle = GPU_IDLE | GPU_HARDWARE_THERMAL | GPU_SOFTWARE_POWER_CAP;
	r = run(&check_gpu_inventory, &w, NULL);
	assert_true(must(&r, FIGURE, "links_down", "gpu0")->first == 2);
	assert_string_equal(must(&r, FACT, "nvlink 1", "gpu0")->text, "down");
	assert_true(must(&r, FIGURE, "fabric_bad", "gpu0")->first == 1);
	assert_true(must(&r, FIGURE, "power_limit_cut", "gpu0")->first == 250);
	assert_true(must(&r, FIGURE, "throttle_hot", "gpu0")->first == GPU_HARDWARE_THERMAL);
	assert_true(has_note(&r, "heat (hardware)"));
	drop(&r);
}

static void inventory_without_nvml_is_holes(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.no_nvml = 1;
	r = run(&check_gpu_inventory, &w, NULL);
	for (size_t i = 0; i < r.count; i++)
		assert_int_not_equal(r.items[i].said, FIGURE);
	assert_non_null(strstr(must(&r, HOLE, "links_down", "gpu1")->text, "libnvidia-ml"));
	assert_non_null(must(&r, HOLE, "ecc_uncorrected", "gpu0"));
	drop(&r);

	world_init(&w, 1); /* GPUs on PCIe cards, of a generation before row remapping */
	w.links = 0;
	w.gpus.items[0].capability = 75;
	w.no_counters = 1;
	r = run(&check_gpu_inventory, &w, NULL);
	assert_non_null(must(&r, ABSENT, "links_down", "gpu0"));
	assert_non_null(must(&r, ABSENT, "fabric_bad", "gpu0"));
	assert_non_null(must(&r, ABSENT, "remap_pending", "gpu0"));
	assert_non_null(must(&r, HOLE, "retired_pages", "gpu0"));
	drop(&r);
}

/* ---- gpu_host_copy ------------------------------------------------------------------------- */

static void host_copies_come_in_all_kinds(void **state)
{
	static const char *const short_one[] = { "curve", "0", NULL };
	static const struct {
		int gpus, numas, curve;
		struct want wants[11];
	} cases[] = {
		{ 1,
		  1,
		  1,
		  { { "h2d", 1, 0, 0 },
		    { "d2h", 1, 0, 0 },
		    { "both", 1, 0, 0 },
		    { "far_h2d", 0, 0, 1 },
		    { "all_h2d", 0, 0, 1 },
		    { "all_d2h", 0, 0, 1 },
		    { "wrong_bytes", 1, 0, 0 },
		    { "h2d_alpha", 1, 0, 0 },
		    { "d2h_alpha", 1, 0, 0 },
		    { "curve_h2d", 10, 0, 0 } } },
		{ 4,
		  2,
		  0,
		  { { "h2d", 4, 0, 0 },
		    { "far_h2d", 4, 0, 0 },
		    { "far_d2h", 4, 0, 0 },
		    { "all_h2d", 4, 0, 0 },
		    { "all_d2h", 4, 0, 0 },
		    { "wrong_bytes", 4, 0, 0 },
		    { "h2d_alpha", 0, 0, 1 },
		    { "curve_d2h", 0, 0, 1 } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record r;
		struct world w;

		world_init(&w, cases[i].gpus);
		w.host.numa_count = cases[i].numas;
		r = run(&check_gpu_host_copy, &w, cases[i].curve ? NULL : short_one);
		expect(&r, "host copies", cases[i].wants);
		expect_all_said(&r, &check_gpu_host_copy, "host copies");
		assert_int_equal(must(&r, FIGURE, "h2d", "gpu0")->count, 9);
		drop(&r);
	}
}

static void fixed_costs_are_found(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.largest = 100 << 20; /* the largest sizes do not fit */
	r = run(&check_gpu_host_copy, &w, NULL);
	assert_true(fabs(must(&r, FIGURE, "h2d_alpha", "gpu0")->first - 2000) < 1e-3);
	assert_int_equal(must(&r, FIGURE, "d2h_alpha", "gpu1")->count, 9);
	assert_non_null(must(&r, FIGURE, "curve_h2d", "gpu1 64 MiB"));
	assert_non_null(strstr(must(&r, HOLE, "curve_h2d", "gpu1 256 MiB")->text, "memory"));
	assert_non_null(strstr(must(&r, HOLE, "h2d", "gpu0")->text, "memory"));
	drop(&r);

	w.largest = UINT64_MAX;
	w.copy_alpha_ns = 0; /* no fixed cost is no figure */
	r = run(&check_gpu_host_copy, &w, NULL);
	assert_null(find(&r, FIGURE, "h2d_alpha", "gpu0"));
	assert_non_null(must(&r, HOLE, "h2d_alpha", "gpu0"));
	drop(&r);
}

static void a_gpu_that_dies_costs_its_own_figures(void **state)
{
	static const struct want wants[] = {
		{ "h2d", 3, 1, 0 },       { "d2h", 3, 1, 0 },         { "both", 3, 1, 0 },
		{ "all_h2d", 3, 1, 0 },   { "all_d2h", 3, 1, 0 },     { "h2d_alpha", 3, 1, 0 },
		{ "d2h_alpha", 3, 1, 0 }, { "wrong_bytes", 3, 1, 0 }, { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	w.dead = 2;
	r = run(&check_gpu_host_copy, &w, NULL);
	expect(&r, "one dead", wants);
	assert_int_equal(w.dead_calls, 2); /* the copy, and the question whether it lives */
	assert_non_null(strstr(must(&r, HOLE, "all_d2h", "gpu2")->text, "gpu2 stopped working"));
	drop(&r);

	world_init(&w, 2);
	w.dead = 1;
	w.dies_after = 3;
	r = run(&check_gpu_host_copy, &w, NULL);
	assert_non_null(must(&r, FIGURE, "h2d", "gpu1"));
	assert_non_null(must(&r, HOLE, "h2d_alpha", "gpu1"));
	assert_non_null(must(&r, FIGURE, "wrong_bytes", "gpu1")); /* of what it did */
	assert_non_null(must(&r, HOLE, "wrong_bytes", "gpu1"));   /* but that is not all */
	drop(&r);
}

static void wrong_bytes_are_counted(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.wrong_from = GPU_HOST;
	w.wrong_to = 1;
	r = run(&check_gpu_host_copy, &w, NULL);
	assert_true(must(&r, FIGURE, "wrong_bytes", "gpu0")->first == 0);
	assert_true(must(&r, FIGURE, "wrong_bytes", "gpu1")->first >= 7);
	assert_true(has_note(&r, "gpu1: 7 wrong bytes from host memory"));
	drop(&r);
}

/* ---- gpu_p2p ------------------------------------------------------------------------------- */

static void pairs_are_complete(void **state)
{
	static const int counts[] = { 1, 2, 3, 4, 8 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		int n = counts[i], pairs = n * (n - 1), one = n == 1;
		const struct want wants[] = {
			{ "reachable", pairs, 0, one },   { "write", pairs, 0, one },
			{ "read", pairs, 0, one },        { "sm_write", pairs, 0, one },
			{ "sm_read", pairs, 0, one },     { "both", pairs + n, 0, 0 },
			{ "round_write", pairs, 0, one }, { "shift", pairs, 0, one },
			{ "staged", pairs, 0, one },      { "staged_both", pairs, 0, one },
			{ "wrong_bytes", n * n, 0, 0 },   { NULL, 0, 0, 0 },
		};
		struct record r;
		struct world w;

		world_init(&w, n);
		r = run(&check_gpu_p2p, &w, NULL);
		expect(&r, "pairs", wants);
		drop(&r);
	}
}

static void knobs_leave_things_out(void **state)
{
	static const char *const knobs[] = { "strict", "1", "ways", "2", NULL };
	static const struct want wants[] = {
		{ "write", 12, 0, 0 },  { "read", 12, 0, 0 },   { "sm_write", 0, 0, 1 },
		{ "sm_read", 0, 0, 1 }, { "shift", 0, 0, 1 },   { "round_write", 0, 0, 1 },
		{ "both", 16, 0, 0 },   { "staged", 12, 0, 0 }, { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	r = run(&check_gpu_p2p, &w, knobs);
	expect(&r, "strict", wants);
	drop(&r);
	world_init(&w, 1);
	r = run(&check_gpu_p2p, &w, knobs);
	for (size_t i = 0; i < r.count; i++) /* nothing is said twice */
		if (r.items[i].said == ABSENT)
			assert_int_equal(said_count(&r, ABSENT, r.items[i].metric), 1);
	drop(&r);
}

static void a_pair_without_access_is_told(void **state)
{
	static const struct want wants[] = {
		{ "reachable", 12, 0, 0 }, { "write", 11, 1, 0 },       { "sm_read", 11, 1, 0 },
		{ "both", 14, 2, 0 },      { "shift", 11, 1, 0 },       { "round_write", 11, 1, 0 },
		{ "staged", 12, 0, 0 },    { "wrong_bytes", 16, 0, 0 }, { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	w.nopeer_from = 1;
	w.nopeer_to = 3;
	r = run(&check_gpu_p2p, &w, NULL);
	expect(&r, "no access", wants);
	assert_true(must(&r, FIGURE, "reachable", "gpu1>gpu3")->first == 0);
	assert_true(must(&r, FIGURE, "reachable", "gpu3>gpu1")->first == 1);
	assert_string_equal(must(&r, HOLE, "read", "gpu1>gpu3")->text, "no peer access");
	drop(&r);
}

static void a_broken_link_spoils_no_other(void **state)
{
	static const struct want wants[] = {
		{ "write", 11, 1, 0 },  { "read", 11, 1, 0 },        { "sm_write", 11, 1, 0 },
		{ "both", 14, 2, 0 },   { "round_write", 11, 1, 0 }, { "shift", 11, 1, 0 },
		{ "staged", 11, 1, 0 }, { "wrong_bytes", 15, 1, 0 }, { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	w.broken_from = 0;
	w.broken_to = 2;
	r = run(&check_gpu_p2p, &w, NULL);
	expect(&r, "broken link", wants);
	assert_string_equal(must(&r, HOLE, "round_write", "gpu0>gpu2")->text, "the link is broken");
	assert_non_null(must(&r, FIGURE, "write", "gpu2>gpu0"));
	drop(&r);

	w.broken_from = NONE_OF_THEM;
	w.wrong_from = 3;
	w.wrong_to = 1;
	r = run(&check_gpu_p2p, &w, NULL);
	for (size_t i = 0; i < r.count; i++)
		if (r.items[i].said == FIGURE && !strcmp(r.items[i].metric, "wrong_bytes"))
			assert_int_equal(r.items[i].first > 0,
					 !strcmp(r.items[i].subject, "gpu3>gpu1"));
	drop(&r);
}

static void a_dead_gpu_is_not_asked_for_each_pair(void **state)
{
	static const struct want wants[] = {
		{ "write", 42, 14, 0 },       { "sm_read", 42, 14, 0 },     { "both", 49, 15, 0 },
		{ "shift", 42, 14, 0 },       { "round_write", 42, 14, 0 }, { "staged", 42, 14, 0 },
		{ "staged_both", 42, 14, 0 }, { "wrong_bytes", 49, 15, 0 }, { NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 8);
	w.dead = 5;
	r = run(&check_gpu_p2p, &w, NULL);
	expect(&r, "dead GPU", wants);
	assert_int_equal(w.dead_calls, 2);
	drop(&r);
}

static void slow_paths_get_fewer_copies(void **state)
{
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 2);
	w.copy_gbs = 0.01; /* 27 s a copy: never less than two of them, and samples as told */
	r = run(&check_gpu_p2p, &w, NULL);
	assert_int_equal(must(&r, FIGURE, "write", "gpu0>gpu1")->count, 9);
	drop(&r);
}

/* ---- gpu_p2p_latency ----------------------------------------------------------------------- */

static void latencies_come_in_rounds(void **state)
{
	static const struct want four[] = {
		{ "copy_16b", 16, 0, 0 },  { "chase", 16, 0, 0 },    { "flag", 12, 0, 0 },
		{ "chase_p99", 16, 0, 0 }, { "flag_min", 12, 0, 0 }, { NULL, 0, 0, 0 },
	};
	static const struct want none[] = {
		{ "copy_16b", 15, 1, 0 },
		{ "chase", 15, 1, 0 },
		{ "flag", 11, 1, 0 },
		{ NULL, 0, 0, 0 },
	};
	static const struct want one[] = {
		{ "copy_16b", 1, 0, 0 },
		{ "chase", 1, 0, 0 },
		{ "flag", 0, 0, 1 },
		{ NULL, 0, 0, 0 },
	};
	struct record r;
	struct world w;

	(void)state;
	world_init(&w, 4);
	r = run(&check_gpu_p2p_latency, &w, NULL);
	expect(&r, "four", four);
	assert_int_equal(must(&r, FIGURE, "chase", "gpu1>gpu2")->count, 9);
	assert_true(must(&r, FIGURE, "chase", "gpu1>gpu2")->first == 50.5);
	assert_true(must(&r, FIGURE, "chase_p99", "gpu1>gpu2")->last == 99);
	assert_true(must(&r, FIGURE, "chase_min", "gpu1>gpu2")->first == 1);
	drop(&r);
	w.nopeer_from = 0;
	w.nopeer_to = 1;
	r = run(&check_gpu_p2p_latency, &w, NULL);
	expect(&r, "no access", none);
	drop(&r);
	world_init(&w, 1);
	r = run(&check_gpu_p2p_latency, &w, NULL);
	expect(&r, "one", one);
	drop(&r);
	world_init(&w, 8);
	w.dead = 3;
	r = run(&check_gpu_p2p_latency, &w, NULL);
	assert_int_equal(said_count(&r, HOLE, "chase"), 15);
	assert_int_equal(w.dead_calls, 2);
	drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_fitted),
		cmocka_unit_test(rounds_pair_all_once),
		cmocka_unit_test(every_check_skips_without_gpu_code),
		cmocka_unit_test(unusable_gpus_are_holes),
		cmocka_unit_test(expected_times_are_sane),
		cmocka_unit_test(inventory_tells_the_state),
		cmocka_unit_test(inventory_without_nvml_is_holes),
		cmocka_unit_test(host_copies_come_in_all_kinds),
		cmocka_unit_test(fixed_costs_are_found),
		cmocka_unit_test(a_gpu_that_dies_costs_its_own_figures),
		cmocka_unit_test(wrong_bytes_are_counted),
		cmocka_unit_test(pairs_are_complete),
		cmocka_unit_test(knobs_leave_things_out),
		cmocka_unit_test(a_pair_without_access_is_told),
		cmocka_unit_test(a_broken_link_spoils_no_other),
		cmocka_unit_test(a_dead_gpu_is_not_asked_for_each_pair),
		cmocka_unit_test(slow_paths_get_fewer_copies),
		cmocka_unit_test(latencies_come_in_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
