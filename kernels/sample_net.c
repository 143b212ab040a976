/*
 * sample_net.c - ports of NICs: network interfaces and InfiniBand ports.
 *
 * A NIC is a PCI function. A second interface or port of it has its number in front of its names.
 * Reading a counter of an InfiniBand port is a command to the NIC's firmware, which a dead NIC
 * never answers, hence a thread of its own.
 */
#include "kernels/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAFFIC = 1 << 20 };

struct row {
	const char *file;
	struct sample_series series;
	struct reading reading;
};

#define BYTES(path, word, factor)                                                                  \
	{                                                                                          \
		path, { .name = word, .kind = SERIES_FLOW, .unit = TRAFFIC, .moved = 200e6 },      \
		{                                                                                  \
			.scale = factor                                                            \
		}                                                                                  \
	}
#define FLOW(path, word)                                                                           \
	{                                                                                          \
		path, { .name = word, .kind = SERIES_FLOW, .unit = 1, .moved = 1000 },             \
		{                                                                                  \
			.every = 10                                                                \
		}                                                                                  \
	}
#define ERRORS(path, word)                                                                         \
	{                                                                                          \
		path, { .name = word, .kind = SERIES_ERRORS, .unit = 1 },                          \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define STATE(path, word, is_refused)                                                              \
	{                                                                                          \
		path, { .name = word, .kind = SERIES_STATE, .unit = 1 },                           \
		{                                                                                  \
			.refused = is_refused                                                      \
		}                                                                                  \
	}

/* Documentation/ABI/testing/sysfs-class-net and -statistics. Dropped packets are part of normal
 * life. */
static const struct row interface[] = {
	STATE("carrier", "carrier", 1),
	STATE("speed", "speed_mbs", 1), /* Mb/s; -1: not known */
	BYTES("statistics/rx_bytes", "rx_bytes", 1),
	BYTES("statistics/tx_bytes", "tx_bytes", 1),
	ERRORS("statistics/rx_errors", "rx_errors"),
	ERRORS("statistics/tx_errors", "tx_errors"),
	ERRORS("statistics/rx_crc_errors", "rx_crc_errors"),
	ERRORS("carrier_down_count", "carrier_downs"),
	FLOW("statistics/rx_dropped", "rx_dropped"),
	FLOW("statistics/tx_dropped", "tx_dropped"),
};

/* Documentation/ABI/stable/sysfs-class-infiniband; data counters count words of four bytes. */
static const struct row port[] = {
	STATE("state", "port_state", 0),     /* 4: active */
	STATE("phys_state", "port_phys", 0), /* 5: link up */
	STATE("rate", "port_rate_gbs", 0),   /* Gb/s */
	BYTES("counters/port_rcv_data", "port_rcv_bytes", 4),
	BYTES("counters/port_xmit_data", "port_xmit_bytes", 4),
	ERRORS("counters/symbol_error", "symbol_errors"),
	ERRORS("counters/link_error_recovery", "link_recoveries"),
	ERRORS("counters/link_downed", "link_downs"),
	ERRORS("counters/port_rcv_errors", "port_rcv_errors"),
	ERRORS("counters/port_rcv_remote_physical_errors", "port_remote_errors"),
	ERRORS("counters/local_link_integrity_errors", "port_integrity_errors"),
	ERRORS("counters/excessive_buffer_overrun_errors", "port_overruns"),
	FLOW("counters/port_xmit_discards", "port_xmit_discards"),
	FLOW("counters/port_xmit_wait", "port_xmit_wait"),
	/* RoCE: Documentation of mlx5 hw_counters; the retries of a lossy path */
	FLOW("hw_counters/out_of_sequence", "out_of_sequence"),
	FLOW("hw_counters/packet_seq_err", "packet_seq_err"),
	FLOW("hw_counters/local_ack_timeout_err", "ack_timeouts"),
	FLOW("hw_counters/np_cnp_sent", "cnp_sent"),
	FLOW("hw_counters/rp_cnp_handled", "cnp_handled"),
	ERRORS("hw_counters/rx_icrc_encapsulated", "icrc_errors"),
};

static void watch_rows(struct source *s, const char *folder, int index, const struct row *rows,
		       size_t count)
{
	const struct pci_part *part = source_part_of(s, folder);

	for (size_t i = 0; part && i < count; i++) {
		struct sample_series like = rows[i].series;

		if (index > 1)
			snprintf(like.name, sizeof(like.name), "port%d_%.32s", index % 1000,
				 rows[i].series.name);
		source_watch(s, part->name, &like, &rows[i].reading, "%s/%s", folder, rows[i].file);
	}
}

/* How many of the same kind this NIC has before this one, and this one; glob sorts them. */
static int index_of(struct source *s, const char *folder)
{
	const struct pci_part *part = source_part_of(s, folder);
	int *seen = s->own;

	return part ? ++seen[part - s->parts->items] : 0;
}

static void watch_interface(void *arg, const char *folder)
{
	struct source *s = arg;

	watch_rows(s, folder, index_of(s, folder), interface, ARRAY_SIZE(interface));
}

static void watch_port(void *arg, const char *folder)
{
	struct source *s = arg;

	watch_rows(s, folder, index_of(s, folder), port, ARRAY_SIZE(port));
}

static void net_open(struct source *s)
{
	size_t parts = (size_t)s->parts->count;

	s->own = xcalloc(parts + 1, sizeof(int));
	machine_each(s->m, PCI_DEVICES "/*/net/*", watch_interface, s);
	machine_each(s->m, PCI_DEVICES "/*/virtio*/net/*", watch_interface, s);
	memset(s->own, 0, parts * sizeof(int));
	machine_each(s->m, PCI_DEVICES "/*/infiniband/*/ports/*", watch_port, s);
}

static void net_close(struct source *s)
{
	free(s->own);
}

const struct source_kind sample_net = {
	.name = "ports of NICs (sysfs)",
	.apart = 1,
	.open = net_open,
	.close = net_close,
};
