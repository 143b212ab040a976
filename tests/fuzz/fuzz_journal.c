/*
 * fuzz_journal.c - any bytes as a journal.
 *
 * No fuzzer guesses a checksum, so the bytes are fed twice: as they are, and with each line sealed
 * by a checksum that is right.
 */
#include "harness/journal.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line without its closing brace, then the checksum of it. */
static void seal(struct text *out, const char *line, size_t len)
{
	if (len && line[len - 1] == '}')
		len--;
	text_put(out, line, len);
	text_addf(out, ",\"c\":\"%08x\"}\n", crc32c(line, len));
}

static void must_hold_together(const struct results *r)
{
	for (size_t i = 0; i < r->figure_count; i++)
		if (r->figures[i].step >= r->step_count || r->figures[i].metric >= r->name_count ||
		    r->figures[i].subject >= r->name_count)
			abort();
	for (size_t i = 0; i < r->absent_count; i++)
		if (r->absents[i].step >= r->step_count || r->absents[i].why >= r->name_count)
			abort();
	for (size_t i = 0; i < r->fact_count; i++)
		if (r->facts[i].step >= r->step_count || !r->facts[i].value == !r->facts[i].hole)
			abort();
	for (int i = 0; i < r->step_count; i++)
		if (results_step(r, r->steps[i].id) != i || !r->steps[i].why)
			abort();
}

static void feed(const char *data, size_t len)
{
	struct results *r = results_new();

	results_feed(r, data, len);
	must_hold_together(r);
	results_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	struct text sealed;

	feed(text, size);
	text_init(&sealed);
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		stop = stop ? stop : end;
		seal(&sealed, text, (size_t)(stop - text));
		text = stop + 1;
	}
	feed(sealed.data, sealed.len);
	text_release(&sealed);
	return 0;
}
