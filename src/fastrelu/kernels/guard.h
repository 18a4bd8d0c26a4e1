/* A floating-point environment for the kernels: default rounding and subnormals inside, the caller's control and flags
 * restored afterwards. It applies to one thread, so every thread of a team opens its own. */
#ifndef FASTRELU_GUARD_H
#define FASTRELU_GUARD_H

#if defined(__x86_64__) || defined(_M_X64)

#include <xmmintrin.h>
typedef unsigned fr_guard;
#define FR_MXCSR_DEFAULT 0x1f80u
#define FR_MXCSR_FLAGS 0x3fu
static inline fr_guard fr_guard_open(void) {
    fr_guard caller = _mm_getcsr();
    if ((caller & ~FR_MXCSR_FLAGS) != FR_MXCSR_DEFAULT) _mm_setcsr(FR_MXCSR_DEFAULT);
    return caller;
}
static inline void fr_guard_close(fr_guard caller) {
    if (_mm_getcsr() != caller) _mm_setcsr(caller); /* writing costs more than reading */
}

#elif defined(__aarch64__) && !defined(_MSC_VER)

#include <stdint.h>
typedef struct {
    uint64_t control, flags;
} fr_guard;
static inline fr_guard fr_guard_open(void) {
    fr_guard caller;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(caller.control), "=r"(caller.flags));
    if (caller.control) __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
    return caller;
}
static inline void fr_guard_close(fr_guard caller) {
    if (caller.control) __asm__ volatile("msr fpcr, %0" ::"r"(caller.control));
    __asm__ volatile("msr fpsr, %0" ::"r"(caller.flags));
}

#else

#include <fenv.h>
typedef fenv_t fr_guard;
static inline fr_guard fr_guard_open(void) {
    fenv_t caller;
    fegetenv(&caller);
    fesetenv(FE_DFL_ENV);
    return caller;
}
static inline void fr_guard_close(fr_guard caller) { fesetenv(&caller); }

#endif

#endif
