/*
 * step_end.c - ends of steps, classified.
 *
 * What a process said of its end counts only if it then left by itself and with code 0: one that
 * said "done" and crashed is a crash.
 */
#include "harness/step_end.h"

#include <stdio.h>
#include <string.h>

/* Where a step hung that was killed at its deadline: the reader wants to know whom to ask. */
static void timed_out(const struct step_told *told, const struct child_end *child,
		      struct step_end *end)
{
	end->word = END_TIMEOUT;
	if (*told->waits_for) {
		end->hang = "peer";
		snprintf(end->why, sizeof(end->why),
			 "not done after its deadline of %.0f s: it waited for %s", told->deadline,
			 told->waits_for);
		return;
	}
	end->hang = child->in_kernel ? "driver" : "tool";
	snprintf(end->why, sizeof(end->why),
		 "not done after its deadline of %.0f s: it hung %s (%s)", told->deadline,
		 child->in_kernel ? "in the kernel or a driver" : "in its own code", child->state);
}

static void crashed(const struct step_told *told, const struct child_end *child,
		    struct step_end *end)
{
	const char *colon = *told->noise ? ": " : "";

	end->word = END_CRASH;
	if (child->signal)
		snprintf(end->why, sizeof(end->why), "killed by signal %d (%s)%s%s", child->signal,
			 strsignal(child->signal), colon, told->noise);
	else
		snprintf(end->why, sizeof(end->why),
			 "its process left with code %d without an end%s%s", child->exit_code,
			 colon, told->noise);
}

void step_end_of(const struct step_told *told, const struct child_end *child, struct step_end *end)
{
	int said = end_word_find(told->word);

	end->hang = NULL;
	if (child->stuck) {
		end->word = END_STUCK;
		end->hang = "driver";
		snprintf(end->why, sizeof(end->why),
			 "SIGKILL did not end it (%s); this node takes no further steps",
			 child->state);
	} else if (told->too_much) {
		end->word = END_ERROR;
		snprintf(end->why, sizeof(end->why),
			 "it gave more than %d lines of figures and facts", STEP_LINES_MOST);
	} else if (child->timed_out) {
		timed_out(told, child, end);
	} else if (said > END_NONE && child->exit_code == 0) {
		end->word = (enum end_word)said;
		snprintf(end->why, sizeof(end->why), "%s", told->why);
	} else {
		crashed(told, child, end);
	}
}
