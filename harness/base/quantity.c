/*
 * quantity.c - numbers with units, in and out.
 *
 * One table of units serves parsing, checking and printing. Prefixes are spelled out instead of
 * computed, so that "mB" or "KHz" are errors and not a factor of a billion.
 */
#include "harness/base/base.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024.0

static const struct unit {
	const char *name;
	enum dimension dim;
	double factor;
} units[] = {
	{ "", DIM_COUNT, 1 },
	{ "B", DIM_BYTES, 1 },
	{ "kB", DIM_BYTES, 1e3 },
	{ "MB", DIM_BYTES, 1e6 },
	{ "GB", DIM_BYTES, 1e9 },
	{ "TB", DIM_BYTES, 1e12 },
	{ "PB", DIM_BYTES, 1e15 },
	{ "KiB", DIM_BYTES, KIB },
	{ "MiB", DIM_BYTES, KIB *KIB },
	{ "GiB", DIM_BYTES, KIB *KIB *KIB },
	{ "TiB", DIM_BYTES, KIB *KIB *KIB *KIB },
	{ "B/s", DIM_BYTE_RATE, 1 },
	{ "kB/s", DIM_BYTE_RATE, 1e3 },
	{ "MB/s", DIM_BYTE_RATE, 1e6 },
	{ "GB/s", DIM_BYTE_RATE, 1e9 },
	{ "TB/s", DIM_BYTE_RATE, 1e12 },
	{ "MiB/s", DIM_BYTE_RATE, KIB *KIB },
	{ "GiB/s", DIM_BYTE_RATE, KIB *KIB *KIB },
	{ "b/s", DIM_BIT_RATE, 1 },
	{ "Mb/s", DIM_BIT_RATE, 1e6 },
	{ "Gb/s", DIM_BIT_RATE, 1e9 },
	{ "Tb/s", DIM_BIT_RATE, 1e12 },
	{ "s", DIM_TIME, 1 },
	{ "ms", DIM_TIME, 1e-3 },
	{ "us", DIM_TIME, 1e-6 },
	{ "ns", DIM_TIME, 1e-9 },
	{ "min", DIM_TIME, 60 },
	{ "h", DIM_TIME, 3600 },
	{ "d", DIM_TIME, 86400 },
	{ "/s", DIM_RATE, 1 },
	{ "IOPS", DIM_RATE, 1 },
	{ "kIOPS", DIM_RATE, 1e3 },
	{ "MIOPS", DIM_RATE, 1e6 },
	{ "Hz", DIM_FREQUENCY, 1 },
	{ "kHz", DIM_FREQUENCY, 1e3 },
	{ "MHz", DIM_FREQUENCY, 1e6 },
	{ "GHz", DIM_FREQUENCY, 1e9 },
	{ "T/s", DIM_TRANSFERS, 1 },
	{ "MT/s", DIM_TRANSFERS, 1e6 },
	{ "GT/s", DIM_TRANSFERS, 1e9 },
	{ "FLOP/s", DIM_FLOPS, 1 },
	{ "MFLOP/s", DIM_FLOPS, 1e6 },
	{ "GFLOP/s", DIM_FLOPS, 1e9 },
	{ "TFLOP/s", DIM_FLOPS, 1e12 },
	{ "PFLOP/s", DIM_FLOPS, 1e15 },
	{ "W", DIM_POWER, 1 },
	{ "kW", DIM_POWER, 1e3 },
	{ "MW", DIM_POWER, 1e6 },
	{ "J", DIM_ENERGY, 1 },
	{ "kJ", DIM_ENERGY, 1e3 },
	{ "kWh", DIM_ENERGY, 3.6e6 },
	{ "C", DIM_TEMPERATURE, 1 },
	{ "%", DIM_SHARE, 0.01 },
};

int unit_find(const char *unit, enum dimension *dim, double *factor)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(units[i].name, unit) != 0)
			continue;
		*dim = units[i].dim;
		*factor = units[i].factor;
		return 0;
	}
	return -1;
}

const char *dimension_name(enum dimension dim)
{
#define DIMENSION_NAME(id, name, unit) name,
	static const char *const names[] = { DIMENSIONS(DIMENSION_NAME) };

	return names[dim];
}

/* strtod takes nan, inf and hex; a limit never should. */
static int starts_number(const char *s)
{
	s += *s == '-' || *s == '+';
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return 0;
	return isdigit((unsigned char)s[0]) || (s[0] == '.' && isdigit((unsigned char)s[1]));
}

int quantity_parse(const char *text, struct quantity *q, struct error *err)
{
	const char *s = text;
	char unit[16];
	double factor;
	size_t len;
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	if (!starts_number(s))
		return error_set(err, "'%.60s' is not a number with a unit", text);
	q->value = strtod(s, &end);
	while (isspace((unsigned char)*end))
		end++;
	len = strlen(end);
	while (len && isspace((unsigned char)end[len - 1]))
		len--;
	snprintf(unit, sizeof(unit), "%.*s", (int)(len < 15 ? len : 15), end);
	if (len > 15 || unit_find(unit, &q->dim, &factor) < 0)
		return error_set(err, "'%.60s': unknown unit '%.*s'", text,
				 (int)(len < 30 ? len : 30), end);
	q->value *= factor;
	if (!isfinite(q->value))
		return error_set(err, "'%.60s' is out of range", text);
	return 0;
}

void quantity_text(double value, const char *unit, char *out, size_t room)
{
	int digits = fabs(value) >= 1000 || value == floor(value) ? 0
		     : fabs(value) >= 100                         ? 1
		     : fabs(value) >= 10                          ? 2
		     : fabs(value) >= 0.1                         ? 3
								  : 6;

	/* Every count, and all integers that are exact in a double, are written out in full. */
	if (!strcmp(unit, "%"))
		snprintf(out, room, "%.*f%%", digits > 2 ? 2 : digits, value);
	else
		snprintf(out, room, "%.*f%s%s", digits, value, *unit ? " " : "", unit);
}

void bytes_text(double bytes, char *out, size_t room)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t i = 0;

	while (bytes >= KIB && i + 1 < ARRAY_SIZE(names)) {
		bytes /= KIB;
		i++;
	}
	snprintf(out, room, bytes == floor(bytes) || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
		 names[i]);
}

void seconds_text(double seconds, char *out, size_t room)
{
	long s = seconds < 0 ? 0 : (long)(seconds + 0.5);

	if (s < 60)
		snprintf(out, room, "%ld s", s);
	else if (s < 3600)
		snprintf(out, room, "%ld min %02ld s", s / 60, s % 60);
	else if (s < 2 * 86400)
		snprintf(out, room, "%ld h %02ld min", s / 3600, s % 3600 / 60);
	else
		snprintf(out, room, "%ld d %02ld h", s / 86400, s % 86400 / 3600);
}
