/* Prints a hash of each kernel's outputs, to compare compilers and instruction sets (see cross_check.py). Inputs of
 * activations: every STRIDE-th float bit pattern, and doubles whose high words are these patterns; of kernels over
 * rows: pseudorandom numbers. */
#include <inttypes.h>
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
        for (int i = 0; i < n; i++) { /* the payload of a NaN is unspecified */
            if (wide) hash = mix(hash, y.d[i] == y.d[i] ? y.v[i] : 1);
            else hash = mix(hash, y.f[i] == y.f[i] ? y.u[i] : 1);
        }
    }
    return hash;
}

/* --- Kernels over rows --- */

/* Up to 32 rows of 2 to 1000 elements: numbers of either type in [-8, 8). */
typedef struct {
    double aligned[32 * 1000];
} rows;
static void fill(rows *x, uint64_t seed, int wide, size_t n) {
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        state = mix(state, i);
        const double value = (double)(int32_t)(state >> 32) * 0x1p-28;
        if (wide) x->aligned[i] = value;
        else ((float *)x->aligned)[i] = (float)value;
    }
}
static uint64_t hash_rows(uint64_t hash, const rows *y, int wide, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t word = 0;
        memcpy(&word, (const char *)y->aligned + i * (wide ? 8 : 4), wide ? 8 : 4);
        hash = mix(hash, word);
    }
    return hash;
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
    return hash_rows(hash, &out, wide, all);
}
static uint64_t hash_row(uint64_t hash, fr_kernel forward, fr_kernel kernel, int gradient, int wide, size_t n) {
    static rows x, g, y, out;
    const char *in[FR_MAX_INPUTS] = {(const char *)&x, NULL};
    fill(&x, 1, wide, n);
    fill(&g, 2, wide, n);
    forward(in, (char *)&y, (ptrdiff_t)n);
    if (gradient) in[0] = (const char *)&g, in[1] = (const char *)&y;
    kernel(in, (char *)&out, (ptrdiff_t)n);
    return hash_rows(hash, &out, wide, n);
}
static void print_rows(const fr_rows *table, const char *flavor, int wide) {
    static const char *const names[] = {"softmax", "log_softmax", "softmin", "hardmax", "sparsemax"};
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

int main(int argc, char **argv) {
    static const char *const directions[] = {"forward", "backward", "from_output"};
    static const char *const flavors[] = {"float32 fast", "float32 accurate", "float64 fast", "float64 accurate"};
    uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 4099;
    for (int op = 0; op < fr_nops; op++)
        for (int direction = 0; direction < FR_DIRECTIONS; direction++)
            for (int flavor = 0; flavor < FR_FLAVORS; flavor++) {
                fr_kernel kernel = JOIN(fr_tables_, FR_ISA).ops[op][direction].scalar[flavor];
                if (!kernel) continue;
                printf("%s %s %s: %016" PRIx64 "\n", fr_ops[op].name, directions[direction], flavors[flavor],
                       hash_of(&fr_ops[op], kernel, direction, flavor, stride));
            }
    for (int flavor = 0; flavor < FR_FLAVORS; flavor++)
        print_rows(&JOIN(fr_tables_, FR_ISA).rows[flavor], flavors[flavor], fr_type_of_flavor[flavor] == FR_float64);
    tcdrain(1); /* for emulate_v4.py */
    return 0;
}
