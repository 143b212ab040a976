/*
 * test_smbios.c - decoding of SMBIOS tables and of vital product data, well-formed and hostile.
 *
 * Hostile tables lie in memory of exactly their size, so that one byte too far is seen by a
 * sanitizer.
 */
#include "kernels/pci.h"
#include "kernels/smbios.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Fields that differ between cases, of an otherwise usual memory device of 92 bytes. */
struct dimm_case {
	const char *name;
	unsigned size, extended_size, type, speed, extended_speed, configured, attributes;
	/* Each with its NUL, in the order slot, bank, vendor, serial, asset, model. */
	const char *strings;
	size_t strings_len;
	struct smbios_dimm want;
};

#define STRINGS(s) (s), sizeof(s)

static const struct dimm_case dimm_cases[] = {
	{ "DDR5 of 64 GiB",
	  0x7FFF,
	  65536,
	  0x22,
	  4800,
	  0,
	  4400,
	  2,
	  STRINGS("P1-A\0NODE 0\0Samsung\0S123\0-\0M321R8GA0BB0-CQKZJ  \0"),
	  { .bytes = 64ULL << 30,
	    .speed = 4400,
	    .rated_speed = 4800,
	    .ranks = 2,
	    .type = "DDR5",
	    .slot = "P1-A",
	    .bank = "NODE 0",
	    .vendor = "Samsung",
	    .serial = "S123",
	    .model = "M321R8GA0BB0-CQKZJ" } },
	{ "size in MiB and a speed above 65535",
	  16384,
	  0,
	  0x1A,
	  0xFFFF,
	  70000,
	  3200,
	  1,
	  STRINGS("A1\0BANK 0\0Hynix\0X9\0 \0HMA\0"),
	  { .bytes = 16ULL << 30,
	    .speed = 3200,
	    .rated_speed = 70000,
	    .ranks = 1,
	    .type = "DDR4",
	    .slot = "A1",
	    .bank = "BANK 0",
	    .vendor = "Hynix",
	    .serial = "X9",
	    .model = "HMA" } },
	{ "size in KiB",
	  0x8000 | 512,
	  0,
	  0x18,
	  0,
	  0,
	  0,
	  0,
	  STRINGS("A1\0"),
	  { .bytes = 512 << 10, .type = "DDR3", .slot = "A1" } },
	{ "empty slot",
	  0,
	  0,
	  2,
	  0,
	  0,
	  0,
	  0,
	  STRINGS("B2\0BANK 1\0NO DIMM\0NO DIMM\0NO DIMM\0NO DIMM\0"),
	  { .slot = "B2", .bank = "BANK 1" } },
	{ "size not known",
	  0xFFFF,
	  0,
	  0x22,
	  0,
	  0,
	  0,
	  0,
	  STRINGS("B2\0"),
	  { .type = "DDR5", .slot = "B2" } },
	{ "texts that say nothing",
	  1024,
	  0,
	  0x22,
	  4800,
	  0,
	  4800,
	  0xF0,
	  STRINGS("C1\0 \0Not Specified\0000000000\0Unknown\0To Be Filled By O.E.M.\0"),
	  { .bytes = 1ULL << 30,
	    .speed = 4800,
	    .rated_speed = 4800,
	    .type = "DDR5",
	    .slot = "C1" } },
	{ "letters that are none",
	  1024,
	  0,
	  0x22,
	  0,
	  0,
	  0,
	  0,
	  STRINGS("D\xff\n1\0"),
	  { .bytes = 1ULL << 30, .type = "DDR5", .slot = "D??1" } },
};

static void put_word(unsigned char *at, unsigned value)
{
	at[0] = (unsigned char)value;
	at[1] = (unsigned char)(value >> 8);
}

/* Returns its length. */
static size_t build_dimm(unsigned char *out, const struct dimm_case *c)
{
	enum { LENGTH = 0x5C };

	memset(out, 0, LENGTH);
	out[0] = 17;
	out[1] = LENGTH;
	put_word(out + 0x0C, c->size);
	out[0x10] = 1;
	out[0x11] = 2;
	out[0x12] = (unsigned char)c->type;
	put_word(out + 0x15, c->speed);
	out[0x17] = 3;
	out[0x18] = 4;
	out[0x19] = 5;
	out[0x1A] = 6;
	out[0x1B] = (unsigned char)c->attributes;
	put_word(out + 0x1C, c->extended_size);
	put_word(out + 0x1E, c->extended_size >> 16);
	put_word(out + 0x20, c->configured);
	put_word(out + 0x54, c->extended_speed);
	put_word(out + 0x56, c->extended_speed >> 16);
	memcpy(out + LENGTH, c->strings, c->strings_len); /* ends in the second NUL of a C string */
	return LENGTH + c->strings_len;
}

static void decodes_memory_devices(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dimm_cases); i++) {
		const struct smbios_dimm *want = &dimm_cases[i].want;
		unsigned char table[512];
		struct smbios s;

		print_message("  %s\n", dimm_cases[i].name);
		assert_int_equal(smbios_parse(table, build_dimm(table, &dimm_cases[i]), &s), 0);
		assert_int_equal(s.dimm_count, 1);
		assert_true(s.dimms[0].bytes == want->bytes);
		assert_int_equal(s.dimms[0].speed, want->speed);
		assert_int_equal(s.dimms[0].rated_speed, want->rated_speed);
		assert_int_equal(s.dimms[0].ranks, want->ranks);
		assert_string_equal(s.dimms[0].type ? s.dimms[0].type : "",
				    want->type ? want->type : "");
		assert_string_equal(s.dimms[0].slot, want->slot);
		assert_string_equal(s.dimms[0].bank, want->bank);
		assert_string_equal(s.dimms[0].vendor, want->vendor);
		assert_string_equal(s.dimms[0].serial, want->serial);
		assert_string_equal(s.dimms[0].model, want->model);
		smbios_release(&s);
	}
}

static const struct {
	const char *name, *table;
	size_t len;
	int result, dimms;
} damaged[] = {
	{ "no bytes", "", 0, 0, 0 },
	{ "half a header", "\x11\x28", 2, -1, 0 },
	{ "length 0", "\x11\x00\x00\x00\x00\x00", 6, -1, 0 },
	{ "length below the header", "\x11\x03\x00\x00\x00\x00", 6, -1, 0 },
	{ "length beyond the table", "\x11\x28\x00\x00\x00\x00", 6, -1, 0 },
	{ "no end of strings",
	  "\x01\x04\x00\x00"
	  "abc",
	  7, -1, 0 },
	{ "one NUL only",
	  "\x01\x04\x00\x00"
	  "abc\0",
	  8, -1, 0 },
	{ "strings that are not there", "\x01\x08\x00\x00\x01\x02\x03\x09\0\0", 10, 0, 0 },
	{ "a string number out of range",
	  "\x01\x08\x00\x00\xff\x02\x03\xfe"
	  "ab\0\0",
	  12, 0, 0 },
	{ "a memory device of 4 bytes", "\x11\x04\x00\x00\0\0", 6, 0, 1 },
	{ "bytes behind the end", "\x7f\x04\x00\x00\0\0\x11\x28", 8, 0, 0 },
	{ "flash memory among the modules",
	  "\x11\x15\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\x09\0\0\0\0", 23, 0, 0 },
	{ "damage after a module", "\x11\x04\x00\x00\0\0\x11\x00\0\0\0\0", 12, -1, 1 },
};

static void survives_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		unsigned char *copy = malloc(damaged[i].len + !damaged[i].len);
		struct smbios s;

		print_message("  %s\n", damaged[i].name);
		assert_non_null(copy);
		memcpy(copy, damaged[i].table, damaged[i].len);
		assert_int_equal(smbios_parse(copy, damaged[i].len, &s), damaged[i].result);
		assert_int_equal(s.dimm_count, damaged[i].dimms);
		smbios_release(&s);
		free(copy);
	}
}

/* Every cut and every byte changed at random: no claim but that nothing is read outside. */
static void survives_mutation(void **state)
{
	unsigned char table[1024];
	uint64_t seed = 7;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		len += build_dimm(table + len, &dimm_cases[i]);
	for (size_t round = 0; round < 20 * len; round++) {
		size_t keep = round < len ? round : len;
		unsigned char *copy = malloc(keep + 1);
		struct smbios s;

		assert_non_null(copy);
		copy = realloc(copy, keep ? keep : 1);
		assert_non_null(copy);
		memcpy(copy, table, keep);
		if (round >= len)
			copy[random_next(&seed) % keep] = (unsigned char)random_next(&seed);
		smbios_parse(copy, keep, &s);
		assert_in_range(s.dimm_count, 0, 5);
		smbios_release(&s);
		free(copy);
	}
}

static void bounds_the_slots(void **state)
{
	enum { SLOTS = 3000, EACH = 6 };
	unsigned char *table = calloc(SLOTS, EACH);
	struct smbios s;

	(void)state;
	assert_non_null(table);
	for (size_t i = 0; i < SLOTS; i++)
		memcpy(table + i * EACH, "\x11\x04\x00\x00\0\0", EACH);
	assert_int_equal(smbios_parse(table, (size_t)SLOTS * EACH, &s), -1);
	assert_int_equal(s.dimm_count, SMBIOS_SLOTS_MOST);
	smbios_release(&s);
	free(table);
}

static void tells_equal_slots_apart(void **state)
{
	static const struct dimm_case twins[] = {
		{ "twin",
		  1024,
		  0,
		  0x22,
		  0,
		  0,
		  0,
		  0,
		  STRINGS("DIMM 0\0P0 CHANNEL A\0"),
		  { .ranks = 0 } },
		{ "twin",
		  1024,
		  0,
		  0x22,
		  0,
		  0,
		  0,
		  0,
		  STRINGS("DIMM 0\0P0 CHANNEL B\0"),
		  { .ranks = 0 } },
		{ "twin",
		  1024,
		  0,
		  0x22,
		  0,
		  0,
		  0,
		  0,
		  STRINGS("DIMM 1\0P0 CHANNEL B\0"),
		  { .ranks = 0 } },
	};
	unsigned char table[1024];
	struct smbios s;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(twins); i++)
		len += build_dimm(table + len, &twins[i]);
	assert_int_equal(smbios_parse(table, len, &s), 0);
	assert_string_equal(s.dimms[0].slot, "P0 CHANNEL A DIMM 0");
	assert_string_equal(s.dimms[1].slot, "P0 CHANNEL B DIMM 0");
	assert_string_equal(s.dimms[2].slot, "DIMM 1");
	smbios_release(&s);
}

static const struct {
	const char *name, *data;
	size_t len;
	const char *want; /* NULL: not there */
} vpd_cases[] = {
	{ "serial number",
	  "\x82\x02\0CX\x90\x0c\0PN\x01"
	  "ASN\x05MT12 \x78",
	  20, "MT12" },
	{ "none",
	  "\x82\x02\0CX\x90\x04\0PN\x01"
	  "A\x78",
	  13, NULL },
	{ "length beyond the field", "\x90\x05\0SN\x09MT\x78", 9, NULL },
	{ "length beyond the data", "\x90\xff\0SN\x02MT\x78", 9, NULL },
	{ "half a tag", "\x90\x05", 2, NULL },
	{ "ends before", "\x78\x90\x05\0SN\x02MT", 9, NULL },
	{ "no bytes", "", 0, NULL },
	{ "erased", "\xff\xff\xff\xff", 4, NULL },
};

static void finds_vpd_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vpd_cases); i++) {
		unsigned char *copy = malloc(vpd_cases[i].len + !vpd_cases[i].len);
		char out[64] = "";
		int got;

		print_message("  %s\n", vpd_cases[i].name);
		assert_non_null(copy);
		memcpy(copy, vpd_cases[i].data, vpd_cases[i].len);
		got = vpd_find(copy, vpd_cases[i].len, "SN", out, sizeof(out));
		assert_int_equal(got, vpd_cases[i].want ? 0 : -1);
		if (vpd_cases[i].want)
			assert_string_equal(out, vpd_cases[i].want);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_memory_devices),  cmocka_unit_test(survives_damage),
		cmocka_unit_test(survives_mutation),       cmocka_unit_test(bounds_the_slots),
		cmocka_unit_test(tells_equal_slots_apart), cmocka_unit_test(finds_vpd_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
