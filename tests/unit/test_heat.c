/* test_heat.c - which temperatures take a node's load away. */
#include "harness/heat.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *values;
	double inlet, gpu;
	const char *why; /* NULL: not too hot */
} cases[] = {
	{ "{'node.inlet_c':[20,25,36]}", 35, 0,
	  "too hot, so its load was taken away: node.inlet_c is 36 C, the spec allows 35 C" },
	{ "{'node.inlet_c':[36]}", 35, 0,
	  "too hot, so its load was taken away: node.inlet_c is 36 C, the spec allows 35 C" },
	{ "{'node.inlet_c':[20,25,35]}", 35, 0, NULL },
	{ "{'node.inlet_c':[20,25,99]}", 0, 90, NULL },
	{ "{'gpu3.temperature_c':[60,80,91]}", 0, 90,
	  "too hot, so its load was taken away: gpu3.temperature_c is 91 C, the spec allows 90 C" },
	{ "{'gpu3.memory_temperature_c':[60,80,99]}", 0, 90, NULL },
	{ "{'gpu3.power_w':[600,700,800]}", 0, 90, NULL },
	{ "{'gpu3.temperature_c':[]}", 0, 90, NULL },
	{ "{'gpu3.temperature_c':'hot'}", 0, 90, NULL },
	{ "{'gpu3.temperature_c':[null]}", 0, 90, NULL },
	{ "[]", 35, 90, NULL },
	{ "7", 35, 90, NULL },
};

static void heat_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ramp ramp = { .inlet_most = cases[i].inlet, .gpu_most = cases[i].gpu };
		struct event ev = { .kind = EV_TELE, .json = event_new(EV_TELE) };
		char *text = xstrdup(cases[i].values), why[300] = "";
		int hot;

		for (char *c = text; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		json_object_set_new(ev.json, "v", json_loads(text, JSON_DECODE_ANY, NULL));
		hot = heat_is_too_much(&ramp, &ev, why, sizeof(why));
		if (hot != (cases[i].why != NULL) || (hot && strcmp(why, cases[i].why) != 0))
			fail_msg("%s: %d, %s", cases[i].values, hot, why);
		event_release(&ev);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(heat_is_told) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
