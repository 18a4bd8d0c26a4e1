/* Loaders, which convert elements of any format to a type that has kernels; storers, which convert back; byte swaps,
 * and copies under a mask. Included by table.h, so that the instructions follow the instruction set. They run under
 * guard.h, with subnormals and rounding to nearest even. */
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

/* FR_CONVERT(id, from, to): a loop over contiguous elements that casts them. */
#define FR_CONVERT(id, source, target, ...)                           \
    static void id(const char *from, char *to, ptrdiff_t n) {         \
        const source *x = (const source *)from;                       \
        target *y = (target *)to;                                     \
        FR_INDEPENDENT                                                \
        for (ptrdiff_t i = 0; i < n; i++) y[i] = (target)__VA_ARGS__; \
    }

/* Integers, in the order of NumPy's type numbers; bool is any byte. */
#define FR_LOAD_INTEGER(name, type)                       \
    FR_CONVERT(fr_load_##name##_float, type, float, x[i]) \
    FR_CONVERT(fr_load_##name##_double, type, double, x[i])
FR_LOAD_INTEGER(byte, signed char)
FR_LOAD_INTEGER(ubyte, unsigned char)
FR_LOAD_INTEGER(short, short)
FR_LOAD_INTEGER(ushort, unsigned short)
FR_LOAD_INTEGER(int, int)
FR_LOAD_INTEGER(uint, unsigned)
FR_LOAD_INTEGER(long, long)
FR_LOAD_INTEGER(ulong, unsigned long)
FR_LOAD_INTEGER(longlong, long long)
FR_LOAD_INTEGER(ulonglong, unsigned long long)
FR_CONVERT(fr_load_bool_float, unsigned char, float, (x[i] != 0))
FR_CONVERT(fr_load_bool_double, unsigned char, double, (x[i] != 0))
FR_CONVERT(fr_widen, float, double, x[i])
FR_CONVERT(fr_narrow, double, float, x[i])

/* --- float16 --- */

static inline float fr_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t fr_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Exact. The exponent moves by 112; subnormal numbers are a difference of two normal ones. */
static inline float fr_of_half(uint16_t half) {
    const uint32_t bits = (uint32_t)(half & 0x7fff) << 13, exponent = bits & 0x0f800000;
    const uint32_t moved = bits + (exponent == 0x0f800000 ? 224u << 23 : 112u << 23);
    const uint32_t small = fr_bits_of(fr_float_of(bits + (113u << 23)) - 0x1p-14f);
    return fr_float_of((exponent ? moved : small) | (uint32_t)(half & 0x8000) << 16);
}

/* Rounds to nearest even: a normal result by an addition in integers, a subnormal one by an addition of 0.5, whose unit
 * in the last place is the smallest subnormal number. */
static inline uint16_t fr_to_half(float x) {
    const uint32_t bits = fr_bits_of(x), size = bits & 0x7fffffff, moved = size - (112u << 23);
    const uint32_t normal = (moved + 0xfff + (moved >> 13 & 1)) >> 13;
    const uint32_t small = fr_bits_of(fr_float_of(size) + 0.5f) - 0x3f000000;
    const uint32_t finite = size < 0x38800000 ? small : size < 0x477ff000 ? normal : 0x7c00;
    return (uint16_t)((size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x1ff) : finite) | (bits >> 16 & 0x8000));
}

/* --- bfloat16: the upper half of a float --- */

static inline float fr_of_bfloat(uint16_t x) { return fr_float_of((uint32_t)x << 16); }

/* Rounds to nearest even; NaN stays NaN. */
static inline uint16_t fr_to_bfloat(float x) {
    const uint32_t bits = fr_bits_of(x);
    const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : nearest);
}

/* FR_BY_LANES(id, from, to, lanes, several, one): a loop over `several`, which converts `lanes` elements from x + i to
 * y + i, and `one`; and the same as a part of other loops. */
#define FR_BY_LANES(id, source, target, lanes, several, one)            \
    FR_INLINE void id##_here(const source *x, target *y, ptrdiff_t n) { \
        ptrdiff_t i = 0;                                                \
        for (; i + lanes <= n; i += lanes) several;                     \
        for (; i < n; i++) y[i] = one(x[i]);                            \
    }                                                                   \
    static void id(const char *from, char *to, ptrdiff_t n) { id##_here((const source *)from, (target *)to, n); }
#if defined(__AVX512BW__)
/* The result is in the upper halves. */
static inline __m512i fr_to_bfloats(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __m512i down = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    const __m512i nearest = _mm512_mask_add_epi32(down, odd, down, _mm512_set1_epi32(1));
    return _mm512_mask_or_epi32(nearest, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), bits, _mm512_set1_epi32(0x400000));
}
/* 1, 3, 5, ... 63: two words in each number. */
#define FR_ODD_WORDS \
    _mm512_add_epi32(_mm512_set1_epi32(0x00030001), _mm512_mullo_epi32(_mm512_set1_epi32(0x00040004), FR_COUNTED))
#define FR_COUNTED _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
static inline __m512i fr_to_32_bfloats(const float *x, __m512i odd) {
    return _mm512_permutex2var_epi16(fr_to_bfloats(_mm512_loadu_ps(x)), odd, fr_to_bfloats(_mm512_loadu_ps(x + 16)));
}
#define FR_HALVES(x) _mm256_loadu_si256((const __m256i *)(x))
FR_BY_LANES(fr_load_half_float, uint16_t, float, 16, _mm512_storeu_ps(y + i, _mm512_cvtph_ps(FR_HALVES(x + i))),
            fr_of_half)
FR_BY_LANES(fr_store_half_float, float, uint16_t, 16,
            _mm256_storeu_si256((__m256i *)(y + i), _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT)),
            fr_to_half)
FR_BY_LANES(fr_load_bfloat_float, uint16_t, float, 16,
            _mm512_storeu_si512(y + i, _mm512_slli_epi32(_mm512_cvtepu16_epi32(FR_HALVES(x + i)), 16)), fr_of_bfloat)
FR_BY_LANES(fr_store_bfloat_float, float, uint16_t, 32,
            _mm512_storeu_si512(y + i, fr_to_32_bfloats(x + i, FR_ODD_WORDS)), fr_to_bfloat)
#elif defined(__F16C__) || (defined(_MSC_VER) && defined(__AVX2__))
static inline __m256i fr_to_bfloats(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x),
                  lsb = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), lsb);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(nearest, quiet, nan), 16);
}
static inline __m256i fr_to_16_bfloats(const float *x) {
    const __m256i low = fr_to_bfloats(_mm256_loadu_ps(x)), high = fr_to_bfloats(_mm256_loadu_ps(x + 8));
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
}
#define FR_HALVES(x) _mm_loadu_si128((const __m128i *)(x))
FR_BY_LANES(fr_load_half_float, uint16_t, float, 8, _mm256_storeu_ps(y + i, _mm256_cvtph_ps(FR_HALVES(x + i))),
            fr_of_half)
FR_BY_LANES(fr_store_half_float, float, uint16_t, 8,
            _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT)),
            fr_to_half)
FR_BY_LANES(fr_load_bfloat_float, uint16_t, float, 8,
            _mm256_storeu_si256((__m256i *)(y + i), _mm256_slli_epi32(_mm256_cvtepu16_epi32(FR_HALVES(x + i)), 16)),
            fr_of_bfloat)
FR_BY_LANES(fr_store_bfloat_float, float, uint16_t, 16,
            _mm256_storeu_si256((__m256i *)(y + i), fr_to_16_bfloats(x + i)), fr_to_bfloat)
#else
#if defined(__aarch64__) && !defined(_MSC_VER)
FR_CONVERT(fr_load_half_float, __fp16, float, x[i])
FR_CONVERT(fr_store_half_float, float, __fp16, x[i])
#else
FR_CONVERT(fr_load_half_float, uint16_t, float, fr_of_half(x[i]))
FR_CONVERT(fr_store_half_float, float, uint16_t, fr_to_half(x[i]))
#endif
FR_CONVERT(fr_load_bfloat_float, uint16_t, float, fr_of_bfloat(x[i]))
FR_CONVERT(fr_store_bfloat_float, float, uint16_t, fr_to_bfloat(x[i]))
#endif

/* --- Both, from and to double --- */

enum { FR_CONVERT_STEP = 64 }; /* elements between two conversions */

#define FR_BY_STEPS(id, load)                                                      \
    static void id(const char *from, char *to, ptrdiff_t n) {                      \
        float step[FR_CONVERT_STEP];                                               \
        for (ptrdiff_t i = 0; i < n; i += FR_CONVERT_STEP) {                       \
            const ptrdiff_t m = n - i < FR_CONVERT_STEP ? n - i : FR_CONVERT_STEP; \
            load(from + i * (ptrdiff_t)sizeof(uint16_t), (char *)step, m);         \
            fr_widen((const char *)step, to + i * (ptrdiff_t)sizeof(double), m);   \
        }                                                                          \
    }
FR_BY_STEPS(fr_load_half_double, fr_load_half_float)
FR_BY_STEPS(fr_load_bfloat_double, fr_load_bfloat_float)

/* Rounded to odd: whatever is rounded to fewer digits after that is rounded once. */
static inline float fr_to_odd(double x) {
    const float near = (float)x;
    const uint32_t bits = fr_bits_of(near);
    const double back = (double)near, over = x < 0 ? x - back : back - x; /* > 0: away from zero */
    const int exact = !(over > 0) & !(over < 0);                          /* NaN too: x is infinite or NaN */
    return exact | (int)(bits & 1) ? near : fr_float_of(over > 0 ? bits - 1 : bits + 1);
}

/* The same for a double that is itself rounded from a little more. It matters in the middle between two subnormal
 * numbers of bfloat16, where the little may be less than double's unit in the last place: that of x/2 + x*x/4. */
static inline float fr_to_odd_up(double x) {
    const uint32_t bits = fr_bits_of(fr_to_odd(x));
    const int middle = (bits & 0x7fffffff) < 0x00800000 && (bits & 0xffff) == 0x8000;
    return fr_float_of(middle ? (bits >> 31 ? bits - 1 : bits + 1) : bits);
}

#define FR_STORE_BY_STEPS(id, rounded, store)                                      \
    static void id(const char *from, char *to, ptrdiff_t n) {                      \
        const double *x = (const double *)from;                                    \
        float step[FR_CONVERT_STEP];                                               \
        for (ptrdiff_t i = 0; i < n; i += FR_CONVERT_STEP) {                       \
            const ptrdiff_t m = n - i < FR_CONVERT_STEP ? n - i : FR_CONVERT_STEP; \
            for (ptrdiff_t k = 0; k < m; k++) step[k] = rounded(x[i + k]);         \
            store((const char *)step, to + i * (ptrdiff_t)sizeof(uint16_t), m);    \
        }                                                                          \
    }
FR_STORE_BY_STEPS(fr_store_half_double, fr_to_odd, fr_store_half_float)
FR_STORE_BY_STEPS(fr_store_bfloat_double, fr_to_odd, fr_store_bfloat_float)
FR_STORE_BY_STEPS(fr_store_bfloat_double_up, fr_to_odd_up, fr_store_bfloat_float)

/* --- Byte order --- */

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_SWAPPED_2 _byteswap_ushort
#define FR_SWAPPED_4 _byteswap_ulong
#define FR_SWAPPED_8 _byteswap_uint64
#else
#define FR_SWAPPED_2 __builtin_bswap16
#define FR_SWAPPED_4 __builtin_bswap32
#define FR_SWAPPED_8 __builtin_bswap64
#endif
FR_CONVERT(fr_swap2, uint16_t, uint16_t, FR_SWAPPED_2(x[i]))
FR_CONVERT(fr_swap4, uint32_t, uint32_t, FR_SWAPPED_4(x[i]))
FR_CONVERT(fr_swap8, uint64_t, uint64_t, FR_SWAPPED_8(x[i]))

/* --- Masks --- */

#define FR_EIGHT_ONES 0x0101010101010101u
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static inline int fr_first_bit(uint32_t x) {
    unsigned long at;
    _BitScanForward(&at, x);
    return (int)at;
}
#define FR_FIRST_BIT fr_first_bit
#else
#define FR_FIRST_BIT __builtin_ctz
#endif

/* Eight bytes, the first the lowest: compilers make one load of it. */
static inline uint64_t fr_eight_of(const unsigned char *b) {
    return b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

/* A bit for each of eight bytes that is not 0: the product moves the lowest bit of byte k to bit 56 + k. */
static inline uint32_t fr_places_of(uint64_t eight) {
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu, any = ((eight & low) + low) | eight; /* the highest bit of each byte */
    return (uint32_t)((any >> 7 & FR_EIGHT_ONES) * 0x0102040810204080u >> 56);
}

/* Stores the elements whose byte in the mask is not 0; never writes to others, not even their own value. */
#if defined(__AVX2__)
/* Eight at a time: all, none or some of them. */
#define FR_STORE_MASKED(size, type, some)                                                    \
    static void fr_masked##size(const char *from, const char *mask, char *to, ptrdiff_t n) { \
        const type *x = (const type *)from;                                                  \
        type *y = (type *)to;                                                                \
        ptrdiff_t i = 0;                                                                     \
        for (; i + 8 <= n; i += 8) {                                                         \
            uint64_t eight;                                                                  \
            memcpy(&eight, mask + i, 8);                                                     \
            if (eight == 0) continue;                                                        \
            if (eight == FR_EIGHT_ONES) memcpy(y + i, x + i, 8 * sizeof(type));              \
            else some(y + i, x + i, eight);                                                  \
        }                                                                                    \
        for (; i < n; i++)                                                                   \
            if (mask[i]) y[i] = x[i];                                                        \
    }
static inline void fr_some4(uint32_t *y, const uint32_t *x, uint64_t eight) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight));
    _mm256_maskstore_epi32((int *)y, _mm256_cmpgt_epi32(bytes, _mm256_setzero_si256()),
                           _mm256_loadu_si256((const __m256i *)x));
}
static inline void fr_some8(uint64_t *y, const uint64_t *x, uint64_t eight) {
    for (int half = 0; half < 2; half++) {
        const __m256i bytes = _mm256_cvtepu8_epi64(_mm_cvtsi64_si128((long long)(eight >> 32 * half)));
        _mm256_maskstore_epi64((long long *)y + 4 * half, _mm256_cmpgt_epi64(bytes, _mm256_setzero_si256()),
                               _mm256_loadu_si256((const __m256i *)(x + 4 * half)));
    }
}
FR_STORE_MASKED(4, uint32_t, fr_some4)
FR_STORE_MASKED(8, uint64_t, fr_some8)
#endif

/* Without vectors of which some elements are stored. The places of 32 elements are found together: of a random
 * mask a processor then mispredicts how many there are, not each of them. */
#define FR_STORE_PLACES(size, type)                                                          \
    static void fr_masked##size(const char *from, const char *mask, char *to, ptrdiff_t n) { \
        const type *x = (const type *)from;                                                  \
        type *y = (type *)to;                                                                \
        for (ptrdiff_t i = 0; i < n; i += 32) {                                              \
            const ptrdiff_t m = n - i < 32 ? n - i : 32;                                     \
            uint32_t places = 0;                                                             \
            ptrdiff_t k = 0;                                                                 \
            for (; k + 8 <= m; k += 8) {                                                     \
                const uint64_t eight = fr_eight_of((const unsigned char *)mask + i + k);     \
                if (eight == FR_EIGHT_ONES) memcpy(y + i + k, x + i + k, 8 * sizeof(type));  \
                else places |= fr_places_of(eight) << k;                                     \
            }                                                                                \
            for (; k < m; k++) places |= (uint32_t)(mask[i + k] != 0) << k;                  \
            for (; places; places &= places - 1) {                                           \
                const int at = FR_FIRST_BIT(places);                                         \
                y[i + at] = x[i + at];                                                       \
            }                                                                                \
        }                                                                                    \
    }
FR_STORE_PLACES(2, uint16_t)
#if !defined(__AVX2__)
FR_STORE_PLACES(4, uint32_t)
FR_STORE_PLACES(8, uint64_t)
#endif

/* --- Tables of 256 bytes --- */

/* A shuffle takes one of 16 bytes by the lowest four bits of an index, and 0 if the highest bit is set. With an index
 * less 16 k, which stays below 0 once it is, the shuffles up to that of its own 16 bytes count: each adds (xor) the
 * difference of its bytes from those before. Indexes from 128 on are those of the second half, less 128. */
#if defined(__AVX2__)
#if defined(__AVX512BW__)
#define FR_BYTES __m512i
#define FR_SIXTEEN(table) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(table)))
#define FR_BYTES_OF(name) _mm512_##name
#define FR_XOR _mm512_xor_si512
#define FR_GET(x) _mm512_loadu_si512(x)
#define FR_PUT(y, v) _mm512_storeu_si512(y, v)
#else
#define FR_BYTES __m256i
#define FR_SIXTEEN(table) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table)))
#define FR_BYTES_OF(name) _mm256_##name
#define FR_XOR _mm256_xor_si256
#define FR_GET(x) _mm256_loadu_si256((const __m256i *)(x))
#define FR_PUT(y, v) _mm256_storeu_si256((__m256i *)(y), v)
#endif
static void fr_lookup(const unsigned char *table, const unsigned char *x, unsigned char *y, ptrdiff_t n) {
    const FR_BYTES step = FR_BYTES_OF(set1_epi8)(16), top = FR_BYTES_OF(set1_epi8)((char)128);
    FR_BYTES low[8], high[8];
    ptrdiff_t i = 0;
    for (int k = 0; k < 8; k++) {
        low[k] = FR_SIXTEEN(table + 16 * k);
        high[k] = FR_SIXTEEN(table + 128 + 16 * k);
        if (k == 0) continue;
        low[k] = FR_XOR(low[k], FR_SIXTEEN(table + 16 * (k - 1)));
        high[k] = FR_XOR(high[k], FR_SIXTEEN(table + 128 + 16 * (k - 1)));
    }
    for (; i + (ptrdiff_t)sizeof(FR_BYTES) <= n; i += (ptrdiff_t)sizeof(FR_BYTES)) {
        FR_BYTES a = FR_GET(x + i), b = FR_XOR(a, top), found;
        found = FR_XOR(FR_BYTES_OF(shuffle_epi8)(low[0], a), FR_BYTES_OF(shuffle_epi8)(high[0], b));
        for (int k = 1; k < 8; k++) {
            a = FR_BYTES_OF(subs_epi8)(a, step);
            b = FR_BYTES_OF(subs_epi8)(b, step);
            found = FR_XOR(found, FR_BYTES_OF(shuffle_epi8)(low[k], a));
            found = FR_XOR(found, FR_BYTES_OF(shuffle_epi8)(high[k], b));
        }
        FR_PUT(y + i, found);
    }
    for (; i < n; i++) y[i] = table[x[i]];
}
#else
static void fr_lookup(const unsigned char *table, const unsigned char *x, unsigned char *y, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) { /* all loads before the stores, which might change what is loaded next */
        const unsigned char a = table[x[i]], b = table[x[i + 1]], c = table[x[i + 2]], d = table[x[i + 3]];
        y[i] = a;
        y[i + 1] = b;
        y[i + 2] = c;
        y[i + 3] = d;
    }
    for (; i < n; i++) y[i] = table[x[i]];
}
#endif

/* --- Terms of a fused pass --- */

#define FR_COMBINE(id, type, operator)                                    \
    static void id(const char *a, const char *b, char *to, ptrdiff_t n) { \
        const type *x = (const type *)a, *y = (const type *)b;            \
        type *z = (type *)to;                                             \
        FR_INDEPENDENT                                                    \
        for (ptrdiff_t i = 0; i < n; i++) z[i] = x[i] operator y[i];      \
    }
FR_COMBINE(fr_add_float, float, +)
FR_COMBINE(fr_add_double, double, +)
FR_COMBINE(fr_multiply_float, float, *)
FR_COMBINE(fr_multiply_double, double, *)

#ifdef __F16C__
/* The same of 16-bit elements, rounded as NumPy rounds each, converted in registers as in loops.h. The last elements
 * are copied to a step of their own. */
#define FR_COMBINE_HALVES(id, format, operator)                                       \
    static void id(const char *a, const char *b, char *to, ptrdiff_t n) {             \
        enum { STEP = 32 };                                                           \
        const uint16_t *x = (const uint16_t *)a, *y = (const uint16_t *)b;            \
        uint16_t *z = (uint16_t *)to, last[2][STEP];                                  \
        for (; n > 0; n -= STEP, x += STEP, y += STEP, z += STEP) {                   \
            float left[STEP], right[STEP];                                            \
            const int whole = n >= STEP;                                              \
            if (!whole) {                                                             \
                memset(last, 0, sizeof last);                                         \
                x = memcpy(last[0], x, (size_t)n * sizeof(uint16_t));                 \
                y = memcpy(last[1], y, (size_t)n * sizeof(uint16_t));                 \
            }                                                                         \
            fr_load_##format##_float_here(x, left, STEP);                             \
            fr_load_##format##_float_here(y, right, STEP);                            \
            FR_INDEPENDENT                                                            \
            for (ptrdiff_t k = 0; k < STEP; k++) left[k] = left[k] operator right[k]; \
            fr_store_##format##_float_here(left, whole ? z : last[0], STEP);          \
            if (!whole) memcpy(z, last[0], (size_t)n * sizeof(uint16_t));             \
        }                                                                             \
    }
FR_COMBINE_HALVES(fr_add_halves, half, +)
FR_COMBINE_HALVES(fr_add_bfloats, bfloat, +)
FR_COMBINE_HALVES(fr_multiply_halves, half, *)
FR_COMBINE_HALVES(fr_multiply_bfloats, bfloat, *)
#define FR_COMBINES_DIRECT \
    {fr_add_halves, fr_multiply_halves}, { fr_add_bfloats, fr_multiply_bfloats }
#else
#define FR_COMBINES_DIRECT {NULL}
#endif

#if defined(__AVX2__)
/* Adds 16 floats to sums in double, or to 0 if they are `first`; those equal to `top` are counted instead, unless that
 * is NULL. Compilers would load all before they take them apart, and select what is added after its conversion. */
static inline void fr_widen_and_add(int first, double *sums, const float *x, const float *top, int32_t *same) {
#if defined(__AVX512F__)
    __mmask16 added = 0xffff;
    if (top) {
        const __m512i count = _mm512_loadu_si512(same);
        added = _mm512_cmp_ps_mask(_mm512_loadu_ps(x), _mm512_loadu_ps(top), _CMP_NEQ_UQ);
        _mm512_storeu_si512(same, _mm512_mask_sub_epi32(count, (__mmask16)~added, count, _mm512_set1_epi32(-1)));
    }
    for (int j = 0; j < 16; j += 8) {
        const __m256 half = _mm256_loadu_ps(x + j);
        const __m512d v = top ? _mm512_maskz_cvtps_pd((__mmask8)(added >> j), half) : _mm512_cvtps_pd(half);
        _mm512_storeu_pd(sums + j, first ? v : _mm512_add_pd(_mm512_loadu_pd(sums + j), v));
    }
#else
    for (int j = 0; j < 16; j += 8) {
        __m128 half[2] = {_mm_loadu_ps(x + j), _mm_loadu_ps(x + j + 4)};
        if (top) {
            const __m256 all = _mm256_loadu_ps(x + j),
                         is_top = _mm256_cmp_ps(all, _mm256_loadu_ps(top + j), _CMP_EQ_OQ);
            const __m256 added = _mm256_andnot_ps(is_top, all);
            __m256i *count = (__m256i *)(same + j);
            _mm256_storeu_si256(count, _mm256_sub_epi32(_mm256_loadu_si256(count), _mm256_castps_si256(is_top)));
            half[0] = _mm256_castps256_ps128(added), half[1] = _mm256_extractf128_ps(added, 1);
        }
        for (int k = 0; k < 2; k++) {
            double *sum = sums + j + 4 * k;
            const __m256d v = _mm256_cvtps_pd(half[k]);
            _mm256_storeu_pd(sum, first ? v : _mm256_add_pd(_mm256_loadu_pd(sum), v));
        }
    }
#endif
}
#endif

/* --- The table --- */

#define FR_LOAD_INTEGERS(kind)                                                                                       \
    fr_load_bool_##kind, fr_load_byte_##kind, fr_load_ubyte_##kind, fr_load_short_##kind, fr_load_ushort_##kind,     \
        fr_load_int_##kind, fr_load_uint_##kind, fr_load_long_##kind, fr_load_ulong_##kind, fr_load_longlong_##kind, \
        fr_load_ulonglong_##kind
static const fr_convert fr_convert_table = {
    {{FR_LOAD_INTEGERS(float), NULL, NULL, fr_load_half_float, fr_load_bfloat_float},
     {FR_LOAD_INTEGERS(double), fr_widen, NULL, fr_load_half_double, fr_load_bfloat_double}},
    {{[FR_AS_DOUBLE] = fr_widen, [FR_AS_HALF] = fr_store_half_float, [FR_AS_BFLOAT] = fr_store_bfloat_float},
     {[FR_AS_FLOAT] = fr_narrow, [FR_AS_HALF] = fr_store_half_double, [FR_AS_BFLOAT] = fr_store_bfloat_double}},
    fr_store_bfloat_double_up,
    {[2] = fr_swap2, [4] = fr_swap4, [8] = fr_swap8},
    {[2] = fr_masked2, [4] = fr_masked4, [8] = fr_masked8},
    {{fr_add_float, fr_multiply_float}, {fr_add_double, fr_multiply_double}},
    {FR_COMBINES_DIRECT}};
