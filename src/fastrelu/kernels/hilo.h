/* Bodies of "accurate" float64: unevaluated sums of two doubles where one rounding is not enough. */
