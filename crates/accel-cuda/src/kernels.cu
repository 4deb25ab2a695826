// The kernels of `cloven_accel::gpu`, which says what their parameters mean.
//
// Buffers hold words: an f32, or the residues of one number modulo four primes, a byte each.

typedef unsigned int word;

struct Parameters {
    word at[16];
};

// First element and stride of a thread, where each element has one.
#define FIRST (blockIdx.x * 256 + threadIdx.x)
#define STRIDE (gridDim.x * 256)

// ---- Residues

__device__ word reduced_by(int sum, int prime) {
    int rest = sum % prime;
    if (rest > prime / 2) rest -= prime;
    if (rest < -(prime / 2)) rest += prime;
    return (word)rest & 255;
}

// Sums modulo each prime, centred, as one word.
__device__ word reduced(int4 sums) {
    return reduced_by(sums.x, 251) | reduced_by(sums.y, 241) << 8 | reduced_by(sums.z, 239) << 16 | reduced_by(sums.w, 233) << 24;
}

__device__ void add_residues(int4 &sums, word residues) {
    sums.x += (signed char)(residues & 255);
    sums.y += (signed char)(residues >> 8 & 255);
    sums.z += (signed char)(residues >> 16 & 255);
    sums.w += (signed char)(residues >> 24);
}

__device__ word byte_of(const word *planes, word index) {
    return planes[index / 4] >> 8 * (index % 4) & 255;
}

// ---- What has a thread for each element

extern "C" __global__ void pack_residues(Parameters p, const word *left, const word *right, word *output) {
    word count = p.at[0];
    for (word i = FIRST; i < count; i += STRIDE) {
        output[i] = byte_of(left, i) | byte_of(left, count + i) << 8 | byte_of(left, 2 * count + i) << 16
            | byte_of(left, 3 * count + i) << 24;
    }
}

// Byte `index` of the planes.
__device__ word residue(const word *left, word count, word index) {
    word plane = index / count;
    return left[index - plane * count] >> 8 * plane & 255;
}

extern "C" __global__ void unpack_residues(Parameters p, const word *left, const word *right, word *output) {
    word count = p.at[0];
    for (word i = FIRST; i < count; i += STRIDE) {
        word first = 4 * i;
        output[i] = residue(left, count, first) | residue(left, count, first + 1) << 8 | residue(left, count, first + 2) << 16
            | residue(left, count, first + 3) << 24;
    }
}

extern "C" __global__ void add_multiple(Parameters p, const word *left, const word *right, word *output) {
    float factor = __uint_as_float(p.at[1]);
    for (word i = FIRST; i < p.at[0]; i += STRIDE) {
        output[i] = __float_as_uint(__uint_as_float(left[i]) + factor * __uint_as_float(right[i]));
    }
}

extern "C" __global__ void sum_residues(Parameters p, const word *left, const word *right, word *output) {
    word count = p.at[0];
    for (word i = FIRST; i < count; i += STRIDE) {
        int4 sums = make_int4(0, 0, 0, 0);
        for (word part = 0; part < p.at[1]; part++) add_residues(sums, left[part * count + i]);
        output[i] = reduced(sums);
    }
}

extern "C" __global__ void sum_floats(Parameters p, const word *left, const word *right, word *output) {
    word count = p.at[0];
    for (word i = FIRST; i < count; i += STRIDE) {
        float sum = 0;
        for (word part = 0; part < p.at[1]; part++) sum += __uint_as_float(left[part * count + i]);
        output[i] = __float_as_uint(sum);
    }
}

// ---- Convolutions

struct Window {
    word channels, height, width, kernel_height, kernel_width, stride_down, stride_across, padding_rows, padding_columns, places_down,
        places_across;
};

__device__ Window window_of(const Parameters &p) {
    return {p.at[1], p.at[2], p.at[3], p.at[4], p.at[5], p.at[6], p.at[7], p.at[8], p.at[9], p.at[10], p.at[11]};
}

extern "C" __global__ void unfold(Parameters p, const word *left, const word *right, word *output) {
    Window w = window_of(p);
    word columns = w.kernel_height * w.kernel_width * w.channels;
    for (word i = FIRST; i < p.at[0]; i += STRIDE) {
        word patch = i / columns;
        word element = i % columns / w.channels;
        word row = patch / w.places_across;
        // Beyond the padding these wrap to huge numbers.
        word y = row % w.places_down * w.stride_down + element / w.kernel_width - w.padding_rows;
        word x = patch % w.places_across * w.stride_across + element % w.kernel_width - w.padding_columns;
        word moved = 0;
        if (y < w.height && x < w.width) {
            word image = row / w.places_down;
            moved = left[((image * w.height + y) * w.width + x) * w.channels + i % w.channels];
        }
        output[i] = moved;
    }
}

// Of the places of a kernel, on one side, that cover an index: the first, and one past the last.
__device__ uint2 covering(word index, word padding, word kernel, word stride, word places) {
    word padded = index + padding;
    word first = (max(padded + 1, kernel) - kernel + stride - 1) / stride;
    return make_uint2(first, min(padded / stride + 1, places));
}

// Calls `add` with the words of patches that came from an element of an image, in the order of the patches.
template <typename Add>
__device__ void each_folded(const Window &w, const word *left, word element, Add add) {
    word channel = element % w.channels;
    word pixel = element / w.channels;
    word x = pixel % w.width;
    word y = pixel / w.width % w.height;
    word image = pixel / w.width / w.height;
    uint2 down = covering(y, w.padding_rows, w.kernel_height, w.stride_down, w.places_down);
    uint2 across = covering(x, w.padding_columns, w.kernel_width, w.stride_across, w.places_across);
    for (word i = down.x; i < down.y; i++) {
        for (word j = across.x; j < across.y; j++) {
            word patch = (image * w.places_down + i) * w.places_across + j;
            word ki = y + w.padding_rows - i * w.stride_down;
            word kj = x + w.padding_columns - j * w.stride_across;
            add(left[(patch * (w.kernel_height * w.kernel_width) + ki * w.kernel_width + kj) * w.channels + channel]);
        }
    }
}

extern "C" __global__ void fold_floats(Parameters p, const word *left, const word *right, word *output) {
    Window w = window_of(p);
    for (word i = FIRST; i < p.at[0]; i += STRIDE) {
        float sum = 0;
        each_folded(w, left, i, [&](word value) { sum += __uint_as_float(value); });
        output[i] = __float_as_uint(sum);
    }
}

extern "C" __global__ void fold_residues(Parameters p, const word *left, const word *right, word *output) {
    Window w = window_of(p);
    for (word i = FIRST; i < p.at[0]; i += STRIDE) {
        int4 sums = make_int4(0, 0, 0, 0);
        each_folded(w, left, i, [&](word value) { add_residues(sums, value); });
        output[i] = reduced(sums);
    }
}

// ---- Products: a block computes 64 x 64 elements, a thread 4 x 4 of them, 16 apart. Terms come into the block's memory sixteen at a time.

struct Product {
    word first, rows, depth, columns, left_lines, left_terms, left_matrices, right_lines, right_terms, right_matrices, tiles_down,
        tiles_across, batch, terms;
};

__device__ Product product_of(const Parameters &p) {
    return {p.at[0], p.at[1], p.at[2], p.at[3], p.at[4], p.at[5], p.at[6], p.at[7], p.at[8], p.at[9], p.at[10], p.at[11], p.at[12], p.at[13]};
}

// What a block computes: of a matrix of the batch the tile from a row and a column on, some terms of it, and where it is written.
struct Tile {
    word matrix, row, column, first_term, end_term, written;
};

__device__ Tile tile_of(const Product &p) {
    word number = p.first + blockIdx.x;
    Tile tile;
    tile.column = number % p.tiles_across * 64;
    word row = number / p.tiles_across;
    tile.row = row % p.tiles_down * 64;
    tile.written = row / p.tiles_down;
    tile.matrix = tile.written % p.batch;
    tile.first_term = tile.written / p.batch * p.terms;
    tile.end_term = min(tile.first_term + p.terms, p.depth);
    return tile;
}

// Where one factor's lines and terms are.
struct Factor {
    const word *words;
    word count, depth, lines, terms;

    __device__ word get(word line, word term) const {
        return line < count && term < depth ? words[line * lines + term * terms] : 0;
    }
};

__device__ Factor left_factor(const Product &p, const word *words, const Tile &tile) {
    return {words + tile.matrix * p.left_matrices, p.rows, p.depth, p.left_lines, p.left_terms};
}

__device__ Factor right_factor(const Product &p, const word *words, const Tile &tile) {
    return {words + tile.matrix * p.right_matrices, p.columns, p.depth, p.right_lines, p.right_terms};
}

// Which line of a tile and which four of its sixteen terms a thread loads: neighbours load what is side by side.
__device__ uint2 share(const Factor &factor) {
    word thread = threadIdx.x;
    return factor.terms == 1 ? make_uint2(thread / 4, thread % 4) : make_uint2(thread % 64, thread / 64);
}

__device__ void store(word *output, const Product &p, const Tile &tile, word row, word column, word value) {
    if (tile.row + row < p.rows && tile.column + column < p.columns) {
        output[(tile.written * p.rows + tile.row + row) * p.columns + tile.column + column] = value;
    }
}

// Lines of a tile lie 66 apart, so that threads that write do not meet in a bank.
#define PITCH 66

// Byte `i` of four words.
__device__ word bytes(const word *words, int i) {
    int shift = 8 * i;
    return (words[0] >> shift & 255) | (words[1] >> shift & 255) << 8 | (words[2] >> shift & 255) << 16 | (words[3] >> shift & 255) << 24;
}

// Four terms of a line, for each prime a word of four residues.
__device__ uint4 load_residues(const Factor &factor, word line, word term) {
    word words[4];
    for (int i = 0; i < 4; i++) words[i] = factor.get(line, term + i);
    return make_uint4(bytes(words, 0), bytes(words, 1), bytes(words, 2), bytes(words, 3));
}

// Adds four terms modulo each prime.
__device__ void add_dots(int4 &sums, uint4 x, uint4 y) {
    sums.x = __dp4a((int)x.x, (int)y.x, sums.x);
    sums.y = __dp4a((int)x.y, (int)y.y, sums.y);
    sums.z = __dp4a((int)x.z, (int)y.z, sums.z);
    sums.w = __dp4a((int)x.w, (int)y.w, sums.w);
}

extern "C" __global__ void __launch_bounds__(256) residue_product(Parameters parameters, const word *left, const word *right, word *output) {
    __shared__ uint4 left_tile[4 * PITCH];
    __shared__ uint4 right_tile[4 * PITCH];
    Product p = product_of(parameters);
    Tile tile = tile_of(p);
    Factor x = left_factor(p, left, tile);
    Factor y = right_factor(p, right, tile);
    uint2 of_left = share(x);
    uint2 of_right = share(y);
    word row = threadIdx.x / 16;
    word column = threadIdx.x % 16;
    // Sums of 32 bits: a depth of up to MAX_DEPTH cannot leave them.
    int4 sums[4][4] = {};
    for (word term = tile.first_term; term < tile.end_term; term += 16) {
        uint4 from_left = load_residues(x, tile.row + of_left.x, term + 4 * of_left.y);
        uint4 from_right = load_residues(y, tile.column + of_right.x, term + 4 * of_right.y);
        __syncthreads();
        left_tile[of_left.y * PITCH + of_left.x] = from_left;
        right_tile[of_right.y * PITCH + of_right.x] = from_right;
        __syncthreads();
        #pragma unroll
        for (int four = 0; four < 4; four++) {
            uint4 factors[4];
            #pragma unroll
            for (int j = 0; j < 4; j++) factors[j] = right_tile[four * PITCH + column + 16 * j];
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                uint4 factor = left_tile[four * PITCH + row + 16 * i];
                #pragma unroll
                for (int j = 0; j < 4; j++) add_dots(sums[i][j], factor, factors[j]);
            }
        }
    }
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) store(output, p, tile, row + 16 * i, column + 16 * j, reduced(sums[i][j]));
    }
}

extern "C" __global__ void __launch_bounds__(256) float_product(Parameters parameters, const word *left, const word *right, word *output) {
    __shared__ float left_tile[16 * PITCH];
    __shared__ float right_tile[16 * PITCH];
    Product p = product_of(parameters);
    Tile tile = tile_of(p);
    Factor x = left_factor(p, left, tile);
    Factor y = right_factor(p, right, tile);
    uint2 of_left = share(x);
    uint2 of_right = share(y);
    word row = threadIdx.x / 16;
    word column = threadIdx.x % 16;
    float sums[4][4] = {};
    // A long sum is one of sums of 128 terms, whose errors stay small.
    float parts[4][4] = {};
    for (word term = tile.first_term; term < tile.end_term; term += 16) {
        if (term % 128 == 0) {
            #pragma unroll
            for (int i = 0; i < 16; i++) {
                sums[i / 4][i % 4] += parts[i / 4][i % 4];
                parts[i / 4][i % 4] = 0;
            }
        }
        word from_left[4], from_right[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            from_left[i] = x.get(tile.row + of_left.x, term + 4 * of_left.y + i);
            from_right[i] = y.get(tile.column + of_right.x, term + 4 * of_right.y + i);
        }
        __syncthreads();
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            left_tile[(4 * of_left.y + i) * PITCH + of_left.x] = __uint_as_float(from_left[i]);
            right_tile[(4 * of_right.y + i) * PITCH + of_right.x] = __uint_as_float(from_right[i]);
        }
        __syncthreads();
        #pragma unroll
        for (int one = 0; one < 16; one++) {
            float factors[4];
            #pragma unroll
            for (int j = 0; j < 4; j++) factors[j] = right_tile[one * PITCH + column + 16 * j];
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                float factor = left_tile[one * PITCH + row + 16 * i];
                #pragma unroll
                for (int j = 0; j < 4; j++) parts[i][j] += factor * factors[j];
            }
        }
    }
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) store(output, p, tile, row + 16 * i, column + 16 * j, __float_as_uint(sums[i][j] + parts[i][j]));
    }
}
