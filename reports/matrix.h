/*
 * matrix.h - findings about pairs ("gpu0>gpu3"), laid out as a matrix. Private to reports/.
 *
 * People compare matrices with the pages of a guide or with yesterday's; a list of 56 lines nobody
 * reads.
 */
#ifndef ASSAY_MATRIX_H
#define ASSAY_MATRIX_H

#include "reports/report.h"

enum { MATRIX_MOST = 64 };

struct matrix {
	const char *node; /* lent, not ended by \0 at its slash: use node_len */
	int node_len;
	const struct finding *any; /* check, metric, unit and limit of all */
	struct matrix_names {
		char items[MATRIX_MOST][24];
		int count;
	} rows, columns; /* from, to */
	const struct finding
		*cells[MATRIX_MOST][MATRIX_MOST]; /* [row][column], NULL where there is none */
	double low, high;                         /* of the values off the diagonal */
};

/* Whether finding i is about a pair and shown in a matrix of at least two parts. */
int matrix_has(const struct judgement *j, int i);
/* If finding i is the first of its matrix: fills m and returns 1. The struct is large. */
int matrix_at(const struct judgement *j, int i, struct matrix *m);
/* "371.20", "HOLE", "-": what stands in a cell, without unit. */
void matrix_cell(const struct finding *f, char *out, size_t room);

#endif
