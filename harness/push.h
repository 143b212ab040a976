/*
 * push.h - brings this program to nodes that lack it.
 *
 * A launcher's command runs a few lines of shell on the node first. They start a program that is
 * there and has our checksum; else they say PUSH_WORDS, read the program from standard input into
 * the first folder that lets them write and run, check it, and start it from there. That agent
 * removes its file as soon as it runs, so nothing is left on the node however the run ends.
 */
#ifndef ASSAY_PUSH_H
#define ASSAY_PUSH_H

#include "harness/base/base.h"

#define PUSH_WORDS "assay-push: send it"

struct push {
	char *data; /* this program */
	size_t len;
	char *sha256;
};

/* NULL with err when this program's own file cannot be read. */
struct push *push_load(struct error *err);
void push_free(struct push *p);

/*
 * For `sh -c`: $1 bytes and $2 checksum of the program, $3 where it may be already ("": nowhere),
 * $4 node ("": as Slurm calls it), $5 root.
 */
extern const char push_script[];

#endif
