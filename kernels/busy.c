/*
 * busy.c - processes of others that use this machine meanwhile.
 *
 * Two readings of /proc/PID/stat (proc_pid_stat(5)), some time apart. Ours is whatever descends
 * from the topmost of our ancestors that runs this very program: that is the agent, and, where the
 * controller started it on the same machine, the controller with all of its agents.
 */
#include "kernels/busy.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000u /* include/linux/sched.h */
/* Number of the first process namespace: PROC_PID_INIT_INO of include/linux/proc_ns.h. */
#define FIRST_NAMESPACE "pid:[4026531836]"

enum { STAT_MOST = 4096, DEPTH_MOST = 1000 };

struct table { /* ascending by pid */
	struct process *items;
	int count;
};

/* The name may hold anything, ") R 1 (" too, so what follows it begins at the last parenthesis. */
int process_parse(const char *stat, struct process *p)
{
	const char *open = strchr(stat, '('), *close = strrchr(stat, ')');
	unsigned long long user, system;
	char state;
	size_t n;

	memset(p, 0, sizeof(*p));
	if (!open || !close || close < open || sscanf(stat, "%d", &p->pid) != 1 ||
	    sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d "
		   "%llu",
		   &state, &p->parent, &p->flags, &user, &system, &p->started) != 6)
		return -1;
	n = (size_t)(close - open - 1);
	n = n < sizeof(p->name) ? n : sizeof(p->name) - 1;
	memcpy(p->name, open + 1, n);
	p->ticks = user + system;
	return 0;
}

/* -1 if it is gone by now. */
static int read_process(const struct machine *m, const char *pid, struct process *p)
{
	char *path = machine_path(m, "/proc/%s/stat", pid);
	struct error err;
	size_t len;
	char *text = file_read(path, STAT_MOST, &len, &err);
	int rc = text ? process_parse(text, p) : -1;

	p->at = clock_now();
	free(text);
	free(path);
	return rc;
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int read_all(const struct machine *m, struct table *t, struct error *err)
{
	char *path = machine_path(m, "/proc");
	DIR *dir = opendir(path);
	struct dirent *d;

	*t = (struct table){ 0 };
	if (!dir)
		error_sys(err, "cannot open %s", path);
	free(path);
	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		if (strspn(d->d_name, "0123456789") != strlen(d->d_name))
			continue;
		t->items = grow(t->items, (size_t)t->count, sizeof(*t->items));
		if (read_process(m, d->d_name, &t->items[t->count]) == 0)
			t->count++;
	}
	closedir(dir);
	qsort(t->items, (size_t)t->count, sizeof(*t->items), by_pid);
	return 0;
}

static const struct process *find(const struct table *t, int pid)
{
	const struct process key = { .pid = pid };

	return t->count ? bsearch(&key, t->items, (size_t)t->count, sizeof(key), by_pid) : NULL;
}

static int runs_this_program(int pid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return stat("/proc/self/exe", &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Ourselves at least: our parent may be a test. */
static int find_root(const struct table *t)
{
	const struct process *p = find(t, getpid());
	int root = getpid();

	for (int i = 0; p && p->parent > 1 && i < DEPTH_MOST; i++) {
		if (!runs_this_program(p->parent))
			break;
		root = p->parent;
		p = find(t, root);
	}
	return root;
}

static int descends_from(const struct table *t, const struct process *p, int root)
{
	for (int i = 0; p && i < DEPTH_MOST; i++) {
		if (p->pid == root)
			return 1;
		p = find(t, p->parent);
	}
	return 0;
}

/* Of one processor; one that was not there before has spent all its time since. */
static double share_of(const struct process *now, const struct table *before, double began)
{
	const struct process *was = find(before, now->pid);
	double ticks = (double)now->ticks, since = began;

	if (was && was->started == now->started) {
		ticks -= (double)was->ticks;
		since = was->at;
	}
	return now->at > since ? ticks / (double)sysconf(_SC_CLK_TCK) / (now->at - since) : 0;
}

static int by_share(const void *a, const void *b)
{
	const struct busy_process *x = a, *y = b;

	return x->share != y->share ? (x->share < y->share) - (x->share > y->share)
				    : (x->pid > y->pid) - (x->pid < y->pid);
}

static void name_process(struct busy_process *out, const struct process *p)
{
	struct text t;

	text_init(&t);
	text_add_printable(&t, p->name);
	snprintf(out->name, sizeof(out->name), "%s", t.data);
	text_release(&t);
}

static void compare(struct busy *job, const struct table *before, const struct table *now,
		    double began)
{
	struct busy_process *found = NULL;
	int root = find_root(now);

	for (int i = 0; i < now->count; i++) {
		const struct process *p = &now->items[i];
		double share = share_of(p, before, began);

		if (share <= job->share || (p->flags & PF_KTHREAD) || descends_from(now, p, root))
			continue;
		found = grow(found, (size_t)job->count, sizeof(*found));
		found[job->count] = (struct busy_process){ .pid = p->pid, .share = share };
		name_process(&found[job->count++], p);
	}
	if (job->count)
		qsort(found, (size_t)job->count, sizeof(*found), by_share);
	job->kept = job->count < BUSY_KEPT ? job->count : BUSY_KEPT;
	for (int i = 0; i < job->kept; i++)
		job->first[i] = found[i];
	free(found);
}

static void wait_for(double seconds)
{
	struct timespec left = { (time_t)seconds, (long)((seconds - floor(seconds)) * 1e9) };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* The first process is somebody else's, so who cannot see it cannot see others either. */
static int sees_others(const struct machine *m, struct error *err)
{
	struct process p;

	if (read_process(m, "1", &p) == 0)
		return 0;
	return error_set(err, "processes of others cannot be seen: /proc is mounted with hidepid, "
			      "or it is not there");
}

static int is_apart(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

	if (n < 0)
		return 1;
	link[n] = '\0';
	return strcmp(link, FIRST_NAMESPACE) != 0;
}

int machine_busy(struct machine *m, struct busy *job, struct error *err)
{
	struct table before, now = { 0 };
	double began = clock_now();
	int rc;

	job->count = job->kept = 0;
	if (*m->root)
		return 1;
	job->is_apart = is_apart();
	if (sees_others(m, err) < 0 || read_all(m, &before, err) < 0)
		return -1;
	wait_for(job->seconds);
	rc = read_all(m, &now, err);
	if (rc == 0)
		compare(job, &before, &now, began);
	free(before.items);
	free(now.items);
	return rc;
}
