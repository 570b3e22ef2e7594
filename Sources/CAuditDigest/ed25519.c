#include "CAuditDigest.h"

#include <openssl/evp.h>

int caudit_ed25519_public_key(const uint8_t *seed, uint8_t *public_key) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
  if (key == NULL) return -1;
  size_t size = 32;
  int ok = EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1 && size == 32;
  EVP_PKEY_free(key);
  return ok ? 0 : -1;
}

int caudit_ed25519_sign(const uint8_t *seed, const void *bytes, size_t size, uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t written = 64;
  int ok = key != NULL && context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestSign(context, signature, &written, bytes, size) == 1 && written == 64;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return ok ? 0 : -1;
}

int caudit_ed25519_verify(const uint8_t *public_key, const void *bytes, size_t size, const uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  int ok = key != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestVerify(context, signature, 64, bytes, size) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return ok ? 0 : -1;
}
