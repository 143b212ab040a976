/*
 * outbox.c - lines that are sent, and sent again.
 *
 * A line that is sent again is the same line with the same number: the controller cannot tell it
 * from the first, and need not.
 */
#include "harness/outbox.h"

#include "harness/event.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_MOST = 1 << 20 }; /* bytes that wait for the controller before none are sent again */

struct sending {
	uv_write_t write;
	char *line;
};

static void on_sent(uv_write_t *w, int status)
{
	struct sending *s = w->data;

	(void)status; /* a controller that went away shows as the end of our input */
	free(s->line);
	free(s);
}

static void send_line(struct outbox *o, const char *line)
{
	struct sending *s = xcalloc(1, sizeof(*s));
	uv_buf_t buf;

	s->line = xstrdup(line);
	s->write.data = s;
	buf = uv_buf_init(s->line, (unsigned)strlen(s->line));
	if (uv_write(&s->write, o->out, &buf, 1, on_sent) < 0)
		on_sent(&s->write, -1);
}

void outbox_send(struct outbox *o, json_t *event)
{
	struct error err;
	char *line, **slot;

	json_object_set_new(event, "at", json_string(o->node));
	json_object_set_new(event, "n", json_integer(o->sent + 1));
	line = event_line(event, &err);
	if (!line) /* cannot be: members are bounded where they are made */
		return;
	o->sent++;
	slot = &o->kept[o->sent % OUTBOX_KEPT];
	free(*slot);
	*slot = line;
	send_line(o, line);
}

void outbox_note(struct outbox *o, const char *text)
{
	json_t *note = event_new(EV_NOTE);

	json_object_set_new(note, "text", event_string(text, 500));
	outbox_send(o, note);
}

void outbox_again(struct outbox *o, long from)
{
	long first = o->sent - OUTBOX_KEPT + 1 > 1 ? o->sent - OUTBOX_KEPT + 1 : 1;

	/* They may still be on their way: sending more of them would only make it longer. */
	if (uv_stream_get_write_queue_size(o->out) > QUEUE_MOST)
		return;
	if (from < first && first > 1) {
		json_t *beat = event_new(EV_BEAT);

		json_object_set_new(beat, "first", json_integer(first + 1));
		outbox_send(o, beat);
		from = first + 1; /* the beat has just taken the place of the oldest line */
	}
	for (long n = from < 1 ? 1 : from; n <= o->sent; n++)
		send_line(o, o->kept[n % OUTBOX_KEPT]);
}

void outbox_release(struct outbox *o)
{
	for (int i = 0; i < OUTBOX_KEPT; i++)
		free(o->kept[i]);
}
