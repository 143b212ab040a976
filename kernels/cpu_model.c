/*
 * cpu_model.c - what the ports of known cores allow: FMA ports x lanes x 2 a cycle.
 *
 * Sources: Intel 64 and IA-32 Architectures Optimization Reference Manual (248966), chapters on
 * each core and on AMX (one TDPBF16PS, 16384 operations, in 16 cycles); AMD Software Optimization
 * Guides for families 17h (55723, 56305), 19h (56665, 57647) and 1Ah (58455); the model numbers are
 * those of arch/x86/include/asm/intel-family.h and arch/x86/kernel/cpu/amd.c in Linux. A core that
 * is not here, or that comes in two sizes under one model, is unknown: a guess would turn into a
 * verdict.
 */
#include "kernels/cpu.h"

#include <cpuid.h>
#include <string.h>

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"

/* The first row that fits is taken. Last column: AVX2, AVX-512, AMX. */
static const struct cpu_model models[] = {
	{ INTEL, 6, 0x3c, 0x3c, NULL, "Haswell", { 16 } },
	{ INTEL, 6, 0x45, 0x46, NULL, "Haswell", { 16 } },
	{ INTEL, 6, 0x3f, 0x3f, NULL, "Haswell server", { 16 } },
	{ INTEL, 6, 0x3d, 0x3d, NULL, "Broadwell", { 16 } },
	{ INTEL, 6, 0x47, 0x47, NULL, "Broadwell", { 16 } },
	{ INTEL, 6, 0x4f, 0x4f, NULL, "Broadwell server", { 16 } },
	{ INTEL, 6, 0x56, 0x56, NULL, "Broadwell server", { 16 } },
	{ INTEL, 6, 0x4e, 0x4e, NULL, "Skylake", { 16 } },
	{ INTEL, 6, 0x5e, 0x5e, NULL, "Skylake", { 16 } },
	{ INTEL, 6, 0x8e, 0x8e, NULL, "Kaby Lake", { 16 } },
	{ INTEL, 6, 0x9e, 0x9e, NULL, "Kaby Lake", { 16 } },
	{ INTEL, 6, 0xa5, 0xa6, NULL, "Comet Lake", { 16 } },
	/* Port 5 has its FMA only in some of these (Intel ARK, "# of AVX-512 FMA Units"). */
	{ INTEL, 6, 0x55, 0x55, "Platinum", "Skylake server", { 16, 32 } },
	{ INTEL, 6, 0x55, 0x55, "Gold 6", "Skylake server", { 16, 32 } },
	{ INTEL, 6, 0x55, 0x55, NULL, "Skylake server", { 16 } },
	{ INTEL, 6, 0x6a, 0x6a, NULL, "Ice Lake server", { 16, 32 } },
	{ INTEL, 6, 0x7d, 0x7e, NULL, "Ice Lake", { 16, 16 } },
	{ INTEL, 6, 0x8c, 0x8d, NULL, "Tiger Lake", { 16, 16 } },
	{ INTEL, 6, 0xa7, 0xa7, NULL, "Rocket Lake", { 16, 16 } },
	{ INTEL, 6, 0x8f, 0x8f, NULL, "Sapphire Rapids", { 16, 32, 1024 } },
	{ INTEL, 6, 0xcf, 0xcf, NULL, "Emerald Rapids", { 16, 32, 1024 } },
	{ INTEL, 6, 0xad, 0xae, NULL, "Granite Rapids", { 16, 32, 1024 } },
	{ AMD, 0x17, 0x00, 0x2f, NULL, "Zen", { 8 } },
	{ AMD, 0x17, 0x30, 0x3f, NULL, "Zen 2 server", { 16 } },
	{ AMD, 0x17, 0x60, 0x7f, NULL, "Zen 2", { 16 } },
	{ AMD, 0x17, 0x90, 0x91, NULL, "Zen 2", { 16 } },
	{ AMD, 0x17, 0xa0, 0xaf, NULL, "Zen 2", { 16 } },
	{ AMD, 0x19, 0x00, 0x0f, NULL, "Zen 3 server", { 16 } },
	{ AMD, 0x19, 0x20, 0x5f, NULL, "Zen 3", { 16 } },
	/* Zen 4 runs a 512-bit operation as two of 256 bits. */
	{ AMD, 0x19, 0x10, 0x1f, NULL, "Zen 4 server", { 16, 16 } },
	{ AMD, 0x19, 0x60, 0x7f, NULL, "Zen 4", { 16, 16 } },
	{ AMD, 0x19, 0xa0, 0xaf, NULL, "Zen 4c server", { 16, 16 } },
	{ AMD, 0x1a, 0x00, 0x1f, NULL, "Zen 5 server", { 16, 32 } },
	/* The mobile Zen 5 of Strix Point kept the data path of Zen 4. */
	{ AMD, 0x1a, 0x20, 0x2f, NULL, "Zen 5 mobile", { 16, 16 } },
	{ AMD, 0x1a, 0x40, 0x4f, NULL, "Zen 5", { 16, 32 } },
};

const struct cpu_model *cpu_model_find(const char *vendor, unsigned family, unsigned model,
				       const char *brand)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		const struct cpu_model *m = &models[i];

		if (strcmp(m->vendor, vendor) == 0 && m->family == family && m->first <= model &&
		    model <= m->last && (!m->brand || strstr(brand, m->brand)))
			return m;
	}
	return NULL;
}

static void read_vendor(char vendor[13])
{
	unsigned a, b = 0, c = 0, d = 0;

	__get_cpuid(0, &a, &b, &c, &d);
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &c, 4);
	vendor[12] = '\0';
}

static void read_brand(char brand[49])
{
	unsigned words[12] = { 0 };

	for (unsigned i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
			    &words[4 * i + 3]);
	memcpy(brand, words, sizeof(words));
	brand[48] = '\0';
}

const struct cpu_model *cpu_model_here(void)
{
	char vendor[13], brand[49];
	unsigned a = 0, b, c, d;

	read_vendor(vendor);
	read_brand(brand);
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return NULL;

	/* SDM volume 2, CPUID, figure 3-6: the extended fields count where the short ones are full.
	 */
	unsigned family = a >> 8 & 0xf, model = a >> 4 & 0xf;

	if (family == 6 || family == 15)
		model |= a >> 12 & 0xf0;
	if (family == 15)
		family += a >> 20 & 0xff;
	return cpu_model_find(vendor, family, model, brand);
}
