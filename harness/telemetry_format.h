/*
 * telemetry_format.h - how telemetry is packed: what telemetry_store.c writes and telemetry_block.c
 * reads. Nobody else's.
 *
 * A block holds up to an hour, a column for each series, and is deflated as a whole; it needs no
 * other block, so that a reader takes out the one it wants. Columns of one quantity stand side by
 * side, because the packer finds their likeness then. A column is tokens, variable-length integers
 * of seven bits a byte:
 *
 *   0 n   the next n rows are as predicted
 *   1 n   were not read in n rows
 *   2 n   did not answer in n rows
 *   z     z - 2 is the zigzag code of what the row differs from its prediction
 *
 * First come the first bytes of all of them, then the second bytes of those that have one, and so
 * on: noise fills the first bytes and leaves the others nearly alike, which packs better apart.
 * A value is predicted to be the one before it, a flow to grow as much as it did last.
 */
#ifndef ASSAY_TELEMETRY_FORMAT_H
#define ASSAY_TELEMETRY_FORMAT_H

#include "harness/telemetry.h"

enum {
	BLOCK_ROWS = 3600,
	BLOCK_HEAD = 36,
	VARINT_MOST = 10,
};

#define BLOCK_MAGIC "ATB1"

enum token { SAME = 0, UNREAD = 1, SILENT = 2, OFFSET = 2 };

/* Beyond this a double is no whole number any more. */
#define WHOLE_MOST 9007199254740992.0

#endif
