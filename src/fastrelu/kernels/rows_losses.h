/* Cross-entropy, its gradient, and the logarithm of the sum of exponentials, over a row and over a tile. Included by
 * instance.h, once per instance. */

/* ---- Cross-entropy: sum of q (-log p) over the classes, and its gradient scale (p (sum of q) - q) ----
 *
 * The targets q of a row come from its label, q = weight (1 - smoothing) at the label plus weight smoothing / n at
 * every class, or from the shares s of the classes, q = weight ((1 - smoothing) s + smoothing / n). The loss is (sum of
 * q) log(sum of e^(x - m)) + sum of q (m - x), whose terms have one sign. */

/* What the rows share: q = weight (keep share + spread), where the share of a label is 1. `rest` is the mean of what
 * all classes have alike. */
typedef struct {
    double keep, spread, rest, scale;
} FN(softness);
FR_INLINE FN(softness) FN(softness_of)(const fr_target *target, ptrdiff_t n) {
    const double part = target->smoothing;
    return (FN(softness)){1 - part, part / (double)n, part == 0 ? 0 : part * target->mean_weight, target->scale};
}

/* Sums over t, which is q of shares; and beside a label the weight, or 1. */
typedef struct {
    double whole, moment; /* of t, if there are shares, and of t (m - x) */
} FN(targets);

/* Sums that are not compensated have no low part. An infinite sum has none either. */
FR_INLINE void FN(lane_add)(double *hi, double *lo, double v) {
    if (COMPENSATED) fr_add_to(hi, lo, v);
    else *hi += v;
}
/* One class, or in a row FR_ROW_LANES classes, whose weights differ. */
FR_INLINE void FN(targets_step)(int first, double *moment, double *moment_lo, double *whole, double *whole_lo,
                                const store *x, const double *m, const store *shares, const double *weights,
                                int weight_step, FN(softness) s) {
    FOR_LANES(j) {
        double t = weights ? weights[j * weight_step] : 1, z = m[j] - (double)x[j];
        if (shares) t *= (double)shares[j] * s.keep + s.spread;
        double hi = first ? 0 : moment[j], lo = first ? 0 : moment_lo[j];
        if (shares || weights) z = t == 0 ? 0. : t * z;
        FN(lane_add)(&hi, &lo, z);
        moment[j] = hi;
        if (COMPENSATED) moment_lo[j] = lo;
        if (shares) {
            double sum = first ? 0 : whole[j], low = first ? 0 : whole_lo[j];
            FN(lane_add)(&sum, &low, t);
            whole[j] = sum;
            if (COMPENSATED) whole_lo[j] = low;
        }
    }
}
/* The sums of the lanes of one row, or of FR_COLUMNS rows side by side, in place of the first lane. */
FR_INLINE void FN(lane_join)(double *hi, double *lo, const double *other, const double *other_lo) {
    FN(lane_add)(hi, lo, *other);
    if (COMPENSATED) *lo += *other_lo;
}
FR_INLINE void FN(lane_close)(double *hi, const double *lo) {
    if (COMPENSATED) *hi = *lo - *lo == 0 ? *hi + *lo : *hi;
}
FR_INLINE void FN(targets_join)(double *hi, double *lo) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int l = 0; l < w; l++) FN(lane_join)(&hi[l], &lo[l], &hi[l + w], &lo[l + w]);
    FN(lane_close)(hi, lo);
}
FR_INLINE void FN(columns_targets_join)(double (*hi)[FR_COLUMNS], double (*lo)[FR_COLUMNS], ptrdiff_t n) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int l = 0; l < w && l + w < n; l++)
            FOR_LANES(j) FN(lane_join)(&hi[l][j], &lo[l][j], &hi[l + w][j], &lo[l + w][j]);
    FOR_LANES(j) FN(lane_close)(&hi[0][j], &lo[0][j]);
}

FR_INLINE FN(targets) FN(row_targets_of)(const store *x, store top, ptrdiff_t n, FN(softness) s, const store *shares,
                                         const double *weights) {
    double moment[FR_ROW_LANES], moment_lo[FR_ROW_LANES], whole[FR_ROW_LANES], whole_lo[FR_ROW_LANES];
    double m[FR_ROW_LANES];
    FOR_LANES(j) { moment[j] = moment_lo[j] = whole[j] = whole_lo[j] = 0, m[j] = top; }
    ptrdiff_t i = 0;
    for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES)
        FN(targets_step)(0, moment, moment_lo, whole, whole_lo, x + i, m, shares ? shares + i : NULL,
                         weights ? weights + i : NULL, 1, s);
    if (i < n) { /* what is beyond the end has the weight 0 */
        store last[FR_ROW_LANES], last_shares[FR_ROW_LANES];
        double last_weights[FR_ROW_LANES];
        FOR_LANES(j) { last[j] = top, last_shares[j] = 0, last_weights[j] = 0; }
        for (ptrdiff_t j = 0; i + j < n; j++) {
            last[j] = x[i + j];
            if (shares) last_shares[j] = shares[i + j];
            last_weights[j] = weights ? weights[i + j] : 1;
        }
        FN(targets_step)(0, moment, moment_lo, whole, whole_lo, last, m, shares ? last_shares : NULL, last_weights, 1,
                         s);
    }
    FN(targets_join)(moment, moment_lo);
    if (shares) FN(targets_join)(whole, whole_lo);
    return (FN(targets)){whole[0], moment[0]};
}
/* Of FR_COLUMNS rows side by side. */
FR_INLINE void FN(columns_targets_of)(const fr_tile *tile, ptrdiff_t at, const store *top, FN(softness) s,
                                      double *whole, double *moment, int shared, const double *weights) {
    const char *x = tile->in[0] + at, *shares = shared ? tile->in[1] + at : NULL;
    FR_LINES double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS];
    FR_LINES double sum[FR_ROW_LANES][FR_COLUMNS], low[FR_ROW_LANES][FR_COLUMNS], m[FR_COLUMNS];
    FOR_LANES(j) m[j] = top[j];
#define STEP(first, lane)                                                                                         \
    FN(targets_step)(first, hi[lane], lo[lane], sum[lane], low[lane], (const store *)(x + i * tile->pitch[0]), m, \
                     shared ? (const store *)(shares + i * tile->pitch[1]) : NULL, weights ? weights + i : NULL, 0, s)
    ptrdiff_t i = 0;
    for (; i < tile->n && i < FR_ROW_LANES; i++) STEP(1, i);
    for (; i < tile->n; i++) STEP(0, i % FR_ROW_LANES);
#undef STEP
    FN(columns_targets_join)(hi, lo, tile->n);
    if (shared) FN(columns_targets_join)(sum, low, tile->n);
    FOR_LANES(j) moment[j] = hi[0][j];
    if (shared) FOR_LANES(j) whole[j] = sum[0][j];
}

/* Writes p - q, scaled; p from the exponentials or from x as in row_divide. */
FR_INLINE store FN(less)(store p, real share, real keep, real spread, int shared) {
    return (store)((real)p - (shared ? share * keep + spread : spread));
}
FR_INLINE void FN(row_gradient_of)(const fr_target *target, ptrdiff_t n, const FN(row) * row, FN(factor) r, double f,
                                   FN(softness) s, const store *shares, const double *weights) {
    const real hi = r.hi, lo = r.lo, factor = (real)f, origin = row->origin, magic = row->magic, low = row->low;
    store *out = (store *)target->grad;
    const store *from = KEEPS ? out : (const store *)target->x;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        const double scale = weights ? s.scale * weights[i] : s.scale;
        out[i] =
            FN(less)(FN(probability)(from[i], origin, magic, low, hi, lo, factor, 0, 1), shares ? (real)shares[i] : 0,
                     (real)(scale * s.keep), (real)(scale * s.spread), shares != NULL);
    }
}
FR_INLINE void FN(columns_gradient_of)(const fr_tile *tile, ptrdiff_t at, const FN(columns) * c, const double *f,
                                       FN(softness) s, int shared, const double *weights) {
    real r_hi[FR_COLUMNS], r_lo[FR_COLUMNS], factor[FR_COLUMNS];
    FOR_LANES(j) {
        const FN(factor) r = FN(factor_of)(FN(column_total)(c, j), f[j], 1);
        r_hi[j] = r.hi, r_lo[j] = r.lo, factor[j] = (real)f[j];
    }
    for (ptrdiff_t i = 0; i < tile->n; i++) {
        store *to = (store *)(tile->out + at + i * tile->out_pitch);
        const store *from = KEEPS ? to : (const store *)(tile->in[0] + at + i * tile->pitch[0]);
        const store *share = shared ? (const store *)(tile->in[1] + at + i * tile->pitch[1]) : NULL;
        const double scale = weights ? s.scale * weights[i] : s.scale;
        const real keep = (real)(scale * s.keep), spread = (real)(scale * s.spread);
        FOR_LANES(j)
        to[j] =
            FN(less)(FN(probability)(from[j], c->origin[j], c->magic[j], c->low[j], r_hi[j], r_lo[j], factor[j], 0, 1),
                     shared ? (real)share[j] : 0, keep, spread, shared);
    }
}

/* One copy for each kind of targets: what they lack costs nothing. */
#define BY_TARGETS(shares, weights, none, call) \
    if ((shares) && (weights)) {                \
        call(shares, weights);                  \
    } else if (shares) {                        \
        call(shares, NULL);                     \
    } else if (weights) {                       \
        call(none, weights);                    \
    } else {                                    \
        call(none, NULL);                       \
    }
FR_APART FN(targets) FN(targets_row)(const fr_target *target, store top, ptrdiff_t n, FN(softness) s) {
    const store *x = (const store *)target->x, *shares = (const store *)target->shares;
#define CALL(shares, weights) return FN(row_targets_of)(x, top, n, s, shares, weights)
    BY_TARGETS(shares, target->weights, NULL, CALL)
#undef CALL
}
FR_APART void FN(gradient_row)(const fr_target *target, ptrdiff_t n, const FN(row) * row, FN(factor) r, double f,
                               FN(softness) s) {
    const store *shares = (const store *)target->shares;
#define CALL(shares, weights) FN(row_gradient_of)(target, n, row, r, f, s, shares, weights)
    BY_TARGETS(shares, target->weights, NULL, CALL)
#undef CALL
}
FR_APART void FN(targets_tile_row)(const fr_tile *tile, ptrdiff_t at, const store *top, FN(softness) s, double *whole,
                                   double *moment){
#define CALL(shares, weights) FN(columns_targets_of)(tile, at, top, s, whole, moment, shares, weights)
    BY_TARGETS(tile -> in[1] != NULL, tile->target->weights, 0, CALL)
#undef CALL
} FR_APART void FN(gradient_tile_row)(const fr_tile *tile, ptrdiff_t at, const FN(columns) * c, const double *f,
                                      FN(softness) s){
#define CALL(shares, weights) FN(columns_gradient_of)(tile, at, c, f, s, shares, weights)
    BY_TARGETS(tile->in[1] != NULL, tile->target->weights, 0, CALL)
#undef CALL
}
#undef BY_TARGETS

/* Returns the loss of a row that is ignored (no shares and label < 0) or whose largest logit is infinite, and writes
 * its gradient. The row has a limit if a single logit is +inf. */
FR_APART double FN(write_rare)(const fr_target *target, ptrdiff_t n, const char *shares, ptrdiff_t shares_pitch,
                               ptrdiff_t label, ptrdiff_t limit, double whole, char *to, ptrdiff_t to_pitch) {
    const FN(softness) s = FN(softness_of)(target, n);
    const int ignored = !shares && label < 0;
    double loss = ignored || limit >= 0 ? 0. : (double)NAN;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double share = shares ? (double)*(const store *)(shares + i * shares_pitch) : i == label;
        const double weight = target->weights ? target->weights[i] : 1, p = limit < 0 ? (double)NAN : i == limit;
        const double q = weight * (share * s.keep + s.spread);
        if (!ignored && q != 0 && i != limit) loss += (double)INFINITY;
        if (to) *(store *)(to + i * to_pitch) = (store)(ignored ? 0 : target->scale * (whole * p - q));
    }
    return loss;
}

/* logsumexp of a row without a finite maximum: +inf if one is among its elements, -inf if there is nothing else */
FR_APART double FN(infinite_sum)(const char *x, ptrdiff_t pitch, ptrdiff_t n) {
    double found = -(double)INFINITY;
    for (ptrdiff_t i = 0; i < n; i++) {
        const store v = *(const store *)(x + i * pitch);
        found = v != v || found != found ? (double)NAN : v > LARGEST ? (double)INFINITY : found;
    }
    return found;
}

/* -log p of the class whose logit is `own` */
FR_INLINE double FN(row_loss)(fr_total beside, real unit, real unit_low, store m, store own) {
    (void)unit, (void)unit_low;
#if FR_KIND == FR_HILO
    const hl_pair logarithm = FN(row_log)(beside), z = hl_sum(m, -own), sum = hl_sum(logarithm.hi, z.hi);
    double loss = sum.hi + (sum.lo + (logarithm.lo + z.lo));
    return own < -LARGEST ? (double)INFINITY + logarithm.hi : loss;
#elif FR_KIND == FR_LEAN
    const FN(logarithm) y = FN(row_log)(beside, unit, unit_low);
    return ((double)y.hi + (double)y.lo) + ((double)m - (double)own);
#else
    return (double)FN(row_log)(beside, unit) + ((double)m - (double)own);
#endif
}
FR_INLINE double FN(weighted)(double whole, double loss) { return ((whole == 0) & (loss > 0)) ? 0 : whole * loss; }

/* factor (1 - p) of the largest element: times the probability of all others, which does not cancel */
FR_INLINE real FN(others)(fr_total beside, real top, double factor) {
    const fr_total total = FN(total_add)(beside, top);
#if FR_KIND == FR_LEAN
    return ((real)beside.hi * (real)(1 / total.hi)) * (real)factor;
#else
    return factor * (beside.hi / total.hi);
#endif
}
/* p - 1 */
FR_INLINE void FN(subtract_label)(store *grad, real others, int is_top, real factor) {
    *grad = (store) - (is_top ? others : factor - (real)*grad);
}

/* The loss from that of the largest class; `own` is the label's part of q, `gap` is m - x there */
FR_INLINE double FN(soft_loss)(double whole, double log_sum, double own, double gap, double moment) {
    return FN(weighted)(whole, log_sum) + (FN(weighted)(own, gap) + moment);
}
/* p - q of the label. Where p is close to all of the target, q is too: then 1 - p does not cancel, nor the rest of q.
 */
FR_INLINE store FN(soft_label)(store p, real others, int is_top, double factor, double weight, FN(softness) s) {
    const double q = s.scale * (weight * (s.keep + s.spread)), rest = s.scale * (s.rest - weight * s.spread);
    const double near = rest - (double)others, far = (double)p - q;
    return (store)(is_top && (double)p + q > factor ? near : far);
}

FR_UNUSED static double FN(cross_entropy_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x;
    store *grad = (store *)target->grad;
    const FN(softness) s = FN(softness_of)(target, n);
    const int shared = target->shares != NULL, soft = shared || target->smoothing != 0;
    const ptrdiff_t label = shared ? 0 : target->label;
    const store m = FN(row_max)(x, n, 0), own = x[label];
    const double weight = target->weights ? target->weights[label] : 1;
    double whole = weight * s.keep + s.rest, moment = 0;
    if (soft) {
        const FN(targets) q = FN(targets_row)(target, m, n, s);
        moment = shared ? q.moment : FN(weighted)(s.spread, q.moment);
        if (shared) whole = q.whole;
    }
    if (!FN(row_is_finite)(m))
        return FN(write_rare)(target, n, target->shares, sizeof(store), label,
                              FN(limit_of)(target->x, sizeof(store), n, 0), whole, target->grad, sizeof(store));

    const FN(row) row = FN(row_of)(m);
    const store other = PAIRS(n) ? FN(other_of)(x[0], x[1], m) : 0; /* of a gradient in place: before it is written */
    const fr_total beside = FN(row_sum)(x, grad, grad ? grad : x, n, &row, 0, 1);
    double loss = PAIRS(n) ? FN(pair_loss)(m, other, soft ? m : own)
                           : FN(row_loss)(beside, row.unit, row.unit_low, m, soft ? m : own);
    if (soft) loss = FN(soft_loss)(whole, loss, shared ? 0 : weight * s.keep, (double)m - (double)own, moment);
    else loss = FN(weighted)(whole, loss);
    if (!grad) return loss;

    const double factor = whole * target->scale;
    const fr_total total = FN(total_add)(beside, row.top);
    const real others = FN(others)(beside, row.top, factor);
    if (soft) {
        const FN(factor) r = FN(factor_of)(total, factor, 1);
        const store p =
            FN(probability)(KEEPS ? grad[label] : own, row.origin, row.magic, row.low, r.hi, r.lo, (real)factor, 0, 1);
        FN(gradient_row)(target, n, &row, r, factor, s);
        if (!shared) grad[label] = FN(soft_label)(p, others, own == m, factor, weight, s);
    } else {
        FN(row_divide)(x, grad, n, &row, total, 0, factor, 1);
        FN(subtract_label)(&grad[label], others, own == m, (real)factor);
    }
    return loss;
}

/* Replaces the logit of each row's label by its gradient. */
FR_INLINE void FN(columns_own)(const FN(columns) * c, store *own, const double *factor, const real *others, int soft,
                               const double *weight, FN(softness) s) {
    FOR_LANES(j) {
        const FN(factor) r = FN(factor_of)(FN(column_total)(c, j), factor[j], 1);
        const int is_top = own[j] == c->m[j];
#if KEEPS
        store grad = FN(row_exp)(own[j], c->origin[j], c->magic[j], c->low[j]);
#else
        store grad = own[j];
#endif
        grad = FN(probability)(grad, c->origin[j], c->magic[j], c->low[j], r.hi, r.lo, (real)factor[j], 0, 1);
        if (soft) grad = FN(soft_label)(grad, others[j], is_top, factor[j], weight[j], s);
        else FN(subtract_label)(&grad, others[j], is_top, (real)factor[j]);
        own[j] = grad;
    }
}

/* The element of each row at its label, the first one if there is none; and back. */
FR_INLINE void FN(columns_pick)(store *own, const int32_t *label, const char *x, ptrdiff_t pitch, ptrdiff_t n) {
    FOR_LANES(j) own[j] = ((const store *)x)[j];
    for (ptrdiff_t i = 1; i < n && n <= FR_FEW; i++) {
        const store *at = (const store *)(x + i * pitch);
        FOR_LANES(j) own[j] = label[j] == (int32_t)i ? at[j] : own[j];
    }
    for (int j = 0; j < FR_COLUMNS && n > FR_FEW; j++)
        if (label[j] > 0) own[j] = ((const store *)(x + label[j] * pitch))[j];
}
FR_INLINE void FN(columns_place)(const store *own, const int32_t *label, char *out, ptrdiff_t pitch, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n && n <= FR_FEW; i++) {
        store *at = (store *)(out + i * pitch);
        FOR_LANES(j) at[j] = label[j] == (int32_t)i ? own[j] : at[j];
    }
    for (int j = 0; j < FR_COLUMNS && n > FR_FEW; j++)
        if (label[j] >= 0) ((store *)(out + label[j] * pitch))[j] = own[j];
}

/* The same for rows side by side. */
FR_INLINE void FN(cross_entropy_columns)(fr_tile *tile, ptrdiff_t n) {
    const ptrdiff_t pitch = tile->pitch[0], out_pitch = tile->out_pitch, size = sizeof(store);
    const double *weights = tile->target->weights;
    const FN(softness) s = FN(softness_of)(tile->target, n);
    const int shared = tile->in[1] != NULL, soft = shared || tile->target->smoothing != 0;
    const int plain = !weights && !soft;
    FN(columns) c[FR_COLUMN_BATCH];
    FR_LINES double whole[FR_COLUMN_BATCH][FR_COLUMNS], moment[FR_COLUMN_BATCH][FR_COLUMNS];
    FR_LINES double weight[FR_COLUMN_BATCH][FR_COLUMNS], factor[FR_COLUMN_BATCH][FR_COLUMNS];
    FR_LINES real others[FR_COLUMN_BATCH][FR_COLUMNS];
    FR_LINES store own[FR_COLUMN_BATCH][FR_COLUMNS], other[FR_COLUMN_BATCH][FR_COLUMNS];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned rare[FR_COLUMN_BATCH], infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *from = tile->in[0] + COLUMNS_AT(at);
        char *to = tile->out ? tile->out + COLUMNS_AT(at) : NULL;
        const int32_t *labels = tile->label + at * FR_COLUMNS;
        if (n == 2 && !to) FN(columns_top)(c, infinite, limit, from, pitch, n, count, 0, 0, !PAIRS(n));
        else FN(columns_top)(c, infinite, limit, from, pitch, n, count, 0, 1, !PAIRS(n));
        for (ptrdiff_t k = 0; k < count; k++) {
            const int32_t *label = labels + k * FR_COLUMNS;
            int32_t ignored = 0;
            rare[k] = infinite[k];
            FOR_LANES(j) weight[k][j] = whole[k][j] = 1;
            if (shared) FOR_LANES(j) {
                    own[k][j] = c[k].m[j], weight[k][j] = 0;
                }
            else {
                FOR_LANES(j) ignored |= label[j];
                FN(columns_pick)(own[k], label, from + COLUMNS_AT(k), pitch, n);
                for (int j = 0; j < FR_COLUMNS && weights; j++) weight[k][j] = weights[label[j] < 0 ? 0 : label[j]];
            }
            if (!shared && !plain) FOR_LANES(j) whole[k][j] = weight[k][j] * s.keep + s.rest;
            for (int j = 0; j < FR_COLUMNS && ignored < 0; j++)
                if (label[j] < 0) whole[k][j] = 0, rare[k] |= 1U << j;
        }
        for (ptrdiff_t k = 0; k < count && soft; k++) {
            FN(targets_tile_row)(tile, COLUMNS_AT(at + k), c[k].m, s, whole[k], moment[k]);
            if (!shared) FOR_LANES(j) moment[k][j] = FN(weighted)(s.spread, moment[k][j]);
        }
        for (ptrdiff_t k = 0; k < count; k++) {
            const store *one = (const store *)(from + COLUMNS_AT(k));
            const store *two = (const store *)((const char *)one + pitch);
            if (PAIRS(n)) FOR_LANES(j) other[k][j] = FN(other_of)(one[j], two[j], c[k].m[j]);
        }
        if (!PAIRS(n) || to) FN(columns_sum)(c, from, pitch, to, out_pitch, n, count, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            double *loss = tile->loss + (at + k) * FR_COLUMNS;
            const store *at_label = soft ? c[k].m : own[k];
            FR_LINES double log_sum[FR_COLUMNS];
            if (PAIRS(n)) FOR_LANES(j) log_sum[j] = FN(pair_loss)(c[k].m[j], other[k][j], at_label[j]);
            else FOR_LANES(j)
            log_sum[j] =
                FN(row_loss)(FN(column_total)(&c[k], j), c[k].unit[j], c[k].unit_low[j], c[k].m[j], at_label[j]);
            if (plain) FOR_LANES(j) loss[j] = log_sum[j];
            else if (!soft) FOR_LANES(j) loss[j] = FN(weighted)(whole[k][j], log_sum[j]);
            else FOR_LANES(j)
            loss[j] = FN(soft_loss)(whole[k][j], log_sum[j], weight[k][j] * s.keep,
                                    (double)c[k].m[j] - (double)own[k][j], moment[k][j]);
        }
        for (ptrdiff_t k = 0; k < count && to; k++) FOR_LANES(j) {
                const fr_total beside = FN(column_total)(&c[k], j), total = FN(total_add)(beside, c[k].top[j]);
                factor[k][j] = whole[k][j] * s.scale;
                others[k][j] = FN(others)(beside, c[k].top[j], factor[k][j]);
                c[k].hi[0][j] = total.hi;
                if (COMPENSATED) c[k].lo[0][j] = total.lo;
            }
        if (to && !soft) FN(columns_divide)(c, from, pitch, to, out_pitch, n, count, 0, factor);
        for (ptrdiff_t k = 0; k < count && to; k++) {
            if (soft) FN(gradient_tile_row)(tile, COLUMNS_AT(at + k), &c[k], factor[k], s);
            if (shared) continue;
            if (soft) FN(columns_own)(&c[k], own[k], factor[k], others[k], 1, weight[k], s);
            else FN(columns_own)(&c[k], own[k], factor[k], others[k], 0, weight[k], s);
            FN(columns_place)(own[k], labels + k * FR_COLUMNS, to + COLUMNS_AT(k), out_pitch, n);
        }
        for (ptrdiff_t k = 0; k < count; k++)
            for (int j = 0; j < FR_COLUMNS && rare[k]; j++)
                if (rare[k] >> j & 1)
                    tile->loss[(at + k) * FR_COLUMNS + j] = FN(write_rare)(
                        tile->target, n, shared ? tile->in[1] + COLUMNS_AT(at + k) + j * size : NULL, tile->pitch[1],
                        shared ? 0 : labels[k * FR_COLUMNS + j], infinite[k] >> j & 1 ? limit[k][j] : FR_NO_LIMIT,
                        whole[k][j], to ? to + COLUMNS_AT(k) + j * size : NULL, out_pitch);
    }
}
FR_UNUSED static void FN(cross_entropy_tile_row)(fr_tile *tile) {
    /* A loop of two, unrolled: pairs of classes are common. */
    if (tile->n == 2) FN(cross_entropy_columns)(tile, 2);
    else FN(cross_entropy_columns)(tile, tile->n);
}

/* ---- Labels and losses of many rows ---- */

FR_UNUSED static fr_label_counts FN(read_labels_row)(int32_t *to, const int64_t *from, ptrdiff_t m, ptrdiff_t n,
                                                     int64_t ignored) {
    fr_label_counts counts = {0, 0};
    for (ptrdiff_t i = 0; i < m; i++) {
        const int64_t label = from[i], is_ignored = label == ignored, is_class = (label >= 0) & (label < n);
        to[i] = (is_class & !is_ignored) ? (int32_t)label : -1;
        counts.ignored += is_ignored;
        counts.wrong += !is_class & !is_ignored;
    }
    return counts;
}
#if FR_KIND == FR_FULL /* the same for all */
FR_UNUSED static void FN(add_losses_row)(double *hi, double *lo, int lane, const double *loss, ptrdiff_t m) {
    double high[FR_COLUMNS], low[FR_COLUMNS]; /* so that the compiler knows that they lie apart from the losses */
    ptrdiff_t i = 0;
    memcpy(high, hi, sizeof high);
    memcpy(low, lo, sizeof low);
    for (; i < m && (lane + i) % FR_COLUMNS; i++)
        fr_add_to(&high[(lane + i) % FR_COLUMNS], &low[(lane + i) % FR_COLUMNS], loss[i]);
    for (; i + FR_COLUMNS <= m; i += FR_COLUMNS) FOR_LANES(j) fr_add_to(&high[j], &low[j], loss[i + j]);
    for (; i < m; i++) fr_add_to(&high[(lane + i) % FR_COLUMNS], &low[(lane + i) % FR_COLUMNS], loss[i]);
    memcpy(hi, high, sizeof high);
    memcpy(lo, low, sizeof low);
}
#endif

/* ---- The logarithm of the sum of the exponentials ---- */

/* m + log of the sum of e^(x - m), which is -log p of a class whose logit is 0 */
FR_UNUSED static double FN(logsumexp_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x;
    const store m = FN(row_max)(x, n, 0);
    if (!FN(row_is_finite)(m)) return FN(infinite_sum)(target->x, sizeof(store), n);
    if (PAIRS(n)) return FN(pair_loss)(m, FN(other_of)(x[0], x[1], m), 0);
    const FN(row) row = FN(row_of)(m);
    return FN(row_loss)(FN(row_sum)(x, NULL, x, n, &row, 0, 1), row.unit, row.unit_low, m, 0);
}
FR_INLINE void FN(logsumexp_columns)(fr_tile *tile, ptrdiff_t n) {
    const ptrdiff_t pitch = tile->pitch[0];
    FN(columns) c[FR_COLUMN_BATCH];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *x = tile->in[0] + COLUMNS_AT(at);
        FN(columns_top)(c, infinite, limit, x, pitch, n, count, 0, n != 2, !PAIRS(n));
        if (!PAIRS(n)) FN(columns_sum)(c, x, pitch, NULL, 0, n, count, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            double *loss = tile->loss + (at + k) * FR_COLUMNS;
            const store *one = (const store *)(x + COLUMNS_AT(k)), *two = (const store *)((const char *)one + pitch);
            if (PAIRS(n)) FOR_LANES(j)
            loss[j] = FN(pair_loss)(c[k].m[j], FN(other_of)(one[j], two[j], c[k].m[j]), 0);
            else FOR_LANES(j) loss[j] =
                FN(row_loss)(FN(column_total)(&c[k], j), c[k].unit[j], c[k].unit_low[j], c[k].m[j], 0);
            for (int j = 0; j < FR_COLUMNS && infinite[k]; j++)
                if (infinite[k] >> j & 1)
                    loss[j] = FN(infinite_sum)(x + COLUMNS_AT(k) + j * (ptrdiff_t)sizeof(store), pitch, n);
        }
    }
}
FR_UNUSED static void FN(logsumexp_tile_row)(fr_tile *tile) {
    if (tile->n == 2) FN(logsumexp_columns)(tile, 2);
    else FN(logsumexp_columns)(tile, tile->n);
}
#undef FOR_BATCHES
#undef FOR_LINES
#undef SET_IS_NEAR
#undef COLUMNS_AT
#undef FOR_COLUMNS
