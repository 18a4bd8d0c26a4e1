/* Packs elements to bits, and selects by bits. Included by instance.h.
 *
 * The vectorizer makes masks of the bits of a word by comparing it with a table of powers of two, and a word of masks
 * by a sum of disjoint powers: 32 elements at a time. */

#ifndef FASTRELU_PACKED_LOOPS
#define FASTRELU_PACKED_LOOPS

enum { FR_WORD = 32 };

/* Compilers make one load or store of these. */
static inline uint32_t fr_word_of(const unsigned char *b) {
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline void fr_put_word(uint32_t word, unsigned char *b) {
    b[0] = (unsigned char)word;
    b[1] = (unsigned char)(word >> 8);
    b[2] = (unsigned char)(word >> 16);
    b[3] = (unsigned char)(word >> 24);
}

#define FR_POWERS_OF_4(b) (b), (b) * 2, (b) * 4, (b) * 8
#define FR_POWERS_OF_16(b) \
    FR_POWERS_OF_4(b), FR_POWERS_OF_4((b) * 16), FR_POWERS_OF_4((b) * 256), FR_POWERS_OF_4((b) * 4096)
static const uint32_t fr_bit4[FR_WORD] = {FR_POWERS_OF_16(1u), FR_POWERS_OF_16(65536u)};
static const uint64_t fr_bit8[FR_WORD] = {FR_POWERS_OF_16(1ull), FR_POWERS_OF_16(65536ull)};

/* A loop that makes a bit of each element; `lane` has the size of an element, `bit` is the table for it. */
#define FR_PACK(lane, bit, set)                                                                     \
    ptrdiff_t i = 0;                                                                                \
    for (; i + FR_WORD <= n; i += FR_WORD) {                                                        \
        lane word = 0;                                                                              \
        FR_INDEPENDENT                                                                              \
        for (ptrdiff_t j = 0; j < FR_WORD; j++) word |= (set) ? bit[j] : 0;                         \
        fr_put_word((uint32_t)word, bits + i / 8);                                                  \
    }                                                                                               \
    for (; i < n; i += 8) {                                                                         \
        unsigned char byte = 0;                                                                     \
        for (ptrdiff_t j = 0; j < 8 && i + j < n; j++) byte |= (unsigned char)((set) ? 1 << j : 0); \
        bits[i / 8] = byte;                                                                         \
    }

static void fr_pack_words32(const uint32_t *x, uint32_t limit, unsigned char *bits,
                            ptrdiff_t n){FR_PACK(uint32_t, fr_bit4, x[i + j] >= limit)}
/* `off` is in terms of the element i. Both arms are computed before the choice, so that no load depends on it. */
#define FR_SELECT(off)                                             \
    {                                                              \
        ptrdiff_t start = 0;                                       \
        for (; start + FR_WORD <= n; start += FR_WORD) {           \
            const lane word = fr_word_of(bits + start / 8);        \
            FR_INDEPENDENT                                         \
            for (ptrdiff_t i = start; i < start + FR_WORD; i++) {  \
                const store kept = g[i] * factor, other = off;     \
                to[i] = word & lane_bit[i - start] ? kept : other; \
            }                                                      \
        }                                                          \
        for (ptrdiff_t i = start; i < n; i++) {                    \
            const store kept = g[i] * factor, other = off;         \
            to[i] = bits[i / 8] >> i % 8 & 1 ? kept : other;       \
        }                                                          \
    }

#endif

#if FR_KIND == FR_LEAN
#define lane uint32_t
#define lane_bit fr_bit4
#else
#define lane uint64_t
#define lane_bit fr_bit8
#endif

#if FR_KIND == FR_LEAN || FR_KIND == FR_FULL

static void FN(pack)(const char *from, unsigned char *bits, ptrdiff_t n) {
    const store *x = (const store *)from;
    FR_PACK(lane, lane_bit, (x[i + j] < 0) | (x[i + j] > 0))
}

static void FN(select_bits)(const char *grad, const char *inside, const char *outside, int several,
                            const unsigned char *bits, char *out, ptrdiff_t n) {
    const store *g = (const store *)grad, *slope = (const store *)outside;
    const store factor = *(const store *)inside, damped = *slope;
    store *to = (store *)out;
    if (several) FR_SELECT(slope[i] == 0 ? (store)0 : g[i] * slope[i])
    else if (damped == 0) FR_SELECT((store)0)
    else FR_SELECT(g[i] * damped)
}

/* Adding ROUNDER rounds a small number to nearest even: the lowest byte of the sum is that of the integer. */
#define FR_ROUNDED(x) (((FN(word)){(x) + ROUNDER}).bits)

/* Bytes of an integer that is made of r, plus zero, tile by tile: the integers of a tile stay in registers until they
 * are narrowed, and a loop from numbers to bytes would have more vectors at once than there are registers. The last
 * elements are copied to a tile of their own. */
#define FR_QUANTIZE(k, type, integer, zero, ...)                                                             \
    for (; n > 0; n -= FR_TILE, to += FR_TILE) {                                                             \
        const int whole = n >= FR_TILE;                                                                      \
        store rest[k][FR_TILE];                                                                              \
        type level[FR_TILE];                                                                                 \
        unsigned char last[FR_TILE], *bytes = whole ? to : last;                                             \
        for (int j = 0; j < k && !whole; j++) from[j] = memcpy(rest[j], from[j], (size_t)n * sizeof(store)); \
        FR_INDEPENDENT                                                                                       \
        for (ptrdiff_t i = 0; i < FR_TILE; i++) {                                                            \
            store r = from[0][i];                                                                            \
            __VA_ARGS__                                                                                      \
            level[i] = integer;                                                                              \
        }                                                                                                    \
        FR_INDEPENDENT                                                                                       \
        for (ptrdiff_t i = 0; i < FR_TILE; i++) bytes[i] = (unsigned char)(level[i] + (zero));               \
        if (!whole) memcpy(to, last, (size_t)n);                                                             \
        for (int j = 0; j < k; j++) from[j] += FR_TILE;                                                      \
    }
#define FR_QUOTIENT(scale, zero)            \
    r = r / (scale);                        \
    r = r == r ? r : 0;                     \
    r = ((r + ROUNDER) - ROUNDER) + (zero); \
    r = r < low ? low : r;                  \
    r = r > high ? high : r;

static void FN(quantize)(const char *x, const char *scale, const char *zero, int several, const double *range,
                         char *out, ptrdiff_t n) {
    const store *from[] = {(const store *)x, (const store *)scale, (const store *)zero};
    const store s0 = *from[1], z0 = *from[2], low = (store)range[0], high = (store)range[1];
    unsigned char *to = (unsigned char *)out;
#if FR_HAS_FMA
    /* The same without divisions: x times the reciprocal in two parts has an error below a millionth of a unit in the
     * last place before it is rounded. (N. Brisebarre, J.-M. Muller and S. K. Raina, "Accelerating correctly rounded
     * floating-point division when the divisor is known in advance", IEEE Trans. Comput. 53, 2004.) So the integer is
     * another only if the quotient is that close to the middle between a tie and a neighbor: that needs a scale a few
     * units beside a number of 8 bits, and for none of them it happens (tests/test_quantized.py). The ends of the range
     * are as far from a tie as their multiples of the scale. */
    if (!several && s0 > R(0x1p-60) && s0 < R(0x1p60)) {
        const store inverse = 1 / s0, more = FMA(-s0, inverse, R(1)) / s0;
        const store bottom = (low - z0) * s0, top = (high - z0) * s0;
        FR_QUANTIZE(1, lane, FR_ROUNDED(r), FR_ROUNDED(z0), r = r == r ? r : 0; r = r < bottom ? bottom : r;
                    r = r > top ? top : r; r = FMA(r, inverse, r * more);)
        return;
    }
#endif
    if (several) {
        FR_QUANTIZE(3, int32_t, (int32_t)r, 0, FR_QUOTIENT(from[1][i], from[2][i]))
    } else {
        FR_QUANTIZE(1, int32_t, (int32_t)r, 0, FR_QUOTIENT(s0, z0))
    }
}

#if FR_KIND == FR_LEAN
/* a b of a small integer and a number, rounded to odd. The rounding error is exact: the product is a whole multiple of
 * the smallest subnormal number. Its sign tells a number that is too large, and becomes the one below. Infinity becomes
 * the largest number, which 16 bits round to infinity. */
BODY FN(odd_product)(real a, real b) {
#if FR_HAS_FMA
    FN(word) product = {a * b}, error = {FMA(a, b, -product.number)};
    const unsigned inexact = error.number != 0, over = (product.bits ^ error.bits) >> 31 & inexact;
    product.bits = (product.bits - over) | inexact;
    return product.number;
#else
    return fr_to_odd((double)a * b);
#endif
}
#endif

#define FR_TIMES(a, b) ((a) * (b))
#define FR_DEQUANTIZE(type, product, scale, zero) \
    FR_INDEPENDENT                                \
    for (ptrdiff_t i = 0; i < n; i++) to[i] = product((store)((const type *)from)[i] - (zero), scale);
#define FR_DEQUANTIZE_LOOPS(id, product)                                                                         \
    static void id(const char *from, const char *scale, const char *zero, int several, int is_signed, char *out, \
                   ptrdiff_t n) {                                                                                \
        const store *s = (const store *)scale, *z = (const store *)zero;                                         \
        const store s0 = *s, z0 = *z;                                                                            \
        store *to = (store *)out;                                                                                \
        if (several && is_signed) {                                                                              \
            FR_DEQUANTIZE(int8_t, product, s[i], z[i])                                                           \
        } else if (several) {                                                                                    \
            FR_DEQUANTIZE(uint8_t, product, s[i], z[i])                                                          \
        } else if (is_signed) {                                                                                  \
            FR_DEQUANTIZE(int8_t, product, s0, z0)                                                               \
        } else {                                                                                                 \
            FR_DEQUANTIZE(uint8_t, product, s0, z0)                                                              \
        }                                                                                                        \
    }
FR_DEQUANTIZE_LOOPS(FN(dequantize), FR_TIMES)
#if FR_KIND == FR_LEAN
FR_DEQUANTIZE_LOOPS(FN(dequantize_odd), FN(odd_product))
#endif

#endif

#undef lane
#undef lane_bit
