/*
 * counters.c - the files in which a driver shows its counters, below the root of a recorded
 * machine.
 *
 * Several processes may play nodes on one machine and share the files, so each adds what is new.
 */
#include "tests/doubles/verbs/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TELL_EVERY 0.02 /* seconds */

static const char sent_file[] = "counters/port_xmit_data";
static const char resent_file[] = "hw_counters/local_ack_timeout_err";

static void path_of(const struct nic *nic, const char *file, char out[700])
{
	snprintf(out, 700, "%s/sys/class/infiniband/%s/ports/1/%s", nic->device.root,
		 nic->device.v.name, file);
}

static void add(const struct nic *nic, const char *file, uint64_t more)
{
	char path[700], text[32] = "";
	unsigned long long value;
	int fd;

	path_of(nic, file, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	flock(fd, LOCK_EX);
	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		*text = '\0';
	value = strtoull(text, NULL, 10) + more;
	/* always as long, so that no reader finds half of it */
	snprintf(text, sizeof(text), "%020llu\n", value);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		double_die("%s cannot be written: %s", path, strerror(errno));
	close(fd);
}

static void make(const struct nic *nic, const char *file)
{
	char path[700];
	int fd;

	path_of(nic, file, path);
	*strrchr(path, '/') = '\0';
	mkdir(path, 0755);
	path[strlen(path)] = '/';
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
}

void counters_make(const struct nic *nic)
{
	if (!*nic->device.root)
		return;
	make(nic, sent_file);
	make(nic, resent_file);
	add(nic, sent_file, 0);
	add(nic, resent_file, 0);
}

void counters_tell(struct nic *nic, int now)
{
	if (!*nic->device.root || (!now && double_now() < nic->told_at + TELL_EVERY))
		return;
	nic->told_at = double_now();
	if (nic->sent - nic->told_sent >= 4 && !nic->device.rules.wrong_path)
		add(nic, sent_file, (nic->sent - nic->told_sent) / 4); /* words of 32 bits */
	nic->told_sent += (nic->sent - nic->told_sent) / 4 * 4;
	if (nic->resent > nic->told_resent)
		add(nic, resent_file, nic->resent - nic->told_resent);
	nic->told_resent = nic->resent;
}
