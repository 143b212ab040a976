/*
 * derive.c - a spec of the machine it runs on.
 *
 * Its inventory is exact; its floors follow from first principles, are far below what a good
 * machine does, and say so: `calibration: uncalibrated`, and the formula as the source of each
 * limit. They catch what is broken, not what is merely slow.
 */
#include "harness/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct deriving {
	const struct derive_fact *facts;
	int count;
	const char *folder;
	struct text out;
};

static const char *fact(const struct deriving *d, const char *part, const char *key)
{
	for (int i = 0; i < d->count; i++)
		if (!strcmp(d->facts[i].part, part) && !strcmp(d->facts[i].key, key))
			return d->facts[i].value;
	return NULL;
}

static double number(const struct deriving *d, const char *part, const char *key)
{
	const char *text = fact(d, part, key);
	struct quantity q;
	struct error err;

	return text && quantity_parse(text, &q, &err) == 0 ? q.value : 0;
}

/* A text as a YAML scalar in double quotes. */
static void put_quoted(struct text *out, const char *s)
{
	struct text clean;

	text_init(&clean);
	text_add_printable(&clean, s);
	text_add(out, "\"");
	for (const char *c = clean.data; *c; c++) {
		if (strchr("\"\\", *c))
			text_add(out, "\\");
		text_put(out, c, 1);
	}
	text_add(out, "\"");
	text_release(&clean);
}

/* Words are patterns in a spec, so what fnmatch would read as one is escaped. */
static void put_pattern(struct text *out, const char *s)
{
	struct text t;

	text_init(&t);
	for (; *s; s++) {
		if (strchr("*?[\\", *s))
			text_add(&t, "\\");
		text_put(&t, s, 1);
	}
	put_quoted(out, t.data);
	text_release(&t);
}

/* ---- parts ---- */

/* Facts that make two parts the same kind of thing; serials and places do not. */
static const char *const shared_facts[] = {
	"model",      "vendor",   "cores",    "threads",   "l1d",   "l2",    "l3",
	"vector",     "type",     "size",     "speed",     "ranks", "rate",  "layer",
	"link_width", "link_gen", "firmware", "microcode", "bus",   "state",
};

/* Links of GPUs rest at a low generation, so what they can do is expected and not what is. */
static const char *const gpu_facts[] = {
	"model",   "firmware", "memory",     "ecc",          "mig",
	"nvlinks", "board",    "link_width", "link_gen_max", "power_default",
};

static int is_shared(int kind, const char *key)
{
	const char *const *keys = kind == PART_GPU ? gpu_facts : shared_facts;
	size_t count = kind == PART_GPU ? ARRAY_SIZE(gpu_facts) : ARRAY_SIZE(shared_facts);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(keys[i], key))
			return 1;
	return 0;
}

static char *part_facts(const struct deriving *d, const char *part)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < d->count; i++) {
		const struct derive_fact *f = &d->facts[i];
		int kind = part_kind_of(part);
		const struct fact_key *key;
		const char *value;
		char best[32];

		if (strcmp(f->part, part) != 0 || !is_shared(kind, f->key))
			continue;
		/* A port that has no cable today may have none for good; one that has, keeps it. */
		if (!strcmp(f->key, "state") && (!f->value || strcmp(f->value, "ACTIVE") != 0))
			continue;
		/* A link that is degraded today must not become the norm: what it can do is
		 * expected. */
		snprintf(best, sizeof(best), "%s_max", f->key);
		value = fact(d, part, best) ? fact(d, part, best) : f->value;
		key = fact_key_find((enum part_kind)kind, f->key);
		text_addf(&t, "      %s: ", f->key);
		if (key && key->type == FACT_NUMBER)
			text_add(&t, value);
		else
			put_pattern(&t, value);
		text_add(&t, "\n");
	}
	return text_detach(&t);
}

struct kind_of_part {
	char name[32];
	char *facts;
	char first[16]; /* the first part of it */
	int count;
};

struct catalogue {
	struct kind_of_part *items;
	int count;
};

static int keeps_order(int kind)
{
	return kind == PART_GPU || kind == PART_DISK;
}

static void add_part(struct catalogue *c, const struct deriving *d, const char *part)
{
	char *facts = part_facts(d, part);

	for (int i = 0; i < c->count; i++) {
		if (strcmp(c->items[i].facts, facts) != 0 ||
		    part_kind_of(c->items[i].first) != part_kind_of(part))
			continue;
		/* Groups are numbered in order, and folders and limits go by number. */
		if (keeps_order(part_kind_of(part)) && i != c->count - 1)
			continue;
		c->items[i].count++;
		free(facts);
		return;
	}
	c->items = grow(c->items, (size_t)c->count, sizeof(*c->items));
	c->items[c->count] = (struct kind_of_part){ .facts = facts, .count = 1 };
	snprintf(c->items[c->count].first, sizeof(c->items[0].first), "%s", part);
	snprintf(c->items[c->count].name, sizeof(c->items[0].name), "%s-type%d",
		 part_kind_name((enum part_kind)part_kind_of(part)), c->count);
	c->count++;
}

static void collect(struct catalogue *c, const struct deriving *d)
{
	const char *last = "";

	for (int i = 0; i < d->count; i++) {
		const char *part = d->facts[i].part;

		if (!*part || !strcmp(part, last) || part_kind_of(part) <= PART_NODE ||
		    strlen(part) > 15)
			continue;
		last = part;
		add_part(c, d, part);
	}
}

/* ---- limits ---- */

static void put_limit(struct deriving *d, int indent, const char *key, const char *op,
		      const char *value, const char *source)
{
	text_addf(&d->out, "%*s%s: {%s: %s, origin: derived, source: ", indent, "", key, op, value);
	put_quoted(&d->out, source);
	text_add(&d->out, "}\n");
}

struct floor_row {
	const char *key, *op, *value, *source;
};

static void put_rows(struct deriving *d, int indent, const struct floor_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_limit(d, indent, rows[i].key, rows[i].op, rows[i].value, rows[i].source);
}

/* Interfaces, not flash: what even the slowest disk of its bus must do. */
static const struct floor_row slow_disk[] = {
	{ "disk_seq.read", "at_least", "50 MB/s",
	  "half of what one 7200 rpm disk streams on its inner tracks" },
	{ "disk_seq.write", "at_least", "50 MB/s",
	  "half of what one 7200 rpm disk streams on its inner tracks" },
	{ "disk_rand.read_qd1", "at_least", "60 IOPS",
	  "8.5 ms seek + 4.2 ms half a turn at 7200 rpm" },
	{ "disk_rand.read_qd32", "at_least", "60 IOPS", "not slower than one at a time" },
	{ "disk_rand.read_qd256", "at_least", "60 IOPS", "not slower than one at a time" },
	{ "disk_rand.write_qd32", "at_least", "60 IOPS",
	  "8.5 ms seek + 4.2 ms half a turn at 7200 rpm" },
	{ "disk_latency.p50", "at_most", "20 ms",
	  "8.5 ms seek + 4.2 ms half a turn at 7200 rpm, and as much again" },
	{ "disk_latency.p99", "at_most", "100 ms", "a handful of seeks in the queue" },
	{ "disk_latency.p999", "at_most", "500 ms", "a retry of the disk" },
};

static const struct floor_row nvme_disk[] = {
	{ "disk_rand.read_qd1", "at_least", "4 kIOPS",
	  "flash page read 100 us + NVMe path 20 us, and as much again" },
	{ "disk_rand.read_qd32", "at_least", "40 kIOPS",
	  "32 reads of 250 us overlap, a third of that" },
	{ "disk_rand.read_qd256", "at_least", "80 kIOPS", "twice the floor at depth 32" },
	{ "disk_rand.write_qd32", "at_least", "10 kIOPS",
	  "a quarter of the reads: steady state without a cache" },
	{ "disk_latency.p50", "at_most", "250 us",
	  "flash page read 100 us + NVMe path 20 us, and as much again" },
	{ "disk_latency.p99", "at_most", "2 ms", "a read behind one program of a flash page" },
	{ "disk_latency.p999", "at_most", "10 ms", "a read behind one erase of a flash block" },
	{ "disk_health.used", "at_most", "5%", "a disk that is delivered as new has little wear" },
	{ "disk_health.temperature", "at_most", "75 C",
	  "below the usual composite warning threshold" },
	{ "disk_health.spare", "at_least", "95%",
	  "a disk that is delivered as new has its spare blocks" },
};

/* One lane after line coding, GB/s, by generation: as in theory.c. */
static const double lane[] = { 0, 0.25, 0.5, 0.985, 1.969, 3.938, 7.563 };

static void put_disk_limits(struct deriving *d, const struct kind_of_part *k)
{
	const char *bus = fact(d, k->first, "bus");
	double width = number(d, k->first, "link_width"), gen = number(d, k->first, "link_gen");
	char value[40], source[120];

	text_add(&d->out, "    limits:\n");
	if (!bus || strcmp(bus, "nvme") != 0 || width <= 0 || gen < 1 || gen > 6) {
		put_rows(d, 6, slow_disk, ARRAY_SIZE(slow_disk));
		return;
	}
	snprintf(value, sizeof(value), "%.2f GB/s", 0.6 * width * lane[(int)gen]);
	snprintf(source, sizeof(source), "0.6 x PCIe gen %g x%g = 0.6 x %.2f GB/s", gen, width,
		 width * lane[(int)gen]);
	put_limit(d, 6, "disk_seq.read", "at_least", value, source);
	snprintf(value, sizeof(value), "%.2f GB/s", 0.1 * width * lane[(int)gen]);
	snprintf(source, sizeof(source),
		 "0.1 x PCIe gen %g x%g: flash programs far slower than it reads", gen, width);
	put_limit(d, 6, "disk_seq.write", "at_least", value, source);
	put_rows(d, 6, nvme_disk, ARRAY_SIZE(nvme_disk));
}

/*
 * Shares of one direction of the link. Packets of 256 bytes carry 0.91 of what they occupy (PCI
 * Express Base 3.0, 2.2 and 3.5), one copy engine fills 0.83 to 0.88 by public measurements.
 */
static const struct {
	const char *key, *because;
	double share;
} host_copies[] = {
	{ "gpu_host_copy.h2d", "0.82 that packets and one copy engine leave, less 3%", 0.795 },
	{ "gpu_host_copy.d2h", "0.82 that packets and one copy engine leave, less 3%", 0.795 },
	{ "gpu_host_copy.both", "both directions, each at three quarters of one alone", 1.2 },
	{ "gpu_host_copy.all_h2d", "two GPUs may share one uplink", 0.4 },
	{ "gpu_host_copy.all_d2h", "two GPUs may share one uplink", 0.4 },
};

static void put_gpu_limits(struct deriving *d, const struct kind_of_part *k)
{
	double width = number(d, k->first, "link_width_max");
	double gen = number(d, k->first, "link_gen_max");
	char value[40], source[160];

	if (width <= 0 || gen < 1 || gen > 6)
		return;
	text_add(&d->out, "    limits:\n");
	for (size_t i = 0; i < ARRAY_SIZE(host_copies); i++) {
		snprintf(value, sizeof(value), "%.2f GB/s",
			 host_copies[i].share * width * lane[(int)gen]);
		snprintf(source, sizeof(source), "%.3g x PCIe gen %g x%g = %.3g x %.2f GB/s: %s",
			 host_copies[i].share, gen, width, host_copies[i].share,
			 width * lane[(int)gen], host_copies[i].because);
		put_limit(d, 6, host_copies[i].key, "at_least", value, source);
	}
}

/* What holds for a GPU of any model. */
static const struct floor_row gpu_rows[] = {
	{ "gpu_inventory.foreign_memory", "at_most", "1 GiB",
	  "nothing else should run: one context, and what the driver keeps" },
	{ "gpu_inventory.retired_pages", "at_most", "0", "delivered as new" },
	{ "gpu_host_copy.h2d_alpha", "at_most", "20 us",
	  "a few crossings of PCIe of 1 us, five-fold" },
	{ "gpu_host_copy.d2h_alpha", "at_most", "20 us",
	  "a few crossings of PCIe of 1 us, five-fold" },
	{ "gpu_memory_bandwidth.slab_worst", "at_least", "50%",
	  "a slab that one channel serves at half its rate" },
	{ "gpu_memory_stress.tested_share", "at_least", "97%",
	  "what the driver and one context leave" },
	{ "gpu_memory_stress.ecc_corrected", "at_most", "1",
	  "one upset by radiation; a weak cell shows again and again" },
	{ "gpu_burn.verify_share", "at_most", "3%",
	  "products are to be multiplied, not looked at" },
	{ "gpu_burn.temperature", "at_most", "85 C", "below where GPUs slow down" },
	{ "gpu_burn.memory_temperature", "at_most", "95 C",
	  "below where stacked memory throttles" },
	{ "gpu_burn.hot_share", "at_most", "1%", "cooling and supply are to hold full load" },
	{ "gpu_soak.link_errors", "at_most", "100", "links retry: single errors are made good" },
	{ "gpu_soak.hot_share", "at_most", "1%", "cooling and supply are to hold full load" },
};

/* Bytes a second of one NUMA node, in GB/s, with the formula. */
static double memory_floor(const struct deriving *d, char *how, size_t room)
{
	double nodes = number(d, "", "numa_nodes"), cores = number(d, "", "cores"), sum = 0;

	nodes = nodes > 0 ? nodes : 1;
	for (int i = 0; i < 256; i++) {
		char part[16];

		snprintf(part, sizeof(part), "dimm%02d", i);
		sum += number(d, part, "speed") * 8;
	}
	if (sum > 0) {
		/* Two modules may share a channel: half of the sum is what is sure. */
		snprintf(how, room,
			 "0.65 x %.1f GB/s of all modules, halved for two a channel, over %g NUMA "
			 "nodes",
			 sum / 1e9, nodes);
		return 0.65 * sum / 2 / nodes / 1e9;
	}
	snprintf(how, room, "%g cores x 10 lines of 64 B in flight / 200 ns, NUMA nodes: %g", cores,
		 nodes);
	return cores * 10 * 64 / 200 / nodes;
}

static void put_memory_limits(struct deriving *d)
{
	static const struct {
		const char *name;
		double factor;
		const char *because;
	} ops[] = {
		{ "read", 1, "" },
		{ "write", 0.5, ", half: each line is read before it is written" },
		{ "nt_write", 0.5, ", half: writes turn the bus around" },
		{ "copy", 0.75, ", three quarters: reads and writes mixed" },
		{ "triad", 0.75, ", three quarters: reads and writes mixed" },
	};
	char how[200], key[64], value[40], source[300];
	double floor = memory_floor(d, how, sizeof(how));
	int many = number(d, "", "numa_nodes") > 1;

	for (int remote = 0; remote <= many; remote++)
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
			snprintf(key, sizeof(key), "memory_bandwidth.%s%s", remote ? "remote_" : "",
				 ops[i].name);
			snprintf(value, sizeof(value), "%.2f GB/s",
				 floor * ops[i].factor / (remote ? 3 : 1));
			snprintf(source, sizeof(source), "%s%s%s", how, ops[i].because,
				 remote ? ", a third over the socket link" : "");
			put_limit(d, 2, key, "at_least", value, source);
		}
}

static const struct floor_row node_rows[] = {
	{ "memory_latency.local", "at_most", "250 ns",
	  "tRC 50 ns + two crossings of the die of 50 ns, and as much again" },
	{ "memory_latency.remote", "at_most", "450 ns",
	  "the local floor and 200 ns of socket link" },
	{ "pcie_link.aer_corrected", "at_most", "0", "a trained link makes no errors in a minute" },
};

static const struct floor_row metal_rows[] = {
	{ "memory_latency.local_p99", "at_most", "1500 ns",
	  "a refresh (tRFC 400 ns) and its queue" },
	{ "memory_latency.remote_p99", "at_most", "2500 ns",
	  "a refresh (tRFC 400 ns) and its queue" },
};

static const struct floor_row guest_rows[] = {
	{ "memory_latency.local_p99", "at_most", "50 us",
	  "a hypervisor may take the core in the middle" },
	{ "memory_latency.remote_p99", "at_most", "50 us",
	  "a hypervisor may take the core in the middle" },
};

static int is_guest(const struct deriving *d)
{
	const char *hypervisor = fact(d, "", "hypervisor");

	return hypervisor && strcmp(hypervisor, "none") != 0;
}

static void put_cpu_limits(struct deriving *d)
{
	double cores = number(d, "", "cores");

	text_addf(&d->out,
		  "  cpu_burn.flops: {at_least: %.1f GFLOP/s, share: 90%%, worst: 50%%, origin: "
		  "derived,\n"
		  "    source: \"%g cores x 1 GHz x 8 FLOP: one AVX2 FMA port at a low clock\"}\n",
		  cores * 8, cores);
	/* A hypervisor gives the cores to others when it likes; on bare metal nothing should. */
	text_addf(&d->out,
		  "  cpu_burn.efficiency: {at_least: %s, origin: derived,\n"
		  "    source: \"1 by construction; the rest is what %s may take\"}\n",
		  is_guest(d) ? "25%, share: 50%, worst: 4%" : "85%, share: 95%, worst: 80%",
		  is_guest(d) ? "a hypervisor and its other guests" : "daemons and interrupts");
}

/* ---- the file ---- */

static void put_node_facts(struct deriving *d)
{
	static const char *const words[] = { "vendor", "product", "board",
					     "bios",   "kernel",  "hypervisor" };
	static const char *const numbers[] = { "sockets", "cores", "threads", "numa_nodes" };

	text_add(&d->out, "    facts:\n");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!fact(d, "", words[i]))
			continue;
		text_addf(&d->out, "      %s: ", words[i]);
		put_pattern(&d->out, fact(d, "", words[i]));
		text_add(&d->out, "\n");
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (fact(d, "", numbers[i]))
			text_addf(&d->out, "      %s: %s\n", numbers[i], fact(d, "", numbers[i]));
	/* What the kernel keeps for itself varies a little from boot to boot. */
	if (number(d, "", "memory") > 0)
		text_addf(&d->out, "      memory: \">= %.0f MiB\"\n",
			  number(d, "", "memory") * 0.98 / (1 << 20));
}

static int disk_number(const struct kind_of_part *k)
{
	return atoi(k->first + strlen("disk"));
}

/* The folder goes to the first disk of a group only if that is the one it is on. */
static void put_folder(struct deriving *d, const struct kind_of_part *k)
{
	const char *device = fact(d, "", "folder_device");
	const char *mine = fact(d, k->first, "device");

	if (!device || !mine || disk_number(k) < 0 || strcmp(device, mine) != 0)
		return;
	text_add(&d->out, ", folders: [");
	put_quoted(&d->out, d->folder);
	text_add(&d->out, "]");
}

/*
 * A GPU without NVLinks beside GPUs of another model with some is there for the screen. One of the
 * same model has lost them and must stay in.
 */
static int is_for_screen(const struct deriving *d, const struct catalogue *c,
			 const struct kind_of_part *k)
{
	const char *links = fact(d, k->first, "nvlinks_max");
	const char *model = fact(d, k->first, "model");
	int others = 0;

	if (!links || !model || number(d, k->first, "nvlinks_max") > 0)
		return 0;
	for (int i = 0; i < c->count; i++) {
		const char *first = c->items[i].first, *other = fact(d, first, "model");

		if (part_kind_of(first) != PART_GPU || number(d, first, "nvlinks_max") <= 0)
			continue;
		if (other && !strcmp(other, model))
			return 0;
		others++;
	}
	return others > 0;
}

static void put_groups(struct deriving *d, const struct catalogue *c)
{
	for (int kind = PART_SOCKET; kind < PART_KIND_COUNT; kind++) {
		int any = 0;

		for (int i = 0; i < c->count; i++) {
			const struct kind_of_part *k = &c->items[i];

			if (part_kind_of(k->first) != kind)
				continue;
			if (!any++)
				text_addf(&d->out, "    %ss:\n",
					  part_kind_name((enum part_kind)kind));
			text_addf(&d->out, "      - {part: %s, count: %d", k->name, k->count);
			if (kind == PART_DISK)
				put_folder(d, k);
			if (kind == PART_GPU && is_for_screen(d, c, k))
				text_add(&d->out, ", compute: no");
			text_add(&d->out, "}\n");
		}
	}
}

static void put_part(struct deriving *d, const struct kind_of_part *k)
{
	text_addf(&d->out, "  %s:\n    kind: %s\n    source: \"found in this machine\"\n", k->name,
		  part_kind_name((enum part_kind)part_kind_of(k->first)));
	if (*k->facts)
		text_addf(&d->out, "    facts:\n%s", k->facts);
	if (part_kind_of(k->first) == PART_DISK)
		put_disk_limits(d, k);
	if (part_kind_of(k->first) == PART_GPU)
		put_gpu_limits(d, k);
}

static int has_gpus(const struct catalogue *c)
{
	for (int i = 0; i < c->count; i++)
		if (part_kind_of(c->items[i].first) == PART_GPU)
			return 1;
	return 0;
}

static void put_head(struct deriving *d, const struct catalogue *c)
{
	text_add(&d->out,
		 "# Derived by `assay spec derive` from the machine it ran on. The "
		 "inventory is exact; the\n"
		 "# floors come from first principles, catch what is broken and not what "
		 "is merely slow.\n"
		 "# Put measured or contracted figures in their place and delete the "
		 "calibration line.\n"
		 "assay: spec/1\nname: derived-node\nabout: \"A node like the one this was "
		 "derived from.");
	/* No driver tells these peaks, and a guess would be no limit. */
	if (has_gpus(c))
		text_add(&d->out, " No limits for rates of GPU memory, copies between GPUs and "
				  "matrix products: take them from a part of the library.");
	text_add(&d->out, "\"\ncalibration: uncalibrated\n\n");
}

/*
 * An ordinary user may not read the kernel's log on most systems. Without a waiver each run would
 * be incomplete; with one that is not signed each report says what is not seen, and that nobody
 * answers for it yet.
 */
static void put_waivers(struct deriving *d)
{
	const char *why = fact(d, "", "kernel_log");

	if (!why)
		return;
	text_add(&d->out, "\n# Yours to sign: put name and date behind `by`, or remove this and "
			  "run as root.\n"
			  "waivers:\n  - {check: telemetry, metric: watch, subject: \"*/kmsg\",\n"
			  "     by: \"nobody yet, see the spec\", reason: ");
	put_quoted(&d->out, why);
	text_add(&d->out, "}\n");
}

char *spec_derive(const struct derive_fact *facts, int count, const char *folder)
{
	struct deriving d = { .facts = facts, .count = count, .folder = folder };
	struct catalogue c = { 0 };

	text_init(&d.out);
	collect(&c, &d);
	put_head(&d, &c);
	if (c.count)
		text_add(&d.out, "parts:\n");
	for (int i = 0; i < c.count; i++)
		put_part(&d, &c.items[i]);
	text_add(&d.out, "\nnodes:\n  node:\n");
	put_node_facts(&d);
	put_groups(&d, &c);
	text_add(&d.out, "\nlimits:\n");
	put_memory_limits(&d);
	put_rows(&d, 2, node_rows, ARRAY_SIZE(node_rows));
	put_rows(&d, 2, is_guest(&d) ? guest_rows : metal_rows, ARRAY_SIZE(guest_rows));
	put_cpu_limits(&d);
	if (has_gpus(&c))
		put_rows(&d, 2, gpu_rows, ARRAY_SIZE(gpu_rows));
	put_waivers(&d);
	for (int i = 0; i < c.count; i++)
		free(c.items[i].facts);
	free(c.items);
	return text_detach(&d.out);
}
