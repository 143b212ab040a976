/* heat.c - temperatures of telemetry against what the site allows. */
#include "harness/heat.h"

#include <fnmatch.h>
#include <stdio.h>

/* [least, mean, most], or [value] where all are the same. */
static double most_of(const json_t *values)
{
	size_t n = json_array_size(values);

	return n ? json_number_value(json_array_get(values, n - 1)) : 0;
}

int heat_is_too_much(const struct ramp *ramp, const struct event *ev, char *why, size_t room)
{
	const struct {
		const char *series;
		double most;
	} rows[] = {
		{ "node.inlet_c", ramp->inlet_most },
		{ "gpu*.temperature_c", ramp->gpu_most },
	};
	const char *name;
	json_t *values;

	json_object_foreach(json_object_get(ev->json, "v"), name, values)
	{
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			if (rows[i].most <= 0 || fnmatch(rows[i].series, name, 0) != 0 ||
			    most_of(values) <= rows[i].most)
				continue;
			snprintf(why, room,
				 "too hot, so its load was taken away: %.40s is %.0f C, the spec "
				 "allows %.0f C",
				 name, most_of(values), rows[i].most);
			return 1;
		}
	}
	return 0;
}
