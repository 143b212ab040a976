/*
 * command.h - another program run to its end, with its output, within a time.
 */
#ifndef ASSAY_COMMAND_H
#define ASSAY_COMMAND_H

#include "harness/base/base.h"

/*
 * Runs argv without a shell and with an empty standard input. Its standard output goes into `out`
 * (NULL: nowhere), in lines of at most 1000 bytes. 0 when it left with 0 in time; else -1 with err,
 * which holds its last words.
 */
int command_run(const char *const *argv, double seconds, struct text *out, struct error *err);

#endif
