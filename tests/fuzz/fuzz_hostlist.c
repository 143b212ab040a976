/* fuzz_hostlist.c - any text as a host list; what is taken must be safe and come back the same. */
#include "harness/base/base.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_same(const struct hostlist *a, const struct hostlist *b)
{
	if (a->count != b->count)
		abort();
	for (int i = 0; i < a->count; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size), *again;
	struct hostlist list, back;
	struct error err;

	if (hostlist_parse(text, &list, &err) == 0) {
		for (int i = 0; i < list.count; i++)
			if (!hostname_valid(list.names[i]) || list.names[i][0] == '-')
				abort();
		again = hostlist_text((const char *const *)list.names, list.count);
		if (hostlist_parse(again, &back, &err) < 0)
			abort();
		must_be_same(&list, &back);
		free(again);
		hostlist_release(&back);
		hostlist_release(&list);
	}
	free(text);
	return 0;
}
