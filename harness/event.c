/* event.c - lines in and out. */
#include "harness/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD(id, word) word,
static const char *const kind_words[] = { EVENT_KINDS(WORD) };
static const char *const end_words[] = { END_WORDS(WORD) };

/* ,"c":"xxxxxxxx"} at the end of every line */
enum { SUM_LEN = 16 };

const char *end_word_name(enum end_word w)
{
	return end_words[w];
}

int end_word_find(const char *name)
{
	for (int i = 0; i < END_WORD_COUNT; i++)
		if (!strcmp(end_words[i], name))
			return i;
	return -1;
}

static int check_sum(const char *line, size_t len, struct error *err)
{
	char want[SUM_LEN + 1];

	if (len < SUM_LEN)
		return error_set(err, "a line of %zu bytes is no event", len);
	snprintf(want, sizeof(want), ",\"c\":\"%08x\"}", crc32c(line, len - SUM_LEN));
	if (memcmp(line + len - SUM_LEN, want, SUM_LEN) != 0)
		return error_set(err, "the line's checksum is wrong");
	return 0;
}

static const char *text_of(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

int event_parse(const char *line, size_t len, struct event *ev, struct error *err)
{
	json_error_t why;
	const char *word;
	int kind = 0;

	if (len > EVENT_MOST)
		return error_set(err, "a line of more than %d bytes", EVENT_MOST);
	if (check_sum(line, len, err) < 0)
		return -1;
	ev->json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!ev->json)
		return error_set(err, "the line is not JSON: %s", why.text);
	word = text_of(ev->json, "e");
	while (kind < EVENT_KIND_COUNT && strcmp(kind_words[kind], word) != 0)
		kind++;
	if (!json_is_object(ev->json) || kind == EVENT_KIND_COUNT) {
		error_set(err, "the line is no event");
		event_release(ev);
		return -1;
	}
	ev->kind = (enum event_kind)kind;
	ev->at = text_of(ev->json, "at");
	ev->step = text_of(ev->json, "step");
	return 0;
}

void event_release(struct event *ev)
{
	json_decref(ev->json);
	ev->json = NULL;
}

const char *event_text(const struct event *ev, const char *key)
{
	return text_of(ev->json, key);
}

double event_number(const struct event *ev, const char *key)
{
	return json_number_value(json_object_get(ev->json, key));
}

long long event_whole(const struct event *ev, const char *key)
{
	return json_integer_value(json_object_get(ev->json, key));
}

json_t *event_new(enum event_kind kind)
{
	return json_pack("{s:s}", "e", kind_words[kind]);
}

char *event_line(json_t *object, struct error *err)
{
	char *json = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12));
	char *line;
	size_t n;

	if (!json)
		BUG("an event that is no JSON");
	json_decref(object);
	n = strlen(json) - 1; /* without the closing brace */
	if (n + SUM_LEN > EVENT_MOST) {
		error_set(err, "an event of %zu bytes does not fit into a line of %d", n + SUM_LEN,
			  EVENT_MOST);
		free(json);
		return NULL;
	}
	line = xasprintf("%.*s,\"c\":\"%08x\"}\n", (int)n, json, crc32c(json, n));
	free(json);
	return line;
}

json_t *event_string(const char *text, size_t most)
{
	struct text t;
	size_t cost = 0, n;
	json_t *s;

	text_init(&t);
	text_add_printable(&t, text);
	for (n = 0; n < t.len; n++) {
		cost += t.data[n] == '"' || t.data[n] == '\\' ? 2 : 1;
		if (cost > most)
			break;
	}
	while (n < t.len && n > 0 && ((unsigned char)t.data[n] & 0xc0) == 0x80)
		n--;
	s = json_stringn(t.data, n);
	text_release(&t);
	return s;
}
