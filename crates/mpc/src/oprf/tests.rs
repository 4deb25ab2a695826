use super::*;
use crate::{MpcError, PartySecret, Session};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn ids(range: std::ops::Range<u32>) -> Vec<Id> {
    range.map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect()
}

#[test]
fn tables_decode_to_their_values_at_every_size() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for count in [1, 2, 100, 256, 3000, 20_000] {
        let keys = ids(0..count);
        let layout = Layout::new(keys.len(), [count as u8; 32]);
        let value = |i: usize| [i as u128, !(i as u128)];
        let rows = layout.encode(&keys, value, &mut rng).unwrap();
        assert_eq!(rows.len(), layout.slots());
        assert!(
            (0..keys.len()).all(|i| layout.decode(&rows, &keys[i]) == value(i)),
            "{count} keys"
        );
        assert!(ids(count..2 * count).iter().all(|id| layout.decode(&rows, id)[0] > 1 << 64));
    }
    let twice = [ids(0..1), ids(0..1)].concat();
    let encoded = Layout::new(2, [0; 32]).encode(&twice, |i| [i as u128], &mut rng);
    assert_eq!(encoded.unwrap_err(), MpcError::Table { keys: 2 });
}

#[test]
fn both_compute_the_same_function_and_only_on_the_receiver_s_ids() {
    let [one, two] = [1, 2].map(|party| Session::new(&PartySecret::new([party; 32]), b"oprf"));
    let (setup, message) = ReceiverSetup::new(&two, ids(0..9000)).unwrap();
    assert!(matches!(Sender::new(&one, 9000, &message[1..]), Err(MpcError::Length { .. })));
    let (mut sender, message) = Sender::new(&one, 9000, &message).unwrap();
    let mut receiver = setup.finish(&message).unwrap();
    assert!(matches!(receiver.outputs(), Err(MpcError::Turn { .. })));
    assert!(matches!(sender.outputs(&[]), Err(MpcError::Turn { .. })));
    while let Some(chunk) = receiver.next_chunk() {
        assert!(matches!(sender.accept(&chunk[1..]), Err(MpcError::Length { .. })));
        sender.accept(&chunk).unwrap();
    }
    assert!(matches!(
        sender.accept(&[0; 64]),
        Err(MpcError::Length { expected: 0, actual: 64 })
    ));
    let (received, computed) = (receiver.outputs().unwrap(), sender.outputs(&ids(5000..12_000)).unwrap());
    assert_eq!(received[5000..], computed[..4000]);
    let seen: std::collections::HashSet<_> = received.iter().chain(&computed[4000..]).flatten().collect();
    assert_eq!(seen.len(), 2 * 12_000, "all words differ");
}
