/*
 * follow.h - a journal that someone else is writing, read as it grows.
 *
 * It never writes and never holds anything open between two looks: a network file system tells a
 * reader what is new when the file is opened, not while it stays open.
 */
#ifndef ASSAY_FOLLOW_H
#define ASSAY_FOLLOW_H

#include "harness/base/base.h"

/*
 * Whether someone holds the lock of the journal, which is whether a controller runs. Some network
 * file systems keep locks to each machine (Lustre with localflock, NFS with local_lock), so a free
 * one counts there only after it was seen held.
 */
enum journal_lock { LOCK_UNKNOWN, LOCK_FREE, LOCK_HELD };

struct follow {
	char *path;
	uint64_t device, inode;
	long long at;   /* behind the last whole line that was taken */
	double written; /* when the file was changed last, by its own clock */
	enum journal_lock lock;
	int was_held;
};

void follow_init(struct follow *f, const char *run);
void follow_release(struct follow *f);

enum follow_news { FOLLOW_FAILED = -1, FOLLOW_SAME, FOLLOW_GREW, FOLLOW_AGAIN };

/*
 * Hands over what came since the last look, whole lines at a time, and looks at the lock. `take`
 * gets bytes that end in a newline. A torn last line waits for its rest. FOLLOW_AGAIN: the file is
 * shorter than what was taken or another one; nothing was handed over, and the next look begins at
 * its start. FOLLOW_FAILED with err.
 */
enum follow_news follow_look(struct follow *f, void (*take)(void *arg, const char *data, size_t n),
			     void *arg, struct error *err);

#endif
