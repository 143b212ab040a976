/*
 * bench_telemetry.c - how much a node's telemetry is, on the wire and kept in full.
 *
 *   bench_telemetry [HOURS [DISKS]]
 *
 * No hardware: a made-up node of the usual size under a soak (loads of a quarter of an hour, short
 * rests between them), whose sensors scatter as real ones do. It measures the writers, not a node.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { START = 1795268000, LOAD = 900, REST = 120 };

struct row {
	const char *part, *name;
	int count;
	enum series_kind kind;
	double unit, moved;
	int every;
	double rest, load, noise; /* of a flow: per second; noise is a standard deviation */
};

/* Series as the sources of kernels/ declare them. */
static const struct row rows[] = {
	{ "gpu", "power_w", 8, SERIES_LEVEL, 0.5, 10, 1, 75, 695, 6 },
	{ "gpu", "clock_mhz", 8, SERIES_LEVEL, 15, 30, 1, 345, 1700, 25 }, /* in steps of 15 */
	{ "gpu", "memory_clock_mhz", 8, SERIES_LEVEL, 1, 30, 1, 2619, 2619, 0 },
	{ "gpu", "temperature_c", 8, SERIES_LEVEL, 1, 2, 1, 35, 66, 0.4 },
	{ "gpu", "memory_temperature_c", 8, SERIES_LEVEL, 1, 2, 1, 45, 82, 0.4 },
	{ "gpu", "throttle", 8, SERIES_BITS, 1, 0, 1, 1, 4, 0 },
	{ "gpu", "memory_used_bytes", 8, SERIES_LEVEL, 1 << 20, 1e9, 1, 6e8, 7e10, 0 },
	{ "gpu", "ecc_corrected", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "ecc_uncorrected", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "pcie_replay", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "xids", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "row_remaps", 8, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "gpu", "row_remap_pending", 8, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "gpu", "row_remap_failed", 8, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "gpu", "nvlink_errors", 8, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "gpu", "nvlinks_up", 8, SERIES_STATE, 1, 0, 10, 18, 18, 0 },
	{ "gpu", "pcie_gts", 8, SERIES_STATE, 0.5, 0, 1, 32, 32, 0 },
	{ "gpu", "pcie_lanes", 8, SERIES_STATE, 1, 0, 1, 16, 16, 0 },
	{ "gpu", "aer_correctable", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "aer_nonfatal", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "gpu", "aer_fatal", 8, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "rx_bytes", 10, SERIES_FLOW, 1 << 20, 200e6, 1, 2e3, 4e4, 1e4 },
	{ "nic", "tx_bytes", 10, SERIES_FLOW, 1 << 20, 200e6, 1, 2e3, 4e4, 1e4 },
	{ "nic", "port_rcv_bytes", 10, SERIES_FLOW, 1 << 20, 200e6, 1, 0, 46e9, 3e8 },
	{ "nic", "port_xmit_bytes", 10, SERIES_FLOW, 1 << 20, 200e6, 1, 0, 46e9, 3e8 },
	{ "nic", "port_xmit_wait", 10, SERIES_FLOW, 1, 1000, 10, 0, 2e5, 5e4 },
	{ "nic", "port_xmit_discards", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "rx_dropped", 10, SERIES_FLOW, 1, 1000, 10, 0, 0.2, 0.1 },
	{ "nic", "tx_dropped", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "out_of_sequence", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "packet_seq_err", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "ack_timeouts", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "cnp_sent", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "cnp_handled", 10, SERIES_FLOW, 1, 1000, 10, 0, 0, 0 },
	{ "nic", "rx_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "tx_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "rx_crc_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "carrier_downs", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "symbol_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "link_recoveries", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "link_downs", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "port_rcv_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "port_remote_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "port_integrity_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "port_overruns", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "icrc_errors", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "carrier", 10, SERIES_STATE, 1, 0, 1, 1, 1, 0 },
	{ "nic", "speed_mbs", 10, SERIES_STATE, 1, 0, 1, 400000, 400000, 0 },
	{ "nic", "port_state", 10, SERIES_STATE, 1, 0, 1, 4, 4, 0 },
	{ "nic", "port_phys", 10, SERIES_STATE, 1, 0, 1, 5, 5, 0 },
	{ "nic", "port_rate_gbs", 10, SERIES_STATE, 1, 0, 1, 400, 400, 0 },
	{ "nic", "pcie_gts", 10, SERIES_STATE, 0.5, 0, 1, 32, 32, 0 },
	{ "nic", "pcie_lanes", 10, SERIES_STATE, 1, 0, 1, 16, 16, 0 },
	{ "nic", "aer_correctable", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "aer_nonfatal", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "nic", "aer_fatal", 10, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "disk", "read_bytes", 0, SERIES_FLOW, 1 << 20, 50e6, 1, 0, 5e9, 1e8 },
	{ "disk", "write_bytes", 0, SERIES_FLOW, 1 << 20, 50e6, 1, 1e4, 2e9, 1e8 },
	{ "disk", "busy_s", 0, SERIES_FLOW, 0.01, 0.2, 1, 0, 0.97, 0.02 },
	{ "disk", "live", 0, SERIES_STATE, 1, 0, 1, 1, 1, 0 },
	{ "disk", "critical_warning", 0, SERIES_BITS, 1, 0, 10, 0, 0, 0 },
	{ "disk", "media_errors", 0, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "disk", "smart_temperature_c", 0, SERIES_LEVEL, 1, 2, 10, 38, 55, 0.4 },
	{ "disk", "spare_percent", 0, SERIES_STATE, 1, 0, 10, 100, 100, 0 },
	{ "disk", "used_percent", 0, SERIES_LEVEL, 1, 1, 10, 2, 2, 0 },
	{ "disk", "error_log_entries", 0, SERIES_FLOW, 1, 1, 10, 0, 0, 0 },
	{ "disk", "warning_minutes", 0, SERIES_ERRORS, 1, 0, 10, 0, 0, 0 },
	{ "disk", "temperature_c", 0, SERIES_LEVEL, 0.5, 2, 10, 38, 55, 0.4 },
	{ "disk", "pcie_gts", 0, SERIES_STATE, 0.5, 0, 1, 16, 16, 0 },
	{ "disk", "pcie_lanes", 0, SERIES_STATE, 1, 0, 1, 4, 4, 0 },
	{ "disk", "aer_correctable", 0, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "disk", "aer_nonfatal", 0, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "disk", "aer_fatal", 0, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "dimm:CPU_SrcID#0_MC#0_Chan#0_DIMM#", "edac_ce", 32, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "dimm:CPU_SrcID#0_MC#0_Chan#0_DIMM#", "edac_ue", 32, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "dimm:CPU_SrcID#0_MC#0_Chan#0_DIMM#", "temp_c", 32, SERIES_LEVEL, 0.5, 2, 10, 40, 58,
	  0.3 },
	{ "socket", "energy_j", 2, SERIES_FLOW, 1, 10, 1, 110, 345, 4 },
	{ "socket", "temperature_c", 2, SERIES_LEVEL, 0.5, 2, 1, 40, 75, 0.8 },
	{ "socket", "clock_mhz", 2, SERIES_LEVEL, 1, 200, 10, 2000, 2900, 80 },
	{ "socket", "throttle", 2, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "socket", "throttle_package", 2, SERIES_ERRORS, 1, 0, 1, 0, 0, 0 },
	{ "node.fan", "rpm", 16, SERIES_LEVEL, 10, 300, 1, 5000, 11000, 40 },
	{ "node.board", "c", 12, SERIES_LEVEL, 0.5, 2, 1, 30, 45, 0.3 },
	{ "node.psu", "w", 6, SERIES_LEVEL, 1, 20, 1, 300, 1700, 8 },
	{ "node.memory", "available_bytes", 1, SERIES_LEVEL, 1 << 20, 4e9, 10, 1.9e12, 1e12, 1e7 },
};

struct node {
	struct sample_series series[4096];
	double values[4096], total[4096], last[4096];
	const struct row *row[4096];
	int count;
	uint64_t seed;
	size_t wire_bytes, full_lines;
	long lines, marks;
};

static double normal(struct node *x)
{
	double sum = -6; /* the sum of twelve uniform ones has variance 1 */

	for (int i = 0; i < 12; i++)
		sum += (double)(random_next(&x->seed) >> 11) / 9007199254740992.0;
	return sum;
}

static void make_node(struct node *x, int disks)
{
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++)
		for (int i = 0; i < (rows[r].count ? rows[r].count : disks); i++) {
			struct sample_series *s = &x->series[x->count];

			snprintf(s->part, sizeof(s->part), "%s%d", rows[r].part, i);
			snprintf(s->name, sizeof(s->name), "%s", rows[r].name);
			s->kind = rows[r].kind;
			s->unit = rows[r].unit;
			s->moved = rows[r].moved;
			x->last[x->count] = rows[r].rest;
			x->row[x->count++] = &rows[r];
		}
}

/* GPUs and NICs work together; disks and the rest have turns of their own. */
static void step(struct node *x, long second)
{
	int busy = second % (LOAD + REST) < LOAD;

	for (int i = 0; i < x->count; i++) {
		const struct row *r = x->row[i];
		int is_disk = !strncmp(r->part, "disk", 4);
		int works = is_disk ? second / (LOAD + REST) % 4 == 3 && busy : busy;
		double want = works ? r->load : r->rest;
		size_t len = strlen(r->name);
		double slow = r->name[len - 1] == 'c' ? 0.02 : 1; /* what is warm stays so */

		x->last[i] += (want - x->last[i]) * slow;
		x->values[i] = x->last[i] + (r->noise > 0 ? r->noise * normal(x) : 0);
		if (r->kind == SERIES_FLOW || r->kind == SERIES_ERRORS) {
			x->total[i] += fmax(0, works || r->rest > 0 ? x->values[i] : 0);
			x->values[i] = x->total[i];
		} else {
			x->values[i] = round(x->values[i] / r->unit) * r->unit;
		}
		if (second % r->every)
			x->values[i] = NAN;
	}
}

static void count_line(void *arg, json_t *event)
{
	struct node *x = arg;
	struct error err;
	char *line;

	/* as it arrives: with the node's name and the agent's count */
	json_object_set_new(event, "at", json_string("gpu0123"));
	json_object_set_new(event, "n", json_integer(123456));
	line = event_line(event, &err);
	x->wire_bytes += line ? strlen(line) : 0;
	x->lines++;
	x->marks += line && strstr(line, "\"e\":\"mark\"") != NULL;
	free(line);
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void tell(const char *what, double bytes, double seconds)
{
	printf("%-44s %8.1f MiB a node, %7.1f B/s; 1024 nodes: %7.1f GiB, %6.0f kB/s\n", what,
	       bytes / 1048576, bytes / seconds, bytes / 1048576, bytes / seconds * 1024 / 1e3);
}

/* As the controller takes it in at the end: seconds of CPU, and how many lines. */
static double take_in(const unsigned char *data, size_t len, long *lines)
{
	enum { PIECE = 480 };
	char folder[] = "/tmp/bench-telemetry.XXXXXX", text[PIECE * 2], *command;
	double took = 0;
	struct telemetry_files *f;
	struct error err;

	if (!mkdtemp(folder) || !(f = telemetry_files_open(folder, &err)))
		return NAN;
	*lines = 0;
	for (size_t at = 0; at <= len; at += PIECE, (*lines)++) {
		size_t n = len - at < PIECE ? len - at : PIECE;
		json_t *event = json_pack("{s:s, s:s, s:I, s:I}", "e", "full", "at", "gpu0123", "n",
					  (json_int_t)*lines, "i", (json_int_t)*lines);
		struct event ev;
		double began;
		char *line;

		sodium_bin2base64(text, sizeof(text), data + at, n, sodium_base64_VARIANT_ORIGINAL);
		json_object_set_new(event, "z", json_string(text));
		line = event_line(event, &err);
		began = cpu_seconds();
		if (event_parse(line, strlen(line) - 1, &ev, &err) == 0) {
			telemetry_files_take(f, &ev, line, strlen(line) - 1, &err);
			event_release(&ev);
		}
		took += cpu_seconds() - began;
		free(line);
	}
	telemetry_files_close(f);
	command = xasprintf("rm -r %s", folder);
	if (system(command))
		took = NAN;
	free(command);
	return took;
}

int main(int argc, char **argv)
{
	double hours = argc > 1 ? atof(argv[1]) : 72, took = 0, slowest = 0;
	static struct node x;
	struct store *s = store_new(TELEMETRY_KEPT);
	const unsigned char *data;
	struct wire *w = wire_new(count_line, &x);
	long seconds = (long)(hours * 3600);
	int64_t from = 0, lost;
	double taking;
	long pieces;
	size_t len;
	int is_full = 0;

	make_node(&x, argc > 2 ? atoi(argv[2]) : 10);
	for (long i = 0; i < seconds; i++) {
		const struct sampling now = { x.series, x.values, x.count };
		double began, spent;

		step(&x, i);
		began = cpu_seconds();
		wire_take(w, START + (double)i, &now);
		if (!is_full)
			is_full = store_add(s, (START + i) * 1000LL + i % 2, &now, &from) < 0;
		spent = cpu_seconds() - began;
		took += spent;
		slowest = fmax(slowest, spent);
	}
	wire_end(w, START + (double)seconds);
	data = store_data(s, &len, &lost);
	printf("%d series, %.3g h\n", x.count, hours);
	tell("wire (tele and mark lines)", (double)x.wire_bytes, (double)seconds);
	tell("kept in full, packed", (double)len, (double)seconds);
	tell("the same as lines of base64 at the end", (double)len / 480 * 745, (double)seconds);
	printf("%ld lines, %ld marks; store full: %s\n", x.lines, x.marks, is_full ? "yes" : "no");
	printf("CPU of wire and store: %.3f ms a second, %.0f ms in the worst\n",
	       took / (double)seconds * 1e3, slowest * 1e3);
	taking = take_in(data, len, &pieces);
	printf("taking in what was kept: %ld lines, %.1f us of CPU each; 1024 nodes: %.0f s\n",
	       pieces, taking / (double)pieces * 1e6, taking * 1024);
	wire_free(w);
	store_free(s);
	return 0;
}
