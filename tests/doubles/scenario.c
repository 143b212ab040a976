/*
 * scenario.c - reads what machine the double plays: one fact a line, '#' begins a comment.
 *
 * A word that is not known ends the process: a typing error in a test must not pass for a healthy
 * machine. scenarios/all-words.txt shows all words.
 */
#include "tests/doubles/double.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MOST = 48 };

/* The line being read. */
struct line {
	struct world *w;
	const char *path;
	int number, count, at; /* at: the next word */
	char text[1024], *words[WORDS_MOST];
};

#define FAIL(l, ...) line_fail(l, __VA_ARGS__)

static _Noreturn void __attribute__((format(printf, 2, 3)))
line_fail(const struct line *l, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	double_die("%s:%d: %s", l->path, l->number, text);
}

static void line_split(struct line *l)
{
	char *s = l->text;

	l->count = l->at = 0;
	for (;;) {
		s += strspn(s, " \t\r\n");
		if (!*s || *s == '#')
			return;
		if (l->count == WORDS_MOST)
			FAIL(l, "too many words");
		int quoted = *s == '"';
		char *end;

		l->words[l->count++] = s += quoted;
		end = quoted ? strchr(s, '"') : s + strcspn(s, " \t\r\n");
		if (!end)
			FAIL(l, "a quote without its end");
		s = *end ? end + 1 : end;
		*end = 0;
	}
}

static char *word(struct line *l, const char *what)
{
	if (l->at == l->count)
		FAIL(l, "%s is missing", what);
	return l->words[l->at++];
}

static const struct unit {
	const char *name;
	double factor;
} units[] = {
	{ "", 1 },      { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 },
	{ "ns", 1e-9 }, { "us", 1e-6 },  { "ms", 1e-3 },     { "s", 1 },
};

static double number_of(const struct line *l, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text)
		FAIL(l, "'%s' is not a number", text);
	for (size_t i = 0; i < COUNT(units); i++)
		if (!strcmp(end, units[i].name))
			return value * units[i].factor;
	FAIL(l, "'%s' has an unknown unit", text);
}

static double number(struct line *l, const char *what)
{
	return number_of(l, word(l, what));
}

static int choose(struct line *l, const char *text, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(text, names[i]))
			return i;
	FAIL(l, "'%s' is not known here", text);
}

static int gpu_number(struct line *l, const char *text)
{
	double n = number_of(l, text);

	if (n < 0 || n >= l->w->gpu_count || n != (int)n)
		FAIL(l, "there is no GPU '%s'", text);
	return (int)n;
}

static struct gpu *gpu_word(struct line *l)
{
	return &l->w->gpus[gpu_number(l, word(l, "the number of a GPU"))];
}

/* ---- GPUs ---------------------------------------------------------------------------------- */

enum key_type { TEXT, INT, U64, DOUBLE, FLAG };

static const struct key {
	const char *name;
	enum key_type type;
	size_t offset, room;
} keys[] = {
#define KEY(name, type, field)                                                                     \
	{                                                                                          \
		name, type, offsetof(struct gpu, field), sizeof(((struct gpu *)0)->field)          \
	}
	KEY("pci", TEXT, pci),
	KEY("model", TEXT, model),
	KEY("uuid", TEXT, uuid),
	KEY("serial", TEXT, serial),
	KEY("vbios", TEXT, vbios),
	KEY("board", TEXT, board),
	KEY("sms", INT, sms),
	KEY("cc", INT, cc),
	KEY("numa", INT, numa),
	KEY("uplink", INT, uplink),
	KEY("sm_clock", INT, sm_clock),
	KEY("memory_clock", INT, memory_clock),
	KEY("pcie_gen", INT, pcie_gen),
	KEY("pcie_width", INT, pcie_width),
	KEY("pcie_gen_now", INT, pcie_gen_now),
	KEY("pcie_width_now", INT, pcie_width_now),
	KEY("l2", U64, l2),
	KEY("mem", U64, mem),
	KEY("shown", U64, shown),
	KEY("power_default", DOUBLE, power_default),
	KEY("power_limit", DOUBLE, power_limit),
	KEY("power_idle", DOUBLE, power_idle),
	KEY("temperature", DOUBLE, temperature),
	KEY("slowdown", DOUBLE, slowdown),
	KEY("display", FLAG, display),
#undef KEY
};

static void key_set(struct line *l, const struct key *k, struct gpu *g, const char *text)
{
	char *at = (char *)g + k->offset;

	if (k->type == FLAG)
		*(int *)at = 1;
	else if (k->type == INT)
		*(int *)at = (int)number_of(l, text);
	else if (k->type == U64)
		*(uint64_t *)at = (uint64_t)number_of(l, text);
	else if (k->type == DOUBLE)
		*(double *)at = number_of(l, text);
	else if (snprintf(at, k->room, "%s", text) >= (int)k->room)
		FAIL(l, "'%s' is too long", text);
}

static void read_gpu(struct line *l)
{
	const char *which = word(l, "the number of a GPU");
	int all = !strcmp(which, "*");
	int first = all ? 0 : gpu_number(l, which), last = all ? l->w->gpu_count - 1 : first;

	while (l->at < l->count) {
		const char *name = word(l, "a key");
		const struct key *k = keys;

		while (k < keys + COUNT(keys) && strcmp(k->name, name))
			k++;
		if (k == keys + COUNT(keys))
			FAIL(l, "a GPU has no key '%s'", name);
		const char *text = k->type == FLAG ? "" : word(l, "a value");

		for (int i = first; i <= last; i++)
			key_set(l, k, &l->w->gpus[i], text);
	}
}

static void read_ndev(struct line *l)
{
	double n = number(l, "how many");

	if (n < 0 || n > GPUS_MOST)
		FAIL(l, "from 0 to %d GPUs", GPUS_MOST);
	gpus_default(l->w, (int)n);
}

/* ---- rates and latencies ------------------------------------------------------------------- */

static void read_rate(struct line *l)
{
	static const char *const names[] = { "hbm", "local",  "nvl",    "nvl_gpu", "h2d",
					     "d2h", "uplink", "staged", "pcie",    "tensor" };
	static const char *const precisions[] = { "fp64", "tf32", "bf16", "fp16", "fp8", "int8" };
	int which = choose(l, word(l, "which rate"), names, COUNT(names));

	if (which == 9) {
		which = RATE_FP64 +
			choose(l, word(l, "a precision"), precisions, COUNT(precisions));
		l->w->rates[which] = number(l, "the rate");
	} else if (which == 8) {
		l->w->rates[RATE_H2D] = l->w->rates[RATE_D2H] = number(l, "the rate");
	} else {
		l->w->rates[which] = number(l, "the rate");
	}
}

static void read_latency(struct line *l)
{
	static const char *const names[] = { "copy",       "staged",     "launch", "chase_local",
					     "chase_peer", "chase_host", "flag" };

	while (l->at < l->count) {
		int which = choose(l, word(l, "which latency"), names, COUNT(names));

		l->w->latencies[which] = number(l, "the latency");
	}
}

/* ---- state --------------------------------------------------------------------------------- */

static void read_nopeer(struct line *l)
{
	int a = gpu_word(l)->number, b = gpu_word(l)->number;

	l->w->no_peer[a][b] = l->w->no_peer[b][a] = 1;
}

static void read_link(struct line *l)
{
	static const char *const states[] = { "down", "crc" };
	struct gpu *g = gpu_word(l);
	int n = (int)number(l, "a link");

	if (n < 0 || n >= LINKS_MOST)
		FAIL(l, "links are 0 to %d", LINKS_MOST - 1);
	if (choose(l, word(l, "'down' or 'crc'"), states, 2))
		g->link_crc[n] = (unsigned)number(l, "errors");
	else
		g->link_down[n] = 1;
}

static void read_links(struct line *l)
{
	l->w->links = (int)number(l, "how many links");
	if (l->w->links < 0 || l->w->links > LINKS_MOST)
		FAIL(l, "from 0 to %d links", LINKS_MOST);
}

static void read_nvlink(struct line *l)
{
	static const char *const names[] = { "switch", "direct" };

	l->w->nvlink_direct = choose(l, word(l, "'switch' or 'direct'"), names, 2);
	if (l->at < l->count)
		l->w->nvlink_version = (int)number(l, "the version");
}

static void text_into(struct line *l, char *out, size_t room)
{
	const char *text = word(l, "a value");

	if (snprintf(out, room, "%s", text) >= (int)room)
		FAIL(l, "'%s' is too long", text);
}

static void read_fabric(struct line *l)
{
	static const char *const names[] = { "none", "not_started", "in_progress", "completed" };

	int state = choose(l, word(l, "a state"), names, 4);

	snprintf(l->w->fabric, sizeof(l->w->fabric), "%s", names[state]);
}

static void read_driver(struct line *l)
{
	l->w->driver = (int)number(l, "a version such as 13000");
}

static void read_nvml_driver(struct line *l)
{
	text_into(l, l->w->nvml_driver, sizeof(l->w->nvml_driver));
}

static void read_mode(struct line *l)
{
	static const char *const names[] = { "default", "", "prohibited", "exclusive" };
	int mode = choose(l, word(l, "a compute mode"), names, 4);

	gpu_word(l)->exclusive = mode;
}

static int read_switch(struct line *l)
{
	static const char *const names[] = { "off", "on" };

	return choose(l, word(l, "'on' or 'off'"), names, 2);
}

static void read_mig(struct line *l)
{
	struct gpu *g = gpu_word(l);

	g->mig = read_switch(l);
}

static void read_ecc(struct line *l)
{
	struct gpu *g = gpu_word(l);

	g->ecc = read_switch(l);
}

static void read_ecc_errors(struct line *l)
{
	struct gpu *g = gpu_word(l);

	g->ecc_corrected = (uint64_t)number(l, "corrected errors");
	g->ecc_uncorrected = (uint64_t)number(l, "uncorrected errors");
}

static void read_remapped(struct line *l)
{
	struct gpu *g = gpu_word(l);

	for (int i = 0; i < 4; i++)
		g->remapped[i] = (int)number(l, "corrected uncorrected pending failure");
}

static void read_process(struct line *l)
{
	static const char *const pid[] = { "pid" }, *const used[] = { "used" };
	struct gpu *g = gpu_word(l);
	struct process *p = &g->processes[g->process_count];

	if (g->process_count++ == COUNT(g->processes))
		FAIL(l, "too many processes");
	choose(l, word(l, "'pid'"), pid, 1);
	p->pid = (unsigned)number(l, "a pid");
	choose(l, word(l, "'used'"), used, 1);
	p->used = (uint64_t)number(l, "bytes");
}

static void read_free(struct line *l)
{
	struct gpu *g = gpu_word(l);

	g->free_most = (uint64_t)number(l, "bytes");
}

static void read_limit(struct line *l)
{
	struct gpu *g = gpu_word(l);

	g->power_limit = number(l, "watts");
}

static void read_throttle(struct line *l)
{
	static const char *const share[] = { "share" };
	struct gpu *g = gpu_word(l);
	char *end, *mask = word(l, "a mask of reasons");

	g->throttle = strtoull(mask, &end, 0);
	if (end == mask || *end)
		FAIL(l, "'%s' is not a mask", mask);
	g->throttle_share = 1;
	if (l->at < l->count) {
		choose(l, word(l, "'share'"), share, 1);
		g->throttle_share = number(l, "a share");
	}
}

static void read_nvml(struct line *l)
{
	static const char *const names[] = { "absent", "missing", "mismatch" };
	struct world *w = l->w;
	int what = choose(l, word(l, "'absent', 'missing' or 'mismatch'"), names, 3);

	if (what != 1)
		w->nvml_rc =
			what ? 18 : 9; /* NVML_ERROR_LIB_RM_VERSION_MISMATCH, DRIVER_NOT_LOADED */
	else if (w->nvml_missing_count == COUNT(w->nvml_missing))
		FAIL(l, "too many missing functions");
	else
		text_into(l, w->nvml_missing[w->nvml_missing_count++], sizeof(w->nvml_missing[0]));
}

static void read_stub(struct line *l)
{
	l->w->stub = 1;
}

/* ---- faults -------------------------------------------------------------------------------- */

static const char *const fault_ops[] = { "launch", "alloc", "h2d", "d2h",    "peer", "local",
					 "memset", "sync",  "ctx", "module", "nccl" };
static const char *const fault_actions[] = { "err",   "async", "hang", "flip",
					     "stuck", "slow",  "lost", "crash" };

static void fault_number(struct line *l, struct fault *f, const char *key, const char *text)
{
	const struct {
		const char *name;
		int *at;
	} numbers[] = {
		{ "nth", &f->nth }, { "count", &f->count },     { "bit", &f->bit },
		{ "xid", &f->xid }, { "value", &f->bit_value },
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
		if (!strcmp(key, numbers[i].name)) {
			*numbers[i].at = (int)number_of(l, text);
			return;
		}
	FAIL(l, "a fault has no key '%s'", key);
}

static void fault_pair(struct line *l, struct fault *f, const char *key, char *text)
{
	if (!strcmp(key, "op")) {
		f->op = (enum fault_op)choose(l, text, fault_ops, FAULT_OPS);
	} else if (!strcmp(key, "name")) {
		snprintf(f->name, sizeof(f->name), "%s", text);
	} else if (!strcmp(key, "dev")) {
		f->dev = gpu_number(l, text);
	} else if (!strcmp(key, "peer")) {
		f->peer = gpu_number(l, text);
	} else if (!strcmp(key, "off")) {
		f->offset = (int64_t)number_of(l, text);
	} else if (!strcmp(key, "err") || !strcmp(key, "async")) {
		f->action = *key == 'e' ? ACT_ERR : ACT_ASYNC;
		f->code = (int)number_of(l, text);
	} else if (!strcmp(key, "slow")) {
		f->action = ACT_SLOW;
		f->factor = number_of(l, text);
	} else {
		fault_number(l, f, key, text);
	}
}

/* Work can be spoiled, late or never done; a call that does no work can only fail. */
static void fault_finish(struct line *l, struct fault *f)
{
	int is_work = f->op <= OP_MEMSET && f->op != OP_ALLOC;
	int needs_work = f->action == ACT_ASYNC || f->action == ACT_FLIP ||
			 f->action == ACT_STUCK || f->action == ACT_SLOW;

	if ((int)f->op < 0 || (int)f->action < 0)
		FAIL(l, "a fault needs op=... and an action");
	if (needs_work && !is_work)
		FAIL(l, "'%s' cannot happen to '%s'", fault_actions[f->action], fault_ops[f->op]);
	if (f->action == ACT_HANG && !is_work && f->op != OP_SYNC && f->op != OP_NCCL)
		FAIL(l, "'hang' cannot happen to '%s'", fault_ops[f->op]);
	if (f->count < 0)
		f->count = f->action == ACT_SLOW ? 0 : 1;
}

static void read_fault(struct line *l)
{
	struct world *w = l->w;
	struct fault *f = &w->faults[w->fault_count];

	if (w->fault_count++ == FAULTS_MOST)
		FAIL(l, "too many faults");
	*f = (struct fault){ .dev = -1, .peer = -1, .nth = 1, .count = -1, .offset = -1 };
	f->factor = f->bit_value = 1;
	f->op = (enum fault_op) - 1;
	f->action = (enum fault_action) - 1;
	while (l->at < l->count) {
		char *text = word(l, "a word"), *equals = strchr(text, '=');

		if (!equals) {
			f->action =
				(enum fault_action)choose(l, text, fault_actions, FAULT_ACTIONS);
			continue;
		}
		*equals = 0;
		fault_pair(l, f, text, equals + 1);
	}
	fault_finish(l, f);
}

/* ---- the file ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*read)(struct line *l);
} facts[] = {
	{ "ndev", read_ndev },
	{ "gpu", read_gpu },
	{ "rate", read_rate },
	{ "latency", read_latency },
	{ "nopeer", read_nopeer },
	{ "link", read_link },
	{ "links", read_links },
	{ "nvlink", read_nvlink },
	{ "fabric", read_fabric },
	{ "driver", read_driver },
	{ "nvml_driver", read_nvml_driver },
	{ "mode", read_mode },
	{ "mig", read_mig },
	{ "ecc", read_ecc },
	{ "ecc_errors", read_ecc_errors },
	{ "remapped", read_remapped },
	{ "process", read_process },
	{ "free", read_free },
	{ "limit", read_limit },
	{ "throttle", read_throttle },
	{ "nvml", read_nvml },
	{ "stub", read_stub },
	{ "fault", read_fault },
};

static void line_read(struct line *l)
{
	line_split(l);
	if (!l->count)
		return;
	const char *name = word(l, "a fact");

	for (size_t i = 0; i < COUNT(facts); i++)
		if (!strcmp(name, facts[i].name)) {
			facts[i].read(l);
			if (l->at < l->count)
				FAIL(l, "'%s' is one word too many", l->words[l->at]);
			return;
		}
	FAIL(l, "'%s' is not known", name);
}

void scenario_read(struct world *w, const char *path)
{
	struct line l = { .w = w, .path = path };
	FILE *f = path ? fopen(path, "re") : NULL;

	world_default(w);
	if (path && !f)
		double_die("cannot open the scenario %s: %s", path, strerror(errno));
	while (f && fgets(l.text, sizeof(l.text), f)) {
		l.number++;
		if (!strchr(l.text, '\n') && !feof(f))
			FAIL(&l, "the line is too long");
		line_read(&l);
	}
	if (f)
		fclose(f);
	world_finish(w);
}
