/* Threads as the host allows them: OpenMP's own limit, the affinity mask, fork, one team at a time.
 * Every function also stands without OpenMP; then there is one thread. */
#ifndef FASTRELU_THREADS_H
#define FASTRELU_THREADS_H

#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
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

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_PER_THREAD __declspec(thread)
#else
#define FR_PER_THREAD __thread
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

/* Seconds since the calling thread last asked, or very many. */
static double fr_pause(void) {
#ifdef _OPENMP
    static FR_PER_THREAD double last = -1e9;
    const double now = omp_get_wtime(), pause = now - last;
    last = now;
    return pause;
#else
    return 1e9;
#endif
}

static int fr_enter_team(void) { return !fr_load(&fr_forked) && fr_swap(&fr_team_busy, 1) == 0; }
static int fr_is_team_busy(void) { return fr_load(&fr_forked) || fr_load(&fr_team_busy); }
static void fr_leave_team(void) { fr_store(&fr_team_busy, 0); }

/* --- One job of a team --- */

/* Cython's prange declares its index lastprivate besides firstprivate, and for that GCC puts a barrier before the loop,
 * where nobody works until the last thread has come. Nobody reads the index afterwards. */
#define lastprivate(index)

/* Share `share` of `shares` of the job `what`, done by thread `part`. */
typedef void (*fr_share)(const void *what, long share, long shares, int part);

enum { FR_HEAPS = 32 }; /* threads beyond so many start with the heap of another, and nobody calls them */

/* A thread that is woken may be queued where the caller works, and stays there until the system's next tick if the
 * caller then waits in a barrier that spins: a call of 100 us takes 4 ms. So the caller sends threads that are missing
 * to other processors; a thread that finds itself where the caller is goes by itself; and what a late thread has not
 * begun is done by the others. */
typedef struct {
    fr_share run;
    const void *what;
    int parts;
    long shares;
    fr_atomic present, home;   /* threads that have come; the caller's processor */
    fr_atomic moving;          /* somebody is changing an affinity mask, which another might take for what it was */
    fr_atomic taken[FR_HEAPS]; /* shares gone from the heap that each thread takes from first */
    fr_atomic *team;           /* the caller's memory of the threads that worked for it last */
} fr_job;

#ifdef __linux__
static int fr_processor(void) { return sched_getcpu(); }

static long fr_thread(void) {
    static FR_PER_THREAD long id;
    if (!id) id = syscall(SYS_gettid);
    return id;
}

/* Sends a thread of this process to a processor other than `from`; what its affinity mask allows stays as it was. */
static void fr_send_away(long thread, int from) {
    cpu_set_t mask, others;
    const size_t size = sizeof mask;
    if (from < 0 || from >= CPU_SETSIZE || sched_getaffinity((pid_t)thread, size, &mask) != 0) return;
    others = mask;
    CPU_CLR(from, &others);
    if (CPU_COUNT(&others) && sched_setaffinity((pid_t)thread, size, &others) == 0)
        sched_setaffinity((pid_t)thread, size, &mask);
}

/* The thread that worked for the caller may have ended since, and its number may be another process's by now. */
static int fr_is_ours(long thread) { return thread && syscall(SYS_tgkill, (long)getpid(), thread, 0L) == 0; }
#else
static int fr_processor(void) { return -1; }
static long fr_thread(void) { return 0; }
static void fr_send_away(long thread, int from) { (void)thread, (void)from; }
static int fr_is_ours(long thread) { return thread != 0; }
#endif

static void fr_job_open(fr_job *job, fr_share run, const void *what, long shares, int parts) {
#ifdef __linux__
    static FR_PER_THREAD fr_atomic team[FR_HEAPS];
    job->team = team;
#else
    job->team = 0;
#endif
    job->run = run;
    job->what = what;
    job->parts = parts;
    job->shares = shares;
    job->present = job->moving = 0;
    job->home = fr_processor();
    for (int heap = 0; heap < parts && heap < FR_HEAPS; heap++) job->taken[heap] = 0;
}

/* The next share for this thread, or -1. */
static long fr_job_take(fr_job *job, int part) {
    const int heaps = job->parts < FR_HEAPS ? job->parts : FR_HEAPS;
    for (int k = 0; k < heaps; k++) {
        const int heap = (part + k) % heaps;
        const long first = job->shares * heap / heaps, last = job->shares * (heap + 1) / heaps;
        const long share = first + fr_add(&job->taken[heap], 1);
        if (share < last) return share;
    }
    return -1;
}

/* The caller makes way for those who are missing. */
static void fr_job_call(fr_job *job, int parts) {
    if (!job->team || fr_load(&job->present) >= parts) return;
    fr_store(&job->home, fr_processor());
    if (fr_swap(&job->moving, 1)) return;
    for (int part = 1; part < parts && part < FR_HEAPS; part++)
        if (fr_is_ours(fr_load(&job->team[part]))) fr_send_away(fr_load(&job->team[part]), (int)fr_load(&job->home));
    fr_store(&job->moving, 0);
}

/* What thread `part` has to do: its own shares and those that nobody else has taken. */
static void fr_job_attend(fr_job *job, int part) {
    int parts = job->parts;
#ifdef _OPENMP
    if (omp_get_num_threads() < parts) parts = omp_get_num_threads(); /* fewer than asked for may have been granted */
#endif
    if (part != 0 && job->team) {
        if (part < FR_HEAPS) fr_store(&job->team[part], fr_thread());
        if (fr_load(&job->home) == fr_processor() && fr_swap(&job->moving, 1) == 0) {
            fr_send_away(0, fr_processor());
            fr_store(&job->moving, 0);
        }
    }
    fr_add(&job->present, 1);
    long share = fr_job_take(job, part);
    for (int calls = 0; share >= 0; share = fr_job_take(job, part)) {
        job->run(job->what, share, job->shares, part);
        if (part == 0 && calls++ < 2) fr_job_call(job, parts);
    }
    if (part == 0) fr_job_call(job, parts);
}

#endif
