/*
 * facts.h - how facts are handed over and small files are read. Private to kernels/.
 *
 * Paths in holes are those of the machine itself, without the folder of a recorded one, so that the
 * same machine gives the same words wherever its record lies.
 */
#ifndef ASSAY_FACTS_H
#define ASSAY_FACTS_H

#include "kernels/machine.h"

struct facts {
	struct machine *m;
	fact_fn *put;
	void *arg;
};

/* A formatted value. Blanks at both ends are cut, and what a terminal cannot show becomes '?'. */
void fact_put(const struct facts *f, const char *part, const char *key, const char *fmt, ...)
	PRINTF(4, 5);
/* Bytes as a text that quantity_parse gives back exactly. */
void fact_bytes(const struct facts *f, const char *part, const char *key, uint64_t bytes);
/* A hole in words. */
void fact_hole(const struct facts *f, const char *part, const char *key, const char *fmt, ...)
	PRINTF(4, 5);
/* A hole because a file could not be read, `code` being the errno of it. */
void fact_unread(const struct facts *f, const char *part, const char *key, int code,
		 const char *path);
/* The first line of a file as value, or the hole of it. */
void fact_file(const struct facts *f, const char *part, const char *key, const char *path);

/* The whole text of a small file, or NULL with errno; the caller frees it. */
char *machine_text(const struct machine *m, const char *path, size_t *len);
/* Where the line after this one begins, or NULL. */
const char *next_line(const char *line);
/*
 * What follows "name", blanks and a colon at the start of a line of `text`, to the end of that
 * line. NULL if there is no such line; the caller frees it.
 */
char *field_of(const char *text, const char *name);

#endif
