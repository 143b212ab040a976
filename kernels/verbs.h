/*
 * verbs.h - libibverbs, opened at run time. Private to kernels/.
 *
 * Only exported symbols are asked for: the header turns some names into macros with code of its own
 * release inside, which an older library on a node may not fit. Posting and polling go through
 * context->ops, as the header's own inline functions do.
 */
#ifndef ASSAY_VERBS_H
#define ASSAY_VERBS_H

#include "kernels/machine.h"

#include <infiniband/verbs.h>

/* What it returns, its name without "ibv_", what it takes. */
#define VERBS_FUNCTIONS(X)                                                                         \
	X(struct ibv_device **, get_device_list, (int *count))                                     \
	X(void, free_device_list, (struct ibv_device * *list))                                     \
	X(const char *, get_device_name, (struct ibv_device * device))                             \
	X(struct ibv_context *, open_device, (struct ibv_device * device))                         \
	X(int, close_device, (struct ibv_context * context))                                       \
	X(int, query_port,                                                                         \
	  (struct ibv_context * context, uint8_t port, struct _compat_ibv_port_attr * attr))       \
	X(int, query_gid,                                                                          \
	  (struct ibv_context * context, uint8_t port, int index, union ibv_gid *gid))             \
	X(struct ibv_pd *, alloc_pd, (struct ibv_context * context))                               \
	X(int, dealloc_pd, (struct ibv_pd * pd))                                                   \
	X(struct ibv_mr *, reg_mr, (struct ibv_pd * pd, void *at, size_t bytes, int access))       \
	X(int, dereg_mr, (struct ibv_mr * mr))                                                     \
	X(struct ibv_comp_channel *, create_comp_channel, (struct ibv_context * context))          \
	X(int, destroy_comp_channel, (struct ibv_comp_channel * channel))                          \
	X(struct ibv_cq *, create_cq,                                                              \
	  (struct ibv_context * context, int room, void *own, struct ibv_comp_channel *channel,    \
	   int vector))                                                                            \
	X(int, destroy_cq, (struct ibv_cq * cq))                                                   \
	X(int, get_cq_event, (struct ibv_comp_channel * channel, struct ibv_cq * *cq, void **own)) \
	X(void, ack_cq_events, (struct ibv_cq * cq, unsigned count))                               \
	X(struct ibv_qp *, create_qp, (struct ibv_pd * pd, struct ibv_qp_init_attr * attr))        \
	X(int, modify_qp, (struct ibv_qp * qp, struct ibv_qp_attr * attr, int mask))               \
	X(int, destroy_qp, (struct ibv_qp * qp))                                                   \
	X(const char *, wc_status_str, (enum ibv_wc_status status))

#define VERBS_MEMBER(type, name, arguments) type(*name) arguments;
struct verbs {
	void *library;
	int is_double;
	VERBS_FUNCTIONS(VERBS_MEMBER)
};

/*
 * Opens the library at the first call; kept by the machine. A recorded machine has none but a
 * double in its own lib folder, since the NICs of a real one would be this machine's. NULL with
 * err.
 */
const struct verbs *verbs_open(struct machine *m, struct error *err);
void verbs_close(struct machine *m); /* called by machine_close */
int verbs_is_double(const struct machine *m);

/* What a completion's status means, for a sentence about "it". */
const char *verbs_status(const struct verbs *v, enum ibv_wc_status status);
/*
 * errno of a call that makes something in the NIC, in words: 'what: why', and how much memory may
 * be locked where that can be the reason. wants: bytes it would have locked. -1.
 */
int verbs_sys(struct error *err, uint64_t wants, const char *fmt, ...) PRINTF(3, 4);

#endif
