//! Everybody ends with the same rows in the same order, or with an error that says why not.

use super::*;

fn id(number: u32) -> Id {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

async fn aligned(terms: &Terms, sets: &[Vec<Id>]) -> Vec<Result<Vec<usize>, ProtocolError>> {
    let holders: Vec<Party> = terms.holders().cloned().collect();
    let mut links = mesh(&parties(terms));
    let ends = holders
        .iter()
        .map(|holder| (holder, links.remove(holder).unwrap()))
        .collect::<Vec<_>>();
    let tasks = ends
        .into_iter()
        .zip(sets)
        .zip(SECRETS)
        .map(async |(((holder, mut links), ids), secret)| {
            align(holder, terms, &[secret; 32], ids, &mut links)
                .await
                .map(|aligned| aligned.places)
        });
    join_all(tasks).await
}

#[tokio::test]
async fn two_three_and_four_holders_agree_on_the_common_rows() {
    let two = [("bank", 4), ("shop", 3)];
    let three = [("bank", 3), ("clinic", 2), ("shop", 2)];
    for terms in [
        terms(&two, "shop", true),
        terms(&two, "agency", false),
        terms(&three, "bank", false),
        terms(&three, "agency", false),
    ] {
        let holders = terms.holders().count() as u32;
        // Holder h lacks the multiples of 7 + h, and has the others in an order of its own.
        let sets: Vec<Vec<Id>> = (0..holders)
            .map(|h| {
                (0..150u32)
                    .map(|i| i * [7, 11, 13, 17][h as usize] % 150)
                    .filter(|i| i % (7 + h) != 0)
                    .map(id)
                    .collect()
            })
            .collect();
        let common = (0..150u32).filter(|i| (0..holders).all(|h| i % (7 + h) != 0)).count();
        let places: Vec<Vec<usize>> = aligned(&terms, &sets).await.into_iter().map(Result::unwrap).collect();
        let rows = |h: usize| places[h].iter().map(|place| sets[h][*place]).collect::<Vec<_>>();
        assert_eq!(places[0].len(), common);
        for h in 1..sets.len() {
            assert_eq!(rows(0), rows(h));
        }
        // Once more, the same order: a training that goes on finds its rows again.
        let again: Vec<Vec<usize>> = aligned(&terms, &sets).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(places, again);
    }
}

#[tokio::test]
async fn nothing_in_common_is_an_error_that_counts() {
    let terms = terms(&[("bank", 4), ("shop", 3)], "shop", false);
    for error in aligned(&terms, &[(0..5).map(id).collect(), (5..12).map(id).collect()]).await {
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("no id is common to all holders") && text.contains("bank 5, shop 7"),
            "{text}"
        );
    }
    let none = aligned(&terms, &[Vec::new(), (0..3).map(id).collect()]).await;
    assert!(
        none[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("bank has no row with an id")
    );
    assert!(none[1].is_err());
}

#[tokio::test]
async fn tampered_steps_are_refused() {
    use crate::vertical::msg::{AlignmentStep, SetSize};
    use cloven_wire::{Message, testing::frame};

    let terms = terms(&[("bank", 4), ("shop", 3)], "shop", false);
    let ids: Vec<Id> = (0..20).map(id).collect();
    let (bank, shop) = (party("bank"), party("shop"));
    let size = frame(0, &SetSize(20));
    // The shop, of as many ids, puts its ids into the function: it waits for points that are on the curve.
    let honest = frame(2, &AlignmentStep(vec![9; 16 << 10]));
    let sizes = [
        with(&size, cloven_wire::Header::LEN, &[0; 8]),
        all_ones(&size).1,
        with(&size, 4, &[77]),
    ];
    let steps = [
        honest.clone(),
        with(&honest, 3, &[0x7f]),
        with(&honest, 8, &[9]),
        with(&honest, 4, &[77]),
    ];
    let scripts = sizes
        .into_iter()
        .map(|bad| vec![bad])
        .chain(steps.into_iter().map(|bad| vec![size.clone(), bad]));
    for (case, script) in scripts.enumerate() {
        let (peer, own) = memory::pair(bank.clone(), shop.clone());
        script.iter().for_each(|frame| peer.send_raw(frame.clone()));
        let mut links = [Link::new(own)];
        let error = align(&shop, &terms, &[1; 32], &ids, &mut links).await.unwrap_err();
        let (sent, message) = if script.len() == 1 {
            (&size, (SetSize::NAME, SetSize::KIND))
        } else {
            (&honest, (AlignmentStep::NAME, AlignmentStep::KIND))
        };
        assert_says_it_all(&format!("case {case}"), &error, "bank", sent, &[message]);
    }
}
