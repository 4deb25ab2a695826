//! A server whose helpers hold its first layer sends and keeps, byte for byte, what one without helpers does; also when helpers are lost.

use super::*;
use crate::helpers::testing::InMemory;

/// Verbs of requests.
const LAYER: u8 = 1;
const UPDATE: u8 = 5;

async fn trained(encryption: &LayerEncryption, precision: f64, helpers: Option<&InMemory>) -> (Trained, Vec<u8>) {
    let (mut client, mut server) = roles(precision);
    client.key = LayerKey::new(encryption.clone(), &[1; 32]);
    server.encryption = encryption.clone();
    server.helpers = helpers.map(|helpers| helpers as _);
    let (data, test) = (rounded(22), rounded(10));
    let trained = train((client, server), &data, &test).await;
    let sent = trained.links[1].traffic().sent.to_le_bytes().to_vec();
    (trained, sent)
}

fn same((one, sent): &(Trained, Vec<u8>), (other, also): &(Trained, Vec<u8>)) {
    assert!(one.server.weights == other.server.weights);
    assert_eq!(values(&one.client.tail), values(&other.client.tail));
    assert_eq!(one.evaluation, other.evaluation);
    assert_eq!(sent, also);
}

/// A precision at which W goes back and forth every few batches.
fn coarse(encryption: &LayerEncryption) -> f64 {
    let data = rounded(22);
    let squares = data
        .x
        .outer_iter()
        .map(|row| row.iter().map(|x| f64::from(x * x)).sum::<f64>());
    let (most, all) = squares.fold((0.0, 0.0), |(most, sum): (f64, f64), square| (most.max(square), sum + square));
    encryption.error_bound(most.sqrt(), all / 2.0)
}

#[tokio::test]
async fn helpers_do_not_change_a_byte() {
    for encryption in [encryption(), packed()] {
        for (precision, refreshes) in [(PRECISION, false), (coarse(&encryption), true)] {
            let alone = trained(&encryption, precision, None).await;
            assert_eq!(sent(&alone.0.links[1], HeldWeights::NAME) > 0, refreshes);
            for count in [1, 3] {
                let helpers = InMemory::new(count);
                same(&alone, &trained(&encryption, precision, Some(&helpers)).await);
            }
        }
    }
}

#[tokio::test]
async fn a_lost_helper_costs_its_own_blocks_only() {
    let alone = trained(&encryption(), PRECISION, None).await;
    let undisturbed = InMemory::new(3);
    same(&alone, &trained(&encryption(), PRECISION, Some(&undisturbed)).await);
    let requests = undisturbed.asked()[1].len();
    for after in 0..requests {
        // Twice: also while it is told anew.
        let helpers = InMemory::losing(3, &[(1, after), (1, after + 3)]);
        same(&alone, &trained(&encryption(), PRECISION, Some(&helpers)).await);
        let (asked, calm) = (helpers.asked(), undisturbed.asked());
        assert_eq!([&asked[0], &asked[2]], [&calm[0], &calm[2]]);
        let count = |verb| asked[1].iter().filter(|asked| **asked == verb).count();
        assert_eq!(count(LAYER), 3, "lost after {after}");
        assert!(count(UPDATE) >= calm[1].iter().filter(|verb| **verb == UPDATE).count());
    }
}

#[tokio::test]
async fn a_part_is_kept_instead_of_long_updates() {
    // A step of 22 rows is longer than a part.
    let helpers = InMemory::new(5);
    let (_, _) = trained(&encryption(), PRECISION, Some(&helpers)).await;
    let blocks = helpers.asked().concat().iter().filter(|verb| **verb == 6).count();
    assert!(blocks > 5, "{blocks}");
}

#[tokio::test]
async fn helpers_that_are_all_lost_end_the_training() {
    let always: Vec<_> = (0..40).map(|after| (0, after)).collect();
    let helpers = InMemory::losing(1, &always);
    let (me, mut other) = roles(PRECISION);
    other.helpers = Some(&helpers);
    let [mut a, mut b] = links();
    let (data, test) = (rounded(22), rounded(10));
    let (mut quiet, mut still) = (ignore, ignore);
    let server = async {
        let done = server(other, schedule(), &mut b, &mut still).await;
        drop(b);
        done
    };
    let (client, server) = tokio::join!(client(me, task(&data, &test), &mut a, &mut quiet), server);
    let error = server.err().unwrap();
    assert!(matches!(error, ProtocolError::Helper { helper: 0, .. }), "{error}");
    assert!(client.is_err());
}
