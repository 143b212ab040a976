/*
 * marks.c - the table of what marks mean. docs/methods.md says the same in words.
 *
 * Rows are tried in order and the first that fits decides, so particular texts stand above their
 * kind. Lines of the kernel's log have no severity of their own: what the drivers print is all
 * there is, and a line that says nothing about it counts like those it came with.
 */
#include "harness/marks.h"

#include "harness/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what texts say ------------------------------------------------------------------------ */

struct change { /* "carrier 1 to 0 in 3 changes" */
	double from, to;
	int changes;
};

static int read_change(const char *what, const char *text, struct change *c)
{
	size_t len = strlen(what);
	const char *in = strstr(text, " in ");

	if (strncmp(text, what, len) != 0 ||
	    sscanf(text + len, " %lf to %lf", &c->from, &c->to) != 2)
		return 0;
	if (!in || sscanf(in, " in %d changes", &c->changes) != 1)
		c->changes = 1;
	return 1;
}

/* A state that only grew, and once: a link that came up. */
static int only_rose(const char *what, const char *text)
{
	struct change c;

	return read_change(what, text, &c) && c.changes == 1 && c.to > c.from;
}

/* 5 is LinkUp, 2 Polling, 4 Training, 6 LinkErrorRecovery (InfiniBand, PortPhysicalState). */
static int only_trained(const char *what, const char *text)
{
	struct change c;

	return read_change(what, text, &c) && c.changes <= 2 && c.from != 5;
}

static int was_reset(const char *what, const char *text)
{
	struct change c;

	return read_change(what, text, &c) && strstr(text, ", it was reset") != NULL;
}

static int xid_of(const char *text)
{
	int xid = 0;

	return sscanf(text, "XID %d:", &xid) == 1 ? xid : 0;
}

/*
 * Numbers as in nvml_counters.c. While a step runs it is our own program that works on the GPU, so
 * judge_xids() fails each; between steps, and of other programs, these two only say that a process
 * ended or was ended.
 */
static int xid_is_of_process(const char *what, const char *text)
{
	(void)what;
	return xid_of(text) == 43 || xid_of(text) == 45;
}

/* Exceptions and page faults: a mistake of a program makes them, and so does a broken GPU. */
static int xid_is_of_either(const char *what, const char *text)
{
	(void)what;
	return xid_of(text) == 13 || xid_of(text) == 31 || xid_of(text) == 69;
}

static int says_bad(const char *what, const char *text)
{
	(void)what;
	return strstr(text, "ncorrect") || strstr(text, "atal") || strstr(text, "|UE|") ||
	       strstr(text, "Deferred error") || strstr(text, "Machine Check Exception");
}

static int says_corrected(const char *what, const char *text)
{
	(void)what;
	return strstr(text, "orrect") || strstr(text, "|CE|");
}

/*
 * "CPU 3: Machine Check: 0 Bank 5: be00000000800400": IA32_MCi_STATUS. 1: bit 61, UC, is set, 0: it
 * is not, -1: the line has no status. Intel SDM volume 3B, 17.3.2.2; the same bit in AMD's APM
 * volume 2, 9.3.2.
 */
static int uncorrected_bit(const char *text)
{
	const char *bank = strstr(text, " Bank ");
	unsigned long long status;
	int digits = 0;

	if (!bank || sscanf(bank, " Bank %*d: %16llx%n", &status, &digits) != 1 || !digits)
		return -1;
	return (status >> 61 & 1) != 0;
}

static int bank_is_bad(const char *what, const char *text)
{
	(void)what;
	return uncorrected_bit(text) == 1;
}

static int bank_is_corrected(const char *what, const char *text)
{
	(void)what;
	return uncorrected_bit(text) == 0;
}

static int only_levels(const char *what, const char *text);

/* ---- the table ----------------------------------------------------------------------------- */

static const char never[] = "no healthy part does this";
static const char resent[] = "noticed by a checksum and sent again";
static const char silicon[] = "memory that was put right by its code, or a transfer sent again";
static const char log_line[] = "the kernel says so";
static const char levels[] = "gives levels only, which tell of no fault";

static const struct row {
	const char *what, *needle; /* NULL: any */
	int (*fits)(const char *what, const char *text);
	struct mark_meaning meaning;
} rows[] = {
	/* any kind: the sampler tells how many it left out */
	{ NULL, "were left out before, none of them trouble", NULL, { MARK_NOTE, "", NULL } },
	{ NULL,
	  "of this kind were left out before",
	  NULL,
	  { MARK_HOLE, "what was left out may have been a fault", NULL } },
	{ NULL, NULL, was_reset, { MARK_HOLE, "what it had counted before is not known", NULL } },
	/* the watching itself */
	{ "marks", NULL, NULL, { MARK_HOLE, "what was left out may have been a fault", NULL } },
	{ "back", NULL, NULL, { MARK_BACK, "", NULL } },
	{ "away", NULL, only_levels, { MARK_NOTE, levels, NULL } },
	{ "away", NULL, NULL, { MARK_AWAY, "a part that stops answering", NULL } },
	{ "silent", "sensors of the BMC", NULL, { MARK_NOTE, levels, NULL } },
	{ "silent", "sensors (hwmon)", NULL, { MARK_NOTE, levels, NULL } },
	{ "silent", "answers again", NULL, { MARK_ANSWERS, "", NULL } },
	{ "silent", NULL, NULL, { MARK_SILENT, "a source does not answer", NULL } },
	{ "missed",
	  NULL,
	  NULL,
	  { MARK_NOTE, "counters and the kernel's log tell of these seconds later", NULL } },
	{ "kept", NULL, NULL, { MARK_NOTE, "marks are sent all the same", NULL } },
	{ "hole", "sensors of the BMC", NULL, { MARK_NOTE, levels, NULL } },
	{ "hole", "energy_uj may not be read", NULL, { MARK_NOTE, levels, NULL } },
	{ "hole", "/hwmon", NULL, { MARK_NOTE, levels, NULL } },
	{ "hole", "scaling_cur_freq may not be read", NULL, { MARK_NOTE, levels, NULL } },
	{ "hole", NULL, NULL, { MARK_HOLE, "a source that tells of faults", NULL } },
	/* GPUs */
	{ "ecc_corrected", NULL, NULL, { MARK_CORRECTED, silicon, NULL } },
	{ "ecc_uncorrected", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "pcie_replay", NULL, NULL, { MARK_CORRECTED, silicon, NULL } },
	{ "nvlink_errors",
	  NULL,
	  NULL,
	  { MARK_CORRECTED, "a sum in which retried packets are too", NULL } },
	{ "row_remaps", NULL, NULL, { MARK_FAULT, "a row of memory is worn out", NULL } },
	{ "row_remap_pending", NULL, NULL, { MARK_FAULT, "a row of memory is worn out", NULL } },
	{ "row_remap_failed", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "retired_pages", NULL, NULL, { MARK_FAULT, "a row of memory is worn out", NULL } },
	{ "nvlinks_up", NULL, only_rose, { MARK_NOTE, "links come up", NULL } },
	{ "nvlinks_up", NULL, NULL, { MARK_FAULT, "a link went down", NULL } },
	{ "xids", NULL, NULL, { MARK_COMPANION, "the kernel's log says which XID it was", "xid" } },
	{ "xid", NULL, xid_is_of_process, { MARK_NOTE, "a process ended", "xid" } },
	{ "xid",
	  NULL,
	  xid_is_of_either,
	  { MARK_DOUBT, "a program's mistake or a broken GPU", "xid" } },
	{ "xid", NULL, NULL, { MARK_FAULT, log_line, "xid" } },
	/* "throttle set: power limit" of a GPU; a socket's is a counter */
	{ "throttle", "no more for", NULL, { MARK_NOTE, "it is over", NULL } },
	{ "throttle", "heat", NULL, { MARK_FAULT, "slowed down by heat", "hot_share" } },
	{ "throttle", "hardware", NULL, { MARK_FAULT, "slowed down", "hot_share" } },
	{ "throttle", "brake", NULL, { MARK_FAULT, "slowed down by its supply", "hot_share" } },
	{ "throttle",
	  "set: power limit",
	  NULL,
	  { MARK_NOTE, "a healthy GPU under load reaches it", NULL } },
	{ "throttle", NULL, NULL, { MARK_FAULT, "slowed down by heat", "throttled" } },
	{ "throttle_package", NULL, NULL, { MARK_FAULT, "slowed down by heat", "throttled" } },
	/* PCIe */
	{ "pcie_gts", NULL, NULL, { MARK_NOTE, "a link that rests saves power", NULL } },
	{ "pcie_lanes", NULL, only_rose, { MARK_NOTE, "lanes come back", NULL } },
	{ "pcie_lanes", NULL, NULL, { MARK_FAULT, "lanes were lost", NULL } },
	{ "aer_correctable", NULL, NULL, { MARK_CORRECTED, silicon, NULL } },
	{ "aer_nonfatal", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "aer_fatal", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "aer", NULL, says_bad, { MARK_FAULT, log_line, NULL } },
	{ "aer", NULL, says_corrected, { MARK_CORRECTED, log_line, NULL } },
	{ "aer", NULL, NULL, { MARK_COMPANION, "a detail of the line beside it", NULL } },
	{ "pcie", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	/* NICs */
	{ "rx_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "tx_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "rx_crc_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "carrier_downs", NULL, NULL, { MARK_FAULT, "a link went down", NULL } },
	{ "carrier", NULL, only_rose, { MARK_NOTE, "a link came up", NULL } },
	{ "carrier", NULL, NULL, { MARK_FAULT, "a link went down", NULL } },
	{ "speed_mbs", NULL, only_rose, { MARK_NOTE, "a link came up", NULL } },
	{ "speed_mbs", NULL, NULL, { MARK_FAULT, "a link went down or slower", NULL } },
	{ "symbol_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "port_rcv_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "port_remote_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "port_integrity_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "port_overruns", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "icrc_errors", NULL, NULL, { MARK_CORRECTED, resent, NULL } },
	{ "link_recoveries", NULL, NULL, { MARK_FAULT, "a link was trained anew", NULL } },
	{ "link_downs", NULL, NULL, { MARK_FAULT, "a link went down", NULL } },
	{ "port_state", NULL, only_rose, { MARK_NOTE, "a port came up", NULL } },
	{ "port_state", NULL, NULL, { MARK_FAULT, "a port went down", NULL } },
	{ "port_phys", NULL, only_trained, { MARK_NOTE, "a port came up", NULL } },
	{ "port_phys", NULL, NULL, { MARK_FAULT, "a port went down", NULL } },
	{ "port_rate_gbs", NULL, only_rose, { MARK_NOTE, "a port came up", NULL } },
	{ "port_rate_gbs", NULL, NULL, { MARK_FAULT, "a port became slower", NULL } },
	{ "link", "ink is Down", NULL, { MARK_FAULT, log_line, NULL } },
	{ "link", "ink is down", NULL, { MARK_FAULT, log_line, NULL } },
	{ "link", "ink down", NULL, { MARK_FAULT, log_line, NULL } },
	{ "link", "ink is Up", NULL, { MARK_NOTE, "a link came up", NULL } },
	{ "link", "ink is up", NULL, { MARK_NOTE, "a link came up", NULL } },
	{ "link", "ink up", NULL, { MARK_NOTE, "a link came up", NULL } },
	{ "link", "ink becomes ready", NULL, { MARK_NOTE, "a link came up", NULL } },
	{ "link", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	/* disks */
	{ "live", NULL, only_rose, { MARK_NOTE, "a disk came back", NULL } },
	{ "live", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "io_errors",
	  NULL,
	  NULL,
	  { MARK_CORRECTED,
	    "commands that a disk rightly refuses count too; what failed is in the kernel's log",
	    NULL } },
	{ "io_timeouts", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "critical_warning", "no more for", NULL, { MARK_NOTE, "it is over", NULL } },
	{ "critical_warning", NULL, NULL, { MARK_FAULT, "NVM Express: SMART log", NULL } },
	{ "media_errors", NULL, NULL, { MARK_FAULT, "NVM Express: data that was lost", NULL } },
	{ "warning_minutes", NULL, NULL, { MARK_FAULT, "NVM Express: too warm", NULL } },
	{ "spare_percent", NULL, NULL, { MARK_CORRECTED, "wear, which disk_health judges", NULL } },
	{ "nvme", "hutdown timeout set to", NULL, { MARK_NOTE, "said when one is found", NULL } },
	{ "nvme", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	{ "disk", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	/* memory and processors */
	{ "edac_ce", NULL, NULL, { MARK_CORRECTED, silicon, NULL } },
	{ "edac_ue", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "hwpoison_bytes", NULL, NULL, { MARK_FAULT, never, NULL } },
	{ "edac", " UE ", NULL, { MARK_FAULT, log_line, NULL } },
	{ "edac", " CE ", NULL, { MARK_CORRECTED, log_line, NULL } },
	{ "edac", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	{ "memory", NULL, NULL, { MARK_FAULT, "memory that was lost", NULL } },
	/* the counter of exceptions is "mce 0 to 1"; corrected ones interrupt otherwise */
	{ "mce",
	  "mce: [Hardware Error]: Machine check events logged",
	  NULL,
	  { MARK_COMPANION, "said of corrected ones too", NULL } },
	{ "mce", "temperature/speed normal", NULL, { MARK_NOTE, "it is over", NULL } },
	{ "mce", "emperature above threshold", NULL, { MARK_FAULT, log_line, "throttled" } },
	{ "mce", NULL, says_bad, { MARK_FAULT, log_line, NULL } },
	{ "mce", NULL, bank_is_bad, { MARK_FAULT, "its status says: uncorrected", NULL } },
	{ "mce", NULL, bank_is_corrected, { MARK_CORRECTED, "its status says: corrected", NULL } },
	{ "mce", NULL, says_corrected, { MARK_CORRECTED, log_line, NULL } },
	{ "mce",
	  "[Hardware Error]",
	  NULL,
	  { MARK_COMPANION, "a detail of the line beside it", NULL } },
	{ "mce", NULL, NULL, { MARK_FAULT, log_line, NULL } },
	{ "heat", NULL, NULL, { MARK_FAULT, log_line, "throttled" } },
	/* the node itself */
	{ "oom_kills",
	  NULL,
	  NULL,
	  { MARK_DOUBT, "memory was full: a load was cut short or slowed down", NULL } },
	{ "oom",
	  NULL,
	  NULL,
	  { MARK_DOUBT, "memory was full: a load was cut short or slowed down", NULL } },
	{ "hang", "hard LOCKUP", NULL, { MARK_FAULT, log_line, NULL } },
	{ "hang",
	  NULL,
	  NULL,
	  { MARK_DOUBT, "something stood still: a slow disk, a hypervisor, or a part", NULL } },
	{ "kernel",
	  "traps: ",
	  NULL,
	  { MARK_NOTE, "a program made a mistake; its step says so", NULL } },
	{ "kernel", NULL, NULL, { MARK_FAULT, log_line, NULL } },
};

static const struct mark_meaning unknown = { MARK_FAULT, "unknown kind", NULL };

/* "port2_carrier" is the carrier of a NIC's second port. */
static const char *without_port(const char *what)
{
	size_t digits = !strncmp(what, "port", 4) ? strspn(what + 4, "0123456789") : 0;

	return digits && what[4 + digits] == '_' ? what + 5 + digits : what;
}

/* A mark "away" names series and, if those are too many to name, how many there are. */
static int only_levels(const char *what, const char *text)
{
	const char *at = text, *count = strstr(text, " (");
	int named = 0, all = -1;
	char name[64];

	(void)what;
	if (!count || sscanf(count, " (%d series)", &all) != 1)
		return 0;
	for (size_t len; at < count; at += len, at += strspn(at, ", "), named++) {
		len = strcspn(at, ", ");
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			if (rows[i].what && !strcmp(rows[i].what, without_port(name)))
				return 0;
	}
	return named == all;
}

const struct mark_meaning *mark_meaning(const char *what, const char *text)
{
	const char *name = without_port(what);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		if ((!r->what || !strcmp(r->what, name)) &&
		    (!r->needle || strstr(text, r->needle)) && (!r->fits || r->fits(what, text)))
			return &r->meaning;
	}
	return &unknown;
}

int mark_is_calm(const char *what, const char *text)
{
	enum mark_class class = mark_meaning(what, text)->class;

	return class == MARK_NOTE || class == MARK_CORRECTED;
}

int mark_is_of_watching(const char *what)
{
	static const char *const words[] = { "hole", "missed", "kept", "marks", "back" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(what, words[i]))
			return 1;
	return 0;
}
