// The kernels of `cloven_accel::gpu`, which says what their parameters mean.
//
// Buffers hold words: an f32, or the residues of one number modulo four primes, a byte each.

@group(0) @binding(1) var<storage, read> left: array<u32>;
@group(0) @binding(2) var<storage, read> right: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<u32>;

const THREADS = 256u;

// ---- Residues

const PRIMES = vec4<i32>(251, 241, 239, 233);
const LARGEST = vec4<i32>(125, 120, 119, 116);

/// Sums modulo each prime, centred, as one word.
fn reduced(sums: vec4<i32>) -> u32 {
    var rest = sums % PRIMES;
    rest -= select(vec4<i32>(), PRIMES, rest > LARGEST);
    rest += select(vec4<i32>(), PRIMES, rest < -LARGEST);
    return pack4xI8(rest);
}

fn byte_of_left(index: u32) -> u32 {
    return (left[index / 4u] >> (8u * (index % 4u))) & 255u;
}

// ---- What has a thread for each element

struct Elements {
    count: u32,
    // Bits of the factor, or how many parts there are.
    other: u32,
}
@group(0) @binding(0) var<uniform> elements: Elements;

@compute @workgroup_size(256)
fn pack_residues(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = elements.count;
    for (var i = id.x; i < count; i += groups.x * THREADS) {
        output[i] = byte_of_left(i)
            | (byte_of_left(count + i) << 8u)
            | (byte_of_left(2u * count + i) << 16u)
            | (byte_of_left(3u * count + i) << 24u);
    }
}

/// Byte `index` of the planes.
fn residue(index: u32) -> u32 {
    let plane = index / elements.count;
    return (left[index - plane * elements.count] >> (8u * plane)) & 255u;
}

@compute @workgroup_size(256)
fn unpack_residues(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < elements.count; i += groups.x * THREADS) {
        let first = 4u * i;
        output[i] = residue(first) | (residue(first + 1u) << 8u) | (residue(first + 2u) << 16u) | (residue(first + 3u) << 24u);
    }
}

@compute @workgroup_size(256)
fn add_multiple(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let factor = bitcast<f32>(elements.other);
    for (var i = id.x; i < elements.count; i += groups.x * THREADS) {
        output[i] = bitcast<u32>(bitcast<f32>(left[i]) + factor * bitcast<f32>(right[i]));
    }
}

@compute @workgroup_size(256)
fn sum_residues(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < elements.count; i += groups.x * THREADS) {
        var sums = vec4<i32>();
        for (var part = 0u; part < elements.other; part++) {
            sums += unpack4xI8(left[part * elements.count + i]);
        }
        output[i] = reduced(sums);
    }
}

@compute @workgroup_size(256)
fn sum_floats(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < elements.count; i += groups.x * THREADS) {
        var sum = 0.0;
        for (var part = 0u; part < elements.other; part++) {
            sum += bitcast<f32>(left[part * elements.count + i]);
        }
        output[i] = bitcast<u32>(sum);
    }
}

// ---- Convolutions

struct Window {
    count: u32,
    channels: u32,
    height: u32,
    width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_down: u32,
    stride_across: u32,
    padding_rows: u32,
    padding_columns: u32,
    places_down: u32,
    places_across: u32,
}
@group(0) @binding(0) var<uniform> window: Window;

@compute @workgroup_size(256)
fn unfold(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let columns = window.kernel_height * window.kernel_width * window.channels;
    for (var i = id.x; i < window.count; i += groups.x * THREADS) {
        let position = i / columns;
        let element = i % columns / window.channels;
        let row = position / window.places_across;
        // Beyond the padding these wrap to huge numbers.
        let y = row % window.places_down * window.stride_down + element / window.kernel_width - window.padding_rows;
        let x = position % window.places_across * window.stride_across + element % window.kernel_width - window.padding_columns;
        var word = 0u;
        if y < window.height && x < window.width {
            let image = row / window.places_down;
            word = left[((image * window.height + y) * window.width + x) * window.channels + i % window.channels];
        }
        output[i] = word;
    }
}

/// An element of an image, and the places of the kernel that cover its pixel.
struct Places {
    down: vec2<u32>,
    across: vec2<u32>,
    image: u32,
    y: u32,
    x: u32,
    channel: u32,
}

/// Of the places of a kernel, on one side, that cover an index: the first, and one past the last.
fn covering(index: u32, padding: u32, kernel: u32, stride: u32, places: u32) -> vec2<u32> {
    let padded = index + padding;
    let first = (max(padded + 1u, kernel) - kernel + stride - 1u) / stride;
    return vec2<u32>(first, min(padded / stride + 1u, places));
}

fn places_of(element: u32) -> Places {
    var places: Places;
    places.channel = element % window.channels;
    let pixel = element / window.channels;
    places.x = pixel % window.width;
    let row = pixel / window.width;
    places.y = row % window.height;
    places.image = row / window.height;
    places.down = covering(places.y, window.padding_rows, window.kernel_height, window.stride_down, window.places_down);
    places.across = covering(places.x, window.padding_columns, window.kernel_width, window.stride_across, window.places_across);
    return places;
}

/// The word of the patch at a place that came from the element.
fn folded(places: Places, i: u32, j: u32) -> u32 {
    let position = (places.image * window.places_down + i) * window.places_across + j;
    let ki = places.y + window.padding_rows - i * window.stride_down;
    let kj = places.x + window.padding_columns - j * window.stride_across;
    let columns = window.kernel_height * window.kernel_width;
    return left[(position * columns + ki * window.kernel_width + kj) * window.channels + places.channel];
}

@compute @workgroup_size(256)
fn fold_floats(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var element = id.x; element < window.count; element += groups.x * THREADS) {
        let places = places_of(element);
        var sum = 0.0;
        for (var i = places.down.x; i < places.down.y; i++) {
            for (var j = places.across.x; j < places.across.y; j++) {
                sum += bitcast<f32>(folded(places, i, j));
            }
        }
        output[element] = bitcast<u32>(sum);
    }
}

@compute @workgroup_size(256)
fn fold_residues(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var element = id.x; element < window.count; element += groups.x * THREADS) {
        let places = places_of(element);
        var sums = vec4<i32>();
        for (var i = places.down.x; i < places.down.y; i++) {
            for (var j = places.across.x; j < places.across.y; j++) {
                sums += unpack4xI8(folded(places, i, j));
            }
        }
        output[element] = reduced(sums);
    }
}

// ---- Products: a group of threads computes 64 x 64 elements, a thread 4 x 4 of them, 16 apart. Terms come into the group's memory sixteen at a time.

struct Product {
    first: u32,
    rows: u32,
    depth: u32,
    columns: u32,
    left_lines: u32,
    left_terms: u32,
    left_matrices: u32,
    right_lines: u32,
    right_terms: u32,
    right_matrices: u32,
    tiles_down: u32,
    tiles_across: u32,
    batch: u32,
    terms: u32,
}
@group(0) @binding(0) var<uniform> product: Product;

/// What a group computes: of a matrix of the batch the tile from a row and a column on, some terms of it, and where it is written.
struct Tile {
    matrix: u32,
    row: u32,
    column: u32,
    first_term: u32,
    end_term: u32,
    written: u32,
}

fn tile_of(group: u32) -> Tile {
    let number = product.first + group;
    var tile: Tile;
    tile.column = number % product.tiles_across * 64u;
    let row = number / product.tiles_across;
    tile.row = row % product.tiles_down * 64u;
    tile.written = row / product.tiles_down;
    tile.matrix = tile.written % product.batch;
    tile.first_term = tile.written / product.batch * product.terms;
    tile.end_term = min(tile.first_term + product.terms, product.depth);
    return tile;
}

/// Which line of a tile and which four of its sixteen terms a thread loads: neighbours load what is side by side.
fn share(thread: u32, terms: u32) -> vec2<u32> {
    if terms == 1u {
        return vec2<u32>(thread / 4u, thread % 4u);
    }
    return vec2<u32>(thread % 64u, thread / 64u);
}

fn left_word(matrix: u32, line: u32, term: u32) -> u32 {
    if line < product.rows && term < product.depth {
        return left[matrix * product.left_matrices + line * product.left_lines + term * product.left_terms];
    }
    return 0u;
}

fn right_word(matrix: u32, line: u32, term: u32) -> u32 {
    if line < product.columns && term < product.depth {
        return right[matrix * product.right_matrices + line * product.right_lines + term * product.right_terms];
    }
    return 0u;
}

fn left_words(matrix: u32, line: u32, term: u32) -> vec4<u32> {
    return vec4<u32>(
        left_word(matrix, line, term),
        left_word(matrix, line, term + 1u),
        left_word(matrix, line, term + 2u),
        left_word(matrix, line, term + 3u),
    );
}

fn right_words(matrix: u32, line: u32, term: u32) -> vec4<u32> {
    return vec4<u32>(
        right_word(matrix, line, term),
        right_word(matrix, line, term + 1u),
        right_word(matrix, line, term + 2u),
        right_word(matrix, line, term + 3u),
    );
}

fn store(tile: Tile, row: u32, column: u32, words: vec4<u32>) {
    if tile.row + row >= product.rows {
        return;
    }
    let first = (tile.written * product.rows + tile.row + row) * product.columns;
    let place = tile.column + column;
    if place < product.columns { output[first + place] = words.x; }
    if place + 16u < product.columns { output[first + place + 16u] = words.y; }
    if place + 32u < product.columns { output[first + place + 32u] = words.z; }
    if place + 48u < product.columns { output[first + place + 48u] = words.w; }
}

// Lines of a tile lie 66 apart, so that threads that write do not meet in a bank.
const PITCH = 66u;

// Of each line and each four terms: for every prime a word of four residues.
var<workgroup> left_residues: array<vec4<u32>, 264>;
var<workgroup> right_residues: array<vec4<u32>, 264>;

/// Four words of four primes to four words of one prime each.
fn by_prime(words: vec4<u32>) -> vec4<u32> {
    let shifts = vec4<u32>(0u, 8u, 16u, 24u);
    let ones = vec4<u32>(255u);
    return ((vec4<u32>(words.x) >> shifts) & ones)
        | (((vec4<u32>(words.y) >> shifts) & ones) << vec4<u32>(8u))
        | (((vec4<u32>(words.z) >> shifts) & ones) << vec4<u32>(16u))
        | ((vec4<u32>(words.w) >> shifts) << vec4<u32>(24u));
}

/// Four terms modulo each prime.
fn dots(x: vec4<u32>, y: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(x.x, y.x), dot4I8Packed(x.y, y.y), dot4I8Packed(x.z, y.z), dot4I8Packed(x.w, y.w));
}

@compute @workgroup_size(256)
fn residue_product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = tile_of(group.x);
    let from_left = share(thread, product.left_terms);
    let from_right = share(thread, product.right_terms);
    let row = thread / 16u;
    let column = thread % 16u;
    // Sums of 32 bits: a depth of up to MAX_DEPTH cannot leave them.
    var s00 = vec4<i32>(); var s01 = vec4<i32>(); var s02 = vec4<i32>(); var s03 = vec4<i32>();
    var s10 = vec4<i32>(); var s11 = vec4<i32>(); var s12 = vec4<i32>(); var s13 = vec4<i32>();
    var s20 = vec4<i32>(); var s21 = vec4<i32>(); var s22 = vec4<i32>(); var s23 = vec4<i32>();
    var s30 = vec4<i32>(); var s31 = vec4<i32>(); var s32 = vec4<i32>(); var s33 = vec4<i32>();
    for (var term = tile.first_term; term < tile.end_term; term += 16u) {
        let x = left_words(tile.matrix, tile.row + from_left.x, term + 4u * from_left.y);
        let y = right_words(tile.matrix, tile.column + from_right.x, term + 4u * from_right.y);
        workgroupBarrier();
        left_residues[from_left.y * PITCH + from_left.x] = by_prime(x);
        right_residues[from_right.y * PITCH + from_right.x] = by_prime(y);
        workgroupBarrier();
        for (var four = 0u; four < 4u; four++) {
            let at_left = four * PITCH + row;
            let at_right = four * PITCH + column;
            let y0 = right_residues[at_right];
            let y1 = right_residues[at_right + 16u];
            let y2 = right_residues[at_right + 32u];
            let y3 = right_residues[at_right + 48u];
            let x0 = left_residues[at_left];
            s00 += dots(x0, y0); s01 += dots(x0, y1); s02 += dots(x0, y2); s03 += dots(x0, y3);
            let x1 = left_residues[at_left + 16u];
            s10 += dots(x1, y0); s11 += dots(x1, y1); s12 += dots(x1, y2); s13 += dots(x1, y3);
            let x2 = left_residues[at_left + 32u];
            s20 += dots(x2, y0); s21 += dots(x2, y1); s22 += dots(x2, y2); s23 += dots(x2, y3);
            let x3 = left_residues[at_left + 48u];
            s30 += dots(x3, y0); s31 += dots(x3, y1); s32 += dots(x3, y2); s33 += dots(x3, y3);
        }
    }
    store(tile, row, column, vec4<u32>(reduced(s00), reduced(s01), reduced(s02), reduced(s03)));
    store(tile, row + 16u, column, vec4<u32>(reduced(s10), reduced(s11), reduced(s12), reduced(s13)));
    store(tile, row + 32u, column, vec4<u32>(reduced(s20), reduced(s21), reduced(s22), reduced(s23)));
    store(tile, row + 48u, column, vec4<u32>(reduced(s30), reduced(s31), reduced(s32), reduced(s33)));
}

var<workgroup> left_floats: array<f32, 1056>;
var<workgroup> right_floats: array<f32, 1056>;

@compute @workgroup_size(256)
fn float_product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = tile_of(group.x);
    let from_left = share(thread, product.left_terms);
    let from_right = share(thread, product.right_terms);
    let row = thread / 16u;
    let column = thread % 16u;
    var s0 = vec4<f32>(); var s1 = vec4<f32>(); var s2 = vec4<f32>(); var s3 = vec4<f32>();
    // A long sum is one of sums of 128 terms, whose errors stay small.
    var p0 = vec4<f32>(); var p1 = vec4<f32>(); var p2 = vec4<f32>(); var p3 = vec4<f32>();
    for (var term = tile.first_term; term < tile.end_term; term += 16u) {
        if term % 128u == 0u {
            s0 += p0; s1 += p1; s2 += p2; s3 += p3;
            p0 = vec4<f32>(); p1 = vec4<f32>(); p2 = vec4<f32>(); p3 = vec4<f32>();
        }
        let x = bitcast<vec4<f32>>(left_words(tile.matrix, tile.row + from_left.x, term + 4u * from_left.y));
        let y = bitcast<vec4<f32>>(right_words(tile.matrix, tile.column + from_right.x, term + 4u * from_right.y));
        workgroupBarrier();
        let to_left = 4u * from_left.y * PITCH + from_left.x;
        left_floats[to_left] = x.x;
        left_floats[to_left + PITCH] = x.y;
        left_floats[to_left + 2u * PITCH] = x.z;
        left_floats[to_left + 3u * PITCH] = x.w;
        let to_right = 4u * from_right.y * PITCH + from_right.x;
        right_floats[to_right] = y.x;
        right_floats[to_right + PITCH] = y.y;
        right_floats[to_right + 2u * PITCH] = y.z;
        right_floats[to_right + 3u * PITCH] = y.w;
        workgroupBarrier();
        for (var one = 0u; one < 16u; one++) {
            let at_left = one * PITCH + row;
            let at_right = one * PITCH + column;
            let factors = vec4<f32>(
                right_floats[at_right],
                right_floats[at_right + 16u],
                right_floats[at_right + 32u],
                right_floats[at_right + 48u],
            );
            p0 += left_floats[at_left] * factors;
            p1 += left_floats[at_left + 16u] * factors;
            p2 += left_floats[at_left + 32u] * factors;
            p3 += left_floats[at_left + 48u] * factors;
        }
    }
    store(tile, row, column, bitcast<vec4<u32>>(s0 + p0));
    store(tile, row + 16u, column, bitcast<vec4<u32>>(s1 + p1));
    store(tile, row + 32u, column, bitcast<vec4<u32>>(s2 + p2));
    store(tile, row + 48u, column, bitcast<vec4<u32>>(s3 + p3));
}
