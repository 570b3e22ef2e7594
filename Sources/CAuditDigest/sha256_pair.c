// SHA-256 of two messages at a time. One message leaves the CPU's SHA unit idle for half of the time, since each of its rounds waits for the
// one before; two that take turns fill it. Where there is no such unit, or the messages do not take the same number of blocks, libcrypto
// hashes one after the other.
#include <string.h>

#include "CAuditDigest.h"

// A message with its prefix and its padding.
#define PAIR_BLOCKS 8

static size_t blocks_of(size_t size) { return (size + 1 + 8 + 63) / 64; }

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static int has_sha;
static pthread_once_t has_sha_once = PTHREAD_ONCE_INIT;

static void look_for_sha(void) {
  unsigned a, b, c, d;
  has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}

static int has_hardware(void) {
  pthread_once(&has_sha_once, look_for_sha);
  return has_sha;
}

// The state as the instructions want it: a, b, e, f and c, d, g, h.
typedef struct {
  __m128i abef, cdgh;
} State;

// The next four words of the schedule, from the sixteen before.
#define SCHEDULE(w, g)                                                                                                            \
  w[(g)&3] = _mm_sha256msg2_epu32(                                                                                                \
      _mm_add_epi32(_mm_sha256msg1_epu32(w[(g)&3], w[((g) + 1) & 3]), _mm_alignr_epi8(w[((g) + 3) & 3], w[((g) + 2) & 3], 4)), \
      w[((g) + 3) & 3])

#define ROUNDS(s, w, g)                                                                                  \
  do {                                                                                                   \
    __m128i sum = _mm_add_epi32(w[(g)&3], _mm_load_si128((const __m128i *)constants + (g)));               \
    s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, sum);                                                   \
    s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(sum, 0x0E));                          \
  } while (0)

__attribute__((target("sha,sse4.1"))) static void store(State s, uint8_t *digest) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i feba = _mm_shuffle_epi32(s.abef, 0x1B), dchg = _mm_shuffle_epi32(s.cdgh, 0xB1);
  _mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(_mm_blend_epi16(feba, dchg, 0xF0), swap));
  _mm_storeu_si128((__m128i *)digest + 1, _mm_shuffle_epi8(_mm_alignr_epi8(dchg, feba, 8), swap));
}

__attribute__((target("sha,sse4.1"))) static void hash_pair(
    const uint8_t *a, const uint8_t *b, size_t blocks, uint8_t *digest_a, uint8_t *digest_b) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const State initial = {
      _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c), _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
  State s = initial, t = initial;
  for (; blocks > 0; blocks--, a += 64, b += 64) {
    const State before_a = s, before_b = t;
    __m128i v[4], w[4];
#pragma GCC unroll 16
    for (int g = 0; g < 16; g++) {
      if (g < 4) {
        v[g] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)a + g), swap);
        w[g] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)b + g), swap);
      } else {
        SCHEDULE(v, g);
        SCHEDULE(w, g);
      }
      ROUNDS(s, v, g);
      ROUNDS(t, w, g);
    }
    s = (State){_mm_add_epi32(s.abef, before_a.abef), _mm_add_epi32(s.cdgh, before_a.cdgh)};
    t = (State){_mm_add_epi32(t.abef, before_b.abef), _mm_add_epi32(t.cdgh, before_b.cdgh)};
  }
  store(s, digest_a);
  store(t, digest_b);
}
#else
static int has_hardware(void) { return 0; }
static void hash_pair(const uint8_t *a, const uint8_t *b, size_t blocks, uint8_t *digest_a, uint8_t *digest_b) {
  (void)a, (void)b, (void)blocks, (void)digest_a, (void)digest_b;
}
#endif

// Puts the end of a message, its padding and its length into the blocks that `begun` bytes of it stand in already.
static void pad(uint8_t *block, size_t begun, const void *bytes, size_t size, size_t blocks) {
  size_t length = begun + size;
  if (size > 0) memcpy(block + begun, bytes, size);
  memset(block + length, 0, blocks * 64 - length);
  block[length] = 0x80;
  for (int i = 0; i < 8; i++) block[blocks * 64 - 1 - i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
}

static void pair(const uint8_t *prefix, const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *digest_a, uint8_t *digest_b) {
  size_t begun = prefix != NULL, blocks = blocks_of(begun + a_size);
  if (blocks > PAIR_BLOCKS || blocks != blocks_of(begun + b_size) || !has_hardware()) {
    if (prefix == NULL) {
      caudit_sha256(a, a_size, digest_a);
      caudit_sha256(b, b_size, digest_b);
    } else {
      caudit_sha256_prefixed(*prefix, a, a_size, NULL, 0, digest_a);
      caudit_sha256_prefixed(*prefix, b, b_size, NULL, 0, digest_b);
    }
    return;
  }
  uint8_t space_a[PAIR_BLOCKS * 64], space_b[PAIR_BLOCKS * 64];
  if (prefix != NULL) space_a[0] = space_b[0] = *prefix;
  pad(space_a, begun, a, a_size, blocks);
  pad(space_b, begun, b, b_size, blocks);
  hash_pair(space_a, space_b, blocks, digest_a, digest_b);
}

void caudit_sha256_pair(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *digest_a, uint8_t *digest_b) {
  pair(NULL, a, a_size, b, b_size, digest_a, digest_b);
}

void caudit_sha256_prefixed_pair(
    uint8_t prefix, const void *a, size_t a_size, const void *b, size_t b_size, uint8_t *digest_a, uint8_t *digest_b) {
  pair(&prefix, a, a_size, b, b_size, digest_a, digest_b);
}
