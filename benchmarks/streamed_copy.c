/* The memory's limit: a copy with non-temporal stores, on several threads. Not part of the package; peers.py compiles
 * it for a figure that is independent of the package's code. */
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

enum { LINE = 64, AHEAD = 512 };

/* Both addresses are a multiple of 64 bytes or 16 more, as in NumPy's arrays. */
static void copy_part(char *to, const char *from, size_t n) {
    size_t i = -(size_t)to % LINE;
    if (i > n) i = n;
    memcpy(to, from, i);
    for (; i + LINE <= n; i += LINE) {
        _mm_prefetch(from + i + AHEAD, _MM_HINT_T0);
        for (size_t j = 0; j < LINE; j += 16)
            _mm_stream_si128((__m128i *)(to + i + j), _mm_loadu_si128((const __m128i *)(from + i + j)));
    }
    memcpy(to + i, from + i, n - i);
    _mm_sfence();
}

void streamed_copy(char *to, const char *from, size_t n, int threads) {
    size_t part = (n / (size_t)threads + LINE - 1) / LINE * LINE;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int k = 0; k < threads; k++) {
        size_t start = part * (size_t)k;
        if (start < n) copy_part(to + start, from + start, n - start < part ? n - start : part);
    }
}
