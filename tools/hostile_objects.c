/* Fenced memory for NumPy arrays: the page behind the data is protected, and so is the data once it is freed; a resized
 * array always moves. Writes beside the data within its pages are detected when it is freed. */
#define _GNU_SOURCE
#include <Python.h>

#include <numpy/arrayobject.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FREED = 8192, FILL = 0xa5 };

/* Header right before the data. */
typedef struct {
    char *start;
    size_t extent, size, canary;
} fence;

static const size_t CANARY = (size_t)0xf3ace5f3ace5f3acu;
static fence freed[FREED]; /* their addresses are not reused for a while */
static size_t count;
static long trampled;

static void *fence_malloc(void *context, size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (size + 15) / 16 * 16;
    const size_t room = (rounded + sizeof(fence) + page - 1) / page * page;
    (void)context;
    char *start = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    memset(start, FILL, room);
    mprotect(start + room, page, PROT_NONE);
    char *data = start + room - rounded;
    *(fence *)(data - sizeof(fence)) = (fence){start, room + page, size, CANARY};
    return data;
}

static void *fence_calloc(void *context, size_t number, size_t size) {
    void *data = size && number > SIZE_MAX / size ? NULL : fence_malloc(context, number * size);
    return data ? memset(data, 0, number * size) : NULL;
}

static void fence_free(void *context, void *data, size_t size) {
    (void)context, (void)size;
    if (!data) return;
    const fence label = *(fence *)((char *)data - sizeof(fence));
    if (label.canary != CANARY) {
        trampled++;
        return;
    }
    for (char *p = label.start; p < (char *)data - sizeof(fence); p++) trampled += *p != (char)FILL;
    for (size_t i = label.size; i % 16; i++) trampled += ((char *)data)[i] != (char)FILL;
    madvise(label.start, label.extent, MADV_DONTNEED);
    mprotect(label.start, label.extent, PROT_NONE);
    fence *place = &freed[count++ % FREED];
    if (place->start) munmap(place->start, place->extent);
    *place = label;
}

static void *fence_realloc(void *context, void *data, size_t size) {
    if (!data) return fence_malloc(context, size);
    const fence *label = (fence *)((char *)data - sizeof(fence));
    void *moved = fence_malloc(context, size);
    if (!moved) return NULL;
    memcpy(moved, data, size < label->size ? size : label->size);
    fence_free(context, data, 0);
    return moved;
}

static PyDataMem_Handler handler = {"fence", 1, {NULL, fence_malloc, fence_calloc, fence_realloc, fence_free}};

/* Makes NumPy allocate new arrays from the fenced memory (1) or from its own (0). */
int fence_arrays(int wanted) {
    static PyObject *capsule;
    if (!PyArray_API && _import_array() < 0) return -1;
    if (!capsule) capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    PyObject *before = capsule ? PyDataMem_SetHandler(wanted ? capsule : PyDataMem_DefaultHandler) : NULL;
    Py_XDECREF(before);
    return before ? 0 : -1;
}

/* Number of overwritten bytes beside arrays that have been freed. */
long fence_trampled(void) { return trampled; }
