/*
 * yaml.h - YAML files as trees that remember where everything stood.
 *
 * Built on libyaml's document tree and copied out of it, so that trees of several files can be
 * merged
 * (`extends`) and every value still knows its own file, line and column for all later messages.
 */
#ifndef ASSAY_YAML_H
#define ASSAY_YAML_H

#include "harness/base/base.h"

struct place {
	const char *file; /* lent by the tree */
	int line, column; /* from 1 */
};

/* Messages for one or more files, many at once, one a line: "FILE:LINE:COL: error: TEXT". */
struct complaints {
	struct text text;
	int errors, warnings;
};

void complaints_init(struct complaints *c);
void complaints_release(struct complaints *c);
void complain(struct complaints *c, const struct place *at, const char *fmt, ...) PRINTF(3, 4);
void complain_warning(struct complaints *c, const struct place *at, const char *fmt, ...)
	PRINTF(3, 4);

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml {
	enum yaml_kind kind;
	struct place at;
	char *text;          /* of YAML_TEXT */
	int count;           /* items or entries */
	struct yaml **items; /* values, of lists and maps */
	char **keys;         /* of maps, each once */
	struct place *key_at;
	char **files; /* of a root: the file names that all places below it borrow */
	int file_count;
};

enum { YAML_FILE_MOST = 4 << 20 };

/*
 * One document from memory. name is what messages call the file. NULL when it is not YAML, is
 * empty, is nested deeper than 64, grows past 200000 nodes by aliases, or holds a key twice; the
 * reasons go to c.
 */
struct yaml *yaml_parse(const char *data, size_t len, const char *name, struct complaints *c);
/* The same from a file of at most YAML_FILE_MOST bytes. */
struct yaml *yaml_load(const char *path, struct complaints *c);
void yaml_delete(struct yaml *y);
/* The value of a key, or NULL (also when y is no map). */
struct yaml *yaml_get(const struct yaml *y, const char *key);
/*
 * Lays `over` upon `base`: maps key by key, everything else replaced. Both are eaten; returns the
 * result, whose places still point to the file that each value came from.
 */
struct yaml *yaml_merge(struct yaml *base, struct yaml *over);
/* Sets KEY of the map (or empty text) that stands at `name` in y to a text. y must have `name`. */
void yaml_set_text(struct yaml *y, const char *name, const char *key, const char *text);
/* Takes a key out of a map, if it is there. */
void yaml_drop(struct yaml *y, const char *key);
/* The tree as YAML text; the caller frees it. */
char *yaml_text(const struct yaml *y);

#endif
