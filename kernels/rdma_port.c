/*
 * rdma_port.c - the port behind a NIC's name: is it up, by which address is it met, what counts it.
 *
 * Counters are files of the whole port: what others send and lose through it at the same time is in
 * them too.
 */
#include "kernels/pci.h"
#include "kernels/rdma.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#define PORT_FILES "/sys/class/infiniband/%s/ports/%d"

/* ---- which device -------------------------------------------------------------------------- */

static int numa_of(const struct machine *m, const char *address)
{
	char *line = machine_line(m, PCI_DEVICES "/%s/numa_node", address);
	int numa = line && *line != '-' ? atoi(line) : -1;

	free(line);
	return numa;
}

static int device_of(struct machine *m, const struct pci_part *part, struct rdma_port *port,
		     struct error *err)
{
	struct nic_names names;
	int rc = 0;

	nic_names_read(m, part->address, &names);
	if (!names.rdma)
		rc = error_set(err, "no RDMA device of %s: no driver made one of %s%s%s%s",
			       port->nic, part->address, names.netdev ? " (" : "",
			       names.netdev ? names.netdev : "", names.netdev ? ")" : "");
	else if (strlen(names.rdma) >= sizeof(port->device) ||
		 (names.netdev && strlen(names.netdev) >= sizeof(port->netdev)))
		rc = error_set(err, "the name of the RDMA device of %s is too long", port->nic);
	if (rc == 0) {
		snprintf(port->device, sizeof(port->device), "%.63s", names.rdma);
		snprintf(port->netdev, sizeof(port->netdev), "%.63s",
			 names.netdev ? names.netdev : "");
		port->is_soft = names.is_soft;
	}
	nic_names_release(&names);
	return rc;
}

int rdma_port_find(struct machine *m, const char *nic, struct rdma_port *port, struct error *err)
{
	const struct pci_part *part = NULL;
	struct pci_parts parts;
	int count = 0, rc;

	*port = (struct rdma_port){ .number = 1 };
	snprintf(port->nic, sizeof(port->nic), "%s", nic);
	rc = pci_parts_list(m, &parts, err);
	for (int i = 0; rc == 0 && i < parts.count; i++) {
		count += parts.items[i].kind == PART_NIC;
		if (parts.items[i].kind == PART_NIC && !strcmp(parts.items[i].name, nic))
			part = &parts.items[i];
	}
	if (rc == 0 && !part)
		rc = error_set(err, "there is no %s: this node shows %d NICs", port->nic, count);
	if (rc == 0)
		rc = device_of(m, part, port, err);
	if (rc == 0)
		port->numa = numa_of(m, part->address);
	pci_parts_release(&parts);
	return rc;
}

/* ---- its state ----------------------------------------------------------------------------- */

/* The kernel's words for PortInfo's numbers: drivers/infiniband/core/sysfs.c. */
static const char *const states[] = { "NOP", "DOWN", "INIT", "ARMED", "ACTIVE", "ACTIVE_DEFER" };
static const char *const physical[] = {
	"",
	"Sleep",
	"Polling",
	"Disabled",
	"PortConfigurationTraining",
	"LinkUp",
	"LinkErrorRecovery",
	"Phy Test",
};

static const char *word_of(const char *const *words, size_t count, unsigned number)
{
	return number < count && *words[number] ? words[number] : "unknown";
}

static int port_query(const struct verbs *v, struct ibv_context *context,
		      const struct rdma_port *port, struct ibv_port_attr *attr)
{
	/* the older layout is the first part of the newer one */
	memset(attr, 0, sizeof(*attr));
	return v->query_port(context, (uint8_t)port->number, (void *)attr);
}

static int state_refuse(const struct rdma_port *port, const struct ibv_port_attr *attr,
			struct error *err)
{
	return error_set(err, "port %d of %s is %s (%s)", port->number, port->device,
			 word_of(states, ARRAY_SIZE(states), attr->state),
			 word_of(physical, ARRAY_SIZE(physical), attr->phys_state));
}

int rdma_blame_port(const struct rdma *r, struct error *err)
{
	struct ibv_port_attr attr;
	struct error down;

	if (port_query(r->verbs, r->context, &r->port, &attr) == 0 &&
	    attr.state != IBV_PORT_ACTIVE) {
		state_refuse(&r->port, &attr, &down);
		snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text),
			 "; %.100s", down.text);
	}
	return -1;
}

/* ---- its address --------------------------------------------------------------------------- */

static int is_v2(struct machine *m, const struct rdma_port *port, int index)
{
	char *type = machine_line(m, PORT_FILES "/gid_attrs/types/%d", port->device, port->number,
				  index);
	int yes = type && !strcmp(type, "RoCE v2");

	free(type);
	return yes;
}

/* 0: of no use. An address that was given beats one that was made up from the MAC. */
static int rank_of(const union ibv_gid *gid)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const union ibv_gid none;

	if (!memcmp(gid, &none, sizeof(none)))
		return 0;
	if (!memcmp(gid->raw, mapped, sizeof(mapped)))
		return 3;
	return gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80 ? 1 : 2;
}

/* RoCE v2 alone: version 1 does not pass routers, and is off in most fabrics. */
static int gid_choose(const struct verbs *v, struct machine *m, struct ibv_context *context,
		      struct rdma_port *port, int count, struct error *err)
{
	int best = 0;

	for (int i = 0; i < count; i++) {
		union ibv_gid gid;
		int rank;

		if (v->query_gid(context, (uint8_t)port->number, i, &gid) < 0)
			continue;
		rank = rank_of(&gid);
		if (rank <= best || !is_v2(m, port, i))
			continue;
		best = rank;
		port->gid = gid;
		port->gid_index = i;
	}
	if (best)
		return 0;
	return error_set(err,
			 "port %d of %s has no address for RoCE v2: none of its %d GIDs is one "
			 "(is its interface%s%s up, with an IP address?)",
			 port->number, port->device, count, *port->netdev ? " " : "", port->netdev);
}

int rdma_port_look(const struct verbs *v, struct machine *m, struct ibv_context *context,
		   struct rdma_port *port, struct error *err)
{
	struct ibv_port_attr attr;
	int code = port_query(v, context, port, &attr);

	if (code) {
		errno = code;
		return error_sys(err, "port %d of %s cannot be asked", port->number, port->device);
	}
	if (attr.state != IBV_PORT_ACTIVE)
		return state_refuse(port, &attr, err);
	port->mtu = attr.active_mtu;
	port->lid = attr.lid;
	port->is_ethernet = attr.link_layer == IBV_LINK_LAYER_ETHERNET;
	if (port->is_ethernet)
		return gid_choose(v, m, context, port, attr.gid_tbl_len, err);
	port->needs_grh = (attr.flags & IBV_QPF_GRH_REQUIRED) != 0;
	if (!port->lid && !port->needs_grh)
		return error_set(err, "port %d of %s has no LID: does a subnet manager run?",
				 port->number, port->device);
	if (v->query_gid(context, (uint8_t)port->number, 0, &port->gid) < 0)
		return error_set(err, "port %d of %s tells no GID", port->number, port->device);
	return 0;
}

/* ---- its counters -------------------------------------------------------------------------- */

static double number_in(char *line)
{
	double value = line ? strtod(line, NULL) : -1;

	free(line);
	return value;
}

void rdma_counter_name(const struct rdma_port *port, char out[32])
{
	if (port->is_soft)
		snprintf(out, 32, "%.31s", port->netdev);
	else
		snprintf(out, 32, "%.18s port %d", port->device, port->number);
}

/*
 * PortXmitData counts words of 32 bits (InfiniBand Architecture Specification vol. 1, 16.1.3.5).
 * Soft-RoCE has no such counter, but all of it goes through one interface.
 */
double rdma_counter(struct machine *m, const struct rdma_port *port)
{
	double words;

	if (port->is_soft)
		return number_in(
			machine_line(m, "/sys/class/net/%s/statistics/tx_bytes", port->netdev));
	words = number_in(
		machine_line(m, PORT_FILES "/counters/port_xmit_data", port->device, port->number));
	return words < 0 ? -1 : words * 4;
}

/* Each of these stands for packets that had to be sent again by this end. */
static const char *const retransmit_counters[] = {
	/* mlx5: Documentation of mlx5 hw_counters; linux drivers/infiniband/hw/mlx5/counters.c */
	"local_ack_timeout_err", /* an acknowledgement did not come in time */
	"packet_seq_err",        /* the other end missed packets and said so */
	"rnr_nak_retry_err",     /* the other end had no buffer */
	"implied_nak_seq_err",   /* an acknowledgement told of a gap */
	"roce_adp_retrans",      /* adaptive retransmission, RoCE */
	/* bnxt_re: linux drivers/infiniband/hw/bnxt_re/hw_counters.c */
	"to_retransmits",
	"seq_err_naks_rcvd",
	"rnr_naks_rcvd",
	/* soft-RoCE: linux drivers/infiniband/sw/rxe/rxe_comp.c counts here each time it begins to
	 * send again, for whatever reason; its rcvd_seq_err is among them */
	"completer_retry_err",
};

double rdma_retransmits(struct machine *m, const struct rdma_port *port)
{
	double sum = -1;

	for (size_t i = 0; i < ARRAY_SIZE(retransmit_counters); i++) {
		double value = number_in(machine_line(m, PORT_FILES "/hw_counters/%s", port->device,
						      port->number, retransmit_counters[i]));

		if (value >= 0)
			sum = (sum < 0 ? 0 : sum) + value;
	}
	return sum;
}
