/*
 * test_facts.c - facts, counters and links of recorded machines, and of the machine that runs the
 * test.
 *
 * The recorded machines are written by tests/machines/make.sh, found below $ASSAY_SOURCE or the
 * working folder.
 */
#include "harness/base/parts.h"
#include "kernels/machine.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* Everything a machine told, in the order told. A counter keeps its value in `number`. */
struct told {
	struct item {
		char part[64], key[32], value[128], hole[160];
		int has_value, has_hole;
		double number;
	} items[600];
	int count;
};

struct fixture {
	char folder[32];
	struct told told;
};

static struct item *told_new(struct told *t, const char *part, const char *key)
{
	struct item *item = &t->items[t->count];

	assert_in_range(t->count++, 0, ARRAY_SIZE(t->items) - 1);
	memset(item, 0, sizeof(*item));
	snprintf(item->part, sizeof(item->part), "%s", part);
	snprintf(item->key, sizeof(item->key), "%s", key);
	return item;
}

static void take_fact(void *arg, const char *part, const char *key, const char *value,
		      const char *hole)
{
	struct item *item = told_new(arg, part, key);

	item->has_value = value != NULL;
	item->has_hole = hole != NULL;
	snprintf(item->value, sizeof(item->value), "%s", value ? value : "");
	snprintf(item->hole, sizeof(item->hole), "%s", hole ? hole : "");
}

static void take_counter(void *arg, const char *part, const char *name, double value)
{
	told_new(arg, part, name)->number = value;
}

static const struct item *told_find(const struct told *t, const char *part, const char *key)
{
	for (int i = 0; i < t->count; i++)
		if (!strcmp(t->items[i].part, part) && !strcmp(t->items[i].key, key))
			return &t->items[i];
	return NULL;
}

static struct machine *open_machine(const struct fixture *fx, const char *name)
{
	struct error err = { "" };
	char root[64];
	struct machine *m;

	snprintf(root, sizeof(root), "%s/%s", fx->folder, name);
	m = machine_open(*name ? root : "", &err);
	if (!m)
		fail_msg("%s", err.text);
	return m;
}

static void read_facts(struct fixture *fx, const char *name)
{
	struct machine *m = open_machine(fx, name);
	struct error err = { "" };

	fx->told.count = 0;
	if (machine_facts(m, take_fact, &fx->told, &err) < 0)
		fail_msg("%s", err.text);
	machine_close(m);
}

static void read_counters(struct fixture *fx, const char *name)
{
	struct machine *m = open_machine(fx, name);
	struct error err = { "" };

	fx->told.count = 0;
	if (machine_counters(m, take_counter, &fx->told, &err) < 0)
		fail_msg("%s", err.text);
	machine_close(m);
}

/* ---- facts --------------------------------------------------------------------------------- */

/* value NULL: a hole that contains `hole`; both NULL: the fact must not be there at all. */
static const struct {
	const char *machine, *part, *key, *value, *hole;
} fact_cases[] = {
	{ "hgx", "", "vendor", "Supermicro", NULL },
	{ "hgx", "", "product", "SYS-821GE-TNHR", NULL },
	{ "hgx", "", "serial", "S000042", NULL },
	{ "hgx", "", "board", "X13DEG-OAD", NULL },
	{ "hgx", "", "bios", "1.4b", NULL },
	{ "hgx", "", "bios_date", "07/28/2026", NULL },
	{ "hgx", "", "bmc", "1.05", NULL },
	{ "hgx", "", "kernel", "5.15.0-1053-generic", NULL },
	{ "hgx", "", "os", "Ubuntu 22.04.4 LTS", NULL },
	{ "hgx", "", "hypervisor", "none", NULL },
	{ "hgx", "", "sockets", "2", NULL },
	{ "hgx", "", "cores", "4", NULL },
	{ "hgx", "", "threads", "4", NULL },
	{ "hgx", "", "numa_nodes", "2", NULL },
	{ "hgx", "", "memory", "1081856000000 B", NULL },
	{ "hgx", "socket1", "model", "Intel(R) Xeon(R) Platinum 8480C", NULL },
	{ "hgx", "socket1", "l1d", "49152 B", NULL },
	{ "hgx", "socket1", "l2", "2 MiB", NULL },
	{ "hgx", "socket1", "l3", "105 MiB", NULL },
	{ "hgx", "socket1", "max_clock", "3800 MHz", NULL },
	{ "hgx", "socket1", "vector", "amx", NULL },
	{ "hgx", "numa1", "memory", "540979200000 B", NULL },
	{ "hgx", "numa1", "threads", "2", NULL },
	{ "hgx", "dimm00", "size", "64 GiB", NULL },
	{ "hgx", "dimm05", "speed", "4400 MT/s", NULL },
	{ "hgx", "dimm05", "rated_speed", "4800 MT/s", NULL },
	{ "hgx", "dimm15", "slot", "P2-DIMM7", NULL },
	{ "hgx", "dimm15", "model", "M321R8GA0BB0-CQKZJ", NULL },
	{ "hgx", "dimm16", "size", NULL, NULL },
	{ "hgx", "dimm", "size", NULL, NULL },
	{ "hgx", "gpu0", "model", "NVIDIA H100 80GB HBM3", NULL },
	{ "hgx", "gpu0", "firmware", "96.00.74.00.1A", NULL },
	{ "hgx", "gpu0", "serial", NULL, "no file tells" },
	{ "hgx", "gpu2", "link_width", "16", NULL },
	{ "hgx", "gpu3", "link_width", "8", NULL },
	{ "hgx", "gpu3", "link_width_max", "16", NULL },
	{ "hgx", "gpu7", "numa", "1", NULL },
	{ "hgx", "gpu7", "driver", "nvidia", NULL },
	{ "hgx", "gpu8", "model", NULL, NULL }, /* the BMC's display */
	{ "hgx", "nic4", "rdma", "mlx5_4", NULL },
	{ "hgx", "nic4", "netdev", "ib4", NULL },
	{ "hgx", "nic4", "serial", "MT0004", NULL },
	{ "hgx", "nic4", "rate", "400 Gb/s", NULL },
	{ "hgx", "nic4", "state", "ACTIVE", NULL },
	{ "hgx", "nic4", "layer", "InfiniBand", NULL },
	{ "hgx", "nic4", "guid", "b8ce:f603:00aa:0004", NULL },
	{ "hgx", "nic4", "model", "15b3:1021", NULL },
	{ "hgx", "disk0", "model", "SAMSUNG MZWLR3T8HBLS-00007", NULL },
	{ "hgx", "disk0", "size", "3840755982336 B", NULL },
	{ "hgx", "disk0", "link_gen_max", "4", NULL }, /* the disk could do 5, its slot cannot */
	{ "hgx", "disk0", "rotational", "no", NULL },
	{ "hgx", "disk3", "device", "nvme10n1", NULL },
	{ "hgx", "disk4", "device", NULL, NULL },
	{ "hgx-user", "dimm", "size", NULL, "not there: /sys/firmware/dmi/tables/DMI" },
	{ "hgx-user", "dimm00", "size", NULL, NULL },
	{ "hgx-user", "", "vendor", "Supermicro", NULL },
	{ "hgx-user", "", "serial", NULL, "not there: /sys/class/dmi/id/product_serial" },
	{ "hgx-user", "", "bios_date", NULL, "does not fill it in" },
	{ "hgx-user", "nic4", "serial", NULL, "not there: " },
	{ "vm", "", "hypervisor", "unknown", NULL },
	{ "vm", "", "bmc", NULL, "no BMC" },
	{ "vm", "", "vendor", NULL, "not there" },
	{ "vm", "socket0", "vector", "avx2", NULL },
	{ "vm", "socket0", "max_clock", NULL, "not there" },
	{ "vm", "nic0", "model", "virtio", NULL },
	{ "vm", "nic0", "netdev", "eth0", NULL },
	{ "vm", "nic0", "state", "ACTIVE", NULL },
	{ "vm", "nic0", "rate", NULL, "tells no speed" },
	{ "vm", "nic0", "link_width", NULL, NULL },
	{ "vm", "nic0", "numa", NULL, NULL },
	{ "vm", "nic1", "rdma", "rxe0", NULL },
	{ "vm", "nic1", "state", "DOWN", NULL },
	{ "vm", "nic1", "rate", "2.5 Gb/s", NULL },
	{ "vm", "nic1", "firmware", NULL, "not there" },
	{ "vm", "disk0", "serial", "overlayblk", NULL },
	{ "vm", "disk0", "size", "256 GiB", NULL },
	{ "vm", "disk0", "bus", "virtio", NULL },
	{ "vm", "disk1", "size", NULL, NULL },
};

static void tells_the_facts(void **state)
{
	struct fixture *fx = *state;
	const char *open = "";

	for (size_t i = 0; i < ARRAY_SIZE(fact_cases); i++) {
		const char *part = fact_cases[i].part, *key = fact_cases[i].key;
		const struct item *item;

		if (strcmp(open, fact_cases[i].machine) != 0)
			read_facts(fx, open = fact_cases[i].machine);
		item = told_find(&fx->told, part, key);
		if (!fact_cases[i].value && !fact_cases[i].hole) {
			if (item)
				fail_msg("%s: \"%s\" %s should not be there", open, part, key);
			continue;
		}
		if (!item)
			fail_msg("%s: \"%s\" %s is missing", open, part, key);
		if (fact_cases[i].value && strcmp(item->value, fact_cases[i].value) != 0)
			fail_msg("%s: \"%s\" %s is \"%s\"%s, not \"%s\"", open, part, key,
				 item->value, item->hole, fact_cases[i].value);
		if (fact_cases[i].hole && !strstr(item->hole, fact_cases[i].hole))
			fail_msg("%s: \"%s\" %s: hole \"%s\", not \"%s\"", open, part, key,
				 item->hole, fact_cases[i].hole);
	}
}

/* What every fact owes to kernels.h and parts.h, whatever the machine. */
static void check_fact(const struct told *t, const struct item *item)
{
	int bare = part_kind_find(item->part);
	int kind = bare >= 0 ? bare : part_kind_of(item->part);
	const struct fact_key *key = kind >= 0 ? fact_key_find(kind, item->key) : NULL;
	struct quantity q;
	struct error err;

	if (!key)
		fail_msg("\"%s\" %s is not in parts.h", item->part, item->key);
	if (item->has_value == item->has_hole || (bare >= 0 && item->has_value))
		fail_msg("\"%s\" %s: one of value and hole", item->part, item->key);
	if (item->has_value && key->type == FACT_NUMBER &&
	    (quantity_parse(item->value, &q, &err) < 0 || q.dim != key->dim))
		fail_msg("\"%s\" %s: \"%s\" is not of dimension %s", item->part, item->key,
			 item->value, dimension_name(key->dim));
	if (told_find(t, item->part, item->key) != item)
		fail_msg("\"%s\" %s is told twice", item->part, item->key);
}

static void keeps_to_the_vocabulary(void **state)
{
	static const char *const machines[] = { "hgx", "hgx-user", "vm", "" };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		read_facts(fx, machines[i]);
		assert_true(fx->told.count > 20);
		for (int k = 0; k < fx->told.count; k++)
			check_fact(&fx->told, &fx->told.items[k]);
	}
}

static void names_what_needs_root(void **state)
{
	static const char path[] = "sys/firmware/dmi/tables/DMI";
	struct fixture *fx = *state;
	const struct item *item;
	char full[96];

	if (geteuid() == 0) {
		print_message("skipped: root can read every file\n");
		skip();
	}
	snprintf(full, sizeof(full), "%s/hgx/%s", fx->folder, path);
	assert_int_equal(chmod(full, 0), 0);
	read_facts(fx, "hgx");
	assert_int_equal(chmod(full, 0644), 0);
	item = told_find(&fx->told, "dimm", "size");
	assert_non_null(item);
	assert_string_equal(item->hole, "needs root: /sys/firmware/dmi/tables/DMI");
	item = told_find(&fx->told, "", "vendor");
	assert_non_null(item);
	assert_string_equal(item->value, "Supermicro");
}

/* ---- host ---------------------------------------------------------------------------------- */

static void opens_recorded_machines(void **state)
{
	struct machine *m = open_machine(*state, "hgx");
	const struct host *host = machine_host(m);

	assert_int_equal(host->cpu_count, 4);
	assert_int_equal(host->numa_count, 2);
	assert_int_equal(host->numas[1].cpu_count, 2);
	assert_int_equal(host->numas[1].cpus[0], 2);
	assert_int_equal(host->disk_count, 4);
	assert_string_equal(host->disks[3].path, "/dev/nvme10n1");
	assert_string_equal(host->disks[3].serial, "S6EXNE0T10");
	assert_true(host->memory_available == 1040000000ULL * 1024);
	assert_true(host->last_cache_bytes == 2ULL * 107520 * 1024);
	assert_ptr_equal(machine_numa(m, 1), &host->numas[1]);
	assert_null(machine_numa(m, 2));
	machine_close(m);
	assert_null(getenv("HWLOC_FSROOT"));
}

/* 2 GiB less 512 MiB of its own group is less than what the group above and the machine leave. */
static void heeds_cgroup_limits(void **state)
{
	struct machine *m = open_machine(*state, "vm");

	assert_true(machine_host(m)->memory_available == 3ULL << 29);
	machine_close(m);
}

static void refuses_what_is_no_machine(void **state)
{
	struct error err = { "" };

	(void)state;
	assert_null(machine_open("/nonexistent", &err));
	assert_true(*err.text);
	assert_null(getenv("HWLOC_FSROOT"));
}

/* ---- counters and links -------------------------------------------------------------------- */

static const struct {
	const char *part, *name;
	double value; /* -1: must not be there */
} counter_cases[] = {
	{ "dimm:CPU_SrcID#0_MC#0_Chan#1_DIMM#0", "edac_ce", 7 },
	{ "dimm:CPU_SrcID#0_MC#0_Chan#1_DIMM#0", "edac_ue", 0 },
	{ "memory:mc0", "edac_ce", 0 },
	{ "", "mce", 3 },
	{ "", "hwpoison_bytes", 4096 },
	{ "socket0", "throttle", 1 },
	{ "socket1", "throttle", 5 },
	{ "socket1", "throttle_package", 20 },
	{ "gpu3", "aer_correctable", 3 },
	{ "gpu3", "aer_fatal", 0 },
	{ "nic0", "aer_correctable", -1 },
};

static void tells_counters(void **state)
{
	struct fixture *fx = *state;

	read_counters(fx, "hgx");
	for (size_t i = 0; i < ARRAY_SIZE(counter_cases); i++) {
		const struct item *item =
			told_find(&fx->told, counter_cases[i].part, counter_cases[i].name);
		double value = item ? item->number : -1;

		if (value < counter_cases[i].value || value > counter_cases[i].value)
			fail_msg("\"%s\" %s is %g, not %g", counter_cases[i].part,
				 counter_cases[i].name, value, counter_cases[i].value);
	}
}

/* A folder is no pattern: with brackets in its name a recorded machine would look empty. */
static void takes_any_name_for_a_folder(void **state)
{
	struct fixture *fx = *state;
	char plain[64], odd[64];
	int count;

	read_counters(fx, "hgx");
	count = fx->told.count;
	snprintf(plain, sizeof(plain), "%s/hgx", fx->folder);
	snprintf(odd, sizeof(odd), "%s/of [may] *?", fx->folder);
	assert_int_equal(rename(plain, odd), 0);
	read_counters(fx, "of [may] *?");
	assert_int_equal(rename(odd, plain), 0);
	assert_int_equal(fx->told.count, count);
}

/* No controller, no throttling files, no machine checks: nothing may look like a counter of zero.
 */
static void keeps_absent_counters_absent(void **state)
{
	struct fixture *fx = *state;

	read_counters(fx, "vm");
	assert_int_equal(fx->told.count, 0);
}

static void tells_links(void **state)
{
	struct machine *m = open_machine(*state, "hgx");
	struct pcie_link links[20];
	struct error err;

	assert_int_equal(machine_pcie_links(m, links, 2, &err), 20);
	assert_int_equal(machine_pcie_links(m, links, 20, &err), 20);
	assert_string_equal(links[3].part, "gpu3");
	assert_string_equal(links[3].pci, "0000:41:00.0");
	assert_int_equal(links[3].width, 8);
	assert_int_equal(links[3].width_max, 16);
	assert_string_equal(links[16].part, "disk0");
	assert_int_equal(links[16].gen, 4);
	assert_int_equal(links[16].gen_max, 4);
	machine_close(m);
}

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	const char *source = getenv("ASSAY_SOURCE");
	char command[512];

	if (!fx)
		return -1;
	*state = fx;
	snprintf(fx->folder, sizeof(fx->folder), "/tmp/assay-facts-XXXXXX");
	if (!mkdtemp(fx->folder))
		return -1;
	snprintf(command, sizeof(command), "sh %s/tests/machines/make.sh %s hgx hgx-user vm",
		 source ? source : ".", fx->folder);
	return system(command);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	char command[64];
	int failed;

	snprintf(command, sizeof(command), "rm -rf %s", fx->folder);
	failed = system(command);
	free(fx);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_facts),
		cmocka_unit_test(keeps_to_the_vocabulary),
		cmocka_unit_test(names_what_needs_root),
		cmocka_unit_test(opens_recorded_machines),
		cmocka_unit_test(heeds_cgroup_limits),
		cmocka_unit_test(refuses_what_is_no_machine),
		cmocka_unit_test(tells_counters),
		cmocka_unit_test(takes_any_name_for_a_folder),
		cmocka_unit_test(keeps_absent_counters_absent),
		cmocka_unit_test(tells_links),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
