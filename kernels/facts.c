/*
 * facts.c - the facts of the node itself, its sockets, NUMA nodes and memory modules.
 *
 * SMBIOS tables need root. Without it the node's own names come from /sys/class/dmi/id, and "dimm"
 * as a part without a number gets one hole: the modules could not even be listed.
 */
#include "kernels/facts.h"
#include "kernels/pci.h"
#include "kernels/smbios.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- handing over -------------------------------------------------------------------------- */

void fact_put(const struct facts *f, const char *part, const char *key, const char *fmt, ...)
{
	struct text t;
	char *raw, *from;
	va_list args;

	va_start(args, fmt);
	raw = xvasprintf(fmt, args);
	va_end(args);
	from = raw + strspn(raw, " \t");
	for (size_t n = strlen(from); n && isspace((unsigned char)from[n - 1]);)
		from[--n] = '\0';
	text_init(&t);
	text_add_printable(&t, from);
	if (t.len)
		f->put(f->arg, part, key, t.data, NULL);
	else
		f->put(f->arg, part, key, NULL, "the system leaves it empty");
	text_release(&t);
	free(raw);
}

void fact_bytes(const struct facts *f, const char *part, const char *key, uint64_t bytes)
{
	if (bytes && bytes % (1ULL << 30) == 0)
		fact_put(f, part, key, "%llu GiB", (unsigned long long)bytes >> 30);
	else if (bytes && bytes % (1ULL << 20) == 0)
		fact_put(f, part, key, "%llu MiB", (unsigned long long)bytes >> 20);
	else
		fact_put(f, part, key, "%llu B", (unsigned long long)bytes);
}

void fact_hole(const struct facts *f, const char *part, const char *key, const char *fmt, ...)
{
	va_list args;
	char *why;

	va_start(args, fmt);
	why = xvasprintf(fmt, args);
	va_end(args);
	f->put(f->arg, part, key, NULL, why);
	free(why);
}

void fact_unread(const struct facts *f, const char *part, const char *key, int code,
		 const char *path)
{
	if (code == EACCES || code == EPERM)
		fact_hole(f, part, key, "needs root: %s", path);
	else if (code == ENOENT || code == ENOTDIR)
		fact_hole(f, part, key, "not there: %s", path);
	else
		fact_hole(f, part, key, "cannot read %s: %s", path, strerror(code));
}

void fact_file(const struct facts *f, const char *part, const char *key, const char *path)
{
	char *line = machine_line(f->m, "%s", path);

	if (line)
		fact_put(f, part, key, "%s", line);
	else
		fact_unread(f, part, key, errno, path);
	free(line);
}

char *field_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = next_line(line)) {
		const char *at = line + n;

		if (strncmp(line, name, n) != 0)
			continue;
		at += strspn(at, " \t");
		if (*at != ':')
			continue;
		at += 1 + strspn(at + 1, " \t");
		return xstrndup(at, strcspn(at, "\n"));
	}
	return NULL;
}

/* ---- firmware ------------------------------------------------------------------------------ */

/* Where the node's names stand in SMBIOS, and the file that shows each without the table. */
static const struct {
	const char *key;
	size_t offset;
	const char *path;
} names[] = {
	{ "vendor", offsetof(struct smbios, vendor), "/sys/class/dmi/id/sys_vendor" },
	{ "product", offsetof(struct smbios, product), "/sys/class/dmi/id/product_name" },
	{ "serial", offsetof(struct smbios, serial), "/sys/class/dmi/id/product_serial" },
	{ "board", offsetof(struct smbios, board), "/sys/class/dmi/id/board_name" },
	{ "bios", offsetof(struct smbios, bios), "/sys/class/dmi/id/bios_version" },
	{ "bios_date", offsetof(struct smbios, bios_date), "/sys/class/dmi/id/bios_date" },
};

static const char unfilled[] = "the firmware does not fill it in";

static void word_put(const struct facts *f, const char *part, const char *key, const char *word)
{
	if (word && *word)
		fact_put(f, part, key, "%s", word);
	else
		fact_hole(f, part, key, "%s", unfilled);
}

static void speed_put(const struct facts *f, const char *part, const char *key, unsigned speed)
{
	if (speed)
		fact_put(f, part, key, "%u MT/s", speed);
	else
		fact_hole(f, part, key, "%s", unfilled);
}

static void dimm_facts(const struct facts *f, int number, const struct smbios_dimm *dimm)
{
	char part[16];

	if (!dimm->bytes)
		return;
	snprintf(part, sizeof(part), "dimm%02d", number);
	word_put(f, part, "slot", dimm->slot);
	fact_bytes(f, part, "size", dimm->bytes);
	word_put(f, part, "type", dimm->type);
	speed_put(f, part, "speed", dimm->speed);
	speed_put(f, part, "rated_speed", dimm->rated_speed);
	if (dimm->ranks)
		fact_put(f, part, "ranks", "%u", dimm->ranks);
	else
		fact_hole(f, part, "ranks", "%s", unfilled);
	word_put(f, part, "vendor", dimm->vendor);
	word_put(f, part, "model", dimm->model);
	word_put(f, part, "serial", dimm->serial);
}

static void table_facts(const struct facts *f, const char *path, const char *table, size_t len)
{
	struct smbios s;
	int broken = smbios_parse((const unsigned char *)table, len, &s);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		word_put(f, "", names[i].key, (const char *)&s + names[i].offset);
	for (int i = 0; i < s.dimm_count; i++)
		dimm_facts(f, i, &s.dimms[i]);
	if (broken)
		fact_hole(f, "dimm", "size", "damaged after %d memory slots: %s", s.dimm_count,
			  path);
	else if (!s.dimm_count)
		fact_hole(f, "dimm", "size", "no memory slot in %s", path);
	smbios_release(&s);
}

static void name_from_file(const struct facts *f, const char *key, const char *path)
{
	char *line = machine_line(f->m, "%s", path);

	if (!line)
		fact_unread(f, "", key, errno, path);
	else
		word_put(f, "", key, smbios_says_nothing(line) ? NULL : line);
	free(line);
}

static void firmware_facts(const struct facts *f)
{
	static const char path[] = "/sys/firmware/dmi/tables/DMI";
	size_t len = 0;
	char *table = machine_text(f->m, path, &len);

	if (table) {
		table_facts(f, path, table, len);
	} else {
		fact_unread(f, "dimm", "size", errno, path);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			name_from_file(f, names[i].key, names[i].path);
	}
	free(table);
}

static void bmc_facts(const struct facts *f)
{
	glob_t found;

	if (machine_glob(f->m, &found, "/sys/devices/platform/ipmi_bmc.*/firmware_revision") == 0)
		fact_file(f, "", "bmc", found.gl_pathv[0]);
	else
		fact_hole(f, "", "bmc", "no BMC that the kernel knows of (is ipmi_si loaded?)");
	globfree(&found);
}

/* ---- software ------------------------------------------------------------------------------ */

/* What a vendor of virtual machines writes where a maker's name stands on bare metal. */
static const struct {
	const char *vendor, *name;
} hypervisors[] = {
	{ "Amazon EC2", "amazon" }, { "Google", "google" }, { "Microsoft Corporation", "hyperv" },
	{ "QEMU", "qemu" },         { "VMware", "vmware" }, { "Xen", "xen" },
};

static const char *hypervisor_by_vendor(const char *vendor)
{
	for (size_t i = 0; vendor && i < ARRAY_SIZE(hypervisors); i++)
		if (!strncmp(vendor, hypervisors[i].vendor, strlen(hypervisors[i].vendor)))
			return hypervisors[i].name;
	return "unknown";
}

static int has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (strcspn(at, " ") == n && !strncmp(at, word, n))
			return 1;
	return 0;
}

static void hypervisor_facts(const struct facts *f, const char *cpuinfo)
{
	char *flags = cpuinfo ? field_of(cpuinfo, "flags") : NULL;
	char *type = machine_line(f->m, "/sys/hypervisor/type");
	char *vendor = machine_line(f->m, "/sys/class/dmi/id/sys_vendor");

	if (type)
		fact_put(f, "", "hypervisor", "%s", type);
	else if (!flags)
		fact_hole(f, "", "hypervisor", "/proc/cpuinfo tells no flags here");
	else
		fact_put(f, "", "hypervisor", "%s",
			 has_word(flags, "hypervisor") ? hypervisor_by_vendor(vendor) : "none");
	free(vendor);
	free(type);
	free(flags);
}

/* PRETTY_NAME of os-release(5), without its quotes. */
static void os_facts(const struct facts *f)
{
	static const char *const paths[] = { "/etc/os-release", "/usr/lib/os-release" };
	static const char key[] = "PRETTY_NAME=";
	char *text = NULL;
	const char *at;
	size_t len;

	for (size_t i = 0; !text && i < ARRAY_SIZE(paths); i++)
		text = machine_text(f->m, paths[i], &len);
	at = text ? strstr(text, key) : NULL;
	if (at) {
		at += strlen(key);
		at += strspn(at, "\"'");
		fact_put(f, "", "os", "%.*s", (int)strcspn(at, "\"'\n"), at);
	} else {
		fact_hole(f, "", "os", "no PRETTY_NAME in %s", paths[0]);
	}
	free(text);
}

static void memory_facts(const struct facts *f)
{
	size_t len;
	char *info = machine_text(f->m, "/proc/meminfo", &len);
	char *total = info ? field_of(info, "MemTotal") : NULL;

	if (total)
		fact_bytes(f, "", "memory", strtoull(total, NULL, 10) * 1024);
	else
		fact_hole(f, "", "memory", "no MemTotal in /proc/meminfo");
	free(total);
	free(info);
}

/* ---- processors ---------------------------------------------------------------------------- */

static int count_type(const struct facts *f, hwloc_obj_type_t type, hwloc_const_bitmap_t inside)
{
	return hwloc_get_nbobjs_inside_cpuset_by_type(f->m->topology, inside, type);
}

static void count_put(const struct facts *f, const char *part, const char *key, int count)
{
	if (count > 0)
		fact_put(f, part, key, "%d", count);
	else
		fact_hole(f, part, key, "hwloc tells none");
}

/* All caches of a type inside a socket, or the first one only. 0 if there is none. */
static uint64_t cache_bytes(const struct facts *f, hwloc_obj_t socket, hwloc_obj_type_t type,
			    int all)
{
	hwloc_obj_t cache = NULL;
	uint64_t bytes = 0;

	while ((cache = hwloc_get_next_obj_inside_cpuset_by_type(f->m->topology, socket->cpuset,
								 type, cache))) {
		bytes += cache->attr->cache.size;
		if (!all)
			break;
	}
	return bytes;
}

static const struct {
	const char *key;
	hwloc_obj_type_t type;
	int all;
} caches[] = {
	{ "l1d", HWLOC_OBJ_L1CACHE, 0 },
	{ "l2", HWLOC_OBJ_L2CACHE, 0 },
	{ "l3", HWLOC_OBJ_L3CACHE, 1 },
};

static void cache_facts(const struct facts *f, const char *part, hwloc_obj_t socket)
{
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		uint64_t bytes = cache_bytes(f, socket, caches[i].type, caches[i].all);

		if (bytes)
			fact_bytes(f, part, caches[i].key, bytes);
	}
}

/* The block of /proc/cpuinfo for the first processor of a socket; the caller frees it. */
static char *cpuinfo_of(const char *cpuinfo, unsigned socket)
{
	const char *at = cpuinfo;
	char *found = NULL;

	while (at && *at && !found) {
		const char *end = strstr(at, "\n\n");
		char *block = xstrndup(at, end ? (size_t)(end - at) : strlen(at));
		char *id = field_of(block, "physical id");

		/* Machines of one socket may leave the id out. */
		if (!id || strtoul(id, NULL, 10) == socket)
			found = block;
		else
			free(block);
		free(id);
		at = end ? end + 2 : NULL;
	}
	return found;
}

/* The widest first. */
static const struct {
	const char *flag, *name;
} vectors[] = {
	{ "amx_tile", "amx" },
	{ "avx512f", "avx512" },
	{ "avx2", "avx2" },
};

static void vector_facts(const struct facts *f, const char *part, const char *block)
{
	char *flags = field_of(block, "flags");
	const char *name = "none";

	for (size_t i = ARRAY_SIZE(vectors); flags && i-- > 0;)
		if (has_word(flags, vectors[i].flag))
			name = vectors[i].name;
	if (flags)
		fact_put(f, part, "vector", "%s", name);
	else
		fact_hole(f, part, "vector", "/proc/cpuinfo tells no flags here");
	free(flags);
}

static const struct {
	const char *key, *field;
} cpu_fields[] = {
	{ "model", "model name" },
	{ "vendor", "vendor_id" },
	{ "microcode", "microcode" },
};

static void cpuinfo_facts(const struct facts *f, const char *part, const char *block)
{
	for (size_t i = 0; i < ARRAY_SIZE(cpu_fields); i++) {
		char *value = field_of(block, cpu_fields[i].field);

		if (value)
			fact_put(f, part, cpu_fields[i].key, "%s", value);
		else
			fact_hole(f, part, cpu_fields[i].key, "no \"%s\" in /proc/cpuinfo",
				  cpu_fields[i].field);
		free(value);
	}
	vector_facts(f, part, block);
}

static void clock_facts(const struct facts *f, const char *part, int cpu)
{
	char *path = xasprintf("/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", cpu);
	char *khz = machine_line(f->m, "%s", path);
	unsigned long value = khz ? strtoul(khz, NULL, 10) : 0;

	if (!khz)
		fact_unread(f, part, "max_clock", errno, path);
	else if (value % 1000 == 0)
		fact_put(f, part, "max_clock", "%lu MHz", value / 1000);
	else
		fact_put(f, part, "max_clock", "%lu kHz", value);
	free(khz);
	free(path);
}

static void socket_facts(const struct facts *f, hwloc_obj_t socket, const char *cpuinfo)
{
	char *block = cpuinfo ? cpuinfo_of(cpuinfo, socket->os_index) : NULL, part[24];

	snprintf(part, sizeof(part), "socket%u", socket->logical_index);
	cpuinfo_facts(f, part, block ? block : "");
	count_put(f, part, "cores", count_type(f, HWLOC_OBJ_CORE, socket->cpuset));
	count_put(f, part, "threads", count_type(f, HWLOC_OBJ_PU, socket->cpuset));
	cache_facts(f, part, socket);
	clock_facts(f, part, hwloc_bitmap_first(socket->cpuset));
	free(block);
}

static void numa_facts(const struct facts *f)
{
	hwloc_obj_t node = NULL;
	int with_memory = 0;
	char part[24];

	while ((node = hwloc_get_next_obj_by_type(f->m->topology, HWLOC_OBJ_NUMANODE, node))) {
		if (!node->attr->numanode.local_memory)
			continue;
		with_memory++;
		snprintf(part, sizeof(part), "numa%u", node->os_index);
		fact_bytes(f, part, "memory", node->attr->numanode.local_memory);
		fact_put(f, part, "threads", "%d", hwloc_bitmap_weight(node->cpuset));
	}
	count_put(f, "", "numa_nodes", with_memory);
}

static void processor_facts(const struct facts *f, const char *cpuinfo)
{
	hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(f->m->topology);
	hwloc_obj_t socket = NULL;

	count_put(f, "", "sockets", count_type(f, HWLOC_OBJ_PACKAGE, all));
	count_put(f, "", "cores", count_type(f, HWLOC_OBJ_CORE, all));
	count_put(f, "", "threads", count_type(f, HWLOC_OBJ_PU, all));
	while ((socket = hwloc_get_next_obj_by_type(f->m->topology, HWLOC_OBJ_PACKAGE, socket)))
		socket_facts(f, socket, cpuinfo);
}

int machine_facts(struct machine *m, fact_fn *put, void *arg, struct error *err)
{
	const struct facts f = { .m = m, .put = put, .arg = arg };
	size_t len;
	char *cpuinfo = machine_text(m, "/proc/cpuinfo", &len);

	firmware_facts(&f);
	bmc_facts(&f);
	fact_file(&f, "", "kernel", "/proc/sys/kernel/osrelease");
	os_facts(&f);
	hypervisor_facts(&f, cpuinfo);
	memory_facts(&f);
	processor_facts(&f, cpuinfo);
	numa_facts(&f);
	free(cpuinfo);
	return pci_facts(&f, err);
}
