/*
 * telemetry_block.c - reads what a node packed. It came over a wire from a machine under test, so
 * every length is doubted, and nothing is believed because the checksum is right.
 */
#include "harness/telemetry_format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { UNPACKED_MOST = 64 << 20 }; /* no block of ours comes near */

static uint64_t fixed(const unsigned char *at, int bytes)
{
	uint64_t value = 0;

	for (int i = bytes - 1; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

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
	if (end == text || *end || !(value >= least) || !(value <= WHOLE_MOST))
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
		if (states[i] != SAME || b->ms[i] < 0 || b->ms[i] > (int64_t)WHOLE_MOST)
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

	if (c.is_bad || rows < 1 || rows > BLOCK_ROWS)
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
	if (len < BLOCK_HEAD || memcmp(data, BLOCK_MAGIC, strlen(BLOCK_MAGIC)) != 0)
		return error_set(err, "no block of telemetry begins here");
	*packed = (size_t)fixed(data + 8, 4);
	*raw = (size_t)fixed(data + 12, 4);
	if (*packed > len - BLOCK_HEAD || *raw > UNPACKED_MOST)
		return error_set(err, "a block of telemetry is cut off or far too large");
	if (fixed(data + 4, 4) != crc32c(data + 8, BLOCK_HEAD - 8 + *packed))
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
	*used = BLOCK_HEAD + packed;
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
	if (uncompress(b->raw, &got, data + BLOCK_HEAD, packed) == Z_OK && got == raw &&
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
