/* Kernels that select elements of a row: hardmax, sparsemax and their gradients. They compute in double for both types,
 * with the rounding errors of sums, so the precisions share them. Included by instance.h, once per instance. */

#if FR_KIND == FR_WIDE || FR_KIND == FR_FULL

#ifndef FASTRELU_SELECT
#define FASTRELU_SELECT

enum {
    FR_KEPT = 256,      /* candidates for the support of a row */
    FR_CANDIDATES = 128 /* up to this length all elements are */
};

/* Sums over the lanes of a row: of values, of their rounding errors, and of how many there are. */
typedef struct {
    FR_LINES double hi[FR_ROW_LANES], lo[FR_ROW_LANES], many[FR_ROW_LANES];
} fr_support;

FR_INLINE fr_total fr_support_join(fr_support *s, double *many) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int j = 0; j < w; j++) {
            fr_add_to(&s->hi[j], &s->lo[j], s->hi[j + w]);
            s->lo[j] += s->lo[j + w];
            s->many[j] += s->many[j + w];
        }
    fr_total total = {s->hi[0], s->lo[0]};
    *many = s->many[0];
    return total;
}
/* total / count for a whole count; the remainder is exact, because q is multiplied in two parts of few bits */
FR_INLINE fr_total fr_quotient(fr_total total, double count) {
    const double q = total.hi / count, high = (double)(float)q;
    const double low = (((total.hi - high * count) - (q - high) * count) + total.lo) / count;
    fr_total mean = {q, low - low == 0 ? low : 0};
    return mean;
}

#endif

/* ---- Hardmax: 1 at the first of the largest elements, 0 elsewhere; NaN where the row has one ---- */

FR_UNUSED static void FN(hardmax_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *x = (const store *)in[0], m = FN(row_max)(x, n, 0);
    store *out = (store *)to;
    ptrdiff_t at = 0;
    int bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) bad |= x[i] != x[i];
    while (!bad && x[at] != m) at++;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = bad ? (store)NAN : (store)0;
    if (!bad) out[at] = 1;
}
/* The largest elements of FR_COLUMNS rows, and NaN for a row that has one, else 0. */
FR_INLINE void FN(columns_max)(store *m, store *bad, const char *x, ptrdiff_t pitch, ptrdiff_t n) {
    FOR_LANES(j) m[j] = -(store)INFINITY, bad[j] = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const store *at = (const store *)(x + i * pitch);
        FOR_LANES(j) {
            m[j] = at[j] > m[j] ? at[j] : m[j];
            bad[j] = at[j] == at[j] ? bad[j] : (store)NAN;
        }
    }
}
FR_UNUSED static void FN(hardmax_tile_row)(fr_tile *tile) {
    FOR_COLUMNS(at, tile) {
        FR_LINES store m[FR_COLUMNS], bad[FR_COLUMNS], rest[FR_COLUMNS];
        FN(columns_max)(m, bad, tile->in[0] + at, tile->pitch[0], tile->n);
        FOR_LANES(j) rest[j] = 1;
        for (ptrdiff_t i = 0; i < tile->n; i++) {
            const store *x = (const store *)(tile->in[0] + at + i * tile->pitch[0]);
            store *out = (store *)(tile->out + at + i * tile->out_pitch);
            FOR_LANES(j) {
                const store one = x[j] == m[j] ? rest[j] : (store)0;
                rest[j] -= one;
                out[j] = one + bad[j];
            }
        }
    }
}
/* Its gradient is 0, and NaN where y is. */
FR_UNUSED static void FN(hardmax_from_output_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *y = (const store *)in[1];
    store *out = (store *)to;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = y[i] == y[i] ? (store)0 : y[i];
}
FR_UNUSED static void FN(hardmax_from_output_tile_row)(fr_tile *tile) {
    for (ptrdiff_t i = 0; i < tile->n; i++) {
        const char *in[2] = {NULL, tile->in[1] + i * tile->pitch[1]};
        FN(hardmax_from_output_row)(in, tile->out + i * tile->out_pitch, tile->width);
    }
}

/* ---- Sparsemax: max(x - t, 0) for the level t that makes the row add up to 1 ----
 *
 * The level is found by Newton's method on the elements above it, which approaches it from below and ends when their
 * number stays: at the exact support, whatever their order. Each step halves the distance to 1 or the number of
 * elements. The level of a part of the row is below that of the row, so the candidates are those above the level of
 * the candidates before them; if they become too many, the level is computed from the whole row. */

/* x - m and its rounding error; none matters far below the level */
FR_INLINE double FN(under)(store x, store m, double *low) {
    const double d = fr_two_sum((double)x, -(double)m, low);
    *low = d > -2 ? *low : 0;
    return d;
}
/* d + low - level, positive in the support; float results need no more than double */
FR_INLINE double FN(above)(double d, double low, double level, double level_low) {
    if (FR_KIND == FR_WIDE) return (d - level) + (low - level_low);
    double rest, s = fr_two_sum(d, -level, &rest);
    return s + ((low - level_low) + (d > -2 ? rest : 0));
}
/* The level over n elements, relative to m; -1 if none is above that. */
FR_APART fr_total FN(level_of)(const char *x, ptrdiff_t pitch, ptrdiff_t n, store m) {
    fr_total level = {-1, 0};
    for (double last = INFINITY, count;; last = count) {
        double hi[FR_ROW_LANES], lo[FR_ROW_LANES], many[FR_ROW_LANES];
        FOR_LANES(j) hi[j] = lo[j] = many[j] = 0;
        for (ptrdiff_t i = 0; i < n; i += FR_ROW_LANES) {
            FR_LINES store own[FR_ROW_LANES];
            const ptrdiff_t left = n - i;
            const store *v = (const store *)(x + i * pitch);
            if (pitch != sizeof(store) || left < FR_ROW_LANES) {
                for (int j = 0; j < FR_ROW_LANES; j++)
                    own[j] = j < left ? *(const store *)(x + (i + j) * pitch) : -(store)INFINITY;
                v = own;
            }
            FOR_LANES(j) {
                double low, d = FN(under)(v[j], m, &low);
                const int in = FN(above)(d, low, level.hi, level.lo) > 0;
                fr_add_to(&hi[j], &lo[j], in ? d : 0);
                lo[j] += in ? low : 0;
                many[j] += in ? 1 : 0;
            }
        }
        fr_support s;
        FOR_LANES(j) s.hi[j] = hi[j], s.lo[j] = lo[j], s.many[j] = many[j];
        const fr_total total = fr_total_add(fr_support_join(&s, &count), -1);
        if (!(count > 0 && count < last)) return level;
        level = fr_quotient(total, count);
    }
}

/* The same for FR_COLUMNS rows of up to FR_CANDIDATES elements. */
FR_APART void FN(levels_of)(const char *x, ptrdiff_t pitch, int n, const store *m, double *level, double *level_low) {
    FR_LINES double d[FR_CANDIDATES][FR_COLUMNS], low[FR_CANDIDATES][FR_COLUMNS];
    FR_LINES double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS], many[FR_COLUMNS], last[FR_COLUMNS];
    for (int i = 0; i < n; i++) {
        const store *v = (const store *)(x + i * pitch);
        FOR_LANES(j) d[i][j] = FN(under)(v[j], m[j], &low[i][j]);
    }
    FOR_LANES(j) level[j] = -1, level_low[j] = 0, last[j] = INFINITY;
    for (int again = 1; again;) {
        FOR_LANES(j) many[j] = 0;
        for (int i = 0; i < n && i < FR_ROW_LANES; i++) FOR_LANES(j) {
                const int in = FN(above)(d[i][j], low[i][j], level[j], level_low[j]) > 0;
                hi[i][j] = in ? d[i][j] : 0;
                lo[i][j] = in ? low[i][j] : 0;
                many[j] += in ? 1 : 0;
            }
        for (int i = FR_ROW_LANES; i < n; i++) {
            double *sum = hi[i % FR_ROW_LANES], *rest = lo[i % FR_ROW_LANES];
            FOR_LANES(j) {
                const int in = FN(above)(d[i][j], low[i][j], level[j], level_low[j]) > 0;
                fr_add_to(&sum[j], &rest[j], in ? d[i][j] : 0);
                rest[j] += in ? low[i][j] : 0;
                many[j] += in ? 1 : 0;
            }
        }
        for (int w = FR_ROW_LANES / 2; w; w /= 2)
            for (int l = 0; l < w && l + w < n; l++) FOR_LANES(j) {
                    fr_add_to(&hi[l][j], &lo[l][j], hi[l + w][j]);
                    lo[l][j] += lo[l + w][j];
                }
        again = 0;
        FOR_LANES(j) {
            const fr_total total = fr_total_add((fr_total){hi[0][j], lo[0][j]}, -1);
            const fr_total next = fr_quotient(total, many[j]);
            const int shrinks = (many[j] > 0) & (many[j] < last[j]);
            level[j] = shrinks ? next.hi : level[j];
            level_low[j] = shrinks ? next.lo : level_low[j];
            last[j] = many[j];
            again |= shrinks;
        }
    }
}

FR_INLINE store FN(share)(store x, store m, double level, double level_low) {
    double low, d = FN(under)(x, m, &low);
    d = FN(above)(d, low, level, level_low);
    return (store)(d > 0 ? d : 0);
}

typedef struct {
    ptrdiff_t count;
    int bad, many; /* is there a NaN; are there too many candidates */
    store m, cut;  /* what is below `cut` is none */
    store kept[FR_KEPT];
} FN(candidates);

/* A little below m + level, so that no rounding excludes a candidate. */
FR_INLINE store FN(cut_at)(store m, double level) {
    const double c = (double)m + level, size = c < 0 ? -c : c;
    return (store)(c - (size + 1) * (sizeof(store) == 4 ? 0x1p-22 : 0x1p-50));
}
FR_INLINE void FN(candidates_open)(FN(candidates) * c, store m) {
    c->count = c->bad = c->many = 0;
    c->m = m;
    c->cut = FN(cut_at)(m, -1);
}
FR_APART void FN(add_candidate)(FN(candidates) * c, store v) {
    c->bad |= v != v;
    if (c->count == FR_KEPT && !c->many) {
        const fr_total level = FN(level_of)((const char *)c->kept, sizeof(store), FR_KEPT, c->m);
        c->count = 0;
        for (int i = 0; i < FR_KEPT; i++) {
            if (FN(share)(c->kept[i], c->m, level.hi, level.lo) > 0) c->kept[c->count++] = c->kept[i];
        }
        c->many = c->count > FR_KEPT / 2;
        c->cut = c->many ? (store)INFINITY : FN(cut_at)(c->m, level.hi);
    }
    if (!c->many) c->kept[c->count++] = v;
}
FR_INLINE fr_total FN(candidates_level)(const FN(candidates) * c, const char *x, ptrdiff_t pitch, ptrdiff_t n) {
    return c->many ? FN(level_of)(x, pitch, n, c->m)
                   : FN(level_of)((const char *)c->kept, sizeof(store), c->count, c->m);
}
FR_UNUSED static void FN(sparsemax_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *x = (const store *)in[0], m = FN(row_max)(x, n, 0);
    store *out = (store *)to;
    FN(candidates) c;
    if (!FN(row_is_finite)(m)) {
        FN(write_limit)(to, sizeof(store), n, FN(limit_of)(in[0], sizeof(store), n, 0), 0);
        return;
    }
    FN(candidates_open)(&c, m);
    c.many = n <= FR_CANDIDATES;
    for (ptrdiff_t i = 0; i < n && c.many; i++) c.bad |= x[i] != x[i];
    for (ptrdiff_t i = c.many ? n : 0; i < n; i += FR_ROW_LANES) {
        const int left = n - i < FR_ROW_LANES ? (int)(n - i) : FR_ROW_LANES;
        int any = left < FR_ROW_LANES;
        if (!any) FOR_LANES(j) any |= !(x[i + j] < c.cut);
        for (int j = 0; j < left && any; j++)
            if (!(x[i + j] < c.cut)) FN(add_candidate)(&c, x[i + j]);
    }
    const fr_total level = FN(candidates_level)(&c, in[0], sizeof(store), n);
    if (c.bad) {
        FN(write_limit)(to, sizeof(store), n, FR_NO_LIMIT, 0);
        return;
    }
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = FN(share)(x[i], m, level.hi, level.lo);
}
/* As levels_of, for longer rows. */
FR_APART void FN(long_levels_of)(const char *x, ptrdiff_t pitch, ptrdiff_t n, const store *m, double *level,
                                 double *level_low) {
    FN(candidates) c[FR_COLUMNS];
    FR_LINES store cut[FR_COLUMNS];
    for (int j = 0; j < FR_COLUMNS; j++) {
        FN(candidates_open)(&c[j], m[j]);
        cut[j] = c[j].cut;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const store *v = (const store *)(x + i * pitch);
        int any = 0;
        FOR_LANES(j) any |= !(v[j] < cut[j]);
        for (int j = 0; j < FR_COLUMNS && any; j++)
            if (!(v[j] < cut[j])) {
                FN(add_candidate)(&c[j], v[j]);
                cut[j] = c[j].cut;
            }
    }
    for (int j = 0; j < FR_COLUMNS; j++) {
        const fr_total found = FN(candidates_level)(&c[j], x + j * (ptrdiff_t)sizeof(store), pitch, n);
        level[j] = found.hi, level_low[j] = found.lo;
    }
}
FR_UNUSED static void FN(sparsemax_tile_row)(fr_tile *tile) {
    const ptrdiff_t n = tile->n, pitch = tile->pitch[0];
    FOR_COLUMNS(at, tile) {
        const char *from = tile->in[0] + at;
        FR_LINES store m[FR_COLUMNS], bad[FR_COLUMNS];
        FR_LINES double hi[FR_COLUMNS], lo[FR_COLUMNS];
        ptrdiff_t limit[FR_COLUMNS];
        FN(columns_max)(m, bad, from, pitch, n);
        unsigned limits = FN(limits_of)(limit, m, from, pitch, n, 0);
        for (int j = 0; j < FR_COLUMNS; j++)
            if (bad[j] != bad[j]) limits |= 1U << j, limit[j] = FR_NO_LIMIT;
        if (n <= FR_CANDIDATES) FN(levels_of)(from, pitch, (int)n, m, hi, lo);
        else FN(long_levels_of)(from, pitch, n, m, hi, lo);
        for (ptrdiff_t i = 0; i < n; i++) {
            const store *x = (const store *)(from + i * pitch);
            store *out = (store *)(tile->out + at + i * tile->out_pitch);
            FOR_LANES(j) out[j] = FN(share)(x[j], m[j], hi[j], lo[j]);
        }
        FN(columns_limits)(limits, limit, tile->out + at, tile->out_pitch, n, 0);
    }
}

/* Its gradient: over the support, g minus its mean there. */
FR_INLINE void FN(support_step)(int first, fr_support *s, double *many, const store *g, const store *y) {
    FOR_LANES(j) {
        double sum = first ? 0 : s->hi[j], low = first ? 0 : s->lo[j];
        fr_add_to(&sum, &low, y[j] > 0 ? (double)g[j] : 0);
        s->hi[j] = sum, s->lo[j] = low;
        many[j] += y[j] > 0 ? 1 : 0;
    }
}
FR_INLINE store FN(sparsemax_gradient)(store g, store y, double hi, double lo) {
    const store off = y == y ? (store)0 : y;
    return y > 0 ? (store)(((double)g - hi) - lo) : off;
}
FR_UNUSED static void FN(sparsemax_from_output_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *g = (const store *)in[0], *y = (const store *)in[1];
    store *out = (store *)to;
    fr_support s;
    double count;
    ptrdiff_t i = 0;
    FOR_LANES(j) s.hi[j] = s.lo[j] = s.many[j] = 0;
    for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES) FN(support_step)(0, &s, s.many, g + i, y + i);
    if (i < n) {
        FR_LINES store gs[FR_ROW_LANES], ys[FR_ROW_LANES];
        for (int j = 0; j < FR_ROW_LANES; j++) gs[j] = ys[j] = 0;
        FN(copy_few)(gs, g + i, n - i);
        FN(copy_few)(ys, y + i, n - i);
        FN(support_step)(0, &s, s.many, gs, ys);
    }
    const fr_total total = fr_support_join(&s, &count), mean = fr_quotient(total, count);
    FR_INDEPENDENT
    for (i = 0; i < n; i++) out[i] = FN(sparsemax_gradient)(g[i], y[i], mean.hi, mean.lo);
}
FR_UNUSED static void FN(sparsemax_from_output_tile_row)(fr_tile *tile) {
    const ptrdiff_t n = tile->n;
    FOR_COLUMNS(at, tile) {
        fr_support lane[FR_ROW_LANES];
        FR_LINES double many[FR_COLUMNS], hi[FR_COLUMNS], lo[FR_COLUMNS];
        const char *g = tile->in[0] + at, *y = tile->in[1] + at;
        FOR_LANES(j) many[j] = 0;
        for (ptrdiff_t i = 0; i < n && i < FR_ROW_LANES; i++)
            FN(support_step)(1, &lane[i], many, (const store *)(g + i * tile->pitch[0]),
                             (const store *)(y + i * tile->pitch[1]));
        for (ptrdiff_t i = FR_ROW_LANES; i < n; i++)
            FN(support_step)(0, &lane[i % FR_ROW_LANES], many, (const store *)(g + i * tile->pitch[0]),
                             (const store *)(y + i * tile->pitch[1]));
        for (int w = FR_ROW_LANES / 2; w; w /= 2)
            for (int l = 0; l < w && l + w < n; l++) FOR_LANES(j) {
                    fr_add_to(&lane[l].hi[j], &lane[l].lo[j], lane[l + w].hi[j]);
                    lane[l].lo[j] += lane[l + w].lo[j];
                }
        FOR_LANES(j) {
            const fr_total mean = fr_quotient((fr_total){lane[0].hi[j], lane[0].lo[j]}, many[j]);
            hi[j] = mean.hi, lo[j] = mean.lo;
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            const store *gs = (const store *)(g + i * tile->pitch[0]), *ys = (const store *)(y + i * tile->pitch[1]);
            store *out = (store *)(tile->out + at + i * tile->out_pitch);
            FOR_LANES(j) out[j] = FN(sparsemax_gradient)(gs[j], ys[j], hi[j], lo[j]);
        }
    }
}

#endif
