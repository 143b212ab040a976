/*
 * pci.h - the PCI devices that are parts of a node: GPUs, NICs and what disks hang on. Private to
 * kernels/.
 */
#ifndef ASSAY_PCI_H
#define ASSAY_PCI_H

#include "harness/base/parts.h"
#include "kernels/facts.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

/* A part and its PCI device; `address` is empty for a disk that hangs on none. */
struct pci_part {
	enum part_kind kind;
	int number;
	char name[24];    /* "gpu3" */
	char address[16]; /* "0000:1b:00.0" */
	unsigned vendor, device;
	int rank; /* among its kind, before the address counts */
};

struct pci_parts {
	struct pci_part *items;
	int count;
};

/*
 * GPUs (NVIDIA's 3D controllers first, display adapters last), NICs, both by address and
 * without virtual functions, and disks (as in struct host). To be
 * released in any case. 0 or -1.
 */
int pci_parts_list(struct machine *m, struct pci_parts *parts, struct error *err);
void pci_parts_release(struct pci_parts *parts);

/* The link between a part and the port above it; for the maxima, what both can do. */
void pci_link_read(const struct machine *m, const struct pci_part *part, struct pcie_link *link);

/* devices.c: the facts of all these parts. 0 or -1. */
int pci_facts(const struct facts *f, struct error *err);

/* What the drivers call a NIC; NULL where there is no such device. */
struct nic_names {
	char *netdev; /* "ib3" */
	char *rdma;   /* "mlx5_3" */
	int is_soft;  /* the RDMA device is soft-RoCE over the interface */
};

/* devices.c: to be released in any case. */
void nic_names_read(const struct machine *m, const char *address, struct nic_names *names);
void nic_names_release(struct nic_names *names);

/*
 * Where PCIe bridges redirect peer-to-peer traffic by ACS: "off", "on: 0000:15:00.0,...", or
 * "absent" where there is no bridge. The caller frees *value. 0 or -1.
 */
int pci_acs(struct machine *m, char **value, struct error *err);

/*
 * Finds a keyword ("SN") in the read-only part of vital product data as PCI Local Bus 3.0 appendix
 * I lays it out. Never reads outside [data, data + len). 0, or -1 if it is not there.
 */
int vpd_find(const unsigned char *data, size_t len, const char *keyword, char *out, size_t room);

#endif
