/* Which instruction sets this build contains, which of them both the processor and the operating system support, and
 * the sizes of the processor's caches. */
#include "kernels.h"

extern const fr_tables fr_tables_base;
extern const fr_tables fr_tables_v3;
extern const fr_tables fr_tables_v4;

#ifdef FR_HAVE_V3
#define FR_V3 &fr_tables_v3
#else
#define FR_V3 NULL
#endif
#ifdef FR_HAVE_V4
#define FR_V4 &fr_tables_v4
#else
#define FR_V4 NULL
#endif

#if defined(__x86_64__) || defined(_M_X64)

#ifdef _MSC_VER
#include <intrin.h>
static void fr_cpuid_at(unsigned leaf, int index, unsigned r[4]) {
    __cpuidex((int *)r, (int)(leaf & 0x80000000u), 0);
    unsigned highest = r[0];
    __cpuidex((int *)r, (int)leaf, index);
    if (leaf > highest) r[0] = r[1] = r[2] = r[3] = 0;
}
static unsigned long long fr_xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void fr_cpuid_at(unsigned leaf, int index, unsigned r[4]) {
    if (!__get_cpuid_count(leaf, (unsigned)index, &r[0], &r[1], &r[2], &r[3])) r[0] = r[1] = r[2] = r[3] = 0;
}
static unsigned long long fr_xcr0(void) {
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((unsigned long long)hi << 32) | lo;
}
#endif

static int fr_has(unsigned word, unsigned mask) { return (word & mask) == mask; }

/* x86-64 levels as in the System V psABI; each level is tested only if the one below is supported. */
static int fr_level(void) {
    unsigned one[4], seven[4], extended[4];
    fr_cpuid_at(1, 0, one);
    fr_cpuid_at(7, 0, seven);
    fr_cpuid_at(0x80000001u, 0, extended);
    /* SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT */
    if (!fr_has(one[2], 1u | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23)) return 1;
    /* FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT */
    if (!fr_has(one[2], 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29)) return 2;
    if (!fr_has(seven[1], 1u << 3 | 1u << 5 | 1u << 8) || !fr_has(extended[2], 1u << 5)) return 2;
    unsigned long long saved = fr_xcr0(); /* the registers that the system saves at a thread switch */
    if ((saved & 0x6) != 0x6) return 2;
#ifndef __APPLE__ /* macOS enables AVX-512 lazily and lost mask registers in some versions: v3 is the highest there */
    /* AVX512F, DQ, CD, BW, VL */
    if (fr_has(seven[1], 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && (saved & 0xe6) == 0xe6) return 4;
#endif
    return 3;
}

const fr_isa *fr_isa_list(int *count) {
    static fr_isa list[] = {{"base", &fr_tables_base, 0}, {"v3", FR_V3, 0}, {"v4", FR_V4, 0}};
    int level = fr_level();
    for (int i = 0; i < 3; i++) list[i].runs_here = level >= i + 2;
    *count = 3;
    return list;
}

/* A virtual machine reports its host's last cache, hundreds of mebibytes, most of which others use: no more than this
 * is believed there. (tools/measure_streaming.py: on such a machine results gain by streaming from 24 MiB on.) */
#define FR_SHARED_WITH_OTHERS (32 << 20)

/* Leaf 4 is Intel's, the other one AMD's; both have the same layout. */
fr_caches fr_find_caches(void) {
    static const unsigned leaves[] = {4, 0x8000001du};
    fr_caches found = {0, 0, 1};
    unsigned one[4];
    fr_cpuid_at(1, 0, one);
    for (int k = 0; k < 2 && found.last == 0; k++) {
        for (int i = 0; i < 8; i++) {
            unsigned r[4];
            fr_cpuid_at(leaves[k], i, r);
            if ((r[0] & 31) == 0) break;
            if ((r[0] & 31) == 2) continue; /* an instruction cache */
            found.last = (ptrdiff_t)((r[1] >> 22) + 1) * ((r[1] >> 12 & 1023) + 1) * ((r[1] & 4095) + 1) * (r[2] + 1);
            found.sharers = (int)(r[0] >> 14 & 4095) + 1;
            if ((r[0] >> 5 & 7) == 2) found.second = found.last;
        }
    }
    int virtual_machine = fr_has(one[2], 1u << 31);
    if (virtual_machine && found.last > FR_SHARED_WITH_OTHERS) found.last = FR_SHARED_WITH_OTHERS;
    return found;
}

#else

/* Not determined: nothing is streamed on this architecture. */
fr_caches fr_find_caches(void) {
    fr_caches unknown = {0, 0, 1};
    return unknown;
}

/* Everywhere else the compiler's default is the only level; on AArch64 that is NEON, which needs no probe. */
const fr_isa *fr_isa_list(int *count) {
#if defined(__aarch64__) || defined(_M_ARM64)
    static const fr_isa list[] = {{"neon", &fr_tables_base, 1}};
#else
    static const fr_isa list[] = {{"base", &fr_tables_base, 1}};
#endif
    *count = 1;
    return list;
}

#endif
