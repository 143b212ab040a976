/*
 * telemetry_store.c - everything that was sampled, packed in memory, and how it is read again.
 *
 * A block holds up to an hour, a column for each series, and is deflated as a whole; it needs no
 * other block, so that a reader takes out the one it wants. Columns of one quantity stand side by
 * side, because the packer finds their likeness then. A column is tokens, variable-length integers
 * of seven bits a byte:
 *
 *   0 n   the next n rows are as predicted
 *   1 n   were not read in n rows
 *   2 n   did not answer in n rows
 *   z     z - 2 is the zigzag code of what the row differs from its prediction
 *
 * First come the first bytes of all of them, then the second bytes of those that have one, and so
 * on: noise fills the first bytes and leaves the others nearly alike, which packs better apart.
 * A value is predicted to be the one before it, a flow to grow as much as it did last.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	ROWS_MOST = 3600,
	RAW_MOST = 4 << 20,       /* a block is closed when its columns are that long */
	UNPACKED_MOST = 64 << 20, /* no block of ours comes near */
	HEAD = 36,
	LEVEL = 6, /* of zlib: 9 takes three times as long for two percent */
	VARINT_MOST = 10,
};

static const char magic[] = { 'A', 'T', 'B', '1' };

enum token { SAME = 0, UNREAD = 1, SILENT = 2, OFFSET = 2 };

/* Beyond this a double is no whole number any more. */
static const double whole_most = 9007199254740992.0;

struct column {
	struct text tokens;
	int run_of; /* a token with a count, or -1 */
	unsigned long run;
	int64_t last, slope;
	int has_last;
};

struct store {
	size_t most;
	struct text packed;
	struct sample_series *series; /* as the sampler listed them */
	struct column *columns;
	struct column time;
	int count, rows, is_full;
	int64_t first_ms, last_ms;
	size_t raw;
};

/* ---- writing ------------------------------------------------------------------------------- */

static void put_varint(struct text *t, uint64_t value)
{
	char bytes[VARINT_MOST];
	size_t n = 0;

	do {
		bytes[n] = (char)(value & 0x7f);
		value >>= 7;
		if (value)
			bytes[n] = (char)(bytes[n] | 0x80);
		n++;
	} while (value);
	text_put(t, bytes, n);
}

static void put_string(struct text *t, const char *s)
{
	put_varint(t, strlen(s));
	text_add(t, s);
}

static void end_run(struct column *c)
{
	if (c->run) {
		put_varint(&c->tokens, (uint64_t)c->run_of);
		put_varint(&c->tokens, c->run);
	}
	c->run = 0;
}

static void put_run(struct column *c, enum token of, unsigned long rows)
{
	if (c->run && c->run_of != (int)of)
		end_run(c);
	c->run_of = (int)of;
	c->run += rows;
}

static void put_number(struct column *c, int64_t value, int is_flow)
{
	int64_t slope = c->has_last ? value - c->last : 0;
	int64_t off = c->has_last ? slope - (is_flow ? c->slope : 0) : value;

	c->slope = slope;
	c->last = value;
	c->has_last = 1;
	if (off == 0) {
		put_run(c, SAME, 1);
		return;
	}
	end_run(c);
	put_varint(&c->tokens, (((uint64_t)off << 1) ^ (uint64_t)(off >> 63)) + OFFSET);
}

/* In units of the series. Counters are cut, so that they never seem to go back. */
static int64_t whole(double value, const struct sample_series *like)
{
	double n = value / like->unit;

	n = like->kind == SERIES_FLOW || like->kind == SERIES_ERRORS ? floor(n) : round(n);
	return n > whole_most    ? (int64_t)whole_most
	       : n < -whole_most ? -(int64_t)whole_most
				 : (int64_t)n;
}

static void column_reset(struct column *c)
{
	text_clear(&c->tokens);
	c->run = 0;
	c->has_last = 0;
	c->slope = 0;
}

static void add_columns(struct store *s, const struct sampling *now)
{
	for (; s->count < now->count; s->count++) {
		s->series = grow(s->series, (size_t)s->count, sizeof(*s->series));
		s->columns = grow(s->columns, (size_t)s->count, sizeof(*s->columns));
		s->series[s->count] = now->series[s->count];
		memset(&s->columns[s->count], 0, sizeof(*s->columns));
		text_init(&s->columns[s->count].tokens);
		if (s->rows)
			put_run(&s->columns[s->count], UNREAD, (unsigned long)s->rows);
	}
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct sample_series *series = arg;
	int x = *(const int *)a, y = *(const int *)b;
	int order = strcmp(series[x].name, series[y].name);

	return order ? order : x < y ? -1 : x > y;
}

/* The number of integers, then their bytes, all first ones before all second ones. */
static void put_planes(struct text *raw, const struct text *tokens)
{
	struct text planes[VARINT_MOST];
	uint64_t count = 0;
	size_t len = 0;

	for (int i = 0; i < VARINT_MOST; i++)
		text_init(&planes[i]);
	for (size_t at = 0, plane = 0; at < tokens->len; at++) {
		text_put(&planes[plane], tokens->data + at, 1);
		count += !plane;
		plane = tokens->data[at] & 0x80 ? plane + 1 : 0;
	}
	for (uint64_t n = count; len == 0 || n; n >>= 7)
		len++;
	put_varint(raw, tokens->len + len);
	put_varint(raw, count);
	for (int i = 0; i < VARINT_MOST; i++) {
		text_put(raw, planes[i].data, planes[i].len);
		text_release(&planes[i]);
	}
}

static void put_column(struct text *raw, const struct sample_series *like, struct column *c)
{
	char numbers[64];

	end_run(c);
	put_string(raw, like->part);
	put_string(raw, like->name);
	put_string(raw, like->about);
	put_varint(raw, like->kind);
	snprintf(numbers, sizeof(numbers), "%.10g", like->unit);
	put_string(raw, numbers);
	snprintf(numbers, sizeof(numbers), "%.10g", like->moved);
	put_string(raw, numbers);
	put_planes(raw, &c->tokens);
}

static void raw_text(struct store *s, struct text *raw)
{
	int *order = xcalloc((size_t)s->count + 1, sizeof(*order));

	for (int i = 0; i < s->count; i++)
		order[i] = i;
	qsort_r(order, (size_t)s->count, sizeof(*order), by_name, s->series);
	put_varint(raw, (uint64_t)s->rows);
	end_run(&s->time);
	put_planes(raw, &s->time.tokens);
	put_varint(raw, (uint64_t)s->count);
	for (int i = 0; i < s->count; i++)
		put_column(raw, &s->series[order[i]], &s->columns[order[i]]);
	free(order);
}

static void put_fixed(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t fixed(const unsigned char *at, int bytes)
{
	uint64_t value = 0;

	for (int i = bytes - 1; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

/* magic, CRC-32C of all behind it, lengths packed and raw, times of the first and last row. */
static void head_fill(unsigned char head[HEAD], const struct store *s, size_t packed, size_t raw)
{
	memcpy(head, magic, sizeof(magic));
	put_fixed(head + 8, packed, 4);
	put_fixed(head + 12, raw, 4);
	put_fixed(head + 16, (uint64_t)s->first_ms, 8);
	put_fixed(head + 24, (uint64_t)s->last_ms, 8);
	put_fixed(head + 32, 0, 4); /* free */
}

/* -1 when it does not fit any more: then the block is dropped, and the store is as it was. */
static int block_close(struct store *s)
{
	struct text raw;
	unsigned char *block;
	uLongf room;
	int failed;

	if (!s->rows)
		return 0;
	text_init(&raw);
	raw_text(s, &raw);
	room = compressBound(raw.len);
	block = xcalloc(1, HEAD + room);
	if (compress2(block + HEAD, &room, (const Bytef *)raw.data, raw.len, LEVEL) != Z_OK)
		BUG("zlib cannot pack %zu bytes", raw.len);
	head_fill(block, s, room, raw.len);
	put_fixed(block + 4, crc32c(block + 8, HEAD - 8 + room), 4);
	failed = s->packed.len + HEAD + room > s->most;
	if (!failed)
		text_put(&s->packed, (char *)block, HEAD + room);
	free(block);
	text_release(&raw);
	for (int i = 0; i < s->count; i++)
		column_reset(&s->columns[i]);
	column_reset(&s->time);
	s->rows = 0;
	s->raw = 0;
	return failed ? -1 : 0;
}

struct store *store_new(size_t most)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->most = most;
	text_init(&s->packed);
	text_init(&s->time.tokens);
	return s;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->count; i++)
		text_release(&s->columns[i].tokens);
	text_release(&s->time.tokens);
	text_release(&s->packed);
	free(s->columns);
	free(s->series);
	free(s);
}

static void row_add(struct store *s, int64_t ms, const struct sampling *now)
{
	add_columns(s, now);
	if (!s->rows++)
		s->first_ms = ms;
	s->last_ms = ms;
	put_number(&s->time, ms, 1);
	s->raw = 0;
	for (int i = 0; i < s->count; i++) {
		double value = i < now->count ? now->values[i] : NAN;
		const struct sample_series *like = &s->series[i];

		if (isnan(value))
			put_run(&s->columns[i], UNREAD, 1);
		else if (isinf(value))
			put_run(&s->columns[i], SILENT, 1);
		else
			put_number(&s->columns[i], whole(value, like), like->kind == SERIES_FLOW);
		s->raw += s->columns[i].tokens.len;
	}
}

int store_add(struct store *s, int64_t ms, const struct sampling *now, int64_t *from)
{
	if (s->is_full)
		return -1;
	row_add(s, ms, now);
	if (s->rows < ROWS_MOST && s->raw < RAW_MOST)
		return 0;
	*from = s->first_ms;
	s->is_full = block_close(s) < 0;
	return s->is_full ? -1 : 0;
}

const unsigned char *store_data(struct store *s, size_t *len, int64_t *lost_from)
{
	*lost_from = 0;
	if (!s->is_full && block_close(s) < 0) {
		s->is_full = 1;
		*lost_from = s->first_ms;
	}
	*len = s->packed.len;
	return (const unsigned char *)s->packed.data;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct cursor {
	const unsigned char *at, *end;
	int is_bad;
};

static uint64_t get_varint(struct cursor *c)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 7 * VARINT_MOST; shift += 7) {
		if (c->at == c->end)
			break;
		value |= (uint64_t)(*c->at & 0x7f) << shift;
		if (!(*c->at++ & 0x80))
			return value;
	}
	c->is_bad = 1;
	return 0;
}

static const unsigned char *get_bytes(struct cursor *c, size_t *len)
{
	const unsigned char *at;
	uint64_t n = get_varint(c);

	if (c->is_bad || n > (uint64_t)(c->end - c->at)) {
		c->is_bad = 1;
		*len = 0;
		return c->at;
	}
	at = c->at;
	c->at += n;
	*len = (size_t)n;
	return at;
}

/* Names come from a node: what a terminal cannot show is no name of ours. */
static void get_string(struct cursor *c, char *out, size_t room)
{
	size_t len;
	const unsigned char *at = get_bytes(c, &len);

	if (len >= room)
		c->is_bad = 1;
	for (size_t i = 0; i < len && !c->is_bad; i++)
		if (at[i] < 0x20 || at[i] == 0x7f)
			c->is_bad = 1;
	if (c->is_bad)
		len = 0;
	memcpy(out, at, len);
	out[len] = '\0';
}

static double get_positive(struct cursor *c, double least)
{
	char text[32], *end;
	double value;

	get_string(c, text, sizeof(text));
	value = strtod(text, &end);
	if (end == text || *end || !(value >= least) || !(value <= whole_most))
		c->is_bad = 1;
	return value;
}

static void get_column(struct cursor *c, struct block_column *column)
{
	struct sample_series *like = &column->series;
	uint64_t kind;

	get_string(c, like->part, sizeof(like->part));
	get_string(c, like->name, sizeof(like->name));
	get_string(c, like->about, sizeof(like->about));
	kind = get_varint(c);
	if (kind >= SERIES_KINDS || strchr(like->name, '.') || !*like->name)
		c->is_bad = 1;
	like->kind = (enum series_kind)(kind % SERIES_KINDS);
	like->unit = get_positive(c, 1e-9);
	like->moved = get_positive(c, 0);
	column->tokens = get_bytes(c, &column->len);
}

/* Integers whose bytes stand in planes: the n-th byte of each comes from the n-th plane. */
struct planes {
	struct cursor at[VARINT_MOST];
	uint64_t left;
	int is_bad;
};

/* Each plane is as long as the one before says by its high bits. */
static void planes_open(struct planes *p, const unsigned char *data, size_t len)
{
	struct cursor c = { data, data + len, 0 };
	uint64_t next;

	p->left = get_varint(&c);
	p->is_bad = c.is_bad;
	next = p->left;
	for (int i = 0; i < VARINT_MOST; i++) {
		uint64_t length = next;

		if (p->is_bad || length > (uint64_t)(c.end - c.at)) {
			p->is_bad = 1;
			length = 0;
		}
		p->at[i] = (struct cursor){ c.at, c.at + length, 0 };
		next = 0;
		for (uint64_t k = 0; k < length; k++)
			next += c.at[k] >> 7;
		c.at += length;
	}
	p->is_bad |= next || c.at != c.end;
}

static uint64_t planes_next(struct planes *p)
{
	uint64_t value = 0;
	int plane = 0, more = 1;

	for (; more && plane < VARINT_MOST; plane++) {
		struct cursor *c = &p->at[plane];

		if (c->at == c->end)
			break;
		value |= (uint64_t)(*c->at & 0x7f) << (7 * plane);
		more = *c->at++ & 0x80;
	}
	p->left--;
	p->is_bad |= more;
	return value;
}

/* Fills exactly `rows` values from tokens. 0, or -1. */
static int tokens_read(const unsigned char *tokens, size_t len, int rows, int is_flow,
		       int64_t *values, unsigned char *states)
{
	uint64_t last = 0, slope = 0; /* they wrap on nonsense, which no signed number may */
	int row = 0, has_last = 0;
	struct planes p;

	planes_open(&p, tokens, len);
	while (p.left && !p.is_bad) {
		uint64_t token = planes_next(&p), n = 1, off = 0;

		if (token > SILENT)
			off = ((token - OFFSET) >> 1) ^ -((token - OFFSET) & 1);
		else if (p.left)
			n = planes_next(&p);
		else
			p.is_bad = 1;
		if (p.is_bad || n > (uint64_t)(rows - row))
			return -1;
		for (; n; n--, row++) {
			states[row] = token == UNREAD ? UNREAD : token == SILENT ? SILENT : SAME;
			if (states[row] != SAME)
				continue;
			slope = has_last && is_flow ? slope + off : off;
			last = has_last ? last + slope : off;
			slope = has_last ? slope : 0;
			has_last = 1;
			values[row] = (int64_t)last;
		}
	}
	return p.is_bad || row != rows ? -1 : 0;
}

static int times_read(struct block *b, const unsigned char *tokens, size_t len)
{
	unsigned char *states = xcalloc((size_t)b->rows, 1);
	int rc = tokens_read(tokens, len, b->rows, 1, b->ms, states);

	for (int i = 0; i < b->rows && rc == 0; i++)
		if (states[i] != SAME || b->ms[i] < 0 || b->ms[i] > (int64_t)whole_most)
			rc = -1;
	free(states);
	return rc;
}

static int raw_read(struct block *b, size_t raw_len)
{
	struct cursor c = { b->raw, b->raw + raw_len, 0 };
	const unsigned char *tokens;
	uint64_t rows = get_varint(&c), count;
	size_t len;

	if (c.is_bad || rows < 1 || rows > ROWS_MOST)
		return -1;
	b->rows = (int)rows;
	b->ms = xcalloc(rows, sizeof(*b->ms));
	tokens = get_bytes(&c, &len);
	count = get_varint(&c);
	if (c.is_bad || times_read(b, tokens, len) < 0 || count > SERIES_MOST)
		return -1;
	b->columns = xcalloc(count + 1, sizeof(*b->columns));
	for (; b->count < (int)count && !c.is_bad; b->count++)
		get_column(&c, &b->columns[b->count]);
	return c.is_bad || c.at != c.end ? -1 : 0;
}

static int head_read(const unsigned char *data, size_t len, size_t *packed, size_t *raw,
		     struct error *err)
{
	if (len < HEAD || memcmp(data, magic, sizeof(magic)) != 0)
		return error_set(err, "no block of telemetry begins here");
	*packed = (size_t)fixed(data + 8, 4);
	*raw = (size_t)fixed(data + 12, 4);
	if (*packed > len - HEAD || *raw > UNPACKED_MOST)
		return error_set(err, "a block of telemetry is cut off or far too large");
	if (fixed(data + 4, 4) != crc32c(data + 8, HEAD - 8 + *packed))
		return error_set(err, "the checksum of a block of telemetry is wrong");
	return 0;
}

int block_peek(const unsigned char *data, size_t len, size_t *used, int64_t *first_ms,
	       int64_t *last_ms, struct error *err)
{
	size_t packed, raw;

	*used = 0;
	if (!len)
		return 0;
	if (head_read(data, len, &packed, &raw, err) < 0)
		return -1;
	*used = HEAD + packed;
	*first_ms = (int64_t)fixed(data + 16, 8);
	*last_ms = (int64_t)fixed(data + 24, 8);
	return 1;
}

int block_open(const unsigned char *data, size_t len, size_t *used, struct block *b,
	       struct error *err)
{
	size_t packed, raw;
	uLongf got;
	int rc = block_peek(data, len, used, &b->first_ms, &b->last_ms, err);

	if (rc <= 0)
		return rc;
	head_read(data, len, &packed, &raw, err);
	b->rows = b->count = 0;
	b->ms = NULL;
	b->columns = NULL;
	b->raw = xcalloc(1, raw + 1);
	got = raw;
	if (uncompress(b->raw, &got, data + HEAD, packed) == Z_OK && got == raw &&
	    raw_read(b, raw) == 0)
		return 1;
	block_release(b);
	return error_set(err, "a block of telemetry is damaged inside");
}

void block_release(struct block *b)
{
	free(b->raw);
	free(b->ms);
	free(b->columns);
	b->raw = NULL;
	b->ms = NULL;
	b->columns = NULL;
}

int block_values(const struct block *b, int column, double *values, struct error *err)
{
	const struct block_column *c = &b->columns[column];
	int64_t *whole_values = xcalloc((size_t)b->rows, sizeof(*whole_values));
	unsigned char *states = xcalloc((size_t)b->rows, 1);
	int rc = tokens_read(c->tokens, c->len, b->rows, c->series.kind == SERIES_FLOW,
			     whole_values, states);

	for (int i = 0; i < b->rows; i++)
		values[i] = states[i] == UNREAD   ? NAN
			    : states[i] == SILENT ? INFINITY
						  : (double)whole_values[i] * c->series.unit;
	free(states);
	free(whole_values);
	return rc < 0 ? error_set(err, "a column of telemetry is damaged") : 0;
}
