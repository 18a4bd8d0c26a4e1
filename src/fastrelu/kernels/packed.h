/* Elements packed to one bit or one byte, the interface of the kernels: masks of derivatives, and quantized numbers. */
#ifndef FASTRELU_PACKED_H
#define FASTRELU_PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

/* Bit j of byte i stands for element 8 i + j; bits after the last element are 0. */

/* Which of n elements are neither 0 nor NaN? */
typedef void (*fr_pack)(const char *x, unsigned char *bits, ptrdiff_t n);

/* inside * g where the bit is set, outside * g elsewhere, which is +0 for an `outside` of 0. `outside` is one number,
 * or with `several` one for each element. */
typedef void (*fr_select_bits)(const char *g, const char *inside, const char *outside, int several,
                               const unsigned char *bits, char *out, ptrdiff_t n);

/* The bit is set where a word is not below the limit. */
typedef void (*fr_pack_words)(const uint32_t *words, uint32_t limit, unsigned char *bits, ptrdiff_t n);

/* Numbers over scale, rounded to nearest even, plus zero, within the range, as bytes; NaN gives zero. `scale` and
 * `zero` are one number each, or with `several` one for each element; `range` is the smallest and the largest result.
 */
typedef void (*fr_quantize)(const char *x, const char *scale, const char *zero, int several, const double *range,
                            char *out, ptrdiff_t n);
/* (q - zero) * scale of bytes, which are signed or not */
typedef void (*fr_dequantize)(const char *q, const char *scale, const char *zero, int several, int is_signed, char *out,
                              ptrdiff_t n);

struct fr_packed {
    fr_pack pack[FR_OWN_TYPES];
    fr_select_bits select[FR_OWN_TYPES];
    fr_pack_words pack_words;
    fr_quantize quantize[FR_OWN_TYPES];
    fr_dequantize dequantize[FR_OWN_TYPES];
    fr_dequantize dequantize_odd; /* to float, rounded to odd: rounded to 16 bits after that it is rounded once */
    void (*lookup)(const unsigned char *table, const unsigned char *x, unsigned char *y, ptrdiff_t n);
};

#endif
