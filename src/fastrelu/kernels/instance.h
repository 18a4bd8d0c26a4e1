/* One instance of every body and loop; the file that includes this one chooses the compute type.
 *
 *   FR_LEAN  float in, float arithmetic
 *   FR_WIDE  float in, double arithmetic at float accuracy; never fused, so every machine gives the same bits
 *   FR_FULL  double in, double arithmetic
 *   FR_HILO  double in, unevaluated sums of two doubles where one double is not precise enough */
#define FR_LEAN 1
#define FR_WIDE 2
#define FR_FULL 3
#define FR_HILO 4

#if FR_KIND == FR_LEAN
#define store float
#define real float
#define FN(name) name##_lean
#define FMA(a, b, c) FR_FMAF(a, b, c)
#elif FR_KIND == FR_WIDE
#define store float
#define real double
#define FN(name) name##_wide
#define FMA(a, b, c) ((a) * (b) + (c))
#elif FR_KIND == FR_FULL
#define store double
#define real double
#define FN(name) name##_full
#define FMA(a, b, c) FR_FMA(a, b, c)
#else
#define store double
#define real double
#define FN(name) name##_hilo
#define FMA(a, b, c) FR_FMA(a, b, c)
#endif

#include "rmath.h"
#if FR_KIND == FR_HILO
#include "hilo.h"
#endif
#include "rectifiers.h"
#include "exponential.h"
#include "sigmoidal.h"
#include "gated.h"
#include "shrinkage.h"
#include "loops.h"
#include "rows_loops.h"
#include "rows_tiles.h"
#include "rows_gradients.h"
#include "rows_bands.h"
#include "rows_folds.h"
#include "rows_select.h"
#include "rows_losses.h"
#include "sums_loops.h"
#include "stats_loops.h"
#include "packed_loops.h"

#undef FR_WITH_EXACT
#undef FR_WITH_WIDE
#undef FR_WITH_HILO
#undef store
#undef real
#undef FN
#undef FMA
#undef FR_KIND
