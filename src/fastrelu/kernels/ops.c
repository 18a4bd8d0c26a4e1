/* ops.def as data: names, costs and domains, the same for every instruction set. */
#include <math.h>

#include "kernels.h"

#define ANY 1

#define FR_IN_DOMAIN(id, condition, ...)                 \
    static int id(const double *p) {                     \
        (void)p;                                         \
        __VA_ARGS__;                                     \
        return condition;                                \
    }
#define FR_P1(a) const double a = p[0]; (void)a
#define FR_P2(a, b) const double a = p[0], b = p[1]; (void)a; (void)b
#define FR_P4(a, b, c, d) const double a = p[0], b = p[1], c = p[2], d = p[3]; (void)a; (void)b; (void)c; (void)d
#define OP0(name, f, cost, dom) FR_IN_DOMAIN(name##_domain, dom, )
#define OP1(name, a, f, cost, dom) FR_IN_DOMAIN(name##_domain, dom, FR_P1(a))
#define OP2(name, a, b, f, cost, dom) FR_IN_DOMAIN(name##_domain, dom, FR_P2(a, b))
#define OP4(name, a, b, c, d, f, cost, dom) FR_IN_DOMAIN(name##_domain, dom, FR_P4(a, b, c, d))
#define OP0_Y(name, f, cost, dom, dom_y) \
    OP0(name, f, cost, dom)              \
    FR_IN_DOMAIN(name##_domain_y, dom_y, )
#define OP1_Y(name, a, f, cost, dom, dom_y) \
    OP1(name, a, f, cost, dom)              \
    FR_IN_DOMAIN(name##_domain_y, dom_y, FR_P1(a))
#define OP2_Y(name, a, b, f, cost, dom, dom_y) \
    OP2(name, a, b, f, cost, dom)              \
    FR_IN_DOMAIN(name##_domain_y, dom_y, FR_P2(a, b))
#include "ops.def"
#undef OP0
#undef OP1
#undef OP2
#undef OP4
#undef OP0_Y
#undef OP1_Y
#undef OP2_Y
#undef ANY

#define FR_META(name, cost, n, dom, ...) \
    {#name, cost, n, {__VA_ARGS__}, {name##_domain, name##_domain, 0}, {#dom, #dom, 0}},
#define FR_META_Y(name, cost, n, dom, dom_y, ...) \
    {#name, cost, n, {__VA_ARGS__}, {name##_domain, name##_domain, name##_domain_y}, {#dom, #dom, #dom_y}},
#define OP0(name, f, cost, dom) FR_META(name, cost, 0, dom, 0)
#define OP1(name, a, f, cost, dom) FR_META(name, cost, 1, dom, #a)
#define OP2(name, a, b, f, cost, dom) FR_META(name, cost, 2, dom, #a, #b)
#define OP4(name, a, b, c, d, f, cost, dom) FR_META(name, cost, 4, dom, #a, #b, #c, #d)
#define OP0_Y(name, f, cost, dom, dom_y) FR_META_Y(name, cost, 0, dom, dom_y, 0)
#define OP1_Y(name, a, f, cost, dom, dom_y) FR_META_Y(name, cost, 1, dom, dom_y, #a)
#define OP2_Y(name, a, b, f, cost, dom, dom_y) FR_META_Y(name, cost, 2, dom, dom_y, #a, #b)
const fr_op fr_ops[] = {
#include "ops.def"
};
const int fr_nops = (int)(sizeof fr_ops / sizeof *fr_ops);
