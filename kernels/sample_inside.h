/* sample_inside.h - what sample.c and sample_file.c share about a source. Nobody else's. */
#ifndef ASSAY_SAMPLE_INSIDE_H
#define ASSAY_SAMPLE_INSIDE_H

#include "kernels/sample.h"

struct told {
	char part[SERIES_PART_ROOM], what[24], text[300];
};

void source_read_files(struct source *s); /* those that are due */
void source_release(struct source *s);    /* all but the struct itself */

#endif
