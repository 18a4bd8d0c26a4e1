/* Copies a computed block to memory by non-temporal stores of whole lines, which neither read a line before they write
 * it nor evict the contents of the cache. Included by table.h, so that the width of the stores follows the instruction
 * set. Where C has no such stores nothing is streamed: AArch64 processors recognize a run of full lines by themselves.
 *
 * This file, convert.h, select.h, transpose.h and guard.h are the only ones that use intrinsics. */
#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

enum { FR_STREAM_LINE = 64 };

#if defined(__AVX512F__)
static void fr_stream_line(char *to, const char *from) { _mm512_stream_si512((__m512i *)to, _mm512_loadu_si512(from)); }
#elif defined(__AVX__)
static void fr_stream_line(char *to, const char *from) {
    for (int i = 0; i < FR_STREAM_LINE; i += 32)
        _mm256_stream_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
}
#else
static void fr_stream_line(char *to, const char *from) {
    for (int i = 0; i < FR_STREAM_LINE; i += 16)
        _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
}
#endif

/* Lines that the block fills only in part may be shared with another block or thread: those are stored as usual. Such
 * stores disturb the hardware prefetcher, so with each line the next input is prefetched. */
static void fr_stream_move(char *to, const char *from, ptrdiff_t n, const char *const *next, int inputs) {
    ptrdiff_t i = (ptrdiff_t)(-(uintptr_t)to % FR_STREAM_LINE);
    if (i > n) i = n;
    memcpy(to, from, (size_t)i);
    for (; i + FR_STREAM_LINE <= n; i += FR_STREAM_LINE) {
        for (int j = 0; j < inputs; j++) _mm_prefetch(next[j] + i, _MM_HINT_T0);
        fr_stream_line(to + i, from + i);
    }
    memcpy(to + i, from + i, (size_t)(n - i));
}

static void fr_stream_finish(void) { _mm_sfence(); }

#define FR_STREAM {fr_stream_move, fr_stream_finish}
#else
#define FR_STREAM {0, 0}
#endif
