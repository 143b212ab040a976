/*
 * devices.c - the facts of GPUs, NICs and disks.
 *
 * A fact that only root or a driver's library can read becomes a hole in words. Being unable to
 * read a serial number must never look like a part without one.
 */
#include "kernels/pci.h"

#ifdef HAVE_CUDA
#include "kernels/nvml_inside.h"
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------- */

/* The name of a device in the text of pci.ids: "vvvv  Vendor", below it "<tab>dddd  Device". */
static char *ids_name(const char *ids, unsigned vendor, unsigned device)
{
	char maker[8], product[8];
	int inside = 0;

	snprintf(maker, sizeof(maker), "%04x  ", vendor & 0xffff);
	snprintf(product, sizeof(product), "\t%04x  ", device & 0xffff);
	for (const char *line = ids; line; line = next_line(line)) {
		if (*line == '#' || *line == '\n')
			continue;
		if (*line != '\t' && inside)
			return NULL;
		if (*line != '\t')
			inside = !strncmp(line, maker, 6);
		else if (inside && !strncmp(line, product, 7))
			return xstrndup(line + 7, strcspn(line + 7, "\n"));
	}
	return NULL;
}

static char *model_of(const struct facts *f, const struct pci_part *part)
{
	size_t len;
	char *ids = machine_text(f->m, "/usr/share/misc/pci.ids", &len);
	char *model = ids ? ids_name(ids, part->vendor, part->device) : NULL;

	free(ids);
	return model ? model : xasprintf("%04x:%04x", part->vendor, part->device);
}

/* First name that matches a pattern below a device ("net" + any name), or NULL; the caller frees
 * it. */
static char *first_below(const struct machine *m, const char *address, const char *pattern)
{
	char *name = NULL;
	glob_t found;

	if (machine_glob(m, &found, PCI_DEVICES "/%s/%s", address, pattern) == 0)
		name = xstrdup(strrchr(found.gl_pathv[0], '/') + 1);
	globfree(&found);
	return name;
}

static void number_put(const struct facts *f, const char *part, const char *key, int value)
{
	if (value)
		fact_put(f, part, key, "%d", value);
}

static void link_facts(const struct facts *f, const struct pci_part *part)
{
	char *path = machine_path(f->m, PCI_DEVICES "/%s/driver", part->address);
	char *numa = machine_line(f->m, PCI_DEVICES "/%s/numa_node", part->address);
	char *driver = realpath(path, NULL);
	struct pcie_link link;

	pci_link_read(f->m, part, &link);
	fact_put(f, part->name, "pci", "%s", part->address);
	number_put(f, part->name, "link_width", link.width);
	number_put(f, part->name, "link_gen", link.gen);
	number_put(f, part->name, "link_width_max", link.width_max);
	number_put(f, part->name, "link_gen_max", link.gen_max);
	if (numa && *numa != '-') /* -1: firmware tells no node */
		fact_put(f, part->name, "numa", "%s", numa);
	if (driver)
		fact_put(f, part->name, "driver", "%s", strrchr(driver, '/') + 1);
	else
		fact_hole(f, part->name, "driver", "no driver is bound to %s", part->address);
	free(driver);
	free(numa);
	free(path);
}

static void vpd_serial(const struct facts *f, const struct pci_part *part)
{
	char *path = xasprintf(PCI_DEVICES "/%s/vpd", part->address), serial[128];
	size_t len = 0;
	char *data = machine_text(f->m, path, &len);

	if (!data)
		fact_unread(f, part->name, "serial", errno, path);
	else if (vpd_find((const unsigned char *)data, len, "SN", serial, sizeof(serial)) == 0)
		fact_put(f, part->name, "serial", "%s", serial);
	else
		fact_hole(f, part->name, "serial", "no serial number in %s", path);
	free(data);
	free(path);
}

static void gpu_nvidia(const struct facts *f, const struct pci_part *part, const char *info)
{
	char *model = field_of(info, "Model"), *firmware = field_of(info, "Video BIOS");

	if (model)
		fact_put(f, part->name, "model", "%s", model);
	else
		fact_hole(f, part->name, "model", "the driver tells no model of %s", part->address);
	if (firmware && !strchr(firmware, '?')) /* "??.??.??.??.??" until the GPU is first used */
		fact_put(f, part->name, "firmware", "%s", firmware);
	else
		fact_hole(f, part->name, "firmware",
			  "the driver has not read the VBIOS version of %s yet", part->address);
	free(model);
	free(firmware);
}

/* What amdgpu shows in sysfs, and the name of the PCI ids for all others. */
static void gpu_other(const struct facts *f, const struct pci_part *part)
{
	char *product = machine_line(f->m, PCI_DEVICES "/%s/product_name", part->address);
	char *model = product && *product ? xstrdup(product) : model_of(f, part);
	char *path = xasprintf(PCI_DEVICES "/%s/vbios_version", part->address);

	fact_put(f, part->name, "model", "%s", model);
	fact_file(f, part->name, "firmware", path);
	free(path);
	free(model);
	free(product);
}

enum { VENDOR_NVIDIA = 0x10de };

#ifdef HAVE_CUDA
/* 1 if NVML told all there is to tell; else what only NVML tells of an NVIDIA GPU is holes. */
static int gpu_from_driver(const struct facts *f, const struct pci_part *part)
{
	char why[200];
	struct error err;
	struct nvml *n = nvml_open(f->m, &err);

	if (n && nvml_facts(n, f, part->name, part->address) == 0)
		return 1;
	if (part->vendor != VENDOR_NVIDIA)
		return 0;
	if (n) {
		nvml_health(f->m, part->address, why, sizeof(why));
		error_set(&err, "NVML does not list %s%s%s", part->address, *why ? ": " : "", why);
	}
	nvml_holes(f, part->name, err.text);
	return 0;
}

/* GPUs that NVML shows and sysfs does not, as in some containers; and the driver itself. */
static void driver_facts(const struct facts *f, const struct pci_parts *parts)
{
	struct error ignored; /* told by nvml_node_facts() */
	struct nvml *n = nvml_open(f->m, &ignored);
	int nvidia = 0;

	for (int i = 0; i < parts->count; i++)
		nvidia +=
			parts->items[i].kind == PART_GPU && parts->items[i].vendor == VENDOR_NVIDIA;
	nvml_node_facts(f, nvidia);
	for (int i = 0; n && i < n->device_count; i++) {
		const struct nvml_device *d = &n->devices[i];
		int in_sysfs = 0;
		char part[16];

		for (int k = 0; k < parts->count; k++)
			in_sysfs |= !strcmp(parts->items[k].address, d->pci);
		if (in_sysfs)
			continue;
		snprintf(part, sizeof(part), "gpu%d", d->number);
		nvml_facts(n, f, part, d->pci);
		fact_put(f, part, "pci", "%s", d->pci);
		fact_hole(f, part, "link_width", "sysfs does not show %s here", d->pci);
		fact_hole(f, part, "link_gen", "sysfs does not show %s here", d->pci);
	}
}
#else
static int gpu_from_driver(const struct facts *f, const struct pci_part *part)
{
	(void)f;
	(void)part;
	return 0;
}

static void driver_facts(const struct facts *f, const struct pci_parts *parts)
{
	(void)f;
	(void)parts;
}
#endif

/* What files tell of a GPU. */
static void gpu_from_files(const struct facts *f, const struct pci_part *part)
{
	char *path = xasprintf("/proc/driver/nvidia/gpus/%s/information", part->address);
	size_t len;
	char *info = machine_text(f->m, path, &len);
	char *serial = machine_line(f->m, PCI_DEVICES "/%s/serial_number", part->address);

	if (info)
		gpu_nvidia(f, part, info);
	else
		gpu_other(f, part);
	if (serial && *serial)
		fact_put(f, part->name, "serial", "%s", serial);
	else
		fact_hole(f, part->name, "serial",
			  "no file tells the serial number of %s; the GPU's driver library does",
			  part->address);
	free(serial);
	free(info);
	free(path);
}

static void gpu_facts(const struct facts *f, const struct pci_part *part)
{
	if (!gpu_from_driver(f, part))
		gpu_from_files(f, part);
	link_facts(f, part);
}

/* A port as RDMA sees it: "4: ACTIVE", "400 Gb/sec (4X NDR)". */
static void rdma_facts(const struct facts *f, const struct pci_part *part, const char *rdma)
{
	const char *base = "/sys/class/infiniband";
	char *state = machine_line(f->m, "%s/%s/ports/1/state", base, rdma);
	char *rate = machine_line(f->m, "%s/%s/ports/1/rate", base, rdma);
	char *paths[] = { xasprintf("%s/%s/fw_ver", base, rdma),
			  xasprintf("%s/%s/node_guid", base, rdma),
			  xasprintf("%s/%s/ports/1/link_layer", base, rdma) };
	double gbs;

	fact_put(f, part->name, "rdma", "%s", rdma);
	fact_file(f, part->name, "firmware", paths[0]);
	fact_file(f, part->name, "guid", paths[1]);
	fact_file(f, part->name, "layer", paths[2]);
	if (state)
		fact_put(f, part->name, "state", "%s",
			 strchr(state, ':') ? strchr(state, ':') + 1 : state);
	else
		fact_hole(f, part->name, "state", "not there: %s/%s/ports/1/state", base, rdma);
	if (rate && sscanf(rate, "%lf Gb/sec", &gbs) == 1)
		fact_put(f, part->name, "rate", "%g Gb/s", gbs);
	else
		fact_hole(f, part->name, "rate", "%s tells no rate of its port 1", rdma);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		free(paths[i]);
	free(rate);
	free(state);
}

/* The port of a plain network card. `speed` cannot be read while the link is down. */
static void netdev_facts(const struct facts *f, const struct pci_part *part, const char *netdev)
{
	char *state = machine_line(f->m, "/sys/class/net/%s/operstate", netdev);
	char *speed = machine_line(f->m, "/sys/class/net/%s/speed", netdev);
	char *type = machine_line(f->m, "/sys/class/net/%s/type", netdev);
	long mbs = speed ? strtol(speed, NULL, 10) : 0;

	if (state) /* in the words that RDMA has for it */
		fact_put(f, part->name, "state", "%s",
			 !strcmp(state, "up")     ? "ACTIVE"
			 : !strcmp(state, "down") ? "DOWN"
						  : state);
	if (type && !strcmp(type, "1")) /* ARPHRD_ETHER */
		fact_put(f, part->name, "layer", "Ethernet");
	if (mbs > 0 && mbs % 1000 == 0)
		fact_put(f, part->name, "rate", "%ld Gb/s", mbs / 1000);
	else if (mbs > 0)
		fact_put(f, part->name, "rate", "%ld Mb/s", mbs);
	else
		fact_hole(f, part->name, "rate", "%s tells no speed (%s)", netdev,
			  state ? state : "state unknown");
	fact_hole(f, part->name, "firmware", "no file tells the firmware of %s", netdev);
	free(type);
	free(speed);
	free(state);
}

/* Soft-RoCE lies below no PCI device; it names the interface that carries it. The caller frees it.
 */
static char *rdma_over(const struct machine *m, const char *netdev)
{
	char *name = NULL;
	glob_t found;

	machine_glob(m, &found, "/sys/class/infiniband/*/parent");
	for (size_t i = 0; i < found.gl_pathc && !name; i++) {
		char *path = found.gl_pathv[i], *parent = machine_line(m, "%s", path);

		*strrchr(path, '/') = '\0';
		if (parent && !strcmp(parent, netdev))
			name = xstrdup(strrchr(path, '/') + 1);
		free(parent);
	}
	globfree(&found);
	return name;
}

void nic_names_read(const struct machine *m, const char *address, struct nic_names *names)
{
	names->netdev = first_below(m, address, "net/*");
	names->rdma = first_below(m, address, "infiniband/*");
	names->is_soft = 0;
	if (!names->netdev)
		names->netdev = first_below(m, address, "virtio*/net/*");
	if (!names->rdma && names->netdev) {
		names->rdma = rdma_over(m, names->netdev);
		names->is_soft = names->rdma != NULL;
	}
}

void nic_names_release(struct nic_names *names)
{
	free(names->netdev);
	free(names->rdma);
}

static void nic_facts(const struct facts *f, const struct pci_part *part)
{
	enum { VENDOR_VIRTIO = 0x1af4 };
	struct nic_names names;
	char *model = part->vendor == VENDOR_VIRTIO ? xstrdup("virtio") : model_of(f, part);

	nic_names_read(f->m, part->address, &names);
	fact_put(f, part->name, "model", "%s", model);
	vpd_serial(f, part);
	if (names.netdev)
		fact_put(f, part->name, "netdev", "%s", names.netdev);
	if (names.rdma)
		rdma_facts(f, part, names.rdma);
	else if (names.netdev)
		netdev_facts(f, part, names.netdev);
	else
		fact_hole(f, part->name, "state", "no driver made a network or RDMA device of %s",
			  part->address);
	link_facts(f, part);
	free(model);
	nic_names_release(&names);
}

static void disk_facts(const struct facts *f, const struct pci_part *part)
{
	const struct host_disk *disk = &f->m->host.disks[part->number];
	char *model = machine_line(f->m, "/sys/block/%s/device/model", disk->device);
	char *spin = machine_line(f->m, "/sys/block/%s/queue/rotational", disk->device);
	const char *revision = !strcmp(disk->bus, "nvme") ? "firmware_rev" : "rev";
	char *path = xasprintf("/sys/block/%s/device/%s", disk->device, revision);

	fact_put(f, part->name, "device", "%s", disk->device);
	fact_put(f, part->name, "model", "%s", model ? model : disk->bus);
	if (*disk->serial)
		fact_put(f, part->name, "serial", "%s", disk->serial);
	else
		fact_hole(f, part->name, "serial", "%s tells no serial number", disk->device);
	fact_file(f, part->name, "firmware", path);
	fact_bytes(f, part->name, "size", disk->bytes);
	fact_put(f, part->name, "bus", "%s", disk->bus);
	if (spin)
		fact_put(f, part->name, "rotational", "%s", strcmp(spin, "0") ? "yes" : "no");
	if (*part->address)
		link_facts(f, part);
	free(path);
	free(spin);
	free(model);
}

int pci_facts(const struct facts *f, struct error *err)
{
	static void (*const readers[PART_KIND_COUNT])(const struct facts *,
						      const struct pci_part *) = {
		[PART_GPU] = gpu_facts,
		[PART_NIC] = nic_facts,
		[PART_DISK] = disk_facts,
	};
	struct pci_parts parts;
	int failed = pci_parts_list(f->m, &parts, err);

	for (int i = 0; !failed && i < parts.count; i++)
		readers[parts.items[i].kind](f, &parts.items[i]);
	if (!failed)
		driver_facts(f, &parts);
	pci_parts_release(&parts);
	return failed;
}
