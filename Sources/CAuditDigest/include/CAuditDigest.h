// Digests and randomness of the append path, over OpenSSL's libcrypto and the CPU's CRC instruction.
#ifndef CAUDIT_DIGEST_H
#define CAUDIT_DIGEST_H

#include <stddef.h>
#include <stdint.h>

// SHA-256 (FIPS 180-4) of `size` bytes into `digest` (32 bytes).
void caudit_sha256(const void *bytes, size_t size, uint8_t *digest);

// SHA-256 of a one-byte prefix followed by two parts: RFC 6962 leaf (0x00) and node (0x01) hashes. `second` may be empty.
void caudit_sha256_prefixed(uint8_t prefix, const void *first, size_t first_size, const void *second, size_t second_size, uint8_t *digest);

// The same of two messages, in little more than the time of one when both take the same number of 64-byte blocks, at most eight.
void caudit_sha256_pair(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *digest_a, uint8_t *digest_b);
void caudit_sha256_prefixed_pair(
    uint8_t prefix, const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *digest_a, uint8_t *digest_b);

// CRC-32C (Castagnoli, RFC 3720 B.4) of `size` bytes, continuing from `crc` (0 to begin).
uint32_t caudit_crc32c(uint32_t crc, const void *bytes, size_t size);

// Fills `bytes` from libcrypto's random generator. Returns 0, or -1 when it has no randomness to give.
int caudit_random(void *bytes, size_t size);

// Ed25519 (RFC 8032). `seed` is the 32-byte private key, `public_key` has 32 bytes, `signature` 64.
// All return 0, or -1: out of memory, a key that is none, or (verify) a signature that is not this key's over these bytes.
int caudit_ed25519_public_key(const uint8_t *seed, uint8_t *public_key);
int caudit_ed25519_sign(const uint8_t *seed, const void *bytes, size_t size, uint8_t *signature);
int caudit_ed25519_verify(const uint8_t *public_key, const void *bytes, size_t size, const uint8_t *signature);

#endif
