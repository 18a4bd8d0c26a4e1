/* Prints a hash of each kernel's outputs, to compare compilers and instruction sets (see cross_check.py). Inputs: every
 * STRIDE-th float bit pattern, and doubles whose high words are these patterns. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include "kernels.h"

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
    tcdrain(1); /* for emulate_v4.py */
    return 0;
}
