/* text.h - what the files that make the report on a terminal share. Private to them. */
#ifndef ASSAY_TEXT_H
#define ASSAY_TEXT_H

#include "reports/report.h"

/* Text in lines as wide as a terminal, all but the first indented. */
void text_wrap(struct text *out, const char *text, int indent);
void text_wrapf(struct text *out, int indent, const char *fmt, ...) PRINTF(3, 4);

/* Nothing is missing where there is nothing to measure. */
int text_is_absent(const struct finding *f);

/* The section of all figures. */
void text_figures(const struct report_input *in, struct text *out);

#endif
