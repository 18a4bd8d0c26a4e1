/* Copies elements between memory of any stride and a block. */
#ifndef FASTRELU_COPY_H
#define FASTRELU_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* M(bytes, type) for each size of an element. */
#define FR_EACH_SIZE(M) M(1, uint8_t) M(2, uint16_t) M(4, uint32_t) M(8, uint64_t)

#define FR_COPY_RUN(size, type)                                                                                        \
    static inline void fr_copy_run##size(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride,       \
                                         ptrdiff_t n) {                                                                \
        const ptrdiff_t one = sizeof(type);                                                                            \
        type *block = (type *)to;                                                                                      \
        const type *at = (const type *)from;                                                                           \
        if (to_stride == one && from_stride == one) memcpy(to, from, (size_t)(n * one));                               \
        else if (to_stride == one && from_stride == 0)                                                                 \
            for (ptrdiff_t i = 0; i < n; i++) block[i] = *at;                                                          \
        else if (to_stride == one && from_stride == 2 * one)                                                           \
            for (ptrdiff_t i = 0; i < n; i++) block[i] = at[2 * i];                                                    \
        else if (to_stride == one && from_stride == -one)                                                              \
            for (ptrdiff_t i = 0; i < n; i++) block[i] = at[-i];                                                       \
        else                                                                                                           \
            for (ptrdiff_t i = 0; i < n; i++) *(type *)(to + i * to_stride) = *(const type *)(from + i * from_stride); \
    }
FR_EACH_SIZE(FR_COPY_RUN)

#define FR_IF_SIZE(size, type) \
    if (itemsize == size) fr_copy_run##size(to, to_stride, from, from_stride, n);
static inline void fr_copy_run(ptrdiff_t itemsize, char *to, ptrdiff_t to_stride, const char *from,
                               ptrdiff_t from_stride, ptrdiff_t n) {
    FR_EACH_SIZE(FR_IF_SIZE)
}

#endif
