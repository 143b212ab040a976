/*
 * telemetry_store.c - everything that was sampled, packed in memory.
 *
 * telemetry_format.h has the format.
 */
#include "harness/telemetry_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	RAW_MOST = 4 << 20, /* a block is closed when its columns are that long */
	LEVEL = 6,          /* of zlib: 9 takes three times as long for two percent */
};

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
	return n > WHOLE_MOST    ? (int64_t)WHOLE_MOST
	       : n < -WHOLE_MOST ? -(int64_t)WHOLE_MOST
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

/* magic, CRC-32C of all behind it, lengths packed and raw, times of the first and last row. */
static void head_fill(unsigned char head[BLOCK_HEAD], const struct store *s, size_t packed,
		      size_t raw)
{
	memcpy(head, BLOCK_MAGIC, strlen(BLOCK_MAGIC));
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
	block = xcalloc(1, BLOCK_HEAD + room);
	if (compress2(block + BLOCK_HEAD, &room, (const Bytef *)raw.data, raw.len, LEVEL) != Z_OK)
		BUG("zlib cannot pack %zu bytes", raw.len);
	head_fill(block, s, room, raw.len);
	put_fixed(block + 4, crc32c(block + 8, BLOCK_HEAD - 8 + room), 4);
	failed = s->packed.len + BLOCK_HEAD + room > s->most;
	if (!failed)
		text_put(&s->packed, (char *)block, BLOCK_HEAD + room);
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
	if (s->rows < BLOCK_ROWS && s->raw < RAW_MOST)
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
