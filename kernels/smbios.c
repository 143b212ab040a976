/*
 * smbios.c - the decoder of SMBIOS tables.
 *
 * The kernel has already followed the entry point and cut the table to its length, and every
 * structure tells its own length: fields that an older firmware lacks read as 0, so no version is
 * looked at.
 */
#include "kernels/smbios.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* DSP0134 clause 6.1.2: type, length, handle. */
enum { HEADER = 4, TYPE_BIOS = 0, TYPE_SYSTEM = 1, TYPE_BOARD = 2, TYPE_DIMM = 17, TYPE_END = 127 };

/* One structure: `length` bytes of fields, then its strings up to `end`. */
struct structure {
	const unsigned char *at, *end;
	unsigned type, length;
};

static unsigned byte_at(const struct structure *s, unsigned offset)
{
	return offset < s->length ? s->at[offset] : 0;
}

static unsigned word_at(const struct structure *s, unsigned offset)
{
	return byte_at(s, offset) | byte_at(s, offset + 1) << 8;
}

static unsigned dword_at(const struct structure *s, unsigned offset)
{
	return word_at(s, offset) | word_at(s, offset + 2) << 16;
}

static const char *const nothing[] = {
	"0123456789",
	"Asset-1234567890",
	"Default string",
	"Empty",
	"N/A",
	"NO DIMM",
	"Not Available",
	"Not Specified",
	"None",
	"OEM",
	"System Product Name",
	"System Serial Number",
	"System manufacturer",
	"To Be Filled By O.E.M.",
	"Undefined",
	"Unknown",
	"Unspecified",
};

int smbios_says_nothing(const char *text)
{
	size_t dull = strspn(text, " .-_0xX");

	if (!text[dull])
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
		if (!strcasecmp(text, nothing[i]))
			return 1;
	return 0;
}

/* The string whose number stands at `offset`, trimmed; empty if there is none or it says nothing.
 */
static void string_at(const struct structure *s, unsigned offset, char *out, size_t room)
{
	const unsigned char *at = s->at + s->length;
	unsigned number = byte_at(s, offset);
	size_t n = 0, skip = 0;

	*out = '\0';
	if (!number)
		return;
	for (; number > 1 && at < s->end && *at; number--)
		at += strnlen((const char *)at, (size_t)(s->end - at)) + 1;
	if (at >= s->end)
		return;
	n = strnlen((const char *)at, (size_t)(s->end - at));
	while (skip < n && at[skip] == ' ')
		skip++;
	while (n > skip && at[n - 1] == ' ')
		n--;
	n -= skip;
	if (n >= room)
		n = room - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = isascii(at[skip + i]) && isprint(at[skip + i]) ? (char)at[skip + i] : '?';
	out[n] = '\0';
	if (smbios_says_nothing(out))
		*out = '\0';
}

/* DSP0134 clause 7.1. */
static void read_bios(const struct structure *s, struct smbios *out)
{
	string_at(s, 0x05, out->bios, sizeof(out->bios));
	string_at(s, 0x08, out->bios_date, sizeof(out->bios_date));
}

/* DSP0134 clause 7.2. */
static void read_system(const struct structure *s, struct smbios *out)
{
	string_at(s, 0x04, out->vendor, sizeof(out->vendor));
	string_at(s, 0x05, out->product, sizeof(out->product));
	string_at(s, 0x07, out->serial, sizeof(out->serial));
}

/* DSP0134 clause 7.3. Blades have several; the first is the main board. */
static void read_board(const struct structure *s, struct smbios *out)
{
	if (!*out->board)
		string_at(s, 0x05, out->board, sizeof(out->board));
}

/* DSP0134 clause 7.18.2. */
static const struct {
	unsigned code;
	const char *name;
} memory_types[] = {
	{ 0x18, "DDR3" },   { 0x1A, "DDR4" },   { 0x1B, "LPDDR" },  { 0x1C, "LPDDR2" },
	{ 0x1D, "LPDDR3" }, { 0x1E, "LPDDR4" }, { 0x1F, "NVDIMM" }, { 0x20, "HBM" },
	{ 0x21, "HBM2" },   { 0x22, "DDR5" },   { 0x23, "LPDDR5" }, { 0x24, "HBM3" },
};

static const char *memory_type(unsigned code)
{
	for (size_t i = 0; i < ARRAY_SIZE(memory_types); i++)
		if (memory_types[i].code == code)
			return memory_types[i].name;
	return NULL;
}

/* DSP0134 clauses 7.18 and 7.18.5: 0 is an empty slot, FFFFh not known, 7FFFh "look at 1Ch". */
static uint64_t dimm_bytes(const struct structure *s)
{
	unsigned size = word_at(s, 0x0C);

	if (size == 0xFFFF)
		return 0;
	if (size == 0x7FFF)
		return (uint64_t)(dword_at(s, 0x1C) & 0x7FFFFFFF) << 20;
	return size & 0x8000 ? (uint64_t)(size & 0x7FFF) << 10 : (uint64_t)size << 20;
}

/* DSP0134 clause 7.18.4: FFFFh means "look at the extended field"; both are MT/s. */
static unsigned dimm_speed(const struct structure *s, unsigned offset, unsigned extended)
{
	unsigned speed = word_at(s, offset);

	return speed == 0xFFFF ? dword_at(s, extended) & 0x7FFFFFFF : speed;
}

/* DSP0134 clause 7.18. */
static void read_dimm(const struct structure *s, struct smbios *out)
{
	unsigned type = byte_at(s, 0x12);
	struct smbios_dimm *dimm;

	if (type >= 0x08 &&
	    type <= 0x0C) /* ROM, flash and their kin: firmware lists them here too */
		return;
	out->dimms = grow(out->dimms, (size_t)out->dimm_count, sizeof(*out->dimms));
	dimm = &out->dimms[out->dimm_count++];
	memset(dimm, 0, sizeof(*dimm));
	dimm->bytes = dimm_bytes(s);
	dimm->rated_speed = dimm_speed(s, 0x15, 0x54);
	dimm->speed = dimm_speed(s, 0x20, 0x58);
	dimm->ranks = byte_at(s, 0x1B) & 0x0F;
	dimm->type = memory_type(type);
	string_at(s, 0x10, dimm->slot, SMBIOS_TEXT);
	string_at(s, 0x11, dimm->bank, sizeof(dimm->bank));
	string_at(s, 0x17, dimm->vendor, sizeof(dimm->vendor));
	string_at(s, 0x18, dimm->serial, sizeof(dimm->serial));
	string_at(s, 0x1A, dimm->model, sizeof(dimm->model));
}

static const struct {
	unsigned type;
	void (*read)(const struct structure *s, struct smbios *out);
} readers[] = {
	{ TYPE_BIOS, read_bios },
	{ TYPE_SYSTEM, read_system },
	{ TYPE_BOARD, read_board },
	{ TYPE_DIMM, read_dimm },
};

/* Finds the structure at `at` and where it ends (after two zero bytes). 0, or -1 if it is damaged.
 */
static int structure_at(const unsigned char *at, const unsigned char *stop, struct structure *s)
{
	const unsigned char *end;

	if (stop - at < HEADER || at[1] < HEADER || stop - at < at[1])
		return -1;
	s->at = at;
	s->type = at[0];
	s->length = at[1];
	for (end = at + s->length; stop - end >= 2; end++)
		if (!end[0] && !end[1]) {
			s->end = end + 1;
			return 0;
		}
	return -1;
}

/* Some boards call a slot of every channel "DIMM 0"; with the bank in front it is one slot again.
 */
static void name_slots(struct smbios *s)
{
	for (int i = 0; i < s->dimm_count; i++) {
		char first[SMBIOS_TEXT];
		int twins = 0;

		snprintf(first, sizeof(first), "%.*s", SMBIOS_TEXT - 1, s->dimms[i].slot);
		for (int k = i + 1; k < s->dimm_count; k++)
			if (!strcmp(s->dimms[k].slot, first) && ++twins && *s->dimms[k].bank)
				snprintf(s->dimms[k].slot, sizeof(s->dimms[k].slot), "%s %s",
					 s->dimms[k].bank, first);
		if (twins && *s->dimms[i].bank)
			snprintf(s->dimms[i].slot, sizeof(s->dimms[i].slot), "%s %s",
				 s->dimms[i].bank, first);
	}
}

static int walk(const unsigned char *at, const unsigned char *stop, struct smbios *out)
{
	struct structure s;

	for (; at < stop; at = s.end + 1) {
		if (structure_at(at, stop, &s) < 0)
			return -1;
		if (s.type == TYPE_END)
			return 0;
		for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
			if (readers[i].type == s.type)
				readers[i].read(&s, out);
		if (out->dimm_count == SMBIOS_SLOTS_MOST)
			return -1;
	}
	return 0;
}

int smbios_parse(const unsigned char *table, size_t len, struct smbios *out)
{
	int broken;

	memset(out, 0, sizeof(*out));
	broken = walk(table, table + len, out);
	name_slots(out);
	return broken;
}

void smbios_release(struct smbios *s)
{
	free(s->dimms);
	s->dimms = NULL;
	s->dimm_count = 0;
}
