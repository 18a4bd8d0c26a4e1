/* Functions built on one exponential of the negative half-axis. */
