/* The macros that the columns of ops.def expand to: an OP macro pastes the word in a column onto one of these names. */
#ifndef FASTRELU_COLUMNS_H
#define FASTRELU_COLUMNS_H

#define FR_SKIP(...)
#define FR_KEEP(...) __VA_ARGS__
#define FR_JOIN_(a, b) a##b
#define FR_JOIN(a, b) FR_JOIN_(a, b)
#define FR_CALL(macro, ...) macro(__VA_ARGS__)

/* FR_WITH_<column>(...) expands to its arguments if the activation has parameters, a gradient from the output,
 * learned parameters, or a rough body; otherwise to nothing. FR_WITH_<rounding> depends on the instance: loops.h. */
#define FR_WITH_P0 FR_SKIP
#define FR_WITH_P1(a) FR_KEEP
#define FR_WITH_P2(a, b) FR_KEEP
#define FR_WITH_P3(a, b, c) FR_KEEP
#define FR_WITH_P4(a, b, c, d) FR_KEEP
#define FR_WITH_FROM_INPUT FR_SKIP
#define FR_WITH_FROM_OUTPUT(domain) FR_KEEP
#define FR_WITH_FIXED FR_SKIP
#define FR_WITH_LEARNED FR_KEEP
#define FR_WITH_DIRECT FR_SKIP
#define FR_WITH_GATE FR_SKIP
#define FR_WITH_BLOCKS FR_SKIP
#define FR_WITH_ROUGH FR_KEEP

/* FR_WITH_USUAL(body)(...) expands to its arguments if usual parameters allow a cheaper body with the same bits,
 * <body>_usual, in loops whose parameters are numbers; <body>_is_usual tells them. */
#define FR_USUAL_swish , FR_KEEP
#define FR_USUAL_hard_sigmoid , FR_KEEP
#define FR_SECOND(a, b, ...) b
#define FR_WITH_USUAL(body) FR_CALL(FR_SECOND, FR_JOIN(FR_USUAL_, body), FR_SKIP, )

/* The same for the column of types.def: does the type have kernels? */
#define FR_WITH_OWN FR_KEEP
#define FR_WITH_NONE FR_SKIP

/* The domain of the gradient from the output, as a condition and as text. */
#define ANY 1
#define FR_DOMAIN_FROM_INPUT 0
#define FR_DOMAIN_FROM_OUTPUT(domain) domain
#define FR_TEXT_FROM_INPUT NULL
#define FR_TEXT_FROM_OUTPUT(domain) #domain

/* The parameters: their number, their names one after the other, and a macro applied to each: M(name, index). */
#define FR_COUNT_P0 0
#define FR_COUNT_P1(a) 1
#define FR_COUNT_P2(a, b) 2
#define FR_COUNT_P3(a, b, c) 3
#define FR_COUNT_P4(a, b, c, d) 4
#define FR_NAMES_P0
#define FR_NAMES_P1(a) a
#define FR_NAMES_P2(a, b) a, b
#define FR_NAMES_P3(a, b, c) a, b, c
#define FR_NAMES_P4(a, b, c, d) a, b, c, d
#define FR_EACH_0(M, ...)
#define FR_EACH_1(M, a) M(a, 0)
#define FR_EACH_2(M, a, b) M(a, 0) M(b, 1)
#define FR_EACH_3(M, a, b, c) M(a, 0) M(b, 1) M(c, 2)
#define FR_EACH_4(M, a, b, c, d) M(a, 0) M(b, 1) M(c, 2) M(d, 3)
#define FR_EACH(M, parameters) FR_CALL(FR_JOIN(FR_EACH_, FR_COUNT_##parameters), M, FR_NAMES_##parameters)

#endif
