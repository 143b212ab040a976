/*
 * yaml.c - libyaml documents copied into trees with places.
 *
 * libyaml lets a document hold the same key twice, lets aliases nest into each other (a few hundred
 * bytes that unfold to gigabytes), and lets an anchor contain itself. All three are refused while
 * copying.
 */
#include "harness/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { DEPTH_MOST = 64, NODES_MOST = 200000, KEYS_MOST = 4096, COMPLAINTS_MOST = 40 };

void complaints_init(struct complaints *c)
{
	*c = (struct complaints){ 0 };
	text_init(&c->text);
}

void complaints_release(struct complaints *c)
{
	text_release(&c->text);
}

static void complain_as(struct complaints *c, const struct place *at, const char *word,
			const char *fmt, va_list args)
{
	char text[1024];

	if (c->errors + c->warnings == COMPLAINTS_MOST)
		text_add(&c->text, "... more of the same is not shown\n");
	if (c->errors + c->warnings >= COMPLAINTS_MOST)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	if (at && at->line)
		text_addf(&c->text, "%s:%d:%d: %s: ", at->file, at->line, at->column, word);
	else
		text_addf(&c->text, "%s: %s: ", at ? at->file : "assay", word);
	text_add_printable(&c->text, text);
	text_add(&c->text, "\n");
}

void complain(struct complaints *c, const struct place *at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_as(c, at, "error", fmt, args);
	va_end(args);
	c->errors++;
}

void complain_warning(struct complaints *c, const struct place *at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_as(c, at, "warning", fmt, args);
	va_end(args);
	c->warnings++;
}

struct copying {
	yaml_document_t *doc;
	const char *file;
	struct complaints *c;
	int nodes;
};

static struct place place_of(const struct copying *k, const yaml_mark_t *mark)
{
	return (struct place){ k->file, (int)mark->line + 1, (int)mark->column + 1 };
}

static struct yaml *copy(struct copying *k, int id, int depth);

static void add_item(struct yaml *y, struct yaml *item)
{
	y->items = grow(y->items, (size_t)y->count, sizeof(*y->items));
	y->items[y->count] = item;
}

static int copy_list(struct copying *k, struct yaml *y, const yaml_node_t *n, int depth)
{
	yaml_node_item_t *i = n->data.sequence.items.start;

	for (; i < n->data.sequence.items.top; i++) {
		struct yaml *item = copy(k, *i, depth + 1);

		if (!item)
			return -1;
		add_item(y, item);
		y->count++;
	}
	return 0;
}

/* Texts reach terminals; only line ends and tabs may be in them. */
static int has_control(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++)
		if ((*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f ||
		    (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
			return 1;
	return 0;
}

static int copy_entry(struct copying *k, struct yaml *y, const yaml_node_pair_t *p, int depth)
{
	const yaml_node_t *key = yaml_document_get_node(k->doc, p->key);
	struct place at = place_of(k, &key->start_mark);
	const char *text = (const char *)key->data.scalar.value;
	struct yaml *value;

	if (key->type != YAML_SCALAR_NODE || strlen(text) != key->data.scalar.length ||
	    has_control(text) || strpbrk(text, "\n\t")) {
		complain(k->c, &at, "a key must be a plain word");
		return -1;
	}
	if (y->count == KEYS_MOST) {
		complain(k->c, &at, "a map of more than 4096 keys");
		return -1;
	}
	if (yaml_get(y, text)) {
		complain(k->c, &at, "key '%s' stands here a second time", text);
		return -1;
	}
	value = copy(k, p->value, depth + 1);
	if (!value)
		return -1;
	add_item(y, value);
	y->keys = grow(y->keys, (size_t)y->count, sizeof(*y->keys));
	y->key_at = grow(y->key_at, (size_t)y->count, sizeof(*y->key_at));
	y->keys[y->count] = xstrdup(text);
	y->key_at[y->count++] = at;
	return 0;
}

static int copy_map(struct copying *k, struct yaml *y, const yaml_node_t *n, int depth)
{
	yaml_node_pair_t *p = n->data.mapping.pairs.start;

	for (; p < n->data.mapping.pairs.top; p++)
		if (copy_entry(k, y, p, depth) < 0)
			return -1;
	return 0;
}

static int copy_text(struct copying *k, struct yaml *y, const yaml_node_t *n)
{
	const char *text = (const char *)n->data.scalar.value;

	if (strlen(text) != n->data.scalar.length) {
		complain(k->c, &y->at, "a text holds a zero byte");
		return -1;
	}
	if (has_control(text)) {
		complain(k->c, &y->at, "a text holds a control character");
		return -1;
	}
	y->text = xstrdup(text);
	return 0;
}

static struct yaml *copy(struct copying *k, int id, int depth)
{
	const yaml_node_t *n = yaml_document_get_node(k->doc, id);
	struct yaml *y;
	int rc;

	if (depth > DEPTH_MOST || ++k->nodes > NODES_MOST) {
		struct place at = place_of(k, &n->start_mark);

		complain(k->c, &at,
			 depth > DEPTH_MOST
				 ? "nested deeper than 64 levels, or an alias that contains itself"
				 : "aliases unfold this file to more than 200000 values");
		return NULL;
	}
	y = xcalloc(1, sizeof(*y));
	y->at = place_of(k, &n->start_mark);
	y->kind = n->type == YAML_MAPPING_NODE    ? YAML_MAP
		  : n->type == YAML_SEQUENCE_NODE ? YAML_LIST
						  : YAML_TEXT;
	rc = y->kind == YAML_MAP    ? copy_map(k, y, n, depth)
	     : y->kind == YAML_LIST ? copy_list(k, y, n, depth)
				    : copy_text(k, y, n);
	if (rc == 0)
		return y;
	yaml_delete(y);
	return NULL;
}

static void complain_parser(struct complaints *c, const yaml_parser_t *p, const char *file)
{
	struct place at = { file, (int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1 };

	if (p->error == YAML_READER_ERROR)
		at = (struct place){ file, 0, 0 };
	complain(c, &at, "not YAML: %s%s%s", p->problem ? p->problem : "unreadable",
		 p->context ? ", " : "", p->context ? p->context : "");
}

static void keep_file(struct yaml *root, char *file)
{
	root->files = grow(root->files, (size_t)root->file_count, sizeof(*root->files));
	root->files[root->file_count++] = file;
}

/* How an event changes the depth. */
static int deepens(yaml_event_type_t type)
{
	return (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) -
	       (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT);
}

/*
 * A first look, event by event: loading a document takes libyaml a time that grows with the square
 * of its depth, and what follows the first document would be dropped without a word.
 */
static int scan(const char *data, size_t len, const char *name, struct complaints *c)
{
	int depth = 0, documents = 0, errors = c->errors;
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_parser_t parser;
	yaml_event_t event;

	if (!yaml_parser_initialize(&parser))
		BUG("libyaml does not start");
	yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
	while (type != YAML_STREAM_END_EVENT && c->errors == errors) {
		struct place at = { name, 0, 0 };

		if (!yaml_parser_parse(&parser, &event)) {
			complain_parser(c, &parser, name);
			break;
		}
		type = event.type;
		depth += deepens(type);
		at.line = (int)event.start_mark.line + 1;
		at.column = (int)event.start_mark.column + 1;
		if (depth > DEPTH_MOST)
			complain(c, &at, "nested deeper than 64 levels");
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			complain(c, &at, "a second document in one file");
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return c->errors == errors ? 0 : -1;
}

struct yaml *yaml_parse(const char *data, size_t len, const char *name, struct complaints *c)
{
	char *file = xstrdup(name);
	struct copying k = { .file = file, .c = c };
	struct place top = { name, 0, 0 };
	struct yaml *y = NULL;
	yaml_document_t doc;
	yaml_parser_t parser;

	if (scan(data, len, name, c) < 0) {
		free(file);
		return NULL;
	}
	if (!yaml_parser_initialize(&parser))
		BUG("libyaml does not start");
	yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
	if (!yaml_parser_load(&parser, &doc)) {
		complain_parser(c, &parser, name);
	} else {
		k.doc = &doc;
		if (yaml_document_get_root_node(&doc))
			y = copy(&k, 1, 0);
		else
			complain(c, &top, "the file is empty");
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	if (y)
		keep_file(y, file);
	else
		free(file);
	return y;
}

struct yaml *yaml_load(const char *path, struct complaints *c)
{
	struct place top = { path, 0, 0 };
	struct error err;
	struct yaml *y;
	size_t len;
	char *data = file_read(path, YAML_FILE_MOST, &len, &err);

	if (!data) {
		complain(c, &top, "%s", err.text);
		return NULL;
	}
	y = yaml_parse(data, len, path, c);
	free(data);
	return y;
}

void yaml_delete(struct yaml *y)
{
	if (!y)
		return;
	for (int i = 0; i < y->count; i++) {
		yaml_delete(y->items[i]);
		if (y->keys)
			free(y->keys[i]);
	}
	free(y->items);
	free(y->keys);
	free(y->key_at);
	free(y->text);
	for (int i = 0; i < y->file_count; i++)
		free(y->files[i]);
	free(y->files);
	free(y);
}

static int find(const struct yaml *y, const char *key)
{
	for (int i = 0; y && y->kind == YAML_MAP && i < y->count; i++)
		if (!strcmp(y->keys[i], key))
			return i;
	return -1;
}

struct yaml *yaml_get(const struct yaml *y, const char *key)
{
	int i = find(y, key);

	return i < 0 ? NULL : y->items[i];
}

void yaml_drop(struct yaml *y, const char *key)
{
	int i = find(y, key);

	if (i < 0)
		return;
	yaml_delete(y->items[i]);
	free(y->keys[i]);
	y->count--;
	for (; i < y->count; i++) {
		y->items[i] = y->items[i + 1];
		y->keys[i] = y->keys[i + 1];
		y->key_at[i] = y->key_at[i + 1];
	}
}

/* Keys of which a map takes one only: one in the upper layer puts out those below. */
static void drop_alternatives(struct yaml *base, const struct yaml *over)
{
	static const char *const keys[] = { "at_least", "at_most", "exactly" };
	int any = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		any |= find(over, keys[i]) >= 0;
	for (size_t i = 0; any && i < ARRAY_SIZE(keys); i++)
		yaml_drop(base, keys[i]);
}

struct yaml *yaml_merge(struct yaml *base, struct yaml *over)
{
	if (base->kind != YAML_MAP || over->kind != YAML_MAP) {
		yaml_delete(base);
		return over;
	}
	drop_alternatives(base, over);
	for (int i = 0; i < base->count; i++) {
		int at = find(over, base->keys[i]);

		if (at >= 0) {
			over->items[at] = yaml_merge(base->items[i], over->items[at]);
			free(base->keys[i]);
			continue;
		}
		add_item(over, base->items[i]);
		over->keys = grow(over->keys, (size_t)over->count, sizeof(*over->keys));
		over->key_at = grow(over->key_at, (size_t)over->count, sizeof(*over->key_at));
		over->keys[over->count] = base->keys[i];
		over->key_at[over->count++] = base->key_at[i];
	}
	for (int i = 0; i < base->file_count; i++)
		keep_file(over, base->files[i]);
	base->count = base->file_count = 0;
	yaml_delete(base);
	return over;
}

void yaml_set_text(struct yaml *y, const char *name, const char *key, const char *text)
{
	struct yaml *map = yaml_get(y, name), *value = xcalloc(1, sizeof(*value));
	int i;

	if (!map)
		BUG("no '%s' to set '%s' in", name, key);
	if (map->kind == YAML_TEXT) { /* "settings:" with nothing behind it */
		free(map->text);
		map->text = NULL;
		map->kind = YAML_MAP;
	}
	value->kind = YAML_TEXT;
	value->at = (struct place){ "--set", 0, 0 };
	value->text = xstrdup(text);
	i = find(map, key);
	if (i >= 0) {
		yaml_delete(map->items[i]);
		map->items[i] = value;
		return;
	}
	add_item(map, value);
	map->keys = grow(map->keys, (size_t)map->count, sizeof(*map->keys));
	map->key_at = grow(map->key_at, (size_t)map->count, sizeof(*map->key_at));
	map->keys[map->count] = xstrdup(key);
	map->key_at[map->count++] = value->at;
}

/* ---- writing ---- */

static int emit(yaml_emitter_t *e, const struct yaml *y);

static int emit_text(yaml_emitter_t *e, const char *text)
{
	yaml_event_t event;
	const yaml_char_t *s = (const yaml_char_t *)text;

	return yaml_scalar_event_initialize(&event, NULL, NULL, s, (int)strlen(text), 1, 1,
					    YAML_ANY_SCALAR_STYLE) &&
	       yaml_emitter_emit(e, &event);
}

static int emit_list(yaml_emitter_t *e, const struct yaml *y)
{
	yaml_event_t event;

	if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						  YAML_BLOCK_SEQUENCE_STYLE) ||
	    !yaml_emitter_emit(e, &event))
		return 0;
	for (int i = 0; i < y->count; i++)
		if (!emit(e, y->items[i]))
			return 0;
	return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static int emit_map(yaml_emitter_t *e, const struct yaml *y)
{
	yaml_event_t event;

	if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
	    !yaml_emitter_emit(e, &event))
		return 0;
	for (int i = 0; i < y->count; i++)
		if (!emit_text(e, y->keys[i]) || !emit(e, y->items[i]))
			return 0;
	return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static int emit(yaml_emitter_t *e, const struct yaml *y)
{
	return y->kind == YAML_MAP    ? emit_map(e, y)
	       : y->kind == YAML_LIST ? emit_list(e, y)
				      : emit_text(e, y->text);
}

static int put(void *arg, unsigned char *data, size_t len)
{
	text_put(arg, (const char *)data, len);
	return 1;
}

char *yaml_text(const struct yaml *y)
{
	struct text out;
	yaml_emitter_t e;
	yaml_event_t event;
	int ok;

	text_init(&out);
	if (!yaml_emitter_initialize(&e))
		BUG("libyaml does not start");
	yaml_emitter_set_output(&e, put, &out);
	yaml_emitter_set_width(&e, 100);
	yaml_emitter_set_unicode(&e, 1);
	ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
	     yaml_emitter_emit(&e, &event) &&
	     yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
	     yaml_emitter_emit(&e, &event) && emit(&e, y) &&
	     yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(&e, &event) &&
	     yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&e, &event);
	yaml_emitter_delete(&e);
	if (!ok)
		BUG("libyaml cannot write what it has read");
	return text_detach(&out);
}
