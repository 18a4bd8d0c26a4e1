/* The arithmetic that bodies share, for the compute type of this instance (see instance.h). */

#define R(c) ((real)(c))

/* grad where the unit passes it on, +0 where it is off by rule whatever grad is, NaN where x is NaN */
BODY FN(gate)(int passes, real g, real x) { return passes ? g : x == x ? R(0) : x; }

/* a * x for a slope a: 0 for a slope of 0, also where x is infinite (the limit of the function there) */
BODY FN(slope)(real a, real x) { return (a == 0) & (x == x) ? R(0) : a * x; }

/* square root, correctly rounded */
#if FR_KIND == FR_LEAN
BODY FN(root)(real x) { return FR_SQRTF(x); }
#else
BODY FN(root)(real x) { return FR_SQRT(x); }
#endif

/* (p + low) / 6, where |low| is a rounding error of p. In float, and in double at float accuracy, low is
 * beyond what the result can show; in double it saves half an ULP. 1/6 = SIXTH + SIXTH_LOW. */
#if FR_KIND == FR_LEAN || FR_KIND == FR_WIDE
BODY FN(sixth)(real p, real low) {
    (void)low;
    return p * R(1. / 6);
}
#else
BODY FN(sixth)(real p, real low) {
    const real sixth = 0x1.5555555555555p-3, sixth_low = 0x1.5555555555555p-57;
    real q = p * sixth;
    return q + (FMA(p, sixth, -q) + FMA(p, sixth_low, low * sixth));
}
#endif
