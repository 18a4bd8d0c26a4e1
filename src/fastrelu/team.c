/* How the team's threads cooperate (team.h describes the team).
 *
 * One job at a time: `job`. Its gate counts the workers inside and says whether more may enter; the caller closes it
 * when no share is left, and waits until the workers inside have finished their shares. No thread waits for another in
 * any other place. */
#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#endif
#include "team.h"

#include <stdlib.h>
#include <string.h>

fr_team_settings fr_team_set = {10, 50, 1, 0, 0};

#ifdef _OPENMP
#include <omp.h>

#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK fr_mutex;
typedef CONDITION_VARIABLE fr_condition;
#define FR_MUTEX_INIT SRWLOCK_INIT
#define FR_CONDITION_INIT CONDITION_VARIABLE_INIT
static void fr_mutex_lock(fr_mutex *m) { AcquireSRWLockExclusive(m); }
static void fr_mutex_unlock(fr_mutex *m) { ReleaseSRWLockExclusive(m); }
static void fr_condition_wait(fr_condition *c, fr_mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static void fr_condition_signal(fr_condition *c) { WakeConditionVariable(c); }
static void fr_yield(void) { SwitchToThread(); }
static DWORD WINAPI fr_thread_main(void *body) {
    ((void (*)(void))body)();
    return 0;
}
static int fr_thread_start(void (*body)(void)) {
    HANDLE thread = CreateThread(NULL, 0, fr_thread_main, (void *)body, 0, NULL);
    return thread ? !CloseHandle(thread) : -1;
}
static int fr_threads_can_be_had(int count) { return count >= 0; } /* Windows has no limit on the number of threads */
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
typedef pthread_mutex_t fr_mutex;
typedef pthread_cond_t fr_condition;
#define FR_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define FR_CONDITION_INIT PTHREAD_COND_INITIALIZER
static void fr_mutex_lock(fr_mutex *m) { pthread_mutex_lock(m); }
static void fr_mutex_unlock(fr_mutex *m) { pthread_mutex_unlock(m); }
static void fr_condition_wait(fr_condition *c, fr_mutex *m) { pthread_cond_wait(c, m); }
static void fr_condition_signal(fr_condition *c) { pthread_cond_signal(c); }
static void fr_yield(void) { sched_yield(); }

static void *fr_thread_main(void *body) {
    ((void (*)(void))body)();
    return NULL;
}

/* Starts a detached thread with all signals blocked: signals are for the threads of the host program. */
static int fr_thread_start(void (*body)(void)) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return -1;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, &attributes, fr_thread_main, (void *)body);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed ? -1 : 0;
}

/* The stack size that the environment sets for OpenMP's threads, in bytes; 0 if it sets none. */
static size_t fr_openmp_stack(void) {
    const char *text = getenv("OMP_STACKSIZE");
    char *end;
    if (!text) text = getenv("GOMP_STACKSIZE");
    if (!text) return 0;
    const unsigned long long number = strtoull(text, &end, 10);
    while (*end == ' ' || *end == '\t') end++;
    switch (*end) {
        case 'b':
        case 'B':
            return (size_t)number;
        case 'm':
        case 'M':
            return (size_t)number << 20;
        case 'g':
        case 'G':
            return (size_t)number << 30;
        default:
            return (size_t)number << 10;
    }
}

static fr_mutex trial_lock = FR_MUTEX_INIT;
static void *fr_trial(void *unused) {
    (void)unused;
    fr_mutex_lock(&trial_lock); /* no trial thread ends before the last one has been started */
    fr_mutex_unlock(&trial_lock);
    return NULL;
}

/* Could the system start `count` more threads now? libgomp ends the process if a thread is refused, so try first. */
static int fr_threads_can_be_had(int count) {
    pthread_attr_t attributes;
    pthread_t *threads = malloc((size_t)count * sizeof *threads);
    const size_t stack = fr_openmp_stack();
    int made = 0;
    if (!threads || pthread_attr_init(&attributes) != 0) {
        free(threads);
        return count == 0;
    }
    if (stack) pthread_attr_setstacksize(&attributes, stack); /* refuses a size that is too small, as OpenMP does */
    fr_mutex_lock(&trial_lock);
    while (made < count && pthread_create(&threads[made], &attributes, fr_trial, NULL) == 0) made++;
    fr_mutex_unlock(&trial_lock);
    for (int k = 0; k < made; k++) pthread_join(threads[k], NULL);
    pthread_attr_destroy(&attributes);
    free(threads);
    return made == count;
}
#endif

/* Leaves the core to its other hardware thread while this one spins. */
static inline void fr_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("yield");
#endif
}

/* --- State ----------------------------------------------------------------------------------------------------------
 */

enum {
    FR_QUEUES = 32,    /* queues of shares: a thread with a higher number starts with another thread's queue */
    FR_OPEN = 1 << 20, /* bit of the gate, above the count of workers inside */
    FR_TEAM_LINE = 128 /* bytes that processors fetch together */
};

/* Seconds. */
static const double FR_RETRY = 1.0;        /* after this time a refused thread is requested again */
static const double FR_PREEMPTED = 100e-6; /* a spinning worker that misses this much has lost its processor */
static const double FR_APART = 20e-3;      /* for this time workers then sleep between calls */
static const double FR_EXPECTED = 100e-6;  /* a woken worker should come within this time, to this job or the next */
static const double FR_WAKING = 50e-6;     /* upper limit of the cost of waking a worker in vain */
static const double FR_CHANCE = 300e-6;    /* a call may lose this much without consequence, ... */
static const double FR_VARIES = 0.25;  /* ... and this part of its time: shares bound by memory take unequal times */
static const double FR_ENOUGH = 10e-3; /* losses up to this much are made up for by what calls gained before */
static const double FR_WITHOUT = 20;   /* calls do without the team for this many times the loss, ... */
static const double FR_LONGEST = 1.0;  /* ... but no longer than this */
enum { FR_DOUBLINGS = 6 };             /* limit for fr_trouble.doublings */
enum { FR_TIMED = 4 };                 /* shares of the caller that it times */

typedef union {
    struct {
        fr_mutex lock;
        fr_condition bell;
        fr_atomic asleep;
#ifdef __linux__
        cpu_set_t mask; /* the affinity mask that the worker has set for itself */
        int masked;
        cpu_set_t narrow; /* the mask that a caller has set to wake it elsewhere, until the worker runs */
        int narrowed;
        pid_t thread;
#endif
    } w;
    char line[FR_TEAM_LINE * 4];
} fr_worker;

/* A line travels to a thread that reads it after another has written it, for about 0.1 us. So what a worker reads of
 * each job is in one line, the queues are in lines of their own, and the mask is written only if it changes. */
static _Alignas(FR_TEAM_LINE) struct {
    fr_atomic gate;   /* number of workers inside, and FR_OPEN */
    fr_atomic called; /* workers that have been woken, or were found awake */
    fr_share run;
    const void *what;
    long shares;
    int parts;
    int home;                /* the processor that the caller ran on */
    fr_atomic entered, came; /* workers that have entered; of these, workers that have taken a share */
    int watched;
    fr_atomic faults, without; /* of all threads, if they are watched; microseconds without a processor */
    char line1[FR_TEAM_LINE];
    struct {
        fr_atomic shares; /* taken from this queue */
        char line[FR_TEAM_LINE - sizeof(fr_atomic)];
    } taken[FR_QUEUES];
#ifdef __linux__
    cpu_set_t mask; /* where the caller, and so the workers, may run */
    int masked;
#endif
} job;

static fr_worker workers[FR_MOST_THREADS - 1];
static fr_mutex caller_lock = FR_MUTEX_INIT;
static fr_condition caller_bell = FR_CONDITION_INIT;
static fr_atomic caller_asleep;

static _Alignas(FR_TEAM_LINE) struct {
    fr_atomic jobs; /* number of jobs so far: watched by the workers, so nothing else is written beside it */
    char line[FR_TEAM_LINE - sizeof(fr_atomic)];
} posted;
static fr_atomic busy;            /* a call uses the team */
static fr_atomic arrived;         /* workers in the region */
static fr_atomic awake;           /* of these, workers not asleep */
static fr_atomic forked;          /* this process is a forked child: it has none of its parent's threads */
static fr_atomic wanted;          /* workers requested */
static fr_atomic regroup;         /* the region is to end, and to start again with more workers */
static fr_atomic held_work;       /* microseconds of computing that calls do without the team, ... */
static fr_atomic held_until;      /* ... but no longer than until then, in microseconds */
static fr_atomic refused, warned; /* threads that the system refused; whether the user has been warned */
static fr_atomic late, stalled, faulted;
static fr_atomic series;      /* calls come one after the other: workers stay awake between them, ... */
static fr_atomic apart_until; /* ... but not until then, in microseconds: another thread wanted a worker's processor */

static fr_team_region region;
/* Read and written only by the call that uses the team. */
static int hosted;        /* the thread that opens the region exists */
static double unattended; /* seconds of the last jobs, if no worker came to any of them */
/* Time lost by using the team: how calls lost it, and how often. */
typedef struct {
    int soon;      /* a loss counts only if it recurs within this number of jobs, */
    double gained; /* and if it is more than these seconds that the team has saved since the last loss */
    int doublings; /* of the work without the team, because the loss recurred */
    int jobs;      /* since the last loss */
} fr_trouble;
static fr_trouble interrupted = {300, 0, 0, 300}; /* a worker was, within a share: costs milliseconds */
static fr_trouble missed = {10, 0, 0, 10};        /* workers came too late: costs as much as waking them */

static FR_PER_THREAD double last_end = -1e9; /* when this thread's last call that could use the team ended */

static double fr_now(void) { return omp_get_wtime(); }

/* --- What is granted ------------------------------------------------------------------------------------------------
 */

#ifdef __linux__
/* With OMP_PROC_BIND libgomp binds the thread that loads it to one processor of its places, which is not the set of
 * processors that the user gave this process. That set is the union of all places. */
static int fr_mask_of_places(cpu_set_t *mask) {
    CPU_ZERO(mask);
    for (int place = omp_get_num_places(); place-- > 0;) {
        const int count = omp_get_place_num_procs(place);
        int *ids = malloc((size_t)count * sizeof *ids);
        if (!ids) return -1;
        omp_get_place_proc_ids(place, ids);
        for (int k = 0; k < count; k++) CPU_SET((size_t)ids[k], mask);
        free(ids);
    }
    return CPU_COUNT(mask) > 0 ? 0 : -1;
}

static int fr_is_place(const cpu_set_t *mask) {
    for (int place = omp_get_num_places(); place-- > 0;) {
        int id = -1;
        if (omp_get_place_num_procs(place) != CPU_COUNT(mask)) continue;
        if (CPU_COUNT(mask) == 1) omp_get_place_proc_ids(place, &id);
        if (id < 0 || CPU_ISSET((size_t)id, mask)) return 1;
    }
    return 0;
}

/* Where this thread may run, as the last fr_team_granted found; used by the call that follows. */
static FR_PER_THREAD cpu_set_t caller_mask;
static FR_PER_THREAD int caller_masked;

/* Where the calling thread may run; -1 if that is unknown. */
static int fr_affinity(cpu_set_t *mask) {
    if (sched_getaffinity(0, sizeof *mask, mask) != 0) return -1;
    if (omp_get_proc_bind() != omp_proc_bind_false && fr_is_place(mask)) {
        cpu_set_t all;
        if (fr_mask_of_places(&all) == 0) *mask = all;
    }
    return CPU_COUNT(mask) > 0 ? 0 : -1;
}
#endif

int fr_team_openmp(void) { return _OPENMP; }

int fr_team_granted(void) {
    if (fr_load(&forked)) return 1;
    if (fr_load(&fr_team_set.granted)) return (int)fr_load(&fr_team_set.granted);
    int threads = omp_get_max_threads();
    if (threads > FR_MOST_THREADS) threads = FR_MOST_THREADS;
#if _OPENMP >= 200805 /* 3.0; MSVC has 2.0 */
    if (threads > omp_get_thread_limit()) threads = omp_get_thread_limit();
#endif
#ifdef __linux__
    if (threads == 1) return 1;
    caller_masked = fr_affinity(&caller_mask) == 0;
    if (caller_masked && CPU_COUNT(&caller_mask) < threads) threads = CPU_COUNT(&caller_mask);
#endif
    return threads;
}

/* --- Sleeping and waking --------------------------------------------------------------------------------------------
 */

static int fr_is_awake(int worker) { return !fr_load(&workers[worker].w.asleep); }

#ifdef __linux__
/* The system may wake a worker on the caller's processor, where it waits until the caller is done. So a sleeping worker
 * gets a mask without that processor, unless another thread has changed the worker's mask. */
static void fr_keep_away(fr_worker *worker) {
    cpu_set_t others = worker->w.mask, found;
    const cpu_set_t *expected = worker->w.narrowed ? &worker->w.narrow : &worker->w.mask;
    if (!worker->w.masked || job.home < 0 || job.home >= CPU_SETSIZE) return;
    CPU_CLR((size_t)job.home, &others);
    if (CPU_COUNT(&others) == 0 || sched_getaffinity(worker->w.thread, sizeof found, &found) != 0) return;
    if (memcmp(&found, expected, sizeof found) != 0) return;
    if (sched_setaffinity(worker->w.thread, sizeof others, &others) != 0) return;
    worker->w.narrow = others;
    worker->w.narrowed = 1;
}

/* A worker that was kept away takes its mask back. */
static void fr_come_back(fr_worker *me) {
    cpu_set_t found;
    if (!me->w.narrowed) return;
    me->w.narrowed = 0;
    me->w.masked = sched_getaffinity(0, sizeof found, &found) == 0 &&
                   memcmp(&found, &me->w.narrow, sizeof found) == 0 &&
                   sched_setaffinity(0, sizeof me->w.mask, &me->w.mask) == 0;
}
#else
static void fr_keep_away(fr_worker *worker) { (void)worker; }
static void fr_come_back(fr_worker *me) { (void)me; }
#endif

/* Wakes a worker if it is asleep, for a job or to leave the region; returns whether it was. */
static int fr_wake(int index, int to_work) {
    fr_worker *worker = &workers[index];
    if (!fr_load(&worker->w.asleep)) return 0;
    fr_mutex_lock(&worker->w.lock);
    if (to_work && fr_load(&worker->w.asleep)) fr_keep_away(worker);
    fr_mutex_unlock(&worker->w.lock); /* now the worker waits for the bell, or has seen the new job */
    fr_condition_signal(&worker->w.bell);
    return 1;
}

/* Wakes up to `count` of the job's workers that have not been called yet. */
static void fr_call_workers(int count) {
    const long long ready = fr_load(&arrived), most = ready < job.parts - 1 ? ready : job.parts - 1;
    while (count > 0) {
        const long long next = fr_load(&job.called);
        if (next >= most) return;
        if (!fr_replace(&job.called, next, next + 1)) continue;
        count -= fr_wake((int)next, 1);
    }
}

/* Do calls come one after the other, and does nobody else want the workers' processors? */
static int fr_in_series(double now) {
    return now - last_end < 1e-6 * (double)fr_load(&fr_team_set.gap) &&
           (!fr_load(&fr_team_set.hold) || 1e6 * now > (double)fr_load(&apart_until));
}

/* Waits for another job than number `seen`: spins for a moment, in a series of calls until the next may have come, then
 * sleeps. A worker that loses its processor meanwhile stands in the way of a thread of the host, and sleeps at once.
 * Never with sched_yield: a thread that yields to a running one stays behind it until the next tick (4 ms), but a
 * sleeping thread is scheduled as soon as it is woken. */
static void fr_wait_for_job(int index, long long seen) {
    fr_worker *me = &workers[index];
    double now = fr_now(), before;
    const double end = now + 1e-6 * (double)fr_load(fr_load(&series) ? &fr_team_set.gap : &fr_team_set.spin);
    do {
        for (int k = 0; k < 16; k++) {
            if (fr_load(&posted.jobs) != seen) return;
            fr_relax();
        }
        before = now;
        now = fr_now();
        if (now - before > FR_PREEMPTED && fr_load(&fr_team_set.hold)) {
            fr_store(&apart_until, (long long)(1e6 * (now + FR_APART)));
            break;
        }
    } while (now < end);
    fr_mutex_lock(&me->w.lock);
    fr_store(&me->w.asleep, 1);
    fr_add(&awake, -1);
    while (fr_load(&posted.jobs) == seen) fr_condition_wait(&me->w.bell, &me->w.lock);
    fr_store(&me->w.asleep, 0);
    fr_add(&awake, 1);
    fr_mutex_unlock(&me->w.lock);
    fr_come_back(me);
}

/* --- Workers --------------------------------------------------------------------------------------------------------
 */

/* The next share for a thread, or -1: from its own queue, or else from another's. */
static long fr_take_share(int part) {
    const int queues = job.parts < FR_QUEUES ? job.parts : FR_QUEUES;
    for (int k = 0; k < queues; k++) {
        const int queue = (part + k) % queues;
        const long first = job.shares * queue / queues, last = job.shares * (queue + 1) / queues;
        if (first + fr_load(&job.taken[queue].shares) >= last) continue;
        const long share = first + (long)fr_add(&job.taken[queue].shares, 1);
        if (share < last) return share;
    }
    return -1;
}

static int fr_shares_left(void) {
    const int queues = job.parts < FR_QUEUES ? job.parts : FR_QUEUES;
    for (int queue = 0; queue < queues; queue++)
        if (job.shares * queue / queues + fr_load(&job.taken[queue].shares) < job.shares * (queue + 1) / queues)
            return 1;
    return 0;
}

static int fr_enter(void) {
    for (;;) {
        const long long gate = fr_load(&job.gate);
        if (!(gate & FR_OPEN)) return 0;
        if (fr_replace(&job.gate, gate, gate + 1)) return 1;
    }
}

static void fr_leave(void) {
    if (fr_add(&job.gate, -1) != 1 || !fr_load(&caller_asleep)) return;
    fr_mutex_lock(&caller_lock);
    fr_condition_signal(&caller_bell);
    fr_mutex_unlock(&caller_lock);
}

#ifdef __linux__
static int fr_processor(void) { return sched_getcpu(); }

/* Gives a worker the caller's affinity mask. */
static void fr_adopt_mask(fr_worker *me) {
    if (!job.masked || (me->w.masked && memcmp(&me->w.mask, &job.mask, sizeof job.mask) == 0)) return;
    me->w.masked = sched_setaffinity(0, sizeof job.mask, &job.mask) == 0;
    me->w.mask = job.mask;
}

/* Moves a worker off the caller's processor, where the system may put a woken worker if all others are busy. If another
 * thread has set the worker's mask meanwhile, that mask stays. */
static void fr_make_way(fr_worker *me) {
    cpu_set_t others = job.mask, found;
    if (!me->w.masked || job.home < 0 || job.home >= CPU_SETSIZE) return;
    CPU_CLR((size_t)job.home, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    me->w.masked = sched_getaffinity(0, sizeof found, &found) == 0 && memcmp(&found, &others, sizeof found) == 0 &&
                   sched_setaffinity(0, sizeof me->w.mask, &me->w.mask) == 0;
}

/* Frees a worker from the one processor that OMP_PROC_BIND may have bound it to. */
static void fr_unbind(void) {
    cpu_set_t mask;
    if (omp_get_proc_bind() != omp_proc_bind_false && fr_affinity(&mask) == 0) sched_setaffinity(0, sizeof mask, &mask);
}
#else
static int fr_processor(void) { return -1; }
static void fr_adopt_mask(fr_worker *me) { (void)me; }
static void fr_make_way(fr_worker *me) { (void)me; }
static void fr_unbind(void) {}
#endif

/* A page fault makes a share longer than others, by as much as several shares where a huge page is cleared. So for jobs
 * whose memory is touched for the first time, the time counts that threads were without a processor. To ask the system
 * takes up to 3 us of a job, so jobs are watched only where a loss would count: soon after another one. */
typedef struct {
    long faults;
    double without; /* a processor, in seconds */
} fr_met;

/* What the calling thread has met so far, if the job's threads are watched. */
static fr_met fr_met_so_far(void) {
#if defined(__linux__) && defined(RUSAGE_THREAD)
    struct rusage usage; /* has times as well, but of the last tick */
    struct timespec computed;
    if (job.watched && getrusage(RUSAGE_THREAD, &usage) == 0 && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &computed) == 0)
        return (fr_met){usage.ru_minflt + usage.ru_majflt,
                        fr_now() - (double)computed.tv_sec - 1e-9 * (double)computed.tv_nsec};
#endif
    return (fr_met){0, 0};
}

static void fr_met_since(fr_met before) {
    const fr_met now = fr_met_so_far();
    if (now.faults > before.faults) fr_add(&job.faults, now.faults - before.faults);
    if (now.without > before.without) fr_add(&job.without, (long long)(1e6 * (now.without - before.without)));
}

static void fr_work(int index) {
    const int part = index + 1;
    if (part >= job.parts) return;
    fr_add(&job.entered, 1);
    fr_adopt_mask(&workers[index]);
    if (fr_shares_left()) fr_call_workers(2);
    while (fr_load(&fr_team_set.insist) && fr_load(&job.entered) < job.parts - 1) fr_yield();
    if (fr_processor() == job.home) fr_make_way(&workers[index]);
    long share = fr_take_share(part);
    if (share < 0) return;
    fr_add(&job.came, 1);
    const fr_met before = fr_met_so_far();
    for (; share >= 0; share = fr_take_share(part)) job.run(job.what, share, job.shares, part);
    fr_met_since(before);
}

void fr_team_serve(int index) {
    fr_unbind();
#ifdef __linux__
    workers[index].w.thread = (pid_t)syscall(SYS_gettid);
    workers[index].w.masked = workers[index].w.narrowed = 0;
#endif
    fr_add(&awake, 1);
    fr_add(&arrived, 1);
    for (;;) {
        const long long seen = fr_load(&posted.jobs); /* before `regroup`: fr_gather writes them in reverse order */
        if (fr_load(&regroup)) break;
        if (fr_enter()) {
            fr_work(index);
            fr_leave();
        }
        fr_wait_for_job(index, seen);
    }
    fr_add(&arrived, -1);
    fr_add(&awake, -1);
}

/* Body of the thread that opens the region and is its first worker. */
static void fr_host(void) {
    int have = 1;
    for (;;) {
        fr_store(&regroup, 0);
        const int want = (int)fr_load(&wanted);
        if (want > have && !fr_threads_can_be_had(want - have)) fr_add(&refused, 1);
        else if (want > have) have = want;
        region(have);
    }
}

/* --- Callers --------------------------------------------------------------------------------------------------------
 */

/* Makes sure that the team has, or soon will have, `count` workers. Called only by the call that uses the team. */
static void fr_gather(int count, double now) {
    static double next_try, patience = FR_RETRY;
    const int have = (int)fr_load(&arrived);
    if (have >= count || (have < fr_load(&wanted) && now < next_try)) return;
    patience =
        have < fr_load(&wanted) ? 2 * patience : FR_RETRY; /* what is refused repeatedly is requested ever less often */
    next_try = now + patience;
    fr_store(&wanted, count);
    if (!hosted) {
        if (fr_thread_start(fr_host) == 0) hosted = 1;
        else fr_add(&refused, 1);
    } else {
        fr_store(&regroup, 1);
        fr_add(&posted.jobs, 1);
        for (int k = 0; k < FR_MOST_THREADS - 1; k++) fr_wake(k, 0);
    }
}

int fr_team_look(int parts, int *awake_now) {
    *awake_now = 0;
    if (fr_load(&forked) || fr_load(&busy)) return FR_CREW_BUSY;
    const double now = fr_now();
    if (fr_load(&fr_team_set.hold) && fr_load(&held_work) > 0 && 1e6 * now < (double)fr_load(&held_until))
        return FR_CREW_HELD_BACK;
    int ready = 0;
    for (int k = 0; k < parts - 1 && k < fr_load(&arrived); k++) ready += fr_is_awake(k);
    *awake_now = ready;
    return ready >= parts - 1 || fr_in_series(now) ? FR_CREW_READY : FR_CREW_ASLEEP;
}

/* Called when a call lost `lost` seconds by using the team. One loss is chance, and the first threads of a process
 * often start with one. If losses recur soon, and are more than the team gains, another program uses a processor, and
 * calls do without the team: until they have computed for so long that the loss is small beside it; twice as long each
 * time, until losses stop. */
static void fr_hold_back(fr_trouble *trouble, double now, double lost) {
    const int again = trouble->jobs < trouble->soon, paid = lost <= trouble->gained;
    trouble->jobs = 0;
    trouble->gained = paid ? trouble->gained - lost : 0;
    if (!again || paid) trouble->doublings = 0;
    if (!again || paid) return;
    const double times = (double)(1 << trouble->doublings), without = FR_WITHOUT * lost * times;
    fr_store(&held_until, (long long)(1e6 * (now + FR_LONGEST * times)));
    fr_store(&held_work, (long long)(1e6 * (without < FR_LONGEST ? without : FR_LONGEST)));
    if (trouble->doublings < FR_DOUBLINGS) trouble->doublings++;
}

/* No share is left to take: the caller waits for the workers that have begun one; it spins first, then sleeps. */
static void fr_close(double now, double patience) {
    long long gate = fr_load(&job.gate);
    while (!fr_replace(&job.gate, gate, gate & ~(long long)FR_OPEN)) gate = fr_load(&job.gate);
    for (const double end = now + patience + 20e-6; now < end; now = fr_now())
        for (int k = 0; k < 16; k++) {
            if (!fr_load(&job.gate)) return;
            fr_relax();
        }
    fr_mutex_lock(&caller_lock);
    fr_store(&caller_asleep, 1);
    while (fr_load(&job.gate)) fr_condition_wait(&caller_bell, &caller_lock);
    fr_store(&caller_asleep, 0);
    fr_mutex_unlock(&caller_lock);
}

void fr_team_run(fr_share run, const void *what, long shares, int parts, int watched) {
    if (parts < 2 || fr_load(&forked) || fr_swap(&busy, 1)) {
        run(what, 0, 1, 0);
        return;
    }
    if (parts > FR_MOST_THREADS) parts = FR_MOST_THREADS;
    const double start = fr_now();
    fr_store(&series, fr_in_series(start));
    fr_gather(parts - 1, start);
    job.run = run;
    job.what = what;
    job.shares = shares;
    job.parts = parts;
    job.home = fr_processor();
#ifdef __linux__
    if (job.masked != caller_masked) job.masked = caller_masked;
    if (memcmp(&job.mask, &caller_mask, sizeof caller_mask) != 0) job.mask = caller_mask;
#endif
    fr_prepare(&job.entered, 0);
    fr_prepare(&job.came, 0);
    fr_prepare(&job.called, 0);
    job.watched = watched && (interrupted.jobs < interrupted.soon || fr_load(&fr_team_set.insist));
    fr_prepare(&job.faults, 0);
    fr_prepare(&job.without, 0);
    const fr_met before = fr_met_so_far();
    for (int queue = 0; queue < parts && queue < FR_QUEUES; queue++) fr_prepare(&job.taken[queue].shares, 0);
    fr_store(&job.gate, FR_OPEN);
    fr_add(&posted.jobs, 1);
    fr_call_workers(1);
    while (fr_load(&fr_team_set.insist) && fr_load(&job.entered) < parts - 1) fr_call_workers(1), fr_yield();
    double least = 1e9; /* seconds that an uninterrupted share takes; a few are timed: the clock costs 3 % of a share */
    double stop = fr_now();
    int timed = 0;
    for (long share; (share = fr_take_share(0)) >= 0; fr_call_workers(1)) {
        run(what, share, shares, 0);
        if (timed++ >= FR_TIMED) continue;
        const double begun = stop;
        stop = fr_now();
        if (stop - begun < least) least = stop - begun;
    }
    if (timed > FR_TIMED) stop = fr_now();
    fr_met_since(before);
    fr_close(stop, least < 1e9 ? 2 * least : 0);
    const double end = fr_now();
    double lost = end - start - least * (double)shares; /* negative: gained */
    if (fr_load(&job.faults)) {
        const double without = 1e-6 * (double)fr_load(&job.without);
        fr_add(&faulted, 1);
        if (lost > without) lost = without;
    }
    interrupted.jobs++;
    missed.jobs++;
    if (!fr_load(&arrived)) {
        unattended = 0; /* no worker to wait for */
    } else if (fr_load(&job.came)) {
        unattended = 0;
        if (lost > FR_CHANCE + FR_VARIES * (end - start)) {
            fr_add(&stalled, 1);
            fr_hold_back(&interrupted, end, lost);
        } else if (lost < 0 && least < 1e9) { /* the caller got a share, by which the gain is estimated */
            interrupted.gained -= lost;
            if (interrupted.gained > FR_ENOUGH) interrupted.gained = FR_ENOUGH;
        }
    } else if ((unattended += end - start) > FR_EXPECTED) {
        unattended = 0;
        fr_add(&late, 1);
        fr_hold_back(&missed, end, FR_WAKING);
    }
    last_end = end;
    fr_store(&busy, 0);
}

void fr_team_run_alone(fr_share run, const void *what) {
    const double start = fr_now();
    run(what, 0, 1, 0);
    last_end = fr_now();
    if (fr_load(&held_work) > 0) fr_add(&held_work, -1 - (long long)(1e6 * (last_end - start)));
}

int fr_team_is_short(void) { return fr_load(&refused) && !fr_load(&warned) && !fr_swap(&warned, 1); }

fr_team_counts fr_team_count(void) {
    return (fr_team_counts){(long)fr_load(&arrived), (long)fr_load(&awake),   (long)fr_load(&posted.jobs),
                            (long)fr_load(&late),    (long)fr_load(&stalled), (long)fr_load(&faulted),
                            (long)fr_load(&refused)};
}

#ifndef _WIN32
static void fr_after_fork(void) {
    fr_store(&forked, 1);
    fr_store(&busy, 0);
}
#endif

int fr_team_prepare(fr_team_region run) {
    region = run;
    for (int k = 0; k < FR_MOST_THREADS - 1; k++) {
        const fr_mutex lock = FR_MUTEX_INIT;
        const fr_condition bell = FR_CONDITION_INIT;
        workers[k].w.lock = lock;
        workers[k].w.bell = bell;
    }
#ifdef _WIN32
    return 0;
#else
    return pthread_atfork(0, 0, fr_after_fork);
#endif
}

#else /* without OpenMP there is no team */

int fr_team_prepare(fr_team_region region) { return (void)region, 0; }
void fr_team_serve(int worker) { (void)worker; }
int fr_team_openmp(void) { return 0; }
int fr_team_granted(void) { return 1; }
int fr_team_look(int parts, int *awake) { return (void)parts, *awake = 0, FR_CREW_BUSY; }
void fr_team_run(fr_share run, const void *what, long shares, int parts, int watched) {
    (void)shares, (void)parts, (void)watched, run(what, 0, 1, 0);
}
void fr_team_run_alone(fr_share run, const void *what) { run(what, 0, 1, 0); }
int fr_team_is_short(void) { return 0; }
fr_team_counts fr_team_count(void) { return (fr_team_counts){0, 0, 0, 0, 0, 0, 0}; }

#endif
