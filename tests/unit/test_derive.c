/*
 * test_derive.c - specs derived from facts: they load, hold together, and promise no more than is
 * known.
 */
#include "harness/spec.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HOST                                                                                       \
	{ "", "hypervisor", "none" }, { "", "sockets", "2" }, { "", "cores", "64" },               \
		{ "", "numa_nodes", "2" }, { "numa0", "memory", "250 GiB" },                       \
		{ "numa0", "threads", "64" }, { "numa1", "memory", "251 GiB" },                    \
	{                                                                                          \
		"numa1", "threads", "64"                                                           \
	}
/* At rest: generation 1 of 5; `lanes` in use of 16, `links` NVLinks up of 18. */
#define GPU(part, name, lanes, links)                                                              \
	{ part, "model", name }, { part, "serial", part }, { part, "memory", "81559 MiB" },        \
		{ part, "ecc", "on" }, { part, "mig", "off" }, { part, "nvlinks", links },         \
		{ part, "nvlinks_max", "18" }, { part, "power_limit", "500 W" },                   \
		{ part, "power_default", "700 W" }, { part, "link_width", lanes },                 \
		{ part, "link_gen", "1" }, { part, "link_width_max", "16" },                       \
	{                                                                                          \
		part, "link_gen_max", "5"                                                          \
	}
#define H100 "NVIDIA H100 80GB HBM3"

static struct derive_fact no_gpus[] = { HOST };
static struct derive_fact alike[] = { HOST, GPU("gpu0", H100, "16", "18"),
				      GPU("gpu1", H100, "8", "18"), GPU("gpu2", H100, "16", "17") };
static struct derive_fact mixed[] = { HOST, GPU("gpu0", H100, "16", "18"),
				      GPU("gpu1", "NVIDIA [x]*", "16", "18"),
				      GPU("gpu2", H100, "16", "18") };
static struct derive_fact screen[] = { HOST,
				       GPU("gpu0", H100, "16", "18"),
				       { "gpu1", "model", "NVIDIA DGX Display" },
				       { "gpu1", "nvlinks_max", "0" } };
static struct derive_fact lost[] = { HOST,
				     GPU("gpu0", H100, "16", "18"),
				     { "gpu1", "model", H100 },
				     { "gpu1", "nvlinks_max", "0" } };
static struct derive_fact linkless[] = { HOST, { "gpu0", "model", H100 } };

static struct spec *load(struct derive_fact *facts, size_t count)
{
	char *text = spec_derive(facts, (int)count, "/var/tmp");
	struct complaints c;
	struct spec *s;

	complaints_init(&c);
	s = spec_from(yaml_parse(text, strlen(text), "derived.yaml", &c), &c);
	if (s)
		spec_lint(s, &c);
	if (!s || c.errors || c.warnings)
		fail_msg("%s\n%s", c.text.data, text);
	complaints_release(&c);
	free(text);
	assert_string_equal(s->calibration, "uncalibrated");
	return s;
}

static const char *wanted(const struct part *p, const char *key)
{
	for (int i = 0; i < p->fact_count; i++)
		if (!strcmp(p->facts[i].key->name, key))
			return p->facts[i].want;
	return "";
}

static const struct limit *limit_of(const struct spec *s, int part, const char *check,
				    const char *metric)
{
	for (int i = 0; i < s->limit_count; i++)
		if (s->limits[i].part == part && !strcmp(s->limits[i].check, check) &&
		    (!metric || !strcmp(s->limits[i].metric, metric)))
			return &s->limits[i];
	return NULL;
}

/* Lanes and links that are lost today, and a link at rest, must not become what is expected. */
static void alike_gpus_are_one_part(void **state)
{
	struct spec *s = load(alike, ARRAY_SIZE(alike));
	const struct node_type *t = &s->nodes[0];
	int part = node_type_part(t, PART_GPU, 0);
	const struct part *p = &s->parts[part];

	(void)state;
	assert_int_equal(node_type_count(t, PART_GPU), 3);
	assert_int_equal(node_type_part(t, PART_GPU, 2), part);
	assert_string_equal(wanted(p, "model"), H100);
	assert_string_equal(wanted(p, "memory"), "81559 MiB");
	assert_string_equal(wanted(p, "ecc"), "on");
	assert_string_equal(wanted(p, "mig"), "off");
	assert_string_equal(wanted(p, "link_width"), "16");
	assert_string_equal(wanted(p, "link_gen_max"), "5");
	assert_string_equal(wanted(p, "nvlinks"), "18");
	assert_string_equal(wanted(p, "power_default"), "700 W");
	assert_string_equal(wanted(p, "link_gen"), "");
	assert_string_equal(wanted(p, "serial"), "");
	assert_string_equal(wanted(p, "power_limit"), "");
	assert_int_equal(p->physics_count, 0);
	spec_free(s);
}

/* PCIe gen 5 x16 is 63.01 GB/s. */
static void copies_have_floors_from_the_link(void **state)
{
	static const struct {
		const char *metric;
		double value;
	} floors[] = {
		{ "h2d", 50.09 },     { "d2h", 50.09 },     { "both", 75.61 },
		{ "all_h2d", 25.20 }, { "all_d2h", 25.20 },
	};
	struct spec *s = load(alike, ARRAY_SIZE(alike));
	int part = node_type_part(&s->nodes[0], PART_GPU, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(floors); i++) {
		const struct limit *l = limit_of(s, part, "gpu_host_copy", floors[i].metric);

		assert_non_null(l);
		assert_string_equal(l->origin, "derived");
		assert_float_equal(l->value, floors[i].value, 0.006);
	}
	spec_free(s);
}

/* Rates that no driver tells get no limit, and the file says so. */
static void nothing_is_guessed(void **state)
{
	struct spec *s = load(alike, ARRAY_SIZE(alike));
	int part = node_type_part(&s->nodes[0], PART_GPU, 0);

	(void)state;
	assert_null(limit_of(s, part, "gpu_memory_bandwidth", NULL));
	assert_null(limit_of(s, part, "gpu_burn", NULL));
	assert_null(limit_of(s, -1, "gpu_burn", "bf16"));
	assert_null(limit_of(s, -1, "gpu_p2p", NULL));
	assert_non_null(limit_of(s, -1, "gpu_burn", "temperature"));
	assert_non_null(strstr(s->about, "No limits for rates of GPU memory"));
	spec_free(s);
}

/* Limits of a part go by the number of the GPU, so its groups keep the order. */
static void mixed_gpus_keep_their_order(void **state)
{
	struct spec *s = load(mixed, ARRAY_SIZE(mixed));
	const struct node_type *t = &s->nodes[0];

	(void)state;
	assert_int_equal(node_type_count(t, PART_GPU), 3);
	assert_string_equal(wanted(&s->parts[node_type_part(t, PART_GPU, 0)], "model"), H100);
	assert_string_equal(wanted(&s->parts[node_type_part(t, PART_GPU, 1)], "model"),
			    "NVIDIA \\[x]\\*");
	assert_string_equal(wanted(&s->parts[node_type_part(t, PART_GPU, 2)], "model"), H100);
	spec_free(s);
}

static void gpus_for_the_screen_are_not_computed_on(void **state)
{
	struct spec *s = load(screen, ARRAY_SIZE(screen)), *other = load(lost, ARRAY_SIZE(lost));

	(void)state;
	assert_true(node_type_computes(&s->nodes[0], 0));
	assert_false(node_type_computes(&s->nodes[0], 1));
	assert_true(node_type_computes(&other->nodes[0], 1));
	spec_free(s);
	spec_free(other);
	other = load(mixed, ARRAY_SIZE(mixed));
	assert_true(node_type_computes(&other->nodes[0], 1));
	spec_free(other);
}

static void a_gpu_without_a_link_gets_no_floor(void **state)
{
	struct spec *s = load(linkless, ARRAY_SIZE(linkless));

	(void)state;
	assert_int_equal(node_type_count(&s->nodes[0], PART_GPU), 1);
	assert_null(limit_of(s, node_type_part(&s->nodes[0], PART_GPU, 0), "gpu_host_copy", NULL));
	spec_free(s);
}

/* Memory of NUMA nodes is told to the byte and changes from boot to boot; that of a GPU does not.
 */
static void a_host_says_nothing_of_gpus(void **state)
{
	struct spec *s = load(no_gpus, ARRAY_SIZE(no_gpus));

	(void)state;
	assert_null(strstr(s->about, "GPU"));
	for (int i = 0; i < s->limit_count; i++)
		assert_int_not_equal(strncmp(s->limits[i].check, "gpu_", 4), 0);
	assert_int_equal(node_type_count(&s->nodes[0], PART_NUMA), 2);
	assert_string_equal(wanted(&s->parts[node_type_part(&s->nodes[0], PART_NUMA, 0)], "memory"),
			    "");
	spec_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alike_gpus_are_one_part),
		cmocka_unit_test(copies_have_floors_from_the_link),
		cmocka_unit_test(nothing_is_guessed),
		cmocka_unit_test(mixed_gpus_keep_their_order),
		cmocka_unit_test(gpus_for_the_screen_are_not_computed_on),
		cmocka_unit_test(a_gpu_without_a_link_gets_no_floor),
		cmocka_unit_test(a_host_says_nothing_of_gpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
