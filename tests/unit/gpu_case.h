/*
 * gpu_case.h - runs a test on the double of libcuda. Included once by a test program.
 *
 * The double plays one machine a process, so each case runs in a child of its own, with its own
 * scenario. A case ends its child with a sentence when something is not as it needs to be.
 */
#ifndef ASSAY_GPU_CASE_H
#define ASSAY_GPU_CASE_H

#include "kernels/gpu_start.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS_MOST = 100, SAMPLES = 3, MIB = 1 << 20 };

/* Its tests do not wait for half a minute. */
static const struct gpu_patience impatient = { .queueing = 0.1, .slack = 2, .rate = 1e8 };

/* In the child of a case: a sentence on stderr, and the end. */
#define NEED(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static inline void need_near(const char *what, double value, double want)
{
	NEED(fabs(value - want) <= 0.05 * want, "%s: %g, not %g", what, value, want);
}

static inline void need_says(const struct error *err, const char *words)
{
	NEED(strstr(err->text, words), "\"%s\" does not say \"%s\"", err->text, words);
}

struct gpu_case {
	const char *name, *scenario;
	void (*run)(struct machine *m);
};

#define CASE(function, text)                                                                       \
	{                                                                                          \
		.name = #function, .scenario = text, .run = function                               \
	}

/* The child: its library is loaded after the scenario has been named. */
static inline void child(const struct gpu_case *c, const char *path)
{
	struct error err = { "" };
	struct machine *m;

	alarm(SECONDS_MOST);
	setenv("ASSAY_DOUBLE", path, 1);
	m = real_kernels.machine_open("", &err);
	NEED(m, "%s", err.text);
	NEED(real_kernels.gpus(m, &err), "%s", err.text);
	NEED(real_kernels.gpus(m, &err)->simulated, "a real GPU: %s",
	     real_kernels.gpus(m, &err)->library);
	c->run(m);
	real_kernels.machine_close(m);
	exit(0);
}

static inline void run_case(void **state)
{
	const struct gpu_case *c = *state;
	char path[] = "/tmp/assay-scenario-XXXXXX";
	const int fd = mkstemp(path);
	int status = 0;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, c->scenario, strlen(c->scenario)), strlen(c->scenario));
	close(fd);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(c, path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("status %x", status);
}

static inline int run_cases(const struct gpu_case *cases, size_t count)
{
	struct CMUnitTest *tests = xcalloc(count, sizeof(*tests));
	int rc;

	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){ .name = cases[i].name,
						.test_func = run_case,
						.initial_state = (void *)(uintptr_t)&cases[i] };
	rc = _cmocka_run_group_tests("on the double", tests, count, NULL, NULL);
	free(tests);
	return rc;
}

#endif
