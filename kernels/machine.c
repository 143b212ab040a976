/*
 * machine.c - opens a machine: its root folder, its topology and what the loads need to know of it.
 *
 * A recorded machine (a folder with /sys, /proc and /dev trees) takes the same path as a real one:
 * every file is opened below the root. The topology holds disallowed processors too, since they are
 * facts of the hardware; struct host lists only those that affinity and cgroup allow.
 */
#include "kernels/facts.h"

#ifdef HAVE_CUDA
#include "kernels/cuda.h"
#include "kernels/nvml.h"
#endif
#ifdef HAVE_VERBS
#include "kernels/verbs.h"
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512 }; /* /sys/block/X/size counts these whatever the disk's own sectors are */

const struct host_numa *machine_numa(const struct machine *m, int id)
{
	for (int i = 0; i < m->host.numa_count; i++)
		if (m->host.numas[i].id == id)
			return &m->host.numas[i];
	return NULL;
}

/* ---- topology ------------------------------------------------------------------------------ */

static int topology_load(struct machine *m, struct error *err)
{
	int failed;

	if (hwloc_topology_init(&m->topology) < 0)
		return error_sys(err, "hwloc cannot start");
	/* PCI is read by us; and cpuid would tell of this machine while a recorded one is opened.
	 */
	hwloc_topology_set_io_types_filter(m->topology, HWLOC_TYPE_FILTER_KEEP_NONE);
	hwloc_topology_set_components(m->topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
	hwloc_topology_set_flags(m->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
	/* The only way to hand hwloc another root; machines are opened before there are threads. */
	if (*m->root && setenv("HWLOC_FSROOT", m->root, 1) < 0)
		return error_sys(err, "cannot set HWLOC_FSROOT");
	failed = hwloc_topology_load(m->topology);
	if (*m->root)
		unsetenv("HWLOC_FSROOT");
	if (failed)
		return error_set(err, "hwloc cannot read the topology below %s/sys", m->root);
	return 0;
}

/* The processors that this thread may use; of a recorded machine all. The caller frees it. */
static hwloc_bitmap_t allowed_cpus(struct machine *m, struct error *err)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();

	if (!set) {
		error_set(err, "out of memory");
		return NULL;
	}
	if (*m->root) {
		hwloc_bitmap_copy(set, hwloc_topology_get_topology_cpuset(m->topology));
		return set;
	}
	if (hwloc_get_cpubind(m->topology, set, HWLOC_CPUBIND_THREAD) < 0) {
		error_sys(err, "cannot read the processor affinity of this process");
		hwloc_bitmap_free(set);
		return NULL;
	}
	hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(m->topology));
	return set;
}

static int *cpus_of(hwloc_const_bitmap_t set, int *count)
{
	int weight = hwloc_bitmap_weight(set), *cpus = xcalloc((size_t)weight, sizeof(*cpus));
	int cpu;

	*count = 0;
	hwloc_bitmap_foreach_begin(cpu, set)
	{
		cpus[(*count)++] = cpu;
	}
	hwloc_bitmap_foreach_end();
	return cpus;
}

static int numa_add(struct machine *m, hwloc_obj_t node, hwloc_const_bitmap_t allowed,
		    struct error *err)
{
	struct host *host = &m->host;
	hwloc_bitmap_t both = hwloc_bitmap_alloc();
	struct host_numa *numa;

	if (!both)
		return error_set(err, "out of memory");
	host->numas = grow(host->numas, (size_t)host->numa_count, sizeof(*host->numas));
	numa = &host->numas[host->numa_count++];
	numa->id = (int)node->os_index;
	numa->bytes = node->attr->numanode.local_memory;
	hwloc_bitmap_and(both, node->cpuset, allowed);
	numa->cpus = cpus_of(both, &numa->cpu_count);
	hwloc_bitmap_free(both);
	return 0;
}

static int numa_order(const void *a, const void *b)
{
	const struct host_numa *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int host_topology(struct machine *m, struct error *err)
{
	hwloc_const_nodeset_t nodes = hwloc_topology_get_allowed_nodeset(m->topology);
	hwloc_bitmap_t allowed = allowed_cpus(m, err);
	hwloc_obj_t node = NULL;
	int failed = 0;

	if (!allowed)
		return -1;
	m->host.cpus = cpus_of(allowed, &m->host.cpu_count);
	while (!failed &&
	       (node = hwloc_get_next_obj_by_type(m->topology, HWLOC_OBJ_NUMANODE, node)))
		if (node->attr->numanode.local_memory && hwloc_bitmap_isset(nodes, node->os_index))
			failed = numa_add(m, node, allowed, err);
	hwloc_bitmap_free(allowed);
	if (failed)
		return -1;
	if (m->host.numa_count)
		qsort(m->host.numas, (size_t)m->host.numa_count, sizeof(*m->host.numas),
		      numa_order);
	return 0;
}

/* Per level, since level 2 caches of all cores can together be larger than the last level. */
static uint64_t largest_cache(hwloc_topology_t topology)
{
	uint64_t largest = 0;

	for (int type = HWLOC_OBJ_L1CACHE; type <= HWLOC_OBJ_L5CACHE; type++) {
		hwloc_obj_t cache = NULL;
		uint64_t sum = 0;

		while ((cache = hwloc_get_next_obj_by_type(topology, type, cache)))
			sum += cache->attr->cache.size;
		if (sum > largest)
			largest = sum;
	}
	return largest;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* A cgroup version's files. 'reclaimable' is page cache that gives way, as in MemAvailable. */
static const struct cgroup_files {
	const char *fstype, *controller, *limit, *usage, *reclaimable;
} cgroup_files[] = {
	{ "cgroup2", "", "memory.max", "memory.current", "inactive_file" },
	{ "cgroup", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	  "total_inactive_file" },
};

static int word_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == n && !strncmp(at, word, n))
			return 1;
	return !*list && !n;
}

/* The number after "name" and blanks or a colon at the start of a line; 0, or -1 if not there. */
static int number_after(const char *data, const char *name, uint64_t *value)
{
	size_t n = strlen(name);
	unsigned long long number;

	for (const char *line = data; line; line = next_line(line))
		if (!strncmp(line, name, n) && strchr(": \t", line[n]) &&
		    sscanf(line + n + 1, "%llu", &number) == 1) {
			*value = number;
			return 0;
		}
	return -1;
}

/* Our group below a mount of this version ("/slurm/job_7"), from /proc/self/cgroup. Caller frees.
 */
static char *cgroup_own(const char *list, const struct cgroup_files *files)
{
	char *copy = xstrdup(list), *rest = copy, *line, *own = NULL;

	while (!own && (line = strsep(&rest, "\n"))) {
		char *controllers, *path;

		strsep(&line, ":");
		controllers = line ? strsep(&line, ":") : NULL;
		path = line;
		if (path && word_in(controllers, files->controller))
			own = xstrdup(path);
	}
	free(copy);
	return own;
}

/* One line of mountinfo, proc(5): root is field 4, the mount point 5, after " - " type source
 * options. */
static int cgroup_mount(char *line, const struct cgroup_files *files, char **root, char **point)
{
	char *tail = strstr(line, " - "), *fields[5] = { NULL }, *type, *options;

	if (!tail)
		return 0;
	*tail = '\0';
	tail += 3;
	type = strsep(&tail, " ");
	strsep(&tail, " ");
	options = tail ? tail : "";
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = strsep(&line, " ");
	*root = fields[3];
	*point = fields[4];
	return *point && !strcmp(type, files->fstype) &&
	       (!*files->controller || word_in(options, files->controller));
}

/* What one group leaves, UINT64_MAX if it sets no limit. */
static uint64_t cgroup_left(const struct machine *m, const struct cgroup_files *files,
			    const char *folder)
{
	char *limit_text = machine_line(m, "%s/%s", folder, files->limit);
	char *usage_text = machine_line(m, "%s/%s", folder, files->usage);
	size_t len;
	char *stat_name = xasprintf("%s/memory.stat", folder),
	     *stat = machine_text(m, stat_name, &len);
	unsigned long long limit, usage = 0;
	uint64_t left = UINT64_MAX, cache = 0;

	if (limit_text && usage_text && sscanf(limit_text, "%llu", &limit) == 1 &&
	    sscanf(usage_text, "%llu", &usage) == 1) {
		if (stat && number_after(stat, files->reclaimable, &cache) == 0)
			usage -= cache < usage ? cache : usage;
		left = limit > usage ? limit - usage : 0;
	}
	free(limit_text);
	free(usage_text);
	free(stat_name);
	free(stat);
	return left;
}

/* The least that this process's group and the groups above it leave. */
static uint64_t cgroups_left(const struct machine *m, const struct cgroup_files *files,
			     const char *point, const char *own)
{
	char *folder = xasprintf("%s%s", point, strcmp(own, "/") ? own : "");
	size_t top = strlen(point);
	uint64_t least = UINT64_MAX;

	for (;;) {
		uint64_t left = cgroup_left(m, files, folder);
		char *slash = strrchr(folder, '/');

		if (left < least)
			least = left;
		if (strlen(folder) <= top || !slash)
			break;
		*slash = '\0';
	}
	free(folder);
	return least;
}

static uint64_t cgroup_bound(const struct machine *m, const struct cgroup_files *files)
{
	size_t len;
	char *groups = machine_text(m, "/proc/self/cgroup", &len);
	char *mounts = machine_text(m, "/proc/self/mountinfo", &len);
	char *own = groups ? cgroup_own(groups, files) : NULL;
	char *rest = mounts, *line, *root, *point;
	uint64_t least = UINT64_MAX;

	while (own && rest && (line = strsep(&rest, "\n"))) {
		size_t n;

		if (!cgroup_mount(line, files, &root, &point))
			continue;
		/* In a container the mount may show a part of the tree only, from `root` on. */
		n = strcmp(root, "/") ? strlen(root) : 0;
		least = cgroups_left(m, files, point, strncmp(own, root, n) ? "/" : own + n);
		break;
	}
	free(groups);
	free(mounts);
	free(own);
	return least;
}

static int host_memory(struct machine *m, struct error *err)
{
	size_t len;
	char *info = machine_text(m, "/proc/meminfo", &len);
	uint64_t kib = 0, available;
	int found = info ? number_after(info, "MemAvailable", &kib) : -1;

	free(info);
	if (found < 0)
		return error_set(err, "%s/proc/meminfo does not say MemAvailable", m->root);
	available = kib * 1024;
	for (size_t i = 0; i < ARRAY_SIZE(cgroup_files); i++) {
		uint64_t bound = cgroup_bound(m, &cgroup_files[i]);

		if (bound < available)
			available = bound;
	}
	m->host.memory_available = available;
	return 0;
}

/* ---- disks --------------------------------------------------------------------------------- */

static const char *const not_disks[] = { "loop", "ram", "zram", "dm-", "md", "sr", "fd" };

static const struct {
	const char *prefix, *bus;
} buses[] = {
	{ "nvme", "nvme" }, { "sd", "scsi" },    { "vd", "virtio" },
	{ "xvd", "xen" },   { "mmcblk", "mmc" }, { "", "other" },
};

static const char *bus_of(const char *device)
{
	size_t i = 0;

	while (strncmp(device, buses[i].prefix, strlen(buses[i].prefix)) != 0)
		i++;
	return buses[i].bus;
}

static int flag_set(const struct machine *m, const char *device, const char *flag)
{
	char *line = machine_line(m, "/sys/block/%s/%s", device, flag);
	int set = line && !strcmp(line, "1");

	free(line);
	return set;
}

/* Not memory, not a part of another disk, not a path of a multipath disk, not what people plug in.
 */
static int disk_counts(const struct machine *m, const char *device)
{
	if (*device == '.')
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(not_disks); i++)
		if (!strncmp(device, not_disks[i], strlen(not_disks[i])))
			return 0;
	return !flag_set(m, device, "removable") && !flag_set(m, device, "hidden");
}

/* Removes white space at both ends; NULL for a text of nothing else. Takes the text over. */
static char *trimmed(char *text)
{
	char *start, *out;
	size_t len;

	if (!text)
		return NULL;
	start = text + strspn(text, " \t");
	len = strlen(start);
	while (len && strchr(" \t\n", start[len - 1]))
		len--;
	out = len ? xstrndup(start, len) : NULL;
	free(text);
	return out;
}

/* Unit serial number page (SPC-4, 7.8.13): code 80h, length in bytes 2 and 3, then the number. */
static char *scsi_serial(const struct machine *m, const char *device)
{
	char *path = machine_path(m, "/sys/block/%s/device/vpd_pg80", device), *out = NULL;
	struct error ignored;
	size_t len;
	char *page = file_read(path, 4096, &len, &ignored);

	if (page && len > 4 && (unsigned char)page[1] == 0x80) {
		size_t said = (size_t)(unsigned char)page[2] << 8 | (unsigned char)page[3];

		out = xstrndup(page + 4, said < len - 4 ? said : len - 4);
	}
	free(page);
	free(path);
	return trimmed(out);
}

char *disk_serial(const struct machine *m, const char *device)
{
	static const char *const files[] = { "device/serial", "serial" };
	char *line = machine_line(m, "/sys/block/%s/loop/backing_file", device);
	char *out = NULL;

	if (line) {
		out = xasprintf("loop:%s", line);
		free(line);
		return out;
	}
	for (size_t i = 0; !out && i < ARRAY_SIZE(files); i++)
		out = trimmed(machine_line(m, "/sys/block/%s/%s", device, files[i]));
	if (!out)
		out = scsi_serial(m, device);
	return out ? out : trimmed(machine_line(m, "/sys/block/%s/device/wwid", device));
}

static void disk_add(void *arg, const char *device)
{
	struct machine *m = arg;
	struct host *host = &m->host;
	unsigned long long sectors;
	struct host_disk *disk;
	char *size, *serial;

	if (!disk_counts(m, device))
		return;
	size = machine_line(m, "/sys/block/%s/size", device);
	sectors = size ? strtoull(size, NULL, 10) : 0;
	free(size);
	if (!sectors) /* a card reader without a card, an unused nbd */
		return;
	host->disks = grow(host->disks, (size_t)host->disk_count, sizeof(*host->disks));
	disk = &host->disks[host->disk_count++];
	memset(disk, 0, sizeof(*disk));
	snprintf(disk->device, sizeof(disk->device), "%.63s", device);
	snprintf(disk->path, sizeof(disk->path), "/dev/%s", disk->device);
	snprintf(disk->bus, sizeof(disk->bus), "%s", bus_of(device));
	disk->bytes = sectors * SECTOR;
	serial = disk_serial(m, device);
	if (serial)
		snprintf(disk->serial, sizeof(disk->serial), "%s", serial + strspn(serial, " "));
	for (size_t n = strlen(disk->serial); n && disk->serial[n - 1] == ' ';)
		disk->serial[--n] = '\0';
	free(serial);
}

/* "nvme2n1" comes before "nvme10n1", and "sdz" before "sdaa". */
static int disk_order(const void *a, const void *b)
{
	const struct host_disk *x = a, *y = b;
	int x_nvme = !strcmp(x->bus, "nvme"), y_nvme = !strcmp(y->bus, "nvme");
	size_t x_len = strlen(x->device), y_len = strlen(y->device);

	if (x_nvme != y_nvme)
		return y_nvme - x_nvme;
	if (!x_nvme && x_len != y_len)
		return x_len < y_len ? -1 : 1;
	return strverscmp(x->device, y->device);
}

/* A machine without block devices is not an error: disks stay empty. */
static int host_disks(struct machine *m, struct error *err)
{
	if (machine_list(m, "/sys/block", disk_add, m, err) < 0)
		return -1;
	if (m->host.disk_count)
		qsort(m->host.disks, (size_t)m->host.disk_count, sizeof(*m->host.disks),
		      disk_order);
	return 0;
}

/* ---- door ---------------------------------------------------------------------------------- */

struct machine *machine_open(const char *root, struct error *err)
{
	struct machine *m = xcalloc(1, sizeof(*m));
	size_t len = strlen(root);

	while (len && root[len - 1] == '/')
		len--;
	m->root = xstrndup(root, len);
	if (topology_load(m, err) < 0 || host_topology(m, err) < 0 || host_memory(m, err) < 0 ||
	    host_disks(m, err) < 0) {
		machine_close(m);
		return NULL;
	}
	m->host.last_cache_bytes = largest_cache(m->topology);
	return m;
}

void machine_close(struct machine *m)
{
	if (!m)
		return;
#ifdef HAVE_CUDA
	cuda_close(m);
	nvml_close(m);
#endif
#ifdef HAVE_VERBS
	verbs_close(m);
#endif
	free(m->gpus);
	for (int i = 0; i < m->host.numa_count; i++)
		free(m->host.numas[i].cpus);
	free(m->host.numas);
	free(m->host.disks);
	free(m->host.cpus);
	if (m->topology)
		hwloc_topology_destroy(m->topology);
	free(m->root);
	free(m);
}

const struct host *machine_host(struct machine *m)
{
	return &m->host;
}

const char *machine_double_of(struct machine *m)
{
	const char *what = NULL;

#ifdef HAVE_CUDA
	what = gpu_double_of(m);
#endif
#ifdef HAVE_VERBS
	if (!what && verbs_is_double(m))
		what = "libibverbs is a double";
#endif
	(void)m;
	return what;
}
