/*
 * counters.c - error counters: memory controllers, machine checks, throttling, PCIe, GPUs.
 *
 * A counter that the machine does not keep is absent and never zero: zero would read as "no
 * errors".
 */
#include "kernels/pci.h"

#ifdef HAVE_CUDA
#include "kernels/nvml.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sink {
	struct machine *m;
	counter_fn *put;
	void *arg;
};

/* The number in a small file. 0, or -1 if there is none. */
static int number_in(const struct machine *m, double *value, const char *folder, const char *file)
{
	char *line = machine_line(m, "%s/%s", folder, file), *end = NULL;
	double got = line ? strtod(line, &end) : 0;
	int found = line && end != line ? 0 : -1;

	free(line);
	if (found == 0)
		*value = got;
	return found;
}

static void file_counter(const struct sink *s, const char *part, const char *name,
			 const char *folder, const char *file)
{
	double value;

	if (number_in(s->m, &value, folder, file) == 0)
		s->put(s->arg, part, name, value);
}

/* ---- memory controllers (Documentation/admin-guide/RAS) ------------------------------------ */

static void edac_dimm(void *arg, const char *folder)
{
	const struct sink *s = arg;
	char *label = machine_line(s->m, "%s/dimm_label", folder);
	char *part = xasprintf("dimm:%s", label && *label ? label : strrchr(folder, '/') + 1);

	file_counter(s, part, "edac_ce", folder, "dimm_ce_count");
	file_counter(s, part, "edac_ue", folder, "dimm_ue_count");
	free(part);
	free(label);
}

/* Errors that the controller could not give to a module count here, or all where it knows no
 * modules. */
static void edac_controller(void *arg, const char *folder)
{
	const struct sink *s = arg;
	char *dimms = xasprintf("%s/dimm[0-9]*", folder),
	     *ranks = xasprintf("%s/rank[0-9]*", folder);
	char *part = xasprintf("memory:%s", strrchr(folder, '/') + 1);
	int known = machine_each(s->m, dimms, edac_dimm, arg) +
		    machine_each(s->m, ranks, edac_dimm, arg);

	file_counter(s, part, "edac_ce", folder, known ? "ce_noinfo_count" : "ce_count");
	file_counter(s, part, "edac_ue", folder, known ? "ue_noinfo_count" : "ue_count");
	free(part);
	free(ranks);
	free(dimms);
}

/* ---- processors ---------------------------------------------------------------------------- */

/* Sum of a row of /proc/interrupts. MCE are exceptions; MCP, below it, are mere polls. */
static void machine_checks(const struct sink *s)
{
	size_t len;
	char *text = machine_text(s->m, "/proc/interrupts", &len);
	const char *row = text ? strstr(text, " MCE:") : NULL;
	double sum = 0;

	if (row) {
		char *at = (char *)row + strlen(" MCE:"), *end;

		for (;; at = end) {
			unsigned long count = strtoul(at, &end, 10);

			if (end == at || *at == '\n')
				break;
			sum += (double)count;
		}
		s->put(s->arg, "", "mce", sum);
	}
	free(text);
}

static const struct {
	const char *name, *file;
} throttles[] = {
	{ "throttle", "core_throttle_count" },
	{ "throttle_package", "package_throttle_count" },
};

/* Each processor counts for itself; the sum over a socket only ever grows, which is all we need. */
static void socket_throttles(const struct sink *s, hwloc_obj_t socket)
{
	char part[24], folder[80];
	double value;
	int cpu;

	snprintf(part, sizeof(part), "socket%u", socket->logical_index);
	for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
		double sum = 0;
		int found = 0;

		hwloc_bitmap_foreach_begin(cpu, socket->cpuset)
		{
			snprintf(folder, sizeof(folder),
				 "/sys/devices/system/cpu/cpu%d/thermal_throttle", cpu);
			if (number_in(s->m, &value, folder, throttles[i].file) < 0)
				continue;
			sum += value;
			found++;
		}
		hwloc_bitmap_foreach_end();
		if (found)
			s->put(s->arg, part, throttles[i].name, sum);
	}
}

/* ---- memory pages -------------------------------------------------------------------------- */

static void poisoned_memory(const struct sink *s)
{
	size_t len;
	char *text = machine_text(s->m, "/proc/meminfo", &len);
	char *kib = text ? field_of(text, "HardwareCorrupted") : NULL;

	if (kib)
		s->put(s->arg, "", "hwpoison_bytes", strtod(kib, NULL) * 1024);
	free(kib);
	free(text);
}

/* ---- PCIe advanced error reporting (Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats) */

static const struct {
	const char *name, *file, *total;
} aers[] = {
	{ "aer_correctable", "aer_dev_correctable", "TOTAL_ERR_COR" },
	{ "aer_fatal", "aer_dev_fatal", "TOTAL_ERR_FATAL" },
	{ "aer_nonfatal", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL" },
};

static void aer_counters(const struct sink *s, const struct pci_part *part)
{
	for (size_t i = 0; *part->address && i < ARRAY_SIZE(aers); i++) {
		char *path = xasprintf(PCI_DEVICES "/%s/%s", part->address, aers[i].file);
		size_t len;
		char *text = machine_text(s->m, path, &len);
		const char *total = text ? strstr(text, aers[i].total) : NULL;
		double value;

		if (total && sscanf(total + strlen(aers[i].total), "%lf", &value) == 1)
			s->put(s->arg, part->name, aers[i].name, value);
		free(text);
		free(path);
	}
}

int machine_counters(struct machine *m, counter_fn *put, void *arg, struct error *err)
{
	struct sink s = { .m = m, .put = put, .arg = arg };
	hwloc_obj_t socket = NULL;
	struct pci_parts parts;
	int failed = pci_parts_list(m, &parts, err);

	machine_each(m, "/sys/devices/system/edac/mc/mc[0-9]*", edac_controller, &s);
	machine_checks(&s);
	while ((socket = hwloc_get_next_obj_by_type(m->topology, HWLOC_OBJ_PACKAGE, socket)))
		socket_throttles(&s, socket);
	poisoned_memory(&s);
	for (int i = 0; !failed && i < parts.count; i++)
		aer_counters(&s, &parts.items[i]);
	pci_parts_release(&parts);
#ifdef HAVE_CUDA
	nvml_counters(m, 0, put, arg);
#endif
	return failed;
}
