/* Packs elements to bits, and selects by bits. Included by instance.h.
 *
 * The vectorizer makes masks of the bits of a word by comparing it with a table of powers of two, and a word of masks
 * by a sum of disjoint powers: 32 elements at a time. */

#ifndef FASTRELU_PACKED_LOOPS
#define FASTRELU_PACKED_LOOPS

enum { FR_WORD = 32, FR_WHOLE = 512 };

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

/* Adding and subtracting it rounds a small number to nearest even. */
#define FR_ROUNDER ((store)(sizeof(store) == 4 ? 0x1.8p23 : 0x1.8p52))

/* Results in two loops: one that makes bytes of floats has so many vectors at once that they do not fit into registers.
 */
#define FR_QUANTIZE(...)                                                                  \
    for (ptrdiff_t start = 0; start < n; start += FR_WHOLE) {                             \
        const ptrdiff_t stop = n - start < FR_WHOLE ? n : start + FR_WHOLE;               \
        int32_t whole[FR_WHOLE];                                                          \
        FR_INDEPENDENT                                                                    \
        for (ptrdiff_t i = start; i < stop; i++) {                                        \
            store r = x[i];                                                               \
            __VA_ARGS__                                                                   \
            whole[i - start] = (int32_t)r;                                                \
        }                                                                                 \
        for (ptrdiff_t i = start; i < stop; i++) to[i] = (unsigned char)whole[i - start]; \
    }
#define FR_QUOTIENT(scale, zero)               \
    r = r / (scale);                           \
    r = r == r ? r : 0;                        \
    r = r < low - (zero) ? low - (zero) : r;   \
    r = r > high - (zero) ? high - (zero) : r; \
    r = (r + FR_ROUNDER) - (FR_ROUNDER - (zero));

static void FN(quantize)(const char *from, const char *scale, const char *zero, int several, const double *range,
                         char *out, ptrdiff_t n) {
    const store *x = (const store *)from, *s = (const store *)scale, *z = (const store *)zero;
    const store s0 = *s, z0 = *z, low = (store)range[0], high = (store)range[1];
    unsigned char *to = (unsigned char *)out;
#if FR_KIND == FR_LEAN && FR_HAS_FMA
    /* The same without divisions: within the range, whose ends are as far from a tie as their multiples of the scale,
     * two corrections of x times the reciprocal give the rounded quotient. (P. Markstein, "Computation of elementary
     * functions on the IBM RISC System/6000 processor", IBM J. Res. Dev. 34, 1990.) */
    if (!several && s0 > 0x1p-90f && s0 < 0x1p90f) {
        const store inverse = 1 / s0, bottom = (low - z0) * s0, top = (high - z0) * s0, back = FR_ROUNDER - z0;
        FR_QUANTIZE(r = r == r ? r : 0; r = r < bottom ? bottom : r; r = r > top ? top : r; store q = r * inverse;
                    q = FMA(FMA(-q, s0, r), inverse, q); q = FMA(FMA(-q, s0, r), inverse, q);
                    r = (q + FR_ROUNDER) - back;)
        return;
    }
#endif
    if (several) {
        FR_QUANTIZE(FR_QUOTIENT(s[i], z[i]))
    } else {
        FR_QUANTIZE(FR_QUOTIENT(s0, z0))
    }
}

#define FR_DEQUANTIZE(type, scale, zero) \
    FR_INDEPENDENT                       \
    for (ptrdiff_t i = 0; i < n; i++) to[i] = ((store)((const type *)from)[i] - (zero)) * (scale);

static void FN(dequantize)(const char *from, const char *scale, const char *zero, int several, int is_signed, char *out,
                           ptrdiff_t n) {
    const store *s = (const store *)scale, *z = (const store *)zero;
    const store s0 = *s, z0 = *z;
    store *to = (store *)out;
    if (several && is_signed) {
        FR_DEQUANTIZE(int8_t, s[i], z[i])
    } else if (several) {
        FR_DEQUANTIZE(uint8_t, s[i], z[i])
    } else if (is_signed) {
        FR_DEQUANTIZE(int8_t, s0, z0)
    } else {
        FR_DEQUANTIZE(uint8_t, s0, z0)
    }
}

#endif

#undef lane
#undef lane_bit
