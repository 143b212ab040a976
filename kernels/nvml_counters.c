/*
 * nvml_counters.c - what GPUs count, and the XIDs they raise.
 *
 * A counter that the driver does not tell is absent: zero would read as "no errors". XIDs come from
 * two sources, NVML's events and the kernel's log, of which either may be forbidden to us; both
 * tell of the same ones, so the larger count holds.
 */
#include "kernels/nvml_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- XIDs ---------------------------------------------------------------------------------- */

/* Numbers of src/common/sdk/nvidia/inc/nverror.h in NVIDIA's open-gpu-kernel-modules, 595.45.04. */
static const struct {
	int number;
	const char *name;
} xid_names[] = {
	{ 13, "exception in the compute or graphics engine" },
	{ 31, "memory page fault" },
	{ 32, "broken command stream" },
	{ 43, "channel stopped by an error of the program" },
	{ 45, "channel removed behind an earlier error" },
	{ 48, "uncorrectable ECC error" },
	{ 61, "breakpoint of the power controller" },
	{ 62, "power controller halted" },
	{ 63, "memory row remapped or page retired" },
	{ 64, "memory row could not be remapped" },
	{ 69, "error of the graphics engine's class" },
	{ 74, "NVLink error" },
	{ 79, "GPU has fallen off the bus" },
	{ 92, "many corrected ECC errors" },
	{ 94, "contained memory error" },
	{ 95, "uncontained memory error" },
	{ 119, "GSP firmware does not answer" },
	{ 120, "error of the GSP firmware" },
	{ 121, "error of the C2C link" },
	{ 136, "NVLink could not be trained" },
	{ 137, "NVLink access violation" },
	{ 140, "uncorrectable ECC error that was not contained" },
	{ 143, "GPU could not be initialised" },
	{ 144, "NVLink error (SAW)" },
	{ 145, "NVLink error (RLW)" },
	{ 146, "NVLink error (TLW)" },
	{ 147, "NVLink error (TREX)" },
	{ 148, "NVLink error (NVLPW_CTRL)" },
	{ 149, "NVLink error (NETIR)" },
	{ 150, "NVLink error (MSE)" },
	{ 154, "recovery action changed" },
	{ 155, "NVLink error told by software" },
	{ 158, "fatal time-out of the GPU" },
};

static const char *xid_name(int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(xid_names); i++)
		if (xid_names[i].number == number)
			return xid_names[i].name;
	return "not in our list of XIDs";
}

/* NULL when a GPU raised more kinds than we keep; the kept ones are enough to condemn it. */
static struct nvml_xid *xid_of(struct nvml_device *d, int number)
{
	for (int i = 0; i < d->xid_count; i++)
		if (d->xids[i].number == number)
			return &d->xids[i];
	if (d->xid_count == XIDS_ROOM)
		return NULL;
	d->xids[d->xid_count].number = number;
	return &d->xids[d->xid_count++];
}

/* "6,1234,5678,-;NVRM: Xid (PCI:0000:1b:00): 79, pid=..." as Documentation/ABI/testing/dev-kmsg. */
static void kernel_line(void *arg, char *line, size_t len, int was_cut)
{
	static const char key[] = "NVRM: Xid (";
	const char *at = strstr(line, key);
	unsigned domain, bus, device;
	int number;
	struct nvml *n = arg;
	struct nvml_device *d;
	struct nvml_xid *xid;
	char pci[16];

	(void)len;
	(void)was_cut;
	if (!at)
		return;
	at += strlen(key);
	at += strncmp(at, "PCI:", 4) ? 0 : 4;
	if (sscanf(at, "%x:%x:%x%*[^)]): %d", &domain, &bus, &device, &number) != 4 &&
	    sscanf(at, "%x:%x:%x): %d", &domain, &bus, &device, &number) != 4)
		return;
	pci_text(pci, domain, bus, device, 0);
	d = nvml_at(n, pci);
	xid = d ? xid_of(d, number) : NULL;
	if (xid)
		xid->by_kernel++;
}

static void kernel_log_open(struct machine *m, struct nvml *n)
{
	char *path = machine_path(m, "/dev/kmsg");

	n->kernel_log = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	free(path);
	if (n->kernel_log < 0)
		return;
	/* For kmsg, the end is behind the newest record. */
	if (lseek(n->kernel_log, 0, SEEK_END) < 0) {
		close(n->kernel_log);
		n->kernel_log = -1;
		return;
	}
	lines_init(&n->kernel_lines, 4096, kernel_line, n);
}

void xids_open(struct machine *m, struct nvml *n)
{
	kernel_log_open(m, n);
	if (NVML_CALL(n, EventSetCreate, &n->events) != NVML_OK) {
		n->events = NULL;
		return;
	}
	for (int i = 0; i < n->device_count; i++)
		n->devices[i].events = NVML_CALL(n, DeviceRegisterEvents, n->devices[i].handle,
						 NVML_EVENT_XID, n->events) == NVML_OK;
}

void xids_close(struct nvml *n)
{
	if (n->events)
		NVML_CALL(n, EventSetFree, n->events);
	n->events = NULL;
	if (n->kernel_log < 0)
		return;
	close(n->kernel_log);
	n->kernel_log = -1;
	lines_release(&n->kernel_lines);
}

static void kernel_log_read(struct nvml *n)
{
	enum { RECORD_MOST = 8192 }; /* CONSOLE_EXT_LOG_MAX of kernel/printk */
	char record[RECORD_MOST];
	ssize_t got;

	if (n->kernel_log < 0)
		return;
	/* EPIPE: records were overwritten before we read them; the next read goes on behind. */
	while ((got = read(n->kernel_log, record, sizeof(record))) > 0 ||
	       (got < 0 && (errno == EPIPE || errno == EINTR)))
		if (got > 0)
			lines_feed(&n->kernel_lines, record, (size_t)got);
}

static void events_read(struct nvml *n)
{
	enum { MOST = 10000 }; /* a GPU that raises them without end must not hold us */
	struct nvml_event event;

	for (int k = 0; n->events && k < MOST; k++) {
		struct nvml_xid *xid = NULL;

		if (NVML_CALL(n, EventSetWait_v2, n->events, &event, 0) != NVML_OK)
			return;
		for (int i = 0; !xid && i < n->device_count; i++)
			if (n->devices[i].handle == event.gpu && event.type == NVML_EVENT_XID)
				xid = xid_of(&n->devices[i], (int)event.data);
		if (xid)
			xid->by_nvml++;
	}
}

static unsigned xid_times(const struct nvml_xid *xid)
{
	return xid->by_nvml > xid->by_kernel ? xid->by_nvml : xid->by_kernel;
}

static int xids_seen(const struct nvml *n, const struct nvml_device *d)
{
	return d->events || n->kernel_log >= 0;
}

int xids_text(struct nvml *n, struct nvml_device *d, struct text *out, struct error *err)
{
	if (!xids_seen(n, d))
		return error_set(err, "neither NVML tells XIDs of %s nor may /dev/kmsg be read",
				 d->pci);
	pthread_mutex_lock(&n->lock);
	events_read(n);
	kernel_log_read(n);
	for (int i = 0; i < d->xid_count; i++) {
		unsigned times = xid_times(&d->xids[i]);

		text_addf(out, "%s%d %s", out->len ? "; " : "", d->xids[i].number,
			  xid_name(d->xids[i].number));
		if (times > 1)
			text_addf(out, " (%u times)", times);
	}
	pthread_mutex_unlock(&n->lock);
	return 0;
}

void nvml_xids(struct machine *m, const char *pci, char *out, size_t room)
{
	struct error err;
	struct nvml *n = nvml_open(m, &err);
	struct nvml_device *d = n ? nvml_at(n, pci) : NULL;
	struct text text;

	text_init(&text);
	if (d)
		xids_text(n, d, &text, &err);
	snprintf(out, room, "%s", text.data);
	text_release(&text);
}

/* ---- counters ------------------------------------------------------------------------------ */

/* Each fills the value and returns 0, or NVML's code when the driver does not tell. */
typedef int reader(struct nvml *n, struct nvml_device *d, double *value);

static int ecc_errors(const struct nvml *n, const struct nvml_device *d, unsigned type,
		      double *value)
{
	unsigned long long count;
	int code =
		NVML_CALL(n, DeviceGetTotalEccErrors, d->handle, type, NVML_ECC_VOLATILE, &count);

	if (code == NVML_OK)
		*value = (double)count;
	return code;
}

static int ecc_corrected(struct nvml *n, struct nvml_device *d, double *value)
{
	return ecc_errors(n, d, NVML_ECC_CORRECTED, value);
}

static int ecc_uncorrected(struct nvml *n, struct nvml_device *d, double *value)
{
	return ecc_errors(n, d, NVML_ECC_UNCORRECTED, value);
}

static int remapped(const struct nvml *n, const struct nvml_device *d, unsigned rows[4])
{
	return NVML_CALL(n, DeviceGetRemappedRows, d->handle, &rows[0], &rows[1], &rows[2],
			 &rows[3]);
}

static int row_remaps(struct nvml *n, struct nvml_device *d, double *value)
{
	unsigned rows[4];
	int code = remapped(n, d, rows);

	if (code == NVML_OK)
		*value = (double)rows[0] + rows[1];
	return code;
}

static int remap_pending(struct nvml *n, struct nvml_device *d, double *value)
{
	unsigned rows[4];
	int code = remapped(n, d, rows);

	if (code == NVML_OK)
		*value = rows[2];
	return code;
}

static int remap_failed(struct nvml *n, struct nvml_device *d, double *value)
{
	unsigned rows[4];
	int code = remapped(n, d, rows);

	if (code == NVML_OK)
		*value = rows[3];
	return code;
}

static int retired_pages(struct nvml *n, struct nvml_device *d, double *value)
{
	static const unsigned causes[] = { NVML_RETIRED_MULTIPLE_SINGLE_BIT,
					   NVML_RETIRED_DOUBLE_BIT };
	double sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		unsigned count = 0; /* asks for the number only */
		int code = NVML_CALL(n, DeviceGetRetiredPages, d->handle, causes[i], &count, NULL);

		if (code != NVML_OK && code != NVML_INSUFFICIENT_SIZE)
			return code;
		sum += count;
	}
	*value = sum;
	return NVML_OK;
}

static int pcie_replays(struct nvml *n, struct nvml_device *d, double *value)
{
	unsigned count;
	int code = NVML_CALL(n, DeviceGetPcieReplayCounter, d->handle, &count);

	if (code == NVML_OK)
		*value = count;
	return code;
}

static int link_counter(const struct nvml *n, const struct nvml_device *d, unsigned link,
			unsigned counter, double *value)
{
	unsigned long long count;
	int code = NVML_CALL(n, DeviceGetNvLinkErrorCounter, d->handle, link, counter, &count);

	if (code == NVML_OK)
		*value = (double)count;
	return code;
}

static int link_field(const struct nvml *n, const struct nvml_device *d, unsigned link,
		      unsigned field, double *value)
{
	return nvml_value(n, d, field, link, value);
}

/* Up to NVLink 4 there are counters, the same as fields, and from NVLink 5 on other fields. */
static const struct {
	int (*read)(const struct nvml *n, const struct nvml_device *d, unsigned link, unsigned what,
		    double *value);
	unsigned what[5];
	int count;
} link_sources[] = {
	{ link_counter,
	  { NVML_LINK_REPLAY, NVML_LINK_RECOVERY, NVML_LINK_CRC_FLIT, NVML_LINK_CRC_DATA },
	  4 },
	{ link_field,
	  { NVML_FIELD_LINK_REPLAY, NVML_FIELD_LINK_RECOVERY, NVML_FIELD_LINK_CRC },
	  3 },
	{ link_field,
	  { NVML_FIELD_LINK_MALFORMED, NVML_FIELD_LINK_OVERRUN, NVML_FIELD_LINK_RECEIVE,
	    NVML_FIELD_LINK_INTEGRITY, NVML_FIELD_LINK_RECOVERIES },
	  5 },
};

/* Errors of one link by the first source that tells any. 1 if one did. */
static int link_errors(const struct nvml *n, const struct nvml_device *d, unsigned link,
		       double *sum)
{
	for (size_t s = 0; s < ARRAY_SIZE(link_sources); s++) {
		int told = 0;

		*sum = 0;
		for (int i = 0; i < link_sources[s].count; i++) {
			double value;

			if (link_sources[s].read(n, d, link, link_sources[s].what[i], &value))
				continue;
			*sum += value;
			told = 1;
		}
		if (told)
			return 1;
	}
	return 0;
}

static int nvlink_errors(struct nvml *n, struct nvml_device *d, double *value)
{
	int links = nvml_link_bound(n, d);
	double all = 0, sum;

	for (int link = 0; link < links; link++) {
		if (link_errors(n, d, (unsigned)link, &sum)) {
			if (!(d->links_seen >> link & 1) || sum > d->link_errors[link])
				d->link_errors[link] = sum;
			d->links_seen |= 1ULL << link;
		}
	}
	for (int link = 0; link < LINKS_ROOM; link++)
		if (d->links_seen >> link & 1)
			all += d->link_errors[link];
	*value = all;
	return d->links_seen ? NVML_OK : NVML_NOT_SUPPORTED;
}

static int xids(struct nvml *n, struct nvml_device *d, double *value)
{
	double sum = 0;

	if (!xids_seen(n, d))
		return NVML_NOT_SUPPORTED;
	for (int i = 0; i < d->xid_count; i++)
		sum += xid_times(&d->xids[i]);
	*value = sum;
	return NVML_OK;
}

static const struct {
	const char *name;
	reader *read;
	int is_quick; /* one call, or none */
} counters[] = {
	{ "gpu_ecc_corrected", ecc_corrected, 1 },     /* since the driver was loaded */
	{ "gpu_ecc_uncorrected", ecc_uncorrected, 1 }, /* since the driver was loaded */
	{ "gpu_row_remaps", row_remaps },              /* in the GPU's life */
	{ "gpu_row_remap_pending", remap_pending },    /* 1: waits for a reset */
	{ "gpu_row_remap_failed", remap_failed },      /* 1: one could not be done */
	{ "gpu_retired_pages", retired_pages },        /* in the GPU's life, before Ampere */
	{ "gpu_nvlink_errors", nvlink_errors },
	{ "gpu_pcie_replay", pcie_replays, 1 },
	{ "gpu_xids", xids, 1 }, /* since NVML was opened */
};

void nvml_counters(struct machine *m, int only_quick, counter_fn *put, void *arg)
{
	struct error ignored; /* without NVML there are no such counters */
	struct nvml *n = nvml_open(m, &ignored);

	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	events_read(n);
	kernel_log_read(n);
	for (int i = 0; i < n->device_count; i++) {
		char part[16];

		snprintf(part, sizeof(part), "gpu%d", n->devices[i].number);
		for (size_t k = 0; k < ARRAY_SIZE(counters); k++) {
			double value;

			if (only_quick && !counters[k].is_quick)
				continue;
			if (counters[k].read(n, &n->devices[i], &value) == NVML_OK)
				put(arg, part, counters[k].name, value);
		}
	}
	pthread_mutex_unlock(&n->lock);
}
