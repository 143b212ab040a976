/*
 * test_theory.c - ceilings and the roofline, against figures worked out by hand.
 */
#include "harness/theory.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct spec *load(const char *text)
{
	struct complaints c;
	struct spec *s;

	complaints_init(&c);
	s = spec_from(yaml_parse(text, strlen(text), "s.yaml", &c), &c);
	if (!s || c.errors)
		fail_msg("%s", c.text.data);
	complaints_release(&c);
	return s;
}

/* Parts 0 to 8; the node has one H100, so a part that is not named is that one. */
static const char parts[] =
	"assay: spec/1\n"
	"name: t\n"
	"parts:\n"
	"  h100:\n"
	"    kind: gpu\n"
	"    source: s\n"
	"    facts: {link_gen_max: '5', link_width_max: '16', link_gen: '1', link_width: '8'}\n"
	"    physics: {memory_clock: 2619 MHz, memory_bus: '5120', nvlinks: '18',\n"
	"      nvlink_rate: 25 GB/s, fp64_rate: 67 TFLOP/s, bf16_rate: 989.4 TFLOP/s}\n"
	"  h20: {kind: gpu, source: s, physics: {memory_rate: 4 TB/s, int8_rate: 296 TFLOP/s}}\n"
	"  both: {kind: gpu, source: s, facts: {link_gen: '>= 4', link_width: '16'},\n"
	"    physics: {memory_rate: 1 TB/s, memory_clock: 1593 MHz, memory_bus: '5120', nvlinks: "
	"'4'}}\n"
	"  display: {kind: gpu, source: s}\n"
	"  ssd: {kind: disk, source: s, facts: {link_gen: '4', link_width: '4'}}\n"
	"  far: {kind: gpu, source: s, facts: {link_gen_max: '7', link_width_max: '16'}}\n"
	"  slow: {kind: nic, source: s, physics: {rate: 25 Gb/s}}\n"
	"  fast: {kind: nic, source: s, physics: {rate: 400 Gb/s}}\n"
	"  spare: {kind: nic, source: s}\n"
	"nodes:\n"
	"  n: {gpus: [{part: h100, count: 8}, {part: display, count: 1}], disks: [{part: ssd, "
	"count: "
	"1}],\n"
	"    nics: [{part: spare, count: 1}, {part: slow, count: 2}, {part: fast, count: 1}]}\n";

static const struct {
	const char *formula;
	int part;
	double value; /* -1: the spec does not say enough */
	const char *how;
} ceilings[] = {
	{ "hbm", 0, 2 * 2619e6 * 5120 / 8, "2 x 2619 MHz x 5120 bits / 8 = 3352.3 GB/s" },
	{ "hbm", -1, 2 * 2619e6 * 5120 / 8, "2 x 2619 MHz x 5120 bits / 8 = 3352.3 GB/s" },
	{ "hbm", 1, 4e12, "memory_rate of part h20 = 4000.0 GB/s" },
	{ "hbm", 2, 2 * 1593e6 * 5120 / 8, "2 x 1593 MHz x 5120 bits / 8 = 2039.0 GB/s" },
	{ "hbm", 3, -1, "" },
	{ "nvlink", 0, 450e9, "18 NVLinks x 25 GB/s one way = 450.0 GB/s" },
	{ "nvlink", 2, -1, "" },
	{ "nvlink", 3, -1, "" },
	{ "gpu_pcie", 0, 16 * 3.938e9, "PCIe gen 5 x16 = 63.01 GB/s" },
	{ "gpu_pcie", 2, 16 * 1.969e9, "PCIe gen 4 x16 = 31.50 GB/s" },
	{ "gpu_pcie", 1, -1, "" },
	{ "gpu_pcie", 5, -1, "" }, /* a generation that has no row */
	{ "gpu_fp64", 0, 67e12, "fp64_rate of part h100 = 67 TFLOP/s" },
	{ "gpu_bf16", -1, 989.4e12, "bf16_rate of part h100 = 989.4 TFLOP/s" },
	{ "gpu_int8", 1, 296e12, "int8_rate of part h20 = 296 TFLOP/s" },
	{ "gpu_fp8", 0, -1, "" },
	{ "gpu_tf32", 3, -1, "" },
	{ "gpu_fp16", 4, -1, "" }, /* no GPU at all */
	{ "disk", 4, 4 * 1.969e9, "PCIe gen 4 x4 = 7.88 GB/s" },
	{ "disk", -1, 4 * 1.969e9, "PCIe gen 4 x4 = 7.88 GB/s" },
	{ "nic", 6, 25e9 / 8, "rate of part slow / 8 = 3.12 GB/s" },
	{ "nic", 7, 50e9, "rate of part fast / 8 = 50.00 GB/s" },
	{ "nic", -1, 50e9, "rate of part fast / 8 = 50.00 GB/s" }, /* the fastest */
	{ "nic", 8, -1, "" },
	{ "nic", 0, -1, "" }, /* no NIC */
	{ "whole", -1, 1, "a share of what is possible = 100%" },
	{ "memory", -1, -1, "" },
	{ "flops", -1, -1, "" },
};

static void ceilings_follow_from_the_parts(void **state)
{
	struct spec *s = load(parts);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ceilings); i++) {
		double value = -1;
		char how[200] = "";
		int rc = theory_ceiling(s, &s->nodes[0], ceilings[i].part, ceilings[i].formula,
					&value, how, sizeof(how));

		if ((rc < 0) != (ceilings[i].value < 0) ||
		    (rc == 0 && fabs(value - ceilings[i].value) > 1e-12 * value) ||
		    strcmp(how, ceilings[i].how) != 0)
			fail_msg("%s of part %d: %d, %g, '%s'", ceilings[i].formula,
				 ceilings[i].part, rc, value, how);
	}
	spec_free(s);
}

static void nodes_without_gpus_have_no_ceiling(void **state)
{
	static const char *const formulas[] = { "hbm",      "nvlink",   "gpu_pcie",
						"gpu_fp64", "gpu_tf32", "gpu_bf16",
						"gpu_fp16", "gpu_fp8",  "gpu_int8" };
	struct spec *s = load("assay: spec/1\nname: t\nnodes: {n: {}}\n");
	double value;
	char how[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formulas); i++)
		assert_int_equal(
			theory_ceiling(s, &s->nodes[0], -1, formulas[i], &value, how, sizeof(how)),
			-1);
	spec_free(s);
}

/* Every formula that a check names must be there; a missing one would abort. */
static void every_ceiling_of_a_check_has_a_formula(void **state)
{
	struct spec *s = load(parts);

	(void)state;
	for (int i = 0; all_checks[i]; i++)
		for (const struct metric *m = all_checks[i]->metrics; m->name; m++) {
			double value;
			char how[200];

			if (m->ceiling)
				theory_ceiling(s, &s->nodes[0], -1, m->ceiling, &value, how,
					       sizeof(how));
		}
	spec_free(s);
}

/*
 * A neural processor of 256 multiply-accumulates a cycle at 1 GHz, 64 GB/s beside it. Fully
 * connected layers in fp32: each operand and result moves once.
 */
static const struct {
	const char *name;
	double macs, bytes, compute, memory;
} layers[] = {
	{ "1x256 by 256x1", 256, 256 * 4 * 2 + 4, 1e-9, 32.0625e-9 },
	{ "32x256 by 256x128", 32 * 256 * 128, (32 * 256 + 256 * 128 + 32 * 128) * 4, 4.096e-6,
	  2.816e-6 },
};

static void rooflines_are_exact(void **state)
{
	(void)state;
	assert_true(layers[0].bytes == 2052);
	assert_true(layers[1].bytes == 180224);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		struct roofline macs =
			theory_roofline(layers[i].macs, layers[i].bytes, 256e9, 64e9);
		struct roofline flops =
			theory_roofline(2 * layers[i].macs, layers[i].bytes, 512e9, 64e9);

		print_message("  %s\n", layers[i].name);
		assert_true(macs.compute == layers[i].compute);
		assert_true(macs.memory == layers[i].memory);
		assert_true(flops.compute == macs.compute && flops.memory == macs.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ceilings_follow_from_the_parts),
		cmocka_unit_test(nodes_without_gpus_have_no_ceiling),
		cmocka_unit_test(every_ceiling_of_a_check_has_a_formula),
		cmocka_unit_test(rooflines_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
