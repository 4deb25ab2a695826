//! An accelerator out of a few kernels: what does not depend on whose GPU it is.
//!
//! A crate for one kind of GPU brings buffers and the kernels of [`Kernel`] ([`Gpu`]); [`OnGpu`] arranges tensors in them and says which kernel runs on what.
//!
//! A tensor is one word of 32 bits an element, as [`Matrices`] has them: an f32, or the four residues of an element, that of `PRIMES[i]` in byte i. So a convolution
//! moves words whatever they are, one word is loaded for all four products, and no two threads write to one word. Packing and unpacking planes are kernels too.

#[cfg(test)]
mod tests;

use crate::{
    AccelError, Dimensions, Kind, Matrices, Residues, Shape,
    convolution::Window,
    job::{Accelerator, DeviceTensor, Form, Held},
};

/// Rows and columns of a product that one group of threads computes.
pub const TILE: usize = 64;

/// Threads of a group, in all kernels.
pub const THREADS: usize = 256;

/// Groups of one launch at most: what every kind of GPU takes in one dimension.
pub const MAX_GROUPS: usize = 65535;

/// Multiply-accumulates of one launch, roughly: drivers end kernels that take seconds.
const WORK: usize = 1 << 34;

/// Parameters of a launch, in the order that its [`Kernel`] says; the rest are zero.
pub type Parameters = [u32; 16];

/// What runs on a GPU. Each kernel reads up to two buffers and writes all of the output's elements that its groups are for.
///
/// Parameters of products: number of the first tile, rows, depth, columns; of each operand the distance of lines, of terms and of matrices; tiles down and
/// across, matrices of the batch, terms of a part. Lines are rows of the left factor and columns of the right one, term t of line l of matrix b being word
/// `b * matrices + l * lines + t * terms`. A product that is deep and has few tiles is computed in parts, of a multiple of 128 terms each but the last; the output is a
/// batch of so many batches then. Group g computes tile first + g: across a matrix first, then down, then through the batch, then through the parts.
///
/// Parameters of the others: elements of the output, then of [`Kernel::Add`] the factor's bits, of sums the number of parts, of the convolutions the window: channels,
/// image, kernel, stride and padding (two each), places down and across. Threads go through the elements in strides of all threads of the launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Planes of residues to words.
    Pack,
    /// Words to planes of residues.
    Unpack,
    /// Products of residues, exact: sums of 32 bits, reduced at the end.
    ResidueProduct,
    /// Products of f32. A sum is taken in order, 128 terms at a time, and the sums of 128 in order.
    FloatProduct,
    /// Parts of a product of residues, one after the other in the left operand, to the product.
    SumResidues,
    /// Parts of a product of f32, likewise, in order.
    SumFloats,
    /// Left plus factor times right, of f32.
    Add,
    /// Patches of images of words.
    Unfold,
    /// Residues of patches, added where they came from.
    FoldResidues,
    /// Floats of patches, likewise, in the order of the patches, as the processor does it.
    FoldFloats,
}

impl Kernel {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::Pack,
        Self::Unpack,
        Self::ResidueProduct,
        Self::FloatProduct,
        Self::SumResidues,
        Self::SumFloats,
        Self::Add,
        Self::Unfold,
        Self::FoldResidues,
        Self::FoldFloats,
    ];

    /// The name of its function.
    pub fn function(self) -> &'static str {
        match self {
            Self::Pack => "pack_residues",
            Self::Unpack => "unpack_residues",
            Self::ResidueProduct => "residue_product",
            Self::FloatProduct => "float_product",
            Self::SumResidues => "sum_residues",
            Self::SumFloats => "sum_floats",
            Self::Add => "add_multiple",
            Self::Unfold => "unfold",
            Self::FoldResidues => "fold_residues",
            Self::FoldFloats => "fold_floats",
        }
    }
}

/// Buffers and kernels of one GPU.
pub trait Gpu {
    /// Words on the GPU; cheap to clone.
    type Buffer: Clone;

    /// Kind and name of the device, for people.
    fn name(&self) -> String;

    /// A buffer of so many words, at least one, all zero; fails where that is more than the GPU takes.
    fn allocate(&mut self, words: usize) -> Result<Self::Buffer, AccelError>;

    /// A buffer of these bytes, a multiple of four and at least four.
    fn upload(&mut self, bytes: &[u8]) -> Result<Self::Buffer, AccelError>;

    /// All bytes of a buffer, once everything launched before has been computed.
    fn download(&mut self, buffer: &Self::Buffer) -> Result<Vec<u8>, AccelError>;

    /// Runs so many groups of [`THREADS`] of a kernel, at least one and at most [`MAX_GROUPS`].
    fn launch(
        &mut self,
        kernel: Kernel,
        parameters: &Parameters,
        operands: [&Self::Buffer; 2],
        output: &Self::Buffer,
        groups: usize,
    ) -> Result<(), AccelError>;
}

/// The accelerator that a GPU is.
#[derive(Clone, Debug)]
pub struct OnGpu<G>(pub G);

impl<G: Gpu> Accelerator for OnGpu<G> {
    type Data = G::Buffer;

    fn name(&self) -> String {
        self.0.name()
    }

    fn put(&mut self, tensor: DeviceTensor) -> Result<G::Buffer, AccelError> {
        if tensor.shape().elements() == 0 {
            return self.0.allocate(1);
        }
        match tensor {
            DeviceTensor::Floats(floats) => self.0.upload(bytemuck::cast_slice(floats.values())),
            DeviceTensor::Residues(residues) => {
                let planes = self.0.upload(bytemuck::cast_slice(residues.values()))?;
                self.each_element(Kernel::Pack, residues.shape(), [], [&planes, &planes])
            }
        }
    }

    fn product(&mut self, kind: Kind, left: &Held<G::Buffer>, right: &Held<G::Buffer>) -> Result<G::Buffer, AccelError> {
        let dimensions = kind.dimensions(left.shape, right.shape)?;
        let shape = dimensions.product();
        if shape.elements() == 0 || dimensions.depth == 0 {
            return self.0.allocate(shape.elements().max(1));
        }
        let (product, sum) = match left.form {
            Form::Residues => (Kernel::ResidueProduct, Kernel::SumResidues),
            Form::Floats => (Kernel::FloatProduct, Kernel::SumFloats),
        };
        let tiles = Tiles::new(dimensions);
        let output = self.0.allocate(tiles.parts() * shape.elements())?;
        for first in (0..tiles.count()).step_by(tiles.at_once()) {
            let parameters = tiles.parameters(first, kind, left.shape, right.shape);
            let groups = tiles.at_once().min(tiles.count() - first);
            self.0
                .launch(product, &parameters, [&left.data, &right.data], &output, groups)?;
        }
        match tiles.parts() {
            1 => Ok(output),
            parts => self.each_element(sum, shape, [word(parts)], [&output; 2]),
        }
    }

    fn add(&mut self, to: &Held<G::Buffer>, factor: f32, from: &Held<G::Buffer>) -> Result<G::Buffer, AccelError> {
        self.each_element(Kernel::Add, to.shape, [factor.to_bits()], [&to.data, &from.data])
    }

    fn unfold(&mut self, images: &Held<G::Buffer>, window: &Window) -> Result<G::Buffer, AccelError> {
        let shape = window.patches(images.shape.batch)?;
        self.each_element(Kernel::Unfold, shape, numbers(window), [&images.data; 2])
    }

    fn fold(&mut self, patches: &Held<G::Buffer>, window: &Window) -> Result<G::Buffer, AccelError> {
        let kernel = match patches.form {
            Form::Residues => Kernel::FoldResidues,
            Form::Floats => Kernel::FoldFloats,
        };
        let [down, across] = window.output();
        let shape = window.images(patches.shape.rows / (down * across))?;
        self.each_element(kernel, shape, numbers(window), [&patches.data; 2])
    }

    fn read(&mut self, tensor: Held<G::Buffer>) -> Result<DeviceTensor, AccelError> {
        let Held { form, shape, data } = tensor;
        let bytes = match (shape.elements(), form) {
            (0, _) => Vec::new(),
            (_, Form::Floats) => self.0.download(&data)?,
            (_, Form::Residues) => {
                let planes = self.each_element(Kernel::Unpack, shape, [], [&data; 2])?;
                self.0.download(&planes)?
            }
        };
        match form {
            Form::Residues => {
                Residues::new(shape, bytes.into_iter().map(|byte| byte as i8).collect()).map(DeviceTensor::Residues)
            }
            Form::Floats => {
                let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                Matrices::new(shape, values.collect()).map(DeviceTensor::Floats)
            }
        }
    }
}

impl<G: Gpu> OnGpu<G> {
    /// A tensor of a shape, each element of which has its thread.
    fn each_element<const N: usize>(
        &mut self,
        kernel: Kernel,
        shape: Shape,
        rest: [u32; N],
        operands: [&G::Buffer; 2],
    ) -> Result<G::Buffer, AccelError> {
        let output = self.0.allocate(shape.elements().max(1))?;
        if shape.elements() > 0 {
            let mut parameters = [0; 16];
            parameters[0] = word(shape.elements());
            parameters[1..=N].copy_from_slice(&rest);
            let groups = shape.elements().div_ceil(THREADS).min(MAX_GROUPS);
            self.0.launch(kernel, &parameters, operands, &output, groups)?;
        }
        Ok(output)
    }
}

fn numbers(window: &Window) -> [u32; 11] {
    let Window {
        channels,
        image: [h, w],
        kernel: [kh, kw],
        stride: [down, across],
        padding: [rows, columns],
    } = *window;
    let [oh, ow] = window.output();
    [channels, h, w, kh, kw, down, across, rows, columns, oh, ow].map(word)
}

/// Sizes and distances, all below 2^29.
fn word(size: usize) -> u32 {
    size as u32
}

/// How products are cut into tiles, and these into parts.
struct Tiles {
    dimensions: Dimensions,
    down: usize,
    across: usize,
    /// Of a part.
    terms: usize,
}

impl Tiles {
    /// Groups that keep a large GPU at work.
    const ENOUGH: usize = 512;

    /// Terms that are worth a group of their own.
    const WORTH: usize = 1024;

    /// Of a product of some size and depth.
    fn new(dimensions: Dimensions) -> Self {
        let [down, across] = [dimensions.rows, dimensions.columns].map(|size| size.div_ceil(TILE));
        let parts = Self::ENOUGH / (dimensions.batch * down * across);
        let terms = dimensions.depth.div_ceil(parts.max(1)).max(Self::WORTH);
        Self {
            dimensions,
            down,
            across,
            terms: terms.next_multiple_of(128),
        }
    }

    fn parts(&self) -> usize {
        self.dimensions.depth.div_ceil(self.terms)
    }

    /// At most as many as elements of the product, or 512.
    fn count(&self) -> usize {
        self.dimensions.batch * self.down * self.across * self.parts()
    }

    /// Of one launch.
    fn at_once(&self) -> usize {
        (WORK / (TILE * TILE * self.terms)).clamp(1, MAX_GROUPS)
    }

    fn parameters(&self, first: usize, kind: Kind, left: Shape, right: Shape) -> Parameters {
        let Dimensions {
            batch,
            rows,
            depth,
            columns,
        } = self.dimensions;
        let [left_lines, left_terms] = distances(kind == Kind::WeightGradient, left);
        let [right_lines, right_terms] = distances(kind != Kind::InputGradient, right);
        [
            first,
            rows,
            depth,
            columns,
            left_lines,
            left_terms,
            left.rows * left.columns,
            right_lines,
            right_terms,
            right.rows * right.columns,
            self.down,
            self.across,
            batch,
            self.terms,
            0,
            0,
        ]
        .map(word)
    }
}

/// Of lines and of terms; lines are columns or rows of the matrix as it is stored.
fn distances(columns: bool, shape: Shape) -> [usize; 2] {
    match columns {
        true => [1, shape.columns],
        false => [shape.columns, 1],
    }
}
