//! The encrypted matrix in parts, kept and read.

use super::*;

#[test]
fn parts_are_the_whole_and_the_matrix_comes_back() {
    for (parameters, scales) in [
        (parameters(), SCALES),
        (
            Parameters::new(13, &[50, 50, 50]).unwrap(),
            Scales {
                input: 5,
                weight: 110,
                response: 40,
            },
        ),
    ] {
        let product = WeightProduct::with_block_outputs(&parameters, [37, 150], parameters.degree() / 16, scales).unwrap();
        let (secret, matrix) = (secret(&parameters), numbers(37 * 150, 1));
        let whole = product.encrypt_weights(&matrix, &secret, &key(), b"w").unwrap();
        let (mut parts, mut received) = (Vec::new(), EncryptedWeights::empty());
        for (q, rows) in matrix.chunks(16 * 150).enumerate() {
            let part = product.encrypt_weights_part(q, rows, &secret, &key(), b"w").unwrap();
            product.receive_weights_part(&mut received, &part).unwrap();
            parts.extend(part);
        }
        assert_eq!(parts, whole);
        let more = product.receive_weights_part(&mut received, &whole[..product.weights_part_len()]);
        assert!(matches!(more, Err(LatticeError::Size { .. })), "{more:?}");

        let x = product.encode_rows(&numbers(2 * 37, 2)).unwrap();
        let delta = product.encrypt_delta(&[0.0; 300], RATE, &secret, &key(), b"d").unwrap();
        product.update(&mut received, &x, &delta).unwrap();
        let (mut decoded, mut read) = (EncryptedWeights::empty(), Vec::new());
        for q in 0..product.input_blocks() {
            let part = product.encode_weights_part(&received, q).unwrap();
            assert_eq!(part.len(), product.encoded_part_len());
            product.decode_weights_part(&mut decoded, &part).unwrap();
            read.extend(product.decrypt_weights_part(q, &part, &secret).unwrap());
        }
        assert_eq!(decoded.energy, received.energy);
        assert_eq!(product.forward(&decoded, &x), product.forward(&received, &x));
        assert_eq!(read.len(), matrix.len());
        let noise = 2000.0 * 2f64.powi(-(scales.weight as i32)) + 2f64.powi(-44);
        assert!(read.iter().zip(&matrix).all(|(read, &w)| (read - f64::from(w)).abs() < noise));
    }
}

#[test]
fn parts_of_other_histories_and_weights_out_of_range_are_refused() {
    let product = WeightProduct::with_block_outputs(&parameters(), [37, 150], 128, SCALES).unwrap();
    let secret = secret(&parameters());
    let bytes = product.encrypt_weights(&numbers(37 * 150, 1), &secret, &key(), b"w").unwrap();
    let mut weights = product.receive_weights(&bytes).unwrap();
    let old = product.encode_weights(&weights).unwrap();
    let x = product.encode_rows(&numbers(2 * 37, 2)).unwrap();
    // x delta reaches beyond 1,024, a quarter of the modulus.
    let delta = product.encrypt_delta(&[1500.0; 300], 1.0, &secret, &key(), b"d").unwrap();
    product.update(&mut weights, &x, &delta).unwrap();
    let new = product.encode_weights(&weights).unwrap();
    let mut decoded = EncryptedWeights::empty();
    let part = product.encoded_part_len();
    product.decode_weights_part(&mut decoded, &new[..part]).unwrap();
    let error = product.decode_weights_part(&mut decoded, &old[part..2 * part]);
    assert!(matches!(error, Err(LatticeError::Energy { expected, .. }) if expected == weights.energy));
    for energy in [-1.0, f64::NAN] {
        let mut bytes = old[..part].to_vec();
        bytes[..8].copy_from_slice(&f64::to_le_bytes(energy));
        let error = product.decode_weights_part(&mut EncryptedWeights::empty(), &bytes);
        assert!(matches!(error, Err(LatticeError::Energy { .. })), "{energy}");
    }
    let error = product.decrypt_weights(&new, &secret);
    assert!(matches!(error, Err(LatticeError::Range { what: "weight", .. })), "{error:?}");
    assert!(product.decrypt_weights(&old, &secret).is_ok());
}
