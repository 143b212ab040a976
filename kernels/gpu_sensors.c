/*
 * gpu_sensors.c - what NVML says of a GPU while it works: sensors, links, fabric, XIDs.
 *
 * None of it touches CUDA, so that a GPU can be watched from beside while it hangs. Sensors that a
 * GPU lacks are NAN; a GPU that does not answer at all is an error.
 */
#include "kernels/cuda.h"
#include "kernels/nvml_inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sensors ------------------------------------------------------------------------------- */

/* One number of NVML in our unit, or NAN. */
static double number_of(int(*get) NVML_NUMBER, const struct nvml_device *d, double unit)
{
	unsigned value;

	return get && get(d->handle, &value) == NVML_OK ? value * unit : NAN;
}

/* The same for functions that take which of several they shall tell. */
static double which_of(int (*get)(NVML_GPU, unsigned, unsigned *), const struct nvml_device *d,
		       unsigned which, double unit)
{
	unsigned value;

	return get && get(d->handle, which, &value) == NVML_OK ? value * unit : NAN;
}

static void power_read(const struct nvml *n, const struct nvml_device *d, struct gpu_sensors *s)
{
	const double milli = 1e-3;
	unsigned long long energy;

	s->energy_j = NAN;
	if (NVML_CALL(n, DeviceGetTotalEnergyConsumption, d->handle, &energy) == NVML_OK)
		s->energy_j = (double)energy * milli;
	s->power_w = number_of(n->DeviceGetPowerUsage, d, milli);
	s->power_limit_w = number_of(n->DeviceGetEnforcedPowerLimit, d, milli);
	s->power_default_w = number_of(n->DeviceGetPowerManagementDefaultLimit, d, milli);
}

static void clocks_read(const struct nvml *n, const struct nvml_device *d, struct gpu_sensors *s)
{
	const double mega = 1e6;

	s->sm_clock_hz = which_of(n->DeviceGetClockInfo, d, NVML_CLOCK_SM, mega);
	s->memory_clock_hz = which_of(n->DeviceGetClockInfo, d, NVML_CLOCK_MEMORY, mega);
	s->sm_clock_max_hz = which_of(n->DeviceGetMaxClockInfo, d, NVML_CLOCK_SM, mega);
	if (NVML_CALL(n, DeviceGetCurrentClocksEventReasons, d->handle, &s->throttle) == NVML_OK ||
	    NVML_CALL(n, DeviceGetCurrentClocksThrottleReasons, d->handle, &s->throttle) == NVML_OK)
		s->throttle_known = 1;
	else
		s->throttle = 0;
}

/* 0 or NVML's code for the GPU as a whole: its temperature is what every GPU tells. */
static int heat_read(const struct nvml *n, const struct nvml_device *d, struct gpu_sensors *s)
{
	unsigned celsius;
	int code = NVML_CALL(n, DeviceGetTemperature, d->handle, NVML_TEMPERATURE_GPU, &celsius);

	s->temperature_c = code == NVML_OK ? celsius : NAN;
	s->slowdown_c = which_of(n->DeviceGetTemperatureThreshold, d, NVML_THRESHOLD_SLOWDOWN, 1);
	if (nvml_value(n, d, NVML_FIELD_MEMORY_TEMPERATURE, 0, &s->memory_temperature_c))
		s->memory_temperature_c = NAN;
	return code == NVML_NOT_SUPPORTED || code == NVML_NO_FUNCTION ? NVML_OK : code;
}

static int fail(const struct nvml_device *d, int code, struct error *err)
{
	char words[120];

	return error_set(err, "gpu%d (%s): %s", d->number, d->pci, nvml_words(code, words));
}

int machine_gpu_sensors(struct machine *m, int gpu, struct gpu_sensors *s, struct error *err)
{
	struct nvml *n;
	const struct nvml_device *d = nvml_numbered(m, gpu, &n, err);
	int code;

	memset(s, 0, sizeof(*s));
	if (!d)
		return -1;
	code = heat_read(n, d, s);
	if (code != NVML_OK)
		return fail(d, code, err);
	power_read(n, d, s);
	clocks_read(n, d, s);
	nvml_memory_of(n, d, &s->total_bytes, &s->used_bytes);
	s->processes = nvml_foreign(n, d);
	return 0;
}

/* ---- links --------------------------------------------------------------------------------- */

static void remote_read(struct nvml *n, const struct nvml_device *d, struct gpu_link *link)
{
	unsigned type = NVML_REMOTE_GPU, number = (unsigned)link->number;
	struct nvml_pci pci;
	const struct nvml_device *other;

	if (NVML_CALL(n, DeviceGetNvLinkRemoteDeviceType, d->handle, number, &type) == NVML_OK &&
	    type == NVML_REMOTE_SWITCH) {
		snprintf(link->remote, sizeof(link->remote), "switch");
		return;
	}
	if (NVML_CALL(n, DeviceGetNvLinkRemotePciInfo_v2, d->handle, number, &pci) != NVML_OK)
		return;
	pci_text(link->remote, pci.domain, pci.bus, pci.device, 0);
	other = nvml_at(n, link->remote);
	if (other)
		snprintf(link->remote, sizeof(link->remote), "gpu%d", other->number);
}

/*
 * The version is NVML's own number, not the generation that people say: nvmlNvlinkVersion_t has 4
 * for NVLink 3.0 and 6 for 4.0, and H100s are reported to answer the number of 5.0.
 */
static void link_read(struct nvml *n, const struct nvml_device *d, int number, int up,
		      struct gpu_link *link)
{
	unsigned version = 0;

	memset(link, 0, sizeof(*link));
	link->number = number;
	link->up = up;
	if (NVML_CALL(n, DeviceGetNvLinkVersion, d->handle, (unsigned)number, &version) == NVML_OK)
		link->version = (int)version;
	remote_read(n, d, link);
}

int machine_gpu_links(struct machine *m, int gpu, struct gpu_link *links, int room,
		      struct error *err)
{
	struct nvml *n;
	const struct nvml_device *d = nvml_numbered(m, gpu, &n, err);
	int bound = d ? nvml_link_bound(n, d) : 0, count = 0;

	for (int number = 0; number < bound; number++) {
		unsigned state = 0;
		int code = NVML_CALL(n, DeviceGetNvLinkState, d->handle, (unsigned)number, &state);

		if (code == NVML_NOT_SUPPORTED || code == NVML_INVALID_ARGUMENT)
			continue; /* no such link */
		if (code != NVML_OK)
			return fail(d, code, err);
		if (count < room)
			link_read(n, d, number, state != 0, &links[count]);
		count++;
	}
	return d ? count : -1;
}

/* ---- fabric -------------------------------------------------------------------------------- */

/* Bits of nvmlGpuFabricInfo's health mask, two for each: 1 is bad, 2 is good. */
static const struct {
	int shift;
	const char *words;
} troubles[] = {
	{ 0, "less bandwidth than it should have" },
	{ 2, "routes are being recovered" },
	{ 4, "routes are unhealthy" },
	{ 6, "recovers from an access time-out" },
};

/* Four bits: 0 not told, 1 none. */
enum { CONFIGURATION_SHIFT = 8, CONFIGURATION_NONE = 1 };
static const char *const configurations[] = {
	NULL,           NULL,
	"wrong GUID",   "wrong serial number of the chassis",
	"no partition", "not enough NVLinks",
};

/* nvmlGpuFabricInfo_v3_t's summary. */
static const char *const summaries[] = { NULL, NULL, "unhealthy", "limited capacity" };

static void trouble_add(struct gpu_fabric *fabric, const char *words)
{
	size_t used = strlen(fabric->state);

	fabric->is_bad = 1;
	snprintf(fabric->state + used, sizeof(fabric->state) - used, ", %s", words);
}

static void fabric_health(const struct nvml_fabric *info, struct gpu_fabric *fabric)
{
	unsigned wrong = info->health >> CONFIGURATION_SHIFT & 0xf;

	for (size_t i = 0; i < ARRAY_SIZE(troubles); i++)
		if ((info->health >> troubles[i].shift & 3) == 1)
			trouble_add(fabric, troubles[i].words);
	if (wrong < ARRAY_SIZE(configurations) && configurations[wrong])
		trouble_add(fabric, configurations[wrong]);
	else if (wrong > CONFIGURATION_NONE)
		trouble_add(fabric, "wrong configuration");
	if (info->summary < ARRAY_SIZE(summaries) && summaries[info->summary])
		trouble_add(fabric, summaries[info->summary]);
}

static void fabric_words(const struct nvml_fabric *info, struct gpu_fabric *fabric)
{
	static const char *const states[] = {
		[NVML_FABRIC_NOT_SUPPORTED] = "not supported",
		[NVML_FABRIC_NOT_STARTED] = "not started",
		[NVML_FABRIC_IN_PROGRESS] = "in progress",
		[NVML_FABRIC_COMPLETED] = "completed",
	};
	char words[120];

	if (info->state < ARRAY_SIZE(states))
		snprintf(fabric->state, sizeof(fabric->state), "%s", states[info->state]);
	else
		snprintf(fabric->state, sizeof(fabric->state), "unknown state %d", info->state);
	if (info->state == NVML_FABRIC_NOT_SUPPORTED)
		return;
	fabric->is_bad = info->state != NVML_FABRIC_COMPLETED;
	if (!fabric->is_bad && info->status != NVML_OK)
		trouble_add(fabric, nvml_words((int)info->status, words));
	fabric_health(info, fabric);
}

int machine_gpu_fabric(struct machine *m, int gpu, struct gpu_fabric *fabric, struct error *err)
{
	static const uint32_t versions[] = { NVML_FABRIC3, NVML_FABRIC2 };
	struct nvml *n;
	const struct nvml_device *d = nvml_numbered(m, gpu, &n, err);
	struct nvml_fabric info;
	int code = NVML_ARGUMENT_VERSION;

	memset(fabric, 0, sizeof(*fabric));
	if (!d)
		return -1;
	for (size_t i = 0; code == NVML_ARGUMENT_VERSION && i < ARRAY_SIZE(versions); i++) {
		memset(&info, 0, sizeof(info));
		info.version = versions[i];
		code = NVML_CALL(n, DeviceGetGpuFabricInfoV, d->handle, &info);
	}
	if (code == NVML_NOT_SUPPORTED)
		info.state = NVML_FABRIC_NOT_SUPPORTED;
	else if (code != NVML_OK)
		return fail(d, code, err);
	fabric_words(&info, fabric);
	return 0;
}

/* ---- events -------------------------------------------------------------------------------- */

int machine_gpu_events(struct machine *m, int gpu, char **text, struct error *err)
{
	struct nvml *n;
	struct nvml_device *d = nvml_numbered(m, gpu, &n, err);
	struct text t;

	*text = NULL;
	if (!d)
		return -1;
	text_init(&t);
	if (xids_text(n, d, &t, err) == 0)
		*text = text_detach(&t);
	text_release(&t);
	return *text ? 0 : -1;
}
