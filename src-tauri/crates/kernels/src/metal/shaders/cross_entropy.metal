// Cross-entropy over a chunk of logits, and their gradient in their place. A threadgroup takes a
// row.

struct CrossEntropy {
    uint first_row;
    uint vocabulary;
    float scale;
    float softcap;
};

// The largest score of a row and the sum of e^(score - largest).
struct Softmax {
    float largest;
    float sum;
};

// Below any score, and finite: relaxed mathematics may assume that there are no infinities.
constant constexpr float LOWEST = -3.0e38f;

METAL_FUNC float score_of(float product, constant CrossEntropy& options) {
    return softcap(product * options.scale, options.softcap);
}

// `shared` has two places for each SIMD group.
METAL_FUNC Softmax softmax_of(
    device const float* row, constant CrossEntropy& options, threadgroup float* shared,
    uint thread_number, uint threads, uint lane, uint simdgroup, uint simdgroups) {
    float largest = LOWEST;
    float sum = 0.0f;
    for (uint i = thread_number; i < options.vocabulary; i += threads) {
        float score = score_of(row[i], options);
        float next = max(largest, score);
        sum = sum * exp(largest - next) + exp(score - next);
        largest = next;
    }
    float highest = simd_max(largest);
    sum = simd_sum(sum * exp(largest - highest));
    if (lane == 0) {
        shared[simdgroup] = highest;
        shared[simdgroups + simdgroup] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    Softmax result;
    result.largest = LOWEST;
    for (uint i = 0; i < simdgroups; ++i) {
        result.largest = max(result.largest, shared[i]);
    }
    result.sum = 0.0f;
    for (uint i = 0; i < simdgroups; ++i) {
        result.sum += shared[simdgroups + i] * exp(shared[i] - result.largest);
    }
    return result;
}

[[kernel]] void cross_entropy_losses_f32(
    device const float* logits [[buffer(0)]],
    device const uint* targets [[buffer(1)]],
    device float* losses [[buffer(2)]],
    constant CrossEntropy& options [[buffer(3)]],
    threadgroup float* shared [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_number [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]) {
    uint row = options.first_row + group;
    device const float* scores = logits + row * options.vocabulary;
    Softmax softmax = softmax_of(
        scores, options, shared, thread_number, threads, lane, simdgroup, simdgroups);
    if (thread_number == 0) {
        losses[row] = log(softmax.sum) + (softmax.largest - score_of(scores[targets[row]], options));
    }
}

[[kernel]] void cross_entropy_f32(
    device float* logits [[buffer(0)]],
    device const uint* targets [[buffer(1)]],
    device const float* factors [[buffer(2)]],
    device float* losses [[buffer(3)]],
    constant CrossEntropy& options [[buffer(4)]],
    threadgroup float* shared [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_number [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]) {
    uint row = options.first_row + group;
    uint target = targets[row];
    float factor = factors[row];
    device float* scores = logits + row * options.vocabulary;
    Softmax softmax = softmax_of(
        scores, options, shared, thread_number, threads, lane, simdgroup, simdgroups);
    for (uint i = thread_number; i < options.vocabulary; i += threads) {
        float score = score_of(scores[i], options);
        float gradient = factor * (exp(score - softmax.largest) / softmax.sum);
        if (i == target) {
            // The thread whose element it is: the next line overwrites the score.
            losses[row] = log(softmax.sum) + (softmax.largest - score);
            gradient -= factor;
        }
        scores[i] = gradient * softcap_slope(score, options.softcap) * options.scale;
    }
}
