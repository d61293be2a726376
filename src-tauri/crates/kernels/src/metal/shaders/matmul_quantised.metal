// Products with matrices in few bits: y = x · Wᵀ and, transposed, dx = dy · W. W (columns, inner)
// is widened into threadgroup memory tile by tile; no whole copy of it in f32 exists.
//
// A threadgroup of 256 computes 64 × 64 elements of the result, a thread 4 × 4 of them, sixteen
// apart. Both tiles have the contracted dimension first and a column more than they use, so that
// threads that write columns meet different banks.

struct Matmul {
    uint first_row;
    uint end_row;
    uint columns;
    uint inner;
    uint accumulate;
    float magnitude_mean;
};

constant constexpr uint TILE = 64;
constant constexpr uint TILE_STRIDE = 65;
constant constexpr uint DEPTH = 32;
constant constexpr uint TILE_THREADS = 256;
// Elements of W that a thread widens at once: they share a byte's neighbours and most often a scale.
constant constexpr uint RUN = 8;

// Values of a code of NF4 (appendix E of QLoRA; Dettmers et al., 2023).
constant float NF4_VALUES[16] = {
    -1.0f, -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.091050036f, 0.0f,
    0.0795803f, 0.1609302f, 0.2461123f, 0.33791524f, 0.44070983f, 0.562617f, 0.72295684f, 1.0f,
};

struct Nf4 {
    device const uchar* codes;
    device const uchar* magnitudes;
    device const float* outer_magnitudes;
    device const float* map;
    float mean;
    uint inner;
};

// Eight elements of a row from `column` on; zero beyond the row. Blocks of 64 run on from row to
// row.
METAL_FUNC void widen(Nf4 weight, uint row, uint column, thread float* to) {
    ulong start = ulong(row) * ulong(weight.inner) + ulong(column);
    ulong known = ~ulong(0);
    float magnitude = 0.0f;
    UNROLL
    for (uint i = 0; i < RUN; ++i) {
        float value = 0.0f;
        if (column + i < weight.inner) {
            ulong at = start + ulong(i);
            ulong block = at / 64;
            if (block != known) {
                known = block;
                magnitude = weight.map[weight.magnitudes[block]] * weight.outer_magnitudes[block / 256] +
                            weight.mean;
            }
            uint both = weight.codes[at / 2];
            uint code = at % 2 == 0 ? both >> 4 : both & 15u;
            value = NF4_VALUES[code] * magnitude;
        }
        to[i] = value;
    }
}

// The f16 in two bytes, which need not be aligned.
METAL_FUNC float half_at(device const uchar* bytes) {
    return float(as_type<half>(ushort(uint(bytes[0]) | uint(bytes[1]) << 8)));
}

struct Q8_0 {
    device const uchar* blocks;
    uint inner;
};

// A block: f16 scale, 32 signed bytes.
METAL_FUNC void widen(Q8_0 weight, uint row, uint column, thread float* to) {
    if (column >= weight.inner) {
        UNROLL
        for (uint i = 0; i < RUN; ++i) {
            to[i] = 0.0f;
        }
        return;
    }
    ulong block = ulong(row) * ulong(weight.inner / 32) + ulong(column / 32);
    device const uchar* bytes = weight.blocks + block * 34;
    float scale = half_at(bytes);
    UNROLL
    for (uint i = 0; i < RUN; ++i) {
        int code = int(bytes[2 + column % 32 + i]);
        to[i] = scale * float(code < 128 ? code : code - 256);
    }
}

struct Q4K {
    device const uchar* blocks;
    uint inner;
};

// A block of 256: f16 scale and minimum, 12 bytes of six-bit scales and minimums of eight parts,
// 128 bytes of codes, two parts sharing 32 of them.
METAL_FUNC void widen(Q4K weight, uint row, uint column, thread float* to) {
    if (column >= weight.inner) {
        UNROLL
        for (uint i = 0; i < RUN; ++i) {
            to[i] = 0.0f;
        }
        return;
    }
    ulong block = ulong(row) * ulong(weight.inner / 256) + ulong(column / 256);
    device const uchar* bytes = weight.blocks + block * 144;
    device const uchar* steps = bytes + 4;
    uint part = column % 256 / 32;
    uint scale_step;
    uint minimum_step;
    if (part < 4) {
        scale_step = uint(steps[part]) & 63u;
        minimum_step = uint(steps[part + 4]) & 63u;
    } else {
        scale_step = (uint(steps[part + 4]) & 15u) | uint(steps[part - 4]) >> 6 << 4;
        minimum_step = uint(steps[part + 4]) >> 4 | uint(steps[part]) >> 6 << 4;
    }
    float scale = half_at(bytes) * float(scale_step);
    float minimum = half_at(bytes + 2) * float(minimum_step);
    device const uchar* codes = bytes + 16 + part / 2 * 32 + column % 32;
    uint shift = part % 2 * 4;
    UNROLL
    for (uint i = 0; i < RUN; ++i) {
        to[i] = scale * float(uint(codes[i]) >> shift & 15u) - minimum;
    }
}

// Adds the products of two tiles to a thread's sums.
METAL_FUNC void add_products(
    threadgroup const float* left, threadgroup const float* right, uint number, thread float* sums) {
    for (uint depth = 0; depth < DEPTH; ++depth) {
        threadgroup const float* l = left + depth * TILE_STRIDE + number / 16;
        threadgroup const float* r = right + depth * TILE_STRIDE + number % 16;
        UNROLL
        for (uint i = 0; i < 4; ++i) {
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                sums[4 * i + j] += l[16 * i] * r[16 * j];
            }
        }
    }
}

// Rows of activations from `row` on, `depth` being the first column, turned on their side.
template <typename T>
METAL_FUNC void load_rows(
    device const T* x, uint row, uint end_row, uint depth, uint width, uint number, threadgroup float* tile) {
    for (uint at = number; at < TILE * DEPTH; at += TILE_THREADS) {
        uint r = at / DEPTH;
        uint d = at % DEPTH;
        float value = 0.0f;
        if (row + r < end_row && depth + d < width) {
            value = float(x[(row + r) * width + depth + d]);
        }
        tile[d * TILE_STRIDE + r] = value;
    }
}

template <typename T>
METAL_FUNC void store(
    device T* y, uint row, uint end_row, uint column, uint width, uint accumulate, uint number,
    thread const float* sums) {
    UNROLL
    for (uint i = 0; i < 4; ++i) {
        uint r = row + number / 16 + 16 * i;
        UNROLL
        for (uint j = 0; j < 4; ++j) {
            uint c = column + number % 16 + 16 * j;
            if (r < end_row && c < width) {
                uint at = r * width + c;
                float before = accumulate != 0 ? float(y[at]) : 0.0f;
                y[at] = T(before + sums[4 * i + j]);
            }
        }
    }
}

template <typename T, typename Weight>
METAL_FUNC void multiply(
    device const T* x, Weight weight, device T* y, constant Matmul& options,
    threadgroup float* left, threadgroup float* right, uint2 group, uint number) {
    uint row = options.first_row + group.y * TILE;
    uint column = group.x * TILE;
    float sums[16];
    UNROLL
    for (uint i = 0; i < 16; ++i) {
        sums[i] = 0.0f;
    }
    for (uint depth = 0; depth < options.inner; depth += DEPTH) {
        load_rows(x, row, options.end_row, depth, options.inner, number, left);
        float run[RUN];
        uint c = number / 4;
        uint d = number % 4 * RUN;
        if (column + c < options.columns) {
            widen(weight, column + c, depth + d, run);
        } else {
            UNROLL
            for (uint i = 0; i < RUN; ++i) {
                run[i] = 0.0f;
            }
        }
        UNROLL
        for (uint i = 0; i < RUN; ++i) {
            right[(d + i) * TILE_STRIDE + c] = run[i];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        add_products(left, right, number, sums);
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    store(y, row, options.end_row, column, options.columns, options.accumulate, number, sums);
}

template <typename T, typename Weight>
METAL_FUNC void multiply_transposed(
    device const T* dy, Weight weight, device T* dx, constant Matmul& options,
    threadgroup float* left, threadgroup float* right, uint2 group, uint number) {
    uint row = options.first_row + group.y * TILE;
    uint column = group.x * TILE;
    float sums[16];
    UNROLL
    for (uint i = 0; i < 16; ++i) {
        sums[i] = 0.0f;
    }
    for (uint depth = 0; depth < options.columns; depth += DEPTH) {
        load_rows(dy, row, options.end_row, depth, options.columns, number, left);
        float run[RUN];
        uint d = number / 8;
        uint c = number % 8 * RUN;
        if (depth + d < options.columns) {
            widen(weight, depth + d, column + c, run);
        } else {
            UNROLL
            for (uint i = 0; i < RUN; ++i) {
                run[i] = 0.0f;
            }
        }
        UNROLL
        for (uint i = 0; i < RUN; ++i) {
            right[d * TILE_STRIDE + c + i] = run[i];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        add_products(left, right, number, sums);
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    store(dx, row, options.end_row, column, options.inner, options.accumulate, number, sums);
}

template <typename T>
[[kernel]] void matmul_nf4(
    device const T* x [[buffer(0)]],
    device const uchar* codes [[buffer(1)]],
    device const uchar* magnitudes [[buffer(2)]],
    device const float* outer_magnitudes [[buffer(3)]],
    device const float* map [[buffer(4)]],
    device T* y [[buffer(5)]],
    constant Matmul& options [[buffer(6)]],
    threadgroup float* left [[threadgroup(0)]],
    threadgroup float* right [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    Nf4 weight = {codes, magnitudes, outer_magnitudes, map, options.magnitude_mean, options.inner};
    multiply(x, weight, y, options, left, right, group, number);
}

template <typename T>
[[kernel]] void matmul_nf4_transposed(
    device const T* dy [[buffer(0)]],
    device const uchar* codes [[buffer(1)]],
    device const uchar* magnitudes [[buffer(2)]],
    device const float* outer_magnitudes [[buffer(3)]],
    device const float* map [[buffer(4)]],
    device T* dx [[buffer(5)]],
    constant Matmul& options [[buffer(6)]],
    threadgroup float* left [[threadgroup(0)]],
    threadgroup float* right [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    Nf4 weight = {codes, magnitudes, outer_magnitudes, map, options.magnitude_mean, options.inner};
    multiply_transposed(dy, weight, dx, options, left, right, group, number);
}

template <typename T, typename Weight>
[[kernel]] void matmul_ggml(
    device const T* x [[buffer(0)]],
    device const uchar* blocks [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant Matmul& options [[buffer(3)]],
    threadgroup float* left [[threadgroup(0)]],
    threadgroup float* right [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    Weight weight = {blocks, options.inner};
    multiply(x, weight, y, options, left, right, group, number);
}

template <typename T, typename Weight>
[[kernel]] void matmul_ggml_transposed(
    device const T* dy [[buffer(0)]],
    device const uchar* blocks [[buffer(1)]],
    device T* dx [[buffer(2)]],
    constant Matmul& options [[buffer(3)]],
    threadgroup float* left [[threadgroup(0)]],
    threadgroup float* right [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    Weight weight = {blocks, options.inner};
    multiply_transposed(dy, weight, dx, options, left, right, group, number);
}

INSTANTIATE_STORED("matmul_nf4", matmul_nf4)
INSTANTIATE_STORED("matmul_nf4_transposed", matmul_nf4_transposed)
INSTANTIATE_STORED_WITH("matmul_q8_0", matmul_ggml, Q8_0)
INSTANTIATE_STORED_WITH("matmul_q8_0_transposed", matmul_ggml_transposed, Q8_0)
INSTANTIATE_STORED_WITH("matmul_q4_k", matmul_ggml, Q4K)
INSTANTIATE_STORED_WITH("matmul_q4_k_transposed", matmul_ggml_transposed, Q4K)
