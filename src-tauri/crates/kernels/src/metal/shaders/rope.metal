// Rotary position embedding (Su et al., 2021), in the half-split layout of transformers: the pair
// (i, i + pairs) of a head turns by the angle of its row's position.

struct Rope {
    uint first_row;
    uint heads;
    uint head_dim;
    uint pairs;
    float sign;
};

// A thread takes a pair, or an element that does not rotate; it reads what it writes before, so
// that x and y may be one buffer.
template <typename T>
[[kernel]] void rope(
    device const T* x [[buffer(0)]],
    device const float* cosines [[buffer(1)]],
    device const float* sines [[buffer(2)]],
    device const uint* positions [[buffer(3)]],
    device T* y [[buffer(4)]],
    constant Rope& options [[buffer(5)]],
    uint2 position [[thread_position_in_grid]]) {
    uint pairs = options.pairs;
    uint work_of_head = options.head_dim - pairs;
    if (position.x >= options.heads * work_of_head) {
        return;
    }
    uint row = options.first_row + position.y;
    uint head = position.x / work_of_head;
    uint i = position.x % work_of_head;
    uint start = (row * options.heads + head) * options.head_dim;
    if (i >= pairs) {
        uint at = start + pairs + i;
        y[at] = x[at];
        return;
    }
    uint angle = positions[row] * pairs + i;
    float cosine = cosines[angle];
    float sine = options.sign * sines[angle];
    float first = float(x[start + i]);
    float second = float(x[start + pairs + i]);
    y[start + i] = T(first * cosine - second * sine);
    y[start + pairs + i] = T(second * cosine + first * sine);
}

INSTANTIATE_STORED("rope", rope)
