// SiLU and GELU, plain and gating another tensor (SwiGLU, GeGLU; Shazeer, 2020).

struct Range {
    uint first;
    uint count;
};

// The value of an activation and its derivative.
struct Activated {
    float value;
    float slope;
};

struct Silu {
    static Activated at(float x) {
        // Where the exponential would overflow, the sigmoid is zero anyway.
        float sigmoid = 1.0f / (1.0f + exp(min(-x, 80.0f)));
        float value = x * sigmoid;
        Activated result;
        result.value = value;
        result.slope = sigmoid + value * (1.0f - sigmoid);
        return result;
    }
};

constant constexpr float SQRT_HALF = 0.70710678f;
constant constexpr float SQRT_2_OVER_PI = 0.79788456f;
constant constexpr float CUBE = 0.044715f;

// The error function as `kernels::tanh` has it: a rational approximation on [-4, 4].
METAL_FUNC float erf_of(float x) {
    x = clamp(x, -4.0f, 4.0f);
    float square = x * x;
    float p = -2.7261423e-10f;
    p = p * square + 2.7706814e-8f;
    p = p * square - 2.101024e-6f;
    p = p * square - 5.6925064e-5f;
    p = p * square - 7.349906e-4f;
    p = p * square - 2.9546e-3f;
    p = p * square - 1.6096033e-2f;
    float q = -1.4566074e-5f;
    q = q * square - 2.1337405e-4f;
    q = q * square - 1.6828269e-3f;
    q = q * square - 7.3733292e-3f;
    q = q * square - 1.4264739e-2f;
    return x * p / q;
}

struct GeluExact {
    static Activated at(float x) {
        float cumulative = 0.5f + 0.5f * erf_of(x * SQRT_HALF);
        float density = 0.5f * SQRT_2_OVER_PI * exp(-0.5f * x * x);
        Activated result;
        result.value = x * cumulative;
        result.slope = cumulative + x * density;
        return result;
    }
};

struct GeluTanh {
    static Activated at(float x) {
        float square = x * x;
        float t = tanh_of(SQRT_2_OVER_PI * (x + CUBE * x * square));
        float inner = SQRT_2_OVER_PI * (1.0f + 3.0f * CUBE * square);
        float part = 0.5f * (1.0f + t);
        Activated result;
        result.value = x * part;
        result.slope = part + 0.5f * x * (1.0f - t * t) * inner;
        return result;
    }
};

template <typename T, typename Activation>
[[kernel]] void gated(
    device const T* gate [[buffer(0)]],
    device const T* up [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant Range& range [[buffer(3)]],
    uint number [[thread_position_in_grid]]) {
    if (number >= range.count) {
        return;
    }
    uint i = range.first + number;
    y[i] = T(Activation::at(float(gate[i])).value * float(up[i]));
}

template <typename T, typename Activation>
[[kernel]] void gated_backward(
    device const T* gate [[buffer(0)]],
    device const T* up [[buffer(1)]],
    device const T* dy [[buffer(2)]],
    device T* dgate [[buffer(3)]],
    device T* dup [[buffer(4)]],
    constant Range& range [[buffer(5)]],
    uint number [[thread_position_in_grid]]) {
    if (number >= range.count) {
        return;
    }
    uint i = range.first + number;
    Activated activated = Activation::at(float(gate[i]));
    float gradient = float(dy[i]);
    float factor = float(up[i]);
    dgate[i] = T(gradient * factor * activated.slope);
    dup[i] = T(gradient * activated.value);
}

template <typename T, typename Activation>
[[kernel]] void plain(
    device const T* x [[buffer(0)]],
    device T* y [[buffer(1)]],
    constant Range& range [[buffer(2)]],
    uint number [[thread_position_in_grid]]) {
    if (number >= range.count) {
        return;
    }
    uint i = range.first + number;
    y[i] = T(Activation::at(float(x[i])).value);
}

template <typename T, typename Activation>
[[kernel]] void plain_backward(
    device const T* x [[buffer(0)]],
    device const T* dy [[buffer(1)]],
    device T* dx [[buffer(2)]],
    constant Range& range [[buffer(3)]],
    uint number [[thread_position_in_grid]]) {
    if (number >= range.count) {
        return;
    }
    uint i = range.first + number;
    dx[i] = T(Activation::at(float(x[i])).slope * float(dy[i]));
}

INSTANTIATE_STORED_WITH("swiglu", gated, Silu)
INSTANTIATE_STORED_WITH("geglu_exact", gated, GeluExact)
INSTANTIATE_STORED_WITH("geglu_tanh", gated, GeluTanh)
INSTANTIATE_STORED_WITH("swiglu_backward", gated_backward, Silu)
INSTANTIATE_STORED_WITH("geglu_exact_backward", gated_backward, GeluExact)
INSTANTIATE_STORED_WITH("geglu_tanh_backward", gated_backward, GeluTanh)
INSTANTIATE_STORED_WITH("gelu_exact", plain, GeluExact)
INSTANTIATE_STORED_WITH("gelu_tanh", plain, GeluTanh)
INSTANTIATE_STORED_WITH("gelu_exact_backward", plain_backward, GeluExact)
INSTANTIATE_STORED_WITH("gelu_tanh_backward", plain_backward, GeluTanh)
