// Causal attention with grouped key heads, forward: an online softmax over tiles of keys (Dao et
// al., 2022), so that no T × T matrix exists. What a query sees, its sample and its window, is in
// `visible`.
//
// A threadgroup of 128 takes 32 query rows of a head and walks over tiles of 32 keys. Eight
// neighbouring threads share two rows, sixteen apart; each has every eighth key of a tile, and
// every eighth element of the result. Heads are read 32 elements at a time, zeros beyond their
// width.

struct Attention {
    uint first_row;
    uint end_row;
    uint first_head;
    uint query_heads;
    uint key_value_heads;
    uint head_dim;
    float scale;
    float softcap;
};

constant constexpr uint TILE_ROWS = 32;
constant constexpr uint TILE_WIDTH = 33;
constant constexpr uint ATTENTION_THREADS = 128;
// Below any score, and finite: relaxed mathematics may assume that there are no infinities.
constant constexpr float LOWEST_SCORE = -1.0e30f;

// 32 elements of rows `row ..` of one head, from element `from` on; zeros beyond `end_row` and
// beyond the head.
template <typename T>
METAL_FUNC void load_head(
    device const T* x, uint row, uint end_row, uint rows, uint heads, uint head, uint head_dim, uint from,
    uint number, threadgroup float* tile) {
    for (uint at = number; at < rows * 32; at += ATTENTION_THREADS) {
        uint r = at / 32;
        uint d = at % 32;
        float value = 0.0f;
        if (row + r < end_row && from + d < head_dim) {
            value = float(x[((row + r) * heads + head) * head_dim + from + d]);
        }
        tile[r * TILE_WIDTH + d] = value;
    }
}

// The sum, or the largest, over the eight threads that share a row.
METAL_FUNC float sum_of_row(float value) {
    value += simd_shuffle_xor(value, ushort(1));
    value += simd_shuffle_xor(value, ushort(2));
    value += simd_shuffle_xor(value, ushort(4));
    return value;
}

METAL_FUNC float largest_of_row(float value) {
    value = max(value, simd_shuffle_xor(value, ushort(1)));
    value = max(value, simd_shuffle_xor(value, ushort(2)));
    value = max(value, simd_shuffle_xor(value, ushort(4)));
    return value;
}

// The rows that any of `first .. end` has to do with.
METAL_FUNC uint2 range_of_rows(device const uint* ranges, uint first, uint end) {
    uint low = ranges[2 * first];
    uint high = ranges[2 * first + 1];
    for (uint row = first + 1; row < end; ++row) {
        low = min(low, ranges[2 * row]);
        high = max(high, ranges[2 * row + 1]);
    }
    uint2 result;
    result.x = low;
    result.y = high;
    return result;
}

template <typename T, uint D>
[[kernel]] void attention(
    device const T* q [[buffer(0)]],
    device const T* k [[buffer(1)]],
    device const T* v [[buffer(2)]],
    device const uint* visible [[buffer(3)]],
    device T* o [[buffer(4)]],
    device float* log_sum_exp [[buffer(5)]],
    constant Attention& options [[buffer(6)]],
    threadgroup float* left [[threadgroup(0)]],
    threadgroup float* right [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    uint first = options.first_row + group.x * TILE_ROWS;
    uint end = min(first + TILE_ROWS, options.end_row);
    uint head = options.first_head + group.y;
    uint key_heads = options.key_value_heads;
    uint key_head = head / (options.query_heads / key_heads);
    uint d = options.head_dim;
    uint2 keys = range_of_rows(visible, first, end);
    uint lane = number % 8;

    uint2 sees[2];
    float largest[2];
    float sum[2];
    float result[2 * D / 8];
    UNROLL
    for (uint i = 0; i < 2; ++i) {
        uint row = first + number / 8 + 16 * i;
        sees[i].x = row < end ? visible[2 * row] : 0;
        sees[i].y = row < end ? visible[2 * row + 1] : 0;
        largest[i] = LOWEST_SCORE;
        sum[i] = 0.0f;
    }
    UNROLL
    for (uint i = 0; i < 2 * D / 8; ++i) {
        result[i] = 0.0f;
    }

    for (uint key = keys.x; key < keys.y; key += TILE_ROWS) {
        float scores[8];
        UNROLL
        for (uint i = 0; i < 8; ++i) {
            scores[i] = 0.0f;
        }
        for (uint from = 0; from < d; from += 32) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
            load_head(q, first, end, TILE_ROWS, options.query_heads, head, d, from, number, left);
            load_head(k, key, keys.y, TILE_ROWS, key_heads, key_head, d, from, number, right);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            for (uint at = 0; at < 32; ++at) {
                UNROLL
                for (uint i = 0; i < 2; ++i) {
                    float value = left[(number / 8 + 16 * i) * TILE_WIDTH + at];
                    UNROLL
                    for (uint j = 0; j < 4; ++j) {
                        scores[4 * i + j] += value * right[(lane + 8 * j) * TILE_WIDTH + at];
                    }
                }
            }
        }

        // Every thread has read the tile of queries: their probabilities take its place.
        threadgroup_barrier(mem_flags::mem_threadgroup);
        UNROLL
        for (uint i = 0; i < 2; ++i) {
            float highest = LOWEST_SCORE;
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                uint at = key + lane + 8 * j;
                float score = softcap(scores[4 * i + j] * options.scale, options.softcap);
                bool seen = at >= sees[i].x && at < sees[i].y;
                scores[4 * i + j] = seen ? score : LOWEST_SCORE;
                highest = max(highest, scores[4 * i + j]);
            }
            float next = max(largest[i], largest_of_row(highest));
            float rescale = exp(largest[i] - next);
            float part = 0.0f;
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                uint at = key + lane + 8 * j;
                bool seen = at >= sees[i].x && at < sees[i].y;
                float p = seen ? exp(scores[4 * i + j] - next) : 0.0f;
                left[(number / 8 + 16 * i) * TILE_WIDTH + lane + 8 * j] = p;
                part += p;
            }
            sum[i] = sum[i] * rescale + sum_of_row(part);
            largest[i] = next;
            UNROLL
            for (uint j = 0; j < D / 8; ++j) {
                result[i * (D / 8) + j] *= rescale;
            }
        }

        UNROLL
        for (uint chunk = 0; chunk < D / 32; ++chunk) {
            if (chunk * 32 < d) {
                if (chunk > 0) {
                    threadgroup_barrier(mem_flags::mem_threadgroup);
                }
                load_head(v, key, keys.y, TILE_ROWS, key_heads, key_head, d, chunk * 32, number, right);
                threadgroup_barrier(mem_flags::mem_threadgroup);
                for (uint at = 0; at < TILE_ROWS; ++at) {
                    UNROLL
                    for (uint i = 0; i < 2; ++i) {
                        float p = left[(number / 8 + 16 * i) * TILE_WIDTH + at];
                        UNROLL
                        for (uint j = 0; j < 4; ++j) {
                            result[i * (D / 8) + chunk * 4 + j] += p * right[at * TILE_WIDTH + lane + 8 * j];
                        }
                    }
                }
            }
        }
    }

    UNROLL
    for (uint i = 0; i < 2; ++i) {
        uint row = first + number / 8 + 16 * i;
        if (row < end) {
            uint at = row * options.query_heads + head;
            UNROLL
            for (uint j = 0; j < D / 8; ++j) {
                uint element = lane + 8 * j;
                if (element < d) {
                    o[at * d + element] = T(result[i * (D / 8) + j] / sum[i]);
                }
            }
            if (lane == 0) {
                log_sum_exp[at] = largest[i] + log(sum[i]);
            }
        }
    }
}

INSTANTIATE_STORED_WITH("attention_64", attention, 64)
INSTANTIATE_STORED_WITH("attention_128", attention, 128)
INSTANTIATE_STORED_WITH("attention_256", attention, 256)
