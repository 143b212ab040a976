/* cmd_spec.c - inventory, specs and checks: everything that runs nothing. */
#include "harness/runfolder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- inventory ---- */

struct facts {
	struct derive_fact *items;
	int count;
	struct text holes;
	json_t *json;
};

static void take_fact(void *arg, const char *part, const char *key, const char *value,
		      const char *hole)
{
	struct facts *f = arg;
	json_t *o = json_object_get(f->json, *part ? part : "node");

	if (!o) {
		o = json_object();
		json_object_set_new(f->json, *part ? part : "node", o);
		o = json_object_get(f->json, *part ? part : "node");
	}
	if (hole) {
		text_addf(&f->holes, "  %s%s%s: ", *part ? part : "node", *key ? " " : "", key);
		text_add_printable(&f->holes, hole);
		text_add(&f->holes, "\n");
		json_object_set_new(o, key, json_pack("{s:o}", "hole", event_string(hole, 1000)));
		return;
	}
	json_object_set_new(o, key, event_string(value, 1000));
	f->items = grow(f->items, (size_t)f->count, sizeof(*f->items));
	f->items[f->count++] = (struct derive_fact){ xstrdup(part), xstrdup(key), xstrdup(value) };
}

static int read_facts(struct facts *f, const char *root, struct error *err)
{
	struct machine *m = real_kernels.machine_open(root, err);
	int rc;

	*f = (struct facts){ .json = json_object() };
	text_init(&f->holes);
	if (!m)
		return -1;
	rc = real_kernels.facts(m, take_fact, f, err);
	real_kernels.machine_close(m);
	return rc;
}

static void release_facts(struct facts *f)
{
	for (int i = 0; i < f->count; i++) {
		free(f->items[i].part);
		free(f->items[i].key);
		free(f->items[i].value);
	}
	free(f->items);
	text_release(&f->holes);
	json_decref(f->json);
}

static void print_facts(const struct facts *f)
{
	const char *part = NULL;
	struct text t;

	text_init(&t);
	for (int i = 0; i < f->count; i++) {
		const struct derive_fact *d = &f->items[i];

		if (!part || strcmp(part, d->part) != 0)
			text_addf(&t, "%s%s\n", part ? "\n" : "", *d->part ? d->part : "node");
		part = d->part;
		text_addf(&t, "  %-16s ", d->key);
		text_add_printable(&t, d->value);
		text_add(&t, "\n");
	}
	if (f->holes.len)
		text_addf(&t, "\nnot read\n%s", f->holes.data);
	fputs(t.data, stdout);
	text_release(&t);
}

int cmd_inventory(const struct arguments *a)
{
	const char *root = a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "";
	struct facts f;
	struct error err;
	int rc = read_facts(&f, root, &err);

	if (rc == 0 && a->value[OPT_JSON]) {
		json_dumpf(f.json, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (rc == 0) {
		print_facts(&f);
	}
	release_facts(&f);
	return rc < 0 ? fail_with(EXIT_HARNESS, &err) : 0;
}

/* ---- specs ---- */

static void print_library(const char *folder, const char *title)
{
	printf("%s\n", title);
	for (const struct library_file *f = library_files; f->name; f++) {
		struct complaints c;
		struct yaml *y, *about;

		if (strcmp(f->folder, folder) != 0)
			continue;
		complaints_init(&c);
		y = yaml_parse(f->text, strlen(f->text), f->name, &c);
		about = yaml_get(y, "about");
		printf("  %s\n", f->name);
		print_wrapped(about && about->kind == YAML_TEXT ? about->text : "", 6, 79);
		yaml_delete(y);
		complaints_release(&c);
	}
}

int cmd_spec_list(const struct arguments *a)
{
	(void)a;
	print_library("systems", "systems (--spec)");
	print_library("profiles", "\nprofiles (--profile)");
	print_library("parts", "\nparts (for `extends`)");
	return 0;
}

int cmd_spec_show(const struct arguments *a)
{
	static const char *const folders[] = { "systems", "profiles", "parts" };
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const struct library_file *f = library_find(folders[i], a->words[0]);

		if (!f)
			continue;
		fputs(f->text, stdout);
		return 0;
	}
	error_set(&err, "the library has no '%.60s'; `assay spec list` shows the names",
		  a->words[0]);
	return fail_with(EXIT_USAGE, &err);
}

static const char *plural(int n)
{
	return n == 1 ? "" : "s";
}

int cmd_spec_check(const struct arguments *a)
{
	struct spec *s = load_spec_or_say(a->words[0]);

	if (!s)
		return EXIT_USAGE;
	if (a->value[OPT_PROFILE] && check_profile_or_say(s, a->value[OPT_PROFILE])) {
		spec_free(s);
		return EXIT_USAGE;
	}
	printf("%s: %d part%s, %d node type%s, %d limit%s, %d setting%s, %d program%s: no mistake "
	       "found\n",
	       s->name, s->part_count, plural(s->part_count), s->node_count, plural(s->node_count),
	       s->limit_count, plural(s->limit_count), s->setting_count, plural(s->setting_count),
	       s->program_count, plural(s->program_count));
	spec_free(s);
	return 0;
}

/* The disk under the folder for files becomes a fact, so that derive can give it to that disk. */
static void add_folder(struct facts *f, const char *folder, const char *root)
{
	struct machine *m;
	struct error err;
	char device[64];

	if (*root || !(m = real_kernels.machine_open(root, &err)))
		return;
	if (real_kernels.disk_of_folder(m, folder, device, sizeof(device), &err) == 0)
		take_fact(f, "", "folder_device", device, NULL);
	else
		fprintf(stderr, "assay: disks are only read: %s\n", err.text);
	real_kernels.machine_close(m);
}

static void take_log_hole(void *arg, const char *part, const char *what, const char *text)
{
	char *why;

	if (*part || strcmp(what, "hole") != 0 || !strstr(text, "the kernel's log"))
		return;
	why = xasprintf("%s; XIDs, machine checks, resets and other faults that only the kernel "
			"tells are not seen",
			text);
	take_fact(arg, "", "kernel_log", why, NULL);
	fprintf(stderr, "assay: %s; the spec waives that, and waits for a name: see its end\n",
		text);
	free(why);
}

/* What this user's telemetry would not see: the sampler itself is asked, for one second. */
static void add_kernel_log(struct facts *f, const char *root)
{
	struct machine *m;
	struct sampler *s;
	struct sampling got;
	struct error err;

	if (*root || !(m = real_kernels.machine_open(root, &err)))
		return;
	s = real_kernels.sampler_open(m, &err);
	if (s)
		real_kernels.sampler_read(s, &got, take_log_hole, f);
	/* A source that hangs still holds the machine. */
	if (!s || real_kernels.sampler_close(s) == 0)
		real_kernels.machine_close(m);
}

int cmd_spec_derive(const struct arguments *a)
{
	const char *root = a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "";
	const char *folder = a->value[OPT_FOLDER] ? a->value[OPT_FOLDER] : "/var/tmp";
	struct facts f;
	struct error err;
	char *text;
	int rc = 0;

	if (read_facts(&f, root, &err) < 0) {
		release_facts(&f);
		return fail_with(EXIT_HARNESS, &err);
	}
	add_folder(&f, folder, root);
	add_kernel_log(&f, root);
	text = spec_derive(f.items, f.count, folder);
	if (f.holes.len)
		fprintf(stderr, "assay: not read, so not in the spec:\n%s", f.holes.data);
	if (!a->value[OPT_OUT])
		fputs(text, stdout);
	else if (file_replace(a->value[OPT_OUT], text, strlen(text), &err) < 0)
		rc = fail_with(EXIT_HARNESS, &err);
	free(text);
	release_facts(&f);
	return rc;
}

/* ---- checks ---- */

int cmd_check_list(const struct arguments *a)
{
	(void)a;
	for (int i = 0; all_checks[i]; i++)
		printf("%-18s %s\n", all_checks[i]->name, all_checks[i]->summary);
	return 0;
}

static void print_metrics(const struct check *c)
{
	static const char *const ways[] = { "median", "every sample", "share of windows",
					    "recorded only" };

	printf("\nfigures\n");
	for (const struct metric *m = c->metrics; m->name; m++)
		printf("  %-24s %-8s %-17s %s\n", m->name, *m->unit ? m->unit : "count",
		       m->better == NONE ? "must be zero" : ways[m->judged], m->help);
	if (!c->metrics->name)
		printf("  facts or figures that the spec itself describes\n");
}

int cmd_check_show(const struct arguments *a)
{
	const struct check *c = check_find(a->words[0]);
	struct error err;

	if (!c) {
		error_set(&err, "no check is called '%.60s'; `assay check list` shows all",
			  a->words[0]);
		return fail_with(EXIT_USAGE, &err);
	}
	printf("%s - %s\n\n", c->name, c->summary);
	print_wrapped(c->how, 0, 79);
	printf("\nknobs\n");
	for (const struct param *p = c->params; p->name; p++)
		printf("  %-10s %-10s %s\n", p->name, p->from_spec ? "(spec)" : p->preset, p->help);
	if (!c->params->name)
		printf("  none\n");
	print_metrics(c);
	return 0;
}
