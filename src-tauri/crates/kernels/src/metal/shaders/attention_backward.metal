// The backward of attention.metal, which stands before it in a library: probabilities are built
// again from the log-sum-exp, tile by tile.

// Σ o · d_o of each row and head: what a softmax takes off the gradient of its probabilities.
template <typename T>
[[kernel]] void attention_delta(
    device const T* o [[buffer(0)]],
    device const T* d_o [[buffer(1)]],
    device float* delta [[buffer(2)]],
    constant Attention& options [[buffer(3)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]]) {
    uint at = (options.first_row + group.x) * options.query_heads + options.first_head + group.y;
    float sum = 0.0f;
    for (uint i = lane; i < options.head_dim; i += LANES) {
        sum += float(o[at * options.head_dim + i]) * float(d_o[at * options.head_dim + i]);
    }
    sum = simd_sum(sum);
    if (lane == 0) {
        delta[at] = sum;
    }
}

// The gradient of a bare product q · k, from its value, that of its probability, and the row's
// log-sum-exp and delta; the probability is left in `p`.
METAL_FUNC float gradient_of_product(
    float product, float dp, float log_sum_exp, float delta, bool seen, constant Attention& options,
    thread float& p) {
    float score = softcap(product * options.scale, options.softcap);
    p = seen ? exp(min(score - log_sum_exp, 80.0f)) : 0.0f;
    return p * (dp - delta) * softcap_slope(score, options.softcap) * options.scale;
}

// As the forward: 32 query rows of a head over tiles of 32 keys.
template <typename T, uint D>
[[kernel]] void attention_backward_query(
    device const T* q [[buffer(0)]],
    device const T* k [[buffer(1)]],
    device const T* v [[buffer(2)]],
    device const uint* visible [[buffer(3)]],
    device const float* log_sum_exp [[buffer(4)]],
    device const float* delta [[buffer(5)]],
    device const T* d_o [[buffer(6)]],
    device T* dq [[buffer(7)]],
    constant Attention& options [[buffer(8)]],
    threadgroup float* q_tile [[threadgroup(0)]],
    threadgroup float* k_tile [[threadgroup(1)]],
    threadgroup float* d_o_tile [[threadgroup(2)]],
    threadgroup float* v_tile [[threadgroup(3)]],
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
    float log_sum[2];
    float taken[2];
    float result[2 * D / 8];
    UNROLL
    for (uint i = 0; i < 2; ++i) {
        uint row = first + number / 8 + 16 * i;
        uint at = row * options.query_heads + head;
        sees[i].x = row < end ? visible[2 * row] : 0;
        sees[i].y = row < end ? visible[2 * row + 1] : 0;
        log_sum[i] = row < end ? log_sum_exp[at] : 0.0f;
        taken[i] = row < end ? delta[at] : 0.0f;
    }
    UNROLL
    for (uint i = 0; i < 2 * D / 8; ++i) {
        result[i] = 0.0f;
    }

    for (uint key = keys.x; key < keys.y; key += TILE_ROWS) {
        float products[8];
        float dp[8];
        UNROLL
        for (uint i = 0; i < 8; ++i) {
            products[i] = 0.0f;
            dp[i] = 0.0f;
        }
        for (uint from = 0; from < d; from += 32) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
            load_head(q, first, end, TILE_ROWS, options.query_heads, head, d, from, number, q_tile);
            load_head(d_o, first, end, TILE_ROWS, options.query_heads, head, d, from, number, d_o_tile);
            load_head(k, key, keys.y, TILE_ROWS, key_heads, key_head, d, from, number, k_tile);
            load_head(v, key, keys.y, TILE_ROWS, key_heads, key_head, d, from, number, v_tile);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            for (uint at = 0; at < 32; ++at) {
                UNROLL
                for (uint i = 0; i < 2; ++i) {
                    uint row = (number / 8 + 16 * i) * TILE_WIDTH + at;
                    UNROLL
                    for (uint j = 0; j < 4; ++j) {
                        uint other = (lane + 8 * j) * TILE_WIDTH + at;
                        products[4 * i + j] += q_tile[row] * k_tile[other];
                        dp[4 * i + j] += d_o_tile[row] * v_tile[other];
                    }
                }
            }
        }

        // Every thread has read the tile of queries: the gradient of the products takes its place.
        threadgroup_barrier(mem_flags::mem_threadgroup);
        UNROLL
        for (uint i = 0; i < 2; ++i) {
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                uint at = key + lane + 8 * j;
                bool seen = at >= sees[i].x && at < sees[i].y;
                float p;
                q_tile[(number / 8 + 16 * i) * TILE_WIDTH + lane + 8 * j] = gradient_of_product(
                    products[4 * i + j], dp[4 * i + j], log_sum[i], taken[i], seen, options, p);
            }
        }

        UNROLL
        for (uint chunk = 0; chunk < D / 32; ++chunk) {
            if (chunk * 32 < d) {
                if (chunk > 0) {
                    threadgroup_barrier(mem_flags::mem_threadgroup);
                }
                load_head(k, key, keys.y, TILE_ROWS, key_heads, key_head, d, chunk * 32, number, k_tile);
                threadgroup_barrier(mem_flags::mem_threadgroup);
                for (uint at = 0; at < TILE_ROWS; ++at) {
                    UNROLL
                    for (uint i = 0; i < 2; ++i) {
                        float gradient = q_tile[(number / 8 + 16 * i) * TILE_WIDTH + at];
                        UNROLL
                        for (uint j = 0; j < 4; ++j) {
                            result[i * (D / 8) + chunk * 4 + j] +=
                                gradient * k_tile[at * TILE_WIDTH + lane + 8 * j];
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
            uint at = (row * options.query_heads + head) * d;
            UNROLL
            for (uint j = 0; j < D / 8; ++j) {
                uint element = lane + 8 * j;
                if (element < d) {
                    dq[at + element] = T(result[i * (D / 8) + j]);
                }
            }
        }
    }
}

constant constexpr uint KEY_ROWS = 16;

// 16 key rows of a key head over the query rows that may see them, one query head of its group
// after the other. Eight threads share a key row; each has every eighth query of a tile of 32.
template <typename T, uint D>
[[kernel]] void attention_backward_key_value(
    device const T* q [[buffer(0)]],
    device const T* k [[buffer(1)]],
    device const T* v [[buffer(2)]],
    device const uint* visible [[buffer(3)]],
    device const uint* seen_by [[buffer(4)]],
    device const float* log_sum_exp [[buffer(5)]],
    device const float* delta [[buffer(6)]],
    device const T* d_o [[buffer(7)]],
    device T* dk [[buffer(8)]],
    device T* dv [[buffer(9)]],
    constant Attention& options [[buffer(10)]],
    threadgroup float* k_tile [[threadgroup(0)]],
    threadgroup float* q_tile [[threadgroup(1)]],
    threadgroup float* v_tile [[threadgroup(2)]],
    threadgroup float* d_o_tile [[threadgroup(3)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint number [[thread_index_in_threadgroup]]) {
    uint first = options.first_row + group.x * KEY_ROWS;
    uint end = min(first + KEY_ROWS, options.end_row);
    uint key_heads = options.key_value_heads;
    uint key_head = options.first_head + group.y;
    uint heads_of_group = options.query_heads / key_heads;
    uint d = options.head_dim;
    uint2 queries = range_of_rows(seen_by, first, end);
    uint lane = number % 8;
    uint own = number / 8;
    uint row = first + own;

    float dk_sums[D / 8];
    float dv_sums[D / 8];
    UNROLL
    for (uint i = 0; i < D / 8; ++i) {
        dk_sums[i] = 0.0f;
        dv_sums[i] = 0.0f;
    }

    for (uint member = 0; member < heads_of_group; ++member) {
        uint head = key_head * heads_of_group + member;
        for (uint query = queries.x; query < queries.y; query += TILE_ROWS) {
            float products[4];
            float dp[4];
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                products[j] = 0.0f;
                dp[j] = 0.0f;
            }
            for (uint from = 0; from < d; from += 32) {
                threadgroup_barrier(mem_flags::mem_threadgroup);
                load_head(k, first, end, KEY_ROWS, key_heads, key_head, d, from, number, k_tile);
                load_head(v, first, end, KEY_ROWS, key_heads, key_head, d, from, number, v_tile);
                load_head(q, query, queries.y, TILE_ROWS, options.query_heads, head, d, from, number, q_tile);
                load_head(d_o, query, queries.y, TILE_ROWS, options.query_heads, head, d, from, number, d_o_tile);
                threadgroup_barrier(mem_flags::mem_threadgroup);
                for (uint at = 0; at < 32; ++at) {
                    UNROLL
                    for (uint j = 0; j < 4; ++j) {
                        uint other = (lane + 8 * j) * TILE_WIDTH + at;
                        products[j] += k_tile[own * TILE_WIDTH + at] * q_tile[other];
                        dp[j] += v_tile[own * TILE_WIDTH + at] * d_o_tile[other];
                    }
                }
            }

            // Every thread has read the tiles of keys and values: the products' gradients and the
            // probabilities take their place.
            threadgroup_barrier(mem_flags::mem_threadgroup);
            UNROLL
            for (uint j = 0; j < 4; ++j) {
                uint at = query + lane + 8 * j;
                bool seen = false;
                float log_sum = 0.0f;
                float taken = 0.0f;
                if (at < queries.y && row < end) {
                    seen = row >= visible[2 * at] && row < visible[2 * at + 1];
                    log_sum = log_sum_exp[at * options.query_heads + head];
                    taken = delta[at * options.query_heads + head];
                }
                float p;
                k_tile[own * TILE_WIDTH + lane + 8 * j] =
                    gradient_of_product(products[j], dp[j], log_sum, taken, seen, options, p);
                v_tile[own * TILE_WIDTH + lane + 8 * j] = p;
            }

            UNROLL
            for (uint chunk = 0; chunk < D / 32; ++chunk) {
                if (chunk * 32 < d) {
                    if (chunk > 0) {
                        threadgroup_barrier(mem_flags::mem_threadgroup);
                    }
                    uint from = chunk * 32;
                    load_head(q, query, queries.y, TILE_ROWS, options.query_heads, head, d, from, number, q_tile);
                    load_head(d_o, query, queries.y, TILE_ROWS, options.query_heads, head, d, from, number, d_o_tile);
                    threadgroup_barrier(mem_flags::mem_threadgroup);
                    for (uint at = 0; at < TILE_ROWS; ++at) {
                        float gradient = k_tile[own * TILE_WIDTH + at];
                        float p = v_tile[own * TILE_WIDTH + at];
                        UNROLL
                        for (uint j = 0; j < 4; ++j) {
                            uint other = at * TILE_WIDTH + lane + 8 * j;
                            dk_sums[chunk * 4 + j] += gradient * q_tile[other];
                            dv_sums[chunk * 4 + j] += p * d_o_tile[other];
                        }
                    }
                }
            }
        }
    }

    if (row < end) {
        uint at = (row * key_heads + key_head) * d;
        UNROLL
        for (uint j = 0; j < D / 8; ++j) {
            uint element = lane + 8 * j;
            if (element < d) {
                dk[at + element] = T(dk_sums[j]);
                dv[at + element] = T(dv_sums[j]);
            }
        }
    }
}

INSTANTIATE_STORED("attention_delta", attention_delta)
INSTANTIATE_STORED_WITH("attention_backward_query_64", attention_backward_query, 64)
INSTANTIATE_STORED_WITH("attention_backward_query_128", attention_backward_query, 128)
INSTANTIATE_STORED_WITH("attention_backward_query_256", attention_backward_query, 256)
INSTANTIATE_STORED_WITH("attention_backward_key_value_64", attention_backward_key_value, 64)
INSTANTIATE_STORED_WITH("attention_backward_key_value_128", attention_backward_key_value, 128)
INSTANTIATE_STORED_WITH("attention_backward_key_value_256", attention_backward_key_value, 256)
