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
static void fr_square_64(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from);
    const __m128i b = _mm_loadu_si128((const __m128i *)(from + from_pitch));
    _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128((__m128i *)(to + to_pitch), _mm_unpackhi_epi64(a, b));
}
#else
enum { FR_SQUARES = 0 };
static void fr_square_32(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    (void)to, (void)to_pitch, (void)from, (void)from_pitch;
}
static void fr_square_64(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch) {
    (void)to, (void)to_pitch, (void)from, (void)from_pitch;
}
#endif

#define FR_MOVE(type, to, from) (*(type *)(to) = *(const type *)(from))

/* Column i of the rows of `from` becomes row i of `to`; both are contiguous along their rows. */
#define FR_TRANSPOSE(bits, side)                                                                                       \
    static void fr_transpose_##bits(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch,              \
                                    ptrdiff_t rows, ptrdiff_t columns) {                                               \
        enum { size = bits / 8 };                                                                                      \
        const ptrdiff_t whole = FR_SQUARES ? columns - columns % side : 0, high = FR_SQUARES ? rows - rows % side : 0; \
        for (ptrdiff_t r = 0; r < high; r += side)                                                                     \
            for (ptrdiff_t i = 0; i < whole; i += side)                                                                \
                fr_square_##bits(to + i * to_pitch + r * size, to_pitch, from + r * from_pitch + i * size,             \
                                 from_pitch);                                                                          \
        for (ptrdiff_t i = 0; i < columns; i++)                                                                        \
            for (ptrdiff_t r = i < whole ? high : 0; r < rows; r++)                                                    \
                FR_MOVE(uint##bits##_t, to + i * to_pitch + r * size, from + r * from_pitch + i * size);               \
    }
FR_TRANSPOSE(32, 4)
FR_TRANSPOSE(64, 2)

/* Copies n x m elements of any strides; the shorter stride of the source is the inner loop. */
#define FR_COPY_ANY(type)                     \
    for (ptrdiff_t i = 0; i < outer; i++)     \
        for (ptrdiff_t r = 0; r < inner; r++) \
            FR_MOVE(type, to + i * to_outer + r * to_inner, from + i * from_outer + r * from_inner);

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
