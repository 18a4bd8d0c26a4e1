/* Memory of large results. The system maps and zeroes the pages of a fresh block one by one when they are first
 * written, which takes longer than most activations; a block that was freed and kept is free of that. */
#ifndef FASTRELU_POOL_H
#define FASTRELU_POOL_H

#include <stddef.h>

enum {
    FR_POOL_ALIGN = 64, /* at least; a large block starts a page */
    /* Bytes from which blocks are mapped and kept. Smaller ones are warm in the heap too, and cost 0.3 us less; from
     * here on the heap gives pages back as soon as a few results are released together (tools/measure_recycling.py). */
    FR_POOL_FROM = 1 << 17,
    FR_POOL_BLOCKS = 256 /* so many at most are kept */
};

typedef struct {
    size_t limit, held, blocks;
    unsigned long long hits, misses;
} fr_pool_state;

/* The four of a NumPy data-memory handler (NEP 49). Any thread may call them, with the GIL or without;
 * the context and the size given back by the caller are not used. */
void *fr_pool_malloc(void *context, size_t size);
void *fr_pool_calloc(void *context, size_t count, size_t size);
void *fr_pool_realloc(void *context, void *data, size_t size);
void fr_pool_free(void *context, void *data, size_t size);

/* Has a block that the functions above gave out been in use before? */
int fr_pool_is_warm(const void *data);

/* Bytes that freed blocks may take (0: none are kept) and milliseconds after which an unused one is unmapped. */
void fr_pool_limit(size_t bytes);
void fr_pool_patience(long long milliseconds);
void fr_pool_huge_pages(int wanted);

void fr_pool_clear(void);
/* Unmaps what has been unused for too long. */
void fr_pool_tidy(void);
fr_pool_state fr_pool_look(void);
/* Would a request of this size be served from the pool? */
int fr_pool_has(size_t size);

/* Keeps the pool consistent in forked children; 0 on success. */
int fr_pool_watch_forks(void);

#endif
