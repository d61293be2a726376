// Runs threadgroups: a fiber for each thread, switched at barriers and SIMD-group operations.
//
// Threads are resumed in an order drawn from the request's seed, anew after each barrier, and so
// are the groups: what depends on an order that Metal does not promise shows as a difference
// between seeds. Every buffer and every piece of threadgroup memory is a heap block of exactly its
// size, the latter full of NaNs when a group begins. Reads requests from standard input, writes
// buffers to standard output, and ends at the first thing a GPU would not have defined.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>
// After the others: `thread` and `device` are words in them.
#include "metal_stdlib"

extern "C" {
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
}

namespace {

using metal::uint;
using metal::uint3;

const size_t STACK = 256 * 1024;
const uint LANES = 32;

enum class Operation { None, Barrier, Sum, Max, ShuffleXor };

struct Fiber {
    ucontext_t context;
    char *stack;
    void *fake_stack = nullptr;
    uint number;
    bool finished = true;
    // What it waits for.
    Operation operation = Operation::None;
    int line = 0;
    float value = 0;
    uint mask = 0;
};

struct Kernel {
    shim::Erased function;
    shim::Thunk thunk;
    const shim::Binding *bindings;
};

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
    explicit Block(size_t size) : bytes(new char[size]), size(size) {}
};

std::string current_name;
Kernel current;
std::vector<Block> buffers, shared;
uint3 grid, threads, group;
std::vector<std::unique_ptr<Fiber>> fibers;
Fiber *running;
ucontext_t scheduler;
const void *scheduler_stack;
size_t scheduler_stack_size;
uint64_t random_state;

[[noreturn]] void fail(const std::string &why) {
    std::fprintf(stderr, "%s, group (%u, %u, %u): %s\n", current_name.c_str(), group.x, group.y, group.z, why.c_str());
    std::_Exit(3);
}

uint random_below(uint bound) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return uint((random_state >> 33) % bound);
}

template <typename T> void shuffle(std::vector<T> &values) {
    for (size_t i = values.size(); i > 1; --i) {
        std::swap(values[i - 1], values[random_below(uint(i))]);
    }
}

void yield_to_scheduler(Fiber &fiber) {
    __sanitizer_start_switch_fiber(&fiber.fake_stack, scheduler_stack, scheduler_stack_size);
    swapcontext(&fiber.context, &scheduler);
    __sanitizer_finish_switch_fiber(fiber.fake_stack, nullptr, nullptr);
}

void fiber_main() {
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
    for (;;) {
        Fiber &fiber = *running;
        current.thunk(current.function, current.bindings);
        fiber.finished = true;
        yield_to_scheduler(fiber);
    }
}

void resume(Fiber &fiber) {
    running = &fiber;
    void *fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, fiber.stack, STACK);
    swapcontext(&scheduler, &fiber.context);
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}

float wait(Operation operation, int line, float value, uint mask) {
    Fiber &fiber = *running;
    fiber.operation = operation;
    fiber.line = line;
    fiber.value = value;
    fiber.mask = mask;
    yield_to_scheduler(fiber);
    return fiber.value;
}

const char *name_of(Operation operation) {
    switch (operation) {
    case Operation::None: return "its end";
    case Operation::Barrier: return "a barrier";
    case Operation::Sum: return "simd_sum";
    case Operation::Max: return "simd_max";
    default: return "simd_shuffle_xor";
    }
}

/// All threads from `first` on must be at one place.
void check_together(uint first, uint count) {
    const Fiber &model = *fibers[first];
    for (uint i = first; i < first + count; ++i) {
        const Fiber &fiber = *fibers[i];
        if (fiber.operation != model.operation || (fiber.operation != Operation::None && fiber.line != model.line)) {
            fail("diverged: thread " + std::to_string(first) + " is at " + name_of(model.operation) + " in line " +
                 std::to_string(model.line) + ", thread " + std::to_string(i) + " at " + name_of(fiber.operation) +
                 " in line " + std::to_string(fiber.line));
        }
    }
}

/// Gives each lane the result of the operation that all of them are at.
void exchange(uint first) {
    float values[LANES];
    for (uint lane = 0; lane < LANES; ++lane) {
        values[lane] = fibers[first + lane]->value;
    }
    for (uint lane = 0; lane < LANES; ++lane) {
        Fiber &fiber = *fibers[first + lane];
        float result = values[0];
        if (fiber.operation == Operation::ShuffleXor) {
            if ((lane ^ fiber.mask) >= LANES) {
                fail("simd_shuffle_xor reaches beyond its SIMD group");
            }
            result = values[lane ^ fiber.mask];
        } else {
            for (uint other = 1; other < LANES; ++other) {
                result = fiber.operation == Operation::Sum ? result + values[other] : metal::max(result, values[other]);
            }
        }
        fiber.value = result;
    }
}

/// Until a SIMD group is at a barrier or at its end.
void run_simdgroup(uint first) {
    std::vector<uint> order(LANES);
    for (uint lane = 0; lane < LANES; ++lane) {
        order[lane] = first + lane;
    }
    shuffle(order);
    for (;;) {
        for (uint number : order) {
            Fiber &fiber = *fibers[number];
            fiber.operation = Operation::None;
            fiber.line = 0;
            resume(fiber);
        }
        check_together(first, LANES);
        Operation operation = fibers[first]->operation;
        if (operation == Operation::None || operation == Operation::Barrier) {
            return;
        }
        exchange(first);
    }
}

void run_group() {
    for (Block &block : shared) {
        block = Block(block.size);
        std::memset(block.bytes.get(), 0xff, block.size);
    }
    uint count = threads.x * threads.y * threads.z;
    for (uint i = 0; i < count; ++i) {
        fibers[i]->finished = false;
    }
    std::vector<uint> order;
    for (uint first = 0; first < count; first += LANES) {
        order.push_back(first);
    }
    do {
        shuffle(order);
        for (uint first : order) {
            run_simdgroup(first);
        }
        check_together(0, count);
    } while (fibers[0]->operation == Operation::Barrier);
}

void run_grid() {
    uint count = threads.x * threads.y * threads.z;
    if (count == 0 || count > 1024 || count % LANES != 0) {
        fail(std::to_string(count) + " threads in a group");
    }
    size_t memory = 0;
    for (const Block &block : shared) {
        memory += (block.size + 15) / 16 * 16;
    }
    if (memory > 32768) {
        fail(std::to_string(memory) + " bytes of threadgroup memory, more than there are");
    }
    while (fibers.size() < count) {
        std::unique_ptr<Fiber> fiber(new Fiber());
        fiber->number = uint(fibers.size());
        void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED) {
            fail("no memory for a stack");
        }
        fiber->stack = static_cast<char *>(stack);
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = stack;
        fiber->context.uc_stack.ss_size = STACK;
        fiber->context.uc_link = nullptr;
        makecontext(&fiber->context, fiber_main, 0);
        fibers.push_back(std::move(fiber));
    }
    std::vector<uint3> groups;
    for (uint z = 0; z < grid.z; ++z) {
        for (uint y = 0; y < grid.y; ++y) {
            for (uint x = 0; x < grid.x; ++x) {
                groups.push_back({x, y, z});
            }
        }
    }
    shuffle(groups);
    for (const uint3 &one : groups) {
        group = one;
        run_group();
    }
}

template <typename T> T read() {
    T value;
    if (std::fread(&value, sizeof(T), 1, stdin) != 1) {
        std::_Exit(0);
    }
    return value;
}

void read_bytes(void *to, size_t size) {
    if (size != 0 && std::fread(to, size, 1, stdin) != 1) {
        fail("the request ends too soon");
    }
}

} // namespace

namespace shim {

void add(const char *name, Erased kernel, Thunk thunk, const Binding *bindings) {
    kernels()[name] = {kernel, thunk, bindings};
}

void *pointer(Binding binding) {
    std::vector<Block> &blocks = binding.source == Source::Buffer ? buffers : shared;
    if (binding.index >= blocks.size()) {
        fail("nothing is bound at " + std::to_string(binding.index));
    }
    return blocks[binding.index].bytes.get();
}

void *constants(Binding binding, size_t size) {
    void *bytes = pointer(binding);
    if (buffers[binding.index].size != size) {
        fail("a struct of " + std::to_string(size) + " bytes is bound to " +
             std::to_string(buffers[binding.index].size));
    }
    return bytes;
}

uint3 position(Binding binding) {
    uint number = running->number;
    uint3 thread_in_group = {number % threads.x, number / threads.x % threads.y, number / threads.x / threads.y};
    switch (binding.source) {
    case Source::ThreadInGroup: return thread_in_group;
    case Source::GroupInGrid: return group;
    case Source::ThreadInGrid:
        return {group.x * threads.x + thread_in_group.x, group.y * threads.y + thread_in_group.y,
                group.z * threads.z + thread_in_group.z};
    case Source::ThreadsPerGroup: return threads;
    case Source::IndexInGroup: return {number, 0, 0};
    case Source::LaneInSimdgroup: return {number % LANES, 0, 0};
    case Source::SimdgroupInGroup: return {number / LANES, 0, 0};
    default: return {threads.x * threads.y * threads.z / LANES, 0, 0};
    }
}

} // namespace shim

namespace metal {

void threadgroup_barrier(mem_flags, int line) { wait(Operation::Barrier, line, 0, 0); }
float simd_sum(float value, int line) { return wait(Operation::Sum, line, value, 0); }
float simd_max(float value, int line) { return wait(Operation::Max, line, value, 0); }
float simd_shuffle_xor(float value, ushort mask, int line) { return wait(Operation::ShuffleXor, line, value, mask); }

} // namespace metal

int main() {
    for (;;) {
        current_name.resize(read<uint>());
        read_bytes(&current_name[0], current_name.size());
        auto found = kernels().find(current_name);
        if (found == kernels().end()) {
            fail("there is no such function");
        }
        current = found->second;
        random_state = read<uint64_t>();
        grid = {read<uint>(), read<uint>(), read<uint>()};
        threads = {read<uint>(), read<uint>(), read<uint>()};
        buffers.clear();
        for (uint left = read<uint>(); left > 0; --left) {
            buffers.emplace_back(size_t(read<uint64_t>()));
            read_bytes(buffers.back().bytes.get(), buffers.back().size);
        }
        shared.clear();
        for (uint left = read<uint>(); left > 0; --left) {
            shared.emplace_back(size_t(read<uint64_t>()));
        }
        run_grid();
        for (const Block &buffer : buffers) {
            if (buffer.size != 0 && std::fwrite(buffer.bytes.get(), buffer.size, 1, stdout) != 1) {
                fail("the result cannot be written");
            }
        }
        std::fflush(stdout);
    }
}
