/* The one team of threads of this process.
 *
 * A call cuts its work into shares, posts them and computes shares itself. The workers are the threads of one OpenMP
 * region, which a thread of our own opens when the first call wants company and which lasts as long as the process. A
 * worker takes shares until none is left, waits a moment for the next call and then sleeps. The caller waits for no
 * thread: only for shares that a worker has begun. So a worker that comes late, because its processor is busy with
 * something else, costs the caller nothing; and calls that found it late do without for a while. */
#ifndef FASTRELU_TEAM_H
#define FASTRELU_TEAM_H

#include "atomic.h"

/* Share `share` of `shares` of the job `what`; `part` tells apart the threads that work on the job. */
typedef void (*fr_share)(const void *what, long share, long shares, int part);

/* Runs fr_team_serve(0), ..., fr_team_serve(workers - 1), each on a thread of its own. */
typedef void (*fr_team_region)(int workers);

enum { FR_MOST_THREADS = 256 }; /* that one call may have */

/* Once, at import. 0 on success. */
int fr_team_prepare(fr_team_region region);

/* What an iteration of the region does. */
void fr_team_serve(int worker);

/* The OpenMP specification's date, or 0 without OpenMP. */
int fr_team_openmp(void);

/* How many threads OpenMP and the affinity mask grant the calling thread; 1 in a forked child. */
int fr_team_granted(void);

/* What decides how many threads a call has. */
enum {
    FR_CREW_SMALL,     /* so few elements that a second thread does not pay */
    FR_CREW_LIMIT,     /* one is what the process, its context or OpenMP allow */
    FR_CREW_BUSY,      /* another call has the team */
    FR_CREW_HELD_BACK, /* workers came late or were interrupted: calls do without them for a while */
    FR_CREW_ASLEEP,    /* workers to be woken, which pays for larger calls only */
    FR_CREW_READY      /* workers that are awake, or worth waking because calls come one after the other */
};
/* One of the last four: what a call that wants `parts` threads would find. */
int fr_team_look(int parts);

/* Does all shares of a job, with up to `parts` threads: as many as the team has, if no other call has it. */
void fr_team_run(fr_share run, const void *what, long shares, int parts);

/* Does it as one share, and remembers when it ended: the next call may come soon. */
void fr_team_run_alone(fr_share run, const void *what);

/* Has the system refused a thread? Says so once. */
int fr_team_is_short(void);

/* For tests and measurements. */
typedef struct {
    long workers, awake, jobs, late, stalled, refused;
} fr_team_counts;
fr_team_counts fr_team_count(void);

/* Settings that a test or a measurement may change. */
typedef struct {
    fr_atomic spin;   /* microseconds that a worker waits for the next job before it sleeps */
    fr_atomic gap;    /* microseconds within which calls come one after the other */
    fr_atomic hold;   /* whether calls do without workers that came late or were interrupted */
    fr_atomic insist; /* whether the caller waits for all workers before it begins */
    fr_atomic
        granted; /* threads that every caller is granted, instead of what OpenMP and the mask say; 0: as they say */
} fr_team_settings;
extern fr_team_settings fr_team_set;

#endif
