/*
 * test_telemetry_sampler.c - what the sampler reads of a recorded machine, second by second, while
 * its files change. Each reading is a second, whatever time it takes.
 */
#include "kernels/sample.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	char folder[32], root[48];
	struct machine *m;
	struct sampler *sampler;
	struct sampling now;
	struct text events; /* "disk0 hole: text\n" */
};

static void put(const struct fixture *fx, const char *path, const char *text)
{
	char *full = xasprintf("%s/%s", fx->root, path), *slash;
	FILE *file;

	for (slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0777);
		*slash = '/';
	}
	file = fopen(full, "w");
	if (!file)
		fail_msg("cannot write %s", full);
	fputs(text, file);
	fclose(file);
	free(full);
}

static void hear(void *arg, const char *part, const char *what, const char *text)
{
	struct fixture *fx = arg;

	text_addf(&fx->events, "%s %s: %s\n", part, what, text);
}

static void read_once(struct fixture *fx)
{
	text_clear(&fx->events);
	sampler_read(fx->sampler, &fx->now, hear, fx);
}

/* The value of a series; fails if there is none of this name. */
static double value(const struct fixture *fx, const char *part, const char *name)
{
	for (int i = 0; i < fx->now.count; i++)
		if (!strcmp(fx->now.series[i].part, part) && !strcmp(fx->now.series[i].name, name))
			return fx->now.values[i];
	fail_msg("no series %s of '%s'", name, part);
	return NAN;
}

static int has(const struct fixture *fx, const char *part, const char *name)
{
	for (int i = 0; i < fx->now.count; i++)
		if (!strcmp(fx->now.series[i].part, part) && !strcmp(fx->now.series[i].name, name))
			return 1;
	return 0;
}

#define GPU3 "sys/devices/pci0000:40/0000:40:01.0/0000:41:00.0"
#define NIC2 "sys/devices/pci0000:30/0000:30:02.0/0000:32:00.0"
#define NVME0 "sys/devices/pci0000:10/0000:10:03.0/0000:13:00.0"

static void more_files(const struct fixture *fx)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{ "dev/kmsg", "6,1,1,-;an old NVRM: Xid (PCI:0000:41:00): 79, long ago\n" },
		{ NIC2 "/net/ib2/carrier", "1\n" },
		{ NIC2 "/net/ib2/speed", "400000\n" },
		{ NIC2 "/net/ib2/statistics/rx_bytes", "1000\n" },
		{ NIC2 "/net/ib2/statistics/tx_bytes", "2000\n" },
		{ NIC2 "/net/ib2/statistics/rx_errors", "0\n" },
		{ NIC2 "/infiniband/mlx5_2/ports/1/counters/port_rcv_data", "4194304\n" },
		{ NIC2 "/infiniband/mlx5_2/ports/1/counters/symbol_error", "0\n" },
		{ NVME0 "/nvme/nvme0/nvme0n1/stat",
		  "  10 0 2048 5 20 0 4096 7 0 1500 12 0 0 0 0\n" },
		{ NVME0 "/nvme/nvme0/state", "live\n" },
		{ "sys/class/hwmon/hwmon0/name", "coretemp\n" },
		{ "sys/class/hwmon/hwmon0/temp1_input", "61000\n" },
		{ "sys/class/hwmon/hwmon0/temp1_label", "Package id 1\n" },
		{ "sys/class/hwmon/hwmon0/temp2_input", "60000\n" },
		{ "sys/class/hwmon/hwmon0/temp2_label", "Core 0\n" },
		{ "sys/class/hwmon/hwmon1/name", "nct6775\n" },
		{ "sys/class/hwmon/hwmon1/temp1_input", "23500\n" },
		{ "sys/class/hwmon/hwmon1/temp1_label", "Air Inlet\n" },
		{ "sys/class/hwmon/hwmon1/fan1_input", "4200\n" },
		{ "sys/class/hwmon/hwmon1/fan2_input", "4300\n" },
		{ "sys/class/hwmon/hwmon1/fan2_label", "fan1\n" },
		{ "sys/class/hwmon/hwmon2/name", "power_meter\n" },
		{ "sys/class/hwmon/hwmon2/power1_average", "5200000000\n" },
		{ "sys/class/powercap/intel-rapl:0/name", "package-0\n" },
		{ "sys/class/powercap/intel-rapl:0/energy_uj", "99000000\n" },
		{ "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "100000000\n" },
		{ "sys/class/powercap/intel-rapl:0:0/name", "dram\n" },
		{ "sys/class/powercap/intel-rapl:0:0/energy_uj", "1\n" },
		{ "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n" },
		{ "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2000000\n" },
		{ "proc/vmstat", "nr_free_pages 1\noom_kill 0\nnr_x 2\n" },
	};
	char *from;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		put(fx, files[i].path, files[i].text);
	from = xasprintf("%s/sys/class/hwmon/hwmon3", fx->root);
	mkdir(from, 0777);
	put(fx, "sys/class/hwmon/hwmon3/name", "nvme\n");
	put(fx, "sys/class/hwmon/hwmon3/temp1_input", "40850\n");
	put(fx, "sys/class/hwmon/hwmon3/temp1_label", "Composite\n");
	free(from);
	from = xasprintf("%s/sys/class/hwmon/hwmon3/device", fx->root);
	if (symlink("../../../../" NVME0 "/nvme/nvme0", from) < 0)
		fail_msg("cannot link %s", from);
	free(from);
}

static int setup(void **state)
{
	struct fixture *fx = xcalloc(1, sizeof(*fx));
	const char *source = getenv("ASSAY_SOURCE");
	struct error err;
	char *command;
	int rc;

	snprintf(fx->folder, sizeof(fx->folder), "/tmp/test-tele.XXXXXX");
	if (!mkdtemp(fx->folder))
		return -1;
	snprintf(fx->root, sizeof(fx->root), "%s/hgx-good", fx->folder);
	command = xasprintf("sh '%s/tests/machines/make.sh' %s hgx-good >/dev/null",
			    source ? source : ".", fx->folder);
	rc = system(command);
	free(command);
	if (rc)
		return -1;
	more_files(fx);
	text_init(&fx->events);
	fx->m = machine_open(fx->root, &err);
	fx->sampler = fx->m ? sampler_open(fx->m, &err) : NULL;
	if (!fx->sampler)
		return -1;
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	char *command = xasprintf("rm -r %s", fx->folder);
	int rc = sampler_close(fx->sampler);

	machine_close(fx->m);
	text_release(&fx->events);
	rc = system(command) || rc;
	free(command);
	free(fx);
	return rc;
}

/* ---- values -------------------------------------------------------------------------------- */

static const struct {
	const char *part, *name;
	double value;
	enum series_kind kind;
} first_values[] = {
	{ "dimm:CPU_SrcID#0_MC#0_Chan#1_DIMM#0", "edac_ce", 7, SERIES_ERRORS },
	{ "memory:mc0", "edac_ue", 0, SERIES_ERRORS },
	{ "", "mce", 3, SERIES_ERRORS },
	{ "", "hwpoison_bytes", 4096, SERIES_ERRORS },
	{ "", "oom_kills", 0, SERIES_ERRORS },
	{ "", "memory_available_bytes", 1040000000.0 * 1024, SERIES_LEVEL },
	{ "socket1", "throttle", 5, SERIES_ERRORS },
	{ "socket0", "throttle_package", 20, SERIES_ERRORS },
	{ "socket0", "clock_mhz", 2500, SERIES_LEVEL },
	{ "socket0", "energy_j", 99, SERIES_FLOW },
	{ "socket1", "temperature_c", 61, SERIES_LEVEL },
	{ "", "inlet_c", 23.5, SERIES_LEVEL },
	{ "", "nct6775_fan1_rpm", 4200, SERIES_LEVEL },
	{ "", "nct6775_fan1_2_rpm", 4300, SERIES_LEVEL },
	{ "", "power_meter_power1_w", 5200, SERIES_LEVEL },
	{ "disk0", "temperature_c", 40.85, SERIES_LEVEL },
	{ "gpu3", "pcie_gts", 32, SERIES_STATE },
	{ "gpu3", "pcie_lanes", 16, SERIES_STATE },
	{ "gpu3", "aer_correctable", 3, SERIES_ERRORS },
	{ "nic2", "carrier", 1, SERIES_STATE },
	{ "nic2", "speed_mbs", 400000, SERIES_STATE },
	{ "nic2", "rx_bytes", 1000, SERIES_FLOW },
	{ "nic2", "port_state", 4, SERIES_STATE },
	{ "nic2", "port_rate_gbs", 400, SERIES_STATE },
	{ "nic2", "port_rcv_bytes", 16777216, SERIES_FLOW },
	{ "nic2", "symbol_errors", 0, SERIES_ERRORS },
	{ "disk0", "read_bytes", 2048 * 512, SERIES_FLOW },
	{ "disk0", "write_bytes", 4096 * 512, SERIES_FLOW },
	{ "disk0", "busy_s", 1.5, SERIES_FLOW },
	{ "disk0", "live", 1, SERIES_STATE },
};

static enum series_kind kind_of(const struct fixture *fx, const char *part, const char *name)
{
	for (int i = 0; i < fx->now.count; i++)
		if (!strcmp(fx->now.series[i].part, part) && !strcmp(fx->now.series[i].name, name))
			return fx->now.series[i].kind;
	return SERIES_KINDS;
}

static void test_values(void **state)
{
	struct fixture *fx = *state;

	read_once(fx);
	for (size_t i = 0; i < ARRAY_SIZE(first_values); i++) {
		double got = value(fx, first_values[i].part, first_values[i].name);

		if (!(fabs(got - first_values[i].value) <= 1e-9 * fabs(first_values[i].value)))
			fail_msg("%s of '%s' is %.12g, not %.12g", first_values[i].name,
				 first_values[i].part, got, first_values[i].value);
		assert_int_equal(kind_of(fx, first_values[i].part, first_values[i].name),
				 first_values[i].kind);
	}
	assert_false(has(fx, "socket1", "temperature2_c")); /* one core's sensor */
	assert_false(has(fx, "", "energy_j"));              /* memory's share of package-0 */
	assert_non_null(strstr(fx->events.data, "disk0 hole: the health log of nvme0n1"));
	assert_null(strstr(fx->events.data, "xid")); /* older than the watching */
}

/* ---- changes ------------------------------------------------------------------------------- */

static void test_changes(void **state)
{
	struct fixture *fx = *state;

	read_once(fx);
	put(fx, GPU3 "/current_link_width", "8\n");
	put(fx, GPU3 "/aer_dev_correctable", "RxErr 1\nTOTAL_ERR_COR 4\n");
	put(fx, "sys/devices/system/cpu/cpu3/thermal_throttle/core_throttle_count", "100\n");
	put(fx, "sys/class/powercap/intel-rapl:0/energy_uj", "500000\n");
	put(fx, NVME0 "/nvme/nvme0/state", "resetting\n");
	put(fx, "sys/class/hwmon/hwmon3/temp1_input", "90000\n");
	put(fx, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "800000\n");
	read_once(fx);
	assert_true(value(fx, "gpu3", "pcie_lanes") == 8);
	assert_true(value(fx, "gpu3", "aer_correctable") == 4);
	assert_true(value(fx, "socket1", "throttle") == 102);
	assert_true(fabs(value(fx, "socket0", "energy_j") - 100.5) < 1e-9); /* it began anew */
	assert_true(value(fx, "disk0", "live") == 0);
	/* these are read every ten seconds only, and are not there in between */
	assert_true(isnan(value(fx, "disk0", "temperature_c")));
	assert_true(isnan(value(fx, "socket0", "clock_mhz")));
	for (int second = 2; second <= 10; second++)
		read_once(fx);
	assert_true(value(fx, "disk0", "temperature_c") == 90);
	assert_true(value(fx, "socket0", "clock_mhz") == 1400);
	assert_true(isnan(value(fx, "", "mce"))); /* every minute */

	/* a file that is gone was asked for and did not answer; it may come back */
	put(fx, "sys/class/hwmon/hwmon1/fan1_input", "");
	read_once(fx);
	assert_true(isinf(value(fx, "", "nct6775_fan1_rpm")));
	put(fx, "sys/class/hwmon/hwmon1/fan1_input", "9000\n");
	read_once(fx);
	assert_true(value(fx, "", "nct6775_fan1_rpm") == 9000);
}

/* ---- the kernel's log ---------------------------------------------------------------------- */

static const struct {
	const char *line, *event; /* "" if it is none */
} log_cases[] = {
	{ "3,10,5,-;NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', GPU has fallen off the bus.",
	  "gpu3 xid: XID 79: NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', GPU has fallen off "
	  "the "
	  "bus.\n" },
	/* a program that writes into the log has another facility: 14 is user, informational */
	{ "14,11,5,-;NVRM: Xid (PCI:0000:41:00): 79, pid=1, forged", "" },
	{ "4,12,5,-;nvme 0000:13:00.0: AER:   Error of this Agent is reported first",
	  "disk0 aer: nvme 0000:13:00.0: AER:   Error of this Agent is reported first\n" },
	{ "4,13,5,-;nvme nvme0: I/O 12 (I/O Cmd) QID 4 timeout, aborting",
	  "disk0 nvme: nvme nvme0: I/O 12 (I/O Cmd) QID 4 timeout, aborting\n" },
	{ "4,14,5,-;nvme nvme10: I/O 1 QID 4 timeout, reset controller",
	  "disk3 nvme: nvme nvme10: I/O 1 QID 4 timeout, reset controller\n" },
	{ "6,15,5,-;mlx5_core 0000:32:00.0 ib2: Link down",
	  "nic2 link: mlx5_core 0000:32:00.0 ib2: Link down\n" },
	{ "0,16,5,-;mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 4: 9c00000000010090",
	  " mce: mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 4: 9c00000000010090\n" },
	{ "3,17,5,-;Out of memory: Killed process 4711 (a.out)",
	  " oom: Out of memory: Killed process 4711 (a.out)\n" },
	{ "3,18,5,-;INFO: task dd:4711 blocked for more than 120 seconds.",
	  " hang: INFO: task dd:4711 blocked for more than 120 seconds.\n" },
	{ "3,19,5,-;I/O error, dev nvme2n1, sector 20480 op 0x0:(READ)",
	  "disk2 disk: I/O error, dev nvme2n1, sector 20480 op 0x0:(READ)\n" },
	{ "6,20,5,-;usb 1-1: new high-speed USB device number 2", "" },
	{ " SUBSYSTEM=pci", "" },
	{ "no number;mce: something", "" },
	{ "6,21,5,-", "" },
};

static void test_kernel_log(void **state)
{
	struct fixture *fx = *state;
	char *path = xasprintf("%s/dev/kmsg", fx->root);

	read_once(fx);
	for (size_t i = 0; i < ARRAY_SIZE(log_cases); i++) {
		FILE *log = fopen(path, "a");

		if (!log)
			fail_msg("cannot write %s", path);
		fprintf(log, "%s\n", log_cases[i].line);
		fclose(log);
		read_once(fx);
		if (strcmp(fx->events.data, log_cases[i].event) != 0)
			fail_msg("\"%s\" gives \"%s\", not \"%s\"", log_cases[i].line,
				 fx->events.data, log_cases[i].event);
	}
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
