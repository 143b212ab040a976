/*
 * ipmi.c - stands for libipmimonitoring.so.6: a BMC with a few sensors, read from
 * $ASSAY_IPMI_DOUBLE.
 *
 * A line there is "RECORD UNITS TYPE VALUE NAME", with the numbers of ipmi_monitoring.h; TYPE 0 has
 * no reading. A first word "fail" makes the reading fail with the rest of the line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FACE __attribute__((visibility("default")))

struct ipmi_monitoring_ctx {
	int record, units, type;
	double value;
	uint32_t whole;
	char name[64], error[200];
};

struct ipmi_monitoring_ipmi_config {
	int driver_type, disable_auto_probe;
};

typedef struct ipmi_monitoring_ctx *ctx_t;
typedef int each_sensor(ctx_t, void *);

FACE int ipmi_monitoring_init(unsigned int flags, int *errnum);
FACE ctx_t ipmi_monitoring_ctx_create(void);
FACE void ipmi_monitoring_ctx_destroy(ctx_t c);
FACE char *ipmi_monitoring_ctx_errormsg(ctx_t c);
FACE int ipmi_monitoring_ctx_sdr_cache_directory(ctx_t c, const char *folder);
FACE int ipmi_monitoring_sensor_readings_by_sensor_type(ctx_t c, const char *host,
							struct ipmi_monitoring_ipmi_config *config,
							unsigned int flags, unsigned int *types,
							unsigned int count, each_sensor *each,
							void *arg);
FACE int ipmi_monitoring_sensor_read_record_id(ctx_t c);
FACE char *ipmi_monitoring_sensor_read_sensor_name(ctx_t c);
FACE int ipmi_monitoring_sensor_read_sensor_units(ctx_t c);
FACE int ipmi_monitoring_sensor_read_sensor_reading_type(ctx_t c);
FACE void *ipmi_monitoring_sensor_read_sensor_reading(ctx_t c);

int ipmi_monitoring_init(unsigned int flags, int *errnum)
{
	*errnum = 0;
	return flags ? -1 : 0;
}

ctx_t ipmi_monitoring_ctx_create(void)
{
	return calloc(1, sizeof(struct ipmi_monitoring_ctx));
}

void ipmi_monitoring_ctx_destroy(ctx_t c)
{
	free(c);
}

char *ipmi_monitoring_ctx_errormsg(ctx_t c)
{
	return c->error;
}

int ipmi_monitoring_ctx_sdr_cache_directory(ctx_t c, const char *folder)
{
	char path[200];
	FILE *file;

	(void)c;
	snprintf(path, sizeof(path), "%s/sdr-cache-double", folder);
	file = fopen(path, "w");
	return file ? fclose(file) : -1;
}

int ipmi_monitoring_sensor_readings_by_sensor_type(ctx_t c, const char *host,
						   struct ipmi_monitoring_ipmi_config *config,
						   unsigned int flags, unsigned int *types,
						   unsigned int count, each_sensor *each, void *arg)
{
	const char *path = getenv("ASSAY_IPMI_DOUBLE");
	FILE *file = path ? fopen(path, "r") : NULL;
	char line[300];
	unsigned int seconds;
	int sensors = 0;

	(void)flags;
	/* in band, by the kernel's driver, and not all types */
	if (!file || host || config->driver_type != 2 || !types || !count)
		return -1;
	while (sensors >= 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "fail %199[^\n]", c->error) == 1) {
			sensors = -1;
		} else if (sscanf(line, "hang %u", &seconds) == 1) {
			sleep(seconds);
		} else if (sscanf(line, "%d %d %d %lf %63[^\n]", &c->record, &c->units, &c->type,
				  &c->value, c->name) == 5) {
			sensors++;
			c->whole = (uint32_t)c->value;
			if (each(c, arg) < 0)
				break;
		}
	}
	fclose(file);
	return sensors;
}

int ipmi_monitoring_sensor_read_record_id(ctx_t c)
{
	return c->record;
}

char *ipmi_monitoring_sensor_read_sensor_name(ctx_t c)
{
	return c->name;
}

int ipmi_monitoring_sensor_read_sensor_units(ctx_t c)
{
	return c->units;
}

int ipmi_monitoring_sensor_read_sensor_reading_type(ctx_t c)
{
	return c->type;
}

void *ipmi_monitoring_sensor_read_sensor_reading(ctx_t c)
{
	return c->type == 2 ? (void *)&c->value : c->type == 1 ? (void *)&c->whole : NULL;
}
