/*
 * face.c - the functions of libibverbs.
 */
#include "tests/doubles/verbs/verbs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a program looks for to know that nothing here was measured. */
FACE char assay_double[320] = "assay double of libibverbs";

#define NIC(context) ((struct nic *)(void *)(context))

static void *make(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		double_die("out of memory");
	return p;
}

static void hold(struct ibv_context *context, int change)
{
	struct nic *nic = NIC(context);

	pthread_mutex_lock(&nic->lock);
	nic->objects += change;
	pthread_mutex_unlock(&nic->lock);
}

/* ---- devices ------------------------------------------------------------------------------- */

FACE struct ibv_device **ibv_get_device_list(int *count);

/* The recorded machine in whose lib folder this library lies, or "". */
static void root_find(char *out, size_t room)
{
	static const char tail[] = "/lib/libibverbs.so.1";
	size_t len;
	Dl_info info;

	*out = '\0';
	if (!dladdr((void *)ibv_get_device_list, &info) || !info.dli_fname)
		return;
	len = strlen(info.dli_fname);
	if (len > sizeof(tail) - 1 && !strcmp(info.dli_fname + len - (sizeof(tail) - 1), tail))
		snprintf(out, room, "%.*s", (int)(len - (sizeof(tail) - 1)), info.dli_fname);
}

static int not_hidden(const struct dirent *entry)
{
	return *entry->d_name != '.';
}

static struct device *device_make(const char *root, const char *name, int number)
{
	struct device *d = make(sizeof(*d));

	snprintf(d->root, sizeof(d->root), "%s", root);
	snprintf(d->v.name, sizeof(d->v.name), "%.60s", name);
	d->v.node_type = IBV_NODE_CA;
	d->v.transport_type = IBV_TRANSPORT_IB;
	d->number = number;
	return d;
}

FACE struct ibv_device **ibv_get_device_list(int *count)
{
	enum { DEFAULT = 8 };
	struct dirent **names = NULL;
	struct ibv_device **list;
	char root[512], path[600], name[16];
	int n = 0;

	root_find(root, sizeof(root));
	snprintf(path, sizeof(path), "%s/sys/class/infiniband", root);
	if (*root)
		n = scandir(path, &names, not_hidden, versionsort);
	list = make(sizeof(*list) * (size_t)((n > DEFAULT ? n : DEFAULT) + 1));
	for (int i = 0; i < n; i++) {
		list[i] = &device_make(root, names[i]->d_name, i)->v;
		free(names[i]);
	}
	free(names);
	for (int i = 0; !*root && i < DEFAULT; i++) {
		snprintf(name, sizeof(name), "mlx5_%d", i);
		list[i] = &device_make(root, name, i)->v;
		n = i + 1;
	}
	if (count)
		*count = n > 0 ? n : 0;
	return list;
}

FACE void ibv_free_device_list(struct ibv_device **list)
{
	for (int i = 0; list[i]; i++)
		free(list[i]);
	free(list);
}

FACE const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

static char *file_of(const struct device *d, const char *file, char out[128])
{
	char path[700];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/class/infiniband/%s/ports/1/%s", d->root, d->v.name,
		 file);
	*out = '\0';
	f = *d->root ? fopen(path, "re") : NULL;
	if (f && !fgets(out, 128, f))
		*out = '\0';
	if (f)
		fclose(f);
	out[strcspn(out, "\n")] = '\0';
	return *out ? out : NULL;
}

static void port_make(struct nic *nic)
{
	const struct device *d = &nic->device;
	char line[128];
	int state = file_of(d, "state", line) ? atoi(line) : IBV_PORT_ACTIVE;

	nic->port = (struct ibv_port_attr){ .state = (enum ibv_port_state)state,
					    .max_mtu = IBV_MTU_4096,
					    .active_mtu = IBV_MTU_4096,
					    .gid_tbl_len = GIDS,
					    .lid = (uint16_t)(d->number + 1),
					    .phys_state = state == IBV_PORT_ACTIVE ? 5 : 2,
					    .link_layer = IBV_LINK_LAYER_INFINIBAND };
	if (d->rules.down) {
		nic->port.state = IBV_PORT_DOWN;
		nic->port.phys_state = 2;
	}
	if (file_of(d, "lid", line))
		nic->port.lid = (uint16_t)strtoul(line, NULL, 0);
	if (file_of(d, "link_layer", line) && !strcmp(line, "Ethernet")) {
		nic->port.link_layer = IBV_LINK_LAYER_ETHERNET;
		nic->port.lid = 0;
	}
}

FACE int ibv_query_port(struct ibv_context *context, uint8_t port,
			struct _compat_ibv_port_attr *attr)
{
	if (port != 1)
		return EINVAL;
	memcpy((void *)attr, &NIC(context)->port, sizeof(struct ibv_port_attr));
	return 0;
}

FACE int ibv_query_gid(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid)
{
	const struct nic *nic = NIC(context);
	char file[32], line[128];

	if (port != 1 || index < 0 || index >= nic->port.gid_tbl_len) {
		errno = EINVAL;
		return -1;
	}
	memset(gid, 0, sizeof(*gid));
	snprintf(file, sizeof(file), "gids/%d", index);
	if (file_of(&nic->device, file, line))
		return inet_pton(AF_INET6, line, gid->raw) == 1 ? 0 : -1;
	if (index == 0 && nic->port.link_layer == IBV_LINK_LAYER_INFINIBAND) {
		gid->raw[0] = 0xfe;
		gid->raw[1] = 0x80;
		gid->raw[15] = (unsigned char)(nic->device.number + 1);
	}
	return 0;
}

/* ---- posting and polling ------------------------------------------------------------------- */

static int poll_queue(struct ibv_cq *cq, int room, struct ibv_wc *wcs)
{
	struct queue *q = (struct queue *)(void *)cq;
	int n = 0;

	pthread_mutex_lock(&q->lock);
	for (; n < room && q->count; n++) {
		wcs[n] = q->ring[q->first];
		q->first = (q->first + 1) % q->room;
		q->count--;
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

static int arm(struct ibv_cq *cq, int solicited_only)
{
	struct queue *q = (struct queue *)(void *)cq;

	if (solicited_only)
		double_die("only all events are played");
	pthread_mutex_lock(&q->lock);
	q->armed = 1;
	pthread_mutex_unlock(&q->lock);
	return 0;
}

static int send_fill(const struct queue_pair *qp, const struct ibv_send_wr *wr, struct request *s)
{
	if (wr->num_sge != 1 || wr->next ||
	    (wr->opcode != IBV_WR_SEND && wr->opcode != IBV_WR_RDMA_WRITE &&
	     wr->opcode != IBV_WR_RDMA_WRITE_WITH_IMM))
		double_die("only single requests of one element to send and write are played");
	if (wr->sg_list->length > MESSAGE_MOST)
		double_die("a message is longer than is played");
	*s = (struct request){ .id = wr->wr_id,
			       .op = wr->opcode,
			       .signaled = (wr->send_flags & IBV_SEND_SIGNALED) != 0,
			       .has_inline = (wr->send_flags & IBV_SEND_INLINE) != 0,
			       .sge = *wr->sg_list,
			       .imm = wr->imm_data,
			       .address = wr->wr.rdma.remote_addr,
			       .key = wr->wr.rdma.rkey };
	if (s->has_inline && wr->sg_list->length > qp->cap.max_inline_data)
		return EINVAL;
	if (s->has_inline)
		memcpy(s->own, (void *)(uintptr_t)wr->sg_list->addr, wr->sg_list->length);
	return 0;
}

static int post_send(struct ibv_qp *v, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct queue_pair *qp = (struct queue_pair *)(void *)v;
	struct request *s;
	int code = 0;

	*bad = wr;
	pthread_mutex_lock(&qp->nic->lock);
	s = &qp->sends[qp->posted % qp->cap.max_send_wr];
	if (v->state != IBV_QPS_RTS && v->state != IBV_QPS_ERR)
		code = EINVAL;
	else if (qp->posted - qp->done >= qp->cap.max_send_wr)
		code = ENOMEM;
	else
		code = send_fill(qp, wr, s);
	if (!code) {
		s->psn = qp->next_psn++ & 0xffffff;
		qp->posted++;
	}
	if (!code && v->state == IBV_QPS_ERR)
		qp_flush(qp);
	pthread_mutex_unlock(&qp->nic->lock);
	if (!code)
		nic_kick(qp->nic);
	return code;
}

static int post_recv(struct ibv_qp *v, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct queue_pair *qp = (struct queue_pair *)(void *)v;
	int code = 0;

	*bad = wr;
	if (wr->num_sge != 1 || wr->next)
		double_die("only single buffers of one element are played");
	pthread_mutex_lock(&qp->nic->lock);
	if (v->state == IBV_QPS_RESET)
		code = EINVAL;
	else if (qp->offered - qp->taken >= qp->cap.max_recv_wr)
		code = ENOMEM;
	if (!code)
		qp->offers[qp->offered++ % qp->cap.max_recv_wr] =
			(struct offer){ wr->wr_id, *wr->sg_list };
	if (!code && v->state == IBV_QPS_ERR)
		qp_flush(qp);
	pthread_mutex_unlock(&qp->nic->lock);
	return code;
}

/* ---- opening ------------------------------------------------------------------------------- */

FACE struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct nic *nic = make(sizeof(*nic));

	nic->device = *(struct device *)(void *)device;
	rules_read(&nic->device);
	nic->v.device = &nic->device.v;
	nic->v.async_fd = nic->v.cmd_fd = -1;
	nic->v.ops.poll_cq = poll_queue;
	nic->v.ops.req_notify_cq = arm;
	nic->v.ops.post_send = post_send;
	nic->v.ops.post_recv = post_recv;
	nic->next_key = 0x1000 + ((uint32_t)getpid() << 12);
	pthread_mutex_init(&nic->lock, NULL);
	port_make(nic);
	for (int i = 0; i < GIDS; i++)
		ibv_query_gid(&nic->v, 1, i, &nic->gids[i]);
	counters_make(nic);
	nic_start(nic);
	return &nic->v;
}

FACE int ibv_close_device(struct ibv_context *context)
{
	struct nic *nic = NIC(context);

	if (nic->objects)
		double_die("%s is closed with %d objects that still are", nic->device.v.name,
			   nic->objects);
	nic_stop(nic);
	counters_tell(nic, 1);
	pthread_mutex_destroy(&nic->lock);
	free(nic);
	return 0;
}

FACE struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = make(sizeof(*pd));

	pd->context = context;
	hold(context, 1);
	return pd;
}

FACE int ibv_dealloc_pd(struct ibv_pd *pd)
{
	hold(pd->context, -1);
	free(pd);
	return 0;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int may_lock(const struct nic *nic, uint64_t more)
{
	struct rlimit limit;

	return !nic->device.rules.memlock || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	       nic->locked + more <= limit.rlim_cur;
}

FACE struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *at, size_t bytes, int access);
FACE struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *at, size_t bytes, int access)
{
	struct nic *nic = NIC(pd->context);
	struct ibv_mr *mr;
	int i = 0;

	if ((access & IBV_ACCESS_REMOTE_WRITE) && !(access & IBV_ACCESS_LOCAL_WRITE)) {
		errno = EINVAL;
		return NULL;
	}
	pthread_mutex_lock(&nic->lock);
	while (i < MRS_MOST && nic->mrs[i])
		i++;
	if (i == MRS_MOST || !may_lock(nic, bytes)) {
		pthread_mutex_unlock(&nic->lock);
		errno = ENOMEM;
		return NULL;
	}
	mr = nic->mrs[i] = make(sizeof(*mr));
	*mr = (struct ibv_mr){ .context = pd->context, .pd = pd, .addr = at, .length = bytes };
	mr->lkey = nic->next_key++;
	/* the odd ones may be written to from outside */
	mr->rkey = mr->lkey << 1 | ((access & IBV_ACCESS_REMOTE_WRITE) != 0);
	nic->locked += bytes;
	nic->objects++;
	pthread_mutex_unlock(&nic->lock);
	return mr;
}

FACE int ibv_dereg_mr(struct ibv_mr *mr)
{
	struct nic *nic = NIC(mr->context);

	pthread_mutex_lock(&nic->lock);
	for (int i = 0; i < MRS_MOST; i++)
		if (nic->mrs[i] == mr)
			nic->mrs[i] = NULL;
	nic->locked -= mr->length;
	nic->objects--;
	pthread_mutex_unlock(&nic->lock);
	free(mr);
	return 0;
}

/* ---- completions --------------------------------------------------------------------------- */

FACE struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct channel *c = make(sizeof(*c));

	c->v.context = context;
	c->v.fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	pthread_mutex_init(&c->lock, NULL);
	hold(context, 1);
	return &c->v;
}

FACE int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct channel *c = (struct channel *)(void *)channel;

	hold(channel->context, -1);
	close(channel->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return 0;
}

FACE struct ibv_cq *ibv_create_cq(struct ibv_context *context, int room, void *own,
				  struct ibv_comp_channel *channel, int vector)
{
	struct queue *q = make(sizeof(*q));

	q->v.context = context;
	q->v.channel = channel;
	q->v.cq_context = own;
	q->v.cqe = q->room = room;
	q->ring = make(sizeof(*q->ring) * (size_t)room);
	(void)vector;
	pthread_mutex_init(&q->lock, NULL);
	hold(context, 1);
	return &q->v;
}

FACE int ibv_destroy_cq(struct ibv_cq *cq)
{
	struct queue *q = (struct queue *)(void *)cq;

	if (q->events != q->acked)
		double_die("a completion queue goes with %u events unacknowledged: a real one "
			   "would wait for ever",
			   q->events - q->acked);
	hold(cq->context, -1);
	pthread_mutex_destroy(&q->lock);
	free(q->ring);
	free(q);
	return 0;
}

FACE int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **own)
{
	struct channel *c = (struct channel *)(void *)channel;
	uint64_t one;

	if (read(channel->fd, &one, sizeof(one)) != sizeof(one))
		return -1;
	pthread_mutex_lock(&c->lock);
	*cq = c->events[0];
	memmove(c->events, c->events + 1, sizeof(*c->events) * (size_t)--c->count);
	pthread_mutex_unlock(&c->lock);
	*own = (*cq)->cq_context;
	((struct queue *)(void *)*cq)->events++;
	return 0;
}

FACE void ibv_ack_cq_events(struct ibv_cq *cq, unsigned count)
{
	((struct queue *)(void *)cq)->acked += count;
}

FACE const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	static char text[40];

	snprintf(text, sizeof(text), "completion status %d", (int)status);
	return text;
}

/* ---- queue pairs --------------------------------------------------------------------------- */

FACE struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct nic *nic = NIC(pd->context);
	struct queue_pair *qp;
	int i = 0;

	if (attr->qp_type != IBV_QPT_RC || attr->srq || attr->sq_sig_all)
		double_die("only plain queue pairs of type RC are played");
	if (attr->cap.max_inline_data > (unsigned)nic->device.rules.max_inline ||
	    attr->cap.max_inline_data > 256) {
		errno = EINVAL;
		return NULL;
	}
	qp = make(sizeof(*qp));
	qp->nic = nic;
	qp->cap = attr->cap;
	qp->v.context = pd->context;
	qp->v.pd = pd;
	qp->v.send_cq = attr->send_cq;
	qp->v.recv_cq = attr->recv_cq;
	qp->v.qp_type = attr->qp_type;
	qp->v.state = IBV_QPS_RESET;
	qp->sends = make(sizeof(*qp->sends) * qp->cap.max_send_wr);
	qp->offers = make(sizeof(*qp->offers) * qp->cap.max_recv_wr);
	qp_bind(qp);
	pthread_mutex_lock(&nic->lock);
	while (i < QPS_MOST && nic->qps[i])
		i++;
	if (i == QPS_MOST)
		double_die("more queue pairs than are played");
	nic->qps[i] = qp;
	nic->objects++;
	pthread_mutex_unlock(&nic->lock);
	nic_kick(nic);
	return &qp->v;
}

FACE int ibv_destroy_qp(struct ibv_qp *v)
{
	struct queue_pair *qp = (struct queue_pair *)(void *)v;
	struct nic *nic = qp->nic;

	pthread_mutex_lock(&nic->lock);
	for (int i = 0; i < QPS_MOST; i++)
		if (nic->qps[i] == qp)
			nic->qps[i] = NULL;
	nic->objects--;
	pthread_mutex_unlock(&nic->lock);
	close(qp->fd);
	free(qp->sends);
	free(qp->offers);
	free(qp);
	return 0;
}

/* InfiniBand Architecture Specification vol. 1, 10.3.1: what leads where, and what it must say. */
static const struct {
	enum ibv_qp_state from, to;
	int needs;
} moves[] = {
	{ IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS },
	{ IBV_QPS_INIT, IBV_QPS_RTR,
	  IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER },
	{ IBV_QPS_RTR, IBV_QPS_RTS,
	  IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
		  IBV_QP_MAX_QP_RD_ATOMIC },
};

static int move_allowed(enum ibv_qp_state from, enum ibv_qp_state to, int mask)
{
	if (to == IBV_QPS_RESET || to == IBV_QPS_ERR)
		return mask == IBV_QP_STATE;
	for (size_t i = 0; i < COUNT(moves); i++)
		if (moves[i].from == from && moves[i].to == to)
			return mask == (moves[i].needs | IBV_QP_STATE);
	return 0;
}

static void move(struct queue_pair *qp, const struct ibv_qp_attr *attr)
{
	qp->v.state = attr->qp_state;
	if (attr->qp_state == IBV_QPS_RESET) {
		qp->posted = qp->sent = qp->done = qp->offered = qp->taken = 0;
		qp->tries = qp->no_buffer = 0;
		qp->not_before = 0;
	} else if (attr->qp_state == IBV_QPS_RTR) {
		qp->attr.dest_qp_num = attr->dest_qp_num;
		qp->attr.ah_attr = attr->ah_attr;
		qp->expected = attr->rq_psn;
	} else if (attr->qp_state == IBV_QPS_RTS) {
		qp->attr.timeout = attr->timeout;
		qp->attr.retry_cnt = attr->retry_cnt;
		qp->attr.rnr_retry = attr->rnr_retry;
		qp->next_psn = attr->sq_psn;
	} else if (attr->qp_state == IBV_QPS_ERR) {
		qp_flush(qp);
	}
}

FACE int ibv_modify_qp(struct ibv_qp *v, struct ibv_qp_attr *attr, int mask)
{
	struct queue_pair *qp = (struct queue_pair *)(void *)v;
	int allowed;

	pthread_mutex_lock(&qp->nic->lock);
	allowed = move_allowed(v->state, attr->qp_state, mask);
	if (allowed)
		move(qp, attr);
	pthread_mutex_unlock(&qp->nic->lock);
	nic_kick(qp->nic);
	return allowed ? 0 : EINVAL;
}
