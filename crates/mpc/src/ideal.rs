//! Ideal functionalities: a trusted party for tests and for measuring an engine by itself. Whoever runs one sees everything.

use crate::{
    BitMatrix, Bits, MpcError,
    boolean::Triples,
    circuit::Group,
    correlation::{CotReceiver, CotSender, Delta, masked, random_word},
    nonlinear::{Layer, Operation, Ring},
    shares::Matrix,
    triples::{DataHalf, OperandHalf, OperandMask, Product, Shape},
};
use rand::CryptoRng;

/// `count` correlated transfers with random bits.
pub fn correlated_transfers(delta: &Delta, count: usize, rng: &mut impl CryptoRng) -> (CotSender, CotReceiver) {
    let q: Vec<u128> = (0..count).map(|_| random_word(rng)).collect();
    let choices = Bits::random(count, rng);
    let t = q
        .iter()
        .zip(choices.iter())
        .map(|(q, choice)| q ^ masked(choice, delta.value()))
        .collect();
    (CotSender::new(delta.clone(), q), CotReceiver { choices, t })
}

/// The relation of correlated transfers: t = q ^ b Delta for each.
pub fn transfers_agree(sender: &CotSender, receiver: &CotReceiver) -> bool {
    let all = receiver.t.iter().zip(receiver.choices.iter()).zip(&sender.q);
    sender.q.len() == receiver.t.len() && { all }.all(|((t, choice), q)| *t == q ^ masked(choice, sender.delta.value()))
}

/// What XOR shares of one shape stand for; `None` if there are none or their shapes differ.
pub fn reveal(shares: &[BitMatrix]) -> Option<BitMatrix> {
    let (first, others) = shares.split_first()?;
    let mut sum = BitMatrix::stack(&[first]).ok()?;
    others.iter().try_for_each(|share| sum.xor_assign(share)).ok()?;
    Some(sum)
}

/// Triples for `parties` parties.
pub fn triples(parties: usize, ands: usize, instances: usize, rng: &mut impl CryptoRng) -> Vec<Triples> {
    let mut all: Vec<Triples> = (0..parties)
        .map(|_| Triples {
            groups: vec![Group::single(); ands],
            a: BitMatrix::random(ands, instances, rng),
            b: BitMatrix::random(ands, instances, rng),
            c: BitMatrix::random(ands, instances, rng),
        })
        .collect();
    let [a, b, c] = sums(&all);
    if let Some(first) = all.first_mut() {
        for row in 0..ands {
            let products = a.row(row).iter().zip(b.row(row)).zip(c.row(row)).map(|((a, b), c)| a & b ^ c);
            first
                .c
                .row_mut(row)
                .iter_mut()
                .zip(products)
                .for_each(|(c, product)| *c ^= product);
        }
    }
    all
}

/// The relation of triples: the sum of the c is the product of the sums of the a and the b.
pub fn triples_multiply(shares: &[Triples]) -> bool {
    let [a, b, c] = sums(shares);
    let groups = shares.iter().take(1).flat_map(Triples::members);
    (0..a.rows()).zip(groups).all(|(row, group)| {
        a.row(row)
            .iter()
            .zip(b.row(group))
            .zip(c.row(row))
            .all(|((a, b), c)| a & b == *c)
    })
}

/// A matrix triple for a batch whose rows have the mask `mask`.
pub fn matrix_triple(
    product: Product,
    mask: &Matrix,
    width: usize,
    rng: &mut impl CryptoRng,
) -> Result<(DataHalf, OperandHalf), MpcError> {
    let shape = Shape {
        batch: mask.rows(),
        columns: mask.columns(),
        width,
    };
    let b = Matrix::random(product.operand_rows(shape), width, rng)?;
    let [ours, theirs] = one_sided_product(product, mask, &b, rng)?;
    let half = OperandMask::new(product, shape, b)?.with(theirs)?;
    Ok((DataHalf::new(product, shape, ours)?, half))
}

/// The relation of matrix triples: c_i + c_j is the product of the mask and B.
pub fn matrix_triple_multiplies(mask: &Matrix, data: &DataHalf, operand: &OperandHalf) -> bool {
    let mut sum = data.c().clone();
    sum.add_assign(operand.c()).is_ok() && data.product().of(mask, operand.b()).is_ok_and(|product| product == sum)
}

/// What the parties of a non-linear layer open, or for an argmax the indices: of every party the shares of the words, in one order, and its masks.
pub fn nonlinear(layer: &Layer, words: &[Vec<u64>], masks: &[Vec<u64>]) -> Vec<u64> {
    let (Ring { bits, truncation }, window) = (layer.ring(), layer.operation().window());
    let modulo = |word: u64| word & (u64::MAX >> (64 - bits));
    let sum = |words: &[Vec<u64>], at: usize| words.iter().fold(0u64, |sum, words| sum.wrapping_add(words[at]));
    let signed = |word: u64| (word << (64 - bits)) as i64 >> (64 - bits);
    let outputs = words.first().map_or(0, Vec::len) / window;
    let output = |output: usize| {
        let values = (output * window..(output + 1) * window).map(|at| signed(sum(words, at)) >> truncation);
        let values: Vec<i64> = values.collect();
        let largest = values.iter().copied().max().unwrap_or(0);
        let word = match layer.operation() {
            Operation::ArgMax { .. } => return values.iter().position(|value| *value == largest).unwrap_or(0) as u64,
            Operation::Truncate | Operation::MaxPool { .. } => largest,
            Operation::Relu | Operation::MaxPoolRelu { .. } => largest.max(0),
        };
        modulo((word as u64).wrapping_sub(sum(masks, output)))
    };
    (0..outputs).map(output).collect()
}

/// What triples are for: shares of the product of a batch of rows and an operand.
pub fn one_sided_product(
    product: Product,
    rows: &Matrix,
    operand: &Matrix,
    rng: &mut impl CryptoRng,
) -> Result<[Matrix; 2], MpcError> {
    let mut first = product.of(rows, operand)?;
    let second = Matrix::random(first.rows(), first.columns(), rng)?;
    first.sub_assign(&second)?;
    Ok([first, second])
}

/// What the server of [`crate::activation`] gets: max(0, v) of the signed words that the holders' shares add up to.
pub fn relu(shares: &[Vec<u64>]) -> Vec<u64> {
    let values = shares.first().map_or(0, Vec::len);
    let sum = |at: usize| shares.iter().fold(0u64, |sum, share| sum.wrapping_add(share[at]));
    (0..values).map(|at| (sum(at) as i64).max(0) as u64).collect()
}

fn sums(shares: &[Triples]) -> [BitMatrix; 3] {
    let sum = |part: fn(&Triples) -> &BitMatrix| {
        let (rows, columns) = shares.first().map_or((0, 0), |share| (part(share).rows(), share.a.columns()));
        let mut sum = BitMatrix::zeros(rows, columns);
        for share in shares {
            for row in 0..rows {
                let words = part(share).row(row).iter();
                sum.row_mut(row).iter_mut().zip(words).for_each(|(sum, word)| *sum ^= word);
            }
        }
        sum
    };
    [sum(|share| &share.a), sum(|share| &share.b), sum(|share| &share.c)]
}
