/* The pool of freed blocks: of limited size, by size class; the block that was freed first is unmapped first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif

enum { FR_STEP = 4096, FR_HUGE = 1 << 21 };

/* Header in front of the data of every block. */
typedef struct {
    char *start;     /* start of the mapping or heap block */
    size_t extent;   /* bytes mapped; 0 for a block from the heap */
    size_t capacity; /* bytes of data */
    int warm;        /* the block has been in the pool */
} fr_label;

typedef struct {
    char *data;
    size_t capacity;
    long long since;
} fr_place;

static fr_place pool[FR_POOL_BLOCKS]; /* in the order in which they were freed */
static fr_pool_state state;
static long long patience = 10000;
static int ask_for_huge_pages = 1;

/* --- What differs between systems --- */

#ifdef _WIN32
static SRWLOCK lock = SRWLOCK_INIT;
static void fr_lock(void) { AcquireSRWLockExclusive(&lock); }
static void fr_unlock(void) { ReleaseSRWLockExclusive(&lock); }
static long long fr_pool_now(void) { return (long long)GetTickCount64(); }
static char *fr_map(size_t extent) { return malloc(extent); }
static void fr_unmap(char *start, size_t extent) { (void)extent, free(start); }
static size_t fr_page(void) { return 4096; }
int fr_pool_watch_forks(void) { return 0; }
#else
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void fr_lock(void) { pthread_mutex_lock(&lock); }
static void fr_unlock(void) { pthread_mutex_unlock(&lock); }

static long long fr_pool_now(void) {
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static char *fr_map(size_t extent) {
    void *start = mmap(NULL, extent, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static void fr_unmap(char *start, size_t extent) {
    if (extent) munmap(start, extent);
}

static size_t fr_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* If a process forks while another thread holds the mutex, it would stay locked forever in the child. */
int fr_pool_watch_forks(void) { return pthread_atfork(fr_lock, fr_unlock, fr_unlock); }
#endif

/* --- Blocks --- */

/* Eight classes per power of two: at most an eighth of a block is unused. */
static size_t fr_class(size_t size) {
    size_t step = FR_STEP;
    while (step < size / 16 + 1) step *= 2;
    return (size + step - 1) / step * step;
}

static char *fr_align(char *p, size_t alignment) {
    return (char *)(((uintptr_t)p + alignment - 1) / alignment * alignment);
}

static fr_label *fr_label_of(char *data) { return (fr_label *)(data - FR_POOL_ALIGN); }

static char *fr_finish(char *data, char *start, size_t extent, size_t capacity) {
    *fr_label_of(data) = (fr_label){start, extent, capacity, 0};
    return data;
}

static char *fr_from_heap(size_t size) {
    char *start = malloc(size + 2 * FR_POOL_ALIGN);
    return start ? fr_finish(fr_align(start + FR_POOL_ALIGN, FR_POOL_ALIGN), start, 0, size) : NULL;
}

static int fr_wants_huge_pages(void) {
    fr_lock();
    int wanted = ask_for_huge_pages;
    fr_unlock();
    return wanted;
}

/* The label is on the page before the data, so that huge pages hold data alone. */
static char *fr_from_system(size_t capacity) {
    size_t page = fr_page(), extent = capacity + page;
    char *start;
#ifdef MADV_HUGEPAGE
    if (capacity >= FR_HUGE && fr_wants_huge_pages() && (start = fr_map(extent + FR_HUGE)) != NULL) {
        char *stop = start + extent + FR_HUGE;
        char *data = fr_align(start + page, FR_HUGE);
        fr_unmap(start, (size_t)(data - page - start));
        fr_unmap(data + capacity, (size_t)(stop - (data + capacity)));
        madvise(data, capacity, MADV_HUGEPAGE); /* a hint: a kernel without huge pages uses small ones */
        return fr_finish(data, data - page, extent, capacity);
    }
#endif
#ifdef _WIN32
    extent += page; /* the heap aligns to less than a page */
#endif
    start = fr_map(extent);
    return start ? fr_finish(fr_align(start + 1, page), start, extent, capacity) : NULL;
}

static void fr_destroy(char *data) {
    fr_label label = *fr_label_of(data);
    if (label.extent) fr_unmap(label.start, label.extent);
    else free(label.start);
}

/* --- The pool. Functions that end in _locked are called with the mutex held; nothing is unmapped under it. --- */

static void fr_take_off_locked(size_t place) {
    state.held -= pool[place].capacity;
    state.blocks--;
    memmove(&pool[place], &pool[place + 1], (state.blocks - place) * sizeof *pool);
}

/* Moves blocks from the pool to `gone` that are too old, or exceed the limit if `wanted` more bytes are added. */
static size_t fr_thin_out_locked(char **gone, size_t wanted, long long now) {
    size_t count = 0;
    while (state.blocks > 0 && (state.held + wanted > state.limit || now - pool[0].since > patience ||
                                (wanted > 0 && state.blocks == FR_POOL_BLOCKS))) {
        gone[count++] = pool[0].data;
        fr_take_off_locked(0);
    }
    return count;
}

static void fr_destroy_all(char **gone, size_t count) {
    while (count > 0) fr_destroy(gone[--count]);
}

static size_t fr_find_locked(size_t capacity) {
    size_t place = state.blocks;
    while (place > 0 && pool[place - 1].capacity != capacity) place--; /* the last one freed: likely in the cache */
    return place;
}

static char *fr_take(size_t capacity) {
    char *data = NULL;
    fr_lock();
    size_t found = fr_find_locked(capacity);
    if (found > 0) {
        data = pool[found - 1].data;
        fr_take_off_locked(found - 1);
        state.hits++;
    } else {
        state.misses++;
    }
    fr_unlock();
    if (!data) fr_pool_tidy();
    return data;
}

static void fr_put(char *data) {
    char *gone[FR_POOL_BLOCKS + 1];
    size_t capacity = fr_label_of(data)->capacity;
    long long now = fr_pool_now();
    fr_lock();
    int kept = capacity <= state.limit;
    size_t count = fr_thin_out_locked(gone, kept ? capacity : 0, now);
    if (kept) {
        pool[state.blocks++] = (fr_place){data, capacity, now};
        state.held += capacity;
    } else {
        gone[count++] = data;
    }
    fr_unlock();
    fr_destroy_all(gone, count);
}

void fr_pool_clear(void) {
    char *gone[FR_POOL_BLOCKS];
    fr_lock();
    size_t count = state.blocks;
    for (size_t i = 0; i < count; i++) gone[i] = pool[i].data;
    state.blocks = state.held = 0;
    fr_unlock();
    fr_destroy_all(gone, count);
}

void fr_pool_tidy(void) {
    char *gone[FR_POOL_BLOCKS];
    fr_lock();
    size_t count = fr_thin_out_locked(gone, 0, fr_pool_now());
    fr_unlock();
    fr_destroy_all(gone, count);
}

void fr_pool_limit(size_t bytes) {
    fr_lock();
    state.limit = bytes;
    fr_unlock();
    fr_pool_tidy();
}

void fr_pool_patience(long long milliseconds) {
    fr_lock();
    patience = milliseconds;
    fr_unlock();
}

void fr_pool_huge_pages(int wanted) {
    fr_lock();
    ask_for_huge_pages = wanted;
    fr_unlock();
}

fr_pool_state fr_pool_look(void) {
    fr_lock();
    fr_pool_state now = state;
    fr_unlock();
    return now;
}

int fr_pool_has(size_t size) {
    fr_lock();
    int found = size >= FR_POOL_FROM && fr_find_locked(fr_class(size)) > 0;
    fr_unlock();
    return found;
}

/* --- The handler --- */

static char *fr_get(size_t size, int *zeroed) {
    *zeroed = 0;
    if (size > PTRDIFF_MAX) return NULL;
    if (size < FR_POOL_FROM) return fr_from_heap(size);
    size_t capacity = fr_class(size);
    char *data = fr_take(capacity);
    if (data) {
        fr_label_of(data)->warm = 1;
        return data;
    }
    data = fr_from_system(capacity);
    if (!data) { /* the blocks kept in the pool may be the memory that the system lacks */
        fr_pool_clear();
        data = fr_from_system(capacity);
    }
#ifndef _WIN32
    *zeroed = 1;
#endif
    return data;
}

int fr_pool_is_warm(const void *data) { return ((const fr_label *)((const char *)data - FR_POOL_ALIGN))->warm; }

void *fr_pool_malloc(void *context, size_t size) {
    int zeroed;
    (void)context;
    return fr_get(size, &zeroed);
}

void *fr_pool_calloc(void *context, size_t count, size_t size) {
    int zeroed;
    (void)context;
    if (size && count > SIZE_MAX / size) return NULL;
    char *data = fr_get(count * size, &zeroed);
    return data && !zeroed ? memset(data, 0, count * size) : data;
}

void fr_pool_free(void *context, void *data, size_t size) {
    (void)context, (void)size; /* the label has the true size; a view may have changed that of the array */
    if (!data) return;
    if (fr_label_of(data)->extent) fr_put(data);
    else fr_destroy(data);
}

void *fr_pool_realloc(void *context, void *data, size_t size) {
    if (!data) return fr_pool_malloc(context, size);
    size_t capacity = fr_label_of(data)->capacity;
    if (size <= capacity && size > capacity / 2) return data;
    char *moved = fr_pool_malloc(context, size);
    if (!moved) return size <= capacity ? data : NULL;
    memcpy(moved, data, size < capacity ? size : capacity);
    fr_pool_free(context, data, capacity);
    return moved;
}
