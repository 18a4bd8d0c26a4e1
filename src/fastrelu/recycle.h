/* Memory of large results. The system maps and zeroes the pages of a fresh block one by one when they are first
 * written, which takes longer than most activations; a block that was released and kept is free of that. */
#ifndef FASTRELU_RECYCLE_H
#define FASTRELU_RECYCLE_H

#include <stddef.h>

enum {
    FR_RECYCLE_ALIGN = 64, /* at least; a large block starts a page */
    /* Bytes from which blocks are mapped and kept. Smaller ones are warm in the heap too, and cost 0.3 us less; from
     * here on the heap gives pages back as soon as a few results are released together (tools/measure_recycling.py). */
    FR_RECYCLE_FROM = 1 << 17,
    FR_SHELF_BLOCKS = 256 /* so many at most are kept */
};

typedef struct {
    size_t limit, held, blocks;
    unsigned long long hits, misses;
} fr_shelf_state;

/* The four of a NumPy data-memory handler (NEP 49). Any thread may call them, with the interpreter lock or without;
 * the context and the size given back by the caller are not used. */
void *fr_recycle_malloc(void *context, size_t size);
void *fr_recycle_calloc(void *context, size_t count, size_t size);
void *fr_recycle_realloc(void *context, void *data, size_t size);
void fr_recycle_free(void *context, void *data, size_t size);

/* Has a block that the functions above gave out been in use before? */
int fr_recycle_is_warm(const void *data);

/* Bytes that released blocks may take (0: none are kept) and milliseconds after which an unused one is let go. */
void fr_shelf_limit(size_t bytes);
void fr_shelf_patience(long long milliseconds);
void fr_shelf_huge_pages(int wanted);

void fr_shelf_clear(void);
/* Lets go what has been unused for too long. */
void fr_shelf_tidy(void);
fr_shelf_state fr_shelf_look(void);
/* Would a request of this size be served from the shelf? */
int fr_shelf_has(size_t size);

/* Keeps the shelf whole in forked children; 0 on success. */
int fr_shelf_watch_forks(void);

#endif
