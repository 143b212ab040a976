/*
 * test_disk_checks.c - what disk checks make of a disk that answers with errors alone.
 */
#include "harness/checks/check.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

extern const struct check check_disk_seq, check_disk_rand, check_disk_latency;

/* After so many good transfers each operation fails. */
static int good_left;

static int disk_io(struct machine *m, struct disk_io *job, struct error *err)
{
	(void)m;
	job->took = 1;
	if (good_left-- > 0) {
		job->operations = 100;
		job->bytes = job->max_bytes ? job->max_bytes : 1 << 20;
		return 0;
	}
	job->errors = 7;
	return error_set(err, "not one operation on it succeeded: Input/output error");
}

static const struct host *host(struct machine *m)
{
	static struct host_disk disk = { "sda", "/dev/sda", "S1", "scsi", 1 << 30 };
	static const struct host h = { .disks = &disk, .disk_count = 1 };

	(void)m;
	return &h;
}

struct seen {
	double errors;
	int reported, notes;
};

static void on_figure(void *arg, const char *metric, const char *subject, const double *v, int n)
{
	struct seen *s = arg;

	(void)subject;
	if (strcmp(metric, "errors") != 0)
		return;
	assert_int_equal(n, 1);
	s->errors = v[0];
	s->reported++;
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why, int hole)
{
	(void)arg;
	(void)metric;
	(void)subject;
	(void)why;
	(void)hole;
}

static void on_note(void *arg, const char *text)
{
	struct seen *s = arg;

	s->notes += strstr(text, "not one operation on it succeeded") != NULL;
}

static void a_disk_that_only_fails_is_bad(void **state)
{
	static const struct check *const checks[] = { &check_disk_seq, &check_disk_rand,
						      &check_disk_latency };
	static const struct kernels hw = { .disk_io = disk_io, .host = host };

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(checks); c++)
		for (int good = 0; good < 3; good++) {
			const char *values[32] = { 0 };
			struct seen seen = { 0 };
			const struct sink sink = { .figure = on_figure,
						   .absent = on_absent,
						   .note = on_note,
						   .arg = &seen };
			struct job job = { .hw = &hw, .unit = "disk0", .sink = &sink };
			struct error err = { "" };

			good_left = good;
			job.knobs = (struct knobs){ .check = checks[c], .values = values };
			assert_int_equal(checks[c]->run(&job, &err), RUN_OK);
			if (seen.reported != 1 || seen.errors != 7 || seen.notes != 1)
				fail_msg("%s, %d good: errors reported %d times as %g, %d notes",
					 checks[c]->name, good, seen.reported, seen.errors,
					 seen.notes);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_that_only_fails_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
