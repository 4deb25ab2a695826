//! Requests in bytes, refusals, and what a station does when helpers are lost.

use cloven_nn::LinearShape;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{testing::InMemory, *};
use crate::{ProtocolError, encrypted_activation::Direction};

const FORM: LayerForm = LayerForm {
    shape: [100, 12],
    bias: true,
    input_bits: 5,
    packing: None,
};

fn requests<'a>(rows: &'a [i16], numbers: &'a [f32], secret: &'a [u8; 32]) -> Vec<Request<'a>> {
    let convolution = LinearShape::Convolution {
        channels: [1, 2],
        image: [8, 9],
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    let dense = LinearShape::Dense { inputs: 6, outputs: 4 };
    let key = |shape| Request::Key { shape, batch: 7, secret };
    let of_dense = |bias| Request::Dense {
        rows: 4,
        shape: [3, 2],
        weight: &numbers[..6],
        bias,
    };
    vec![
        Request::Layer {
            form: FORM,
            blocks: 1..3,
        },
        Request::Layer {
            form: LayerForm {
                packing: Some(4),
                bias: false,
                ..FORM
            },
            blocks: 0..1,
        },
        Request::Fresh(b"fresh"),
        Request::Held(b""),
        Request::Sums { rows },
        Request::Update { rows, delta: b"delta" },
        Request::Blocks(2..9),
        of_dense(None),
        of_dense(Some(&numbers[6..8])),
        Request::Sealed {
            direction: Direction::Backward,
            rows: 3,
            batch: b"sealed",
        },
        key(dense),
        key(convolution),
        Request::Encrypt {
            first: 1 << 40,
            x: numbers,
        },
    ]
}

#[test]
fn requests_come_back_and_end_where_they_end() {
    let (rows, numbers) = ([-3, 0, i16::MAX], [0.5, -1.0, 3.0, f32::MIN, 0.0, 1.0, 7.0, 8.0]);
    for request in requests(&rows, &numbers, &[7; 32]) {
        let bytes = request.encode(5);
        Request::decode(&bytes, |of, back| assert_eq!((of, &back), (5, &request))).unwrap();
        // What ends with bytes of any number has no end of its own.
        let open = matches!(
            request,
            Request::Fresh(_) | Request::Held(_) | Request::Update { .. } | Request::Sealed { .. }
        );
        let longer = [&bytes[..], &[1]].concat();
        assert_eq!(Request::decode(&longer, |_, _| ()).is_ok(), open, "{request:?}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_what_is_not_known_is_said() {
    let mut helper = Helper::new();
    let mut answer = |request: &[u8]| {
        let answer = helper.answer(request);
        let (how, text) = answer.split_last().unwrap();
        (*how, String::from_utf8_lossy(text).into_owned())
    };
    assert_eq!(answer(b"").0, helper::REFUSED);
    let beyond = Request::Layer {
        form: FORM,
        blocks: 0..1000,
    };
    let (how, why) = answer(&beyond.encode(0));
    assert_eq!(how, helper::REFUSED);
    assert!(why.contains("blocks of inputs"), "{why}");
    let sums = Request::Sums { rows: &[0; 101] };
    assert_eq!(answer(&sums.encode(0)).0, helper::UNKNOWN);
    assert_eq!(
        answer(
            &Request::Layer {
                form: FORM,
                blocks: 0..1
            }
            .encode(0)
        )
        .0,
        helper::DONE
    );
    // Of this layer, but nothing of it has come.
    assert_eq!(answer(&sums.encode(0)).0, helper::REFUSED);
    assert_eq!(answer(&sums.encode(1)).0, helper::UNKNOWN);
}

#[tokio::test]
async fn a_station_tells_again_after_a_loss_and_gives_up_in_the_end() {
    let layer = [Request::Layer {
        form: FORM,
        blocks: 0..1,
    }];
    let nothing = Request::Fresh(&[]);
    let helpers = InMemory::losing(2, &[(1, 1), (1, 3)]);
    let mut station = Station::new(&helpers, 3);
    for _ in 0..2 {
        station.ask(&layer, &nothing).await.unwrap();
    }
    // Told and lost, twice; told and answered; answered again.
    assert_eq!(helpers.asked(), [vec![], vec![1, 2, 1, 2, 1, 2, 2]]);
    // Another's loss is found when this station's work is not known.
    let helpers = InMemory::losing(1, &[(0, 2)]);
    let (mut one, mut two) = (Station::new(&helpers, 0), Station::new(&helpers, 1));
    one.ask(&layer, &nothing).await.unwrap();
    two.ask(&layer, &nothing).await.unwrap();
    one.ask(&layer, &nothing).await.unwrap();
    assert_eq!(helpers.asked(), [vec![1, 2, 1, 1, 2, 2, 1, 2]]);

    let always: Vec<_> = (0..9).map(|after| (0, after)).collect();
    let helpers = InMemory::losing(1, &always);
    let error = Station::new(&helpers, 0).ask(&layer, &nothing).await.unwrap_err();
    assert!(
        matches!(&error, ProtocolError::Helper { helper: 0, why } if why.contains("killed")),
        "{error}"
    );
    assert_eq!(helpers.asked()[0].len(), 5);
    let refused = Request::Blocks(0..1);
    let helpers = InMemory::new(1);
    let error = Station::new(&helpers, 0).ask(&layer, &refused).await.unwrap_err();
    assert!(error.to_string().starts_with("helper 0: "), "{error}");
}

#[test]
fn no_bytes_make_a_helper_panic() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let numbers: Vec<f32> = (0..200).map(|_| (rng.next_u32() as f32).sin()).collect();
    let mut random = vec![0; 200];
    for _ in 0..300 {
        rng.fill_bytes(&mut random);
        let mut helper = Helper::new();
        helper.answer(&[&[(rng.next_u32() % 12) as u8], &random[..rng.next_u32() as usize % 200]].concat());
        // Requests that are right, but for their end or a byte.
        for request in requests(&[1; 101], &numbers, &[1; 32]) {
            let mut bytes = request.encode(0).to_vec();
            let at = rng.next_u32() as usize % bytes.len();
            helper.answer(&bytes[..at]);
            bytes[at] ^= rng.next_u32() as u8;
            // Sizes beyond memory are not tried: a party asks for what it can hold itself.
            if at == 0 || at > 72 {
                helper.answer(&bytes);
            }
        }
    }
}
