/*
 * settings.c - reads how the system is set up: kernel, sysctl, sysfs, mounts, limits, drivers.
 *
 * Names come from specs, so none may climb out of the tree it belongs to. Limits are read from
 * /proc/self/limits and mounts from /proc/self/mounts, for a recorded machine has those too.
 */
#include "kernels/pci.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Every fix has two %s, the name and the wanted value; the name is "" for kinds that take none. */
const struct setting_kind setting_kinds[] = {
	{ "kernel", NULL, "install and boot kernel %s%s" },
	{ "cmdline", "parameter of the kernel's command line",
	  "add %s (wanted: %s) to GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub, reboot" },
	{ "sysctl", "key as in sysctl.conf", "sysctl -w %s='%s', and that line in /etc/sysctl.d/" },
	{ "sysfs", "path below /sys, * and ? allowed", "tee /sys/%s <<< '%s'" },
	{ "module_version", "kernel module", "install module %s in version %s, then reload it" },
	{ "driver", "driver (nvidia, mlx5_core, ...)",
	  "install driver %s in version %s, then reboot" },
	{ "limit", "limit as in limits.conf (memlock, nofile, ...)",
	  "raise %s to %s in /etc/security/limits.d/ (sizes count in KiB there), then log in "
	  "again" },
	{ "mount", "mount point",
	  "mount -o remount %s with type and options '%s', and in /etc/fstab" },
	{ "mount_type", "mount point", "make the file system at %s anew as %s, and in /etc/fstab" },
	{ "mount_free", "mount point", "remove files below %s until %s are free" },
	{ "iommu", NULL,
	  "set the IOMMU%s to '%s' in the firmware setup and on the kernel command line" },
	{ "acs", NULL, "setpci -s BRIDGE ECAP_ACS+6.w=0000 for each%s, at each boot (wanted: %s)" },
	{ "hugepages", "page size as in /sys/kernel/mm/hugepages (2048kB)",
	  "tee /sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages <<< %s" },
	{ "thp", NULL, "echo%s %s > /sys/kernel/mm/transparent_hugepage/enabled" },
	{ "governor", NULL, "cpupower frequency-set%s -g %s" },
	{ "clocksource", NULL,
	  "echo%s %s > /sys/devices/system/clocksource/clocksource0/current_clocksource" },
	{ "numa_balancing", NULL, "sysctl -w kernel.numa_balancing=%s%s, and in /etc/sysctl.d/" },
	{ "swap", NULL, "swapoff -a and comment swap out in /etc/fstab (or swapon -a)%s: %s" },
	{ "selinux", NULL, "setenforce, and SELINUX=%s%s in /etc/selinux/config" },
	{ NULL, NULL, NULL },
};

/* ---- helpers ------------------------------------------------------------------------------- */

static int take(char **value, char *text)
{
	*value = text;
	return 0;
}

/* -1 with the reason that errno `code` gives for a path, or 0 and "absent" if it is not there. */
static int unread(int code, const char *path, char **value, struct error *err)
{
	if (code == ENOENT || code == ENOTDIR)
		return take(value, xstrdup("absent"));
	if (code == EACCES || code == EPERM)
		return error_set(err, "needs root: %s", path);
	return error_set(err, "cannot read %s: %s", path, strerror(code));
}

/* Refuses what could leave the tree: an absolute path, or ".." as a component. */
static int name_stays(const char *kind, const char *name, struct error *err)
{
	const char *at = name;

	if (*name == '/')
		return error_set(err, "%s \"%s\": the name must not begin with /", kind, name);
	for (; *at; at += strcspn(at, "/"), at += strspn(at, "/"))
		if (!strncmp(at, "..", 2) && (!at[2] || at[2] == '/'))
			return error_set(err, "%s \"%s\": the name must not contain ..", kind,
					 name);
	return 0;
}

/* One word of a file name, such as a module's. */
static int name_plain(const char *kind, const char *name, struct error *err)
{
	if (*name == '.' || strchr(name, '/'))
		return error_set(err, "%s \"%s\": a plain name is wanted", kind, name);
	return 0;
}

/* Runs of blanks become one: "4096\t87380\t6291456" is as people write it. */
static void squeeze(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (!isspace((unsigned char)*from))
			*to++ = *from;
		else if (to != text && to[-1] != ' ')
			*to++ = ' ';
	while (to != text && to[-1] == ' ')
		to--;
	*to = '\0';
}

/* Of a line of choices, "always [madvise] never", the one in force. */
static void pick_chosen(char *line)
{
	char *open = strchr(line, '['), *close = open ? strchr(open, ']') : NULL;

	if (!close || strchr(close, '[') || (open != line && open[-1] != ' ') ||
	    (close[1] && close[1] != ' '))
		return;
	memmove(line, open + 1, (size_t)(close - open - 1));
	line[close - open - 1] = '\0';
}

static int read_path(struct machine *m, const char *path, char **value, struct error *err)
{
	char *line = machine_line(m, "%s", path);

	if (!line)
		return unread(errno, path, value, err);
	squeeze(line);
	pick_chosen(line);
	return take(value, line);
}

/* ---- one value of many files --------------------------------------------------------------- */

struct tally {
	struct {
		char *value;
		int count;
	} * items;
	int count;
};

/* Takes the value over. */
static void tally_add(struct tally *t, char *value)
{
	for (int i = 0; i < t->count; i++)
		if (!strcmp(t->items[i].value, value)) {
			t->items[i].count++;
			free(value);
			return;
		}
	t->items = grow(t->items, (size_t)t->count, sizeof(*t->items));
	t->items[t->count].value = value;
	t->items[t->count++].count = 1;
}

/* "A" if all agree, else "mixed: A (6), B (2)". */
static char *tally_text(const struct tally *t)
{
	struct text out;

	if (t->count == 1)
		return xstrdup(t->items[0].value);
	text_init(&out);
	for (int i = 0; i < t->count; i++)
		text_addf(&out, "%s%s (%d)", i ? ", " : "mixed: ", t->items[i].value,
			  t->items[i].count);
	return out.data; /* detaching would leave a new buffer behind */
}

static void tally_release(struct tally *t)
{
	for (int i = 0; i < t->count; i++)
		free(t->items[i].value);
	free(t->items);
}

static int read_glob(struct machine *m, const char *path, char **value, struct error *err)
{
	char *one;
	struct tally tally = { 0 };
	glob_t found;
	int code = machine_glob(m, &found, "%s", path), failed = 0;

	if (code == GLOB_NOMATCH)
		return take(value, xstrdup("absent"));
	if (code)
		return error_set(err, "cannot list %s", path);
	for (size_t i = 0; i < found.gl_pathc && !failed; i++) {
		failed = read_path(m, found.gl_pathv[i], &one, err);
		if (!failed)
			tally_add(&tally, one);
	}
	globfree(&found);
	if (!failed)
		*value = tally_text(&tally);
	tally_release(&tally);
	return failed;
}

/* ---- kinds with a name --------------------------------------------------------------------- */

/* As the kernel compares parameters: '-' and '_' are the same letter. */
static int same_parameter(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i]))
			return 0;
	return 1;
}

/* The last one counts, as for most of the kernel's own parameters. */
static int read_cmdline(struct machine *m, const char *name, char **value, struct error *err)
{
	size_t n = strlen(name), len;
	char *line = machine_text(m, "/proc/cmdline", &len), *rest = line, *word;
	char *found = NULL;

	if (!line)
		return error_sys(err, "cannot read /proc/cmdline");
	while ((word = strsep(&rest, " \n"))) {
		size_t length = strcspn(word, "=");

		if (length != n || !same_parameter(word, name, n))
			continue;
		free(found);
		found = xstrdup(word[n] ? word + n + 1 : "set");
	}
	free(line);
	return take(value, found ? found : xstrdup("absent"));
}

/* sysctl(8): dots and slashes trade places, so that "net.ipv4.conf.eth0/1.mtu" can be said. */
static int read_sysctl(struct machine *m, const char *name, char **value, struct error *err)
{
	char *path;
	int failed;

	if (name_stays("sysctl", name, err) < 0)
		return -1;
	if (!isalnum((unsigned char)*name) || strstr(name, "..") || strstr(name, "//"))
		return error_set(err, "sysctl \"%s\": not a key", name);
	path = xasprintf("/proc/sys/%s", name);
	for (char *at = path + strlen("/proc/sys/"); *at; at++)
		*at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
	failed = read_path(m, path, value, err);
	free(path);
	return failed;
}

static int read_sysfs(struct machine *m, const char *name, char **value, struct error *err)
{
	char *path;
	int failed;

	if (name_stays("sysfs", name, err) < 0)
		return -1;
	path = xasprintf("/sys/%s", name);
	failed = read_glob(m, path, value, err);
	free(path);
	return failed;
}

static int read_module(struct machine *m, const char *name, char **value, struct error *err)
{
	char *loaded, *path;
	int failed = 0;

	if (name_plain("module", name, err) < 0)
		return -1;
	loaded = machine_line(m, "/sys/module/%s/version", name);
	path = machine_path(m, "/sys/module/%s/.", name);
	if (loaded)
		*value = loaded;
	else if (errno == ENOENT && access(path, F_OK) == 0)
		failed = error_set(err, "module %s is loaded but tells no version", name);
	else
		failed = unread(errno, path + strlen(m->root), value, err);
	free(path);
	return failed;
}

/* The first word of digits and dots: "NVRM version: NVIDIA ... Module  535.129.03  Thu Oct 19 ...".
 */
static char *version_in(char *line)
{
	char *word;

	while ((word = strsep(&line, " \t\n")))
		if (strchr(word, '.') && strspn(word, "0123456789.") == strlen(word))
			return xstrdup(word);
	return NULL;
}

static int read_driver(struct machine *m, const char *name, char **value, struct error *err)
{
	char *line = NULL, *version = NULL;

	if (name_plain("driver", name, err) < 0)
		return -1;
	line = machine_line(m, "/proc/driver/%s/version", name);
	if (line)
		version = version_in(line);
	free(line);
	return version ? take(value, version) : read_module(m, name, value, err);
}

/* Names of limits.conf(5) and what the kernel calls them in /proc/self/limits. */
static const struct {
	const char *name, *label;
} limits[] = {
	{ "as", "Max address space" },
	{ "core", "Max core file size" },
	{ "cpu", "Max cpu time" },
	{ "data", "Max data size" },
	{ "fsize", "Max file size" },
	{ "locks", "Max file locks" },
	{ "memlock", "Max locked memory" },
	{ "msgqueue", "Max msgqueue size" },
	{ "nofile", "Max open files" },
	{ "nproc", "Max processes" },
	{ "rtprio", "Max realtime priority" },
	{ "sigpending", "Max pending signals" },
	{ "stack", "Max stack size" },
};

/* The soft limit, in the kernel's units (bytes, not the KiB of limits.conf). */
static int read_limit(struct machine *m, const char *name, char **value, struct error *err)
{
	const char *label = NULL, *at;
	char *text;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (!strcmp(limits[i].name, name))
			label = limits[i].label;
	if (!label)
		return error_set(err, "limit \"%s\": no such limit", name);
	text = machine_text(m, "/proc/self/limits", &len);
	if (!text)
		return error_sys(err, "cannot read /proc/self/limits");
	at = strstr(text, label);
	if (at) {
		at += strlen(label);
		at += strspn(at, " ");
		*value = xstrndup(at, strcspn(at, " \n"));
	}
	free(text);
	return at ? 0 : error_set(err, "no \"%s\" in /proc/self/limits", label);
}

/* ---- mounts -------------------------------------------------------------------------------- */

/* Blanks in mount points stand as \040 there, proc(5). */
static void decode_octal(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		unsigned code;

		if (*at == '\\' && sscanf(at + 1, "%3o", &code) == 1) {
			*to++ = (char)code;
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* Type and options of the topmost mount at a point, both to be freed; NULL if nothing is mounted.
 */
static int find_mount(struct machine *m, const char *point, char **type, char **options,
		      struct error *err)
{
	size_t len;
	char *text = machine_text(m, "/proc/self/mounts", &len), *rest = text, *line;

	*type = *options = NULL;
	if (!text)
		return error_sys(err, "cannot read /proc/self/mounts");
	while ((line = strsep(&rest, "\n"))) {
		char *fields[4];

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			fields[i] = strsep(&line, " ");
		if (!fields[3] || !fields[1])
			continue;
		decode_octal(fields[1]);
		if (strcmp(fields[1], point) != 0)
			continue;
		free(*type);
		free(*options);
		*type = xstrdup(fields[2]);
		*options = xstrdup(fields[3]);
	}
	free(text);
	return 0;
}

static int read_mount(struct machine *m, const char *name, char **value, struct error *err)
{
	char *type, *options;

	if (find_mount(m, name, &type, &options, err) < 0)
		return -1;
	*value = type ? xasprintf("%s %s", type, options) : xstrdup("absent");
	free(type);
	free(options);
	return 0;
}

static int read_mount_type(struct machine *m, const char *name, char **value, struct error *err)
{
	char *type, *options;

	if (find_mount(m, name, &type, &options, err) < 0)
		return -1;
	*value = type ? type : xstrdup("absent");
	free(options);
	return 0;
}

/* What an ordinary user can still write. A folder that is no mount point counts for what it lies
 * on. */
static int read_mount_free(struct machine *m, const char *name, char **value, struct error *err)
{
	struct statvfs fs;

	if (*m->root)
		return error_set(err, "a recorded machine has no free space at %s", name);
	if (statvfs(name, &fs) < 0)
		return unread(errno, name, value, err);
	return take(value, xasprintf("%llu B", (unsigned long long)fs.f_bavail * fs.f_frsize));
}

static int read_hugepages(struct machine *m, const char *name, char **value, struct error *err)
{
	char *path;
	int failed;

	if (name_plain("hugepages", name, err) < 0)
		return -1;
	path = xasprintf("/sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages", name);
	failed = read_path(m, path, value, err);
	free(path);
	return failed;
}

/* ---- kinds without a name ------------------------------------------------------------------ */

static int read_kernel(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return read_path(m, "/proc/sys/kernel/osrelease", value, err);
}

/* "passthrough" is what GPUDirect wants: devices are translated only when handed to a guest. */
static int read_iommu(struct machine *m, const char *name, char **value, struct error *err)
{
	char *words[2] = { NULL, NULL };
	glob_t found;
	int code = machine_glob(m, &found, "/sys/class/iommu/*"), passthrough;

	(void)name;
	globfree(&found);
	if (code == GLOB_NOMATCH)
		return take(value, xstrdup("off"));
	if (code)
		return error_set(err, "cannot list /sys/class/iommu");
	if (read_cmdline(m, "iommu", &words[0], err) < 0)
		return -1;
	if (read_cmdline(m, "iommu.passthrough", &words[1], err) < 0) {
		free(words[0]);
		return -1;
	}
	passthrough = !strcmp(words[0], "pt") || !strcmp(words[1], "1");
	free(words[0]);
	free(words[1]);
	return take(value, xstrdup(passthrough ? "passthrough" : "on"));
}

static int read_acs(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return pci_acs(m, value, err);
}

static int read_thp(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return read_path(m, "/sys/kernel/mm/transparent_hugepage/enabled", value, err);
}

static int read_governor(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return read_glob(m, "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor", value,
			 err);
}

static int read_clocksource(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return read_path(m, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			 value, err);
}

static int read_numa_balancing(struct machine *m, const char *name, char **value, struct error *err)
{
	(void)name;
	return read_path(m, "/proc/sys/kernel/numa_balancing", value, err);
}

/* The first line is a heading. A kernel built without swap has no such file. */
static int read_swap(struct machine *m, const char *name, char **value, struct error *err)
{
	size_t len;
	char *text = machine_text(m, "/proc/swaps", &len), *second;
	int code = errno;

	(void)name;
	if (!text && code != ENOENT)
		return unread(code, "/proc/swaps", value, err);
	second = text ? strchr(text, '\n') : NULL;
	*value = xstrdup(second && second[1] ? "on" : "off");
	free(text);
	return 0;
}

static int read_selinux(struct machine *m, const char *name, char **value, struct error *err)
{
	char *line = machine_line(m, "/sys/fs/selinux/enforce");
	int code = errno;

	(void)name;
	if (!line && code != ENOENT)
		return unread(code, "/sys/fs/selinux/enforce", value, err);
	*value = xstrdup(!line ? "disabled" : !strcmp(line, "1") ? "enforcing" : "permissive");
	free(line);
	return 0;
}

/* ---- door ---------------------------------------------------------------------------------- */

/* In the order of setting_kinds. */
static int (*const readers[])(struct machine *m, const char *name, char **value,
			      struct error *err) = {
	read_kernel,         read_cmdline,    read_sysctl,   read_sysfs,
	read_module,         read_driver,     read_limit,    read_mount,
	read_mount_type,     read_mount_free, read_iommu,    read_acs,
	read_hugepages,      read_thp,        read_governor, read_clocksource,
	read_numa_balancing, read_swap,       read_selinux,
};

_Static_assert(ARRAY_SIZE(readers) == ARRAY_SIZE(setting_kinds) - 1, "one reader for each kind");

int machine_setting(struct machine *m, const char *kind, const char *name, char **value,
		    struct error *err)
{
	size_t i = 0;

	while (setting_kinds[i].name && strcmp(setting_kinds[i].name, kind) != 0)
		i++;
	if (!setting_kinds[i].name)
		return error_set(err, "there is no kind of setting called \"%s\"", kind);
	if (setting_kinds[i].takes && (!name || !*name))
		return error_set(err, "a setting of kind %s needs a name: %s", kind,
				 setting_kinds[i].takes);
	return readers[i](m, name, value, err);
}
