/* Copies elements under masks of bytes. Included by table.h: written out, because compilers make loops over bytes and
 * wider elements of the narrow vectors that hold the bytes. */
#if defined(__AVX512BW__) && defined(__AVX512VL__)

/* FR_COLUMNS elements, or `few`: the others are neither read nor written. Returns whether any mask is not 0. */
static inline int fr_select_32(char *to, const char *from, const char *mask, uint64_t absent, ptrdiff_t few) {
    const __m512i other = _mm512_set1_epi32((int)absent);
    const __mmask16 all = (__mmask16)((1u << few) - 1);
    const __m128i m = few == FR_COLUMNS ? _mm_loadu_si128((const __m128i *)mask) : _mm_maskz_loadu_epi8(all, mask);
    const __mmask16 in = _mm_test_epi8_mask(m, m);
    const __m512i x = few == FR_COLUMNS ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi32(in, from);
    const __m512i y = _mm512_mask_blend_epi32(in, other, x);
    if (few == FR_COLUMNS) _mm512_storeu_si512(to, y);
    else _mm512_mask_storeu_epi32(to, all, y);
    return in;
}
static inline int fr_select_64(char *to, const char *from, const char *mask, uint64_t absent, ptrdiff_t few) {
    const __m512i other = _mm512_set1_epi64((long long)absent);
    const unsigned all = (1u << few) - 1;
    const __m128i m =
        few == FR_COLUMNS ? _mm_loadu_si128((const __m128i *)mask) : _mm_maskz_loadu_epi8((__mmask16)all, mask);
    const unsigned in = _mm_test_epi8_mask(m, m);
    for (unsigned j = 0; j < FR_COLUMNS; j += 8) {
        const __mmask8 at = (__mmask8)(in >> j);
        const __m512i x =
            few == FR_COLUMNS ? _mm512_loadu_si512(from + 8 * j) : _mm512_maskz_loadu_epi64(at, from + 8 * j);
        const __m512i y = _mm512_mask_blend_epi64(at, other, x);
        if (few == FR_COLUMNS) _mm512_storeu_si512(to + 8 * j, y);
        else _mm512_mask_storeu_epi64(to + 8 * j, (__mmask8)(all >> j), y);
    }
    return (int)in;
}
#define FR_SELECT_FEW(bits, ...) fr_select_##bits(__VA_ARGS__)

#else

/* Elements of any type, as their bits: a compiler must not reorder their loads and those of floats. */
#if defined(_MSC_VER) && !defined(__clang__)
typedef uint32_t fr_bits_32;
typedef uint64_t fr_bits_64;
#else
typedef uint32_t __attribute__((may_alias)) fr_bits_32;
typedef uint64_t __attribute__((may_alias)) fr_bits_64;
#endif

static inline int fr_any_of(const char *mask) {
    uint64_t two[2];
    memcpy(two, mask, sizeof two);
    return (two[0] | two[1]) != 0;
}
#if defined(__AVX2__)
static inline int fr_select_32(char *to, const char *from, const char *mask, uint64_t absent, ptrdiff_t few) {
    const __m256i other = _mm256_set1_epi32((int)absent), zero = _mm256_setzero_si256();
    for (int j = 0; j < FR_COLUMNS; j += 8) {
        const __m256i m = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(mask + j)));
        const __m256i x = _mm256_loadu_si256((const __m256i *)(from + 4 * j));
        _mm256_storeu_si256((__m256i *)(to + 4 * j), _mm256_blendv_epi8(x, other, _mm256_cmpeq_epi32(m, zero)));
    }
    (void)few;
    return fr_any_of(mask);
}
static inline int fr_select_64(char *to, const char *from, const char *mask, uint64_t absent, ptrdiff_t few) {
    const __m256i other = _mm256_set1_epi64x((long long)absent), zero = _mm256_setzero_si256();
    for (int j = 0; j < FR_COLUMNS; j += 4) {
        int four;
        memcpy(&four, mask + j, sizeof four);
        const __m256i m = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four));
        const __m256i x = _mm256_loadu_si256((const __m256i *)(from + 8 * j));
        _mm256_storeu_si256((__m256i *)(to + 8 * j), _mm256_blendv_epi8(x, other, _mm256_cmpeq_epi64(m, zero)));
    }
    (void)few;
    return fr_any_of(mask);
}
#else
#define FR_SELECT_STEP(bits)                                                                                           \
    static inline int fr_select_##bits(char *to, const char *from, const char *mask, uint64_t absent, ptrdiff_t few) { \
        const fr_bits_##bits other = (fr_bits_##bits)absent, *x = (const fr_bits_##bits *)from;                        \
        fr_bits_##bits *y = (fr_bits_##bits *)to;                                                                      \
        FR_INDEPENDENT                                                                                                 \
        for (int j = 0; j < FR_COLUMNS; j++) {                                                                         \
            const fr_bits_##bits v = x[j], m = (fr_bits_##bits)mask[j];                                                \
            y[j] = m ? v : other;                                                                                      \
        }                                                                                                              \
        (void)few;                                                                                                     \
        return fr_any_of(mask);                                                                                        \
    }
FR_SELECT_STEP(32)
FR_SELECT_STEP(64)
#undef FR_SELECT_STEP
#endif

/* One by one, without branches that follow the mask. */
#define FR_SELECT_ONES(bits)                                                                               \
    static inline int fr_select_ones_##bits(char *to, const char *from, const char *mask, uint64_t absent, \
                                            ptrdiff_t few) {                                               \
        const fr_bits_##bits other = (fr_bits_##bits)absent, *x = (const fr_bits_##bits *)from;            \
        fr_bits_##bits *y = (fr_bits_##bits *)to;                                                          \
        int any = 0;                                                                                       \
        for (ptrdiff_t j = 0; j < few; j++) {                                                              \
            y[j] = other ^ ((x[j] ^ other) & (0 - (fr_bits_##bits)(mask[j] != 0)));                        \
            any |= mask[j];                                                                                \
        }                                                                                                  \
        return any;                                                                                        \
    }
FR_SELECT_ONES(32)
FR_SELECT_ONES(64)
#undef FR_SELECT_ONES
#define FR_SELECT_FEW(bits, ...) fr_select_ones_##bits(__VA_ARGS__)

#endif

#define FR_SELECT_LINES(kind, bits)                                                                               \
    static int select_row_##kind(char *to, const char *from, const char *mask, ptrdiff_t n, uint64_t absent) {    \
        enum { size = bits / 8 };                                                                                 \
        const ptrdiff_t left = n % FR_COLUMNS, whole = n - left;                                                  \
        int any = 0;                                                                                              \
        for (ptrdiff_t j = 0; j < whole; j += FR_COLUMNS)                                                         \
            any |= fr_select_##bits(to + j * size, from + j * size, mask + j, absent, FR_COLUMNS);                \
        if (left) any |= FR_SELECT_FEW(bits, to + whole * size, from + whole * size, mask + whole, absent, left); \
        return any != 0;                                                                                          \
    }                                                                                                             \
    static void select_lines_##kind(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch,         \
                                    const char *mask, ptrdiff_t mask_pitch, ptrdiff_t lines, ptrdiff_t n,         \
                                    uint64_t absent) {                                                            \
        const ptrdiff_t pitch = n * (bits / 8);                                                                   \
        if (to_pitch == pitch && from_pitch == pitch && mask_pitch == n) n *= lines, lines = 1; /* one run */     \
        for (ptrdiff_t i = 0; i < lines; i++)                                                                     \
            select_row_##kind(to + i * to_pitch, from + i * from_pitch, mask + i * mask_pitch, n, absent);        \
    }
FR_SELECT_LINES(wide, 32)
FR_SELECT_LINES(full, 64)
#undef FR_SELECT_LINES
