/* fuzz_quantity.c - any text as a quantity, and as what a fact should be. */
#include "harness/spec.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size), out[512];
	const char *slash = strchr(text, '\n');
	struct quantity q;
	struct error err = { "" };

	if (quantity_parse(text, &q, &err) < 0) {
		if (!*err.text)
			abort();
	} else if (!isfinite(q.value) || *err.text) {
		abort();
	} else {
		quantity_text(q.value, "GB/s", out, sizeof(out));
		bytes_text(q.value, out, sizeof(out));
	}
	if (slash) {
		char *want = xstrndup(text, (size_t)(slash - text));

		expect_holds(FACT_NUMBER, want, slash + 1);
		expect_holds(FACT_WORD, want, slash + 1);
		free(want);
	}
	free(text);
	return 0;
}
