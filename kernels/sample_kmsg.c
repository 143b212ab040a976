/*
 * sample_kmsg.c - lines of the kernel's log that mean trouble.
 *
 * Only what the kernel itself says counts: what programs write into the same log comes with another
 * facility and is left out, for otherwise anyone on the node could plant an XID.
 */
#include "kernels/sample.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* CONSOLE_EXT_LOG_MAX of kernel/printk */
enum { RECORD_MOST = 8192, RECORDS_A_SECOND = 2000 };

/* All needles of a row must be there. The first row that fits names the line. */
static const struct {
	const char *what, *needle, *second;
} kinds[] = {
	{ "xid", "NVRM: Xid (", NULL },
	{ "xid", "SXid (", NULL },
	{ "xid", "NVRM: ", "fallen off the bus" },
	{ "aer", "AER: ", NULL },
	{ "aer", "PCIe Bus Error: ", NULL },
	{ "pcie", "pciehp", "Link Down" },
	{ "pcie", "DPC: ", NULL },
	{ "mce", "[Hardware Error]", NULL },
	{ "mce", "mce: ", NULL },
	{ "edac", "EDAC ", " CE " },
	{ "edac", "EDAC ", " UE " },
	{ "memory", "Memory failure: ", NULL },
	{ "nvme", "nvme nvme", "timeout" },
	{ "nvme", "nvme nvme", "reset" },
	{ "nvme", "nvme nvme", "controller is down" },
	{ "nvme", "nvme nvme", "Device not ready" },
	{ "nvme", "nvme nvme", "Removing after" },
	{ "disk", "I/O error", NULL },
	{ "disk", "I/O Error", NULL },
	{ "disk", "critical medium error", NULL },
	{ "disk", "EXT4-fs error", NULL },
	{ "disk", "EXT4-fs", "Remounting filesystem read-only" },
	{ "disk", "XFS (", "rror" },
	{ "disk", "XFS (", "hutdown" },
	{ "disk", "XFS (", "orruption" },
	{ "link", "ink is Down", NULL },
	{ "link", "ink is Up", NULL },
	{ "link", "ink down", NULL },
	{ "link", "ink up", NULL },
	{ "link", "ink is down", NULL },
	{ "link", "ink is up", NULL },
	{ "link", "ink becomes ready", NULL },
	{ "link", "NETDEV WATCHDOG", NULL },
	{ "link", "mlx5_core ", "health" },
	{ "oom", "Out of memory: ", NULL },
	{ "oom", "Memory cgroup out of memory", NULL },
	{ "oom", "invoked oom-killer", NULL },
	{ "hang", "blocked for more than ", NULL },
	{ "hang", "soft lockup", NULL },
	{ "hang", "hard LOCKUP", NULL },
	{ "hang", "detected stall", NULL },
	{ "heat", "emperature above threshold", NULL },
	{ "heat", "clock throttled", NULL },
	{ "kernel", "BUG: ", NULL },
	{ "kernel", "Oops: ", NULL },
	{ "kernel", "general protection fault", NULL },
	{ "kernel", "Kernel panic", NULL },
};

struct log_state {
	int fd;
	struct lines lines;
	struct source *source;
};

/* "0000:1b:00.0" or "PCI:0000:1b:00" anywhere in the line. */
static const struct pci_part *part_by_address(const struct source *s, const char *text)
{
	for (const char *at = text; (at = strchr(at, ':')); at++) {
		unsigned domain, bus, device, function = 0;
		const struct pci_part *part;
		char address[24];

		if (at - text < 4 || !isxdigit((unsigned char)at[-1]) ||
		    sscanf(at - 4, "%4x:%2x:%2x.%1x", &domain, &bus, &device, &function) < 3)
			continue;
		snprintf(address, sizeof(address), "%04x:%02x:%02x.%x", domain, bus, device,
			 function);
		part = source_part_at(s, address);
		if (part)
			return part;
	}
	return NULL;
}

/* Whether the line has this word, and not as the beginning of a longer one. */
static int has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; len && (at = strstr(at, word)); at++)
		if ((at == text || !isalnum((unsigned char)at[-1])) &&
		    !isalnum((unsigned char)at[len]))
			return 1;
	return 0;
}

/* "nvme2" of the disk "nvme2n1", or its whole name. */
static int names_disk(const char *text, const char *device)
{
	char controller[64];
	int number;

	if (sscanf(device, "nvme%dn", &number) == 1) {
		snprintf(controller, sizeof(controller), "nvme%d", number);
		return has_word(text, controller) || has_word(text, device);
	}
	return has_word(text, device);
}

static void part_by_name(struct source *s, const char *text, char out[24])
{
	const struct host *host = &s->m->host;
	char *path, word[IFNAMSIZ];
	const struct pci_part *part;
	size_t len;

	*out = '\0';
	for (int i = 0; i < host->disk_count; i++)
		if (names_disk(text, host->disks[i].device)) {
			snprintf(out, 24, "disk%d", i);
			return;
		}
	/* "... eth0: Link is Down": each word before a colon may be an interface */
	for (const char *at = text; (at = strchr(at, ':')); at++) {
		for (len = 0; len < sizeof(word) - 1 && at - len > text &&
			      (isalnum((unsigned char)at[-1 - (long)len]) ||
			       strchr("_-.", at[-1 - (long)len]));)
			len++;
		snprintf(word, sizeof(word), "%.*s", (int)len, at - len);
		if (!len || *word == '.')
			continue;
		path = xasprintf("/sys/class/net/%s/device", word);
		part = source_part_of(s, path);
		free(path);
		if (part) {
			snprintf(out, 24, "%s", part->name);
			return;
		}
	}
}

/* "6,1234,5678,-;text" as in Documentation/ABI/testing/dev-kmsg. */
static void take_record(void *arg, char *line, size_t len, int was_cut)
{
	struct log_state *x = arg;
	const char *text = strchr(line, ';');
	const struct pci_part *part;
	unsigned priority;
	char name[24];
	int xid;

	(void)len;
	(void)was_cut;
	if (!text || sscanf(line, "%u,", &priority) != 1 || priority >> 3)
		return;
	text++;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strstr(text, kinds[i].needle) ||
		    (kinds[i].second && !strstr(text, kinds[i].second)))
			continue;
		part = part_by_address(x->source, text);
		part_by_name(x->source, text, name);
		if (sscanf(text, "NVRM: Xid (%*[^)]): %d", &xid) == 1)
			source_tell(x->source, part ? part->name : name, kinds[i].what,
				    "XID %d: %s", xid, text);
		else
			source_tell(x->source, part ? part->name : name, kinds[i].what, "%s", text);
		return;
	}
}

/*
 * Containers put other things in its place, /dev/null or a console, from which nothing ever comes.
 * 1, 11: Documentation/admin-guide/devices.txt. In a recorded machine it is a file.
 */
static int is_kernel_log(const struct source *s, int fd)
{
	struct stat st;

	return *s->m->root ||
	       (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 11));
}

static void log_open(struct source *s)
{
	struct log_state *x = xcalloc(1, sizeof(*x));
	char *path = machine_path(s->m, "/dev/kmsg");

	s->own = x;
	x->source = s;
	lines_init(&x->lines, RECORD_MOST, take_record, x);
	x->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	/* For kmsg, the end is behind the newest record. */
	if (x->fd < 0 || lseek(x->fd, 0, SEEK_END) < 0)
		source_tell(s, "", "hole", "the kernel's log is not watched: /dev/kmsg: %s",
			    strerror(errno));
	else if (!is_kernel_log(s, x->fd))
		source_tell(s, "", "hole",
			    "the kernel's log is not watched: /dev/kmsg is something else here");
	free(path);
}

static void log_read(struct source *s)
{
	struct log_state *x = s->own;
	char record[RECORD_MOST];
	int lost = 0;

	for (int i = 0; x->fd >= 0 && i < RECORDS_A_SECOND; i++) {
		ssize_t got = read(x->fd, record, sizeof(record));

		if (got > 0) {
			lines_feed(&x->lines, record, (size_t)got);
		} else if (got < 0 && errno == EPIPE && !lost++) {
			source_tell(s, "", "hole",
				    "lines of the kernel's log were lost: it was overwritten "
				    "before it was read");
		} else if (got == 0 || (errno != EINTR && errno != EPIPE)) {
			return;
		}
	}
}

static void log_close(struct source *s)
{
	struct log_state *x = s->own;

	if (!x)
		return;
	if (x->fd >= 0)
		close(x->fd);
	lines_release(&x->lines);
	free(x);
}

const struct source_kind sample_kernel_log = {
	.name = "the kernel's log",
	.open = log_open,
	.read = log_read,
	.close = log_close,
};
