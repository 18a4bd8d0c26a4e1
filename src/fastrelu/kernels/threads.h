/* Threads as the host allows them: OpenMP's own limit, the affinity mask, fork, one team at a time.
 * Every function also stands without OpenMP; then there is one thread. */
#ifndef FASTRELU_THREADS_H
#define FASTRELU_THREADS_H

#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
typedef volatile long fr_atomic;
static inline long fr_load(fr_atomic *a) { return _InterlockedOr(a, 0); }
static inline void fr_store(fr_atomic *a, long value) { _InterlockedExchange(a, value); }
static inline long fr_swap(fr_atomic *a, long value) { return _InterlockedExchange(a, value); }
static inline long fr_add(fr_atomic *a, long value) { return _InterlockedExchangeAdd(a, value); }
#else
typedef long fr_atomic;
static inline long fr_load(fr_atomic *a) { return __atomic_load_n(a, __ATOMIC_ACQUIRE); }
static inline void fr_store(fr_atomic *a, long value) { __atomic_store_n(a, value, __ATOMIC_RELEASE); }
static inline long fr_swap(fr_atomic *a, long value) { return __atomic_exchange_n(a, value, __ATOMIC_ACQ_REL); }
static inline long fr_add(fr_atomic *a, long value) { return __atomic_fetch_add(a, value, __ATOMIC_ACQ_REL); }
#endif

static fr_atomic fr_forked;    /* this process was forked: libgomp would wait for threads that are not there */
static fr_atomic fr_team_busy; /* a team is running; a second caller works alone */

#ifdef _OPENMP
#define FR_OPENMP _OPENMP
#else
#define FR_OPENMP 0
#endif

static void fr_after_fork(void) {
    fr_store(&fr_forked, 1);
    fr_store(&fr_team_busy, 0);
}

static int fr_watch_forks(void) {
#ifdef _WIN32
    return 0;
#else
    return pthread_atfork(0, 0, fr_after_fork);
#endif
}

/* What OpenMP grants the calling thread now (threadpoolctl sets it per thread); a forked process has no team. */
static int fr_openmp_threads(void) {
#ifdef _OPENMP
    return fr_load(&fr_forked) ? 1 : omp_get_max_threads();
#else
    return 1;
#endif
}

/* Processors that the affinity mask leaves this thread, or `otherwise` where that cannot be known. */
static int fr_affinity(int otherwise) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    return otherwise;
}

static int fr_enter_team(void) { return !fr_load(&fr_forked) && fr_swap(&fr_team_busy, 1) == 0; }
static int fr_is_team_busy(void) { return fr_load(&fr_forked) || fr_load(&fr_team_busy); }
static void fr_leave_team(void) { fr_store(&fr_team_busy, 0); }

#endif
