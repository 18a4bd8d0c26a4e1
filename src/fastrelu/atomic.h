/* Integers that several threads read and write. */
#ifndef FASTRELU_ATOMIC_H
#define FASTRELU_ATOMIC_H

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
typedef volatile long long fr_atomic;
static inline long long fr_load(fr_atomic *a) { return _InterlockedOr64(a, 0); }
static inline void fr_store(fr_atomic *a, long long value) { _InterlockedExchange64(a, value); }
static inline long long fr_swap(fr_atomic *a, long long value) { return _InterlockedExchange64(a, value); }
static inline long long fr_add(fr_atomic *a, long long value) { return _InterlockedExchangeAdd64(a, value); }
static inline int fr_replace(fr_atomic *a, long long expected, long long value) {
    return _InterlockedCompareExchange64(a, value, expected) == expected;
}
static inline void fr_prepare(fr_atomic *a, long long value) { *a = value; } /* another write publishes it */
#define FR_PER_THREAD __declspec(thread)
#else
typedef long long fr_atomic;
static inline long long fr_load(fr_atomic *a) { return __atomic_load_n(a, __ATOMIC_SEQ_CST); }
static inline void fr_store(fr_atomic *a, long long value) { __atomic_store_n(a, value, __ATOMIC_SEQ_CST); }
static inline void fr_prepare(fr_atomic *a, long long value) { /* another write publishes it */
    __atomic_store_n(a, value, __ATOMIC_RELAXED);
}
static inline long long fr_swap(fr_atomic *a, long long value) {
    return __atomic_exchange_n(a, value, __ATOMIC_SEQ_CST);
}
static inline long long fr_add(fr_atomic *a, long long value) { return __atomic_fetch_add(a, value, __ATOMIC_SEQ_CST); }
static inline int fr_replace(fr_atomic *a, long long expected, long long value) {
    return __atomic_compare_exchange_n(a, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#define FR_PER_THREAD __thread
#endif

#endif
