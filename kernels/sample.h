/*
 * sample.h - how sources of telemetry are written. Private to the sample_*.c files.
 *
 * A source declares series, most of them with the file behind them, and is asked for values once a
 * second. It is only ever touched by one thread at a time: its own while it reads, the sampler's
 * otherwise.
 */
#ifndef ASSAY_SAMPLE_H
#define ASSAY_SAMPLE_H

#include "kernels/facts.h"
#include "kernels/pci.h"

struct source;
struct sample_file;
struct told;

struct source_kind {
	const char *name; /* for people: "sensors (hwmon)" */
	int apart;        /* may hang: read by a thread of its own */
	void (*open)(struct source *s);
	void (*read)(struct source *s);  /* what its files do not tell; NULL: nothing */
	void (*close)(struct source *s); /* NULL: nothing to release */
};

struct source {
	const struct source_kind *kind;
	struct machine *m;
	const struct pci_parts *parts; /* as they were when the sampler was opened */
	long turn;                     /* counts seconds */
	void *own;                     /* of the source, released by its close() */
	struct sample_series *series;
	double *values; /* as in struct sampling */
	int count;
	struct sample_file *files;
	int file_count;
	struct told *told;
	int told_count;
};

/* Where in a file the number stands, and how often it is read. */
struct reading {
	int every;                /* seconds; 0 is 1 */
	double scale;             /* file's units to ours; 0 is 1 */
	const char *key;          /* search for this text first */
	int column;               /* then skip so many numbers */
	const char *const *words; /* or a word: 1 for the first of these, 0 for any other */
	int refused;              /* a driver that refuses the reading means zero */
};

/* A further series; its index. */
int source_add(struct source *s, const char *part, const struct sample_series *like);
/*
 * A series that a file tells, if the file is there and can be read: its index, or -1. A file that
 * is there and may not be read is said once, as an event "hole".
 */
int source_watch(struct source *s, const char *part, const struct sample_series *like,
		 const struct reading *how, const char *fmt, ...) PRINTF(5, 6);
/* One more file whose number is added to that of the series. 0 or -1. */
int source_watch_too(struct source *s, int series, const struct reading *how, const char *fmt, ...)
	PRINTF(4, 5);
/* A series that another number of the last watched file tells. */
int source_watch_same(struct source *s, const char *part, const struct sample_series *like,
		      const struct reading *how);
/* 1 once every so many seconds; *due is kept by the caller. */
int source_due(const struct source *s, long *due, int every);
void source_tell(struct source *s, const char *part, const char *what, const char *fmt, ...)
	PRINTF(4, 5);
/* The part at a PCI address, NULL if there is none. */
const struct pci_part *source_part_at(const struct source *s, const char *address);
/* The part whose PCI device a path of sysfs lies below; NULL if there is none. */
const struct pci_part *source_part_of(const struct source *s, const char *path);

extern const struct source_kind sample_host, sample_cpu, sample_pci, sample_hwmon, sample_net,
	sample_disk, sample_smart, sample_kernel_log, sample_ipmi;
#ifdef HAVE_CUDA
extern const struct source_kind sample_nvml;
#endif

/* sample.c: see kernels.h */
struct sampler *sampler_open(struct machine *m, struct error *err);
void sampler_read(struct sampler *s, struct sampling *out, sample_event_fn *event, void *arg);
int sampler_close(struct sampler *s);

#endif
