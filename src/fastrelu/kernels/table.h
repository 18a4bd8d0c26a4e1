/* The tables of one instruction set: every instance of every loop, behind one exported symbol. The file that includes
 * this one defines FR_ISA; its compiler flags choose the instructions. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "packed.h"
#include "rows.h"
#include "stats.h"

/* FMA only where it is one instruction: otherwise the name would become a call into libm. */
#if defined(__FMA__) || defined(__aarch64__) || defined(_M_ARM64) || (defined(_MSC_VER) && defined(__AVX2__))
#define FR_HAS_FMA 1
#if defined(_MSC_VER) && !defined(__clang__)
#define FR_FMA(a, b, c) fma(a, b, c)
#define FR_FMAF(a, b, c) fmaf(a, b, c)
#else
#define FR_FMA(a, b, c) __builtin_fma(a, b, c)
#define FR_FMAF(a, b, c) __builtin_fmaf(a, b, c)
#endif
#else
#define FR_HAS_FMA 0
#define FR_FMA(a, b, c) ((a) * (b) + (c))
#define FR_FMAF(a, b, c) ((a) * (b) + (c))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_SQRT(x) sqrt(x)
#define FR_SQRTF(x) sqrtf(x)
#else
#define FR_SQRT(x) __builtin_sqrt(x)
#define FR_SQRTF(x) __builtin_sqrtf(x)
#endif

/* Bodies are inlined into their loops. The compiler drops an instance that no table row names. */
#if defined(_MSC_VER) && !defined(__clang__)
#define FR_INLINE static __forceinline
#define FR_UNUSED
#define FR_ONE_COPY __declspec(noinline)
#define FR_INDEPENDENT __pragma(loop(ivdep))
#else
#define FR_INLINE static inline __attribute__((always_inline, unused))
#define FR_UNUSED __attribute__((unused))
/* Elements are independent even if out is an input, so the vectorizer needs no overlap check. */
#if defined(__clang__)
#define FR_ONE_COPY __attribute__((noinline))
#define FR_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FR_ONE_COPY __attribute__((noipa)) /* one copy, not one for each caller */
#define FR_INDEPENDENT _Pragma("GCC ivdep")
#endif
#endif

#define BODY FR_INLINE real

#include "stream.h"
#include "two_sum.h"
#include "convert.h"
#include "select.h"
#if defined(__F16C__) && FR_HAS_FMA
#define FR_DIRECT
#endif
#ifdef __AVX512BW__
enum { FR_TILE = 64 }; /* elements: four vectors, so that the compiler neither unrolls the loop nor needs memory */
#else
enum { FR_TILE = 32 };
#endif

/* WIDE comes first: the rows of every instance use its logarithm. */
#define FR_KIND FR_WIDE
#include "instance.h"
#define FR_KIND FR_LEAN
#include "instance.h"
#define FR_KIND FR_FULL
#include "instance.h"
#define FR_KIND FR_HILO
#include "instance.h"

/* Without FMA the float bodies lose accuracy to cancellation, so there "fast" float32 is the wide kernel. */
#define EXACT(id) {id##_lean, id##_lean, id##_full, id##_full}
#if FR_HAS_FMA
#define WIDE(id) {id##_lean, id##_wide, id##_full, id##_full}
#define HILO(id) {id##_lean, id##_wide, id##_full, id##_hilo}
#else
#define WIDE(id) {id##_wide, id##_wide, id##_full, id##_full}
#define HILO(id) {id##_wide, id##_wide, id##_full, id##_hilo}
#endif

/* Without parameters the loop with numbers is used for both. */
#define FR_ONE(id, rounding) rounding(id##_scalar), rounding(id##_scalar)
#define FR_BOTH(id, rounding) rounding(id##_scalar), rounding(id##_array)
#define FR_BLOCKS_FORWARD(id) {NULL, NULL}
#define FR_BLOCKS_GRADIENT FR_BLOCKS_FORWARD
#define FR_ROUGH_GRADIENT FR_BLOCKS_FORWARD
#ifdef FR_DIRECT
#define FR_DIRECT_FORWARD(id) {id##_half, id##_bfloat}
#define FR_ROUGH_FORWARD(id) {NULL, id##_rough_bfloat}
#else
#define FR_DIRECT_FORWARD FR_BLOCKS_FORWARD
#define FR_ROUGH_FORWARD FR_BLOCKS_FORWARD
#endif
#define FR_DIRECT_GRADIENT FR_DIRECT_FORWARD
#define FR_GATE_FORWARD FR_DIRECT_FORWARD
#define FR_GATE_GRADIENT FR_DIRECT_FORWARD
/* Loops with terms: for the kernels of "fast", and for "accurate" where those are the same. Gradients of costly bodies
 * in double have none that add: next to the body and the sums an addition costs nothing. */
#define FR_BLOCKS_FUSED(...) \
    {                        \
        { NULL }             \
    }
#if FR_HAS_FMA
#define FR_FUSED_EXACT(id) {id##_lean, id##_lean, id##_full, id##_full}
#define FR_FUSED_WIDE(id) {id##_lean, NULL, id##_full, id##_full}
#define FR_FUSED_HILO(id) {id##_lean, NULL, id##_full, NULL}
#define FR_SUMMED_EXACT FR_FUSED_EXACT
#define FR_SUMMED_WIDE FR_FUSED_WIDE
#define FR_SUMMED_HILO(id) {id##_lean}
#define FR_DIRECT_FUSED(id, added, multiplied) {added(id##_added)}
#define FR_GATE_FUSED(id, added, multiplied) {added(id##_added), multiplied(id##_multiplied)}
#else
#define FR_DIRECT_FUSED FR_BLOCKS_FUSED
#define FR_GATE_FUSED FR_BLOCKS_FUSED
#endif
#define FR_ROUGH_FUSED FR_GATE_FUSED
#define FR_LOOPS_OF_0 FR_ONE
#define FR_LOOPS_OF_1 FR_BOTH
#define FR_LOOPS_OF_2 FR_BOTH
#define FR_LOOPS_OF_3 FR_BOTH
#define FR_LOOPS_OF_4 FR_BOTH
#define FR_LOOPS_IN(id, rounding, parameters, direct, fused) \
    {FR_JOIN(FR_LOOPS_OF_, FR_COUNT_##parameters)(id, rounding), direct(id), fused}
#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct)                    \
    {FR_LOOPS_IN(name##_forward, rounding, parameters, FR_##direct##_FORWARD,                      \
                 FR_##direct##_FUSED(name##_forward, FR_FUSED_##rounding, FR_FUSED_##rounding)),   \
     FR_LOOPS_IN(name##_backward, rounding, parameters, FR_##direct##_GRADIENT,                    \
                 FR_##direct##_FUSED(name##_backward, FR_SUMMED_##rounding, FR_FUSED_##rounding)), \
     FR_WITH_##gradient(FR_LOOPS_IN(name##_from_output, rounding, parameters, FR_##direct##_GRADIENT, {{NULL}}))},
static const fr_kernels fr_op_table[][FR_DIRECTIONS] = {
#include "ops.def"
};
#undef OP

/* hardmax and sparsemax compute in double for both precisions */
#define FR_ROW_KERNELS(form, kind, select) \
    {softmax##form##kind, log_softmax##form##kind, softmin##form##kind, hardmax##form##select, sparsemax##form##select}
#define FR_ROW_SMOOTH(form, kind) {softmax##form##kind, log_softmax##form##kind, softmin##form##kind, NULL, NULL}
#define FR_ROWS(kind, select)                             \
    {FR_ROW_KERNELS(_row, kind, select),                  \
     FR_ROW_KERNELS(_from_output_row, kind, select),      \
     FR_ROW_KERNELS(_tile_row, kind, select),             \
     FR_ROW_KERNELS(_from_output_tile_row, kind, select), \
     FR_ROW_SMOOTH(_band_row, kind),                      \
     FR_ROW_SMOOTH(_from_output_band_row, kind),          \
     FR_ROW_SMOOTH(_fold_row, kind),                      \
     FR_ROW_SMOOTH(_from_output_fold_row, kind),          \
     hardmax_block##select,                               \
     cross_entropy_row##kind,                             \
     cross_entropy_tile_row##kind,                        \
     logsumexp_row##kind,                                 \
     logsumexp_tile_row##kind,                            \
     read_labels_row##kind,                               \
     add_losses_row_full,                                 \
     select_row##select,                                  \
     select_lines##select,                                \
     suspect_row##select,                                 \
     settle_row##select,                                  \
     load_row##select,                                    \
     finish_row##kind,                                    \
     scale_slope_row##select,                             \
     scale_slope_tile_row##select}
static const fr_rows fr_row_table[FR_FLAVORS] = {
#if FR_HAS_FMA
    FR_ROWS(_lean, _wide),
#else
    FR_ROWS(_wide, _wide),
#endif
    FR_ROWS(_wide, _wide), FR_ROWS(_full, _full), FR_ROWS(_hilo, _full)};

#include "sums_drive.h"

static const fr_stats fr_stats_table = {EXACT(summarize)};

static const fr_packed fr_packed_table = {{pack_lean, pack_full},
                                          {select_bits_lean, select_bits_full},
                                          fr_pack_words32,
                                          {quantize_lean, quantize_full},
                                          {dequantize_lean, dequantize_full},
                                          dequantize_odd_lean,
                                          fr_lookup};

extern const fr_tables FR_JOIN(fr_tables_, FR_ISA);
const fr_tables FR_JOIN(fr_tables_, FR_ISA) = {fr_op_table,   FR_STREAM,       &fr_convert_table, fr_row_table,
                                               &fr_sums_here, &fr_stats_table, &fr_packed_table};
