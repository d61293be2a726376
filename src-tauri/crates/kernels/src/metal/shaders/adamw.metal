// AdamW (Loshchilov and Hutter, 2019) as PyTorch computes it.

struct AdamW {
    uint first;
    uint count;
    uint total;
    float beta1;
    float rest1;
    float beta2;
    float rest2;
    float gradient_scale;
    float rate;
    float root;
    float epsilon;
    float decay;
};

[[kernel]] void adamw_f32(
    device float* parameter [[buffer(0)]],
    device float* moments [[buffer(1)]],
    device const float* gradient [[buffer(2)]],
    constant AdamW& options [[buffer(3)]],
    uint number [[thread_position_in_grid]]) {
    if (number >= options.count) {
        return;
    }
    uint i = options.first + number;
    ulong second = ulong(options.total) + ulong(i);
    float g = gradient[i] * options.gradient_scale;
    float m = options.beta1 * moments[i] + options.rest1 * g;
    float v = options.beta2 * moments[second] + options.rest2 * g * g;
    moments[i] = m;
    moments[second] = v;
    parameter[i] =
        parameter[i] * options.decay - options.rate * m / (sqrt(v) / options.root + options.epsilon);
}
