// RMSNorm (Zhang and Sennrich, 2019): y = x / sqrt(mean(x²) + ε) · (o + w). A threadgroup takes a
// row.

struct RmsNorm {
    uint first_row;
    uint width;
    float offset;
    float epsilon;
};

// Rows whose share of the weight's gradient one thread sums.
constant constexpr uint ROWS_OF_PART = 64;

template <typename T>
METAL_FUNC float inverse_rms(
    device const T* x, uint width, float epsilon, threadgroup float* shared,
    uint thread_number, uint threads, uint lane, uint simdgroup, uint simdgroups) {
    float sum = 0.0f;
    for (uint i = thread_number; i < width; i += threads) {
        float value = float(x[i]);
        sum += value * value;
    }
    sum = group_sum(sum, shared, lane, simdgroup, simdgroups);
    return 1.0f / sqrt(sum / float(width) + epsilon);
}

template <typename T>
[[kernel]] void rms_norm(
    device const T* x [[buffer(0)]],
    device const float* weight [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant RmsNorm& options [[buffer(3)]],
    threadgroup float* shared [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_number [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]) {
    uint width = options.width;
    uint start = (options.first_row + group) * width;
    float scale = inverse_rms(
        x + start, width, options.epsilon, shared, thread_number, threads, lane, simdgroup, simdgroups);
    for (uint i = thread_number; i < width; i += threads) {
        y[start + i] = T(float(x[start + i]) * scale * (weight[i] + options.offset));
    }
}

template <typename T>
[[kernel]] void rms_norm_backward(
    device const T* x [[buffer(0)]],
    device const float* weight [[buffer(1)]],
    device const T* dy [[buffer(2)]],
    device T* dx [[buffer(3)]],
    device float* scales [[buffer(4)]],
    constant RmsNorm& options [[buffer(5)]],
    threadgroup float* shared [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_number [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]) {
    uint width = options.width;
    uint row = options.first_row + group;
    uint start = row * width;
    float scale = inverse_rms(
        x + start, width, options.epsilon, shared, thread_number, threads, lane, simdgroup, simdgroups);
    // With w the offset weight: d(x·s·w)/dx = s·(w·dy) - x·s³/H·Σ(w·dy·x)
    float dot = 0.0f;
    for (uint i = thread_number; i < width; i += threads) {
        dot += (weight[i] + options.offset) * float(dy[start + i]) * float(x[start + i]);
    }
    dot = group_sum(dot, shared, lane, simdgroup, simdgroups);
    float pull = scale * scale * scale * dot / float(width);
    for (uint i = thread_number; i < width; i += threads) {
        float pushed = scale * (weight[i] + options.offset) * float(dy[start + i]);
        dx[start + i] = T(pushed - pull * float(x[start + i]));
    }
    if (thread_number == 0) {
        scales[row] = scale;
    }
}

struct PartialSums {
    uint first_part;
    uint rows;
    uint width;
};

// The weight's gradient over 64 rows; a thread sums a column of them.
template <typename T>
[[kernel]] void rms_norm_weight_partial(
    device const T* x [[buffer(0)]],
    device const T* dy [[buffer(1)]],
    device const float* scales [[buffer(2)]],
    device float* partial [[buffer(3)]],
    constant PartialSums& options [[buffer(4)]],
    uint2 position [[thread_position_in_grid]]) {
    uint column = position.x;
    uint part = options.first_part + position.y;
    if (column >= options.width) {
        return;
    }
    uint end = min((part + 1) * ROWS_OF_PART, options.rows);
    float sum = 0.0f;
    for (uint row = part * ROWS_OF_PART; row < end; ++row) {
        uint at = row * options.width + column;
        sum += float(x[at]) * scales[row] * float(dy[at]);
    }
    partial[part * options.width + column] = sum;
}

struct AddPartialSums {
    uint parts;
    uint width;
};

// Adds the partial sums to the gradient, in their order.
[[kernel]] void add_partial_sums(
    device const float* partial [[buffer(0)]],
    device float* gradient [[buffer(1)]],
    constant AddPartialSums& options [[buffer(2)]],
    uint column [[thread_position_in_grid]]) {
    if (column >= options.width) {
        return;
    }
    float sum = gradient[column];
    for (uint part = 0; part < options.parts; ++part) {
        sum += partial[part * options.width + column];
    }
    gradient[column] = sum;
}

INSTANTIATE_STORED("rms_norm", rms_norm)
INSTANTIATE_STORED("rms_norm_backward", rms_norm_backward)
INSTANTIATE_STORED("rms_norm_weight_partial", rms_norm_weight_partial)
