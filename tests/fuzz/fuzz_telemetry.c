/*
 * fuzz_telemetry.c - any bytes as RUN/telemetry/.
 *
 * No fuzzer guesses a checksum or packs a block, so the bytes are fed as they are, as lines that
 * are sealed, and as the inside of a block.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEAD = 36 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_hold_together(const struct telemetry *t)
{
	struct moment m;

	for (int i = 0; i < t->series_count; i++) {
		const struct telemetry_series *s = &t->series[i];

		if (telemetry_find(t, s->about.part, s->about.name) != s)
			abort();
		for (int k = 0; k < s->count; k++)
			if (!isfinite(s->points[k].mean) || s->points[k].least > s->points[k].most)
				abort();
	}
	if (telemetry_moment(t, "gpu0>gpu1", 0, 1e12, &m))
		moment_release(&m);
}

static void feed(const char *lines, size_t len, const unsigned char *full, size_t full_len)
{
	const struct telemetry_wish wishes[] = { { .to = 1e12 },
						 { .from = 5, .to = 1e12, .bucket = 3 } };

	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		struct telemetry *t = telemetry_parse(lines, len, full, full_len, &wishes[i]);

		must_hold_together(t);
		telemetry_free(t);
	}
}

static void put_fixed(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (unsigned char)(value >> (8 * i));
}

static void feed_block(const uint8_t *data, size_t size)
{
	uLongf room = compressBound(size);
	unsigned char *block = xcalloc(1, HEAD + room);

	compress(block + HEAD, &room, data, size);
	memcpy(block, "ATB1", 4);
	put_fixed(block + 8, room, 4);
	put_fixed(block + 12, size, 4);
	put_fixed(block + 24, 1000, 8);
	put_fixed(block + 4, crc32c(block + 8, HEAD - 8 + room), 4);
	feed("", 0, block, HEAD + room);
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	struct text sealed;

	feed(text, size, data, size);
	feed_block(data, size);
	text_init(&sealed);
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t len;

		stop = stop ? stop : end;
		len = (size_t)(stop - text);
		len -= len && text[len - 1] == '}';
		text_put(&sealed, text, len);
		text_addf(&sealed, ",\"c\":\"%08x\"}\n", crc32c(text, len));
		text = stop + 1;
	}
	feed(sealed.data, sealed.len, data, 0);
	text_release(&sealed);
	return 0;
}
