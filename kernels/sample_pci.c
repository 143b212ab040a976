/*
 * sample_pci.c - PCIe links and advanced error reporting of GPUs, NICs and disks.
 *
 * Errors are those that the part itself counted; what the port above it saw is in the kernel's log.
 */
#include "kernels/sample.h"

/* Words of Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats. */
static const struct {
	struct sample_series series;
	struct reading reading;
	const char *file;
} rows[] = {
	{ { .name = "pcie_gts", .kind = SERIES_STATE, .unit = 0.5 }, { 0 }, "current_link_speed" },
	{ { .name = "pcie_lanes", .kind = SERIES_STATE, .unit = 1 }, { 0 }, "current_link_width" },
	{ { .name = "aer_correctable", .kind = SERIES_ERRORS, .unit = 1 },
	  { .key = "TOTAL_ERR_COR" },
	  "aer_dev_correctable" },
	{ { .name = "aer_nonfatal", .kind = SERIES_ERRORS, .unit = 1 },
	  { .key = "TOTAL_ERR_NONFATAL" },
	  "aer_dev_nonfatal" },
	{ { .name = "aer_fatal", .kind = SERIES_ERRORS, .unit = 1 },
	  { .key = "TOTAL_ERR_FATAL" },
	  "aer_dev_fatal" },
};

/* Its own counters and XIDs come by NVML, which a program without GPU code does not open. */
static void say_unwatched(struct source *s, const struct pci_part *part)
{
#ifndef HAVE_CUDA
	enum { NVIDIA = 0x10de };

	if (part->kind == PART_GPU && part->vendor == NVIDIA)
		source_tell(s, part->name, "hole", "not watched: this program has no GPU code");
#else
	(void)s;
	(void)part;
#endif
}

static void pci_open(struct source *s)
{
	for (int i = 0; i < s->parts->count; i++) {
		const struct pci_part *part = &s->parts->items[i];

		say_unwatched(s, part);
		for (size_t k = 0; *part->address && k < ARRAY_SIZE(rows); k++)
			source_watch(s, part->name, &rows[k].series, &rows[k].reading,
				     PCI_DEVICES "/%s/%s", part->address, rows[k].file);
	}
}

/* A device that is gone answers its configuration space late, so a thread of its own. */
const struct source_kind sample_pci = {
	.name = "PCIe links and errors (sysfs)",
	.apart = 1,
	.open = pci_open,
};
