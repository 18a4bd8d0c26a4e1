/* Copies a part of an array of any strides to another. Transposing goes by squares that fit registers: element by
 * element it would cost as much as computing. Included by rows_drive.c. */
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
enum { FR_SQUARES = 1 };
/* 4 x 4 elements of 4 bytes, or 2 x 2 of 8 bytes; pitches are bytes from one row to the next. */
static void fr_square_32(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from);
    const __m128i b = _mm_loadu_si128((const __m128i *)(from + from_pitch));
    const __m128i c = _mm_loadu_si128((const __m128i *)(from + 2 * from_pitch));
    const __m128i d = _mm_loadu_si128((const __m128i *)(from + 3 * from_pitch));
    const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
    const __m128i AB = _mm_unpackhi_epi32(a, b), CD = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(to + to_pitch), _mm_unpackhi_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(to + 2 * to_pitch), _mm_unpacklo_epi64(AB, CD));
    _mm_storeu_si128((__m128i *)(to + 3 * to_pitch), _mm_unpackhi_epi64(AB, CD));
}
/* 4 rows of 2 elements, and back. */
static void fr_tall_32(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    const __m128i a = _mm_loadl_epi64((const __m128i *)from);
    const __m128i b = _mm_loadl_epi64((const __m128i *)(from + from_pitch));
    const __m128i c = _mm_loadl_epi64((const __m128i *)(from + 2 * from_pitch));
    const __m128i d = _mm_loadl_epi64((const __m128i *)(from + 3 * from_pitch));
    const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
    _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(to + to_pitch), _mm_unpackhi_epi64(ab, cd));
}
static void fr_wide_32(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from);
    const __m128i b = _mm_loadu_si128((const __m128i *)(from + from_pitch));
    const __m128i ab = _mm_unpacklo_epi32(a, b), AB = _mm_unpackhi_epi32(a, b);
    _mm_storel_epi64((__m128i *)to, ab);
    _mm_storel_epi64((__m128i *)(to + to_pitch), _mm_srli_si128(ab, 8));
    _mm_storel_epi64((__m128i *)(to + 2 * to_pitch), AB);
    _mm_storel_epi64((__m128i *)(to + 3 * to_pitch), _mm_srli_si128(AB, 8));
}
static void fr_square_64(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from);
    const __m128i b = _mm_loadu_si128((const __m128i *)(from + from_pitch));
    _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128((__m128i *)(to + to_pitch), _mm_unpackhi_epi64(a, b));
}
#else
enum { FR_SQUARES = 0 };
#define FR_NO_SQUARE(name)                                                                   \
    static void name(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) { \
        (void)to, (void)to_pitch, (void)from, (void)from_pitch;                              \
    }
FR_NO_SQUARE(fr_square_32)
FR_NO_SQUARE(fr_tall_32)
FR_NO_SQUARE(fr_wide_32)
FR_NO_SQUARE(fr_square_64)
#endif

#define FR_MOVE(type, to, from) (*(type *)(to) = *(const type *)(from))

/* Where the block behind this one begins: the last one may overlap the one before. */
static ptrdiff_t fr_next(ptrdiff_t at, ptrdiff_t block, ptrdiff_t n) {
    at += block;
    return at < n && at + block > n ? n - block : at;
}
#define FR_BY_BLOCKS(block, size, high, wide)                             \
    for (ptrdiff_t r = 0; r < rows; r = fr_next(r, high, rows))           \
        for (ptrdiff_t i = 0; i < columns; i = fr_next(i, wide, columns)) \
            block(to + i * to_pitch + r * (size), to_pitch, from + r * from_pitch + i * (size), from_pitch);

/* Column i of the rows of `from` becomes row i of `to`; both are contiguous along their rows. */
static void fr_transpose_32(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch, ptrdiff_t rows,
                            ptrdiff_t columns) {
    if (FR_SQUARES && rows >= 4 && columns >= 4) {
        FR_BY_BLOCKS(fr_square_32, 4, 4, 4)
    } else if (FR_SQUARES && rows >= 4 && columns >= 2) {
        FR_BY_BLOCKS(fr_tall_32, 4, 4, 2)
    } else if (FR_SQUARES && rows >= 2 && columns >= 4) {
        FR_BY_BLOCKS(fr_wide_32, 4, 2, 4)
    } else {
        for (ptrdiff_t i = 0; i < columns; i++)
            for (ptrdiff_t r = 0; r < rows; r++)
                FR_MOVE(uint32_t, to + i * to_pitch + r * 4, from + r * from_pitch + i * 4);
    }
}
static void fr_transpose_64(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch, ptrdiff_t rows,
                            ptrdiff_t columns) {
    if (FR_SQUARES && rows >= 2 && columns >= 2) {
        FR_BY_BLOCKS(fr_square_64, 8, 2, 2)
    } else {
        for (ptrdiff_t i = 0; i < columns; i++)
            for (ptrdiff_t r = 0; r < rows; r++)
                FR_MOVE(uint64_t, to + i * to_pitch + r * 8, from + r * from_pitch + i * 8);
    }
}

/* Copies n x m elements of any strides; the shorter stride of the source is the inner loop. */
#define FR_COPY_ANY(type)                                                                 \
    for (ptrdiff_t i = 0; i < outer; i++) {                                               \
        const char *at = from + i * from_outer;                                           \
        char *put = to + i * to_outer;                                                    \
        ptrdiff_t r = 0;                                                                  \
        for (; r + 4 <= inner; r += 4, at += 4 * from_inner, put += 4 * to_inner) {       \
            FR_MOVE(type, put, at);                                                       \
            FR_MOVE(type, put + to_inner, at + from_inner);                               \
            FR_MOVE(type, put + 2 * to_inner, at + 2 * from_inner);                       \
            FR_MOVE(type, put + 3 * to_inner, at + 3 * from_inner);                       \
        }                                                                                 \
        for (; r < inner; r++, at += from_inner, put += to_inner) FR_MOVE(type, put, at); \
    }

static ptrdiff_t fr_distance(ptrdiff_t stride) { return stride < 0 ? -stride : stride; }

static void fr_transfer(char *to, ptrdiff_t to_along, ptrdiff_t to_across, const char *from, ptrdiff_t from_along,
                        ptrdiff_t from_across, ptrdiff_t n, ptrdiff_t m, ptrdiff_t size) {
    if (to_across == size && from_across == size) {
        if (m * size == 64) /* without calls */
            for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * to_along, from + i * from_along, 64);
        else
            for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * to_along, from + i * from_along, (size_t)(m * size));
    } else if (to_along == size && from_along == size) {
        for (ptrdiff_t r = 0; r < m; r++) memcpy(to + r * to_across, from + r * from_across, (size_t)(n * size));
    } else if (to_across == 1 && from_across == 0 && size == 1) {
        for (ptrdiff_t i = 0; i < n; i++) memset(to + i * to_along, from[i * from_along], (size_t)m);
    } else if (to_across == size && from_along == size && size == 4) {
        fr_transpose_32(to, to_along, from, from_across, m, n);
    } else if (to_across == size && from_along == size && size == 8) {
        fr_transpose_64(to, to_along, from, from_across, m, n);
    } else if (to_along == size && from_across == size && size == 4) {
        fr_transpose_32(to, to_across, from, from_along, n, m);
    } else if (to_along == size && from_across == size && size == 8) {
        fr_transpose_64(to, to_across, from, from_along, n, m);
    } else {
        const int along = fr_distance(from_along) <= fr_distance(from_across);
        const ptrdiff_t outer = along ? m : n, inner = along ? n : m;
        const ptrdiff_t to_outer = along ? to_across : to_along, to_inner = along ? to_along : to_across;
        const ptrdiff_t from_outer = along ? from_across : from_along, from_inner = along ? from_along : from_across;
        if (size == 4) {
            FR_COPY_ANY(uint32_t)
        } else if (size == 8) {
            FR_COPY_ANY(uint64_t)
        } else {
            FR_COPY_ANY(uint8_t)
        }
    }
}

/* Copies `bytes` from each of n lines, and those of the `runs` next ones: as two moves of a known size, which overlap.
 */
#define FR_COPY_SHORT(width)                                                       \
    for (ptrdiff_t q = 0; q < runs; q++, to += to_next, from += from_next)         \
        for (ptrdiff_t i = 0; i < n; i++) {                                        \
            const char *at = from + i * from_along;                                \
            char *put = to + i * to_along, first[width], last[width];              \
            memcpy(first, at, width), memcpy(last, at + bytes - (width), width);   \
            memcpy(put, first, width), memcpy(put + bytes - (width), last, width); \
        }

/* fr_transfer of `runs` such parts, which are to_next and from_next apart. */
static void fr_transfer_runs(char *to, ptrdiff_t to_along, ptrdiff_t to_across, ptrdiff_t to_next, const char *from,
                             ptrdiff_t from_along, ptrdiff_t from_across, ptrdiff_t from_next, ptrdiff_t n, ptrdiff_t m,
                             ptrdiff_t runs, ptrdiff_t size) {
    const ptrdiff_t bytes = m * size;
    const int lines = to_across == size && from_across == size && bytes > 1;
    if (lines && bytes <= 4) {
        FR_COPY_SHORT(2)
    } else if (lines && bytes <= 8) {
        FR_COPY_SHORT(4)
    } else if (lines && bytes <= 16) {
        FR_COPY_SHORT(8)
    } else if (lines && bytes <= 32) {
        FR_COPY_SHORT(16)
    } else if (lines && bytes <= 64) {
        FR_COPY_SHORT(32)
    } else {
        for (ptrdiff_t q = 0; q < runs; q++, to += to_next, from += from_next)
            fr_transfer(to, to_along, to_across, from, from_along, from_across, n, m, size);
    }
}
