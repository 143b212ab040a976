/*
 * smbios.h - what firmware says of the system and its memory modules. Private to kernels/.
 *
 * Decodes a table as DMTF DSP0134 ("SMBIOS Reference Specification") 3.6 lays it out. Nothing
 * outside [table, table + len) is ever read, whatever the table says.
 */
#ifndef ASSAY_SMBIOS_H
#define ASSAY_SMBIOS_H

#include "harness/base/base.h"

enum { SMBIOS_TEXT = 80, SMBIOS_SLOTS_MOST = 1024 };

/* A memory slot; an empty one has 0 bytes. Numbers are 0 and texts empty where firmware tells
 * nothing. */
struct smbios_dimm {
	uint64_t bytes;
	unsigned speed, rated_speed; /* MT/s; speed is the configured one */
	unsigned ranks;
	const char *type; /* "DDR5", NULL if not known */
	char slot[2 * SMBIOS_TEXT];
	char bank[SMBIOS_TEXT], vendor[SMBIOS_TEXT], model[SMBIOS_TEXT], serial[SMBIOS_TEXT];
};

struct smbios {
	char vendor[SMBIOS_TEXT], product[SMBIOS_TEXT], serial[SMBIOS_TEXT], board[SMBIOS_TEXT];
	char bios[SMBIOS_TEXT], bios_date[SMBIOS_TEXT];
	struct smbios_dimm *dimms; /* every slot, in the order of the table */
	int dimm_count;
};

/*
 * Fills *out from the table. 0, or -1 if the table is damaged: *out then holds what came before the
 * damage. To be released in both cases.
 */
int smbios_parse(const unsigned char *table, size_t len, struct smbios *out);
void smbios_release(struct smbios *s);
/* Whether a text only says that nobody filled it in ("To Be Filled By O.E.M."). */
int smbios_says_nothing(const char *text);

#endif
