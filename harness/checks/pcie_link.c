/*
 * pcie_link.c - width and generation of every link, under load where it can be loaded.
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

enum { LINKS_MOST = 128, LOOK_EVERY = 20 * 1000 /* us */, GPU_TIMES = 3 };

static const struct param params[] = {
	{ "seconds", "1s", "load on each disk and GPU while its link is read" },
	{ "gpus", "", "GPUs that may be copied to; from the spec", 1 },
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
	return 2 + (k->disks + k->gpus + 1) * knob(k, "seconds") + 10 * (k->gpus > 0);
}

struct links {
	struct pcie_link rest[LINKS_MOST], links[LINKS_MOST]; /* before, and under load */
	int was_loaded[LINKS_MOST];
	int count;
	struct counters counters;
};

struct load {
	struct job *job;
	const struct host_disk *disk;
	const struct host_gpu *gpu;
	int stop; /* set when the link was read */
	struct error err;
	int rc;
};

static void *load_disk(void *arg)
{
	struct load *l = arg;
	struct disk_io io = { .target = { .path = l->disk->path, .device = 1 },
			      .span = l->disk->bytes & ~(uint64_t)0xfffff,
			      .block = 1 << 20,
			      .depth = 16,
			      .seconds = knob(&l->job->knobs, "seconds") };

	l->rc = l->job->hw->disk_io(l->job->machine, &io, &l->err);
	return NULL;
}

static int copy_to(struct job *job, const struct host_gpu *gpu, int copies, struct error *err)
{
	double gbs;
	struct gpu_route route = {
		.from = GPU_HOST,
		.to = atoi(gpu->part + strlen("gpu")),
		.numa = -1,
		.gbs = &gbs,
	};
	struct gpu_copy copy = {
		.routes = &route,
		.route_count = 1,
		.way = GPU_WRITE_CE,
		.bytes = 1 << 20,
		.copies = copies,
		.samples = 1,
	};

	return job->hw->gpu_copy(job->machine, &copy, err);
}

/* Copies to the GPU, again and again until the link was read. */
static void *load_gpu(void *arg)
{
	struct load *l = arg;

	do
		l->rc = copy_to(l->job, l->gpu, 256, &l->err);
	while (l->rc == 0 && !__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

/* The disk behind a part, or NULL. */
static const struct host_disk *disk_of(struct job *job, const char *part)
{
	const struct host *host = job->hw->host(job->machine);
	int i = atoi(part + strcspn(part, "0123456789"));

	return !strncmp(part, "disk", 4) && i < host->disk_count ? &host->disks[i] : NULL;
}

/* The GPU behind a part, or NULL when there is none or nothing can be copied to it. */
static const struct host_gpu *gpu_of(struct job *job, const char *part)
{
	const struct host_gpus *gpus;
	struct error ignored;

	if (!job_may_compute(job, part) || !job->hw->gpus || !job->hw->gpu_copy)
		return NULL;
	gpus = job->hw->gpus(job->machine, &ignored);
	for (int i = 0; gpus && i < gpus->count; i++)
		if (!strcmp(gpus->items[i].part, part))
			return gpus->items[i].usable ? &gpus->items[i] : NULL;
	return NULL;
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

/* A link that is at its best at rest needs no load; waking a GPU for nothing takes seconds. */
static int is_best(const struct pcie_link *p)
{
	return p->gen > 0 && p->gen >= p->gen_max && p->width >= p->width_max;
}

/*
 * Reads link i in the middle of a load, and if it is low, again and again: a GPU fills and compares
 * buffers between its copies, and its link may rest meanwhile. What counts is the highest
 * generation, with the lanes that were in use then. `most`: share of the load's time, at most.
 */
static int look(struct job *job, int i, double most, struct pcie_link *link, struct error *err)
{
	const double seconds = knob(&job->knobs, "seconds"), end = clock_now() + most * seconds;
	struct pcie_link now;

	usleep((useconds_t)(seconds * 5e5));
	if (read_one(job, i, link, err) < 0)
		return -1;
	for (now = *link; !is_best(link) && clock_now() < end; usleep(LOOK_EVERY)) {
		if (read_one(job, i, &now, err) < 0)
			return -1;
		if (now.gen > link->gen)
			*link = now;
	}
	return 0;
}

/* Reads link i under a load. 1 if there was a load, 0 if not, -1 with err. */
static int read_loaded(struct job *job, int i, struct pcie_link *link, struct error *err)
{
	struct load l = { .job = job };
	pthread_t thread;
	int rc;

	l.disk = disk_of(job, link->part);
	l.gpu = l.disk || is_best(link) ? NULL : gpu_of(job, link->part);
	/* The first copy opens the driver, which takes seconds; the load must be there at once. */
	if ((!l.disk && !l.gpu) || (l.gpu && copy_to(job, l.gpu, 1, &l.err) < 0))
		return 0;
	if (pthread_create(&thread, NULL, l.disk ? load_disk : load_gpu, &l) != 0)
		return 0;
	/* copies to a GPU go on until they are stopped */
	rc = look(job, i, l.gpu ? GPU_TIMES : 0.9, link, err);
	__atomic_store_n(&l.stop, 1, __ATOMIC_RELEASE);
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
		snprintf(why, sizeof(why), "%d of %d at rest, and nothing could put a load on it",
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
		if (!strncmp(p->part, "gpu", 3) && !job_may_compute(job, p->part) &&
		    p->gen < p->gen_max)
			job_absent(job, "generations_lost", p->part,
				   "it rests, and the spec lets no check work on it");
		else
			report_loss(job, "generations_lost", p->part, p->gen, p->gen_max,
				    l->was_loaded[i]);
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
	       "Disks are read from while their link is looked at, GPUs that rest below their best "
	       "are "
	       "copied to; a link below its best at rest without a load "
	       "is a hole and not a failure. Counters of Advanced Error Reporting are read before "
	       "and after.",
	.scope = PER_NODE,
	.occupies = USES_DISKS | USES_GPUS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
