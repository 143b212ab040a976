/*
 * base.h - errors, text, quantities, host lists and statistics. The door of harness/base/.
 *
 * Everything here is plain C over libc and knows nothing of the rest of the program.
 * Running out of memory aborts (xcalloc and friends): no caller can do better with a plan half
 * built.
 */
#ifndef ASSAY_BASE_H
#define ASSAY_BASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* A broken promise inside the program, never a user's mistake: says where and aborts. */
#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void bug(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

/* ---- errors -------------------------------------------------------------------------------- */

/*
 * One sentence for a person, built where the trouble happens, prefixed on the way up, printed only
 * at the top. A function that takes one fills it exactly when it fails, and never prints.
 */
struct error {
	char text[512];
};

int error_set(struct error *err, const char *fmt, ...) PRINTF(2, 3); /* always -1 */
int error_sys(struct error *err, const char *fmt, ...) PRINTF(2, 3); /* adds strerror(errno); -1 */
int error_prefix(struct error *err, const char *fmt, ...)
	PRINTF(2, 3); /* puts words in front; -1 */

/* ---- memory -------------------------------------------------------------------------------- */

void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t count, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list args) PRINTF(1, 0);

/*
 * Makes room for one more element in *items, an array of `count` elements of `size` bytes that
 * grows by doubling. Returns the array, to be assigned back.
 */
void *grow(void *items, size_t count, size_t size);

/* ---- text ---------------------------------------------------------------------------------- */

/* A growing string. data is never NULL after text_init and always ends in NUL. */
struct text {
	char *data;
	size_t len, room;
};

void text_init(struct text *t);
void text_release(struct text *t);
void text_clear(struct text *t);
void text_put(struct text *t, const char *data, size_t len);
void text_add(struct text *t, const char *s);
void text_addf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
char *text_detach(struct text *t); /* the caller owns the string; t is empty again */

/* Adds s with control characters and broken UTF-8 shown as '?': safe for a terminal. */
void text_add_printable(struct text *t, const char *s);
/* Adds s with the five characters of XML escaped and what XML cannot carry shown as '?'. */
void text_add_xml(struct text *t, const char *s);

/* Cuts bytes into lines: feed() calls `line` once for each whole line, without its newline. */
struct lines {
	struct text held;
	size_t limit; /* a longer line is cut there, and the rest of it dropped; `cut` counts them
		       */
	int dropping;
	unsigned long cut;
	void (*line)(void *arg, char *line, size_t len, int was_cut);
	void *arg;
};

void lines_init(struct lines *l, size_t limit, void (*line)(void *, char *, size_t, int),
		void *arg);
void lines_release(struct lines *l);
void lines_feed(struct lines *l, const char *data, size_t len);
void lines_flush(struct lines *l); /* hands over what has no newline yet */

/* Whole file, at most `limit` bytes, NUL added. The caller frees it; NULL with err when it fails.
 */
char *file_read(const char *path, size_t limit, size_t *len, struct error *err);
/* First line of a small file without white space at its end, or NULL (errno says why); caller
 * frees. */
char *file_line(const char *path);
/*
 * Replaces path in one step (a new file, synced, renamed over the old). What is no ordinary file,
 * such as /dev/null, stays what it is and is written into; a disk is refused. 0 or -1.
 */
int file_replace(const char *path, const char *data, size_t len, struct error *err);

/* 0, or -1 with errno when not all of it could be written. */
int write_all(int fd, const char *data, size_t len);

uint32_t crc32c(const void *data, size_t len); /* Castagnoli, as in RFC 3720 appendix B.4 */

double clock_now(void);  /* seconds, monotonic */
double clock_wall(void); /* seconds since 1970 */
/* "2026-11-21T12:00:00Z" */
void clock_text(double wall, char out[32]);

/* ---- quantities ---------------------------------------------------------------------------- */

/* name, unit in which quantity.value counts */
#define DIMENSIONS(X)                                                                              \
	X(DIM_COUNT, "count", "")                                                                  \
	X(DIM_BYTES, "size", "B")                                                                  \
	X(DIM_BYTE_RATE, "data rate", "B/s")                                                       \
	X(DIM_BIT_RATE, "line rate", "b/s")                                                        \
	X(DIM_TIME, "time", "s")                                                                   \
	X(DIM_RATE, "rate", "/s")                                                                  \
	X(DIM_FREQUENCY, "frequency", "Hz")                                                        \
	X(DIM_TRANSFERS, "transfer rate", "T/s")                                                   \
	X(DIM_FLOPS, "arithmetic rate", "FLOP/s")                                                  \
	X(DIM_POWER, "power", "W")                                                                 \
	X(DIM_ENERGY, "energy", "J")                                                               \
	X(DIM_TEMPERATURE, "temperature", "C")                                                     \
	X(DIM_SHARE, "share", "1")

#define DIMENSION_ENUM(id, name, unit) id,
enum dimension { DIMENSIONS(DIMENSION_ENUM) };

struct quantity {
	double value; /* in the base unit of its dimension; shares as 0.95 */
	enum dimension dim;
};

/*
 * "256MiB", "1.5 GB/s", "90s", "95%", "4800 MT/s", "12". The whole text must be one number and at
 * most one known unit; nan, inf, hex and trailing letters are errors. 0, or -1 with err.
 */
int quantity_parse(const char *text, struct quantity *q, struct error *err);
/* The dimension of a unit's name ("GB/s") and how many base units one of it is. 0, or -1 if
 * unknown. */
int unit_find(const char *unit, enum dimension *dim, double *factor);
const char *dimension_name(enum dimension dim);
/* Writes value (counted in `unit`) with four significant digits, choosing no other unit: "182.4
 * GB/s". */
void quantity_text(double value, const char *unit, char *out, size_t room);
/* Bytes for people: "64 GiB", "1.5 MiB". Seconds for people: "2 min 05 s". */
void bytes_text(double bytes, char *out, size_t room);
void seconds_text(double seconds, char *out, size_t room);

/* ---- host lists ---------------------------------------------------------------------------- */

/* Names in the order given, each once. */
struct hostlist {
	char **names;
	int count;
};

/*
 * "n[001-128,130],login1". Letters, digits, '-', '.', '_' only, and a name never starts with '-' or
 * '.': names reach other programs' command lines. At most 65536 names. 0, or -1 with err.
 */
int hostlist_parse(const char *text, struct hostlist *list, struct error *err);
void hostlist_release(struct hostlist *list);
/* The shortest bracket form of the names, in their order; the caller frees it. */
char *hostlist_text(const char *const *names, int count);
int hostname_valid(const char *name);

/* ---- statistics ---------------------------------------------------------------------------- */

/*
 * Median of n values with a distribution-free interval: the order statistics x(j), x(n+1-j) with
 * the largest j for which the binomial coverage is still at least 95 % (David & Nagaraja, Order
 * Statistics, 7.1). Below six values no such j exists; then low and high are the extremes and
 * `sure` is 0.
 */
struct median {
	double value, low, high;
	int n, sure;
};

struct median median_of(const double *values, int n);
/* Value below which the share p of the values lie (nearest rank). n > 0. */
double percentile_of(const double *values, int n, double p);
/* A small deterministic generator (splitmix64), for data and permutations. */
uint64_t random_next(uint64_t *state);

#endif
