/*
 * fuzz_meet.c - any lines behind an order, as a step that runs with other members gets them.
 *
 * Each line is sealed. Standard input is at its end, so whoever waits learns at once that the agent
 * is gone.
 */
#include "harness/meet.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return freopen("/dev/null", "r", stdin) ? 0 : -1;
}

static void on_line(void *arg, char *line, size_t len, int cut)
{
	(void)arg;
	(void)line;
	(void)len;
	(void)cut;
}

/* Whatever was heard, what this process says fits into a line. */
static void on_send(void *arg, json_t *event)
{
	struct error err;
	char *line = event_line(event, &err);

	(void)arg;
	if (!line)
		abort();
	free(line);
}

static void feed(struct meet *m, const char *text, size_t len)
{
	struct text sealed;

	if (len && text[len - 1] == '}')
		len--;
	text_init(&sealed);
	text_put(&sealed, text, len);
	text_addf(&sealed, ",\"c\":\"%08x\"}", crc32c(text, len));
	meet_line(m, sealed.data, sealed.len);
	text_release(&sealed);
}

static void take_all(struct meet *m, const char *from, const char *key)
{
	struct error err = { "" };
	char *value = NULL;

	while (meet_take(m, from, key, &value, &err) == 0) {
		if (!value)
			abort();
		free(value);
		value = NULL;
	}
	if (!*err.text)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	struct error err = { "" };
	struct meet *m;

	m = meet_new(on_line, on_send, NULL);
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		stop = stop ? stop : end;
		feed(m, text, (size_t)(stop - text));
		text = stop + 1;
	}
	take_all(m, "n1", "addr");
	take_all(m, "n2", "");
	take_all(m, "", "addr");
	if (meet_begin(m, size % 2, &err) < 0 && !*err.text)
		abort();
	meet_free(m);
	return 0;
}
