/* library.c - the spec files that ship inside the program, so that one file is enough on a node. */
#include "harness/spec.h"

#include <string.h>

const struct library_file *library_find(const char *folder, const char *name)
{
	for (const struct library_file *f = library_files; f->name; f++)
		if (!strcmp(f->folder, folder) && !strcmp(f->name, name))
			return f;
	return NULL;
}
