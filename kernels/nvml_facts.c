/*
 * nvml_facts.c - the facts of GPUs and of the driver that NVML tells.
 *
 * Each fact comes from one function. What the driver does not tell is a hole with its reason and
 * never a guess: a GPU "without MIG" is one whose driver says so.
 */
#include "kernels/nvml_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each fills the value, "" to leave it empty, and returns 0 or NVML's code. */
typedef int reader(const struct nvml *n, const struct nvml_device *d, char *out, size_t room);

static int on_off(int code, unsigned is_on, char *out, size_t room)
{
	if (code == NVML_OK)
		snprintf(out, room, "%s", is_on ? "on" : "off");
	return code;
}

static int ecc(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	unsigned current = 0, pending;
	int code = NVML_CALL(n, DeviceGetEccMode, d->handle, &current, &pending);

	return on_off(code, current, out, room);
}

static int mig(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	unsigned current = 0, pending;
	int code = NVML_CALL(n, DeviceGetMigMode, d->handle, &current, &pending);

	return on_off(code, current, out, room);
}

static int persistence(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	unsigned mode = 0;
	int code = NVML_CALL(n, DeviceGetPersistenceMode, d->handle, &mode);

	return on_off(code, mode, out, room);
}

static int watts(int code, unsigned milliwatts, char *out, size_t room)
{
	if (code == NVML_OK)
		snprintf(out, room, "%.10g W", milliwatts / 1e3);
	return code;
}

static int power_limit(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	unsigned milliwatts = 0;
	int code = NVML_CALL(n, DeviceGetEnforcedPowerLimit, d->handle, &milliwatts);

	return watts(code, milliwatts, out, room);
}

static int power_default(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	unsigned milliwatts = 0;
	int code = NVML_CALL(n, DeviceGetPowerManagementDefaultLimit, d->handle, &milliwatts);

	return watts(code, milliwatts, out, room);
}

static int compute_mode(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	static const char *const modes[] = {
		[NVML_COMPUTE_DEFAULT] = "default",
		[NVML_COMPUTE_EXCLUSIVE_THREAD] = "exclusive",
		[NVML_COMPUTE_PROHIBITED] = "prohibited",
		[NVML_COMPUTE_EXCLUSIVE_PROCESS] = "exclusive",
	};
	unsigned mode;
	int code = NVML_CALL(n, DeviceGetComputeMode, d->handle, &mode);

	if (code == NVML_OK && mode < ARRAY_SIZE(modes))
		snprintf(out, room, "%s", modes[mode]);
	return code;
}

/* Links that are there, and how many of them are up. */
static int count_links(const struct nvml *n, const struct nvml_device *d, int *up, int *all)
{
	int bound = nvml_link_bound(n, d), code = NVML_OK;
	unsigned state;

	*up = *all = 0;
	for (int link = 0; link < bound; link++) {
		code = NVML_CALL(n, DeviceGetNvLinkState, d->handle, (unsigned)link, &state);
		if (code == NVML_OK) {
			*up += state != 0;
			(*all)++;
		} else if (code != NVML_NOT_SUPPORTED && code != NVML_INVALID_ARGUMENT) {
			return code;
		}
	}
	return NVML_OK; /* not supported: a GPU without NVLink, which has none */
}

static int links_up(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	int up, all, code = count_links(n, d, &up, &all);

	if (code == NVML_OK)
		snprintf(out, room, "%d", up);
	return code;
}

static int links_all(const struct nvml *n, const struct nvml_device *d, char *out, size_t room)
{
	int up, all, code = count_links(n, d, &up, &all);

	if (code == NVML_OK)
		snprintf(out, room, "%d", all);
	return code;
}

#define WORD(key, function, other)                                                                 \
	{                                                                                          \
		key, offsetof(struct nvml, function), other                                        \
	}
/* Texts that NVML hands over as they are. `other`: something else tells it where NVML does not. */
static const struct {
	const char *key;
	size_t function;
	int other;
} words[] = {
	WORD("model", DeviceGetName, 1),
	WORD("serial", DeviceGetSerial, 1),
	WORD("firmware", DeviceGetVbiosVersion, 1),
	WORD("uuid", DeviceGetUUID, 0),
	WORD("board", DeviceGetBoardPartNumber, 0),
	WORD("inforom", DeviceGetInforomImageVersion, 0),
};

static const struct {
	const char *key;
	reader *read;
} readers[] = {
	{ "ecc", ecc },
	{ "mig", mig },
	{ "persistence", persistence },
	{ "power_limit", power_limit },
	{ "power_default", power_default },
	{ "nvlinks", links_up },
	{ "nvlinks_max", links_all },
	{ "compute_mode", compute_mode },
};

static void value_put(const struct facts *f, const char *part, const char *key, int code,
		      const char *value)
{
	char why[120];

	if (code != NVML_OK)
		fact_hole(f, part, key, "NVML does not tell: %s", nvml_words(code, why));
	else if (*value)
		fact_put(f, part, key, "%s", value);
	else
		fact_hole(f, part, key, "NVML leaves it empty");
}

static void memory_put(const struct facts *f, const struct nvml *n, const struct nvml_device *d,
		       const char *part)
{
	uint64_t total, used;
	int code = nvml_memory_of(n, d, &total, &used);

	if (code == NVML_OK)
		fact_bytes(f, part, "memory", total);
	else
		value_put(f, part, "memory", code, "");
}

int nvml_facts(struct nvml *n, const struct facts *f, const char *part, const char *pci)
{
	const struct nvml_device *d = nvml_at(n, pci);
	char value[128];

	if (!d)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		int(*get) NVML_TEXT;
		int code = NVML_NO_FUNCTION;

		*value = '\0';
		memcpy(&get, (char *)n + words[i].function, sizeof(get));
		if (get)
			code = get(d->handle, value, sizeof(value));
		value_put(f, part, words[i].key, code, value);
	}
	memory_put(f, n, d, part);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		*value = '\0';
		value_put(f, part, readers[i].key, readers[i].read(n, d, value, sizeof(value)),
			  value);
	}
	return 0;
}

void nvml_holes(const struct facts *f, const char *part, const char *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!words[i].other)
			fact_hole(f, part, words[i].key, "%s", why);
	fact_hole(f, part, "memory", "%s", why);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		fact_hole(f, part, readers[i].key, "%s", why);
}

/* ---- the node ------------------------------------------------------------------------------ */

static void driver_put(const struct facts *f, struct nvml *n, const char *why)
{
	struct error ignored; /* the reason that counts is NVML's */
	char version[32] = "", *loaded = NULL;

	if (n)
		nvml_driver(n, version, sizeof(version));
	if (*version)
		fact_put(f, "", "nvidia_driver", "%s", version);
	else if (machine_setting(f->m, "driver", "nvidia", &loaded, &ignored) == 0 &&
		 strcmp(loaded, "absent") != 0)
		fact_put(f, "", "nvidia_driver", "%s", loaded);
	else
		fact_hole(f, "", "nvidia_driver", "%s", n ? "NVML does not tell" : why);
	free(loaded);
}

void nvml_node_facts(const struct facts *f, int nvidia_gpus)
{
	struct error err;
	struct nvml *n = nvml_open(f->m, &err);
	int version = 0, code;
	char why[120];

	if (!nvidia_gpus && (!n || !n->device_count))
		return;
	driver_put(f, n, n ? "" : err.text);
	code = n ? NVML_CALL(n, SystemGetCudaDriverVersion_v2, &version) : NVML_OK;
	if (!n)
		fact_hole(f, "", "cuda_driver", "%s", err.text);
	else if (code != NVML_OK)
		fact_hole(f, "", "cuda_driver", "NVML does not tell: %s", nvml_words(code, why));
	else
		fact_put(f, "", "cuda_driver", "%d.%d", version / 1000, version % 1000 / 10);
}
