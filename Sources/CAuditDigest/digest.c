// The low-level SHA256_* calls are deprecated in OpenSSL 3 but take half the time of EVP for a 200-byte record.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "CAuditDigest.h"

#include <limits.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

void caudit_sha256(const void *bytes, size_t size, uint8_t *digest) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes, size);
  SHA256_Final(digest, &context);
}

void caudit_sha256_prefixed(uint8_t prefix, const void *first, size_t first_size, const void *second, size_t second_size, uint8_t *digest) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, &prefix, 1);
  SHA256_Update(&context, first, first_size);
  if (second_size > 0) SHA256_Update(&context, second, second_size);
  SHA256_Final(digest, &context);
}

int caudit_random(void *bytes, size_t size) {
  if (size > INT_MAX) return -1;
  return RAND_bytes(bytes, (int)size) == 1 ? 0 : -1;
}
