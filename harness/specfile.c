/*
 * specfile.c - files and library entries into one tree, with everything they extend.
 */
#include "harness/spec.h"

#include <stdlib.h>
#include <string.h>

enum { EXTENDS_MOST = 16, FILES_MOST = 64 };

static struct yaml *load_named(const char *folder, const char *name, struct complaints *c)
{
	size_t n = strlen(name);
	const struct library_file *f = library_find(folder, name);
	struct place top = { name, 0, 0 };
	struct yaml *y;
	char *label;

	if (strchr(name, '/') || (n > 5 && !strcmp(name + n - 5, ".yaml")))
		return yaml_load(name, c);
	if (!f && !strcmp(folder, "systems"))
		f = library_find("parts", name);
	if (!f) {
		complain(c, &top,
			 "no file (that needs a '/' or '.yaml') and no name in the library; "
			 "`assay spec list` shows the names");
		return NULL;
	}
	label = xasprintf("%s/%s.yaml", f->folder, name);
	y = yaml_parse(f->text, strlen(f->text), label, c);
	free(label);
	return y;
}

/* A name in `extends` that is a file is looked for beside the file that extends it. */
static char *beside(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');
	size_t n = strlen(name);

	if (name[0] == '/' || !slash || !(n > 5 && !strcmp(name + n - 5, ".yaml")))
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - file), file, name);
}

/* Files that extend files: how deep, and how many in all, for a circle need not be a line. */
struct chain {
	const char *folder;
	struct complaints *c;
	int depth, files;
};

static int is_endless(const struct chain *chain)
{
	return chain->depth == EXTENDS_MOST || chain->files > FILES_MOST;
}

static struct yaml *load_chain(struct chain *chain, const char *name);

/* One name of `extends`, laid over what came before it; NULL (base freed) when it fails. */
static struct yaml *load_base(struct chain *chain, const struct yaml *up, struct yaml *base)
{
	struct yaml *y = NULL;
	char *name;

	if (up->kind != YAML_TEXT || is_endless(chain)) {
		complain(chain->c, &up->at,
			 chain->depth == EXTENDS_MOST
				 ? "more than 16 files extend each other: a circle?"
			 : up->kind == YAML_TEXT ? "more than 64 files extend each other"
						 : "extends takes a name or a list of names");
	} else {
		name = beside(up->at.file, up->text);
		chain->depth++;
		y = load_chain(chain, name);
		chain->depth--;
		free(name);
	}
	if (y && y->kind != YAML_MAP) {
		complain(chain->c, &y->at, "only a map can be extended");
		yaml_delete(y);
		y = NULL;
	}
	if (!y)
		yaml_delete(base);
	return y && base ? yaml_merge(base, y) : y;
}

static struct yaml *load_chain(struct chain *chain, const char *name)
{
	struct yaml *y = load_named(chain->folder, name, chain->c), *up, *base = NULL;
	int many;

	chain->files++;
	if (!y || !(up = yaml_get(y, "extends")))
		return y;
	many = up->kind == YAML_LIST;
	if (many && up->count == 0)
		complain(chain->c, &up->at, "extends names nothing");
	for (int i = 0; i < (many ? up->count : 1); i++) {
		base = load_base(chain, many ? up->items[i] : up, base);
		if (!base)
			break;
	}
	if (!base) {
		yaml_delete(y);
		return NULL;
	}
	yaml_drop(y, "extends");
	return yaml_merge(base, y);
}

struct yaml *spec_load_tree(const char *folder, const char *name, struct complaints *c)
{
	struct chain chain = { .folder = folder, .c = c };

	return load_chain(&chain, name);
}
