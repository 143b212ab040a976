/*
 * nvme.c - the SMART / health log of an NVMe disk, by libnvme.
 *
 * The log is asked of the controller as a whole (namespace FFFFFFFFh), because that is the only
 * form every controller must support. Built without libnvme the same symbol is there and says so.
 */
#include "kernels/machine.h"

#ifdef HAVE_LIBNVME

#include <errno.h>
#include <fcntl.h>
#include <libnvme.h>
#include <string.h>
#include <unistd.h>

/* NVM Express Base 2.0, 5.16.1.3: data units are thousands of 512 bytes, temperatures are kelvin.
 */
enum { DATA_UNIT = 512 * 1000, ZERO_CELSIUS = 273 };

/* A 128-bit little-endian counter. */
static double counter_of(const unsigned char bytes[16])
{
	double value = 0;

	for (int i = 15; i >= 0; i--)
		value = value * 256 + bytes[i];
	return value;
}

static void health_fill(struct disk_health *health, const struct nvme_smart_log *log)
{
	*health = (struct disk_health){
		.critical_warning = log->critical_warning,
		.temperature_c = (log->temperature[0] | log->temperature[1] << 8) - ZERO_CELSIUS,
		.spare_percent = log->avail_spare,
		.spare_threshold = log->spare_thresh,
		.used_percent = log->percent_used,
		.read_bytes = counter_of(log->data_units_read) * DATA_UNIT,
		.written_bytes = counter_of(log->data_units_written) * DATA_UNIT,
		.power_on_hours = counter_of(log->power_on_hours),
		.unsafe_shutdowns = counter_of(log->unsafe_shutdowns),
		.media_errors = counter_of(log->media_errors),
		.error_log_entries = counter_of(log->num_err_log_entries),
		.warning_minutes = le32toh(log->warning_temp_time),
		.critical_minutes = le32toh(log->critical_comp_time),
	};
}

static int health_read(int fd, const char *path, struct disk_health *health, struct error *err)
{
	struct nvme_smart_log log;
	int status;

	memset(&log, 0, sizeof(log));
	/* The event that a warning raised stays for the site's own monitoring to see. */
	status = nvme_get_log_smart(fd, NVME_NSID_ALL, true, &log);
	if (status < 0)
		return error_sys(err, "the health log of %s cannot be read", path);
	if (status > 0)
		return error_set(err, "%s refuses to give its health log: %s", path,
				 nvme_status_to_string(status, false));
	health_fill(health, &log);
	return 0;
}

int disk_health(struct machine *m, const char *device, struct disk_health *health,
		struct error *err)
{
	char *path;
	int fd, rc;

	if (m->root[0])
		return error_set(err, "the health log of %s: this is a recorded machine", device);
	if (strncmp(device, "nvme", 4) != 0 || strchr(device, '/'))
		return error_set(err, "%s is no NVMe disk, so it has no NVMe health log", device);
	path = machine_path(m, "/dev/%s", device);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? error_sys(err, "cannot open %s", path) : health_read(fd, path, health, err);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

#else

int disk_health(struct machine *m, const char *device, struct disk_health *health,
		struct error *err)
{
	(void)m;
	(void)health;
	return error_set(err, "the health log of %s cannot be read: built without libnvme", device);
}

#endif
