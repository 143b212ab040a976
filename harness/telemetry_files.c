/*
 * telemetry_files.c - RUN/telemetry/, written by the controller.
 *
 * Lines are appended as they came. What a node kept in full comes in pieces, is put together beside
 * and joins NODE.full only when it is whole and every block in it can be read: a node that sends
 * nonsense, or dies half way, leaves what an earlier part of the run left there.
 */
#include "harness/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELD_MOST = 64 * 1024 };

struct node_files {
	char *name;
	json_int_t next;     /* piece */
	size_t lines, parts; /* bytes of NODE.jsonl and of NODE.part */
	struct text held;    /* pieces that are not written yet: a file is opened seldom */
	int is_complete, lines_said, full_said;
};

struct telemetry_files {
	char *folder;
	json_t *index; /* of nodes, by name */
	struct node_files *nodes;
	int count;
};

struct telemetry_files *telemetry_files_open(const char *run, struct error *err)
{
	struct telemetry_files *f;
	char *folder = xasprintf("%s/telemetry", run);

	if (mkdir(folder, 0777) < 0 && errno != EEXIST) {
		error_sys(err, "cannot make %s", folder);
		free(folder);
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	f->folder = folder;
	f->index = json_object();
	return f;
}

void telemetry_files_close(struct telemetry_files *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->count; i++) {
		text_release(&f->nodes[i].held);
		free(f->nodes[i].name);
	}
	free(f->nodes);
	json_decref(f->index);
	free(f->folder);
	free(f);
}

static char *path_of(const struct telemetry_files *f, const char *node, const char *suffix)
{
	return xasprintf("%s/%s.%s", f->folder, node, suffix);
}

static size_t size_of(const struct telemetry_files *f, const char *node, const char *suffix)
{
	char *path = path_of(f, node, suffix);
	struct stat st;
	size_t size = stat(path, &st) == 0 ? (size_t)st.st_size : 0;

	free(path);
	return size;
}

static struct node_files *node_of(struct telemetry_files *f, const char *name)
{
	json_t *found = json_object_get(f->index, name);
	struct node_files *n;

	if (found)
		return &f->nodes[json_integer_value(found)];
	json_object_set_new(f->index, name, json_integer(f->count));
	f->nodes = grow(f->nodes, (size_t)f->count, sizeof(*f->nodes));
	n = &f->nodes[f->count++];
	*n = (struct node_files){ .name = xstrdup(name) };
	text_init(&n->held);
	n->lines = size_of(f, name, "jsonl");
	return n;
}

/* One write of all of it, so that a full disk leaves at most one torn line. */
static int append(const struct telemetry_files *f, const char *node, const char *suffix, int flags,
		  const void *data, size_t len, struct error *err)
{
	char *path = path_of(f, node, suffix);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666);
	int rc = fd < 0 ? error_sys(err, "cannot open %s", path) : 0;

	if (rc == 0 && write_all(fd, data, len) < 0)
		rc = error_sys(err, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

/* Says it once; after that what is lost is lost in silence, for the note is in the journal. */
static int once(int *said)
{
	return (*said)++ ? 0 : -1;
}

static int take_line(struct telemetry_files *f, struct node_files *n, const char *line, size_t len,
		     struct error *err)
{
	char *whole;
	int rc;

	if (n->lines + len + 1 > TELEMETRY_LINES_MOST) {
		error_set(err, "%s sent more than %d MiB of telemetry: the rest is left out",
			  n->name, TELEMETRY_LINES_MOST >> 20);
		return once(&n->lines_said);
	}
	whole = xasprintf("%.*s\n", (int)len, line);
	rc = append(f, n->name, "jsonl", 0, whole, len + 1, err);
	free(whole);
	n->lines += len + 1;
	return rc < 0 ? once(&n->lines_said) : 0;
}

/* ---- everything that a node kept ----------------------------------------------------------- */

static int broken(struct telemetry_files *f, struct node_files *n, struct error *err)
{
	char *path = path_of(f, n->name, "part");

	unlink(path);
	free(path);
	text_clear(&n->held);
	n->next = -1; /* until a first piece comes again */
	error_prefix(err, "what %s kept in full is lost: ", n->name);
	return once(&n->full_said);
}

static int write_held(struct telemetry_files *f, struct node_files *n, struct error *err)
{
	int is_first = n->parts == n->held.len;
	int rc = append(f, n->name, "part", is_first ? O_TRUNC : 0, n->held.data, n->held.len, err);

	text_clear(&n->held);
	return rc;
}

static int take_piece(struct telemetry_files *f, struct node_files *n, const char *text,
		      struct error *err)
{
	unsigned char bytes[EVENT_MOST];
	size_t len = 0;

	if (sodium_base642bin(bytes, sizeof(bytes), text, strlen(text), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return error_set(err, "a piece is no base64");
	if (n->parts + len > TELEMETRY_KEPT)
		return error_set(err, "it is more than %d MiB", TELEMETRY_KEPT >> 20);
	text_put(&n->held, (char *)bytes, len);
	n->parts += len;
	n->next++;
	return n->held.len > HELD_MOST ? write_held(f, n, err) : 0;
}

/* All blocks must open, each column of them too: a reader of the run shall not meet them first. */
static int blocks_check(const unsigned char *data, size_t len, struct error *err)
{
	struct block b;
	size_t used;
	int rc;

	for (; (rc = block_open(data, len, &used, &b, err)) > 0; data += used, len -= used) {
		double *values = xcalloc((size_t)b.rows, sizeof(*values));

		for (int i = 0; i < b.count && rc > 0; i++)
			if (block_values(&b, i, values, err) < 0)
				rc = -1;
		free(values);
		block_release(&b);
		if (rc < 0)
			return -1;
	}
	return rc;
}

static int finish(struct telemetry_files *f, struct node_files *n, const struct event *ev,
		  struct error *err)
{
	char *path = path_of(f, n->name, "part"), *data = NULL;
	size_t len = 0, want = (size_t)event_number(ev, "bytes");
	int rc = -1;

	if (n->held.len && write_held(f, n, err) < 0)
		goto out;
	data = n->parts ? file_read(path, TELEMETRY_KEPT, &len, err) : xstrdup("");
	if (!data)
		goto out;
	if (len != want || crc32c(data, len) != (uint32_t)event_number(ev, "crc"))
		error_set(err, "its checksum is wrong");
	else if (size_of(f, n->name, "full") + len > TELEMETRY_FULL_MOST)
		error_set(err, "with what is there already it is more than %d MiB",
			  TELEMETRY_FULL_MOST >> 20);
	else if (blocks_check((unsigned char *)data, len, err) == 0)
		rc = append(f, n->name, "full", 0, data, len, err);
	if (rc == 0) {
		unlink(path);
		n->is_complete = 1;
		n->next = n->parts = 0;
	}
out:
	free(data);
	free(path);
	return rc;
}

static int take_full(struct telemetry_files *f, struct node_files *n, const struct event *ev,
		     struct error *err)
{
	json_t *number = json_object_get(ev->json, "i");
	json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
	const char *piece = json_string_value(json_object_get(ev->json, "z"));
	int rc;

	if (i == 0 && piece && n->next != 1) { /* a sampler begins to tell */
		n->next = 0;
		n->parts = 0;
		n->is_complete = 0;
		text_clear(&n->held);
	}
	if (i < n->next || n->next < 0) /* twice, or behind what was lost */
		return 0;
	if (i > n->next)
		rc = error_set(err, "piece %lld is missing", (long long)n->next);
	else
		rc = piece ? take_piece(f, n, piece, err) : finish(f, n, ev, err);
	return rc < 0 ? broken(f, n, err) : 0;
}

int telemetry_files_take(struct telemetry_files *f, const struct event *ev, const char *line,
			 size_t len, struct error *err)
{
	struct node_files *n;

	if (!hostname_valid(ev->at)) /* it becomes the name of a file */
		return error_set(err, "telemetry of a node without a name");
	n = node_of(f, ev->at);
	if (ev->kind == EV_FULL)
		return take_full(f, n, ev, err);
	return take_line(f, n, line, len, err);
}

int telemetry_files_complete(const struct telemetry_files *f, const char *node)
{
	json_t *found = json_object_get(f->index, node);

	return found && f->nodes[json_integer_value(found)].is_complete;
}
