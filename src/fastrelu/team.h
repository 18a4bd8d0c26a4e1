/* The one team of threads of this process.
 *
 * A call cuts its work into shares, posts them and computes shares itself. The workers are the threads of one OpenMP
 * region. A thread of the library opens this region when the first call needs workers; it lasts as long as the process.
 * A worker takes shares until none is left, spins for a moment in case another call comes (longer while calls come one
 * after the other), and then sleeps. The caller waits for no thread, only for shares that a worker has begun. So a
 * worker that comes late, because its processor is busy, costs the caller nothing; after that, calls do without the
 * team for a while. */
#ifndef FASTRELU_TEAM_H
#define FASTRELU_TEAM_H

#include "atomic.h"

/* Computes share `share` of `shares` of the job `what`; `part` is the number of the thread within the job. */
typedef void (*fr_share)(const void *what, long share, long shares, int part);

/* Runs fr_team_serve(0), ..., fr_team_serve(workers - 1), each on a thread of its own. */
typedef void (*fr_team_region)(int workers);

enum { FR_MOST_THREADS = 256 }; /* limit for one call */

/* Called once, at import. Returns 0 on success. */
int fr_team_prepare(fr_team_region region);

/* The body of the region's loop. */
void fr_team_serve(int worker);

/* The OpenMP specification's date, or 0 without OpenMP. */
int fr_team_openmp(void);

/* Threads that OpenMP and the affinity mask allow the calling thread; 1 in a forked child. */
int fr_team_granted(void);

/* The reasons for the number of threads of a call. */
enum {
    FR_CREW_SMALL,     /* too few elements: a second thread does not pay */
    FR_CREW_LIMIT,     /* the process, its context or OpenMP allows only one */
    FR_CREW_BUSY,      /* another call has the team */
    FR_CREW_HELD_BACK, /* workers came late or were interrupted: calls do without them for a while */
    FR_CREW_ASLEEP,    /* workers are asleep; waking them pays for larger calls only */
    FR_CREW_READY      /* workers are awake, or worth waking because calls come one after the other */
};
/* One of the last four: the state of the team for a call that wants `parts` threads; and how many workers of these are
 * awake. */
int fr_team_look(int parts, int *awake);

/* Computes all shares of a job, with up to `parts` threads: as many as the team has, if no other call uses it. If the
 * threads may be watched, which takes up to 3 us soon after a loss, the time of page faults is no interruption. */
void fr_team_run(fr_share run, const void *what, long shares, int parts, int watched);

/* Computes the job as one share, and records when it ended, because the next call may come soon, and how long it took.
 */
void fr_team_run_alone(fr_share run, const void *what);

/* Has the system refused a thread? Returns true once. */
int fr_team_is_short(void);

/* For tests and measurements. */
typedef struct {
    long workers, awake, jobs, late, stalled, faulted, refused;
} fr_team_counts;
fr_team_counts fr_team_count(void);

/* Settings that a test or a measurement may change. */
typedef struct {
    fr_atomic spin;    /* microseconds that a worker spins for the next job before it sleeps */
    fr_atomic gap;     /* microseconds within which calls come one after the other: then a worker spins for this time */
    fr_atomic hold;    /* whether calls do without workers that came late or were interrupted */
    fr_atomic insist;  /* whether the caller waits for all workers before it begins */
    fr_atomic granted; /* threads granted to every caller; 0: what OpenMP and the mask allow */
} fr_team_settings;
extern fr_team_settings fr_team_set;

#endif
