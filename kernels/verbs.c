/*
 * verbs.c - opens libibverbs and puts its failures into words.
 *
 * The library is never unloaded: it keeps lists of its providers, which stay behind, and a provider
 * may run threads.
 */
#include "kernels/verbs.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define VERBS_ROW(type, name, arguments) { "ibv_" #name, offsetof(struct verbs, name) },
static const struct {
	const char *name;
	size_t offset;
} functions[] = { VERBS_FUNCTIONS(VERBS_ROW) };

static int library_load(const struct machine *m, struct verbs *v, struct error *err)
{
	static const char name[] = "libibverbs.so.1";
	char *path = *m->root ? machine_path(m, "/lib/%s", name) : xstrdup(name);
	int rc = 0;

	if (*m->root && access(path, F_OK) < 0)
		rc = error_set(err, "a recorded machine has no network");
	else if (!(v->library = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
		rc = error_set(err, "no library for RDMA on this node: %s", dlerror());
	free(path);
	return rc;
}

static int functions_find(struct verbs *v, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *symbol = dlsym(v->library, functions[i].name);

		if (!symbol)
			return error_set(err, "libibverbs.so.1 of this node lacks %s",
					 functions[i].name);
		memcpy((char *)v + functions[i].offset, &symbol, sizeof(symbol));
	}
	return 0;
}

static struct verbs *make(const struct machine *m, struct error *err)
{
	struct verbs *v = xcalloc(1, sizeof(*v));
	int rc = library_load(m, v, err);

	v->is_double = v->library && dlsym(v->library, "assay_double");
	if (rc == 0 && *m->root && !v->is_double)
		rc = error_set(err, "a recorded machine has no network, and its lib folder holds a "
				    "real libibverbs");
	if (rc == 0)
		rc = functions_find(v, err);
	if (rc == 0)
		return v;
	free(v);
	return NULL;
}

const struct verbs *verbs_open(struct machine *m, struct error *err)
{
	struct verbs *v = __atomic_load_n(&m->verbs, __ATOMIC_ACQUIRE), *made;

	if (v)
		return v;
	made = make(m, err);
	if (!made)
		return NULL;
	/* Another thread may have been faster; its table holds then. */
	if (__atomic_compare_exchange_n(&m->verbs, &v, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return made;
	free(made);
	return v;
}

void verbs_close(struct machine *m)
{
	free(m->verbs);
	m->verbs = NULL;
}

int verbs_is_double(const struct machine *m)
{
	return m->verbs && m->verbs->is_double;
}

/* ---- in words ------------------------------------------------------------------------------ */

static const struct {
	enum ibv_wc_status status;
	const char *words;
} statuses[] = {
	{ IBV_WC_RETRY_EXC_ERR, "it no longer answers, however often packets are sent again" },
	{ IBV_WC_RNR_RETRY_EXC_ERR, "it has no buffer ready for a message" },
	{ IBV_WC_REM_ACCESS_ERR, "its NIC refuses access to the memory it gave out" },
	{ IBV_WC_REM_INV_REQ_ERR, "its NIC calls a request invalid" },
	{ IBV_WC_REM_OP_ERR, "its NIC could not carry out a request" },
	{ IBV_WC_WR_FLUSH_ERR, "the connection broke" },
	{ IBV_WC_LOC_PROT_ERR, "the own NIC could not read or write its memory" },
	{ IBV_WC_LOC_LEN_ERR, "it sent a message that is too long" },
};

const char *verbs_status(const struct verbs *v, enum ibv_wc_status status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].words;
	return v->wc_status_str(status);
}

/* Root may lock more than the limit says, so the limit is named only where something failed. */
static void add_limit(struct error *err, uint64_t wants)
{
	char limit[32], need[32], words[160];
	struct rlimit locked;

	if (getrlimit(RLIMIT_MEMLOCK, &locked) < 0 || locked.rlim_cur == RLIM_INFINITY)
		return;
	bytes_text((double)locked.rlim_cur, limit, sizeof(limit));
	bytes_text((double)wants, need, sizeof(need));
	snprintf(words, sizeof(words),
		 "; this process may lock %s of memory and needs %s and some more (ulimit -l)",
		 limit, need);
	snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text), "%s", words);
}

int verbs_sys(struct error *err, uint64_t wants, const char *fmt, ...)
{
	int code = errno;
	char what[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	errno = code;
	error_sys(err, "%s", what);
	if (code == ENOMEM && wants)
		add_limit(err, wants);
	return -1;
}
