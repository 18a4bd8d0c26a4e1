/* Gradients of a function whose elements change as they are loaded: rows are loaded, become results and then gradients
 * while they are in the cache. Included by rows_drive.c. */

enum { FR_SLOPE_X, FR_SLOPE_BIAS, FR_SLOPE_GRAD, FR_SLOPE_INPUTS, FR_SLOPE_Z = FR_SLOPE_INPUTS, FR_SLOPE_ROOMS };
static const int fr_slope_operand[FR_SLOPE_INPUTS] = {FR_ROW_IN, FR_ROW_SECOND, FR_ROW_GRAD};

/* The elements of a batch of rows, where they lie or in a room. */
typedef struct {
    char *at;
    ptrdiff_t along, across;
} fr_slope_side;

/* What goes through a kernel of elements at once: `count` runs of `length` elements, a step of each operand apart. */
typedef struct {
    ptrdiff_t count, length;
} fr_slope_runs;

static int fr_plan_slopes(fr_row_plan *plan, const fr_row_call *call, ptrdiff_t count, size_t *size) {
    memset(plan, 0, sizeof *plan);
    plan->sinks = call->operand[FR_ROW_SINK].origin != NULL;
    plan->n = call->n + plan->sinks;
    const ptrdiff_t bytes = plan->n * call->itemsize;
    const ptrdiff_t longest = call->itemsize == sizeof(double) ? FR_SHORT_ROW : FR_BAND_LONG;
    int transferred = !fr_is_direct(call, FR_ROW_OUT);
    for (int k = 0; k < FR_SLOPE_INPUTS; k++) transferred |= !fr_is_direct(call, fr_slope_operand[k]);
    plan->band = call->band && !transferred && call->n > FR_BAND_SHORT && plan->n <= longest;
    plan->tiles = !plan->band && call->tile && bytes <= FR_TILE_MOST / FR_COLUMNS &&
                  (call->n <= FR_SHORT_ROW ? count >= FR_COLUMNS / 4 : transferred && count >= FR_COLUMNS);
    if (plan->tiles) plan->width = (call->n > FR_SHORT_ROW ? FR_TILE_WIDE / FR_SLOPE_ROOMS : FR_TILE_BYTES) / bytes;
    else plan->width = (plan->band ? FR_BAND_BYTES : transferred ? FR_ROWS_BYTES : 0) / bytes;
    const ptrdiff_t most = plan->tiles ? FR_TILE_WIDTH : FR_COLUMNS;
    const ptrdiff_t least = plan->tiles ? FR_COLUMNS : transferred ? FR_COLUMNS / 4 : 1;
    if (plan->width > most) plan->width = most;
    if (plan->width < least) plan->width = least;
    if (plan->width > count) plan->width = count;
    if (plan->tiles) plan->width = (plan->width + FR_COLUMNS - 1) / FR_COLUMNS * FR_COLUMNS;
    plan->pitch = plan->tiles ? plan->width * call->itemsize : bytes;
    *size = 0;
    return fr_add_bytes(size, FR_SLOPE_ROOMS * plan->width, bytes) &&
           fr_add_bytes(size, call->operand[FR_ROW_WHERE].origin ? plan->width : 0, call->n);
}

/* Copies elements of the next rows to an operand. */
static void fr_slope_give(const fr_row_walk *walk, int k, const char *from, const fr_slope_side *side, ptrdiff_t n,
                          ptrdiff_t rows) {
    fr_row_walk next;
    fr_row_copy(&next, walk);
    for (ptrdiff_t done = 0, run; done < rows; done += run) {
        run = fr_row_run(&next, rows - done);
        fr_transfer(next.at[k], walk->call->operand[k].along, fr_across(walk->call, k), from + done * side->across,
                    side->along, side->across, n, run, walk->call->itemsize);
        fr_row_step(&next, run);
    }
}

/* Elements whose mask is 0 become `absent`. */
static void fr_slope_select(const fr_row_call *call, const fr_row_plan *plan, fr_slope_runs runs, char *at,
                            ptrdiff_t step, uint64_t absent) {
    const ptrdiff_t mask_step = plan->tiles ? plan->width : call->n;
    for (ptrdiff_t i = 0; i < runs.count && call->operand[FR_ROW_WHERE].origin; i++)
        call->flavor->select(at + i * step, at + i * step, plan->mask + i * mask_step, runs.length, absent);
}

/* Do rows lie side by side in every operand, so that a tile needs no copy but that of the results? What is left of a
 * run becomes a tile of its own, so runs that are short have to be whole tiles. */
static int fr_slopes_lie_across(const fr_row_call *call, const fr_row_plan *plan) {
    const ptrdiff_t run = call->shape[call->naxes - 1];
    if (run < FR_TILE_WIDTH && run % FR_COLUMNS) return 0;
    return plan->tiles && !plan->sinks && fr_lies_across(call) && fr_across(call, FR_ROW_GRAD) == call->itemsize;
}

/* Loads the next rows, finds their results in place, and their gradients. */
static void fr_slope_kernels(const fr_row_call *call, const fr_row_plan *plan, const fr_slope_side *grad,
                             const fr_slope_side *z, const fr_slope_side *out, fr_tile *tile) {
    const fr_row_slope *slope = call->slope;
    tile->n = plan->n;
    tile->target = NULL;
    if (!plan->tiles && !plan->band) {
        for (ptrdiff_t r = 0; r < tile->width; r++) {
            char *y = z->at + r * z->across;
            const char *in[] = {y, NULL}, *given[] = {grad->at + r * grad->across, y};
            call->kernel(in, y, plan->n);
            slope->kernel(given, out->at + r * out->across, plan->n);
        }
        return;
    }
    const int tiles = plan->tiles;
    tile->in[0] = tile->out = z->at, tile->in[1] = NULL;
    tile->pitch[0] = tile->pitch[1] = tile->out_pitch = plan->pitch;
    (tiles ? call->tile : call->band)(tile);
    tile->in[0] = grad->at, tile->in[1] = z->at, tile->out = out->at;
    tile->pitch[0] = tiles ? grad->along : grad->across;
    tile->out_pitch = tiles ? out->along : out->across;
    (tiles ? slope->tile : slope->band)(tile);
}

/* What each row adds to the gradient of the scale. */
static void fr_slope_of_scale(const fr_row_walk *walk, const fr_row_plan *plan, const fr_slope_side *x,
                              const fr_slope_side *out, fr_tile *tile, ptrdiff_t rows) {
    const fr_row_call *call = walk->call;
    fr_row_walk next;
    tile->n = call->n;
    if (plan->tiles) {
        tile->in[0] = x->at, tile->in[1] = out->at;
        tile->pitch[0] = x->along, tile->pitch[1] = out->along;
        call->flavor->scale_slope_tile(tile);
    }
    for (ptrdiff_t r = 0; r < rows && !plan->tiles; r++) {
        fr_target target = {0};
        target.x = x->at + r * x->across, target.shares = out->at + r * out->across;
        tile->loss[r] = call->flavor->scale_slope(&target, call->n);
    }
    fr_row_copy(&next, walk);
    for (ptrdiff_t done = 0, run; done < rows; done += run) {
        run = fr_row_run(&next, rows - done);
        fr_write_losses(&next, plan, 0, run, tile->loss + done);
        fr_row_step(&next, run);
    }
}

/* Computes the gradients of the next rows, at most a batch. Returns how many. */
static ptrdiff_t fr_run_slopes(fr_row_walk *walk, const fr_row_plan *plan, char *room, ptrdiff_t most) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n, held = plan->width * plan->n * size;
    const ptrdiff_t along = plan->tiles ? plan->pitch : size, across = plan->tiles ? size : plan->pitch;
    const fr_row_load scaled = {call->load->scale, 0, NULL};
    const float narrow = (float)call->load->cap;
    fr_slope_side side[FR_SLOPE_ROOMS], out;
    ptrdiff_t step[FR_SLOPE_ROOMS], rows = 0;
    fr_row_walk next;
    fr_tile tile;
    if (most > plan->width) most = plan->width;
    const int lie_across = fr_slopes_lie_across(call, plan);
    if (!plan->tiles || lie_across) most = fr_row_run(walk, most);
    const int lines = lie_across && most >= FR_COLUMNS; /* a tile without a copy */
    if (lines) most -= most % FR_COLUMNS;
    for (int k = 0; k < FR_SLOPE_ROOMS; k++) {
        const int from = k < FR_SLOPE_INPUTS ? fr_slope_operand[k] : FR_ROW_OPERANDS;
        const int direct =
            k < FR_SLOPE_INPUTS && !plan->tiles && fr_is_direct(call, from) && !(k == FR_SLOPE_GRAD && plan->sinks);
        side[k] = (fr_slope_side){room + k * held, along, across};
        if (direct) side[k] = (fr_slope_side){walk->at[from], size, fr_across(call, from)};
        if (lines && k < FR_SLOPE_INPUTS) side[k] = (fr_slope_side){walk->at[from], call->operand[from].along, size};
        step[k] = plan->tiles ? side[k].along : side[k].across;
    }
    const fr_slope_side *x = &side[FR_SLOPE_X], *grad = &side[FR_SLOPE_GRAD], *z = &side[FR_SLOPE_Z];
    const int written = lines || (!plan->tiles && fr_is_direct(call, FR_ROW_OUT) && !plan->sinks);
    const ptrdiff_t out_along = lines ? call->operand[FR_ROW_OUT].along : size;
    out = written ? (fr_slope_side){walk->at[FR_ROW_OUT], out_along, fr_across(call, FR_ROW_OUT)} : *z;
    const ptrdiff_t out_step = plan->tiles ? out.along : out.across;
    const ptrdiff_t mask_along = plan->tiles ? plan->width : 1, mask_across = plan->tiles ? 1 : n;

    fr_row_copy(&next, walk);
    for (ptrdiff_t run; rows < most; rows += run) {
        run = fr_row_run(&next, most - rows);
        for (int k = 0; k < FR_SLOPE_INPUTS; k++) {
            const int from = fr_slope_operand[k];
            if (next.at[from] && side[k].at == room + k * held)
                fr_transfer(side[k].at + rows * across, along, across, next.at[from], call->operand[from].along,
                            fr_across(call, from), n, run, size);
        }
        if (next.at[FR_ROW_WHERE])
            fr_transfer(plan->mask + rows * mask_across, mask_along, mask_across, next.at[FR_ROW_WHERE],
                        call->operand[FR_ROW_WHERE].along, fr_across(call, FR_ROW_WHERE), n, run, 1);
        if (plan->sinks) {
            fr_transfer(z->at + n * along + rows * across, 0, across, next.at[FR_ROW_SINK], 0,
                        fr_across(call, FR_ROW_SINK), 1, run, size);
            fr_fill(grad->at + n * along + rows * across, across, run, size, 0);
        }
        fr_row_step(&next, run);
    }
    tile.width = plan->tiles ? (rows + FR_COLUMNS - 1) / FR_COLUMNS * FR_COLUMNS : rows;
    for (ptrdiff_t i = 0; i < plan->n && rows < tile.width; i++) {
        for (int k = 0; k < FR_SLOPE_ROOMS; k++)
            memset(side[k].at + i * along + rows * size, 0, (size_t)((tile.width - rows) * size));
        if (i < n && call->operand[FR_ROW_WHERE].origin)
            memset(plan->mask + i * plan->width + rows, 0, (size_t)(tile.width - rows));
    }

    const int dense = plan->tiles && tile.width == plan->width && !lines; /* then the lines are one run */
    const fr_slope_runs runs = {dense         ? 1
                                : plan->tiles ? n
                                              : rows,
                                dense         ? n * tile.width
                                : plan->tiles ? tile.width
                                              : n};
    for (ptrdiff_t i = 0; i < runs.count; i++)
        fr_load_elements(call, z->at + i * step[FR_SLOPE_Z], x->at + i * step[FR_SLOPE_X],
                         walk->at[FR_ROW_SECOND] ? side[FR_SLOPE_BIAS].at + i * step[FR_SLOPE_BIAS] : NULL,
                         runs.length);
    fr_slope_select(call, plan, runs, z->at, step[FR_SLOPE_Z], call->absent);
    fr_slope_kernels(call, plan, grad, z, &out, &tile);
    fr_slope_select(call, plan, runs, out.at, out_step, 0);
    if (plan->sinks) fr_slope_give(walk, FR_ROW_SINK_SLOPE, out.at + n * out.along, &out, 1, rows);
    if (walk->at[FR_ROW_LOADED_SLOPE]) fr_slope_give(walk, FR_ROW_LOADED_SLOPE, out.at, &out, n, rows);
    for (ptrdiff_t i = 0; i < runs.count && call->slope->cap; i++) {
        char *capped = room + FR_SLOPE_GRAD * held, *at = out.at + i * out_step;
        const char *in[] = {at, capped, size == sizeof(float) ? (const char *)&narrow : (const char *)&call->load->cap};
        call->flavor->load(capped, x->at + i * step[FR_SLOPE_X], NULL, runs.length, &scaled);
        call->slope->cap(in, at, runs.length);
    }
    if (call->slope->cap) fr_slope_select(call, plan, runs, out.at, out_step, 0); /* a masked element may be anything */
    fr_slope_of_scale(walk, plan, x, &out, &tile, rows);
    for (ptrdiff_t i = 0; i < runs.count && scaled.scale != 1; i++)
        call->flavor->load(out.at + i * out_step, out.at + i * out_step, NULL, runs.length, &scaled);
    if (!written) fr_slope_give(walk, FR_ROW_OUT, out.at, &out, n, rows);
    fr_row_copy(walk, &next);
    return rows;
}
