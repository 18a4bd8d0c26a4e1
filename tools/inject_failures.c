/* Makes chosen allocations of a Python call fail. inject_failures.py compiles it and loads it before libc (LD_PRELOAD),
 * whose allocators it wraps. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

/* --- Which allocation fails -----------------------------------------------------------------------------------------
 */

enum { IN_PYTHON = 1, IN_SYSTEM = 2, MODULES = 64 };
enum { NOBODYS, OURS, NUMPYS };

static int armed; /* the allocators that fail */
static pthread_t mine;
static long first, last, counted, failed, spared, held;
static struct {
    uintptr_t low, high;
    int library;
} modules[MODULES];
static int nmodules, origin;
/* The functions of the interpreter that run byte code, and that leak the items of a list if there is no memory for it.
 */
static const char *const interpreter_names[] = {"_PyEval_EvalFrameDefault", "PySequence_List", "PyContextVar_Set",
                                                "PyLong_FromLong"};
enum { INTERPRETER = 3, SETTING = 2 }; /* CPython 3.11 crashes if a context variable cannot be set */
/* It repeats a handler for ever whose place in its function is a number that it cannot create. */
enum { LOOP = 0, NUMBER = INTERPRETER, NAMES };
static struct {
    uintptr_t low, high;
} interpreter[NAMES];

/* Sets the address ranges of the library, whose allocations count on every thread (others count only on the thread that
 * made the call), and of NumPy. */
void watch_module(uintptr_t low, uintptr_t high, int library) {
    void *frames[1];
    backtrace(frames, 1); /* loads the libraries that it needs */
    Dl_info unused;
    for (int k = 0; k < NAMES; k++) {
        const ElfW(Sym) *symbol = NULL;
        void *code = dlsym(RTLD_DEFAULT, interpreter_names[k]);
        if (!code || !dladdr1(code, &unused, (void **)&symbol, RTLD_DL_SYMENT) || !symbol) continue;
        interpreter[k].low = (uintptr_t)code;
        interpreter[k].high = (uintptr_t)code + symbol->st_size;
    }
    if (nmodules == MODULES) return;
    modules[nmodules].low = low;
    modules[nmodules].high = high;
    modules[nmodules++].library = library;
}

static int module_of(const void *code) {
    for (int k = 0; k < nmodules; k++)
        if ((uintptr_t)code >= modules[k].low && (uintptr_t)code < modules[k].high)
            return modules[k].library ? OURS : NUMPYS;
    return NOBODYS;
}

static int lies_in(const void *code, int name) {
    return (uintptr_t)code >= interpreter[name].low && (uintptr_t)code < interpreter[name].high;
}

/* Whose code requested memory, directly or through a function of the interpreter? NOBODYS if byte code did. */
static int find_origin(void) {
    void *frames[64];
    const int depth = backtrace(frames, 64);
    for (int k = 1; k < depth; k++) {
        const int found = module_of(frames[k]);
        if (found != NOBODYS) return found;
        for (int i = 0; i < INTERPRETER; i++)
            if (lies_in(frames[k], i)) return NOBODYS;
    }
    return NOBODYS;
}

/* Is a context variable being set, as numpy.errstate does, or a handler entered? */
static int cannot_fail(void) {
    void *frames[16];
    const int depth = backtrace(frames, 16);
    for (int k = 1; k < depth; k++)
        if (lies_in(frames[k], SETTING) || (lies_in(frames[k - 1], NUMBER) && lies_in(frames[k], LOOP))) return 1;
    return 0;
}

static int fails(int allocators, const void *caller) {
    if (__atomic_load_n(&armed, __ATOMIC_ACQUIRE) != allocators) return 0;
    if (module_of(caller) != OURS) {
        if (!pthread_equal(pthread_self(), mine)) return 0;
        /* NumPy's ufuncs allocate buffers after they have released the GIL, and raise there, which crashes. */
        if (!PyGILState_Check()) return spared++, 0;
    }
    const long number = __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
    if (number < first || number > last) return 0;
    if (cannot_fail()) return spared++, 0;
    if (__atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED) == 0) origin = find_origin();
    errno = ENOMEM;
    return 1;
}

/* The blocks that the library has allocated and not freed, by address: a compiler may turn its last call of free into a
 * jump, after which the caller's address is not the library's. */
enum { SLOTS = 1 << 16 };
static void *blocks[SLOTS];
static char freed; /* its address stands in the place of a freed block */
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static size_t slot_of(const void *block) { return ((uintptr_t)block >> 4) * 0x9E3779B97F4A7C15u >> 48; }

static void *noted(void *block, const void *caller) {
    if (!block || module_of(caller) != OURS) return block;
    pthread_mutex_lock(&counting);
    size_t slot = slot_of(block), tried = 0;
    while (blocks[slot] && blocks[slot] != &freed && tried++ < SLOTS) slot = (slot + 1) % SLOTS;
    if (tried > SLOTS) abort();
    blocks[slot] = block, held++;
    pthread_mutex_unlock(&counting);
    return block;
}

static void *forgotten(void *block) {
    if (!block || !nmodules) return block;
    pthread_mutex_lock(&counting);
    size_t slot = slot_of(block), tried = 0;
    while (blocks[slot] && blocks[slot] != block && tried++ < SLOTS) slot = (slot + 1) % SLOTS;
    if (blocks[slot] == block) {
        blocks[slot] = &freed, held--;
        if (!blocks[(slot + 1) % SLOTS]) /* nothing is looked for past an empty slot */
            for (; blocks[slot] == &freed; slot = (slot + SLOTS - 1) % SLOTS) blocks[slot] = NULL;
    }
    pthread_mutex_unlock(&counting);
    return block;
}

/* Calls a function while the allocations numbered `from` to `to` fail. */
PyObject *call_failing(PyObject *function, PyObject *args, PyObject *kwargs, int allocators, long from, long to) {
    mine = pthread_self();
    first = from, last = to, counted = failed = origin = 0;
    __atomic_store_n(&armed, allocators, __ATOMIC_RELEASE);
    PyObject *result = PyObject_Call(function, args, kwargs);
    __atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
    if (!result && !PyErr_Occurred()) PyErr_BadInternalCall();
    return result;
}

long failures(void) { return failed; }
long spared_failures(void) { return spared; }
long blocks_held(void) { return held; }
int whose_failure(void) { return origin; }

/* --- The system's allocators ----------------------------------------------------------------------------------------
 */

#define CALLER __builtin_return_address(0)
#define NEXT(name)                                                                        \
    ({                                                                                    \
        if (!next_##name) next_##name = (__typeof__(next_##name))dlsym(RTLD_NEXT, #name); \
        next_##name;                                                                      \
    })

static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void *(*next_aligned_alloc)(size_t, size_t), *(*next_mmap)(void *, size_t, int, int, int, off_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void (*next_free)(void *);

void *malloc(size_t size) {
    if (fails(IN_SYSTEM, CALLER)) return NULL;
    return noted(NEXT(malloc)(size), CALLER);
}

void *calloc(size_t count, size_t size) {
    static __thread int resolving; /* dlsym may call calloc, and handles its failure */
    if (resolving || fails(IN_SYSTEM, CALLER)) return NULL;
    resolving = 1;
    (void)NEXT(calloc);
    resolving = 0;
    return noted(next_calloc(count, size), CALLER);
}

void *realloc(void *data, size_t size) {
    if (fails(IN_SYSTEM, CALLER)) return NULL;
    return noted(NEXT(realloc)(forgotten(data), size), CALLER);
}

void *aligned_alloc(size_t alignment, size_t size) {
    if (fails(IN_SYSTEM, CALLER)) return NULL;
    return noted(NEXT(aligned_alloc)(alignment, size), CALLER);
}

int posix_memalign(void **to, size_t alignment, size_t size) {
    if (fails(IN_SYSTEM, CALLER)) return ENOMEM;
    const int error = NEXT(posix_memalign)(to, alignment, size);
    if (!error) (void)noted(*to, CALLER);
    return error;
}

void free(void *data) { NEXT(free)(forgotten(data)); }

void *mmap(void *start, size_t size, int protection, int flags, int file, off_t offset) {
    if ((flags & MAP_ANONYMOUS) && fails(IN_SYSTEM, CALLER)) return MAP_FAILED;
    return NEXT(mmap)(start, size, protection, flags, file, offset);
}

/* --- Python's allocators --------------------------------------------------------------------------------------------
 */

enum { DOMAINS = 3 };
static PyMemAllocatorEx behind[DOMAINS];

static void *py_malloc(void *context, size_t size) {
    const PyMemAllocatorEx *real = context;
    return fails(IN_PYTHON, NULL) ? NULL : real->malloc(real->ctx, size);
}

static void *py_calloc(void *context, size_t count, size_t size) {
    const PyMemAllocatorEx *real = context;
    return fails(IN_PYTHON, NULL) ? NULL : real->calloc(real->ctx, count, size);
}

static void *py_realloc(void *context, void *data, size_t size) {
    const PyMemAllocatorEx *real = context;
    return fails(IN_PYTHON, NULL) ? NULL : real->realloc(real->ctx, data, size);
}

static void py_free(void *context, void *data) {
    const PyMemAllocatorEx *real = context;
    real->free(real->ctx, data);
}

void watch_python(void) {
    static const PyMemAllocatorDomain domains[DOMAINS] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (int k = 0; k < DOMAINS; k++) {
        PyMemAllocatorEx watched = {&behind[k], py_malloc, py_calloc, py_realloc, py_free};
        PyMem_GetAllocator(domains[k], &behind[k]);
        PyMem_SetAllocator(domains[k], &watched);
    }
}
