// Before every other file of a library: see README.md.
#include <metal_stdlib>
using namespace metal;

// The name a host finds an instance of a template by.
#ifndef INSTANTIATE
#define INSTANTIATE(name, function, ...) \
    template [[host_name(name)]] [[kernel]] decltype(function<__VA_ARGS__>) function<__VA_ARGS__>;
#endif

#ifdef __HAVE_BFLOAT__
#define INSTANTIATE_BFLOAT(name, function, ...) INSTANTIATE(name, function, __VA_ARGS__)
#else
#define INSTANTIATE_BFLOAT(name, function, ...)
#endif

// Before loops that index a thread's own arrays: only unrolled do these stay in registers.
#ifndef UNROLL
#define UNROLL _Pragma("clang loop unroll(full)")
#endif

// An instance for each type that activations are stored in.
#define INSTANTIATE_STORED(name, function) \
    INSTANTIATE(name "_f32", function, float) \
    INSTANTIATE(name "_f16", function, half) \
    INSTANTIATE_BFLOAT(name "_bf16", function, bfloat)

// The same with further template arguments.
#define INSTANTIATE_STORED_WITH(name, function, ...) \
    INSTANTIATE(name "_f32", function, float, __VA_ARGS__) \
    INSTANTIATE(name "_f16", function, half, __VA_ARGS__) \
    INSTANTIATE_BFLOAT(name "_bf16", function, bfloat, __VA_ARGS__)

// Lanes of a SIMD group.
constant constexpr uint LANES = 32;

// The sum over a threadgroup, in every thread; `shared` has a place for each of its SIMD groups.
METAL_FUNC float group_sum(float value, threadgroup float* shared, uint lane, uint simdgroup, uint simdgroups) {
    value = simd_sum(value);
    if (lane == 0) {
        shared[simdgroup] = value;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float sum = 0.0f;
    for (uint i = 0; i < simdgroups; ++i) {
        sum += shared[i];
    }
    // Whoever comes next may write there.
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return sum;
}

// tanh: an odd polynomial near zero, where 1 - 2 / (e^2x + 1) would cancel, as `kernels::tanh`.
// From 16 on it is one in f32, and the exponential stays finite.
METAL_FUNC float tanh_of(float x) {
    float square = x * x;
    float p = -5.7049885e-3f;
    p = p * square + 2.063909e-2f;
    p = p * square - 5.3739716e-2f;
    p = p * square + 1.3331442e-1f;
    p = p * square - 3.333328e-1f;
    float small = x + x * square * p;
    float magnitude = min(abs(x), 16.0f);
    float large = 1.0f - 2.0f / (exp(2.0f * magnitude) + 1.0f);
    return magnitude < 0.625f ? small : copysign(large, x);
}

// c · tanh(x / c), or x where there is no cap.
METAL_FUNC float softcap(float x, float cap) {
    return cap > 0.0f ? cap * tanh_of(x / cap) : x;
}

// The slope of the cap, from what it returned.
METAL_FUNC float softcap_slope(float capped, float cap) {
    if (cap > 0.0f) {
        float part = capped / cap;
        return 1.0f - part * part;
    }
    return 1.0f;
}
