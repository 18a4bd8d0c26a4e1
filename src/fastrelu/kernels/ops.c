/* ops.def as data: names, costs and domains, the same for every instruction set. */
#include <math.h>

#include "columns.h"
#include "kernels.h"

#define FR_TAKE(a, k)      \
    const double a = p[k]; \
    (void)a;
#define FR_IN_DOMAIN(id, condition, parameters) \
    static int id(const double *p) {            \
        (void)p;                                \
        FR_EACH(FR_TAKE, parameters)            \
        return condition;                       \
    }
#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct) \
    FR_IN_DOMAIN(name##_domain, domain, parameters)                             \
    FR_WITH_##gradient(FR_IN_DOMAIN(name##_from_output_domain, FR_DOMAIN_##gradient, parameters))
#include "ops.def"
#undef OP

/* The text of a domain is taken here, before the macro isfinite is expanded. */
#define FR_NAME(a, k) #a,
#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct)     \
    {#name,                                                                         \
     cost,                                                                          \
     FR_COUNT_##parameters,                                                         \
     {FR_EACH(FR_NAME, parameters) NULL},                                           \
     {name##_domain, name##_domain, FR_WITH_##gradient(name##_from_output_domain)}, \
     {#domain, #domain, FR_TEXT_##gradient}},
const fr_op fr_ops[] = {
#include "ops.def"
};
#undef OP
#define WIDER(type, kernel) #type, #kernel,
const char *const fr_wider[] = {
#include "types.def"
    NULL};
#undef WIDER
const int fr_nops = (int)(sizeof fr_ops / sizeof *fr_ops);
