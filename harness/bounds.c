/* bounds.c - counts what nodes send. */
#include "harness/bounds.h"

enum {
	STEP_SHARES_MOST = 1000,
	NODE_BYTES_MOST = 64 << 20,
};

const char *bounds_count(struct node_sent *node, struct step_sent *step, const struct event *ev,
			 size_t len)
{
	struct step_sent none = { 0 }, *s = step ? step : &none;

	s->lines += ev->kind == EV_DATA || ev->kind == EV_FACT;
	s->shares += ev->kind == EV_SHARE;
	if (ev->kind != EV_SHARE)
		node->bytes += (long long)len;
	if (s->lines > STEP_LINES_MOST)
		return "its agent sends figures of one step without end";
	if (s->shares > STEP_SHARES_MOST)
		return "its agent sends texts to other members without end";
	if (node->bytes > NODE_BYTES_MOST)
		return "its agent sends lines without end";
	return NULL;
}

int bounds_note(int *count, int most, const char **text)
{
	if (*count >= most)
		return 1;
	if (++*count == most)
		*text = "further notes are left out";
	return 0;
}
