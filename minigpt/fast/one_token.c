/* GPT.forward for one new token of one row, in C: the faster twin of OneToken.step (one_token.py).

A token of a large model takes as long as it takes to read the weights from memory. So every core
should read all the time. Each thread computes its share of the outputs of every product, and in
attention its share of the heads. The threads wait for each other four times in a block, where one
needs what the others have computed. A layer norm is so little work that each of them computes it
for itself.

C is the width, H the number of heads, D = C / H the size of one. Matrices are row after row, as in
torch. */

#include <math.h>
#include <omp.h>
#include <stdint.h>

enum { LANES = 8, SUMS = 8 }; /* fp32 numbers in a vector, and vectors of sums at once */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));

typedef struct {
    const float *weight, *bias; /* [out, in] and [out]; or [C] and [C] of a norm; bias may be NULL */
} layer;

typedef struct {
    layer ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj;
    float *keys, *values; /* [H, capacity, D] each */
} block;

typedef struct {
    int64_t begin, end;
} range;

/* The part of n outputs that a thread computes. */
static range share(int64_t n, int thread, int n_threads) {
    return (range){n * thread / n_threads, n * (thread + 1) / n_threads};
}

/* The sum of a[i] b[i]. One vector of sums alone would wait for its last addition. */
static float dot(const float *a, const float *b, int64_t n) {
    lanes sums[SUMS] = {{0}};
    int64_t i = 0;
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int k = 0; k < SUMS; k++)
            sums[k] += *(const lanes *)(a + i + k * LANES) * *(const lanes *)(b + i + k * LANES);
    for (int half = SUMS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sums[k] += sums[k + half];
    float sum = 0;
    for (; i < n; i++) sum += a[i] * b[i];
    for (int k = 0; k < LANES; k++) sum += sums[0][k];
    return sum;
}

/* One output of a linear layer: element `row` of W x + b. */
static float output(layer linear, int64_t row, const float *x, int64_t n_in) {
    return dot(linear.weight + row * n_in, x, n_in) + (linear.bias ? linear.bias[row] : 0);
}

/* y [n]: the outputs of a linear layer from `first` on. */
static void multiply(float *y, layer linear, int64_t first, int64_t n, const float *x,
                     int64_t n_in) {
    for (int64_t i = 0; i < n; i++) y[i] = output(linear, first + i, x, n_in);
}

/* Layer norm (Ba et al. 2016, equation 4): y = (x - mean) / sqrt(variance + eps) weight + bias. */
static void normalize(float *y, const float *x, layer norm, int64_t n, float eps) {
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i];
    const float mean = sum / n;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float scale = 1 / sqrtf(squares / n + eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

/* The tanh form of GELU (Hendrycks and Gimpel 2016). With u = sqrt(2 / pi) (x + 0.044715 x^3) it is
x (1 + tanh(u)) / 2 = x / (1 + exp(-2 u)), and exp takes a fraction of tanh's time. */
static float gelu(float x) {
    return x / (1 + expf(-1.59576912f * (x + 0.044715f * x * x * x)));
}

/* One head: y [D] = softmax(q k^T / sqrt(D)) v over n keys and values [n, D]. */
static void attend(float *y, const float *q, const float *k, const float *v, int64_t n, int64_t D,
                   float *weights) {
    float largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        weights[j] = dot(k + j * D, q, D) / sqrtf(D);
        if (weights[j] > largest) largest = weights[j];
    }
    for (int64_t j = 0; j < n; j++) sum += weights[j] = expf(weights[j] - largest);
    for (int64_t i = 0; i < D; i++) y[i] = 0;
    for (int64_t j = 0; j < n; j++) {
        float weight = weights[j] / sum;
        for (int64_t i = 0; i < D; i++) y[i] += weight * v[j * D + i];
    }
}

/* Computes the scores [V] of the next token from x [C], the embedding of the newest, which is
overwritten. It stores this token's key and value as number n of every block, behind n earlier ones.
`room` is for what the threads compute on the way: 6 C + n_threads (C + capacity) numbers. */
void one_token(float *scores, float *x, const block *blocks, int64_t n_layer, const layer *ln_f,
               const layer *lm_head, int64_t V, int64_t C, int64_t H, int64_t n, int64_t capacity,
               float eps, float *room, int n_threads) {
    const int64_t D = C / H;
    float *q = room, *mixed = q + C, *inner = mixed + C, *own = inner + 4 * C;
#pragma omp parallel num_threads(n_threads)
    {
        const int thread = omp_get_thread_num(), all = omp_get_num_threads();
        const range heads = share(H, thread, all), width = share(C, thread, all);
        const range wide = share(4 * C, thread, all), words = share(V, thread, all);
        float *normed = own + thread * (C + capacity), *weights = normed + C;
        for (const block *b = blocks; b < blocks + n_layer; b++) {
            normalize(normed, x, b->ln_1, C, eps);
            multiply(q + heads.begin * D, b->c_attn, heads.begin * D, (heads.end - heads.begin) * D,
                     normed, C);
            for (int64_t h = heads.begin; h < heads.end; h++)
                multiply(b->keys + (h * capacity + n) * D, b->c_attn, C + h * D, D, normed, C);
            for (int64_t h = heads.begin; h < heads.end; h++)
                multiply(b->values + (h * capacity + n) * D, b->c_attn, 2 * C + h * D, D, normed, C);
            for (int64_t h = heads.begin; h < heads.end; h++)
                attend(mixed + h * D, q + h * D, b->keys + h * capacity * D,
                       b->values + h * capacity * D, n + 1, D, weights);
#pragma omp barrier /* mixed is complete */
            for (int64_t i = width.begin; i < width.end; i++)
                x[i] += output(b->attn_proj, i, mixed, C);
#pragma omp barrier /* x is */
            normalize(normed, x, b->ln_2, C, eps);
            for (int64_t i = wide.begin; i < wide.end; i++)
                inner[i] = gelu(output(b->c_fc, i, normed, C));
#pragma omp barrier /* inner is */
            for (int64_t i = width.begin; i < width.end; i++)
                x[i] += output(b->mlp_proj, i, inner, 4 * C);
#pragma omp barrier /* x is */
        }
        normalize(normed, x, *ln_f, C, eps);
        for (int64_t i = words.begin; i < words.end; i++)
            scores[i] = output(*lm_head, i, normed, C);
    }
}
