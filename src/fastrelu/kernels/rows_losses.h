/* Cross-entropy, its gradient, and the logarithm of the sum of exponentials, over a row and over a tile. Included by
 * instance.h, once per instance. */

/* ---- Cross-entropy: sum of q (-log p) over the classes, and its gradient scale (p (sum of q) - q) ---- */

typedef struct {
    double whole, moment; /* sums of q, and of q (x - m) where x is finite */
    double outside;       /* the sum of q where the logit is -inf */
} FN(targets);

/* m <= FR_ROW_LANES elements from i on: their targets q, and their contribution to the sums */
FR_INLINE void FN(targets_step)(const fr_target *target, const store *x, store top, ptrdiff_t i, ptrdiff_t m,
                                double spread, fr_lanes *whole, fr_lanes *moment, double *outside) {
    const store *shares = (const store *)target->shares;
    double *q = target->dense + i;
    if (shares)
        for (ptrdiff_t j = 0; j < m; j++) q[j] = (double)shares[i + j] * (1 - target->smoothing) + spread;
    else
        for (ptrdiff_t j = 0; j < m; j++) q[j] = spread + (i + j == target->label ? 1 - target->smoothing : 0.);
    if (target->weights)
        for (ptrdiff_t j = 0; j < m; j++) q[j] *= target->weights[i + j];
    for (ptrdiff_t j = 0; j < m; j++) {
        double z = (double)x[i + j] - (double)top;
        int gone = (x[i + j] < -LARGEST) | (q[j] == 0);
        fr_add_to(&whole->hi[j], &whole->lo[j], q[j]);
        fr_add_to(&moment->hi[j], &moment->lo[j], gone ? 0. : q[j] * z);
        outside[j] += x[i + j] < -LARGEST ? q[j] : 0.;
    }
}

FR_INLINE FN(targets) FN(targets_of)(const fr_target *target, const store *x, store top, ptrdiff_t n) {
    fr_lanes whole, moment;
    double outside[FR_ROW_LANES];
    const double spread = target->smoothing / (double)n;
    fr_lanes_clear(&whole);
    fr_lanes_clear(&moment);
    for (int j = 0; j < FR_ROW_LANES; j++) outside[j] = 0;
    ptrdiff_t i = 0;
    for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES)
        FN(targets_step)(target, x, top, i, FR_ROW_LANES, spread, &whole, &moment, outside);
    if (i < n) FN(targets_step)(target, x, top, i, n - i, spread, &whole, &moment, outside);
    for (int j = 1; j < FR_ROW_LANES; j++) outside[0] += outside[j];
    FN(targets) found = {fr_lanes_join(&whole).hi, fr_lanes_join(&moment).hi, outside[0]};
    return found;
}

/* The loss of a row whose largest logit is infinite, with the probabilities of write_limit; `own` is the target of the
 * class i. */
FR_UNUSED static double FN(cross_entropy_infinite)(const fr_target *target, ptrdiff_t n, double whole) {
    store *grad = (store *)target->grad;
    const double *q = target->dense;
    const ptrdiff_t at = FN(limit_of)(target->x, sizeof(store), n, 0);
    double loss = at >= 0 ? 0. : NAN;
    for (ptrdiff_t i = 0; i < n; i++) {
        double own = q ? q[i] : i == target->label ? whole : 0., p = at >= 0 ? i == at : NAN;
        if (own != 0 && i != at) loss += INFINITY;
        if (grad) grad[i] = (store)(target->scale * (whole * p - own));
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
FR_INLINE double FN(weighted)(double whole, double loss) { return (whole == 0) & (loss > 0) ? 0 : whole * loss; }

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

FR_UNUSED static double FN(cross_entropy_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x;
    store *grad = (store *)target->grad;
    const int dense = target->dense != NULL;
    const store m = FN(row_max)(x, n, 0);
    FN(targets) q = {target->weights && !dense ? target->weights[target->label] : 1., 0, 0};
    if (dense) q = FN(targets_of)(target, x, m, n);
    if (!FN(row_is_finite)(m)) return FN(cross_entropy_infinite)(target, n, q.whole);

    const store own = dense ? m : x[target->label];
    const FN(row) row = FN(row_of)(m);
    const fr_total beside = FN(row_sum)(x, grad, grad ? grad : x, n, &row, 0, 1);
    double loss = FN(weighted)(q.whole, FN(row_loss)(beside, row.unit, row.unit_low, m, own));
    if (dense) loss -= q.moment;
    if (q.outside != 0) loss += q.outside * (double)INFINITY;
    if (!grad) return loss;

    const double factor = q.whole * target->scale;
    FN(row_divide)(x, grad, n, &row, FN(total_add)(beside, row.top), 0, factor, 1);
    if (dense) {
        for (ptrdiff_t i = 0; i < n; i++) grad[i] = (store)((double)grad[i] - target->scale * target->dense[i]);
    } else {
        FN(subtract_label)(&grad[target->label], FN(others)(beside, row.top, factor), own == m, (real)factor);
    }
    return loss;
}

/* Writes loss and gradient of a row that is ignored (label < 0) or whose largest logit is infinite. */
FR_APART double FN(write_rare)(const fr_tile *tile, char *to, ptrdiff_t label, ptrdiff_t limit, double whole) {
    for (ptrdiff_t i = 0; i < tile->n && to; i++) {
        const double p = limit < 0 ? (double)NAN : i == limit, own = i == label ? whole : 0.;
        *(store *)(to + i * tile->out_pitch) = (store)(label < 0 ? 0 : tile->target->scale * (whole * p - own));
    }
    return label < 0 ? 0. : limit < 0 ? (double)NAN : label != limit && whole != 0 ? (double)INFINITY : 0.;
}

/* Replaces the logit of each row's label by its gradient. */
FR_INLINE void FN(columns_own)(const FN(columns) * c, store *own, const double *factor, const real *others) {
    FOR_LANES(j) {
        const FN(factor) r = FN(factor_of)(FN(column_total)(c, j), factor[j], 1);
        const int is_top = own[j] == c->m[j];
#if KEEPS
        store grad = FN(row_exp)(own[j], c->origin[j], c->magic[j], c->low[j]);
#else
        store grad = own[j];
#endif
        grad = FN(probability)(grad, c->origin[j], c->magic[j], c->low[j], r.hi, r.lo, (real)factor[j], 0, 1);
        FN(subtract_label)(&grad, others[j], is_top, (real)factor[j]);
        own[j] = grad;
    }
}

/* The same for rows side by side, whose label is their only target. */
FR_INLINE void FN(cross_entropy_columns)(fr_tile *tile, ptrdiff_t n) {
    const ptrdiff_t pitch = tile->pitch[0], out_pitch = tile->out_pitch, size = sizeof(store);
    const double *weights = tile->target->weights, scale = tile->target->scale;
    FN(columns) c[FR_COLUMN_BATCH];
    FR_LINES double whole[FR_COLUMN_BATCH][FR_COLUMNS];
    FR_LINES store own[FR_COLUMN_BATCH][FR_COLUMNS];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned rare[FR_COLUMN_BATCH], infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *from = tile->in[0] + COLUMNS_AT(at);
        char *to = tile->out ? tile->out + COLUMNS_AT(at) : NULL;
        const ptrdiff_t *labels = tile->label + at * FR_COLUMNS;
        for (ptrdiff_t k = 0; k < count; k++) {
            const ptrdiff_t *label = labels + k * FR_COLUMNS;
            ptrdiff_t ignored = 0;
            infinite[k] = rare[k] = FN(columns_top)(&c[k], limit[k], from + COLUMNS_AT(k), pitch, n, 0);
            for (int j = 0; j < FR_COLUMNS; j++) ignored |= label[j];
            for (int j = 0; j < FR_COLUMNS; j++) {
                const ptrdiff_t known = label[j] < 0 ? 0 : label[j];
                own[k][j] = *(const store *)(from + COLUMNS_AT(k) + known * pitch + j * size);
                if (weights) whole[k][j] = weights[known];
            }
            if (!weights) FOR_LANES(j) whole[k][j] = 1;
            for (int j = 0; j < FR_COLUMNS && ignored < 0; j++)
                if (label[j] < 0) whole[k][j] = 0, rare[k] |= 1U << j;
        }
        for (ptrdiff_t k = 0; k < count; k++)
            FN(columns_sum)(&c[k], from + COLUMNS_AT(k), pitch, to ? to + COLUMNS_AT(k) : NULL, out_pitch, n, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            double *loss = tile->loss + (at + k) * FR_COLUMNS;
            FOR_LANES(j) {
                loss[j] = FN(weighted)(whole[k][j], FN(row_loss)(FN(column_total)(&c[k], j), c[k].unit[j],
                                                                 c[k].unit_low[j], c[k].m[j], own[k][j]));
            }
        }
        for (ptrdiff_t k = 0; k < count && to; k++) {
            char *out = to + COLUMNS_AT(k);
            const ptrdiff_t *label = labels + k * FR_COLUMNS;
            FR_LINES double factor[FR_COLUMNS];
            FR_LINES real others[FR_COLUMNS];
            FOR_LANES(j) {
                const fr_total beside = FN(column_total)(&c[k], j), total = FN(total_add)(beside, c[k].top[j]);
                factor[j] = whole[k][j] * scale;
                others[j] = FN(others)(beside, c[k].top[j], factor[j]);
                c[k].hi[0][j] = total.hi;
                if (COMPENSATED) c[k].lo[0][j] = total.lo;
            }
            FN(columns_divide)(&c[k], from + COLUMNS_AT(k), pitch, out, out_pitch, n, 0, factor);
            FN(columns_own)(&c[k], own[k], factor, others);
            for (int j = 0; j < FR_COLUMNS; j++)
                if (label[j] >= 0) ((store *)(out + label[j] * out_pitch))[j] = own[k][j];
        }
        for (ptrdiff_t k = 0; k < count; k++)
            for (int j = 0; j < FR_COLUMNS && rare[k]; j++)
                if (rare[k] >> j & 1)
                    tile->loss[(at + k) * FR_COLUMNS + j] =
                        FN(write_rare)(tile, to ? to + COLUMNS_AT(k) + j * size : NULL, labels[k * FR_COLUMNS + j],
                                       infinite[k] >> j & 1 ? limit[k][j] : FR_NO_LIMIT, whole[k][j]);
    }
}
FR_UNUSED static void FN(cross_entropy_tile_row)(fr_tile *tile) {
    /* A loop of two, unrolled: pairs of classes are common. */
    if (tile->n == 2) FN(cross_entropy_columns)(tile, 2);
    else FN(cross_entropy_columns)(tile, tile->n);
}

/* ---- The logarithm of the sum of the exponentials ---- */

/* m + log of the sum of e^(x - m), which is -log p of a class whose logit is 0 */
FR_UNUSED static double FN(logsumexp_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x;
    const store m = FN(row_max)(x, n, 0);
    if (!FN(row_is_finite)(m)) return FN(infinite_sum)(target->x, sizeof(store), n);
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
        for (ptrdiff_t k = 0; k < count; k++)
            infinite[k] = FN(columns_top)(&c[k], limit[k], x + COLUMNS_AT(k), pitch, n, 0);
        for (ptrdiff_t k = 0; k < count; k++) FN(columns_sum)(&c[k], x + COLUMNS_AT(k), pitch, NULL, 0, n, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            double *loss = tile->loss + (at + k) * FR_COLUMNS;
            FOR_LANES(j)
            loss[j] = FN(row_loss)(FN(column_total)(&c[k], j), c[k].unit[j], c[k].unit_low[j], c[k].m[j], 0);
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
#undef COLUMNS_AT
#undef FOR_COLUMNS
