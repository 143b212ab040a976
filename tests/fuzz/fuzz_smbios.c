/* fuzz_smbios.c - any bytes as the tables of a firmware, in memory of exactly their size. */
#include "kernels/smbios.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_end(const char *s, size_t room)
{
	if (!memchr(s, '\0', room))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *table = xcalloc(size, 1);
	struct smbios s;

	memcpy(table, data, size);
	smbios_parse(table, size, &s);
	must_end(s.vendor, sizeof(s.vendor));
	must_end(s.bios_date, sizeof(s.bios_date));
	if (s.dimm_count > SMBIOS_SLOTS_MOST)
		abort();
	for (int i = 0; i < s.dimm_count; i++) {
		must_end(s.dimms[i].slot, sizeof(s.dimms[i].slot));
		must_end(s.dimms[i].serial, sizeof(s.dimms[i].serial));
		smbios_says_nothing(s.dimms[i].model);
	}
	smbios_release(&s);
	free(table);
	return 0;
}
