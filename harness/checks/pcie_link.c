/*
 * pcie_link.c - width and generation of every link, under load where this build can load it.
 *
 * Links may rest at a low generation to save power, so a low one is only judged under load; lanes
 * are not given up at rest, so a missing one always counts.
 */
#include "harness/checks/counters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MOST = 128 };

static const struct param params[] = {
	{ "seconds", "1s", "load on each disk while its link is read" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "lanes_lost", "", NONE, BY_EVERY, NULL, "lanes fewer than device and slot can do" },
	{ "generations_lost", "", NONE, BY_EVERY, NULL,
	  "generations below what device and slot can do" },
	{ "aer_uncorrected", "", NONE, BY_EVERY, NULL, "growth of uncorrected errors" },
	{ "aer_corrected", "", LESS, BY_EVERY, NULL, "growth of corrected errors and replays" },
	{ "width", "", MORE, RECORDED, NULL, "lanes in use, under load if there was one" },
	{ "generation", "", MORE, RECORDED, NULL,
	  "generation in use, under load if there was one" },
	{ "rest_width", "", MORE, RECORDED, NULL, "lanes in use at rest" },
	{ "rest_generation", "", MORE, RECORDED, NULL, "generation in use at rest" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 2 + (k->disks + 1) * knob(k, "seconds");
}

struct links {
	struct pcie_link rest[LINKS_MOST], links[LINKS_MOST]; /* before, and under load */
	int was_loaded[LINKS_MOST];
	int count;
	struct counters counters;
};

struct load {
	struct job *job;
	struct disk_io io;
	struct error err;
	int rc;
};

static void *put_load(void *arg)
{
	struct load *l = arg;

	l->rc = l->job->hw->disk_io(l->job->machine, &l->io, &l->err);
	return NULL;
}

/* The disk behind a part, or NULL: nothing here loads GPUs and NICs. */
static const struct host_disk *disk_of(struct job *job, const char *part)
{
	const struct host *host = job->hw->host(job->machine);
	int i = atoi(part + strcspn(part, "0123456789"));

	return !strncmp(part, "disk", 4) && i < host->disk_count ? &host->disks[i] : NULL;
}

static int read_one(struct job *job, int i, struct pcie_link *link, struct error *err)
{
	struct pcie_link all[LINKS_MOST];
	int count = job->hw->pcie_links(job->machine, all, LINKS_MOST, err);

	if (count < 0)
		return -1;
	if (i >= count || strcmp(all[i].part, link->part) != 0)
		return error_set(err, "%s went away while its link was read", link->part);
	*link = all[i];
	return 0;
}

/* Reads link i in the middle of a load. 1 if there was a load, 0 if not, -1 with err. */
static int read_loaded(struct job *job, int i, struct pcie_link *link, struct error *err)
{
	const struct host_disk *disk = disk_of(job, link->part);
	struct load l = { .job = job };
	pthread_t thread;
	int rc;

	if (!disk)
		return 0;
	l.io = (struct disk_io){ .target = { .path = disk->path, .device = 1 },
				 .span = disk->bytes & ~(uint64_t)0xfffff,
				 .block = 1 << 20,
				 .depth = 16,
				 .seconds = knob(&job->knobs, "seconds") };
	if (pthread_create(&thread, NULL, put_load, &l) != 0)
		return 0;
	usleep((useconds_t)(l.io.seconds * 5e5));
	rc = read_one(job, i, link, err);
	pthread_join(thread, NULL);
	return rc < 0 ? -1 : l.rc == 0;
}

static void report_loss(struct job *job, const char *metric, const char *part, int now, int most,
			int was_loaded)
{
	char why[160];

	if (now <= 0 || most <= 0) {
		job_hole(job, metric, part, "the kernel does not say what this link can do");
	} else if (now < most && !was_loaded) {
		snprintf(why, sizeof(why), "%d of %d at rest, and nothing here puts a load on it",
			 now, most);
		job_hole(job, metric, part, why);
	} else {
		job_report(job, metric, part, now < most ? most - now : 0);
	}
}

static int read_links(struct job *job, struct links *l, struct error *err)
{
	l->count = job->hw->pcie_links(job->machine, l->links, LINKS_MOST, err);
	if (l->count < 0)
		return -1;
	l->count = l->count > LINKS_MOST ? LINKS_MOST : l->count;
	memcpy(l->rest, l->links, sizeof(l->rest));
	for (int i = 0; i < l->count; i++) {
		l->was_loaded[i] = read_loaded(job, i, &l->links[i], err);
		if (l->was_loaded[i] < 0)
			return -1;
	}
	return 0;
}

/* Paravirtual devices sit on a bus of the hypervisor's and have no link at all. */
static int has_no_link(const struct pcie_link *p, int is_virtual)
{
	return is_virtual && !p->width && !p->gen && !p->width_max && !p->gen_max;
}

static void report(struct job *job, struct links *l)
{
	int is_virtual = job_is_virtual(job);

	for (int i = 0; i < l->count; i++) {
		const struct pcie_link *p = &l->links[i];

		if (has_no_link(p, is_virtual)) {
			job_absent(job, "lanes_lost", p->part,
				   "a virtual device without a PCIe link");
			job_absent(job, "generations_lost", p->part,
				   "a virtual device without a PCIe link");
			continue;
		}
		/* Power saving lowers the generation; lanes that are gone at rest are gone. */
		report_loss(job, "lanes_lost", p->part, p->width, p->width_max, 1);
		report_loss(job, "generations_lost", p->part, p->gen, p->gen_max, l->was_loaded[i]);
		job_report(job, "width", p->part, p->width);
		job_report(job, "generation", p->part, p->gen);
		job_report(job, "rest_width", p->part, l->rest[i].width);
		job_report(job, "rest_generation", p->part, l->rest[i].gen);
	}
	counters_report(&l->counters, job, "aer_correctable", "aer_corrected");
	counters_report(&l->counters, job, "aer_nonfatal", "aer_uncorrected");
	counters_report(&l->counters, job, "aer_fatal", "aer_uncorrected");
}

static int run(struct job *job, struct error *err)
{
	struct links *l = xcalloc(1, sizeof(*l));
	int rc = counters_begin(&l->counters, job, err) < 0 || read_links(job, l, err) < 0 ||
		 counters_end(&l->counters, job, err) < 0;

	if (!rc && l->count == 0)
		for (const struct metric *m = metrics; m->name; m++)
			job_absent(
				job, m->name, "",
				"no GPU, NIC or disk here has a PCIe link that the kernel shows");
	else if (!rc)
		report(job, l);
	free(l);
	return rc ? RUN_ERROR : RUN_OK;
}

const struct check check_pcie_link = {
	.name = "pcie_link",
	.summary = "PCIe width and generation of GPUs, NICs and disks; error counters",
	.how = "Compares the link in use with what the device and the port above it can both do, "
	       "from sysfs. "
	       "Disks are read from while their link is looked at; a link below its best at rest "
	       "without a load "
	       "is a hole and not a failure. Counters of Advanced Error Reporting are read before "
	       "and after.",
	.scope = PER_NODE,
	.occupies = USES_DISKS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
