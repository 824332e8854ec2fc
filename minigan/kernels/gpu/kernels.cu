// The CUDA source of all kernels. Each is the formula of one element of its result, in a loop.
//
// REAL is float or double and INDEX int or long long, as launch.py compiles it. Threads share nothing and wait for
// nobody: no shared memory, no barriers, no atomics. So a result does not depend on the order in which threads run,
// two runs give the same bits, and a plain loop over all threads is a faithful emulation (tests/emulated_gpu.py).
//
// Arrays are contiguous, (N, C, H, W) or what the formulas say. Constants are integers, since 0.5 would be a double.

#ifdef WIDE
typedef long long INDEX;
#else
typedef int INDEX;  // launch.py takes it below 2^30 numbers, so that i + step cannot overflow
#endif

#define KERNEL extern "C" __global__ void
#define EACH(i, count) \
    for (INDEX i = (INDEX)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (INDEX)gridDim.x * blockDim.x)

// --- Activations, as elementwise.py numbers them; a is leaky_relu's slope or elu's alpha ---------------------------

enum { NONE, RELU, LEAKY_RELU, ELU, SIGMOID, TANH };

__device__ REAL activated(REAL x, INDEX kind, REAL a)
{
    switch (kind) {
    case RELU: return x < 0 ? 0 : x;  // NaN stays NaN, here as below
    case LEAKY_RELU: return x > 0 ? x : a * x;
    case ELU: return x > 0 ? x : a * expm1(x);
    case SIGMOID: return 1 / (1 + exp(-x));
    case TANH: return tanh(x);
    default: return x;
    }
}

__device__ REAL slope(REAL y, INDEX kind, REAL a)
{
    switch (kind) {
    case RELU: return y > 0 ? 1 : 0;
    case LEAKY_RELU: return y > 0 ? 1 : a;
    case ELU: return y > 0 ? 1 : y + a;
    case SIGMOID: return y * (1 - y);
    case TANH: return 1 - y * y;
    default: return 1;
    }
}

// y[n,c,l] = f(z[n,c,l] + bias[c]) with z[n,c,l] at n zN + c zC + l, so that z may be a matrix (C, N L). y may be z.
KERNEL bias_activation(const REAL *z, const REAL *bias, REAL *y, INDEX count, INDEX C, INDEX L, INDEX zN, INDEX zC,
                       INDEX biased, INDEX kind, REAL a)
{
    EACH(i, count) {
        INDEX l = i % L, c = i / L % C, n = i / L / C;
        REAL sum = z[n * zN + c * zC + l];
        y[i] = activated(biased ? sum + bias[c] : sum, kind, a);
    }
}

// dx = dy f'(x), read off y = f(x)
KERNEL times_slope(const REAL *dy, const REAL *y, REAL *dx, INDEX count, INDEX kind, REAL a)
{
    EACH(i, count) dx[i] = dy[i] * slope(y[i], kind, a);
}

// --- Binary cross-entropy on logits; t is targets[i], or the number t for all if `constant` -------------------------

// loss = max(x, 0) - x t + log(1 + exp(-|x|))
KERNEL bce_with_logits(const REAL *x, const REAL *targets, REAL *loss, INDEX count, INDEX constant, REAL t)
{
    EACH(i, count) {
        REAL z = x[i], rise = z < 0 ? 0 : z;
        loss[i] = rise - z * (constant ? t : targets[i]) + log1p(exp(rise > 0 ? -z : z));
    }
}

// dx = (sigmoid(x) - t) dy share, where dy is one number or one for each x
KERNEL bce_with_logits_slope(const REAL *x, const REAL *targets, const REAL *dy, REAL *dx, INDEX count, INDEX constant,
                             INDEX single, REAL t, REAL share)
{
    EACH(i, count) {
        REAL error = 1 / (1 + exp(-x[i])) - (constant ? t : targets[i]);
        dx[i] = error * (dy[single ? 0 : i] * share);
    }
}

// --- Convolution: patches out of an image, and their sum back into it ----------------------------------------------

// cols[c,u,v,n,i,j] = x[n, c, i s - p + u d, j s - p + v d], 0 outside of x. A thread copies all taps (u, v) of a
// channel c at a place (n, i, j): count is C N OH OW. Neighbouring threads write to neighbouring places.
KERNEL im2col(const REAL *x, REAL *cols, INDEX count, INDEX C, INDEX H, INDEX W, INDEX kh, INDEX kw, INDEX OH,
              INDEX OW, INDEX sh, INDEX sw, INDEX ph, INDEX pw, INDEX dh, INDEX dw)
{
    INDEX places = count / C;
    EACH(i, count) {
        INDEX place = i % places, c = i / places;
        INDEX top = place / OW % OH * sh - ph, left = place % OW * sw - pw, n = place / OW / OH;
        const REAL *plane = x + (n * C + c) * H * W;
        REAL *out = cols + c * kh * kw * places + place;
        for (INDEX row = top; row < top + kh * dh; row += dh)
            for (INDEX column = left; column < left + kw * dw; column += dw) {
                *out = 0 <= row && row < H && 0 <= column && column < W ? plane[row * W + column] : 0;
                out += places;
            }
    }
}

// x[n,c,y,x] = f(bias[c] + the sum of cols[c,u,v,n,i,j] wherever i s - p + u d = y and j s - p + v d = x): a thread
// gathers what im2col's adjoint adds up, so no two threads add to the same number.
KERNEL col2im(const REAL *cols, const REAL *bias, REAL *x, INDEX count, INDEX N, INDEX C, INDEX H, INDEX W, INDEX kh,
              INDEX kw, INDEX OH, INDEX OW, INDEX sh, INDEX sw, INDEX ph, INDEX pw, INDEX dh, INDEX dw, INDEX biased,
              INDEX kind, REAL a)
{
    INDEX places = N * OH * OW;
    EACH(i, count) {
        INDEX bottom = i / W % H + ph, right = i % W + pw, c = i / W / H % C, n = i / W / H / C;
        REAL sum = biased ? bias[c] : 0;
        for (INDEX u = 0; u < kh; u++) {
            INDEX down = bottom - u * dh;
            if (down < 0 || down % sh || down / sh >= OH)
                continue;
            for (INDEX v = 0; v < kw; v++) {
                INDEX along = right - v * dw;
                if (0 <= along && along % sw == 0 && along / sw < OW)
                    sum += cols[((c * kh + u) * kw + v) * places + (n * OH + down / sh) * OW + along / sw];
            }
        }
        x[i] = activated(sum, kind, a);
    }
}

// --- Batch norm: xhat = (x - mu) r, r = 1 / sqrt(var + eps); L numbers of each of C channels in a row ---------------

// y = f(w xhat + b)
KERNEL batch_norm(const REAL *x, const REAL *w, const REAL *b, const REAL *mu, const REAL *var, REAL *y, INDEX count,
                  INDEX C, INDEX L, INDEX kind, REAL eps, REAL a)
{
    EACH(i, count) {
        INDEX c = i / L % C;
        y[i] = activated((x[i] - mu[c]) / sqrt(var[c] + eps) * w[c] + b[c], kind, a);
    }
}

// parts[0] = dz = dy f'(w xhat + b), parts[1] = dz xhat: what is to be summed over each channel
KERNEL batch_norm_parts(const REAL *dy, const REAL *y, const REAL *x, const REAL *mu, const REAL *var, REAL *parts,
                        INDEX count, INDEX C, INDEX L, INDEX kind, REAL eps, REAL a)
{
    EACH(i, count) {
        INDEX c = i / L % C;
        REAL dz = dy[i] * slope(y[i], kind, a);
        parts[i] = dz;
        parts[count + i] = dz * ((x[i] - mu[c]) / sqrt(var[c] + eps));
    }
}

// dx = w r (dz - <dz> - xhat <dz xhat>), <.> the mean over a channel: sums (2, C) divided by R
KERNEL batch_norm_backward(const REAL *dz, const REAL *x, const REAL *w, const REAL *mu, const REAL *var,
                           const REAL *sums, REAL *dx, INDEX count, INDEX C, INDEX L, REAL eps)
{
    REAL R = count / C;
    EACH(i, count) {
        INDEX c = i / L % C;
        REAL s = sqrt(var[c] + eps), xhat = (x[i] - mu[c]) / s;
        dx[i] = w[c] / s * (dz[i] - (sums[c] + xhat * sums[C + c]) / R);
    }
}

// --- Max pooling: which tap of a window is the largest, take it, put it back ----------------------------------------

// The first of several equals; the first NaN before all; what is padded never. Taps are counted along the rows.
KERNEL max_taps(const REAL *x, int *taps, INDEX count, INDEX H, INDEX W, INDEX kh, INDEX kw, INDEX OH, INDEX OW,
                INDEX sh, INDEX sw, INDEX ph, INDEX pw)
{
    EACH(i, count) {
        INDEX top = i / OW % OH * sh - ph, left = i % OW * sw - pw, tap = -1;
        const REAL *plane = x + i / OW / OH * H * W;
        REAL largest = 0;
        for (INDEX u = 0; u < kh; u++)
            for (INDEX v = 0; v < kw; v++) {
                INDEX row = top + u, column = left + v;
                if (row < 0 || row >= H || column < 0 || column >= W)
                    continue;
                REAL here = plane[row * W + column];
                if (tap < 0 || here > largest || (here != here && largest == largest)) {
                    tap = u * kw + v;
                    largest = here;
                }
            }
        taps[i] = tap;
    }
}

// y[n,c,i,j] = x at tap taps[n,c,i,j] of the window (i, j), 0 outside of x
KERNEL pick(const REAL *x, const int *taps, REAL *y, INDEX count, INDEX H, INDEX W, INDEX kh, INDEX kw, INDEX OH,
            INDEX OW, INDEX sh, INDEX sw, INDEX ph, INDEX pw)
{
    EACH(i, count) {
        INDEX row = i / OW % OH * sh - ph + taps[i] / kw, column = i % OW * sw - pw + taps[i] % kw;
        y[i] = 0 <= row && row < H && 0 <= column && column < W ? x[(i / OW / OH * H + row) * W + column] : 0;
    }
}

// dx[n,c,y,x] = the sum of dy over the windows that picked this number: again a thread gathers
KERNEL spread(const REAL *dy, const int *taps, REAL *dx, INDEX count, INDEX H, INDEX W, INDEX kh, INDEX kw, INDEX OH,
              INDEX OW, INDEX sh, INDEX sw, INDEX ph, INDEX pw)
{
    EACH(i, count) {
        INDEX bottom = i / W % H + ph, right = i % W + pw, plane = i / W / H * OH * OW;
        REAL sum = 0;
        for (INDEX u = 0; u < kh; u++) {
            INDEX down = bottom - u;
            if (down < 0 || down % sh || down / sh >= OH)
                continue;
            for (INDEX v = 0; v < kw; v++) {
                INDEX along = right - v, window = plane + down / sh * OW + along / sw;
                if (0 <= along && along % sw == 0 && along / sw < OW && taps[window] == u * kw + v)
                    sum += dy[window];
            }
        }
        dx[i] = sum;
    }
}

// --- Adam, on the scaled moments of optimizers.py -------------------------------------------------------------------

// The gradient g comes in up to 16 pieces; piece k is g[start_k], g[start_k + 1], ... up to start_(k+1).
KERNEL adam(const REAL *g0, const REAL *g1, const REAL *g2, const REAL *g3, const REAL *g4, const REAL *g5,
            const REAL *g6, const REAL *g7, const REAL *g8, const REAL *g9, const REAL *g10, const REAL *g11,
            const REAL *g12, const REAL *g13, const REAL *g14, const REAL *g15, REAL *p, REAL *M, REAL *V, INDEX count,
            INDEX start1, INDEX start2, INDEX start3, INDEX start4, INDEX start5, INDEX start6, INDEX start7,
            INDEX start8, INDEX start9, INDEX start10, INDEX start11, INDEX start12, INDEX start13, INDEX start14,
            INDEX start15, REAL b1, REAL b2, REAL e, REAL rate)
{
    const REAL *pieces[] = {g0, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, g11, g12, g13, g14, g15};
    INDEX starts[] = {0,      start1, start2,  start3,  start4,  start5,  start6,  start7,
                      start8, start9, start10, start11, start12, start13, start14, start15};
    EACH(i, count) {
        const REAL *piece = g0;
        INDEX start = 0;
#pragma unroll  // so that both arrays stay in registers
        for (int k = 1; k < 16; k++)
            if (i >= starts[k]) {
                piece = pieces[k];
                start = starts[k];
            }
        REAL g = piece[i - start];
        M[i] = b1 * M[i] + g;
        V[i] = b2 * V[i] + g * g;
        p[i] -= rate * M[i] / (sqrt(V[i]) + e);
    }
}
