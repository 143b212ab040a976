/*
 * test_quantity.c - every unit, every way to get a quantity wrong, and quantities for people.
 */
#include "harness/base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *unit;
	enum dimension dim;
	double factor;
} units[] = {
	{ "", DIM_COUNT, 1 },
	{ "B", DIM_BYTES, 1 },
	{ "kB", DIM_BYTES, 1000 },
	{ "MB", DIM_BYTES, 1e6 },
	{ "GB", DIM_BYTES, 1e9 },
	{ "TB", DIM_BYTES, 1e12 },
	{ "PB", DIM_BYTES, 1e15 },
	{ "KiB", DIM_BYTES, 1024 },
	{ "MiB", DIM_BYTES, 1048576 },
	{ "GiB", DIM_BYTES, 1073741824 },
	{ "TiB", DIM_BYTES, 1099511627776 },
	{ "B/s", DIM_BYTE_RATE, 1 },
	{ "kB/s", DIM_BYTE_RATE, 1e3 },
	{ "MB/s", DIM_BYTE_RATE, 1e6 },
	{ "GB/s", DIM_BYTE_RATE, 1e9 },
	{ "TB/s", DIM_BYTE_RATE, 1e12 },
	{ "MiB/s", DIM_BYTE_RATE, 1048576 },
	{ "GiB/s", DIM_BYTE_RATE, 1073741824 },
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

static int near(double a, double b)
{
	return fabs(a - b) <= 1e-12 * fabs(b);
}

static void knows_every_unit(void **state)
{
	static const char *const formats[] = { "2.5%s", "2.5 %s", "  2.5\t%s \n", "+2.5%s",
					       "25e-1%s" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		struct quantity q;
		struct error err;
		enum dimension dim;
		double factor;

		assert_int_equal(unit_find(units[i].unit, &dim, &factor), 0);
		assert_int_equal(dim, units[i].dim);
		assert_true(near(factor, units[i].factor));
		for (size_t k = 0; k < ARRAY_SIZE(formats); k++) {
			char text[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof(text), formats[k], units[i].unit);
#pragma GCC diagnostic pop
			if (quantity_parse(text, &q, &err) < 0)
				fail_msg("'%s': %s", text, err.text);
			if (q.dim != units[i].dim || !near(q.value, 2.5 * units[i].factor))
				fail_msg("'%s' is %g of dimension %d", text, q.value, q.dim);
		}
	}
}

static const struct {
	const char *text;
	double value;
} numbers[] = {
	{ "0", 0 },
	{ "0 B", 0 },
	{ "-1", -1 },
	{ "-0.5 s", -0.5 },
	{ ".5", 0.5 },
	{ "5.", 5 },
	{ "1e3", 1000 },
	{ "1E+3", 1000 },
	{ "007", 7 },
	{ "95%", 0.95 },
	{ "150 %", 1.5 },
	{ "1e308", 1e308 },
	{ "9007199254740993", 9007199254740992.0 },
};

static void reads_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct quantity q;
		struct error err;

		if (quantity_parse(numbers[i].text, &q, &err) < 0)
			fail_msg("'%s': %s", numbers[i].text, err.text);
		if (!near(q.value, numbers[i].value))
			fail_msg("'%s' is %.17g", numbers[i].text, q.value);
	}
}

/* The exact sentence, for they are what a person sees behind FILE:LINE:COL. */
static const struct {
	const char *name, *text, *want;
} bad[] = {
	{ "empty", "", "'' is not a number with a unit" },
	{ "spaces", "  \t ", "'  \t ' is not a number with a unit" },
	{ "unit alone", "GB/s", "'GB/s' is not a number with a unit" },
	{ "letters behind the unit", "90sx", "'90sx': unknown unit 'sx'" },
	{ "letters behind the number", "3.5x", "'3.5x': unknown unit 'x'" },
	{ "two units", "5 s s", "'5 s s': unknown unit 's s'" },
	{ "out of range", "1e400", "'1e400' is out of range" },
	{ "out of range by its unit", "1e300 PB", "'1e300 PB' is out of range" },
	{ "out of range below", "-1e400", "'-1e400' is out of range" },
	{ "not a number", "nan", "'nan' is not a number with a unit" },
	{ "signed nan", "-nan", "'-nan' is not a number with a unit" },
	{ "infinity", "inf", "'inf' is not a number with a unit" },
	{ "long infinity", "+infinity", "'+infinity' is not a number with a unit" },
	{ "hexadecimal", "0x10", "'0x10' is not a number with a unit" },
	{ "hexadecimal, upper case", "-0X1p3", "'-0X1p3' is not a number with a unit" },
	{ "half an exponent", "1e", "'1e': unknown unit 'e'" },
	{ "milli bytes", "1 mB", "'1 mB': unknown unit 'mB'" },
	{ "Kelvin bytes", "1 KB", "'1 KB': unknown unit 'KB'" },
	{ "lower case", "1 gb", "'1 gb': unknown unit 'gb'" },
	{ "upper case second", "5 GB/S", "'5 GB/S': unknown unit 'GB/S'" },
	{ "KHz", "1 KHz", "'1 KHz': unknown unit 'KHz'" },
	{ "bits by the letter", "5 Gbps", "'5 Gbps': unknown unit 'Gbps'" },
	{ "two signs", "--5", "'--5' is not a number with a unit" },
	{ "sign alone", "-", "'-' is not a number with a unit" },
	{ "point alone", ".", "'.' is not a number with a unit" },
	{ "comma", "1,5", "'1,5': unknown unit ',5'" },
	{ "thousands", "1 000", "'1 000': unknown unit '000'" },
	{ "underscore", "1_000", "'1_000': unknown unit '_000'" },
	{ "comparison", ">= 5", "'>= 5' is not a number with a unit" },
	{ "range", "5-6 GB", "'5-6 GB': unknown unit '-6 GB'" },
	{ "long unit", "1 abcdefghijklmnop",
	  "'1 abcdefghijklmnop': unknown unit 'abcdefghijklmnop'" },
	{ "name of a unit inside a longer word", "1 GB/sec", "'1 GB/sec': unknown unit 'GB/sec'" },
	{ "zero byte would end it", "1\x01", "'1\x01': unknown unit '\x01'" },
};

static void refuses_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct quantity q;
		struct error err;

		print_message("  %s\n", bad[i].name);
		assert_int_equal(quantity_parse(bad[i].text, &q, &err), -1);
		assert_string_equal(err.text, bad[i].want);
	}
}

static void survives_long_texts(void **state)
{
	char text[5000];
	struct quantity q;
	struct error err;

	(void)state;
	memset(text, '7', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(quantity_parse(text, &q, &err), -1);
	assert_non_null(strstr(err.text, "out of range"));
	text[0] = '0';
	text[1] = '.';
	assert_int_equal(quantity_parse(text, &q, &err), 0);
	memset(text + 1, 's', sizeof(text) - 2);
	assert_int_equal(quantity_parse(text, &q, &err), -1);
	assert_non_null(strstr(err.text, "unknown unit"));
	assert_true(strlen(err.text) < 200);
}

static const struct {
	double value;
	const char *unit, *want;
} texts[] = {
	{ 182.4, "GB/s", "182.4 GB/s" },
	{ 1824.4, "GB/s", "1824 GB/s" },
	{ 18.244, "GB/s", "18.24 GB/s" },
	{ 1.8244, "GB/s", "1.824 GB/s" },
	{ 0.18244, "s", "0.182 s" },
	{ 0.00125, "s", "0.001250 s" },
	{ 7, "", "7" },
	{ 0, "B", "0 B" },
	{ -3.5, "C", "-3.500 C" },
	{ 9007199254740991.0, "", "9007199254740991" },
	{ 97.53, "%", "97.53%" },
	{ 100, "%", "100%" },
	{ 0.123, "%", "0.12%" },
};

static const struct {
	double value;
	const char *want;
} sizes[] = {
	{ 0, "0 B" },
	{ 1023, "1023 B" },
	{ 1024, "1 KiB" },
	{ 1536, "1.5 KiB" },
	{ 1.5 * 1048576, "1.5 MiB" },
	{ 64.0 * 1073741824, "64 GiB" },
	{ 2.0 * 1099511627776, "2 TiB" },
	{ 4096.0 * 1099511627776 * 1024, "4096 PiB" },
}, times[] = {
	{ -1, "0 s" },
	{ 0.4, "0 s" },
	{ 59.6, "1 min 00 s" },
	{ 59.4, "59 s" },
	{ 125, "2 min 05 s" },
	{ 3600, "1 h 00 min" },
	{ 47 * 3600.0 + 59 * 60, "47 h 59 min" },
	{ 48 * 3600.0, "2 d 00 h" },
	{ 30 * 86400.0 + 3600, "30 d 01 h" },
};

static void writes_for_people(void **state)
{
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		quantity_text(texts[i].value, texts[i].unit, out, sizeof(out));
		assert_string_equal(out, texts[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes_text(sizes[i].value, out, sizeof(out));
		assert_string_equal(out, sizes[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		seconds_text(times[i].value, out, sizeof(out));
		assert_string_equal(out, times[i].want);
	}
}

static void names_every_dimension(void **state)
{
	(void)state;
	assert_string_equal(dimension_name(DIM_COUNT), "count");
	assert_string_equal(dimension_name(DIM_BYTE_RATE), "data rate");
	assert_string_equal(dimension_name(DIM_BIT_RATE), "line rate");
	assert_string_equal(dimension_name(DIM_SHARE), "share");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_every_unit),  cmocka_unit_test(reads_numbers),
		cmocka_unit_test(refuses_the_rest),  cmocka_unit_test(survives_long_texts),
		cmocka_unit_test(writes_for_people), cmocka_unit_test(names_every_dimension),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
