/* Memory of large results. A fresh block costs one page fault per page when it is first written, in which the system
 * maps and zeroes the page; that takes longer than most activations. A block that was freed and kept has no page
 * faults. */
#ifndef FASTRELU_POOL_H
#define FASTRELU_POOL_H

#include <stddef.h>

enum {
    FR_POOL_ALIGN = 64, /* minimum; a large block starts on a page */
    /* Blocks of this size or more are mapped and kept. Smaller ones cost 0.3 us less on the heap and have no page
     * faults there either; from this size on the heap returns pages to the system when a few results are freed together
     * (tools/measure_recycling.py). */
    FR_POOL_FROM = 1 << 17,
    FR_POOL_BLOCKS = 256 /* largest number of blocks kept */
};

typedef struct {
    size_t limit, held, blocks;
    unsigned long long hits, misses;
} fr_pool_state;

/* The four functions of a NumPy data-memory handler (NEP 49). Any thread may call them, with or without the GIL; the
 * context, and the size that the caller passes back, are ignored. */
void *fr_pool_malloc(void *context, size_t size);
void *fr_pool_calloc(void *context, size_t count, size_t size);
void *fr_pool_realloc(void *context, void *data, size_t size);
void fr_pool_free(void *context, void *data, size_t size);

/* Was a block from the functions above in use before? */
int fr_pool_is_warm(const void *data);

/* Limits: the bytes of freed blocks (0: none are kept), and the milliseconds after which an unused block is unmapped.
 */
void fr_pool_limit(size_t bytes);
void fr_pool_patience(long long milliseconds);
void fr_pool_huge_pages(int wanted);

void fr_pool_clear(void);
/* Unmaps blocks that have been unused for too long. */
void fr_pool_tidy(void);
fr_pool_state fr_pool_look(void);
/* Would a request of this size be served from the pool? */
int fr_pool_has(size_t size);

/* Keeps the pool consistent in forked children; 0 on success. */
int fr_pool_watch_forks(void);

#endif
