/* hash.h - SHA-256 of texts and files, by libsodium. */
#ifndef ASSAY_HASH_H
#define ASSAY_HASH_H

#include <stddef.h>

/* 64 hexadecimal digits; the caller frees them. */
char *hash_text(const char *data, size_t len);

#endif
