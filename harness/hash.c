/* hash.c - SHA-256 as text. */
#include "harness/hash.h"

#include "harness/base/base.h"

#include <sodium.h>

char *hash_text(const char *data, size_t len)
{
	unsigned char raw[crypto_hash_sha256_BYTES];
	char *hex = xcalloc(1, 2 * sizeof(raw) + 1);

	crypto_hash_sha256(raw, (const unsigned char *)data, len);
	return sodium_bin2hex(hex, 2 * sizeof(raw) + 1, raw, sizeof(raw));
}
