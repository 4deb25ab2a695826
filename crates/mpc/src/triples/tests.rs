use super::*;
use crate::ideal;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::collections::HashSet;
use zeroize::Zeroizing;

const ROWS: usize = 30;

fn random(rows: usize, columns: usize, rng: &mut ChaCha20Rng) -> Matrix {
    Matrix::random(rows, columns, rng).unwrap()
}

fn seed(party: usize) -> crate::boolean::Seed {
    Zeroizing::new([party as u8 + 1; 32])
}

fn secret(party: usize) -> TripleSecret {
    TripleSecret::new(Party(party as u8), seed(party))
}

fn id(data: usize, operand: usize, product: Product, batch: u64) -> TripleId {
    let [data, operand] = [data, operand].map(|party| Party(party as u8));
    TripleId {
        data,
        operand,
        product,
        batch,
    }
}

/// A holder: its data, its secret and its mask.
struct Holder {
    data: Matrix,
    secret: TripleSecret,
    mask: DataMask,
    /// E of its data, as any other holder has it.
    masked: Matrix,
}

fn holders(columns: &[usize], rng: &mut ChaCha20Rng) -> Vec<Holder> {
    let holder = |(party, columns): (usize, &usize)| {
        let data = random(ROWS, *columns, rng);
        let mut secret = secret(party);
        let mut mask = secret.data_mask(ROWS, *columns).unwrap();
        let mut masked = MaskedData::new(ROWS, *columns).unwrap();
        for rows in [0..7, 7..8, 8..ROWS] {
            let piece = data.select(&rows.collect::<Vec<_>>()).unwrap();
            masked.accept(&mask.hide(&piece).unwrap()).unwrap();
        }
        let masked = masked.finish().unwrap();
        Holder {
            data,
            secret,
            mask,
            masked,
        }
    };
    columns.iter().enumerate().map(holder).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    /// Every ordered pair, several batches that have rows in common, both products.
    #[test]
    fn shares_of_products_add_up(columns in prop::collection::vec(1usize..9, 2..5), width in 1usize..6,
                                 batches in prop::collection::vec(prop::collection::vec(0usize..ROWS, 1..9), 1..4), run in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(run);
        let mut holders = holders(&columns, rng);
        let shapes = columns.iter().enumerate().map(|(party, columns)| (seed(party), DataShape { rows: ROWS, columns: *columns }));
        let mut dealer = Dealer::new(shapes.collect()).unwrap();
        for (number, batch) in batches.iter().enumerate() {
            for (i, j) in (0..columns.len()).flat_map(|i| (0..columns.len()).map(move |j| (i, j))).filter(|(i, j)| i != j) {
                for product in [Product::Forward, Product::Gradient] {
                    let shape = Shape { batch: batch.len(), columns: columns[i], width };
                    let id = id(i, j, product, number as u64);
                    let message = dealer.deal(id, batch, width).unwrap();
                    prop_assert_eq!(message.len(), 8 * product.result_rows(shape) * width);
                    let operand = random(product.operand_rows(shape), width, rng);
                    let (data, mask) = (holders[i].data.select(batch).unwrap(), holders[i].mask.select(batch).unwrap());
                    let first = holders[i].secret.data_half(id, shape).unwrap();
                    let second = holders[j].secret.operand_mask(id, shape).unwrap().receive(&message).unwrap();
                    prop_assert!(ideal::matrix_triple_multiplies(&mask, &first, &second));
                    let (share, message) = second.multiply(&holders[i].masked.select(batch).unwrap(), &operand).unwrap();
                    prop_assert_eq!(message.len(), 8 * operand.words().len());
                    let mut sum = first.multiply(&mask, &message).unwrap();
                    prop_assert!(sum != product.of(&data, &operand).unwrap());
                    sum.add_assign(&share).unwrap();
                    prop_assert!(sum == product.of(&data, &operand).unwrap());
                }
            }
        }
    }

    /// Halves of another source: c_j = A_b B - c_i as if under encryption, and the ideal dealer's.
    #[test]
    fn halves_come_from_anywhere(columns in 1usize..9, width in 1usize..6, batch in prop::collection::vec(0usize..ROWS, 1..9), run in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(run);
        let mut holders = holders(&[columns, 1], rng);
        let (mask, data) = (holders[0].mask.select(&batch).unwrap(), holders[0].data.select(&batch).unwrap());
        let masked = holders[0].masked.select(&batch).unwrap();
        let shape = Shape { batch: batch.len(), columns, width };
        for product in [Product::Forward, Product::Gradient] {
            let operand = random(product.operand_rows(shape), width, rng);
            let waiting = holders[1].secret.operand_mask(id(0, 1, product, 0), shape).unwrap();
            let first = holders[0].secret.data_half(id(0, 1, product, 0), shape).unwrap();
            let mut answer = product.of(&mask, waiting.matrix()).unwrap();
            answer.sub_assign(first.c()).unwrap();
            let second = waiting.with(answer).unwrap();
            for (first, second) in [(first, second), ideal::matrix_triple(product, &mask, width, rng).unwrap()] {
                prop_assert!(ideal::matrix_triple_multiplies(&mask, &first, &second));
                let (share, message) = second.multiply(&masked, &operand).unwrap();
                let mut sum = first.multiply(&mask, &message).unwrap();
                sum.add_assign(&share).unwrap();
                let [left, right] = ideal::one_sided_product(product, &data, &operand, rng).unwrap();
                prop_assert!(crate::shares::reconstruct(&[left, right]).unwrap() == sum);
            }
        }
    }

    /// c_j = X_b B - c_i as if under encryption, without a mask of the data.
    #[test]
    fn who_multiplies_its_own_data_needs_no_mask_of_them(columns in 1usize..9, width in 1usize..6, rows in 1usize..9, run in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(run);
        let data = random(rows, columns, rng);
        let shape = Shape { batch: rows, columns, width };
        for product in [Product::Forward, Product::Gradient] {
            let operand = random(product.operand_rows(shape), width, rng);
            let waiting = secret(1).operand_mask(id(0, 1, product, 0), shape).unwrap();
            let hidden_by = waiting.matrix().clone();
            let c = random(product.result_rows(shape), width, rng);
            let mut answer = product.of(&data, waiting.matrix()).unwrap();
            answer.sub_assign(&c).unwrap();
            let (share, message) = waiting.with(answer.clone()).unwrap().hide(&operand).unwrap();
            prop_assert!(share == answer);
            let mut hidden = operand.clone();
            hidden.sub_assign(&hidden_by).unwrap();
            prop_assert_eq!(&message, &hidden.encode());
            let mut sum = DataHalf::new(product, shape, c).unwrap().multiply(&data, &message).unwrap();
            prop_assert!(sum != product.of(&data, &operand).unwrap());
            sum.add_assign(&share).unwrap();
            prop_assert!(sum == product.of(&data, &operand).unwrap());
        }
    }
}

#[test]
fn no_mask_and_no_share_comes_twice() {
    let shape = Shape {
        batch: 3,
        columns: 3,
        width: 2,
    };
    let mut seen = HashSet::new();
    for party in 0..3 {
        let mut secret = secret(party);
        let mask = secret.data_mask(4, 3).unwrap();
        for row in 0..4 {
            assert!(seen.insert(mask.select(&[row]).unwrap().words()[..2].to_vec()));
        }
        assert!(matches!(secret.data_mask(4, 3).err(), Some(MpcError::Used { .. })));
        for other in (0..3).filter(|other| *other != party) {
            for (product, batch) in [
                (Product::Forward, 0),
                (Product::Gradient, 0),
                (Product::Forward, 1),
                (Product::Gradient, 5),
            ] {
                let half = secret.data_half(id(party, other, product, batch), shape).unwrap();
                let mask = secret.operand_mask(id(other, party, product, batch), shape).unwrap();
                for words in [half.c().words(), mask.matrix().words()] {
                    assert!(words.chunks(2).all(|pair| seen.insert(pair.to_vec())));
                }
                for again in 0..=batch {
                    let used = Some(MpcError::Used {
                        what: "the triple of this batch",
                        index: again,
                    });
                    assert_eq!(secret.data_half(id(party, other, product, again), shape).err(), used);
                    assert_eq!(secret.operand_mask(id(other, party, product, again), shape).err(), used);
                }
            }
        }
    }
    let shapes = [0, 1].map(|party| (seed(party), DataShape { rows: 4, columns: 3 }));
    let mut dealer = Dealer::new(shapes.into()).unwrap();
    let forward = |batch| id(0, 1, Product::Forward, batch);
    let first = dealer.deal(forward(2), &[0, 1], 2).unwrap();
    assert!(first != dealer.deal(forward(3), &[0, 1], 2).unwrap());
    for batch in 0..4 {
        assert!(matches!(
            dealer.deal(forward(batch), &[0, 2], 2).err(),
            Some(MpcError::Used { .. })
        ));
    }
    // What was refused for another reason was not given.
    assert!(dealer.deal(forward(4), &[4], 2).is_err());
    assert!(dealer.deal(forward(4), &[3], 2).is_ok());
}

#[test]
fn wrong_messages_shapes_and_roles_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let shape = Shape {
        batch: 3,
        columns: 5,
        width: 2,
    };
    let forward = |batch| id(0, 1, Product::Forward, batch);
    let length = |expected, actual| Some(MpcError::Length { expected, actual });
    let (mut first, mut second) = (secret(0), secret(1));
    let waiting = second.operand_mask(forward(0), shape).unwrap();
    assert_eq!(waiting.receive(&[0; 47]).err(), length(48, 47));
    let half = first.data_half(forward(0), shape).unwrap();
    assert_eq!(half.multiply(&random(3, 5, rng), &[0; 81]).err(), length(80, 81));
    let half = first.data_half(forward(1), shape).unwrap();
    assert!(half.multiply(&random(5, 3, rng), &[0; 80]).is_err());
    let half = second.operand_mask(forward(1), shape).unwrap().receive(&[0; 48]).unwrap();
    assert!(half.multiply(&random(3, 5, rng), &random(3, 2, rng)).is_err());
    let half = second.operand_mask(forward(2), shape).unwrap().receive(&[0; 48]).unwrap();
    assert!(half.multiply(&random(3, 4, rng), &random(5, 2, rng)).is_err());
    assert!(
        second
            .operand_mask(forward(3), shape)
            .unwrap()
            .with(random(5, 2, rng))
            .is_err()
    );

    // Another's triple, one's own, and a holder that there is not.
    assert!(second.data_half(forward(9), shape).is_err() && first.operand_mask(forward(9), shape).is_err());
    assert!(first.data_half(id(0, 0, Product::Forward, 9), shape).is_err());
    let shapes = || [0, 1].map(|party| (seed(party), DataShape { rows: 4, columns: 3 }));
    let mut dealer = Dealer::new(shapes().into()).unwrap();
    assert!(dealer.deal(id(0, 2, Product::Forward, 0), &[0], 1).is_err());
    assert!(dealer.deal(id(1, 1, Product::Forward, 0), &[0], 1).is_err());
    assert!(Dealer::new(shapes().into_iter().take(1).collect()).is_err());
    let huge = DataShape {
        rows: usize::MAX,
        columns: 9,
    };
    assert!(Dealer::new(vec![(seed(0), huge), (seed(1), huge)]).is_err());

    // Masked data: whole rows, not more than there are, all of them.
    let mut mask = first.data_mask(4, 5).unwrap();
    assert!(mask.hide(&random(1, 4, rng)).is_err());
    let piece = mask.hide(&random(3, 5, rng)).unwrap();
    assert!(mask.hide(&random(2, 5, rng)).is_err() && mask.select(&[4]).is_err());
    let mut masked = MaskedData::new(4, 5).unwrap();
    assert_eq!(masked.accept(&piece[..119]).err(), length(120, 119));
    masked.accept(&piece).unwrap();
    assert!(masked.accept(&piece).is_err() && masked.accept(&[]).is_err());
    assert!(masked.finish().is_err());
    assert!(MaskedData::new(usize::MAX, 2).is_err() && MaskedData::new(2, 0).is_err());
}
