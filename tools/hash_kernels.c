/* Prints a hash of each kernel's outputs, to compare compilers and instruction sets (see cross_check.py). Inputs of
 * activations: every STRIDE-th float bit pattern, and doubles whose high words are these patterns; of kernels over
 * rows: pseudorandom numbers. STRIDE 0: the kernels over rows alone. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include "kernels.h"
#include "rows.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
extern const fr_tables JOIN(fr_tables_, FR_ISA);

enum { BLOCK = 4096 };
typedef union {
    float f[BLOCK];
    double d[BLOCK];
    uint32_t u[BLOCK];
    uint64_t v[BLOCK];
} block;

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}
static uint64_t hash_numbers(uint64_t hash, const void *y, int wide, size_t n) {
    const size_t size = wide ? sizeof(double) : sizeof(float);
    for (size_t i = 0; i < n; i++) {
        uint64_t word = 0, magnitude;
        memcpy(&word, (const char *)y + i * size, size);
        magnitude = wide ? word << 1 : word << 33;
        /* the payload of a NaN is unspecified */
        hash = mix(hash, magnitude > (wide ? 0xffe0000000000000u : 0xff00000000000000u) ? 1 : word);
    }
    return hash;
}

static uint64_t hash_of(const fr_op *op, fr_kernel kernel, int direction, int flavor, uint32_t stride) {
    static const double candidates[][FR_MAX_PARAMETERS] = {{0.5, 1, 1.5, 0.25}, {1, 0.5, 1.5, 0.25}};
    static block x, g, y;
    int wide = fr_type_of_flavor[flavor] == FR_float64, ndata = direction == FR_FORWARD ? 1 : 2;
    const double *p = op->domain[direction](candidates[0]) ? candidates[0] : candidates[1];
    float rounded[FR_MAX_PARAMETERS];
    const char *in[FR_MAX_INPUTS] = {(const char *)&x};
    if (ndata == 2) in[0] = (const char *)&g, in[1] = (const char *)&x;
    for (int j = 0; j < op->nparams; j++) {
        rounded[j] = (float)p[j];
        in[ndata + j] = wide ? (const char *)&p[j] : (const char *)&rounded[j];
    }
    for (int i = 0; i < BLOCK; i++)
        if (wide) g.d[i] = 1;
        else g.f[i] = 1;

    uint64_t hash = 1, at = 0;
    while (at >> 32 == 0) {
        int n = 0;
        for (; n < BLOCK && at >> 32 == 0; n++, at += stride) {
            if (wide) x.v[n] = at << 32 | (uint32_t)(at * 2654435761u);
            else x.u[n] = (uint32_t)at;
        }
        kernel(in, (char *)&y, n);
        hash = hash_numbers(hash, &y, wide, (size_t)n);
    }
    return hash;
}

/* --- Kernels over rows --- */

/* Up to 32 rows of 2 to 1000 elements: numbers of either type in [-8, 8). */
typedef struct {
    double aligned[32 * 1000];
} rows;
static void put(void *x, int wide, size_t i, double value) {
    const float narrow = (float)value;
    if (wide) memcpy((char *)x + i * sizeof value, &value, sizeof value);
    else memcpy((char *)x + i * sizeof narrow, &narrow, sizeof narrow);
}
static double number_of(uint64_t state) { return (double)(int32_t)(state >> 32) * 0x1p-28; }
static void fill(void *x, uint64_t seed, int wide, size_t n) {
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        state = mix(state, i);
        put(x, wide, i, number_of(state));
    }
}
/* Of `width` rows of n elements each, side by side or one after the other. The outputs that a gradient needs are those
 * of the kernel over one row. */
static uint64_t hash_tile(uint64_t hash, fr_kernel forward, fr_tile_kernel kernel, int gradient, int wide, size_t n,
                          size_t width, int side_by_side) {
    static rows x, g, y, out;
    const size_t size = wide ? sizeof(double) : sizeof(float), all = n * width;
    fill(&x, 1, wide, all);
    fill(&g, 2, wide, all);
    memset(&out, 0, sizeof out);
    for (size_t r = 0; r < width; r++) {
        const char *in[FR_MAX_INPUTS] = {(const char *)&x + r * n * size};
        forward(in, (char *)&y + r * n * size, (ptrdiff_t)n);
    }
    fr_tile tile = {.n = (ptrdiff_t)n, .width = (ptrdiff_t)width, .out = (char *)&out};
    tile.in[0] = gradient ? (const char *)&g : (const char *)&x;
    if (gradient && side_by_side) { /* element i of row r is behind all elements i - 1 */
        for (size_t i = 0; i < n; i++)
            for (size_t r = 0; r < width; r++)
                memcpy((char *)&x + (i * width + r) * size, (const char *)&y + (r * n + i) * size, size);
        tile.in[1] = (const char *)&x;
    } else if (gradient) {
        tile.in[1] = (const char *)&y;
    }
    tile.pitch[0] = tile.pitch[1] = tile.out_pitch = (ptrdiff_t)((side_by_side ? width : n) * size);
    kernel(&tile);
    return hash_numbers(hash, &out, wide, all);
}
static uint64_t hash_row(uint64_t hash, fr_kernel forward, fr_kernel kernel, int gradient, int wide, size_t n) {
    static rows x, g, y, out;
    const char *in[FR_MAX_INPUTS] = {(const char *)&x, NULL};
    fill(&x, 1, wide, n);
    fill(&g, 2, wide, n);
    forward(in, (char *)&y, (ptrdiff_t)n);
    if (gradient) in[0] = (const char *)&g, in[1] = (const char *)&y;
    kernel(in, (char *)&out, (ptrdiff_t)n);
    return hash_numbers(hash, &out, wide, n);
}
static const char *const names[] = {"softmax", "log_softmax", "softmin", "hardmax", "sparsemax"};
static void print_rows(const fr_rows *table, const char *flavor, int wide) {
    static const size_t lengths[] = {2, 3, 4, 5, 10, 17, 33, 100, 1000};
    for (int k = 0; k < FR_NORMALIZERS; k++)
        for (int gradient = 0; gradient < 2; gradient++) {
            const fr_kernel row = (gradient ? table->from_output : table->forward)[k];
            const fr_tile_kernel tile = (gradient ? table->from_output_tile : table->forward_tile)[k];
            const fr_tile_kernel band = (gradient ? table->from_output_band : table->forward_band)[k];
            const fr_tile_kernel fold = (gradient ? table->from_output_fold : table->forward_fold)[k];
            uint64_t hash = 1;
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                const size_t n = lengths[i];
                hash = hash_row(hash, table->forward[k], row, gradient, wide, n);
                hash = hash_tile(hash, table->forward[k], tile, gradient, wide, n, 2 * FR_COLUMNS, 1);
                if (band && n > FR_COLUMNS) hash = hash_tile(hash, table->forward[k], band, gradient, wide, n, 5, 0);
                if (fold && n > 2 * FR_COLUMNS)
                    hash = hash_tile(hash, table->forward[k], fold, gradient, wide, n, 7, 1);
            }
            printf("%s of rows%s %s: %016" PRIx64 "\n", names[k], gradient ? " from_output" : "", flavor, hash);
        }
}

/* --- Rows of an array, as calls bring them to the kernels --- */

/* Lines that are a page apart or more: as a part of a wider array. */
enum { LONGEST = 700, APART = 1040, CRITICAL = 1024, WIDEST = 131 };
/* The first sets of columns have no rare rows, unless there is none but a part of one. */
enum { RARE_FROM = 4 * FR_COLUMNS, RARE = 8 };
/* Rows whose losses are added up. */
enum { CHUNK = 50 };
typedef struct {
    size_t n, rows, along, across; /* the latter from one element, and from one row, to the next; in elements */
    int wide;
} shape;
typedef struct {
    _Alignas(64) double numbers[LONGEST * APART];
} plane;
static plane x, g, y, out;
static char mask[LONGEST * APART];
static double loss[WIDEST], sums[2 * (WIDEST / CHUNK + 1)], weights[LONGEST], factors[WIDEST];
static int64_t labels[WIDEST];

#define FOR_ELEMENTS(i, r, s)           \
    for (size_t i = 0; i < (s)->n; i++) \
        for (size_t r = 0; r < (s)->rows; r++)
/* What is rare about a row; 0: nothing. */
static size_t rare_of(const shape *s, size_t row, size_t seed) {
    return row < RARE_FROM && s->rows >= FR_COLUMNS ? 0 : (row + seed) % RARE;
}
static void fill_plane(plane *p, uint64_t seed, const shape *s) {
    const double infinite = (double)INFINITY;
    uint64_t state = seed;
    FOR_ELEMENTS(i, r, s) {
        const size_t rare = rare_of(s, r, (size_t)seed);
        state = mix(state, r);
        double value = number_of(state);
        if (rare == 1 && i % 3 == 0) value = -infinite;
        if (rare == 2 && i == s->n / 2) value = infinite;
        if (rare == 3 && i % 2 == 0) value = infinite;
        if (rare == 4 && i == s->n - 1) value = (double)NAN;
        if (rare == 5) value = -infinite;
        if (rare == 6) value = 1e4 - (double)(i % 50) * 100;
        if (rare == 7 && i % 4 == 0) value = 8; /* several elements are the largest */
        put(p, s->wide, i * s->along + r * s->across, value);
    }
}
static void fill_shares(const shape *s) {
    FOR_ELEMENTS(i, r, s)
    put(&y, s->wide, i * s->along + r * s->across, (double)(mix(i, r) >> 40) * 0x1p-24);
}
static void fill_rest(const shape *s) {
    FOR_ELEMENTS(i, r, s)
    mask[i * s->along + r * s->across] = rare_of(s, r, 1) == 7 ? 0 : (char)(mix(i, r) >> 40 & 3);
    for (size_t i = 0; i < s->n; i++) weights[i] = (double)(i % 9) / 4;
    for (size_t r = 0; r < s->rows; r++) {
        labels[r] = rare_of(s, r, 1) == 7 ? -1 : (int64_t)(r * 7919 % s->n);
        put(factors, s->wide, r, (double)r / 32 - 1.5);
    }
}

static void lay(fr_row_call *call, int k, void *origin, size_t along, size_t across) {
    call->operand[k] = (fr_row_operand){(char *)origin, (ptrdiff_t)along, {(ptrdiff_t)across}};
}
static void lay_plane(fr_row_call *call, int k, plane *p, const shape *s) {
    const size_t size = (size_t)call->itemsize;
    lay(call, k, p, s->along * size, s->across * size);
}
static void begin(fr_row_call *call, const fr_rows *table, const shape *s) {
    memset(call, 0, sizeof *call);
    call->flavor = table;
    call->n = (ptrdiff_t)s->n;
    call->itemsize = s->wide ? sizeof(double) : sizeof(float);
    call->naxes = 1;
    call->shape[0] = (ptrdiff_t)s->rows;
    lay_plane(call, FR_ROW_IN, &x, s);
    lay_plane(call, FR_ROW_OUT, &out, s);
}
static uint64_t hash_call(uint64_t hash, const fr_row_call *call, const shape *s) {
    const char *made = call->operand[FR_ROW_OUT].origin;
    char *room = malloc(fr_rows_room(call, call->shape[0]) + 1);
    if (!room) abort();
    fr_run_rows(call, 0, call->shape[0], room);
    free(room);
    if (made) {
        FOR_ELEMENTS(i, r, s)
        hash = hash_numbers(hash, made + (i * s->along + r * s->across) * (size_t)call->itemsize, s->wide, 1);
    }
    if (call->sums) return hash_numbers(hash, sums, 1, 2 * ((s->rows + CHUNK - 1) / CHUNK));
    return call->operand[FR_ROW_LOSS].origin ? hash_numbers(hash, loss, 1, s->rows) : hash;
}

enum { FORWARD, FROM_OUTPUT, MASKED, LOADED, NORMALIZER_FORMS };
static uint64_t hash_normalizer(uint64_t hash, const fr_rows *table, const shape *s, int flavor, int k, int form) {
    const double absent = k == FR_SOFTMIN ? (double)INFINITY : -(double)INFINITY;
    const double alone = k == FR_LOG_SOFTMAX ? -(double)INFINITY : 0;
    const fr_kernels *ops = NULL;
    fr_row_load load = {0.5, 4, NULL};
    fr_row_slope slope = {table->from_output[k], table->from_output_tile[k], table->from_output_band[k], NULL};
    fr_row_call call;
    begin(&call, table, s);
    call.kernel = table->forward[k], call.tile = table->forward_tile[k];
    call.band = table->forward_band[k], call.fold = table->forward_fold[k];
    if (form == FROM_OUTPUT) {
        lay_plane(&call, FR_ROW_OUT, &y, s);
        hash = hash_call(hash, &call, s);
        call.kernel = table->from_output[k], call.tile = table->from_output_tile[k];
        call.band = table->from_output_band[k], call.fold = table->from_output_fold[k];
        lay_plane(&call, FR_ROW_IN, &g, s);
        lay_plane(&call, FR_ROW_SECOND, &y, s);
        lay_plane(&call, FR_ROW_OUT, &out, s);
    }
    if (form == MASKED) { /* and then times a factor of each row, over a number, or times it */
        put(&call.absent, s->wide, 0, absent);
        put(&call.alone, s->wide, 0, alone);
        call.finish = k % 3 == 1 ? FR_DIVIDED : FR_MULTIPLIED;
        lay(&call, FR_ROW_WHERE, mask, s->along, s->across);
        lay(&call, FR_ROW_FACTOR, factors, 0, k % 3 ? 0 : (size_t)call.itemsize);
    }
    if (form == LOADED) {
        for (int op = 0; op < fr_nops; op++)
            if (!strcmp(fr_ops[op].name, "softcap")) ops = JOIN(fr_tables_, FR_ISA).ops[op];
        if (!ops) abort();
        load.softcap = ops[FR_FORWARD].scalar[flavor], slope.cap = ops[FR_BACKWARD].scalar[flavor];
        call.load = &load, call.slope = &slope;
        fill_plane(&y, 3, s);
        lay_plane(&call, FR_ROW_SECOND, &y, s);
        lay_plane(&call, FR_ROW_GRAD, &g, s);
        lay(&call, FR_ROW_LOSS, loss, 0, sizeof *loss);
    }
    return hash_call(hash, &call, s);
}

enum { LABELS, SOFT_LABELS, SHARES, LOGSUMEXP, LOSSES };
enum { ALONE, ADDED_UP, WITH_GRADIENT, LOSS_FORMS };
/* logsumexp has no gradient in the same call */
static int last_form(int k) { return k == LOGSUMEXP ? ADDED_UP : WITH_GRADIENT; }
static uint64_t hash_loss(uint64_t hash, const fr_rows *table, const shape *s, int k, int form) {
    const int soft = k == SOFT_LABELS;
    const fr_target target = {
        .weights = soft ? weights : NULL, .mean_weight = 1, .smoothing = soft ? 0.125 : 0, .scale = 0.75};
    fr_row_call call;
    begin(&call, table, s);
    call.loss = k == LOGSUMEXP ? table->logsumexp : table->cross_entropy;
    call.tile = k == LOGSUMEXP ? table->logsumexp_tile : table->cross_entropy_tile;
    call.target = &target;
    call.ignored = -1;
    if (form == ADDED_UP) call.sums = sums, call.chunk = CHUNK;
    lay(&call, FR_ROW_LOSS, loss, 0, sizeof *loss);
    if (k == LABELS || soft) lay(&call, FR_ROW_LABEL, labels, 0, sizeof *labels);
    if (k == SHARES) lay_plane(&call, FR_ROW_SECOND, &y, s);
    if (form != WITH_GRADIENT) call.operand[FR_ROW_OUT].origin = NULL;
    return hash_call(hash, &call, s);
}

static void print_calls(const fr_rows *table, const char *flavor_name, int flavor, int wide) {
    static const char *const forms[] = {"", " from_output", " masked", " loaded"};
    static const char *const losses[] = {"cross_entropy", "soft cross_entropy", "cross_entropy of shares", "logsumexp"};
    static const char *const loss_forms[] = {"", " added up", " with gradient"};
    static const size_t lengths[] = {2, 3, 4, 8, 10, 16, 100, LONGEST},
                        counts[] = {1, 7, 16, 33, 58, 64, 70, 90, WIDEST};
    /* The elements of one row behind each other; the rows side by side. */
    enum { BEHIND, SIDE_BY_SIDE, SIDE_BY_SIDE_APART, SIDE_BY_SIDE_CRITICAL, LAYOUTS };
    enum { LENGTHS = sizeof lengths / sizeof *lengths, COUNTS = sizeof counts / sizeof *counts };
    uint64_t normalized[FR_NORMALIZERS][NORMALIZER_FORMS] = {{0}}, lost[LOSSES][LOSS_FORMS] = {{0}};
    for (size_t i = 0; i < LENGTHS * COUNTS * LAYOUTS; i++) {
        const size_t n = lengths[i % LENGTHS], rows_here = counts[i / LENGTHS % COUNTS], layout = i / LENGTHS / COUNTS;
        const size_t along[] = {1, rows_here, APART, CRITICAL};
        const shape s = {n, rows_here, along[layout], layout == BEHIND ? n : 1, wide};
        fill_plane(&x, 1, &s);
        fill_plane(&g, 2, &s);
        fill_rest(&s);
        for (int k = 0; k < FR_NORMALIZERS; k++)
            for (int form = 0; form < NORMALIZER_FORMS; form++)
                normalized[k][form] = hash_normalizer(normalized[k][form], table, &s, flavor, k, form);
        fill_shares(&s);
        for (int k = 0; k < LOSSES; k++)
            for (int form = 0; form <= last_form(k); form++)
                lost[k][form] = hash_loss(lost[k][form], table, &s, k, form);
    }
    for (int k = 0; k < FR_NORMALIZERS; k++)
        for (int form = 0; form < NORMALIZER_FORMS; form++)
            printf("%s in calls%s %s: %016" PRIx64 "\n", names[k], forms[form], flavor_name, normalized[k][form]);
    for (int k = 0; k < LOSSES; k++)
        for (int form = 0; form <= last_form(k); form++)
            printf("%s in calls%s %s: %016" PRIx64 "\n", losses[k], loss_forms[form], flavor_name, lost[k][form]);
}

int main(int argc, char **argv) {
    static const char *const directions[] = {"forward", "backward", "from_output"};
    static const char *const flavors[] = {"float32 fast", "float32 accurate", "float64 fast", "float64 accurate"};
    uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 4099;
    for (int op = 0; op < fr_nops && stride; op++)
        for (int direction = 0; direction < FR_DIRECTIONS; direction++)
            for (int flavor = 0; flavor < FR_FLAVORS; flavor++) {
                fr_kernel kernel = JOIN(fr_tables_, FR_ISA).ops[op][direction].scalar[flavor];
                if (!kernel) continue;
                printf("%s %s %s: %016" PRIx64 "\n", fr_ops[op].name, directions[direction], flavors[flavor],
                       hash_of(&fr_ops[op], kernel, direction, flavor, stride));
            }
    for (int flavor = 0; flavor < FR_FLAVORS; flavor++) {
        const fr_rows *table = &JOIN(fr_tables_, FR_ISA).rows[flavor];
        const int wide = fr_type_of_flavor[flavor] == FR_float64;
        print_rows(table, flavors[flavor], wide);
        print_calls(table, flavors[flavor], flavor, wide);
    }
    tcdrain(1); /* for emulate_v4.py */
    return 0;
}
