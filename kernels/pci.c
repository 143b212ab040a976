/*
 * pci.c - PCI devices and links, read from /sys/bus/pci/devices.
 *
 * sysfs only, no libpci: it tells all that is needed without root except vital product data and
 * extended configuration space, and it can be recorded as a tree of files.
 */
#include "kernels/pci.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VENDOR_INTEL = 0x8086, VENDOR_AMD = 0x1002, VENDOR_NVIDIA = 0x10de };

/*
 * Class codes of the PCI Code and ID Assignment Specification; 0 as vendor stands for any. A card
 * for a screen gets its number behind those that compute, or it would move all of theirs.
 */
static const struct pci_kind {
	enum part_kind kind;
	unsigned vendor, class, mask;
	int rank;
} kinds[] = {
	{ PART_GPU, VENDOR_NVIDIA, 0x0302, 0xffff, 0 },
	{ PART_GPU, VENDOR_NVIDIA, 0x0300, 0xffff, 2 },
	{ PART_GPU, VENDOR_AMD, 0x0300, 0xffff, 2 },
	{ PART_GPU, VENDOR_AMD, 0x0302, 0xffff, 1 },
	{ PART_GPU, VENDOR_AMD, 0x0380, 0xffff, 1 },
	{ PART_GPU, VENDOR_AMD, 0x1200, 0xffff, 1 },
	/* Intel's 0300 is the graphics inside a processor. */
	{ PART_GPU, VENDOR_INTEL, 0x0380, 0xffff, 1 },
	{ PART_GPU, VENDOR_INTEL, 0x1200, 0xffff, 1 },
	{ PART_NIC, 0, 0x0200, 0xff00, 0 },
};

/* ---- listing ------------------------------------------------------------------------------- */

static unsigned hex_file(const struct machine *m, const char *address, const char *file)
{
	char *line = machine_line(m, PCI_DEVICES "/%s/%s", address, file);
	unsigned value = line ? (unsigned)strtoul(line, NULL, 16) : 0;

	free(line);
	return value;
}

static int exists(const struct machine *m, const char *address, const char *file)
{
	char *path = machine_path(m, PCI_DEVICES "/%s/%s", address, file);
	int there = access(path, F_OK) == 0;

	free(path);
	return there;
}

/* NULL if the device is none of our parts. */
static const struct pci_kind *kind_of(const struct machine *m, const char *address)
{
	unsigned class = hex_file(m, address, "class") >> 8,
		 vendor = hex_file(m, address, "vendor");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((!kinds[i].vendor || kinds[i].vendor == vendor) &&
		    (class & kinds[i].mask) == kinds[i].class && !exists(m, address, "physfn"))
			return &kinds[i];
	return NULL;
}

static int is_address(const char *name)
{
	unsigned domain, bus, device, function;
	int used = 0;

	return sscanf(name, "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &used) == 4 &&
	       !name[used] && used < 16;
}

static void part_add(struct pci_parts *parts, enum part_kind kind, int rank, const char *address)
{
	struct pci_part *part;

	parts->items = grow(parts->items, (size_t)parts->count, sizeof(*parts->items));
	part = &parts->items[parts->count++];
	memset(part, 0, sizeof(*part));
	part->kind = kind;
	part->rank = rank;
	snprintf(part->address, sizeof(part->address), "%.15s", address);
}

/* The last PCI address in a resolved path, skipping `skip` of them from the end; "" if there is
 * none. */
static void address_in(char *path, int skip, char out[16])
{
	char *slash;

	*out = '\0';
	while ((slash = strrchr(path, '/'))) {
		if (is_address(slash + 1) && skip-- == 0) {
			snprintf(out, 16, "%.15s", slash + 1);
			return;
		}
		*slash = '\0';
	}
}

static void resolve(const struct machine *m, const char *path, int skip, char out[16])
{
	char *full = machine_path(m, "%s", path), *real = realpath(full, NULL);

	*out = '\0';
	if (real)
		address_in(real, skip, out);
	free(real);
	free(full);
}

/* A multipath NVMe disk hangs on a virtual subsystem, whose controllers are links beside it. */
static void disk_address(const struct machine *m, const char *device, char out[16])
{
	char *path = xasprintf("/sys/block/%s/device", device);
	glob_t found;

	resolve(m, path, 0, out);
	if (!*out) {
		machine_glob(m, &found, "%s/nvme*", path);
		for (size_t i = 0; i < found.gl_pathc && !*out; i++)
			resolve(m, found.gl_pathv[i], 0, out);
		globfree(&found);
	}
	free(path);
}

static int part_order(const void *a, const void *b)
{
	const struct pci_part *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->address, y->address);
}

struct listing {
	struct machine *m;
	struct pci_parts *parts;
};

static void device_add(void *arg, const char *name)
{
	const struct listing *l = arg;
	const struct pci_kind *kind = is_address(name) ? kind_of(l->m, name) : NULL;

	if (kind)
		part_add(l->parts, kind->kind, kind->rank, name);
}

static int devices_list(struct machine *m, struct pci_parts *parts, struct error *err)
{
	struct listing l = { m, parts };

	if (machine_list(m, PCI_DEVICES, device_add, &l, err) < 0)
		return -1;
	if (parts->count)
		qsort(parts->items, (size_t)parts->count, sizeof(*parts->items), part_order);
	return 0;
}

int pci_parts_list(struct machine *m, struct pci_parts *parts, struct error *err)
{
	int next[PART_KIND_COUNT] = { 0 };
	char address[16];

	memset(parts, 0, sizeof(*parts));
	if (devices_list(m, parts, err) < 0)
		return -1;
	for (int i = 0; i < m->host.disk_count; i++) {
		disk_address(m, m->host.disks[i].device, address);
		part_add(parts, PART_DISK, 0, address);
	}
	for (int i = 0; i < parts->count; i++) {
		struct pci_part *part = &parts->items[i];

		part->number = next[part->kind]++;
		snprintf(part->name, sizeof(part->name), "%s%d", part_kind_name(part->kind),
			 part->number);
		if (*part->address) {
			part->vendor = hex_file(m, part->address, "vendor");
			part->device = hex_file(m, part->address, "device");
		}
	}
	return 0;
}

void pci_parts_release(struct pci_parts *parts)
{
	free(parts->items);
	memset(parts, 0, sizeof(*parts));
}

/* ---- links --------------------------------------------------------------------------------- */

/* Words of drivers/pci/probe.c pci_speed_string(); older kernels leave "PCIe" out, or the ".0". */
static const struct {
	double gts;
	int gen;
} generations[] = {
	{ 2.5, 1 }, { 5, 2 }, { 8, 3 }, { 16, 4 }, { 32, 5 }, { 64, 6 },
};

static int link_gen(const struct machine *m, const char *address, const char *file)
{
	char *line = machine_line(m, PCI_DEVICES "/%s/%s", address, file), *end;
	double gts = line ? strtod(line, &end) : 0;
	int gen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(generations); i++)
		if (line && end != line && gts == generations[i].gts)
			gen = generations[i].gen;
	free(line);
	return gen;
}

/* PCI Express Base Specification: lanes are 1 to 32; the kernel shows 0, 63 and 255 for "not
 * known". */
static int link_width(const struct machine *m, const char *address, const char *file)
{
	char *line = machine_line(m, PCI_DEVICES "/%s/%s", address, file);
	long width = line ? strtol(line, NULL, 10) : 0;

	free(line);
	return width >= 1 && width <= 32 ? (int)width : 0;
}

static int lesser(int a, int b)
{
	return a && b ? (a < b ? a : b) : a + b;
}

void pci_link_read(const struct machine *m, const struct pci_part *part, struct pcie_link *link)
{
	char path[64], up[16];

	memset(link, 0, sizeof(*link));
	snprintf(link->part, sizeof(link->part), "%.15s", part->name);
	snprintf(link->pci, sizeof(link->pci), "%s", part->address);
	if (!*part->address)
		return;
	snprintf(path, sizeof(path), PCI_DEVICES "/%s", part->address);
	resolve(m, path, 1, up);
	link->width = link_width(m, part->address, "current_link_width");
	link->gen = link_gen(m, part->address, "current_link_speed");
	link->width_max = link_width(m, part->address, "max_link_width");
	link->gen_max = link_gen(m, part->address, "max_link_speed");
	if (*up && link->width_max)
		link->width_max = lesser(link->width_max, link_width(m, up, "max_link_width"));
	if (*up && link->gen_max)
		link->gen_max = lesser(link->gen_max, link_gen(m, up, "max_link_speed"));
}

int machine_pcie_links(struct machine *m, struct pcie_link *links, int room, struct error *err)
{
	struct pci_parts parts;
	int count = 0;

	if (pci_parts_list(m, &parts, err) < 0) {
		pci_parts_release(&parts);
		return -1;
	}
	for (int i = 0; i < parts.count; i++) {
		if (!*parts.items[i].address)
			continue;
		if (count < room)
			pci_link_read(m, &parts.items[i], &links[count]);
		count++;
	}
	pci_parts_release(&parts);
	return count;
}

/* ---- vital product data -------------------------------------------------------------------- */

/* Fields of one VPD-R: two letters, a length, then the text. */
static int vpd_field(const unsigned char *at, size_t len, const char *keyword, char *out,
		     size_t room)
{
	for (size_t i = 0; i + 3 <= len; i += 3 + at[i + 2]) {
		size_t n = at[i + 2], used = 0;

		if (memcmp(at + i, keyword, 2) != 0)
			continue;
		if (i + 3 + n > len)
			return -1;
		while (n && (at[i + 2 + n] == ' ' || !at[i + 2 + n]))
			n--;
		for (size_t k = 0; k < n && used + 1 < room; k++)
			out[used++] = (char)at[i + 3 + k];
		out[used] = '\0';
		return used ? 0 : -1;
	}
	return -1;
}

int vpd_find(const unsigned char *data, size_t len, const char *keyword, char *out, size_t room)
{
	enum { LARGE = 0x80, VPD_R = 0x90, END = 0x78, LENGTH_BITS = 0x07 };
	size_t at = 0;

	while (at < len && (data[at] & ~LENGTH_BITS) != END) {
		int large = data[at] & LARGE;
		size_t head = large ? 3 : 1, n;

		if (len - at < head)
			return -1;
		n = large ? data[at + 1] | (size_t)data[at + 2] << 8 : data[at] & LENGTH_BITS;
		if (len - at - head < n)
			return -1;
		if (data[at] == VPD_R)
			return vpd_field(data + at + head, n, keyword, out, room);
		at += head + n;
	}
	return -1;
}

/* ---- access control services --------------------------------------------------------------- */

/*
 * PCI Express Base 5.0: extended capabilities begin at 100h (7.6), ACS is 000Dh (7.7.8), its
 * control register lies at 6, bit 2 redirects peer-to-peer requests and bit 3 completions. 1, 0, or
 * -1 where the space ends before the bridge's capabilities could be seen.
 */
static int acs_redirects(const unsigned char *config, size_t len)
{
	enum { FIRST = 0x100, ACS = 0x0D, REDIRECT = 0x0C, CAPABILITIES_MOST = 960 };
	size_t at = FIRST;

	if (len <= 64)
		return -1;
	for (int i = 0; i < CAPABILITIES_MOST && at >= FIRST && at + 8 <= len; i++) {
		if ((config[at] | config[at + 1] << 8) == ACS)
			return (config[at + 6] & REDIRECT) != 0;
		at = (size_t)(config[at + 2] >> 4 | config[at + 3] << 4) & ~(size_t)3;
	}
	return 0;
}

static int acs_of(const struct machine *m, const char *address, struct text *on, struct error *err)
{
	char *path = xasprintf(PCI_DEVICES "/%s/config", address);
	size_t len = 0;
	char *config = machine_text(m, path, &len);
	int code = errno, redirects = config ? acs_redirects((unsigned char *)config, len) : 0;

	if (!config)
		error_set(err, "cannot read %s: %s", path, strerror(code));
	else if (redirects < 0)
		error_set(err, "needs root: %s", path);
	else if (redirects)
		text_addf(on, "%s%s", on->len ? "," : "", address);
	free(path);
	free(config);
	return config && redirects >= 0 ? 0 : -1;
}

int pci_acs(struct machine *m, char **value, struct error *err)
{
	enum { BRIDGE = 0x0604 };
	glob_t found;
	struct text on;
	int bridges = 0, failed = 0;

	text_init(&on);
	machine_glob(m, &found, PCI_DEVICES "/*");
	for (size_t i = 0; i < found.gl_pathc && !failed; i++) {
		const char *address = strrchr(found.gl_pathv[i], '/') + 1;

		if (hex_file(m, address, "class") >> 8 != BRIDGE)
			continue;
		bridges++;
		failed = acs_of(m, address, &on, err);
	}
	globfree(&found);
	if (!failed)
		*value = on.len    ? xasprintf("on: %s", on.data)
			 : bridges ? xstrdup("off")
				   : xstrdup("absent");
	text_release(&on);
	return failed;
}
