//! A matrix that several hold together against the same in one place, byte for byte.

use std::ops::Range;

use super::*;

/// Cuts columns out of rows.
fn columns(x: &[f32], width: usize, wanted: Range<usize>) -> Vec<f32> {
    x.chunks(width).flat_map(|row| row[wanted.clone()].to_vec()).collect()
}

#[test]
fn holders_of_parts_together_are_a_holder_of_the_whole() {
    let block = WeightProduct::with_block_outputs(&parameters(), [100, 300], 128, SCALES).unwrap();
    let stride = WeightProduct::strided_with_block_outputs(&parameters(), [100, 300], 4, 128, SCALES).unwrap();
    for (product, rows) in [(block, 5), (stride, 21)] {
        let secret = secret(&product.parameters);
        let matrix: Vec<f32> = numbers(100 * 300, 1).iter().map(|w| w / 16.0).collect();
        let fresh = product.encrypt_weights(&matrix, &secret, &key(), b"w").unwrap();
        let mut whole = product.receive_weights(&fresh).unwrap();
        let mut merging = EncryptedWeights::empty();
        let keys = product.merge_keys(&secret, &key(), b"k").unwrap();
        for weights in [&mut whole, &mut merging] {
            product.receive_merge_keys(weights, &keys).unwrap();
        }
        let (all, len) = (product.input_blocks(), product.weights_part_len());
        // Three holders, one of them of a single block; the last block is narrower than others.
        let cuts = [0..all / 2, all / 2..all - 1, all - 1..all];
        let parts = cuts.clone().map(|blocks| product.part(blocks).unwrap());
        assert_eq!(parts.iter().map(|part| part.inputs).sum::<usize>(), 100);
        let mut held: Vec<_> = (parts.iter().zip(&cuts))
            .map(|(part, blocks)| part.receive_weights(&fresh[blocks.start * len..blocks.end * len]).unwrap())
            .collect();
        let mut energy = 0.0;
        for step in 0..3 {
            let x = numbers(rows * 100, 10 + step);
            let encoded = product.encode_rows(&x).unwrap();
            let of_parts: Vec<_> = (parts.iter().zip(&cuts))
                .map(|(part, blocks)| {
                    let first = blocks.start * product.block_inputs();
                    part.encode_rows(&columns(&x, 100, first..first + part.inputs)).unwrap()
                })
                .collect();
            let sums: Vec<Vec<u8>> = (parts.iter().zip(&held).zip(&of_parts))
                .map(|((part, held), x)| part.sums(held, x).unwrap())
                .collect();
            let sums: Vec<&[u8]> = sums.iter().map(Vec::as_slice).collect();
            let response = product.forward(&whole, &encoded).unwrap();
            assert!(
                product.respond_to_sums(&sums, rows, &merging).unwrap() == response,
                "response {step}"
            );
            assert!(product.respond_to_sums(&sums[..2], rows, &merging).unwrap() != response);

            let delta = product
                .encrypt_delta(&numbers(rows * 300, 20 + step), RATE, &secret, &key(), &[step as u8])
                .unwrap();
            product.check_delta(&delta, rows).unwrap();
            product.update(&mut whole, &encoded, &delta).unwrap();
            for ((part, held), x) in parts.iter().zip(&mut held).zip(&of_parts) {
                part.update(held, x, &delta).unwrap();
            }
            energy += product.energy(&x).unwrap();
        }
        let mut together: Vec<u8> = (parts.iter().zip(&held))
            .flat_map(|(part, held)| part.encode_weights(held).unwrap())
            .collect();
        let len = product.encoded_part_len();
        for part in together.chunks_mut(len) {
            assert!(WeightProduct::energy_of_part(part).unwrap() < energy);
            WeightProduct::set_energy_of_part(part, energy).unwrap();
        }
        assert!(together == product.encode_weights(&whole).unwrap());
        product.check_encoded_parts(&together, all).unwrap();
    }
}

#[test]
fn what_a_part_would_refuse_is_found_beforehand() {
    let product = WeightProduct::with_block_outputs(&parameters(), [100, 300], 128, SCALES).unwrap();
    let secret = secret(&product.parameters);
    let fresh = product
        .encrypt_weights(&numbers(100 * 300, 1), &secret, &key(), b"w")
        .unwrap();
    let held = product.encode_weights(&product.receive_weights(&fresh).unwrap()).unwrap();
    let delta = product
        .encrypt_delta(&numbers(2 * 300, 2), RATE, &secret, &key(), b"d")
        .unwrap();
    let all = product.input_blocks();
    refused_when_damaged(&delta, |bytes| product.check_delta(bytes, 2));
    refused_when_damaged(&fresh, |bytes| product.check_weights_parts(bytes, all));
    refused_when_damaged(&held, |bytes| product.check_encoded_parts(bytes, all));
    assert!(product.part(3..3).is_err());
    assert!(product.part(0..product.input_blocks() + 1).is_err());
    assert!(WeightProduct::energy_of_part(&[0; 7]).is_err());
    assert!(WeightProduct::set_energy_of_part(&mut [0; 7], 1.0).is_err());
    assert!(product.respond_to_sums(&[], 2, &EncryptedWeights::empty()).is_err());
}

fn refused_when_damaged(bytes: &[u8], check: impl Fn(&[u8]) -> Result<(), LatticeError>) {
    assert_eq!(check(bytes), Ok(()));
    assert!(matches!(check(&bytes[1..]), Err(LatticeError::Length { .. })));
    let mut worse = bytes.to_vec();
    let end = worse.len();
    worse[end - 16..].fill(0xff);
    let refused = check(&worse);
    assert!(
        matches!(refused, Err(LatticeError::Coefficient { .. } | LatticeError::Padding)),
        "{refused:?}"
    );
}
