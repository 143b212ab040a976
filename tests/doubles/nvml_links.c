/*
 * nvml_links.c - NVLinks, the fabric, field values and events of the NVML face.
 *
 * Links end at a switch, or each GPU has as many to every other one (a DGX Station). Display
 * adapters have none.
 */
#include "tests/doubles/nvml_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- links --------------------------------------------------------------------------------- */

static int link_check(const struct gpu *g, unsigned link)
{
	if (g->display || !world()->links)
		return NVML_NOT_SUPPORTED;
	return link < (unsigned)world()->links ? NVML_OK : NVML_INVALID_ARGUMENT;
}

static int link_state(const struct gpu *g, unsigned link, unsigned *up)
{
	int rc = link_check(g, link);

	if (rc == NVML_OK)
		*up = !g->link_down[link];
	return rc;
}

FACE int nvmlDeviceGetNvLinkState(NVML_GPU handle, unsigned link, unsigned *up)
{
	ANSWER(handle, link_state(g, link, up));
}

static int link_version(const struct gpu *g, unsigned link, unsigned *version)
{
	int rc = link_check(g, link);

	if (rc == NVML_OK)
		*version = (unsigned)world()->nvlink_version;
	return rc;
}

FACE int nvmlDeviceGetNvLinkVersion(NVML_GPU handle, unsigned link, unsigned *version)
{
	ANSWER(handle, link_version(g, link, version));
}

/* The old counters end with NVLink 4. */
static int link_counter(const struct gpu *g, unsigned link, unsigned which,
			unsigned long long *count)
{
	int rc = link_check(g, link);

	if (rc != NVML_OK)
		return rc;
	if (world()->nvlink_version >= 5)
		return NVML_NOT_SUPPORTED;
	*count = which == NVML_LINK_CRC_FLIT ? g->link_crc[link] : 0;
	return NVML_OK;
}

FACE int nvmlDeviceGetNvLinkErrorCounter(NVML_GPU handle, unsigned link, unsigned which,
					 unsigned long long *count)
{
	ANSWER(handle, link_counter(g, link, which, count));
}

/* The nth GPU with links that is not g. */
static const struct gpu *nth_other(const struct gpu *g, int n)
{
	const struct world *w = world();

	for (int i = 0; i < w->gpu_count; i++)
		if (&w->gpus[i] != g && !w->gpus[i].display && !n--)
			return &w->gpus[i];
	return NULL;
}

static const struct gpu *link_peer(const struct gpu *g, unsigned link)
{
	int others = 0;

	while (nth_other(g, others))
		others++;
	if (!others || world()->links < others)
		return NULL;
	return nth_other(g, (int)link / (world()->links / others));
}

static int link_remote(const struct gpu *g, unsigned link, struct nvml_pci *pci)
{
	int rc = link_check(g, link);
	const struct gpu *peer = world()->nvlink_direct ? link_peer(g, link) : NULL;
	char address[16];

	if (rc != NVML_OK)
		return rc;
	if (world()->nvlink_direct && !peer)
		return NVML_NOT_SUPPORTED;
	snprintf(address, sizeof(address), "0000:%02x:00.0", 0xc1 + link % 4);
	nvml_pci_of(peer ? peer->pci : address, pci);
	return NVML_OK;
}

FACE int nvmlDeviceGetNvLinkRemotePciInfo_v2(NVML_GPU handle, unsigned link, struct nvml_pci *pci)
{
	ANSWER(handle, link_remote(g, link, pci));
}

static int link_remote_type(const struct gpu *g, unsigned link, unsigned *type)
{
	int rc = link_check(g, link);

	if (rc == NVML_OK)
		*type = world()->nvlink_direct ? NVML_REMOTE_GPU : NVML_REMOTE_SWITCH;
	return rc;
}

FACE int nvmlDeviceGetNvLinkRemoteDeviceType(NVML_GPU handle, unsigned link, unsigned *type)
{
	ANSWER(handle, link_remote_type(g, link, type));
}

/* ---- fabric -------------------------------------------------------------------------------- */

/* Two bits each for four kinds of trouble; 2 is "no". */
enum { FABRIC_HEALTHY = 0xaa };

static int fabric_state(void)
{
	static const char *const names[] = { "none", "not_started", "in_progress", "completed" };
	int state = 0;

	while (strcmp(names[state], world()->fabric))
		state++;
	return state;
}

static int fabric(const struct gpu *g, struct nvml_fabric *f)
{
	int state = fabric_state();

	if (g->display || state == NVML_FABRIC_NOT_SUPPORTED)
		return NVML_NOT_SUPPORTED;
	if (f->version != NVML_FABRIC2 && f->version != NVML_FABRIC3)
		return NVML_ARGUMENT_VERSION;
	memset(f->cluster, 0, sizeof(f->cluster));
	f->status = f->clique = 0;
	f->state = (unsigned char)state;
	f->health = FABRIC_HEALTHY;
	if (f->version == NVML_FABRIC3)
		f->summary = 1; /* healthy */
	return NVML_OK;
}

FACE int nvmlDeviceGetGpuFabricInfoV(NVML_GPU handle, struct nvml_fabric *f)
{
	ANSWER(handle, fabric(g, f));
}

/* ---- field values -------------------------------------------------------------------------- */

static int link_field(const struct gpu *g, struct nvml_field *f, uint64_t value)
{
	int rc = link_check(g, f->scope);

	f->type = NVML_VALUE_UNSIGNED_LONG_LONG;
	f->value.u64 = value;
	return rc;
}

static int field(const struct gpu *g, struct nvml_field *f)
{
	int is_five = world()->nvlink_version >= 5;

	f->type = NVML_VALUE_UNSIGNED;
	f->value.u64 = 0;
	switch (f->id) {
	case NVML_FIELD_MEMORY_TEMPERATURE:
		f->value.u32 = nvml_temperature(g) + 8; /* HBM is warmer than the chip */
		return g->display ? NVML_NOT_SUPPORTED : NVML_OK;
	case NVML_FIELD_LINK_COUNT:
		f->value.u32 = (uint32_t)(g->display ? 0 : world()->links);
		return NVML_OK;
	case NVML_FIELD_RECOVERY_ACTION:
		f->value.u32 = g->remapped[2] ? 1 : 0; /* a pending row remap wants a reset */
		return NVML_OK;
	case NVML_FIELD_LINK_REPLAY:
	case NVML_FIELD_LINK_RECOVERY:
	case NVML_FIELD_LINK_CRC:
		return is_five ? NVML_NOT_SUPPORTED
			       : link_field(g, f,
					    f->id == NVML_FIELD_LINK_CRC && f->scope < LINKS_MOST
						    ? g->link_crc[f->scope]
						    : 0);
	case NVML_FIELD_LINK_MALFORMED:
	case NVML_FIELD_LINK_OVERRUN:
	case NVML_FIELD_LINK_RECEIVE:
	case NVML_FIELD_LINK_INTEGRITY:
	case NVML_FIELD_LINK_RECOVERIES:
		return is_five ? link_field(g, f, 0) : NVML_NOT_SUPPORTED;
	}
	return NVML_NOT_SUPPORTED;
}

static int fields(const struct gpu *g, int count, struct nvml_field *f)
{
	for (int i = 0; i < count; i++)
		f[i].code = field(g, &f[i]);
	return NVML_OK;
}

FACE int nvmlDeviceGetFieldValues(NVML_GPU handle, int count, struct nvml_field *f)
{
	ANSWER(handle, fields(g, count, f));
}

/* ---- events -------------------------------------------------------------------------------- */

struct nvml_set {
	unsigned char wants[GPUS_MOST];
	int seen; /* of world.xids */
};

FACE int nvmlEventSetCreate(struct nvml_set **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return NVML_MEMORY;
	pthread_mutex_lock(&world()->lock);
	(*out)->seen = world()->xid_count;
	pthread_mutex_unlock(&world()->lock);
	return NVML_OK;
}

FACE int nvmlEventSetFree(struct nvml_set *set)
{
	free(set);
	return NVML_OK;
}

static int wants(const struct gpu *g, unsigned long long events, struct nvml_set *set)
{
	if (events != NVML_EVENT_XID)
		return NVML_NOT_SUPPORTED;
	set->wants[g->number] = 1;
	return NVML_OK;
}

FACE int nvmlDeviceRegisterEvents(NVML_GPU handle, unsigned long long events, struct nvml_set *set)
{
	ANSWER(handle, wants(g, events, set));
}

/* The next XID that the set wants, with the lock held. */
static int next_event(struct nvml_set *set, struct nvml_event *event)
{
	struct world *w = world();

	while (set->seen < w->xid_count) {
		const struct xid *x = &w->xids[set->seen++];

		if (!set->wants[x->gpu])
			continue;
		memset(event, 0, sizeof(*event));
		event->gpu = (NVML_GPU)&w->gpus[x->gpu];
		event->type = NVML_EVENT_XID;
		event->data = (uint64_t)x->number;
		event->gpu_instance = event->compute_instance = UINT32_MAX;
		return 1;
	}
	return 0;
}

FACE int nvmlEventSetWait_v2(struct nvml_set *set, struct nvml_event *event, unsigned timeout_ms)
{
	double end = real_now() + timeout_ms * 1e-3;

	for (;;) {
		int found;

		pthread_mutex_lock(&world()->lock);
		found = next_event(set, event);
		pthread_mutex_unlock(&world()->lock);
		if (found)
			return NVML_OK;
		if (real_now() >= end)
			return NVML_TIMEOUT;
		usleep(1000);
	}
}
