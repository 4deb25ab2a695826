use super::*;

fn draw(mut stream: Stream) -> [u64; 4] {
    std::array::from_fn(|_| stream.0.next_u64())
}

#[test]
fn every_parameter_and_update_has_noise_of_its_own() {
    let key = NoiseKey::public(7);
    let names = [
        "0.weight",
        "0.bias",
        "1.weight",
        "0.weight\0",
        "0.body.1.weight",
        "0.body.11.weight",
        "",
    ];
    let mut all = Vec::new();
    for name in names {
        for update in [0, 1, 2, u64::MAX] {
            all.push(draw(key.stream(name, update)));
        }
    }
    all.push(draw(NoiseKey::public(8).stream("0.weight", 1)));
    all.push(draw(NoiseKey::secret([7; 32]).stream("0.weight", 1)));
    all.push(draw(Stream::weights(7, 0)));
    all.push(draw(Stream::dropout(7, 0, 1)));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_eq!(draw(key.stream("0.bias", 3)), draw(NoiseKey::public(7).stream("0.bias", 3)));
}

#[test]
fn normal_numbers_have_the_moments_of_the_normal_distribution() {
    let mut stream = NoiseKey::public(1).stream("0.weight", 1);
    let pairs: Vec<[f64; 2]> = (0..200_000).map(|_| stream.normal_pair()).collect();
    let values = || pairs.iter().flatten();
    let count = 400_000.0;
    let moment = |power| values().map(|value| value.powi(power)).sum::<f64>() / count;
    // Five standard deviations of each mean: those of the powers are 1, sqrt 2, sqrt 15 and sqrt 96.
    let bound = |deviation: f64| 5.0 * (deviation / count).sqrt();
    for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let actual = moment(power);
        assert!((actual - expected).abs() < bound(variance), "moment {power}: {actual}");
    }
    let product = pairs.iter().map(|[left, right]| left * right).sum::<f64>() / 200_000.0;
    assert!(product.abs() < 5.0 / 200_000f64.sqrt(), "{product}");
    let beyond = values().filter(|value| value.abs() > 2.0).count() as f64 / count;
    assert!((beyond - 0.0455).abs() < 5.0 * (0.0455f64 / count).sqrt(), "{beyond}");
}
