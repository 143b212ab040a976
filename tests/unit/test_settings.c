/*
 * test_settings.c - every kind of setting on recorded machines, and names that try to climb out.
 */
#include "kernels/machine.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* value NULL: an error that contains `error`. */
static const struct {
	const char *machine, *kind, *name, *value, *error;
} cases[] = {
	{ "hgx", "kernel", NULL, "5.15.0-1053-generic", NULL },
	{ "hgx", "cmdline", "iommu", "pt", NULL },
	{ "hgx", "cmdline", "pci", "realloc=off", NULL },
	{ "hgx", "cmdline", "quiet", "set", NULL },
	{ "hgx", "cmdline", "numa_balancing", "no", NULL },
	{ "hgx", "cmdline", "mitigations", "absent", NULL },
	{ "hgx", "cmdline", "", NULL, "needs a name" },
	{ "hgx", "sysctl", "kernel.numa_balancing", "0", NULL },
	{ "hgx", "sysctl", "net.ipv4.tcp_rmem", "4096 131072 6291456", NULL },
	{ "hgx", "sysctl", "vm.nosuch", "absent", NULL },
	{ "hgx", "sysctl", "kernel/../../cpuinfo", NULL, "must not contain .." },
	{ "hgx", "sysctl", "kernel..osrelease", NULL, "not a key" },
	{ "hgx", "sysctl", "/etc/passwd", NULL, "must not begin with /" },
	{ "hgx", "sysfs", "block/nvme*n1/queue/scheduler", "none", NULL },
	{ "hgx", "sysfs", "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
	  "mixed: performance (3), powersave (1)", NULL },
	{ "hgx", "sysfs", "class/net/*/mtu", "absent", NULL },
	{ "hgx", "sysfs", "../proc/cpuinfo", NULL, "must not contain .." },
	{ "hgx", "sysfs", "block/../../proc/cpuinfo", NULL, "must not contain .." },
	{ "hgx", "sysfs", "/etc/passwd", NULL, "must not begin with /" },
	{ "hgx", "sysfs", "devices", NULL, "Is a directory" },
	{ "hgx", "module_version", "mlx5_core", "24.10-1.1.4", NULL },
	{ "hgx", "module_version", "nvme", NULL, "tells no version" },
	{ "hgx", "module_version", "gdrdrv", "absent", NULL },
	{ "hgx", "module_version", "../block", NULL, "plain name" },
	{ "hgx", "driver", "nvidia", "535.129.03", NULL },
	{ "hgx", "driver", "mlx5_core", "24.10-1.1.4", NULL },
	{ "hgx", "driver", "amdgpu", "absent", NULL },
	{ "hgx", "limit", "memlock", "unlimited", NULL },
	{ "hgx", "limit", "nofile", "1048576", NULL },
	{ "hgx", "limit", "nproc", NULL, "Max processes" },
	{ "hgx", "limit", "colour", NULL, "no such limit" },
	{ "hgx", "mount", "/local scratch", "xfs rw,noatime", NULL },
	{ "hgx", "mount_type", "/home", "nfs4", NULL },
	{ "hgx", "mount_type", "/scratch", "absent", NULL },
	{ "hgx", "mount_free", "/", NULL, "recorded machine" },
	{ "hgx", "iommu", NULL, "passthrough", NULL },
	{ "hgx", "acs", NULL, "on: 0000:10:01.0", NULL },
	{ "hgx", "hugepages", "2048kB", "1024", NULL },
	{ "hgx", "hugepages", "1048576kB", "absent", NULL },
	{ "hgx", "thp", NULL, "madvise", NULL },
	{ "hgx", "governor", NULL, "mixed: performance (3), powersave (1)", NULL },
	{ "hgx", "clocksource", NULL, "tsc", NULL },
	{ "hgx", "numa_balancing", NULL, "0", NULL },
	{ "hgx", "swap", NULL, "off", NULL },
	{ "hgx", "selinux", NULL, "disabled", NULL },
	{ "hgx", "colour", NULL, NULL, "no kind of setting" },
	{ "vm", "iommu", NULL, "off", NULL },
	{ "vm", "acs", NULL, "absent", NULL },
	{ "vm", "governor", NULL, "absent", NULL },
	{ "vm", "driver", "nvidia", "absent", NULL },
};

static struct machine *open_machine(const char *folder, const char *name)
{
	struct error err = { "" };
	char root[64];
	struct machine *m;

	snprintf(root, sizeof(root), "%s/%s", folder, name);
	m = machine_open(root, &err);
	if (!m)
		fail_msg("%s", err.text);
	return m;
}

static void check(struct machine *m, size_t i)
{
	const char *kind = cases[i].kind, *name = cases[i].name ? cases[i].name : "";
	struct error err = { "" };
	char *value = NULL;
	int failed = machine_setting(m, kind, cases[i].name, &value, &err);

	if (cases[i].value && failed)
		fail_msg("%s %s: %s", kind, name, err.text);
	if (cases[i].value && strcmp(value, cases[i].value) != 0)
		fail_msg("%s %s is \"%s\", not \"%s\"", kind, name, value, cases[i].value);
	if (!cases[i].value && !failed)
		fail_msg("%s %s should fail, is \"%s\"", kind, name, value);
	if (!cases[i].value && !strstr(err.text, cases[i].error))
		fail_msg("%s %s: \"%s\", not \"%s\"", kind, name, err.text, cases[i].error);
	free(value);
}

static void reads_settings(void **state)
{
	struct machine *m = NULL;
	const char *open = "";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (strcmp(open, cases[i].machine) != 0) {
			machine_close(m);
			m = open_machine(*state, open = cases[i].machine);
		}
		check(m, i);
	}
	machine_close(m);
}

/* Whatever this machine says, a setting without a name must be readable or say why not. */
static void reads_this_machine(void **state)
{
	struct error err = { "" };
	struct machine *m = machine_open("", &err);

	(void)state;
	if (!m)
		fail_msg("%s", err.text);
	for (const struct setting_kind *k = setting_kinds; k->name; k++) {
		char *value = NULL;
		int failed = k->takes ? 0 : machine_setting(m, k->name, NULL, &value, &err);

		assert_true(k->takes || (failed ? *err.text : *value));
		free(value);
	}
	machine_close(m);
}

/* Callers hand every fix exactly a name and a value. */
static void gives_fixes_two_words(void **state)
{
	(void)state;
	for (const struct setting_kind *k = setting_kinds; k->name; k++) {
		int count = 0;

		for (const char *at = k->fix; (at = strchr(at, '%')); at += 2) {
			assert_int_equal(at[1], 's');
			count++;
		}
		if (count != 2)
			fail_msg("the fix of %s has %d words", k->name, count);
	}
}

static int set_up(void **state)
{
	char *folder = strdup("/tmp/assay-settings-XXXXXX"), command[512];
	const char *source = getenv("ASSAY_SOURCE");

	*state = folder;
	if (!folder || !mkdtemp(folder))
		return -1;
	snprintf(command, sizeof(command), "sh %s/tests/machines/make.sh %s hgx vm",
		 source ? source : ".", folder);
	return system(command);
}

static int tear_down(void **state)
{
	char command[64];
	int failed;

	snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
	failed = system(command);
	free(*state);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_settings),
		cmocka_unit_test(reads_this_machine),
		cmocka_unit_test(gives_fixes_two_words),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
