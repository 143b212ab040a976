/*
 * event.h - one line format, on the wire and in the journal.
 *
 * A line is one JSON object of at most 1000 bytes with "e" (what it is) first and "c" (CRC-32C of
 * all bytes before it) last. Agents number their lines ("n"). t are seconds since 1970; us are
 * microseconds, for numbers have twelve digits in a line. All events:
 *
 *   controller to agent
 *     with  {to, step, k, v}                   one knob, or the next piece of it
 *     run   {to, step, check, unit, deadline, with}  "@" in a step is the name of the node; with:
 *                                              how many `with` lines came before
 *     stop  {}
 *     beat  {}                                 the controller is alive
 *     again {to, from}                         your lines from this number on, once more
 *     ping  {to, k}                            answered at once by pong
 *     clock {to, offset, error}                seconds that the node's clock is ahead of ours
 *     share {to, step, from, k, v}             what another member of a joint step gave out
 *     tele  {to}                               start to read sensors and counters
 *     go    {to, step, us}                     all members are ready; begin then, by our clock
 *   agent to controller
 *     hello {at, version, commit, pid, boot, t}
 *     fact  {at, step, part, k, v | hole}
 *     data  {at, step, m, v: {subject: [samples]}} or {at, step, m, s, na | hole: why}
 *     note  {at, step, text}
 *     end   {at, step, word, why, hang, seconds, lines, t}
 *     beat  {at, t}                            the agent is alive
 *     pong  {at, k, us}
 *     share {at, step, k, v, for}              for: one member alone, else all; k "ready": the
 *                                              member can begin
 *     tele  {at, t, w, v: {series: [least, mean, most]}}  of w seconds up to t
 *     mark  {at, t, part, what, text}          something happened at that second
 *     full  {at, i, z}                         a piece of the whole telemetry, at the end;
 *           {at, i, bytes, crc}                behind the last one. docs/telemetry.md
 *   journal only
 *     head  {schema, version, commit, simulated, spec, profile, plan, steps, destroy, only, root,
 *            t}
 *     start {at, step, t}
 *     watch {at, t, word, since, text}         what becomes of a node's telemetry
 */
#ifndef ASSAY_EVENT_H
#define ASSAY_EVENT_H

#include "harness/base/base.h"

#include <jansson.h>

enum {
	EVENT_MOST = 1000,
	/* data and fact lines of one step: 64 GPUs have 4032 directed pairs, and a curve of 20
	 * sizes for two figures of each is 160 000 lines */
	STEP_LINES_MOST = 200000,
};

#define EVENT_KINDS(X)                                                                             \
	X(EV_WITH, "with")                                                                         \
	X(EV_RUN, "run")                                                                           \
	X(EV_STOP, "stop")                                                                         \
	X(EV_HELLO, "hello")                                                                       \
	X(EV_FACT, "fact")                                                                         \
	X(EV_DATA, "data")                                                                         \
	X(EV_NOTE, "note")                                                                         \
	X(EV_END, "end")                                                                           \
	X(EV_HEAD, "head")                                                                         \
	X(EV_START, "start")                                                                       \
	X(EV_BEAT, "beat")                                                                         \
	X(EV_AGAIN, "again")                                                                       \
	X(EV_PING, "ping")                                                                         \
	X(EV_PONG, "pong")                                                                         \
	X(EV_CLOCK, "clock")                                                                       \
	X(EV_SHARE, "share")                                                                       \
	X(EV_GO, "go")                                                                             \
	X(EV_TELE, "tele")                                                                         \
	X(EV_MARK, "mark")                                                                         \
	X(EV_FULL, "full")                                                                         \
	X(EV_WATCH, "watch")

#define EVENT_ENUM(id, word) id,
enum event_kind { EVENT_KINDS(EVENT_ENUM) EVENT_KIND_COUNT };

/* How a step can end. */
#define END_WORDS(X)                                                                               \
	X(END_NONE, "none")                                                                        \
	X(END_DONE, "done")       /* it ran to its end */                                          \
	X(END_SKIP, "skip")       /* it cannot run on this node */                                 \
	X(END_ERROR, "error")     /* it could not measure */                                       \
	X(END_TIMEOUT, "timeout") /* killed at its deadline */                                     \
	X(END_CRASH, "crash")     /* its process died */                                           \
	X(END_STUCK, "stuck")     /* it cannot be killed */                                        \
	X(END_LOST, "lost")       /* its node or agent went away */                                \
	X(END_LEFT, "left-out")   /* its node failed earlier and takes no part in this */

#define END_ENUM(id, word) id,
enum end_word { END_WORDS(END_ENUM) END_WORD_COUNT };

const char *end_word_name(enum end_word w);
int end_word_find(const char *name); /* -1: none such */

struct event {
	enum event_kind kind;
	json_t *json;          /* owned */
	const char *at, *step; /* "" when missing; lent by json */
};

/* 0, or -1 with err when the line is damaged, too long, or no event. */
int event_parse(const char *line, size_t len, struct event *ev, struct error *err);
void event_release(struct event *ev);
/* Text member of the event, "" when missing or no text. */
const char *event_text(const struct event *ev, const char *key);
double event_number(const struct event *ev, const char *key);
/* A whole number, 0 when missing or none. */
long long event_whole(const struct event *ev, const char *key);

/* The line of an object, with checksum and newline; eats the object. NULL with err if over
 * EVENT_MOST. */
char *event_line(json_t *object, struct error *err);
json_t *event_new(enum event_kind kind);

/* A text that surely fits into one line with other short members: cut, broken UTF-8 replaced. */
json_t *event_string(const char *text, size_t most);

#endif
