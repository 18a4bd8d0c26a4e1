/* Kernels that select elements of a row: hardmax, sparsemax and their gradients, and what a mask leaves. They compute
 * in double for both types, with the rounding errors of sums, so the precisions share them. Included by instance.h,
 * once per instance. */

#if FR_KIND == FR_WIDE || FR_KIND == FR_FULL

#ifndef FASTRELU_SELECT
#define FASTRELU_SELECT

enum {
    FR_KEPT = 256,       /* candidates for the support of a row */
    FR_CANDIDATES = 128, /* up to this length all elements are */
    FR_TOPS = 256        /* lanes of a hardmax */
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
/* The same for a count of up to 2, whose quotients are exact. */
FR_INLINE fr_total fr_of_two(fr_total total, double count) {
    const double part = count > 1 ? 0.5 : 1, q = total.hi * part, high = (double)(float)q;
    const double low = high - high == 0 ? total.lo * part : 0;
    fr_total mean = {q, low - low == 0 ? low : 0};
    return mean;
}

#endif

/* ---- Hardmax: 1 at the first of the largest elements, 0 elsewhere; NaN where the row has one ---- */

/* as wide as an element, so that compilers vectorize both */
#if FR_KIND == FR_WIDE
typedef int32_t FN(place);
#else
typedef int64_t FN(place);
#endif

/* The largest elements so far, in lanes, and the lines that they are in; -1 as long as all are -inf. NaN stays. Later
 * their places in their rows. */
typedef struct {
    FR_LINES store m[FR_TOPS];
    FR_LINES FN(place) at[FR_TOPS];
    ptrdiff_t place[FR_TOPS];
} FN(tops);

/* Goes on with a line of `width` elements, and what follows them up to a multiple of FR_ROW_LANES, for the lanes from
 * the first one on. */
FR_INLINE void FN(tops_line)(FN(tops) * t, const store *x, ptrdiff_t first, ptrdiff_t width, FN(place) line) {
    for (ptrdiff_t i = 0; i < width; i += FR_ROW_LANES) {
        store *most = t->m + first + i;
        FN(place) *at = t->at + first + i;
        FOR_LANES(j) {
            const store v = x[i + j], m = most[j];
            const int more = (v > m) | (v != v);
            most[j] = more ? v : m;
            at[j] = more ? line : at[j];
        }
    }
}
FR_APART void FN(tops_row)(FN(tops) * t, const char *from, ptrdiff_t pitch, ptrdiff_t line, ptrdiff_t lines,
                           ptrdiff_t width) {
    const ptrdiff_t whole = width - width % FR_ROW_LANES;
    const int few = (int)(width - whole);
    for (; lines--; line++, from += pitch) {
        const store *x = (const store *)from;
        FN(tops_line)(t, x, 0, whole, (FN(place))line);
        if (few) {
            FR_LINES store rest[FR_ROW_LANES];
            FOR_LANES(j) {
                store v = -(store)INFINITY;
                if (j < few) v = x[whole + j];
                rest[j] = v;
            }
            FN(tops_line)(t, rest, whole, FR_ROW_LANES, (FN(place))line);
        }
    }
}
/* The same where a mask says which elements take part. Two lines at a time: the largest are loaded and stored once. */
FR_APART void FN(tops_masked_row)(FN(tops) * t, const char *from, ptrdiff_t pitch, const char *mask,
                                  ptrdiff_t mask_pitch, ptrdiff_t line, ptrdiff_t lines, ptrdiff_t width) {
    FR_LINES store kept[2][FR_TOPS];
    const store absent = -(store)INFINITY;
    uint64_t bits = 0;
    memcpy(&bits, &absent, sizeof absent);
    for (ptrdiff_t j = width - width % FR_ROW_LANES; j < width + FR_ROW_LANES && j < FR_TOPS; j++)
        kept[0][j] = kept[1][j] = absent;
    for (; lines > 1; lines -= 2, line += 2, from += 2 * pitch, mask += 2 * mask_pitch) {
        FN(select_row)((char *)kept[0], from, mask, width, bits);
        FN(select_row)((char *)kept[1], from + pitch, mask + mask_pitch, width, bits);
        for (ptrdiff_t i = 0; i < width; i += FR_ROW_LANES) FOR_LANES(j) {
                const store v = kept[0][i + j], w = kept[1][i + j], m = t->m[i + j];
                const int more = (v > m) | (v != v);
                const store most = more ? v : m;
                const FN(place) at = more ? (FN(place))line : t->at[i + j];
                const int still = (w > most) | (w != w);
                t->m[i + j] = still ? w : most;
                t->at[i + j] = still ? (FN(place))(line + 1) : at;
            }
    }
    if (lines) {
        FN(select_row)((char *)kept[0], from, mask, width, bits);
        FN(tops_line)(t, kept[0], 0, width, (FN(place))line);
    }
}
FR_INLINE void FN(tops_add)(FN(tops) * t, const char *x, ptrdiff_t pitch, const char *mask, ptrdiff_t mask_pitch,
                            ptrdiff_t line, ptrdiff_t lines, ptrdiff_t width) {
    if (mask) FN(tops_masked_row)(t, x, pitch, mask, mask_pitch, line, lines, width);
    else FN(tops_row)(t, x, pitch, line, lines, width);
}
FR_INLINE void FN(tops_open)(FN(tops) * t, ptrdiff_t width) {
    for (ptrdiff_t i = 0; i < width; i += FR_ROW_LANES) FOR_LANES(j) t->m[i + j] = -(store)INFINITY, t->at[i + j] = -1;
}
/* Joins lanes, of which those `columns` apart belong to one row, and finds places from lines. */
FR_INLINE void FN(tops_join)(FN(tops) * t, ptrdiff_t columns, ptrdiff_t steps) {
    FR_LINES FN(place) step[FR_TOPS];
    const ptrdiff_t all = steps;
    for (ptrdiff_t i = 0; i < steps; i++)
        for (ptrdiff_t j = 0; j < columns; j++) step[i * columns + j] = (FN(place))i;
    for (; steps > 1; steps = (steps + 1) / 2) {
        const ptrdiff_t upper = (steps + 1) / 2 * columns, count = steps / 2 * columns;
        FR_INDEPENDENT
        for (ptrdiff_t j = 0; j < count; j++) {
            const store low = t->m[j], high = t->m[j + upper];
            const FN(place) a = t->at[j], b = t->at[j + upper];
            const int before = (b < a) | ((b == a) & (step[j + upper] < step[j]));
            const int more = (high > low) | (high != high) | ((high == low) & before);
            t->m[j] = more ? high : low;
            t->at[j] = more ? b : a;
            step[j] = more ? step[j + upper] : step[j];
        }
    }
    for (ptrdiff_t j = 0; j < columns; j++) t->place[j] = t->at[j] * all + step[j];
}

/* Rows that lie across, fewer than lanes: several lines become one. */
FR_INLINE void FN(tops_of_few)(FN(tops) * t, const fr_row_block *b) {
    const ptrdiff_t columns = b->rows, size = sizeof(store), bytes = columns * size;
    const int dense = b->along[0] == bytes && (!b->at[1] || b->along[1] == columns);
    ptrdiff_t steps = FR_ROW_LANES, line = 0;
    while (steps * columns < 4 * FR_ROW_LANES) steps *= 2;
    const ptrdiff_t width = steps * columns;
    FN(tops_open)(t, width);
    if (dense) {
        const ptrdiff_t lines = b->n / steps;
        FN(tops_add)(t, b->at[0], width * size, b->at[1], width, 0, lines, width);
        const char *mask = b->at[1] ? b->at[1] + lines * width : NULL;
        if (b->n % steps)
            FN(tops_add)(t, b->at[0] + lines * width * size, 0, mask, 0, lines, 1, b->n % steps * columns);
    } else {
        for (ptrdiff_t done = 0; done < b->n; done += steps, line++) {
            FR_LINES store x[FR_TOPS];
            char kept[FR_TOPS];
            const ptrdiff_t count = b->n - done < steps ? b->n - done : steps;
            for (ptrdiff_t i = 0; i < count; i++) {
                FN(copy_few)(x + i * columns, (const store *)(b->at[0] + (done + i) * b->along[0]), columns);
                for (ptrdiff_t j = 0; j < columns && b->at[1]; j++)
                    kept[i * columns + j] = b->at[1][(done + i) * b->along[1] + j];
            }
            FN(tops_add)(t, (const char *)x, 0, b->at[1] ? kept : NULL, 0, line, 1, count * columns);
        }
    }
    FN(tops_join)(t, columns, steps);
}

/* Writes rows that lie across: zeros, and each 1 at its place; or line by line, if rows are short. */
FR_INLINE void FN(write_tops)(FN(tops) * t, const fr_row_block *b, int by_line) {
    const ptrdiff_t width = b->rows, size = sizeof(store), whole = width - width % FR_ROW_LANES;
    int bad = 0, none = 0;
    for (ptrdiff_t j = 0; j < width; j++) {
        bad |= t->m[j] != t->m[j];
        none |= t->at[j] < 0;
    }
    for (ptrdiff_t j = 0; j < width && none; j++)
        if (t->at[j] < 0) { /* nothing but -inf: the first one that takes part */
            ptrdiff_t first = 0;
            while (b->at[1] && first < b->n && !b->at[1][first * b->along[1] + j]) first++;
            t->place[j] = first;
            t->at[j] = (FN(place))first;
        }
    for (ptrdiff_t i = 0; i < b->n && by_line; i++) {
        store *out = (store *)(b->out + i * b->along[2]);
        for (ptrdiff_t j = 0; j < whole; j += FR_ROW_LANES)
            FOR_LANES(k) out[j + k] = t->at[j + k] == (FN(place))i ? (store)1 : (store)0;
        if (width > whole) {
            FR_LINES store own[FR_ROW_LANES];
            FOR_LANES(k) own[k] = t->at[whole + k] == (FN(place))i ? (store)1 : (store)0;
            FN(store_few)(out + whole, own, width - whole);
        }
    }
    if (!by_line) {
        const int dense = b->along[2] == width * size;
        if (dense) memset(b->out, 0, (size_t)(b->n * width * size));
        for (ptrdiff_t i = 0; i < b->n && !dense; i++) memset(b->out + i * b->along[2], 0, (size_t)(width * size));
        for (ptrdiff_t j = 0; j < width; j++)
            if (t->place[j] < b->n) *(store *)(b->out + t->place[j] * b->along[2] + j * size) = 1;
    }
    for (ptrdiff_t j = 0; j < width && bad; j++)
        if (t->m[j] != t->m[j]) FN(write_limit)(b->out + j * size, b->along[2], b->n, FR_NO_LIMIT, 0);
}
FR_INLINE void FN(hardmax_across)(const fr_row_block *b) {
    FN(tops) t;
    fr_row_block part = *b;
    for (ptrdiff_t done = 0; done < b->rows; done += part.rows) {
        part.rows = b->rows - done < FR_TOPS ? b->rows - done : FR_TOPS;
        part.at[0] = b->at[0] + done * (ptrdiff_t)sizeof(store);
        part.at[1] = b->at[1] ? b->at[1] + done : NULL;
        part.out = b->out + done * (ptrdiff_t)sizeof(store);
        const int by_line = part.rows >= FR_ROW_LANES && part.n <= FR_FEW;
        if (part.rows < FR_ROW_LANES) {
            FN(tops_of_few)(&t, &part);
        } else {
            FN(tops_open)(&t, part.rows);
            FN(tops_add)(&t, part.at[0], part.along[0], part.at[1], part.along[1], 0, part.n, part.rows);
            for (ptrdiff_t j = 0; j < part.rows && !by_line; j++) t.place[j] = t.at[j];
        }
        FN(write_tops)(&t, &part, by_line);
    }
}
/* A contiguous row, as lines of `width` elements. */
FR_INLINE void FN(hardmax_along)(const store *x, const char *mask, store *out, ptrdiff_t n, const int width) {
    const ptrdiff_t lines = n / width, left = n % width;
    FN(tops) t;
    FR_LINES store m[FR_ROW_LANES];
    FN(tops_open)(&t, width);
    FN(tops_add)(&t, (const char *)x, (ptrdiff_t)sizeof(store) * width, mask, width, 0, lines, width);
    if (left) FN(tops_add)(&t, (const char *)(x + n - left), 0, mask ? mask + n - left : NULL, 0, lines, 1, left);
    FOR_LANES(j) m[j] = t.m[j];
    for (int i = FR_ROW_LANES; i < width; i += FR_ROW_LANES) FOR_LANES(j) {
            const store v = t.m[i + j];
            m[j] = ((v > m[j]) | (v != v)) ? v : m[j];
        }
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int j = 0; j < w; j++) m[j] = ((m[j + w] > m[j]) | (m[j + w] != m[j + w])) ? m[j + w] : m[j];
    const store top = m[0];
    FN(place) line = (FN(place))lines, lane = width;
    for (int j = 0; j < width; j++) {
        const FN(place) own = t.m[j] == top ? t.at[j] : (FN(place))lines;
        line = own < line ? own : line;
    }
    for (int j = 0; j < width; j++) {
        const FN(place) own = ((t.m[j] == top) & (t.at[j] == line)) ? (FN(place))j : width;
        lane = own < lane ? own : lane;
    }
    ptrdiff_t at = (ptrdiff_t)line * width + lane;
    if (line < 0) /* nothing but -inf: the first one that takes part */
        for (at = 0; mask && at < n && !mask[at];) at++;
    memset(out, 0, (size_t)n * sizeof(store));
    if (top != top) FN(write_limit)((char *)out, sizeof(store), n, FR_NO_LIMIT, 0);
    else if (at < n) out[at] = 1;
}

FR_UNUSED static void FN(hardmax_row)(const char *const *in, char *to, ptrdiff_t n) {
    FN(hardmax_along)((const store *)in[0], NULL, (store *)to, n, 2 * FR_ROW_LANES);
}
FR_APART void FN(hardmax_masked)(const char *x, const char *mask, char *out, ptrdiff_t n) {
    FN(hardmax_along)((const store *)x, mask, (store *)out, n, 4 * FR_ROW_LANES);
}
FR_INLINE void FN(hardmax_at)(const fr_row_block *b, ptrdiff_t r) {
    const char *x = b->at[0] + r * b->across[0];
    char *out = b->out + r * b->across[2];
    if (b->at[1]) FN(hardmax_masked)(x, b->at[1] + r * b->across[1], out, b->n);
    else FN(hardmax_row)(&x, out, b->n);
}
/* Kernels of rows of `width` contiguous elements, a number that the compiler knows: it transposes them in registers.
 * The rows hold no NaN. */
#define SHORT_ROWS(width)                                                                 \
    FR_APART void FN(hardmax_##width##_row)(const store *x, store *out, ptrdiff_t rows) { \
        FR_INDEPENDENT                                                                    \
        for (ptrdiff_t r = 0; r < rows; r++) {                                            \
            store v[width], m = -(store)INFINITY, rest = 1;                               \
            for (int k = 0; k < width; k++) v[k] = x[r * width + k];                      \
            for (int k = 0; k < width; k++) m = v[k] > m ? v[k] : m;                      \
            for (int k = 0; k < width; k++) {                                             \
                const store one = v[k] == m ? rest : (store)0;                            \
                rest -= one;                                                              \
                out[r * width + k] = one;                                                 \
            }                                                                             \
        }                                                                                 \
    }
SHORT_ROWS(2)
SHORT_ROWS(3)
SHORT_ROWS(4)
SHORT_ROWS(8)
SHORT_ROWS(16)
#undef SHORT_ROWS
FR_APART int FN(any_nan_row)(const store *x, ptrdiff_t n) {
    FN(place) bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) bad |= x[i] != x[i];
    return bad != 0;
}
/* Copies rows of n elements of a size, `from_across` and `to_across` bytes apart. */
FR_INLINE void FN(copy_rows)(char *to, ptrdiff_t to_across, const char *from, ptrdiff_t from_across, int rows,
                             size_t bytes) {
    for (int r = 0; r < rows; r++) memcpy(to + r * to_across, from + r * from_across, bytes);
}
/* Contiguous rows of 2, 3, 4, 8 or 16 elements. Those that are masked become NaN. */
FR_INLINE void FN(hardmax_short)(const fr_row_block *b) {
    const int n = (int)b->n;
    const ptrdiff_t bytes = n * (ptrdiff_t)sizeof(store);
    const int packed = b->across[0] == bytes, packed_out = b->across[2] == bytes;
    const int most = 4 * FR_TOPS / n;
    FR_LINES store own[4 * FR_TOPS], wide[4 * FR_TOPS];
    char kept[4 * FR_TOPS];
    for (ptrdiff_t r = 0; r < b->rows; r += most) {
        const int rows = b->rows - r < most ? (int)(b->rows - r) : most, count = rows * n;
        const store *x = (const store *)(b->at[0] + r * b->across[0]);
        const char *mask = b->at[1] ? b->at[1] + r * b->across[1] : NULL;
        char *out = b->out + r * b->across[2];
        if (!packed) {
            FN(copy_rows)((char *)own, bytes, (const char *)x, b->across[0], rows, (size_t)bytes);
            x = own;
        }
        if (mask && b->across[1] != n) {
            FN(copy_rows)(kept, n, mask, b->across[1], rows, (size_t)n);
            mask = kept;
        }
        if (mask) {
            FR_INDEPENDENT
            for (int i = 0; i < count; i++) own[i] = mask[i] ? x[i] : (store)0;
            x = own;
        }
        if (FN(any_nan_row)(x, count)) {
            for (int q = 0; q < rows; q++) FN(hardmax_at)(b, r + q);
            continue;
        }
        if (mask) {
            FR_INDEPENDENT
            for (int i = 0; i < count; i++) own[i] = mask[i] ? own[i] : (store)NAN;
        }
        store *to = packed_out ? (store *)out : wide;
        if (n == 2) FN(hardmax_2_row)(x, to, rows);
        else if (n == 3) FN(hardmax_3_row)(x, to, rows);
        else if (n == 4) FN(hardmax_4_row)(x, to, rows);
        else if (n == 8) FN(hardmax_8_row)(x, to, rows);
        else FN(hardmax_16_row)(x, to, rows);
        if (!packed_out) FN(copy_rows)(out, b->across[2], (const char *)wide, bytes, rows, (size_t)bytes);
    }
}
/* Rows that are contiguous in all operands, or whose neighbors are. */
FR_UNUSED static void FN(hardmax_block)(const fr_row_block *b) {
    const ptrdiff_t size = sizeof(store);
    if (b->n == 1 || b->along[0] != size || b->along[2] != size || (b->at[1] && b->along[1] != 1))
        FN(hardmax_across)(b);
    else if (b->n <= FR_ROW_LANES && b->rows > 1) FN(hardmax_short)(b);
    else
        for (ptrdiff_t r = 0; r < b->rows; r++) FN(hardmax_at)(b, r);
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

/* ---- Masks ---- */

/* Is a result a NaN, or of a hardmax 1? Then its row may be masked altogether. */
FR_UNUSED static int FN(suspect_row)(const char *results, ptrdiff_t n, int hardmax) {
    const store *y = (const store *)results;
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++) found |= hardmax ? y[i] == 1 : y[i] != y[i];
    return found;
}

/* Gives the columns of a tile that are masked altogether their results, and moves the 1 of a hardmax of nothing but
 * -inf, which stands at the first element, to the first one that takes part. */
FR_INLINE void FN(settle_columns)(char *results, ptrdiff_t pitch, const char *mask, ptrdiff_t mask_pitch, ptrdiff_t n,
                                  ptrdiff_t width, store alone, const int hardmax) {
    for (ptrdiff_t at = 0; at < width; at += FR_ROW_LANES) {
        FR_LINES FN(place) none[FR_ROW_LANES]; /* -1 where no element took part so far */
        store *first = (store *)results + at;
        const FN(place) few = (FN(place))(width - at);
        FN(place) any = 0;
        FOR_LANES(j) {
            const FN(place) suspect = (hardmax ? first[j] == 1 : first[j] != first[j]) ? -1 : 0;
            none[j] = suspect & (mask[at + j] ? 0 : -1) & ((FN(place))j < few ? -1 : 0);
            any |= none[j];
        }
        if (!any) continue;
        if (hardmax) FOR_LANES(j) first[j] = none[j] ? (store)0 : first[j];
        for (ptrdiff_t i = 1; i < n; i++) {
            const char *kept = mask + i * mask_pitch + at;
            store *line = (store *)(results + i * pitch) + at;
            FOR_LANES(j) {
                const FN(place) now = none[j] & (kept[j] ? -1 : 0);
                none[j] &= ~now;
                if (hardmax) line[j] = now ? (store)1 : line[j];
            }
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            store *line = (store *)(results + i * pitch) + at;
            FOR_LANES(j) line[j] = none[j] ? alone : line[j];
        }
    }
}
FR_UNUSED static void FN(settle_row)(char *results, ptrdiff_t pitch, const char *mask, ptrdiff_t mask_pitch,
                                     ptrdiff_t n, ptrdiff_t width, uint64_t alone, int hardmax) {
    const uint32_t short_alone = (uint32_t)alone;
    store value;
    memcpy(&value, sizeof value == sizeof alone ? (const void *)&alone : &short_alone, sizeof value);
    if (hardmax) FN(settle_columns)(results, pitch, mask, mask_pitch, n, width, value, 1);
    else FN(settle_columns)(results, pitch, mask, mask_pitch, n, width, value, 0);
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
        FN(columns_limits)(limits, limit, tile->out + at, tile->out_pitch, n, 0, 1);
    }
}

/* Its gradient: over the support, g minus its mean there. */
FR_INLINE void FN(support_step)(int first, double *hi, double *lo, double *many, const store *g, const store *y) {
    FOR_LANES(j) {
        const double v = y[j] > 0 ? (double)g[j] : 0;
        if (first) hi[j] = v + 0; /* not -0 */
        else fr_add_to(&hi[j], &lo[j], v);
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
    for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES) FN(support_step)(0, s.hi, s.lo, s.many, g + i, y + i);
    if (i < n) {
        FR_LINES store gs[FR_ROW_LANES], ys[FR_ROW_LANES];
        for (int j = 0; j < FR_ROW_LANES; j++) gs[j] = ys[j] = 0;
        FN(copy_few)(gs, g + i, n - i);
        FN(copy_few)(ys, y + i, n - i);
        FN(support_step)(0, s.hi, s.lo, s.many, gs, ys);
    }
    const fr_total total = fr_support_join(&s, &count), mean = fr_quotient(total, count);
    FR_INDEPENDENT
    for (i = 0; i < n; i++) out[i] = FN(sparsemax_gradient)(g[i], y[i], mean.hi, mean.lo);
}
/* The same for FR_DOT_GROUP elements of one lane, a step apart: what is summed stays in registers. */
FR_INLINE void FN(support_steps)(double *hi, double *lo, double *many, const char *g, ptrdiff_t g_step, const char *y,
                                 ptrdiff_t y_step) {
    const store *gs[FR_DOT_GROUP], *ys[FR_DOT_GROUP];
    FOR_FEW(i, FR_DOT_GROUP) gs[i] = (const store *)(g + i * g_step), ys[i] = (const store *)(y + i * y_step);
    FOR_LANES_FLAT(j) {
        double sum = hi[j], low = lo[j], count = many[j];
        FOR_FEW(i, FR_DOT_GROUP) {
            fr_add_to(&sum, &low, ys[i][j] > 0 ? (double)gs[i][j] : 0);
            count += ys[i][j] > 0 ? 1 : 0;
        }
        hi[j] = sum, lo[j] = low, many[j] = count;
    }
}
/* The lanes of FR_COLUMNS rows become their means; there are no errors before lanes are joined if rows have `few`. */
FR_INLINE void FN(support_mean)(double *hi, double *lo, double (*sum)[FR_COLUMNS], double (*rest)[FR_COLUMNS],
                                const double *many, ptrdiff_t n, int few) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int l = 0; l < w && l + w < n; l++) {
            const int own = !few || l + 2 * w < n, other = !few || l + 3 * w < n;
            FOR_LANES(j) {
                double low = own ? rest[l][j] : 0;
                fr_add_to(&sum[l][j], &low, sum[l + w][j]);
                rest[l][j] = low + (other ? rest[l + w][j] : 0);
            }
        }
    FOR_LANES(j) {
        const fr_total total = {sum[0][j], n > 1 ? rest[0][j] : 0};
        const fr_total mean = n == 2 ? fr_of_two(total, many[j]) : fr_quotient(total, many[j]);
        hi[j] = mean.hi, lo[j] = mean.lo;
    }
}
/* The gradients of `sets` times FR_COLUMNS rows: read as those of softmax are, and for the same reason. */
FR_INLINE void FN(sparsemax_from_output_columns)(fr_tile *tile, ptrdiff_t at, ptrdiff_t n, ptrdiff_t sets,
                                                 double (*sum)[FR_COLUMNS], double (*rest)[FR_COLUMNS]) {
    FR_LINES double many[FR_DOT_SETS_COMPENSATED][FR_COLUMNS], hi[FR_DOT_SETS_COMPENSATED][FR_COLUMNS],
        lo[FR_DOT_SETS_COMPENSATED][FR_COLUMNS];
    const char *g = tile->in[0] + at, *y = tile->in[1] + at;
    const int few = n <= FR_ROW_LANES;
    const ptrdiff_t block = n > FR_FEW ? FR_DOT_LINES : n;
    ptrdiff_t i;
    for (ptrdiff_t k = 0; k < sets; k++) FOR_LANES(j) many[k][j] = 0;
    for (i = 0; i < n && i < FR_ROW_LANES; i++)
        for (ptrdiff_t k = 0; k < sets; k++) {
            double *low = rest[k * FR_SET_LANES + i];
            FN(support_step)(1, sum[k * FR_SET_LANES + i], low, many[k],
                             (const store *)(g + i * tile->pitch[0] + COLUMNS_AT(k)),
                             (const store *)(y + i * tile->pitch[1] + COLUMNS_AT(k)));
            if (!few) FOR_LANES(j) low[j] = 0;
        }
    for (; i + FR_DOT_GROUP * FR_ROW_LANES <= n; i += FR_DOT_GROUP * FR_ROW_LANES)
        for (ptrdiff_t l = 0; l < FR_ROW_LANES; l++)
            for (ptrdiff_t k = 0; k < sets; k++)
                FN(support_steps)(sum[k * FR_SET_LANES + l], rest[k * FR_SET_LANES + l], many[k],
                                  g + (i + l) * tile->pitch[0] + COLUMNS_AT(k), FR_ROW_LANES * tile->pitch[0],
                                  y + (i + l) * tile->pitch[1] + COLUMNS_AT(k), FR_ROW_LANES * tile->pitch[1]);
    for (; i < n; i++)
        for (ptrdiff_t k = 0; k < sets; k++)
            FN(support_step)(0, sum[k * FR_SET_LANES + i % FR_ROW_LANES], rest[k * FR_SET_LANES + i % FR_ROW_LANES],
                             many[k], (const store *)(g + i * tile->pitch[0] + COLUMNS_AT(k)),
                             (const store *)(y + i * tile->pitch[1] + COLUMNS_AT(k)));
    for (ptrdiff_t k = 0; k < sets; k++)
        FN(support_mean)(hi[k], lo[k], sum + k * FR_SET_LANES, rest + k * FR_SET_LANES, many[k], n, few);
    for (ptrdiff_t from = 0, end; from < n; from = end) {
        end = n - from < block ? n : from + block;
        for (ptrdiff_t k = 0; k < sets; k++)
            for (i = from; i < end; i++) {
                const store *gs = (const store *)(g + i * tile->pitch[0] + COLUMNS_AT(k));
                const store *ys = (const store *)(y + i * tile->pitch[1] + COLUMNS_AT(k));
                store *out = (store *)(tile->out + at + i * tile->out_pitch + COLUMNS_AT(k));
                FOR_LANES(j) out[j] = FN(sparsemax_gradient)(gs[j], ys[j], hi[k][j], lo[k][j]);
            }
    }
}
FR_UNUSED static void FN(sparsemax_from_output_tile_row)(fr_tile *tile) {
    const ptrdiff_t n = tile->n;
    if (n > FR_FEW) {
        FR_LINES double sum[FR_DOT_SETS_COMPENSATED * FR_SET_LANES][FR_COLUMNS],
            rest[FR_DOT_SETS_COMPENSATED * FR_SET_LANES][FR_COLUMNS];
        FOR_WIDTHS(k, width, tile, FR_DOT_SETS_COMPENSATED)
        FN(sparsemax_from_output_columns)(tile, k * (ptrdiff_t)sizeof(store), n, width / FR_COLUMNS, sum, rest);
    } else {
        FR_LINES double sum[FR_ROW_LANES][FR_COLUMNS], rest[FR_ROW_LANES][FR_COLUMNS];
        if (n == 2) FOR_COLUMNS(at, tile) FN(sparsemax_from_output_columns)(tile, at, 2, 1, sum, rest);
        else FOR_COLUMNS(at, tile) FN(sparsemax_from_output_columns)(tile, at, n, 1, sum, rest);
    }
}
#endif
