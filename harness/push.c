/* push.c - the lines of shell behind --push. */
#include "harness/push.h"

#include "harness/hash.h"

#include <stdlib.h>

enum { PROGRAM_MOST = 256 << 20 };

/*
 * Only what POSIX and coreutils or busybox have. `head -c` reads no byte too many from a pipe, so
 * what follows the program on standard input is left to the agent. A folder may be mounted noexec,
 * which a script of one line finds out before the program comes.
 */
const char push_script[] =
	"n=${4:-$SLURMD_NODENAME}\n"
	"sum() { sha256sum <\"$1\" 2>/dev/null | cut -d' ' -f1; }\n"
	"if [ -n \"$3\" ] && [ -x \"$3\" ] && [ \"$(sum \"$3\")\" = \"$2\" ]; then\n"
	"  exec \"$3\" agent --node \"$n\" --root \"$5\"\n"
	"fi\n"
	"umask 077\n"
	"for d in \"$XDG_RUNTIME_DIR\" /dev/shm /tmp /var/tmp \"$HOME\"; do\n"
	"  [ -n \"$d\" ] && f=$(mktemp \"$d/assay.XXXXXXXX\" 2>/dev/null) || continue\n"
	"  printf '#!/bin/sh\\n' >\"$f\" && chmod 700 \"$f\" && \"$f\" 2>/dev/null && break\n"
	"  rm -f \"$f\"\n"
	"  f=\n"
	"done\n"
	"[ -n \"$f\" ] || { echo 'no folder there can hold and run the program' >&2; exit 125; }\n"
	"trap 'rm -f \"$f\"' EXIT\n"
	"trap 'exit 125' HUP INT TERM\n"
	"echo '" PUSH_WORDS "'\n"
	"head -c \"$1\" >\"$f\"\n"
	"[ \"$(sum \"$f\")\" = \"$2\" ] || { echo 'the copy of the program is damaged' >&2; exit "
	"125; }\n"
	"trap - EXIT HUP INT TERM\n"
	"exec \"$f\" agent --node \"$n\" --root \"$5\" --pushed\n";

struct push *push_load(struct error *err)
{
	struct push *p = xcalloc(1, sizeof(*p));

	p->data = file_read("/proc/self/exe", PROGRAM_MOST, &p->len, err);
	if (!p->data) {
		free(p);
		error_prefix(err, "this program cannot be copied to nodes: ");
		return NULL;
	}
	p->sha256 = hash_text(p->data, p->len);
	return p;
}

void push_free(struct push *p)
{
	if (!p)
		return;
	free(p->data);
	free(p->sha256);
	free(p);
}
