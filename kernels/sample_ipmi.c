/*
 * sample_ipmi.c - fans, inlet and power that only the BMC knows, by libipmimonitoring where it is.
 *
 * The library is opened at run time and asked through /dev/ipmi0 alone: without that device it
 * would go and look for a BMC at I/O ports, which is not ours to do on a node under test. A BMC
 * answers slowly, so it is asked once a minute and by a thread of its own.
 */
#include "kernels/sample.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BMC_EVERY = 60, SENSORS_MOST = 512 };

/* What follows is ipmi_monitoring.h of FreeIPMI 1.6.10, libipmimonitoring.so.6. */
struct ipmi_ctx;

struct ipmi_config {
	int driver_type, disable_auto_probe;
	unsigned int driver_address, register_spacing;
	char *driver_device;
	int protocol_version;
	char *username, *password;
	unsigned char *k_g;
	unsigned int k_g_len;
	int privilege_level, authentication_type, cipher_suite_id;
	int session_timeout_len, retransmission_timeout_len;
	unsigned int workaround_flags;
};
_Static_assert(sizeof(struct ipmi_config) == 88, "struct ipmi_monitoring_ipmi_config");

enum { DRIVER_OPENIPMI = 2, IGNORE_NON_INTERPRETABLE = 2, READING_UINT32 = 1, READING_DOUBLE = 2 };

/* Types of sensors: temperature, current, fan, power supply, other units (power is told there). */
static unsigned int sensor_types[] = { 0x01, 0x03, 0x04, 0x08, 0x0b };

static const struct unit {
	int code; /* ipmi_monitoring_sensor_units */
	const char *word;
	double unit, moved;
} units[] = {
	{ 1, "c", 0.5, 2 },
	{ 5, "rpm", 10, 300 },
	{ 6, "w", 1, 20 },
};

typedef int each_sensor(struct ipmi_ctx *, void *);

#define IPMI_FUNCTIONS(X)                                                                          \
	X(int, init, (unsigned, int *))                                                            \
	X(struct ipmi_ctx *, ctx_create, (void))                                                   \
	X(void, ctx_destroy, (struct ipmi_ctx *))                                                  \
	X(char *, ctx_errormsg, (struct ipmi_ctx *))                                               \
	X(int, ctx_sdr_cache_directory, (struct ipmi_ctx *, const char *))                         \
	X(int, sensor_readings_by_sensor_type,                                                     \
	  (struct ipmi_ctx *, const char *, struct ipmi_config *, unsigned, unsigned *, unsigned,  \
	   each_sensor *, void *))                                                                 \
	X(int, sensor_read_record_id, (struct ipmi_ctx *))                                         \
	X(char *, sensor_read_sensor_name, (struct ipmi_ctx *))                                    \
	X(int, sensor_read_sensor_units, (struct ipmi_ctx *))                                      \
	X(int, sensor_read_sensor_reading_type, (struct ipmi_ctx *))                               \
	X(void *, sensor_read_sensor_reading, (struct ipmi_ctx *))

struct sensor {
	int record, series;
};

#define IPMI_POINTER(type, name, arguments) type(*name) arguments;
struct ipmi_state {
	IPMI_FUNCTIONS(IPMI_POINTER)
	void *library;
	struct ipmi_ctx *ctx;
	char cache[40]; /* the library keeps the BMC's list of sensors in files */
	struct sensor sensors[SENSORS_MOST];
	int count;
	long due;
};

#define IPMI_ROW(type, name, arguments)                                                            \
	{ "ipmi_monitoring_" #name, offsetof(struct ipmi_state, name) },
static const struct {
	const char *name;
	size_t at;
} functions[] = { IPMI_FUNCTIONS(IPMI_ROW) };

static int library_open(struct source *s, struct ipmi_state *x)
{
	static const char name[] = "libipmimonitoring.so.6";
	char *path = *s->m->root ? machine_path(s->m, "/lib/%s", name) : xstrdup(name);

	x->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	free(path);
	for (size_t i = 0; x->library && i < ARRAY_SIZE(functions); i++) {
		void *symbol = dlsym(x->library, functions[i].name);

		if (!symbol)
			return -1;
		memcpy((char *)x + functions[i].at, &symbol, sizeof(symbol));
	}
	return x->library ? 0 : -1;
}

static void say_unread(struct source *s, const char *why)
{
	source_tell(s, "", "hole", "sensors of the BMC are not watched: %s", why);
}

static void ipmi_open(struct source *s)
{
	struct ipmi_state *x = xcalloc(1, sizeof(*x));
	char *device = machine_path(s->m, "/dev/ipmi0");
	int ignored;

	s->own = x;
	if (access(device, F_OK) < 0) {
		free(device);
		return;
	}
	if (access(device, R_OK | W_OK) < 0)
		say_unread(s, "/dev/ipmi0 may not be used");
	else if (library_open(s, x) < 0)
		say_unread(s,
			   "there is no libipmimonitoring.so.6 here (package libipmimonitoring6)");
	else if (x->init(0, &ignored) < 0 || !(x->ctx = x->ctx_create()))
		say_unread(s, "libipmimonitoring does not start");
	free(device);
	snprintf(x->cache, sizeof(x->cache), "/tmp/assay-ipmi.XXXXXX");
	if (x->ctx && mkdtemp(x->cache))
		x->ctx_sdr_cache_directory(x->ctx, x->cache);
	else
		*x->cache = '\0';
}

/* "Inlet Temp" of the BMC is ipmi_inlet_temp_c; two of one name get a number. */
static int series_new(struct source *s, const char *label, const struct unit *u)
{
	struct sample_series like = { .kind = SERIES_LEVEL, .unit = u->unit, .moved = u->moved };
	char word[24];
	size_t n = 0;
	int same = 1;

	for (const char *c = label; *c && n + 1 < sizeof(word); c++)
		if (isalnum((unsigned char)*c))
			word[n++] = (char)tolower((unsigned char)*c);
		else if (n && word[n - 1] != '_')
			word[n++] = '_';
	word[n] = '\0';
	snprintf(like.about, sizeof(like.about), "BMC %.40s", label);
	snprintf(like.name, sizeof(like.name), "ipmi_%s_%s", word, u->word);
	for (int i = 0; i < s->count; i++)
		same += !strcmp(s->series[i].about, like.about);
	if (same > 1)
		snprintf(like.name, sizeof(like.name), "ipmi_%s_%d_%s", word, same % 1000, u->word);
	return source_add(s, "", &like);
}

/* The series of a record, NULL when there is no room for a new one. */
static const struct sensor *sensor_of(struct source *s, struct ipmi_ctx *ctx, const struct unit *u)
{
	struct ipmi_state *x = s->own;
	int record = x->sensor_read_record_id(ctx);
	const char *label = x->sensor_read_sensor_name(ctx);
	int series;

	for (int i = 0; i < x->count; i++)
		if (x->sensors[i].record == record)
			return &x->sensors[i];
	if (x->count == SENSORS_MOST || !label)
		return NULL;
	series = series_new(s, label, u);
	x->sensors[x->count] = (struct sensor){ record, series };
	return &x->sensors[x->count++];
}

static int take_sensor(struct ipmi_ctx *ctx, void *arg)
{
	struct source *s = arg;
	struct ipmi_state *x = s->own;
	int units_code = x->sensor_read_sensor_units(ctx);
	int type = x->sensor_read_sensor_reading_type(ctx);
	const void *reading = x->sensor_read_sensor_reading(ctx);
	const struct sensor *sensor;
	double value = 0;
	uint32_t whole;

	for (size_t i = 0; i < ARRAY_SIZE(units) && reading; i++) {
		if (units[i].code != units_code)
			continue;
		if (type == READING_DOUBLE) {
			memcpy(&value, reading, sizeof(value));
		} else if (type == READING_UINT32) {
			memcpy(&whole, reading, sizeof(whole));
			value = whole;
		} else {
			return 0;
		}
		sensor = sensor_of(s, ctx, &units[i]);
		if (sensor && isfinite(value))
			s->values[sensor->series] = value;
	}
	return 0;
}

static void ipmi_read(struct source *s)
{
	struct ipmi_state *x = s->own;
	struct ipmi_config config = { .driver_type = DRIVER_OPENIPMI, .disable_auto_probe = 1 };
	int was = x->count;

	if (!x->ctx || !source_due(s, &x->due, BMC_EVERY))
		return;
	for (int i = 0; i < x->count; i++)
		s->values[x->sensors[i].series] = INFINITY;
	if (x->sensor_readings_by_sensor_type(x->ctx, NULL, &config, IGNORE_NON_INTERPRETABLE,
					      sensor_types, ARRAY_SIZE(sensor_types), take_sensor,
					      s) >= 0 ||
	    was)
		return;
	say_unread(s, x->ctx_errormsg(x->ctx));
	x->ctx_destroy(x->ctx);
	x->ctx = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void ipmi_close(struct source *s)
{
	struct ipmi_state *x = s->own;

	if (!x)
		return;
	if (x->ctx)
		x->ctx_destroy(x->ctx);
	if (x->library)
		dlclose(x->library);
	if (*x->cache)
		nftw(x->cache, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(x);
}

const struct source_kind sample_ipmi = {
	.name = "sensors of the BMC (IPMI)",
	.apart = 1,
	.open = ipmi_open,
	.read = ipmi_read,
	.close = ipmi_close,
};
