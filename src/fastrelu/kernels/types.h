/* types.def as data: the element types, and the flavors of kernels that compute them. */
#ifndef FASTRELU_TYPES_H
#define FASTRELU_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "columns.h"

enum { FR_FAST, FR_ACCURATE, FR_PRECISIONS };

/* A flavor is the type that kernels read and write, and a precision: the index of a kernel in a table. */
enum { FR_F32_FAST, FR_F32_ACCURATE, FR_F64_FAST, FR_F64_ACCURATE, FR_FLAVORS };

/* FR_float32, ...: the index of a type, in the order of types.def; the first FR_OWN_TYPES have kernels. */
#define TYPE(name, number, storage, kernels, fast, accurate) FR_##name,
enum {
#include "types.def"
    FR_TYPES
};
#undef TYPE
#define TYPE(name, number, storage, kernels, fast, accurate) FR_WITH_##kernels(+1)
enum {
    FR_OWN_TYPES = 0
#include "types.def"
};
#undef TYPE

typedef struct {
    const char *name;
    ptrdiff_t size;            /* bytes of an element */
    int flavor[FR_PRECISIONS]; /* that computes it */
} fr_type;

#define TYPE(name, number, storage, kernels, fast, accurate) {#name, sizeof(storage), {fast, accurate}},
static const fr_type fr_types[FR_TYPES] = {
#include "types.def"
};
#undef TYPE

/* The type that the kernels of a flavor read and write. */
#define TYPE(name, number, storage, kernels, fast, accurate) \
    FR_WITH_##kernels([fast] = FR_##name, [accurate] = FR_##name, )
static const int fr_type_of_flavor[FR_FLAVORS] = {
#include "types.def"
};
#undef TYPE

/* The index of the type with one of NumPy's own numbers, or -1; for files that include NumPy's headers before this one.
 */
#ifdef NPY_FLOAT32
#define TYPE(name, number, storage, kernels, fast, accurate) [number] = FR_##name + 1,
static const signed char fr_types_by_number[NPY_NOTYPE + 1] = {
#include "types.def"
};
#undef TYPE
static inline int fr_type_of(int number) { return number < NPY_NOTYPE ? fr_types_by_number[number] - 1 : -1; }
#endif

#endif
